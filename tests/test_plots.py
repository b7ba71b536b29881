"""Figures: each is a picture that opens, with its alt text in the page."""

import io
import re
from base64 import b64decode

import numpy as np
import pytest
import torch
from PIL import Image

import animlab
from animlab import plots
from animlab.callbacks import Record
from animlab.metrics import Influence


@pytest.fixture(scope="module")
def model():
    return animlab.Model(animlab.Generator(animlab.LabelSpace(2, 2, 3), width=0.05))


def opened(picture):
    """The picture as it stands in the page, opened by Pillow."""
    kind, data = re.search(r'src="data:image/(\w+);base64,([^"]+)"', picture._repr_html_()).groups()
    image = Image.open(io.BytesIO(b64decode(data)))
    assert image.format.lower() == kind
    return np.asarray(image.convert("RGB"))


def test_alt_text_stands_in_the_page_and_in_the_picture_s_place(model):
    picture = plots.show_frames(model.animate(frames=3), 'Three frames, "quoted" & <odd>.')
    assert 'alt="Three frames, &quot;quoted&quot; &amp; &lt;odd&gt;."' in picture._repr_html_()
    assert repr(picture) == 'Three frames, "quoted" & <odd>.'


def test_frames_are_drawn_where_they_belong():
    clip = np.zeros((2, 64, 64, 3), np.uint8)
    clip[0, ..., 0] = clip[1, ..., 2] = 255  # a red frame, then a blue one
    image = opened(plots.show_frames(clip, "Red, then blue."))
    height, width, _ = image.shape
    assert np.allclose(image[height // 2, width // 4], [255, 0, 0], atol=10)
    assert np.allclose(image[height // 2, 3 * width // 4], [0, 0, 255], atol=10)


@pytest.mark.parametrize("rows, columns", [((), ()), (("d 0", "d 1"), ("0", "½", "1"))])
def test_several_rows_of_grey_frames(rows, columns):
    clips = np.zeros((2, 4, 64, 64, 1), np.uint8)
    assert opened(plots.show_frames(clips, "Black.", rows, columns)).shape[1] > 900


def test_sweep_grid(model):
    picture = plots.sweep_grid(model, d=1)
    assert opened(picture).std() > 0 and "clip 1" in picture.alt
    with pytest.raises(ValueError, match="no continuous label"):
        plots.sweep_grid(animlab.Model(animlab.Generator(animlab.LabelSpace(n_c=0), width=0.05)))


@pytest.mark.parametrize("steps", [1, 100])
@pytest.mark.parametrize("space", [None, animlab.LabelSpace()])
def test_losses(steps, space):
    history = {name: np.linspace(2, 1, steps) for name in ("d_loss", "g_loss", "lambda_d", "lambda_c")}
    assert opened(plots.losses(history, space)).std() > 0


@pytest.mark.parametrize("real", [None, Influence(0.3, 0.6)])
def test_influences(real):
    measured = {"c0": Influence(0.3, 0.5), "d": Influence(0.2, 0.4), "z": Influence(0.1, 0.2)}
    assert opened(plots.influences(measured, real)).std() > 0


def test_live_plot_draws_once_and_then_in_place(model, monkeypatch):
    shown = []

    class Handle:
        def update(self, picture):
            shown.append(("update", picture))

    monkeypatch.setattr(plots, "display", lambda picture, display_id: shown.append(("display", picture)) or Handle())
    live = plots.LivePlot()
    for step in range(1, 8):
        record = Record(step, 7, {"d_loss": 1.0}, 0.5, 100.0, model)
        live.on_step(record)
        if step % 3 == 0:
            live.on_sample(record)
    live.on_end(record)
    live.on_end(record)
    assert [how for how, _ in shown] == ["display", "update", "update", "update"]  # steps 1, 3, 6 and 7
    assert len({picture.alt for _, picture in shown}) == 1


def test_moving_pictures_play_in_the_page_there_and_back():
    """Decoded again by Pillow: each clip a picture of its own, enlarged, its frames up and down without a double."""
    grey = np.repeat(np.arange(0, 250, 50, dtype=np.uint8), 64 * 64).reshape(5, 64, 64, 1)
    colour = np.full((3, 64, 64, 3), 80, np.uint8) * np.arange(3, dtype=np.uint8)[:, None, None, None]
    page = plots.show_moving({"c0 <up>": grey, "c1": colour}, "Two clips.", fps=20)._repr_html_()
    pictures = re.findall(r'<img src="data:image/webp;base64,([^"]+)" alt="([^"]*)"', page)
    assert [alt for _, alt in pictures] == ["Two clips. c0 &lt;up&gt;", "c1"]
    first, second = (Image.open(io.BytesIO(b64decode(data))) for data, _ in pictures)
    assert (first.n_frames, second.n_frames) == (8, 4) and first.size == (128, 128) and first.info["loop"] == 0
    levels = []
    for i in range(8):
        first.seek(i)
        first.load()
        assert first.info["duration"] == 50
        levels.append(np.asarray(first.convert("L")).mean())
    assert levels == pytest.approx([0, 50, 100, 150, 200, 150, 100, 50], abs=3)


def test_a_chart_has_as_many_panels_as_its_function_draws_and_stands_in_the_style():
    seen = []

    def draw(left, right):
        seen.append(left.spines["top"].get_visible())
        left.plot([1, 2])
        right.plot([2, 1])

    picture = plots.chart(draw, "Two lines.", height=2, panels=2)
    height, width, _ = opened(picture).shape
    assert repr(picture) == "Two lines." and seen == [False]
    assert 1100 < width < 1400 and 250 < height < 330  # 9 by 2 inches of 150 pixels, less the margins


def test_a_table_is_markdown_with_rounded_numbers():
    shown = plots.table(["who", "PSNR", "N"], [["grey", 20.456, 3], ["none", -0.001, "–"], ["copy", float("inf"), 1]])
    assert shown.data.splitlines() == [
        "| who | PSNR | N |", "| --- | --- | --- |", "| grey | 20.46 | 3 |", "| none | 0.00 | – |", "| copy | inf | 1 |"
    ]  # fmt: skip


def test_a_landscape_is_steepest_where_its_logit_is():
    """A logit that is a plane has one slope everywhere; the map is yellow where it is high and blue where it is low."""
    plane = torch.nn.Linear(2, 1)
    with torch.no_grad():
        plane.weight.copy_(torch.tensor([[3.0, 4.0]]))
        plane.bias.zero_()
    slopes = []
    real, fakes = torch.full((5, 2), 2.9), torch.full((50, 2), -2.9)
    figure = plots.drawn(lambda ax: slopes.append(plots.landscape(ax, plane, real, fakes)), height=4, width=4)
    assert slopes == [pytest.approx(5)]
    belief = figure.axes[0].images[0].get_array()
    assert belief[-1, -1] > 0.99 and belief[0, 0] < 0.01 and belief[-1, 0] > 0.9  # rows go up with y: 4 y - 3 x > 0
