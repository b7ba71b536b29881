"""Prepare once, then memory-map: every data set becomes one .npy of frames and one .npy table of clips.

A prepared set is a folder `<name>-<key>` with `frames.npy`, `clips.npy`, `factors.npz` and, where files were left out,
`skipped.json`. The key is made from the names and the content of the source files, so a changed source is prepared
anew, and frames are never those of other files that only look alike from outside. Content is read once: a note,
`notes/<stamp>`, keeps the key under what the file system says of the files, which it says of no others.
The folder is written under a temporary name and renamed when it is complete: what exists under its final name is
whole, however many processes prepare at once and whenever one of them is killed.
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

FORMAT = 2  # raise it when what a cache holds changes its meaning: old caches are then left alone
UNFINISHED = "unfinished-"
CHUNK = 1 << 18
NOTES = "notes"
# Seconds for which a file has to have been left alone before a note on it is kept: two changes that follow each other
# at once may bear the same time.
SETTLED = 2.0
NOTED_FROM = 1 << 20  # bytes: to read fewer takes no longer than to look for a note
ABANDONED_AFTER = 3600.0  # seconds without a write before an unfinished folder counts as left behind


class Prepared(NamedTuple):
    """An opened cache.

    frames: (N, 64, 64, C) uint8 read-only memmap. table: the clip table. factors: name -> (N,) array. skipped: what was
    left out when it was prepared.
    """

    frames: np.ndarray
    table: np.ndarray
    factors: dict[str, np.ndarray]
    skipped: tuple[Skipped, ...]


def data_folder() -> Path:
    """The project's own `data/` folder: beside the package where there is one, else in the working directory."""
    beside_package = Path(__file__).resolve().parents[2] / "data"
    return beside_package if beside_package.is_dir() else Path.cwd() / "data"


def prepared(name: str, source: Source, progress: bool = True) -> Prepared:
    """Open the prepared frames of `source`, preparing them first where that has not been done yet.

    They are not kept for the next time where the machine failed over one of the files, or a file has been changed
    meanwhile. Raises ValueError where one of the files is no ordinary one.
    """
    stamp = _stamp(source.files)
    key = _key(source, stamp, progress)
    for folder in cache_folders() if key else []:
        found = _open(folder / f"{name}-{key}")
        if found is not None:
            return found
    with scratch_folder(name) as unfinished:
        try:
            with full_disk_is_one_sentence(f"the prepared {name!r} frames"):
                lasting = _write(unfinished, name, source, progress)
        except MemoryError as error:
            raise MemoryError(
                f"there is not enough memory to prepare {name!r}: end other programs, or use smaller files"
            ) from error
        if lasting and key and stamp == _stamp(source.files):
            return _publish(unfinished, unfinished.parent / f"{name}-{key}")
        found = _open(unfinished)  # a map stays readable when its file is removed
        if found is None:
            raise OSError(f"the prepared frames in {unfinished} cannot be read back: check the disk")
        return found


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """A new folder in the cache for work in progress: move out of it what is done, the rest is removed.

    What a killed process leaves of one is removed by later calls.
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
    """The first cache folder that can be written to, made where it does not exist yet.

    `$ANIMLAB_CACHE`, or `cache/` in the project's data folder; where that is read-only, `~/.cache/animlab`.
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
    raise PermissionError(f"no cache folder can be written ({tried}): set ANIMLAB_CACHE to a folder that can")


def copy_frames(frames: np.ndarray, spans: Sequence[slice]) -> np.ndarray:
    """Copy some stretches of `frames` side by side into an unnamed temporary file, returned as a read-only memmap.

    The part of a large set is as large as the set itself, so it goes to disk and not to memory; the file has no name
    and its space is freed with the array.
    """
    count = sum(span.stop - span.start for span in spans)
    with tempfile.TemporaryFile(dir=writable_folder()) as file, full_disk_is_one_sentence("a part of the frames"):
        for stretch in _stretches(frames, spans):
            file.write(stretch)
        file.flush()
        return np.memmap(file, np.uint8, mode="r", shape=(count, *frames.shape[1:]))


def _stretches(frames: np.ndarray, spans: Sequence[slice]) -> Iterator[bytes | memoryview]:
    """The bytes of some stretches of `frames`.

    Those of a prepared set are read from its file: to fault in the pages of the map costs three times as much.
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
    """Where prepared sets and downloads may lie, best first."""
    chosen = os.environ.get("ANIMLAB_CACHE")
    if chosen:
        return [Path(chosen).expanduser(), _user_cache()]
    data = data_folder()
    return [data / "cache", _user_cache()] if data.is_dir() else [_user_cache()]


def _user_cache() -> Path:
    return Path("~/.cache/animlab").expanduser()


def _stamp(files: Sequence[Path]) -> str:
    """16 hex digits of what the file system says of these files: it says the same of no others, nor of these changed.

    Where frames come from does not count, only what they are; so this is no key, but spares reading all content anew.
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
    """16 hex digits that change when a file is added, removed, renamed or has another content, or a setting is another.

    None where a file cannot be read.
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
    """The sha256 of the sizes and the content of all files."""
    digest = hashlib.sha256()
    for path in tqdm(files, "looking for changes", unit="file", leave=False, disable=not progress):
        with open(path, "rb", buffering=0) as file:
            digest.update(os.fstat(file.fileno()).st_size.to_bytes(8, "big"))
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _note(stamp: str, content: str) -> None:
    """Keep the hash of files that have been left alone for a while; a cache that cannot be written goes without."""
    with suppress(OSError):
        folder = writable_folder() / NOTES
        folder.mkdir(exist_ok=True)
        unfinished = folder / f"{UNFINISHED}{uuid.uuid4().hex}"
        unfinished.write_text(content)
        os.replace(unfinished, folder / stamp)


def _digest(seen: object) -> str:
    return hashlib.sha256(repr(seen).encode(errors="surrogateescape")).hexdigest()[:16]


def _open(folder: Path) -> Prepared | None:
    """The prepared set in `folder`, or None where it is missing or damaged (by a full disk, say)."""
    try:
        frames = np.load(folder / "frames.npy", mmap_mode="r")
        table = np.load(folder / "clips.npy")
        with np.load(folder / "factors.npz") as stored:
            factors = {name: stored[name] for name in stored.files}
        report = folder / "skipped.json"
        skipped = tuple(Skipped(*pair) for pair in json.loads(report.read_text())) if report.exists() else ()
    except Exception:  # whatever it is that NumPy, zipfile or json say of it, it is made anew
        return None
    return Prepared(frames, table, factors, skipped)


def _write(folder: Path, name: str, source: Source, progress: bool) -> bool:
    """Stream every clip of `source` into `folder`, one clip at a time in memory; whether nothing failed in passing."""
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
    """Whether the disk, or the user's share of it, is used up."""
    return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows has no EDQUOT


@contextmanager
def full_disk_is_one_sentence(what: str) -> Iterator[None]:
    """Around writing `what`: a full disk becomes an error that says what to do."""
    try:
        yield
    except OSError as error:
        if not disk_is_full(error):
            raise
        advice = "free some space, or set ANIMLAB_CACHE to a folder on another disk"
        raise OSError(error.errno, f"{what} could not be written because the disk is full: {advice}") from error


def _publish(unfinished: Path, final: Path) -> Prepared:
    """Give a complete folder its final name, or take the one that another process finished first."""
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
    raise OSError(f"the prepared frames in {final} cannot be read back: check the disk, or set ANIMLAB_CACHE elsewhere")


def _remove_abandoned(folder: Path) -> None:
    """Delete what a killed process left behind; a folder that is still being written has a fresh frames file."""
    for left in folder.glob(f"{UNFINISHED}*"):
        try:
            newest = max(entry.stat().st_mtime for entry in [left, *left.iterdir()])
        except OSError:
            continue  # another process has just renamed or removed it
        if time.time() - newest > ABANDONED_AFTER:
            shutil.rmtree(left, ignore_errors=True)
