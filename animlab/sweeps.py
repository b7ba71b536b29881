"""Sweeps: each cell of a grid is one papermill run of a notebook, sent to a dask cluster, its result kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import papermill
from dask.distributed import Client, LocalCluster, as_completed
from filelock import FileLock
from papermill.exceptions import PapermillExecutionError
from tqdm.auto import tqdm

RESULT = "result.json"
LOG = "log.jsonl"
ORPHANED = 2.0  # seconds after which a notebook's kernel has noticed that its worker is gone: it looks once a second


class SweepError(RuntimeError):
    """Cells that ended in an error, after all others had been run and kept."""


def sweep(
    notebook: str | Path,
    cells: Sequence[Mapping[str, Any]],
    folder: str | Path,
    *,
    scheduler: str | None = None,
    workers: int = 2,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Runs a notebook once for each cell that `folder` holds no result of, and gives back all results, in their order.

    >>> cells = [{"n_d": n_d, "n_c": n_c, "steps": 100} for n_d, n_c in [(5, 2), (5, 5), (10, 5)]]
    >>> results = sweep("notebooks/04_full_training.ipynb", cells, "runs/sweep")

    cells: parameters of the notebook, a dict a cell, of values that JSON knows. Each run is given a folder of its own
    as the parameter `out`, in which it has to write result.json. What a cell has computed lies in a folder named by
    `cell_name`. A cell is done when its result.json is there, which appears whole or not at all, and is run once
    however many sweeps ask for it. So a sweep that was interrupted goes on where it stood. So does one that lost a
    worker: the cell in hand goes to another, with the same `out`, and a notebook that resumes from there loses little.
    scheduler: address of a dask scheduler ("tcp://…:8786"), whose workers see `notebook` and `folder` under the same
    paths. None starts `workers` processes of one thread here, and ends them.

    Raises ValueError for parameters that the notebook does not have, SweepError where cells failed; the others are
    kept.
    """
    notebook, folder = Path(notebook).resolve(), Path(folder).resolve()
    _check(notebook, cells)
    names = [cell_name(cell) for cell in cells]
    found = {name: result_of(folder / name) for name in names}
    missing = {name: dict(cell) for name, cell in zip(names, cells) if found[name] is None}
    failed: dict[str, BaseException] = {}
    if missing:
        with _connected(scheduler, min(workers, len(missing))) as client:
            # The key is the cell's, so that a scheduler that is asked for it twice runs it once; keys that begin alike
            # are a group, which waits at the scheduler, for workers that come late as well.
            futures = [
                client.submit(
                    run_cell, str(notebook), cell, str(folder), key=("cell", str(folder), name), priority=-place
                )
                for place, (name, cell) in enumerate(missing.items())
            ]
            name_of = {future.key: name for future, name in zip(futures, missing)}
            done = as_completed(futures, raise_errors=False)
            bar = tqdm(done, total=len(cells), initial=len(cells) - len(missing), unit="cell", disable=not progress)
            for future in bar:
                error = future.exception()
                if error is None:
                    found[name_of[future.key]] = future.result()
                else:
                    failed[name_of[future.key]] = error
    if failed:
        name, error = next(iter(failed.items()))
        reason = f"{error.ename}: {error.evalue}" if isinstance(error, PapermillExecutionError) else error
        raise SweepError(
            f"{len(failed)} of {len(cells)} cells failed, the first, {missing[name]}, with {reason}; the results of "
            f"the others are kept in {folder}, and the same sweep again tries those that failed."
        ) from error
    return [result for name in names if (result := found[name]) is not None]


def cell_name(parameters: Mapping[str, Any]) -> str:
    """The folder name of a cell: 16 hexadecimal digits of the SHA-256 of its parameters, whatever their order."""
    text = json.dumps(dict(parameters), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def result_of(place: Path) -> dict[str, Any] | None:
    """The result that a cell's folder holds, None where the cell is not done."""
    try:
        return json.loads((place / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def run_cell(notebook: str | Path, parameters: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Runs one cell, unless it is done; its result.json. This is what a worker does.

    The cell's folder then holds the executed notebook, result.json and the folder `out` that the notebook wrote.
    log.jsonl in `folder` gets a line when a run begins and one when it is done.
    """
    name, folder = cell_name(parameters), Path(folder)
    place, executed = folder / name, folder / name / Path(notebook).name
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):  # of a worker that dies the system releases it
        found = result_of(place)
        if found is not None:
            return found
        if executed.exists():
            time.sleep(ORPHANED)
        _log(folder, name, "begun")
        values = dict(parameters) | {"out": str(place / "out")}
        papermill.execute_notebook(
            notebook, executed, values, cwd=place, kernel_name="python3", progress_bar=False, log_output=False
        )
        text = (place / "out" / RESULT).read_text(encoding="utf-8")
        unfinished = place / f"{RESULT}.part"
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, place / RESULT)
        _log(folder, name, "done")
        return json.loads(text)


def _check(notebook: Path, cells: Sequence[Mapping[str, Any]]) -> None:
    if not notebook.is_file():
        raise FileNotFoundError(f"There is no notebook {notebook} to run.")
    known = papermill.inspect_notebook(notebook)
    if "out" not in known:
        raise ValueError(
            f"{notebook.name} has no parameter `out`, so a sweep cannot tell it where to write its result."
        )
    for cell in cells:
        for name in cell:
            if name == "out" or name not in known:
                why = "is set by the sweep" if name == "out" else f"is none of {', '.join(sorted(known))}"
                raise ValueError(f"{name!r} cannot be set in a cell: for {notebook.name} it {why}.")


@contextmanager
def _connected(scheduler: str | None, workers: int) -> Iterator[Client]:
    """A client of the scheduler at that address, or of a cluster of our own that ends with the block."""
    if scheduler is not None:
        with Client(scheduler) as client:
            yield client
        return
    local = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    with local as cluster, Client(cluster) as client:
        yield client


def _log(folder: Path, name: str, event: str) -> None:
    """Appends a line in one write, which processes that share the file do not interleave."""
    line = json.dumps({"cell": name, "event": event, "process": os.getpid(), "time": round(time.time(), 2)})
    with open(folder / LOG, "a", encoding="utf-8") as file:
        file.write(line + "\n")
