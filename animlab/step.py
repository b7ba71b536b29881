"""The two-stage training step (Fig. 2): stage 1 updates D, stage 2 updates G, one fake batch serves both."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from . import losses
from .labels import Labels
from .networks import Discriminator, Generator
from .presets import Preset
from .views import label_view


class Autocast(Protocol):
    def __call__(self) -> AbstractContextManager[None]: ...


def train_step(
    generator: Generator,
    discriminator: Discriminator,
    g_optimizer: torch.optim.Optimizer,
    d_optimizer: torch.optim.Optimizer,
    real: Tensor,
    labels: Labels,
    preset: Preset,
    autocast: Autocast,
    rng: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """One step of Eq. 9 on real frames (N, C, 64, 64) and N labels; returns the detached losses, without a sync."""
    n = len(real)
    d = labels.d

    # Stage 1: D learns to tell real from fake (Eq. 2, 3) and to read the labels (Eq. 6, 7).
    with autocast():
        fake = generator(labels)
        shown = [real.to(fake.dtype), fake.detach()]
        blurred = preset.label_view == "blurred"
        if blurred:
            shown.append(label_view(fake.detach(), rng))
        score, d_logits, c_hat = discriminator(torch.cat(shown))
    real_score, fake_score = score[:n].float(), score[n : 2 * n].float()
    lambda_d = losses.discrete_loss(d_logits[-n:].float(), d)
    lambda_c = losses.continuous_loss(c_hat[-n:].float(), labels.c)
    label_loss = preset.lambda_d * lambda_d + preset.lambda_c * lambda_c
    if preset.loss == "bce":
        d_loss = losses.total_loss(real_score, fake_score, label_loss)
    else:
        d_loss = losses.relativistic_loss(real_score, fake_score) + label_loss
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()

    # Stage 2: G learns to be taken for real (Eq. 4) and to draw what D can read (Eq. 6, 7); D is frozen.
    discriminator.requires_grad_(False)
    with autocast():
        shown = [fake, label_view(fake, rng)] if blurred else [fake]
        score, d_logits, c_hat = discriminator(torch.cat(shown))
    if preset.loss == "bce":
        g_loss = losses.generator_loss(score[:n].float())
    else:
        g_loss = losses.relativistic_loss(score[:n].float(), real_score.detach())
    g_label = preset.lambda_d * losses.discrete_loss(d_logits[-n:].float(), d)
    g_label = g_label + preset.lambda_c * losses.continuous_loss(c_hat[-n:].float(), labels.c)
    if preset.lambda_still:
        g_label = g_label + preset.lambda_still * losses.stillness_loss(fake[: n // 2], fake[n // 2 :])
    g_optimizer.zero_grad()
    (g_loss + g_label).backward()
    g_optimizer.step()
    discriminator.requires_grad_(True)
    found = {"d_loss": d_loss, "g_loss": g_loss, "lambda_d": lambda_d, "lambda_c": lambda_c}
    return {name: value.detach() for name, value in found.items()}
