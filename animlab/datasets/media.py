"""Pictures and videos of any kind, size and origin, turned into frames of 64x64.

Everything here takes files from strangers: the kind of a file is found from its content and fixed before a decoder
sees the rest, every size is looked at before anything is decoded, and whatever goes wrong is a `MediaError`.
"""

from __future__ import annotations

import io
import itertools
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .source import SIZE

MAX_PIXELS = 80_000_000  # of a picture or of one frame: 240 MB once decoded
MIN_SIDE = 8  # pixels: what is smaller is a spacer or a tracking pixel, not a picture
MAX_FRAMES = 3000  # taken from one video or animation: two minutes at 25 frames a second
MAX_CLIP_PIXELS = 25 * 10**9  # in all frames of one file: as many as 3000 frames in 4K have, some minutes of decoding
MAX_PICTURE_BYTES = 256 << 20

PICTURE_FORMATS = {"AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP"}  # as far as Pillow was built for
VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}


class MediaError(ValueError):
    """A file that gives no frames; the message, which is the reason too, says why without the file's name."""

    @property
    def reason(self) -> str:
        return str(self)


@cache
def picture_suffixes() -> frozenset[str]:
    """Endings of the names of pictures that can be read, in lower case: .png, .jpg …"""
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in known if kind in PICTURE_FORMATS)


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(sorted(PICTURE_FORMATS & set(Image.OPEN)))  # an MPO is opened as a JPEG


def frames_of(images: Iterable[Image.Image]) -> tuple[np.ndarray, str]:
    """Gather the images of one file: frames, uint8 (T, 64, 64, 3), and what was left out, "" for nothing.

    At most MAX_FRAMES are taken, fewer of very large ones, and where a file is damaged in the middle, those before the
    damage. Raises MediaError where there is none.
    """
    frames: list[np.ndarray] = []
    pixels = 0
    left_out = ""
    try:
        for image in images:
            pixels += image.width * image.height
            if len(frames) == MAX_FRAMES or pixels > MAX_CLIP_PIXELS:
                left_out = f"only the first {len(frames)} frames were taken: cut it to use others"
                break
            frames.append(to_frame(image))
    except MediaError as error:
        if not frames:
            raise
        left_out = f"only the first {len(frames)} frames could be read: {error}"
    if not frames:
        raise MediaError("holds no frames")
    return np.stack(frames), left_out


def to_frame(image: Image.Image, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """A square of an image, scaled to uint8 (64, 64, 3) with antialiasing (Pillow's bicubic filter).

    box: left, upper, right and lower edge of the square in pixels; None takes the largest in the middle. Transparent
    parts become white, as on paper; of 16-bit grey, 65535 becomes 255.
    """
    if min(image.size) < MIN_SIDE:
        raise MediaError(f"{image.width}x{image.height} pixels, smaller than {MIN_SIDE}x{MIN_SIDE}")
    if box is None:
        side = min(image.size)
        left, upper = (image.width - side) // 2, (image.height - side) // 2
        box = left, upper, left + side, upper + side
    small = _with_eight_bits(image.crop(box)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    if small.mode == "RGBA":  # Pillow has weighed the colours with their opacity
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    return np.asarray(small.convert("RGB"))


def _with_eight_bits(image: Image.Image) -> Image.Image:
    """The same picture as L, RGB, or RGBA where any of it is transparent."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise MediaError(
                "its samples have 32 bits, and nothing says which value is white: save it with 8 or 16 bits"
            )
        return Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))
    see_through = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    wanted = "RGBA" if see_through else "L" if image.mode == "L" else "RGB"
    try:
        return image.convert(wanted)
    except ValueError as error:
        raise MediaError(
            f"its colours are of a kind ({image.mode}) that cannot be converted: save it as RGB"
        ) from error


def pictures_in(content: bytes) -> Iterator[Image.Image]:
    """Decode a picture file, upright: one image, or those of an animation (GIF, WebP, APNG) or of many pages (TIFF).

    The pictures are not converted yet; a large JPEG may come at a half, a quarter or an eighth of its size, never
    smaller than 512 pixels, which changes a 64x64 frame by a level or two. Raises MediaError.
    """
    if not content:
        raise MediaError("empty (0 bytes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow has to say about odd headers helps nobody
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(content), formats=_formats())
            _check_size(*image.size)
        except Exception as error:
            raise _picture_error(error, "no picture, or damaged at its beginning") from error
    for index in itertools.count():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if index > 0:
                    if image.format == "MPO":  # a photograph with its preview behind it
                        return
                    image.seek(index)
                    _check_size(*image.size)
                image.draft(None, (8 * SIZE, 8 * SIZE))  # only JPEG can do that
                image.load()
                upright = ImageOps.exif_transpose(image)
            except EOFError:
                if index == 0:
                    raise MediaError("holds no frames") from None
                return
            except Exception as error:  # Pillow's decoders raise nearly anything for what is damaged
                raise _picture_error(error, "damaged or cut short") from error
        yield upright


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise MediaError(f"{width}x{height} pixels, more than {MAX_PIXELS // 10**6} million")


def _picture_error(error: Exception, otherwise: str) -> MediaError:
    if isinstance(error, MediaError):
        return error
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return MediaError(f"more than {MAX_PIXELS // 10**6} million pixels")
    return MediaError("too large for the memory" if isinstance(error, MemoryError) else otherwise)


def video_frames(path: Path) -> Iterator[Image.Image]:
    """Decode a video file, upright, every stored frame once however long it is shown.

    Raises MediaError, and RuntimeError where ffmpeg itself is missing or too old.
    """
    import imageio_ffmpeg  # type: ignore[import-untyped]  # finds ffmpeg when it is imported, which takes a while

    # It would report every phone video that is stored lying on its side.
    logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)
    limits = ["-f", _video_format(path), "-protocol_whitelist", "file", "-max_pixels", str(MAX_PIXELS)]
    # imageio's own reader fills gaps in time with copies of frames; its ffmpeg wrapper can be told not to.
    decoded = imageio_ffmpeg.read_frames(
        str(path.absolute()), input_params=limits, output_params=["-fps_mode", "passthrough"]
    )
    with closing(decoded):
        try:
            size = next(decoded)["size"]
            _check_size(*size)
            for pixels in decoded:
                yield Image.frombuffer("RGB", size, pixels, "raw", "RGB", 0, 1)
        except (OSError, RuntimeError, KeyError, IndexError, StopIteration) as error:
            if "Unrecognized option" in str(error) or "No ffmpeg exe" in str(error):
                # The machine's fault and not the file's: nothing to be noted down as unreadable.
                raise RuntimeError("videos need ffmpeg 5.1 or newer: pip install --upgrade imageio-ffmpeg") from error
            raise MediaError("no video, or damaged or cut short") from error


def _video_format(path: Path) -> str:
    """What ffmpeg calls the format that a file begins like.

    It is told, for left to guess it also plays lists of names, which may be those of other files and of addresses.
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
