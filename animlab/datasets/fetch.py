"""Public files, downloaded once: checked against a known hash, kept in the cache, never half there.

Nothing depends on them: without a network, or with `ANIMLAB_OFFLINE=1`, the synthetic version of a set is used. A
failed attempt takes seconds and is not repeated for some minutes.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tqdm.auto import tqdm

from .archives import Archive, open_archive
from .cache import cache_folders, disk_is_full, scratch_folder, writable_folder

CONNECT_SECONDS = 4.0  # a class behind a firewall waits no longer
SILENT_SECONDS = 15.0  # without a byte, after which an attempt ends
SLOW_SECONDS, SLOW_BYTES = 30.0, 20_000  # after this time, fewer bytes a second end it too
MAX_BYTES = 512 << 20  # of one download
RETRY_AFTER = 300.0  # seconds in which an address that failed is not tried again
_failures: dict[str, tuple[float, str]] = {}  # address -> when it failed, and why


class FetchError(OSError):
    """Files could not be downloaded; the message says why, in half a sentence without a full stop."""


def offline() -> bool:
    """Whether the environment variable ANIMLAB_OFFLINE forbids downloads: it does unless it is unset, empty or 0."""
    return os.environ.get("ANIMLAB_OFFLINE", "") not in ("", "0")


def fetch_files(name: str, base: str, hashes: Mapping[str, str], progress: bool = True) -> Path:
    """Downloads files one by one.

    Files that are already there are not downloaded again, so that an interrupted call continues where it stopped.

    Example:
        >>> fetch_files("faces", "https://example.org/v1", {"FaceXModel/neutral.obj": "9f86d081…"})

    Args:
        name: of the folder among the downloads.
        base: the part of the address before the file names.
        hashes: relative name, with / between folders -> SHA-256 of the content, in hex.
        progress: whether to show a progress bar.

    Returns:
        The folder that holds all of them.

    Raises:
        FetchError: One of them cannot be downloaded.
    """
    folder = _place(name, list(hashes))
    missing = [file for file in hashes if not (folder / file).is_file()]
    with tqdm(missing, f"fetching {name}", unit="file", leave=False, disable=not progress) as bar:
        for file in bar:
            with _attempt(base), scratch_folder("download") as scratch:
                path = _download(f"{base}/{file}", scratch, hashes[file])
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, folder / file)
    return folder


def fetch_folders(
    name: str, url: str, wanted: re.Pattern[str], hashes: Mapping[str, str], progress: bool = True
) -> Path:
    """Downloads one zip archive and makes a zip of each wanted folder in it.

    It is for archives that a server packs again for each request, as GitHub does: their bytes change, their content
    does not, so the content is what is checked.

    Args:
        name: of the folder among the downloads.
        url: address of the archive.
        wanted: matches the members to keep, with a group `folder` (the zip they go to) and a group `name` (their name
            in it).
        hashes: folder -> `content_hash` of its zip.
        progress: whether to show a progress bar.

    Returns:
        The folder that holds the zips.

    Raises:
        FetchError: The archive cannot be downloaded.
    """
    zips = [f"{folder}.zip" for folder in hashes]
    place = _place(name, zips)
    if all((place / file).is_file() for file in zips):
        return place
    bar = tqdm(desc=f"fetching {name}", unit="B", unit_scale=True, leave=False, disable=not progress)
    with _attempt(url), scratch_folder("download") as scratch, bar:
        with open_archive(_download(url, scratch, None, bar)) as archive:
            for folder, expected in hashes.items():
                _repack(archive, folder, wanted, scratch / f"{folder}.zip")
                with open_archive(scratch / f"{folder}.zip") as packed:
                    if content_hash(packed) != expected:
                        raise ValueError(f"the content of {folder} is another")
        place.mkdir(parents=True, exist_ok=True)
        for file in zips:
            os.replace(scratch / file, place / file)
    return place


def content_hash(archive: Archive) -> str:
    """The SHA-256 of an archive's content, in hex.

    It is taken over the members, sorted by name: name, a zero byte, the length in 8 bytes (big-endian), content.

    Args:
        archive: the archive.
    """
    digest = hashlib.sha256()
    for member in archive.members:
        content = archive.read(member)
        digest.update(member.encode() + b"\0" + len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def _place(name: str, files: Sequence[str]) -> Path:
    """The folder of a download: where it is already complete, else where it can be written."""
    for folder in cache_folders():
        if all((folder / "downloads" / name / file).is_file() for file in files):
            return folder / "downloads" / name
    return writable_folder() / "downloads" / name


def _repack(archive: Archive, folder: str, wanted: re.Pattern[str], target: Path) -> None:
    matches = [match for match in map(wanted.fullmatch, archive.members) if match and match["folder"] == folder]
    with zipfile.ZipFile(target, "w") as packed:  # stored as they are: pictures do not shrink
        for match in matches:
            packed.writestr(match["name"], archive.read(match.string))


def _download(url: str, folder: Path, sha256: str | None, bar: tqdm | None = None) -> Path:
    """Downloads one file into a folder; ValueError if its SHA-256 differs."""
    import pooch  # takes a tenth of a second to import, and is hardly ever needed

    def stream(url: str, target: str, _: object) -> None:
        _stream(url, Path(target), bar)

    pooch.get_logger().setLevel(logging.WARNING)  # it would announce each file with its full path
    return Path(pooch.retrieve(url, sha256, "download", folder, downloader=stream))


def _stream(url: str, target: Path, bar: tqdm | None) -> None:
    """Writes what an address sends to a file; gives up on servers that are silent, far too slow or endless."""
    import requests

    host, began, received = urlsplit(url).netloc, time.monotonic(), 0
    waits = (CONNECT_SECONDS, SILENT_SECONDS)
    with requests.get(url, stream=True, timeout=waits) as response, open(target, "wb") as file:
        response.raise_for_status()
        if bar is not None:
            bar.reset(total=int(response.headers.get("content-length", 0)) or None)
        for chunk in response.iter_content(1 << 13):  # small, or a slow line would not be noticed
            file.write(chunk)
            received += len(chunk)
            seconds = time.monotonic() - began
            if received > MAX_BYTES:
                raise FetchError(f"{host} sent more than {MAX_BYTES >> 20} MB")
            if seconds > SLOW_SECONDS and received < SLOW_BYTES * seconds:
                raise FetchError(f"{host} sent only {received / 1000:.0f} kB in {seconds:.0f} seconds")
            if bar is not None:
                bar.update(len(chunk))


@contextmanager
def _attempt(address: str) -> Iterator[None]:
    """Turns every error with an address into a one-line FetchError, and remembers it for a while."""
    if offline():
        raise FetchError("ANIMLAB_OFFLINE is set")
    when, why = _failures.get(address, (-math.inf, ""))
    if time.monotonic() - when < RETRY_AFTER:
        raise FetchError(why)
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: of pooch for another hash, of archives for a broken zip
        why = _reason(error, urlsplit(address).netloc)
        _failures[address] = (time.monotonic(), why)
        raise FetchError(why) from error


def _reason(error: Exception, host: str) -> str:
    """Why a download failed, in half a sentence."""
    import requests

    if isinstance(error, FetchError):
        return str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{host} answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.ReadTimeout) or "Read timed out" in str(error):  # the second in the middle
        return f"{host} was silent for {SILENT_SECONDS:.0f} seconds"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f"{host} broke off in the middle"
    if isinstance(error, requests.RequestException):
        return f"there is no connection to {host}"
    if isinstance(error, OSError):
        return "the disk is full" if disk_is_full(error) else f"the files could not be written: {error}"
    return f"{host} sent something other than the published files"
