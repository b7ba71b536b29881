"""PSNR and SSIM of clips against scikit-image frame by frame, and against the definitions in numpy."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from animlab.metrics import psnr, ssim


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def pair(request):
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (5, 20, 24, request.param), dtype=np.uint8)
    other = np.clip(clip + rng.normal(0, 30, clip.shape), 0, 255).astype(np.uint8)
    return clip, other


def test_clips_are_measured_frame_by_frame_as_scikit_image_does(pair):
    clip, other = pair
    expected = [peak_signal_noise_ratio(a, b) for a, b in zip(clip, other)]
    np.testing.assert_array_equal(psnr(clip, other), expected)
    expected = [structural_similarity(a, b, channel_axis=2) for a, b in zip(clip, other)]
    np.testing.assert_array_equal(ssim(clip, other), expected)


def test_psnr_is_its_definition(pair):
    clip, other = (part.astype(float) for part in pair)
    expected = 10 * np.log10(255**2 / ((clip - other) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(psnr(*pair), expected, rtol=1e-12)


def test_ssim_is_its_definition(pair):
    """A flat 7×7 window, sample covariances, the border of 3 pixels left out; float64 throughout: 10 digits."""
    scores = []
    for a, b in zip(*(part.astype(float) for part in pair)):
        of_channels = []
        for x, y in zip(a.transpose(2, 0, 1), b.transpose(2, 0, 1)):
            mx, my = uniform_filter(x, 7), uniform_filter(y, 7)
            vx, vy, vxy = (
                (uniform_filter(p * q, 7) - uniform_filter(p, 7) * uniform_filter(q, 7)) * 49 / 48
                for p, q in ((x, x), (y, y), (x, y))
            )
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            score = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
            of_channels.append(score[3:-3, 3:-3].mean())
        scores.append(np.mean(of_channels))
    np.testing.assert_allclose(ssim(*pair), scores, rtol=1e-10)


@pytest.mark.filterwarnings("error")
def test_psnr_has_no_maximum():
    clip = np.full((2, 8, 8, 3), 7, np.uint8)
    assert psnr(clip, clip).tolist() == [np.inf, np.inf]
    assert ssim(clip, clip).tolist() == [1, 1]
    assert psnr(clip, clip + np.uint8(1)) == pytest.approx(20 * np.log10(255))  # one level off: 48.1 dB
    big = np.zeros((1, 400, 400, 3), np.uint8)
    nearly = big.copy()
    nearly[0, 0, 0, 0] = 1
    assert psnr(big, nearly)[0] > 100  # "255" is no maximum, and neither is any other number
    assert psnr(big, big + np.uint8(255))[0] == 0


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_clips_that_do_not_fit_are_refused(metric):
    clip = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"of one shape, got \(2, 8, 8, 3\) and \(1, 8, 8, 3\)"):
        metric(clip, clip[:1])
    with pytest.raises(ValueError, match="got float32"):
        metric(clip.astype(np.float32), clip)
    with pytest.raises(ValueError, match=r"compare must be uint8 frames \(N, H, W, C\), got uint8 \(8, 8, 3\)"):
        metric(clip[0], clip[0])
