"""Human actions (Weizmann): nine people in front of a wall who wave, do jumping jacks or bend down.

Blank et al., "Actions as Space-Time Shapes", ICCV 2005. Read either from the 72 strips that were published with MoCoGAN
(`actions.zip`, 5,290 frames of 64x64) or from the original .avi files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_opening

from . import limits
from .files import check_file
from .media import MediaError, to_frame, video_frames
from .source import SIZE, Clip, DataSet, Source
from .strips import fetch_strips, find_strips
from .synthetic_actions import actions_stand_in

# Folder names in actions.zip, and the part after the underscore in the names of the .avi files.
STRIP_CLASSES = {"0": "wave one hand", "1": "wave two hands", "3": "jumping jack", "4": "bend"}
VIDEO_CLASSES = {
    "wave1": "wave one hand",
    "wave2": "wave two hands",
    "jack": "jumping jack",
    "bend": "bend",
    "pjump": "jump in place",
    "side": "gallop sideways",
}
# For cropping. People in the Weizmann videos are half as tall as the picture, and reach a quarter higher.
MOVED = 30  # levels: above the noise of the video coding, below the contrast of clothes and wall
MARGIN = 0.125  # of the extent of the motion, on either side
TALL = 0.7  # of the height of the picture

VIDEO_NAME = re.compile(r"(?P<person>[a-z]+)_(?P<action>[a-z]+\d?)\.avi", re.IGNORECASE)


def find_actions(root: Path) -> Source | None:
    """Finds the Weizmann clips in a folder.

    Args:
        root: holds `actions.zip`, `actions/`, `weizmann/*.avi` or `*.avi`; the first of these is taken.

    Returns:
        The clips, or None if there are none.
    """
    return find_strips(root, "actions", STRIP_CLASSES, _take) or _find_videos(root, _squeezed)


def find_cropped_actions(root: Path) -> Source | None:
    """Finds the Weizmann videos in a folder; each is cropped to the square in which its person moves.

    Args:
        root: holds `weizmann/*.avi` or `*.avi`.

    Returns:
        The clips, or None if there are none.
    """
    return _find_videos(root, _cropped)


def _take(number: str) -> int | None:
    """The recording of a strip: strips 2k and 2k+1 show the same one, mirrored pixel for pixel."""
    return int(number) // 2 if number.isdecimal() else None


def _find_videos(root: Path, frames_of: Callable[[Path], np.ndarray]) -> Source | None:
    """Weizmann files with names such as `daria_wave2.avi`, in `root/weizmann` or in `root`."""
    for folder in (root / "weizmann", root):
        matches = [
            match for match in map(VIDEO_NAME.fullmatch, sorted(path.name for path in folder.glob("*"))) if match
        ]
        if matches:
            return _videos(folder, matches, frames_of)
    return None


def _videos(folder: Path, matches: Sequence[re.Match[str]], frames_of: Callable[[Path], np.ndarray]) -> Source:
    def read() -> Iterator[Clip]:
        for match in matches:
            path = folder / match.string
            check_file(path)
            try:
                frames = frames_of(path)
            except (OSError, MediaError) as error:
                if isinstance(error, MediaError) and error.momentary:
                    raise OSError(f"{path} cannot be read just now: {error}; try again.") from error
                size = path.stat().st_size
                raise ValueError(f"{path} cannot be read as a video ({size} bytes): get the file again.") from error
            yield Clip(frames, _video_class(match["action"].lower()))

    files = tuple(folder / match.string for match in matches)
    return Source(files, len(matches), read, settings=frames_of.__name__)


def _video_class(action: str) -> str:
    """The class of a video: `wave1` is a class; the digit in `run1`, `run2` only counts one person's recordings."""
    return VIDEO_CLASSES.get(action) or VIDEO_CLASSES.get(action.rstrip("0123456789"), action.rstrip("0123456789"))


def _squeezed(path: Path) -> np.ndarray:
    """All frames of a video (the longest Weizmann clip has 146), squeezed to uint8 (T, 64, 64, 3)."""
    size = (SIZE, SIZE)
    images = _all_images(path, limits.MAX_CLIP_PIXELS)
    return np.stack([np.asarray(image.resize(size, Image.Resampling.BICUBIC)) for image in images])


def _cropped(path: Path) -> np.ndarray:
    """All frames of a video, cropped to one square for the whole clip, so that motion stays visible."""
    images = list(_all_images(path, limits.MAX_HELD_PIXELS))
    box = moving_box(np.stack([np.asarray(image) for image in images]))
    return np.stack([to_frame(image, box) for image in images])


def _all_images(path: Path, most: int) -> Iterator[Image.Image]:
    """The frames of a video; ValueError if they are too many, or have more than `most` pixels in all."""
    count = pixels = 0
    for image in video_frames(path):
        count, pixels = count + 1, pixels + image.width * image.height
        if count > limits.MAX_FRAMES or pixels > most:
            seen = f"{count - 1:,} frames of {image.width}x{image.height}"
            raise ValueError(f"{path} has more than {seen}, too much for a clip: cut it into shorter ones.")
        yield image


def moving_box(video: np.ndarray) -> tuple[int, int, int, int]:
    """The square in which somebody moves in front of a still background.

    The background is the median over time; what differs from it by more than MOVED levels, in more than a speck, moves.
    The square contains all of it, with a margin. From the top of the motion it reaches down at least TALL of the
    picture's height, because of a person who stands and waves only the arms move. It is never larger than the picture:
    of a longer path it shows the middle. Without any motion it is the middle of the picture.

    Args:
        video: (T, H, W, 3) uint8.

    Returns:
        Left, upper, right and lower edge in pixels.
    """
    height, width = video.shape[1:3]
    background = np.median(video[:: max(1, len(video) // 100)], axis=0)
    moved = np.zeros((height, width), bool)
    for frame in video:
        moved |= binary_opening(np.abs(frame - background).max(axis=-1) > MOVED, np.ones((3, 3)))
    rows, columns = np.flatnonzero(moved.any(axis=1)), np.flatnonzero(moved.any(axis=0))
    largest = min(height, width)
    if len(rows) == 0:
        left, upper = (width - largest) // 2, (height - largest) // 2
        return left, upper, left + largest, upper + largest
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    side = min(largest, round(max((1 + 2 * MARGIN) * extent, TALL * height)))
    left = round((columns[0] + columns[-1] + 1 - side) / 2)
    upper = rows[0] - round(MARGIN * extent)
    left, upper = int(np.clip(left, 0, width - side)), int(np.clip(upper, 0, height - side))
    return left, upper, left + side, upper + side


DATA_SET = DataSet(
    expects="actions.zip, a folder actions/ of strips, or Weizmann videos such as weizmann/daria_wave2.avi",
    find=find_actions,
    synthetic=actions_stand_in,
    find_cropped=find_cropped_actions,
    fetch=fetch_strips,
)
