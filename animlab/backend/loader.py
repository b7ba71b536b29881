"""Where a step's real frames come from: memory, a file too large for it, or the GPU's own memory."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

CHUNK = 4096  # frames that go to the GPU at a time, 50 MB: a memory map is not read into memory as a whole


def loader_for(
    frames: np.ndarray, rng: torch.Generator, seed: int, batch: int, part: slice = slice(None)
) -> MemmapLoader:
    """The loader that fits where `rng` draws: MemmapLoader on the CPU; on a GPU DeviceLoader, or PrefetchLoader.

    frames: (N, 64, 64, C) uint8, in memory or a memory map. batch: frames a step; part: this process's rows of them.
    """
    if rng.device.type != "cuda":
        return MemmapLoader(frames, rng, seed, batch, part)
    free, _ = torch.cuda.mem_get_info(rng.device)
    return (DeviceLoader if frames.nbytes <= free / 2 else PrefetchLoader)(frames, rng, seed, batch, part)


class MemmapLoader:
    """Random frames out of memory or a memory map; their rows are drawn with `rng`."""

    def __init__(
        self, frames: np.ndarray, rng: torch.Generator, seed: int, batch: int, part: slice = slice(None)
    ) -> None:
        self.frames, self.rng, self.seed, self.batch, self.part = frames, rng, seed, batch, part

    def prepare(self, step: int) -> None:
        """What step `step` needs that cannot be captured in a CUDA graph: here nothing."""

    def take(self) -> Tensor:
        """This process's part of a random batch, (n, 64, 64, C) uint8, a fresh one at each call."""
        return torch.from_numpy(gather(self.frames, self._rows().cpu().numpy()))

    def _rows(self) -> Tensor:
        rng = self.rng
        return torch.randint(len(self.frames), (self.batch,), generator=rng, device=rng.device)[self.part]


class DeviceLoader(MemmapLoader):
    """All frames lie on the device, which draws the rows as well: nothing comes from outside during a step."""

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
    """Frames go to the device batch by batch, into one buffer, while it still computes the step before.

    The rows depend on the seed and the step alone: numbers drawn on the device could only be known by waiting for it.
    """

    def __init__(
        self, frames: np.ndarray, rng: torch.Generator, seed: int, batch: int, part: slice = slice(None)
    ) -> None:
        super().__init__(frames, rng, seed, batch, part)
        shape = (len(range(batch)[part]), *frames.shape[1:])
        self.buffer = torch.empty(shape, dtype=torch.uint8, device=rng.device)

    def prepare(self, step: int) -> None:
        """Sends the batch of step `step` on its way."""
        rows = np.random.default_rng((self.seed % 2**63, step)).integers(len(self.frames), size=self.batch)[self.part]
        batch = torch.from_numpy(gather(self.frames, rows))
        if self.buffer.device.type == "cuda":
            batch = batch.pin_memory()  # what a copy that nobody waits for needs
        self.buffer.copy_(batch, non_blocking=True)

    def take(self) -> Tensor:
        return self.buffer


def gather(frames: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """frames[rows], a copy; the system is told at once which parts of a memory map that will read.

    It then fetches them from the disk side by side instead of one after the other, which is six times faster.
    """
    if isinstance(frames, np.memmap) and hasattr(mmap, "MADV_WILLNEED"):
        with suppress(OSError, AttributeError):
            madvise, size = ctypes.CDLL(None).madvise, frames[0].nbytes
            for row in rows.tolist():
                start = frames.ctypes.data + row * frames.strides[0]
                page = start - start % mmap.PAGESIZE
                madvise(ctypes.c_void_p(page), ctypes.c_size_t(start + size - page), mmap.MADV_WILLNEED)
    return frames[rows]
