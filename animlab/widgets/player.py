"""LabelPlayer: sliders for d and every c, and the picture that they draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from ..animation import save_animation, to_png
from ..labels import Labels
from ..model import Model

SHOWN = 384  # pixels that a picture stands wide and high on the page; the browser enlarges it, so only 64×64 travel
STEPS = 15  # steps of Play from c = 0 to c = 1

# ipywidgets 7.7 (Colab) names a few things differently, and there only Play's own buttons start it.
OLD = "playing" not in widgets.Play.class_trait_names()
TOOLTIP, PLAYING, REPEAT = ("description_tooltip", "_playing", "_repeat") if OLD else ("tooltip", "playing", "repeat")


def _guarded(callback: Callable[..., str | None]) -> Callable[..., None]:
    """A callback has nowhere to raise to: its errors, like the message it returns, are written on the status line.

    A message stands until there is a newer one, or until the same callback has nothing more to say.
    """

    @wraps(callback)
    def guarded(player: LabelPlayer, *event: Any) -> None:
        try:
            message = callback(player, *event)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        if message or player.speaker == callback.__name__:
            player.status.value, player.speaker = escape(message or ""), callback.__name__

    return guarded


class LabelPlayer(widgets.VBox):
    """A model to play with: choose d, drag each c, draw another z, play along one c, compare, save.

    Each slider is named by what its c does, where the model's card says it ("seen"), as those of shipped models do.

    >>> animlab.LabelPlayer(animlab.load("pretrained/actions"))

    model: what load or fit(…).model gave. d, seed: the clip and the z (see Model.animate) that it starts with; every c
    starts at 0.5. Raises TypeError for anything that is not a Model, ValueError where it has no such d.

    Pictures cannot queue up: in the browser, a slider and Play send their newest value only once the last one was
    answered, and forget those between.
    """

    def __init__(self, model: Model, d: int = 0, seed: int = 0) -> None:
        if not isinstance(model, Model):
            raise TypeError(
                "LabelPlayer plays a Model, such as animlab.load('pretrained/actions') or fit(…).model, "
                f"got {type(model).__name__}."
            )
        model.space.check_d(d)
        self.model, self.seed, self.speaker = model, seed, ""
        self._make_controls(int(d))
        self.picture, self.caption, moving = _picture("animlab-picture")
        self.pinned, self.pinned_caption, self.pinned_box = _picture("animlab-pinned")
        self.pinned_box.layout.display = "none"
        self._draw()
        self._connect()
        body = widgets.HBox([moving, self.pinned_box, self._controls()], layout={"flex_flow": "row wrap"})
        super().__init__([body, self.status])
        self.add_class("animlab-player")

    def __repr__(self) -> str:
        """Stands in the notebook where the widget would, as long as no kernel runs."""
        space = self.model.space
        return f"LabelPlayer with {space.n_d} d and {space.n_c} c: run this cell to play."

    def labels(self) -> Labels:
        """The one label that is shown: z of the seed, d, and the sliders' c."""
        return self.model.space.still(self.d.value, [slider.value for slider in self.c], self.seed)

    def clip(self) -> np.ndarray:
        """What Play shows, once from 0 to 1: uint8 (16, 64, 64, C); one frame where the model has no c."""
        labels = self.labels()
        if self.c:
            labels = self.model.space.sweep(labels, self.along.value, STEPS + 1)
        return self.model.frames(labels)

    def _make_controls(self, d: int) -> None:
        n_d = self.model.space.n_d
        moment = "The continuous label c{}, from 0 to 1: which moment of the clip"
        self.d = _labelled(
            widgets.ToggleButtons, "d (which clip)", "The discrete label: which of the clips that the model found",
            options=range(n_d), value=d,
        )  # fmt: skip
        self.d.style.button_width = "2.6em"
        for row in ("jupyter-widgets", "widget-inline-hbox"):  # as on every other control; 8.1 forgets them here
            self.d.add_class(row)
        names = self.model.names_of_c()
        self.c = [
            _labelled(widgets.FloatSlider, name, moment.format(j), value=0.5, min=0, max=1, step=0.01)
            for j, name in enumerate(names)
        ]
        for slider in self.c:
            slider.style.description_width = f"{max(7, min(20, 0.55 * max(map(len, names))))}em"
        self.new_z = _button(widgets.Button, "New z", "refresh", "Draw another z, the noise behind the whole picture")
        self.compare = _button(widgets.ToggleButton, "Compare A | B", "columns", "Pin this picture as B beside A")
        self.along = _labelled(
            widgets.Dropdown, "play along", "The c that Play moves there and back",
            options=[(name, j) for j, name in enumerate(names)],
        )  # fmt: skip
        self.play = _button(widgets.ToggleButton, "Play", "play", "Move the chosen c by itself")
        self.clock = widgets.Play(max=2 * STEPS - 1, show_repeat=False, **{REPEAT: True})
        (self.play if OLD else self.clock).layout.display = "none"
        self.speed = _labelled(
            widgets.IntSlider, "frames/s", "How fast Play moves, and a saved movie", value=12, min=1, max=30
        )
        self.file = _labelled(
            widgets.Text, "save as", "Ends in .gif, .webp, .apng, .mp4 or .png (a filmstrip)", value="animation.gif"
        )
        self.save = _button(widgets.Button, "Save", "download", "Save what Play shows under this name")
        self.export = _button(
            widgets.Button, "Export page", "external-link", "Write this player as one page that needs no Python"
        )
        self.status = widgets.HTML()

    def _connect(self) -> None:
        for control in (self.d, *self.c):
            control.observe(self._redraw, "value")
        self.new_z.on_click(self._draw_another_z)
        self.compare.observe(self._pin, "value")
        starter, pressed = (self.clock, PLAYING) if OLD else (self.play, "value")
        starter.observe(self._play, pressed)
        self.clock.observe(self._tick, "value")
        self.speed.observe(self._pace, "value")
        self.save.on_click(self._save)
        self.export.on_click(self._export)
        self._pace()

    def _controls(self) -> widgets.VBox:
        sliders = widgets.VBox(self.c, layout={"max_height": "330px", "overflow": "hidden auto", "flex": "0 0 auto"})
        rows = [self.d, sliders, widgets.HBox([self.new_z, self.compare], layout={"margin": "0 0 0 7em"})]
        if self.c:
            rows += [widgets.HBox([self.along, self.play, self.clock]), self.speed]
        rows.append(widgets.HBox([self.file, self.save, self.export]))
        return widgets.VBox(rows, layout={"flex": "1 1 26em", "max_width": "42em", "margin": "0 0 0 8px"})

    def _draw(self) -> None:
        self.picture.value = to_png(self.model.frames(self.labels())[0])
        c = " ".join(f"{slider.value:.2f}" for slider in self.c)
        name = "<b>A</b> · " if self.compare.value else ""
        self.caption.value = f"<div style='line-height:1.5'>{name}d {self.d.value} · z {self.seed}<br>c {c}</div>"

    @_guarded
    def _redraw(self, _change: Any = None) -> None:
        self._draw()

    @_guarded
    def _draw_another_z(self, _button: Any) -> None:
        self.seed += 1
        self._draw()

    @_guarded
    def _pin(self, _change: Any = None) -> None:
        self._draw()
        self.pinned.value = self.picture.value
        self.pinned_caption.value = self.caption.value.replace("<b>A</b>", "<b>B</b>")
        self.pinned_box.layout.display = "flex" if self.compare.value else "none"

    @_guarded
    def _play(self, change: Any) -> None:
        playing = change["new"]
        if playing:  # upwards from where the slider is; the browser must hear of it before it starts
            self.clock.value = round(STEPS * self.c[self.along.value].value)
        self.play.description, self.play.icon = ("Pause", "pause") if playing else ("Play", "play")
        setattr(self.clock, PLAYING, playing)

    @_guarded
    def _tick(self, change: Any) -> None:
        self.c[self.along.value].value = 1 - abs(1 - change["new"] / STEPS)  # there and back; its slider draws

    @_guarded
    def _pace(self, _change: Any = None) -> None:
        self.clock.interval = round(1000 / self.speed.value)

    @_guarded
    def _save(self, _button: Any) -> str:
        clip, path = self.clip(), Path(self.file.value.strip())
        if path.suffix.lower() != ".png":
            clip = np.concatenate([clip, clip[-2:0:-1]])  # a movie goes there and back, as Play does
        save_animation(clip, path, fps=self.speed.value)
        return f"Saved {len(clip)} frames as {path.resolve()}"

    @_guarded
    def _export(self, _button: Any) -> str:
        from ..web import export_player  # here, because it is hardly ever needed

        page = export_player(self.model, Path(self.file.value.strip()).with_suffix(".html"))
        return f"Wrote {page.resolve()}: it plays in any browser, without Python"


def _labelled(kind: type[widgets.Widget], description: str, tip: str, **options: Any) -> Any:
    style, layout = {"description_width": "7em"}, {"width": "auto", "flex": "1 1 auto"}
    return kind(description=description, style=style, layout=layout, **{TOOLTIP: tip}, **options)


def _button(kind: type[widgets.Widget], description: str, icon: str, tip: str) -> Any:
    width = "7em" if len(description) < 8 else "11em"
    return kind(description=description, icon=icon, tooltip=tip, layout={"width": width})


def _picture(css_class: str) -> tuple[widgets.Image, widgets.HTML, widgets.VBox]:
    image = widgets.Image(format="png", layout={"width": f"{SHOWN}px", "height": f"{SHOWN}px"})
    caption = widgets.HTML()
    box = widgets.VBox([image, caption], layout={"width": f"{SHOWN + 8}px"})
    box.add_class(css_class)
    return image, caption, box
