"""MoCoGAN: content that stays, motion from a recurrent network, and two discriminators.

Tulyakov, Liu, Yang and Kautz, MoCoGAN: Decomposing Motion and Content for Video Generation, CVPR 2018, with the sizes
and settings of the program that its authors published. All convolutions have 4-wide kernels and no bias.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import fake_loss, generator_loss, real_loss
from ..metrics.inversion import Z_LIMIT
from ..networks import LEAK, scaled
from .clip_gan import ClipGAN
from .clip_sampler import ClipSampler

CONTENT, MOTION = 50, 10  # dimensions of the latent parts; the category's is the number of classes
ADAM: dict[str, Any] = {"lr": 2e-4, "betas": (0.5, 0.999), "weight_decay": 1e-5}


class Generator(nn.Module):
    """Latents of each frame (N, T, 60 + categories) → clips (N, C, T, 64, 64) in [-1, 1], frame by frame.

    Args:
        channels: channels of a frame.
        categories: classes of clips.
        width: factor on the channels of every hidden layer.
    """

    def __init__(self, channels: int = 3, categories: int = 6, width: float = 1.0) -> None:
        super().__init__()
        self.categories = categories
        self.recur = nn.GRUCell(MOTION, MOTION)
        sizes = [scaled(width, n) for n in (512, 256, 128, 64)]
        layers: list[nn.Module] = []
        before = CONTENT + categories + MOTION
        for i, size in enumerate(sizes):  # (512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32)
            layers.append(nn.ConvTranspose2d(before, size, 4, 2 if i else 1, 1 if i else 0, bias=False))
            layers += [nn.BatchNorm2d(size), nn.ReLU()]
            before = size
        self.paint = nn.Sequential(*layers, nn.ConvTranspose2d(before, channels, 4, 2, 1, bias=False), nn.Tanh())

    def noise(self, n: int, frames: int, rng: torch.Generator, d: int | None = None) -> dict[str, Tensor]:
        """Draws the noise from which clips are generated.

        Args:
            n: number of clips.
            frames: frames in a clip.
            rng: where the noise is drawn from, on its device.
            d: a category from 0 on for all clips; None for a random one each.

        Returns:
            "content" (n, 50), "category" (n,), "start" (n, 10), the recurrent network's first state, and "pushes" (n,
            frames, 10), its inputs.
        """
        content = _normal(n, CONTENT, rng=rng)
        category = torch.randint(self.categories, (n,), generator=rng, device=rng.device)
        if d is not None:
            category = torch.full_like(category, d)
        start = _normal(n, MOTION, rng=rng)
        pushes = torch.stack([_normal(n, MOTION, rng=rng) for _ in range(frames)], dim=1)
        return {"content": content, "category": category, "start": start, "pushes": pushes}

    def path(self, noise: dict[str, Tensor]) -> Tensor:
        """The path of each clip through the latent space.

        Args:
            noise: as `noise` gives it.

        Returns:
            (n, frames, 50 + categories + 10).
        """
        h, motion = noise["start"], []
        for push in noise["pushes"].unbind(1):
            h = self.recur(push, h)
            motion.append(h)
        still = torch.cat([noise["content"], F.one_hot(noise["category"], self.categories).float()], dim=1)
        return torch.cat([still[:, None].expand(-1, len(motion), -1), torch.stack(motion, dim=1)], dim=2)

    def latents(self, n: int, frames: int, rng: torch.Generator, d: int | None = None) -> tuple[Tensor, Tensor]:
        """Draws random paths and their categories.

        Args:
            n: number of clips.
            frames: frames in a clip.
            rng: where the noise is drawn from, on its device.
            d: a category from 0 on for all clips; None for a random one each.

        Returns:
            The paths, as `path` gives them, and the categories, (n,) int64.
        """
        noise = self.noise(n, frames, rng, d)
        return self.path(noise), noise["category"]

    def moments(self, n: int, frames: int, rng: torch.Generator) -> Tensor:
        """Draws one random moment of each of n paths, for single fake images.

        Args:
            n: number of paths.
            frames: frames in a path.
            rng: source of randomness, on the networks' device.

        Returns:
            (n, 1, 60 + categories).
        """
        path, _ = self.latents(n, frames, rng)
        moment = torch.randint(frames, (n,), generator=rng, device=rng.device)
        return path[torch.arange(n, device=rng.device), moment][:, None]

    def forward(self, latents: Tensor) -> Tensor:
        """Draws clips.

        Args:
            latents: (N, T, 60 + categories), as `latents` gives them.

        Returns:
            (N, C, T, 64, 64) in [-1, 1].
        """
        n, t, size = latents.shape
        frames = self.paint(latents.reshape(n * t, size, 1, 1))  # (N·T, C, 64, 64)
        return frames.unflatten(0, (n, t)).transpose(1, 2)


class ImageDiscriminator(nn.Module):
    """Images (N, C, 64, 64) → one logit for each patch, (N, 16).

    Args:
        channels: channels of an image.
        width: factor on the channels of every hidden layer.
        noise: σ of the Gaussian noise that is added before each convolution.
    """

    def __init__(self, channels: int = 3, width: float = 1.0, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise
        before, layers = channels, []
        for i, size in enumerate(scaled(width, n) for n in (64, 128, 256)):  # (64, 32, 32), (128, 16, 16), (256, 8, 8)
            conv = nn.Conv2d(before, size, 4, 2, 1, bias=False)
            layers.append(nn.Sequential(conv, nn.BatchNorm2d(size) if i else nn.Identity(), nn.LeakyReLU(LEAK)))
            before = size
        self.layers = nn.ModuleList([*layers, nn.Conv2d(before, 1, 4, 2, 1, bias=False)])  # (1, 4, 4)

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Scores the patches of images.

        Args:
            images: (N, C, 64, 64) in [-1, 1].
            rng: source of the noise that is added before each layer.

        Returns:
            Logits (N, 16), one for each patch.
        """
        x = images
        for layer in self.layers:
            x = layer(_noisy(x, self.noise, rng))
        return x.flatten(1).float()


class VideoDiscriminator(nn.Module):
    """Clips (N, C, 16, 64, 64) → a logit (N, 1) and the logits of their category (N, categories).

    Time is never padded and shrinks by 3 in each layer: 16, 13, 10, 7, 4, 1.

    Args:
        channels: channels of a frame.
        categories: classes of clips.
        width: factor on the channels of every hidden layer.
        noise: σ of the Gaussian noise that is added before each convolution.
    """

    def __init__(self, channels: int = 3, categories: int = 6, width: float = 1.0, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise
        before, layers = channels, []
        for i, size in enumerate(scaled(width, n) for n in (64, 128, 256, 512)):
            conv = nn.Conv3d(before, size, 4, (1, 2, 2), (0, 1, 1), bias=False)
            layers.append(nn.Sequential(conv, nn.BatchNorm3d(size) if i else nn.Identity(), nn.LeakyReLU(LEAK)))
            before = size
        self.layers = nn.ModuleList([*layers, nn.Conv3d(before, 1 + categories, 4, bias=False)])

    def forward(self, clips: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Scores clips and reads their category.

        Args:
            clips: (N, C, 16, 64, 64) in [-1, 1].
            rng: source of the noise that is added before each layer.

        Returns:
            The logit (N, 1), and the logits of the category (N, categories).
        """
        x = clips
        for layer in self.layers:
            x = layer(_noisy(x, self.noise, rng))
        x = x.flatten(1).float()
        return x[:, :1], x[:, 1:]


class MoCoGAN(ClipGAN):
    """The three networks of MoCoGAN and their training. The defaults are the published program's.

    Args:
        channels: channels of a frame.
        categories: classes of clips.
        width: factor on the channels of every hidden layer.
        images: single images in a step.
        clips: clips in a step.
        noise: σ of the noise in both discriminators.
    """

    stride = 2
    zero = scale = 127.5
    limits: ClassVar[dict[str, float]] = {"content": Z_LIMIT, "start": Z_LIMIT, "pushes": Z_LIMIT}

    def __init__(
        self,
        channels: int = 3,
        categories: int = 6,
        width: float = 1.0,
        images: int = 10,
        clips: int = 3,
        noise: float = 0.0,
    ) -> None:
        super().__init__(channels=channels, categories=categories, width=width, images=images, clips=clips, noise=noise)
        self.images, self.clips, self.categories = images, clips, categories
        self.frames_per_step = images + clips * self.length
        self.generator = Generator(channels, categories, width)
        self.image_discriminator = ImageDiscriminator(channels, width, noise)
        self.video_discriminator = VideoDiscriminator(channels, categories, width, noise)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One Adam for each network, by name."""
        nets = {"image_d": self.image_discriminator, "video_d": self.video_discriminator, "g": self.generator}
        return {name: torch.optim.Adam(net.parameters(), **ADAM, fused=True) for name, net in nets.items()}

    def train_step(
        self, sampler: ClipSampler, optimizers: dict[str, torch.optim.Optimizer], rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Updates the image D, then the video D, then G, with new fakes for each.

        The classes of real clips train the video D's logits.

        Args:
            sampler: draws the real images and clips.
            optimizers: as `optimizers` gives them.
            rng: source of all randomness, on the networks' device.

        Returns:
            The losses as detached scalars, image_d_loss, video_d_loss, real_category (its part for the classes of real
            clips), g_loss, and fake_category (its part for the category that G was given).
        """
        real_images = self.to_values(sampler.draw_frames(self.images, rng))
        with torch.no_grad():
            fake_images = self._images(rng)
        with self.autocast():
            real, fake = (self.image_discriminator(x, rng) for x in (real_images, fake_images))
        image_d_loss = real_loss(real) + fake_loss(fake)
        _descend(image_d_loss, optimizers["image_d"])

        frames, classes = sampler.draw(self.clips, rng)
        real_clips = self.to_values(frames).transpose(1, 2)  # (N, C, T, 64, 64)
        with torch.no_grad():
            fake_clips, _ = self._clips(rng)
        with self.autocast():
            (real, class_logits), (fake, _) = (self.video_discriminator(x, rng) for x in (real_clips, fake_clips))
        real_category = F.cross_entropy(class_logits, torch.as_tensor(classes, device=rng.device))
        video_d_loss = real_loss(real) + fake_loss(fake) + real_category
        _descend(video_d_loss, optimizers["video_d"])

        judges = (self.image_discriminator, self.video_discriminator)
        for judge in judges:
            judge.requires_grad_(False)
        fake_images = self._images(rng)
        fake_clips, category = self._clips(rng)
        with self.autocast():
            image_logit = self.image_discriminator(fake_images, rng)
            clip_logit, category_logits = self.video_discriminator(fake_clips, rng)
        fake_category = F.cross_entropy(category_logits, category)
        g_loss = generator_loss(image_logit) + generator_loss(clip_logit) + fake_category
        _descend(g_loss, optimizers["g"])
        for judge in judges:
            judge.requires_grad_(True)
        found = {
            "image_d_loss": image_d_loss,
            "video_d_loss": video_d_loss,
            "real_category": real_category,
            "g_loss": g_loss,
            "fake_category": fake_category,
        }
        return {name: value.detach() for name, value in found.items()}

    def noise(self, n: int, frames: int, rng: torch.Generator, d: int | None) -> dict[str, Tensor]:
        if d is not None and not 0 <= d < self.categories:
            raise ValueError(f"This MoCoGAN has the categories 0 to {self.categories - 1}, got d={d}.")
        return self.generator.noise(n, frames, rng, d)

    def paint(self, noise: dict[str, Tensor], frames: int) -> Tensor:
        return self.generator(self.generator.path(noise))

    def _images(self, rng: torch.Generator) -> Tensor:
        latents = self.generator.moments(self.images, self.length, rng)
        with self.autocast():
            return self.generator(latents)[:, :, 0]

    def _clips(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        latents, category = self.generator.latents(self.clips, self.length, rng)
        with self.autocast():
            return self.generator(latents), category


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _normal(*shape: int, rng: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=rng, device=rng.device)


def _noisy(x: Tensor, sigma: float, rng: torch.Generator) -> Tensor:
    return x + sigma * torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype) if sigma else x
