"""Notebook 08: it counts by hand what the library counts, its checks tell right from wrong, its table is whole."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from lessons import answers, cells
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from animlab import LabelSpace
from animlab.baselines import mocogan, tgan
from animlab.baselines.cost_models import COST_MODELS, cost_model
from animlab.baselines.costs import FlopCounter, cost
from animlab.networks import Discriminator, Generator

ROOT = Path(__file__).parent.parent
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "08_computation.ipynb", as_version=4)
SOLUTIONS = nbformat.read(ROOT / "notebooks" / "solutions" / "08_computation.ipynb", as_version=4)
COSTS = json.loads((ROOT / "data" / "results" / "costs.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def names():
    """What a check cell finds: the notebook's imports and its own definitions."""
    found = {
        "np": np,
        "torch": torch,
        "nn": nn,
        "math": math,
        "FlopCounter": FlopCounter,
        "cost": cost,
        "frames": 16,
        "gpu": 5,
    }
    for source in cells(NOTEBOOK, "definition"):
        exec(source, found)
    found["moco"] = cost("mocogan")
    return found


@pytest.mark.parametrize("name", ["tgan", "mocogan", "pix2pix", "ours"])
def test_counting_by_hand_is_the_meters_counting(names, name):
    it = cost_model(name)
    clip = torch.rand(1, 3, 16, 64, 64)
    nets = SimpleNamespace(draw=nn.ModuleList(it.generators), judge=nn.ModuleList(it.discriminators))
    for net, work in ((nets.draw, it.draw), (nets.judge, lambda: it.judge(clip))):
        net.eval().forward = work
        with torch.no_grad(), FlopCounter(net) as meter:
            work()
        assert names["by_hand"](net) == meter.multiply_adds.total()


def test_the_ratio_is_that_of_the_discriminators(names):
    """Counted with the real layers: those of TGAN and of MoCoGAN but the last, and their twins in two dimensions."""
    flat = nn.Sequential(*(nn.Conv2d(a, b, 4, 2, 1) for a, b in ((3, 64), (64, 128), (128, 256), (256, 512))))
    in_2d = names["by_hand"](flat, torch.rand(16, 3, 64, 64))
    clip = torch.rand(1, 3, 16, 64, 64)
    deep = nn.Sequential(*mocogan.VideoDiscriminator().layers[:-1])
    assert names["ratio"](16) == pytest.approx(names["by_hand"](deep, clip) / in_2d)
    assert names["ratio"](16, 4, 2, 1) == pytest.approx(names["by_hand"](tgan.Critic().features.eval(), clip) / in_2d)


def test_the_step_of_the_notebook_is_ours(names):
    """3 g + 8 d less the gradients of inputs that nobody asks for: D's first layer thrice a frame, G's first once."""
    it = cost_model("ours", batch=4)
    (g,), (d,) = it.generators, it.discriminators
    assert isinstance(g, Generator) and isinstance(d, Discriminator)
    first_of_d, first_of_g = 4 * 3 * 32 * 16 * 32 * 32, 4 * 18 * 1024
    passes = names["by_hand"](g.eval(), g.space.sample(4)), names["by_hand"](d.eval(), torch.rand(4, 3, 64, 64))
    expected = 3 * passes[0] + 8 * passes[1] - 2 * first_of_d - first_of_g
    assert cost("ours", batch=4).step.total() == expected


# What the lesson says of its counts and times


@pytest.fixture(scope="module")
def counted():
    return {name: cost(name) for name in COST_MODELS}


def test_the_papers_model_needs_the_least_arithmetic(counted):
    drawn = {name: found.drawn.total() / 16 for name, found in counted.items()}  # a frame
    trained = {name: found.step.total() / found.seen for name, found in counted.items()}
    assert min(drawn, key=drawn.get) == min(trained, key=trained.get) == "ours"
    assert 3.5 < drawn["mocogan"] / drawn["ours"] < 4.5 and drawn["monkeynet"] / drawn["ours"] > 100
    assert 13 < drawn["pix2pix"] / drawn["ours"] < 15 and 8 < trained["pix2pix"] / trained["ours"] < 9.5
    assert 2.5 < trained["tgan"] / trained["ours"] < 3
    dearer = {name: trained[name] / drawn[name] for name in drawn}
    assert dearer["monkeynet"] < 3 and 5 < dearer["tgan"] < dearer["pix2pix"] < 8 and 10 < dearer["ours"] < 12


def test_the_names_of_the_layers_say_little_about_the_cost(counted):
    moco, monkey, ours = (counted[name] for name in ("mocogan", "monkeynet", "ours"))
    assert moco.drawn["recurrent"] == 16 * 3 * (10 + 10) * 10 < 1e-4 * moco.drawn.total()
    assert moco.judged.most_common(1)[0][0] == counted["tgan"].judged.most_common(1)[0][0] == "conv 3-D"
    assert set(monkey.drawn) == set(monkey.judged) == {"conv 3-D, depth 1"}
    assert 0.25 < ours.drawn["linear"] / ours.drawn.total() < 0.35
    linear = sum(w.numel() for it in (Generator, Discriminator) for w in it(LabelSpace()).parameters() if w.ndim == 2)
    assert 0.97 < linear / (ours.generators + ours.discriminators) < 0.99


def test_pytorch_counts_nothing_of_an_lstm():
    with FlopCounterMode(display=False) as counter:
        nn.LSTM(10, 10)(torch.rand(16, 1, 10))
    assert counter.get_total_flops() == 0


def test_3d_costs_three_to_four_times_2d_for_long_clips_of_mocogan_alone(names):
    ratio = names["ratio"]
    assert 1.7 < ratio(16) < 1.9 and ratio(34) < 3 < ratio(36) < ratio(48) < 3.4 and ratio(10**6) < 4
    assert all(0.6 < ratio(t, 4, 2, 1) < 0.65 for t in (16, 32, 128)) and ratio(32, 3, 1, 1) == 3


def test_what_is_kept_for_a_weight(counted):
    """Weight, gradient and what the optimiser stores, of four bytes each: two numbers with Adam, one with RMSprop."""
    for name, found in counted.items():
        weights = found.generators + found.discriminators
        assert found.kept / weights == pytest.approx(12 if name == "tgan" else 16, abs=0.1)


@pytest.mark.parametrize("name, step, most", [("tgan", 101.3, 235), ("mocogan", 7.8, 3045)])
def test_memory_is_a_straight_line_in_the_length_of_a_clip(name, step, most):
    short, longer, longest = (cost(name, frames).peak for frames in (16, 32, 48))
    per_frame = (longer - short) / 16
    assert per_frame / 1e6 == pytest.approx(step, abs=0.05)
    assert 2 * longer - short == pytest.approx(longest, rel=0.02)
    assert int(16 + (24e9 - short) / per_frame) == most


def test_larger_frames_cost_the_papers_model_its_lead(counted):
    big = {}
    for name, small in counted.items():
        for size in (128, 256, 512):
            big[name] = cost(name, 16, size)
            assert 0.98 < big[name].step.total() / small.step.total() / (size / 64) ** 2 < 1.15
    assert 1e9 < big["ours"].generators + big["ours"].discriminators < 1.1e9 and 22e9 < big["ours"].peak < 26e9
    assert 2.5 < big["ours"].peak / big["mocogan"].peak < 3.5 and big["monkeynet"].peak > 80e9 < big["tgan"].peak
    assert max(found.peak for found in counted.values()) < 4e9


def test_what_the_clock_says():
    flat, deep = COSTS["layers"]["conv 2-D"], COSTS["layers"]["conv 3-D"]
    assert deep["multiply_adds"] / flat["multiply_adds"] == 4 * 13 / 16
    assert round(deep["seconds"] / flat["seconds"], 2) == 3.14
    rows = COSTS["models"]
    took = {name: row["step"]["seconds"] / row["seen"] for name, row in rows.items()}
    rate = {name: row["step_multiply_adds"] / row["step"]["seconds"] / 1e9 for name, row in rows.items()}
    assert max(took, key=took.get) == "pix2pix" and rate.pop("pix2pix") < 25
    assert all(50 < speed < 150 for speed in rate.values())
    assert 2.5 < took["mocogan"] / took["ours"] < 3.5 and 2 < took["tgan"] / took["ours"] < 3
    clip = {name: row["clip"]["seconds"] for name, row in rows.items()}
    assert 1.5 < clip["mocogan"] / clip["ours"] < 2.5 and max(clip, key=clip.get) == "monkeynet"


# The exercises


def test_unanswered_exercises_say_so(names, capsys):
    for answer, check in zip(answers(NOTEBOOK), cells(NOTEBOOK, "check")):
        namespace = dict(names)
        exec(answer, namespace)
        exec(check, namespace)
        assert capsys.readouterr().out.startswith("Not yet")


def test_the_checks_are_those_of_the_worked_answers():
    assert cells(SOLUTIONS, "check") == cells(NOTEBOOK, "check")


@pytest.mark.parametrize("exercise", range(4))
def test_the_worked_answer_is_right(names, exercise, capsys):
    namespace = dict(names)
    exec(answers(NOTEBOOK)[exercise], namespace)  # defines `together`
    exec(answers(SOLUTIONS)[exercise], namespace)
    exec(cells(NOTEBOOK, "check")[exercise], namespace)
    assert "Right" in capsys.readouterr().out


PLACES = "def conv3d_cost(i, o, kernel, stride, padding, shape):\n    return i * o * math.prod(kernel) * math.prod("
APART = "apart = nn.Sequential({}, {})"
SPACE, TIME = "nn.Conv3d(64, 128, (1, 4, 4), (1, 2, 2), (0, 1, 1))", "nn.Conv3d(128, 128, (4, 1, 1))"
WRONG = [
    (0, PLACES + "n // s for n, s in zip(shape, stride))", "said", "the border forgotten"),
    (0, PLACES + "(n - k) // s + 1 for n, k, s in zip(shape, kernel, stride))", "said", "padding forgotten"),
    (0, PLACES + "n + 2 * p - k + 1 for n, k, p in zip(shape, kernel, padding))", "said", "stride forgotten"),
    (0, PLACES + "shape)", "said", "places of the input"),
    (0, "conv3d_cost = lambda i, o, k, s, p, shape: i * o * math.prod(k)", "said", "the weights alone"),
    (1, APART.format(SPACE, "nn.Conv3d(128, 128, 1)"), "should make", "no kernel in time"),
    (1, APART.format(SPACE.replace("(1, 4, 4)", "(4, 4, 4)"), "nn.Conv3d(128, 128, 1)"), "the layer it replaces",
     "the old layer and one more"),
    (1, APART.format("nn.Conv3d(64, 512, (4, 1, 1))", SPACE.replace("64,", "512,")), "the layer it replaces",
     "time first, too wide"),
    (1, APART.format(SPACE, TIME.replace("(4, 1, 1)", "(2, 1, 1)")), "should make", "two frames instead of four"),
    (1, APART.format(SPACE, "nn.Conv3d(128, 128, (2, 1, 1), dilation=(3, 1, 1))"), "should see", "gaps in time"),
    (2, "hidden = math.ceil((moco.drawn['conv 2-D'] / 10 / (3 * frames)) ** 0.5)", "would do as well",
     "three matrices instead of six"),
    (2, "hidden = math.ceil((moco.drawn['conv 2-D'] / 10 / 6) ** 0.5)", "would do as well", "one frame"),
    (2, "hidden = 10", "not yet a tenth", "as it is"),
    (2, "hidden = math.floor((moco.drawn['conv 2-D'] / 10 / (6 * frames)) ** 0.5)", "not yet", "rounded down"),
    (3, "longest = 16", "fit as well", "the published length"),
    (3, "longest = 24", "no multiple of 16", "between two lengths"),
    (3, "longest = 48", "more than 5", "too long"),
]  # fmt: skip


@pytest.mark.parametrize("exercise, answer, message, how", WRONG, ids=[row[3] for row in WRONG])
def test_a_wrong_answer_is_turned_down(names, exercise, answer, message, how):
    namespace = dict(names)
    exec(answers(NOTEBOOK)[exercise], namespace)
    exec(answer, namespace)
    with pytest.raises(AssertionError, match=message):
        exec(cells(NOTEBOOK, "check")[exercise], namespace)


def test_the_table_is_whole_and_counts_what_the_library_counts():
    assert list(COSTS["models"]) == list(COST_MODELS) and list(COSTS["layers"]) == ["conv 2-D", "conv 3-D"]
    for name, row in COSTS["models"].items():
        found = cost(name)
        assert (row["step_multiply_adds"], row["seen"]) == (found.step.total(), found.seen)
        assert row["clip_multiply_adds"] == found.drawn.total()
        for part in ("clip", "step"):
            assert 0 < row[part]["low"] <= row[part]["seconds"] <= row[part]["high"] and row[part]["runs"] >= 3


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (1, 1)])
def test_the_walk_of_a_kernel_is_that_of_a_convolution(names, stride, padding):
    layer = nn.Conv3d(1, 1, (4, 1, 1), (stride, 1, 1), (padding, 0, 0))
    nn.init.ones_(layer.weight)
    clip = torch.ones(1, 1, 16, 1, 1, requires_grad=True)
    made = layer(clip).flatten()
    pictures = names["gliding"](stride, padding)
    assert len(pictures) == len(made)
    for k, picture in enumerate(pictures):
        (under,) = torch.autograd.grad(made[k], clip, retain_graph=True)
        blue = (picture[5, 9 * 1 + 3 : 9 * 17 : 9] == (0, 114, 178)).all(axis=1)  # the frames between the paddings
        assert blue.tolist() == under.flatten().bool().tolist()
        assert (picture[20, 9 + 3 :: 9] == (213, 94, 0)).all(axis=1).sum() == k + 1
