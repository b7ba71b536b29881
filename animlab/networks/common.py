"""What every pair of networks shares: how labels go into G, and how D's one output parts into x', d' and c'."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..checks import flag, instance, real, whole
from ..labels import Labels, LabelSpace

WIDTHS = 0.001, 100.0  # below, every layer has its least size; above, none fits into a memory
MOST_CHANNELS = 1000  # of a frame
LEAK = 0.2  # of every leaky ReLU; the paper gives none, DCGAN has this


class Network(nn.Module):
    """A generator or a discriminator.

    config: what it was built with beside space and channels, for the header of its file.

    Raises ValueError for a width from outside WIDTHS, for channels that are no whole number of at least 1 and for a
    centre_c that is neither True nor False; TypeError for a space that is no LabelSpace.
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
    """What a network is built with, as Python's own types, so that it can be stored; ValueError for no such values."""
    config = dict(config)
    if "width" in config:
        config["width"] = real("width, the factor on the networks' channels,", config["width"], *WIDTHS)
    if "centre_c" in config:
        config["centre_c"] = flag("centre_c", config["centre_c"])
    return config


def scaled(width: float, channels: int) -> int:
    """`channels` of a table times the width factor, at least 4 (the tables are width 1)."""
    return max(4, round(channels * width))


def join_labels(labels: Labels, centre_c: bool) -> Tensor:
    """z ⊕ d ⊕ c, (N, n_z + n_d + n_c), G's input (Eq. 8).

    centre_c: c goes in as 2c - 1, so that the middle of its range is 0.
    """
    return torch.cat([labels.z, labels.d, 2 * labels.c - 1 if centre_c else labels.c], dim=1)


def split_heads(heads: Tensor, space: LabelSpace, centre_c: bool) -> tuple[Tensor, Tensor, Tensor]:
    """D's last layer (N, 1 + n_d + n_c) → logit x' (N, 1), logits d' (N, n_d) and c' (N, n_c), Eq. 8.

    c' lives where c does, [0, 1], but is not clipped to it; centre_c says that the layer gives 2c' - 1.
    """
    logit, d_logits, c_hat = heads.split([1, space.n_d, space.n_c], dim=1)
    return logit, d_logits, (c_hat + 1) / 2 if centre_c else c_hat
