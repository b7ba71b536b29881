"""Clips as files: GIF, MP4 and filmstrips."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

MOVIE_WIDTH = 256  # a 64-pixel movie is a stamp in most players, so movies are enlarged to at least this width
GAP = 2  # white pixels between the frames of a filmstrip


def save_animation(clip: np.ndarray, path: str | Path, fps: float = 12) -> None:
    """Writes an animation; the ending of `path` chooses the format.

    >>> animlab.save_animation(model.animate(d=2, c=0), "wave.gif")

    clip: uint8 (frames, H, W, C), C 1 (grey) or 3. path: .gif (plays for ever) or .mp4 (H.264, yuv420p, which all
    browsers and players know), each pixel enlarged to a square so that the movie is at least 256 wide; or .png, the
    frames side by side, pixel for pixel. fps: frames per second, of no effect on a filmstrip.
    Folders that are missing are made. Raises ValueError for another ending, shape or speed.
    """
    clip, path = _checked(clip), Path(path)
    kind = path.suffix.lower()
    if kind not in (".gif", ".mp4", ".png"):
        raise ValueError(f"save_animation writes .gif, .mp4 and .png (a filmstrip), got the file name {path.name!r}.")
    if not fps > 0:
        raise ValueError(f"fps, the frames per second, must be above 0, got {fps!r}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == ".png":
        path.write_bytes(to_png(filmstrip(clip)))
        return
    movie = _enlarged(clip)
    if kind == ".gif":
        first, *rest = [Image.fromarray(frame) for frame in movie]
        first.save(path, save_all=True, append_images=rest, duration=1000 / fps, loop=0)
    else:
        iio.imwrite(path, movie, plugin="FFMPEG", fps=fps, codec="libx264", pixelformat="yuv420p", macro_block_size=2)


def filmstrip(clips: np.ndarray | Sequence[np.ndarray], gap: int = GAP) -> np.ndarray:
    """One picture, uint8 (height, width, 3): a row a clip, its frames from left to right, white gaps between them.

    clips: one clip (frames, H, W, C) or several, equal in H, W and C; a shorter one leaves its row's end white.
    """
    rows = [clips] if isinstance(clips, np.ndarray) and clips.ndim == 4 else clips
    rows = [_checked(clip) for clip in rows]
    sizes = {row.shape[1:] for row in rows}
    if len(sizes) != 1:
        raise ValueError(f"A filmstrip needs clips of one frame size, got {sorted(sizes) or 'no clips'}.")
    h, w, _ = rows[0].shape[1:]
    longest = max(len(row) for row in rows)
    strip = np.full((len(rows) * (h + gap) - gap, longest * (w + gap) - gap, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, frame in enumerate(row):
            strip[y * (h + gap) :, x * (w + gap) :][:h, :w] = frame  # grey (H, W, 1) spreads over the three channels
    return strip


def to_png(frame: np.ndarray) -> bytes:
    """One frame, uint8 (H, W, 1 or 3), as the bytes of a PNG file; compressed lightly, for speed."""
    file = io.BytesIO()
    Image.fromarray(frame.squeeze(2) if frame.shape[2] == 1 else frame).save(file, "png", compress_level=1)
    return file.getvalue()


def _checked(clip: np.ndarray) -> np.ndarray:
    clip = np.asarray(clip)
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] not in (1, 3) or clip.size == 0:
        raise ValueError(f"A clip is uint8 (frames, H, W, 1 or 3), got {clip.dtype} of shape {clip.shape}.")
    return clip


def _enlarged(clip: np.ndarray) -> np.ndarray:
    """RGB, each pixel a square, at least MOVIE_WIDTH wide, and even in height and width, as yuv420p wants it."""
    clip = clip.repeat(3 // clip.shape[3], axis=3)
    times = -(-MOVIE_WIDTH // clip.shape[2])
    clip = clip.repeat(times, axis=1).repeat(times, axis=2)
    return np.pad(clip, ((0, 0), (0, clip.shape[1] % 2), (0, clip.shape[2] % 2), (0, 0)), mode="edge")
