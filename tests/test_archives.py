"""Zip archives: members as zipfile reads them, and what is refused."""

from __future__ import annotations

import errno
import io
import random
import zipfile
from pathlib import Path

import pytest

from animlab.datasets import archives, limits
from animlab.datasets.archives import ArchiveError, open_archive

CONTENTS = {"a.txt": b"alpha" * 1000, "deep/er/b.bin": bytes(range(256)) * 20, "c c \N{CAT FACE}.txt": b""}


def pack(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_are_read_whole(tmp_path: Path, method: int) -> None:
    path = pack(tmp_path / "x.zip", CONTENTS | {"folder/": b"", "__MACOSX/._a.txt": b"x"}, method)
    with open_archive(path) as archive:
        assert archive.members == sorted(CONTENTS) and archive.refused == {}
        assert {name: archive.read(name) for name in archive.members} == CONTENTS
        buffer = io.BytesIO()
        archive.copy("a.txt", buffer)
        assert buffer.getvalue() == CONTENTS["a.txt"]


def test_names_that_lead_out_are_refused_and_backslashes_are_read(tmp_path: Path) -> None:
    out = ["../x", "a/../../x", "/x", "C:\\x", "c:x", "\\\\server\\x", "..\\x"]
    path = pack(tmp_path / "x.zip", dict.fromkeys([*out, "a\\b.txt", "..x", "a..b/c"], b"content"))
    with open_archive(path) as archive:
        assert archive.members == ["..x", "a..b/c", "a/b.txt"]
        assert set(archive.refused) == {name.replace("\\", "/") for name in out}
        assert archive.read("a/b.txt") == b"content"
        with pytest.raises(KeyError):
            archive.read("../x")


def test_of_two_members_of_one_name_the_first_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed, pytest.warns(UserWarning, match="Duplicate name"):
        packed.writestr("a", b"first")
        packed.writestr("a", b"second")
    with open_archive(tmp_path / "x.zip") as archive:
        assert archive.members == ["a"] and archive.read("a") == b"first"


def test_a_limit_is_kept_to_the_byte(tmp_path: Path) -> None:
    with open_archive(pack(tmp_path / "x.zip", {"a": bytes(2 << 20)}, zipfile.ZIP_STORED)) as archive:
        assert len(archive.read("a", 2 << 20)) == 2 << 20
        with pytest.raises(ArchiveError, match=r"^x.zip: a unpacks to more than 1 MB, .* too large: remove it\.$"):
            archive.read("a", (2 << 20) - 1)


def test_a_bomb_stops_early(tmp_path: Path) -> None:
    with open_archive(pack(tmp_path / "x.zip", {"a": bytes(64 << 20)})) as archive:
        written = io.BytesIO()
        with pytest.raises(ArchiveError, match="unpacks to more than 200 times its size"):
            archive.copy("a", written)
        assert len(written.getvalue()) <= limits.RATIO_COUNTS_FROM + archives.CHUNK


def test_many_members_together_are_limited_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_TOTAL_BYTES", 2500)
    with open_archive(pack(tmp_path / "x.zip", {str(index): bytes(1000) for index in range(3)})) as archive:
        archive.read("0"), archive.read("1")
        with pytest.raises(ArchiveError, match="unpacks to more than 0 GB: use a smaller one"):
            archive.read("2")


def test_a_huge_list_of_members_is_refused_before_it_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tmp_path / "x.zip", {f"{index:05d}": b"" for index in range(1000)})
    with monkeypatch.context() as patch:
        patch.setattr(limits, "MAX_DIRECTORY_BYTES", 50_000)  # the list takes 51,000
        patch.setattr(zipfile.ZipInfo, "__init__", lambda *_: pytest.fail("parsed"))
        with pytest.raises(ArchiveError, match="holds more than 250,000 files"), open_archive(path):
            pass
    with open_archive(path) as archive:
        assert len(archive.members) == 1000


def test_a_full_disk_is_no_damaged_archive(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system to stand for a full disk")
    with (
        open_archive(pack(tmp_path / "x.zip", CONTENTS)) as archive,
        open("/dev/full", "wb", buffering=0) as full,
        pytest.raises(OSError, match="No space left"),
    ):
        archive.copy("a.txt", full)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_what_the_machine_fails_over_is_no_damaged_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> bytes:
        raise error

    with open_archive(pack(tmp_path / "x.zip", CONTENTS)) as archive, monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipExtFile, "read", fail)
        with pytest.raises(ArchiveError, match=r"^x.zip: a.txt cannot be read just now \(.*\): try again\.$") as caught:
            archive.read("a.txt")
        assert caught.value.momentary
    monkeypatch.setattr(zipfile, "ZipFile", fail)
    unread = pytest.raises(ArchiveError, match=r"x.zip cannot be read just now \(.*\): try again\.$")
    with unread as caught, open_archive(tmp_path / "x.zip"):
        pass
    assert caught.value.momentary


@pytest.mark.parametrize("dictionary, taken", [(8 << 20, True), (128 << 20, True), ((128 << 20) + 1, False)])
def test_the_dictionary_of_lzma_is_limited(tmp_path: Path, dictionary: int, taken: bool) -> None:
    content = bytearray(pack(tmp_path / "x.zip", {"a": b"alpha" * 1000}, zipfile.ZIP_LZMA).read_bytes())
    at = 30 + len("a") + 5  # behind the member's header, two bytes of version, two of a size and one of properties
    assert content[at : at + 4] == (8 << 20).to_bytes(4, "little")
    content[at : at + 4] = dictionary.to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(content)
    with open_archive(tmp_path / "x.zip") as archive:
        if taken:
            assert archive.read("a") == b"alpha" * 1000
        else:
            with pytest.raises(ArchiveError, match=r"needs more than 128 MB of memory to be unpacked: pack it"):
                archive.read("a")


def test_damage_anywhere_is_an_archive_error_or_none(tmp_path: Path) -> None:
    """400 archives with flipped bytes: never another exception, and never another content."""
    rng = random.Random(0)
    whole = pack(tmp_path / "x.zip", CONTENTS).read_bytes()
    refused = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / "y.zip").write_bytes(content[: rng.choice([len(content), rng.randrange(len(content))])])
        try:
            with open_archive(tmp_path / "y.zip") as archive:
                for name in archive.members:
                    assert archive.read(name) in CONTENTS.values()
        except ArchiveError as error:
            refused += 1
            assert "\n" not in str(error) and error.reason in str(error)
    assert refused > 100
