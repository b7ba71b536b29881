"""Notebook 04: its loop is the library's, its file of results is whole and right, its checks tell right from wrong."""

import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import papermill
import pytest
import torch
from lessons import answers, cells, stored_table

import animlab
from animlab import metrics

ROOT = Path(__file__).parent.parent
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "04_full_training.ipynb", as_version=4)
SOLUTIONS = nbformat.read(ROOT / "notebooks" / "solutions" / "04_full_training.ipynb", as_version=4)


@pytest.fixture(scope="module")
def by_hand():
    """What the notebook's own definition cells define."""
    names = {"torch": torch, "np": np, "animlab": animlab, "json": json, "time": time}
    for source in cells(NOTEBOOK, "definition"):
        exec(source, names)
    return SimpleNamespace(**names)


@pytest.fixture(scope="module")
def clips():
    return animlab.load_dataset("actions-synthetic", progress=False)


@pytest.mark.parametrize("preset", sorted(name for name, preset in animlab.PRESETS.items() if not preset.lr_frames))
def test_the_loop_is_the_librarys(by_hand, clips, preset):
    """The losses of the last step, and what the running average draws, after as many steps of fit in fp32.

    The lesson's loop has constant learning rates.
    """
    space, recipe = animlab.LabelSpace(3, 4, 2), replace(animlab.PRESETS[preset], batch=8)
    played, losses = by_hand.train(clips.frames, space, recipe, 4, 0.1, 5)
    run = animlab.fit(clips, space, recipe, 4, 5, width=0.1, precision="fp32", device="cpu", progress=False)
    for name, value in losses.items():
        assert value == pytest.approx(run.history[name][-1], rel=1e-3, abs=1e-4), name
    labels = space.sample(16, torch.Generator().manual_seed(0))
    apart = animlab.Model(played).frames(labels).astype(int) - run.model.frames(labels)
    assert abs(apart).max() <= 2 and abs(apart).mean() < 0.2


def test_the_diary_adds_up_over_sittings(by_hand, clips, tmp_path):
    space, file = animlab.LabelSpace(3, 4, 2), tmp_path / "run" / "diary.jsonl"
    recipe, seen, seconds = replace(animlab.PRESETS["paper"], batch=8), [], []
    for steps in (5, 8, 8):  # the last has nothing left to do
        run = animlab.fit(
            clips, space, recipe, steps, out=tmp_path / "run", width=0.1, resume=True, sample_every=2, progress=False,
            callbacks=[by_hand.Diary(file)],
        )  # fmt: skip
        seen.append(run.history.get("lambda_c", np.zeros(0)))
        seconds.append(run.seconds)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 5, 6, 8]
    values = np.concatenate(seen)
    for line, part in zip(lines, np.split(values, [2, 4, 5, 6])):
        assert line["lambda_c"] == pytest.approx(part.mean(), rel=1e-5)
    noted = sum(line["seconds"] for line in lines)
    assert 0.5 * sum(seconds) < noted < 1.5 * sum(seconds)
    assert all(line["processor_seconds"] >= 0 for line in lines)


# The file of results, as the sweep of notebook 05 reads it.

PARAMETERS = {
    "dataset": "actions-synthetic", "n_z": 2, "n_d": 3, "n_c": 2, "preset": "paper", "width": 0.1,
    "batch": 8, "seed": 3, "lambda_c": 5.0, "ema": 0.9, "label_view": "blurred", "precision": "fp32",
}  # fmt: skip


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The folder of a run of three steps that was then asked for five; what its result.json said each time."""
    folder = tmp_path_factory.mktemp("full")
    results = []
    for steps in (3, 5):
        papermill.execute_notebook(
            ROOT / "notebooks" / "04_full_training.ipynb", None,
            PARAMETERS | {"steps": steps, "out": str(folder / "run"), "samples": 1, "keep": 1, "demo_steps": 2},
            cwd=folder, kernel_name="python3", progress_bar=False, execution_timeout=300,
        )  # fmt: skip
        results.append(json.loads((folder / "run" / "result.json").read_text()))
    return folder / "run", results


def test_result_names_the_parameters_it_was_made_with(executed):
    for steps, result in zip((3, 5), executed[1]):
        assert result["parameters"] == PARAMETERS | {"steps": steps}
        assert result["steps"] == steps


def test_result_goes_on_where_the_run_does(executed):
    _, (before, after) = executed
    assert after["seconds"] > before["seconds"] > 0
    assert after["processor_seconds"] > before["processor_seconds"] > 0


def test_result_holds_what_the_checkpoint_shows(executed, clips):
    folder, (_, result) = executed
    model = animlab.load(folder)
    assert model.card["steps"] == 5 and model.card["preset"] == "custom"
    expected = metrics.label_influence(model.generator, pairs=128, seed=3)
    assert result["influence"].keys() == expected.keys() == {"c0", "c1", "d", "z"}
    for name, found in expected.items():
        assert result["influence"][name] == pytest.approx(vars(found), rel=1e-3)
    assert result["real_influence"] == pytest.approx(vars(metrics.real_influence(clips.frames, clips.clips)), rel=1e-5)
    last = json.loads((folder / "diary.jsonl").read_text().splitlines()[-1])
    assert result["losses"] == {name: last[name] for name in ("d_loss", "g_loss", "lambda_d", "lambda_c")}
    assert result["machine"].keys() == {"device", "cores", "threads", "torch", "animlab"}


def test_the_run_is_what_fit_makes_of_the_parameters(executed, clips):
    """Every parameter arrives: the same run, started by hand, draws the same pictures."""
    recipe = replace(animlab.PRESETS["paper"], batch=8, lambda_c=5.0, ema=0.9, label_view="blurred")
    run = animlab.fit(
        clips, animlab.LabelSpace(2, 3, 2), recipe, 5, 3, width=0.1, precision="fp32", progress=False
    )  # fmt: skip
    labels = run.model.space.sample(8, torch.Generator().manual_seed(0))
    apart = animlab.load(executed[0]).frames(labels).astype(int) - run.model.frames(labels)
    assert abs(apart).max() <= 1


def test_what_is_kept_plays(executed):
    folder, _ = executed
    kept = animlab.load(folder / "to-keep.safetensors")
    apart = kept.animate(seed=1).astype(int) - animlab.load(folder).animate(seed=1)
    assert abs(apart).max() <= 2 and kept.discriminator is not None
    assert animlab.load(folder / "step-4.safetensors").card["steps"] == 4


@pytest.mark.parametrize(
    ("parameters", "error", "says"),
    [
        ({"preset": "nope"}, ValueError, "No preset is named 'nope'; there are 'paper', "),
        ({"steps": 0}, ValueError, "steps must be a whole number of at least 1, got 0."),
        ({"steps": "ten"}, ValueError, "steps must be a whole number of at least 1, got 'ten'."),
        ({"width": "x"}, ValueError, "width must be a number from 0.001 to 100, got 'x'."),
        ({"n_c": 0}, ValueError, "n_c must be a whole number of at least 1, got 0."),
        ({"label_view": "blured"}, ValueError, "A preset's label_view must be "),
        ({"out": "mine"}, FileExistsError, "mine holds files that this lesson did not make: "),
    ],
)
def test_a_parameter_that_does_not_fit_is_named_before_anything_is_done(parameters, error, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "demos").mkdir(parents=True)
    (tmp_path / "mine" / "demos" / "thesis.txt").write_text("mine")
    (imports,) = (cell.source for cell in NOTEBOOK.cells if cell.source.startswith("import json\n"))
    (settings,) = (cell.source for cell in NOTEBOOK.cells if "recipe = replace(find_preset(preset)" in cell.source)
    names = {"animlab": animlab}
    exec(cells(NOTEBOOK, "parameters")[0], names)
    names.update(parameters)
    exec(imports, names)
    with pytest.raises(error) as caught:
        exec(settings, names)
    assert str(caught.value).startswith(says)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["demos", "mine", "thesis.txt"]


def test_the_notebook_removes_only_what_it_has_made():
    sources = "\n".join(cell.source for cell in NOTEBOOK.cells + SOLUTIONS.cells if cell.cell_type == "code")
    assert set(re.findall(r"rmtree\((.*?),", sources)) == {'demos / "size"'}  # a folder of the folder of its own
    assert sources.count("anew=True") == 2


# What the text says of the committed results, and of what the lesson itself has stored.


def results(name):
    return json.loads((ROOT / "data" / "results" / name).read_text(encoding="utf-8"))


def test_the_text_reads_the_long_trainings_aright():
    for row in results("training.json"):
        found, real = row["influence"], row["real_influence"]
        best = max(value["strength"] for name, value in found.items() if name[0] == "c")
        assert found["d"]["strength"] < 1.7 * best and (not real or best > 0.8 * real["strength"])
        assert 8 * 60 < row["seconds"] < 3600 and (row["processor_seconds"] or 0) < row["seconds"]


def test_the_try_of_the_command_line_has_the_fields_of_a_run(executed):
    tried, result = results("command_line.json"), executed[1][1]
    asked = {"dataset": "moving-mnist", "preset": "stable-on-black", "n_d": 3, "n_c": 2, "steps": 40, "width": 0.1}
    assert asked.items() <= tried["parameters"].items() and tried.keys() == result.keys()
    assert all(tried[name].keys() == result[name].keys() for name in ("parameters", "machine", "losses"))
    assert tried["losses"]["lambda_d"] == pytest.approx(np.log(3), abs=0.005) and tried["steps"] == 40
    assert tried["losses"]["lambda_c"] == pytest.approx(0.080, abs=0.0005)
    assert (tried["seconds"], tried["processor_seconds"]) == (pytest.approx(1.2, abs=0.05), pytest.approx(2, abs=0.05))


def test_the_text_reads_the_sweep_of_the_stand_in_aright():
    about = results("ablations.json")["about"]
    assert (about["steps"], about["batch"], about["width"]) == (1000, 16, 0.25)
    assert 20 < 60 * about["processor_minutes"] / about["cells"] < 40


def test_the_text_quotes_what_the_lesson_has_stored():
    by_hand = stored_table(NOTEBOOK, "loss of the last step")
    assert all(float(mine) == pytest.approx(float(fit), abs=0.01) for mine, fit in by_hand.values())
    rounded = stored_table(NOTEBOOK, "loss")
    assert all(float(mean) < 0.005 for _, mean in rounded.values())
    scores = {name: [float(x) for x in row] for name, row in stored_table(NOTEBOOK, "500 frames").items()}
    assert scores["model"][0] > scores["real"][0] and scores["model"][2] < 0.1 < 0.9 < scores["real"][2]


# The exercises: their check cells against the worked answers and against plausible wrong ones.


@pytest.fixture
def names(clips, tmp_path):
    """What the cells above the exercises leave to them, with smaller batches."""
    names = {
        "animlab": animlab, "replace": replace, "shutil": shutil, "clips": clips, "space": animlab.LabelSpace(2, 3, 2),
        "recipe": replace(animlab.PRESETS["stable"], batch=16), "seed": 0, "demo_steps": 2, "demos": tmp_path,
    }  # fmt: skip
    (source,) = [cell.source for cell in SOLUTIONS.cells if cell.source.startswith("def small_run")]
    exec(source, names)
    return names


@pytest.mark.parametrize("exercise", range(4))
def test_the_worked_answer_is_right(exercise, names, capsys):
    assert cells(NOTEBOOK, "check") == cells(SOLUTIONS, "check"), "the solutions use other check cells"
    exec(answers(SOLUTIONS)[exercise], names)
    exec(cells(NOTEBOOK, "check")[exercise], names)
    assert "Right" in capsys.readouterr().out


@pytest.mark.parametrize("exercise", range(4))
def test_an_unanswered_exercise_says_so(exercise, names, capsys):
    exec(answers(NOTEBOOK)[exercise], names)
    exec(cells(NOTEBOOK, "check")[exercise], names)
    assert capsys.readouterr().out.startswith("Not yet")


FOLLOWER = """
class FirstBelow(animlab.Callback):
    def __init__(self, name, limit, window):
        self.name, self.limit, self.window, self.values, self.step = name, limit, window, [], None
    def on_step(self, record):
        self.values.append(record.losses[self.name])
        if CONDITION:
            self.step = STEP
"""
FULL = "len(self.values) >= self.window"
LOW = "sum(self.values[-self.window:]) / len(self.values[-self.window:]) < self.limit"


def follower(condition, step="record.step"):
    return FOLLOWER.replace("CONDITION", condition).replace("STEP", step)


def may(**changed):
    right = {"steps": True, "seed": False, "batch": False, "width": False, "keep": True, "lambda_c": False}
    return f"may_change = {right | changed}"


WRONG = [
    (0, "plan = lambda p, n, b, s: p * n // b", "Two numbers", "steps alone"),
    (0, "plan = lambda p, n, b, s: (p * n // b, p * n // b * s / 60)", "the rest needs a step", "rounds down"),
    (0, "plan = lambda p, n, b, s: (p * n / b, p * n / b * s / 60)", "whole number", "does not round"),
    (0, "plan = lambda p, n, b, s: (p * -(-n // b), p * -(-n // b) * s / 60)", "round up once", "rounds every pass"),
    (0, "plan = lambda p, n, b, s: (-(-p * n // b), -(-p * n // b) * s)", "take 6 minutes", "seconds"),
    (1, "checkpoint_bytes = lambda g, d: 4 * (g + d)", "you say", "what is played"),
    (1, "checkpoint_bytes = lambda g, d: 4 * (3 * g + 3 * d)", "you say", "without the running average"),
    (1, "checkpoint_bytes = lambda g, d: 4 * (2 * g + d)", "you say", "without the moments"),
    (1, "checkpoint_bytes = lambda g, d: 4 * (3 * g + 2 * d)", "you say", "one moment"),
    (1, "checkpoint_bytes = lambda g, d: 4 * (5 * g + 4 * d)", "you say", "with the gradients"),
    (1, "checkpoint_bytes = lambda g, d: 4 * g + 3 * d", "you say", "numbers, not bytes"),
    (2, follower(f"self.step is None and {FULL} and {LOW}").replace("animlab.Callback", "object"), "derives", "no kin"),
    (2, follower(f"self.step is None and {LOW}"), "Fewer values", "a window that is not full"),
    (2, follower(f"self.step is None and {FULL} and self.values[-1] < self.limit"), "mean over", "one low value"),
    (2, follower(f"{FULL} and {LOW}"), "first step counts", "the last step"),
    (2, follower(f"self.step is None and {FULL} and {LOW}", "len(self.values)"), "resumed", "counts by itself"),
    (3, may(steps=False), "steps: you say False, but it is accepted", "steps are settled"),
    (3, may(keep=False), "keep: you say False", "files are training"),
    (3, may(seed=True), "seed: you say True, but The run in", "another seed"),
    (3, may(batch=True), "batch: you say True", "another batch"),
    (3, may(width=True), "width: you say True", "other networks"),
    (3, may(lambda_c=True), "lambda_c: you say True", "another loss"),
]  # fmt: skip


@pytest.mark.parametrize("exercise, answer, message, how", WRONG, ids=[row[3] for row in WRONG])
def test_a_wrong_answer_is_turned_down(exercise, answer, message, how, names):
    exec(answer, names)
    with pytest.raises(AssertionError, match=message):
        exec(cells(NOTEBOOK, "check")[exercise], names)
