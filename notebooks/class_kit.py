"""Pack what a class needs into one zip: `make class`.

    python notebooks/class_kit.py runs/class.zip

In it are the lessons, the library, the shipped weights and the tables that the lessons read, as git keeps them; not the
worked answers, the grader, the teacher's notes and the tests. Pictures are kept where a lesson opens with its result;
all other outputs are cleared, for a reader is to run those cells.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent
TEACHERS = (
    "notebooks/solutions/", "notebooks/site/", "notebooks/slides.py", "notebooks/grade.py", "notebooks/class_kit.py",
    "TEACHING.md", "tests/", ".",
)  # fmt: skip
SHOWN = "## The result first"
ANSWERS = re.compile(r"Worked answers (?:are|stand) in \[solutions/.*?\]\(solutions/.*?\)\.")
README = """# Animate still pictures: the lessons

You need Python 3.10 or newer and `make`; no GPU. In this folder:

    make lab

installs everything and opens the first lesson. Press Shift+Enter to run one cell after the other.

- What a cell printed or drew is here only in the sections called "The result first". Everything else is empty until
  you run it.
- Each lesson ends with exercises. Write your answer into the cell that says `None`, then run the check below it: it
  says what is wrong, or "Right". If you need more cells, add them between the exercise's text and its check.
- Hand in the notebook of a lesson under its own name, such as `08_computation.ipynb`. Only your answers are read, and
  they are checked again with other random numbers.
- Do not copy cells into another notebook: they are found by their ids.

`README.md` of the project says more about everything here; it is kept as `PROJECT.md`.
"""


def for_class(notebook: NotebookNode) -> NotebookNode:
    """A lesson as a student gets it, changed in place: no link to the answers, outputs where the result comes first."""
    shown = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^#+ .*", cell.source, re.M):
                shown = heading == SHOWN
            cell.source = ANSWERS.sub("Your teacher has worked answers.", cell.source)
        elif not shown:
            cell.outputs, cell.execution_count = [], None
    return notebook


def files() -> list[str]:
    """What git keeps and a student gets, relative to the project."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        sys.exit("The kit holds what git keeps, and git knows nothing of this folder: make it in a clone.")
    return [name for name in listed.stdout.split("\0") if name and not name.startswith(TEACHERS)]


def pack(target: Path) -> None:
    """Write the zip."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as kit:
        kit.writestr("animlab/README.md", README)
        for name in files():
            if name.endswith(".ipynb"):
                text = nbformat.writes(for_class(nbformat.read(ROOT / name, as_version=4)))
                kit.writestr(f"animlab/{name}", text + "\n")
            else:
                kit.write(ROOT / name, "animlab/" + ("PROJECT.md" if name == "README.md" else name))
    print(f"{target}: {target.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    pack(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/class.zip"))
