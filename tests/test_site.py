"""What `make site` checks its pages with, on planted faults; and axe on an exported lesson and the live player.

All pages of the site are looked at by `make site` itself, which takes minutes.
"""

import pytest
from lessons import ROOT, load_script
from nbconvert import HTMLExporter
from test_web import model_of, needs_chromium

import animlab

check = load_script("notebooks/site/check.py")

# How code, prompts and links are coloured is JupyterLab's matter, whose styles this export takes over.
JUPYTERS = {"rules": {name: {"enabled": False} for name in ("color-contrast", "link-in-text-block")}}


def page(body):
    return f'<!doctype html><html lang="en"><title>a page</title><main><h1 id="top">A page</h1>{body}</main></html>'


def test_a_sound_site_has_nothing_dead(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "a.html").write_text(
        page('<a href="in/#top">b</a> <a href="#top">up</a> <a href="https://e.org">e</a>')
    )
    (tmp_path / "in" / "index.html").write_text(page('<a href="../a.html#top">a</a> <img src="data:,">'))
    assert check.dead(tmp_path, check.pages_of(tmp_path)) == ([], {"https://e.org"})


@pytest.mark.parametrize(
    "body, message",
    [
        ('<a href="gone.html">b</a>', "a.html: gone.html leads nowhere"),
        ('<a href="a.html#gone">b</a>', "a.html: a.html#gone names a place that is not there"),
        ('<img src="gone.png">', "a.html: gone.png leads nowhere"),
        ('<script src="https://cdn.org/x.js"></script>', "a.html fetches https://cdn.org/x.js"),
        ('<link rel="stylesheet" href="//cdn.org/x.css">', "a.html fetches //cdn.org/x.css"),
    ],
)
def test_what_is_dead_or_fetched_is_found(tmp_path, body, message):
    (tmp_path / "a.html").write_text(page(body))
    assert check.dead(tmp_path, check.pages_of(tmp_path))[0] == [message]


FRAMED = """<div class="bd-main"></div><nav class="bd-links bd-docs-nav"></nav><nav class="page-toc"></nav>
<table role="presentation"><tr><td>a picture</td></tr></table><table><tr><th>a</th></tr></table>
<section></section><section></section><section></section>
<p class="component-author">By somebody</p><p class="last-updated">Today</p>"""


def test_a_page_with_all_its_parts_lacks_nothing_nor_does_a_player(tmp_path):
    (tmp_path / "a.html").write_text(page(FRAMED))
    (tmp_path / "player.html").write_text(page("<canvas></canvas>"))
    assert check.lacking_parts(tmp_path, check.pages_of(tmp_path)) == []


@pytest.mark.parametrize(
    "part, message",
    [
        ("bd-docs-nav", "the list of pages"),
        ("page-toc", "its contents"),
        ("component-author", "its author"),
        ("last-updated", "its date"),
        ("<th>a</th>", "heads over a table's columns"),
    ],
)
def test_a_part_that_is_missing_is_found(tmp_path, part, message):
    (tmp_path / "a.html").write_text(page(FRAMED.replace(part, "")))
    assert check.lacking_parts(tmp_path, check.pages_of(tmp_path)) == [f"a.html lacks {message}"]


def test_a_table_that_is_shown_as_text_is_found(tmp_path):
    written = "| a | b |\n| {} | {} |\n| 1 | 2 |"
    (tmp_path / "a.html").write_text(page(FRAMED + f"<p>{written.format('—', '—')}</p>"))
    (tmp_path / "b.html").write_text(page(FRAMED + f"<p>{written.format('---', '--:')}</p>"))
    (tmp_path / "c.html").write_text(page(FRAMED + f"<pre>{written.format('---', '--:')}</pre><p>|x| and |y|</p>"))
    found = check.lacking_parts(tmp_path, check.pages_of(tmp_path))
    assert found == ["a.html lacks the lines of a table", "b.html lacks the lines of a table"]


@needs_chromium
def test_axe_finds_a_planted_fault_and_nothing_on_a_lesson_and_the_player(tmp_path):
    planted, lesson, player = (tmp_path / f"{name}.html" for name in ("planted", "lesson", "player"))
    planted.write_text(page('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'))
    lesson.write_text(HTMLExporter().from_filename(ROOT / "notebooks" / "datasets.ipynb")[0], encoding="utf-8")
    animlab.export_player(model_of(), player)
    (found,) = check.violations([planted, lesson], looks=(("light", JUPYTERS),))
    assert found.startswith("planted.html, light: image-alt (1x)")
    assert check.violations([player]) == []
