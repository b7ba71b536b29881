"""The notebook on data sets: its text is true to its numbers, its checks tell right from wrong."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from lessons import answers, cells, stored_table, stored_text

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


# What the text says of the stored results.


def test_the_table_has_the_counts_of_the_text():
    rows = stored_table(NOTEBOOK, "set")
    assert rows["shapes"][:2] == ["8,000", "256,000"] and rows["actions"][:2] == ["72", "5,290"]
    assert rows["moving-mnist"][0] == "10,000" and rows["faces3d"][1] == "40,000" and rows["celeba"][1] == "10,000"
    assert max(rows.values(), key=lambda row: int(row[1].replace(",", ""))) == rows["shapes"]
    assert rows["shapes"][-1] == "12" and max(int(row[-1]) for row in rows.values()) < 100


def test_in_the_clip_that_is_shown_one_arm_waves_and_nothing_else_moves(clips):
    first = clips.clips[0]
    span = slice(first["start"], first["start"] + first["length"])
    swing = {name: np.ptp(clips.factors[name][span]) for name in ("left_arm", "right_arm", "bend")}
    assert [angle > 60 for angle in swing.values()].count(True) == 1 and swing["bend"] == 0


def test_after_a_split_by_frame_the_nearest_is_ten_times_closer():
    by_frame, by_clip = map(
        float, re.findall(r"([\d.]+)(?: grey levels away)? by", stored_text(NOTEBOOK, "nearest(test.frames"))
    )
    assert by_clip / by_frame == pytest.approx(10, abs=0.5)


def test_the_folder_that_is_drawn_has_two_clips_and_two_surprises():
    first, *skipped = stored_text(NOTEBOOK, 'load_dataset("folder"').splitlines()
    assert "2 clips, 28 frames" in first
    assert [re.search("name='(.*?)'", line)[1] for line in skipped] == ["notes.txt", "broken.png"]


# The exercises: their check cells against the worked answers and against wrong ones.


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
