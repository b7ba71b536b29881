"""Files of unknown origin: which may be opened at all, and how much of them is read.

A pipe blocks whoever opens it, a device never ends, and links lead anywhere; so no loader opens anything that has not
been checked here.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# Errors that are due to the machine and not to the file: another attempt may succeed.
MOMENTARY = {
    getattr(errno, name)
    for name in (
        *("EAGAIN", "EBUSY", "EIO", "EMFILE", "ENFILE", "ENOBUFS", "ENODEV", "ENOMEM", "ENXIO", "ESTALE"),
        *("ETIMEDOUT", "EINTR", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH"),
    )
    if hasattr(errno, name)  # Windows has not all of them
}


MISSING = "no such file"


def is_momentary(error: BaseException) -> bool:
    """Whether an error is due to the machine's present state, and says nothing about the file.

    Args:
        error: the error raised while opening or reading.
    """
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in MOMENTARY)


def unsuited(path: Path, inside: Path | None = None) -> str:
    """Why a file cannot or must not be opened.

    Args:
        path: the file.
        inside: a folder, resolved, that links must not lead out of.

    Returns:
        The reason in a few words; "" for a regular file that can be read.
    """
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            target = Path(os.path.realpath(path, strict=True))
            if inside is not None and not target.is_relative_to(inside):
                return "a link that leads out of the folder"
            status = target.stat()
    except PermissionError:
        return "permission denied"
    except OSError as error:
        if is_momentary(error):
            raise
        return "a link that leads nowhere" if os.path.islink(path) else MISSING
    if stat.S_ISDIR(status.st_mode):
        return "a folder, not a file"
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file, but a pipe or a device"
    return "" if os.access(path, os.R_OK) else "permission denied"


def check_file(path: Path) -> None:
    """Checks that a file of a data set is a regular file that can be read.

    Args:
        path: the file.

    Raises:
        ValueError: It is not; the message gives the reason.
    """
    reason = unsuited(path)
    if reason:
        raise ValueError(f"{path} cannot be opened ({reason}): put the file itself there, or remove it.")


def is_file(path: Path) -> bool:
    """Whether a file of a data set exists.

    Args:
        path: the file.

    Raises:
        ValueError: Something other than a readable file is in its place.
    """
    if not os.path.lexists(path):
        return False
    check_file(path)
    return True


def read_file(path: Path, limit: int, what: str) -> bytes:
    """Reads a file of a data set.

    Args:
        path: the file.
        limit: largest size in bytes.
        what: what the file should be, for the message.

    Raises:
        ValueError: The file is larger, or not a regular file that can be read.
    """
    check_file(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(min(size, limit) + 1)  # read allocates as much as it is asked for
    if len(content) > limit:
        raise ValueError(f"{path} has more than {limit >> 20} MB, too much for {what}: remove it, or get it again.")
    return content
