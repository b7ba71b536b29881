"""Your own frames: a folder of pictures and videos, a zip of these, or a single file.

What becomes a clip, and of which class:

- a video, or a picture with several frames or pages (GIF, WebP, APNG, TIFF), is a clip;
- pictures in a sub-folder whose names differ only by their last number (`0001.png`, `0002.png` …) are the frames of one
  clip, in the order of that number;
- any other picture is a clip of one frame, and so is every picture that is directly in the folder.

The class of a clip is the first-level sub-folder that it is in, "" if it is in none. A zip in which everything is in
one folder is read as that folder.

What cannot be read is left out and reported; nothing is executed, unpacked or followed out of the folder.
"""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path, PurePosixPath

import numpy as np

from . import limits
from .archives import Archive, ArchiveError, open_archive
from .cache import full_disk_is_one_sentence, scratch_folder
from .files import unsuited
from .media import VIDEO_SUFFIXES, MediaError, frames_of, picture_suffixes, pictures_in, video_frames
from .source import Clip, DataSet, Passing, Skipped, Source

LITTER = {"thumbs.db", "desktop.ini", "__macosx"}  # silently ignored, as are names that start with a dot


def find_folder(root: Path) -> Source:
    """Finds everything readable in a folder, a zip or a file.

    Args:
        root: the folder, zip or file.

    Raises:
        FileNotFoundError: It does not exist.
        ValueError: It holds nothing that can be read, or more than `limits` allow.
    """
    if not root.exists():
        raise FileNotFoundError(
            f"There is no {os.fspath(root)!r}: root names a folder of pictures or videos, or a zip."
        )
    root = root.resolve()
    if root.is_dir():
        place: _Place = _Folder(root)
    elif not root.is_file():
        raise ValueError(f"{root} is neither a folder nor an ordinary file: name one that holds pictures or videos.")
    elif root.suffix.lower() == ".zip":
        place = _Zip(root)
    else:
        place = _Folder(root.parent, only=root.name)
    names, skipped = place.names()
    if not names:
        raise ValueError(_nothing(root, skipped))
    clips = list(_clips_of(names))

    def read() -> Iterator[Clip | Skipped]:
        left_out = list(skipped)
        yield from skipped
        total = 0
        with place.opened():
            for take, (label, members) in enumerate(clips):
                for item in _read_clip(place, members, label, take, limits.MAX_TOTAL_FRAMES - total):
                    if isinstance(item, Clip):
                        total += len(item.frames)
                    else:
                        left_out.append(item)
                    yield item
        if not total:
            raise ValueError(_nothing(root, left_out))

    return Source(place.files(names), len(clips), read, settings=repr((names, skipped)))


def describe(skipped: Sequence[Skipped], most: int = 3) -> str:
    """Says in one line what was left out.

    Args:
        skipped: the files, with reasons.
        most: how many of them are named.
    """
    shown = [f"{_shortened(_printable(name))} ({reason})" for name, reason in skipped[:most]]
    more = f" and {len(skipped) - most:,} more" if len(skipped) > most else ""
    return ", ".join(shown) + more


def _nothing(root: Path, skipped: Sequence[Skipped]) -> str:
    seen = f", only {describe(skipped)}" if skipped else ""
    return f"{_printable(str(root))} holds no pictures or videos that can be read{seen}: name another folder."


def _printable(name: str) -> str:
    """A name on one line, with unprintable characters escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)


def _shortened(name: str, most: int = 100) -> str:
    return name if len(name) <= most else f"{name[: most - 20]}…{name[-19:]}"


# --- which files make a clip ----------------------------------------------------------------------------------------


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A sorting key that puts `frame10.png` after `frame9.png`.

    Args:
        name: a file's name.
    """
    parts = re.split(r"([0-9]+)", name.casefold())  # text and numbers take turns
    numbers = [digits.lstrip("0") for digits in parts]  # compared by length first: int() refuses very long ones
    keys = [(len(digits), digits) if at % 2 else (0, part) for at, (part, digits) in enumerate(zip(parts, numbers))]
    return keys, name


def _clips_of(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Groups files, which come in natural order, into clips: (class, names) of each."""
    numbered: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        match = re.fullmatch(r"(.*[^0-9]|)[0-9]+([^0-9]*)", path.stem, re.DOTALL)
        inside = len(path.parts) > 1 and path.suffix.lower() not in VIDEO_SUFFIXES
        key = (str(path.parent), match[1], match[2]) if match and inside else (name,)
        numbered.setdefault(key, []).append(name)
    for members in numbered.values():
        folders = PurePosixPath(members[0]).parts[:-1]
        yield (_class_of(folders[0]) if folders else ""), members


def _class_of(folder: str) -> str:
    """A folder's name as the name of a class; a long one is cut and gets a number that distinguishes it from others."""
    name = _printable(folder)
    if len(name) <= limits.MAX_CLASS:
        return name
    number = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: limits.MAX_CLASS - 9]}…{number}"


def _read_clip(place: _Place, members: Sequence[str], label: str, take: int, room: int) -> Iterator[Clip | Skipped]:
    """Reads the files of one clip; long sequences come in pieces of one take, so that memory stays small."""
    stills: list[np.ndarray] = []
    for name in members:
        if room <= 0:
            yield Skipped(name, f"the set is full with {limits.MAX_TOTAL_FRAMES:,} frames")
            continue
        try:
            frames, left_out = place.frames(name)
        except (MediaError, ArchiveError) as error:
            yield (Passing if error.momentary else Skipped)(name, error.reason)
            continue
        except MemoryError:
            yield Passing(name, "too large for the memory that is free")
            continue
        if left_out:
            yield Skipped(name, left_out)
        frames = frames[:room]
        room -= len(frames)
        if len(frames) > 1:  # a video or an animation is a separate clip, even among numbered pictures
            yield Clip(frames, label, take)
            continue
        stills.append(frames)
        if len(stills) == limits.MAX_FRAMES:
            yield Clip(np.concatenate(stills), label, take)
            stills = []
    if stills:
        yield Clip(np.concatenate(stills), label, take)


# --- where files come from ------------------------------------------------------------------------------------------


class _Place(ABC):
    """A folder or a zip."""

    @abstractmethod
    def names(self) -> tuple[list[str], list[Skipped]]:
        """The names of pictures and videos, with / between folders, in natural order; and what is left out."""

    @abstractmethod
    def files(self, names: Sequence[str]) -> tuple[Path, ...]:
        """The files on disk that these names come from."""

    @abstractmethod
    def opened(self) -> AbstractContextManager[object]:
        """A context for all calls of `frames`."""

    @abstractmethod
    def frames(self, name: str) -> tuple[np.ndarray, str]:
        """As `media.frames_of`."""


class _Folder(_Place):
    """A folder on disk, or one file in it."""

    def __init__(self, root: Path, only: str | None = None) -> None:
        self.root, self.only = root, only

    def names(self) -> tuple[list[str], list[Skipped]]:
        names: list[str] = []
        skipped: list[Skipped] = []
        for path in [self.root / self.only] if self.only else self._walk(skipped):
            name = path.relative_to(self.root).as_posix()
            reason = _unsuited(name) or unsuited(path, self.root)
            if reason:
                skipped.append(Skipped(name, reason))
            else:
                names.append(name)
        return sorted(names, key=natural), skipped

    def _walk(self, skipped: list[Skipped]) -> Iterator[Path]:
        def leave_out(folder: str | Path, reason: str) -> None:
            skipped.append(Skipped(f"{Path(folder).relative_to(self.root).as_posix()}/", reason))

        def unlisted(error: OSError) -> None:
            leave_out(error.filename, f"the folder cannot be listed: {error.strerror}")

        count = 0
        for folder, inside, files in os.walk(self.root, onerror=unlisted):
            count += len(inside) + len(files)
            if count > limits.MAX_FILES:
                raise ValueError(
                    f"{self.root} holds more than {limits.MAX_FILES:,} files: name a folder of only those you need."
                )
            inside[:] = sorted((name for name in inside if not _is_litter(name)), key=natural)
            for name in inside:
                if os.path.islink(os.path.join(folder, name)):  # os.walk does not enter it
                    leave_out(Path(folder, name), "a link to a folder, which is not followed")
            if inside and len(Path(folder).relative_to(self.root).parts) == limits.MAX_DEPTH:
                for name in inside:
                    leave_out(Path(folder, name), f"it lies more than {limits.MAX_DEPTH} folders deep: move it up")
                inside.clear()
            for name in sorted(files, key=natural):
                if not _is_litter(name):
                    yield Path(folder, name)

    def files(self, names: Sequence[str]) -> tuple[Path, ...]:
        return tuple(self.root / name for name in names)

    def opened(self) -> AbstractContextManager[object]:
        return nullcontext()

    def frames(self, name: str) -> tuple[np.ndarray, str]:
        path = self.root / name
        try:
            if path.suffix.lower() in VIDEO_SUFFIXES:
                return frames_of(video_frames(path))
            if path.stat().st_size > limits.MAX_PICTURE_BYTES:
                raise MediaError(f"a picture of more than {limits.MAX_PICTURE_BYTES >> 20} MB")
            return frames_of(pictures_in(path.read_bytes()))
        except OSError as error:  # it was readable when it was listed
            raise MediaError(f"cannot be read just now: {error.strerror}", momentary=True) from error


class _Zip(_Place):
    """A zip archive, read in place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.archive: Archive | None = None
        self.top = ""

    def names(self) -> tuple[list[str], list[Skipped]]:
        with open_archive(self.path) as archive:
            members = [name for name in archive.members if not any(map(_is_litter, PurePosixPath(name).parts))]
            skipped = [Skipped(_shortened(name), reason) for name, reason in archive.refused.items()]
        tops = {name.partition("/")[0] for name in members}
        if len(tops) == 1 and all("/" in name for name in members):
            self.top = f"{tops.pop()}/"
        names = [name.removeprefix(self.top) for name in members]
        skipped += [Skipped(name, reason) for name in names if (reason := _unsuited(name))]
        return sorted((name for name in names if not _unsuited(name)), key=natural), skipped

    def files(self, names: Sequence[str]) -> tuple[Path, ...]:
        return (self.path,)

    @contextmanager
    def opened(self) -> Iterator[None]:
        with open_archive(self.path) as self.archive:
            yield

    def frames(self, name: str) -> tuple[np.ndarray, str]:
        assert self.archive is not None, "frames are read inside opened()"
        member, suffix = self.top + name, PurePosixPath(name).suffix.lower()
        if suffix not in VIDEO_SUFFIXES:
            return frames_of(pictures_in(self.archive.read(member, limits.MAX_PICTURE_BYTES)))
        with scratch_folder("video") as scratch:  # ffmpeg reads files only; the name is ours, not the archive's
            path = scratch / f"video{suffix}"
            with full_disk_is_one_sentence(f"The video {_printable(name)}"), open(path, "wb") as file:
                self.archive.copy(member, file, limits.MAX_VIDEO_BYTES)
            return frames_of(video_frames(path))


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def _unsuited(name: str) -> str:
    """Why a file is not even opened, judged by its name; "" if it is."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in picture_suffixes() or suffix in VIDEO_SUFFIXES:
        return ""
    if suffix in (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"):
        return "an archive inside: unpack it first"
    return f"{suffix or 'a name without an ending'} is not a kind of picture or video that is read"


DATA_SET = DataSet(
    expects="pictures, videos, or a zip of these",
    find=find_folder,
    synthetic=None,
)
