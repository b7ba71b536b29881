"""Make slides of the lessons: `make slides`.

    python notebooks/slides.py runs/slides                             all of them
    python notebooks/slides.py runs/slides 01_gan_basics.ipynb         one of them

A section of a lesson is a column of slides, and every cell that prints or draws something ends one. The pages show what
is stored in the notebooks and fetch nothing: reveal.js and MathJax lie beside them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import jupyter_server_mathjax
import nbformat
import sphinx_revealjs
from nbconvert import SlidesExporter
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
BESIDE = {
    "reveal.js": Path(sphinx_revealjs.__file__).parent / "_static" / "revealjs",
    "mathjax": Path(jupyter_server_mathjax.__file__).parent / "static",
}


def cut(notebook: NotebookNode) -> NotebookNode:
    """Says where slides begin, in place: at headings, and after each output."""
    begun = False  # whether something stands on the slide already
    for cell in notebook.cells:
        heading = cell.cell_type == "markdown" and cell.source.startswith("#")
        section = heading and not cell.source.startswith("###")
        kind = "slide" if section else "subslide" if heading or not begun else "-"
        cell.metadata["slideshow"] = {"slide_type": kind}
        begun = not cell.get("outputs")
    return notebook


def make(path: Path, folder: Path) -> Path:
    """Writes the slides of one lesson into the folder."""
    exporter = SlidesExporter(
        embed_images=True,
        extra_template_basedirs=[str(FOLDER / "site")],
        reveal_theme="white",  # its fonts lie beside it
        reveal_url_prefix="reveal.js",
        template_name="slides",
    )
    notebook = cut(nbformat.read(path, as_version=4))
    text, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem, "path": str(path.parent)}})
    page = folder / f"{path.stem}.html"
    page.write_text(text, encoding="utf-8")
    return page


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for name, source in BESIDE.items():
        shutil.copytree(source, target / name, dirs_exist_ok=True)
    for path in [FOLDER / name for name in sys.argv[2:]] or sorted(FOLDER.glob("*.ipynb")):
        print(f"{make(path, target)}: {(target / path.stem).with_suffix('.html').stat().st_size / 1e6:.1f} MB")
