"""Clips stored as strips: one picture a clip, its 64x64 frames side by side, in a .zip or a folder.

Both sets published with MoCoGAN come like this, as `<name>/<class>/<id>.jpg` or `.png`.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from .source import SIZE, Clip, Source

MAX_BYTES = 32 << 20  # a strip file; the largest published one is under 1 MB, so more is a mistake or a trap


def find_strips(
    root: Path, name: str, labels: Mapping[str, str], take: Callable[[str], int] | None = None
) -> Source | None:
    """Look in `root` for `<name>.zip`, then for a folder `<name>/`, of strips; None where there is neither.

    labels: class folder -> class name; a folder that is not listed keeps its own name.
    take: file name without its ending -> number of the recording, where several strips show the same one.
    """
    pattern = re.compile(rf"{name}/([\w-]+)/(\w+)\.(?:jpe?g|png)")
    archive, folder = root / f"{name}.zip", root / name
    if archive.is_file():
        members = sorted(member for member in _open_zip(archive).namelist() if pattern.fullmatch(member))
        if not members:
            raise ValueError(f"{archive} holds no strips called {name}/<class>/<id>.jpg or .png: get the file again")
        files: tuple[Path, ...] = (archive,)
    else:
        members = sorted(
            path.relative_to(root).as_posix()
            for path in folder.glob("*/*")
            if pattern.fullmatch(path.relative_to(root).as_posix())
        )
        if not members:
            return None
        files = tuple(root / member for member in members)

    def read() -> Iterator[Clip]:
        zipped = _open_zip(archive) if files == (archive,) else None
        for member in members:
            where = f"{archive}:{member}" if zipped else str(root / member)
            content = _read_member(zipped, member, where) if zipped else (root / member).read_bytes()
            kind, number = pattern.fullmatch(member).groups()  # type: ignore[union-attr]
            yield Clip(cut_strip(content, where), labels.get(kind, kind), take(number) if take else None)

    return Source(files, len(members), read)


def cut_strip(content: bytes, where: str) -> np.ndarray:
    """Cut the picture in `content` (the bytes of a JPEG or PNG file) into frames, uint8 (T, 64, 64, 3).

    where: what to call the file when it turns out to be no picture, or no strip (ValueError).
    """
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as strip:
            width, height = strip.size
            if height != SIZE or width % SIZE:
                raise _NotAStrip(
                    f"{where} is {width}x{height} pixels: a strip is {SIZE} high and a multiple of {SIZE} wide, "
                    "one frame beside the other; remove the file or cut it again"
                )
            pixels = np.asarray(strip.convert("RGB"))  # grey and transparent strips become RGB too
    except _NotAStrip as error:
        raise ValueError(str(error)) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{where} cannot be read as a picture ({len(content)} bytes; damaged or cut short): get the file again"
        ) from error
    return pixels.reshape(SIZE, width // SIZE, SIZE, 3).swapaxes(0, 1)


class _NotAStrip(Exception):
    """A readable picture of the wrong size, told apart from an unreadable one."""


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        size = path.stat().st_size
        raise ValueError(f"{path} is no complete zip archive ({size} bytes): download it again") from error


def _read_member(zipped: zipfile.ZipFile, member: str, where: str) -> bytes:
    if zipped.getinfo(member).file_size > MAX_BYTES:
        raise ValueError(f"{where} unpacks to more than {MAX_BYTES >> 20} MB, too large for a strip: remove it")
    try:
        return zipped.read(member)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ValueError(f"{where} is damaged inside the archive: download the archive again") from error
