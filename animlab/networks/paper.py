"""The generator (Tab. 1) and the discriminator (Tab. 2), to the letter where the paper gives one.

Our reading of what the tables leave open or misprint:
- padding 1 is implied by the shapes (8 → 16 → 32 → 64 with kernel 4, stride 2);
- Tab. 1's last row says "BN, Tanh", the text "except for the last layer": no batch norm on the pictures;
- Tab. 2's linear layers "K=4, S=2" are slips, a linear layer has no kernel;
- Tab. 2's last layer has n_z + n_d + n_c outputs; Eq. 8 and the BCE need ONE score: 1 + n_d + n_c;
- Fig. 2's caption has convolutions and transposed convolutions swapped;
- LeakyReLU's slope is not given: 0.2, as in DCGAN.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..labels import Labels, LabelSpace
from .common import LEAK, Network, join_labels, scaled, split_heads

Norm = Literal["batch", "spectral", "none"]


class Generator(Network):
    """The paper's generator (Tab. 1): labels → frames (N, channels, 64, 64) in [-1, 1].

    Args:
        space: the number of labels of each kind.
        channels: channels of a frame.
        width: factor on the channels of every hidden layer, 0.001 to 100; 1 is the paper's.
        centre_c: whether c enters as 2c - 1, so that the middle of its range is 0.

    Raises:
        ValueError: width, channels or centre_c is out of range.
        TypeError: space is not a LabelSpace.
    """

    def __init__(self, space: LabelSpace, channels: int = 3, width: float = 1.0, centre_c: bool = False) -> None:
        super().__init__(space, channels, width=width, centre_c=centre_c)
        hidden, c1, c2, c3 = (scaled(width, n) for n in (1024, 128, 64, 32))
        self.embed = nn.Sequential(
            nn.Linear(space.size, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, c1 * 8 * 8), nn.BatchNorm1d(c1 * 8 * 8), nn.ReLU(),
            nn.Unflatten(1, (c1, 8, 8)),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(c1, c2, 4, 2, 1), nn.BatchNorm2d(c2), nn.ReLU(),  # (N, 64, 16, 16)
            nn.ConvTranspose2d(c2, c3, 4, 2, 1), nn.BatchNorm2d(c3), nn.ReLU(),  # (N, 32, 32, 32)
            nn.ConvTranspose2d(c3, channels, 4, 2, 1), nn.Tanh(),                # (N,  C, 64, 64)
        )  # fmt: skip

    def forward(self, labels: Labels) -> Tensor:
        """Draws frames.

        Args:
            labels: N labels of this network's space, on its device.

        Returns:
            (N, channels, 64, 64) in [-1, 1].
        """
        return self.decoder(self.embed(join_labels(labels, self.centre_c)))


class Discriminator(Network):
    """The paper's discriminator (Tab. 2): frames (N, channels, 64, 64) → x' (N, 1), d' (N, n_d) and c' (N, n_c), Eq. 8.

    The score x' and d' are logits; c' is on the scale of c, [0, 1], but not clipped to it.

    Args:
        space: the number of labels of each kind.
        channels: channels of a frame.
        width: factor on the channels of every hidden layer, 0.001 to 100; 1 is the paper's.
        centre_c: whether the last layer predicts 2c' - 1.
        norm: "batch" for the table's batch norms, "spectral" for spectral normalisation of every layer instead, "none"
            for neither.

    Raises:
        ValueError: width, channels, centre_c or norm is out of range.
        TypeError: space is not a LabelSpace.
    """

    def __init__(
        self, space: LabelSpace, channels: int = 3, width: float = 1.0, centre_c: bool = False, norm: Norm = "batch"
    ) -> None:
        super().__init__(space, channels, width=width, centre_c=centre_c, norm=norm)
        if norm not in get_args(Norm):
            raise ValueError(f"D's norm must be {', '.join(map(repr, get_args(Norm)))}, got {norm!r}.")
        hidden, c1, c2, c3 = (scaled(width, n) for n in (1024, 32, 64, 128))
        batch = norm == "batch"

        def conv(*shape: int) -> nn.Module:
            return Spectral(nn.Conv2d(*shape)) if norm == "spectral" else nn.Conv2d(*shape)  # type: ignore[arg-type]

        def linear(*shape: int) -> nn.Module:
            return Spectral(nn.Linear(*shape)) if norm == "spectral" else nn.Linear(*shape)  # type: ignore[arg-type]

        self.features = nn.Sequential(
            conv(channels, c1, 4, 2, 1), nn.LeakyReLU(LEAK),                                         # (N, 32, 32, 32)
            conv(c1, c2, 4, 2, 1), nn.LeakyReLU(LEAK),                                               # (N, 64, 16, 16)
            conv(c2, c3, 4, 2, 1), nn.BatchNorm2d(c3) if batch else nn.Identity(), nn.LeakyReLU(LEAK),  # (N, 128, 8, 8)
            nn.Flatten(),
            linear(c3 * 8 * 8, hidden), nn.BatchNorm1d(hidden) if batch else nn.Identity(), nn.LeakyReLU(LEAK),
        )  # fmt: skip
        self.head = linear(hidden, 1 + space.n_d + space.n_c)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores frames and reads their labels (Eq. 8).

        Args:
            frames: (N, channels, 64, 64) in [-1, 1].

        Returns:
            The logit x' (N, 1), the logits d' (N, n_d), and c' (N, n_c).
        """
        return split_heads(self.head(self.features(frames)), self.space, self.centre_c)


class Spectral(nn.Module):
    """Spectral normalisation: a layer whose weight is divided by its largest singular value σ.

    u and v estimate the first singular vectors of the weight seen as out × rest; each pass in training mode makes one
    power iteration. Source: Miyato et al. 2018.

    Args:
        layer: the layer to normalise.
    """

    u: Tensor
    v: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        out, rest = layer.weight.flatten(1).shape
        self.register_buffer("u", F.normalize(torch.randn(out), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(rest), dim=0))
        for _ in range(15):
            self.iterate()

    @torch.no_grad()
    def iterate(self) -> None:
        """Makes one power iteration."""
        matrix = self.layer.weight.flatten(1)
        self.v.copy_(F.normalize(matrix.t() @ self.u, dim=0))
        self.u.copy_(F.normalize(matrix @ self.v, dim=0))

    def sigma(self) -> Tensor:
        """The estimate of the weight's largest singular value from u and v, a scalar; gradients flow to the weight."""
        # Copies, because the next pass iterates in place while this one's graph still waits for its backward.
        return torch.dot(self.u.clone(), self.layer.weight.flatten(1) @ self.v.clone())

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output with its normalised weight.

        Args:
            x: what the layer takes.
        """
        layer = self.layer
        with torch.autocast(x.device.type, enabled=False):
            if self.training:
                self.iterate()
            sigma = self.sigma()
        if isinstance(layer, nn.Conv2d):
            return F.conv2d(x, layer.weight / sigma, layer.bias, layer.stride, layer.padding)
        # The same function, but here the output is far smaller than the weight, and the weight keeps its bf16 copy.
        y = F.linear(x, layer.weight) / sigma
        return y + layer.bias.to(y.dtype)
