"""Explorer: the picture follows the controls, errors show, the cursor stands where matplotlib would draw it."""

import io

import ipywidgets as widgets
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from animlab.widgets.explorer import Cursor, Explorer, beside


def shown(explorer):
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value)).convert("RGB"))


def test_the_picture_and_its_line_follow_every_control():
    def draw(level, name):
        return np.full((4, 6, 3), level, np.uint8), f"{name} < {level}"

    level, name = widgets.IntSlider(7, max=255), widgets.Dropdown(options=["a", "b"])
    explorer = Explorer(draw, level=level, name=name)
    assert (shown(explorer) == 7).all() and explorer.caption.value == "a &lt; 7"
    level.value = 200
    assert (shown(explorer) == 200).all() and explorer.caption.value == "a &lt; 200"
    name.value = "b"
    assert explorer.caption.value == "b &lt; 200" and explorer.picture.tooltip == "b < 200"
    assert "level, name" in repr(explorer)


def test_an_error_is_written_below_and_goes_away():
    slider = widgets.IntSlider(1, max=2)
    explorer = Explorer(lambda n: (np.full((2, 2, 3), 6 // n, np.uint8), ""), n=slider)
    slider.value = 0
    assert explorer.caption.value == "ZeroDivisionError: integer division or modulo by zero"
    slider.value = 2
    assert explorer.caption.value == "" and (shown(explorer) == 3).all()


@pytest.mark.parametrize("x", [0, 0.3, 2])
def test_the_cursor_stands_where_matplotlib_draws_such_a_line(x):
    def figure():
        figure = Figure(figsize=(4, 3))
        for ax in figure.subplots(2, 1, sharex=True):
            ax.plot([0, 2], [1, 3])
        return figure

    drawn = figure()
    for ax in drawn.axes:
        ax.axvline(x, color="black", linewidth=1.44)  # two pixels
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    expected = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    cursor = Cursor(figure())
    before = cursor.pixels.copy()
    changed, expected_change = cursor.at(x).astype(int) - before, expected - before
    columns, expected_columns = (
        np.flatnonzero((abs(each) > 99).any(axis=(0, 2))) for each in (changed, expected_change)
    )
    assert 1 <= len(columns) <= 2 and abs(columns.mean() - expected_columns.mean()) <= 1
    assert (cursor.pixels == before).all(), "the figure itself was drawn upon"


def test_beside_enlarges_whole_pixels_and_spreads_grey():
    small, tall = np.arange(4, dtype=np.uint8).reshape(2, 2, 1), np.full((5, 3, 3), 9, np.uint8)
    picture = beside(small, tall, gap=1)
    assert picture.shape == (5, 4 + 1 + 3, 3)
    assert (picture[:4, :4, 0] == small[..., 0].repeat(2, 0).repeat(2, 1)).all()
    assert (picture[4, :4] == 255).all() and (picture[:, 4] == 255).all() and (picture[:, 5:] == 9).all()
