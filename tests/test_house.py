"""The project's own order: lint, types, the lists of dependencies, what is in git."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.strip() and not line.startswith("#")
]
CHECKER = ROOT.parent / "shared" / "tools" / "check_notebooks.py"


def run(*command):
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def tracked():
    return [ROOT / name for name in run("git", "ls-files", "-z").split("\0") if name]


@pytest.mark.parametrize("tool", [["ruff", "check"], ["mypy"]], ids=" ".join)
def test_lint_and_types(tool):
    run(sys.executable, "-m", *tool)


def test_environment_yml_leaves_the_packages_to_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = f"python{PROJECT['requires-python']}"
    assert environment["name"] == PROJECT["name"]
    assert environment["dependencies"] == [python, "pip", {"pip": ["-e .[dev]"]}]


def test_constraints_are_plain_versions():
    odd = [line for line in CONSTRAINTS if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)]
    assert odd == []


def test_constraints_hold_a_version_in_range_of_every_dependency():
    pins = {canonicalize_name(pin.name): pin for pin in map(Requirement, CONSTRAINTS)}
    extras = PROJECT["optional-dependencies"].values()
    for wanted in map(Requirement, PROJECT["dependencies"] + [name for extra in extras for name in extra]):
        (pin,) = pins[canonicalize_name(wanted.name)].specifier
        assert wanted.specifier.contains(pin.version), f"{pin} is outside {wanted}"


def test_the_readme_lists_every_notebook_and_links_to_what_exists():
    readme = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)", readme)
    assert [link for link in links if not (ROOT / link).exists()] == []
    listed = [Path(link).name for link in links if link.endswith(".ipynb")]
    assert listed == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_the_readme_example_runs(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    script = example.replace("steps=2000", "steps=2")
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "wave.gif").exists()


def test_no_file_in_git_knows_this_machine():
    pattern = re.compile(rb"(?<![\w.~-])/(work|root|home|Users)/\w")
    assert [path.name for path in tracked() if path.is_file() and pattern.search(path.read_bytes())] == []


def test_the_shipped_weights_are_small_enough_to_clone():
    assert sum(path.stat().st_size for path in tracked() if path.suffix == ".safetensors") <= 40_000_000


@pytest.mark.skipif(not CHECKER.exists(), reason="no second notebook checker lies beside this checkout")
def test_the_notebook_checker_beside_the_project_agrees():
    run(sys.executable, CHECKER, "notebooks")
