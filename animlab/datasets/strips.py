"""Clips stored as strips: one picture for each clip, its 64x64 frames side by side, in a .zip or a folder.

Both sets published with MoCoGAN have this form, as `<name>/<class>/<id>.jpg` or `.png`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from . import limits
from .archives import open_archive
from .fetch import fetch_folders
from .files import is_file, read_file
from .source import SIZE, Clip, Source

# What Pillow raises for damaged input; the caller gets a ValueError that names the file instead.
PICTURE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)

# The public repository of MoCoGAN at the commit that published its code and data.
COMMIT = "c68950b5943d47cbb7a94c0031bd3d21d19fff33"
PUBLISHED = f"https://github.com/sergeytulyakov/mocogan/archive/{COMMIT}.zip"
MEMBERS = re.compile(rf"mocogan-{COMMIT}/data/(?P<name>(?P<folder>actions|shapes)/\d/\d+\.(?:jpg|png))")
HASHES = {
    "actions": "97d4051a04cb42a4a1735a8ddb69c77e46b595930def926cc170adcd308d4f23",
    "shapes": "a07e20f2879e801373d63411ac38cc3e2b3bc70786eb9e25111131c3de1dce4b",
}


def fetch_strips(progress: bool = True) -> Path:
    """Downloads the two sets from MoCoGAN's repository (some 50 MB) on first use.

    Args:
        progress: whether to show a progress bar.

    Returns:
        A folder with `actions.zip` and `shapes.zip`.

    Raises:
        FetchError: They cannot be downloaded.
    """
    return fetch_folders("mocogan", PUBLISHED, MEMBERS, HASHES, progress)


def find_strips(
    root: Path, name: str, labels: Mapping[str, str], take: Callable[[str], int | None] | None = None
) -> Source | None:
    """Finds strips in a folder, in `<name>.zip` or else in `<name>/`.

    Args:
        root: the folder.
        name: of the set.
        labels: class folder -> class name; a folder that is not listed keeps its name.
        take: file name without its suffix -> number of the recording, if several strips show the same one.

    Returns:
        The clips, or None if there are none.

    Raises:
        ValueError: The zip holds no strips.
    """
    pattern = re.compile(rf"{name}/(?P<folder>[\w-]+)/(?P<id>\w+)\.(?:jpe?g|png)")
    archive = root / f"{name}.zip"
    if is_file(archive):
        with open_archive(archive) as opened:
            matches = _matches(pattern, opened.members)
        if not matches:
            raise ValueError(f"{archive} holds no strips called {name}/<class>/<id>.jpg or .png: get the file again.")
        files: tuple[Path, ...] = (archive,)
    else:
        matches = _matches(pattern, (path.relative_to(root).as_posix() for path in (root / name).glob("*/*")))
        if not matches:
            return None
        files = tuple(root / match.string for match in matches)

    def read() -> Iterator[Clip]:
        for match, (content, where) in zip(matches, _contents(root, archive, matches), strict=True):
            label = labels.get(match["folder"], match["folder"])
            yield Clip(cut_strip(content, where), label, take(match["id"]) if take else None)

    return Source(files, len(matches), read)


def cut_strip(content: bytes, where: str) -> np.ndarray:
    """Cuts a strip into frames.

    Args:
        content: the bytes of a JPEG or PNG file.
        where: the file's name, for the message.

    Returns:
        (T, 64, 64, 3) uint8.

    Raises:
        ValueError: This is not a picture, or not a strip.
    """
    damaged = f"{where} cannot be read as a picture ({len(content)} bytes, damaged or cut short): get the file again."
    try:
        strip = Image.open(io.BytesIO(content), formats=("JPEG", "PNG"))
    except PICTURE_ERRORS as error:
        raise ValueError(damaged) from error
    width, height = strip.size
    if height != SIZE or width % SIZE:  # looked at before decoding: a header can promise any size
        raise ValueError(
            f"{where} is {width}x{height} pixels, but a strip is {SIZE} high and a multiple of {SIZE} wide, "
            "one frame beside the other: remove the file or cut it again."
        )
    if width > limits.MAX_FRAMES * SIZE:
        many = f"{width // SIZE:,} frames, more than {limits.MAX_FRAMES:,}"
        raise ValueError(f"{where} holds {many}: cut it into several strips.")
    try:
        pixels = np.asarray(strip.convert("RGB"))  # grey and transparent strips become RGB too
    except PICTURE_ERRORS as error:
        raise ValueError(damaged) from error
    return pixels.reshape(SIZE, width // SIZE, SIZE, 3).swapaxes(0, 1)


def _matches(pattern: re.Pattern[str], names: Iterable[str]) -> list[re.Match[str]]:
    """The names that are strips, in order; everything else (notes, thumbnails, `__MACOSX/`) is ignored."""
    return [match for match in map(pattern.fullmatch, sorted(names)) if match]


def _contents(root: Path, archive: Path, matches: Sequence[re.Match[str]]) -> Iterator[tuple[bytes, str]]:
    """Yields the bytes of each strip, and its name for an error message."""
    if not is_file(archive):
        for match in matches:
            path = root / match.string
            yield read_file(path, limits.MAX_STRIP_BYTES, "a strip"), str(path)
        return
    with open_archive(archive) as opened:
        for match in matches:
            yield opened.read(match.string, limits.MAX_STRIP_BYTES), opened.where(match.string)
