"""What a model costs: multiply-adds by kind of layer, parameters, and the memory of a training step (Tab. 6, measured).

>>> found = cost("mocogan") >>> found.drawn["conv 2-D"], found.step.total(), found.peak

Counting happens on the device "meta", where tensors have shapes and no numbers: a step that would take a minute is
counted in a fraction of a second. `FlopCounter` counts real computations as well.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from .cost_models import cost_model

KINDS = ("conv 1-D", "conv 2-D", "conv 3-D, depth 1", "conv 3-D", "recurrent", "linear")


class FlopCounter(TorchDispatchMode):
    """A context that counts the multiply-adds of what runs in it, by kind of layer, and the peak of allocated memory.

    Convolutions and matrix products count, everything else is free: half of what PyTorch's FlopCounterMode finds, whose
    formulas are used. Memory that a kernel allocates for itself is not seen.

    Attributes:
        multiply_adds: a Counter over KINDS, of forward and backward passes alike; transposed convolutions count as
            convolutions.
        live: bytes allocated now.
        peak: most bytes allocated at one time.
        start: bytes allocated when the context was made.

    Args:
        *nets: the networks that will run; their weights and gradients count as allocated from the start.
        optimizers: their optimisers, whose state counts as well.

    Raises:
        ValueError: A network has an nn.LSTM, or a linear and a recurrent layer with weights of one shape.
    """

    def __init__(self, *nets: nn.Module, optimizers: Iterable[torch.optim.Optimizer] = ()) -> None:
        super().__init__()
        self.multiply_adds: Counter[str] = Counter()
        self.live = self.peak = self.start = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        if any(isinstance(m, nn.LSTM) for net in nets for m in net.modules()):
            raise ValueError("PyTorch has no formula for an nn.LSTM, it would count as free: build it of nn.LSTMCell.")
        cells = [m for net in nets for m in net.modules() if isinstance(m, nn.RNNBase | nn.RNNCellBase)]
        self._recurrent = {tuple(w.shape) for cell in cells for w in cell.parameters() if w.ndim == 2}
        inside = {id(w) for cell in cells for w in cell.parameters()}
        others = {tuple(w.shape) for net in nets for w in net.parameters() if w.ndim == 2 and id(w) not in inside}
        if self._recurrent & others:
            raise ValueError("A linear and a recurrent layer have weights of one shape; they cannot be told apart.")
        for net in nets:
            for tensor in [*net.parameters(), *net.buffers(), *(w.grad for w in net.parameters())]:
                self._watch(tensor)
        for optimizer in optimizers:
            for tensor in tree_leaves(list(optimizer.state.values())):
                self._watch(tensor)
        self.start = self.peak = self.live

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        if packet not in flop_registry:  # composed of other operations: count those
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        if packet in flop_registry:
            self.multiply_adds[self._kind(packet, args, out)] += (
                flop_registry[packet](*args, **kwargs, out_val=out) // 2
            )
        for tensor in tree_leaves(out):
            self._watch(tensor)
        return out

    def _watch(self, tensor: Any) -> None:
        if not isinstance(tensor, Tensor):
            return
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._known.add(storage)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._forget, storage.nbytes()).atexit = False

    def _forget(self, size: int) -> None:
        self.live -= size

    def _kind(self, packet: Any, args: Any, out: Any) -> str:
        if "convolution" in str(packet):
            weight = args[2] if "backward" in str(packet) else args[1]
            if weight.ndim == 5 and weight.shape[2] == 1:
                return "conv 3-D, depth 1"
            return f"conv {weight.ndim - 2}-D"
        # A product's layer is the one whose weight has the shape of a factor or, for the gradient, of the result.
        sides = [tuple(a.shape) for a in (*args, out) if isinstance(a, Tensor) and a.ndim == 2]
        return "recurrent" if any(s in self._recurrent or s[::-1] in self._recurrent for s in sides) else "linear"


class WithoutNumbers(TorchFunctionMode):
    """Runs code on shapes alone: every tensor is made on the device "meta", without a random generator.

    Values that the code asks for are made up: False and 1. So every step of TGAN counts as one without singular value
    clipping.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__bool__:
            return False
        if func is Tensor.item:
            return 1.0
        kwargs = {name: value for name, value in (kwargs or {}).items() if name != "generator"}
        if "device" in kwargs:
            kwargs["device"] = "meta"
        out = func(*args, **kwargs)
        return out.to("meta") if isinstance(out, Tensor) and out.device.type != "meta" else out


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        generators: parameters of the generators.
        discriminators: parameters of the discriminators.
        drawn: multiply-adds by kind of layer, of G for one clip.
        judged: multiply-adds by kind of layer, of D for one clip.
        step: multiply-adds by kind of layer, of one training step.
        seen: real frames in a step.
        kept: bytes of the weights, their gradients and the optimisers' state.
        peak: most bytes allocated at one time during a step, these included.
    """

    generators: int
    discriminators: int
    drawn: Counter[str]
    judged: Counter[str]
    step: Counter[str]
    seen: int
    kept: int
    peak: int


def cost(name: str, frames: int = 16, size: int = 64, batch: int | None = None) -> Cost:
    """Counts the cost of a model of Tab. 6; only shapes are computed.

    Args:
        name: a name in COST_MODELS.
        frames: frames in a clip, a multiple of 16.
        size: height and width of a frame in pixels, a power of two from 64 up.
        batch: as for `cost_models.cost_model`.

    Raises:
        ValueError: The name is unknown, or a size is out of range.
    """
    with torch.device("meta"), WithoutNumbers():
        it = cost_model(name, frames, size, batch)
        nets = [*it.generators, *it.discriminators]
        for net in nets:
            net.eval()
        with torch.no_grad():
            with FlopCounter(*nets) as drawn:
                clip = it.draw()
            with FlopCounter(*nets) as judged:
                it.judge(clip)
        for net in nets:
            net.train()
        it.step()  # after which the weights have gradients, and the optimisers their state
        with FlopCounter(*nets, optimizers=it.optimizers) as step:
            it.step()
    counts = drawn.multiply_adds, judged.multiply_adds, step.multiply_adds
    return Cost(parameters(*it.generators), parameters(*it.discriminators), *counts, it.seen, step.start, step.peak)


def parameters(*nets: nn.Module) -> int:
    """Counts trainable parameters.

    Args:
        *nets: the networks; their counts are added up.
    """
    return sum(w.numel() for net in nets for w in net.parameters())
