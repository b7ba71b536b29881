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
