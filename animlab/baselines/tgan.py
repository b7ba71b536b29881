"""TGAN: one network generates a sequence of latents, another a frame from each; a critic with clipped singular values.

Saito, Matsumoto and Saito, Temporal Generative Adversarial Nets with Singular Value Clipping, ICCV 2017, with the sizes
and settings of the program that its authors published for Moving MNIST.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..networks import LEAK, scaled
from .clip_gan import ClipGAN
from .clip_sampler import ClipSampler

LATENT = 100  # dimensions of z_slow and of each z_fast
CLIP_EVERY = 5  # steps
RMSPROP: dict[str, Any] = {"lr": 5e-5, "alpha": 0.99, "eps": 1e-8}


class TemporalGenerator(nn.Module):
    """F: z_slow (N, 100) → z_fast (N, 16, 100) in [-1, 1], one for each frame.

    Args:
        width: factor on the channels of every hidden layer.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c1, c2, c3 = (scaled(width, n) for n in (512, 256, 128))
        self.net = nn.Sequential(
            nn.ConvTranspose1d(LATENT, c1, 1), without_beta(nn.BatchNorm1d(c1)), nn.ReLU(),       # (512,  1)
            nn.ConvTranspose1d(c1, c2, 4, 2, 1), without_beta(nn.BatchNorm1d(c2)), nn.ReLU(),     # (256,  2)
            nn.ConvTranspose1d(c2, c3, 4, 2, 1), without_beta(nn.BatchNorm1d(c3)), nn.ReLU(),     # (128,  4)
            nn.ConvTranspose1d(c3, c3, 4, 2, 1), without_beta(nn.BatchNorm1d(c3)), nn.ReLU(),     # (128,  8)
            nn.ConvTranspose1d(c3, LATENT, 4, 2, 1), nn.Tanh(),                                   # (100, 16)
        )  # fmt: skip

    def forward(self, z_slow: Tensor) -> Tensor:
        """Draws the latents of the frames of clips.

        Args:
            z_slow: (N, 100) in [-1, 1], a row for each clip.

        Returns:
            z_fast (N, 16, 100) in [-1, 1].
        """
        return self.net(z_slow[:, :, None]).transpose(1, 2)


class ImageGenerator(nn.Module):
    """G: z_slow and z_fast of N frames, (N, 100) each → frames (N, C, 64, 64) in [-1, 1].

    Args:
        channels: channels of a frame.
        width: factor on the channels of every hidden layer.
        fast: whether there is a z_fast; without it half of the first maps are absent.
    """

    def __init__(self, channels: int = 3, width: float = 1.0, fast: bool = True) -> None:
        super().__init__()
        c0, *sizes = (scaled(width, n) for n in (256, 256, 128, 64, 32))

        def seen_as_maps() -> nn.Module:
            n = c0 * 4 * 4
            return nn.Sequential(
                nn.Linear(LATENT, n, bias=False), nn.BatchNorm1d(n), nn.ReLU(), nn.Unflatten(1, (c0, 4, 4))
            )

        self.slow = seen_as_maps()
        self.fast = seen_as_maps() if fast else None
        before, layers = 2 * c0 if fast else c0, []
        for size in sizes:  # (256, 8, 8), (128, 16, 16), (64, 32, 32), (32, 64, 64)
            layers += [nn.ConvTranspose2d(before, size, 4, 2, 1, bias=False), nn.BatchNorm2d(size), nn.ReLU()]
            before = size
        self.paint = nn.Sequential(*layers, nn.ConvTranspose2d(before, channels, 3, 1, 1), nn.Tanh())

    def forward(self, z_slow: Tensor, z_fast: Tensor | None) -> Tensor:
        """Draws single frames.

        Args:
            z_slow: (N, 100) in [-1, 1], that of each frame's clip.
            z_fast: (N, 100) in [-1, 1], that of each frame; ignored if the network was built without `fast`.

        Returns:
            (N, C, 64, 64) in [-1, 1].
        """
        maps = self.slow(z_slow)
        if self.fast is not None:
            maps = torch.cat([maps, self.fast(z_fast)], dim=1)  # (N, 512, 4, 4)
        return self.paint(maps)


class Critic(nn.Module):
    """D: clips (N, C, 16, 64, 64) → scores (N, 1) of any size: a Wasserstein critic.

    Args:
        channels: channels of a frame.
        width: factor on the channels of every hidden layer.
    """

    def __init__(self, channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        c1, c2, c3, c4 = (scaled(width, n) for n in (64, 128, 256, 512))
        self.features = nn.Sequential(
            nn.Conv3d(channels, c1, 4, 2, 1), nn.LeakyReLU(LEAK),                                  # (64, 8, 32, 32)
            nn.Conv3d(c1, c2, 4, 2, 1), without_beta(nn.BatchNorm3d(c2)), nn.LeakyReLU(LEAK),      # (128, 4, 16, 16)
            nn.Conv3d(c2, c3, 4, 2, 1), without_beta(nn.BatchNorm3d(c3)), nn.LeakyReLU(LEAK),      # (256, 2, 8, 8)
            nn.Conv3d(c3, c4, 4, 2, 1), without_beta(nn.BatchNorm3d(c4)), nn.LeakyReLU(LEAK),      # (512, 1, 4, 4)
        )  # fmt: skip
        self.head = nn.Conv2d(c4, 1, 4)

    def forward(self, clips: Tensor) -> Tensor:
        """Scores clips.

        Args:
            clips: (N, C, 16, 64, 64) in [-1, 1].

        Returns:
            Scores (N, 1), of any size.
        """
        return self.head(self.features(clips)[:, :, 0]).flatten(1).float()

    @torch.no_grad()
    def clip_singular_values(self) -> None:
        """Bounds D's slope: singular values of every kernel are at most 1, γ of every batch norm is in [0.01 σ, σ].

        σ is the running standard deviation that the norm divides by, so that its slope, γ / σ, is at most 1 as well.
        """
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                module.weight.copy_(with_clipped_singular_values(module.weight.flatten(1)).view_as(module.weight))
            elif isinstance(module, nn.BatchNorm3d):
                assert module.running_var is not None
                sigma = module.running_var.sqrt()
                module.weight.clamp_(0.01 * sigma, sigma)


def with_clipped_singular_values(matrix: Tensor) -> Tensor:
    """A matrix with every singular value above 1 set to 1.

    With W = U S Vᵀ and W Wᵀ = U S² Uᵀ, the clipped matrix is U min(1, 1/S) Uᵀ W: one small eigenproblem, no long Vᵀ.

    Args:
        matrix: (out, rest), out ≤ rest.
    """
    squares, u = torch.linalg.eigh(matrix @ matrix.T)
    shrink = squares.clamp_min(1).rsqrt()
    return matrix if (shrink == 1).all() else (u * shrink) @ (u.T @ matrix)


class TGAN(ClipGAN):
    """The three networks of TGAN and their training.

    Args:
        channels: channels of a frame.
        width: factor on the channels of every hidden layer.
        clips: clips in a step.
        fast: whether there is a z_fast. False is the paper's row "TGAN (z1)", which it does not describe; we take it as
            G with z_slow alone, without F, so that a clip is a single picture repeated.
    """

    stride = 1
    zero = scale = 128.0
    limits: ClassVar[dict[str, float]] = {"z_slow": 1.0}
    done: Tensor

    def __init__(self, channels: int = 3, width: float = 1.0, clips: int = 32, fast: bool = True) -> None:
        super().__init__(channels=channels, width=width, clips=clips, fast=fast)
        self.clips = clips
        self.frames_per_step = clips * self.length
        self.temporal = TemporalGenerator(width) if fast else None
        self.generator = ImageGenerator(channels, width, fast)
        self.critic = Critic(channels, width)
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))  # steps, to know when to clip
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                nn.init.uniform_(weight, -0.01, 0.01)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """RMSprop for D, and for G and F together, which maximise the loss that D minimises."""
        drawing = [weight for name, weight in self.named_parameters() if not name.startswith("critic.")]
        return {
            "g": torch.optim.RMSprop(drawing, **RMSPROP, maximize=True),
            "d": torch.optim.RMSprop(self.critic.parameters(), **RMSPROP),
        }

    def train_step(
        self, sampler: ClipSampler, optimizers: dict[str, torch.optim.Optimizer], rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Updates G, F and D at once: one backward pass of E[D(fake)] - E[D(real)] serves all three.

        Args:
            sampler: draws the real clips.
            optimizers: as `optimizers` gives them.
            rng: source of all randomness, on the networks' device.

        Returns:
            d_loss, that difference (its negative estimates the Wasserstein distance), and g_loss = -E[D(fake)], as
            detached scalars.
        """
        frames, _ = sampler.draw(self.clips, rng)
        real = self.to_values(frames).transpose(1, 2)  # (N, C, T, 64, 64)
        with self.autocast():
            fake_score = self.critic(self.draw(self.clips, self.length, rng, None)).mean()
            d_loss = fake_score - self.critic(real).mean()
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        d_loss.backward()
        optimizers["g"].step()
        optimizers["d"].step()
        self.done += 1
        if self.done % CLIP_EVERY == 0:
            self.critic.clip_singular_values()
        return {"d_loss": d_loss.detach(), "g_loss": -fake_score.detach()}

    def noise(self, n: int, frames: int, rng: torch.Generator, d: int | None) -> dict[str, Tensor]:
        if d is not None:
            raise ValueError(f"TGAN knows no categories, so it cannot draw d={d}: leave d out.")
        if frames > self.length:
            raise ValueError(f"TGAN draws clips of at most {self.length} frames, got frames={frames}.")
        return {"z_slow": 2 * torch.rand(n, LATENT, generator=rng, device=rng.device) - 1}  # U(-1, 1)

    def paint(self, noise: dict[str, Tensor], frames: int) -> Tensor:
        z_slow = noise["z_slow"]
        if self.temporal is None:
            return self.generator(z_slow, None)[:, :, None].expand(-1, -1, frames, -1, -1)
        z_fast = self.temporal(z_slow)[:, :frames].reshape(-1, LATENT)
        pictures = self.generator(z_slow.repeat_interleave(frames, dim=0), z_fast)  # (N·T, C, 64, 64)
        return pictures.unflatten(0, (-1, frames)).transpose(1, 2)


def without_beta(norm: nn.Module) -> nn.Module:
    """Makes a batch norm scale by γ and not shift.

    Args:
        norm: the layer, changed in place.

    Returns:
        The same layer.
    """
    norm.register_parameter("bias", None)
    return norm
