"""The small network behind FD(animlab-features), trained by this project and shipped with it; it is not Inception."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

NAME = "animlab-features"
SIZE = 64
WEIGHTS = Path(__file__).resolve().parents[2] / "data" / "pretrained" / "features" / "model.safetensors"


class FeatureNet(nn.Module):
    """A small network: frames (N, 3, 64, 64) in [-1, 1] → features (N, 64), with a linear classifier on top.

    Four strided convolutions, global average pooling, one linear layer. The last normalisation has no scale or shift,
    so that over the pictures it was trained on, every feature has mean 0 and variance 1.

    Args:
        kinds: classes of pictures that the classifier distinguishes.
    """

    def __init__(self, kinds: int) -> None:
        super().__init__()
        widths = (3, 32, 64, 96, 128)  # 64 → 32 → 16 → 8 → 4 pixels
        blocks = [
            layer
            for before, after in pairwise(widths)
            for layer in (nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.1))
        ]
        self.look = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())  # (N, 128)
        self.embed = nn.Sequential(nn.Linear(widths[-1], SIZE), nn.BatchNorm1d(SIZE, affine=False))  # (N, 64)
        self.classify = nn.Linear(SIZE, kinds)  # (N, kinds), logits

    def forward(self, frames: Tensor) -> Tensor:
        return self.embed(self.look(frames))


def load_feature_net(path: Path = WEIGHTS) -> tuple[FeatureNet, list[str]]:
    """Loads the shipped feature network, in evaluation mode and without gradients.

    Args:
        path: its .safetensors file.

    Returns:
        The network, and the names of the classes that its classifier distinguishes.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No feature network at {path}; data/pretrained/features.py trains it again.")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["animlab"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    with torch.random.fork_rng(devices=[]):
        net = FeatureNet(len(header["kinds"]))
    net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    return net.eval().requires_grad_(False), header["kinds"]
