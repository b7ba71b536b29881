"""A training step as one CUDA graph: hundreds of small kernels take longer to launch one by one than to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UP = 3  # steps before the capture, in which libraries choose kernels and optimisers allocate their moments


class CUDAGraphStep:
    """A training step that is run normally WARM_UP times, then captured once and replayed from then on.

    See "CUDA Graphs" in PyTorch's notes on CUDA semantics.

    Args:
        step: takes no arguments and returns a tensor. It must not wait for the GPU, and all that it works on must stay
            at the same address: weights, moments, counters and frames are changed in place. Its Python code does not
            run again after the capture.
        rng: the generator, on the GPU, from which it draws its random numbers.
        optimizers: those that it steps.
    """

    def __init__(
        self, step: Callable[[], Tensor], rng: torch.Generator, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        self.step, self.rng, self.optimizers, self.calls = step, rng, optimizers, 0
        with torch.cuda.device(rng.device):
            self.graph, self.stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        self.result = torch.empty(0)

    def __call__(self) -> Tensor:
        """Runs one step; returns a copy of its result."""
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
            optimizer.zero_grad()  # so that gradients are allocated in the graph's memory
            for group in optimizer.param_groups:
                group["capturable"] = True  # fused Adam counts its steps on the GPU anyway, but checks this
        self.graph.register_generator_state(self.rng)
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.result = self.step()
