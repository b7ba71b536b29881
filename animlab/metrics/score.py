"""The paper's one number for an animation, Eq. 10."""

from __future__ import annotations


def animation_score(psnr: float, ssim: float, fid: float, alpha: float = 20.0, beta: float = 1.0) -> float:
    """Eq. 10: s = PSNR + α·SSIM + β / FID; psnr in dB, ssim in [-1, 1], fid above 0. Higher is better."""
    if not fid > 0:
        raise ValueError(f"The animation score divides by FID, which must be above 0, got {fid}.")
    return psnr + alpha * ssim + beta / fid
