"""Zip archives from anywhere, read with care: nothing is unpacked to disk, no header is believed, every limit is named.

Members are read into memory one at a time. A name that would lead out of a folder is refused even so, because it shows
that the archive was made to do harm.
"""

from __future__ import annotations

import io
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

MAX_MEMBERS = 250_000  # all of CelebA has 202,599
MAX_DIRECTORY_BYTES = 32 << 20  # of the list of members, which is read whole; that of CelebA takes some 20 MB
MAX_MEMBER_BYTES = 256 << 20  # of one member, unpacked, where the reader of a set names no other limit
MAX_TOTAL_BYTES = 64 << 30  # of all members read from one archive
MAX_RATIO = 200  # unpacked to packed bytes; pictures and videos hardly shrink, text shrinks to a tenth
RATIO_COUNTS_FROM = 16 << 20  # bytes: a smaller member does no harm, and a black bitmap may shrink to a thousandth
CHUNK = 1 << 20
TOO_MANY = f"holds more than {MAX_MEMBERS:,} files, too many to read: make an archive of only those you need"

# What zipfile and the unpackers under it raise for damaged input.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)
METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES encryption"}


class ArchiveError(ValueError):
    """An archive, or a member of one, that cannot or must not be read.

    The message is "WHERE REASON": reason says what is wrong and what to do, where names the archive and the member.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} {reason}")
        self.reason = reason


class Archive:
    """An open zip archive; made by `open_archive`.

    path: where it lies.
    members: the names of its files, sorted, with / between folders; folders themselves and the litter that macOS packs
        (`__MACOSX/`) are left out.
    refused: members that are never read, name -> the reason in a few words.
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

    def read(self, member: str, limit: int = MAX_MEMBER_BYTES) -> bytes:
        """The content of one member, at most `limit` bytes; ArchiveError where it is larger, damaged or encrypted."""
        buffer = io.BytesIO()
        self.copy(member, buffer, limit)
        return buffer.getvalue()

    def copy(self, member: str, target: BinaryIO, limit: int = MAX_MEMBER_BYTES) -> None:
        """Unpack one member into an open file, a chunk at a time; errors as for `read`."""
        for chunk in self._chunks(member, limit):
            target.write(chunk)  # outside the generator's own try: a full disk is no damaged archive

    def where(self, member: str) -> str:
        """What to call a member in a message: `actions.zip: actions/0/1.jpg`."""
        return f"{self.path.name}: {member}"

    def _chunks(self, member: str, limit: int) -> Iterator[bytes]:
        where, info = self.where(member), self._infos[member]
        if info.flag_bits & 0x1:
            raise ArchiveError(where, "is encrypted: unpack the archive with its password and pack it anew without")
        size = 0
        try:
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
        except DAMAGED as error:
            raise ArchiveError(where, "is damaged inside the archive: get the archive again") from error

    def _sort_in(self, info: zipfile.ZipInfo) -> None:
        name = info.filename.replace("\\", "/")  # as some Windows programs separate folders
        if name.endswith("/") or name.startswith("__MACOSX/"):
            return
        if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in PurePosixPath(name).parts:
            self.refused[name] = "its name leads out of the archive"
        elif stat.S_ISLNK(info.external_attr >> 16):
            self.refused[name] = "a link"
        elif name not in self._infos:  # of two members of one name, the first
            self._infos[name] = info
            self.members.append(name)

    def _check_size(self, where: str, size: int, packed: int, limit: int) -> None:
        if size > limit:
            raise ArchiveError(where, f"unpacks to more than {limit >> 20} MB, which is too large: remove it")
        if size > RATIO_COUNTS_FROM and size > MAX_RATIO * packed:
            raise ArchiveError(where, f"unpacks to more than {MAX_RATIO} times its size, as traps do: remove it")
        if self._total > MAX_TOTAL_BYTES:
            raise ArchiveError(str(self.path), f"unpacks to more than {MAX_TOTAL_BYTES >> 30} GB: use a smaller one")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a zip archive to read members of it.

    >>> with open_archive(Path("frames.zip")) as archive:
    ...     contents = [archive.read(member) for member in archive.members]

    Members that are links, or whose names are absolute, start with a drive letter or climb up with `..`, land in
    `archive.refused`. Raises ArchiveError (a ValueError) for what is no zip archive, is cut short or lists too many.
    """
    with open(path, "rb") as file:
        try:
            zipped = zipfile.ZipFile(_LimitedReads(file))
        except DirectoryTooLarge as error:
            raise ArchiveError(str(path), TOO_MANY) from error
        except (*DAMAGED, NotImplementedError) as error:
            size = path.stat().st_size
            raise ArchiveError(str(path), f"is no complete zip archive ({size} bytes): get it again") from error
        with zipped:
            if len(zipped.infolist()) > MAX_MEMBERS:
                raise ArchiveError(str(path), TOO_MANY)
            yield Archive(path, zipped)


class DirectoryTooLarge(Exception):
    """The list of members alone would fill the memory."""


class _LimitedReads(io.BufferedIOBase):
    """A file that refuses to be read in huge bites.

    zipfile reads the list of members in one piece, and an archive of a few hundred MB can list millions. Everything
    else it reads in small pieces, so only that list can be stopped here, before it is parsed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int | None = -1, /) -> bytes:
        size = -1 if size is None else size
        if size > MAX_DIRECTORY_BYTES:
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
