"""The two-stage training step (Fig. 2): stage 1 updates D, stage 2 updates G, one batch of fakes serves both."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from . import losses
from .augment import VIEWS, shifted
from .labels import Labels
from .networks import Network
from .presets import Preset


def train_step(
    generator: Network,
    discriminator: Network,
    g_optimizer: torch.optim.Optimizer,
    d_optimizer: torch.optim.Optimizer,
    real: Tensor,
    labels: Labels,
    preset: Preset,
    autocast: Callable[[], AbstractContextManager[Any]],
    rand: Callable[..., Tensor] = torch.rand,
) -> dict[str, Tensor]:
    """One step of Eq. 9: stage 1 updates D, stage 2 updates G.

    Args:
        generator: G; its parameters are updated.
        discriminator: D; its parameters are updated.
        g_optimizer: steps on G's parameters.
        d_optimizer: steps on D's parameters.
        real: (N, C, 64, 64) real frames in [-1, 1].
        labels: N labels; with `lambda_still` the pairs that LabelSpace.sample_pairs draws.
        preset: losses and their weights, label view, shift and penalties.
        autocast: makes the context that the networks run in.
        rand: draws U(0, 1) numbers of a given shape, for the label views and the shift.

    Returns:
        The losses of the step as detached scalars, d_loss (everything that D minimises), g_loss (Eq. 4, or the
        relativistic loss), lambda_d (Eq. 6) and lambda_c (Eq. 7), unweighted.
    """
    n = len(real)
    view = VIEWS.get(preset.label_view)  # None for "plain": labels are read in the same pass as the score

    def shown(frames: Tensor) -> Tensor:
        """What all heads see: if the label heads saw more than the score, codes would hide in the corners."""
        return shifted(frames, preset.shift, rand) if preset.shift else frames

    # Stage 1: D learns to tell real frames from fakes (Eq. 2, 3) and to read the labels off fakes (Eq. 6, 7).
    with autocast():
        fake = generator(labels)
        halves = fake.chunk(2)  # cut once: a slice's gradient is as large as `fake`, in another memory layout
        k = len(halves[0]) if view else n  # a second pass sees only half of the fakes: a sixth less work
        judged = shown(torch.cat([real.to(fake.dtype), fake.detach()]))
        seen = torch.cat([judged, view(shown(halves[0].detach()), rand)]) if view else judged
        logit, d_logits, c_hat = (head.float() for head in discriminator(seen))
    real_logit, fake_logit = logit[:n], logit[n : 2 * n]
    d, c = labels.d[:k], labels.c[:k]
    lambda_d = losses.discrete_loss(d_logits[-k:], d)
    lambda_c = losses.continuous_loss(c_hat[-k:], c)
    label_loss = preset.lambda_d * lambda_d + preset.lambda_c * lambda_c
    if preset.loss == "bce":
        d_loss = losses.total_loss(real_logit, fake_logit, label_loss)
    else:
        d_loss = losses.relativistic_loss(real_logit, fake_logit) + label_loss
    if preset.gamma > 0:  # for one pair of frames in k: their order is random, so the first ones are a fair sample
        pairs = -(-n // preset.penalty_every)
        some = torch.cat([part[:pairs] for part in judged.chunk(2)]).requires_grad_()
        with autocast():
            slope_of, _, _ = discriminator(some)
        d_loss = d_loss + preset.gamma * losses.gradient_penalties(slope_of, some).sum() / pairs  # R1 + R2
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()

    # Stage 2: G learns to pass for real (Eq. 4) and to draw labels that D can read (Eq. 6, 7). D is frozen.
    discriminator.requires_grad_(False)
    with autocast():
        judged = shown(torch.cat(halves))
        seen = torch.cat([judged, view(shown(halves[0]), rand)]) if view else judged
        logit, d_logits, c_hat = (head.float() for head in discriminator(seen))
    if preset.loss == "bce":
        g_loss = losses.generator_loss(logit[:n])
    else:
        g_loss = losses.relativistic_loss(logit[:n], real_logit.detach())
    total = g_loss + preset.lambda_d * losses.discrete_loss(d_logits[-k:], d)
    total = total + preset.lambda_c * losses.continuous_loss(c_hat[-k:], c)
    if preset.lambda_still > 0:  # the two halves of such a batch differ in one c_j, see LabelSpace.sample_pairs
        total = total + preset.lambda_still * losses.stillness_loss(*halves)
    g_optimizer.zero_grad()
    total.backward()
    g_optimizer.step()
    discriminator.requires_grad_(True)
    found = {"d_loss": d_loss, "g_loss": g_loss, "lambda_d": lambda_d, "lambda_c": lambda_c}
    return {name: value.detach() for name, value in found.items()}
