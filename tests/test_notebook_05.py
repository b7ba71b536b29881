"""Notebook 05: what it defines is right, its checks tell right from wrong, its table is what its script describes."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from lessons import answers, cells, load_script
from PIL import Image
from scipy import stats

import animlab
from animlab import metrics, sweeps

ROOT = Path(__file__).parent.parent
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "05_ablations.ipynb", as_version=4)
SOLUTIONS = nbformat.read(ROOT / "notebooks" / "solutions" / "05_ablations.ipynb", as_version=4)
TABLE = json.loads((ROOT / "data" / "results" / "ablations.json").read_text(encoding="utf-8"))


@pytest.fixture
def names():
    """What the notebook's definition cells define."""
    found = {"np": np, "json": json, "stats": stats, "table": TABLE, "animlab": animlab}
    for source in cells(NOTEBOOK, "definition"):
        exec(source, found)
    return found


@pytest.fixture(scope="module")
def script():
    return load_script("tests/benchmarks/ablations.py")


@pytest.mark.parametrize("cell", [{}, {"seed": 0, "n_d": 5}, {"lambda_c": 0.5, "out": None}, {"dataset": "λ"}], ids=str)
def test_the_name_of_a_cell_is_the_librarys(names, cell):
    assert names["cell_name"](cell) == sweeps.cell_name(cell)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_the_interval_is_students(names, level):
    x = np.random.default_rng(0).normal(0.3, 2, 7)
    expected = stats.ttest_1samp(x, 0).confidence_interval(level)
    np.testing.assert_allclose(names["interval"](x, level), expected)


def test_the_verdict_is_a_t_test_at_one_in_ten(names):
    for x in np.random.default_rng(1).normal(0.5, 1, (200, 4)):
        found = stats.ttest_1samp(x, 0)
        expected = "cannot tell" if found.pvalue > 0.1 else "holds" if found.statistic > 0 else "does not"
        assert names["verdict"](x) == expected


def test_strength_and_pairs_read_the_table(names):
    run = {"influence": {"c0": [0.1, 0.9], "c1": [0.3, 0.9], "d": [0.5, 0.9], "z": [0.7, 0.9]}}
    assert [names["strength"](run, *label) for label in ((), "d", "z")] == pytest.approx([0.2, 0.5, 0.7])
    for name, n_d, n_c in [(name, *cell) for name in names["PAPER"] for cell in names["GRID"]]:
        found = names["runs"](name, n_d, n_c)
        assert [run["seed"] for run in found] == list(range(len(found))) and len(found) >= 2
        assert all(sum(label[0] == "c" for label in run["influence"]) == n_c for run in found)


# The check cells


def test_the_worked_answers_stand_the_notebooks_own_checks(capsys):
    assert cells(NOTEBOOK, "check") == cells(SOLUTIONS, "check")
    found = {"animlab": animlab}
    for cell in SOLUTIONS.cells:
        if cell.cell_type == "code" and "importlib" not in cell.source:
            exec(cell.source, found)
    assert capsys.readouterr().out.count("Right") == len(cells(NOTEBOOK, "check")) == 3


def test_unanswered_exercises_say_so(names, capsys):
    for answer, check in zip(answers(NOTEBOOK), cells(NOTEBOOK, "check"), strict=True):
        exec(answer, names)
        exec(check, names)
    assert capsys.readouterr().out.count("Not yet") == 3


KEEP = "missing = lambda cells, done: "
WRONG = [
    (0, KEEP + "[cell for cell in cells if cell_name(cell) not in done]", "twice", "duplicates stay"),
    (0, KEEP + "[cell for k, cell in enumerate(cells) if cell not in cells[:k]]", "is done", "what is done stays"),
    (
        0,
        KEEP + "list({cell_name(c): c for c in cells[::-1] if cell_name(c) not in done}.values())",
        "order",
        "backwards",
    ),
    (0, KEEP + "list({str(c): c for c in cells if cell_name(c) not in done}.values())", "names, not texts", "by text"),
    (0, KEEP + "[c for c in cells if cell_name(c) not in done][:1]", "3 cells are left", "too few"),
    (1, "seeds_needed = lambda effect, s: max(2, int(np.ceil((1.645 * s / effect) ** 2)))", "leave", "normal, not t"),
    (1, "seeds_needed = lambda effect, s: 100", "would do", "too many"),
    (1, "seeds_needed = lambda effect, s: 1", "at least 2", "one seed"),
    (2, "factors = {'faces3d': 1.0}", "(missing|is not it|wrong way)", "one set"),
    (2, "factors = {name: 1 / f for name, f in right.items()}", "wrong way", "upside down"),
    (2, "factors = {name: f + 0.1 for name, f in right.items()}", "is not it", "off by a tenth"),
]


@pytest.mark.parametrize("exercise, answer, message, how", WRONG, ids=[row[3] for row in WRONG])
def test_a_wrong_answer_is_turned_down(exercise, answer, message, how, names):
    def factor(name):
        first, second = ({run["seed"]: names["strength"](run) for run in names["runs"](name, d, 5)} for d in (5, 10))
        return stats.gmean([second[k] / first[k] for k in first.keys() & second.keys()])

    names["right"] = {name: factor(name) for name in names["PAPER"]}
    exec(answer, names)
    with pytest.raises(AssertionError, match=message):
        exec(cells(NOTEBOOK, "check")[exercise], names)


# The committed table


def test_the_table_is_what_its_script_describes(script):
    about = TABLE["about"]
    assert (about["steps"], about["batch"], about["width"]) == (script.STEPS, script.BATCH, script.WIDTH)
    assert about["base"] == script.BASE and about["changes"] == json.loads(json.dumps(script.CHANGES))
    wanted = [cell for cell in script.cells(3) if cell["dataset"] != "celeba-synthetic"]
    assert len({sweeps.cell_name(cell) for cell in wanted}) == len(wanted)
    for run in TABLE["runs"]:
        cell = script.BASE | {key: run[key] for key in ("dataset", "n_d", "n_c", "seed")} | run["change"]
        assert cell in wanted
        assert 0 <= run["losses"]["lambda_c"] < 0.2 and run["distance"]["FD"] > 0 and len(run["settling"]) == run["n_c"]


def test_no_picture_is_of_portraits_of_real_people(script):
    assert TABLE["pictures"].keys() == script.PICTURES.keys() and "celeba" not in TABLE["pictures"]
    files = {file.stem.removeprefix("ablations_"): file for file in (ROOT / "data" / "pictures").glob("ablations_*")}
    assert files.keys() == TABLE["pictures"].keys()
    for name, rows in TABLE["pictures"].items():
        with Image.open(files[name]) as picture:
            assert picture.size == (9 * 64, 64 * len(rows))
        assert [(row["n_d"], row["n_c"]) for row in rows[::6]] == script.PICTURES[name]


def test_real_windows_fit_in_order_and_shuffled_ones_do_not(script, monkeypatch):
    """A bar that crosses the frame: in its own clip a window is found again exactly, forwards and backwards."""
    frames = np.zeros((80, 64, 64, 3), np.uint8)
    for t in range(80):
        frames[t, 20 + 10 * (t // 40) :, 2 + t % 40 : 12 + t % 40] = 255  # the second clip's bar is shorter
    table = np.array(
        [(0, 40, "a", 0), (40, 40, "a", 1)], [("start", int), ("length", int), ("class", "U1"), ("take", int)]
    )
    matcher = metrics.Matcher(animlab.Clips(frames, table, "bars"))
    monkeypatch.setattr(script, "matcher", lambda: matcher)
    window = frames[5:15]
    assert script.in_order([window, window[::-1]]) == pytest.approx(1)
    assert 0.2 < script.in_order([window], [0]) < 1  # from the other clip, still in order
    rng = np.random.default_rng(5)
    assert script.in_order([rng.permutation(window) for _ in range(20)]) < 0.2  # shuffled before: nothing to lose
