"""Zip archives of unknown origin, read with care: nothing is unpacked to disk, no header trusted, every size limited.

Members are read into memory one at a time. A name that would lead out of a folder is refused all the same, because it
shows that the archive was made to do harm.
"""

from __future__ import annotations

import copy
import io
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from . import limits
from .files import check_file, is_momentary

CHUNK = 1 << 20
TOO_MANY = f"holds more than {limits.MAX_FILES:,} files, too many to read: make an archive of only those you need"

# What zipfile and the unpackers under it raise for damaged input.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)
METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES encryption"}


class ArchiveError(ValueError):
    """An archive, or a member of one, cannot or must not be read. The message is "WHERE REASON."

    Args:
        where: names the archive and the member.
        reason: what is wrong and what to do, without a full stop.
        momentary: whether another attempt may succeed, because the machine failed and not the archive.
    """

    def __init__(self, where: str, reason: str, momentary: bool = False) -> None:
        super().__init__(f"{where} {reason}.")
        self.reason, self.momentary = reason, momentary


class Archive:
    """An open zip archive, as `open_archive` gives it.

    Attributes:
        path: the archive.
        members: the sorted names of its files, with / between folders. Folders themselves and the extra files of macOS
            (`__MACOSX/`) are left out.
        refused: members that are never read, name -> the reason in a few words.

    Args:
        path: the archive.
        zipped: the same, opened.
    """

    def __init__(self, path: Path, zipped: zipfile.ZipFile) -> None:
        self.path = path
        self.members: list[str] = []
        self.refused: dict[str, str] = {}
        self._zip = zipped
        self._infos: dict[str, zipfile.ZipInfo] = {}
        self._total = 0
        for info in zipped.infolist():
            self._sort_in(info)
        self.members.sort()

    def read(self, member: str, limit: int = limits.MAX_MEMBER_BYTES) -> bytes:
        """The content of one member.

        Args:
            member: its name.
            limit: largest size in bytes, unpacked.

        Raises:
            ArchiveError: The member is larger, damaged or encrypted.
        """
        buffer = io.BytesIO()
        self.copy(member, buffer, limit)
        return buffer.getvalue()

    def copy(self, member: str, target: BinaryIO, limit: int = limits.MAX_MEMBER_BYTES) -> None:
        """Unpacks one member into an open file, a chunk at a time.

        Args:
            member: its name.
            target: the file.
            limit: largest size in bytes, unpacked.

        Raises:
            ArchiveError: The member is larger, damaged or encrypted.
        """
        for chunk in self._chunks(member, limit):
            target.write(chunk)  # outside the generator's own try: a full disk is no damaged archive

    def where(self, member: str) -> str:
        """A member's name for a message, such as `actions.zip: actions/0/1.jpg`.

        Args:
            member: its path in the archive.
        """
        return f"{self.path.name}: {member}"

    def _chunks(self, member: str, limit: int) -> Iterator[bytes]:
        where, info = self.where(member), self._infos[member]
        if info.flag_bits & 0x1:
            raise ArchiveError(where, "is encrypted: unpack the archive with its password and pack it anew without")
        size = 0
        try:
            if info.compress_type == zipfile.ZIP_LZMA:
                self._check_dictionary(where, info)
            with self._zip.open(info) as file:
                while chunk := file.read(CHUNK):
                    size += len(chunk)
                    self._total += len(chunk)
                    # Counted as it comes out: the size in the header is only what the archive claims.
                    self._check_size(where, size, info.compress_size, limit)
                    yield chunk
        except NotImplementedError as error:
            method = METHODS.get(info.compress_type, f"method {info.compress_type}")
            raise ArchiveError(where, f"is packed with {method}, which cannot be read: pack it anew") from error
        except ArchiveError:
            raise
        except (*DAMAGED, MemoryError) as error:
            if is_momentary(error):
                raise ArchiveError(where, f"{_trouble(error)}: try again", momentary=True) from error
            raise ArchiveError(where, "is damaged inside the archive: get the archive again") from error

    def _check_dictionary(self, where: str, info: zipfile.ZipInfo) -> None:
        """Checks how much memory LZMA would allocate, up to 4 GB, before it does."""
        packed = copy.copy(info)  # the member as it is stored
        packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
        del packed.CRC
        with self._zip.open(packed) as file:
            head = file.read(9)  # version, size of the properties, their first byte, size of the dictionary
        if len(head) == 9 and struct.unpack("<5xL", head)[0] > limits.MAX_DICTIONARY_BYTES:
            raise ArchiveError(
                where,
                f"needs more than {limits.MAX_DICTIONARY_BYTES >> 20} MB of memory to be unpacked: pack it with "
                "a smaller dictionary",
            )

    def _sort_in(self, info: zipfile.ZipInfo) -> None:
        name = info.filename.replace("\\", "/")  # as some Windows programs separate folders
        if name.endswith("/") or name.startswith("__MACOSX/"):
            return
        parts = PurePosixPath(name).parts
        if any(len(part) > limits.MAX_NAME for part in parts):
            self.refused[name] = f"its name has more than {limits.MAX_NAME} characters: give it a shorter one"
        elif len(parts) > limits.MAX_DEPTH + 1:
            self.refused[name] = f"it lies more than {limits.MAX_DEPTH} folders deep: move it up"
        elif name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in parts:
            self.refused[name] = "its name leads out of the archive"
        elif stat.S_ISLNK(info.external_attr >> 16):
            self.refused[name] = "a link"
        elif name not in self._infos:  # of several members with one name, the first
            self._infos[name] = info
            self.members.append(name)

    def _check_size(self, where: str, size: int, packed: int, limit: int) -> None:
        if size > limit:
            raise ArchiveError(where, f"unpacks to more than {limit >> 20} MB, which is too large: remove it")
        if size > limits.RATIO_COUNTS_FROM and size > limits.MAX_RATIO * packed:
            raise ArchiveError(where, f"unpacks to more than {limits.MAX_RATIO} times its size, as traps do: remove it")
        if self._total > limits.MAX_TOTAL_BYTES:
            most = limits.MAX_TOTAL_BYTES >> 30
            raise ArchiveError(str(self.path), f"unpacks to more than {most} GB: use a smaller one")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Opens a zip archive to read members of it.

    Members that are links, or whose names are absolute, start with a drive letter, contain `..`, are too long or too
    deep in folders, are listed in `archive.refused`.

    Example:
        >>> with open_archive(Path("frames.zip")) as archive:
        ...     contents = [archive.read(member) for member in archive.members]

    Args:
        path: the archive.

    Raises:
        ValueError: This is not a regular file.
        ArchiveError: This is not a zip archive, is cut short or has too many members.
    """
    check_file(path)
    with open(path, "rb") as file:
        try:
            zipped = zipfile.ZipFile(_LimitedReads(file))
        except DirectoryTooLarge as error:
            raise ArchiveError(str(path), TOO_MANY) from error
        except (*DAMAGED, NotImplementedError, MemoryError) as error:
            if is_momentary(error):
                raise ArchiveError(str(path), f"{_trouble(error)}: try again", momentary=True) from error
            size = path.stat().st_size
            raise ArchiveError(str(path), f"is not a complete zip archive ({size} bytes): get it again") from error
        with zipped:
            if len(zipped.infolist()) > limits.MAX_FILES:
                raise ArchiveError(str(path), TOO_MANY)
            yield Archive(path, zipped)


def _trouble(error: BaseException) -> str:
    """What the machine failed at, in a few words."""
    return f"cannot be read just now ({getattr(error, 'strerror', None) or 'not enough memory'})"


class DirectoryTooLarge(Exception):
    """The list of members alone would fill the memory."""


class _LimitedReads(io.BufferedIOBase):
    """A file that refuses very large reads.

    zipfile reads the list of members in one piece, and an archive of a few hundred MB can list millions. Everything
    else it reads in small pieces, so only that list can be stopped here, before it is parsed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int | None = -1, /) -> bytes:
        size = -1 if size is None else size
        if size > limits.MAX_DIRECTORY_BYTES:
            raise DirectoryTooLarge
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
