"""A generator's weights as the page holds them: int8 with a scale for each output, as checkpoints have them, deflated.

The paper's generator has 8.4 million weights in one layer, and as text these would be 11 MB. A weight rounded to fewer
steps deflates to fewer bytes, so the largest linear layers get as many steps as the page has room for (about ±9 there).
Rounding each weight to the nearest step would then show. But a layer's inputs go together, so that an error in one
weight can be made up for by others: `round_together` does so, and its pictures are four to five times as near.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..checkpoints import LARGE, to_int8
from ..labels import LabelSpace
from .layers import Layer, run

STEPS = (127, 63, 31, 23, 15, 13, 11, 9, 7, 5)  # a rounded layer's whole numbers go from minus to plus one of these
SAMPLES = 4096  # random labels from which round_together learns what goes together
COLUMNS = 64  # rounded before the rest of the weight hears of it: fewer would take longer, more too


class TooLarge(ValueError):
    """The weights take more room than there is."""


def pack(layers: list[Layer], space: LabelSpace, room: int) -> tuple[str, list[dict[str, Any]], list[Layer]]:
    """Packs the weights into a text.

    Args:
        layers: the layers, as `layers_of` gives them.
        space: the label space of the generator.
        room: largest number of characters of the text.

    Returns:
        The text (deflated, base64); the layers as the page reads them; and the layers with the weights that the text
        gives back, so that `layers.draw` shows what the page will draw.

    Raises:
        TooLarge: The text would be longer.
    """
    stored: dict[int, tuple[Tensor, Tensor]] = {
        i: to_int8(layer.weight)
        for i, layer in enumerate(layers)
        if layer.weight is not None and layer.weight.numel() >= LARGE
    }
    linear = [i for i in stored if layers[i].kind == "linear"]
    most = next((steps for steps in STEPS if len(_text(layers, _rounded(layers, stored, linear, steps))[0]) <= room), 0)
    if not most:
        raise TooLarge
    if most < STEPS[0]:
        # Where two such layers follow each other, the second is made for what the first, rounded, gives.
        for i in linear:
            weight = layers[i].weight
            assert weight is not None
            stored[i] = round_together(weight, _inputs(_restored(layers, stored), space, layers[i].inputs[0]), most)
    text, described = _text(layers, stored)
    return text, described, _restored(layers, stored)


def round_together(weight: Tensor, inputs: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Rounds a linear layer's weight so that the layer's outputs change little.

    Its columns are rounded one after the other, and each one's error is made up for by those still to come, as far as
    the inputs show which of them go together.

    Source: Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained transformers", 2022.

    Args:
        weight: (m, n).
        inputs: (N, n), inputs of the layer.
        most: the largest whole number; the smallest is its negative.

    Returns:
        Whole numbers (m, n) int8, and the scale of each output, (m, 1).
    """
    _, scale = to_int8(weight, most)
    together = inputs.double().T @ inputs.double() / len(inputs)
    order = together.diagonal().argsort(descending=True)
    together = together[order][:, order]
    n = len(order)
    together += 1e-3 * together.diagonal().mean().clamp(min=1e-12) * torch.eye(n)  # inputs never seen apart
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(together))
    share = torch.linalg.cholesky(inverse, upper=True).float()
    rest = weight.float().T[order].contiguous()  # (n, m): a column of the weight is a row in memory
    step = scale[:, 0]
    whole = torch.empty(rest.shape, dtype=torch.int8)
    for first in range(0, n, COLUMNS):
        end = min(n, first + COLUMNS)
        errors = torch.empty(end - first, len(weight))
        for j in range(first, end):
            rounded = (rest[j] / step).round().clamp(-most, most)
            whole[order[j]] = rounded.to(torch.int8)
            errors[j - first] = (rest[j] - rounded * step) / share[j, j]
            rest[j:end].addr_(share[j, j:end], errors[j - first], alpha=-1)
        rest[end:].addmm_(share[first:end, end:].T, errors, alpha=-1)
    whole = whole.T.contiguous()
    return whole, scale


def _inputs(layers: list[Layer], space: LabelSpace, place: int) -> Tensor:
    """The output of a layer for random labels, the same each time: (SAMPLES, n)."""
    labels = space.sample(SAMPLES, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return run(layers[: place + 1], labels)[-1]


def _rounded(
    layers: list[Layer], stored: dict[int, tuple[Tensor, Tensor]], linear: list[int], most: int
) -> dict[int, tuple[Tensor, Tensor]]:
    """The large linear layers in steps from -most to most: good enough to see how many bytes they take."""
    return stored | {i: to_int8(layers[i].weight, most) for i in linear}  # type: ignore[arg-type]


def _restored(layers: list[Layer], stored: dict[int, tuple[Tensor, Tensor]]) -> list[Layer]:
    return [
        replace(layer, weight=stored[i][0] * stored[i][1]) if i in stored else layer for i, layer in enumerate(layers)
    ]


def _text(layers: list[Layer], stored: dict[int, tuple[Tensor, Tensor]]) -> tuple[str, list[dict[str, Any]]]:
    """Every number in one text (deflated, base64), and the layers with the places (in bytes) where theirs begin."""
    parts: list[bytes] = []
    size = 0

    def put(tensor: Tensor) -> int:
        nonlocal size
        parts.append(tensor.contiguous().numpy().tobytes())
        size += len(parts[-1])
        return size - len(parts[-1])

    described = []
    for i, layer in enumerate(layers):
        entry: dict[str, Any] = {"kind": layer.kind, "inputs": layer.inputs, "shape": layer.shape, **layer.options}
        if layer.weight is not None and layer.bias is not None:
            whole, scale = stored.get(i, (layer.weight, None))
            entry["weight"] = {"shape": tuple(whole.shape), "at": put(whole)}
            if scale is not None:
                entry["weight"]["scale"] = put(scale)
            if layer.kind != "linear":
                entry["border"] = _border(layer)
            entry["bias"] = {"shape": tuple(layer.bias.shape), "at": put(layer.bias)}
        described.append(entry)
    # Weights hardly ever repeat, so looking for repeats would only take time.
    deflate = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    packed = b"".join([*(deflate.compress(part) for part in parts), deflate.flush()])
    return b64encode(packed).decode(), described


def _border(layer: Layer) -> int:
    """How many zeros a convolution reads beyond each edge of its input."""
    assert layer.weight is not None
    if layer.kind == "conv":
        return int(layer.options["padding"])
    size, stride, padding = layer.weight.shape[2], layer.options["stride"], layer.options["padding"]
    return int(max(size // stride - 1 - padding // stride, (stride - 1 + padding) // stride))
