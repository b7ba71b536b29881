"""The paper's losses, Eq. 2 to 9, one function an equation, and the modern ones beside them.

`score` is D's raw output x' (a logit): D(x) of the equations is sigmoid(score). Everything returns a scalar, the mean
over the batch, and is to be minimised. -log sigmoid(s) = softplus(-s) and -log(1 - sigmoid(s)) = softplus(s) keep the
logarithms finite for any score.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, log_softmax, softplus


def fake_loss(fake_score: Tensor) -> Tensor:
    """Eq. 2: -E[log(1 - D(G(z)))], D learns to tell fakes as fakes. fake_score: (N, 1)."""
    return softplus(fake_score).mean()


def real_loss(real_score: Tensor) -> Tensor:
    """Eq. 3: -E[log D(x)]; D learns to tell real frames as real. real_score: (N, 1)."""
    return softplus(-real_score).mean()


def generator_loss(fake_score: Tensor) -> Tensor:
    """Eq. 4: -E[log D(G(z))], the non-saturating loss; G learns to be told as real. fake_score: (N, 1)."""
    return softplus(-fake_score).mean()


def cgan_loss(real_score: Tensor, fake_score: Tensor) -> Tensor:
    """Eq. 5: a conditional GAN's D loss; the scores are D(x|y) and D(G(z|y)), so both have seen the true label y.

    The paper prints the second term with its minus inside the bracket; D can only win with -log(1 - D), Eq. 2.
    """
    return real_loss(real_score) + fake_loss(fake_score)


def discrete_loss(d_logits: Tensor, d: Tensor) -> Tensor:
    """Eq. 6, λ_d: cross-entropy between D's reading d' (N, n_d) logits and the one-hot d (N, n_d) that G was given."""
    return -(log_softmax(d_logits, dim=1) * d).sum(dim=1).mean()


def continuous_loss(c_hat: Tensor, c: Tensor) -> Tensor:
    """Eq. 7, λ_c: mean squared error between D's reading c' (N, n_c) and the c (N, n_c) that G was given.

    Guessing 0.5 for every c scores 1/12, the variance of U(0, 1).
    """
    return (c_hat - c).square().mean()


def total_loss(real_score: Tensor, fake_score: Tensor, label_loss: Tensor | float = 0.0) -> Tensor:
    """Eq. 9: Eq. 2 + Eq. 3 + λ_d + λ_c, what D minimises in stage 1; `label_loss` is the (weighted) λ_d + λ_c."""
    return fake_loss(fake_score) + real_loss(real_score) + label_loss


def relativistic_loss(score: Tensor, other: Tensor) -> Tensor:
    """Relativistic pairing loss, E[softplus(-(score - other))]: `score` shall be above `other`, both (N, 1).

    D minimises it with (real, fake), G with (fake, real). Jolicoeur-Martineau 2018; R3GAN, Huang et al. 2024, Eq. 3.
    """
    return softplus(other - score).mean()


def gradient_penalties(score: Tensor, frames: Tensor) -> Tensor:
    """½‖∇ score‖² of each frame, (N,): R1 where frames are real, R2 where fake (Mescheder et al. 2018, Eq. 9 and 10).

    frames (N, C, H, W) require grad; score (N, 1) was computed from them, each row from its own frame.
    """
    (gradient,) = torch.autograd.grad(score.sum(), frames, create_graph=True)
    return 0.5 * gradient.float().square().sum(dim=(1, 2, 3))


def stillness_loss(frames: Tensor, moved: Tensor) -> Tensor:
    """How widely pictures that differ in one c_j differ: E[‖Δ‖₁ / (√n ‖Δ‖₂)], from 1/√n (one place) to 1 (all over).

    Δ is the difference averaged over 4×4 blocks, n its size. The ratio does not depend on how much changes, only on
    where (Hoyer 2004): as between two moments of a clip, the wall should stand still while an arm moves.
    frames, moved: (N, C, 64, 64).
    """
    change = avg_pool2d(moved.float() - frames.float(), 4).flatten(1)
    ratio = change.abs().sum(dim=1) / (change.square().sum(dim=1) + 1e-6).sqrt()
    return ratio.mean() / change.shape[1] ** 0.5
