"""Clips as files: GIF, MP4, WebP, animated PNG and filmstrips."""

from __future__ import annotations

import errno
import io
import os
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .checks import check_frames, path_of, real, shown, whole

MOVIE_WIDTH = 256  # pixels; most players show a 64-pixel movie as small as a stamp
GAP = 2  # white pixels between the frames of a filmstrip
MOST_GAP = 1000
SLOWEST = 0.1  # frames a second
# GIF counts in hundredths of a second. Players take a frame of less than two of them for a mistake and show it for ten;
# they play the newer formats by the same rule.
TICK = 10  # milliseconds
FASTEST = {".gif": 50, ".webp": 50, ".apng": 50, ".mp4": 240}
LARGEST = {".gif": 65_535, ".webp": 16_383, ".apng": 65_535, ".mp4": 16_384}  # pixels a side; of MP4, that x264 takes
PILLOW: dict[str, dict[str, Any]] = {
    ".gif": {"format": "GIF"},
    ".webp": {"format": "WEBP", "lossless": True},
    ".apng": {"format": "PNG"},
}
# What Pillow raises for a frame time that is too long for a format, and where it was built without WebP.
PACKING_ERRORS = (KeyError, ValueError, OSError, OverflowError, struct.error)


def save_animation(clip: np.ndarray, path: str | os.PathLike[str], fps: float = 12) -> None:
    """Writes a clip to a file; the suffix of `path` chooses the format.

    A .gif has 256 colours per frame; .webp and .apng are lossless; these three loop for ever. An .mp4 is H.264 with
    yuv420p, which all browsers and players support. In all four, each pixel is enlarged to a square so that the movie
    is at least 256 pixels wide. A .png is a filmstrip, the frames side by side, pixel for pixel.

    A frame of a .gif, .webp or .apng is shown for the nearest multiple of 10 ms: 12 frames per second are 80 ms each,
    which makes 12.5. A frame equal to the one before is stored as a longer display time of that one.

    Example:
        >>> animlab.save_animation(model.animate(d=2, along=0), "wave.gif")

    Args:
        clip: (frames, H, W, C) uint8, C 1 (grey) or 3; for an .mp4, at most 16,384 pixels a side once enlarged.
        path: file name that ends in .gif, .webp, .apng, .mp4 or .png. `~` is the home folder; missing folders are made.
            An older file stays until the new one is complete.
        fps: frames per second, 0.1 to 50, for an .mp4 up to 240; without effect on a filmstrip.

    Raises:
        ValueError: The suffix is another one, shape, size or fps are out of range, or no file can be named `path`.
        TypeError: `path` is neither a string nor a Path.
        OSError: The disk is full, or the folder is not writable.
        RuntimeError: ffmpeg is missing.
    """
    clip, path = _checked(clip), path_of("path", path)
    kind = path.suffix.lower()
    if kind != ".png" and kind not in FASTEST:
        raise ValueError(
            "save_animation writes .gif, .mp4, .webp, .apng and .png (a filmstrip), "
            f"got the file name {path.name[-60:]!r}."
        )
    if kind == ".png":
        content = to_png(filmstrip(clip))
        write_whole(path, lambda part: part.write_bytes(content))
        return
    fps = real(f"fps, the frames per second of a {kind},", fps, SLOWEST, FASTEST[kind])
    height, width = _enlarged_size(clip)
    if max(height, width) > LARGEST[kind]:
        raise ValueError(
            f"A {kind} has at most {LARGEST[kind]:,} pixels a side, and this clip would be {width:,}x{height:,}, each "
            "pixel enlarged to a square: save smaller frames, or a filmstrip as .png."
        )
    if kind == ".mp4":
        write_whole(path, lambda part: _write_mp4(clip, part, fps))
    else:
        movie = _packed(clip, kind, fps)
        write_whole(path, lambda part: part.write_bytes(movie))


def _packed(clip: np.ndarray, kind: str, fps: float) -> bytes:
    """The clip as the bytes of a file that Pillow writes."""
    file = io.BytesIO()
    first, *rest = (Image.fromarray(frame) for frame in _enlarged(clip))
    duration = TICK * round(1000 / fps / TICK)
    try:
        first.save(file, save_all=True, append_images=rest, duration=duration, loop=0, **PILLOW[kind])
    except PACKING_ERRORS as error:
        raise ValueError(f"A {kind} cannot hold these {len(clip):,} frames: {error}.") from error
    return file.getvalue()


def _write_mp4(clip: np.ndarray, path: Path, fps: float) -> None:
    """Encodes the clip with ffmpeg, frame by frame, then decodes the file to verify it."""
    import imageio_ffmpeg  # type: ignore[import-untyped]  # takes a while to import

    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    height, width = _enlarged_size(clip)
    rate = str(Fraction(fps).limit_denominator(1000))
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "-"]
    coding = ["-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "25", "-f", "mp4", str(path.absolute())]
    with tempfile.TemporaryFile() as complaints:
        command = [ffmpeg, "-y", "-v", "error", *raw, *coding]
        writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints)
        assert writer.stdin is not None, "it was asked for"
        with suppress(OSError), writer.stdin as frames:  # ffmpeg has given up; its message is read below
            for frame in _enlarged(clip):
                frames.write(frame.data)
        code = writer.wait()
        complaints.seek(0)
        said = complaints.read(1 << 14).decode(errors="replace")
    if code == 0:
        play = [ffmpeg, "-nostdin", "-v", "error", "-i", str(path.absolute()), "-f", "null", "-"]
        played = subprocess.run(play, capture_output=True, text=True, errors="replace")
        code, said = played.returncode, played.stderr
    if code or said.strip() or not path.stat().st_size:
        if "No space left on device" in said:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reason = " ".join(said.split())[-200:] or f"it ended with {code}"
        raise OSError(errno.EIO, f"ffmpeg could not write it ({reason})")


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file under a temporary name beside it and renames it when complete; on failure an older file stays.

    Args:
        path: the file; missing folders are made.
        write: writes the content to the path that it is given.

    Raises:
        OSError: The file cannot be written; the message says whether an older one is kept.
    """
    path = Path(os.path.realpath(path))  # a symbolic link stays one
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.parent / f".{uuid.uuid4().hex}.part"
        try:
            write(part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        kept = ", and what was there is kept" if path.is_file() else ""
        raise OSError(error.errno, f"{path} could not be written: {error.strerror or error}{kept}.") from error


def filmstrip(clips: np.ndarray | Sequence[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Puts the frames of clips into one picture, a row for each clip, with white gaps between the frames.

    Args:
        clips: one clip (frames, H, W, C) uint8, or several of equal H, W and C; the end of a shorter one's row is
            white.
        gap: pixels between frames, 0 to 1,000.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: These are not clips, or not of one frame size.
    """
    gap = whole("gap", gap, 0, MOST_GAP)
    if not isinstance(clips, Iterable):
        raise ValueError(f"A filmstrip needs a clip or a list of clips, got {shown(clips)}.")
    if isinstance(clips, np.ndarray) and clips.ndim < 5:
        clips = [clips]
    rows = [_checked(clip) for clip in clips]
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
    """Encodes one frame as PNG, with light compression for speed.

    Args:
        frame: (H, W, 1 or 3) uint8.
    """
    file = io.BytesIO()
    Image.fromarray(frame.squeeze(2) if frame.shape[2] == 1 else frame).save(file, "png", compress_level=1)
    return file.getvalue()


def _checked(clip: np.ndarray) -> np.ndarray:
    with suppress(TypeError, ValueError, RuntimeError):  # what makes no array is refused as it is
        clip = np.asarray(clip)
    check_frames("A clip", clip)
    return clip


def _enlarged(clip: np.ndarray) -> Iterator[np.ndarray]:
    """RGB frames, enlarged to at least MOVIE_WIDTH, with even height and width, as yuv420p requires."""
    height, width = _enlarged_size(clip)
    times = _times(clip)
    for frame in clip:
        frame = frame.repeat(3 // clip.shape[3], axis=2).repeat(times, axis=0).repeat(times, axis=1)
        edges = ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0))
        yield np.ascontiguousarray(np.pad(frame, edges, mode="edge"))


def _enlarged_size(clip: np.ndarray) -> tuple[int, int]:
    """Height and width of a clip's movie, in pixels."""
    height, width = (side * _times(clip) for side in clip.shape[1:3])
    return height + height % 2, width + width % 2


def _times(clip: np.ndarray) -> int:
    return -(-MOVIE_WIDTH // clip.shape[2])
