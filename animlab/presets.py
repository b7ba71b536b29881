"""Named training presets: "paper" to the letter, "stable" what a reader should use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .networks import Norm


@dataclass(frozen=True)
class Preset:
    """Everything about training that is neither data nor label sizes.

    The defaults are the paper's where it gives a value and our choice where it does not: batch, learning rates, betas
    and the weights of λ_d and λ_c (and, beside the preset, n_z = 8 and PyTorch's initialisation).

    norm: what stands in D's two normalised places. loss: "bce" (Eq. 2 to 4) or "relativistic" with R1 + R2 of `gamma`.
    centre_c: the nets see c in [-1, 1]. label_view: what D's label heads see of a fake: "plain" the frame itself, in
    the same pass as the score; "blurred" and "silhouette" a second pass over half of the fakes, seen through views.py.
    lambda_d, lambda_c: weights of Eq. 6 and 7. lambda_still: weight of losses.stillness_loss. lr_g, lr_d, betas: Adam.
    batch: frames a step, even. ema: decay a step of the running average of G that is played, 0 for none.
    """

    norm: Norm = "batch"
    loss: Literal["bce", "relativistic"] = "bce"
    gamma: float = 0.0
    centre_c: bool = False
    label_view: Literal["plain", "blurred", "silhouette"] = "plain"
    lambda_d: float = 1.0
    lambda_c: float = 1.0
    lambda_still: float = 0.0
    lr_g: float = 2e-4
    lr_d: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    batch: int = 64
    ema: float = 0.0


# What each difference is worth, in the strength and focus of c from 0 to 1 after 90 seconds on one core, nets of a
# quarter of the width, real actions (data/recipes/README.md; the full nets: data/recipes/full-nets.md).
STABLE = Preset(
    norm="spectral",  # with D's batch norm D wins at once and nothing moves: strength 0.01; with this 0.08 to 0.10
    lambda_c=20.0,  # c was read too carelessly to be drawn: with this and centring 0.15 to 0.27
    centre_c=True,  # 0.22 to 0.34 instead of 0.17 to 0.27 for all of "stable" without it
    label_view="blurred",  # codes left faint texture and tints: 0.22 to 0.34 instead of 0.17 to 0.30
    lambda_still=0.4,  # codes left the wall: focus 0.35 to 0.43 instead of 0.32 to 0.33; 1 and more made blots of limbs
    ema=0.995,  # no stronger, but the sliders do not flicker from step to step
)

PRESETS = {
    "paper": Preset(),
    "stable": STABLE,
    # On black a code hides as a faint glow: on the shapes, c from 0 to 1 had a strength of 0.05 after 500 steps of
    # "stable", and 0.15 after 500 of this, 0.40 after 1,250.
    "stable-on-black": replace(STABLE, label_view="silhouette"),
}


def find_preset(preset: str | Preset) -> Preset:
    """The preset of that name, or the one given; ValueError lists the names."""
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise ValueError(f"No preset is named {preset!r}; there are {', '.join(map(repr, PRESETS))}.")
    return PRESETS[preset]


def name_of(preset: Preset) -> str:
    """The name under which these values are known, "custom" where they are not."""
    return next((name for name, known in PRESETS.items() if known == preset), "custom")
