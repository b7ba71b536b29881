"""Checks of arguments: numbers of any type become plain Python numbers, anything else raises one clear sentence."""

from __future__ import annotations

import math
import operator
import os
import reprlib
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Checks a whole number of any type, including a float such as 8.0.

    Example:
        >>> whole("frames", np.int64(8), 1), whole("frames", 8.0, 1)
        (8, 8)

    Args:
        name: what the number is called in the message.
        value: the argument to check.
        low: smallest value allowed.
        high: largest value allowed, None for any.

    Returns:
        The number as an int.

    Raises:
        ValueError: The value is not a whole number, or out of range.
    """
    number = as_whole(value)
    if number is None or number < low or (high is not None and number > high):
        bounds = f"of at least {low:,}" if high is None else f"from {low:,} to {high:,}"
        raise ValueError(f"{name} must be a whole number {bounds}, got {shown(value)}.")
    return number


def as_whole(value: Any) -> int | None:
    """Converts a whole number of any type to an int.

    Args:
        value: anything, such as 3, 3.0, NumPy's numbers, or a tensor of one whole number.

    Returns:
        The int; None for anything else, True and False included.
    """
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        if not isinstance(value, Real):
            return operator.index(value)  # of a tensor or an array of one whole number
        number = int(value)  # type: ignore[call-overload]  # numpy's and fractions know how
    except (TypeError, ValueError, OverflowError):  # the last two of NaN and infinity
        return None
    return number if number == value else None


def real(name: str, value: Any, low: float, high: float) -> float:
    """Checks a real number of any type.

    Args:
        name: what the number is called in the message.
        value: the argument to check.
        low: smallest value allowed.
        high: largest value allowed; math.inf for any.

    Returns:
        The number as a float.

    Raises:
        ValueError: The value is not a number, is NaN, or is out of range.
    """
    number = as_float(value)
    if not low <= number <= high:
        bounds = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ValueError(f"{name} must be a number {bounds}, got {shown(value)}.")
    return number


def as_float(value: Any) -> float:
    """Converts a real number of any type to a float.

    Args:
        value: anything.

    Returns:
        The float; NaN for what is no real number, and for an integer that no float can hold.
    """
    if not isinstance(value, Real) or isinstance(value, (bool, np.bool_)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def flag(name: str, value: Any) -> bool:
    """Checks True or False, NumPy's included; other values are refused, because a "no" would count as true.

    Args:
        name: what the argument is called in the message.
        value: the argument to check.

    Raises:
        ValueError: The value is not True or False.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {shown(value)}.")
    return bool(value)


def instance(name: str, value: Any, kind: type) -> None:
    """Raises TypeError unless a value is an instance of a class.

    Args:
        name: the beginning of the message: which function takes it, and where such an object comes from.
        value: the argument to check.
        kind: the class.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name}, got {shown(value) if isinstance(value, type) else type(value).__name__}.")


def path_of(name: str, value: Any) -> Path:
    """Checks the name of a file or folder.

    Args:
        name: what the argument is called in the message.
        value: the argument to check; `~` is the home folder.

    Returns:
        The path, with `~` replaced.

    Raises:
        TypeError: The value is neither a string nor a Path.
        ValueError: It holds a null character, or names a home folder that there is not.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a string or a Path, got {shown(value)}.")
    path = Path(value)
    if "\0" in str(path):
        raise ValueError(f"{name} must have no null character in it, got {shown(str(path))}.")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name} leads to a home folder that cannot be found, got {shown(str(path))}.") from error


def seed_of(value: Any) -> int:
    """Checks a seed; the range is what the generators of NumPy, PyTorch and scikit-learn all accept.

    Args:
        value: 0 to 2³² - 1.

    Raises:
        ValueError: The value is not a whole number in this range.
    """
    return whole("seed", value, 0, 2**32 - 1)


def check_frames(
    what: str, frames: Any, least: int = 1, size: tuple[int, int] | None = None, channels: tuple[int, ...] = (1, 3)
) -> None:
    """Raises ValueError unless a value is an array of frames, uint8 (N, H, W, C).

    Args:
        what: the beginning of the message.
        frames: the value to check.
        least: smallest N allowed.
        size: the (H, W) required, None for any.
        channels: the C allowed, empty for any.
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
    """Describes a value in a message.

    Args:
        value: anything.

    Returns:
        The dtype and shape of an array or a tensor, and of anything else what `shown` gives.
    """
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {tuple(value.shape)}"
    return shown(value)


def offers(what: str, value: Any, *names: str) -> None:
    """Raises TypeError unless a value has certain attributes.

    Args:
        what: the beginning of the message: which function takes it, and where such an object comes from.
        value: the argument to check.
        *names: the attributes.
    """
    if not all(hasattr(value, name) for name in names):
        raise TypeError(f"{what}, got {kind(value)}.")


def shown(value: Any) -> str:
    """The repr of a value for a message: on one line, and shortened.

    Args:
        value: anything.
    """
    return " ".join(reprlib.repr(value).split())
