"""Monkey-Net (Siarohin, Lathuilière, Tulyakov, Ricci and Sebe, CVPR 2019), built for its cost in Tab. 6.

A picture is moved like a video: keypoints of both → dense optical flow → the picture's features, warped and refined.
The sizes are those of the authors' configuration for 64×64. Nothing here is trained by this project.

Videos are (N, channels, T, H, W) in [0, 1]. All convolutions are Conv3d, and all of them, as released, have a depth of
1: they see one frame at a time. `depth` 3 gives what "C3D" in Tab. 6 suggests.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KEYPOINTS, CHANNELS = 10, 3
START, MOST, BLOCKS, REFINEMENTS = 32, 512, 5, 4  # channels of the first level and at most, levels, residual blocks
TEMPERATURE, HEAT = 0.1, 100.0  # of the keypoints' softmax; heatmaps are divided by HEAT
RECONSTRUCTION = (10, 10, 10, 10, 1)  # weights of D's feature maps in G's loss, the frame itself first


class Keypoints(NamedTuple):
    """Ten keypoints of each frame.

    Attributes:
        mean: (N, T, 10, 2), their places in [-1, 1].
        var: (N, T, 10, 2, 2), covariance matrices of their spread.
    """

    mean: Tensor
    var: Tensor

    def at(self, frames: slice) -> Keypoints:
        """Selects the keypoints of some frames.

        Args:
            frames: a slice of the T frames.
        """
        return Keypoints(self.mean[:, frames], self.var[:, frames])

    def detach(self) -> Keypoints:
        """The same keypoints without gradients."""
        return Keypoints(self.mean.detach(), self.var.detach())


def conv(inside: int, outside: int, depth: int, groups: int = 1, size: int = 3) -> nn.Conv3d:
    """A 3-D convolution that keeps the size of its input.

    Args:
        inside: channels in.
        outside: channels out.
        depth: extent of the kernel in time, 1 or 3.
        groups: groups of channels that are convolved separately.
        size: height and width of the kernel.
    """
    return nn.Conv3d(inside, outside, (depth, size, size), padding=(depth // 2, size // 2, size // 2), groups=groups)


def block(inside: int, outside: int, depth: int, groups: int = 1, size: int = 3) -> nn.Sequential:
    """A convolution, batch norm and ReLU.

    Args:
        inside: channels in.
        outside: channels out.
        depth: extent of the kernel in time, 1 or 3.
        groups: groups of channels that are convolved separately.
        size: height and width of the kernel.
    """
    return nn.Sequential(conv(inside, outside, depth, groups, size), nn.BatchNorm3d(outside), nn.ReLU())


def grid(h: int, w: int, like: Tensor) -> Tensor:
    """The coordinates of every pixel.

    Args:
        h: height in pixels.
        w: width in pixels.
        like: a tensor of the wanted device and dtype.

    Returns:
        (h, w, 2), x and y in [-1, 1].
    """
    y, x = (torch.linspace(-1, 1, n, device=like.device, dtype=like.dtype) for n in (h, w))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


class Encoder(nn.Module):
    """Five blocks, each of which halves height and width; returns the input and the output of each block.

    Args:
        inside: channels in.
        depth: extent of the kernels in time.
    """

    def __init__(self, inside: int, depth: int) -> None:
        super().__init__()
        wide = [inside] + [min(START * 2 ** (k + 1), MOST) for k in range(BLOCKS)]
        self.blocks = nn.ModuleList(block(a, b, depth) for a, b in pairwise(wide))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Encodes videos.

        Args:
            x: (N, inside, T, H, W), H and W multiples of 32.

        Returns:
            Six maps: x, and the output of each block, with half the height and width of the one before.
        """
        found = [x]
        for each in self.blocks:
            found.append(F.avg_pool3d(each(found[-1]), (1, 2, 2)))
        return found


class Decoder(nn.Module):
    """The reverse of the encoder: upsample, convolve, and concatenate with the encoder's map of that size.

    Args:
        inside: channels of the encoder's input.
        depth: extent of the kernels in time.
        extra: additional channels in each of the encoder's maps.
    """

    def __init__(self, inside: int, depth: int, extra: int = 0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for k in reversed(range(BLOCKS)):
            seen = min(START * 2 ** (k + 1), MOST) * (1 if k == BLOCKS - 1 else 2) + extra
            self.blocks.append(block(seen, min(START * 2**k, MOST), depth))
        self.outside = START + inside + extra

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Decodes the maps of an encoder.

        Args:
            maps: six maps, as `Encoder` returns them, each with `extra` more channels.

        Returns:
            (N, c, T, H, W), with the size of the first map and as many channels as `outside` says.
        """
        x = maps[-1]
        for each, twin in zip(self.blocks, reversed(maps[:-1])):
            x = torch.cat([each(F.interpolate(x, scale_factor=(1, 2, 2))), twin], dim=1)
        return x


class Hourglass(nn.Module):
    """Encoder, decoder, one convolution.

    Args:
        inside: channels in.
        outside: channels out.
        depth: extent of the kernels in time.
    """

    def __init__(self, inside: int, outside: int, depth: int) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(inside, depth), Decoder(inside, depth)
        self.last = conv(self.decoder.outside, outside, depth)

    def forward(self, x: Tensor) -> Tensor:
        """Runs encoder, decoder and the last convolution.

        Args:
            x: (N, inside, T, H, W), H and W multiples of 32.

        Returns:
            (N, outside, T, H, W).
        """
        return self.last(self.decoder(self.encoder(x)))


class KeypointDetector(nn.Module):
    """Video → Keypoints: mean and covariance of ten heatmaps.

    Args:
        depth: extent of the kernels in time.
    """

    def __init__(self, depth: int = 1) -> None:
        super().__init__()
        self.hourglass = Hourglass(CHANNELS, KEYPOINTS, depth)

    def forward(self, video: Tensor) -> Keypoints:
        """Finds the keypoints of each frame.

        Args:
            video: (N, 3, T, H, W) in [0, 1].

        Returns:
            The keypoints of N videos of T frames.
        """
        heat = self.hourglass(video).transpose(1, 2)  # (N, T, 10, H, W)
        heat = (heat.flatten(3) / TEMPERATURE).softmax(dim=3).view_as(heat).unsqueeze(-1)
        where = grid(heat.shape[3], heat.shape[4], heat)
        mean = (heat * where).sum(dim=(3, 4))
        off = where - mean[..., None, None, :]
        return Keypoints(mean, (heat[..., None] * off[..., :, None] * off[..., None, :]).sum(dim=(3, 4)))


def heatmaps(points: Keypoints, h: int, w: int) -> Tensor:
    """A Gaussian for each keypoint.

    Args:
        points: keypoints of T frames.
        h: height in pixels.
        w: width in pixels.

    Returns:
        (N, T, 10, h, w).
    """
    off = grid(h, w, points.mean) - points.mean[..., None, None, :]
    a, b, c = points.var[..., 0, 0], points.var[..., 0, 1], points.var[..., 1, 1]
    (a, b, c), x, y = (v[..., None, None] for v in (a, b, c)), off[..., 0], off[..., 1]
    distance = (c * x * x - 2 * b * x * y + a * y * y) / (a * c - b * b).clamp_min(1e-8)  # Mahalanobis, squared
    return torch.exp(-distance / 2) / HEAT


def difference(driving: Keypoints, source: Keypoints, h: int, w: int) -> Tensor:
    """The difference between the heatmaps of the video's keypoints and the picture's.

    Args:
        driving: keypoints of the video's T frames.
        source: keypoints of the picture.
        h: height in pixels.
        w: width in pixels.

    Returns:
        (N, T, 10, h, w).
    """
    return heatmaps(driving, h, w) - heatmaps(source, h, w)


class DenseMotion(nn.Module):
    """Picture, keypoints of the video and of the picture → where each pixel comes from, (N, T, H, W, 2) in [-1, 1].

    Args:
        depth: extent of the kernels in time.
    """

    def __init__(self, depth: int = 1) -> None:
        super().__init__()
        masks = KEYPOINTS + 1  # one for the background, which stands still
        inside = masks * (1 + CHANNELS)
        self.groups = nn.Sequential(*(block(inside, inside, 1, masks, size=1) for _ in range(2)))
        self.hourglass = Hourglass(inside, masks + 2, depth)

    def forward(self, picture: Tensor, driving: Keypoints, source: Keypoints) -> Tensor:
        """Estimates the optical flow from each frame of a video back to a picture.

        Args:
            picture: (N, 3, 1, H, W) in [0, 1].
            driving: keypoints of N videos of T frames.
            source: keypoints of the pictures, as videos of one frame.

        Returns:
            Where each pixel comes from, (N, T, H, W, 2) in [-1, 1].
        """
        (n, t, k, _), (h, w) = driving.mean.shape, picture.shape[-2:]
        shift = F.pad(source.mean - driving.mean, (0, 0, 1, 0))[..., None, None, :]  # (N, T, 11, 1, 1, 2)
        heat = F.pad(difference(driving, source, h, w), (0, 0, 0, 0, 1, 0))
        where = (grid(h, w, picture) + shift).flatten(0, 2)
        copies = picture.transpose(1, 2).unsqueeze(2).expand(n, t, k + 1, -1, -1, -1).flatten(0, 2)
        moved = F.grid_sample(copies, where, align_corners=True).view(n, t, k + 1, CHANNELS, h, w)
        seen = torch.cat([heat.unsqueeze(3), moved], dim=3).flatten(2, 3).transpose(1, 2)
        found = self.hourglass(self.groups(seen))
        mask = found[:, : k + 1].softmax(dim=1).transpose(1, 2)[..., None]  # (N, T, 11, H, W, 1)
        return grid(h, w, picture) + (shift * mask).sum(dim=2) + found[:, -2:].permute(0, 2, 3, 4, 1)


class Residual(nn.Module):
    """A residual block: twice batch norm, ReLU and convolution.

    Args:
        channels: channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        parts = (nn.BatchNorm3d(channels), nn.ReLU(), conv(channels, channels, 1))
        again = (nn.BatchNorm3d(channels), nn.ReLU(), conv(channels, channels, 1))
        self.body = nn.Sequential(*parts, *again)

    def forward(self, x: Tensor) -> Tensor:
        """Adds the block's output to its input.

        Args:
            x: (N, channels, T, H, W).
        """
        return x + self.body(x)


class Generator(nn.Module):
    """A picture (N, 3, 1, H, W) and keypoints of a video and of the picture → frames (N, 3, T, H, W) in [0, 1].

    Args:
        depth: extent of the kernels in time.
    """

    def __init__(self, depth: int = 1) -> None:
        super().__init__()
        self.encoder, self.motion = Encoder(CHANNELS, depth), DenseMotion(depth)
        self.decoder = Decoder(CHANNELS, depth, extra=KEYPOINTS)
        wide = self.decoder.outside
        self.refine = nn.Sequential(*(Residual(wide) for _ in range(REFINEMENTS)), nn.Conv3d(wide, CHANNELS, 1))

    def forward(self, picture: Tensor, driving: Keypoints, source: Keypoints) -> Tensor:
        """Draws a picture as it moves with a video.

        Args:
            picture: (N, 3, 1, H, W) in [0, 1].
            driving: keypoints of N videos of T frames.
            source: keypoints of the pictures, as videos of one frame.

        Returns:
            (N, 3, T, H, W) in [0, 1].
        """
        flow = self.motion(picture, driving, source)
        moved = []
        for features in self.encoder(picture):
            h, w = features.shape[-2:]
            heat = difference(driving, source, *picture.shape[-2:]).transpose(1, 2)
            heat = F.interpolate(heat, size=(heat.shape[2], h, w))
            moved.append(torch.cat([warp(features, flow), heat], dim=1))
        return torch.sigmoid(self.refine(self.decoder(moved)))


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Moves the features of one frame along an optical flow.

    Args:
        features: (N, C, 1, h, w).
        flow: (N, T, H, W, 2), where each pixel comes from, in [-1, 1].

    Returns:
        (N, C, T, h, w).
    """
    n, t = flow.shape[:2]
    h, w = features.shape[-2:]
    where = F.interpolate(flow.flatten(0, 1).permute(0, 3, 1, 2), size=(h, w)).permute(0, 2, 3, 1)
    copies = features.expand(-1, -1, t, -1, -1).transpose(1, 2).flatten(0, 1)
    return F.grid_sample(copies, where, align_corners=True).unflatten(0, (n, t)).transpose(1, 2)


class Discriminator(nn.Module):
    """Video and its keypoints' heatmaps → the video, four feature maps, and one score for each patch.

    Args:
        depth: extent of the kernels in time.
    """

    def __init__(self, depth: int = 1) -> None:
        super().__init__()
        wide = [CHANNELS + KEYPOINTS] + [min(START * 2 ** (k + 1), 256) for k in range(4)]
        pad = (depth // 2, 0, 0)
        self.convs = nn.ModuleList(nn.Conv3d(a, b, (depth, 4, 4), padding=pad) for a, b in pairwise(wide))
        self.norms = nn.ModuleList(nn.InstanceNorm3d(b, affine=True) if k else nn.Identity()
                                   for k, b in enumerate(wide[1:]))  # fmt: skip
        self.last = nn.Conv3d(wide[-1], 1, 1)

    def forward(self, video: Tensor, points: Keypoints) -> list[Tensor]:
        """Scores the patches of videos.

        Args:
            video: (N, 3, T, H, W) in [0, 1].
            points: its keypoints.

        Returns:
            The video, four feature maps (N, c, T, h, w) of shrinking h and w, and the patches' scores (N, 1, T, h, w).
        """
        maps, x = [video], torch.cat([video, heatmaps(points, *video.shape[-2:]).transpose(1, 2)], dim=1)
        for each, norm in zip(self.convs, self.norms):
            x = F.avg_pool3d(F.leaky_relu(norm(each(x)), 0.2), (1, 2, 2))
            maps.append(x)
        return [*maps, self.last(x)]


def train_step(
    detector: KeypointDetector,
    generator: Generator,
    discriminator: Discriminator,
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer, torch.optim.Optimizer],
    picture: Tensor,
    video: Tensor,
) -> None:
    """One step, as released: least-squares GAN and feature matching in D.

    Args:
        detector: the keypoint detector; its parameters are updated.
        generator: G; its parameters are updated.
        discriminator: D; its parameters are updated.
        optimizers: those of detector, generator and discriminator.
        picture: (N, 3, 1, H, W) in [0, 1].
        video: (N, 3, T, H, W) in [0, 1], frames of the same video; T = 1 as released.
    """
    points = detector(torch.cat([picture, video], dim=2))  # together, for the batch norms
    source, driving = points.at(slice(1)), points.at(slice(1, None))
    fake = generator(picture, driving, source)
    real_maps, fake_maps = discriminator(video, driving), discriminator(fake, driving)
    loss = (1 - fake_maps[-1]).square().mean()
    for weight, real_map, fake_map in zip(RECONSTRUCTION, real_maps, fake_maps):
        loss = loss + weight * F.l1_loss(fake_map, real_map)
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    optimizers[0].step()
    optimizers[1].step()

    optimizers[2].zero_grad()  # what G's loss left there
    real_score, fake_score = (discriminator(x, driving.detach())[-1] for x in (video, fake.detach()))
    ((1 - real_score).square().mean() + fake_score.square().mean()).backward()
    optimizers[2].step()
