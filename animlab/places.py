"""Places on disk that others use too: a run's is one process's at a time, and a lesson clears up after itself alone."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

# What file systems say that know no locks, such as some of a network: there, nobody watches.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


MARK = ".animlab"  # a file in every folder that a lesson has made for itself


def own_folder(path: str | Path, anew: bool = False) -> Path:
    """A folder that a lesson may write to as it likes, made where it is not there, with a file `.animlab` as its mark.

    >>> out = own_folder("runs/first")

    anew: what an earlier run of the lesson has left in it is removed.

    Raises FileExistsError where the folder holds anything and has no such mark: that is somebody else's.
    """
    folder = Path(path).expanduser()
    mark = folder / MARK
    if folder.exists() and not mark.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{folder} holds what this lesson has not made: name another place, or put an empty file {MARK} into the "
            "folder if everything in it may be overwritten."
        )
    if anew and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return folder


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Holds the lock of `file`, `<file>.lock` beside it, which says who does; the folder has to be there.

    The lock is the system's, which releases it when its process ends, however it ends: a file that is left behind locks
    nothing, and the next run takes it over.

    Raises BlockingIOError, which names the other process, where the lock is held.
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
    except NotImplementedError:  # what filelock made of ENOSYS once
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
            with suppress(OSError):  # Windows removes no open file, but does when the lock is released
                place.unlink()
            lock.release()


def _words(place: Path) -> str:
    """Who holds a lock, "" where that cannot be read."""
    try:
        return place.read_text(encoding="utf-8").strip()[:200]
    except (OSError, ValueError):
        return ""
