"""LabelPlayer: sliders for d and every c, and the picture that they draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from ..animation import save_animation
from ..labels import Labels
from ..model import Model
from .stage import Stage, button, guarded, labelled, picture_box

STEPS = 15  # steps of Play from c = 0 to c = 1


class LabelPlayer(Stage):
    """A widget to play with a model: choose d, drag each c, draw another z, play along one c, compare, save.

    A slider is named after what its c does if the model's card says it (under "seen"), as the shipped models' cards do.
    Pictures cannot queue up: in the browser, a slider and Play send their newest value only once the last one has been
    answered, and skip those in between.

    Example:
        >>> animlab.LabelPlayer(animlab.load("pretrained/actions"))
        >>> animlab.LabelPlayer(model, labels=animlab.invert(model, picture).labels)    # starts from your own picture

    Args:
        model: the model, as `load` or `fit(…).model` gives it.
        d: the clip that it starts with, 0 to n_d - 1; every c starts at 0.5.
        seed: seed of the z that it starts with.
        labels: one row of labels to start with instead; New z then draws the z of the next seed.

    Raises:
        TypeError: `model` is not a Model, or `labels` are not Labels.
        ValueError: d or seed is out of range, or `labels` are not one row that fits the model.
    """

    def __init__(self, model: Model, d: int = 0, seed: int = 0, *, labels: Labels | None = None) -> None:
        super().__init__(model, d, seed, labels)
        self.pinned, self.pinned_caption, self.pinned_box = picture_box("animlab-pinned")
        self.pinned_box.layout.display = "none"
        self.compare.observe(self._pin, "value")
        self.export.on_click(self._export)
        body = widgets.HBox([self.moving, self.pinned_box, self._controls()], layout={"flex_flow": "row wrap"})
        self._fill([body, self.status])

    def clip(self) -> np.ndarray:
        """What Play shows, once from 0 to 1: uint8 (16, 64, 64, C); one frame where the model has no c."""
        labels = self.labels()
        if self.c:
            labels = self.model.space.sweep(labels, self.along.value, STEPS + 1)
        return self.model.frames(labels)

    def _make_controls(self) -> None:
        super()._make_controls()
        self.compare = button(widgets.ToggleButton, "Compare A | B", "columns", "Pin this picture as B beside A")
        self.along = labelled(
            widgets.Dropdown, "play along", "The c that Play moves there and back",
            options=[(name, j) for j, name in enumerate(self.model.names_of_c())],
            value=self.model.liveliest_c() if self.c else None,
        )  # fmt: skip
        self._make_player(
            30, play="Move the chosen c by itself", file="Ends in .gif, .webp, .apng, .mp4 or .png (a filmstrip)"
        )
        self.clock.max = 2 * STEPS - 1
        self.export = button(
            widgets.Button, "Export page", "external-link", "Write this player as one page that needs no Python"
        )

    def _controls(self) -> widgets.VBox:
        rows = [self.d, self.sliders, widgets.HBox([self.new_z, self.compare], layout={"margin": "0 0 0 7em"})]
        if self.c:
            rows += [widgets.HBox([self.along, self.play, self.clock]), self.speed]
        rows.append(widgets.HBox([self.file, self.save, self.export]))
        return widgets.VBox(rows, layout={"flex": "1 1 26em", "max_width": "42em", "margin": "0 0 0 8px"})

    def _head(self) -> str:
        return "<b>A</b> · " if self.compare.value else ""

    @guarded
    def _pin(self, _change: Any = None) -> None:
        self._draw()
        self.pinned.put(self.picture.value, self._describe())
        self.pinned_caption.value = self.caption.value.replace("<b>A</b>", "<b>B</b>")
        self.pinned_box.layout.display = "flex" if self.compare.value else "none"

    def _now(self) -> int:
        return round(STEPS * self.c[self.along.value].value)  # upwards from where the slider is

    def _at(self, tick: int) -> None:
        self.c[self.along.value].value = 1 - abs(1 - tick / STEPS)  # there and back; its slider draws

    def _write(self, path: Path) -> str:
        clip = self.clip()
        if path.suffix.lower() != ".png":
            clip = np.concatenate([clip, clip[-2:0:-1]])  # a movie goes there and back, as Play does
        save_animation(clip, path, fps=self.speed.value)
        return f"Saved {len(clip)} frames as {path.resolve()}"

    @guarded
    def _export(self, _button: Any) -> str:
        from ..web import export_player  # here, because it is hardly ever needed

        page = export_player(self.model, Path(self.file.value.strip()).with_suffix(".html"))
        return f"Wrote {page.resolve()}: it plays in any browser, without Python"
