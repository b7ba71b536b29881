"""A sweep over a real dask cluster: every cell once, whatever happens to a worker in the middle of it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter

import dask
import nbformat
import numpy as np
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from animlab.sweeps import SweepError, cell_name, result_of, sweep

# Counts to `steps`, writes each step down, keeps a checkpoint every `EVERY` steps and resumes from it.
EVERY = 10
ENDLESS = []
ENDLESS.append(ENDLESS)
SOURCE = f"""
import json, os, pathlib, time
folder = pathlib.Path(out)
folder.mkdir(exist_ok=True)
place = folder / "checkpoint"
step = int(place.read_text()) if place.exists() else 0
if n < 0:
    raise ValueError(f"n is {{n}}")
while step < steps:
    step += 1
    with open(folder / "steps", "a") as file:
        file.write(f"{{step}} {{os.getpid()}}\\n")
    time.sleep(pause)
    if step % {EVERY} == 0:
        (folder / "new").write_text(str(step))
        os.replace(folder / "new", place)
(folder / "result.json").write_text(json.dumps({{"parameters": {{"n": n}}, "steps": step, "square": n * n}}))
"""


@pytest.fixture
def notebook(tmp_path):
    parameters = new_code_cell("n = 0\nsteps = 3\npause = 0.0\nout = None", metadata={"tags": ["parameters"]})
    path = tmp_path / "count.ipynb"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[parameters, new_code_cell(SOURCE)], metadata=kernel), path)
    return path


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def counted(folder, event):
    return Counter(line["cell"] for line in lines(folder) if line["event"] == event)


def steps_of(folder, cell):
    """What the runs of a cell wrote down: (step, process) in order."""
    text = (folder / cell_name(cell) / "out" / "steps").read_text()
    return [tuple(map(int, line.split())) for line in text.splitlines()]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler and two workers, processes of their own: (address, workers)."""
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    dask, where = [sys.executable, "-m", "dask"], ["--no-dashboard", "--scheduler-file", str(file)]
    commands = [[*dask, "scheduler", "--port", "0", *where]]
    commands += 2 * [[*dask, "worker", "--no-nanny", "--nthreads", "1", *where]]
    with (folder / "log").open("w") as log:
        processes = [subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) for command in commands]
    try:
        yield wait_for(lambda: address_in(file)), processes[1:]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def address_in(file):
    """The scheduler's address, None while its file is not there or only half written."""
    try:
        return json.loads(file.read_text())["address"]
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def wait_for(condition, seconds=120):
    """What `condition` gives, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def started(notebook, cells, folder, **options):
    """A sweep in a process of its own, which prints the results."""
    call = f"sweep({str(notebook)!r}, {cells}, {str(folder)!r}, progress=False, **{options})"
    command = [sys.executable, "-c", f"from animlab.sweeps import sweep\nif __name__ == '__main__': print({call})"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_sweeps_at_once_run_each_cell_once(notebook, cluster, tmp_path):
    folder = tmp_path / "sweep"
    cells = [{"n": n, "steps": 20, "pause": 0.02} for n in range(3)]
    both = [started(notebook, cells, folder, **way) for way in ({"scheduler": cluster[0]}, {"workers": 1})]
    outputs = [asking.communicate(timeout=120) for asking in both]
    expected = [{"parameters": {"n": n}, "steps": 20, "square": n * n} for n in range(3)]
    assert [output.strip() for output, _ in outputs] == 2 * [str(expected)], outputs
    assert set(counted(folder, "begun").values()) == {1} and len(counted(folder, "done")) == 3
    assert all([step for step, _ in steps_of(folder, each)] == list(range(1, 21)) for each in cells)


def test_a_cell_that_fails_leaves_the_others_and_is_tried_again(notebook, cluster, tmp_path):
    folder, scheduler = tmp_path / "sweep", cluster[0]
    cells = [{"n": n} for n in (2, -1, 3)]
    with pytest.raises(SweepError, match=r"1 of 3 cells failed, the first, \{'n': -1\}, with ValueError: n is -1; the"):
        sweep(notebook, cells, folder, scheduler=scheduler, progress=False)
    assert [result_of(folder / cell_name(each)) is None for each in cells] == [False, True, False]
    notebook.write_text(notebook.read_text().replace("n < 0", "n < -1"))
    results = sweep(notebook, [*reversed(cells), cells[0]], folder, scheduler=scheduler, progress=False)
    assert [result["square"] for result in results] == [9, 1, 4, 4]  # in the order asked for
    assert counted(folder, "begun") == {cell_name(each): 1 + (each["n"] < 0) for each in cells}


def test_what_is_done_needs_no_cluster(notebook, tmp_path, monkeypatch):
    for n in (1, 2):
        place = tmp_path / "sweep" / cell_name({"n": n, "steps": 3})
        place.mkdir(parents=True)
        (place / "result.json").write_text(json.dumps({"square": n * n}))
    monkeypatch.setattr("animlab.sweeps.LocalCluster", None)
    results = sweep(notebook, [{"steps": 3, "n": n} for n in (2, 1)], tmp_path / "sweep")
    assert [result["square"] for result in results] == [4, 1]


def test_half_a_result_counts_for_nothing(notebook, cluster, tmp_path):
    place = tmp_path / "sweep" / cell_name({"n": 5})
    (place / "out").mkdir(parents=True)
    for name in ("result.json.part", "out/result.json"):
        (place / name).write_text('{"square": 2')
    (result,) = sweep(notebook, [{"n": 5}], tmp_path / "sweep", scheduler=cluster[0], progress=False)
    assert result["square"] == 25 and sorted(os.listdir(place)) == ["count.ipynb", "lock", "out", "result.json"]


@pytest.mark.parametrize(
    "written, says",
    [("{'square': 2", r"result.json holds no JSON \(Expecting"), ("null", "result.json holds None, but a result is"),
     ("[1]", r"result.json holds \[1\], but"), ("\udcff", "result.json holds no JSON"),
     (None, "result.json is not there: the notebook has to write it")],
)  # fmt: skip
def test_what_is_no_result_is_named_and_spoils_no_other_sweep(written, says, notebook, cluster, tmp_path):
    folder = tmp_path / "sweep"
    bad = nbformat.read(notebook, 4)
    if written is None:
        bad.cells[1].source = "import pathlib; pathlib.Path(out).mkdir()"
    else:
        bad.cells[
            1
        ].source += (
            f"\nif n == 2:\n    (folder / 'result.json').write_bytes({written.encode(errors='surrogateescape')})"
        )
    (tmp_path / "bad").mkdir()
    nbformat.write(bad, tmp_path / "bad" / "count.ipynb")
    cells = [{"n": 1}, {"n": 2}]
    with pytest.raises(SweepError, match=rf"cells failed, the first, .*{cell_name({'n': 2})}.*{says}") as error:
        sweep(tmp_path / "bad" / "count.ipynb", cells[written is None :], folder, scheduler=cluster[0], progress=False)
    assert "\n" not in str(error.value) and result_of(folder / cell_name({"n": 2})) is None
    results = sweep(notebook, cells, folder, scheduler=cluster[0], progress=False)
    assert [result["square"] for result in results] == [1, 4]


@pytest.mark.parametrize("content", ["{", "null", ""])
def test_a_damaged_result_is_computed_anew(content, notebook, cluster, tmp_path):
    place = tmp_path / "sweep" / cell_name({"n": 3})
    place.mkdir(parents=True)
    (place / "result.json").write_text(content)
    (result,) = sweep(notebook, [{"n": 3}], tmp_path / "sweep", scheduler=cluster[0], progress=False)
    assert result["square"] == 9 and result_of(place) == result


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", None, True])
def test_a_number_of_workers_that_is_none_is_turned_down(workers, notebook, tmp_path):
    with pytest.raises(ValueError, match=r"^workers, the number of processes to start, must be a whole number of at"):
        sweep(notebook, [{"n": 1}], tmp_path / "sweep", workers=workers)
    assert not (tmp_path / "sweep").exists()


def test_what_is_no_notebook_is_turned_down(tmp_path):
    (tmp_path / "x.ipynb").write_text("{}\n{")
    with pytest.raises(ValueError, match=r"x.ipynb is no notebook that can be read \(\w+\)\.$"):
        sweep(tmp_path / "x.ipynb", [{"n": 1}], tmp_path / "sweep")


def test_a_script_needs_no_guard(notebook, tmp_path):
    """Processes that were to import the script would begin a sweep each, and none would ever be done."""
    script = tmp_path / "script.py"
    call = f"sweep({str(notebook)!r}, [{{'n': 2}}, {{'n': 3}}], {str(tmp_path / 'sweep')!r}, progress=False)"
    script.write_text(f"from animlab.sweeps import sweep\nprint([each['square'] for each in {call}], __file__)\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=240)
    assert done.stdout == f"[4, 9] {script}\n" and "Traceback" not in done.stderr, done.stderr


def test_a_worker_killed_in_mid_cell_loses_nothing_and_runs_nothing_twice(notebook, cluster, tmp_path):
    scheduler, workers = cluster
    folder = tmp_path / "sweep"
    cells = [{"n": n, "steps": 100, "pause": 0.02} for n in range(4)]
    asking = started(notebook, cells, folder, scheduler=scheduler)

    def well_into_a_cell():
        """A worker with some tens of steps of a cell behind it, and the cell."""
        assert asking.poll() is None, asking.communicate()
        for line in lines(folder)[::-1] if (folder / "log.jsonl").exists() else []:
            cell = next(each for each in cells if cell_name(each) == line["cell"])
            worker = next(each for each in workers if each.pid == line["process"])
            written = folder / line["cell"] / "out" / "steps"
            if line["event"] == "begun" and written.exists() and EVERY + 5 <= len(steps_of(folder, cell)) < 80:
                return worker, cell

    victim, cell = wait_for(well_into_a_cell)
    victim.send_signal(signal.SIGKILL)
    output, errors = asking.communicate(timeout=120)
    assert output.strip() == str([{"parameters": {"n": n}, "steps": 100, "square": n * n} for n in range(4)]), errors

    names = {cell_name(each) for each in cells}
    assert counted(folder, "done") == dict.fromkeys(names, 1)  # nothing missing, nothing twice
    assert counted(folder, "begun") == dict.fromkeys(names, 1) | {cell_name(cell): 2}
    assert {line["cell"] for line in lines(folder)[:2]} == {cell_name(each) for each in cells[:2]}
    for each in cells:
        if each is not cell:
            assert [step for step, _ in steps_of(folder, each)] == list(range(1, 101))
    taken = steps_of(folder, cell)
    first, second = dict.fromkeys(process for _, process in taken)
    before, after = ([step for step, process in taken if process == one] for one in (first, second))
    assert taken == [(step, first) for step in before] + [(step, second) for step in after]  # never both at once
    assert before == list(range(1, before[-1] + 1)) and after == list(range(after[0], 101))
    assert EVERY < after[0] <= before[-1] + 1 < after[0] + EVERY  # it went on from the last checkpoint
    assert not psutil.pid_exists(first), "the killed worker's kernel is still alive"


@pytest.mark.parametrize(
    "cell, message",
    [({"m": 1}, "'m' cannot be set in a cell: for count.ipynb it is none of n, out, pause, steps"),
     ({"out": "x"}, "is set by the sweep"),
     ({"n": float("nan")}, r"^A cell cannot set 'n' to nan: give what JSON can store, .*\.$"),
     ({"n": np.float32("inf")}, r"cannot set 'n' to np.float32\(inf\): give"),
     ({"n": {1, 2}}, r"cannot set 'n' to \{1, 2\}: give"), ({"n": [1, 1j]}, r"cannot set 'n' to \[1, 1j\]: give"),
     ({"n": ENDLESS}, r"cannot set 'n' to \[\[.*\]\]: give"),
     (1, r"^A cell is a dictionary of parameters, got int\.$")],
)  # fmt: skip
def test_a_cell_that_cannot_be_run_is_turned_down_before_any_is(cell, message, notebook, tmp_path):
    with pytest.raises((ValueError, TypeError), match=message):
        sweep(notebook, [{"n": 1}, cell], tmp_path / "sweep", progress=False)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("cells, kind", [({"n": 1}, "dict"), (None, "NoneType"), (3, "int"), ("n", "str")])
def test_cells_are_a_list_of_dictionaries(cells, kind, notebook, tmp_path):
    with pytest.raises(TypeError, match=rf"^(cells must be a list of dictionaries|A cell is a dict.*), got {kind}\.$"):
        sweep(notebook, cells, tmp_path / "sweep", progress=False)


@pytest.mark.parametrize("scheduler", ["foo", "", "localhost", "tcp://localhost", "ftp://localhost:8786", 8786])
def test_an_address_that_is_none_is_turned_down(scheduler, notebook, tmp_path):
    with pytest.raises(ValueError, match=rf"^scheduler must be an address .*, got {re.escape(repr(scheduler))}\.$"):
        sweep(notebook, [{"n": 1}], tmp_path / "sweep", scheduler=scheduler)


def test_a_scheduler_that_does_not_answer_is_named(notebook, tmp_path):
    with socket.socket() as taken, dask.config.set({"distributed.comm.timeouts.connect": "100ms"}):
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=rf"^No dask scheduler answers at '{address}': start one, .*\.$"):
            sweep(notebook, [{"n": 1}], tmp_path / "sweep", scheduler=address, progress=False)


def test_the_name_of_a_cell_hangs_on_its_values_alone():
    assert cell_name({"a": 1, "b": [2.5, None]}) == cell_name({"b": [2.5, None], "a": 1})
    assert len({cell_name(cell) for cell in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": 1, "b": None}, {})}) == 6


def test_numbers_of_numpy_are_those_of_python(notebook, cluster, tmp_path):
    plain = {"n": 3, "steps": 2, "pause": 0.0}
    cell = {"n": np.int64(3), "steps": np.array(2), "pause": np.float32(0)}
    assert cell_name(cell) == cell_name(plain)
    assert cell_name({"a": [np.int8(1), (np.bool_(True), np.array([2.5]))]}) == cell_name({"a": [1, [True, [2.5]]]})
    (result,) = sweep(notebook, [cell], tmp_path / "sweep", scheduler=cluster[0], progress=False)
    assert result == result_of(tmp_path / "sweep" / cell_name(plain)) and result["parameters"] == {"n": 3}


def test_a_cell_that_fails_on_a_cluster_of_its_own_is_said_once(notebook, tmp_path):
    """In the error, and not by dask as well."""
    script = f"from animlab.sweeps import sweep\nsweep({str(notebook)!r}, [{{'n': -1}}], {str(tmp_path / 'sweep')!r}"
    command = [sys.executable, "-c", f"{script}, progress=False)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert "SweepError: 1 of 1 cells failed, the first, {'n': -1}, with ValueError: n is -1; the" in done.stderr
    assert "Compute Failed" not in done.stderr and "distributed.worker" not in done.stderr, done.stderr
