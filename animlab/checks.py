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


def shown(value: Any) -> str:
    """A value in a message: on one line, and short whatever it is."""
    return " ".join(reprlib.repr(value).split())
