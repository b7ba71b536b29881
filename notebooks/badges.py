"""Write the project's public address, taken from git's origin, wherever it stands: `make badges`.

The address stands in pyproject.toml (project.urls); the notebooks repeat it in their setup cells and Colab links, so
that a fork opens its own notebooks in Colab.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# https://github.com/owner/name.git, git@github.com:owner/name.git, ssh://git@github.com/owner/name
ORIGIN = re.compile(r"(?:https://|git@|ssh://git@)github\.com[:/](?P<owner>[\w-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?")


def public(origin: str) -> str:
    """`owner/name` of a GitHub address in any of its forms; ValueError for another address."""
    match = ORIGIN.fullmatch(origin.strip())
    if not match:
        raise ValueError(
            f"Colab opens notebooks from GitHub, but git's origin is {origin!r}: set it to a GitHub address."
        )
    return f"{match['owner']}/{match['name']}"


def stamp(root: Path, new: str) -> list[Path]:
    """Put `new` (owner/name) in place of the address in pyproject.toml, there and in every notebook; what changed."""
    project = root / "pyproject.toml"
    (old,) = re.findall(r'^Repository = "https://github\.com/([^"]+)"$', project.read_text(), re.M)
    changed = []
    for path in [project, *sorted((root / "notebooks").rglob("*.ipynb"))]:
        before = path.read_text()
        after = re.sub(rf"github(\.com)?/{re.escape(old)}(?![\w-])", rf"github\1/{new}", before)
        if after != before:
            path.write_text(after)
            changed.append(path)
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
