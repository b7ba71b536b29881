"""CelebA: portraits of celebrities, 202,599 of them, aligned so that the eyes are always in the same place.

Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015. Read from the "aligned and cropped"
pictures, 178x218, or from copies of another size. The middle square of the picture's width is kept, 178x178, which
holds the face from hair to chin, and scaled to 64x64.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from . import limits
from .archives import open_archive
from .files import is_file, read_file
from .media import MediaError, pictures_in, to_frame
from .source import Clip, DataSet, Source
from .synthetic_celeba import celeba_stand_in

FOLDER = "img_align_celeba"
PICTURE = re.compile(r"(?:.*/)?\d+\.(?:jpe?g|png)")
# As downloaded; as torchvision.datasets.CelebA lays it out; a folder in a folder of the same name, as some mirrors do.
ARCHIVES = (f"{FOLDER}.zip", f"celeba/{FOLDER}.zip")
FOLDERS = (FOLDER, f"celeba/{FOLDER}", f"{FOLDER}/{FOLDER}")


def find_celeba(root: Path) -> Source | None:
    """Finds the aligned pictures in a folder, each a clip of one frame.

    Args:
        root: holds `img_align_celeba.zip` or a folder of that name.

    Returns:
        The clips, or None if there are none.
    """
    for archive in (root / name for name in ARCHIVES):
        if is_file(archive):
            return _packed(archive)
    for folder in (root / name for name in FOLDERS):
        files = sorted(path for path in folder.glob("*") if PICTURE.fullmatch(path.name))
        if files:
            return _unpacked(files)
    return None


def crop_face(content: bytes, where: str) -> np.ndarray:
    """Crops the middle square of a picture and scales it to 64x64 with antialiasing.

    For pictures of the published size this equals torchvision's CenterCrop(178) and Resize(64, BICUBIC) on a PIL image,
    pixel for pixel.

    Args:
        content: the bytes of a picture file.
        where: the picture's name, for the message.

    Returns:
        (64, 64, 3) uint8.

    Raises:
        ValueError: The picture cannot be read.
    """
    try:
        return to_frame(next(pictures_in(content)))
    except MediaError as error:
        raise ValueError(f"{where} is not a readable portrait: {error}; get it again, or remove it.") from error


def _packed(archive: Path) -> Source:
    with open_archive(archive) as opened:
        members = [member for member in opened.members if PICTURE.fullmatch(member)]
    if not members:
        raise ValueError(f"{archive} holds no pictures called {FOLDER}/000001.jpg and so on: get the file again.")

    def read() -> Iterator[Clip]:
        with open_archive(archive) as opened:
            for member in members:
                yield Clip(crop_face(opened.read(member, limits.MAX_PORTRAIT_BYTES), opened.where(member))[None])

    return Source((archive,), len(members), read)


def _unpacked(files: list[Path]) -> Source:
    def read() -> Iterator[Clip]:
        for file in files:
            content = read_file(file, limits.MAX_PORTRAIT_BYTES, "a picture of a face")
            yield Clip(crop_face(content, str(file))[None])

    return Source(tuple(files), len(files), read)


DATA_SET = DataSet(
    expects=f"{FOLDER}.zip or a folder {FOLDER}/ of pictures 000001.jpg and so on",
    find=find_celeba,
    synthetic=celeba_stand_in,
)
