"""Loaders of real frames: from memory, from a file too large for it, or from the GPU's own memory."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

CHUNK = 4096  # frames copied to the GPU at a time, 50 MB, so that a memory map is not read into memory as a whole


def loader_for(
    frames: np.ndarray, rng: torch.Generator, seed: int, batch: int, part: slice = slice(None)
) -> MemmapLoader:
    """The loader that suits a device: MemmapLoader on the CPU; on a GPU DeviceLoader, or PrefetchLoader for large data.

    Args:
        frames: (N, 64, 64, C) uint8, in memory or a memory map.
        rng: draws the rows, on the device that trains.
        seed: seed of the run, for PrefetchLoader.
        batch: frames per step, of all processes together.
        part: the rows of a batch that this process takes.
    """
    if rng.device.type != "cuda":
        return MemmapLoader(frames, rng, seed, batch, part)
    free, _ = torch.cuda.mem_get_info(rng.device)
    return (DeviceLoader if frames.nbytes <= free / 2 else PrefetchLoader)(frames, rng, seed, batch, part)


class MemmapLoader:
    """Loads random frames from memory or a memory map.

    Args:
        frames: (N, 64, 64, C) uint8.
        rng: draws the rows.
        seed: seed of the run, which only PrefetchLoader uses.
        batch: frames per step, of all processes together.
        part: the rows of a batch that this process takes.
    """

    def __init__(
        self, frames: np.ndarray, rng: torch.Generator, seed: int, batch: int, part: slice = slice(None)
    ) -> None:
        self.frames, self.rng, self.seed, self.batch, self.part = frames, rng, seed, batch, part

    def prepare(self, step: int) -> None:
        """Prepares what a step needs and a CUDA graph cannot capture: here nothing.

        Args:
            step: number of the step, from 1.
        """

    def take(self) -> Tensor:
        """This process's part of a new random batch, (n, 64, 64, C) uint8."""
        return torch.from_numpy(gather(self.frames, self._rows().cpu().numpy()))

    def _rows(self) -> Tensor:
        rng = self.rng
        return torch.randint(len(self.frames), (self.batch,), generator=rng, device=rng.device)[self.part]


class DeviceLoader(MemmapLoader):
    """Keeps all frames on the device, which draws the rows as well, so that a step transfers nothing.

    Args:
        frames: (N, 64, 64, C) uint8, copied to rng's device.
        rng: draws the rows.
        seed: has no effect.
        batch: frames per step, of all processes together.
        part: the rows of a batch that this process takes.
    """

    def __init__(
        self, frames: np.ndarray, rng: torch.Generator, seed: int, batch: int, part: slice = slice(None)
    ) -> None:
        super().__init__(frames, rng, seed, batch, part)
        self.resident = torch.empty(frames.shape, dtype=torch.uint8, device=rng.device)
        for start in range(0, len(frames), CHUNK):
            rows = slice(start, start + CHUNK)
            self.resident[rows].copy_(torch.from_numpy(np.array(frames[rows])))

    def take(self) -> Tensor:
        return self.resident[self._rows()]


class PrefetchLoader(MemmapLoader):
    """Copies each batch to the device, into one buffer, while the step before is still running.

    The rows depend only on the seed and the step: to know numbers drawn on the device, one would have to wait for it.

    Args:
        frames: (N, 64, 64, C) uint8.
        rng: gives the device.
        seed: seed of the run.
        batch: frames per step, of all processes together.
        part: the rows of a batch that this process takes.
    """

    def __init__(
        self, frames: np.ndarray, rng: torch.Generator, seed: int, batch: int, part: slice = slice(None)
    ) -> None:
        super().__init__(frames, rng, seed, batch, part)
        shape = (len(range(batch)[part]), *frames.shape[1:])
        self.buffer = torch.empty(shape, dtype=torch.uint8, device=rng.device)

    def prepare(self, step: int) -> None:
        """Starts to copy a step's batch to the device.

        Args:
            step: number of the step, from 1.
        """
        rows = np.random.default_rng((self.seed % 2**63, step)).integers(len(self.frames), size=self.batch)[self.part]
        batch = torch.from_numpy(gather(self.frames, rows))
        if self.buffer.device.type == "cuda":
            batch = batch.pin_memory()  # which an asynchronous copy needs
        self.buffer.copy_(batch, non_blocking=True)

    def take(self) -> Tensor:
        return self.buffer


def gather(frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A copy of chosen frames; of a memory map, the system is told first which parts will be read.

    It then reads them from disk in parallel instead of one after the other, which is six times faster.

    Args:
        frames: (N, H, W, C) uint8.
        rows: (n,) indices.

    Returns:
        (n, H, W, C) uint8.
    """
    if isinstance(frames, np.memmap) and hasattr(mmap, "MADV_WILLNEED"):
        with suppress(OSError, AttributeError):
            madvise, size = ctypes.CDLL(None).madvise, frames[0].nbytes
            for row in rows.tolist():
                start = frames.ctypes.data + row * frames.strides[0]
                page = start - start % mmap.PAGESIZE
                madvise(ctypes.c_void_p(page), ctypes.c_size_t(start + size - page), mmap.MADV_WILLNEED)
    return frames[rows]
