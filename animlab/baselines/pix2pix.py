"""pix2pix (Isola, Zhu, Zhou and Efros, CVPR 2017), built for its cost in Tab. 6: a segmentation map → a frame.

U-Net and 70×70 patch discriminator as in the paper's appendix; at 64×64 the U-Net has log2(64) = 6 levels, as it has 8
at 256×256. Nothing here is trained by this project: a clip needs a segmentation of each of its frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import l1_loss

L1_WEIGHT = 100


class UNet(nn.Module):
    """The U-Net: (N, 3, size, size) in [-1, 1] → the same shape and range.

    C64-C128-C256-C512-C512… down to 1×1 and back up, with skip connections on each level; all kernels are 4 wide with
    stride 2.

    Args:
        size: height and width in pixels, a power of two from 16 up.

    Raises:
        ValueError: size is another number.
    """

    def __init__(self, size: int = 64) -> None:
        super().__init__()
        levels = size.bit_length() - 1
        if size != 2**levels or levels < 4:
            raise ValueError(f"size is a power of two from 16 up, got {size}.")
        wide = [3] + [min(64 * 2**k, 512) for k in range(levels)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for k in range(levels):
            norm = 0 < k < levels - 1  # neither on the first level nor at 1×1
            before: list[nn.Module] = [nn.LeakyReLU(0.2)] if k else []
            after: list[nn.Module] = [nn.BatchNorm2d(wide[k + 1])] if norm else []
            self.down.append(nn.Sequential(*before, nn.Conv2d(wide[k], wide[k + 1], 4, 2, 1, bias=False), *after))
        for k in reversed(range(levels)):
            seen = wide[k + 1] * (1 if k == levels - 1 else 2)  # from the level below, and from the skip connection
            conv = nn.ConvTranspose2d(seen, wide[k], 4, 2, 1, bias=k == 0)
            after = [nn.BatchNorm2d(wide[k])] if k else [nn.Tanh()]
            if levels - 4 <= k < levels - 1 and wide[k] == 512:  # CD512: the noise of this GAN
                after.append(nn.Dropout(0.5))
            self.up.append(nn.Sequential(nn.ReLU(), conv, *after))

    def forward(self, x: Tensor) -> Tensor:
        """Translates pictures of labels into frames.

        Args:
            x: (N, 3, size, size) in [-1, 1].

        Returns:
            (N, 3, size, size) in [-1, 1].
        """
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.up:
            x = up(x)
            if skips:
                x = torch.cat([x, skips.pop()], dim=1)
        return x


class PatchDiscriminator(nn.Sequential):
    """C64-C128-C256-C512 and one logit for each 70×70 patch: labels and frame joined, (N, 6, H, W) → (N, 1, h, w)."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(6, 64, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
            nn.Conv2d(128, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.LeakyReLU(0.2),
            nn.Conv2d(256, 512, 4, 1, 1, bias=False), nn.BatchNorm2d(512), nn.LeakyReLU(0.2),
            nn.Conv2d(512, 1, 4, 1, 1),
        )  # fmt: skip


def train_step(
    generator: UNet,
    discriminator: PatchDiscriminator,
    g_optimizer: torch.optim.Optimizer,
    d_optimizer: torch.optim.Optimizer,
    drawn: Tensor,
    real: Tensor,
) -> None:
    """One step: D, then G.

    Args:
        generator: G; its parameters are updated.
        discriminator: D; its parameters are updated.
        g_optimizer: steps on G's parameters.
        d_optimizer: steps on D's parameters.
        drawn: (N, 3, H, W) segmentation maps, in [-1, 1].
        real: (N, 3, H, W) their frames, in [-1, 1].
    """
    fake = generator(drawn)
    d_optimizer.zero_grad()
    fake_logit = discriminator(torch.cat([drawn, fake.detach()], dim=1))
    real_logit = discriminator(torch.cat([drawn, real], dim=1))
    loss = bce(fake_logit, torch.zeros_like(fake_logit)) + bce(real_logit, torch.ones_like(real_logit))
    (loss / 2).backward()
    d_optimizer.step()

    discriminator.requires_grad_(False)
    g_optimizer.zero_grad()
    logit = discriminator(torch.cat([drawn, fake], dim=1))
    (bce(logit, torch.ones_like(logit)) + L1_WEIGHT * l1_loss(fake, real)).backward()
    g_optimizer.step()
    discriminator.requires_grad_(True)
