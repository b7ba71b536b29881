"""Grade what a class has handed in: each exercise of a lesson is checked again, with our own check and another seed.

    python notebooks/grade.py SUBMISSIONS/ --out grades.csv

Every notebook below SUBMISSIONS/ whose file or folder is named after a lesson is graded, such as
`anna/08_computation.ipynb` or `08_computation-anna.ipynb`. Of a submission only the answers are taken: what stands in
the cell above each check, and in cells that were added between the exercise's text and its check. They are put into
our own copy of the lesson, by the ids of its cells; so a check that was changed, a cell that was deleted and a training
that was shortened make no difference. The lesson runs with few steps and another seed, in a process of its own whose
time and memory are limited, in an empty folder that is deleted afterwards.

grades.csv has a row for each submission, written as soon as it and those before it are graded, and a column for each
exercise:

    right     the check says so
    wrong     the check says what is wrong, in the last column
    not yet   the answer is still None
    broken    the answer, or its check, stopped with an error
    too long  the answer was interrupted, or the whole submission was ended before it came to this exercise

What this does not protect from. A submission is a program that runs as you, and may do what you may: read and delete
your files, use the network, start programs. Its answers share a process with the checks. It can write into the report
that its verdicts are read from, into that of another submission and into grades.csv. So one that is written to deceive
can: read those that surprise you. What is no verdict, or one too many, is noticed; a careful forgery is not. The memory
limit holds for each process, not for all together, and on Linux alone; the size of a file is limited, their number is
not. Where you do not know your students, grade in a container or a virtual machine without a network, and read
grades.csv outside.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

LESSONS = Path(__file__).parent
MOST_READ = 50_000_000  # bytes of a notebook that is handed in
MOST_WRITTEN = 4_000_000_000  # bytes of each file that it writes; the prepared shapes have 3 GB
MOST_REPORTED = 100_000  # bytes of what is reported of a submission; four verdicts and their messages need a sixth
MOST_TOLD = 300  # characters of a message
VERDICTS = "right", "wrong", "not yet", "broken", "too long"
DIED = "The submission ended its own process, or used up its memory."
FORGED = "The submission has written into the report of its grading."
MARK = "ANIMLAB_GRADING"  # in the environment of whatever a submission starts, so that it can be found and ended

# Lessons train for minutes, and most exercises do not need it. Other parameters keep the values that readers see.
QUICK: dict[str, dict[str, Any]] = {
    "00_play_with_labels": {"steps": 20},
    "01_gan_basics": {"ring_steps": 30, "steps": 6},
    "03_continuous_labels": {"steps": 20, "read_clips": 8},
    "04_full_training": {"steps": 8, "width": 0.1, "demo_steps": 2},
    "05_ablations": {"grid": [[2, 1]], "steps": 2, "width": 0.05, "workers": 1},
    "06_metrics": {"animations": 4, "samples": 100, "inversion_steps": 4},
    "06b_label_measures": {"pairs": 8, "sweeps": 4, "samples": 200},
    "07_comparisons": {"seconds": 3, "width": 0.1},
    "09_beyond_the_paper": {"seconds": 2, "game_steps": 20, "seeds": 1},
    "10_your_own_clip": {"steps": 8, "width": 0.1},
}


@dataclass(frozen=True)
class Limits:
    """What a submission may use. answer: seconds for a cell of the student's, or a check; whole: seconds for all of it;
    memory: bytes, for each process."""

    answer: float = 60
    whole: float = 600
    memory: int = 4_000_000_000


@dataclass
class Grade:
    """What became of one submission. verdicts: a word for each exercise; told: what the student should read, each."""

    name: str
    lesson: str = ""
    verdicts: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def row(self) -> list[str]:
        words = [self.verdicts[k] if k < len(self.verdicts) else "" for k in range(4)]
        right = f"{self.verdicts.count('right')}/{len(self.verdicts)}"
        return [
            _harmless(text)
            for text in (self.name, self.lesson, right, *words, f"{self.seconds:.0f}", " | ".join(self.told))
        ]


HEADS = ["submission", "lesson", "right", "exercise 1", "exercise 2", "exercise 3", "exercise 4", "seconds", "told"]


def _harmless(text: str) -> str:
    """A table's cell that can be written and printed, and that no spreadsheet takes for a formula."""
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text


# The notebook that is run.


def checks(lesson: NotebookNode) -> list[int]:
    """Where the check cells of a lesson are, in order."""
    return [k for k, cell in enumerate(lesson.cells) if "check" in cell.metadata.get("tags", [])]


def composed(lesson: NotebookNode, submission: NotebookNode, parameters: dict[str, Any]) -> list[tuple[str, int, str]]:
    """The code to run: (whose, exercise, source); whose is "lesson", "answer" or "check", exercises count from 0.

    Raises ValueError where the submission holds no cell of this lesson.
    """
    theirs = [(cell.get("id") or cell.metadata.get("id"), cell) for cell in submission.cells]  # Colab moves the id
    known = {cell.id for cell in lesson.cells}
    if not known & {name for name, _ in theirs}:
        raise ValueError("No cell of this notebook is one of the lesson's: was it copied into another notebook?")
    exercises = {place - 1: number for number, place in enumerate(checks(lesson))}
    found: list[tuple[str, int, str]] = []
    for place, cell in enumerate(lesson.cells):
        if cell.cell_type != "code":
            continue
        if place in exercises:
            text = lesson.cells[place - 1].id
            found.append(("lesson", -1, cell.source))  # so that an answer that was deleted is none
            found += [("answer", exercises[place], each) for each in _answers(theirs, known, text, cell.id)]
        elif place - 1 in exercises:
            found.append(("check", exercises[place - 1], cell.source))
        else:
            found.append(("lesson", -1, cell.source))
            if "parameters" in cell.metadata.get("tags", []):
                given = {name: value for name, value in parameters.items() if f"\n{name} = " in f"\n{cell.source}"}
                found.append(("lesson", -1, "\n".join(f"{name} = {value!r}" for name, value in given.items())))
    return found


def _answers(theirs: list[tuple[str, NotebookNode]], known: set[str], text: str, answer: str) -> Iterator[str]:
    """The code from an exercise's text up to its check: the answer cell, and those that were added around it."""
    inside = False
    for name, cell in theirs:
        if name in known:
            inside = name in (text, answer)
        if inside and cell.cell_type == "code" and (name == answer or name not in known):
            yield cell.source


# Inside the limited process.


def work(lesson: Path, submission: Path, seed: int, limits: Limits, report: Any) -> None:
    """Run a submission; report a line of JSON for each exercise: its number, the verdict, what to tell the student."""
    for what, most in ((resource.RLIMIT_DATA, limits.memory), (resource.RLIMIT_FSIZE, MOST_WRITTEN)):
        allowed = resource.getrlimit(what)[1]
        most = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(what, (most, most))
    if submission.stat().st_size > MOST_READ:
        raise ValueError(f"The file is larger than {MOST_READ / 1e6:.0f} MB.")
    try:
        handed_in = nbformat.reads(submission.read_text(encoding="utf-8"), as_version=4)
    except Exception as error:
        raise ValueError(f"This is no notebook that can be read ({type(error).__name__}).") from error
    ours = nbformat.read(lesson, as_version=4)
    plan = composed(ours, handed_in, QUICK.get(lesson.stem, {}) | {"seed": seed})
    cells = [nbformat.v4.new_code_cell(source, metadata={"whose": whose}) for whose, _, source in plan]
    failed: dict[int, str] = {}

    def executed(cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:
        whose, exercise, _ = plan[cell_index]
        if whose == "answer" and (error := _error(cell)):
            failed[exercise] = error
        elif whose == "check":
            verdict, told = judged(cell, failed.get(exercise, ""))
            print(json.dumps([exercise, verdict, told[:MOST_TOLD]]), file=report, flush=True)
        cell.outputs = []

    def seconds(cell: NotebookNode) -> float | None:
        return None if cell.metadata.whose == "lesson" else limits.answer

    client = NotebookClient(
        nbformat.v4.new_notebook(cells=cells), kernel_name="python3", allow_errors=True, interrupt_on_timeout=True,
        timeout_func=seconds, on_cell_executed=executed, store_widget_state=False,
    )  # fmt: skip
    client.execute()


def _error(cell: NotebookNode) -> str:
    """The error that a cell stopped with, in a line; "" where it did not."""
    errors = [output for output in cell.outputs if output.output_type == "error"]
    return f"{errors[-1].ename}: {errors[-1].evalue}" if errors else ""


def judged(check: NotebookNode, failed: str) -> tuple[str, str]:
    """Verdict and message of a check cell that was run. failed: the error of the answer above it, if there was one."""
    error = _error(check)
    if "KeyboardInterrupt" in (error.partition(":")[0], failed.partition(":")[0]):
        return "too long", "The answer was interrupted."
    if error.startswith("AssertionError"):
        return "wrong", error.partition(": ")[2]
    if error:
        return "broken", failed or error
    said = "".join(output.text for output in check.outputs if output.output_type == "stream").strip().splitlines()
    if any(line.startswith("Right") for line in said):
        return "right", ""
    if failed:
        return "broken", failed
    if any(line.startswith("Not yet") for line in said):
        return "not yet", ""
    return "broken", "The check did not come to its end."


# Outside of it.


def lesson_of(path: Path) -> Path | None:
    """The lesson that a file, or the folder it is in, is named after."""
    for name in (path.stem, path.parent.name):
        for lesson in sorted(LESSONS.glob("*.ipynb")):
            if lesson.stem.lower() in name.lower():
                return lesson
    return None


def grade(path: Path, name: str, seed: int, limits: Limits) -> Grade:
    """Grade one submission; whatever it does, within its limits, the others are graded."""
    began = time.perf_counter()
    found = Grade(name)
    try:
        lesson = lesson_of(path)
        if lesson is None:
            found.told = ["Neither the file nor its folder is named after a lesson."]
            return found
        count = len(checks(nbformat.read(lesson, as_version=4)))
        found.lesson, found.verdicts = lesson.stem, ["broken"] * count
        report, fault, ended = _run_apart(lesson, path, seed, limits)
        reported, said = parsed(report, count)
        found.verdicts = [verdict for verdict, _ in reported]
        found.verdicts += ["too long" if ended else "broken"] * (count - len(reported))
        found.told = [f"{number}: {told}" for number, (_, told) in enumerate(reported, 1) if told]
        found.told += [text for text in (said, fault) if text]
    except Forged:
        found.told = [FORGED]
    except Exception as error:
        found.told = [f"It could not be graded ({type(error).__name__}: {error})."[:MOST_TOLD]]
    found.seconds = time.perf_counter() - began
    return found


class Forged(Exception):
    """A report holds what `work` does not write."""


def parsed(report: bytes, count: int) -> tuple[list[tuple[str, str]], str]:
    """What `work` reported of a lesson with so many exercises: (verdict, message) of each, in order, and what it says
    of them all.

    Raises Forged where the report holds anything else, which only a submission can have written.
    """
    reported: list[tuple[str, str]] = []
    said = ""
    if len(report) > MOST_REPORTED:
        raise Forged
    for line in report.split(b"\n")[:-1]:  # the last one was cut off, or is empty
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise Forged from None
        match found:
            case [int(exercise), str(verdict), str(told)] if exercise == len(reported) < count and verdict in VERDICTS:
                reported.append((verdict, told[:MOST_TOLD]))
            case str() if not said:
                said = found[:MOST_TOLD]
            case _:
                raise Forged
    return reported, said


def _run_apart(lesson: Path, path: Path, seed: int, limits: Limits) -> tuple[bytes, str, bool]:
    """`work` in a process of its own: what it reported, what went wrong, and whether its time was up."""
    mark = uuid.uuid4().hex
    command = [sys.executable, __file__, "--work", str(lesson), str(path.absolute()), str(seed)]
    command += [str(limits.answer), str(limits.memory)]
    environment = os.environ | {MARK: mark, "ANIMLAB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    # A file, because a pipe is read until its last writer ends, and a submission may start one that never does.
    with tempfile.TemporaryFile() as report, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        fcntl.fcntl(report, fcntl.F_SETFL, os.O_APPEND)  # so that what others write into it is not written over
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=report, stderr=subprocess.DEVNULL
        )
        ended, fault = False, ""
        try:
            process.wait(limits.whole)
            fault = DIED if process.returncode else ""
        except subprocess.TimeoutExpired:
            ended, fault = True, f"The submission was ended after {limits.whole:g} s."
        finally:
            process.kill()
            _end_all(mark)
            process.wait()
        report.seek(0)
        return report.read(MOST_REPORTED + 1), fault, ended


def _end_all(mark: str) -> None:
    """End whatever a submission has started, in whichever session it is."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                process.send_signal(signal.SIGKILL)
        except (psutil.Error, OSError):
            pass  # gone, or somebody else's


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--work"]:
        lesson, submission, seed, answer, memory = arguments[1:]
        report = os.fdopen(os.dup(1), "w")  # what the submission prints to the process's own output goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            work(Path(lesson), Path(submission), int(seed), Limits(float(answer), memory=int(memory)), report)
        except (ValueError, DeadKernelError) as error:
            said = str(error) if isinstance(error, ValueError) else DIED
            print(json.dumps(said[:MOST_TOLD]), file=report, flush=True)
        return
    parser = argparse.ArgumentParser(description="Grade a folder of notebooks; see the head of this file.")
    parser.add_argument("submissions", type=Path, help="the folder that they are in, or in folders of")
    parser.add_argument("--out", type=Path, default=Path("grades.csv"), help="the table to write")
    parser.add_argument("--seed", type=int, default=4242, help="in place of the lesson's own")
    parser.add_argument("--answer", type=float, default=Limits.answer, help="seconds for one answer")
    parser.add_argument("--whole", type=float, default=Limits.whole, help="seconds for a whole submission")
    parser.add_argument("--gigabytes", type=float, default=Limits.memory / 1e9, help="memory of each process")
    parser.add_argument("--workers", type=int, default=1, choices=range(1, 65), metavar="N",
                        help="submissions graded at once; more than there are cores makes each one slower")  # fmt: skip
    given = parser.parse_args(arguments)
    limits = Limits(given.answer, given.whole, int(given.gigabytes * 1e9))
    paths = [path for path in sorted(given.submissions.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    if not paths:
        sys.exit(f"There is no notebook in {given.submissions}.")

    def graded(path: Path) -> Grade:
        return grade(path, _harmless(str(path.relative_to(given.submissions))), given.seed, limits)

    with given.out.open("w", newline="", encoding="utf-8") as file, ThreadPoolExecutor(given.workers) as pool:
        table = csv.writer(file)
        table.writerow(HEADS)
        for found in pool.map(graded, paths):
            table.writerow(found.row())
            file.flush()  # an interrupted grading leaves the rows so far
            words = ", ".join(found.verdicts) or _harmless(found.told[0])
            print(f"{found.name}: {words} ({found.seconds:.0f} s)", flush=True)
    print(f"{len(paths)} submissions: {given.out}")


if __name__ == "__main__":
    main(sys.argv[1:])
