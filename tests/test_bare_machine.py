"""What works where only PyTorch and the common packages are: on a machine that is lent without a network."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ABSENT = [
    "dask", "distributed", "efficientnet_lite_pytorch", "efficientnet_pytorch", "h5py", "imageio_ffmpeg",
    "IPython", "ipywidgets", "jupyterlab", "nbformat", "nbval", "papermill", "playwright", "pooch", "tensorboard",
    "torch_fidelity",
]  # fmt: skip
PREPARED = f"import sys; sys.modules |= dict.fromkeys({ABSENT})  # None: cannot be imported\n"
TRAINING = """
import animlab
from pathlib import Path

clips = animlab.load_dataset(sys.argv[1], progress=False)
space = animlab.LabelSpace(n_z=2, n_d=2, n_c=2)
run = animlab.fit(clips, space, "modern", 3, width=0.1, progress=False)
assert sorted(animlab.metrics.label_influence(run.model.generator, pairs=4)) == ["c0", "c1", "d", "z"]
animlab.save_animation(run.model.animate(frames=4), "strip.png")
animlab.save(run.model, "model.safetensors")
animlab.load(Path("model.safetensors").resolve())
if sys.argv[1] == "actions":
    animlab.baselines.fit(clips, "mocogan", 1, width=0.05, progress=False)
"""


def run(code, *args, cwd):
    command = [sys.executable, "-c", PREPARED + code, *map(str, args)]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["shapes-synthetic", "actions"])
def test_training_needs_no_notebook_and_no_network(name, tmp_path, monkeypatch):
    """On the real actions where they are, else on their stand-in."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    run(TRAINING, name, cwd=tmp_path)
    assert (tmp_path / "strip.png").read_bytes().startswith(b"\x89PNG")


def test_the_script_for_a_gpu_can_be_started_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = ROOT / "tests" / "benchmarks"
    run("import runpy; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[1] + '/gpu.py')", folder, cwd=tmp_path)
