"""Notebook 06b: what it builds by hand is the library's, its text says what it has stored, its checks tell right from
wrong."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from lessons import answers, cells, stored_table

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
    names = {"np": np, "metrics": metrics, "plane": np.random.default_rng(0).uniform(-1, 1, (400, 2))}
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
    found = of("what changes")
    later, another = found["*real: eight frames later*"], found["*real: another clip*"]
    movers = [found[name] for name in ("c0", "c1", "c3", "c4")]
    assert all(0.26 <= strength <= 0.40 and 0.50 <= focus <= 0.57 < later[1] for strength, focus in movers)
    assert found["c2"] == pytest.approx(another, abs=0.02) and found["c2"][0] == max(row[0] for row in found.values())


def test_the_text_reads_the_sweeps_aright():
    found = of("clips")
    assert found["filmed, shuffled"][1] == pytest.approx(3**0.5, abs=0.12) and abs(found["filmed, shuffled"][2]) < 0.1
    drawn, filmed, softer = (found[name] for name in ("sweeps of the model", "filmed", "filmed, blurred"))
    assert drawn[1] < softer[1] < filmed[1] and drawn[2] > filmed[2]


def test_the_text_reads_the_codes_aright():
    found, second = of("codes"), of("codes", 1)
    assert found["rotated"][4] > 0.9 > 0.1 > found["rotated"][0] and max(found["random"]) < 0.02
    shapes, chance = second["shipped, published shapes"], second["the same, shuffled"]
    assert shapes[0] == chance[0] == 0.01 and shapes[4] > 0.25 > 0.05 > chance[4]


def test_half_of_mig_is_lost_where_the_text_says(by_hand):
    def turned(degrees):
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        return by_hand.plane @ np.array([[cos, -sin], [sin, cos]])

    for measure, degrees in ((metrics.mig, 8), (metrics.sap, 30), (lambda c, v: metrics.dci(c, v).disentanglement, 24)):
        whole, near = measure(by_hand.plane, by_hand.plane), measure(turned(degrees), by_hand.plane)
        assert near == pytest.approx(whole / 2, abs=0.05)
        assert measure(turned(45), by_hand.plane) < 0.15


def test_the_text_reads_the_groups_aright():
    found = of("sorted as")
    assert found["each frame its own"] == [0.41, 0.0] and found["forty at random"][0] == 0.15
    assert found["*d'* of the people, against their actions"] == [0.35, 0.27]


# The exercises: their check cells against the worked answers and against plausible wrong ones.


@pytest.mark.parametrize("exercise", range(3))
def test_an_unanswered_exercise_says_so(exercise, by_hand, capsys):
    namespace = vars(by_hand)
    exec(answers(NOTEBOOK)[exercise], namespace)
    exec(cells(NOTEBOOK, "check")[exercise], namespace)
    assert capsys.readouterr().out.startswith("Not yet: ")


@pytest.mark.parametrize("exercise", range(3))
def test_the_worked_answer_is_right(exercise, by_hand, capsys):
    assert cells(NOTEBOOK, "check") == cells(SOLUTIONS, "check"), "the solutions use other check cells"
    namespace = vars(by_hand)
    exec(answers(SOLUTIONS)[exercise], namespace)
    exec(cells(NOTEBOOK, "check")[exercise], namespace)
    assert "Right" in capsys.readouterr().out


GROUPS = "def purity(groups, classes):\n    of = [np.bincount(classes[groups == g]) for g in np.unique(groups)]\n    "
CHANCE = "def by_chance(measure, codes, factors, seed):\n    rng = np.random.default_rng(seed)\n    "
WRONG = [
    (0, "purity = lambda g, t: (g == t).mean()", "names of the groups", "the share of equal names"),
    (0, GROUPS + "return np.mean([each.max() / each.sum() for each in of])", "5 of 8", "groups all count the same"),
    (0, "purity = lambda g, t: sum(np.bincount(g[t == k]).max() for k in np.unique(t)) / len(t)", "A single group",
     "the commonest group of each class"),
    (1, CHANCE + "return np.mean([measure(codes, rng.permuted(factors, axis=0)) for _ in range(20)])", "whole rows",
     "each column shuffled alone"),
    (1, CHANCE + "return measure(codes, rng.permutation(factors))", "20 measurements", "a single measurement"),
    (1, CHANCE + "return np.mean([measure(codes, factors[np.argsort(-factors[:, 0])]) for _ in range(20)])",
     "20 measurements", "the same order each time"),
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
    namespace = vars(by_hand)
    exec(answer, namespace)
    with pytest.raises(AssertionError, match=message):
        exec(cells(NOTEBOOK, "check")[exercise], namespace)
