"""Composer: a timeline under a model's controls, on which labels become keys of an animation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from ..animation import GAP, filmstrip, save_animation, to_png
from ..checks import instance
from ..labels import Labels
from ..model import Model
from ..timeline import EASINGS, LONGEST, Key, Timeline
from .stage import Picture, Stage, button, guarded, labelled

FRAMES = 16  # of the strip that shows the whole timeline
MARK, INK = 8, (0, 114, 178)  # pixels, high, of the bar of a key below the strip, and its colour
HINT = "Set the sliders and press Set key; go to another time and do it again. Then press Play."


class Composer(Stage):
    """A widget to compose an animation: labels at points in time, the way between them, a preview, and a file.

    Choose a time, set d, every c and z, and press Set key. Between the keys z and c move, and one d dissolves into the
    next; in a loop the last key leads back to the first. A name that ends in .json saves the timeline itself.

    Example:
        >>> composer = animlab.Composer(animlab.load("pretrained/actions"))
        >>> composer.timeline, composer.clip()                          # what has been composed, and its frames

    Args:
        model: the model, as `load` or `fit(…).model` gives it.
        d: the clip that it starts with, 0 to n_d - 1; every c starts at 0.5.
        seed: seed of the z that it starts with.
        labels: one row of labels to start with instead.
        timeline: the timeline to start with; None starts with one of four seconds without keys.

    Raises:
        TypeError: `model` is not a Model, `labels` are not Labels, or `timeline` is not a Timeline.
        ValueError: d or seed is out of range, or `labels` or `timeline` do not fit the model.
    """

    def __init__(
        self,
        model: Model,
        d: int = 0,
        seed: int = 0,
        *,
        labels: Labels | None = None,
        timeline: Timeline | None = None,
    ) -> None:
        super().__init__(model, d, seed, labels)
        self.past: list[Timeline] = []
        self._adopt(Timeline(model.space) if timeline is None else timeline)
        for control, callback in (
            (self.time, self._scrub),
            (self.key_list, self._choose),
            (self.ease, self._change_ease),
            (self.seconds, self._change_length),
            (self.loop, self._change_length),
            (self.speed, self._count),
        ):
            control.observe(callback, "value")
        for pressed, callback in (
            (self.set_key, self._set_key),
            (self.delete, self._delete),
            (self.undo, self._undo),
            (self.load, self._load),
        ):
            pressed.on_click(callback)
        if self.timeline.keys:
            self._scrub()
        else:
            self.status.value, self.speaker = HINT, "_set_key"  # until the first key is set
        self._fill(self._rows())
        self.add_class("animlab-composer")

    def clip(self) -> np.ndarray:
        """The frames of the whole timeline at the chosen speed: uint8 (frames, 64, 64, C)."""
        return self.model.frames(self.timeline.labels(self._frames()))

    def _make_controls(self) -> None:
        super()._make_controls()
        self._make_player(
            50,
            play="Play the timeline",
            file="Ends in .gif, .webp, .apng, .mp4, .png (a filmstrip) or .json (the timeline, to be loaded again)",
        )
        self.speed.layout.flex = "1 1 18em"  # here it stands in a row, of which it takes its share
        self.strip = Picture(format="png", layout={"width": "100%", "height": "auto"})
        self.strip.add_class("animlab-strip")
        self.time = labelled(widgets.FloatSlider, "time, s", "The time that is shown", value=0, min=0, step=0.05)
        self.set_key = button(widgets.Button, "Set key", "plus", "At this time, the picture is to be the one shown")
        self.delete = button(widgets.Button, "Delete key", "trash", "Take the chosen key out")
        self.undo = button(widgets.Button, "Undo", "undo", "Take the last change of the timeline back")
        self.key_list = labelled(widgets.Select, "keys", "Choose a key to go to it", rows=5)
        self.ease = labelled(
            widgets.Dropdown, "pace after it", "How it goes on from the chosen key, and from the next one that is set",
            options=list(EASINGS),
        )  # fmt: skip
        self.seconds = labelled(
            widgets.BoundedFloatText, "length, s", "How long the timeline is", min=0.1, max=LONGEST, step=0.5
        )
        self.loop = labelled(widgets.Checkbox, "loop", "The last key leads back to the first", indent=False)
        self.load = button(widgets.Button, "Load", "folder-open", "Load the .json of this name")

    def _rows(self) -> list[widgets.Widget]:
        across = {"flex_flow": "row wrap"}
        right = widgets.VBox(
            [
                self.d,
                self.sliders,
                widgets.HBox([self.new_z, self.set_key], layout={"margin": "0 0 0 7em"}),
                self.key_list,
                self.ease,
                widgets.HBox([self.delete, self.undo], layout={"margin": "0 0 0 7em"}),
            ],
            layout={"flex": "1 1 26em", "max_width": "42em", "margin": "0 0 0 8px"},
        )
        return [
            widgets.HBox([self.moving, right], layout=across),
            self.strip,
            widgets.HBox([self.time, self.play, self.clock]),
            widgets.HBox([self.seconds, self.loop, self.speed], layout=across),
            widgets.HBox([self.file, self.save, self.load]),
            self.status,
        ]

    def _describe(self) -> str:
        return f"At {self.time.value:.2f} s. {super()._describe()}"

    def _frames(self) -> int:
        return max(1, round(self.timeline.seconds * self.speed.value))

    def _now(self) -> int:
        return min(round(self.time.value * self.speed.value), self.clock.max)

    def _at(self, tick: int) -> None:
        self.time.value = tick / self.speed.value  # which draws

    def _write(self, path: Path) -> str:
        if path.suffix.lower() == ".json":
            self.timeline.save(path)
            return f"Saved the timeline as {path.resolve()}"
        clip = self.clip()
        save_animation(clip, path, fps=self.speed.value)
        return f"Saved {len(clip)} frames as {path.resolve()}"

    def _adopt(self, timeline: Timeline) -> None:
        """Shows a timeline on the controls and as a strip."""
        instance("Composer begins with a Timeline", timeline, Timeline)
        if timeline.space != self.model.space:
            raise ValueError(f"This timeline is of {timeline.space}, and this model has {self.model.space}.")
        self.timeline, self.busy = timeline, True
        try:
            self.seconds.value, self.loop.value, self.time.max = timeline.seconds, timeline.loop, timeline.seconds
            self.clock.max = self._frames() - 1
            self.key_list.options = [(_name(key), key.time) for key in timeline.keys]
            self._mark_the_key_of_this_time()
        finally:
            self.busy = False
        self.strip.put(to_png(_strip(self.model, timeline)), _in_words(timeline))

    def _key_here(self) -> Key | None:
        """The key of the time that is shown, to a hundredth of a second: Play stops anywhere."""
        return next((key for key in self.timeline.keys if abs(key.time - self.time.value) < 0.005), None)

    def _mark_the_key_of_this_time(self) -> None:
        here = self._key_here()
        self.key_list.value = here and here.time
        if here:
            self.ease.value = here.ease

    def _edit(self, timeline: Timeline) -> None:
        if timeline != self.timeline:
            before = self.timeline
            self._adopt(timeline)
            self.past.append(before)

    @guarded
    def _count(self, _change: Any) -> None:
        self.clock.max = self._frames() - 1

    @guarded
    def _scrub(self, _change: Any = None) -> None:
        if self.busy:
            return
        self.busy = True
        try:
            self._mark_the_key_of_this_time()
        finally:
            self.busy = False
        if self.timeline.keys:
            self.show(self.timeline.at([self.time.value]), "as keyed")

    @guarded
    def _choose(self, change: Any) -> None:
        if not self.busy and change["new"] is not None:
            self.time.value = change["new"]

    @guarded
    def _set_key(self, _button: Any) -> None:
        here = self._key_here()
        time = here.time if here else round(self.time.value, 2)
        self._edit(self.timeline.with_key(time, self.labels(), self.ease.value))

    @guarded
    def _delete(self, _button: Any) -> None:
        if self.key_list.value is None:
            raise ValueError("No key is chosen: choose one in the list first.")
        self._edit(self.timeline.without_key(self.key_list.value))
        self._scrub()

    @guarded
    def _change_ease(self, _change: Any) -> None:
        if not self.busy and self.key_list.value is not None:
            keys = (
                replace(key, ease=self.ease.value) if key.time == self.key_list.value else key
                for key in self.timeline.keys
            )
            self._edit(replace(self.timeline, keys=tuple(keys)))

    @guarded
    def _change_length(self, _change: Any) -> None:
        if not self.busy:
            try:
                self._edit(replace(self.timeline, seconds=self.seconds.value, loop=self.loop.value))
            except ValueError:
                self._adopt(self.timeline)  # the controls as they were
                raise
            self._scrub()

    @guarded
    def _undo(self, _button: Any) -> str | None:
        if not self.past:
            return "There is nothing to undo."
        self._adopt(self.past.pop())
        self._scrub()
        return None

    @guarded
    def _load(self, _button: Any) -> str:
        path = Path(self.file.value.strip()).with_suffix(".json")
        self._edit(Timeline.load(path))
        self._scrub()
        return f"Loaded {path.resolve()}"


def _name(key: Key) -> str:
    return f"{key.time:.2f} s · d {key.d} · then {key.ease}"


def _in_words(timeline: Timeline) -> str:
    keys = "; ".join(_name(key).replace(" ·", ",") for key in timeline.keys) or "no key yet"
    return f"The timeline of {timeline.seconds:g} s{', a loop' if timeline.loop else ''}. Keys: {keys}."


def _strip(model: Model, timeline: Timeline) -> np.ndarray:
    """The whole timeline, each frame with its time at its left edge, and a bar below for each key: uint8 (H, W, 3)."""
    times = np.arange(FRAMES) * timeline.seconds / FRAMES
    frames = model.frames(timeline.at(times)) if timeline.keys else np.full((FRAMES, 64, 64, 3), 230, np.uint8)
    strip = np.pad(filmstrip(frames), ((0, GAP + MARK), (0, 0), (0, 0)), constant_values=255)
    for key in timeline.keys:
        left = round(key.time / timeline.seconds * (strip.shape[1] + GAP))
        strip[-MARK:, max(0, min(left, strip.shape[1]) - 2) : left + 3] = INK
    return strip
