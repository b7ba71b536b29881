"""Pictures and videos of any kind, size and origin, turned into frames of 64x64.

The files may come from strangers: the kind of a file is found from its content and fixed before a decoder sees the
rest, every size is checked before anything is decoded, and every failure is a `MediaError`.
"""

from __future__ import annotations

import io
import itertools
import re
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from . import limits
from .source import SIZE

ORIENTATION = 0x112  # the number of that entry in EXIF
BAND = 256  # rows of a picture of 16 bits that are scaled to 8 at once

PICTURE_FORMATS = {"AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP"}  # as far as Pillow was built for
VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}


FFMPEG_NEEDED = "Videos need ffmpeg 5.1 or newer: pip install --upgrade imageio-ffmpeg."
UNKNOWN_WHITE = "its samples have 32 bits, and nothing says which value is white: save it with 8 or 16 bits"


class MediaError(ValueError):
    """A file gives no frames; the message says why, without the file's name.

    Args:
        reason: the message.
        momentary: whether another attempt may succeed, because the machine failed and not the file.
    """

    def __init__(self, reason: str, momentary: bool = False) -> None:
        super().__init__(reason)
        self.momentary = momentary

    @property
    def reason(self) -> str:
        """The message."""
        return str(self)


@cache
def picture_suffixes() -> frozenset[str]:
    """The file suffixes of pictures that can be read, in lower case: .png, .jpg …"""
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in known if kind in PICTURE_FORMATS)


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(sorted(PICTURE_FORMATS & set(Image.OPEN)))  # an MPO is opened as a JPEG


def frames_of(images: Iterable[Image.Image]) -> tuple[np.ndarray, str]:
    """Collects the images of one file as frames.

    At most limits.MAX_FRAMES are taken, fewer of very large ones, and only those before the damage if a file is damaged
    in the middle.

    Args:
        images: the images, as `pictures_in` or `video_frames` gives them.

    Returns:
        Frames, uint8 (T, 64, 64, 3), and what was left out, "" for nothing.

    Raises:
        MediaError: There are no frames.
    """
    frames: list[np.ndarray] = []
    pixels = 0
    left_out = ""
    try:
        for image in images:
            pixels += image.width * image.height
            if len(frames) == limits.MAX_FRAMES or pixels > limits.MAX_CLIP_PIXELS:
                left_out = f"only the first {len(frames)} frames were taken: cut it to use others"
                break
            frames.append(to_frame(image))
    except MediaError as error:
        if not frames or error.momentary:
            raise
        left_out = f"only the first {len(frames)} frames could be read: {error}"
    if not frames:
        raise MediaError("holds no frames")
    return np.stack(frames), left_out


def to_frame(image: Image.Image, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """Crops a square from an image and scales it with antialiasing (Pillow's bicubic filter).

    Transparent parts become white, as on paper; of 16-bit grey, 65535 becomes 255.

    Args:
        image: an image of any mode that has a known white.
        box: left, upper, right and lower edge of the square in pixels; None takes the largest in the middle.

    Returns:
        (64, 64, 3) uint8.

    Raises:
        MediaError: The image is smaller than 8x8, or its colours cannot be converted.
    """
    least = limits.MIN_SIDE
    if min(image.size) < least:
        raise MediaError(f"{image.width}x{image.height} pixels, smaller than {least}x{least}")
    if box is None:
        side = min(image.size)
        left, upper = (image.width - side) // 2, (image.height - side) // 2
        box = left, upper, left + side, upper + side
    if box != (0, 0, *image.size):
        image = image.crop(box)
    small = _with_eight_bits(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    if small.mode == "RGBA":  # Pillow has weighed the colours with their opacity
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    return np.asarray(small.convert("RGB"))


def _with_eight_bits(image: Image.Image) -> Image.Image:
    """The same picture as L, RGB, or RGBA if any of it is transparent."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _scaled_down(image)
    see_through = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    wanted = "RGBA" if see_through else "L" if image.mode == "L" else "RGB"
    if image.mode == wanted:  # or it would be copied
        return image
    try:
        return image.convert(wanted)
    except ValueError as error:
        raise MediaError(
            f"its colours are of a kind ({image.mode}) that cannot be converted: save it as RGB"
        ) from error


def _scaled_down(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits as L, 65535 becoming 255; a band at a time, because such pictures may be very large."""
    if image.mode == "F":
        raise MediaError(UNKNOWN_WHITE)
    grey = Image.new("L", image.size)
    for upper in range(0, image.height, BAND):
        values = np.asarray(image.crop((0, upper, image.width, min(upper + BAND, image.height))))
        if values.min() < 0 or values.max() > 65535:
            raise MediaError(UNKNOWN_WHITE)
        grey.paste(Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)), (0, upper))
    return grey


def pictures_in(content: bytes) -> Iterator[Image.Image]:
    """Decodes a picture file, upright: one image, or those of an animation (GIF, WebP, APNG) or of all pages (TIFF).

    Their total number of pixels is limited, and more strictly for small files: a header can claim any size. The images
    are not converted yet, and each has to be used before the next is asked for. A large JPEG may come at a half, a
    quarter or an eighth of its size, never smaller than 512 pixels, which changes a 64x64 frame by a level or two.

    Args:
        content: the bytes of the file.

    Raises:
        MediaError: The file is damaged, too large, or not a picture.
    """
    if not content:
        raise MediaError("empty (0 bytes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings about odd headers help nobody
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(content), formats=_formats())
            _check_size(*image.size, limits.MAX_PIXELS)
        except Exception as error:
            raise _picture_error(error, "no picture, or damaged at its beginning") from error
    room = min(limits.MAX_MOVING_PIXELS, max(limits.FREE_PIXELS, limits.MAX_PIXELS_A_BYTE * len(content)))
    for index in itertools.count():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if index > 0:
                    if image.format == "MPO":  # a photograph with its preview behind it
                        return
                    image.seek(index)
                    _check_size(*image.size, limits.MAX_PIXELS)
                room -= image.width * image.height
                if room < 0:
                    size = f"{image.width}x{image.height} pixels"
                    traps = f"{size} out of a file of {len(content):,} bytes, as traps have"
                    raise MediaError(f"the others, of {size}, are too large in all" if index else traps)
                image.draft(None, (8 * SIZE, 8 * SIZE))  # only JPEG can do that
                image.load()
                turned = image.getexif().get(ORIENTATION, 1) != 1
                upright = ImageOps.exif_transpose(image) if turned else image  # copies an upright one too
            except EOFError:
                if index == 0:
                    raise MediaError("holds no frames") from None
                return
            except Exception as error:  # Pillow's decoders raise nearly anything for what is damaged
                raise _picture_error(error, "damaged or cut short") from error
        yield upright


def _check_size(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise MediaError(f"{width}x{height} pixels, more than {most // 10**6} million")


def _picture_error(error: Exception, otherwise: str) -> MediaError:
    if isinstance(error, MediaError):
        return error
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return MediaError(f"more than {limits.MAX_PIXELS // 10**6} million pixels")
    if isinstance(error, MemoryError):
        return MediaError("too large for the memory that is free", momentary=True)
    return MediaError(otherwise)


def video_frames(path: Path) -> Iterator[Image.Image]:
    """Decodes a video file, upright; every stored frame comes once, however long it is shown.

    Args:
        path: the file.

    Raises:
        MediaError: The file is damaged, too large, or not a video.
        RuntimeError: ffmpeg is missing or too old.
    """
    import imageio_ffmpeg  # type: ignore[import-untyped]  # takes a while to import, and brings ffmpeg along

    kind = _video_format(path)
    try:
        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise RuntimeError(FFMPEG_NEEDED) from error
    most = ["-max_pixels", str(limits.MAX_VIDEO_PIXELS), "-timelimit", str(limits.MAX_VIDEO_SECONDS)]
    command = [ffmpeg, "-v", "error", "-nostdin", "-f", kind, "-protocol_whitelist", "file", *most]
    # PPM says before each frame how large it is. Without passthrough, gaps in time are filled with copies of frames.
    command += ["-i", str(path.absolute()), "-an", "-sn", "-dn", "-fps_mode", "passthrough"]
    command += ["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]
    with tempfile.TemporaryFile() as complaints:
        try:
            decoder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints)
        except FileNotFoundError as error:
            raise RuntimeError(FFMPEG_NEEDED) from error
        except OSError as error:
            raise MediaError(f"ffmpeg could not be started ({error.strerror})", momentary=True) from error
        assert decoder.stdout is not None, "it was asked for"
        seen = 0
        try:
            while (image := _next_frame(decoder.stdout)) is not None:
                seen += 1
                yield image
            code = decoder.wait()
        finally:
            decoder.kill()  # in case the caller wants no more frames; harmless if it has ended
            decoder.stdout.close()
            decoder.wait()
        complaints.seek(0)
        _judge(code, complaints.read(1 << 16).decode(errors="replace"), seen)


def _next_frame(stream: IO[bytes]) -> Image.Image | None:
    """The next frame in a stream of PPM pictures; None at its end, even in the middle of a frame."""
    header = [stream.readline(64) for _ in range(3)]  # P6, width and height, 255
    if header[0] != b"P6\n" or not re.fullmatch(rb"\d+ \d+\n", header[1]):
        return None
    width, height = map(int, header[1].split())
    pixels = stream.read(3 * width * height)
    if len(pixels) < 3 * width * height:
        return None
    return Image.frombuffer("RGB", (width, height), pixels, "raw", "RGB", 0, 1)


def _judge(code: int, complaints: str, seen: int) -> None:
    """Interprets how ffmpeg ended. Damage after the first frame is no error: the frames before it are used."""
    if "Unrecognized option" in complaints:
        raise RuntimeError(FFMPEG_NEEDED)
    if code < 0 and signal.Signals(-code).name == "SIGXCPU":
        raise MediaError(f"takes more than {limits.MAX_VIDEO_SECONDS // 60} minutes to decode")
    if code < 0 or "Cannot allocate memory" in complaints or "Resource temporarily unavailable" in complaints:
        trouble = f"was ended by signal {-code}" if code < 0 else "had not enough memory"
        raise MediaError(f"ffmpeg {trouble} after {seen} frames", momentary=True)
    if not seen:
        if "max pixel count" in complaints:
            raise MediaError(f"more than {limits.MAX_VIDEO_PIXELS // 10**6} million pixels a frame")
        raise MediaError("no video, or damaged or cut short" if code else "holds no frames")


def _video_format(path: Path) -> str:
    """ffmpeg's name of the format that a file begins with.

    ffmpeg is told it, because if left to guess it also plays playlists, which may name other files and addresses.
    """
    with open(path, "rb") as file:
        head = file.read(12)
    if not head:
        raise MediaError("empty (0 bytes)")
    if head[:4] == b"RIFF" and head[8:] == b"AVI ":
        return "avi"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"  # WebM as well
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"  # MP4 as well
    raise MediaError("no video that can be read: neither MP4, MOV, AVI, MKV nor WebM")
