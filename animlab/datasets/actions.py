"""Human actions (Weizmann): nine people before a wall who wave, do jumping jacks or bend down.

Blank et al., "Actions as Space-Time Shapes", ICCV 2005. Read either from the 72 strips that were published with MoCoGAN
(`actions.zip`, 5,290 frames of 64x64) or from the original .avi files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

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
VIDEO_NAME = re.compile(r"(?P<person>[a-z]+)_(?P<action>[a-z]+\d?)\.avi", re.IGNORECASE)


def find_actions(root: Path) -> Source | None:
    """The Weizmann clips in `root`: `actions.zip`, `actions/`, `weizmann/*.avi` or `*.avi`, in this order, or None."""
    return find_strips(root, "actions", STRIP_CLASSES, _take) or _find_videos(root / "weizmann") or _find_videos(root)


def _take(number: str) -> int | None:
    """Strips 2k and 2k+1 show the same recording, one the mirror image of the other, pixel for pixel."""
    return int(number) // 2 if number.isdecimal() else None


def _find_videos(folder: Path) -> Source | None:
    """Weizmann files called like `daria_wave2.avi`."""
    matches = [match for match in map(VIDEO_NAME.fullmatch, sorted(path.name for path in folder.glob("*"))) if match]
    if not matches:
        return None

    def read() -> Iterator[Clip]:
        for match in matches:
            yield Clip(_read_video(folder / match.string), _video_class(match["action"].lower()))

    return Source(tuple(folder / match.string for match in matches), len(matches), read)


def _video_class(action: str) -> str:
    """`wave1` is a class of its own; the digit in `run1`, `run2` only counts the recordings of one person."""
    return VIDEO_CLASSES.get(action) or VIDEO_CLASSES.get(action.rstrip("0123456789"), action.rstrip("0123456789"))


def _read_video(path: Path) -> np.ndarray:
    """All frames of a video (the longest Weizmann clip has 146), squeezed to uint8 (T, 64, 64, 3)."""
    try:
        frames = [
            np.asarray(Image.fromarray(frame).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
            for frame in iio.imiter(path, plugin="FFMPEG")
        ]
        return np.stack(frames)  # a ValueError where there is none
    except (OSError, ValueError, RuntimeError) as error:
        size = path.stat().st_size
        raise ValueError(f"{path} cannot be read as a video ({size} bytes): get the file again") from error


DATA_SET = DataSet(
    expects="actions.zip, a folder actions/ of strips, or Weizmann videos such as weizmann/daria_wave2.avi",
    find=find_actions,
    synthetic=actions_stand_in,
    fetch=fetch_strips,
)
