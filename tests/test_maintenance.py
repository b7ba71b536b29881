"""The tools beside the notebooks: storing them clean, stamping the public address into them, the benchmarks."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from lessons import load_script
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parent.parent


def test_a_notebook_is_stored_clean(tmp_path, monkeypatch):
    run = load_script("notebooks/run.py")
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    cells = [
        new_markdown_cell("# Title"),
        new_code_cell("n = 2", metadata={"tags": ["parameters"], "collapsed": True}, execution_count=7),
        new_code_cell("import ipywidgets\nfrom IPython.display import display\ndisplay(ipywidgets.IntSlider())"),
        new_code_cell(""),
        new_code_cell("from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass\nprint(n)"),
        new_code_cell("ipywidgets.IntSlider(n)"),
    ]
    path = tmp_path / "made.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"accelerator": "GPU", "toc": {"base": 1}}), path)
    run.run(path)
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    assert stored.metadata.keys() == {"accelerator", "kernelspec", "language_info"}
    assert "widget-view" not in path.read_text()
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, None, 3, 4]
    assert [dict(cell.metadata) for cell in code] == [{"tags": ["parameters"]}, {}, {}, {}, {}]
    assert code[1].outputs == []
    assert [output.text for output in code[3].outputs] == ["2\n"]
    assert "IntSlider(value=2)" in code[4].outputs[0].data["text/plain"]


def test_exercises_keep_the_ids_by_which_they_are_graded():
    cells = [new_markdown_cell(str(k)) for k in range(6)]
    for cell, name in zip(cells, ("a", "b", "exercise", "answer", "cell-01", "c")):
        cell["id"] = name
    cells[4].metadata["tags"] = ["check"]
    notebook = new_notebook(cells=cells)
    load_script("notebooks/run.py").clean(notebook)
    assert [cell.id for cell in notebook.cells] == ["cell-00", "cell-02", "exercise", "answer", "cell-01", "cell-03"]


def test_a_notebook_that_fails_is_left_as_it_was(tmp_path, monkeypatch):
    run = load_script("notebooks/run.py")
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    path = tmp_path / "made.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="ZeroDivisionError"):
        run.run(path)
    assert path.read_bytes() == before


@pytest.fixture
def fork(tmp_path):
    """A fork's clone, as far as badges.py is concerned; stamp(origin) runs it there and gives the lines it prints."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    for name in ("pyproject.toml", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)

    def stamp(origin):
        subprocess.run(["git", "remote", "remove", "origin"], cwd=tmp_path, capture_output=True)
        subprocess.run(["git", "remote", "add", "origin", origin], cwd=tmp_path, check=True)
        command = [sys.executable, tmp_path / "notebooks" / "badges.py"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()

    return tmp_path, stamp


def setup_cells(folder):
    """Each notebook's setup cell."""
    for path in sorted((folder / "notebooks").rglob("*.ipynb")):
        code = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        (setup,) = [source for source in code if source.startswith("import importlib.util")]
        yield path, setup


@pytest.mark.parametrize(
    "origin",
    [
        "https://github.com/some-one/my.lessons.git",
        "https://github.com/some-one/my.lessons/",
        "git@github.com:some-one/my.lessons.git",
        "ssh://git@github.com/some-one/my.lessons",
    ],
)
def test_the_address_is_stamped_everywhere(fork, origin):
    folder, stamp = fork
    assert len(stamp(origin)) == 2 + len(list(folder.rglob("*.ipynb"))) >= 26
    for path, setup in setup_cells(folder):
        assert 'home = "https://github.com/some-one/my.lessons"\n' in setup, path.name
        link = f"/github/some-one/my.lessons/blob/main/notebooks/{path.name})"
        assert path.read_text().count(link) == (path.parent.name != "solutions")
    for path in (folder / "pyproject.toml", folder / "CITATION.cff"):
        assert path.read_text().count("https://github.com/some-one/my.lessons") == 1
    others = [path for path in folder.rglob("*.*") if path.suffix in (".ipynb", ".toml", ".cff")]
    assert not any("animlab/animlab" in path.read_text() for path in others)
    assert stamp(origin) == []
    subprocess.run(
        [sys.executable, "-m", "ruff", "check", "-q", "--select", "E501", folder / "notebooks"], cwd=folder, check=True
    )


def test_a_stamp_can_be_taken_back(fork):
    folder, stamp = fork
    before = {path: path.read_bytes() for path in folder.rglob("*.ipynb")}
    stamp("https://github.com/some-one/my.lessons")
    stamp("https://github.com/animlab/animlab")
    assert {path: path.read_bytes() for path in folder.rglob("*.ipynb")} == before


def test_what_git_keeps_fetches_nothing():
    """Nobody has said where the collection lies: no setup cell runs a command, and no page sends a reader elsewhere."""
    for path, setup in setup_cells(ROOT):
        assert not re.search(r"https?:|^\s*[!%]|system|subprocess", setup, re.M), path.name
        assert "colab.research.google.com" not in path.read_text()


@pytest.fixture
def machine(tmp_path):
    """A machine that has everything but animlab: run(cell, home) runs a cell in IPython there, with the repository at
    `home` in place of GitHub's, and gives what is printed, what is raised last."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
    environment |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": "https://github.com/o/n"}

    def run(cell, home):
        script = (
            f"from IPython.core.interactiveshell import InteractiveShell\nr = InteractiveShell().run_cell({cell!r})\n"
        )
        done = subprocess.run(
            [venv / "bin" / "python", "-c", script + "print(repr(r.error_in_exec))"],
            cwd=tmp_path, env=environment | {"GIT_CONFIG_KEY_0": f"url.{home.as_uri()}.insteadOf"},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.stdout.splitlines()

    return run


def test_a_fork_without_an_address_says_how_to_get_animlab(machine, tmp_path):
    badges = load_script("notebooks/badges.py")
    *_, raised = machine(badges.setup("00_play_with_labels", badges.NOWHERE) + "import animlab", tmp_path)
    assert raised.startswith("SystemExit(") and "animlab is not installed here: open this notebook in a clone" in raised
    assert [path.name for path in tmp_path.iterdir()] == ["venv"]


def test_the_setup_cell_fetches_once_and_can_be_run_again(machine, tmp_path):
    cell = load_script("notebooks/badges.py").setup("00_play_with_labels", "o/n")
    cell += "import animlab; print(animlab.__file__)"
    *_, raised = machine(cell, tmp_path / "nowhere")
    assert raised.startswith("SystemExit('No animlab yet: is there a network? Run this cell again;")
    assert "fatal" in (tmp_path / "setup.log").read_text() and not (tmp_path / "lessons").exists()

    home, here = tmp_path / "home", str(tmp_path / "lessons" / "animlab" / "__init__.py")
    (home / "animlab").mkdir(parents=True)
    (home / "animlab" / "__init__.py").touch()
    (home / "pyproject.toml").write_text('[project]\nname = "animlab"\nversion = "1"')
    git = ["git", "-C", home, "-c", "user.name=o", "-c", "user.email=o@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "n"]):
        subprocess.run([*git, *command], check=True)
    assert machine(cell, home) == [here, "None"]
    assert "Successfully installed animlab" in (tmp_path / "setup.log").read_text()
    (tmp_path / "setup.log").unlink()
    assert machine(cell, tmp_path / "nowhere") == [here, "None"]  # there is nothing to be fetched any more
    assert not (tmp_path / "setup.log").exists()


def test_colab_is_asked_for_a_gpu_where_a_lesson_trains_as_long_as_one_likes():
    badges = load_script("notebooks/badges.py")
    asked = {path.stem for path in ROOT.glob("notebooks/*.ipynb") if "accelerator" in nbformat.read(path, 4).metadata}
    assert asked == set(badges.TRAIN)


@pytest.mark.parametrize(
    "origin, message", [(None, "no origin"), ("https://example.org/a/b", "'https://example.org/a/b")]
)
def test_an_origin_that_colab_cannot_open_is_named(tmp_path, origin, message):
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "badges.py", tmp_path / "notebooks")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    if origin:
        subprocess.run(["git", "remote", "add", "origin", origin], cwd=tmp_path, check=True)
    command = [sys.executable, tmp_path / "notebooks" / "badges.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_a_benchmark_can_be_started(path, monkeypatch, capsys):
    """What it imports is there, and it has the options that its head shows; --help is asked for where there is any."""
    head = load_script(path.relative_to(ROOT)).__doc__
    shown = re.findall(r" (--[a-z-]+)", " ".join(re.findall(rf"python tests/benchmarks/{path.name}([^#\n]*)", head)))
    usage = ""
    if "ArgumentParser" in path.read_text():
        monkeypatch.syspath_prepend(path.parent)
        monkeypatch.setattr(sys, "argv", [str(path), "--help"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(path), run_name="__main__")
        assert ended.value.code == 0
        usage = capsys.readouterr().out.partition("\n\n")[0]
    assert {option for option in shown if not re.search(rf"{option}\b(?!-)", usage)} == set()


def test_the_table_of_what_is_kept_is_the_measured_one():
    table = json.loads((ROOT / "data" / "results" / "kept.json").read_text(encoding="utf-8"))
    page = (ROOT / "data" / "results" / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([\d,]+) \| [^|]+ \| ([\d,]+) \| ([\d.]+) \|$", page, re.M)
    stored = [[row["what"], *(f"{row[key]:,.0f}" for key in ("theirs_ms", "ours_ms")), f"{row['ratio']:.2f}"]
              for row in table["rows"]]  # fmt: skip
    assert [list(row) for row in found] == stored
