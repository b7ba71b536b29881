"""The labels that animate pictures: latent z, discrete d (which clip), continuous c (which moment of it)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .backend.device import find_device
from .checks import instance, kind, real, shown, whole

# Far more than 64×64 pixels can show, and few enough to fit into memory.
MOST = 10_000  # labels of one kind
MOST_FRAMES = 100_000
MOST_ROWS = 10_000_000  # drawn at once
FARTHEST = 1e6  # largest |c|; training draws c from [0, 1]


@dataclass(frozen=True)
class Labels:
    """A batch of generator inputs.

    Attributes:
        z: (N, n_z) float32, latent noise, N(0, 1).
        d: (N, n_d) float32, one-hot discrete labels.
        c: (N, n_c) float32, continuous labels. Training draws them from [0, 1]; values outside are allowed and
            extrapolate (Fig. 5).
    """

    z: Tensor
    d: Tensor
    c: Tensor

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, rows: slice | Tensor) -> Labels:
        """The labels of some rows."""
        return Labels(self.z[rows], self.d[rows], self.c[rows])

    def to(self, device: torch.device | str) -> Labels:
        """The same labels on another device.

        Args:
            device: where to, such as "cuda".
        """
        return Labels(self.z.to(device), self.d.to(device), self.c.to(device))


@dataclass(frozen=True)
class LabelSpace:
    """The number of labels of each kind.

    The paper does not state n_z. We take 8, because with many dimensions of z, c only changes texture (see presets.py).

    Example:
        >>> space = LabelSpace(n_z=8, n_d=5, n_c=5)
        >>> labels = space.sample(64, generator=torch.Generator().manual_seed(0))
        >>> labels.z.shape, labels.d.shape, labels.c.shape
        (torch.Size([64, 8]), torch.Size([64, 5]), torch.Size([64, 5]))

    Args:
        n_z: dimensions of the latent noise z, 0 to 10,000.
        n_d: discrete labels, 1 to 10,000.
        n_c: continuous labels, 0 to 10,000; training needs at least 1.

    Raises:
        ValueError: A number is not whole or out of range.
    """

    n_z: int = 8
    n_d: int = 5
    n_c: int = 5

    def __post_init__(self) -> None:
        for name, least in (("n_z", 0), ("n_d", 1), ("n_c", 0)):
            number = whole(f"LabelSpace's {name}", getattr(self, name), least, MOST)
            object.__setattr__(self, name, number)  # a Python int, which JSON can store

    @property
    def size(self) -> int:
        """Width of the generator's input z ⊕ d ⊕ c (Eq. 8)."""
        return self.n_z + self.n_d + self.n_c

    def sample(self, n: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu") -> Labels:
        """Draws random labels: z ~ N(0, 1), d uniform over the n_d labels, c ~ U(0, 1) (Tab. 1, input row).

        Args:
            n: number of rows, N, 0 to 10,000,000.
            generator: source of randomness, on `device`; None is torch's global one.
            device: where the labels are drawn and stay.

        Returns:
            N labels, d as one-hot rows.

        Raises:
            ValueError: n is not whole or out of range, or there is no such device here.
            TypeError: generator is not a torch.Generator.
        """
        n = whole("n", n, 0, MOST_ROWS)
        if generator is not None:
            instance("generator must be a torch.Generator or None", generator, torch.Generator)
        if not isinstance(device, torch.device):  # training hands one over, and tries it once instead of at every step
            device = find_device(device)
        z = torch.randn(n, self.n_z, generator=generator, device=device)
        d = torch.randint(self.n_d, (n,), generator=generator, device=device)
        c = torch.rand(n, self.n_c, generator=generator, device=device)
        return Labels(z, _one_hot(d, self.n_d), c)

    def sample_pairs(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu"
    ) -> Labels:
        """Draws random labels in pairs that differ in a single continuous label.

        Row i + n/2 equals row i, except that one c_j, with j drawn for each pair, is drawn again. Each row by itself is
        distributed as in `sample`; the two of a pair show what one c_j changes (see `losses.stillness_loss`).

        Args:
            n: number of rows, even, 0 to 10,000,000.
            generator: source of randomness, on `device`; None is torch's global one.
            device: where the labels are drawn and stay.

        Returns:
            n labels.

        Raises:
            ValueError: n is not whole, odd or out of range, the space has no c, or there is no such device here.
            TypeError: generator is not a torch.Generator.
        """
        n = whole("n", n, 0, MOST_ROWS)
        if n % 2:
            raise ValueError(f"n, the rows of sample_pairs, must be even, got {n}.")
        if not self.n_c:
            raise ValueError("Pairs differ in one c, and this model has no continuous labels.")
        first, second = self.sample(n // 2, generator, device), self.sample(n // 2, generator, device)
        j = torch.randint(self.n_c, (n // 2, 1), generator=generator, device=device)
        moved = torch.where(torch.arange(self.n_c, device=device) == j, second.c, first.c)
        return Labels(first.z.repeat(2, 1), first.d.repeat(2, 1), torch.cat([first.c, moved]))

    def one_hot(self, d: Tensor) -> Tensor:
        """Turns integer labels into one-hot rows.

        Args:
            d: (N,) int64, from 0 to n_d - 1.

        Returns:
            (N, n_d) float32.

        Raises:
            ValueError: A label is out of range.
            TypeError: d is not a tensor (N,) int64.
        """
        if not isinstance(d, Tensor) or d.dtype != torch.int64 or d.ndim != 1:
            raise TypeError(f"d must be a tensor (N,) int64, got {kind(d)}.")
        outside = d[(d < 0) | (d >= self.n_d)]
        if len(outside):
            raise ValueError(f"d must be from 0 to {self.n_d - 1}, got {outside[0].item()}.")
        return _one_hot(d, self.n_d)

    def still(self, d: int = 0, c: list[float] | Tensor | None = None, seed: int = 0) -> Labels:
        """The labels of a single picture.

        Args:
            d: discrete label, 0 to n_d - 1.
            c: (n_c,) continuous labels; None is 0.5 for each.
            seed: seed from which z is drawn.

        Returns:
            One row of labels.

        Raises:
            ValueError: d or the length of c does not fit this space, c is not finite, or seed is not a 64-bit integer.
        """
        self.check_d(d)
        seed = whole("seed", seed, -(2**63), 2**63 - 1)
        try:
            values = c.copy() if isinstance(c, np.ndarray) else c  # torch takes no array that runs backwards
            moments = torch.as_tensor([0.5] * self.n_c if c is None else values, dtype=torch.float32).reshape(1, -1)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"c must be a list of {self.n_c} numbers, got {shown(c)}.") from error
        if not moments.isfinite().all():
            raise ValueError(f"c must be a list of finite numbers, got {shown(c)}.")
        if moments.shape[1] != self.n_c:
            raise ValueError(f"This model has {self.n_c} continuous labels, got {moments.shape[1]} values of c.")
        z = torch.randn(1, self.n_z, generator=torch.Generator().manual_seed(seed))
        return Labels(z, self.one_hot(torch.tensor([int(d)])), moments)

    def sweep(
        self,
        base: Labels,
        along: int = 0,
        frames: int = 16,
        start: float = 0.0,
        stop: float = 1.0,
        *,
        c: int | None = None,
    ) -> Labels:
        """Varies one continuous label in equal steps while everything else stays the same.

        Args:
            base: one row of labels.
            along: index j of the c_j that varies, 0 to n_c - 1.
            frames: number of rows, 1 to 100,000.
            start: value of c_j in the first row, within ±1e6.
            stop: value of c_j in the last row, within ±1e6.
            c: the former name of `along`, up to version 0.1; it still works, with a FutureWarning.

        Returns:
            `frames` rows of labels.

        Raises:
            ValueError: An argument is out of range, or `base` has several rows or belongs to another space.
            TypeError: `base` is not Labels.
        """
        along = under_new_name("sweep", along, c)
        self.check_row("base", base)
        self.check_along(along)
        frames = whole("frames", frames, 1, MOST_FRAMES)
        start, stop = (real(name, end, -FARTHEST, FARTHEST) for name, end in (("start", start), ("stop", stop)))
        labels = Labels(*(x.expand(frames, -1).clone() for x in (base.z, base.d, base.c)))
        labels.c[:, along] = torch.linspace(start, stop, frames)
        return labels

    def path(self, stops: list[Labels], frames: int = 16) -> Labels:
        """Interpolates linearly through several labels in turn.

        Between two stops z, d and c are all interpolated, so that going from one d to another is a dissolve.

        Args:
            stops: at least two, each one row of labels.
            frames: rows for each leg, 1 to 100,000, its starting point included.

        Returns:
            frames · (len(stops) - 1) + 1 rows of labels; the last one is the last stop.

        Raises:
            ValueError: There are fewer than two stops, one has several rows or belongs to another space, or `frames` is
                out of range.
            TypeError: `stops` is not a list of Labels.
        """
        if not isinstance(stops, (list, tuple)):
            raise TypeError(f"stops must be a list of Labels, each one row, got {type(stops).__name__}.")
        for i, stop in enumerate(stops):
            self.check_row(f"stops[{i}]", stop)
        if len(stops) < 2:
            raise ValueError(f"A path needs at least two stops, got {len(stops)}.")
        frames = whole("frames", frames, 1, MOST_FRAMES)
        t = torch.arange(frames).unsqueeze(1) / frames

        def walk(name: str) -> Tensor:
            xs = [getattr(s, name) for s in stops]
            return torch.cat([a + (b - a) * t for a, b in pairwise(xs)] + [xs[-1]])

        return Labels(walk("z"), walk("d"), walk("c"))

    def check_d(self, d: int) -> None:
        """Checks a discrete label.

        Args:
            d: an integer, 0 to n_d - 1.

        Raises:
            ValueError: d is something else.
        """
        if not _is_index(d, self.n_d):
            raise ValueError(f"d={shown(d)} is out of range: this model has discrete labels 0 to {self.n_d - 1}.")

    def check_along(self, along: int) -> None:
        """Checks the index of a continuous label.

        Args:
            along: an integer, 0 to n_c - 1.

        Raises:
            ValueError: `along` is something else.
        """
        if not _is_index(along, self.n_c):
            there = f"continuous labels 0 to {self.n_c - 1}" if self.n_c else "no continuous labels"
            raise ValueError(f"along={shown(along)} is out of range: this model has {there}.")

    def check_row(self, name: str, labels: Labels) -> None:
        """Checks a single row of labels.

        Args:
            name: what the argument is called in the message.
            labels: the argument to check.

        Raises:
            TypeError: These are not Labels.
            ValueError: There are several rows or none, or they belong to another space.
        """
        instance(f"{name} must be Labels, such as model.space.still gives", labels, Labels)
        parts = {"z": labels.z, "d": labels.d, "c": labels.c}
        sizes = {part: tuple(x.shape) if isinstance(x, Tensor) else shown(x) for part, x in parts.items()}
        if sizes != {"z": (1, self.n_z), "d": (1, self.n_d), "c": (1, self.n_c)}:
            got = ", ".join(f"{part} {size}" for part, size in sizes.items())
            raise ValueError(f"{name} must be one row of labels of {self}, got {got}.")


def under_new_name(function: str, along: Any, c: Any) -> Any:
    """Takes an argument under its former name, with a FutureWarning.

    Args:
        function: the function's name.
        along: the argument under its present name.
        c: the argument under its former name; None if it did not come so.

    Returns:
        c if it came, else along.
    """
    if c is None:
        return along
    warnings.warn(f"{function}(c=…) is called {function}(along=…) now.", FutureWarning, stacklevel=3)
    return c


def _one_hot(d: Tensor, count: int) -> Tensor:
    """One-hot rows of labels in range. No check of values, which would make each step on a GPU wait for the last."""
    return torch.nn.functional.one_hot(d, count).float()


def _is_index(value: Any, count: int) -> bool:
    """Whether a value is an integer from 0 to count - 1; neither a float, nor True, which would pass for 1."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) in range(count)
