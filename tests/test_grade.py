"""Grading: right, wrong, empty, broken, endless and greedy submissions of a small lesson, each told apart."""

import csv
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


KINDS = {
    "right": (handed_in({ANSWER: RIGHT, SECOND: "other = 1"}), ["right", "right"], ""),
    "by heart": (handed_in({ANSWER: "double = [98, 194, 106]"}), ["wrong", "not yet"], "is not twice"),
    "broken": (handed_in({ANSWER: "double = [2 *", SECOND: "other = 1"}), ["broken", "right"], "SyntaxError"),
    "cut short": (handed_in({})[:200], ["broken", "broken"], "no notebook that can be read"),
    "endless": (handed_in({ANSWER: "while True:\n    time.sleep(0.1)"}), ["too long", "not yet"], "interrupted"),
    "greedy": (handed_in({ANSWER: "double = bytearray(10**11)"}), ["broken", "not yet"], "MemoryError"),
    "leaves": (handed_in({ANSWER: RIGHT, SECOND: "import os\nos._exit(1)"}), ["right", "broken"], "own process"),
    "does not end": (
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
    reported, _, _ = grade._run_apart(path, tmp_path / "mine" / path.name, 1, grade.Limits(answer=10, whole=60))
    assert [line[:2] for line in reported] == [[0, "not yet"], [1, "not yet"]]
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
