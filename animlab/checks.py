"""Numbers of whatever type a caller has, Python's, numpy's or another's, as Python's own; or one clear sentence."""

from __future__ import annotations

import math
import operator
import reprlib
from contextlib import suppress
from numbers import Real
from typing import Any

import numpy as np


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """A whole number of any type, a float that is whole included, as an int; ValueError for others and out of range.

    >>> whole("frames", np.int64(8), 1), whole("frames", 8.0, 1)
    (8, 8)
    """
    number: int | None = None
    if isinstance(value, Real):
        if not isinstance(value, bool) and math.isfinite(value) and float(value).is_integer():
            number = int(value)  # type: ignore[call-overload]  # numpy's and fractions know how
    elif not isinstance(value, np.bool_):
        with suppress(TypeError, ValueError):
            number = operator.index(value)  # of a tensor or an array of one whole number
    if number is None or number < low or (high is not None and number > high):
        bounds = f"of at least {low:,}" if high is None else f"from {low:,} to {high:,}"
        raise ValueError(f"{name} must be a whole number {bounds}, got {shown(value)}.")
    return number


def real(name: str, value: Any, low: float, high: float) -> float:
    """A number of any type from low to high as a float; ValueError for others, NaN among them."""
    fits = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    if not (fits and low <= value <= high):
        bounds = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ValueError(f"{name} must be a number {bounds}, got {shown(value)}.")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """True or False, numpy's too, as Python's own; ValueError for others: "no" would pass for true."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {shown(value)}.")
    return bool(value)


def instance(name: str, value: Any, kind: type) -> None:
    """TypeError unless a value is of a type of the library. name: what takes it, and where it comes from."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}, got {shown(value) if isinstance(value, type) else type(value).__name__}.")


def seed_of(value: Any) -> int:
    """A seed as an int; ValueError for what NumPy's, PyTorch's and scikit-learn's generators do not all take."""
    return whole("seed", value, 0, 2**32 - 1)


def check_frames(
    what: str, frames: Any, least: int = 1, size: tuple[int, int] | None = None, channels: tuple[int, ...] = (1, 3)
) -> None:
    """ValueError unless these are frames, uint8 (N, H, W, C).

    what: begins the message. least: how many frames there have to be. size: the only (H, W) that will do, None for any.
    channels: the C that will do, none for any.
    """
    if (
        not isinstance(frames, np.ndarray)
        or frames.dtype != np.uint8
        or frames.ndim != 4
        or len(frames) < least
        or 0 in frames.shape[1:]
        or (size and frames.shape[1:3] != size)
        or (channels and frames.shape[3] not in channels)
    ):
        n = "N" if least < 2 else f"N of at least {least}"
        h, w = size or ("H", "W")
        c = " or ".join(map(str, channels)) or "C"
        raise ValueError(f"{what} must be uint8 frames ({n}, {h}, {w}, {c}), got {kind(frames)}.")


def kind(value: Any) -> str:
    """What a value is, in a message: an array's type and shape, anything else as it is shown."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {tuple(value.shape)}"
    return shown(value)


def offers(what: str, value: Any, *names: str) -> None:
    """TypeError unless a value has what is asked of it. what: what takes it, and where it comes from."""
    if not all(hasattr(value, name) for name in names):
        raise TypeError(f"{what}, got {kind(value)}.")


def shown(value: Any) -> str:
    """A value in a message: on one line, and short whatever it is."""
    return " ".join(reprlib.repr(value).split())
