"""Run notebooks from top to bottom in place and store them clean, as the repository keeps them: `make notebooks`.

    python notebooks/run.py                          all of them, worked answers too
    python notebooks/run.py 01_gan_basics.ipynb      one of them

Stored are printed text and pictures; widget state and progress bars are not.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

import nbformat
import papermill

FOLDER = Path(__file__).parent
WIDGET = "application/vnd.jupyter.widget-view+json"
HOSTED = ("accelerator", "colab")  # what Colab reads: notebooks/badges.py writes it
KERNEL = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}


def clean(notebook: nbformat.NotebookNode) -> None:
    """Keep of an executed notebook what a reader without a kernel can use, in place."""
    hosted = {key: notebook.metadata[key] for key in HOSTED if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict(hosted | KERNEL | {"language_info": {"name": "python"}})
    _number(notebook.cells)
    count = 0
    for cell in notebook.cells:
        kept = [tag for tag in cell.metadata.get("tags", []) if tag != "injected-parameters"]
        cell.metadata = nbformat.from_dict({"tags": kept} if kept else {})
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        count += 1
        cell.execution_count = count
        outputs = [output for output in cell.outputs if not _of_kernels(output)]
        cell.outputs = [output for output in map(_without_widget, outputs) if output is not None]
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count


def _number(cells: list[nbformat.NotebookNode]) -> None:
    """Ids in order, in place. An exercise's text, answer and check keep theirs: submissions are graded by them."""
    checks = [place for place, cell in enumerate(cells) if "check" in cell.metadata.get("tags", [])]
    kept = {place: cells[place].get("id") for check in checks for place in range(max(0, check - 2), check + 1)}
    free = (name for name in map("cell-{:02d}".format, itertools.count()) if name not in kept.values())
    for place, cell in enumerate(cells):
        cell["id"] = kept.get(place) or next(free)


def _without_widget(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """The output without its live view; None where nothing but the view was displayed."""
    output.pop("transient", None)
    was_widget = "data" in output and output.data.pop(WIDGET, None) is not None
    return None if was_widget and output.output_type == "display_data" else output


def _of_kernels(output: nbformat.NotebookNode) -> bool:
    """Whether this is only what kernels say as they start, such as those that a sweep runs its cells in."""
    lines = output.get("text", "").splitlines() if output.get("name") == "stderr" else []
    return bool(lines) and all(line.startswith("[IPKernelApp]") for line in lines)


def run(path: Path) -> None:
    """Execute one notebook in its own folder and write it back; an error in a cell leaves the file as it was."""
    began = time.perf_counter()
    notebook = papermill.execute_notebook(
        path, None, cwd=path.parent, kernel_name="python3", progress_bar=False, execution_timeout=1800
    )
    clean(notebook)
    nbformat.write(notebook, path)
    size = path.stat().st_size / 1e6
    print(f"{path.relative_to(FOLDER)}: {time.perf_counter() - began:.0f} s, {size:.2f} MB", flush=True)


if __name__ == "__main__":
    named = [FOLDER / name for name in sys.argv[1:]]
    for each in named or [*sorted(FOLDER.glob("*.ipynb")), *sorted(FOLDER.glob("solutions/*.ipynb"))]:
        run(each)
