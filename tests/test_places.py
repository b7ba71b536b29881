"""A run's place is one process's; a lesson clears up only what it has made; what lies in a place is not lost."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import animlab
from animlab import places
from animlab.places import MARK, locked, own_folder

SPACE = animlab.LabelSpace(3, 4, 2)
FILE = "model.safetensors"


def fit(out: Path, steps: int = 2, **options) -> animlab.Run:
    """A run of tiny networks on noise."""
    frames = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)
    options = {"width": 0.1, "progress": False} | options
    return animlab.fit(animlab.Clips.single(frames), SPACE, animlab.Preset(batch=8), steps, out=out, **options)


# One process a place --------------------------------------------------------------------------------------------------

HOLD = """
import pathlib, sys, time
from animlab.places import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the place of a run, until it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / FILE)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_run_is_refused_and_told_who_holds_the_place(holder, resume, tmp_path):
    who = f"process {holder.pid} on {socket.gethostname()}"
    for _ in range(2):  # asking once more changes nothing
        with pytest.raises(BlockingIOError) as caught:
            fit(tmp_path, resume=resume)
        assert str(caught.value) == (
            f"{tmp_path / FILE} is being written by {who}: wait for it, stop it, or name another place."
        )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system knows no such kill")
def test_the_lock_of_a_killed_process_is_taken_over(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert (tmp_path / f"{FILE}.lock").exists()
    assert fit(tmp_path).step == 2
    assert [path.name for path in tmp_path.iterdir()] == [FILE]  # and nothing stays of it


def test_a_run_holds_its_place_to_the_end_and_no_longer(tmp_path):
    said = []

    class Second(animlab.Callback):
        def on_step(self, record):
            with pytest.raises(BlockingIOError) as caught:
                fit(tmp_path, resume=True)
            said.append(str(caught.value))

        on_end = on_step

    fit(tmp_path, callbacks=[Second()])
    assert len(said) == 3 and all(f"process {os.getpid()} on" in each for each in said)
    assert fit(tmp_path, 3, resume=True).step == 3


def test_a_run_that_fails_lets_go_of_its_place(tmp_path):
    class Fails(animlab.Callback):
        def on_step(self, record):
            raise KeyError("of a callback")

    with pytest.raises(KeyError):
        fit(tmp_path, callbacks=[Fails()])
    assert fit(tmp_path).step == 2


def test_a_write_in_progress_of_another_is_left_alone(holder, tmp_path):
    unfinished = tmp_path / f"{FILE}.0123abcd.part"
    unfinished.mkdir()
    with pytest.raises(BlockingIOError):
        fit(tmp_path)
    assert unfinished.is_dir()


@pytest.mark.parametrize("error", [NotImplementedError(), OSError(errno.ENOLCK, "No locks available")])
def test_where_the_file_system_knows_no_locks_runs_go_on(error, tmp_path, monkeypatch):
    def acquire(*_, **__):
        raise error

    monkeypatch.setattr(places.FileLock, "acquire", acquire)
    assert fit(tmp_path).step == 2
    with locked(tmp_path / FILE):
        pass


def test_what_is_no_folder_is_refused_before_training(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(
        FileExistsError, match=r"notes cannot be the folder of a run \(File exists\): name another place"
    ):
        fit(tmp_path / "notes")
    with pytest.raises(
        ValueError, match=r"^A checkpoint needs the name of a folder or of a \.safetensors file, got ''"
    ):
        fit("")


# Nothing is lost ------------------------------------------------------------------------------------------------------


def test_a_model_does_not_take_the_place_of_a_run(tmp_path):
    """The saved model could not be resumed: everything that the next step depends on would be gone."""
    model = fit(tmp_path / "run").model
    before = (tmp_path / "run" / FILE).read_bytes()
    for name in ("run", f"run/{FILE}"):
        with pytest.raises(FileExistsError, match=r"belongs to a run that can be resumed.*to-keep\.safetensors'\.$"):
            animlab.save(model, tmp_path / name)
    assert (tmp_path / "run" / FILE).read_bytes() == before
    for _ in range(2):  # beside it, and over another saved model
        animlab.save(model, tmp_path / "run" / "to-keep.safetensors")
    assert fit(tmp_path / "run", 3, resume=True).step == 3


def test_a_new_run_does_not_begin_among_the_checkpoints_of_another(tmp_path):
    (tmp_path / "step-7.safetensors").write_bytes(b"of an earlier run")
    with pytest.raises(
        FileExistsError, match=r"what an earlier run set aside, such as step-7\.safetensors: move it away"
    ):
        fit(tmp_path, keep=1, checkpoint_every=1)
    assert (tmp_path / "step-7.safetensors").read_bytes() == b"of an earlier run"


def test_runs_that_share_a_folder_keep_checkpoints_of_their_own(tmp_path):
    for name in ("a", "b"):
        fit(tmp_path / f"{name}.safetensors", 4, keep=1, checkpoint_every=1)
    expected = {f"{name}{end}.safetensors" for name in "ab" for end in ("", "-step-3")}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_a_run_that_was_taken_back_sets_aside_what_it_makes_now(tmp_path):
    """Its later checkpoints, made before, neither push the new ones out nor are removed."""
    fit(tmp_path, 5, keep=5, checkpoint_every=1)
    (tmp_path / FILE).unlink()
    (tmp_path / "step-2.safetensors").rename(tmp_path / FILE)
    fit(tmp_path, 4, keep=1, checkpoint_every=1, resume=True)
    steps = {path.name: animlab.load(path).card["steps"] for path in tmp_path.iterdir()}
    assert steps == {FILE: 4, "step-3.safetensors": 3, "step-4.safetensors": 4}


# A lesson's own folder ------------------------------------------------------------------------------------------------


def test_an_own_folder_is_marked_and_found_again(tmp_path):
    folder = own_folder(tmp_path / "new" / "run")
    (folder / "result.json").write_text("{}")
    assert own_folder(folder) == folder and (folder / "result.json").exists() and (folder / MARK).is_file()
    assert list(own_folder(folder, anew=True).iterdir()) == [folder / MARK]
    (tmp_path / "empty").mkdir()
    assert (own_folder(tmp_path / "empty") / MARK).is_file()


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("what", ["a file in it", "a hidden file", "a folder in it", "a file in its place"])
def test_what_somebody_else_has_made_is_left_alone(what, anew, tmp_path):
    place = tmp_path / "demos"
    if what == "a file in its place":
        place.write_text("mine")
    else:
        place.mkdir()
        if what == "a folder in it":
            (place / "thesis").mkdir()
        else:
            (place / (".hidden" if "hidden" in what else "thesis.txt")).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileExistsError, match=rf"^{re.escape(str(place))} holds files that this lesson did not make: "):
        own_folder(place, anew=anew)
    assert sorted(tmp_path.rglob("*")) == before
