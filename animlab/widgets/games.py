"""GamePlayer: a game that plays on while its controls are moved, drawn in place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from html import escape
from typing import Any, Protocol

import ipywidgets as widgets
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .explorer import Explorer

SLICE = 0.04  # seconds of play between two pictures: a moved control waits no longer than this and one drawing
REST = 0.01  # seconds after each picture in which controls, buttons and other cells get their turn


class Game(Protocol):
    """What a GamePlayer plays."""

    steps: int

    def step(self) -> None:
        """One move; counts it in `steps`."""

    def tune(self, **values: Any) -> None:
        """Takes up the controls' values in the middle of the game.

        Args:
            **values: by the controls' names.
        """


class GamePlayer(Explorer):
    """A game under its controls, with Start, Pause and Restart.

    A control that is moved tunes the game in play; Restart begins a new one.

    It plays on the kernel's own event loop, in short slices with a picture after each: no threads, and controls, Pause
    and other cells get their turn in between. An error pauses the game and is written below the picture.

    While a cell runs, the game stands still and its controls wait, unlike those of other Explorers: it changes its
    networks, PyTorch's random numbers and the figure that it is drawn on, and a cell that uses one of these at the same
    time would go wrong, or come out differently each time.

    Example:
        >>> GamePlayer(RingGame, draw_ring, lr_g=widgets.FloatLogSlider(2e-3, min=-4, max=-1))

    Args:
        new: takes the value of each control under its name, and returns a Game.
        draw: takes the game, and returns a picture, uint8 (H, W, 3) of always the same size (see `pixels`), and a line
            of text to show below it.
        limit: number of steps after which the game pauses by itself.
        **controls: the controls by name.
    """

    beside_cells = False
    children: tuple[widgets.Widget, ...]

    def __init__(
        self,
        new: Callable[..., Game],
        draw: Callable[[Any], tuple[np.ndarray, str]],
        limit: int = 5000,
        **controls: widgets.Widget,
    ) -> None:
        self.new, self.limit = new, limit
        self.game = new(**{name: control.value for name, control in controls.items()})
        self.playing: asyncio.Task[None] | None = None
        super().__init__(lambda **_: draw(self.game), "9in", **controls)
        self.running = widgets.ToggleButton(description="Start", icon="play", tooltip="Play on from here, or pause")
        self.restart = widgets.Button(description="Restart", icon="refresh", tooltip="A new game with these settings")
        self.running.observe(self._start_or_pause, "value")
        self.restart.on_click(self._begin_anew)
        for control in controls.values():  # before Explorer's own callback, which then draws what was tuned
            control.unobserve(self.redraw, "value")
            control.observe(self._tune, "value")
        self.children = (self.children[0], widgets.HBox([self.running, self.restart]), *self.children[1:])

    def play(self, steps: int) -> None:
        """Plays several moves at once, as without a browser, and draws the last.

        Args:
            steps: number of moves.
        """
        for _ in range(steps):
            self.game.step()
        self.redraw()

    def _start_or_pause(self, change: Any) -> None:
        self.running.description, self.running.icon = ("Pause", "pause") if change["new"] else ("Start", "play")
        if change["new"] and (self.playing is None or self.playing.done()):
            self.playing = asyncio.get_running_loop().create_task(self._play())

    async def _play(self) -> None:
        stop = self.game.steps + self.limit
        try:
            while self.running.value and self.game.steps < stop:
                end = time.monotonic() + SLICE
                while self.game.steps < stop and time.monotonic() < end:
                    self.game.step()
                self.redraw()
                await asyncio.sleep(REST)
        except Exception as error:
            self.caption.value = escape(f"{type(error).__name__}: {error}")
        self.running.value = False

    def _tune(self, _change: Any) -> None:
        self.game.tune(**{name: control.value for name, control in self.controls.items()})
        if not self.running.value:  # otherwise the next slice draws
            self.redraw()

    def _begin_anew(self, _button: Any) -> None:
        self.game = self.new(**{name: control.value for name, control in self.controls.items()})
        self.redraw()


def pixels(figure: Figure, dpi: int = 100) -> np.ndarray:
    """Draws a figure as a picture of always the same size, for Explorer and GamePlayer.

    Args:
        figure: the figure; its dpi changes.
        dpi: pixels per inch.

    Returns:
        (H, W, 3) uint8.
    """
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
