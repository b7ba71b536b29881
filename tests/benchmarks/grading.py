"""A class of forty hands in one lesson, each kind of submission among them; how each is graded, and how long it takes.

Usage: python tests/benchmarks/grading.py [LESSON [EACH [WORKERS]]]   (default: 03 5 1)

Eight kinds, EACH of them: the worked answers, wrong ones, nothing, errors, a file cut short, a loop without end, a hog
of memory, and one that writes files, starts a program and ends its own process. WORKERS of them are graded at once.
Stops with an error where one of them is graded otherwise than it deserves.
"""

from __future__ import annotations

import copy
import itertools
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1]))
from lessons import ROOT, answers, load_script

grade = load_script("notebooks/grade.py")
HOSTILE = """import os, subprocess, sys
for k in range(100):
    open(f"written {k}", "w").write("x" * 1000)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
os._exit(1)"""
# What stands in the first answer cell, and the verdict on it; the other exercises are answered well, or left alone.
FIRST: dict[str, tuple[str | None, str]] = {
    "right": (None, "right"),
    "wrong": ("{name} = [[]]", "wrong or broken"),
    "empty": ("{name} = None", "not yet"),
    "error": ("{name} = [", "broken"),
    "cut short": (None, "broken"),
    "endless": ("while True: pass", "too long"),
    "hog": ("{name} = [bytearray(10**9) for _ in range(100)]", "broken"),
    "hostile": (HOSTILE, "broken"),
}


def handed_in(kind: str, lesson: nbformat.NotebookNode, worked: list[str]) -> str:
    """The text of a submission of this kind."""
    notebook = copy.deepcopy(lesson)
    for number, place in enumerate(grade.checks(notebook)):
        cell = notebook.cells[place - 1]
        name = cell.source.split(" = None")[0].split()[-1]
        source = FIRST[kind][0]
        cell.source = worked[number] if number or source is None else source.replace("{name}", name)
    text = nbformat.writes(notebook)
    return text[: len(text) // 2] if kind == "cut short" else text


def main(name: str = "03", each: str = "5", workers: str = "1") -> None:
    (path,) = (file for file in (ROOT / "notebooks").glob("*.ipynb") if file.stem.split("_")[0] == name)
    lesson = nbformat.read(path, as_version=4)
    worked = answers(nbformat.read(path.parent / "solutions" / path.name, as_version=4))
    limits = grade.Limits(answer=30, whole=600)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(int(workers)) as pool:

        def graded(kind: str, seed: int) -> tuple[str, grade.Grade]:
            file = Path(folder) / f"{kind}-{seed}-{path.name}"
            file.write_text(handed_in(kind, lesson, worked), encoding="utf-8")
            return kind, grade.grade(file, file.name, seed, limits)

        kinds, seeds = zip(*itertools.product(FIRST, range(4242, 4242 + int(each))))
        for kind, found in pool.map(graded, kinds, seeds):
            words = f"{', '.join(found.verdicts)}  {' | '.join(found.told)[:90]}"
            print(f"{kind:10} {found.seconds:5.0f} s  {words}", flush=True)
            later = "broken" if kind in ("cut short", "hostile") else "right"
            due = FIRST[kind][1].split(" or ")
            assert found.verdicts[0] in due and set(found.verdicts[1:]) == {later}, found
    print(f"{len(kinds)} submissions in {(time.perf_counter() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main(*sys.argv[1:])
