"""What passes to the label heads, and what does not."""

from functools import partial

import numpy as np
import pytest
import torch

from animlab.augment import VIEWS, blurred, shifted, silhouette


def drawn_by(rng):
    return partial(torch.rand, generator=rng)


def test_blurred_is_a_gain_and_a_shift_over_a_blur(rng):
    """Each channel of each picture: 2×2 means, times one number, plus another, both within their reach."""
    frames = 2 * torch.rand(3, 3, 64, 64, generator=rng) - 1
    seen = blurred(frames, drawn_by(rng))
    assert seen.shape == frames.shape
    blocks = seen.view(3, 3, 32, 2, 32, 2).permute(0, 1, 2, 4, 3, 5).reshape(3, 3, 1024, 4)
    assert torch.equal(blocks.amin(-1), blocks.amax(-1))  # texture finer than two pixels is gone
    means = frames.view(3, 3, 32, 2, 32, 2).mean(dim=(3, 5)).reshape(3, 3, 1024)
    gains = set()
    for mean, value in zip(means.flatten(0, 1), blocks[..., 0].flatten(0, 1), strict=True):
        design = torch.stack([mean, torch.ones(1024)], dim=1)
        gain, shift = torch.linalg.lstsq(design, value.unsqueeze(1)).solution.flatten()
        assert torch.allclose(design @ torch.stack([gain, shift]), value, atol=1e-5)
        assert abs(gain - 1) <= 0.3 + 1e-5 and abs(shift) <= 0.3 + 1e-5
        gains.add(round(gain.item(), 4))
    assert len(gains) == 9  # drawn anew for every channel of every picture


def test_overall_colour_cannot_carry_a_code(rng):
    """Two greys that differ by less than the shift's reach look alike as often as not."""
    dark, light = torch.full((4000, 3, 2, 2), -0.05), torch.full((4000, 3, 2, 2), 0.05)
    dark_seen, light_seen = blurred(dark, drawn_by(rng))[:, 0, 0, 0], blurred(light, drawn_by(rng))[:, 0, 0, 0]
    assert 0.3 < (dark_seen > light_seen).float().mean() < 0.45


def test_silhouette_is_a_rising_tone_curve_over_a_blur(rng):
    frame = 2 * torch.rand(1, 1, 64, 64, generator=rng) - 1
    seen = silhouette(frame, drawn_by(rng))
    assert seen.shape == frame.shape
    means = frame.view(32, 2, 32, 2).mean(dim=(1, 3)).flatten()
    blocks = seen.view(32, 2, 32, 2).permute(0, 2, 1, 3).reshape(-1, 4)
    assert torch.equal(blocks.amin(1), blocks.amax(1))
    assert (blocks[means.argsort(), 0].diff() >= 0).all()


@pytest.mark.parametrize(("level", "least", "most"), [(-0.98, 0.0, 0.5), (-0.1, 0.5, 1.0)])
def test_silhouette_loses_a_glow_on_black_and_keeps_edges(level, least, most):
    """Mean slope of the curves: small near black, large between dark and bright, above 1 nowhere."""
    first, second = (
        silhouette(torch.full((4000, 3, 2, 2), x), drawn_by(torch.Generator().manual_seed(0)))
        for x in (level, level + 0.01)
    )
    slope = (second - first) / 0.01
    assert least < slope.mean() < most and slope.max() <= 1 + 1e-3


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_same_generator_same_view(view, rng):
    frames = torch.randn(4, 3, 64, 64, generator=rng)
    one, two = (view(frames, drawn_by(torch.Generator().manual_seed(3))) for _ in range(2))
    assert torch.equal(one, two) and not torch.equal(one, view(frames, drawn_by(rng)))


def test_a_shift_moves_each_frame_by_itself_and_repeats_its_edge(rng):
    """Each frame is one window of the frame that NumPy pads, and over many frames every window comes up."""
    frames = torch.rand(200, 3, 16, 16, generator=rng)
    seen = shifted(frames, 2, drawn_by(rng))
    padded = np.pad(frames.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    places = []
    for before, after in zip(padded, seen.numpy()):
        windows = {(y, x): before[:, y : y + 16, x : x + 16] for y in range(5) for x in range(5)}
        places += [place for place, window in windows.items() if np.array_equal(window, after)]
    assert len(places) == len(frames)
    assert set(places) == {(y, x) for y in range(5) for x in range(5)}  # 200 draws of 25 places


def test_gradients_go_back_to_where_the_pixels_were(rng):
    frames = torch.ones(4, 3, 16, 16, requires_grad=True)
    seen = shifted(frames, 3, drawn_by(rng))
    seen.sum().backward()
    assert torch.equal(frames.grad.sum((1, 2, 3)), seen.detach().sum((1, 2, 3)))
    assert (frames.grad[:, :, 3:-3, 3:-3] == 1).all()  # each pixel away from the edge is seen once, wherever it went
