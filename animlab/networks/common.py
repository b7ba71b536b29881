"""What every pair of networks shares: how labels go into G, and how D's one output parts into x', d' and c'."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..labels import Labels, LabelSpace

LEAK = 0.2  # of every leaky ReLU; the paper gives none, DCGAN has this


class Network(nn.Module):
    """A generator or a discriminator.

    config: what it was built with beside space and channels, for the header of its file.
    """

    def __init__(self, space: LabelSpace, channels: int, **config: Any) -> None:
        super().__init__()
        self.space, self.channels, self.config = space, channels, config

    @property
    def width(self) -> float:
        """The factor on the channels of every hidden layer."""
        return float(self.config["width"])

    @property
    def centre_c(self) -> bool:
        """Whether the network works with 2c - 1, so that the middle of c's range is 0."""
        return bool(self.config["centre_c"])


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
