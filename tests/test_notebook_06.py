"""Notebook 06: what it builds by hand is the library's, its checks tell right from wrong, its table is whole."""

import json
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from lessons import answers, cells, load_script
from test_metrics_matching import walk

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


def test_the_best_match_is_the_librarys(by_hand):
    rng = np.random.default_rng(2)
    clips = walk(rng, [9, 5, 12, 7])
    for query in (walk(rng, [4]).frames, np.roll(clips.frames[10:14], 1, axis=1)):
        start, mse = by_hand.best_match(query, clips.frames, clips.clips)
        match = metrics.best_match(query, clips)
        assert start == match.start and mse == pytest.approx(match.mse, rel=1e-5)


def test_smoothness_is_the_librarys(by_hand, noise):
    found = metrics.smoothness(noise)
    assert by_hand.smoothness(noise) == pytest.approx((found.jump, found.bend))


def test_the_numbers_for_sets_are_the_librarys(by_hand):
    rng = np.random.default_rng(3)
    answers = rng.dirichlet(np.ones(6), 50)
    assert by_hand.inception_score(answers) == pytest.approx(metrics.inception_score(answers, 1).mean)
    x, y = rng.normal(size=(40, 5)), rng.normal(0.5, 1.5, size=(40, 5))
    assert by_hand.kernel_distance(x, y) == pytest.approx(metrics.kernel_distance(x, y, 1, 40).mean)
    near = by_hand.share_inside(x, y), by_hand.share_inside(y, x)
    assert near == metrics.precision_recall(x, y) and min(near) < 1


def test_what_codes_tell_is_the_librarys(by_hand):
    rng = np.random.default_rng(4)
    factors = rng.uniform(size=(500, 3))
    codes = np.stack([factors[:, 0] ** 2, factors[:, 1] + 0.1 * factors[:, 2], rng.uniform(size=500)], axis=1)
    table = by_hand.told(codes, factors)
    assert by_hand.gap(table) == pytest.approx(metrics.mig(codes, factors), abs=1e-3)
    assert table[0, 0] == pytest.approx(1) and table[2].max() < 0.3
    lines = np.corrcoef(codes.T, factors.T)[:3, 3:] ** 2
    assert by_hand.gap(lines) == pytest.approx(metrics.sap(codes, factors))


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


# The exercises: their check cells against the worked answers and against plausible wrong ones.


@pytest.mark.parametrize("exercise", range(4))
def test_an_unanswered_exercise_says_so(exercise, by_hand, capsys):
    namespace = vars(by_hand)
    exec(answers(NOTEBOOK)[exercise], namespace)
    exec(cells(NOTEBOOK, "check")[exercise], namespace)
    assert capsys.readouterr().out.startswith("Not yet: ")


@pytest.mark.parametrize("exercise", range(4))
def test_the_worked_answer_is_right(exercise, by_hand, capsys):
    assert cells(NOTEBOOK, "check") == cells(SOLUTIONS, "check"), "the solutions use other check cells"
    namespace = vars(by_hand)
    exec(answers(SOLUTIONS)[exercise], namespace)
    exec(cells(NOTEBOOK, "check")[exercise], namespace)
    assert "Right" in capsys.readouterr().out


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
    namespace = vars(by_hand)
    exec(answer, namespace)
    with pytest.raises(AssertionError, match=message):
        exec(cells(NOTEBOOK, "check")[exercise], namespace)


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
    assert {key: table["stand-in"][key] for key in script.STAND_IN} == script.STAND_IN
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
