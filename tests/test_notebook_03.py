"""Notebook 03: what it builds by hand is the library's, its checks tell right from wrong, its table is whole."""

import json
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from lessons import answers, cells, load_script, stored_table
from PIL import Image
from scipy.stats import spearmanr

import animlab
from animlab import losses
from animlab.frames import to_tensor
from animlab.metrics.reading import following
from animlab.presets import PRESETS, Preset, find_preset
from animlab.step import train_step

ROOT = Path(__file__).parent.parent
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "03_continuous_labels.ipynb", as_version=4)
SOLUTIONS = nbformat.read(ROOT / "notebooks" / "solutions" / "03_continuous_labels.ipynb", as_version=4)
CLIPS = np.array(
    [(12 * k, 12, "wave two hands" if k < 6 else "bend") for k in range(8)],
    dtype=[("start", int), ("length", int), ("class", "U20")],
)


@pytest.fixture
def by_hand():
    """What the notebook's own definition cells define."""
    names = {"torch": torch, "np": np, "animlab": animlab}
    for source in cells(NOTEBOOK, "definition"):
        exec(source, names)
    return SimpleNamespace(**names)


@pytest.fixture
def model():
    torch.manual_seed(0)
    space = animlab.LabelSpace(n_z=3, n_d=2, n_c=3)
    return animlab.Model(animlab.Generator(space, width=0.1, centre_c=True))


def test_the_label_losses_are_the_librarys(by_hand, rng):
    labels = animlab.LabelSpace(2, 4, 3).sample(32, rng)
    d_logits = torch.randn(32, 4, generator=rng, requires_grad=True)
    c_hat = torch.randn(32, 3, generator=rng, requires_grad=True)
    mine = by_hand.label_loss(d_logits, c_hat, labels)
    theirs = losses.discrete_loss(d_logits, labels.d) + losses.continuous_loss(c_hat, labels.c)
    torch.testing.assert_close(mine, theirs)
    for a, b in zip(torch.autograd.grad(mine, (d_logits, c_hat)), torch.autograd.grad(theirs, (d_logits, c_hat))):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("space", [animlab.LabelSpace(8, 5, 5), animlab.LabelSpace(0, 2, 1)], ids=str)
def test_the_two_stages_are_a_step_of_the_library(by_hand, space, rng):
    """Losses, weights, batch norms and Adam's moments after three steps of the preset "paper"."""
    preset = PRESETS["paper"]
    torch.manual_seed(1)
    mine = animlab.Generator(space, width=0.1), animlab.Discriminator(space, width=0.1)
    theirs = deepcopy(mine)
    adams = [
        [torch.optim.Adam(net.parameters(), lr, preset.betas) for net, lr in zip(nets, (preset.lr_g, preset.lr_d))]
        for nets in (mine, theirs)
    ]
    start = deepcopy(mine[1].state_dict())
    for _ in range(3):
        real = torch.rand(16, 3, 64, 64, generator=rng) * 2 - 1
        labels = space.sample(16, rng)
        fake, d_loss = by_hand.stage_1(*mine, adams[0][1], real, labels)
        g_loss = by_hand.stage_2(mine[1], adams[0][0], fake, labels)
        found = train_step(*theirs, *adams[1], real, labels, preset, nullcontext)
        torch.testing.assert_close(d_loss, found["d_loss"], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(g_loss, found["g_loss"], rtol=1e-5, atol=1e-6)
    for net, other in zip(mine, theirs):
        torch.testing.assert_close(net.state_dict(), other.state_dict(), rtol=1e-5, atol=1e-6)
        assert all(parameter.requires_grad for parameter in net.parameters())
    assert any(not torch.equal(start[name], value) for name, value in mine[1].state_dict().items())
    for adam, other in zip(*adams):
        for state, expected in zip(adam.state_dict()["state"].values(), other.state_dict()["state"].values()):
            torch.testing.assert_close(state["exp_avg"], expected["exp_avg"], rtol=1e-4, atol=1e-7)


def test_the_rank_correlation_is_spearmans_and_the_librarys(by_hand):
    rng = np.random.default_rng(0)
    read, factor = rng.normal(size=(96, 3)), rng.normal(size=96).round(1)
    found = by_hand.by_clip(read, factor, CLIPS)
    np.testing.assert_allclose(found, following(read, factor, CLIPS), atol=1e-12)
    assert found[2, 1] == pytest.approx(spearmanr(read[24:36, 1], factor[24:36]).statistic)


def test_the_chosen_reading_is_chosen_on_other_clips(by_hand):
    """A reading that follows with one sign keeps its ρ; one that was best in each clip with changing sign does not."""
    classes = np.array(["a"] * 6 + ["b"] * 4)
    steady = np.array([0.5, 0.6, 0.7, 0.5, 0.6, 0.7, -0.4, -0.5, -0.6, -0.5])
    fickle = np.array([0.9, 0.9, -0.9, -0.9, 0.9, -0.9, 0.9, -0.9, -0.9, 0.9])
    np.testing.assert_allclose(by_hand.chosen(np.stack([fickle, steady], axis=1), classes), abs(steady))
    assert by_hand.chosen(np.stack([steady[:2], -steady[:2]], axis=1), classes[:2]).tolist() == [0.5, 0.6]
    np.testing.assert_allclose(by_hand.chosen(np.array([[0.8], [-0.8]]), classes[:2]), [-0.8, -0.8])


def test_the_influence_map_holds_the_strength_of_the_metric(by_hand, model):
    """For one label, the mean of the most-changed tenth of the map is what metrics.influence calls strength."""
    labels = model.space.sample(1, torch.Generator().manual_seed(0))
    for j in range(model.space.n_c):
        found = by_hand.influence_map(model, j, count=1)
        ends = []
        for value in (0.0, 1.0):
            labels.c[:, j] = value
            ends.append(model.generator(labels).detach())
        labels = model.space.sample(1, torch.Generator().manual_seed(0))
        assert found.shape == (16, 16)
        expected = animlab.metrics.influence(*ends)
        assert np.sort(found.ravel())[-26:].mean() == pytest.approx(expected.strength, rel=1e-4)
        assert np.sort(found.ravel())[-26:].sum() / found.sum() == pytest.approx(expected.focus, rel=1e-4)


def test_the_step_sizes_are_those_of_the_pictures(by_hand, model):
    values = [-1.0, 0.0, 2.0]
    labels = model.space.sample(4, torch.Generator().manual_seed(1))
    expected = np.zeros(2)
    for j in range(3):
        for k in range(2):
            ends = []
            for value in values[k : k + 2]:
                c = labels.c.clone()
                c[:, j] = value
                ends.append(model.generator(animlab.Labels(labels.z, labels.d, c)).detach().numpy())
            expected[k] += abs(ends[1] - ends[0]).mean() * 127.5 / 3
    np.testing.assert_allclose(by_hand.step_sizes(model, values, count=4), expected, rtol=1e-5)


# The exercises: their check cells against the worked answers and against plausible wrong ones.


def readings():
    """Six waving clips and two bends: c'0 follows the arm well but turns its sign from clip to clip, c'1 falls with it
    reliably, c'2 rises with it less reliably; c'3 follows it only in the bends.
    """
    rng = np.random.default_rng(3)
    arm = rng.uniform(0, 90, 96)
    noise = rng.normal(size=(96, 4))
    flip = np.repeat([1, -1] * 4, 12)
    bend = np.arange(96) >= 72
    read = np.stack([flip * arm, -arm, arm + 50 * noise[:, 2], np.where(bend, arm, 90 * noise[:, 3])], axis=1)
    read[:, 1] += 15 * noise[:, 1]
    return SimpleNamespace(clips=CLIPS, factors={"left_arm": arm}), read


def names(by_hand):
    known, read_c = readings()
    return vars(by_hand) | {"known": known, "read_c": read_c}


@pytest.mark.parametrize("exercise", range(4))
def test_an_unanswered_exercise_says_so(exercise, by_hand, capsys):
    namespace = names(by_hand)
    exec(answers(NOTEBOOK)[exercise], namespace)
    exec(cells(NOTEBOOK, "check")[exercise], namespace)
    assert capsys.readouterr().out.startswith("Not yet: ")


@pytest.mark.parametrize("exercise", range(4))
def test_the_worked_answer_is_right(exercise, by_hand, capsys):
    assert cells(NOTEBOOK, "check") == cells(SOLUTIONS, "check"), "the solutions use other check cells"
    namespace = names(by_hand)
    exec(answers(SOLUTIONS)[exercise], namespace)
    exec(cells(NOTEBOOK, "check")[exercise], namespace)
    assert "Right" in capsys.readouterr().out


BINS = "to_bin = lambda c: (10 * c).long().clamp(max=9)\nfrom_bin = lambda b: (b + 0.5) / 10\nlost = 1 / 1200\n"
PLAYERS = "from torch.nn.functional import softplus as s\ndef players(r, f, cost):\n    return "
WRONG = [
    (0, "r_squared = lambda a, b: 1 - 12 * ((a - b) ** 2).mean(axis=0)", "should give 0", "as if all c were U(0, 1)"),
    (0, "r_squared = lambda a, b: 1 - ((a - b) ** 2).mean() / b.var()", "three numbers", "one for all columns"),
    (0, "r_squared = lambda a, b: 1 - ((a - b) ** 2).mean(axis=0) / b.var()", "should give 0|own", "a common variance"),
    (0, "r_squared = lambda a, b: 1 - abs(a - b).mean(axis=0) / abs(b - b.mean(axis=0)).mean(axis=0)", "own variance",
     "absolute errors"),
    (0, "r_squared = lambda a, b: np.array([np.corrcoef(x, y)[0, 1] ** 2 if x.std() else 0 for x, y in zip(a.T, b.T)])",
     "own variance", "squared correlation, blind to offset and scale"),
    (1, BINS + "to_bin = lambda c: (10 * c).long()", "largest bin", "c = 1 makes an eleventh bin"),
    (1, BINS + "to_bin = lambda c: (9 * c).round().long()", "equally wide", "rounding makes half bins at the ends"),
    (1, BINS + "to_bin = lambda c: (10 * c).floor().clamp(max=9)", "whole number", "bins as floats"),
    (1, BINS + "from_bin = lambda b: b / 10", "best value", "the lower edge of the bin"),
    (1, BINS + "from_bin = lambda b: b / 9", "best value", "spread so that the ends are reached"),
    (1, BINS + "lost = 1 / 12", "your two functions leave", "the cost of guessing"),
    (1, BINS + "lost = 0.05", "your two functions leave", "half a bin, not a squared error"),
    (2, "follower = 0, 1", "another c'", "strong in each clip, but with either sign"),
    (2, "follower = 2, 1", "another c'", "the largest signed mean, not the largest in size"),
    (2, "follower = 3, 1", "another c'", "follows in bends only"),
    (2, "follower = 1, 1", "other way", "the sign left out"),
    (2, "follower = 1, -0.9", "sign is 1 or -1", "ρ instead of its sign"),
    (3, PLAYERS + "s(f).mean() + s(-r).mean() + s(-f).mean() + cost, s(-f).mean() + cost", "to be fooled",
     "D is stepped on G's adversarial loss as well"),
    (3, PLAYERS + "s(-f).mean() + s(-r).mean() + cost, s(-f).mean() + cost", "to be fooled", "D calls fakes real"),
    (3, PLAYERS + "s(f).mean() + s(-r).mean() + cost, s(-f).mean() + 0 * cost", "G has no reason",
     "G does not care for the labels"),
    (3, PLAYERS + "s(f).mean() + s(-r).mean(), s(-f).mean() + cost", "D has no reason", "D does not read them"),
    (3, PLAYERS + "s(f).mean() + s(-r).mean() + cost, s(-f).mean() - cost", "G has no reason", "G hides them from D"),
    (3, PLAYERS + "s(f).mean() + s(-r).mean() + cost, -s(f).mean() + cost", "G: not", "the saturating loss"),
    (3, PLAYERS + "s(f).sum() + s(-r).sum() + cost, s(-f).mean() + cost", "D: not", "sums weigh the labels less"),
]  # fmt: skip


@pytest.mark.parametrize("exercise, answer, message, how", WRONG, ids=[row[3] for row in WRONG])
def test_a_wrong_answer_is_turned_down(exercise, answer, message, how, by_hand):
    namespace = names(by_hand)
    exec(answer, namespace)
    with pytest.raises(AssertionError, match=message):
        exec(cells(NOTEBOOK, "check")[exercise], namespace)


# What the text says of the committed table, and of what the lesson itself has stored.


def runs(variant):
    table = json.loads((ROOT / "data" / "results" / "continuous_labels.json").read_text(encoding="utf-8"))
    return [run for run in table["runs"] if run["variant"] == variant]


def of_five(variant):
    """Means over seeds: R², strength, the share of a change that a blur leaves."""
    found = runs(variant)
    strength = [run["influence"][f"c{j}"]["strength"] for run in found for j in range(5)]
    return (
        1 - 12 * np.mean([run["lambda_c"] for run in found]),
        np.mean(strength),
        np.mean([r["coarse"] for r in found]),
    )


def test_the_text_reads_the_table_of_variants_aright():
    for variant, expected in {
        "stable": (0.83, 0.28, 0.52), "plain view": (0.88, 0.18, 0.43), "paper": (0.80, 0.03, 0.07),
        "λ_c = 1": (0.60, 0.22, 0.48), "n_z = 62": (0.69, 0.31, 0.68),
    }.items():  # fmt: skip
        assert of_five(variant) == pytest.approx(expected, abs=0.006), variant


def test_the_text_reads_the_table_of_followers_aright():
    def chosen(variant, which="following", factor="swing", key="chosen"):
        return np.mean([run[which][factor][key] for run in runs(variant)])

    assert chosen("stable") == pytest.approx(0.58, abs=0.005)
    assert chosen("stable", "following_untrained") == pytest.approx(0.23, abs=0.005)
    assert chosen("stable", "following_untrained", key="best") == pytest.approx(0.75, abs=0.005)
    for factor, trained, fresh in (("x", 0.21, 0.17), ("y", 0.19, 0.20)):
        assert chosen("shapes", factor=factor) == pytest.approx(trained, abs=0.005)
        assert chosen("shapes", "following_untrained", factor) == pytest.approx(fresh, abs=0.005)


def test_more_c_are_each_weaker_and_read_less_well():
    variants = {1: "n_c = 1", 2: "n_c = 2", 5: "stable", 10: "n_c = 10"}
    strength = [np.mean([r["influence"][f"c{j}"]["strength"] for r in runs(v) for j in range(n)])
                for n, v in variants.items()]  # fmt: skip
    read = [1 - 12 * np.mean([run["lambda_c"] for run in runs(variant)]) for variant in variants.values()]
    assert strength == sorted(strength, reverse=True) and read == sorted(read, reverse=True)


def test_the_text_quotes_what_the_lesson_has_stored():
    def of(head):
        return {name: [float(x) for x in row if x != "–"] for name, row in stored_table(NOTEBOOK, head).items()}

    r2, nats = of("").values()
    np.testing.assert_allclose(nats, -np.log(2 * np.pi * np.e * (1 - np.array(r2)) / 12) / 2, atol=0.05)
    assert (min(r2), max(r2), min(nats), max(nats)) == (0.62, 0.89, 0.30, 0.94)
    followed = of("*D*")
    assert followed["yours"][1] > followed["five untrained, the best"][1] + 0.2
    back = of("recurrence")
    assert all(row[0] < 0.3 for row in back.values())  # bends
    assert min(back["*c'* of *D*"][1:]) > max(back["pixels"][1:]) and max(back["*c'*, shuffled"]) <= 0.3


# The committed table.


@pytest.fixture
def script():
    return load_script("tests/benchmarks/continuous_labels.py")


def test_the_table_is_what_its_script_describes(script):
    table = json.loads((ROOT / "data" / "results" / "continuous_labels.json").read_text(encoding="utf-8"))
    about = table["about"]
    assert (about["steps"], about["width"], about["labels"]) == (script.STEPS, script.WIDTH, script.LABELS)
    described = {  # presets as they are written now: the table is older than some of their fields
        name: variant | {"preset": Preset(**variant["preset"])} for name, variant in about["variants"].items()
    }
    assert described == {
        name: {"dataset": data, "space": asdict(space), "preset": find_preset(preset)}
        for name, (data, space, preset) in script.VARIANTS.items()
    }
    assert [(run["variant"], run["seed"]) for run in table["runs"]] == [
        (name, seed) for name in script.VARIANTS for seed in range(script.SEEDS)
    ]
    mapped = [run for run in table["runs"] if "maps" in run]
    with Image.open(ROOT / "data" / "results" / "continuous_labels.jpg") as picture:
        assert picture.size == (2 * 64, 64 * 5 * len(mapped))


def test_the_script_measures_as_the_notebook_does(by_hand, model, script):
    script.LABELS = 4
    for j, found in enumerate(script.maps(model)):
        np.testing.assert_allclose(found, by_hand.influence_map(model, j, count=4), rtol=1e-4)
    np.testing.assert_allclose(script.step_sizes(model), by_hand.step_sizes(model, script.BEYOND, count=1), rtol=1e-4)
    rho, classes = np.random.default_rng(0).uniform(-1, 1, (len(CLIPS), 3)), CLIPS["class"]
    np.testing.assert_array_equal(script.chosen(rho, classes), by_hand.chosen(rho, classes))
    fine = to_tensor(np.indices((64, 64)).sum(0)[None, ..., None].astype(np.uint8) % 2 * 255)  # a chessboard of pixels
    coarse = torch.arange(256.0).reshape(1, 1, 16, 16).repeat_interleave(4, 2).repeat_interleave(4, 3)
    for share in (script.coarse_share, by_hand.coarse_share):
        assert share(fine - fine.mean()) == pytest.approx(0, abs=1e-6)
        assert share(coarse - coarse.mean()) == pytest.approx(1)
        mixed = fine - fine.mean() + (coarse - coarse.mean()) / coarse.std(correction=0)
        assert share(mixed) == pytest.approx(0.5, abs=1e-3)  # both have a variance of 1, and are uncorrelated
