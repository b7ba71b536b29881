"""Make slides of the lessons: `make slides`.

    python notebooks/slides.py runs/slides                             all of them
    python notebooks/slides.py runs/slides 01_gan_basics.ipynb         one of them

A section of a lesson is a column of slides, and every cell that prints or draws something ends one. The first slide
says who wrote the lesson and when these slides were made, the next one lists the sections. The pages show what is
stored in the notebooks and fetch nothing: reveal.js and MathJax lie beside them.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from importlib.metadata import metadata
from importlib.resources import files
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

FOLDER = Path(__file__).parent
BESIDE = {"reveal.js": ("sphinx_revealjs", "_static/revealjs"), "mathjax": ("jupyter_server_mathjax", "static")}
HEADING = re.compile(r"^(?=###? )", re.M)


def add_opening(notebook: NotebookNode) -> None:
    """Splits the text at its headings, says below the title by whom and when, and lists the sections, in place."""
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cells += [new_markdown_cell(part) for part in HEADING.split(cell.source) if part.strip()]
        else:
            cells.append(cell)
    title, _, rest = cells[0].source.partition("\n")
    cells[0].source = f"{title}\n\n{metadata('animlab')['Author']}, {time.strftime('%d %B %Y')}\n{rest}"
    notebook.metadata.title = title.removeprefix("# ")
    sections = [cell.source.partition("\n")[0][3:] for cell in cells if cell.source.startswith("## ")]
    links = [f"- [{name}](#/{column})" for column, name in enumerate(sections, 2)]  # the title's is 0, this one's is 1
    cells.insert(1, new_markdown_cell("\n".join(["## Contents", "", *links])))
    notebook.cells = cells


def cut(notebook: NotebookNode) -> NotebookNode:
    """Says where slides begin, in place: at headings, and after each output."""
    add_opening(notebook)
    begun = False  # whether something stands on the slide already
    for cell in notebook.cells:
        heading = cell.cell_type == "markdown" and cell.source.startswith("#")
        section = heading and not cell.source.startswith("###")
        kind = "slide" if section else "subslide" if heading or not begun else "-"
        cell.metadata["slideshow"] = {"slide_type": kind}
        begun = not cell.get("outputs") and cell is not notebook.cells[1]  # the contents have a slide to themselves
    return notebook


def relink(source: str) -> str:
    """The text with links that lead where they should from a page of slides."""
    source = re.sub(r"(!\[[^\]]*\]\()\.\./", r"\1", source)  # nbconvert embeds what is in the project
    source = re.sub(r"(?<!!)\[([^\]]*)\]\((?:\.\./|solutions/)[^)]*\)", r"\1", source)  # not among the slides
    source = re.sub(r"\]\((\w+)\.ipynb", r"](\1.html", source)
    return re.sub(r"(\]\((?:\w+\.html)?#)(?!/)", r"\1/", source)  # reveal.js finds a heading by its name


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
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = relink(cell.source)
    text, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem, "path": str(FOLDER.parent)}})
    page = folder / f"{path.stem}.html"
    page.write_text(text, encoding="utf-8")
    return page


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for name, (package, folder) in BESIDE.items():
        shutil.copytree(files(package) / folder, target / name, dirs_exist_ok=True)
    for path in [FOLDER / name for name in sys.argv[2:]] or sorted(FOLDER.glob("*.ipynb")):
        print(f"{make(path, target)}: {(target / path.stem).with_suffix('.html').stat().st_size / 1e6:.1f} MB")
