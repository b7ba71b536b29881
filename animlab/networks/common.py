"""What every pair of networks shares: how labels enter G, and how D's output is split into x', d' and c'."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..checks import flag, instance, real, whole
from ..labels import Labels, LabelSpace

WIDTHS = 0.001, 100.0  # below, every layer has its least size; above, no machine has the memory
FACTOR = "width, the factor on the networks' channels,"
MOST_CHANNELS = 1000  # of a frame
MOST_IN_A_LAYER = 100_000  # channels, at width 1
AT_ONCE = 16  # pictures drawn or read: of more, a layer's outputs no longer fit into a processor's caches
LEAK = 0.2  # slope of every leaky ReLU for negative inputs; the paper gives none, this is DCGAN's


class Network(nn.Module):
    """Base class of generators and discriminators.

    Its `config` holds the arguments beside space and channels, for the header of a checkpoint.

    Args:
        space: the number of labels of each kind.
        channels: channels of a frame, 1 to 1,000.
        **config: the other arguments of the subclass; `width` from 0.001 to 100, `centre_c` True or False.

    Raises:
        ValueError: width, channels or centre_c is none of these.
        TypeError: space is not a LabelSpace.
    """

    def __init__(self, space: LabelSpace, channels: int, **config: Any) -> None:
        super().__init__()
        instance("Networks take a LabelSpace", space, LabelSpace)
        self.space, self.channels = space, whole("channels", channels, 1, MOST_CHANNELS)
        self.config = checked(config)

    @property
    def width(self) -> float:
        """The factor on the channels of every hidden layer."""
        return float(self.config["width"])

    @property
    def centre_c(self) -> bool:
        """Whether the network works with 2c - 1, so that the middle of c's range is 0."""
        return bool(self.config["centre_c"])


def checked(config: dict[str, Any]) -> dict[str, Any]:
    """A network's config in plain Python types, which JSON can store.

    Args:
        config: the constructor's arguments by name.

    Raises:
        ValueError: A value is out of range.
    """
    config = dict(config)
    if "width" in config:
        config["width"] = real(FACTOR, config["width"], *WIDTHS)
    if "centre_c" in config:
        config["centre_c"] = flag("centre_c", config["centre_c"])
    return config


def scaled(width: float, channels: int) -> int:
    """The channels of a layer in a network of another width.

    Args:
        width: factor; the tables are width 1.
        channels: channels of the layer in the table.

    Returns:
        width · channels, rounded, at least 4.

    Raises:
        ValueError: width is not from 0.001 to 100, or channels not from 1 to 100,000.
    """
    width, channels = real(FACTOR, width, *WIDTHS), whole("channels", channels, 1, MOST_IN_A_LAYER)
    return max(4, round(channels * width))


def join_labels(labels: Labels, centre_c: bool) -> Tensor:
    """Concatenates labels to G's input z ⊕ d ⊕ c (Eq. 8).

    Args:
        labels: N labels.
        centre_c: whether c enters as 2c - 1, so that the middle of its range is 0.

    Returns:
        (N, n_z + n_d + n_c).
    """
    return torch.cat([labels.z, labels.d, 2 * labels.c - 1 if centre_c else labels.c], dim=1)


def split_heads(heads: Tensor, space: LabelSpace, centre_c: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Splits the output of D's last layer into x', d' and c' (Eq. 8).

    Args:
        heads: (N, 1 + n_d + n_c), the output of the last layer.
        space: the number of labels of each kind.
        centre_c: whether the layer predicts 2c' - 1.

    Returns:
        The logit x' (N, 1), the logits d' (N, n_d), and c' (N, n_c) on the scale of c, [0, 1], but not clipped to it.
    """
    logit, d_logits, c_hat = heads.split([1, space.n_d, space.n_c], dim=1)
    return logit, d_logits, (c_hat + 1) / 2 if centre_c else c_hat


@torch.no_grad()
def drawn(generator: Network, labels: Labels) -> Tensor:
    """The pictures of labels, drawn in evaluation mode, AT_ONCE of them at a time.

    Args:
        generator: G.
        labels: N labels.

    Returns:
        (N, channels, 64, 64) float32, on the generator's device.
    """
    device, was_training = next(generator.parameters()).device, generator.training
    generator.eval()
    try:
        parts = [labels[i : i + AT_ONCE].to(device) for i in range(0, len(labels), AT_ONCE)]
        return torch.cat([generator(part).float() for part in parts])
    finally:
        generator.train(was_training)
