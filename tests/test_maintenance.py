"""The tools beside the notebooks: storing them clean, stamping the public address into them, the benchmarks."""

import shutil
import subprocess
import sys
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
    nbformat.write(new_notebook(cells=cells), path)
    run.run(path)
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    assert "widgets" not in stored.metadata
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


@pytest.mark.parametrize(
    "origin",
    [
        "https://github.com/some-one/my.lessons.git",
        "https://github.com/some-one/my.lessons/",
        "git@github.com:some-one/my.lessons.git",
        "ssh://git@github.com/some-one/my.lessons",
    ],
)
def test_the_address_is_stamped_everywhere(tmp_path, origin):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    old = "animlab/animlab"
    stands = {
        path.relative_to(tmp_path): path.read_text().count(f"/{old}")
        for path in [tmp_path / "pyproject.toml", *tmp_path.rglob("*.ipynb")]
    }
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "remote", "add", "origin", origin], cwd=tmp_path, check=True)
    command = [sys.executable, tmp_path / "notebooks" / "badges.py"]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(first.stdout.splitlines()) == sum(count > 0 for count in stands.values()) >= 3
    for path, count in stands.items():
        text = (tmp_path / path).read_text()
        assert (text.count(f"/{old}"), text.count("/some-one/my.lessons")) == (0, count)
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert again.stdout == ""


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
def test_a_benchmark_can_be_started(path):
    assert load_script(path.relative_to(ROOT)).__doc__
