"""Look at the pages that `make site` built: `python notebooks/site/check.py runs/site`.

Says which links and pictures lead nowhere, what a page would fetch from elsewhere, and which page lacks its contents,
author, date or a table's column heads, and has axe look at every page in a browser, light and dark. Links that lead
elsewhere are listed in external-links.txt, for whoever wants to try them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

FETCHED = {("img", "src"), ("script", "src"), ("iframe", "src"), ("link", "href"), ("source", "src"), ("video", "src")}
GRAVE = ("serious", "critical")
# By night only the colours differ.
LOOKS = (("light", None), ("dark", {"runOnly": {"type": "rule", "values": ["color-contrast"]}}))
# What every page has that the theme frames; the players fill the screen by themselves.
PARTS = {"bd-docs-nav": "the list of pages", "component-author": "its author", "last-updated": "its date"}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


class Page(HTMLParser):
    """What a page links to and fetches, the names that can be linked to on it, its parts and its tables' heads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.names: set[str] = set()
        self.classes: set[str] = set()
        self.sections = 0
        self.heads: list[str] = []  # of each table that holds data, the text of its column heads
        self.in_head = False
        self.in_code = 0
        self.unset = 0  # tables that are shown as the text that they were written in
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.names |= {given[key] for key in ("id", "name") if key in given}
        classes = given.get("class", "").split()
        self.classes |= set(classes)
        self.sections += tag == "section"
        self.in_head = tag == "th" or self.in_head
        self.in_code += tag in ("pre", "code")
        if tag == "table" and given.get("role") != "presentation" and "indextable" not in classes:
            self.heads.append("")
        if tag == "link" and given.get("rel") in ("canonical", "next", "prev", "search", "index", "author"):
            return
        for name, value in given.items():
            if (tag, name) in FETCHED:
                self.fetched.add(value)
            elif (tag, name) == ("a", "href"):
                self.links.add(value)

    def handle_data(self, data: str) -> None:
        if self.in_head and self.heads:
            self.heads[-1] += data.strip()
        if not self.in_code:
            self.unset += len(re.findall(r"\|\s*(?:—|-{3,}):?\s*\|", data))

    def handle_endtag(self, tag: str) -> None:
        self.in_head = self.in_head and tag != "th"
        self.in_code -= tag in ("pre", "code")


def pages_of(site: Path) -> dict[Path, Page]:
    """Every page of the site, in the order of their names."""
    return {path.resolve(): Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}


def lacking_parts(site: Path, pages: dict[Path, Page]) -> list[str]:
    """What pages lack that each of them should have, a line each."""
    found = []
    for path, page in pages.items():
        if "bd-main" in page.classes:
            lacking = [what for part, what in PARTS.items() if part not in page.classes]
            if page.sections > 2 and "page-toc" not in page.classes:
                lacking.append("its contents")
            lacking += ["heads over a table's columns"] * page.heads.count("")
            lacking += ["the lines of a table"] * bool(page.unset)
            found += [f"{path.relative_to(site)} lacks {what}" for what in lacking]
    return found


def dead(site: Path, pages: dict[Path, Page]) -> tuple[list[str], set[str]]:
    """What leads nowhere, or would be fetched from elsewhere, a line each; and the addresses outside the site."""
    found, outside = [], set()
    for path, page in pages.items():
        for address in sorted(page.links | page.fetched):
            parts = urlsplit(address)
            if parts.scheme == "data" or parts.scheme == "mailto":
                continue
            if parts.scheme or parts.netloc:
                outside.add(address)
                if address in page.fetched:
                    found.append(f"{path.relative_to(site)} fetches {address}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                found.append(f"{path.relative_to(site)}: {address} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].names:
                found.append(f"{path.relative_to(site)}: {address} names a place that is not there")
    return found, outside


def violations(pages: list[Path], looks: tuple = LOOKS) -> list[str]:
    """What axe finds on the pages that is serious or critical, a line each: page, scheme, rule, first element.

    looks: colour schemes, and what axe is asked for in each.
    """
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    found = []
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser:
        for scheme, options in looks:
            context = browser.new_context(offline=True, color_scheme=scheme, reduced_motion="reduce")
            for path in pages:
                page = context.new_page()
                page.goto(path.resolve().as_uri())
                for rule in Axe().run(page, options=options).response["violations"]:
                    if rule["impact"] in GRAVE:
                        first = rule["nodes"][0]["html"][:160]
                        found.append(f"{path.name}, {scheme}: {rule['id']} ({len(rule['nodes'])}x), such as {first}")
                page.close()
            context.close()
    return found


if __name__ == "__main__":
    site = Path(sys.argv[1]).resolve()
    pages = pages_of(site)
    found, outside = dead(site, pages)
    (site / "external-links.txt").write_text("".join(f"{address}\n" for address in sorted(outside)))
    found += lacking_parts(site, pages)
    found += violations([path for path in pages if path != site / "index.html"])
    print(*found, sep="\n")
    print(f"{len(pages)} pages, {len(outside)} links to elsewhere (external-links.txt), {len(found)} findings")
    sys.exit(bool(found))
