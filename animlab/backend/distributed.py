"""One training run on several processes: each takes a part of every batch, and together they step as one.

Accelerate starts the processes (`accelerate launch`, `notebook_launcher`), chooses the device and communicates between
them. This module makes the result that of one process with the whole batch: all draw the same random numbers for the
whole batch and keep every count-th row; gradients are averaged before each optimiser step; batch norm sees the whole
batch. Rows are dealt out in turn, so that the two halves of a batch, which the label views and the label pairs rely on,
are halves for each process too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .device import find_device

# The threads with which a process has computed do not exist in its fork, which would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def reduce(value: Tensor, reduction: str) -> Tensor:
    """Reduces a tensor over all processes.

    Args:
        value: this process's tensor.
        reduction: "sum" or "mean".
    """
    from accelerate.utils import reduce as over_all

    return over_all(value, reduction)


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Args:
        count: number of processes.
        index: of this one, 0 to count - 1.
        device: what this one computes on.
    """

    count: int
    index: int
    device: torch.device

    @classmethod
    def here(cls, device: str | None = None) -> Processes:
        """The processes as Accelerate finds them: one, or those that its launcher has started.

        Args:
            device: a torch device; None takes a CUDA GPU if there is one, else the CPU.

        Raises:
            ValueError: The device cannot be used here.
        """
        from accelerate import PartialState  # here, because it takes a second to import

        if PartialState._shared_state and PartialState().num_processes != int(os.environ.get("WORLD_SIZE", 1)):
            PartialState._reset_state()  # notebook_launcher forks: the children inherit a state of one process
        state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())  # Apple's GPU only where asked for
        chosen = state.device if device is None else find_device(device)
        return cls(state.num_processes, state.process_index, chosen)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.index == 0

    @property
    def rows(self) -> slice:
        """The rows of a whole batch that this process takes."""
        return slice(self.index, None, self.count)

    def rand(self, n: int, *shape: int, generator: torch.Generator | None = None) -> Tensor:
        """This process's part of random numbers that all processes draw alike.

        Args:
            n: rows for this process.
            *shape: the other dimensions.
            generator: source of randomness, in the same state in all processes.

        Returns:
            (n, …), U(0, 1).
        """
        device = None if generator is None else generator.device
        return torch.rand(n * self.count, *shape, generator=generator, device=device)[self.rows]

    def synchronize(self, *trained: tuple[nn.Module, torch.optim.Optimizer]) -> None:
        """Makes networks and optimisers take the whole batch into account: batch norms and gradients are shared.

        Args:
            *trained: each network with its optimiser.
        """
        if self.count == 1:
            return
        for net, optimizer in trained:
            for module in net.modules():
                if isinstance(module, _BatchNorm):
                    module.__class__ = JointBatchNorm  # same parameters and buffers, another forward
                    module.processes = self.count  # type: ignore[assignment]
            optimizer.register_step_pre_hook(_average_gradients)

    def mean(self, values: Tensor) -> Tensor:
        """Averages a tensor over all processes.

        Args:
            values: the same shape in every process.
        """
        return reduce(values, "mean") if self.count > 1 else values

    def any(self, flag: bool) -> bool:
        """Whether a flag is set in any process: all must stop at the same step, or the others wait for ever.

        Args:
            flag: this process's own.
        """
        if self.count == 1:
            return flag
        return bool(reduce(torch.tensor(float(flag), device=self.device), "sum") > 0)


def _average_gradients(optimizer: torch.optim.Optimizer, *_: object) -> None:
    """Averages over all processes, in one message, the gradients that this optimiser is about to use."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    joined = reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
    for gradient, part in zip(gradients, joined.split([gradient.numel() for gradient in gradients])):
        gradient.copy_(part.view(gradient.shape))


class _Sum(torch.autograd.Function):
    """The sum over all processes, differentiable any number of times: the gradient of a sum is the sum of gradients."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return reduce(x, "sum")

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)


class JointBatchNorm(_BatchNorm):
    """Batch norm with the mean and variance of the batches of all processes together.

    It does what nn.SyncBatchNorm does, which needs CUDA; this one also runs on the CPU, where the tests run, and can be
    differentiated twice, as gradient penalties require.

    Attributes:
        processes: number of processes.
    """

    processes: int

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        values = x.float().transpose(0, 1).flatten(1)  # (channels, everything else)
        count = values.shape[1] * self.processes
        mean = _Sum.apply(values.sum(1)) / count
        variance = _Sum.apply((values - mean[:, None]).square().sum(1)) / count
        with torch.no_grad():
            assert self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        shape = (1, -1, *(1 for _ in x.shape[2:]))
        normal = (x.float() - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        return (normal * self.weight.view(shape) + self.bias.view(shape)).to(x.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accepts what BatchNorm1d and BatchNorm2d accept."""
