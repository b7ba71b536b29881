"""What the tests of the notebooks read out of them: cells by their tags, and the answers above check cells."""

from __future__ import annotations

from nbformat import NotebookNode


def cells(notebook: NotebookNode, tag: str) -> list[str]:
    """The sources of the cells with this tag, in order."""
    return [cell.source for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def answers(notebook: NotebookNode) -> list[str]:
    """The cell above each check cell."""
    pairs = zip(notebook.cells, notebook.cells[1:])
    return [before.source for before, cell in pairs if "check" in cell.metadata.get("tags", [])]
