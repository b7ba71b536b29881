"""Stage: a model's picture and the controls of its labels, which LabelPlayer and Composer have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from traitlets import Unicode

from ..animation import to_png
from ..checks import instance
from ..labels import Labels
from ..model import Model

SHOWN = 384  # pixels that a picture stands wide and high on the page; the browser enlarges it, so only 64×64 travel

# ipywidgets 7.7 (Colab) names a few things differently, and there only Play's own buttons start it.
OLD = "playing" not in widgets.Play.class_trait_names()
TOOLTIP, PLAYING, REPEAT = ("description_tooltip", "_playing", "_repeat") if OLD else ("tooltip", "playing", "repeat")


def guarded(callback: Callable[..., str | None]) -> Callable[..., None]:
    """Decorates a method that a control calls: its errors go to the status line, because nobody could catch them.

    The message that the method returns goes there too. A message stays until there is a newer one, or until the same
    method returns without one.

    Args:
        callback: a method of a `Stage`; it returns a message, or None.

    Returns:
        The method to register with a control.
    """

    @wraps(callback)
    def watched(stage: Stage, *event: Any) -> None:
        try:
            message = callback(stage, *event)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        if message or stage.speaker == callback.__name__:
            stage.status.value, stage.speaker = escape(message or ""), callback.__name__

    return watched


class Stage(widgets.VBox):
    """Controls for d, every c and z, the picture that they draw, and what plays and saves it.

    Args:
        model: the model, as `load` or `fit(…).model` gives it.
        d: the clip that it starts with, 0 to n_d - 1; every c starts at 0.5.
        seed: seed of the z that it starts with.
        labels: one row of labels to start with instead; None starts with d and seed.

    Raises:
        TypeError: `model` is not a Model, or `labels` are not Labels.
        ValueError: d or seed is out of range, or `labels` are not one row that fits the model.
    """

    def __init__(self, model: Model, d: int, seed: int, labels: Labels | None) -> None:
        if not isinstance(model, Model):
            raise TypeError(
                f"{type(self).__name__} plays a Model, such as animlab.load('pretrained/actions') or fit(…).model, "
                f"got {type(model).__name__}."
            )
        start = model.space.still(d, seed=seed)
        if labels is not None:
            instance(f"{type(self).__name__} starts with Labels, such as animlab.invert finds", labels, Labels)
            if len(labels) != 1:
                raise ValueError(f"{type(self).__name__} starts with one row of labels, got {len(labels)}.")
            model.frames(labels)  # raises where they do not fit
            start = labels
        self.model, self.seed, self.speaker, self.busy = model, seed, "", False
        self._make_controls()
        self.picture, self.caption, self.moving = picture_box("animlab-picture")
        self.show(start, str(seed) if labels is None else "given")
        for control in (self.d, *self.c):
            control.observe(self._redraw, "value")
        self.new_z.on_click(self._draw_another_z)
        super().__init__()
        self.add_class("animlab-player")

    def __repr__(self) -> str:
        """Stands in the notebook where the widget would, as long as no kernel runs."""
        space = self.model.space
        return f"{type(self).__name__} with {space.n_d} d and {space.n_c} c: run this cell to play."

    def labels(self) -> Labels:
        """The one label that the controls stand for."""
        d = self.model.space.one_hot(torch.tensor([self.d.value]))
        return Labels(self.z, d, torch.tensor([[slider.value for slider in self.c]]))

    def _fill(self, children: list[widgets.Widget]) -> None:
        """What stands on the page."""
        self.children = children
        answer_during_cells(self)

    def clip(self) -> np.ndarray:
        """What Play shows, once: uint8 (frames, 64, 64, C)."""
        raise NotImplementedError

    def show(self, labels: Labels, z: str = "given") -> None:
        """Draws one row of labels and sets the controls to it.

        Args:
            labels: one row; of a blend of several d, the control shows the greatest.
            z: what the caption calls its z.
        """
        self.z, self.z_name, self.busy = labels.z.clone(), z, True
        try:
            self.d.value = int(labels.d.argmax())
            for slider, value in zip(self.c, labels.c[0].tolist()):
                slider.value = value
        finally:
            self.busy = False
        self._draw(labels)

    def _make_controls(self) -> None:
        moment = "The continuous label c{}, from 0 to 1: which moment of the clip"
        self.d = labelled(
            widgets.ToggleButtons, "d (which clip)", "The discrete label: which of the clips that the model found",
            options=range(self.model.space.n_d), value=0,
        )  # fmt: skip
        self.d.style.button_width = "2.6em"
        for row in ("jupyter-widgets", "widget-inline-hbox"):  # as on every other control; 8.1 forgets them here
            self.d.add_class(row)
        names = self.model.names_of_c()
        self.c = [
            labelled(widgets.FloatSlider, name, moment.format(j), value=0.5, min=0, max=1, step=0.01)
            for j, name in enumerate(names)
        ]
        for slider in self.c:
            slider.style.description_width = f"{max(7, min(20, 0.55 * max(map(len, names))))}em"
        self.sliders = widgets.VBox(
            self.c, layout={"max_height": "330px", "overflow": "hidden auto", "flex": "0 0 auto"}
        )
        self.new_z = button(widgets.Button, "New z", "refresh", "Draw another z, the noise behind the whole picture")
        self.status = widgets.HTML()

    def _make_player(self, fastest: int, **tips: str) -> None:
        """Play with its speed, and Save with the name of its file; tips: what to say of `play` and `file`."""
        self.play = button(widgets.ToggleButton, "Play", "play", tips["play"])
        self.speed = labelled(
            widgets.IntSlider, "frames/s", "How fast Play moves, and a saved movie", value=12, min=1, max=fastest
        )
        self.clock = widgets.Play(interval=round(1000 / self.speed.value), show_repeat=False, **{REPEAT: True})
        (self.play if OLD else self.clock).layout.display = "none"
        self.file = labelled(widgets.Text, "save as", tips["file"], value="animation.gif")
        self.file.layout.min_width = "0"  # it gives way to the buttons beside it
        for control in (self.d, self.speed):  # else they share what height the picture leaves over
            control.layout.flex = "0 0 auto"
        self.save = button(widgets.Button, "Save", "download", "Save what Play shows under this name")
        starter, pressed = (self.clock, PLAYING) if OLD else (self.play, "value")
        starter.observe(self._play, pressed)
        self.clock.observe(self._tick, "value")
        self.speed.observe(self._pace, "value")
        self.save.on_click(self._save)

    def _now(self) -> int:
        """The clock's value that belongs to what is shown."""
        raise NotImplementedError

    def _at(self, tick: int) -> None:
        """Shows what belongs to a value of the clock."""
        raise NotImplementedError

    def _write(self, path: Path) -> str:
        """Saves what Play shows, and says so."""
        raise NotImplementedError

    @guarded
    def _play(self, change: Any) -> None:
        playing = change["new"]
        if playing:  # the browser must hear of it before it starts
            self.clock.value = self._now()
        self.play.description, self.play.icon = ("Pause", "pause") if playing else ("Play", "play")
        setattr(self.clock, PLAYING, playing)

    @guarded
    def _tick(self, change: Any) -> None:
        self._at(change["new"])

    @guarded
    def _pace(self, _change: Any) -> None:
        self.clock.interval = round(1000 / self.speed.value)

    @guarded
    def _save(self, _button: Any) -> str:
        return self._write(Path(self.file.value.strip()))

    def _draw(self, labels: Labels | None = None) -> None:
        self.picture.put(to_png(self.model.frames(self.labels() if labels is None else labels)[0]), self._describe())
        c = " ".join(f"{slider.value:.2f}" for slider in self.c)
        self.caption.value = (
            f"<div style='line-height:1.5'>{self._head()}d {self.d.value} · z {self.z_name}<br>c {c}</div>"
        )

    def _describe(self) -> str:
        """The picture in words."""
        parts = [f"d {self.d.value}, z {self.z_name}"]
        parts += [f"{slider.description.replace(' · ', ', ')}: {slider.value:.2f}" for slider in self.c]
        return f"A picture that the model draws: {'; '.join(parts)}."

    def _head(self) -> str:
        """What the caption begins with, as HTML."""
        return ""

    @guarded
    def _redraw(self, _change: Any = None) -> None:
        if not self.busy:  # with controls that are being set: one picture is enough for all
            self._draw()

    @guarded
    def _draw_another_z(self, _button: Any) -> None:
        self.seed += 1
        self.z, self.z_name = self.model.space.still(seed=self.seed).z, str(self.seed)
        self._draw()


def answer_during_cells(widget: widgets.Widget) -> None:
    """Has the messages of a widget, and of all in it, handled while a cell runs, where JupyterLab asks for it.

    JupyterLab sends them to a subshell: a thread of the kernel beside the one that runs cells. But ipykernel 7.4 hands
    them to the thread that used the widget last, at first the one whose cell made it, and there they would wait for the
    training that runs in it. Drawing beside a training is safe: it changes no weight, and takes them as they are.
    Elsewhere (Colab, ipykernel 6, other pages) nothing changes, and the player waits for the cell.

    Args:
        widget: the outermost widget, already shown or not.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda _content, asked: asked
    for child in getattr(widget, "children", ()):
        answer_during_cells(child)


def labelled(kind: type[widgets.Widget], description: str, tip: str, **options: Any) -> Any:
    """Makes a control with its name at the left; all of them begin at the same distance from the edge.

    Args:
        kind: the widget's class.
        description: its name.
        tip: what to show under the pointer.
        **options: further arguments of the class.
    """
    style, layout = {"description_width": "7em"}, {"width": "auto", "flex": "1 1 auto"}
    return kind(description=description, style=style, layout=layout, **{TOOLTIP: tip}, **options)


def button(kind: type[widgets.Widget], description: str, icon: str, tip: str) -> Any:
    """Makes a button in one of two widths.

    Args:
        kind: the widget's class.
        description: its words.
        icon: a name in Font Awesome 4.7.
        tip: what to show under the pointer.
    """
    width = "7em" if len(description) < 8 else "11em"
    return kind(description=description, icon=icon, tooltip=tip, layout={"width": width, "flex": "0 0 auto"})


class Picture(widgets.Image):
    """A PNG with words for readers who cannot see it, which Image has no place for: as a title they are its name.

    The browser sets the title of what has an empty description. ipywidgets 7.7 shows the picture without words.
    """

    description = Unicode("").tag(sync=True)

    def put(self, png: bytes, words: str) -> None:
        """Shows another picture, in one message.

        Args:
            png: the file's bytes.
            words: what it shows, for readers who cannot see it.
        """
        with self.hold_sync():
            self.value, self.tooltip = png, words


def picture_box(css_class: str) -> tuple[Picture, widgets.HTML, widgets.VBox]:
    """Makes an empty picture with a caption below it.

    Args:
        css_class: the box's name in the page's style.

    Returns:
        The picture, its caption, and the box of both.
    """
    image = Picture(format="png", layout={"width": f"{SHOWN}px", "height": f"{SHOWN}px"})
    caption = widgets.HTML()
    box = widgets.VBox([image, caption], layout={"width": f"{SHOWN + 8}px"})
    box.add_class(css_class)
    return image, caption, box
