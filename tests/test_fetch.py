"""Downloads, from a server of our own: what arrives is whole and what was expected, or one line says why not."""

from __future__ import annotations

import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from animlab.datasets import StandInWarning, fetch, load_dataset, strips
from animlab.datasets.archives import open_archive

PROJECT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("ANIMLAB_DATA", PROJECT.parent / "shared" / "data"))
FILES = {"neutral.obj": b"v 0 0 0\n" * 5000, "deep/smile.obj": b"v 1 2 3\n" * 7000}
HASHES = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


class Handler(BaseHTTPRequestHandler):
    """Serves the contents in `server.contents`, with the faults that the first part of the path names."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        fault, _, name = self.path[1:].partition("/")
        content = self.server.contents.get(name)
        if content is None:
            self.send_error(404)
            return
        if fault == "silent":
            self.server.stop.wait(30)
        if fault == "page":
            content = b"<html>Please accept the terms of this network.</html>"
        self.send_response(200)
        if fault != "chunked":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "truncated":
            content = content[: len(content) // 2]
        for start in range(0, len(content), 4096):
            self.wfile.write(content[start : start + 4096])
            if fault == "slow" and self.server.stop.wait(0.1):
                return
            if fault == "hangs" and start and self.server.stop.wait(30):
                return

    def log_message(self, *_: object) -> None:
        """The tests print nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.contents, running.requests, running.stop = dict(FILES), [], threading.Event()
        running.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.stop.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own cache, fetches, and knows of no earlier failure."""
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANIMLAB_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANIMLAB_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("animlab.datasets.data_folder", lambda: tmp_path / "nothing")
    monkeypatch.setattr(fetch, "_failures", {})


def left_over(tmp_path: Path) -> list[str]:
    """Everything in the cache that is a file."""
    cache = tmp_path / "cache"
    return sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file())


# --- files by their hashes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["plain", "chunked"])
def test_files_arrive_whole_and_are_asked_for_once(server: ThreadingHTTPServer, tmp_path: Path, way: str) -> None:
    for _ in range(2):
        folder = fetch.fetch_files("faces", f"{server.address}/{way}", HASHES, progress=False)
        assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert server.requests == [f"/{way}/{name}" for name in FILES]
    assert left_over(tmp_path) == ["downloads/faces/deep/smile.obj", "downloads/faces/neutral.obj"]


def test_what_is_there_is_used_offline_too(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch.fetch_files("faces", f"{server.address}/plain", HASHES, progress=False)
    monkeypatch.setenv("ANIMLAB_OFFLINE", "1")
    assert fetch.fetch_files("faces", f"{server.address}/plain", HASHES, progress=False) == folder
    with pytest.raises(fetch.FetchError, match=r"^ANIMLAB_OFFLINE is set$"):
        fetch.fetch_files("others", f"{server.address}/plain", HASHES, progress=False)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("page", r"127.0.0.1:\d+ sent something other than the published files"),
        ("truncated", r"127.0.0.1:\d+ broke off in the middle"),
        ("nowhere/at/all", r"127.0.0.1:\d+ answered 404 Not Found"),
        ("silent", r"127.0.0.1:\d+ was silent for 0 seconds"),
        ("hangs", r"127.0.0.1:\d+ was silent for 0 seconds"),
        ("slow", r"127.0.0.1:\d+ sent only \d+ kB in \d seconds"),
    ],
)
def test_a_fault_is_one_line_and_leaves_nothing(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, says: str
) -> None:
    if fault in ("silent", "hangs"):  # the others may have to wait for a busy machine
        monkeypatch.setattr(fetch, "SILENT_SECONDS", 0.3)
    if fault == "slow":
        monkeypatch.setattr(fetch, "SLOW_SECONDS", 0.5)
        monkeypatch.setattr(fetch, "SLOW_BYTES", 1_000_000)
    with pytest.raises(fetch.FetchError, match=rf"^{says}$"):
        fetch.fetch_files("faces", f"{server.address}/{fault}", HASHES, progress=False)
    assert left_over(tmp_path) == [] and not list((tmp_path / "cache").glob("unfinished-*"))


def test_an_endless_file_is_given_up(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_BYTES", 1 << 14)
    with pytest.raises(fetch.FetchError, match="sent more than 0 MB"):
        fetch.fetch_files("faces", f"{server.address}/chunked", HASHES, progress=False)


def test_no_server_is_one_line_and_is_not_tried_again_at_once(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.shutdown()
    server.server_close()
    for _ in range(2):
        with pytest.raises(fetch.FetchError, match=r"^there is no connection to 127.0.0.1:\d+$"):
            fetch.fetch_files("faces", f"{server.address}/plain", HASHES, progress=False)
        monkeypatch.setattr(fetch, "_download", lambda *_: pytest.fail("tried again"))


def test_an_address_that_swallows_everything_costs_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    def swallow(url: str, timeout: tuple[float, float], **_: object) -> None:
        waits.append(timeout)
        raise requests.ConnectTimeout

    monkeypatch.setattr(requests, "get", swallow)
    with pytest.raises(fetch.FetchError, match=r"^there is no connection to example\.org$"):
        fetch.fetch_files("faces", "https://example.org/v1", HASHES, progress=False)
    [(connecting, silent)] = waits
    assert 0 < connecting <= 5 and 0 < silent <= 30


def test_a_full_disk_is_said(server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system to stand for a full disk")
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(fetch.FetchError, match=r"^the disk is full$"):
        monkeypatch.setattr(fetch, "open", lambda *_: full, raising=False)
        fetch.fetch_files("faces", f"{server.address}/plain", HASHES, progress=False)
    assert left_over(tmp_path) == []


# --- folders out of an archive --------------------------------------------------------------------------------------


def picture(seed: int) -> bytes:
    """A strip of two frames."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 128, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


STRIPS = {f"{name}/{seed % 2}/{seed:08d}.png": picture(seed) for seed, name in enumerate(2 * ["actions", "shapes"])}


def repository(order: int = 1) -> bytes:
    """An archive as GitHub packs it; `order` -1 gives other bytes with the same content."""
    top = f"mocogan-{strips.COMMIT}"
    members = {f"{top}/data/{name}": content for name, content in STRIPS.items()}
    members |= {f"{top}/README.md": b"x", f"{top}/data/actions/notes.txt": b"x", f"{top}/doc/1.png": picture(9)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if order < 0 else zipfile.ZIP_STORED) as packed:
        for name in list(members)[::order]:
            packed.writestr(name, members[name])
    return buffer.getvalue()


def by_hand(name: str) -> str:
    """The hash of one set, from its definition."""
    parts = (
        member.encode() + b"\0" + len(content).to_bytes(8, "big") + content
        for member, content in sorted(STRIPS.items())
        if member.startswith(name)
    )
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.fixture
def published(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> ThreadingHTTPServer:
    """A server in the place of the public repository."""
    monkeypatch.setattr(strips, "PUBLISHED", f"{server.address}/plain/mocogan.zip")
    monkeypatch.setattr(strips, "HASHES", {name: by_hand(name) for name in ("actions", "shapes")})
    server.contents["mocogan.zip"] = repository()
    return server


@pytest.mark.parametrize("order", [1, -1])
def test_both_sets_come_with_one_download(published: ThreadingHTTPServer, tmp_path: Path, order: int) -> None:
    published.contents["mocogan.zip"] = repository(order)
    actions, shapes = (load_dataset(name, progress=False) for name in ("actions", "shapes"))
    assert (actions.name, len(actions), shapes.name, len(shapes)) == ("actions", 4, "shapes", 4)
    for clips, name in ((actions, "actions"), (shapes, "shapes")):
        contents = [content for member, content in sorted(STRIPS.items()) if member.startswith(name)]
        expected = [np.asarray(Image.open(io.BytesIO(content))) for content in contents]
        assert np.array_equal(clips.frames, np.concatenate([[strip[:, :64], strip[:, 64:]] for strip in expected]))
    assert published.requests == ["/plain/mocogan.zip"]
    stored = [name for name in left_over(tmp_path) if name.startswith("downloads")]
    assert stored == ["downloads/mocogan/actions.zip", "downloads/mocogan/shapes.zip"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (repository()[:-500], "sent something other than the published files"),
        (repository().replace(b"0000.png", b"0009.png"), "sent something other than the published files"),
        (b"<html>", "sent something other than the published files"),
        (None, "answered 404 Not Found"),
    ],
    ids=["cut short", "another name", "a page", "gone"],
)
def test_another_archive_means_the_stand_in(
    published: ThreadingHTTPServer, tmp_path: Path, content: bytes | None, says: str
) -> None:
    published.contents["mocogan.zip"] = content
    with pytest.warns(StandInWarning, match=rf"none could be downloaded \(127.0.0.1:\d+ {says}\)\. The syn") as seen:
        assert load_dataset("actions", progress=False).name == "actions-synthetic"
    assert len(seen) == 1 and "\n" not in str(seen[0].message)
    assert not [name for name in left_over(tmp_path) if "synthetic" not in name]


def test_offline_the_stand_in_comes_at_once(published: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIMLAB_OFFLINE", "1")
    with pytest.warns(StandInWarning, match=r"none could be downloaded \(ANIMLAB_OFFLINE is set\)"):
        assert load_dataset("actions", progress=False).name == "actions-synthetic"
    assert published.requests == []


def test_an_explicit_root_fetches_nothing(published: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^No 'actions' data in"):
        load_dataset("actions", tmp_path)
    assert published.requests == []


@pytest.mark.parametrize("name", ["actions", "shapes"])
def test_the_expected_hashes_are_those_of_the_published_files(name: str) -> None:
    path = REAL / f"{name}.zip"
    if not path.is_file():
        pytest.skip(f"needs the published {name}.zip")
    with open_archive(path) as archive:
        assert fetch.content_hash(archive) == strips.HASHES[name]
        folder = f"mocogan-{strips.COMMIT}/data/"
        assert all(strips.MEMBERS.fullmatch(folder + member)["name"] == member for member in archive.members)


def test_the_commit_is_a_whole_one() -> None:
    assert re.fullmatch("[0-9a-f]{40}", strips.COMMIT) and strips.COMMIT in strips.PUBLISHED


# --- several processes ----------------------------------------------------------------------------------------------

WORKER = """
import sys, types
sys.modules["animlab"] = types.ModuleType("animlab")  # without torch, which takes seconds to import
sys.modules["animlab"].__path__ = ["animlab"]
from animlab.datasets import fetch
folder = fetch.fetch_files("faces", sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2])), progress=False)
"""


def start(address: str) -> subprocess.Popen[bytes]:
    pairs = [part for pair in HASHES.items() for part in pair]
    return subprocess.Popen([sys.executable, "-c", WORKER, address, *pairs], cwd=PROJECT, stderr=subprocess.PIPE)


def wait_for_requests(server: ThreadingHTTPServer, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(server.requests) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_processes_may_fetch_at_once(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    workers = [start(f"{server.address}/slow") for _ in range(2)]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors.decode()
    folder = tmp_path / "cache/downloads/faces"
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert len(left_over(tmp_path)) == 2


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_download_leaves_nothing_half(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: signal.Signals
) -> None:
    worker = start(f"{server.address}/hangs")
    wait_for_requests(server, 1)
    time.sleep(0.3)
    worker.send_signal(way)
    worker.communicate(timeout=60)
    assert not (tmp_path / "cache/downloads").exists()
    litter = list((tmp_path / "cache").glob("unfinished-*"))
    assert len(litter) == (way == signal.SIGKILL), "an interrupt cleans up after itself"
    monkeypatch.setattr("animlab.datasets.cache.ABANDONED_AFTER", -1.0)
    folder = fetch.fetch_files("faces", f"{server.address}/plain", HASHES, progress=False)
    assert (folder / "neutral.obj").read_bytes() == FILES["neutral.obj"]
    assert left_over(tmp_path) == ["downloads/faces/deep/smile.obj", "downloads/faces/neutral.obj"]
