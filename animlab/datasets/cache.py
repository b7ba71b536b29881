"""Data sets are prepared once, then memory-mapped: each becomes one .npy of frames and one .npy table of clips.

A prepared set is a folder `<name>-<key>` with `frames.npy`, `clips.npy`, `factors.npz` and, where files were left out,
`skipped.json`. The key is a hash of the names and the content of the source files, so that a changed source is prepared
again and cannot be confused with one that only looks alike from outside. Content is read once: a note, `notes/<stamp>`,
stores its hash under what the file system reports of the files, which is unique to them.

The folder is written under a temporary name and renamed when it is complete: what exists under its final name is
complete, however many processes prepare at once and whenever one of them is killed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from .files import check_file
from .source import Passing, Skipped, Source

FORMAT = 2  # increase it when the content of a cache changes its meaning: old caches are then ignored
UNFINISHED = "unfinished-"
CHUNK = 1 << 18
NOTES = "notes"
# Seconds for which a file must be unchanged before a note on it is kept: two changes in quick succession may have the
# same time stamp.
SETTLED = 2.0
NOTED_FROM = 1 << 20  # bytes: reading fewer takes no longer than looking for a note
ABANDONED_AFTER = 3600.0  # seconds without a write before an unfinished folder counts as left behind


class Prepared(NamedTuple):
    """An opened cache.

    Attributes:
        frames: (N, 64, 64, C) uint8, a read-only memory map.
        table: the table of clips, as in `Clips`.
        factors: name -> (N,) array.
        skipped: the files that were left out when it was prepared.
    """

    frames: np.ndarray
    table: np.ndarray
    factors: dict[str, np.ndarray]
    skipped: tuple[Skipped, ...]


def data_folder() -> Path:
    """The project's `data/` folder: beside the package if it is there, else in the working directory."""
    beside_package = Path(__file__).resolve().parents[2] / "data"
    return beside_package if beside_package.is_dir() else Path.cwd() / "data"


def prepared(name: str, source: Source, progress: bool = True) -> Prepared:
    """Opens the prepared frames of a source, and prepares them first if necessary.

    They are not kept if the machine failed on one of the files, or if a file has changed meanwhile.

    Args:
        name: the data set's name.
        source: its clips and the files that they depend on.
        progress: whether to show a progress bar.

    Raises:
        ValueError: One of the files is not a regular file.
        OSError: The disk is full, or the cache cannot be read back.
        MemoryError: There is not enough memory.
    """
    stamp = _stamp(source.files)
    key = _key(source, stamp, progress)
    for folder in cache_folders() if key else []:
        found = _open(folder / f"{name}-{key}")
        if found is not None:
            return found
    with scratch_folder(name) as unfinished:
        try:
            with full_disk_is_one_sentence(f"The prepared {name!r} frames"):
                lasting = _write(unfinished, name, source, progress)
        except MemoryError as error:
            raise MemoryError(
                f"There is not enough memory to prepare {name!r}: end other programs, or use smaller files."
            ) from error
        if lasting and key and stamp == _stamp(source.files):
            return _publish(unfinished, unfinished.parent / f"{name}-{key}")
        found = _open(unfinished)  # a map stays readable when its file is removed
        if found is None:
            raise OSError(f"The prepared frames in {unfinished} cannot be read back: check the disk.")
        return found


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """A new folder in the cache for unfinished work: move the results out of it, the rest is removed.

    What a killed process leaves behind is removed by later calls.

    Args:
        name: becomes part of the folder's name.
    """
    folder = writable_folder()
    _remove_abandoned(folder)
    unfinished = folder / f"{UNFINISHED}{name}-{uuid.uuid4().hex}"
    unfinished.mkdir()  # not mkdtemp, which would lock other users out of a shared cache
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def writable_folder() -> Path:
    """The first cache folder that is writable, created if missing.

    That is `$ANIMLAB_CACHE`, or `cache/` in the project's data folder; where that is read-only, `~/.cache/animlab`.

    Raises:
        PermissionError: None of them is writable.
    """
    folders = cache_folders()
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()  # permission bits do not tell: a disk may be mounted read-only
            return folder
        except OSError:
            continue
    tried = " or ".join(map(str, folders))
    raise PermissionError(f"No cache folder is writable ({tried}): set ANIMLAB_CACHE to a folder that is.")


def copy_frames(frames: np.ndarray, spans: Sequence[slice]) -> np.ndarray:
    """Copies several ranges of frames into one temporary file without a name, whose space is freed with the array.

    A part of a large set may be nearly as large as the set, so it goes to disk and not to memory.

    Args:
        frames: (N, H, W, C) uint8.
        spans: ranges of rows, in the order of the copy.

    Returns:
        A read-only memory map of the copy.
    """
    count = sum(span.stop - span.start for span in spans)
    with tempfile.TemporaryFile(dir=writable_folder()) as file, full_disk_is_one_sentence("A part of the frames"):
        for stretch in _stretches(frames, spans):
            file.write(stretch)
        file.flush()
        return np.memmap(file, np.uint8, mode="r", shape=(count, *frames.shape[1:]))


def _stretches(frames: np.ndarray, spans: Sequence[slice]) -> Iterator[bytes | memoryview]:
    """The bytes of several ranges of `frames`.

    Those of a prepared set are read from its file: page faults in the memory map take three times as long.
    """
    name = getattr(frames, "filename", None)
    if name is None or not os.path.exists(name) or os.path.getsize(name) != frames.offset + frames.nbytes:  # type: ignore[attr-defined]
        for span in spans:
            yield np.ascontiguousarray(frames[span], np.uint8).data
        return
    size = frames[0].nbytes
    with open(name, "rb") as file:
        for span in spans:
            file.seek(frames.offset + span.start * size)  # type: ignore[attr-defined]
            yield file.read((span.stop - span.start) * size)


def cache_folders() -> list[Path]:
    """The folders in which prepared sets and downloads may be, in order of preference."""
    chosen = os.environ.get("ANIMLAB_CACHE")
    if chosen:
        return [Path(chosen).expanduser(), _user_cache()]
    data = data_folder()
    return [data / "cache", _user_cache()] if data.is_dir() else [_user_cache()]


def _user_cache() -> Path:
    return Path("~/.cache/animlab").expanduser()


def _stamp(files: Sequence[Path]) -> str:
    """16 hex digits of what the file system reports of these files; they differ for other files, and after any change.

    The frames depend on content alone, so this is not the key; it saves reading all content again.
    """
    seen = []
    for file in map(str, files):
        try:
            status = os.stat(file)
        except OSError:
            check_file(Path(file))
            raise
        if not stat.S_ISREG(status.st_mode):  # there may be 200,000 files: a closer look costs as much again
            check_file(Path(file))
        seen.append((file, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return _digest(seen)


def _key(source: Source, stamp: str, progress: bool) -> str | None:
    """16 hex digits that change if a file is added, removed, renamed or changed, or a setting changes.

    None if a file cannot be read.
    """
    files = [str(file) for file in source.files]
    base = os.path.commonpath([os.path.dirname(file) for file in files])
    names = [file[len(base) :].replace(os.sep, "/") for file in files]
    notes = [folder / NOTES / stamp for folder in cache_folders()]
    content = next((note.read_text() for note in notes if note.is_file()), None)
    if content is None:
        began = time.time()
        try:
            content = _content_of(source.files, progress)
        except OSError:
            return None
        seen = [file.stat() for file in source.files]
        settled = began - max(each.st_ctime for each in seen) > SETTLED and stamp == _stamp(source.files)
        if settled and sum(each.st_size for each in seen) > NOTED_FROM:
            _note(stamp, content)
    return _digest([FORMAT, names, content, source.settings])


def _content_of(files: Sequence[Path], progress: bool) -> str:
    """The SHA-256 of the sizes and the content of all files."""
    digest = hashlib.sha256()
    for path in tqdm(files, "looking for changes", unit="file", leave=False, disable=not progress):
        with open(path, "rb", buffering=0) as file:
            digest.update(os.fstat(file.fileno()).st_size.to_bytes(8, "big"))
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _note(stamp: str, content: str) -> None:
    """Stores the hash of files that have not changed for a while; without a writable cache it is not stored."""
    with suppress(OSError):
        folder = writable_folder() / NOTES
        folder.mkdir(exist_ok=True)
        unfinished = folder / f"{UNFINISHED}{uuid.uuid4().hex}"
        unfinished.write_text(content)
        os.replace(unfinished, folder / stamp)


def _digest(seen: object) -> str:
    return hashlib.sha256(repr(seen).encode(errors="surrogateescape")).hexdigest()[:16]


def _open(folder: Path) -> Prepared | None:
    """The prepared set in `folder`, or None if it is missing or damaged (by a full disk, say)."""
    try:
        frames = np.load(folder / "frames.npy", mmap_mode="r")
        table = np.load(folder / "clips.npy")
        with np.load(folder / "factors.npz") as stored:
            factors = {name: stored[name] for name in stored.files}
        report = folder / "skipped.json"
        skipped = tuple(Skipped(*pair) for pair in json.loads(report.read_text())) if report.exists() else ()
    except Exception:  # whatever NumPy, zipfile or json raise: it is prepared again
        return None
    return Prepared(frames, table, factors, skipped)


def _write(folder: Path, name: str, source: Source, progress: bool) -> bool:
    """Streams the clips of `source` into `folder`, one at a time; returns whether no file failed momentarily."""
    rows: list[tuple[int, int, str, int]] = []
    factors: dict[str, list[np.ndarray]] = {}
    skipped: list[Skipped] = []
    lasting = True
    total = 0
    bar = tqdm(desc=f"preparing {name}", total=source.count, unit="clip", leave=False, disable=not progress)
    with open(folder / "frames.npy", "wb") as file, bar:
        shape: tuple[int, ...] = ()
        for clip in source.read():
            if isinstance(clip, Skipped):
                skipped.append(clip)
                lasting = lasting and not isinstance(clip, Passing)
                continue
            if not shape:
                shape = clip.frames.shape[1:]
                _write_header(file, (0, *shape))
            _write_frames(file, clip.frames)
            rows.append((total, len(clip.frames), clip.label, len(rows) if clip.take is None else clip.take))
            total += len(clip.frames)
            for key, values in clip.factors.items():
                factors.setdefault(key, []).append(values)
            bar.update()
        # numpy leaves room in the header for the first axis to grow, so the true count fits where 0 stood.
        file.seek(0)
        _write_header(file, (total, *shape))
    label_size = max(1, *(len(row[2]) for row in rows))
    table = np.array(rows, [("start", "i8"), ("length", "i8"), ("class", f"U{label_size}"), ("take", "i8")])
    np.save(folder / "clips.npy", table)
    np.savez(folder / "factors.npz", **{key: np.concatenate(parts) for key, parts in factors.items()})  # type: ignore[arg-type]
    if skipped:
        (folder / "skipped.json").write_text(json.dumps(skipped))
    return lasting


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _write_frames(file: BinaryIO, frames: np.ndarray) -> None:
    file.write(np.ascontiguousarray(frames, np.uint8).data)


def disk_is_full(error: OSError) -> bool:
    """Whether an error means that the disk, or the user's quota on it, is full.

    Args:
        error: the error raised while writing.
    """
    return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows has no EDQUOT


@contextmanager
def full_disk_is_one_sentence(what: str) -> Iterator[None]:
    """A context for writing files, in which a full disk raises an OSError that says what to do.

    Args:
        what: what is being written: the beginning of the message.
    """
    try:
        yield
    except OSError as error:
        if not disk_is_full(error):
            raise
        advice = "free some space, or set ANIMLAB_CACHE to a folder on another disk"
        raise OSError(error.errno, f"{what} could not be written because the disk is full: {advice}.") from error


def _publish(unfinished: Path, final: Path) -> Prepared:
    """Gives a complete folder its final name, or takes the one that another process finished first."""
    for _ in range(2):
        try:
            os.rename(unfinished, final)
        except OSError:
            if not final.exists():
                raise
        found = _open(final)
        if found is not None:
            return found
        shutil.rmtree(final, ignore_errors=True)  # damaged: make way, and rename once more
    raise OSError(
        f"The prepared frames in {final} cannot be read back: check the disk, or set ANIMLAB_CACHE to "
        "a folder on another one."
    )


def _remove_abandoned(folder: Path) -> None:
    """Deletes what killed processes left behind; a folder that is still being written has a recent frames file."""
    for left in folder.glob(f"{UNFINISHED}*"):
        try:
            newest = max(entry.stat().st_mtime for entry in [left, *left.iterdir()])
        except OSError:
            continue  # another process has just renamed or removed it
        if time.time() - newest > ABANDONED_AFTER:
            shutil.rmtree(left, ignore_errors=True)
