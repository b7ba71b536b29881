"""Notebook 06: what it builds by hand is the library's, its checks tell right from wrong, its table is whole."""

import json
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from lessons import answers, attempt, cells, load_script, stored_table

import animlab
from animlab import metrics
from animlab.metrics.matching import windows

ROOT = Path(__file__).parent.parent
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "06_metrics.ipynb", as_version=4)
SOLUTIONS = nbformat.read(ROOT / "notebooks" / "solutions" / "06_metrics.ipynb", as_version=4)


@pytest.fixture
def by_hand():
    """What the notebook's own definition cells define."""
    from scipy.ndimage import gaussian_filter

    names = {"np": np, "animlab": animlab, "metrics": metrics, "windows": windows, "gaussian_filter": gaussian_filter}
    for source in cells(NOTEBOOK, "definition"):
        exec(source, names)
    return SimpleNamespace(**names)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def test_psnr_is_the_librarys(by_hand, noise):
    assert by_hand.psnr(noise[0], noise[1]) == pytest.approx(metrics.psnr(noise[:1], noise[1:2])[0])
    assert by_hand.psnr(noise[0], noise[0]) == metrics.psnr(noise[:1], noise[:1])[0] == np.inf


def test_the_frechet_distance_is_the_librarys(by_hand):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.normal(1, 2, size=(40, 5)) @ rng.normal(size=(5, 5))
    assert by_hand.frechet_distance(x, y) == pytest.approx(metrics.frechet_distance(x, y), rel=1e-6)


def test_the_score_is_the_librarys(by_hand):
    assert by_hand.animation_score(18.92, 0.68, 5.22) == metrics.animation_score(18.92, 0.68, 5.22)
    assert by_hand.animation_score(9, 0.5, 0.3, 7, 2) == metrics.animation_score(9, 0.5, 0.3, 7, 2)


def test_no_few_samples_get_under_the_rank_floor_and_the_best_ones_reach_it(by_hand):
    """The best n samples: their mean is right, and their covariance is the real one in its n - 1 widest directions."""
    rng = np.random.default_rng(1)
    data = (
        rng.normal(size=(4000, 8)) * np.array([5, 4, 3, 2, 1.5, 1, 0.7, 0.5]) @ np.linalg.qr(rng.normal(size=(8, 8)))[0]
    )
    known = metrics.Statistics.of(data)
    for n in (3, 5, 8):
        floor = by_hand.rank_floor(known.cov, n)
        picks = [data[rng.choice(len(data), n, replace=False)] for _ in range(100)]
        assert min(metrics.frechet_distance(pick, known) for pick in picks) > floor
        values, vectors = np.linalg.eigh(known.cov)
        simplex = np.linalg.qr(np.concatenate([np.ones((n, 1)), rng.normal(size=(n, n - 1))], axis=1))[0][:, 1:]
        widest = vectors[:, ::-1][:, : n - 1] * np.sqrt(values[::-1][: n - 1])
        best = known.mean + np.sqrt(n - 1) * simplex @ widest.T
        assert metrics.frechet_distance(best, known) == pytest.approx(floor, rel=1e-6)
    assert by_hand.rank_floor(known.cov, 9) == pytest.approx(0)


def test_the_numbers_for_sets_are_the_librarys(by_hand):
    rng = np.random.default_rng(3)
    answers = rng.dirichlet(np.ones(6), 50)
    assert by_hand.inception_score(answers) == pytest.approx(metrics.inception_score(answers, 1).mean)
    x, y = rng.normal(size=(40, 5)), rng.normal(0.5, 1.5, size=(40, 5))
    assert by_hand.kernel_distance(x, y) == pytest.approx(metrics.kernel_distance(x, y, 1, 40).mean)
    near = by_hand.share_inside(x, y), by_hand.share_inside(y, x)
    assert near == metrics.precision_recall(x, y) and min(near) < 1


def test_defects_are_what_they_are_called(by_hand, noise):
    clip = noise // 2 + 40
    for defect in ("noise", "blur", "shift", "brighter", "less contrast"):
        np.testing.assert_array_equal(by_hand.spoilt(clip, defect, 0.0), clip)
        errors = [metrics.psnr(by_hand.spoilt(clip, defect, s), clip).mean() for s in (0.2, 0.6)]
        assert np.isfinite(errors).all() and (errors[0] > errors[1] or defect == "shift")  # of noise, any shift is far
    real = noise[None].repeat(3, axis=0) // np.array([1, 2, 4])[:, None, None, None, None]
    real = real.astype(np.uint8)
    rows = by_hand.planted(real, real[::-1], np.random.default_rng(0))
    assert all(row.shape == real.shape and row.dtype == np.uint8 for row in rows.values())
    assert sorted(map(bytes, rows["wrong order"][0])) == sorted(map(bytes, real[0]))
    assert not np.array_equal(rows["wrong order"], real)
    assert (rows["frozen"] == rows["frozen"][:, :1]).all() and (rows["one clip again and again"] == real[:1]).all()


# What the text says of the paper's tables, of the committed results, and of what the lesson itself has stored.


def results(name):
    return json.loads((ROOT / "data" / "results" / name).read_text(encoding="utf-8"))


@pytest.fixture
def printed(by_hand):
    """The rows of the paper's Tab. 4 and 5, as the lesson has them."""
    (source,) = (cell.source for cell in NOTEBOOK.cells if cell.source.startswith("PRINTED = "))
    names = {}
    exec(source.partition("\nheads = ")[0], names)
    return names["PRINTED"]


def test_the_papers_scores(by_hand, printed):
    again = {name: by_hand.animation_score(*row[:3]) for name, row in printed.items()}
    off = [again[name] - row[3] for name, row in printed.items()]
    assert off[:2] == pytest.approx([1.06, -0.58], abs=0.006) and max(map(abs, off[2:])) < 0.035
    four, ours = again["Tab. 4, MoCoGAN"], again["Tab. 4, the paper's"]
    assert (round(four, 2), round(ours, 2), round(ours - four, 2)) == (28.16, 32.71, 4.55)
    assert 17.36 + 20 * 0.54 > 27.1  # before FID adds anything


def test_what_alpha_and_beta_decide(by_hand, printed):
    rows = {name: row[:3] for name, row in printed.items() if "Tab. 4" not in name}
    best, second, low, z1 = (rows[k] for k in ("n_d 20, n_c 20", "TGAN z1, z2", "n_d 10, n_c 20", "TGAN z1"))
    assert by_hand.animation_score(*best) - by_hand.animation_score(*second) == pytest.approx(7.75, abs=0.005)
    assert 1 / best[2] - 1 / second[2] == pytest.approx(5.30, abs=0.005)
    assert pytest.approx(0.35, abs=0.005) == (1 / 0.115 - 1 / 0.125) / 2
    assert by_hand.animation_score(*z1, 20, 1.68) == pytest.approx(by_hand.animation_score(*low, 20, 1.68), abs=0.005)
    orders = [sorted(rows, key=lambda name: by_hand.animation_score(*rows[name], *pair)) for pair in ((20, 1), (0, 0))]
    assert orders[0][1:3] == orders[1][1:3][::-1] == ["n_d 10, n_c 20", "TGAN z1, z2"]


def test_the_text_reads_the_table_of_scores_aright():
    table = results("animation_scores.json")

    def mean(data, who, key):
        return np.mean([row[key] for row in table["match"] if (row["data"], row["who"]) == (data, who)])

    def people(who, key):
        return mean("actions", who, key)

    assert 0 < people("real", "psnr") - people("shipped", "psnr") < 0.4
    assert 0 < people("real", "ssim") - people("shipped", "ssim") < 0.07
    assert people("shipped", "fd") / people("real", "fd") == pytest.approx(5, abs=0.5)
    for key in ("psnr", "ssim", "score"):
        assert people("shipped", key) > people("held out", key) > people("noise", key)
    assert people("noise", "fd") > people("held out", "fd") > people("shipped", "fd")
    assert people("real", "fd_alone") > people("shipped", "fd_alone")
    assert people("real", "fd_alone") == pytest.approx(people("noise", "fd_alone"), rel=0.01)
    digits = {key: mean("moving-mnist", "real", key) - mean("moving-mnist", "shipped", key) for key in ("psnr", "ssim")}
    assert 0 < digits["psnr"] < 0.6 and 0 < digits["ssim"] < 0.035
    assert mean("moving-mnist", "shipped", "psnr") - 10.17 == pytest.approx(3.7, abs=0.05)
    fd = mean("moving-mnist", "shipped", "fd") / mean("moving-mnist", "real", "fd")
    assert fd == pytest.approx(17, abs=0.5)
    redrawn = {(row["who"], row["clips"]): row for row in table["redraw"] if row["data"] == "actions"}
    assert all(row["psnr"] < row["still_psnr"] - 3 for row in redrawn.values())
    digits = [row for row in table["redraw"] if row["data"] == "moving-mnist"]
    assert all(row["ssim"] > row["still_ssim"] and row["psnr"] < row["still_psnr"] for row in digits)
    orders = [row["order"] for (who, _), row in redrawn.items() if who != "shipped shapes"]
    assert orders == pytest.approx([0.43] * 3, abs=0.06)
    assert all(row["nearer"] == 1 and row["median"] == 0 for row in table["copying"] if row["who"] == "copies")


def test_the_text_reads_the_table_of_defects_aright():
    rows = results("metrics_defects.json")["rows"]

    def of(key, defect, data="moving-mnist"):
        values = [row[key] for row in rows if (row["data"], row["defect"]) == (data, defect)]
        return np.mean([np.inf if value is None else value for value in values])

    real, one = "real, held-out takes", "one clip only"
    assert of("precision", real, "actions") == of("recall", real, "actions") == 0
    assert of("FD", "noise 5 %", "actions") < of("FD", real, "actions")
    assert all(of("FD", name) > 1.5 * of("FD", real) for name in ("blur 1 px", "noise 5 %", "frozen", one))
    assert abs(of("FD", "wrong order") - of("FD", real)) < 1e-6 and of("psnr", "blur 2 px") > of("psnr", real) + 2
    assert abs(of("recall", "a quarter of the classes dropped") - of("recall", real)) < 0.05


def test_the_text_reads_the_table_of_samples_aright():
    rows = results("metrics_samples.json")["rows"]
    wide = {row["N"]: round(row["FD"], 2) for row in rows if row["data"] == "normal, 2048 features"}
    assert [wide[n] for n in (5, 10, 100, 2000)] == [2.12, 1.60, 0.87, 0.17]


def test_the_text_reads_the_table_of_inversions_aright():
    rows = results("inversion.json")["rows"]
    db = {(row["pictures"], row["model"]): row["psnr"] for row in rows}
    models = {row["model"] for row in rows}
    own = [db["its own drawings", name] for name in models]
    new = [db["new frames", name] - db["chance: nearest training frame", name] for name in models]
    other = [db["frames of other sets", name] for name in models]
    for values, (least, most) in ((own, (24, 53)), (new, (0.8, 2.8)), (other, (9, 15))):
        assert (min(values), max(values)) == (pytest.approx(least, abs=0.5), pytest.approx(most, abs=0.5))
    assert max(new) < 2.85 and min(new) > 0.75


def test_the_text_quotes_what_the_lesson_has_stored():
    def of(head):
        return {name: [float(x.split()[0]) for x in row] for name, row in stored_table(NOTEBOOK, head).items()}

    contest = of("clips")
    assert contest["drawn by the model"][0] > contest["filmed"][0] > contest["grey"][0] > contest["noise"][0]
    assert contest["grey"][0] > 18.92 and contest["filmed"][1] - contest["grey"][1] < 0.11
    curve, n = of("N"), len(stored_table(NOTEBOOK, "N")["floor"])
    assert curve["floor"][1] > curve["drawn"][n - 1] and curve["real"][1] > 5 * curve["drawn"][n - 1]
    assert all(real > drawn for real, drawn in zip(curve["real"][:2], curve["drawn"]))
    assert all(real > floor for real, floor in zip(curve["real"], curve["floor"]))
    sets = of("set")
    assert sets["one action of the four"][2] > 0.9 > 0.3 > sets["one action of the four"][3]
    assert sets["one real frame"][4] < sets["noise"][4] and sets["drawn"][4] < sets["real, with noise"][4]


# What each defect does to each number, blur, noise, wrong order, frozen, one clip, copies; "·" is no number.
VERDICTS = {
    "PSNR": "✗✓––✓✗", "SSIM": "–✓––✓✗", "FD": "✓–––✓✗", "score": "–✓––✓✗", "nearer to data": "–✗––✗✓",
    "motion": "✓✗✗✓––", "one way": "––✓·✗–",
}  # fmt: skip


def test_the_text_says_which_number_sees_which_defect():
    texts = (str(output.get("data", "")) for cell in NOTEBOOK.cells for output in cell.get("outputs", []))
    (found,) = (text for text in texts if "nearer to data" in text)
    rows = [line.split(" | ") for line in found.split("\\n")[3:]]
    for column, expected in VERDICTS.items():
        place = 1 + list(VERDICTS).index(column)
        marks = [next((mark for mark in "✓✗–" if mark in row[place]), "·") for row in rows]
        assert "".join(marks) == expected, column


# The exercises: their check cells against the worked answers and against plausible wrong ones.


@pytest.mark.parametrize("exercise", range(4))
def test_an_unanswered_exercise_says_so(exercise, by_hand):
    assert attempt(vars(by_hand), answers(NOTEBOOK)[exercise], cells(NOTEBOOK, "check")[exercise]).startswith(
        "Not yet: "
    )


@pytest.mark.parametrize("exercise", range(4))
def test_the_worked_answer_is_right(exercise, by_hand):
    assert cells(NOTEBOOK, "check") == cells(SOLUTIONS, "check"), "the solutions use other check cells"
    assert "Right" in attempt(vars(by_hand), answers(SOLUTIONS)[exercise], cells(NOTEBOOK, "check")[exercise])


FLAT = "def order_score(clip):\n    x = clip.reshape(len(clip), -1).astype(float)\n    "
WRONG = [
    (0, "largest_psnr = lambda h, w, c: np.inf", "Identical pictures", "infinity, which is for identical pictures"),
    (0, "largest_psnr = lambda h, w, c: 255.0", "no two different pictures", "the peak, as the paper has it"),
    (0, "largest_psnr = lambda h, w, c: 10 * np.log10(255**2)", "too low", "every value one level off"),
    (0, "largest_psnr = lambda h, w, c: 10 * np.log10(255**2 * h * w)", "too low", "all channels of one pixel off"),
    (1, "needed_fid = lambda s, p, q: s - p - 20 * q", "made with FID", "β / FID, not FID"),
    (1, "needed_fid = lambda s, p, q: 1 / (s - p - q)", "made with FID", "α forgotten"),
    (1, "needed_fid = lambda s, p, q: 1 / (s - p - 20 * q)", "no FID can", "a negative FID"),
    (1, "needed_fid = lambda s, p, q: abs(1 / (s - p - 20 * q))", "no FID can", "its size"),
    (2, "fd_infinity = lambda n, f: np.polyfit(n, f, 1)[1]", "should give 3", "a line in N"),
    (2, "fd_infinity = lambda n, f: f[-1]", "should give 3", "the last value"),
    (2, "fd_infinity = lambda n, f: np.polyfit(1 / n, f, 1)[0]", "should give 3", "the slope"),
    (2, "fd_infinity = lambda n, f: f[1] - (f[0] - f[1]) / (1 / n[0] - 1 / n[1]) / n[1]", "least-squares",
     "the line through two points"),
    (3, FLAT + "return x.var(axis=0).mean()", "wanted at least", "variance over time, blind to order"),
    (3, FLAT + "return abs(x[-1] - x[0]).mean()", "wanted at least", "the ends alone"),
    (3, FLAT + "return abs(np.diff(x, axis=0)).mean()", "brightness", "the step, in grey levels"),
    (3, FLAT + "return -abs(np.diff(x, axis=0)).mean() / x.std(axis=0).mean()", "wanted at least",
     "the wrong way round"),
]  # fmt: skip


@pytest.mark.parametrize("exercise, answer, message, how", WRONG, ids=[row[3] for row in WRONG])
def test_a_wrong_answer_is_turned_down(exercise, answer, message, how, by_hand):
    with pytest.raises(AssertionError, match=message):
        attempt(vars(by_hand), answer, cells(NOTEBOOK, "check")[exercise])


# The committed table.


@pytest.fixture(scope="module")
def script():
    return load_script("tests/benchmarks/animation_scores.py")


def test_the_table_is_what_its_script_describes(script):
    table = json.loads((ROOT / "data" / "results" / script.FILE).read_text(encoding="utf-8"))
    assert (table["seeds"], table["animations of a row"], table["of noise"]) == (
        script.SEEDS,
        script.COUNT,
        script.NOISE,
    )
    assert (table["clips redrawn"], table["steps"]) == (script.CLIPS, script.STEPS)
    assert {key: table["held out"][key] for key in script.HELD_OUT} == script.HELD_OUT
    for row in table["match"]:
        assert row["score"] == pytest.approx(metrics.animation_score(row["psnr"], row["ssim"], row["fd"]), rel=1e-4)
        assert row["animations"] == (script.NOISE if row["who"] == "noise" else script.COUNT)
        length, real_frames = script.SETS[row["data"]]
        assert row["frames"] == script.ANIMATIONS * length and row["real_frames"] in (5290, real_frames)
    rows = [(row["data"], row["who"], row["seed"]) for row in table["match"]]
    for data, who in {row[:2] for row in rows}:
        assert [row for row in rows if row[:2] == (data, who)] == [(data, who, seed) for seed in range(script.SEEDS)]
    assert {key: table["synthetic"][key] for key in script.SYNTHETIC} == script.SYNTHETIC
    assert table["animations of FD"] == script.ANIMATIONS >= 200
    for row in table["redraw"]:
        assert (
            np.mean(row["each_psnr"]) == pytest.approx(row["psnr"], rel=1e-4) and len(row["each_psnr"]) == script.CLIPS
        )


def test_held_out_clips_are_of_other_recordings(script):
    train, test = script.split()
    assert (
        not set(train.clips["take"]) & set(test.clips["take"]) and len(train) + len(test) == 5290
    ) or "synthetic" in train.name
