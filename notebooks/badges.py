"""Write the project's public address, taken from git's origin, wherever it stands: `make badges`.

The address stands in pyproject.toml (project.urls) and CITATION.cff. Every lesson repeats it, in its link to Colab and
in its setup cell, which fetches the project where there is none. Until an address is written, lessons have no such link
and fetch nothing: nobody knows what will lie under a made-up address.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# https://github.com/owner/name.git, git@github.com:owner/name.git, ssh://git@github.com/owner/name
ORIGIN = re.compile(r"(?:https://|git@|ssh://git@)github\.com[:/](?P<owner>[\w-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?")
NOWHERE = "animlab/animlab"  # what stands in pyproject.toml until an address is written: nobody's
# What a lesson imports beside animlab and not every machine has, and the extra that brings it.
EXTRAS = {"05_ablations": (("distributed", "papermill"), "[sweep]")}
# Lessons that train for as long as one likes. Colab gives them a GPU; the others do as well without one.
TRAIN = ("04_full_training", "09_beyond_the_paper", "10_your_own_clip")

LINK = "\n\n[Open in Colab](https://colab.research.google.com/github/{address}/blob/main/notebooks/{name}.ipynb)"
LINKED = re.compile(r"\n\n\[Open in Colab\]\(https://colab\.research\.google\.com/github/[^)]*\)")
ABSENT = """\
import importlib.util, sys
if {missing}:
    sys.exit("animlab{extra} is not installed here: open this notebook in a clone of its project, by `make lab`.")
"""
FETCHED = """\
import importlib.util, os, site, sys  # what a hosted machine lacks, Colab's for example, is fetched once
if {missing}:
    home = "https://github.com/{address}"
    get = f"(ls lessons || git clone --depth 1 {{home}} lessons) && {{sys.executable}} -m pip install -e lessons{extra}"
    if os.system(f"({{get}}) > setup.log 2>&1"):
        sys.exit("No animlab yet: is there a network? Run this cell again; setup.log says what went wrong.")
    site.main()  # finds what has just been installed
"""


def public(origin: str) -> str:
    """`owner/name` of a GitHub address in any of its forms; ValueError for another address."""
    match = ORIGIN.fullmatch(origin.strip())
    if not match:
        raise ValueError(
            f"Colab opens notebooks from GitHub, but git's origin is {origin!r}: set it to a GitHub address."
        )
    return f"{match['owner']}/{match['name']}"


def setup(name: str, address: str) -> str:
    """The setup cell of a lesson, or of its worked answers, but for its last line, which imports animlab."""
    others, extra = EXTRAS.get(name, ((), ""))
    missing = 'importlib.util.find_spec("animlab") is None'
    if others:
        named = ", ".join(f'"{each}"' for each in ("animlab", *others))
        missing = f"any(importlib.util.find_spec(name) is None for name in ({named}))"
    return (ABSENT if address == NOWHERE else FETCHED).format(missing=missing, address=address, extra=extra)


def lesson(path: Path, address: str) -> str:
    """A notebook's text with this address: the setup cell, the link below the title, and whether Colab gives a GPU."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    name, worked = path.stem, path.parent.name == "solutions"
    for index, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if index == 0 and not worked:
            source = LINKED.sub("", source)
            source += "" if address == NOWHERE else LINK.format(address=address, name=name)
        elif cell["cell_type"] == "code" and source.startswith("import importlib.util"):
            source = setup(name, address) + source.splitlines()[-1]
        cell["source"] = source.splitlines(keepends=True)
    if name in TRAIN and not worked:
        notebook["metadata"] |= {"accelerator": "GPU", "colab": {"gpuType": "T4", "name": path.name}}
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def stamp(root: Path, address: str) -> list[Path]:
    """Put `address` (owner/name) in place of the one in pyproject.toml, everywhere; gives the files that changed."""
    project = root / "pyproject.toml"
    (old,) = re.findall(r'^Repository = "https://github\.com/([^"]+)"$', project.read_text(), re.M)
    texts = {
        path: re.sub(rf"github\.com/{re.escape(old)}(?![\w-])", f"github.com/{address}", path.read_text())
        for path in (project, root / "CITATION.cff")
    }
    texts |= {path: lesson(path, address) for path in sorted((root / "notebooks").rglob("*.ipynb"))}
    changed = [path for path, text in texts.items() if text != path.read_text(encoding="utf-8")]
    for path in changed:
        path.write_text(texts[path], encoding="utf-8")
    return changed


if __name__ == "__main__":
    command = ["git", "remote", "get-url", "origin"]
    origin = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if origin.returncode:
        sys.exit("git knows no origin here: git remote add origin https://github.com/OWNER/NAME")
    try:
        address = public(origin.stdout)
    except ValueError as error:
        sys.exit(str(error))
    for path in stamp(ROOT, address):
        print(f"{path.relative_to(ROOT)}: github.com/{address}")
