"""Training presets by name: "paper" to the letter, "stable" and "quick" for its networks, "modern" to train with."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .checks import as_float, as_whole, flag, shown
from .networks import Norm, options

# Real frames over which a decaying learning rate first rises. Adam's first steps move every weight by the whole rate,
# whatever its gradient is. Two models trained further with fresh moments and the whole rate at once went from FD 37 to
# 42 and 50 within 125 steps, though n_z or λ_c had changed as well.
WARM_UP = 3200


@dataclass(frozen=True)
class Preset:
    """Everything about training that is neither data nor the number of labels.

    The defaults are the paper's where it gives a value. They are our choice where it does not: batch, learning rates,
    betas and the weights of λ_d and λ_c (and, outside the preset, n_z = 8 and PyTorch's initialisation).

    Args:
        architecture: a name in networks.ARCHITECTURES.
        norm: what stands in the two normalised places of the paper's D, "batch", "spectral" or "none"; other networks
            take "none".
        loss: "bce" (Eq. 2 to 4) or "relativistic" (losses.relativistic_loss).
        gamma: weight of the gradient penalties R1 + R2, at least 0.
        penalty_every: the penalties are computed for one in so many frames of a batch, at least 1.
        centre_c: whether the networks work with c in [-1, 1].
        label_view: what D's label heads see of a fake. "plain" is the frame itself, in the same pass as the score;
            "blurred" and "silhouette" (augment.py) are a second pass over half of the fakes.
        shift: D sees every frame, real or fake, shifted by up to so many pixels each way, 0 to 32.
        lambda_d: weight of Eq. 6, at least 0.
        lambda_c: weight of Eq. 7, at least 0.
        lambda_still: weight of losses.stillness_loss, at least 0.
        lr_g: Adam's learning rate for G, at least 0.
        lr_d: Adam's learning rate for D, at least 0.
        lr_end: fraction of the learning rates that is left at `lr_frames`, 0 to 1.
        lr_frames: real frames over which both rates fall by half a cosine to `lr_end` of their value, where they stay;
            they rise over the first WARM_UP frames. 0 keeps them constant from the start.
        betas: Adam's β₁ and β₂, each from 0 to below 1.
        batch: frames a step, even, at least 2.
        ema: decay per step of the running average of G's weights, 0 to 1; this average is the model that is played, and
            0 makes it the newest weights.

    Raises:
        ValueError: A value is of the wrong type, unknown or out of range; the message names the field.
    """

    architecture: str = "paper"
    norm: Norm = "batch"
    loss: Literal["bce", "relativistic"] = "bce"
    gamma: float = 0.0
    penalty_every: int = 1
    centre_c: bool = False
    label_view: Literal["plain", "blurred", "silhouette"] = "plain"
    shift: int = 0
    lambda_d: float = 1.0
    lambda_c: float = 1.0
    lambda_still: float = 0.0
    lr_g: float = 2e-4
    lr_d: float = 2e-4
    lr_end: float = 1.0
    lr_frames: int = 0
    betas: tuple[float, float] = (0.5, 0.999)
    batch: int = 64
    ema: float = 0.0

    def __post_init__(self) -> None:
        hints = get_type_hints(Preset)
        for field in fields(self):
            object.__setattr__(self, field.name, _checked(field.name, getattr(self, field.name), hints[field.name]))
        if self.norm != "none" and not self._takes_norm:
            raise ValueError(
                f"The {self.architecture!r} networks are not normalised: norm must be 'none', got {self.norm!r}."
            )
        for name, low, high in LIMITS:
            value = getattr(self, name)
            if not low <= value <= high:
                bound = f"at least {low}" if high == math.inf else f"from {low} to {high}"
                raise ValueError(f"A preset's {name} must be {bound}, got {shown(value)}.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"A preset's betas must be two numbers from 0 to below 1, got {self.betas!r}.")
        if self.batch % 2:  # half of a batch goes through the label view, or is paired with the rest
            raise ValueError(f"Training takes batches of an even number of frames, got batch={self.batch}.")

    @property
    def network_options(self) -> dict[str, Any]:
        """The preset's arguments for `networks.build`, beside the architecture and the width."""
        return {"centre_c": self.centre_c} | ({"norm": self.norm} if self._takes_norm else {})

    @property
    def _takes_norm(self) -> bool:
        return "norm" in options(self.architecture)[1]

    def rate(self, step: int) -> float:
        """The factor on both learning rates at one step.

        Args:
            step: steps done before it.

        Returns:
            From 0 to 1.
        """
        if self.lr_frames == 0:
            return 1.0
        risen = min(1.0, (step + 1) * self.batch / WARM_UP)
        done = min(1.0, step * self.batch / self.lr_frames)
        return risen * (self.lr_end + (1 - self.lr_end) * (1 + math.cos(math.pi * done)) / 2)


LIMITS: list[tuple[str, float, float]] = [
    ("gamma", 0, math.inf),
    ("penalty_every", 1, math.inf),
    ("shift", 0, 32),
    ("lambda_d", 0, math.inf),
    ("lambda_c", 0, math.inf),
    ("lambda_still", 0, math.inf),
    ("lr_g", 0, math.inf),
    ("lr_d", 0, math.inf),
    ("lr_end", 0, 1),
    ("lr_frames", 0, math.inf),
    ("batch", 2, math.inf),
    ("ema", 0, 1),
]


def _checked(name: str, value: Any, kind: Any) -> Any:
    """The value in a plain Python type, which JSON can store; ValueError where it is not of the field's type."""
    if get_origin(kind) is tuple:
        if not isinstance(value, (tuple, list)) or len(value) != len(get_args(kind)):
            raise ValueError(f"A preset's {name} must be two numbers, got {value!r}.")
        return tuple(_checked(name, part, part_kind) for part, part_kind in zip(value, get_args(kind)))
    if get_origin(kind) is Literal:
        if not isinstance(value, str) or value not in get_args(kind):
            raise ValueError(f"A preset's {name} must be {' or '.join(map(repr, get_args(kind)))}, got {value!r}.")
        return value
    if kind is bool:
        return flag(f"A preset's {name}", value)
    plain: Any = as_whole(value) if kind is int else as_float(value) if kind is float else value
    if not isinstance(plain, kind) or (kind is float and not math.isfinite(plain)):
        raise ValueError(f"A preset's {name} must be {KINDS[kind]}, got {shown(value)}.")
    return plain


KINDS = {int: "a whole number", float: "a finite number", str: "a name"}

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

# Found by a search of one run each on the real actions; data/recipes/modern.md keeps its log. FD below is that of the
# small feature network after so many steps. What most lines are worth alone has not been measured. Black grounds need
# nothing else: with γ 3 and λ_c 2 shapes and digits came out no better.
MODERN = Preset(
    architecture="residual",
    norm="none",
    loss="relativistic",
    gamma=1.0,  # at γ 2 the actions were bent sticks after 1,170 steps; 330 more at γ 1 gave them heads and arms
    penalty_every=4,  # from every 8th frame FD 83 after 500 steps instead of 41, and no people visible
    centre_c=True,
    label_view="blurred",
    # Seen by the score alone, it let codes hide in the corners, with strengths of .09 to .29; seen by all heads, and
    # with another n_z, another λ_c and filled gaps, .21 to .43.
    shift=4,
    lambda_c=4.0,  # went from 10 to 4 in the same moment, and c from strengths of .26 to .47 to .25 to .38
    # After 13,675 steps FD(EfficientNet-Lite0) is 210 with it and 188 without, focus of c .39 to .57 and .39 to .49.
    # Three seeds drew equally well with it, but one let its c fade to strengths of .09; without it they had .32 to .45.
    lambda_still=0.4,
    lr_g=3e-4,  # 4e-4 began fast and broke after 1,000 steps
    lr_d=3e-4,
    lr_end=1 / 3,
    lr_frames=128_000,
    betas=(0.0, 0.99),
    batch=32,
    ema=0.999,
)

# For a simple scene, few labels and two minutes, with nets of a quarter of the width. Found on the owls, one run a row:
# data/recipes/own-clip.md keeps the log.
QUICK = replace(
    STABLE,
    loss="relativistic",
    gamma=5.0,  # D's slope is bounded, so the rates may be high; with γ 1 one of two owls was forgotten
    penalty_every=4,
    norm="none",
    batch=16,  # many small steps
    lr_g=5e-4,
    lr_d=5e-4,
    betas=(0.5, 0.99),
    lambda_c=5.0,  # two c are read off more easily than five
)

PRESETS = {
    "paper": Preset(),
    "stable": STABLE,
    "quick": QUICK,
    # On black a code hides as a faint glow: on the shapes, c from 0 to 1 had a strength of 0.05 after 500 steps of
    # "stable", and 0.15 after 500 of this, 0.40 after 1,250.
    "stable-on-black": replace(STABLE, label_view="silhouette"),
    "modern": MODERN,
}


def find_preset(preset: str | Preset) -> Preset:
    """Looks a preset up by name.

    Args:
        preset: a name in PRESETS, or a Preset, which is returned as it is.

    Raises:
        ValueError: The name is unknown; the message lists the known ones.
    """
    if isinstance(preset, Preset):
        return preset
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ValueError(f"No preset is named {preset!r}; there are {', '.join(map(repr, PRESETS))}.")
    return PRESETS[preset]


def name_of(preset: Preset) -> str:
    """The name of a preset, "custom" if none of PRESETS has exactly its values.

    Args:
        preset: the preset.
    """
    return next((name for name, known in PRESETS.items() if known == preset), "custom")
