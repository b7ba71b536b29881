"""What the machine offers: devices, the precision that it multiplies fast, memory that it need not fetch anew."""

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
    """The device of that name; ValueError where there is none here."""
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:  # as versions of torch say it
        reason = ascii(shorten(str(error), 120))[1:-1]  # torch repeats the name as it came
        raise ValueError(
            f"device {shown(device)} cannot be used here ({reason}): leave it out, or take 'cpu'."
        ) from error
    return found


def choose_precision(precision: Precision, device: torch.device) -> str:
    """bf16 where the machine multiplies it natively (some processors only emulate it, slowly), else fp32."""
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
    """Out of memory, which torch reports in several ways, as a MemoryError with one sentence, which `say` makes."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = str(error).lower()
        if not isinstance(error, MemoryError) and "out of memory" not in told and "allocate memory" not in told:
            raise
        raise MemoryError(say()) from error


def keep_freed_memory() -> None:
    """Tells glibc to keep large freed buffers for the next step.

    It would hand those of 32 MB and more, such as the largest layers' gradients, back to the system after each use, and
    page them in anew at the next: a fifth of a step of the full nets. Other C libraries have no mallopt and go without.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: no buffer gets a mapping of its own
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap's end is not given back
