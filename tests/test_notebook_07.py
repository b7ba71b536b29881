"""Notebook 07: its checks tell right from wrong, and its table holds every run of the fight with what was measured."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from lessons import answers, cells, stored_table
from PIL import Image

from animlab import metrics
from animlab.baselines.comparison import BENCHMARKS

ROOT = Path(__file__).parent.parent
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "07_comparisons.ipynb", as_version=4)
SOLUTIONS = nbformat.read(ROOT / "notebooks" / "solutions" / "07_comparisons.ipynb", as_version=4)
TABLE = json.loads((ROOT / "data" / "results" / "comparisons.json").read_text(encoding="utf-8"))
CONTEST = json.loads((ROOT / "data" / "results" / "long_comparison.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def names():
    """What a check cell finds."""

    def mean(data, who, key):
        return float(np.mean([row[key] for row in TABLE["runs"] if (row["data"], row["who"]) == (data, who)]))

    actions, _ = BENCHMARKS["actions"].load()
    found = {"np": np, "torch": torch, "metrics": metrics, "BENCHMARKS": BENCHMARKS, "table": TABLE, "mean": mean}
    return found | {"actions": actions, "train_frames": actions.frames}


def answered(names, exercise, answer):
    namespace = dict(names)
    exec(answer, namespace)
    exec(cells(NOTEBOOK, "check")[exercise], namespace)


def test_the_checks_are_those_of_the_worked_answers():
    assert cells(SOLUTIONS, "check") == cells(NOTEBOOK, "check")


@pytest.mark.parametrize("exercise", range(3))
def test_unanswered_exercises_say_so(names, exercise, capsys):
    answered(names, exercise, answers(NOTEBOOK)[exercise])
    assert capsys.readouterr().out.startswith("Not yet")


@pytest.mark.parametrize("exercise", range(3))
def test_the_worked_answer_is_right(names, exercise, capsys):
    answered(names, exercise, answers(SOLUTIONS)[exercise])
    assert "Right" in capsys.readouterr().out


SVD = "def clip_values(w):\n    u, s, v = torch.linalg.svd(w, full_matrices=False)\n    return (u * {}) @ v"
HOURS = "hours = {} * table['seconds'] / mean('moving-mnist', 'tgan', 'steps') / {}\n"
OURS = "seconds_of_ours = 1e5 * {} * table['seconds'] / mean('moving-mnist', 'stable-20-20', 'steps')"
WRONG = [
    (0, "cheat = train_frames[:9]", r"It is uint8 \(9", "nine frames"),
    (0, "cheat = train_frames[:10].copy(); cheat[0, 0, 0] += 1", "It moves", "a real clip"),
    (0, "cheat = np.full((10, 64, 64, 3), 128, np.uint8)", "Its psnr", "grey"),
    (0, "cheat = np.repeat(train_frames[:1], 10, axis=0) / 255", "It is float64", "numbers from 0 to 1"),
    (1, SVD.format("s.clamp(min=1)"), "Singular values", "the small ones cut"),
    (1, SVD.format("s / s.max()"), "Singular values", "all divided: spectral normalisation"),
    (1, "def clip_values(w): return w.clamp(-1, 1)", "Singular values", "numbers cut instead"),
    (1, "def clip_values(w):\n    return torch.eye(*w.shape) * min(1, torch.linalg.svdvals(w).max())",
     "directions|Singular", "stretching without turning"),
    (2, HOURS.format("1e5", "60") + OURS.format("8"), "another number", "minutes"),
    (2, HOURS.format("1e5", "3600") + OURS.format("1"), "64 here", "as many steps, not frames"),
    (2, HOURS.format("1e5 * 32", "3600") + OURS.format("8"), "another number", "clips for steps"),
]  # fmt: skip


@pytest.mark.parametrize("exercise, answer, message, how", WRONG, ids=[row[3] for row in WRONG])
def test_a_wrong_answer_is_turned_down(names, exercise, answer, message, how):
    with pytest.raises((AssertionError, RuntimeError), match=message):
        answered(names, exercise, answer)


def test_the_table_holds_everybody_with_all_seeds():
    found = [(row["data"], row["who"], row["seed"]) for row in TABLE["runs"]]
    everybody = [(data, name) for data, contest in BENCHMARKS.items() for name in [*contest.rivals, "real"]]
    assert sorted(found) == sorted((*who, seed) for who in everybody for seed in range(TABLE["seeds"]))
    for row in TABLE["runs"]:
        assert row["score"] == pytest.approx(metrics.animation_score(row["psnr"], row["ssim"], row["fd"]), rel=1e-3)
        if row["who"] != "real":
            assert row["steps"] > 0 and abs(row["seconds"] - TABLE["seconds"]) < 3
            assert [point["seconds"] for point in row["curve"]] == TABLE["marks"]


def test_the_longer_fight_begins_where_the_short_one_ended():
    first = {(row["data"], row["who"]): row for row in TABLE["runs"] if row["seed"] == 0}
    pairs = {(row["data"], row["who"]) for row in TABLE["long"]}
    assert len(pairs) == 4
    for pair in pairs:
        marks = [row for row in TABLE["long"] if (row["data"], row["who"]) == pair]
        assert [row["seconds"] for row in marks] == [TABLE["seconds"] * times for times in (1, 2, 4, 8)]
        assert all(marks[0][key] == first[pair][key] for key in ("steps", "psnr", "fd", "score", "motion"))
        for row in marks:
            assert row["score"] == pytest.approx(metrics.animation_score(row["psnr"], row["ssim"], row["fd"]), rel=1e-3)


@pytest.mark.parametrize("data", BENCHMARKS)
def test_the_pictures_hold_four_clips_of_everybody(data):
    longer = {f"{row['who']}_long" for row in TABLE["long"] if row["data"] == data}
    for name in [*BENCHMARKS[data].rivals, "real", *longer]:
        with Image.open(ROOT / "data" / "results" / "comparisons" / f"{data}_{name}.jpg") as picture:
            assert picture.size == (16 * 64, 4 * 64)


# What the lesson says about the table


ACTIONS, DIGITS = BENCHMARKS["actions"].rivals, BENCHMARKS["moving-mnist"].rivals
OURS_ON_DIGITS = ("stable-10-20", "stable-20-20")


def each(data, who, key):
    """One value for each seed."""
    found = {row["seed"]: row[key] for row in TABLE["runs"] if (row["data"], row["who"]) == (data, who)}
    return np.array([found[seed] for seed in sorted(found)])


def longer(data, who):
    """What was measured at each mark of the training that went on."""
    return [row for row in TABLE["long"] if (row["data"], row["who"]) == (data, who)]


def test_four_minutes_are_few_steps_for_the_baselines():
    steps = {who: each("moving-mnist", who, "steps").mean() for who in ("tgan", "tgan-z1", "stable-20-20")}
    assert 300 < steps["tgan"] < 350 and 900 < steps["tgan-z1"] < 950
    assert 14 < steps["stable-20-20"] / steps["tgan"] < 17
    assert 0.4 < steps["tgan"] * 512 / (steps["stable-20-20"] * 64) < 0.6
    assert 18 < 100_000 * TABLE["seconds"] / steps["tgan"] / 3600 < 24  # hours of TGAN as published, at this width
    moco = each("actions", "mocogan", "steps").mean()
    assert 1.8 < each("actions", "stable", "steps").mean() / moco < 2.2 and 45 < 100_000 / moco < 55
    for data, contest in BENCHMARKS.items():
        for who in contest.rivals:
            counts = each(data, who, "steps")
            assert counts.max() < 1.125 * counts.min()


def test_stable_leads_by_the_papers_numbers_on_the_actions():
    ours = {key: each("actions", "stable", key) for key in ("psnr", "ssim", "fd", "score")}
    for who in ACTIONS.keys() - {"stable"}:
        assert ours["psnr"].min() > each("actions", who, "psnr").max()
        assert (ours["score"] > each("actions", who, "score")).all()
        assert (ours["fd"] < each("actions", who, "fd")).all()
    assert ours["ssim"].min() < each("actions", "mocogan", "ssim").max()  # no clear winner
    assert each("actions", "paper", "score").max() < each("actions", "mocogan-32", "score").min()
    assert ours["fd"].max() < 30 < 45 < each("actions", "real", "fd").min()


def test_on_the_digits_only_ours_have_started():
    scores = {who: each("moving-mnist", who, "score") for who in DIGITS}
    assert max(scores[who].max() for who in ("tgan-z1", "tgan", "paper")) < 8 < 28 < scores["stable-20-20"].min()
    assert scores["stable-10-20"].min() > scores["stable-20-20"].max()
    assert (each("moving-mnist", "stable-10-20", "psnr") > each("moving-mnist", "real", "psnr")).all()


def test_motion_notices_what_was_done_to_clips():
    rows = stored_table(NOTEBOOK, "distance to real clips")
    clips, motion = ({name: float(row[k]) for name, row in rows.items()} for k in range(2))
    assert 1.3 < motion["shuffled"] / motion["other real clips"] < 1.8
    assert motion["frozen"] > 2 * motion["other real clips"] and clips["shuffled"] < 1.1 * clips["other real clips"]
    said = "from {other real clips:.2f} to {shuffled:.2f} when the frames are in the wrong order, and to {frozen:.2f}"
    assert any(said.format(**motion) in " ".join(cell.source.split()) for cell in NOTEBOOK.cells)


def test_motion_prefers_mocogan():
    motion = {who: each("actions", who, "motion") for who in [*ACTIONS, "real"]}
    assert motion["real"].min() > 2.0 and motion["real"].max() < 2.3 and motion["mocogan-32"].min() > 2.2
    assert motion["mocogan-32"].max() < motion["stable"].min() and motion["stable"].min() > 2.7
    assert motion["stable"].max() < 3.1 and motion["paper"].min() > 3.0 and motion["paper"].max() < 3.2
    assert 2.4 < motion["mocogan"].min() < 4.9 < motion["mocogan"].max() < 5
    for who in ("mocogan", "mocogan-32"):
        assert each("actions", "stable", "kid").max() < each("actions", who, "kid").min()
    assert all(each("actions", who, "precision").max() < 0.001 for who in motion)
    assert all(0.7 < value < 0.9 for value in each("actions", "real", "seen_motion"))
    for who in OURS_ON_DIGITS:
        assert each("moving-mnist", who, "motion").max() < 7.3 < 11 < each("moving-mnist", "tgan", "motion").min()
        assert each("moving-mnist", who, "precision").min() > 0.3 and each("moving-mnist", who, "recall").max() < 0.01


def test_mocogan_redraws_better_by_ssim_and_nobody_copies():
    psnrs, ssims = (
        each("actions", "mocogan", key) - each("actions", "stable", key) for key in ("redraw_psnr", "redraw_ssim")
    )
    assert ssims.min() > 0 and psnrs.min() < 0 < psnrs.max()
    for who in ACTIONS:
        assert (each("actions", who, "still_psnr") - each("actions", who, "redraw_psnr")).min() > 4
        assert each("actions", who, "nearer").max() < 0.2
    for who in OURS_ON_DIGITS:
        gain = each("moving-mnist", who, "redraw_ssim") - each("moving-mnist", who, "still_ssim")
        nearer = each("moving-mnist", who, "nearer")
        assert gain.min() > 0.05 and nearer.min() > 0.2 and nearer.max() < 0.8


def test_labels_are_found_nearly_as_well_as_told():
    agreement = {who: each("actions", who, "nmi") for who in ACTIONS}
    for who, least, most in (("stable", 0.4, 0.6), ("mocogan", 0.45, 0.6), ("mocogan-32", 0.5, 0.7)):
        assert least < agreement[who].min() and agreement[who].max() < most
    assert (agreement["mocogan-32"] > agreement["stable"]).all() and agreement["paper"].max() == 0
    assert max(each("actions", who, "nmi_by_chance").max() for who in ACTIONS) < 0.2
    strength = each("actions", "stable", "strength")
    assert strength.min() > 0.35 and strength.max() < 0.45 and each("actions", "paper", "strength").max() < 0.01


def test_the_curves_of_the_score():
    def curve(data, who):
        return np.array([[point["score"] for point in points] for points in each(data, who, "curve")])

    stable, moco, paper = (curve("actions", who) for who in ("stable", "mocogan", "paper"))
    assert stable[:, 0].min() > moco[:, 1].max() and (moco[:, 3] > moco[:, 2]).all()
    assert (paper[:, 3] < paper[:, 0]).all()
    assert np.ptp(curve("moving-mnist", "tgan"), axis=1).max() < 0.5
    ours = curve("moving-mnist", "stable-20-20")
    assert ours[:, 0].max() < 19 and ours[:, 3].min() > 28


def test_half_an_hour_reverses_the_order_on_the_actions():
    moco, ours = longer("actions", "mocogan"), longer("actions", "stable")
    assert moco[0]["score"] < ours[0]["score"] and all(m["score"] > o["score"] for m, o in zip(moco[1:], ours[1:]))
    assert moco[0]["score"] == each("actions", "mocogan", "score").min()  # its weakest seed
    last, our_last = moco[-1], ours[-1]
    assert last["score"] - our_last["score"] < 0.6 and last["ssim"] > our_last["ssim"] + 0.04
    assert abs(last["psnr"] - our_last["psnr"]) < 0.3 and our_last["fd"] < 9 < 40 < last["fd"]
    assert ours[0]["motion"] < 3.1 and our_last["motion"] > 8 and 2.6 < last["motion"] < moco[0]["motion"] < 2.8
    assert max(row["motion"] for row in moco) < 4
    for key in ("redraw_psnr", "redraw_ssim"):
        assert our_last[key] > ours[0][key] and our_last[key] > max(row[key] for row in moco)
    for key, sign in {"psnr": 1, "ssim": 1, "fd": -1, "score": 1, "kid": -1, "clips": -1, "recall": 1}.items():
        assert sign * our_last[key] > sign * ours[0][key]


def of_seeds(who, *keys):
    """What was measured of the modern pair's contest after its last mark, a number for each seed."""
    found = [row for row in CONTEST["real"] + CONTEST["runs"] if row["who"] == who]
    found = [row for row in found if row["seconds"] in (None, CONTEST["marks"][-1])]
    for key in keys:
        found = [row[key] for row in found]
    return np.array(found)


def test_the_two_judges_of_the_modern_pair_disagree():
    own, other = "animlab", "efficientnet-lite0"
    moco, ours = (of_seeds(who, own, "fd") for who in ("mocogan", "modern"))
    assert (ours < moco).all() and ours.min() > 29.5 and ours.max() < 35.5 and moco.min() > 42 and moco.max() < 49.5
    late = of_seeds("mocogan", "without first", own, "motion")
    moco, ours = (of_seeds(who, own, "motion") for who in ("mocogan", "modern"))
    assert ours.round(2).min() == 2.45 and ours.round(2).max() == 2.65 < late.round(2).min() == 2.99
    assert (moco.round(2)[0], late.round(2)[0], moco.argmax()) == (3.76, 3.27, 0) and late.max() < 3.76
    moco, ours = (of_seeds(who, other, "fd") for who in ("mocogan", "modern"))
    assert (moco < ours).all() and (moco.round().min(), moco.round().max()) == (486, 593)
    assert (ours.round().min(), ours.round().max()) == (530, 645)
    moco, ours = (of_seeds(who, other, "motion") for who in ("mocogan", "modern"))
    assert 0 < (moco < ours).sum() < 3
    for key, near in (("psnr", 0.2), ("ssim", 0.025)):
        paper, stride = (of_seeds("mocogan", how, key) for how in ("paper", "own"))
        even = np.abs(paper - of_seeds("modern", "paper", key))
        assert (even[1:] < near).all() and even[0] > 2 * near and np.abs(paper - stride).max() < near
    assert all(4000 < steps < 4500 for who in ("mocogan", "modern") for steps in of_seeds(who, "steps"))


def test_half_an_hour_gives_tgan_a_score_for_black():
    tgan, ours = longer("moving-mnist", "tgan"), longer("moving-mnist", "stable-20-20")
    assert max(row["score"] for row in tgan[:3]) < 7 and 18 < tgan[-1]["score"] < 19
    assert 2800 < tgan[-1]["steps"] < 2850
    assert tgan[-1]["psnr"] > ours[-1]["psnr"] + 3 and tgan[-1]["ssim"] < 0.02 and ours[-1]["ssim"] > 0.75
    assert ours[-1]["fd"] < 8 < 25 < ours[0]["fd"] and ours[-1]["recall"] < 0.02
    assert 0 < ours[-1]["score"] - ours[0]["score"] < 1.5


def test_the_numbers_of_the_summary():
    def mean(data, who, key, digits):
        return round(each(data, who, key).mean(), digits)

    def summary(start):
        (row,) = (line for cell in NOTEBOOK.cells for line in cell.source.splitlines() if line.startswith(start))
        return row.split(" | ")[-1]

    psnr = {who: f"{mean('actions', who, 'psnr', 1):.1f}" for who in ACTIONS}
    assert "{mocogan}, {stable} with `stable`; {paper} with `paper`".format(**psnr) in summary("| PSNR, MoCoGAN")
    ssim = {who: f"{mean('actions', who, 'ssim', 2):.2f}" for who in ACTIONS}
    assert "{mocogan}, {stable}: no clear winner".format(**ssim) in summary("| SSIM |")
    score = [f"{mean('moving-mnist', who, 'score', 1):.1f}" for who in ("tgan-z1", "tgan", *OURS_ON_DIGITS[::-1])]
    assert "({}, {}); ours {}, and {} with".format(*score) in summary("| score, TGAN (z1)")
    ends = [f"{longer('actions', who)[-1]['score']:.1f}" for who in ("mocogan", "stable")]
    assert "MoCoGAN {}, `stable` {} (one seed)".format(*ends) in summary("| score after half an hour")
    found = [f"{mean('actions', who, 'nmi', 2):.2f}" for who in ("stable", "mocogan", "mocogan-32")]
    assert "{} without classes, {} and {} with them".format(*found) in summary("| labels need no classes")
