"""Explorer: controls and one picture that follows them, for a question that a notebook asks."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..animation import to_png
from .stage import Picture, answer_during_cells


class Explorer(widgets.VBox):
    """Controls, and below them one picture that is drawn anew, in place, whenever one of them moves.

    In JupyterLab it answers while a cell runs, as LabelPlayer does: `draw` then runs in a thread beside that cell, so
    it should only read what cells have made, and seed no generator that they draw from.

    Example:
        >>> def draw(c, d):
        ...     return model.frames(model.space.still(d, [c] * 5))[0], f"every c at {c:.2f}"
        >>> Explorer(draw, c=widgets.FloatSlider(max=1), d=widgets.Dropdown(options=range(5)))

    Args:
        draw: takes the value of each control under its name, and returns the picture, uint8 (H, W, 1 or 3), and a line
            of text to show below it. Its errors are shown on that line, because nobody could catch them.
        width: width of the picture on the page, in CSS.
        **controls: the controls by name.
    """

    beside_cells = True

    def __init__(
        self, draw: Callable[..., tuple[np.ndarray, str]], width: str = "256px", **controls: widgets.Widget
    ) -> None:
        self.function, self.controls = draw, controls
        self.picture = Picture(format="png", layout={"width": width, "max_width": "100%", "height": "auto"})
        self.picture.add_class("animlab-picture")
        self.caption = widgets.HTML()
        for control in controls.values():
            control.observe(self.redraw, "value")
        row = widgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"})
        super().__init__([row, self.picture, self.caption])
        self.add_class("animlab-explorer")
        self.redraw()
        if self.beside_cells:
            answer_during_cells(self)

    def __repr__(self) -> str:
        """Stands in the notebook where the widget would, as long as no kernel runs."""
        return f"Explorer of {', '.join(self.controls)}: run this cell to use it."

    def redraw(self, _change: Any = None) -> None:
        """Draws the picture for the values that the controls have now.

        Args:
            _change: what a control reports; not used.
        """
        try:
            picture, text = self.function(**{name: control.value for name, control in self.controls.items()})
            self.picture.put(to_png(picture), text)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
        self.caption.value = escape(text)


class Cursor:
    """A figure drawn once, on which a vertical line can be moved at once: drawing a figure takes a tenth of a second.

    Args:
        figure: a Matplotlib figure; the line crosses all its axes, which have to share one x axis.
        dpi: pixels per inch at which it is drawn.
    """

    def __init__(self, figure: Figure, dpi: int = 100) -> None:
        figure.set_dpi(dpi)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        self.pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        self.axes: list[Axes] = list(figure.axes)

    def at(self, x: float) -> np.ndarray:
        """Draws the line.

        Args:
            x: where the line stands, in the units of the x axis.

        Returns:
            The figure with its line, uint8 (H, W, 3).
        """
        picture = self.pixels.copy()
        for ax in self.axes:
            column = round(ax.transData.transform((x, 0))[0])
            bottom, top = (len(picture) - round(edge) for edge in (ax.bbox.y0, ax.bbox.y1))
            picture[top:bottom, max(0, column - 1) : column + 1] = 0
        return picture


def beside(*pictures: np.ndarray, gap: int = 8) -> np.ndarray:
    """Puts pictures side by side on white, each enlarged by a whole factor as far as the tallest allows.

    Args:
        *pictures: uint8 (H, W, 1 or 3) each.
        gap: pixels between two pictures, at least 1.

    Returns:
        uint8 (H, W, 3).
    """
    tallest = max(len(picture) for picture in pictures)
    scaled = []
    for picture in pictures:
        times = tallest // len(picture)
        picture = picture.repeat(3 // picture.shape[2], axis=2).repeat(times, axis=0).repeat(times, axis=1)
        below = tallest - len(picture)
        scaled.append(np.pad(picture, ((0, below), (0, gap), (0, 0)), constant_values=255))
    return np.concatenate(scaled, axis=1)[:, :-gap]
