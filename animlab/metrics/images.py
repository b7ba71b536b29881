"""Full-reference image quality: PSNR and SSIM of clips, frame by frame, as scikit-image computes them."""

from __future__ import annotations

import numpy as np

from ..checks import check_frames

PEAK = 255  # of uint8
WINDOW = 7  # pixels a side: scikit-image's, for SSIM


def psnr(clip: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each frame, in dB: 10·log10(255² / MSE), higher is better.

    The MSE is over all pixels and channels of a frame. The range is from 0 dB (black against white) up, without a
    maximum: identical frames give inf, a difference of one level everywhere 48.1 dB. Mind that when averaging over a
    clip: one identical frame makes the mean inf. PSNR ignores structure: a blurred picture often beats a sharp one that
    is a pixel off.

    Source: Huynh-Thu and Ghanbari, "Scope of validity of PSNR in image/video quality assessment", Electronics Letters
    2008; computed by skimage.metrics.peak_signal_noise_ratio.

    Args:
        clip: (T, H, W, C) uint8.
        truth: (T, H, W, C) uint8, the reference.

    Returns:
        (T,) float64, in dB.

    Raises:
        ValueError: These are not two clips of one shape.
    """
    from skimage.metrics import peak_signal_noise_ratio

    _check(clip, truth)
    with np.errstate(divide="ignore"):  # identical frames: inf is the correct result
        return np.array([peak_signal_noise_ratio(b, a, data_range=PEAK) for a, b in zip(clip, truth)], dtype=float)


def ssim(clip: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity of each frame, -1 to 1 (identical), higher is better.

    In every 7×7 window, with means μ, variances σ² and covariance σ_xy: (2μ_x μ_y + c1)(2σ_xy + c2) / ((μ_x² + μ_y² +
    c1)(σ_x² + σ_y² + c2)), c1 = (0.01·255)², c2 = (0.03·255)²; averaged over windows, then over channels.

    These are scikit-image's defaults, a flat window; the original's Gaussian one gives slightly other values, so
    compare numbers only where the window is the same. Flat regions count as alike: on a large black background a
    picture without the object still scores high.

    Source: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 2004; computed by skimage.metrics.structural_similarity.

    Args:
        clip: (T, H, W, C) uint8, H and W at least 7.
        truth: (T, H, W, C) uint8, the reference.

    Returns:
        (T,) float64.

    Raises:
        ValueError: These are not two clips of one shape, or the frames are too small.
    """
    from skimage.metrics import structural_similarity

    _check(clip, truth)
    if min(clip.shape[1:3]) < WINDOW:
        raise ValueError(f"SSIM needs frames of at least {WINDOW}×{WINDOW} pixels, got {clip.shape}.")
    return np.array(
        [structural_similarity(a, b, data_range=PEAK, channel_axis=-1) for a, b in zip(clip, truth)], dtype=float
    )


def _check(clip: np.ndarray, truth: np.ndarray) -> None:
    for each in (clip, truth):
        check_frames("What PSNR and SSIM compare", each, channels=())
    if clip.shape != truth.shape:
        raise ValueError(f"PSNR and SSIM compare two clips of one shape, got {clip.shape} and {truth.shape}.")
