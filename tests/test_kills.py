"""kill -9 at random moments, twenty times in a row: the run ends in the weights of one that nobody touched."""

import subprocess
import sys

from safetensors.torch import load_file

# The parent imports and never computes, so that each fork is a fresh process that starts at once.
SCRIPT = """
import os, random, signal, sys, time
import numpy as np
import torch
import animlab

torch.set_num_threads(1)
clips = animlab.Clips.single(np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8))
preset = animlab.Preset(norm="spectral", ema=0.9, label_view="blurred", batch=8)
STEPS = 240

class Steady(animlab.Callback):  # tells the parent of each step, and takes its time
    def __init__(self, pipe): self.pipe = pipe
    def on_step(self, record):
        os.write(self.pipe, b".")
        time.sleep(0.02)

def train(out, callbacks=()):
    animlab.fit(clips, animlab.LabelSpace(2, 3, 2), preset, STEPS, out=out, width=0.05, precision="fp32", device="cpu",
                resume=True, checkpoint_every=2, progress=False, callbacks=callbacks)

def child(*arguments):
    pid = os.fork()
    if pid == 0:
        train(*arguments)
        os._exit(0)
    return pid

os.mkdir("killed")
moments, kills = random.Random(0), 0
while True:
    told, pipe = os.pipe()
    pid = child("killed", [Steady(pipe)] if kills < 20 else [])
    if kills == 20:
        assert os.waitpid(pid, 0)[1] == 0
        break
    for _ in range(moments.randrange(8)):  # 0: as soon as it is born
        os.read(told, 1)
    time.sleep(moments.uniform(0, 0.1))
    os.kill(pid, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL, "the run ended before it could be killed"
    kills += 1
    os.makedirs("killed/model.safetensors.left.part", exist_ok=True)  # as if killed in a write, which is rare
    open("killed/model.safetensors.left.part/.tmpAbCdEf", "w").close()
    before = os.path.exists("killed/model.safetensors") and animlab.load("killed").card["steps"]
    print("killed; on disk: step", before, flush=True)
assert os.waitpid(child("whole"), 0)[1] == 0
"""


def test_twenty_kills_lose_nothing(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=900
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    steps = [int(line.split()[-1]) for line in done.stdout.replace("False", "0").splitlines()]
    assert len(steps) == 20
    assert steps == sorted(steps) and 0 < steps[-1] < 240  # forward, and never done early
    killed, whole = (load_file(tmp_path / name / "model.safetensors") for name in ("killed", "whole"))
    assert killed.keys() == whole.keys()
    assert all((killed[key] == whole[key]).all() for key in whole)
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["model.safetensors"]
