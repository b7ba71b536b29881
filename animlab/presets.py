"""Named training presets: "paper" to the letter, "stable" what a reader should use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .networks import Norm


@dataclass(frozen=True)
class Preset:
    """Everything about training that is neither data nor label sizes.

    norm: what stands in D's two normalised places. loss: "bce" (Eq. 2 to 4) or "relativistic" with R1 + R2 of `gamma`.
    label_view: what D's label heads see of a fake: "plain" the frame itself, in the same pass as the score;
    "blurred" a second pass over the frame through `label_view` of views.py (jittered colours, light and fine detail
    removed), so that a code must move something a person can see.
    """

    norm: Norm = "batch"
    loss: Literal["bce", "relativistic"] = "bce"
    gamma: float = 0.0
    centre_c: bool = False
    label_view: Literal["plain", "blurred"] = "plain"
    lambda_d: float = 1.0
    lambda_c: float = 1.0
    lambda_still: float = 0.0
    lr_g: float = 2e-4
    lr_d: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    batch: int = 64
    ema: float = 0.0


PRESETS = {
    "paper": Preset(),
    "stable": Preset(norm="spectral", centre_c=True, label_view="blurred", lambda_c=20.0, lambda_still=0.4, ema=0.995),
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
