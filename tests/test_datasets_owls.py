"""The owls: what is drawn is what the factors say, and every pose of the head meets every pose of the wings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from animlab.datasets import load_dataset, owls
from animlab.datasets.clips import Clips

CORAL = owls.COLOURS["coral"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clips]:
    """The set as it is loaded, in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANIMLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_dataset("owls", progress=False)


def where(picture: np.ndarray, colour: tuple[int, int, int], least: int = 30) -> np.ndarray:
    """Mean place (row, column) of the pixels that are nearly of this colour, relative to the picture's size."""
    near = np.abs(picture.astype(int) - colour).max(axis=2) < least
    return np.argwhere(near).mean(axis=0) / picture.shape[:2]


def test_the_head_turns_to_its_side() -> None:
    left, ahead, right = (where(owls.owl(turn, 0.0, CORAL), owls.BLACK)[1] for turn in (-1, 0, 1))
    assert left < ahead - 0.05 and ahead == pytest.approx(0.5, abs=0.02) and right > ahead + 0.05


def test_wings_rise_and_leave_the_head_alone() -> None:
    down, up = (owls.owl(0.3, wings, CORAL).astype(int) for wings in (0, 1))
    changed = np.abs(up - down).max(axis=2) > 10
    assert changed[:, :120].any() and changed[:, 200:].any()
    assert not changed[:100, 135:185].any()  # eyes and beak
    outside = up[:, :110].astype(int) - np.array(owls.WALL)
    rows = np.argwhere(np.abs(outside[:190]).max(axis=2) > 20)[:, 0]
    assert rows.min() < 80  # above the shoulders, which lie at row 134


def test_a_film_has_every_combination_of_its_movements() -> None:
    film = owls.film(CORAL, frames=60)
    assert film.shape == (60, 240, 320, 3) and film.dtype == np.uint8
    pupils = np.array([where(frame, owls.BLACK)[1] for frame in film])
    raised = np.array([(np.abs(frame[:90, :95].astype(int) - owls.WALL).max(axis=2) > 20).any() for frame in film])
    for side in (pupils < 0.46, pupils > 0.54):
        assert (side & raised).any() and (side & ~raised).any()


def test_the_synthetic_version_is_the_set_itself() -> None:
    assert owls.DATA_SET.synthetic is not None and owls.DATA_SET.synthetic() == owls.DATA_SET.find(Path())


def test_the_set_is_both_films_and_needs_no_files(clips: Clips) -> None:
    assert (clips.name, len(clips)) == ("owls", 240)
    assert clips.clips["class"].tolist() == ["coral", "teal"] and clips.clips["length"].tolist() == [120, 120]
    for row, colour in zip(clips.clips, owls.COLOURS.values()):
        body = clips.frames[row["start"] : row["start"] + row["length"], 36, 32].astype(int)  # on the belly's edge
        assert np.abs(body - body[0]).max() < 3 and np.argmax(body[0]) == np.argmax(colour)


def test_factors_are_what_the_frames_show(clips: Clips) -> None:
    """Read off the small frames by other means: where the black of the pupils is, and what hides the wall's corners."""
    pupils = np.array([where(frame, owls.BLACK, 60)[1] for frame in clips.frames[:120]])  # teal is dark itself
    assert np.corrcoef(pupils, clips.factors["turn"][:120])[0, 1] > 0.99
    hidden = (np.abs(clips.frames[:, 12:24, :10].astype(int) - owls.WALL).max(axis=3) > 25).any(axis=(1, 2))
    assert hidden[clips.factors["wings"] > 0.9].all() and not hidden[clips.factors["wings"] < 0.5].any()
    assert clips.factors["class"].tolist() == [0.0] * 120 + [1.0] * 120
