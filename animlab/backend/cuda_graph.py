"""A training step as one CUDA graph: hundreds of small kernels take longer to launch one by one than to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UP = 3  # steps before the capture, in which libraries choose kernels and optimisers make their moments


class CUDAGraphStep:
    """A step that is called as it is WARM_UP times, then captured once and replayed from there on.

    step: takes nothing and gives a tensor. It may not wait for the GPU, and finds what it works on at the same place
    each time: weights, moments, counters and frames are changed in place. Python in it runs no more after the capture.
    rng: the generator, on the GPU, that it draws its random numbers with. optimizers: those that it steps.
    See "CUDA Graphs" in PyTorch's notes on CUDA semantics.
    """

    def __init__(
        self, step: Callable[[], Tensor], rng: torch.Generator, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        self.step, self.rng, self.optimizers, self.calls = step, rng, optimizers, 0
        with torch.cuda.device(rng.device):
            self.graph, self.stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        self.result = torch.empty(0)

    def __call__(self) -> Tensor:
        """One step; its result is the caller's to keep."""
        self.calls += 1
        with torch.cuda.device(self.rng.device):
            if self.calls <= WARM_UP:  # on the stream of the capture, to which autograd ties each weight's gradient
                self.stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(self.stream):
                    result = self.step()
                torch.cuda.current_stream().wait_stream(self.stream)
                return result
            if self.calls == WARM_UP + 1:
                self._capture()
            self.graph.replay()
            return self.result.clone()  # the next replay writes over it

    def _capture(self) -> None:
        """Records a step without running it."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()  # gradients shall lie in the graph's own memory
            for group in optimizer.param_groups:
                group["capturable"] = True  # fused Adam counts its steps on the GPU anyway; it has to be told
        self.graph.register_generator_state(self.rng)
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.result = self.step()
