"""Single handwritten digits: MNIST from its original IDX files, or synthetic ones drawn with strokes.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits": 60,000 training and 10,000 test pictures of 28x28.
The digits of `moving-mnist` come from here.
"""

from __future__ import annotations

import gzip
import os
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from . import limits
from .cache import data_folder
from .fetch import FetchError, fetch_files
from .files import check_file, is_file
from .strokes import synthetic_digits

__all__ = [
    "DIGIT_SIZE", "IdxPair", "fetch_digits", "find_digits", "load_digits", "read_digits", "straightened",
    "synthetic_digits",
]  # fmt: skip

DIGIT_SIZE = 28
STAND_INS = 10_000  # as many as the test part of MNIST has
PARTS = ("train", "t10k")  # read in this order
LAYOUTS = (".", "MNIST/raw")  # the files as downloaded; as torchvision.datasets.MNIST lays them out
EXPECTS = "the IDX files t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, or train-..., plain or .gz"
# Where torchvision gets them; sha256 of the test part, 1.7 MB.
PUBLISHED = "https://ossci-datasets.s3.amazonaws.com/mnist"
HASHES = {
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
# The first four bytes of an IDX file: 0, 0, type (8: unsigned byte), number of axes.
IMAGES, LABELS = b"\0\0\x08\x03", b"\0\0\x08\x01"


class IdxPair(NamedTuple):
    """The two files of one part of MNIST.

    Attributes:
        images: the IDX file of pictures.
        labels: the IDX file of labels.
    """

    images: Path
    labels: Path


def load_digits(root: str | os.PathLike[str] | None = None, progress: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Loads single digits with their labels: MNIST if it is available, else synthetic ones.

    Example:
        >>> images, labels = load_digits()
        >>> images[labels == 7]                                         # every seven, (about N / 10, 28, 28)

    Args:
        root: the folder with the IDX files, or with torchvision's `MNIST/raw`. None looks in `$ANIMLAB_DATA`, then in
            `data/`, then downloads MNIST's test part; without a network it returns 10,000 digits of `synthetic_digits`,
            with a `StandInWarning`.
        progress: whether to show a progress bar for the download.

    Returns:
        Images, uint8 (N, 28, 28), 0 (paper) to 255 (ink), and labels, int64 (N,), 0 to 9. The training part comes
        before the test part, whichever are there.

    Raises:
        ValueError: A file is damaged.
        FileNotFoundError: `root` holds no digits, or a file of labels is missing.
    """
    if root is not None:
        pairs = find_digits(Path(root).expanduser())
        if not pairs:
            raise FileNotFoundError(
                f"No digits in {os.fspath(root)!r}, which should hold {EXPECTS}: data/README.md says where to get "
                "them, and synthetic_digits() needs no files."
            )
        return read_digits(pairs)
    chosen = os.environ.get("ANIMLAB_DATA")
    folders = ([Path(chosen).expanduser()] if chosen else []) + [data_folder()]
    for folder in folders:
        pairs = find_digits(folder)
        if pairs:
            return read_digits(pairs)
    try:
        return read_digits(find_digits(fetch_digits(progress)))
    except FetchError as error:
        reason = error
    from . import StandInWarning  # the package imports this module, through moving_mnist

    warnings.warn(
        f"No digits in {' or '.join(map(str, folders))} ({EXPECTS}), and none could be downloaded ({reason}). Digits "
        "drawn by the library are used instead; data/README.md says how to get the real ones.",
        StandInWarning,
        stacklevel=2,
    )
    return synthetic_digits(STAND_INS)


def find_digits(root: Path) -> list[IdxPair]:
    """Finds the parts of MNIST in a folder.

    Args:
        root: the folder.

    Returns:
        The parts, training before test; [] if there are none.

    Raises:
        FileNotFoundError: A file of images has no file of labels beside it.
    """
    for folder in (root / layout for layout in LAYOUTS):
        pairs = []
        for part in PARTS:
            images, labels = (
                _plain_or_packed(folder / f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1")
            )
            if images and not labels:
                raise FileNotFoundError(f"{images} has no {part}-labels-idx1-ubyte(.gz) beside it: get that file too.")
            if images and labels:
                pairs.append(IdxPair(images, labels))
        if pairs:
            return pairs
    return []


def fetch_digits(progress: bool = True) -> Path:
    """Downloads MNIST's test part on first use.

    Args:
        progress: whether to show a progress bar.

    Returns:
        The folder that holds it.

    Raises:
        FetchError: It cannot be downloaded.
    """
    return fetch_files("mnist", PUBLISHED, HASHES, progress)


def read_digits(pairs: Sequence[IdxPair]) -> tuple[np.ndarray, np.ndarray]:
    """Reads parts of MNIST, one after the other.

    Args:
        pairs: the files, as `find_digits` gives them.

    Returns:
        Images and labels, as `load_digits` returns them.

    Raises:
        ValueError: A file is damaged, or two files do not belong together.
    """
    images, labels = [], []
    for pair in pairs:
        images.append(read_idx(pair.images, IMAGES))
        labels.append(read_idx(pair.labels, LABELS))
        if images[-1].shape[1:] != (DIGIT_SIZE, DIGIT_SIZE):
            height, width = images[-1].shape[1:]
            raise ValueError(
                f"{pair.images} holds pictures of {width}x{height}, but the digits of MNIST are 28x28: get it again."
            )
        if not len(images[-1]):
            raise ValueError(f"{pair.images} holds no digits: get it again.")
        if len(images[-1]) != len(labels[-1]):
            raise ValueError(
                f"{pair.images} holds {len(images[-1])} digits, but {pair.labels.name} {len(labels[-1])} labels: "
                "the two files do not belong together, get both again."
            )
        if labels[-1].max() > 9:
            raise ValueError(
                f"{pair.labels} holds the label {labels[-1].max()}, but digits go from 0 to 9: get it again."
            )
    return np.concatenate(images), np.concatenate(labels).astype(np.int64)


def read_idx(path: Path, magic: bytes) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, plain or gzipped.

    Args:
        path: the file.
        magic: the four bytes with which it has to begin.

    Returns:
        uint8, of the shape that its header gives.

    Raises:
        ValueError: The file is of another kind, too large, or of the wrong length.
    """
    check_file(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            content = file.read(limits.MAX_IDX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a complete gzip file ({path.stat().st_size} bytes): get it again.") from error
    if len(content) > limits.MAX_IDX_BYTES:
        raise ValueError(f"{path} unpacks to more than {limits.MAX_IDX_BYTES >> 20} MB, too much for MNIST: remove it.")
    if content[:4] != magic:
        raise ValueError(
            f"{path} is not an IDX file of {'images' if magic == IMAGES else 'labels'}: it begins with "
            f"{content[:4].hex() or 'nothing'}, not with {magic.hex()}; get it again."
        )
    header = 4 + 4 * magic[3]
    shape = tuple(int.from_bytes(content[start : start + 4], "big") for start in range(4, header, 4))
    expected = header + int(np.prod(shape, dtype=object))
    if len(content) < header or len(content) != expected:
        raise ValueError(
            f"{path} is cut short or damaged ({len(content)} bytes, not the {expected} of its header): get it again."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def straightened(x: torch.Tensor) -> torch.Tensor:
    """Shears digits upright, until the ink of each leans neither way.

    The shear comes from the second moments of the ink: how far it moves sideways, on average, for a row further down.

    Example:
        >>> straightened(torch.tensor(images).float()[:, None])

    Args:
        x: ink on empty paper, float (N, 1, S, S) from 0 (paper) up.

    Returns:
        The same shape and range.
    """
    at = torch.linspace(-1, 1, x.shape[-1]) * (1 - 1 / x.shape[-1])  # the pixels' centres; the edges are -1 and 1
    ink = x[:, 0] / x.sum(dim=(2, 3))[..., None]
    across = at - (ink.sum(dim=1) * at).sum(dim=1, keepdim=True)  # (N, S): from the centre of the ink
    middle = (ink.sum(dim=2) * at).sum(dim=1, keepdim=True)
    down = at - middle
    slant = (ink * down[:, :, None] * across[:, None]).sum(dim=(1, 2)) / (ink.sum(dim=2) * down**2).sum(dim=1)
    rows = [slant**0, slant, -slant * middle[:, 0]], [0 * slant, slant**0, 0 * slant]
    turn = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)  # (N, 2, 3)
    return F.grid_sample(x, F.affine_grid(turn, list(x.shape), align_corners=False), align_corners=False)


def _plain_or_packed(path: Path) -> Path | None:
    packed = path.with_name(path.name + ".gz")
    return next((found for found in (path, packed) if is_file(found)), None)
