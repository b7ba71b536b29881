"""The comparisons of Tab. 4 and 5 made fair: who takes part, on which clips, and what each is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..datasets import Clips, load_dataset
from ..labels import LabelSpace
from ..machine import Precision
from ..training import Run
from ..training import fit as fit_labels
from .training import fit as fit_baseline


@dataclass(frozen=True)
class Contender:
    """Somebody who takes part, at published settings.

    title: as tables and figures name it. model: of baselines.MODELS; for ours None, with a preset and label sizes.
    precision: as `fit` takes it; TGAN's critic tells real from fake by differences that bf16 rounds away.
    """

    title: str
    model: str | None = None
    preset: str = "stable"
    space: LabelSpace | None = None
    precision: Precision = "auto"

    def fit(self, clips: Clips, steps: int, **options: Any) -> Run:
        """Trains it on `clips`; options are those that `animlab.fit` and `animlab.baselines.fit` share."""
        options = {"precision": self.precision} | options
        if self.model is not None:
            return fit_baseline(clips, self.model, steps, **options)
        assert self.space is not None
        return fit_labels(clips, self.space, self.preset, steps, **options)


@dataclass(frozen=True)
class Ground:
    """A data set to be compared on.

    length, real_frames: of the paper's protocol, frames of an animation and real frames that FD is held against.
    held_out: share of the takes that nobody is trained on. stride: whole clips are judged at every `stride`-th frame,
    as the baseline of this ground is trained. rivals: by name, the baselines first.
    """

    dataset: str
    length: int
    real_frames: int
    held_out: float
    stride: int
    rivals: dict[str, Contender]

    def load(self) -> tuple[Clips, Clips]:
        """The clips that everybody is trained on, and those that nobody is."""
        return load_dataset(self.dataset, progress=False).split(self.held_out, seed=0)


GROUNDS = {
    "actions": Ground(  # Tab. 4
        "actions", 10, 7_000, 0.2, 2,
        {
            "mocogan": Contender("MoCoGAN", "mocogan"),
            "mocogan-32": Contender("MoCoGAN, 32 clips", "mocogan-32"),
            "paper": Contender("ours, paper", preset="paper", space=LabelSpace(8, 5, 5)),
            "stable": Contender("ours, stable", preset="stable", space=LabelSpace(8, 5, 5)),
        },
    ),
    "moving-mnist": Ground(  # Tab. 5; 9,000 of the 10,000 clips are trained on, as in the paper
        "moving-mnist", 5, 20_000, 0.1, 1,
        {
            "tgan-z1": Contender("TGAN (z1)", "tgan-z1", precision="fp32"),
            "tgan": Contender("TGAN (z1, z2)", "tgan", precision="fp32"),
            "paper": Contender("ours, paper, n_d 20, n_c 20", preset="paper", space=LabelSpace(8, 20, 20)),
            "stable-10-20": Contender("ours, n_d 10, n_c 20", preset="stable-on-black", space=LabelSpace(8, 10, 20)),
            "stable-20-20": Contender("ours, n_d 20, n_c 20", preset="stable-on-black", space=LabelSpace(8, 20, 20)),
        },
    ),
}  # fmt: skip
