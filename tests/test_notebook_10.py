"""Notebook 10: it measures clips right, its text is true to its numbers, its exercises tell right from wrong."""

import re
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
from lessons import answers, attempt, cells, stored_table, stored_text
from PIL import Image
from test_notebooks import PARAMETERS, hidden_errors

import animlab
from animlab.datasets.media import to_frame

FOLDER = Path(__file__).parent.parent / "notebooks"
NAME = "10_your_own_clip.ipynb"
NOTEBOOK = nbformat.read(FOLDER / NAME, as_version=4)
SOLUTIONS = nbformat.read(FOLDER / "solutions" / NAME, as_version=4)
CHECKS, ANSWERS = cells(NOTEBOOK, "check"), answers(SOLUTIONS)


def definitions():
    space = {"animlab": animlab, "seed": 0}
    for source in cells(NOTEBOOK, "definitions"):
        exec(compile(source, NAME, "exec"), space)
    return space


@pytest.fixture(scope="module")
def nb():
    """The names that the notebook defines, as attributes."""
    return type("Defined", (), {name: staticmethod(value) for name, value in definitions().items()})


# The checks of a clip.


def test_motion_is_the_deviation_of_each_pixel(nb, rng):
    span = np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)
    found = nb.motion(span)
    for row, column in ((0, 0), (5, 63), (31, 8)):
        by_hand = [np.std([int(frame[row, column, k]) for frame in span]) for k in range(3)]
        assert found[row, column] == pytest.approx(np.mean(by_hand), rel=1e-4)


def test_components_are_the_dimensions_of_a_flat_cloud(nb):
    rng = np.random.default_rng(0)
    patterns = np.kron(rng.normal(size=(3, 16, 16)), np.ones((4, 4)))[..., None]
    weights = rng.normal(size=(50, 3))
    span = 128 + 10 * np.tensordot(weights, patterns, 1)
    assert nb.components(span, 0.999) == 3
    assert nb.components(span[..., :1] * 0 + patterns[:1] * weights[:, :1, None, None], 0.9) == 1


def test_the_strip_draws_the_same_labels_each_time(nb, monkeypatch):
    space = animlab.LabelSpace(n_z=0, n_d=2, n_c=2)
    model = animlab.Model(animlab.Generator(space, width=0.1))
    shown = []
    monkeypatch.setitem(nb.Strip.on_sample.__globals__, "display", lambda picture, display_id: shown.append(picture))
    strip = nb.Strip(space.sample(3))
    strip.on_sample(animlab.Record(5, 10, {}, 0.0, 0.0, model))
    assert strip.names == ["5"] and (strip.rows[0] == model.frames(strip.labels)).all() and len(shown) == 1


# What the text says of the stored results.


def test_the_folder_holds_two_films_and_three_files_that_are_none():
    first, *skipped = stored_text(NOTEBOOK, 'load_dataset("folder"').splitlines()
    assert "2 clips, 240 frames" in first
    assert [re.search("name='(.*?)'", line)[1] for line in skipped] == ["IMG_0007.HEIC", "shopping.txt", "again.mp4"]


def test_a_camera_that_shakes_moves_nearly_everything():
    share = {name: int(value.strip("%")) for name, (value,) in stored_table(NOTEBOOK, "film").items()}
    assert share["as filmed"] < 60 < share["held by hand"]


def test_both_labels_are_read_far_better_than_by_guessing():
    losses = stored_table(NOTEBOOK, "loss of a label")
    (d, guessed_d), (c, guessed_c) = ([float(value) for value in losses[name]] for name in ("lambda_d", "lambda_c"))
    assert (guessed_d, guessed_c) == (pytest.approx(np.log(2), abs=5e-4), pytest.approx(1 / 12, abs=5e-4))
    assert d < 0.3 * guessed_d and c < 0.5 * guessed_c


def test_the_page_is_small_enough_to_send():
    (size,) = re.findall(r": ([\d.]+) MB", stored_text(NOTEBOOK, "export_player"))
    assert 0 < float(size) < 6


# A reader's own folder.


def test_it_runs_on_one_film_of_a_reader_s(tmp_path):
    clips = animlab.load_dataset("actions-synthetic", progress=False)
    animlab.save_animation(clips.frames[:32], tmp_path / "me.gif")
    given = PARAMETERS["10_your_own_clip"] | {"folder": str(tmp_path / "me.gif")}
    executed = papermill.execute_notebook(
        FOLDER / NAME, None, given, cwd=tmp_path, kernel_name="python3", progress_bar=False, execution_timeout=600
    )
    assert list(hidden_errors(executed)) == []


# Exercises: the check cell of each, on answers that are wrong in one way each.

TOUR = ANSWERS[1]
SHAKE = ANSWERS[2]
WRONG = {
    1: {
        "sizes": (ANSWERS[0].replace("left + side, upper + side", "side, side"), "Right and"),
        "corner": ("square = lambda w, h: (0, 0, min(w, h), min(w, h))", "columns 40 to 280"),
        "sideways only": ("square = lambda w, h: ((w - h) // 2, 0, (w + h) // 2, h)", "Upright"),
        "fractions": (ANSWERS[0].replace("//", "/"), "Whole pixels"),
    },
    2: {
        "closed twice": (TOUR.replace("/ n", "/ (n - 1)"), "shown twice"),
        "too far": (TOUR.replace("0.5 + 0.5 * angle.cos()", "angle.cos()"), "stay within"),
        "third c": (TOUR.replace("c[:, 0], c[:, 1] =", "c[:, 2] = 1\n    c[:, 0], c[:, 1] ="), "Only c0 and c1"),
        "there and back": (TOUR.replace("0.5 * angle.sin()", "0 * angle"), "limp"),
        "other z": (TOUR.replace("seed=seed", "seed=0"), "z and d"),
        "too few": (TOUR.replace("    angle", "    n -= 1\n    angle"), "12 labels"),
        "other start": (TOUR.replace("* 2 *", "* -2 *"), "Another circle"),
    },
    3: {
        "sign": (SHAKE.replace("-move[0], -move[1]", "move[0], move[1]"), "The sign"),
        "order": (SHAKE.replace("moves = [(down, right)", "moves = [(right, down)").replace(
            "(-move[0], -move[1])", "(-move[1], -move[0])"), "Down comes first"),
        "mean": (SHAKE.replace("np.median", "np.mean"), "camera's move"),
        "one way": (SHAKE.replace("for right in range(-4, 5)", "for right in (0,)"), "camera's move"),
    },
}  # fmt: skip


def test_every_exercise_is_here():
    assert len(CHECKS) == len(ANSWERS) == len(WRONG) == 3
    assert cells(SOLUTIONS, "check") == CHECKS
    prose = "\n".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")
    assert prose.count("<details><summary>Hint</summary>") == 3


@pytest.mark.parametrize("k", WRONG)
def test_an_exercise_waits_for_its_answer(k):
    assert attempt(definitions(), answers(NOTEBOOK)[k - 1], CHECKS[k - 1]).startswith("Not yet")


@pytest.mark.parametrize("k", WRONG)
def test_the_worked_answer_passes_the_very_same_check(k):
    assert attempt(definitions(), ANSWERS[k - 1], CHECKS[k - 1]).startswith("Right")


@pytest.mark.parametrize("k, how", [(k, how) for k, tries in WRONG.items() for how in tries])
def test_a_wrong_answer_is_told_what_is_wrong(k, how):
    answer, told = WRONG[k][how]
    assert answer not in ANSWERS
    with pytest.raises(AssertionError, match=told):
        attempt(definitions(), answer, CHECKS[k - 1])


def test_a_square_is_what_the_loader_takes():
    space = {}
    exec(ANSWERS[0], space)
    rng = np.random.default_rng(0)
    for width, height in ((320, 240), (101, 64), (90, 161)):
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        assert (to_frame(image) == to_frame(image, space["square"](width, height))).all()
