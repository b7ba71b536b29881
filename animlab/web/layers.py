"""A generator as a short list of layers that know no PyTorch module: what the page of export_player runs.

The list is read off the generator by torch.fx, which follows one label through it. Batch norms are folded into the
layer before them, as they are linear once a network is trained. `draw` runs such a list with PyTorch: what it gives is
what the page has to show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from ..labels import Labels
from ..networks import Network

LEAVES = (
    nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, nn.Tanh,
    nn.Unflatten, nn.Identity, nn.Dropout, nn.Upsample,
)  # fmt: skip


@dataclass
class Layer:
    """One step of the list.

    Args:
        kind: a key of RUN.
        inputs: the places in the list whose outputs it takes.
        options: other numbers that it needs, such as a convolution's padding.
        weight: (out, in) or (out, in, K, K), of a transposed convolution too; None if it has none.
        bias: (out,), None if it has none.
        shape: of its output for one label, (n,) or (C, H, W).
    """

    kind: str
    inputs: list[int]
    options: dict[str, Any] = field(default_factory=dict)
    weight: Tensor | None = None
    bias: Tensor | None = None
    shape: tuple[int, ...] = ()


class Unknown(ValueError):
    """A layer that the list has no kind for."""


@torch.no_grad()
def layers_of(generator: Network) -> list[Layer]:
    """Reads the layers off a generator.

    Args:
        generator: a trained generator.

    Returns:
        The layers, each after those whose outputs it takes; the last gives the frames (C, H, W).

    Raises:
        ValueError: A layer has no kind in the list; the message names it.
    """
    try:
        graph = _Tracer().trace(generator)
        layers = _Reader(generator).read(graph)
        for layer, output in zip(layers, run(layers, generator.space.still()), strict=True):
            layer.shape = tuple(output.shape[1:])
        if len(layers[-1].shape) != 3 or layers[-1].shape[0] not in (1, 3):
            raise Unknown(f"its frames should be (1 or 3, H, W), not {layers[-1].shape}")
    except Unknown as error:
        raise ValueError(f"The page cannot run this generator: {error}.") from None
    except (RuntimeError, TypeError, fx.proxy.TraceError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(f"The page cannot run this generator: it cannot be read as layers ({reason}).") from None
    return layers


def draw(layers: list[Layer], labels: Labels) -> Tensor:
    """Draws with a list of layers what the generator draws that it was read from.

    Args:
        layers: the list, as `layers_of` gives it.
        labels: N labels.

    Returns:
        (N, C, H, W), in [-1, 1] where they are a picture.
    """
    with torch.inference_mode():
        return run(layers, labels)[-1]


def run(layers: list[Layer], labels: Labels) -> list[Tensor]:
    """Computes the output of every layer.

    Args:
        layers: the list, or its beginning.
        labels: N labels.

    Returns:
        For each layer, (N, n) or (N, C, H, W).
    """
    outputs: list[Tensor] = []
    for layer in layers:
        outputs.append(RUN[layer.kind](layer, labels, *(outputs[i] for i in layer.inputs)))
    return outputs


# What each kind does. The page does the same in page/engine.js.
RUN: dict[str, Callable[..., Tensor]] = {
    "z": lambda layer, labels: labels.z,
    "d": lambda layer, labels: labels.d,
    "c": lambda layer, labels: labels.c,
    "affine": lambda layer, _, x: layer.options["scale"] * x + layer.options["shift"],
    "concat": lambda layer, _, *xs: torch.cat(xs, dim=1),
    "linear": lambda layer, _, x: F.linear(x, layer.weight, layer.bias),
    "planes": lambda layer, _, x: x.unflatten(1, layer.options["size"]),
    "conv": lambda layer, _, x: F.conv2d(x, layer.weight, layer.bias, padding=layer.options["padding"]),
    "convTranspose": lambda layer, _, x: F.conv_transpose2d(
        x, layer.weight.transpose(0, 1), layer.bias, layer.options["stride"], layer.options["padding"]
    ),
    "leaky": lambda layer, _, x: F.leaky_relu(x, layer.options["slope"]),  # slope 0 is a ReLU
    "tanh": lambda layer, _, x: torch.tanh(x),
    "enlarge": lambda layer, _, x: F.interpolate(x, scale_factor=layer.options["factor"], mode="bilinear"),
    "add": lambda layer, _, x, y: x + y,
}


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Layers are leaves, also in the fast forms that training gives them; what is made of layers is entered."""
        return isinstance(module, LEAVES) or super().is_leaf_module(module, name)


class _Reader:
    """Turns the nodes of a traced generator into layers, one by one."""

    def __init__(self, generator: nn.Module) -> None:
        self.modules = dict(generator.named_modules())
        self.layers: list[Layer] = []
        self.place: dict[fx.Node, int] = {}  # where in the list a node's output stands

    def read(self, graph: fx.Graph) -> list[Layer]:
        (labels,) = (node for node in graph.nodes if node.op == "placeholder")
        for node in graph.nodes:
            if node.op == "output":
                if self.place[node.args[0]] != len(self.layers) - 1:
                    raise Unknown("its frames are not what its last layer gives")
            elif node is not labels:
                self.place[node] = self.label(node) if node.args[:1] == (labels,) else self.node(node)
        return self.layers

    def label(self, node: fx.Node) -> int:
        if node.target is not getattr or node.args[1] not in ("z", "d", "c"):
            raise Unknown("it uses more of the labels than z, d and c")
        return self.add(str(node.args[1]), [])

    def node(self, node: fx.Node) -> int:
        if node.op == "call_module":
            return self.module(node, self.modules[node.target])
        name = node.target if isinstance(node.target, str) else node.target.__name__
        known = FUNCTIONS.get(name) if node.op in ("call_function", "call_method") else None
        if known is None:
            raise Unknown(f"it has no layer for {name!r}")
        return known(self, node, *node.args, **node.kwargs)

    def module(self, node: fx.Node, module: nn.Module) -> int:
        (x,) = node.all_input_nodes
        match module:
            case nn.Linear():
                return self.add("linear", [x], weight=module.weight, bias=module.bias)
            case nn.Conv2d():
                return self.convolution(x, module)
            case nn.ConvTranspose2d():
                return self.transposed(x, module)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                return self.fold(x, module)
            case nn.ReLU():
                return self.add("leaky", [x], slope=0.0)
            case nn.LeakyReLU():
                return self.leaky(x, module.negative_slope)
            case nn.Tanh():
                return self.add("tanh", [x])
            case nn.Unflatten() if module.dim == 1 and len(module.unflattened_size) == 3:
                return self.add("planes", [x], size=[int(n) for n in module.unflattened_size])
            case nn.Identity() | nn.Dropout():
                return self.place[x]
            case nn.Upsample():
                return self.enlarge(node, x, module.size, module.scale_factor, module.mode, module.align_corners)
        raise Unknown(f"it has no layer for {type(module).__name__}")

    def convolution(self, x: fx.Node, module: nn.Conv2d) -> int:
        size, padding = module.kernel_size[0], module.padding[0]
        plain = _plain(module) and module.stride == (1, 1) and module.padding_mode == "zeros"
        if not (plain and isinstance(padding, int) and size == 2 * padding + 1):
            raise Unknown(f"it convolves in steps of 1 and keeps the size, which {module} does not")
        return self.add("conv", [x], module.weight, module.bias, padding=padding)

    def transposed(self, x: fx.Node, module: nn.ConvTranspose2d) -> int:
        size, stride, padding = module.kernel_size[0], module.stride[0], module.padding[0]
        square = _plain(module) and module.stride == (stride, stride) and module.output_padding == (0, 0)
        if not (square and isinstance(padding, int) and size % stride == 0 and size - 2 * padding == stride):
            raise Unknown(f"it convolves transposed so that the size grows by the stride, which {module} does not")
        return self.add(
            "convTranspose", [x], module.weight.transpose(0, 1), module.bias, stride=stride, padding=padding
        )

    def fold(self, x: fx.Node, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> int:
        """y = γ (w x + b - μ) / σ + β is w' x + b' with other numbers."""
        place = self.place[x]
        before = self.layers[place]
        mean, variance = norm.running_mean, norm.running_var
        if before.weight is None or before.bias is None or len(x.users) > 1 or mean is None or variance is None:
            raise Unknown("a batch norm must follow a linear layer or a convolution, and keep its statistics")
        scale = (variance + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight
        before.weight = before.weight * scale.reshape(-1, *[1] * (before.weight.ndim - 1))
        before.bias = (before.bias - mean) * scale + (0 if norm.bias is None else norm.bias)
        return place

    def enlarge(self, _: fx.Node, x: fx.Node, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: bool | None = None, **_other: Any) -> int:  # fmt: skip
        factor = scale_factor[0] if isinstance(scale_factor, tuple | list) else scale_factor
        if size is not None or mode != "bilinear" or align_corners or not factor or factor != int(factor):
            raise Unknown("it enlarges by a whole number and bilinearly, without aligned corners, and not otherwise")
        return self.add("enlarge", [x], factor=int(factor))

    def leaky(self, x: fx.Node, slope: float) -> int:
        if not 0 <= slope <= 1:
            raise Unknown(f"a leaky ReLU's slope is from 0 to 1, got {slope}")
        return self.add("leaky", [x], slope=float(slope))

    def affine(self, x: Any, scale: float = 1.0, shift: float = 0.0) -> int:
        return self.add("affine", [x], scale=float(scale), shift=float(shift))

    def add(
        self, kind: str, inputs: list[fx.Node], weight: Tensor | None = None, bias: Tensor | None = None, **options: Any
    ) -> int:
        if weight is not None:
            weight = weight.detach().cpu().float()
            bias = torch.zeros(len(weight)) if bias is None else bias.detach().cpu().float()
        self.layers.append(Layer(kind, [self.place[x] for x in inputs], options, weight, bias))
        return len(self.layers) - 1


def _plain(module: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    square = len({*module.kernel_size}) == len({*module.padding}) == 1
    return square and module.groups == 1 and {*module.dilation} == {1}


# Functions and methods by name, as a traced graph has them: each gets the reader, the node and the node's arguments.
Function = Callable[..., int]


def _sum(reader: _Reader, _: fx.Node, a: Any, b: Any) -> int:
    if isinstance(a, fx.Node) and isinstance(b, fx.Node):
        return reader.add("add", [a, b])
    return reader.affine(a, shift=b) if isinstance(a, fx.Node) else reader.affine(b, shift=a)


def _difference(reader: _Reader, _: fx.Node, a: Any, b: Any) -> int:
    if isinstance(a, fx.Node) and isinstance(b, fx.Node):
        raise Unknown("it has no layer that subtracts one output from another")
    return reader.affine(a, shift=-b) if isinstance(a, fx.Node) else reader.affine(b, -1.0, a)


def _product(reader: _Reader, _: fx.Node, a: Any, b: Any) -> int:
    if isinstance(a, fx.Node) and isinstance(b, fx.Node):
        raise Unknown("it has no layer that multiplies one output by another")
    return reader.affine(a, b) if isinstance(a, fx.Node) else reader.affine(b, a)


def _concat(reader: _Reader, _: fx.Node, parts: list[fx.Node], dim: int = 0) -> int:
    if dim not in (1, -1):
        raise Unknown("it joins outputs of one label only")
    return reader.add("concat", list(parts))


def _leaky(reader: _Reader, _: fx.Node, x: fx.Node, negative_slope: float = 0.01, inplace: bool = False) -> int:
    return reader.leaky(x, negative_slope)


def _planes(reader: _Reader, _: fx.Node, x: fx.Node, *size: Any) -> int:
    numbers = size[0] if len(size) == 1 else size
    if len(numbers) != 4 or not all(isinstance(n, int) and n > 0 for n in numbers[1:]):
        raise Unknown("it gives a vector the shape (C, H, W), and no other")
    return reader.add("planes", [x], size=list(numbers[1:]))


FUNCTIONS: dict[str, Function] = {
    **dict.fromkeys(["add", "iadd"], _sum),
    **dict.fromkeys(["sub", "isub"], _difference),
    **dict.fromkeys(["mul", "imul"], _product),
    **dict.fromkeys(["cat", "concat"], _concat),
    **dict.fromkeys(["view", "reshape"], _planes),
    "contiguous": lambda reader, _, x, **layout: reader.place[x],
    "leaky_relu": _leaky,
    "relu": partial(_leaky, negative_slope=0.0),
    "tanh": lambda reader, _, x: reader.add("tanh", [x]),
    "interpolate": _Reader.enlarge,
}
