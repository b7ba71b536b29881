"""Sweeps: each cell of a grid is one papermill run of a notebook on a dask cluster, with its result kept on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import papermill
from dask.distributed import Client, LocalCluster, as_completed
from filelock import FileLock
from papermill.exceptions import PapermillExecutionError
from tqdm.auto import tqdm

from .checks import instance, path_of, shown, whole

RESULT = "result.json"
LOG = "log.jsonl"
ADDRESS = r"((tcp|tls|ws|wss|ucx)://)?[^\s/]+:\d{1,5}"  # of a dask scheduler
ORPHANED = 2.0  # seconds within which a kernel ends when its worker has died: it checks once a second


class SweepError(RuntimeError):
    """Some cells failed; all others were run, and their results kept."""


def sweep(
    notebook: str | Path,
    cells: Sequence[Mapping[str, Any]],
    folder: str | Path,
    *,
    scheduler: str | None = None,
    workers: int = 2,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Runs a notebook once for each cell of a grid that has no result in `folder` yet.

    Each run gets a folder as the parameter `out`, in which it has to write result.json, a JSON object. A cell's files
    lie in a folder named by `cell_name`. A cell is done when its result.json exists, which is written atomically, and
    is run once however many sweeps ask for it. So an interrupted sweep continues where it stopped. So does a sweep that
    lost a worker: the cell goes to another worker, with the same `out`, and a notebook that resumes from there loses
    little.

    Example:
        >>> cells = [{"n_d": n_d, "n_c": n_c, "steps": 100} for n_d, n_c in [(5, 2), (5, 5), (10, 5)]]
        >>> results = sweep("notebooks/04_full_training.ipynb", cells, "runs/sweep")

    Args:
        notebook: the notebook; it needs a parameter `out`.
        cells: parameters of the notebook for each run, with values that JSON can store; NumPy's numbers and arrays, and
            tuples, become Python's numbers and lists.
        folder: where results are looked for and kept.
        scheduler: address of a dask scheduler ("tcp://…:8786"), whose workers see `notebook` and `folder` under the
            same paths. None starts workers here, and ends them.
        workers: number of processes to start, at least 1, each with one thread; without effect with a scheduler.
        progress: whether to show a progress bar.

    Returns:
        The results of all cells, in their order.

    Raises:
        FileNotFoundError: There is no such notebook.
        TypeError: cells is not a list of dictionaries, or a path is not one.
        ValueError: The notebook lacks a parameter that a cell sets, or `out`, or cannot be read; JSON cannot store a
            value; or scheduler is not an address.
        OSError: No scheduler answers at that address.
        SweepError: Cells failed, for example because they wrote no valid result; the others are kept.
    """
    workers = whole("workers, the number of processes to start,", workers, 1)
    if scheduler is not None and not (isinstance(scheduler, str) and re.fullmatch(ADDRESS, scheduler)):
        raise ValueError(f"scheduler must be an address such as 'tcp://10.0.0.5:8786', got {shown(scheduler)}.")
    notebook, folder = path_of("notebook", notebook).resolve(), path_of("folder", folder).resolve()
    instance("cells must be a list of dictionaries", cells, Sequence)
    cells = [_plain(cell) for cell in cells]
    _check(notebook, cells)
    names = [cell_name(cell) for cell in cells]
    found = {name: result_of(folder / name) for name in names}
    missing = {name: cell for name, cell in zip(names, cells) if found[name] is None}
    failed: dict[str, BaseException] = {}
    if missing:
        with _connected(scheduler, min(workers, len(missing))) as client:
            # The key is the cell's, so that a scheduler that is asked for it twice runs it once. Keys that begin alike
            # form a group, which is queued at the scheduler, so that workers that join late get a share.
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
        reason = f"{error.ename}: {error.evalue}" if isinstance(error, PapermillExecutionError) else str(error)
        reason = " ".join(reason.split()).rstrip(".")
        raise SweepError(
            f"{len(failed)} of {len(cells)} cells failed, the first, {missing[name]}, with {reason}; the results of "
            f"the others are kept in {folder}, and the same sweep again tries those that failed."
        ) from error
    return [result for name in names if (result := found[name]) is not None]  # none is missing: the type says so


def cell_name(parameters: Mapping[str, Any]) -> str:
    """The name of a cell's folder: the first 16 hex digits of the SHA-256 of its parameters, in any order.

    Args:
        parameters: the cell's parameters, with values that JSON can store.

    Raises:
        TypeError: The parameters are not a dictionary.
        ValueError: JSON cannot store a value.
    """
    text = json.dumps(_plain(parameters), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A cell as JSON gives it back; an error if JSON cannot store it."""
    instance("A cell is a dictionary of parameters", cell, Mapping)
    plain = {}
    for name, value in cell.items():
        try:
            plain[name] = json.loads(json.dumps(value, default=_without_numpy, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            raise ValueError(
                f"A cell cannot set {name!r} to {shown(value)}: give what JSON can store, which is text, finite "
                "numbers, True, False, None, and lists and dictionaries of them."
            ) from None
    return plain


def _without_numpy(value: Any) -> Any:
    """A number or an array of NumPy as Python's; TypeError for anything else."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError


def result_of(place: Path) -> dict[str, Any] | None:
    """The result in a cell's folder.

    Args:
        place: the cell's folder.

    Returns:
        The JSON object, or None if the cell is not done or its result is damaged.
    """
    try:
        return _parsed(place / RESULT)
    except (FileNotFoundError, ValueError):
        return None


def _parsed(path: Path) -> dict[str, Any]:
    """The JSON object in a file; ValueError, which names the file, for anything else."""
    content = path.read_bytes()
    try:
        result = json.loads(content)
    except ValueError as error:  # no JSON, or no UTF-8
        raise ValueError(f"{path} holds no JSON ({error}): the cell has to write a whole object") from error
    if not isinstance(result, dict):
        raise ValueError(f"{path} holds {shown(result)}, but a result is a JSON object")
    return result


def run_cell(notebook: str | Path, parameters: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """Runs one cell unless it is done. This is the task of a worker.

    The cell's folder then holds the executed notebook, result.json and the folder `out` that the notebook wrote.
    log.jsonl in `folder` gets a line when a run begins and one when it is done.

    Args:
        notebook: the notebook.
        parameters: the cell's parameters.
        folder: the sweep's folder.

    Returns:
        The content of result.json.

    Raises:
        PapermillExecutionError: A cell of the notebook failed.
        FileNotFoundError: The notebook wrote no result.json.
        ValueError: Its result.json is not a JSON object.
    """
    name, folder = cell_name(parameters), Path(folder)
    place, executed = folder / name, folder / name / Path(notebook).name
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):  # which the system releases if the worker dies
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
        written = place / "out" / RESULT
        if not written.is_file():
            raise FileNotFoundError(f"{written} is not there: the notebook has to write it")
        result = _parsed(written)
        unfinished = place / f"{RESULT}.part"
        unfinished.write_bytes(written.read_bytes())
        os.replace(unfinished, place / RESULT)
        _log(folder, name, "done")
        return result


def _check(notebook: Path, cells: Sequence[Mapping[str, Any]]) -> None:
    if not notebook.is_file():
        raise FileNotFoundError(f"There is no notebook {notebook} to run.")
    try:
        known = papermill.inspect_notebook(notebook)
    except Exception as error:  # nbformat raises many, with messages of several lines
        raise ValueError(f"{notebook} is no notebook that can be read ({type(error).__name__}).") from error
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
    """A client of the scheduler at that address, or of a local cluster that ends with the block."""
    if scheduler is not None:
        try:
            client = Client(scheduler)
        except OSError as error:
            raise OSError(
                f"No dask scheduler answers at {scheduler!r}: start one, or leave scheduler out to start workers here."
            ) from error
        with client:
            yield client
        return
    with (
        _nameless_script(),
        # On a slow machine a worker takes seconds to end, about which dask would warn.
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_worker_callbacks(_quiet)
        yield client


def _quiet() -> None:
    """Keeps a worker from printing why a cell failed, which SweepError says."""
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)


@contextmanager
def _nameless_script() -> Iterator[None]:
    """Hides from new processes the script that started them.

    They would run it again, and each begin a sweep if the call is not under `if __name__ == "__main__":`. What they
    need they import by name.
    """
    main = sys.modules["__main__"]
    known = vars(main).copy()
    vars(main).pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update({name: known[name] for name in ("__file__", "__spec__") if name in known})


def _log(folder: Path, name: str, event: str) -> None:
    """Appends a line in one write, so that lines of several processes do not interleave."""
    line = json.dumps({"cell": name, "event": event, "process": os.getpid(), "time": round(time.time(), 2)})
    with open(folder / LOG, "a", encoding="utf-8") as file:
        file.write(line + "\n")
