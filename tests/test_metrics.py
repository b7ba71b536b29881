"""Influence against a brute-force version and planted changes; Eq. 10 against the paper's own tables."""

import numpy as np
import pytest
import torch

from animlab import Generator, LabelSpace
from animlab.metrics import animation_score, influence, label_influence, real_influence


def brute_force(before, after):
    """The definition, one pair, one block, one channel at a time."""
    strengths, shares = [], []
    for a, b in zip(before.numpy(), after.numpy(), strict=True):
        change = b - a
        blocks = []
        for y in range(0, 64, 4):
            for x in range(0, 64, 4):
                per_channel = [abs((ch - ch.mean())[y : y + 4, x : x + 4].mean()) for ch in change]
                blocks.append(np.mean(per_channel))
        top = sorted(blocks)[-26:]  # a tenth of 256
        strengths.append(np.mean(top))
        shares.append(np.sum(top) / np.sum(blocks))
    return np.mean(strengths), np.mean(shares)


def test_influence_equals_brute_force(rng):
    before, after = (2 * torch.rand(3, 3, 64, 64, generator=rng) - 1 for _ in range(2))
    found = influence(before, after)
    assert (found.strength, found.focus) == pytest.approx(brute_force(before, after), rel=1e-4)


def test_influence_tells_a_moved_limb_from_texture_and_colour(rng):
    wall = torch.zeros(1, 3, 64, 64)
    limb = wall.clone()
    limb[:, :, 10:30, 30:36] = 1.0
    texture = wall + 0.3 * torch.randn(1, 3, 64, 64, generator=rng)
    moved, hidden, tinted = (influence(wall, x) for x in (limb, texture, wall + 0.5))
    assert moved.strength > 0.25 and moved.focus > 0.5
    assert hidden.strength < 0.15 and hidden.focus < 0.3  # as much change in all, but faint and everywhere
    assert tinted.strength < 1e-5  # a change of the mean colour alone is no motion


def test_label_influence_names_what_the_picture_depends_on():
    """A generator whose picture depends on c1 alone."""
    space = LabelSpace(n_z=2, n_d=2, n_c=3)

    class Only(Generator):
        def forward(self, labels):
            square = torch.zeros(len(labels), 3, 64, 64)
            square[:, :, 20:40, 20:40] = labels.c[:, 1].view(-1, 1, 1, 1)
            return square

    found = label_influence(Only(space, width=0.25), pairs=32)
    assert set(found) == {"c0", "c1", "c2", "d", "z"}
    assert found["c1"].strength > 0.8
    assert all(found[name].strength == 0 for name in ("c0", "c2", "d", "z"))


def test_real_influence_pairs_frames_of_one_clip_only():
    """Still clips of different colour patterns: no change within a clip, a large one across."""
    frames = np.zeros((30, 64, 64, 3), np.uint8)
    frames[10:20, 20:40, 20:40] = 255
    table = np.array([(0, 10), (10, 10), (20, 10)], dtype=[("start", "i8"), ("length", "i8")])
    assert real_influence(frames, table, gap=8).strength == 0
    with pytest.raises(ValueError, match="No clip is longer than 10 frames"):
        real_influence(frames, table, gap=10)


def test_influence_refuses_unequal_batches():
    with pytest.raises(ValueError, match="two equal batches"):
        influence(torch.zeros(2, 3, 64, 64), torch.zeros(3, 3, 64, 64))


@pytest.mark.parametrize(
    ("psnr", "ssim", "fid", "score"),
    [(8.67, 0.48, 0.41, 20.71), (9.39, 0.54, 0.77, 21.49), (10.17, 0.64, 0.12, 31.30)],
)
def test_equation_10_gives_table_5(psnr, ssim, fid, score):
    assert animation_score(psnr, ssim, fid) == pytest.approx(score, abs=0.01)


def test_equation_10_does_not_give_table_4():
    """27.1 and 33.29 are printed; the same rows give 28.16 and 32.71."""
    assert animation_score(17.36, 0.54, 423.87) == pytest.approx(28.16, abs=0.01)
    assert animation_score(18.92, 0.68, 5.22) == pytest.approx(32.71, abs=0.01)


def test_equation_10_refuses_a_fid_of_zero():
    with pytest.raises(ValueError, match="must be above 0, got 0"):
        animation_score(20, 0.5, 0)
