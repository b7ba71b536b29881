"""What every test and every notebook run by pytest starts from."""

import os
from pathlib import Path

import psutil
import pytest

# A checkout with the real data beside it tests on them; kernels inherit it.
beside = Path(__file__).parent.parent / "shared" / "data"
if "ANIMLAB_DATA" not in os.environ and beside.is_dir():
    os.environ["ANIMLAB_DATA"] = str(beside)
os.environ.setdefault("ANIMLAB_OFFLINE", "1")  # no test and no notebook under test waits for a download
os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums in the same order everywhere; workers leave each other a core

# test_notebooks.py runs the worked answers, and compares what they print in the same run.
collect_ignore_glob = ["notebooks/solutions/*"]

# What takes minutes goes first, so that the workers end together.
LONGEST = (
    "test_browser.py",
    "test_notebooks.py",
    "00_play_with_labels.ipynb",
    "10_your_own_clip.ipynb",
    "datasets.ipynb",
    "02_discrete_labels.ipynb",
    "09_beyond_the_paper.ipynb",
    "04_full_training.ipynb",
    "05_ablations.ipynb",
    "06_metrics.ipynb",
    "06b_label_measures.ipynb",
    "08_computation.ipynb",
    "03_continuous_labels.ipynb",
    "01_gan_basics.ipynb",
    "test_sweeps.py",
    "test_training.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """A worker a core, as far as the memory goes: with a notebook's kernel or a browser each takes up to 4 GB."""
    return max(1, min(os.cpu_count() or 1, psutil.virtual_memory().available // 4_000_000_000))


@pytest.fixture
def rng():
    """A freshly seeded torch generator."""
    import torch

    return torch.Generator().manual_seed(0)


def pytest_collection_modifyitems(config, items):
    """Marks what `make check` leaves out: notebooks and the browser by their files, what is slow by a list."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    slow = set((Path(__file__).parent / "tests" / "slow.txt").read_text().split())
    for item in items:
        if item.path.suffix == ".ipynb" or item.path.name.startswith("test_notebook"):
            item.add_marker("notebook")
        if item.path.name in ("test_browser.py", "test_site.py", "test_web.py"):
            item.add_marker("browser")
        if item.nodeid.partition("[")[0] in slow or item.path.name in slow:
            item.add_marker("slow")
