"""The losses of the paper, Eq. 2 to 9, one function per equation, and the modern ones beside them.

`logit` is D's raw output x', before the sigmoid: D(x) in the equations is sigmoid(logit). Every loss is a scalar, the
mean over the batch, and is minimised. -log sigmoid(s) = softplus(-s) and -log(1 - sigmoid(s)) = softplus(s) keep the
logarithms finite for any logit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, log_softmax, softplus


def fake_loss(fake_logit: Tensor) -> Tensor:
    """Eq. 2: -E[log(1 - D(G(z)))]; D learns to classify fakes as fake.

    Args:
        fake_logit: (N, 1) D's logits of fakes.
    """
    return softplus(fake_logit).mean()


def real_loss(real_logit: Tensor) -> Tensor:
    """Eq. 3: -E[log D(x)]; D learns to classify real frames as real.

    Args:
        real_logit: (N, 1) D's logits of real frames.
    """
    return softplus(-real_logit).mean()


def generator_loss(fake_logit: Tensor) -> Tensor:
    """Eq. 4: -E[log D(G(z))], the non-saturating loss; G learns to make D classify its fakes as real.

    Args:
        fake_logit: (N, 1) D's logits of fakes.
    """
    return softplus(-fake_logit).mean()


def cgan_loss(real_logit: Tensor, fake_logit: Tensor) -> Tensor:
    """Eq. 5: the discriminator loss of a conditional GAN, where D(x|y) and D(G(z|y)) are both given the true label y.

    The paper prints the minus of the second term inside the bracket; D can only win with -log(1 - D), as in Eq. 2.

    Args:
        real_logit: (N, 1) logits D(x|y) of real frames.
        fake_logit: (N, 1) logits D(G(z|y)) of fakes.
    """
    return real_loss(real_logit) + fake_loss(fake_logit)


def discrete_loss(d_logits: Tensor, d: Tensor) -> Tensor:
    """Eq. 6, λ_d: cross-entropy between D's prediction d' and the d that G was given.

    Args:
        d_logits: (N, n_d) D's logits d'.
        d: (N, n_d) one-hot.
    """
    return -(log_softmax(d_logits, dim=1) * d).sum(dim=1).mean()


def continuous_loss(c_hat: Tensor, c: Tensor) -> Tensor:
    """Eq. 7, λ_c: mean squared error between D's prediction c' and the c that G was given.

    Predicting 0.5 for every c gives 1/12, the variance of U(0, 1).

    Args:
        c_hat: (N, n_c) D's prediction c'.
        c: (N, n_c) in [0, 1].
    """
    return (c_hat - c).square().mean()


def total_loss(real_logit: Tensor, fake_logit: Tensor, label_loss: Tensor | float = 0.0) -> Tensor:
    """Eq. 9: Eq. 2 + Eq. 3 + λ_d + λ_c, which D minimises in stage 1.

    Args:
        real_logit: (N, 1) D's logits of real frames.
        fake_logit: (N, 1) D's logits of fakes.
        label_loss: scalar, the weighted sum of λ_d and λ_c.
    """
    return fake_loss(fake_logit) + real_loss(real_logit) + label_loss


def relativistic_loss(logit: Tensor, other: Tensor) -> Tensor:
    """Relativistic pairing loss, E[softplus(-(logit - other))]: it falls as `logit` rises above `other`.

    D minimises it with (real, fake), G with (fake, real). Source: Jolicoeur-Martineau 2018; R3GAN, Huang et al. 2024,
    Eq. 3.

    Args:
        logit: (N, 1) logits that shall be higher.
        other: (N, 1) logits that shall be lower, paired row by row.
    """
    return softplus(other - logit).mean()


def gradient_penalties(logit: Tensor, frames: Tensor) -> Tensor:
    """½‖∇ logit‖² of each frame: R1 for real frames, R2 for fakes.

    Source: Mescheder et al. 2018, Eq. 9 and 10.

    Args:
        logit: (N, 1) D's logits of `frames`, each row computed from its own frame alone.
        frames: (N, C, H, W), with requires_grad.

    Returns:
        (N,) float32; the loss can be differentiated through it.
    """
    (gradient,) = torch.autograd.grad(logit.sum(), frames, create_graph=True)
    return 0.5 * gradient.float().square().sum(dim=(1, 2, 3))


def stillness_loss(frames: Tensor, moved: Tensor) -> Tensor:
    """How widespread the change is between pictures that differ in one c_j: E[‖Δ‖₁ / (√n ‖Δ‖₂)].

    Δ is the difference averaged over 4×4 blocks, n the number of its elements. The ratio goes from 1/√n (a change in
    one place) to 1 (an equal change everywhere) and depends on where the picture changes, not on how much (Hoyer 2004):
    as between two moments of a clip, the wall should stand still while an arm moves.

    Args:
        frames: (N, C, 64, 64).
        moved: (N, C, 64, 64), the same labels except for one c_j.
    """
    change = avg_pool2d(moved.float() - frames.float(), 4).flatten(1)
    ratio = change.abs().sum(dim=1) / (change.square().sum(dim=1) + 1e-6).sqrt()
    return ratio.mean() / change.shape[1] ** 0.5
