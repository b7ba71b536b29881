"""Notebook 06b: what it builds by hand is the library's, its text says what it has stored, its checks tell right from
wrong."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from lessons import answers, attempt, cells, stored_table

import animlab
from animlab import metrics
from animlab.frames import to_tensor
from animlab.labels import Labels

ROOT = Path(__file__).parent.parent
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "06b_label_measures.ipynb", as_version=4)
SOLUTIONS = nbformat.read(ROOT / "notebooks" / "solutions" / "06b_label_measures.ipynb", as_version=4)


@pytest.fixture
def by_hand():
    """What the notebook's own definition cells define."""
    names = {"np": np, "metrics": metrics}
    for source in cells(NOTEBOOK, "definition"):
        exec(source, names)
    return SimpleNamespace(**names)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)


def test_strength_and_focus_are_the_librarys(by_hand, noise):
    for before, after in ((noise, noise[::-1]), (noise, noise // 2), (noise, noise)):
        found = metrics.influence(to_tensor(before), to_tensor(after))
        assert by_hand.strength_and_focus(before, after) == pytest.approx((found.strength, found.focus), abs=1e-5)


def test_twins_differ_in_one_label():
    (source,) = (cell.source for cell in NOTEBOOK.cells if cell.source.startswith("def twins"))
    import torch

    space = animlab.LabelSpace(n_z=3, n_d=4, n_c=2)
    names = {"torch": torch, "Labels": Labels, "space": space}
    exec(source, names)
    for name in ("c0", "c1", "d", "z"):
        one, other = names["twins"](name, 50, 1)
        differ = {"z": one.z != other.z, "d": one.d != other.d, "c0": one.c[:, :1] != other.c[:, :1]}
        differ["c1"] = one.c[:, 1:] != other.c[:, 1:]
        for label, places in differ.items():
            assert places.any(dim=1).all() if label == name else not places.any()
        assert (other.d.sum(dim=1) == 1).all()


def test_smoothness_is_the_librarys(by_hand, noise):
    found = metrics.smoothness(noise)
    assert by_hand.smoothness(noise) == pytest.approx((found.jump, found.bend))
    assert by_hand.one_way(noise) == pytest.approx(metrics.monotonicity(noise))


def test_what_codes_tell_is_the_librarys(by_hand):
    rng = np.random.default_rng(4)
    factors = rng.uniform(size=(500, 3))
    codes = np.stack([factors[:, 0] ** 2, factors[:, 1] + 0.1 * factors[:, 2], rng.uniform(size=500)], axis=1)
    told = by_hand.told(codes, factors)
    assert by_hand.gap(told) == pytest.approx(metrics.mig(codes, factors), abs=1e-3)
    assert told[0, 0] == pytest.approx(1) and told[2].max() < 0.3
    lines = np.corrcoef(codes.T, factors.T)[:3, 3:] ** 2
    assert by_hand.gap(lines) == pytest.approx(metrics.sap(codes, factors))


def test_nmi_and_ari_are_the_librarys(by_hand):
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 4, 120)
    for groups in (rng.integers(0, 6, 120), truth // 2, 3 - truth, np.arange(120)):
        found = metrics.agreement(groups, truth)
        assert (by_hand.nmi(groups, truth), by_hand.ari(groups, truth)) == pytest.approx((found.nmi, found.ari))


# What the text says of what the lesson itself has stored.


def of(head, which=0):
    return {name: [float(x) for x in row] for name, row in stored_table(NOTEBOOK, head, which).items()}


def test_the_text_reads_the_strengths_aright():
    made = of("made up")
    assert made["a lamp goes on"] == [0, 0] and made["noise comes"][0] < 0.05 and made["a square moves"][1] == 1
    assert made["a square comes"][1] == 0.53
    found = of("what changes")
    later, another = found["*real: eight frames later*"], found["*real: another clip*"]
    movers = [found[name] for name in ("c0", "c1", "c3", "c4")]
    assert 0.26 <= found["z"][0] <= 0.40
    assert all(0.26 <= strength <= 0.40 and 0.50 <= focus <= 0.57 < later[1] for strength, focus in movers)
    assert found["c2"] == pytest.approx(another, abs=0.02) and found["c2"][0] == max(row[0] for row in found.values())


def test_the_text_reads_the_sweeps_aright():
    found = of("clips")
    assert found["filmed, shuffled"][1] == pytest.approx(3**0.5, abs=0.12) and abs(found["filmed, shuffled"][2]) < 0.1
    drawn, filmed, softer = (found[name] for name in ("sweeps of the model", "filmed", "filmed, blurred"))
    assert drawn[1] < softer[1] < filmed[1] and drawn[2] > filmed[2]


def test_the_text_reads_the_codes_aright():
    found, second = of("codes"), of("read from synthetic shapes")
    assert found["rotated"][4] > 0.9 > 0.1 > found["rotated"][0] and max(found["random"]) < 0.02
    shapes, chance = second["shipped, published shapes"], second["the same, shuffled"]
    assert shapes[0] == chance[0] == 0.01 and shapes[4] > 0.25 > 0.05 > chance[4]


def test_half_of_mig_is_lost_where_the_text_says():
    """Read off the lesson's curves, which have a point every 7.5 degrees."""
    plane, angles = np.random.default_rng(0).uniform(-1, 1, (400, 2)), np.arange(0, 46, 7.5)
    turned = [plane @ np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in np.radians(angles)]
    for measure, degrees in ((metrics.mig, 9), (metrics.sap, 30), (lambda c, v: metrics.dci(c, v).disentanglement, 24)):
        curve = [measure(codes, plane) for codes in turned]
        half = np.interp(-curve[0] / 2, -np.array(curve), angles)
        assert half == pytest.approx(degrees, abs=0.8) and curve[-1] <= 0.1


def test_position_is_spread_over_the_codes_and_colour_in_none():
    *rows, luck, together = (np.array(row, float) for row in list(stored_table(NOTEBOOK, "", 1).values()))
    assert len(rows) == 5 and np.all((np.array(rows)[:, :2] >= 0.14) & (np.array(rows)[:, :2] <= 0.24))
    assert (np.array(rows)[:, 2:] < 0.13).all() and (luck == 0.09).all()
    assert together[:3].tolist() == [0.69, 0.80, 0.23] and together[3:].max() < 0.05


def test_the_text_reads_the_groups_aright():
    found, real = of("grouped as"), of("*d'* against")
    assert found["each frame alone"] == [0.41, 0.0] and found["forty at random"][0] == 0.15
    assert real["the actions"] == [0.35, 0.27] and real["the recordings"][0] == 0.36
    assert real["actions, swapped"][0] == 0.06


# The exercises: their check cells against the worked answers and against plausible wrong ones.


@pytest.mark.parametrize("exercise", range(3))
def test_an_unanswered_exercise_says_so(exercise, by_hand):
    assert attempt(vars(by_hand), answers(NOTEBOOK)[exercise], cells(NOTEBOOK, "check")[exercise]).startswith(
        "Not yet: "
    )


@pytest.mark.parametrize("exercise", range(3))
def test_the_worked_answer_is_right(exercise, by_hand):
    assert cells(NOTEBOOK, "check") == cells(SOLUTIONS, "check"), "the solutions use other check cells"
    assert "Right" in attempt(vars(by_hand), answers(SOLUTIONS)[exercise], cells(NOTEBOOK, "check")[exercise])


FADE = "fade = (20 * np.arange(10, dtype=np.uint8))[:, None, None, None] + np.zeros((10, 64, 64, 3), np.uint8)\n"
CHANCE = "def by_chance(measure, codes, factors, seed):\n    rng = np.random.default_rng(seed)\n    "
TWENTY = "return np.mean([measure({codes}, {factors}) for _ in range(20)])"
WRONG = [
    (0, "perfect = np.full((10, 64, 64, 3), 9, np.uint8)", "All ten frames are the same", "nothing changes at all"),
    (0, FADE + "perfect = fade.astype(float)", "It is float64", "other numbers"),
    (0, FADE + "perfect = (fade.astype(int) ** 2 // 180).astype(np.uint8)", "jump", "steps that grow"),
    (0, FADE + "perfect = fade[[0, 1, 2, 3, 4, 3, 2, 1, 0, 1]]", "bend", "there and back"),
    (0, FADE + "perfect = fade.copy()\nperfect[:, :32] = 0", "Something moves", "half of the picture fades"),
    (1, CHANCE + TWENTY.format(codes="codes", factors="rng.permuted(factors, axis=0)"), "whole rows", "columns alone"),
    (1, CHANCE + TWENTY.format(codes="rng.permutation(codes)", factors="factors"), "Leave the codes", "codes shuffled"),
    (1, CHANCE + TWENTY.format(codes="codes", factors="rng.choice(factors, len(factors))"), "Each row", "rows drawn"),
    (1, CHANCE + TWENTY.format(codes="codes", factors="np.sort(factors, axis=0)"), "20 measurements", "the same order"),
    (1, CHANCE + TWENTY.format(codes="codes", factors="np.random.default_rng().permutation(factors)"), "same seed",
     "no seed"),
    (1, CHANCE + "return measure(codes, rng.permutation(factors))", "20 measurements", "a single measurement"),
    (1, CHANCE + "found = []\n    for _ in range(20):\n        rng.shuffle(factors)\n"
     "        found.append(measure(codes, factors))\n    return np.mean(found)", "shuffle a copy", "the data spoilt"),
    (1, CHANCE + "return max(measure(codes, rng.permutation(factors)) for _ in range(20))", "mean of all 20",
     "the largest of 20"),
    (2, "aligned = lambda codes, known, told: codes[:, :3]", "R²", "the codes as they are"),
    (2, "aligned = lambda codes, known, told: codes @ np.linalg.lstsq(codes[known], told, rcond=None)[0]", "R²",
     "no constant"),
    (2, "aligned = lambda codes, known, told: codes[known] @ np.linalg.lstsq(codes[known], told, rcond=None)[0]",
     "each frame", "only the frames that were told"),
    (2, "aligned = lambda codes, known, told: codes @ np.linalg.lstsq(told, codes[known], rcond=None)[0].T", "R²",
     "the mixture in place of its inverse"),
]  # fmt: skip


@pytest.mark.parametrize("exercise, answer, message, how", WRONG, ids=[row[3] for row in WRONG])
def test_a_wrong_answer_is_turned_down(exercise, answer, message, how, by_hand):
    with pytest.raises(AssertionError, match=message):
        attempt(vars(by_hand), answer, cells(NOTEBOOK, "check")[exercise])
