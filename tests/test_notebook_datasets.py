"""The exercises of the notebook on data sets: their check cells against the worked answers and against wrong ones."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
from lessons import answers, cells

import animlab

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOK, SOLUTIONS = (
    nbformat.read(folder / "datasets.ipynb", as_version=4) for folder in (FOLDER, FOLDER / "solutions")
)


def exercises(notebook):
    """Pairs of an answer's cell and the check cell after it."""
    return list(zip(answers(notebook), cells(notebook, "check")))


@pytest.fixture(scope="module")
def clips():
    return animlab.load_dataset("actions-synthetic", progress=False)


@pytest.fixture
def names(clips):
    return {"animlab": animlab, "np": np, "clips": clips}


@pytest.mark.parametrize("k", range(3))
def test_an_unanswered_exercise_says_so(k, names, capsys):
    answer, check = exercises(NOTEBOOK)[k]
    exec(answer, names)
    exec(check, names)
    assert capsys.readouterr().out.startswith("Not yet: ")


@pytest.mark.parametrize("k", range(3))
def test_the_worked_answer_is_right(k, names, capsys):
    (answer, check), (_, own) = exercises(SOLUTIONS)[k], exercises(NOTEBOOK)[k]
    assert check == own, "the solutions use another check cell"
    exec(answer, names)
    exec(check, names)
    assert capsys.readouterr().out.startswith("Right")


CLASSES = ("wave one hand", "wave two hands", "jumping jack", "bend")
WRONG = [
    (0, f"counts = dict.fromkeys({CLASSES}, 512)", "count rows, not frames", "frames instead of clips"),
    (0, "counts = {'wave': 32, 'jumping jack': 16, 'bend': 16}", "Not every class", "both waves as one class"),
    (0, f"counts = dict(zip({CLASSES}, (17, 15, 16, 16)))", "off", "a clip in the wrong class"),
    (1, "highest = clips.factors['phase'].argmax()", "gets up to", "the end of a cycle"),
    (1, "highest = clips.factors['right_arm'].argmin()", "gets up to", "the lowest"),
    (1, "highest = int(clips.factors['right_arm'].max())", "gets up to", "the angle instead of the frame"),
    (1, "highest = len(clips)", "no frame", "beyond the last frame"),
    (2, "leaks = 4", "Not 4", "takes that lie in both parts by halves"),
    (2, "leaks = 0", "Not 0", "as if a clip were its own take"),
    (2, "leaks = 64", "Not 64", "counted in the training part"),
]


@pytest.mark.parametrize("k, answer, message, how", WRONG, ids=[row[3] for row in WRONG])
def test_a_wrong_answer_is_turned_down(k, answer, message, how, names):
    given, check = exercises(NOTEBOOK)[k]
    exec(given, names)
    exec(answer, names)
    with pytest.raises(AssertionError, match=message):
        exec(check, names)
