"""The collection as pages: `make site`. Sphinx reads the project where it lies, so that links lead where they do there.

This folder holds the configuration, the first page and the reference; all other pages are the project's own notebooks
and notes.
"""

import inspect
import re
import shutil
import time
from pathlib import Path

import jupyter_server_mathjax

import animlab

ROOT = Path(__file__).parent.parent.parent
MATHJAX = Path(jupyter_server_mathjax.__file__).parent / "static"  # formulas are set by the site's own copy
PLAYERS = ROOT / "runs" / "players"  # a page and a picture for each shipped model; its folder has a picture that moves

project = "animlab"
author = "animlab contributors"
copyright = f"{time.strftime('%Y')}, {author}, MIT licence"
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
root_doc = "notebooks/site/index"
include_patterns = [
    "*.md", "data/**.md", "notebooks/*.ipynb", "notebooks/solutions/*.ipynb", "notebooks/site/**.md",
]  # fmt: skip
exclude_patterns = [".*", "animlab*", "build", "data/cache", "runs", "tests"]

suppress_warnings = ["misc.highlighting_failure"]  # a notebook's own commands, such as !ls, are no Python
nb_execution_mode = "off"  # what is stored is shown
nb_render_markdown_format = "myst"  # CommonMark, the default, has no tables
nb_ipywidgets_js = {}
myst_enable_extensions = ["amsmath", "dollarmath", "html_image"]
myst_heading_anchors = 4

for name in animlab.__all__:  # some are imported when first asked for
    setattr(animlab, name, getattr(animlab, name))
autodoc_inherit_docstrings = False  # those of torch.nn.Module, in another notation
autodoc_member_order = "bysource"
default_role = "code"


def as_written(app, what, name, obj, options, lines):
    """Turns a docstring, plain text as Python's help shows it, into reStructuredText, in place.

    Parameters become a list; backticks hold code, and all other signs mean themselves.
    """
    try:
        known = "|".join(map(re.escape, inspect.signature(obj).parameters))
    except (TypeError, ValueError):  # of what cannot be called
        known = ""
    text = []
    for paragraph in "\n".join(lines).split("\n\n"):
        if not paragraph.startswith(">>>"):
            if known and not paragraph.startswith("- "):
                paragraph = re.sub(rf"(?:^|(?<=[.;] ))({known}): ", r"\n\n- `\1`: ", " ".join(paragraph.split()))
            parts = re.split(r"(`[^`]+`)", paragraph)
            paragraph = "".join(part if part[:1] == "`" else re.sub(r"([*|_\\])", r"\\\1", part) for part in parts)
        text += [*paragraph.split("\n"), ""]
    lines[:] = text


def lower_anchors(app, docname, source):
    """Writes the anchors of links as MyST does, in place: Jupyter's names of headings keep their capitals."""
    link = r"(\]\((?!https?:)[^)\s#]*#)([^)\s]+)\)"
    source[0] = re.sub(link, lambda found: f"{found[1]}{found[2].lower()})", source[0])


PLAYERS.mkdir(parents=True, exist_ok=True)
for picture in ROOT.glob("data/pretrained/*/animation.webp"):
    animlab.export_player(animlab.load(picture.parent), PLAYERS / f"{picture.parent.name}.html")
    shutil.copy(picture, PLAYERS / f"{picture.parent.name}.webp")


def setup(app):
    app.connect("autodoc-process-docstring", as_written)
    app.connect("source-read", lower_anchors)


html_theme = "sphinx_book_theme"
html_title = "animlab"
html_static_path = ["style.css", str(MATHJAX)]
html_css_files = ["style.css"]
mathjax_path = "MathJax.js?config=TeX-AMS-MML_HTMLorMML-full"
myst_update_mathjax = False  # it is written for later versions than this one
mathjax2_config = {
    "HTML-CSS": {  # the fonts that come with it; long formulas break where a page is narrow
        "availableFonts": [], "imageFont": None, "preferredFont": None, "webFont": "STIX-Web",
        "linebreaks": {"automatic": True},
    },
    "showMathMenu": False,
    "tex2jax": {"processClass": "math"},
}  # fmt: skip
html_extra_path = [str(PLAYERS)]
html_additional_pages = {"index": "first.html"}
templates_path = ["."]
html_last_updated_fmt = "%d %B %Y"
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {"use_download_button": True, "use_fullscreen_button": False, "navbar_persistent": []}
