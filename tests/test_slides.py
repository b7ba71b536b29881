"""Where the slides of a lesson begin, and what the first two say."""

import re
import time

import nbformat
import pytest
from lessons import ROOT, load_script

slides = load_script("notebooks/slides.py")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_slides_begin_at_every_section_and_list_them(path):
    lesson = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    cells = slides.cut(lesson).cells
    columns = [cell.source for cell in cells if cell.metadata["slideshow"]["slide_type"] == "slide"]
    assert columns[0].splitlines()[2] == f"animlab contributors, {time.strftime('%d %B %Y')}"
    heads = [column.splitlines()[0].removeprefix("## ") for column in columns]
    assert heads[1:] == ["Contents", *re.findall(r"^## (.*)", text, re.M)]
    listed = re.findall(r"^- \[(.*)\]\(#/(\d+)\)$", columns[1], re.M)
    assert [heads[int(column)] for _, column in listed] == [name for name, _ in listed] == heads[2:]


def test_pictures_are_in_the_page_and_links_lead_to_the_other_slides(tmp_path):
    text = slides.make(ROOT / "notebooks" / "datasets.ipynb", tmp_path).read_text(encoding="utf-8")
    assert len(re.findall(r'<img[^>]* src="data:', text)) == len(re.findall(r"<img[^>]* src=", text)) > 4
    assert 'href="00_play_with_labels.html#/Glossary"' in text
    assert slides.relink("[a](#A-part), [b](#/2), [c](https://e.org/#C)") == (
        "[a](#/A-part), [b](#/2), [c](https://e.org/#C)"
    )
    assert slides.relink("[answers](solutions/01_a.ipynb#B), [cards](../data/README.md)") == "answers, cards"
    assert slides.relink("![A strip](../data/a.png)") == "![A strip](data/a.png)"
