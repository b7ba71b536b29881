"""Notebook 07: its checks tell right from wrong, and its table holds every run of the fight with what was measured."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from lessons import answers, cells
from PIL import Image

from animlab import metrics
from animlab.baselines.comparison import BENCHMARKS

ROOT = Path(__file__).parent.parent
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "07_comparisons.ipynb", as_version=4)
SOLUTIONS = nbformat.read(ROOT / "notebooks" / "solutions" / "07_comparisons.ipynb", as_version=4)
TABLE = json.loads((ROOT / "data" / "results" / "comparisons.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def names():
    """What a check cell finds."""

    def mean(data, who, key):
        return float(np.mean([row[key] for row in TABLE["runs"] if (row["data"], row["who"]) == (data, who)]))

    actions, _ = BENCHMARKS["actions"].load()
    found = {"np": np, "torch": torch, "metrics": metrics, "BENCHMARKS": BENCHMARKS, "table": TABLE, "mean": mean}
    return found | {"actions": actions, "train_frames": actions.frames}


def answered(names, exercise, answer):
    namespace = dict(names)
    exec(answer, namespace)
    exec(cells(NOTEBOOK, "check")[exercise], namespace)


def test_the_checks_are_those_of_the_worked_answers():
    assert cells(SOLUTIONS, "check") == cells(NOTEBOOK, "check")


@pytest.mark.parametrize("exercise", range(3))
def test_unanswered_exercises_say_so(names, exercise, capsys):
    answered(names, exercise, answers(NOTEBOOK)[exercise])
    assert capsys.readouterr().out.startswith("Not yet")


@pytest.mark.parametrize("exercise", range(3))
def test_the_worked_answer_is_right(names, exercise, capsys):
    answered(names, exercise, answers(SOLUTIONS)[exercise])
    assert "Right" in capsys.readouterr().out


SVD = "def clip_values(w):\n    u, s, v = torch.linalg.svd(w, full_matrices=False)\n    return (u * {}) @ v"
HOURS = "hours = {} * table['seconds'] / mean('moving-mnist', 'tgan', 'steps') / {}\n"
OURS = "seconds_of_ours = 1e5 * {} * table['seconds'] / mean('moving-mnist', 'stable-20-20', 'steps')"
WRONG = [
    (0, "cheat = train_frames[:9]", r"It is uint8 \(9", "nine frames"),
    (0, "cheat = train_frames[:10].copy(); cheat[0, 0, 0] += 1", "It moves", "a real clip"),
    (0, "cheat = np.full((10, 64, 64, 3), 128, np.uint8)", "Its psnr", "grey"),
    (0, "cheat = np.repeat(train_frames[:1], 10, axis=0) / 255", "It is float64", "numbers from 0 to 1"),
    (1, SVD.format("s.clamp(min=1)"), "Singular values", "the small ones cut"),
    (1, SVD.format("s / s.max()"), "Singular values", "all divided: spectral normalisation"),
    (1, "def clip_values(w): return w.clamp(-1, 1)", "Singular values", "numbers cut instead"),
    (1, "def clip_values(w):\n    return torch.eye(*w.shape) * min(1, torch.linalg.svdvals(w).max())",
     "directions|Singular", "stretching without turning"),
    (2, HOURS.format("1e5", "60") + OURS.format("8"), "another number", "minutes"),
    (2, HOURS.format("1e5", "3600") + OURS.format("1"), "64 here", "as many steps, not frames"),
    (2, HOURS.format("1e5 * 32", "3600") + OURS.format("8"), "another number", "clips for steps"),
]  # fmt: skip


@pytest.mark.parametrize("exercise, answer, message, how", WRONG, ids=[row[3] for row in WRONG])
def test_a_wrong_answer_is_turned_down(names, exercise, answer, message, how):
    with pytest.raises((AssertionError, RuntimeError), match=message):
        answered(names, exercise, answer)


def test_the_table_holds_everybody_with_all_seeds():
    found = [(row["data"], row["who"], row["seed"]) for row in TABLE["runs"]]
    everybody = [(data, name) for data, ground in BENCHMARKS.items() for name in [*ground.rivals, "real"]]
    assert sorted(found) == sorted((*who, seed) for who in everybody for seed in range(TABLE["seeds"]))
    for row in TABLE["runs"]:
        assert row["score"] == pytest.approx(metrics.animation_score(row["psnr"], row["ssim"], row["fd"]), rel=1e-3)
        if row["who"] != "real":
            assert row["steps"] > 0 and abs(row["seconds"] - TABLE["seconds"]) < 3
            assert [point["seconds"] for point in row["curve"]] == TABLE["marks"]


def test_the_longer_fight_begins_where_the_short_one_ended():
    first = {(row["data"], row["who"]): row for row in TABLE["runs"] if row["seed"] == 0}
    pairs = {(row["data"], row["who"]) for row in TABLE["long"]}
    assert len(pairs) == 4
    for pair in pairs:
        marks = [row for row in TABLE["long"] if (row["data"], row["who"]) == pair]
        assert [row["seconds"] for row in marks] == [TABLE["seconds"] * times for times in (1, 2, 4, 8)]
        assert all(marks[0][key] == first[pair][key] for key in ("steps", "psnr", "fd", "score", "motion"))
        for row in marks:
            assert row["score"] == pytest.approx(metrics.animation_score(row["psnr"], row["ssim"], row["fd"]), rel=1e-3)


@pytest.mark.parametrize("data", BENCHMARKS)
def test_the_pictures_hold_four_clips_of_everybody(data):
    longer = {f"{row['who']}_long" for row in TABLE["long"] if row["data"] == data}
    for name in [*BENCHMARKS[data].rivals, "real", *longer]:
        with Image.open(ROOT / "data" / "results" / "comparisons" / f"{data}_{name}.jpg") as picture:
            assert picture.size == (16 * 64, 4 * 64)
