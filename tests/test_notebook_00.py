"""Notebook 00: what its text says of the shipped model and of the one that it trains is what was measured."""

import re
from pathlib import Path

import nbformat
import pytest
from lessons import stored_text

import animlab

NOTEBOOK = nbformat.read(Path(__file__).parent.parent / "notebooks" / "00_play_with_labels.ipynb", as_version=4)
PROSE = " ".join(word for cell in NOTEBOOK.cells if cell.cell_type == "markdown" for word in cell.source.split())


def test_the_text_quotes_what_each_label_changes():
    real, kept = map(
        float, re.search(r"strength=([\d.]+), focus=([\d.]+)", stored_text(NOTEBOOK, "real_influence(")).groups()
    )
    found = animlab.metrics.label_influence(animlab.load("pretrained/actions").generator, pairs=128, seed=3)
    c = {name: one for name, one in found.items() if name[0] == "c"}
    weakest, *_, strongest = sorted(c, key=lambda name: c[name].strength)
    low, high, d = (found[name].strength for name in (weakest, strongest, "d"))
    assert f"strength of {low:.2f} ({weakest}) to {high:.2f} ({strongest})" in PROSE
    assert [one.strength > real for one in c.values()].count(True) == 4
    assert f"four of the five exceed the {real:.2f} of real frames" in PROSE
    focus = [one.focus for one in c.values()]
    assert max(focus) < kept
    assert f"{min(focus):.2f} to {max(focus):.2f}, stays below the {kept:.2f} of real frames" in PROSE
    assert high == pytest.approx(d, abs=0.01) and f"as a different *d* does (both {d:.2f})" in PROSE


def test_the_owl_was_learned():
    lines = stored_text(NOTEBOOK, "λ_c at the end")
    (late,) = re.findall(r"at the end: ([\d.]+)", lines)
    assert float(late) < 0.5 / 12 and f"Yours is {late}" in PROSE
    strengths = [float(value) for value in re.findall(r"strength ([\d.]+)", lines)]
    assert len(strengths) == 2 and min(strengths) > 0.3
