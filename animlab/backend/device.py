"""What the machine offers: its devices, the precision that it multiplies natively, and memory that is reused."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from textwrap import shorten
from typing import Literal, get_args

import torch

from ..checks import shown

Precision = Literal["auto", "bf16", "fp32"]


def find_device(device: str | torch.device) -> torch.device:
    """Checks that a device can be used here.

    Args:
        device: a device, or its name.

    Raises:
        ValueError: There is no such device here.
    """
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:  # depends on torch's version
        reason = ascii(shorten(str(error), 120))[1:-1]  # torch repeats the name verbatim
        raise ValueError(
            f"device {shown(device)} cannot be used here ({reason}): leave it out, or take 'cpu'."
        ) from error
    return found


def choose_precision(precision: Precision, device: torch.device) -> str:
    """The precision to train in.

    Args:
        precision: "bf16", "fp32", or "auto": bf16 if the hardware multiplies it natively (some processors only emulate
            it, slowly), else fp32.
        device: where training runs.

    Returns:
        "bf16" or "fp32".

    Raises:
        ValueError: The precision is another word.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"No precision is named {precision!r}; there are {', '.join(map(repr, get_args(Precision)))}.")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if device.type == "cpu" and native() else "fp32"


@contextmanager
def memory_errors(say: Callable[[], str]) -> Iterator[None]:
    """A context in which running out of memory, which torch reports in several ways, raises a MemoryError.

    Args:
        say: makes the message.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = str(error).lower()
        if not isinstance(error, MemoryError) and "out of memory" not in told and "allocate memory" not in told:
            raise
        raise MemoryError(say()) from error


def keep_freed_memory() -> None:
    """Tells glibc to keep large freed buffers for the next step.

    It would return those of 32 MB and more, such as the gradients of the largest layers, to the system after each use,
    and page them in again for the next: a fifth of a step of the full networks in fp32, hardly anything in bf16
    (data/results/kept.json). Other C libraries have no mallopt, and nothing changes.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: no buffer is mapped separately
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the top of the heap is not returned
