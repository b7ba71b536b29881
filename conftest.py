"""What every test and every notebook run by pytest starts from."""

import os
from pathlib import Path

import pytest

# A checkout with the real data beside it tests on them; kernels inherit it.
beside = Path(__file__).parent.parent / "shared" / "data"
if "ANIMLAB_DATA" not in os.environ and beside.is_dir():
    os.environ["ANIMLAB_DATA"] = str(beside)
os.environ.setdefault("ANIMLAB_OFFLINE", "1")  # no test and no notebook under test waits for a download
os.environ.setdefault("OMP_NUM_THREADS", "2")  # sums in the same order everywhere


@pytest.fixture
def rng():
    """A freshly seeded torch generator."""
    import torch

    return torch.Generator().manual_seed(0)


def pytest_collection_modifyitems(items):
    """Marks what `make check` leaves out: notebooks and the browser by their files, what is slow by a list."""
    slow = set((Path(__file__).parent / "tests" / "slow.txt").read_text().split())
    for item in items:
        if item.path.suffix == ".ipynb" or item.path.name.startswith("test_notebook"):
            item.add_marker("notebook")
        if item.path.name in ("test_browser.py", "test_web.py"):
            item.add_marker("browser")
        if item.nodeid.partition("[")[0] in slow or item.path.name in slow:
            item.add_marker("slow")
