"""The labels that animate pictures: latent z, discrete d (which clip), continuous c (which moment of it)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .checks import real, shown, whole

# Far more than any picture has room for, and few enough for every memory.
MOST = 10_000  # labels of a kind
MOST_FRAMES = 100_000
FARTHEST = 1e6  # that a c may go; from 0 to 1 it was trained


@dataclass(frozen=True)
class Labels:
    """A batch of generator inputs.

    z: (N, n_z) latent noise, N(0, 1).
    d: (N, n_d) one-hot discrete labels.
    c: (N, n_c) continuous labels; trained on [0, 1], values outside are allowed (Fig. 5 goes there).
    """

    z: Tensor
    d: Tensor
    c: Tensor

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, rows: slice | Tensor) -> Labels:
        return Labels(self.z[rows], self.d[rows], self.c[rows])

    def to(self, device: torch.device | str) -> Labels:
        return Labels(self.z.to(device), self.d.to(device), self.c.to(device))


@dataclass(frozen=True)
class LabelSpace:
    """How many of each label there are: n_z latent dimensions, n_d discrete and n_c continuous labels.

    >>> space = LabelSpace(n_z=8, n_d=5, n_c=5)
    >>> labels = space.sample(64, generator=torch.Generator().manual_seed(0))
    >>> labels.z.shape, labels.d.shape, labels.c.shape
    (torch.Size([64, 8]), torch.Size([64, 5]), torch.Size([64, 5]))

    Raises ValueError for what is no whole number of 0 to 10,000, n_d of at least 1.
    The paper leaves n_z open; 8 is our choice, because with many z dimensions c hides in texture (see presets.py).
    """

    n_z: int = 8
    n_d: int = 5
    n_c: int = 5

    def __post_init__(self) -> None:
        for name, least in (("n_z", 0), ("n_d", 1), ("n_c", 0)):
            number = whole(f"LabelSpace's {name}", getattr(self, name), least, MOST)
            object.__setattr__(self, name, number)  # Python's own, so that it can be stored

    @property
    def size(self) -> int:
        """Width of the generator's input z ⊕ d ⊕ c (Eq. 8)."""
        return self.n_z + self.n_d + self.n_c

    def sample(self, n: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu") -> Labels:
        """n random labels: z ~ N(0, 1), d ~ U{1..n_d} as one-hot rows, c ~ U(0, 1) (Tab. 1, input row)."""
        z = torch.randn(n, self.n_z, generator=generator, device=device)
        d = torch.randint(self.n_d, (n,), generator=generator, device=device)
        c = torch.rand(n, self.n_c, generator=generator, device=device)
        return Labels(z, self.one_hot(d), c)

    def sample_pairs(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu"
    ) -> Labels:
        """n random labels (n even), of which row i + n/2 is row i with one of its c_j drawn anew.

        Every row alone is distributed as by `sample`; together they say what a single c_j changes.
        """
        first, second = self.sample(n // 2, generator, device), self.sample(n // 2, generator, device)
        j = torch.randint(self.n_c, (n // 2, 1), generator=generator, device=device)
        moved = torch.where(torch.arange(self.n_c, device=device) == j, second.c, first.c)
        return Labels(first.z.repeat(2, 1), first.d.repeat(2, 1), torch.cat([first.c, moved]))

    def one_hot(self, d: Tensor) -> Tensor:
        """Integer labels (N,) in 0..n_d-1 as one-hot rows (N, n_d)."""
        return torch.nn.functional.one_hot(d, self.n_d).float()

    def still(self, d: int = 0, c: list[float] | Tensor | None = None, seed: int = 0) -> Labels:
        """One picture's labels: clip d, moments c (all 0.5 where not given), and the z that `seed` draws.

        Raises ValueError where d, seed or the length of c does not fit this space, or c is not finite.
        """
        self.check_d(d)
        seed = whole("seed", seed, -(2**63), 2**63 - 1)
        try:
            moments = torch.as_tensor([0.5] * self.n_c if c is None else c, dtype=torch.float32).reshape(1, -1)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"c must be a list of {self.n_c} numbers, got {shown(c)}.") from error
        if not moments.isfinite().all():
            raise ValueError(f"c must be a list of finite numbers, got {shown(c)}.")
        if moments.shape[1] != self.n_c:
            raise ValueError(f"This model has {self.n_c} continuous labels, got {moments.shape[1]} values of c.")
        z = torch.randn(1, self.n_z, generator=torch.Generator().manual_seed(seed))
        return Labels(z, self.one_hot(torch.tensor([int(d)])), moments)

    def sweep(self, base: Labels, along: int, frames: int = 16, start: float = 0.0, stop: float = 1.0) -> Labels:
        """`frames` copies of the one label `base`, with c number `along` going from start to stop in equal steps."""
        self.check_c(along)
        frames = whole("frames", frames, 1, MOST_FRAMES)
        start, stop = (real(name, end, -FARTHEST, FARTHEST) for name, end in (("start", start), ("stop", stop)))
        labels = Labels(*(x.expand(frames, -1).clone() for x in (base.z, base.d, base.c)))
        labels.c[:, along] = torch.linspace(start, stop, frames)
        return labels

    def path(self, stops: list[Labels], frames: int = 16) -> Labels:
        """Straight lines through several labels in turn, `frames` pictures a leg; the last stop is included.

        Between two stops z, d and c are all interpolated, so that a leg from one d to another is a dissolve.
        """
        if len(stops) < 2:
            raise ValueError(f"A path needs at least two stops, got {len(stops)}.")
        frames = whole("frames", frames, 1, MOST_FRAMES)
        t = torch.arange(frames).unsqueeze(1) / frames

        def walk(name: str) -> Tensor:
            xs = [getattr(s, name) for s in stops]
            return torch.cat([a + (b - a) * t for a, b in pairwise(xs)] + [xs[-1]])

        return Labels(walk("z"), walk("d"), walk("c"))

    def check_d(self, d: int) -> None:
        """ValueError unless d is one of this space's discrete labels."""
        if not _is_index(d, self.n_d):
            raise ValueError(f"d={shown(d)} is out of range: this model has discrete labels 0 to {self.n_d - 1}.")

    def check_c(self, c: int) -> None:
        """ValueError unless c is the number of one of this space's continuous labels."""
        if not _is_index(c, self.n_c):
            raise ValueError(f"c={shown(c)} is out of range: this model has continuous labels 0 to {self.n_c - 1}.")


def _is_index(value: Any, count: int) -> bool:
    """Whether a value counts one of so many; not a float, nor True, which would pass for 1."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) in range(count)
