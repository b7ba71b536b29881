"""The notebooks: conventions, runs with other parameters, the worked answers, errors that hide in widgets.

That every cell of a lesson prints what is stored is nbval's part: pytest collects notebooks/ (pyproject.toml).
"""

import re
import statistics
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from lessons import load_script
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))

# Each notebook has to run with these values in place of its own as well.
PARAMETERS = {
    "00_play_with_labels": {"dataset": "shapes-synthetic", "steps": 20, "seed": 1},
    "01_gan_basics": {"dataset": "actions-synthetic", "ring_steps": 30, "steps": 6, "seed": 1},
    "02_discrete_labels": {"source": "digits-synthetic", "steps": 20, "seed": 1},
    "03_continuous_labels": {
        "dataset": "actions-synthetic", "steps": 20, "width": 0.1, "read_clips": 8, "seed": 1,
    },
    "04_full_training": {
        "dataset": "shapes-synthetic", "preset": "stable-on-black", "n_d": 3, "n_c": 2, "steps": 8, "width": 0.1,
        "lambda_c": 10.0, "ema": 0.99, "seed": 1, "keep": 5, "samples": 2, "demo_steps": 2,
    },
    "05_ablations": {
        "dataset": "shapes-synthetic", "grid": [[2, 1]], "steps": 2, "width": 0.05, "seed": 1, "workers": 1,
    },
    "06_metrics": {
        "dataset": "actions-synthetic", "animations": 4, "samples": 100, "inversion_steps": 4, "seed": 1,
    },
    "06b_label_measures": {
        "weights": "pretrained/actions-paper", "dataset": "actions-synthetic", "pairs": 8, "sweeps": 4, "samples": 100,
        "seed": 1,
    },
    "07_comparisons": {"benchmark": "moving-mnist", "seconds": 1, "width": 0.1, "seed": 1},
    "08_computation": {"frames": 32, "sizes": [64, 128], "gpu": 16},
    "09_beyond_the_paper": {
        "weights": "pretrained/shapes", "dataset": "shapes-synthetic", "seconds": 1, "game_steps": 20, "seeds": 1,
        "seed": 1,
    },
    "10_your_own_clip": {"n_d": 1, "n_c": 3, "n_z": 2, "steps": 8, "width": 0.1, "seed": 1},
    "datasets": {"names": ["moving-mnist", "actions"], "seed": 1},
}  # fmt: skip


def breaches(path, solution=False):
    """What breaks the conventions in one notebook, one sentence each."""
    notebook = nbformat.read(path, as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    lines = [sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in code]
    outputs = [output for cell in code for output in cell.outputs]
    types = "".join(cell.cell_type[0] for cell in notebook.cells)
    links = re.findall(r"\]\((?!https?:|#|attachment:|mailto:|data:)([^)#\s]+)", prose)

    def found():
        yield path.stat().st_size > 1_500_000, "over 1.5 MB"
        yield "widgets" in notebook.metadata, "widget state is stored"
        yield len(re.findall(r"^# ", prose, re.M)) != 1, "not exactly one top-level heading"
        counts = [cell.execution_count for cell in code]
        yield counts != list(range(1, len(code) + 1)), "not run top to bottom in one go"
        yield max(lines, default=0) > 20, "a code cell of more than 20 lines"
        yield statistics.median(lines or [0]) > 8, "median code cell of more than 8 lines"
        yield "cccc" in types, "four code cells in a row without prose between them"
        yield any(output.output_type == "error" for output in outputs), "a stored error"
        streams = "".join(output.text for output in outputs if output.output_type == "stream")
        yield re.search(r"\r|it/s\]|\d+%\|", streams), "progress-bar litter"
        yield " - WARNING - " in streams, "a warning of the machine's, not the lesson's"
        yield any(len(alt.strip()) < 8 for alt in re.findall(r"!\[(.*?)\]\(", prose)), "a picture without alt text"
        for link in links:
            yield not (path.parent / link).exists(), f"a link that leads nowhere: {link}"
        if not solution:
            tags = [tag for cell in code for tag in cell.metadata.get("tags", [])]
            yield tags.count("parameters") != 1, "not exactly one cell tagged 'parameters'"
            yield len(re.findall(r"^#+ .*\bExercise\b", prose, re.M)) < 3, "fewer than three exercises"
            yield not (path.parent / "solutions" / path.name).exists(), "no worked answers in solutions/"

    return [message for broken, message in found() if broken]


def hidden_errors(notebook):
    """Errors in an executed notebook, those that only a stream or a widget holds among them."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    for bundle in notebook.metadata.get("widgets", {}).values():
        for state in (model["state"] for model in bundle["state"].values()):
            outputs += state.get("outputs", [])
            if re.match(r"\w+Error: ", str(state.get("value", ""))):  # LabelPlayer's status line
                yield state["value"]
    for output in outputs:
        if output["output_type"] == "error":
            yield f"{output['ename']}: {output['evalue']}"
        elif output["output_type"] == "stream" and "Traceback (most recent call last)" in output["text"]:
            yield output["text"].strip().splitlines()[-1]


def shown(notebook):
    """What each cell shows as text, but for those whose output nbval is told to ignore. Of a picture, its alt text."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and "nbval-ignore-output" not in cell.metadata.get("tags", []):
            parts = [output.get("data", {"text": output.get("text")}) for output in cell.outputs]
            texts = [text for part in parts for kind, text in sorted(part.items()) if kind.startswith("text")]
            found.append(re.sub(r"<img [^>]*>", "<img>", "".join(texts)))
    return found


def execute(path, folder, **parameters):
    return papermill.execute_notebook(
        path, folder / "executed.ipynb", parameters, cwd=folder, kernel_name="python3",
        progress_bar=False, execution_timeout=600,
    )  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_keeps_the_conventions(path):
    assert breaches(path) == []


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_worked_answers_keep_the_conventions(path):
    assert breaches(path, solution=True) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_with_other_parameters(path, tmp_path, request):
    own = papermill.inspect_notebook(path)
    other = PARAMETERS[path.stem]
    assert other.keys() <= own.keys(), "PARAMETERS names what the parameters cell does not"
    assert all(repr(value) != own[name]["default"] for name, value in other.items()), "these are its own values"
    twin = f"test_every_widget_of_a_lesson_follows_its_controls[{path.stem}]"
    if path.stem == "00_play_with_labels":
        twin = "test_no_cell_shows_an_error"
    if any(item.name == twin and not item.get_closest_marker("skipif").args[0] for item in request.session.items):
        pytest.skip("test_browser.py runs it with these values, and finds the same errors")
    assert list(hidden_errors(execute(path, tmp_path, **other))) == []


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_worked_answers_show_what_is_stored_and_hide_no_errors(path, tmp_path):
    """In one run: nbval, which sees no error in a widget, leaves these to this test (conftest.py)."""
    executed = execute(path, tmp_path)
    assert list(hidden_errors(executed)) == []
    load_script("notebooks/run.py").clean(executed)
    assert shown(executed) == shown(nbformat.read(path, as_version=4))


# The checks themselves, each on a notebook that it has to object to.


def small_notebook():
    cells = [
        new_markdown_cell("# Title\n## Exercise 1\n## Exercise 2\n## Exercise 3"),
        new_code_cell("n = 1", execution_count=1, metadata={"tags": ["parameters"]}),
        new_code_cell("print(n)", execution_count=2, outputs=[new_output("stream", text="1\n")]),
        new_code_cell("n = 2", execution_count=3),
    ]
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def written(notebook, folder):
    (folder / "solutions").mkdir()
    for path in (folder / "planted.ipynb", folder / "solutions" / "planted.ipynb"):
        nbformat.write(notebook, path)
    return folder / "planted.ipynb"


def test_conventions_have_nothing_against_a_sound_notebook(tmp_path):
    assert breaches(written(small_notebook(), tmp_path)) == []


@pytest.mark.parametrize(
    "plant, message",
    [
        (lambda nb: nb.metadata.update(widgets={}), "widget state"),
        (lambda nb: nb.cells[1].update(metadata={}), "parameters"),
        (lambda nb: nb.cells[0].update(source="# Title"), "three exercises"),
        (lambda nb: nb.cells.append(new_markdown_cell("# Second")), "top-level heading"),
        (lambda nb: nb.cells.append(new_markdown_cell("[gone](gone.ipynb)")), "leads nowhere: gone.ipynb"),
        (lambda nb: nb.cells.append(new_markdown_cell("![](https://example.org/a.png)")), "alt text"),
        (lambda nb: nb.cells.append(new_markdown_cell("x" * 1_500_000)), "1.5 MB"),
        (lambda nb: nb.cells[2].update(execution_count=7), "top to bottom"),
        (lambda nb: nb.cells[2].update(source="n\n" * 21), "20 lines"),
        (lambda nb: [cell.update(source="n\n" * 9) for cell in nb.cells[1:]], "8 lines"),
        (lambda nb: nb.cells.append(new_code_cell("n = 3", execution_count=4)), "four code cells in a row"),
        (lambda nb: nb.cells[2].outputs.append(new_output("stream", text="9%|# |")), "progress-bar"),
        (
            lambda nb: nb.cells[2].outputs.append(new_output("stream", text="9:00 - dask - WARNING - slow")),
            "the machine's",
        ),
        (lambda nb: nb.cells[2].outputs.append(new_output("error", ename="E", evalue="")), "stored error"),
    ],
)
def test_conventions_find(tmp_path, plant, message):
    notebook = small_notebook()
    plant(notebook)
    (breach,) = breaches(written(notebook, tmp_path))
    assert message in breach


@pytest.mark.parametrize(
    "source",
    [
        "import ipywidgets\nwith ipywidgets.Output():\n    1 / 0",
        "import ipywidgets\nipywidgets.interact(lambda x: 1 / x, x=(0, 1, 1))",
        "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start(); t.join()",
        "import animlab\nmodel = animlab.Model(animlab.Generator(animlab.LabelSpace(), width=0.1))\n"
        "player = animlab.LabelPlayer(model)\nmodel.frames = lambda _: 1 / 0\nplayer.d.value = 1",
    ],
    ids=["output widget", "interact", "thread", "LabelPlayer"],
)
def test_the_scan_finds_an_error_that_papermill_lets_pass(tmp_path, source):
    notebook = small_notebook()
    notebook.cells.append(new_code_cell(source))
    executed = execute(written(notebook, tmp_path), tmp_path)  # raises nothing
    assert list(hidden_errors(executed)) == ["ZeroDivisionError: division by zero"]


def test_another_number_counts_as_shown_another_picture_does_not():
    def notebook(number, picture, tags=()):
        html = f'<img src="data:{picture}" alt="A bar.">'
        outputs = [new_output("stream", text=number), new_output("display_data", {"text/html": html})]
        return new_notebook(cells=[new_code_cell("", outputs=outputs, metadata={"tags": list(tags)})])

    assert shown(notebook("1\n", "a")) == shown(notebook("1\n", "b")) != shown(notebook("2\n", "a"))
    assert shown(notebook("1\n", "a", ["nbval-ignore-output"])) == []


@pytest.mark.parametrize("stored, code", [("1\n", 0), ("2\n", 1)])
def test_nbval_compares_what_is_printed_with_what_is_stored(tmp_path, stored, code):
    notebook = small_notebook()
    notebook.cells[2].outputs[0].text = stored
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", written(notebook, tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert run.returncode == code, run.stdout
