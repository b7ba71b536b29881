"""Architecture as data: the residual pair, and a third one that is nothing but two classes and a line."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from lessons import load_script
from torch import nn
from torch.nn import functional as F

import animlab
from animlab import LabelSpace, Preset, networks
from animlab.networks import Network, residual
from animlab.networks.common import join_labels, split_heads

SPACE = LabelSpace(n_z=3, n_d=4, n_c=2)
TABLE = [("start", "i8"), ("length", "i8"), ("class", "U8"), ("take", "i8")]
FRAMES = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)


def make_clips() -> animlab.Clips:
    table = np.zeros(4, TABLE)
    table["start"], table["length"], table["take"] = np.arange(0, 40, 10), 10, np.arange(4)
    return animlab.Clips(FRAMES, table, "noise")


class ToyGenerator(Network):
    """One layer, with an option of its own."""

    def __init__(self, space, channels=3, width=1.0, centre_c=False, power=1.0):
        super().__init__(space, channels, width=width, centre_c=centre_c, power=power)
        self.layer = nn.Linear(space.size, channels * 64 * 64)

    def forward(self, labels):
        x = self.layer(join_labels(labels, self.centre_c)) * self.config["power"]
        return x.unflatten(1, (self.channels, 64, 64)).tanh()


class ToyDiscriminator(Network):
    def __init__(self, space, channels=3, width=1.0, centre_c=False):
        super().__init__(space, channels, width=width, centre_c=centre_c)
        self.layer = nn.Linear(channels * 8 * 8, 1 + space.n_d + space.n_c)

    def forward(self, frames):
        return split_heads(self.layer(F.avg_pool2d(frames, 8).flatten(1)), self.space, self.centre_c)


@pytest.fixture
def toy(monkeypatch) -> Preset:
    """The preset of a third architecture; the line in ARCHITECTURES is all that the library is told."""
    monkeypatch.setitem(networks.ARCHITECTURES, "toy", (ToyGenerator, ToyDiscriminator))
    return Preset(architecture="toy", norm="none", batch=8, ema=0.9)


def weights(model: animlab.Model) -> list[torch.Tensor]:
    return [value for net in (model.generator, model.discriminator) for value in net.state_dict().values()]


def test_a_third_architecture_trains_saves_loads_and_resumes_to_the_bit(toy, tmp_path):
    whole = animlab.fit(make_clips(), SPACE, toy, 5, out=tmp_path / "whole", progress=False)
    animlab.fit(make_clips(), SPACE, toy, 2, out=tmp_path / "parts", progress=False)
    parts = animlab.fit(make_clips(), SPACE, toy, 5, out=tmp_path / "parts", progress=False, resume=True)
    loaded = animlab.load(tmp_path / "whole")
    assert type(loaded.generator) is ToyGenerator and type(loaded.discriminator) is ToyDiscriminator
    for other in (parts.model, loaded):
        assert all(torch.equal(a, b) for a, b in zip(weights(whole.model), weights(other), strict=True))
    one, other = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    assert one.read_bytes() == other.read_bytes()


def test_a_third_architecture_plays(toy, tmp_path):
    model = animlab.fit(make_clips(), SPACE, toy, 1, progress=False).model
    player = animlab.LabelPlayer(model)
    before = player.picture.value
    player.c[0].value = 1.0
    assert player.picture.value != before


def test_a_third_architecture_is_shipped(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(animlab, "load_dataset", lambda name, root=None: make_clips())
    animlab.fit(make_clips(), SPACE, toy, 2, out=tmp_path / "run", progress=False)
    ship = load_script("data/pretrained/ship.py")
    ship.ship(tmp_path / "run", tmp_path / "shipped", seen={"c0": "does something"}, hours=0.5)
    again = animlab.load(tmp_path / "shipped")
    assert type(again.generator) is ToyGenerator and again.card["seen"] == {"c0": "does something"}
    weight = animlab.load(tmp_path / "run").generator.layer.weight
    step = weight.abs().amax(dim=1, keepdim=True) / 127  # of int8, half of which is the most that a weight may be off
    assert ((again.generator.layer.weight - weight).abs() <= 0.501 * step).all()
    assert "does something" in (tmp_path / "shipped" / "README.md").read_text()


def test_an_option_of_its_own_comes_back_from_the_file(toy, tmp_path):
    g, d = networks.build("toy", SPACE, 3, power=3.0)
    animlab.save(animlab.Model(g, d), tmp_path)
    assert animlab.load(tmp_path).generator.config == {"width": 1.0, "centre_c": False, "power": 3.0}


def test_a_network_that_no_file_could_name_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match=r"^ToyGenerator is not among animlab\.networks\.ARCHITECTURES"):
        animlab.save(animlab.Model(ToyGenerator(SPACE)), tmp_path)


def test_networks_of_two_architectures_do_not_go_into_one_file(tmp_path):
    model = animlab.Model(networks.build("residual", SPACE, 3, width=0.1)[0], animlab.Discriminator(SPACE, width=0.1))
    with pytest.raises(ValueError, match=r"got a 'residual' generator and a 'paper' discriminator\.$"):
        animlab.save(model, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("resdual",), ValueError, "No networks are named 'resdual'; there are 'paper', 'residual'."),
        (("residual", {"norm": "batch"}), TypeError, "The 'residual' networks have no option 'norm'; they have"),
    ],
)
def test_build_refuses_what_it_does_not_know(arguments, error, message):
    name, *options = arguments
    with pytest.raises(error) as refused:
        networks.build(name, SPACE, 3, **dict(*options))
    assert message in str(refused.value)


# The residual pair ----------------------------------------------------------------------------------------------------


def test_the_residual_pair_has_as_many_weights_as_by_hand():
    space = LabelSpace(n_z=8, n_d=5, n_c=5)
    g, d = networks.build("residual", space, 3)

    def conv(before, after, size=3):
        return before * after * size * size + after

    blocks = {n: 2 * conv(n, n) for n in (192, 128, 96, 48, 24)}
    between = conv(192, 128, 1) + conv(128, 96, 1) + conv(96, 48, 1) + conv(48, 24, 1)
    ends = 18 * 256 + 256 + 256 * 3072 + 3072 + conv(24, 3)
    assert sum(p.numel() for p in g.parameters()) == sum(blocks.values()) + between + ends
    between = conv(48, 96, 1) + conv(96, 128, 1) + conv(128, 192, 1)
    ends = conv(3, 48, 4) + 3072 * 256 + 256 + 256 * 11 + 11
    assert sum(p.numel() for p in d.parameters()) == sum(blocks.values()) - blocks[24] + between + ends


def test_a_block_starts_as_the_identity(rng):
    x = torch.randn(2, 8, 4, 4, generator=rng)
    assert torch.equal(residual.Block(8)(x), x)


@pytest.mark.parametrize(("width", "channels"), [(1.0, 3), (0.25, 1)])
def test_shapes_of_the_residual_pair(width, channels, rng):
    g, d = networks.build("residual", SPACE, channels, width=width)
    frames = g(SPACE.sample(4, rng))
    logit, d_logits, c_hat = d(frames)
    assert frames.shape == (4, channels, 64, 64)
    assert logit.shape == (4, 1) and d_logits.shape == (4, 4) and c_hat.shape == (4, 2)


def test_pixels_beyond_the_range_learn(rng):
    """A tanh would have no slope there: what is drawn too dark on a black ground could never come back."""
    g, _ = networks.build("residual", SPACE, 3, width=0.1)
    with torch.no_grad():
        g.decoder[-1].bias.fill_(-5.0)
    frames = g(SPACE.sample(4, rng))
    assert frames.max() < -1
    frames.sum().backward()
    assert g.decoder[-1].bias.grad.tolist() == pytest.approx([4 * 64 * 64] * 3)


# The preset -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label_view": "blured"}, "A preset's label_view must be 'plain' or 'blurred' or 'silhouette', got 'blured'."),
        ({"loss": "hinge"}, "A preset's loss must be 'bce' or 'relativistic', got 'hinge'."),
        ({"norm": "layer"}, "A preset's norm must be 'batch' or 'spectral' or 'none', got 'layer'."),
        ({"architecture": "modern"}, "No networks are named 'modern'; there are 'paper', 'residual'."),
        ({"architecture": "residual"}, "The 'residual' networks are not normalised: norm must be 'none', got 'batch'."),
        ({"gamma": float("nan")}, "A preset's gamma must be a finite number, got nan."),
        (
            {"lambda_c": 10**400},
            "A preset's lambda_c must be a finite number, got 100000000000000000...0000000000000000000.",
        ),
        ({"shift": 10**400}, "A preset's shift must be from 0 to 32, got 100000000000000000...0000000000000000000."),
        ({"lambda_c": -1}, "A preset's lambda_c must be at least 0, got -1.0."),
        ({"centre_c": "no"}, "A preset's centre_c must be True or False, got 'no'."),
        ({"centre_c": 1}, "A preset's centre_c must be True or False, got 1."),
        ({"batch": 7}, "Training takes batches of an even number of frames, got batch=7."),
        ({"batch": 0}, "A preset's batch must be at least 2, got 0."),
        ({"batch": 8.5}, "A preset's batch must be a whole number, got 8.5."),
        ({"batch": True}, "A preset's batch must be a whole number, got True."),
        ({"ema": 1.5}, "A preset's ema must be from 0 to 1, got 1.5."),
        ({"betas": (0.5, 1.0)}, "A preset's betas must be two numbers from 0 to below 1, got (0.5, 1.0)."),
        ({"betas": 0.5}, "A preset's betas must be two numbers, got 0.5."),
        ({"penalty_every": 0}, "A preset's penalty_every must be at least 1, got 0."),
    ],
    ids=lambda value: str(value)[:70],
)
def test_a_preset_checks_itself(values, message):
    with pytest.raises(ValueError) as refused:
        Preset(**values)
    assert str(refused.value) == message


def test_a_preset_takes_numpys_numbers_and_can_be_stored(tmp_path):
    preset = Preset(
        batch=np.int64(4),
        lambda_c=np.float32(2),
        betas=[np.float64(0.5), 0.999],
        ema=np.float64(0.5),
        centre_c=np.True_,
    )
    assert preset == Preset(batch=4, lambda_c=2.0, betas=(0.5, 0.999), ema=0.5, centre_c=True)
    animlab.fit(make_clips(), SPACE, preset, 1, width=0.1, out=tmp_path, progress=False)
    assert animlab.load(tmp_path).card["preset_values"]["batch"] == 4


def test_rates_rise_fall_by_half_a_cosine_and_stay():
    preset = Preset(batch=100, lr_frames=64_000, lr_end=0.2)
    assert [preset.rate(step) for step in (0, 15)] == pytest.approx([1 / 32, 1 / 2], rel=0.01)  # of 32 steps
    assert [preset.rate(step) for step in (320, 640, 10**6)] == pytest.approx([0.6, 0.2, 0.2])
    assert Preset().rate(0) == Preset().rate(10**6) == 1.0


def test_training_steps_at_the_rate_of_the_preset():
    """Adam's step moves a weight whose gradient hardly changes by the learning rate."""
    moved = []
    for lr_end in (1.0, 0.5):
        preset = replace(animlab.PRESETS["stable"], batch=8, lr_frames=8, lr_end=lr_end, ema=0.0)
        one, two = (
            animlab.fit(make_clips(), SPACE, preset, steps, width=0.1, precision="fp32", progress=False).model
            for steps in (1, 2)
        )
        moved.append((two.generator.decoder[6].bias - one.generator.decoder[6].bias).abs().max().item())
    assert moved[0] == pytest.approx(2e-4 * 2 * 8 / 3200, rel=0.35)
    assert moved[1] / moved[0] == pytest.approx(0.5, rel=0.01)


# Fine-tuning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stable", "modern"])
def test_fine_tuning_begins_with_the_model(name):
    preset = replace(animlab.PRESETS[name], batch=8, lr_g=0.0, lr_d=0.0)
    model = animlab.fit(make_clips(), SPACE, replace(preset, lr_g=1e-3, lr_d=1e-3), 3, width=0.1, progress=False).model
    tuned = animlab.fit(make_clips(), SPACE, preset, 2, seed=7, width=0.1, start=model, progress=False).model
    for mine, theirs in ((model.generator, tuned.generator), (model.discriminator, tuned.discriminator)):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters()))
    assert tuned.card["start"] == "dataset noise, preset custom, steps 3, seed 0"


def test_fine_tuning_can_be_resumed(tmp_path):
    preset = replace(animlab.PRESETS["modern"], batch=8)
    model = animlab.fit(make_clips(), SPACE, preset, 1, width=0.1, progress=False).model
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for out, steps in ((whole, 4), (parts, 2), (parts, 4)):
        animlab.fit(make_clips(), SPACE, preset, steps, width=0.1, start=model, out=out, resume=True, progress=False)
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"space": LabelSpace(3, 4, 3)}, "label space"),
        ({"width": 0.2}, "options"),
        ({"preset": replace(animlab.PRESETS["stable"], batch=8)}, "architecture"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_fine_tuning_refuses_other_networks(other, message):
    preset = replace(animlab.PRESETS["modern"], batch=8)
    model = animlab.fit(make_clips(), SPACE, preset, 1, width=0.1, progress=False).model
    arguments = {"space": SPACE, "preset": preset, "steps": 1, "width": 0.1, "progress": False, "start": model}
    with pytest.raises(ValueError, match=f"^Fine-tuning needs networks of one kind: the model has {message}"):
        animlab.fit(make_clips(), **(arguments | other))
