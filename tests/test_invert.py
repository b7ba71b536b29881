"""A still redrawn by labels: pictures whose labels are known, masks, and what may not change."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import animlab
from animlab import metrics

RESULTS = Path(__file__).parent.parent / "data" / "results"
KEPT = 40  # of 64 columns are known


@pytest.fixture(scope="module")
def model():
    """Networks that have learned nothing, but draw with contrast."""
    torch.manual_seed(0)
    space = animlab.LabelSpace(n_z=2, n_d=3, n_c=2)
    nets = animlab.networks.build("residual", space, channels=3, width=0.1)
    with torch.no_grad():
        nets[0].decoder[-1].weight.mul_(6)
    return animlab.Model(*nets)


def drawn(model, d):
    rng = torch.Generator().manual_seed(10 + d)
    labels = model.space.sample(1, rng)
    return model.frames(animlab.Labels(labels.z.clamp(-2, 2), model.space.one_hot(torch.tensor([d])), labels.c))[0]


def invert(model, picture, known=None, **options):
    return animlab.invert(model, picture, known, progress=False, **options)


def test_labels_of_its_own_pictures_are_recovered(model):
    for d in range(model.space.n_d):
        picture = drawn(model, d)
        found = invert(model, picture)
        assert int(found.labels.d.argmax()) == d
        assert found.psnr > 30 and found.ssim > 0.9
        np.testing.assert_array_equal(model.frames(found.labels)[0], found.frame)


def test_psnr_and_ssim_are_those_of_metrics(model):
    picture = drawn(model, 0)[::-1].copy()
    found = invert(model, picture, steps=4)
    assert found.psnr == pytest.approx(metrics.psnr(found.frame[None], picture[None])[0])
    assert found.ssim == pytest.approx(metrics.ssim(found.frame[None], picture[None])[0])


def test_of_a_part_psnr_and_ssim_are_those_of_the_part(model):
    picture, known = drawn(model, 1), np.zeros((64, 64), np.uint8)
    known[:, :KEPT] = 255
    found = invert(model, picture, known, steps=4)
    part = found.frame[None, :, :KEPT], picture[None, :, :KEPT]
    assert found.psnr == pytest.approx(metrics.psnr(*part)[0])
    assert found.ssim == pytest.approx(metrics.ssim(*part)[0])


def test_unknown_pixels_have_no_effect_and_are_found(model):
    picture, known = drawn(model, 2), np.arange(64) < np.full((64, 1), KEPT)
    spoilt = np.where(known[..., None], picture, np.random.default_rng(0).integers(0, 256, picture.shape, np.uint8))
    found, again = invert(model, picture, known), invert(model, spoilt, known)
    np.testing.assert_array_equal(found.frame, again.frame)
    assert metrics.psnr(found.frame[None, :, KEPT:], picture[None, :, KEPT:])[0] > 25


def test_where_no_window_is_known_there_is_no_ssim(model):
    known = np.zeros((64, 64), bool)
    known[::3] = True
    found = invert(model, drawn(model, 0), known, steps=2)
    assert np.isfinite(found.psnr) and np.isnan(found.ssim)


def test_the_seed_decides_and_nothing_else_changes(model):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    given, nets = picture.copy(), (model.generator, model.discriminator)
    before = [{name: value.clone() for name, value in net.state_dict().items()} for net in nets]
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    found, again, other = (invert(model, picture, steps=6, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(getattr(found.labels, name), getattr(again.labels, name)) for name in "zdc")
    assert not torch.equal(found.labels.z, other.labels.z)
    assert found.labels.c.min() >= 0 and found.labels.c.max() <= 1 and found.labels.z.abs().max() <= 3
    assert torch.equal(torch.get_rng_state(), states[0]) and np.array_equal(np.random.get_state()[1], states[1])
    assert np.array_equal(picture, given)
    for net, kept in zip(nets, before):
        assert all(torch.equal(value, kept[name]) for name, value in net.state_dict().items())
        assert all(each.requires_grad and each.grad is None for each in net.parameters())


def test_each_c_can_be_swept_from_what_was_found(model):
    found = invert(model, drawn(model, 0), steps=4)
    at = found.labels.c[0, 1].item()
    clip = model.animate(labels=found.labels, along=1, frames=2, start=at)
    assert np.abs(clip[0].astype(int) - found.frame).max() <= 1  # a batch of another size rounds otherwise
    assert not np.array_equal(clip[0], clip[1])


def test_a_bar_is_shown_where_it_is_wanted(model, capsys):
    picture = drawn(model, 0)
    animlab.invert(model, picture, steps=5)
    assert "inversion" in (shown := capsys.readouterr().err) and "/5" in shown
    invert(model, picture, steps=5)
    assert capsys.readouterr().err == ""


PICTURE, MASK = np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), bool)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((PICTURE[None],), r"This model redraws a picture uint8 \(64, 64, 3\), got uint8 \(1, 64, 64, 3\): "),
        ((PICTURE[..., :1],), r"This model redraws a picture uint8 \(64, 64, 3\), got uint8 \(64, 64, 1\): "),
        ((PICTURE / 255,), "This model redraws .* got float64 "),
        (("wave.png",), "This model redraws .* got 'wave.png': "),
        ((PICTURE, MASK[:32]), r"known must be bool or uint8 \(64, 64\), .* got bool \(32, 64\)\."),
        ((PICTURE, MASK / 2), r"known must be bool or uint8 \(64, 64\), .* got float64 "),
        ((PICTURE, ~MASK), r"known is false everywhere, so there is nothing to redraw: mark some pixels as known\."),
        ((PICTURE, MASK, 1), "steps must be a whole number of at least 2, got 1"),
    ],
)
def test_what_cannot_be_redrawn_is_refused_in_one_sentence(model, arguments, says):
    with pytest.raises(ValueError, match=f"^{says}"):
        animlab.invert(model, *arguments)


def test_a_model_without_its_discriminator_cannot_invert(model):
    with pytest.raises(ValueError, match=r"^This model was saved without its discriminator, so it cannot read labels"):
        animlab.invert(animlab.Model(model.generator), PICTURE)


def test_the_table_beside_the_results_is_theirs():
    rows = json.loads((RESULTS / "inversion.json").read_text())["rows"]
    told = (RESULTS / "README.md").read_text().partition("| PSNR, dB |")[2]
    models = re.findall(r"`([\w-]+)`", told.partition("\n")[0])
    for row in rows:
        (cells,) = re.findall(rf"^\| {row['pictures']} \| (.*) \|$", told, re.M)
        assert dict(zip(models, cells.split(" | ")))[row["model"]] == f"{row['psnr']:.1f}"
