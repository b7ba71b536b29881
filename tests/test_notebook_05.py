"""Notebook 05: what it defines is right, its checks tell right from wrong, its table is what its script describes."""

import json
import re
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pytest
from lessons import answers, cells, load_script, stored_table, stored_text
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


# What the lesson says about the table


SETS = ("faces3d", "celeba")
GRID = [(5, 2), (5, 5), (10, 5), (20, 10), (20, 20)]
PROSE = " ".join(word for cell in NOTEBOOK.cells if cell.cell_type == "markdown" for word in cell.source.split())
CANNOT = "cannot tell"


def measured(data, n_d=5, n_c=5, change=None):
    """The runs of one setting, by seed."""
    want = (data, n_d, n_c, change or {})
    found = {r["seed"]: r for r in TABLE["runs"] if (r["dataset"], r["n_d"], r["n_c"], r["change"]) == want}
    return [found[seed] for seed in sorted(found)]


def strength(run, label="c"):
    return np.mean([values[0] for name, values in run["influence"].items() if name[0] == label])


def fd(run):
    return run["distance"]["FD"]


def over_grid(measure, data):
    return np.array([[measure(run) for run in measured(data, *cell)] for cell in GRID])


def drop(first, second, measure=strength, sets=SETS):
    """How much smaller the measure is in the second setting than in the first, for each set and seed."""
    pairs = [zip(measured(data, *first), measured(data, *second), strict=True) for data in sets]
    return [measure(a) - measure(b) for both in pairs for a, b in both]


def test_every_setting_has_three_seeds():
    settings = Counter(
        (run["dataset"], run["n_d"], run["n_c"], json.dumps(run["change"], sort_keys=True)) for run in TABLE["runs"]
    )
    assert set(settings.values()) == {TABLE["about"]["seeds"]} == {3}


def test_claim_1_c_changes_more_than_d(names):
    by_label = {data: [over_grid(lambda run, x=x: strength(run, x), data) for x in "cdz"] for data in SETS}
    for c, d, _ in by_label.values():
        assert names["verdict"]((d - c).ravel()) == "does not" and (c.mean(axis=1) > d.mean(axis=1)).all()
    assert sum((c > d).sum() for c, d, _ in by_label.values()) == 28 and "in 28 of the 30 runs" in PROSE
    assert (np.argmax([x.mean(axis=1) for x in by_label["faces3d"]], axis=0) == 2).sum() == 4


def test_claim_2_outside_its_range_c_goes_on():
    outside = {data: over_grid(lambda run: np.mean(run["settling"]), data) for data in SETS}
    assert {data: round(values.mean(), 2) for data, values in outside.items()} == {"faces3d": 0.99, "celeba": 0.89}
    assert "0.89 times as far as inside on CelebA, and 0.99 times" in PROSE
    assert all(values.min() > 0.65 and values.max() < 1.2 for values in outside.values())


def test_claim_2_depends_on_data_and_networks():
    """The table in the text sums up the one above it."""
    rows = stored_table(NOTEBOOK, "outside / inside, each *c*")
    found = {name: [[float(x) for x in cell.split()] for cell in row] for name, row in rows.items()}
    for name, (papers, residual) in found.items():
        assert papers == [round(value, 2) for value in TABLE["shipped"][name]["settling"]]
        title = {"moving-mnist": "Moving MNIST", "faces3d": "3-D faces"}.get(name, name)
        spans = (f"{min(values):.2f} to {max(values):.2f}" for values in (papers, residual))
        assert "| " + " | ".join((title, *spans)) + " |" in PROSE
    assert max(found["shapes"][0]) < 0.6 < min(min(papers) for name, (papers, _) in found.items() if name != "shapes")
    assert sorted(found["faces3d"][1])[-2:] == [1.31, 1.46] and "to 1.31 and 1.46" in PROSE


def test_claim_3_pooled(names):
    pooled = {
        "n_d 5 to 10": drop((5, 5), (10, 5)),
        "n_c 2 to 5": drop((5, 2), (5, 5)),
        "n_c 10 to 20": drop((20, 10), (20, 20)),
        "both": drop((5, 2), (20, 20)),
        "actions, n_d 5 to 20": drop((5, 5), (20, 5), sets=["actions"]),
        "actions, n_c 5 to 20": drop((20, 5), (20, 20), sets=["actions"]),
    }
    unsure = {name for name, x in pooled.items() if names["verdict"](x) == CANNOT}
    assert unsure == {"n_d 5 to 10", "actions, n_d 5 to 20"}
    assert {names["verdict"](x) for name, x in pooled.items() if name not in unsure} == {"holds"}
    assert min(pooled["n_d 5 to 10"]) < 0 < max(pooled["n_d 5 to 10"]) and max(pooled["actions, n_d 5 to 20"]) < 0


def test_claim_3_each_set_by_itself(names):
    steps = [((5, 5), (10, 5)), ((5, 2), (5, 5)), ((20, 10), (20, 20)), ((5, 2), (20, 20))]
    said = {data: [names["verdict"](drop(*step, sets=[data])) for step in steps] for data in SETS}
    assert said == {"faces3d": [CANNOT, CANNOT, "holds", "holds"], "celeba": [CANNOT, CANNOT, CANNOT, "holds"]}


def test_claim_3_holds_without_the_run_that_collapsed(names):
    first, second, third = measured("celeba", 5, 5)
    assert fd(second) > 1.9 * max(fd(first), fd(third)) and strength(second) < 0.5 * strength(third)
    fewer = drop((5, 2), (5, 5))
    assert np.argmax(fewer) == 4 and names["verdict"](np.delete(fewer, 4)) == "holds"  # the second pair of CelebA


def test_claim_3_twenty_d_and_five_c_freeze_nothing():
    cells = [(20, 5), (5, 5), (20, 10), (20, 20)]
    values = np.array([[strength(run) for run in measured("actions", *cell)] for cell in cells])
    assert (np.argmax(values, axis=0) == 0).all()


def test_claim_4_is_within_chance(names):
    asked = [("faces3d", (20, 10), (5, 5)), ("faces3d", (20, 20), (5, 5))]
    asked += [("celeba", other, (20, 10)) for other in ((5, 5), (5, 2), (20, 20))]
    better = [drop(worse, best, fd, [data]) for data, worse, best in asked]
    assert [names["verdict"](x) for x in better] == [CANNOT] * 5
    assert [names["verdict"](x[:2]) for x in better[3:]] == ["does not", "holds"]  # what two seeds said
    for data, factor in (("faces3d", 2.8), ("celeba", 4.6)):
        values, paper = over_grid(fd, data), names["PAPER"][data]
        assert values.min() > 20 and fd(TABLE["real"][data]) < 1
        assert abs(stats.spearmanr(values.mean(axis=1), paper).statistic) < 0.5
        assert round((values.max(axis=1) / values.min(axis=1)).max(), 1) == factor
        assert 2.5 < max(paper) / min(paper) < 2.6 < factor


def test_claim_5_sweeps_of_faces_go_one_way_more_strictly_than_clips():
    sweeps = over_grid(lambda run: run["one_way"], "faces3d")
    assert TABLE["real"]["faces3d"]["one_way"] < 0.9 < 0.97 < sweeps.min()


def test_claim_5_only_the_residual_networks_are_in_the_order_of_motion():
    short = [run["in_order"] for run in TABLE["runs"] if "in_order" in run]
    full, real = TABLE["shipped"]["actions"], TABLE["real"]["actions"]["in_order"]
    assert 0 <= min(short) < np.mean(full["in_order"]) < max(short) < 0.03 and max(full["in_order"]) < 0.03
    assert full["steps"] * 64 == 14 * TABLE["about"]["steps"] * TABLE["about"]["batch"]
    *_, saved = stored_table(NOTEBOOK, "model of the actions")["**`actions`, residual networks**"]
    residual = [float(value) for value in saved.split()]
    assert max(3 * max(short), 0.08) < min(residual) <= max(residual) < 0.22 and 0.15 < real < 0.2
    assert f"saves {min(residual):.0%} to {max(residual):.0%}".replace("%", " %").replace(" % to", " to") in PROSE


def test_the_recipe_matters_more_than_the_grid(names):
    runs = {name: measured("actions", change=change) for name, change in TABLE["about"]["changes"].items()}
    runs = {name: found for name, found in runs.items() if found}
    here, far = ({name: np.array([f(run) for run in found]) for name, found in runs.items()} for f in (strength, fd))
    others = json.loads((ROOT / "data" / "results" / "continuous_labels.json").read_text(encoding="utf-8"))["runs"]

    def stand_in(variant):
        kept = [run["influence"] for run in others if run["variant"] == variant]
        return np.mean([np.mean([v["strength"] for k, v in found.items() if k[0] == "c"]) for found in kept])

    for share in (lambda x: here[x].mean() / here["stable"].mean(), lambda x: stand_in(x) / stand_in("stable")):
        assert share("paper") < 0.15 and 0.6 < share("λ_c = 1") < 0.85
    assert stand_in("plain view, n_z = 62, λ_c = 1") < 0.5 * stand_in("stable")
    grid = {data: over_grid(strength, data).mean(axis=1) for data in SETS}
    assert all(0.35 < values[-1] / values[0] < 0.7 for values in grid.values())
    lost = here["stable"].mean() - here["paper"].mean()
    assert 0.2 < lost < 0.35 < grid["celeba"][0] - grid["celeba"][-1]
    assert far["paper"].min() > 2 * max(values.max() for name, values in far.items() if name != "paper")
    apart = {name: values - far["stable"] for name, values in far.items()}
    assert apart["n_z = 2"].max() < 0 < apart["n_z = 62"].min()
    assert (here["silhouette"] - here["stable"]).min() > 0.03
    assert far["silhouette"].min() < 45 < 65 < far["silhouette"].max()
    assert names["verdict"](here["no EMA"] - here["stable"]) == CANNOT
    assert names["verdict"](apart["no EMA"]) == names["verdict"](apart["silhouette"]) == CANNOT


def test_most_verdicts_are_more_than_chance():
    (made,) = re.findall(r"^(\d+) tests above", stored_text(NOTEBOOK, "tests above"), re.M)
    said = {word: int(count) for word, count in re.findall(r"'([a-z ]+)': (\d+)", stored_text(NOTEBOOK, "tests above"))}
    assert sum(said.values()) == int(made) and said["holds"] + said["does not"] > 3 * int(made) / 10
