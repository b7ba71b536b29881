"""Bad and odd inputs for `load_dataset("folder")`: how each is made, and what a reader gets for it.

`python -m tests.bad_inputs` makes them all, loads them and prints the table as Markdown; `test_bad_inputs.py` holds
every outcome to what is written here.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from animlab.datasets import SkippedWarning, cache, load_dataset

Make = Callable[[Path], "Path | None"]
Spoil = Callable[[pytest.MonkeyPatch, Path], None]


class Case(NamedTuple):
    """name: the input in a few words. says: regex that the outcome begins with. make: fills an empty folder, and
    returns the root to load, None for the folder itself. spoil: what is wrong with the machine, if anything."""

    name: str
    says: str
    make: Make
    spoil: Spoil


CASES: list[Case] = []


def case(name: str, says: str, spoil: Spoil = lambda patch, folder: None) -> Callable[[Make], Make]:
    """Register an input."""

    def register(make: Make) -> Make:
        CASES.append(Case(name, says, make, spoil))
        return make

    return register


def outcome(one: Case, folder: Path, patch: pytest.MonkeyPatch) -> str:
    """Make an input, load it twice, and put into words what came of it."""
    patch.setenv("ANIMLAB_CACHE", str(folder / "cache"))
    patch.setenv("HOME", str(folder / "home"))
    place = folder / "in"
    place.mkdir()
    root = one.make(place) or place
    one.spoil(patch, folder)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            clips = load_dataset("folder", root, progress=False)
        except (ValueError, OSError) as error:
            assert not list(folder.glob("cache/unfinished-*")), "a failed preparation leaves nothing behind"
            said = error.strerror if isinstance(error, OSError) and error.strerror else error
            return f"{type(error).__name__}: {said}".replace(str(place), "…").replace(str(folder), "…")
    kinds = [warning.category for warning in seen if warning.category is not ResourceWarning]  # of imageio-ffmpeg
    assert kinds == [SkippedWarning] * bool(clips.skipped)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = load_dataset("folder", root, progress=False)
    assert again.skipped == clips.skipped and np.array_equal(again.frames, clips.frames), "the second load agrees"
    count = f"{len(clips)} frame{'s' * (len(clips) != 1)} in {len(clips.clips)} clip{'s' * (len(clips.clips) != 1)}"
    if not clips.skipped:
        return count
    more = f"; {len(clips.skipped) - 4:,} more" if len(clips.skipped) > 4 else ""
    return f"{count}. Left out: {'; '.join(f'{name}: {reason}' for name, reason in clips.skipped[:4])}{more}"


# --- material -------------------------------------------------------------------------------------------------------


def picture(width: int = 96, height: int = 80, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def animation(kind: str, frames: int = 5) -> bytes:
    first, *others = (picture(seed=seed) for seed in range(frames))
    return encoded(first, kind, save_all=True, append_images=others)


def video(path: Path, frames: int = 10, **options: object) -> bytes:
    pixels = np.stack([np.asarray(picture(96, 80, seed)) for seed in range(frames)])
    iio.imwrite(path, pixels, plugin="FFMPEG", fps=25, **options)
    return path.read_bytes()


def good(folder: Path) -> None:
    """A picture that can be read, beside the bad one."""
    (folder / "good.png").write_bytes(encoded(picture()))


def beside_good(folder: Path, name: str, content: bytes) -> None:
    good(folder)
    (folder / name).write_bytes(content)


def zipped(folder: Path, members: dict[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "frames.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


ONE = r"1 frame in 1 clip"
DAMAGED = r"damaged or cut short"
NO_PICTURE = r"no picture, or damaged at its beginning"

# --- pictures -------------------------------------------------------------------------------------------------------


@case("JPEG cut in half", rf"{ONE}. Left out: bad.jpg: {DAMAGED}")
def _(folder: Path) -> None:
    content = encoded(picture(), "JPEG")
    beside_good(folder, "bad.jpg", content[: len(content) // 2])


@case("JPEG with its tables overwritten", rf"{ONE}. Left out: bad.jpg: {DAMAGED}")
def _(folder: Path) -> None:
    content = bytearray(encoded(picture(), "JPEG"))
    start = content.index(b"\xff\xc4")
    content[start + 2 : start + 60] = bytes(58)
    beside_good(folder, "bad.jpg", bytes(content))


@case("PNG with a flipped byte", rf"{ONE}. Left out: bad.png: {DAMAGED}")
def _(folder: Path) -> None:
    content = bytearray(encoded(picture()))
    content[len(content) // 2] ^= 255
    beside_good(folder, "bad.png", bytes(content))


@case("0-byte picture", rf"{ONE}. Left out: bad.png: empty \(0 bytes\)")
def _(folder: Path) -> None:
    beside_good(folder, "bad.png", b"")


@case("text file named .png", rf"{ONE}. Left out: bad.png: {NO_PICTURE}")
def _(folder: Path) -> None:
    beside_good(folder, "bad.png", b"Dear reader, this is no picture.\n" * 20)


@case("JPEG named .png", r"2 frames in 2 clips$")
def _(folder: Path) -> None:
    beside_good(folder, "really_a_jpeg.png", encoded(picture(), "JPEG"))


@case("1x1 picture", rf"{ONE}. Left out: dot.png: 1x1 pixels, smaller than 8x8")
def _(folder: Path) -> None:
    beside_good(folder, "dot.png", encoded(picture(1, 1)))


@case("20,000x20,000 picture of 50 kB", rf"{ONE}. Left out: huge.png: more than 80 million pixels")
def _(folder: Path) -> None:
    beside_good(folder, "huge.png", encoded(Image.new("1", (20_000, 20_000))))


@case("picture 3,000 wide and 8 high", r"2 frames in 2 clips$")
def _(folder: Path) -> None:
    beside_good(folder, "wide.png", encoded(picture(3000, 8)))


@case("CMYK JPEG", r"2 frames in 2 clips$")
def _(folder: Path) -> None:
    beside_good(folder, "print.jpg", encoded(picture().convert("CMYK"), "JPEG"))


@case("palette with transparency", r"2 frames in 2 clips$")
def _(folder: Path) -> None:
    beside_good(folder, "sprite.png", encoded(picture().quantize(64), transparency=bytes(range(64))))


@case("16-bit grey", r"2 frames in 2 clips$")
def _(folder: Path) -> None:
    levels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    beside_good(folder, "deep.png", encoded(Image.fromarray(levels)))


@case("32-bit float TIFF", rf"{ONE}. Left out: float.tif: its samples have 32 bits, .*save it with 8 or 16")
def _(folder: Path) -> None:
    beside_good(folder, "float.tif", encoded(Image.new("F", (64, 64), 0.5), "TIFF"))


@case("JPEG turned by EXIF", r"2 frames in 2 clips$")
def _(folder: Path) -> None:
    turned = Image.Exif()
    turned[0x112] = 6
    beside_good(folder, "phone.jpg", encoded(picture(), "JPEG", exif=turned))


@case("JPEG with EXIF that is noise", r"2 frames in 2 clips$")
def _(folder: Path) -> None:
    beside_good(folder, "odd.jpg", encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + bytes(range(64))))


@case("animated WebP", r"6 frames in 2 clips$")
def _(folder: Path) -> None:
    beside_good(folder, "dance.webp", animation("WEBP"))


@case("animated PNG", r"6 frames in 2 clips$")
def _(folder: Path) -> None:
    beside_good(folder, "dance.png", animation("PNG"))


@case("TIFF of five pages", r"6 frames in 2 clips$")
def _(folder: Path) -> None:
    beside_good(folder, "scan.tiff", animation("TIFF"))


@case("animated GIF cut in half", r"3 frames in 2 clips. Left out: dance.gif: only the first 2 frames could be read")
def _(folder: Path) -> None:
    content = animation("GIF")
    beside_good(folder, "dance.gif", content[: len(content) // 2])


@case("GIF with no frames", rf"{ONE}. Left out: none.gif: {NO_PICTURE}")
def _(folder: Path) -> None:
    beside_good(folder, "none.gif", b"GIF89a\x40\x00\x40\x00\x00\x00\x00;")


@case("BMP whose header says 2 billion pixels wide", rf"{ONE}. Left out: bad.bmp: more than 80 million pixels")
def _(folder: Path) -> None:
    content = bytearray(encoded(picture(), "BMP"))
    content[18:22] = b"\xff\xff\xff\x7f"
    beside_good(folder, "bad.bmp", bytes(content))


@case("BMP with an unknown header", rf"{ONE}. Left out: bad.bmp: {NO_PICTURE}")
def _(folder: Path) -> None:
    content = bytearray(encoded(picture(), "BMP"))
    content[14:18] = b"\x07\0\0\0"
    beside_good(folder, "bad.bmp", bytes(content))


@case("PNG with a chunk of 2 GB announced", rf"{ONE}. Left out: bad.png: ")
def _(folder: Path) -> None:
    content = bytearray(encoded(picture()))
    at = content.index(b"IDAT")
    content[at - 4 : at + 4] = b"\x7f\xff\xff\xfftEXt"
    beside_good(folder, "bad.png", bytes(content))


@case("PNG with 200 MB of packed text", rf"{ONE}. Left out: bomb.png: {NO_PICTURE}")
def _(folder: Path) -> None:
    content = encoded(picture())
    at = content.index(b"IDAT") - 4
    bomb = png_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(200 << 20)))
    beside_good(folder, "bomb.png", content[:at] + bomb + content[at:])


@case(
    "GIF of 1 kB with 60 frames of 8,000x8,000",
    rf"{ONE}. Left out: huge.gif: 8000x8000 pixels out of a file of 920 bytes, as traps have",
)
def _(folder: Path) -> None:
    head = struct.pack("<6sHHBBB6x", b"GIF89a", 8000, 8000, 0x80, 0, 0)
    frame = struct.pack("<cHHHHB5s", b"\x2c", 0, 0, 1, 1, 0, b"\x02\x02\x44\x01\x00")
    beside_good(folder, "huge.gif", head + 60 * frame + b";")


@case("SVG drawing", rf"{ONE}. Left out: logo.svg: .svg is not a kind of picture or video that is read")
def _(folder: Path) -> None:
    beside_good(folder, "logo.svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'/>")


@case("SVG named .png", rf"{ONE}. Left out: logo.png: {NO_PICTURE}")
def _(folder: Path) -> None:
    beside_good(folder, "logo.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")


@case("PostScript program named .jpg", rf"{ONE}. Left out: program.jpg: {NO_PICTURE}")
def _(folder: Path) -> None:
    beside_good(folder, "program.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(x) run\n")


@case("HEIC photograph", rf"{ONE}. Left out: phone.heic: .heic is not a kind of picture or video that is read")
def _(folder: Path) -> None:
    beside_good(folder, "phone.heic", b"\0\0\0\x18ftypheic" + bytes(200))


@case("HEIC photograph named .jpg", rf"{ONE}. Left out: phone.jpg: {NO_PICTURE}")
def _(folder: Path) -> None:
    beside_good(folder, "phone.jpg", b"\0\0\0\x18ftypheic" + bytes(200))


@case("pictures of four sizes, numbered, in a sub-folder", r"4 frames in 1 clip$")
def _(folder: Path) -> None:
    (folder / "walk").mkdir()
    for index, side in enumerate((20, 64, 200, 900)):
        (folder / f"walk/{index}.png").write_bytes(encoded(picture(side, side // 2)))


# --- videos ---------------------------------------------------------------------------------------------------------


@case("video with no frames", rf"{ONE}. Left out: bad.avi: holds no frames")
def _(folder: Path) -> None:
    content = video(folder / "bad.avi", codec="rawvideo", pixelformat="bgr24")
    at = content.index(b"movi")
    header = content[: at + 4]
    size = struct.pack("<I", 4)
    beside_good(folder, "bad.avi", header[: at - 4] + size + header[at:])


@case("AVI cut in half", r"\d frames in 2 clips$")
def _(folder: Path) -> None:
    content = video(folder / "cut.avi", codec="mpeg4")
    beside_good(folder, "cut.avi", content[: len(content) // 2])


@case("MP4 cut in half, its index gone", rf"{ONE}. Left out: cut.mp4: no video, or damaged or cut short")
def _(folder: Path) -> None:
    content = video(folder / "cut.mp4")
    beside_good(folder, "cut.mp4", content[: len(content) // 2])


@case("0-byte video", rf"{ONE}. Left out: bad.mov: empty \(0 bytes\)")
def _(folder: Path) -> None:
    beside_good(folder, "bad.mov", b"")


@case("web page named .mp4", rf"{ONE}. Left out: page.mp4: no video that can be read")
def _(folder: Path) -> None:
    beside_good(folder, "page.mp4", b"<!DOCTYPE html><html><body>404</body></html>")


@case("playlist named .mp4 that points at another file", rf"{ONE}. Left out: list.mp4: no video that can be read")
def _(folder: Path) -> None:
    video(folder.parent / "secret.avi", codec="mpeg4")
    beside_good(folder, "list.mp4", b"ffconcat version 1.0\nfile ../secret.avi\n")


@case("sound file named .mp4", rf"{ONE}. Left out: song.mp4: no video")
def _(folder: Path) -> None:
    beside_good(
        folder, "song.mp4", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x44\xac\0\0\x88\x58\1\0\2\0\x10\0data" + bytes(4)
    )


@case("video whose name ffmpeg could take for an option or a pattern", r"11 frames in 2 clips$")
def _(folder: Path) -> None:
    content = video(folder.parent / "plain.mp4")
    beside_good(folder, "-y %03d |concat: a.mp4", content)


# --- names and files ------------------------------------------------------------------------------------------------


@case("names with spaces, accents, emoji and a newline", r"4 frames in 4 clips$")
def _(folder: Path) -> None:
    for name in ("two words.png", "éléphant à la plage.png", "\N{CAT FACE}.png", "two\nlines.png"):
        (folder / name).write_bytes(encoded(picture()))


@case("a bad picture with a newline in its name", rf"{ONE}. Left out: two\nlines.png: empty")
def _(folder: Path) -> None:
    beside_good(folder, "two\nlines.png", b"")


@case("a name that is no UTF-8", r"2 frames in 2 clips$")
def _(folder: Path) -> None:
    good(folder)
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes(encoded(picture()))


@case("a name without an ending", rf"{ONE}. Left out: IMG_0001: a name without an ending is not a kind of picture")
def _(folder: Path) -> None:
    beside_good(folder, "IMG_0001", encoded(picture()))


@case("hidden files, __MACOSX and Thumbs.db", rf"{ONE}$")
def _(folder: Path) -> None:
    good(folder)
    (folder / "__MACOSX").mkdir()
    (folder / ".git").mkdir()
    for name in (".hidden.png", "Thumbs.db", "desktop.ini", "__MACOSX/._good.png", ".git/config"):
        (folder / name).write_bytes(b"x")


@case("link to a picture outside", rf"{ONE}. Left out: out.png: a link that leads out of the folder")
def _(folder: Path) -> None:
    good(folder)
    (folder.parent / "private.png").write_bytes(encoded(picture()))
    (folder / "out.png").symlink_to(folder.parent / "private.png")


@case("link that leads nowhere", rf"{ONE}. Left out: gone.png: a link that leads nowhere")
def _(folder: Path) -> None:
    good(folder)
    (folder / "gone.png").symlink_to(folder / "nothing.png")


@case(
    "links in a loop",
    rf"{ONE}. Left out: loop/: a link to a folder, which is not followed; a.png: a link that leads now",
)
def _(folder: Path) -> None:
    good(folder)
    (folder / "a.png").symlink_to(folder / "b.png")
    (folder / "b.png").symlink_to(folder / "a.png")
    (folder / "loop").symlink_to(folder, target_is_directory=True)


@case("named pipe", rf"{ONE}. Left out: pipe.png: not a regular file")
def _(folder: Path) -> None:
    good(folder)
    os.mkfifo(folder / "pipe.png")


@case("socket", rf"{ONE}. Left out: s.png: not a regular file")
def _(folder: Path) -> None:
    good(folder)
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(folder)  # the names of sockets must be short
        server.bind("s.png")
        os.chdir(here)


@case("link to a device", rf"{ONE}. Left out: zero.png: a link that leads out of the folder")
def _(folder: Path) -> None:
    good(folder)
    (folder / "zero.png").symlink_to("/dev/zero")


@case("folder named like a picture", r"2 frames in 2 clips$")
def _(folder: Path) -> None:
    good(folder)
    (folder / "holiday.png").mkdir()
    (folder / "holiday.png/a.png").write_bytes(encoded(picture()))


@case("400 folders inside each other", rf"{ONE}. Left out: (d/){{65}}: it lies more than 64 folders deep: move it up$")
def _(folder: Path) -> None:
    good(folder)
    folder.joinpath(*400 * ["d"]).mkdir(parents=True)


@case("device as root", r"ValueError: /dev/zero is neither a folder nor an ordinary file")
def _(folder: Path) -> Path:
    return Path("/dev/zero")


@case("empty folder", r"ValueError: … holds no pictures or videos that can be read: name another folder")
def _(folder: Path) -> None:
    pass


@case(
    "folder of only text", r"ValueError: … holds no pictures or videos .*, only a.txt \(.txt is not a kind .*and 2 more"
)
def _(folder: Path) -> None:
    for name in "abcde":
        (folder / f"{name}.txt").write_text("text")


@case(
    "folder in which every picture is damaged",
    r"ValueError: … holds no pictures .*only a.png \(empty.* and 1 more: name",
)
def _(folder: Path) -> None:
    for name in "abcd":
        (folder / f"{name}.png").write_bytes(b"")


@case(
    "path that does not exist", r"FileNotFoundError: There is no '…/missing': root names a folder of pictures or videos"
)
def _(folder: Path) -> Path:
    return folder / "missing"


@case("text file as root", r"ValueError: …/notes.txt holds no pictures or videos that can be read, only notes.txt")
def _(folder: Path) -> Path:
    (folder / "notes.txt").write_text("text")
    return folder / "notes.txt"


@case("picture as root", rf"{ONE}$")
def _(folder: Path) -> Path:
    good(folder)
    return folder / "good.png"


# --- archives -------------------------------------------------------------------------------------------------------


@case("zip cut in half", r"ArchiveError: …/frames.zip is not a complete zip archive \(\d+ bytes\): get it again")
def _(folder: Path) -> Path:
    path = zipped(folder, {"a.png": encoded(picture())})
    path.write_bytes(path.read_bytes()[:-100])
    return path


@case(
    "zip with a flipped byte in one picture",
    rf"{ONE}. Left out: b.png: is damaged inside the archive",
)
def _(folder: Path) -> Path:
    path = zipped(folder, {"a.png": encoded(picture()), "b.png": encoded(picture(seed=1))})
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 255
    path.write_bytes(content)
    return path


@case(
    "zip with names that lead out (.., /, C:, backslashes)",
    rf"{ONE}. Left out: ../evil.png: its name leads out of the archive; .*; C:/evil.png: its name leads out",
)
def _(folder: Path) -> Path:
    evil = ("../evil.png", "/etc/evil.png", "C:\\evil.png", "a\\..\\..\\evil.png")
    return zipped(folder, {"good.png": encoded(picture())} | dict.fromkeys(evil, encoded(picture())))


@case("zip with a link", rf"{ONE}. Left out: link.png: a link")
def _(folder: Path) -> Path:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    return zipped(folder, {"good.png": encoded(picture()), link: b"/etc/passwd"})


@case("zip bomb: 200 MB of zeros named .png", rf"{ONE}. Left out: bomb.png: unpacks to more than 200 times its size")
def _(folder: Path) -> Path:
    return zipped(folder, {"bomb.png": bytes(200 << 20), "good.png": encoded(picture())}, zipfile.ZIP_DEFLATED)


@case("zip whose header lies about a size", rf"{ONE}. Left out: bomb.png: is damaged inside the archive")
def _(folder: Path) -> Path:
    path = zipped(folder, {"bomb.png": bytes(1 << 20), "good.png": encoded(picture())}, zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 1 << 20), struct.pack("<I", 100)))
    return path


@case("zip in a zip", rf"{ONE}. Left out: inner.zip: an archive inside: unpack it first")
def _(folder: Path) -> Path:
    inner = zipped(folder, {"a.png": encoded(picture())}).read_bytes()
    return zipped(folder, {"inner.zip": inner, "good.png": encoded(picture())})


@case(
    "encrypted zip", r"ValueError: …/frames.zip holds no pictures .*is encrypted: unpack the archive with its password"
)
def _(folder: Path) -> Path:
    path = zipped(folder, {"a.png": encoded(picture())})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag in the member's own header, and in the list of members
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


@case("zip packed with Deflate64", r"ValueError: .*is packed with Deflate64, which cannot be read")
def _(folder: Path) -> Path:
    path = zipped(folder, {"a.png": encoded(picture())})
    content = bytearray(path.read_bytes())
    content[8] = content[content.index(b"PK\x01\x02") + 10] = 9
    path.write_bytes(content)
    return path


@case("zip with 100,000 text files and a picture", rf"{ONE}. Left out: 0.txt: .txt is not a kind of picture")
def _(folder: Path) -> Path:
    return zipped(folder, {f"{index}.txt": b"" for index in range(100_000)} | {"good.png": encoded(picture())})


@case("zip with 260,000 members", r"ArchiveError: .* holds more than 250,000 files, too many to read")
def _(folder: Path) -> Path:
    # Only the list of members: as ZipFile would write it for empty files, without the time that would take.
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0)
    listed = b"".join(entry + b"%05x" % index for index in range(260_000))
    count = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, len(listed), 0, 0)
    path = folder / "frames.zip"
    path.write_bytes(listed + count)
    return path


@case(
    "zip with names of 60,000 digits",
    rf"{ONE}. Left out: top/in/1{{73}}…1+a.png: its name has more than 255 characters: give it a shorter one; ",
)
def _(folder: Path) -> Path:
    names = [f"top/in/{'1' * 60_000}{ending}.png" for ending in ("a", "1", "a1", "1a")]
    return zipped(folder, dict.fromkeys([*names, "top/still.png"], encoded(picture())))


@case("zip with a folder name of 60,000 characters and 3,000 pictures", r"3000 frames in 3000 clips. Left out: n{80}…")
def _(folder: Path) -> Path:
    dot = encoded(picture(8, 8))
    return zipped(folder, {f"{'n' * 60_000}/a.png": dot} | {f"{index}.png": dot for index in range(3000)})


@case(
    "zip with 2,000 folders in the name of a picture",
    rf"{ONE}. Left out: (a/)+…(a/)+a.png: it lies more than 64 folders deep: move it up",
)
def _(folder: Path) -> Path:
    return zipped(folder, {"a/" * 2000 + "a.png": b"", "good.png": encoded(picture())})


@case(
    "zip with an LZMA dictionary of 4 GB",
    rf"{ONE}. Left out: bad.png: needs more than 128 MB of memory to be unpacked: pack it with a smaller dictionary",
)
def _(folder: Path) -> Path:
    members = {"bad.png": encoded(picture()), "good.png": encoded(picture())}
    path = zipped(folder, members, zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    at = content.index(b"bad.png") + len("bad.png") + 5  # after version, size of the properties and their first byte
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    return path


@case("empty zip", r"ValueError: …/frames.zip holds no pictures or videos that can be read: name another folder")
def _(folder: Path) -> Path:
    return zipped(folder, {})


@case("web page named .zip", r"ArchiveError: …/frames.zip is not a complete zip archive \(28 bytes\): get it again")
def _(folder: Path) -> Path:
    (folder / "frames.zip").write_bytes(b"<html>Please sign in.</html>")
    return folder / "frames.zip"


@case("video in a zip, damaged", rf"{ONE}. Left out: a.mp4: no video that can be read")
def _(folder: Path) -> Path:
    return zipped(folder, {"a.mp4": b"no video at all", "good.png": encoded(picture())})


# --- the machine ----------------------------------------------------------------------------------------------------


def block(*variables: str) -> Spoil:
    """The folders that these variables name cannot be made: below a file nothing can, not even by root."""

    def spoil(patch: pytest.MonkeyPatch, folder: Path) -> None:
        (folder / "a_file").touch()
        for variable in variables:
            patch.setenv(variable, str(folder / "a_file"))

    return spoil


def fill_the_disk(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Frames go to /dev/full, which refuses every byte as a full disk does."""

    def full(path: Path, mode: str = "r", **options: int) -> object:
        return io.FileIO("/dev/full", "w") if "w" in mode else open(path, mode, **options)

    patch.setattr(cache, "open", full, raising=False)


def forbid_reading(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """`secret.png` belongs to somebody else. Simulated: root, who runs many a test, may read everything."""
    patch.setattr("os.access", lambda path, mode: Path(path).name != "secret.png")


@case("read-only cache folder (the one in the home folder is used)", rf"{ONE}$", block("ANIMLAB_CACHE"))
def _(folder: Path) -> None:
    good(folder)


@case(
    "read-only cache and home folders",
    r"PermissionError: No cache folder is writable .*: set ANIMLAB_CACHE to a folder that is\.$",
    block("ANIMLAB_CACHE", "HOME"),
)
def _(folder: Path) -> None:
    good(folder)


@case(
    "full disk (simulated)",
    r"OSError: The prepared 'folder' frames could not be written because the disk is full: free some space",
    fill_the_disk,
)
def _(folder: Path) -> None:
    good(folder)


@case("picture without permission (simulated)", rf"{ONE}. Left out: secret.png: permission denied$", forbid_reading)
def _(folder: Path) -> None:
    beside_good(folder, "secret.png", encoded(picture()))


def table() -> str:
    """Every input with what came of it, as Markdown."""
    rows = ["| input | what you get |", "|---|---|"]
    for one in CASES:
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            got = outcome(one, Path(folder), patch)
        for sign, shown in (("\n", r"\n"), ("|", r"\|"), ("<", "&lt;")):
            got = got.replace(sign, shown)
        rows.append(f"| {one.name} | {got} |")
    return "\n".join(rows).encode(errors="backslashreplace").decode()


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
