"""Folders that others may use too: one process at a time holds a run's, a lesson deletes only what it has made."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .checks import path_of

# Errors of file systems without locks, such as some network ones: there, nothing is locked.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


MARK = ".animlab"  # a file in every folder that a lesson has made for itself


def own_folder(path: str | Path, anew: bool = False) -> Path:
    """A folder for a lesson's output, created if missing and marked by a file `.animlab`.

    Example:
        >>> out = own_folder("runs/first")

    Args:
        path: the folder.
        anew: whether to delete what an earlier run of the lesson left in it.

    Raises:
        FileExistsError: The folder is not empty and has no such mark, so somebody else's files are in it.
    """
    folder = path_of("path", path)
    mark = folder / MARK
    if folder.exists() and not mark.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{folder} holds files that this lesson did not make: choose another folder, or put an empty file {MARK} "
            "into this one if everything in it may be overwritten."
        )
    if anew and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return folder


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Holds a lock on a file, `<file>.lock` beside it, which names the process; the folder has to exist.

    The operating system releases the lock when its process ends, however it ends: a lock file that is left behind locks
    nothing.

    Args:
        file: the file to lock; it need not exist.

    Raises:
        BlockingIOError: Another process holds the lock; the message names it.
    """
    place = file.with_name(f"{file.name}.lock")
    owner = _words(place)  # first: older versions of filelock empty the file as they ask for it
    lock = FileLock(place)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"{file} is being written by {owner or 'another process'}: wait for it, stop it, or name another place."
        ) from None
    except NotImplementedError:  # raised for ENOSYS by older versions of filelock
        pass
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        if lock.is_locked:
            place.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows deletes an open file only when the lock is released
                place.unlink()
            lock.release()


def _words(place: Path) -> str:
    """Who holds a lock, "" if that cannot be read."""
    try:
        return place.read_text(encoding="utf-8").strip()[:200]
    except (OSError, ValueError):
        return ""
