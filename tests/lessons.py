"""What the tests of the notebooks read out of them, and the scripts behind their tables as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent


def cells(notebook: NotebookNode, tag: str) -> list[str]:
    """The sources of the cells with this tag, in order."""
    return [cell.source for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def answers(notebook: NotebookNode) -> list[str]:
    """The cell above each check cell."""
    pairs = zip(notebook.cells, notebook.cells[1:])
    return [before.source for before, cell in pairs if "check" in cell.metadata.get("tags", [])]


def stored_table(notebook: NotebookNode, head: str, which: int = 0) -> dict[str, list[str]]:
    """The first stored table, or another, that begins with this column: of each row, by its first cell, the others."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    texts = (output.get("data", {}).get("text/markdown", "") for output in outputs)
    found = [text for text in texts if text.startswith(f"| {head} |")][which]
    rows = ([part.strip() for part in line.strip("| ").split(" | ")] for line in found.splitlines()[2:])
    return {name: values for name, *values in rows}


def stored_text(notebook: NotebookNode, words: str) -> str:
    """What the one code cell with these words in its source has stored as printed text."""
    (cell,) = (cell for cell in notebook.cells if cell.cell_type == "code" and words in cell.source)
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def attempt(space: dict[str, object], answer: str, check: str) -> str:
    """Runs an answer and then the check of its exercise among a lesson's definitions, as a reader would; gives what the
    check prints last."""
    printed: list[str] = []
    space["print"] = lambda *words: printed.append(" ".join(map(str, words)))
    for name, source in (("answer", answer), ("check", check)):
        exec(compile(source, name, "exec"), space)
    return printed[-1]


def load_script(path: str | Path) -> ModuleType:
    """A script of the project, which finds those beside it, as it does when it is run."""
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(f"script {file.stem}", file)  # no name that an import could mean
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    with mock.patch.object(sys, "path", [str(file.parent), *sys.path]):
        spec.loader.exec_module(module)
    return module
