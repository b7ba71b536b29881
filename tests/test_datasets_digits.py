"""Single digits: the IDX reader against torchvision's, damaged files, and the drawn stand-in."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from sklearn.datasets import load_digits as load_uci_digits
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from torchvision.datasets.mnist import read_image_file, read_label_file

from animlab.datasets import StandInWarning, digits, limits
from animlab.datasets.digits import HASHES, load_digits, straightened, synthetic_digits

REAL = Path(os.environ.get("ANIMLAB_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data but what a test makes."""
    monkeypatch.setenv("ANIMLAB_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr("animlab.datasets.digits.data_folder", lambda: tmp_path / "nothing")


def idx(values: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes, as the format's description has it: magic number, sizes, values."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes()


def make_mnist(folder: Path, part: str = "t10k", count: int = 20, packed: bool = True, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for kind, values in (
        ("images-idx3", rng.integers(0, 256, (count, 28, 28))),
        ("labels-idx1", rng.integers(0, 10, count)),
    ):
        path, content = folder / f"{part}-{kind}-ubyte", idx(values)
        path.with_name(path.name + ".gz" * packed).write_bytes(gzip.compress(content) if packed else content)


def by_torchvision(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """What torchvision reads from the unpacked files."""
    return (
        read_image_file(str(folder / f"{part}-images-idx3-ubyte")).numpy(),
        read_label_file(str(folder / f"{part}-labels-idx1-ubyte")).numpy(),
    )


@pytest.mark.parametrize("layout", [".", "MNIST/raw"])
def test_both_parts_are_read_as_torchvision_reads_them(tmp_path: Path, layout: str) -> None:
    make_mnist(tmp_path / "plain", "train", 30, packed=False, seed=1)
    make_mnist(tmp_path / "plain", "t10k", 20, packed=False)
    make_mnist(tmp_path / layout, "train", 30, seed=1)
    make_mnist(tmp_path / layout, "t10k", 20)
    expected = [
        np.concatenate(each) for each in zip(*(by_torchvision(tmp_path / "plain", p) for p in ("train", "t10k")))
    ]
    for root in (tmp_path, tmp_path / "plain"):
        images, labels = load_digits(root)
        assert images.dtype == np.uint8 and labels.dtype == np.int64
        assert np.array_equal(images, expected[0]) and np.array_equal(labels, expected[1])


def test_real_digits_are_read_as_torchvision_reads_them(tmp_path: Path) -> None:
    for kind in ("images-idx3", "labels-idx1"):
        packed = REAL / f"t10k-{kind}-ubyte.gz"
        if not packed.is_file():
            pytest.skip("needs MNIST's test files: set ANIMLAB_DATA to the folder that holds them")
        (tmp_path / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    images, labels = load_digits(REAL)
    expected = by_torchvision(tmp_path, "t10k")
    assert images.shape[1:] == (28, 28)
    assert np.array_equal(images[-10000:], expected[0]) and np.array_equal(labels[-10000:], expected[1])
    # Digits drawn by the library are what they claim to be in the eyes of their nearest neighbours among real ones.
    drawn, meant = synthetic_digits(500)
    nearest = KNeighborsClassifier(3).fit(expected[0].reshape(-1, 784), expected[1])
    assert (nearest.predict(drawn.reshape(-1, 784)) == meant).mean() > 0.8


def test_folders_are_looked_at_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mnist(tmp_path / "a", count=3)
    make_mnist(tmp_path / "b", count=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr("animlab.datasets.digits.data_folder", lambda: tmp_path / "b")
        assert len(load_digits()[0]) == 5
        monkeypatch.setenv("ANIMLAB_DATA", str(tmp_path / "a"))
        assert len(load_digits()[0]) == 3
        assert len(load_digits(tmp_path / "b")[0]) == 5


def test_without_files_a_stand_in_with_one_line(tmp_path: Path) -> None:
    with pytest.warns(StandInWarning, match=r"^No digits in .*none could be downloaded .*drawn by the library") as seen:
        images, labels = load_digits()
    assert images.shape == (10000, 28, 28) and labels.shape == (10000,)
    assert [warning.filename for warning in seen] == [__file__] and "\n" not in str(seen[0].message)
    with pytest.raises(FileNotFoundError, match=r"^No digits in .*should hold the IDX files .*README"):
        load_digits(tmp_path)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """The tests print nothing."""


def test_digits_are_fetched_once_where_there_is_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mnist(tmp_path / "server/mnist", count=7)
    files = {path.name: path for path in (tmp_path / "server/mnist").iterdir()}
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANIMLAB_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    monkeypatch.setattr(digits, "HASHES", hashes)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "server"))) as server:
        monkeypatch.setattr(digits, "PUBLISHED", f"http://127.0.0.1:{server.server_port}/mnist")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            first = load_digits(progress=False)
        finally:
            server.shutdown()
            thread.join()
    expected = load_digits(tmp_path / "server/mnist")
    for found in (first, load_digits(progress=False)):  # the second time without the server
        assert np.array_equal(found[0], expected[0]) and np.array_equal(found[1], expected[1])


@pytest.mark.parametrize("name", HASHES)
def test_the_expected_hashes_are_those_of_the_published_files(name: str) -> None:
    if not (REAL / name).is_file():
        pytest.skip(f"needs the published {name}")
    assert hashlib.sha256((REAL / name).read_bytes()).hexdigest() == HASHES[name]


GOOD = idx(np.zeros((20, 28, 28)))
PACKED = gzip.compress(GOOD, mtime=0)  # without the time of day, which would give a test another name in each process


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "images-idx3-ubyte",
            b"",
            "is not an IDX file of images: it begins with nothing, not with 00000803; get it again",
        ),
        ("images-idx3-ubyte", b"<html>", "is not an IDX file of images: it begins with 3c68746d, not with 00000803"),
        ("images-idx3-ubyte", idx(np.zeros(20)), "is not an IDX file of images: it begins with 00000801"),
        ("images-idx3-ubyte", GOOD[:10], "is cut short or damaged .10 bytes, not the 16"),
        ("images-idx3-ubyte", GOOD[:-1], f"damaged .{len(GOOD) - 1} bytes, not the {len(GOOD)} of"),
        ("images-idx3-ubyte", GOOD + b"0", f"damaged .{len(GOOD) + 1} bytes, not the {len(GOOD)} of"),
        ("images-idx3-ubyte", b"\0\0\x08\x03" + b"\xff" * 12, "not the 792281[0-9]* of its header"),
        ("images-idx3-ubyte", idx(np.zeros((20, 32, 30))), "holds pictures of 30x32, but the digits"),
        ("images-idx3-ubyte", idx(np.zeros((0, 28, 28))), "holds no digits: get it again"),
        ("images-idx3-ubyte", idx(np.zeros((21, 28, 28))), "holds 21 digits, but t10k-labels-idx1-ubyte.gz 20 labels"),
        ("images-idx3-ubyte", bytes(limits.MAX_IDX_BYTES + 1), "unpacks to more than 64 MB, too much for MNIST"),
        ("images-idx3-ubyte.gz", b"", "is not an IDX file of images: it begins with nothing"),
        ("images-idx3-ubyte.gz", GOOD, "is not a complete gzip file .15696 bytes.: get it again"),
        ("images-idx3-ubyte.gz", PACKED[:50], "is not a complete gzip file .50 bytes.: get it again"),
        ("images-idx3-ubyte.gz", PACKED[:-8] + bytes(8), "is not a complete gzip file"),
        ("images-idx3-ubyte.gz", gzip.compress(bytes(limits.MAX_IDX_BYTES + 1), mtime=0), "unpacks to more than 64 MB"),
        ("labels-idx1-ubyte", idx(np.full(20, 10)), "holds the label 10, but digits go from 0 to 9"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    make_mnist(tmp_path)
    (tmp_path / f"t10k-{name}").write_bytes(content)  # an unpacked file comes before a packed one
    with pytest.raises(ValueError, match=rf"^{tmp_path}/t10k-{name} .*{says}") as caught:
        load_digits(tmp_path)
    assert str(caught.value).count("\n") == 0


def test_pictures_without_labels_are_named(tmp_path: Path) -> None:
    make_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"images-idx3-ubyte.gz has no t10k-labels-idx1-ubyte"):
        load_digits(tmp_path)


def test_drawn_digits_follow_their_seed_and_fill_their_box() -> None:
    images, labels = synthetic_digits(200, seed=3)
    again, other = synthetic_digits(200, seed=3), synthetic_digits(200, seed=4)
    assert np.array_equal(images, again[0]) and np.array_equal(labels, again[1])
    assert not np.array_equal(images, other[0]) and not np.array_equal(labels, other[1])
    assert images.shape == (200, 28, 28) and images.dtype == np.uint8
    assert labels.dtype == np.int64 and (np.bincount(labels) == 20).all()
    assert len(np.unique(images.reshape(200, -1), axis=0)) == 200
    assert not images[:, [0, -1]].any() and not images[:, :, [0, -1]].any(), "no digit is cut off by its frame"
    assert (images.max(axis=(1, 2)) > 200).all()
    sides = np.array([np.ptp(np.argwhere(image > 127), axis=0).max() + 1 for image in images])
    assert ((sides >= 15) & (sides <= 22)).all(), "the box of 20 that MNIST's digits have, or a little less"


def test_drawn_digits_can_be_read() -> None:
    """A classifier that has only seen scikit-learn's 8x8 digits of 43 people reads most of them."""
    people = load_uci_digits()
    reader = SVC(gamma=0.25).fit(people.data / 16, people.target)
    images, labels = synthetic_digits(500)
    boxes = np.zeros((500, 24, 24))
    for box, image in zip(boxes, images):
        inked = np.argwhere(image > 100)
        (top, left), (bottom, right) = inked.min(axis=0), inked.max(axis=0) + 1
        height, width = bottom - top, right - left
        rows, columns = (np.linspace(0, size - 1, 24).round().astype(int) for size in (height, max(height, width)))
        square = np.pad(image[top:bottom, left:right], ((0, 0), ((max(height - width, 0)) // 2, height)))
        box[:] = square[np.ix_(rows, columns)]
    eighths = boxes.reshape(500, 8, 3, 8, 3).mean(axis=(2, 4)).reshape(500, 64) / 255
    assert (reader.predict(eighths) == labels).mean() > 0.6


@pytest.mark.parametrize("count", [0, 1, 7, 25])
def test_a_few_drawn_digits_are_as_many_as_asked_for(count):
    images, labels = synthetic_digits(count)
    assert images.shape == (count, 28, 28) and labels.shape == (count,)
    assert (images.max(axis=(1, 2), initial=0) > 200).all()


def test_straightened_pictures_are_those_that_scipy_shears() -> None:
    x = torch.tensor(synthetic_digits(500, seed=1)[0][:20]).float()[:, None]
    for before, after in zip(x[:, 0].double().numpy(), straightened(x)[:, 0].numpy()):
        rows, columns = np.indices(before.shape)
        weight = before / before.sum()
        row, column = (rows * weight).sum(), (columns * weight).sum()
        slant = ((rows - row) * (columns - column) * weight).sum() / ((rows - row) ** 2 * weight).sum()
        theirs = scipy.ndimage.affine_transform(before, [[1, 0], [slant, 1]], [0, -slant * row], order=1)
        assert np.abs(theirs - after).max() < 0.5  # of 255 levels
