"""Grading: right, wrong, empty, broken, endless and greedy submissions of a small lesson, each told apart."""

import csv
import json
import re
import time
from pathlib import Path

import nbformat
import pytest
from lessons import load_script
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

grade = load_script("notebooks/grade.py")
ANSWER, SECOND = "cell-03", "cell-06"
RIGHT = "double = [2 * number for number in numbers]"
CHECK = """if double is None:
    print("Not yet: set `double` above.")
else:
    assert double == [2 * number for number in numbers], f"{double} is not twice {numbers}."
    print("Right.")"""


def lesson():
    cells = [
        new_code_cell("seed = 0\nsteps = 5", metadata={"tags": ["parameters"]}),
        new_code_cell("import random, time\nnumbers = random.Random(seed).sample(range(100), 3)"),
        new_markdown_cell("## Exercise 1"),
        new_code_cell("double = None"),
        new_code_cell(CHECK, metadata={"tags": ["check"]}),
        new_markdown_cell("## Exercise 2"),
        new_code_cell("other = None"),
        new_code_cell(
            "if other is None:\n    print('Not yet.')\nelse:\n    assert other == 1, 'Other.'\n    print('Right.')",
            metadata={"tags": ["check"]},
        ),
    ]
    for k, cell in enumerate(cells):
        cell["id"] = f"cell-{k:02d}"
    return new_notebook(cells=cells)


def handed_in(answers, edit=None):
    """The lesson with the sources of some cells replaced."""
    notebook = lesson()
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source)
    if edit:
        edit(notebook)
    return nbformat.writes(notebook)


def with_helper(notebook):
    notebook.cells.insert(3, new_code_cell("def twice(x):\n    return 2 * x"))
    notebook.cells[4].source = "double = [twice(x) for x in numbers]"


def as_colab_saves(notebook):
    for cell in notebook.cells:
        cell.metadata["id"] = cell.pop("id")
    notebook.nbformat_minor = 0


def plan(text):
    return grade.composed(lesson(), nbformat.reads(text, as_version=4), {"seed": 7, "epochs": 3})


def test_of_a_submission_only_the_answers_are_taken():
    changed = handed_in({"cell-01": "numbers = [0]", ANSWER: "mine", "cell-04": "print('Right.')"})
    sources = [source for _, _, source in plan(changed)]
    assert (
        "mine" in sources and CHECK in sources and "numbers = [0]" not in sources and "print('Right.')" not in sources
    )
    assert "seed = 7" in sources  # and nothing of epochs, which this lesson has not


def test_cells_added_to_an_answer_belong_to_it():
    added = plan(handed_in({}, with_helper))
    answer = [source for whose, exercise, source in added if (whose, exercise) == ("answer", 0)]
    assert answer == ["def twice(x):\n    return 2 * x", "double = [twice(x) for x in numbers]"]


def test_ids_are_found_where_colab_puts_them():
    assert ("answer", 0, RIGHT) in plan(handed_in({ANSWER: RIGHT}, as_colab_saves))


def test_a_check_may_say_more_than_that_it_is_right():
    check = new_code_cell("", outputs=[new_output("stream", text="Right: {2: 0.4}\nThe model reaches 0.3.\n")])
    assert grade.judged(check, "") == ("right", "")


def test_a_spreadsheet_is_handed_no_formula():
    row = grade.Grade("=HYPERLINK(1)", "x", ["right"], ["+1"]).row()
    assert row[0] == "'=HYPERLINK(1)" and row[-1] == "'+1" and len(row) == len(grade.HEADS)


def test_a_table_holds_nothing_but_signs_that_can_be_printed():
    row = grade.Grade("\udcff\0.ipynb", "x", ["wrong"], ["\n=1", "\ud800 at\x1b[2J end"]).row()
    assert row[0] == "  .ipynb" and row[-1] == "' =1 |   at [2J end"
    "".join(row).encode()


def test_a_report_is_read_as_it_was_written():
    lines = [[0, "right", ""], "It died.", [1, "wrong", "3 \N{MINUS SIGN} 1"]]
    told = "".join(json.dumps(line) + "\n" for line in lines)
    assert grade.parsed(told.encode(), 2) == ([("right", ""), ("wrong", "3 \N{MINUS SIGN} 1")], "It died.")
    assert grade.parsed(told.encode()[:-1], 2) == ([("right", "")], "It died.")  # the last line was cut off


@pytest.mark.parametrize(
    "line",
    [
        b"[oops]", b"", b"7", b"{}", b"[]", b"\xff", b"[" * 50_000, b"1" * 10_000, b'[0, "right"]',
        b'[0, "right", 1]', b'[99, "right", ""]', b'[-1, "right", ""]', b'["0", "right", ""]', b'[0, "splendid", ""]',
        b'[0, ["right"], ""]', b'[1, "right", ""]', b'[0, "right", ""]\n[0, "wrong", ""]', b'"' + b"a" * 200_000 + b'"',
    ],
)  # fmt: skip
def test_no_other_line_is_taken_for_a_verdict(line):
    """Each exercise is reported once, in order: a verdict that a submission adds collides with the grader's own."""
    with pytest.raises(grade.Forged):
        grade.parsed(line + b"\n", 2)


WRITES = """import glob, os
for end in glob.glob(f"/proc/{os.getppid()}/fd/*"):
    try:
        os.write(os.open(end, os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND), b"[oops]\\n")
    except OSError:
        pass"""
KINDS = {
    "right": (handed_in({ANSWER: RIGHT, SECOND: "other = 1"}), ["right", "right"], ""),
    "by heart": (handed_in({ANSWER: "double = [98, 194, 106]"}), ["wrong", "not yet"], "is not twice"),
    "broken": (handed_in({ANSWER: "double = [2 *", SECOND: "other = 1"}), ["broken", "right"], "SyntaxError"),
    "cut short": (handed_in({})[:200], ["broken", "broken"], "no notebook that can be read"),
    "endless": (handed_in({ANSWER: "while True:\n    time.sleep(0.1)"}), ["too long", "not yet"], "interrupted"),
    "greedy": (handed_in({ANSWER: "double = bytearray(10**11)"}), ["broken", "not yet"], "MemoryError"),
    "leaves": (handed_in({ANSWER: RIGHT, SECOND: "import os\nos._exit(1)"}), ["right", "broken"], "own process"),
    "rubbish": (handed_in({ANSWER: WRITES, SECOND: "other = 1"}), ["broken", "broken"], grade.FORGED),
    "a loop that nothing ends": (
        handed_in({ANSWER: "while True:\n    try:\n        time.sleep(9)\n    except BaseException:\n        pass"}),
        ["too long", "too long"],
        "ended after",
    ),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The table of one class that hands in one of each kind, as {kind: row}."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "lessons").mkdir()
    nbformat.write(lesson(), folder / "lessons" / "00_small.ipynb")
    for kind, (text, _, _) in KINDS.items():
        (folder / "handed in" / kind).mkdir(parents=True)
        (folder / "handed in" / kind / "00_small.ipynb").write_text(text)
    (folder / "handed in" / "essay.ipynb").write_text(handed_in({}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grade, "LESSONS", folder / "lessons")
        limits = ["--answer", "3", "--whole", "25", "--workers", "3"]  # some only wait
        grade.main([str(folder / "handed in"), "--out", str(folder / "grades.csv"), *limits])
    with (folder / "grades.csv").open(newline="") as file:
        return {Path(row["submission"]).parts[0]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gets_what_it_earns(graded, kind):
    _, verdicts, told = KINDS[kind]
    row = graded[kind]
    assert [row["exercise 1"], row["exercise 2"]] == verdicts, row
    assert told in row["told"] and (told or not row["told"])
    assert row["right"] == f"{verdicts.count('right')}/2"


def test_the_table_is_in_the_order_of_the_files(graded):
    assert list(graded) == sorted([*KINDS, "essay.ipynb"])


def test_a_file_that_names_no_lesson_is_listed(graded):
    assert "named after a lesson" in graded["essay.ipynb"]["told"]


def of_a_class(folder, monkeypatch, graded):
    """The rows of grades.csv for submissions a, b and c, where `graded` takes the place of the limited process."""
    nbformat.write(lesson(), folder / "00_small.ipynb")
    for name in "abc":
        (folder / "handed in" / name).mkdir(parents=True)
        (folder / "handed in" / name / "00_small.ipynb").write_text(handed_in({}))
    monkeypatch.setattr(grade, "LESSONS", folder)
    monkeypatch.setattr(grade, "_run_apart", lambda lesson, path, *_: graded(path.parent.name))
    try:
        grade.main([str(folder / "handed in"), "--out", str(folder / "grades.csv")])
    finally:
        with (folder / "grades.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    return rows


def test_one_that_cannot_be_graded_costs_nobody_else_a_grade(tmp_path, monkeypatch):
    def graded(name):
        if name == "b":
            raise OSError("No space left.")
        return b'[0, "right", ""]\n', "", False

    rows = of_a_class(tmp_path, monkeypatch, graded)
    assert [row["exercise 1"] for row in rows] == ["right", "broken", "right"]
    assert [row["exercise 2"] for row in rows] == ["broken"] * 3
    assert rows[1]["told"] == "It could not be graded (OSError: No space left.)."


def test_a_grading_that_is_interrupted_keeps_the_rows_so_far(tmp_path, monkeypatch):
    def graded(name):
        if name == "c":
            raise KeyboardInterrupt
        return b'[0, "right", ""]\n[1, "not yet", ""]\n', "", False

    with pytest.raises(KeyboardInterrupt):
        of_a_class(tmp_path, monkeypatch, graded)
    with (tmp_path / "grades.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["submission"], row["right"]) for row in rows] == [(f"{name}/00_small.ipynb", "1/2") for name in "ab"]


def test_nothing_of_a_submission_goes_on_running(tmp_path):
    path = tmp_path / "00_small.ipynb"
    nbformat.write(lesson(), path)
    sign = tmp_path / "alive"
    daemon = (
        f"import pathlib, time\nwhile True: pathlib.Path({str(sign)!r}).write_text(str(time.time())); time.sleep(0.1)"
    )
    start = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {daemon!r}], start_new_session=True)"
    waits = "\nimport os\nwhile not os.path.exists(" + repr(str(sign)) + "): time.sleep(0.1)"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / path.name).write_text(handed_in({ANSWER: start + waits}))
    told, _, _ = grade._run_apart(path, tmp_path / "mine" / path.name, 1, grade.Limits(answer=10, whole=60))
    assert [verdict for verdict, _ in grade.parsed(told, 2)[0]] == ["not yet", "not yet"]
    sign.unlink()
    time.sleep(0.5)
    assert not sign.exists()


def test_every_lesson_s_quick_parameters_are_its_own():
    for name, values in grade.QUICK.items():
        notebook = nbformat.read(grade.LESSONS / f"{name}.ipynb", as_version=4)
        (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        assert all(f"\n{key} = " in f"\n{cell.source}" for key in values), name


@pytest.mark.parametrize("path", sorted(grade.LESSONS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_lesson_can_be_graded(path):
    """Three checks or more, each below an answer that is still None, and no exercise without a check."""
    notebook = nbformat.read(path, as_version=4)
    places = grade.checks(notebook)
    assert 3 <= len(places) <= 4  # the table has four columns
    assert all(re.search(" = (None|dict.fromkeys)", notebook.cells[place - 1].source) for place in places)
    assert places == [k for k, cell in enumerate(notebook.cells) if '"Not yet' in cell.source]
