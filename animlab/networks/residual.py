"""A modern pair: residual blocks without any normalisation, as in R3GAN, small enough to train on a CPU.

- Nothing is normalised: each block is x + f(x) with f starting at zero, so that an untrained network passes its input
  on unchanged and deep stacks train from the first step (Zhang et al. 2019, "Fixup").
- G doubles the resolution by bilinear interpolation, D halves it by averaging: neither leaves a grid in the pictures.
- D has no level at 64×64, where even few channels are slow: a convolution with stride 2 goes straight to 32×32.
- G's output is linear: values beyond [-1, 1] are clipped only when shown. A tanh would saturate on black backgrounds,
  and a saturated pixel learns nothing.

Huang et al. 2024, "The GAN is dead; long live the GAN! A modern baseline GAN".
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..labels import Labels, LabelSpace
from .common import LEAK, Network, join_labels, scaled, split_heads

CHANNELS = 192, 128, 96, 48, 24  # at 4×4, 8×8, 16×16, 32×32 and 64×64
HIDDEN = 256  # units between labels and pictures


class Generator(Network):
    """The residual generator: labels → frames (N, channels, 64, 64), in [-1, 1] where they are a picture.

    Args:
        space: the number of labels of each kind.
        channels: channels of a frame.
        width: factor on the channels of every level, 0.001 to 100.
        centre_c: whether c enters as 2c - 1, so that the middle of its range is 0.

    Raises:
        ValueError: width, channels or centre_c is out of range.
        TypeError: space is not a LabelSpace.
    """

    def __init__(self, space: LabelSpace, channels: int = 3, width: float = 1.0, centre_c: bool = True) -> None:
        super().__init__(space, channels, width=width, centre_c=centre_c)
        levels = [scaled(width, n) for n in CHANNELS]
        first, last = levels[0], levels[-1]
        self.embed = nn.Sequential(
            nn.Linear(space.size, HIDDEN), nn.LeakyReLU(LEAK), nn.Linear(HIDDEN, first * 4 * 4),
            nn.Unflatten(1, (first, 4, 4)),
        )  # fmt: skip
        layers: list[nn.Module] = [Block(first)]
        for before, after in pairwise(levels):
            layers += [convolution(before, after, 1), Enlarge(), Block(after)]
        self.decoder = nn.Sequential(*layers, nn.LeakyReLU(LEAK), convolution(last, channels, 3, gain=0.5))

    def forward(self, labels: Labels) -> Tensor:
        """Draws frames.

        Args:
            labels: N labels of this network's space, on its device.

        Returns:
            (N, channels, 64, 64), in [-1, 1] where they are a picture.
        """
        x = self.embed(join_labels(labels, self.centre_c))
        return self.decoder(x.contiguous(memory_format=torch.channels_last))


class Discriminator(Network):
    """The residual discriminator: frames (N, channels, 64, 64) → x' (N, 1), d' (N, n_d) and c' (N, n_c), Eq. 8.

    It mirrors the generator from 32×32 down. The score x' and d' are logits; c' is on the scale of c, [0, 1], but not
    clipped to it.

    Args:
        space: the number of labels of each kind.
        channels: channels of a frame.
        width: factor on the channels of every level, 0.001 to 100.
        centre_c: whether the last layer predicts 2c' - 1.

    Raises:
        ValueError: width, channels or centre_c is out of range.
        TypeError: space is not a LabelSpace.
    """

    def __init__(self, space: LabelSpace, channels: int = 3, width: float = 1.0, centre_c: bool = True) -> None:
        super().__init__(space, channels, width=width, centre_c=centre_c)
        levels = [scaled(width, n) for n in reversed(CHANNELS[:-1])]
        first, last = levels[0], levels[-1]
        layers: list[nn.Module] = [convolution(channels, first, 4, stride=2), Block(first)]  # (N, 48, 32, 32)
        for before, after in pairwise(levels):
            layers += [nn.AvgPool2d(2), convolution(before, after, 1), Block(after)]
        self.features = nn.Sequential(
            *layers, nn.LeakyReLU(LEAK), nn.Flatten(), nn.Linear(last * 4 * 4, HIDDEN), nn.LeakyReLU(LEAK)
        )
        self.head = nn.Linear(HIDDEN, 1 + space.n_d + space.n_c)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores frames and reads their labels (Eq. 8).

        Args:
            frames: (N, channels, 64, 64) in [-1, 1].

        Returns:
            The logit x' (N, 1), the logits d' (N, n_d), and c' (N, n_c).
        """
        return split_heads(self.head(self.features(frames)), self.space, self.centre_c)


class Block(nn.Module):
    """A residual block, x + conv(lrelu(conv(lrelu(x)))), with 3×3 kernels; the second convolution starts at zero.

    Args:
        channels: channels of its input and of its output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels, 3, gain=math.sqrt(2))
        self.second = convolution(channels, channels, 3, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, LEAK)), LEAK))


class Enlarge(nn.Module):
    """Doubles height and width by bilinear interpolation."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear")


def convolution(before: int, after: int, size: int, gain: float = 1.0, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size of its input, or halves it; its weights start as N(0, gain² / fan-in).

    Args:
        before: channels in.
        after: channels out.
        size: side of the kernel in pixels; padding is (size - 1) // 2.
        gain: factor on the standard deviation of the initial weights.
        stride: 1 keeps the size, 2 halves it.
    """
    layer = nn.Conv2d(before, after, size, stride, (size - 1) // 2)
    if not layer.weight.is_meta:  # where PyTorch would import its compiler for it, which takes a second
        nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(before * size * size))
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
