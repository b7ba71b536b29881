"""label_view: what passes to the label heads, and what does not."""

import torch

from animlab.views import label_view


def test_it_is_a_tone_curve_over_a_blur(rng):
    """One picture: equal 2×2 means give equal values, brighter means give brighter values, and the size stays."""
    frame = 2 * torch.rand(1, 1, 64, 64, generator=rng) - 1
    seen = label_view(frame, rng)
    assert seen.shape == frame.shape
    means = frame.view(32, 2, 32, 2).mean(dim=(1, 3)).flatten()
    blocks = seen.view(32, 2, 32, 2).permute(0, 2, 1, 3).reshape(-1, 4)
    assert torch.equal(blocks.amin(1), blocks.amax(1))  # texture finer than two pixels is gone
    order = means.argsort()
    assert (blocks[order, 0].diff() >= 0).all()


def test_nothing_faint_is_made_stronger(rng):
    low, high = torch.full((512, 3, 64, 64), 0.10), torch.full((512, 3, 64, 64), 0.12)
    first, second = (label_view(x, torch.Generator().manual_seed(0)) for x in (low, high))
    gain = (second - first) / 0.02
    assert gain.max() <= 1 + 1e-4 and gain.min() >= 0


def test_a_limb_outlasts_a_shade(rng):
    """Over the random curves, an arm before the wall varies the view more, for its size, than a darker shirt does."""
    wall, shirt, darker = 0.25, -0.45, -0.8  # levels of the action frames

    def flat(level):
        return torch.full((2000, 3, 2, 2), level)

    def through(level):
        return label_view(flat(level), torch.Generator().manual_seed(0))[:, 0, 0, 0]

    arm = (through(wall) - through(shirt)) / (wall - shirt)
    shade = (through(shirt) - through(darker)) / (shirt - darker)
    assert arm.mean() > 1.5 * shade.mean()


def test_same_generator_same_view(rng):
    frames = torch.randn(4, 3, 64, 64, generator=rng)
    one, two = (label_view(frames, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two) and not torch.equal(one, label_view(frames, rng))
