"""LabelPlayer, driven as a reader drives it: every control at its least, greatest and usual value."""

import html
import re

import imageio.v3 as iio
import ipywidgets
import numpy as np
import pytest
import torch

import animlab
from animlab.animation import to_png
from animlab.widgets import stage as widgets


def model_of(n_z=4, n_d=3, n_c=3, channels=3):
    torch.manual_seed(0)
    return animlab.Model(animlab.Generator(animlab.LabelSpace(n_z, n_d, n_c), channels, width=0.1))


@pytest.fixture(scope="module")
def model():
    return model_of()


@pytest.fixture
def player(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return animlab.LabelPlayer(model)


def shown(player):
    """The picture that stands on the page, read back from its bytes."""
    return iio.imread(player.picture.value)


def caption(widget):
    return re.fullmatch(r"<div [^>]*>(.*)</div>", widget.value)[1]


def expected(player, d, c, seed):
    (frame,) = player.model.frames(player.model.space.still(d, c, seed))
    return frame


def test_it_starts_in_the_middle_and_says_so(player):
    assert (shown(player) == expected(player, 0, [0.5] * 3, 0)).all()
    assert caption(player.caption) == "d 0 · z 0<br>c 0.50 0.50 0.50"
    assert player.status.value == ""
    assert player._dom_classes == ("animlab-player",)


def test_the_page_is_written_under_the_name_in_the_field(player, tmp_path):
    player.file.value = "mine.gif"
    player.export.click()
    assert player.status.value == f"Wrote {tmp_path / 'mine.html'}: it plays in any browser, without Python"
    page = (tmp_path / "mine.html").read_text()
    assert page.startswith("<!doctype html>") and all(f"c{j}" in page for j in range(3))
    player.file.value = "mine.html/other.gif"  # a file is no folder
    player.export.click()
    assert f"{tmp_path / 'mine.html' / 'other.html'} could not be written: " in html.unescape(player.status.value)


def test_it_starts_where_it_is_told_to(model):
    player = animlab.LabelPlayer(model, d=np.int64(2), seed=5)
    assert (shown(player) == expected(player, 2, [0.5] * 3, 5)).all()


def test_it_starts_from_labels_that_were_found(model):
    labels = model.space.sample(1, torch.Generator().manual_seed(3))
    player = animlab.LabelPlayer(model, labels=labels)
    assert (shown(player) == model.frames(labels)[0]).all()
    found = player.labels()
    assert all(torch.equal(getattr(found, name), getattr(labels, name)) for name in "zdc")
    assert caption(player.caption).startswith(f"d {int(labels.d.argmax())} · z given<br>")
    player.new_z.click()
    assert (shown(player) == expected(player, int(labels.d.argmax()), labels.c[0], 1)).all()
    assert caption(player.caption).startswith(f"d {int(labels.d.argmax())} · z 1<br>")


def press_play(player, on=True):
    """As a reader does: on our button, or, with ipywidgets 7, on the widget's own."""
    if widgets.OLD:
        setattr(player.clock, widgets.PLAYING, on)
    else:
        player.play.value = on


@pytest.mark.parametrize("d", [0, 1, 2])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_every_label_at_every_end(player, d, value):
    player.d.value = d
    for j, slider in enumerate(player.c):
        slider.value = value
        c = [value] * (j + 1) + [0.5] * (2 - j)
        assert (shown(player) == expected(player, d, c, 0)).all()
    assert caption(player.caption) == f"d {d} · z 0<br>c " + " ".join([f"{value:.2f}"] * 3)
    assert player.status.value == ""


def test_a_slider_keeps_to_its_range(player):
    slider = player.c[0]
    assert (slider.min, slider.max, slider.step, slider.continuous_update) == (0, 1, 0.01, True)
    slider.value = 7
    assert slider.value == 1


def test_new_z_is_the_z_of_the_next_seed(player):
    player.new_z.click()
    player.new_z.click()
    assert (shown(player) == expected(player, 0, [0.5] * 3, 2)).all()
    assert caption(player.caption).startswith("d 0 · z 2")


@pytest.mark.parametrize("along", [0, 1, 2])
def test_play_moves_its_c_there_and_back(player, along):
    player.along.value = along
    press_play(player)
    assert getattr(player.clock, widgets.PLAYING) and player.play.description == "Pause"
    seen = []
    for value in range(player.clock.min, player.clock.max + 1):
        player.clock.value = value  # as the browser does
        seen.append(player.c[along].value)
        assert (shown(player) == expected(player, 0, [s.value for s in player.c], 0)).all()
    assert np.allclose(seen, [*np.linspace(0, 1, 16), *np.linspace(1, 0, 16)[1:-1]])
    assert [s.value for j, s in enumerate(player.c) if j != along] == [0.5, 0.5]
    press_play(player, False)
    assert not getattr(player.clock, widgets.PLAYING) and player.play.description == "Play"


def test_play_goes_on_from_where_the_slider_is(player):
    player.c[0].value = 0.8
    press_play(player)
    assert player.clock.value == 12 and player.c[0].value == 0.8


def test_play_is_one_button_or_where_that_cannot_start_it_the_widget_s_own(player):
    hidden = [widget.layout.display for widget in (player.play, player.clock)]
    assert hidden == ([None, "none"] if not widgets.OLD else ["none", None])


@pytest.mark.parametrize("speed, interval", [(1, 1000), (12, 83), (30, 33)])
def test_speed(player, speed, interval):
    player.speed.value = speed
    assert player.clock.interval == interval


def test_compare_pins_what_is_shown(player):
    assert player.pinned_box.layout.display == "none"
    player.c[1].value = 0.25
    player.compare.value = True
    before = player.picture.value
    player.d.value = 2
    assert player.pinned_box.layout.display == "flex"
    assert player.pinned.value == before != player.picture.value
    assert caption(player.pinned_caption) == "<b>B</b> · d 0 · z 0<br>c 0.50 0.25 0.50"
    assert caption(player.caption) == "<b>A</b> · d 2 · z 0<br>c 0.50 0.25 0.50"
    player.compare.value = False
    assert player.pinned_box.layout.display == "none"
    assert caption(player.caption) == "d 2 · z 0<br>c 0.50 0.25 0.50"


@pytest.mark.parametrize("name, frames", [("wave.gif", 30), ("wave.mp4", 30), ("wave.png", 16)])
def test_save(player, tmp_path, name, frames):
    player.d.value, player.along.value, player.file.value = 1, 2, name
    player.save.click()
    assert player.status.value == f"Saved {frames} frames as {tmp_path / name}"
    clip = player.model.animate(d=1, along=2, frames=16)
    if name == "wave.png":
        assert (iio.imread(tmp_path / name) == animlab.filmstrip(clip)).all()
    else:
        movie = iio.imread(tmp_path / name)
        assert movie.shape == (30, 256, 256, 3)
        assert np.abs(movie[:16, 2::4, 2::4].astype(int) - clip).mean() < 10


@pytest.mark.parametrize("name", ["wave.webm", "", "  ", "wave"])
def test_a_name_that_cannot_be_saved_is_said_in_the_player(player, tmp_path, name):
    player.file.value = name
    player.save.click()
    assert player.status.value.startswith("ValueError: save_animation writes .gif, .mp4, .webp, .apng and .png")
    assert list(tmp_path.iterdir()) == []
    player.c[0].value = 1
    assert player.status.value  # the message stands while the picture moves on
    player.file.value = "wave.png"
    player.save.click()
    assert player.status.value.startswith("Saved 16 frames")


def test_an_error_while_drawing_is_said_in_the_player_and_goes_with_its_cause(player, monkeypatch):
    def broken(labels):
        raise RuntimeError("no <picture> today")

    monkeypatch.setattr(player.model, "frames", broken, raising=False)
    for act in (lambda: setattr(player.c[0], "value", 0.1), player.new_z.click, player.save.click):
        act()
        assert player.status.value == "RuntimeError: no &lt;picture&gt; today"
    player.c[0].value = 0.2
    monkeypatch.undo()
    player.c[0].value = 0.3
    assert player.status.value == ""


@pytest.mark.parametrize("space", [{"n_c": 0}, {"n_d": 1}, {"n_z": 0}, {"n_d": 20, "n_c": 20}, {"channels": 1}])
def test_models_of_every_kind(space, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    player = animlab.LabelPlayer(model_of(**space))
    player.d.value = player.model.space.n_d - 1
    for slider in player.c:
        slider.value = 0.0
    player.new_z.click()
    player.compare.value = True
    player.save.click()
    assert player.status.value.startswith("Saved")
    assert player.picture.value == to_png(player.model.frames(player.labels())[0])


def test_every_control_says_what_it_is(player):
    controls = [player.d, *player.c, player.new_z, player.compare, player.along, player.play, player.speed]
    for control in [*controls, player.file, player.save, player.export]:
        tip = "tooltip" if isinstance(control, (ipywidgets.Button, ipywidgets.ToggleButton)) else widgets.TOOLTIP
        assert control.description and getattr(control, tip)
    assert player.d.description == "d (which clip)"
    assert [slider.description for slider in player.c] == ["c0", "c1", "c2"]


def test_without_a_kernel_it_reads_as_a_sentence(player):
    assert repr(player) == "LabelPlayer with 3 d and 3 c: run this cell to play."


@pytest.mark.parametrize(
    "model, message",
    [("pretrained/actions", "got str."), (None, "got NoneType."), (torch.nn.Identity(), "got Identity.")],
)
def test_only_models_play(model, message):
    with pytest.raises(TypeError, match="LabelPlayer plays a Model") as error:
        animlab.LabelPlayer(model)
    assert message in str(error.value)


@pytest.mark.parametrize("d", [-1, 3, "0", 0.5])
def test_a_d_that_the_model_does_not_have(model, d):
    with pytest.raises(ValueError, match=r"discrete labels 0 to 2"):
        animlab.LabelPlayer(model, d=d)


def test_sliders_are_named_by_what_the_card_says(model):
    told = animlab.Model(model.generator, card={"seen": {"c1": "raises both arms"}})
    player = animlab.LabelPlayer(told)
    assert [slider.description for slider in player.c] == ["c0", "c1 · raises both arms", "c2"]
    assert player.along.options == (("c0", 0), ("c1 · raises both arms", 1), ("c2", 2))
    strange = animlab.Model(model.generator, card={"seen": ["raises both arms"]})
    assert [slider.description for slider in animlab.LabelPlayer(strange).c] == ["c0", "c1", "c2"]


def test_play_begins_with_the_c_that_moves_most(model):
    measured = {"c0": {"strength": 0.9, "focus": 0.1}, "c1": {"strength": 0.3, "focus": 0.6}, "d": {"strength": 1.0}}
    assert animlab.LabelPlayer(animlab.Model(model.generator, card={"influence": measured})).along.value == 1
    for strange in (["c1"], {"c1": 0.5}, {"c1": {"strength": "much", "focus": None}}, None):
        assert animlab.LabelPlayer(animlab.Model(model.generator, card={"influence": strange})).along.value == 0


def test_the_picture_is_named_in_words(player):
    player.model.card["seen"] = {"c1": "turns"}
    named = animlab.LabelPlayer(player.model, d=1, seed=7)
    player.model.card.clear()
    named.c[1].value = 0.25
    words = "A picture that the model draws: d 1, z 7; c0: 0.50; c1, turns: 0.25; c2: 0.50."
    assert (named.picture.tooltip, named.picture.description) == (words, "")  # the browser makes it the image's name
    named.compare.value = True
    named.d.value = 2
    assert named.pinned.tooltip == words != named.picture.tooltip
