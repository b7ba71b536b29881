"""Composer, driven as a reader drives it: keys, times, easing, undo, Play, files, and what it refuses."""

import html
import io

import imageio.v3 as iio
import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image
from test_widgets import model_of, shown

import animlab
from animlab.timeline import Timeline
from animlab.widgets import stage


@pytest.fixture(scope="module")
def model():
    return model_of(n_c=2)


@pytest.fixture
def composer(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return animlab.Composer(model)


def set_key(composer, time, d, c, new_z=False):
    composer.time.value = time
    composer.d.value = d
    for slider, value in zip(composer.c, c):
        slider.value = value
    if new_z:
        composer.new_z.click()
    composer.set_key.click()


@pytest.fixture
def composed(composer):
    """Two keys: d 0 at the start, d 2 with another z and other c at 2 s."""
    set_key(composer, 0, 0, [0.25, 0.5])
    set_key(composer, 2, 2, [1, 0], new_z=True)
    return composer


def expected(model):
    space = model.space
    timeline = Timeline(space, 4, True).with_key(0, space.still(0, [0.25, 0.5], 0))
    return timeline.with_key(2, space.still(2, [1, 0], 1))


def test_it_says_what_to_do_until_a_key_is_set(composer):
    assert composer.status.value.startswith("Set the sliders and press Set key")
    assert composer.key_list.options == () and composer.timeline == Timeline(composer.model.space)
    composer.time.value = 2
    assert composer.status.value.startswith("Set the sliders")
    composer.set_key.click()
    assert composer.status.value == "" and [key.time for key in composer.timeline.keys] == [2]


def test_keys_are_what_was_shown_when_they_were_set(composed, model):
    assert composed.timeline == expected(model)
    assert [label for label, _ in composed.key_list.options] == [
        "0.00 s · d 0 · then smooth",
        "2.00 s · d 2 · then smooth",
    ]
    assert composed.key_list.value == 2 and composed.status.value == ""
    assert composed._dom_classes == ("animlab-player", "animlab-composer")


@pytest.mark.parametrize("time", [0, 0.7, 1, 2, 3.3, 4])
def test_another_time_shows_its_picture_and_its_labels(composed, model, time):
    composed.time.value = 3.95
    composed.time.value = time
    labels = expected(model).at([time])
    assert (shown(composed) == model.frames(labels)[0]).all()
    assert [slider.value for slider in composed.c] == labels.c[0].tolist()
    assert composed.d.value == int(labels.d.argmax())
    assert composed.key_list.value == (time if time in (0, 2) else None)


def test_a_key_is_gone_to_and_set_anew(composed, model):
    composed.key_list.value = 0
    assert composed.time.value == 0 and (shown(composed) == model.frames(expected(model).at([0]))[0]).all()
    composed.d.value = 1
    assert (shown(composed) == model.frames(model.space.still(1, [0.25, 0.5], 0))[0]).all()
    composed.set_key.click()
    assert [key.d for key in composed.timeline.keys] == [1, 2] and composed.key_list.value == 0


def test_one_key_stands_at_a_time_wherever_play_stopped(composer):
    composer.time.value = 13 / 12
    composer.set_key.click()
    composer.time.value = 1.0800000001
    composer.set_key.click()
    assert [key.time for key in composer.timeline.keys] == [1.08]


def test_easing_is_that_of_the_chosen_key(composed):
    composed.key_list.value = 0
    composed.ease.value = "hold"
    assert [key.ease for key in composed.timeline.keys] == ["hold", "smooth"]
    composed.time.value = 1.9
    assert composed.d.value == 0 and composed.ease.value == "hold"
    composed.key_list.value = 2
    assert composed.ease.value == "smooth"
    composed.time.value = 3
    composed.ease.value = "linear"  # no key is chosen: for the next one
    assert [key.ease for key in composed.timeline.keys] == ["hold", "smooth"]
    composed.set_key.click()
    assert [key.ease for key in composed.timeline.keys] == ["hold", "smooth", "linear"]


def test_undo_goes_back_change_by_change(composed, model):
    before = [Timeline(model.space), Timeline(model.space, keys=expected(model).keys[:1]), expected(model)]
    composed.loop.value = False
    composed.seconds.value = 2.5
    composed.key_list.value = 0
    composed.delete.click()
    assert [key.time for key in composed.timeline.keys] == [2]
    composed.undo.click()
    assert composed.timeline == Timeline(model.space, 2.5, False, before[2].keys)
    composed.undo.click()
    composed.undo.click()
    assert (composed.seconds.value, composed.loop.value, composed.time.max) == (4, True, 4)
    for timeline in before[::-1]:
        assert composed.timeline == timeline
        assert composed.key_list.options == tuple(
            (label, key.time) for (label, _), key in zip(composed.key_list.options, timeline.keys)
        )
        assert len(composed.key_list.options) == len(timeline.keys)
        assert composed.status.value == ""
        composed.undo.click()
    assert composed.status.value == "There is nothing to undo."


def test_undo_and_length_show_the_picture_of_their_time(composed, model):
    composed.time.value = 3
    composed.seconds.value = 2.5
    assert composed.time.value == composed.time.max == 2.5
    assert (shown(composed) == model.frames(composed.timeline.at([2.5]))[0]).all()
    composed.key_list.value = 2
    composed.delete.click()
    assert (shown(composed) == model.frames(expected(model).at([0]))[0]).all()


def test_what_cannot_be_done_is_said_and_changes_nothing(composed, model):
    composed.seconds.value = 1.5
    assert composed.status.value.startswith("ValueError: A timeline of 1.5 s ends before its key at 2 s")
    assert composed.seconds.value == 4 and composed.timeline == expected(model)
    composed.time.value = 1
    composed.delete.click()
    assert composed.status.value == "ValueError: No key is chosen: choose one in the list first."
    composed.file.value = "absent.gif"
    composed.load.click()
    assert html.unescape(composed.status.value) == "FileNotFoundError: There is no timeline 'absent.json'."
    assert composed.timeline == expected(model)


def press_play(composer, on=True):
    if stage.OLD:
        setattr(composer.clock, stage.PLAYING, on)
    else:
        composer.play.value = on


def test_play_goes_through_the_timeline_from_where_it_is(composed, model):
    composed.time.value = 1
    press_play(composed)
    assert composed.clock.value == 12 and composed.clock.max == 47 and composed.clock.interval == 83
    frames = expected(model).labels(48)
    for tick in [*range(12, 48), *range(3)]:
        composed.clock.value = tick  # as the browser does
        assert composed.time.value == pytest.approx(tick / 12)
        assert (shown(composed) == model.frames(frames[tick : tick + 1])[0]).all()
    press_play(composed, False)
    composed.speed.value = 24
    assert composed.clock.max == 95 and composed.clock.interval == 42
    composed.seconds.value = 2
    assert composed.clock.max == 47


@pytest.mark.parametrize("kind", ["gif", "webp", "apng", "mp4"])
@pytest.mark.parametrize("fps", [5, 25])
def test_a_film_has_the_frames_of_the_timeline(composed, model, tmp_path, kind, fps):
    composed.speed.value, composed.file.value = fps, f"film.{kind}"
    composed.save.click()
    assert composed.status.value == f"Saved {4 * fps} frames as {tmp_path / f'film.{kind}'}"
    frames = model.frames(expected(model).labels(4 * fps))
    assert (composed.clip() == frames).all()
    if kind == "mp4":
        assert iio.immeta(tmp_path / "film.mp4")["fps"] == fps
        movie = iio.imread(tmp_path / "film.mp4")
    else:
        with Image.open(tmp_path / f"film.{kind}") as film:
            movie, lasts = [], 0
            for k in range(film.n_frames):
                film.seek(k)
                picture = np.asarray(film.convert("RGB"))
                times = round(film.info["duration"] * fps / 1000)  # a frame that repeats is stored once
                movie += [picture] * times
                lasts += film.info["duration"]
        movie = np.stack(movie)
        assert lasts == 4000
    assert movie.shape == (4 * fps, 256, 256, 3)
    assert np.abs(movie[:, 2::4, 2::4].astype(int) - frames).mean() < 10


def test_a_timeline_is_saved_and_loaded_and_that_can_be_undone(composed, model, tmp_path):
    composed.file.value = "film.json"
    composed.save.click()
    assert composed.status.value == f"Saved the timeline as {tmp_path / 'film.json'}"
    assert Timeline.from_json((tmp_path / "film.json").read_text()) == expected(model)
    other = animlab.Composer(model)
    other.file.value = "film.gif"  # the name of the film will do
    other.load.click()
    assert other.status.value == f"Loaded {tmp_path / 'film.json'}"
    assert other.timeline == expected(model)
    assert (shown(other) == model.frames(expected(model).at([0]))[0]).all()
    other.undo.click()
    assert other.timeline.keys == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no <json>", "ValueError: This is not a timeline, because it is not JSON"),
        (Timeline(animlab.LabelSpace(4, 5, 2)).to_json(), "ValueError: This timeline is of LabelSpace(n_z=4, n_d=5, "),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(composed, model, tmp_path, text, says):
    (tmp_path / "animation.json").write_text(text)
    composed.load.click()
    assert html.unescape(composed.status.value).startswith(says)
    assert composed.timeline == expected(model) and composed.past[-1] != composed.timeline


def test_the_strip_shows_the_timeline_with_a_bar_at_each_key(composed, model):
    strip = np.asarray(Image.open(io.BytesIO(composed.strip.value)).convert("RGB"))
    frames = model.frames(expected(model).at(np.arange(16) / 4))
    for k, frame in enumerate(frames):
        assert (strip[:64, 66 * k : 66 * k + 64] == frame).all()
    marked = (strip[-1] == (0, 114, 178)).all(axis=1).nonzero()[0]
    assert marked.tolist() == [0, 1, 2, *range(8 * 66 - 2, 8 * 66 + 3)]


def test_picture_and_strip_are_named_in_words(composed):
    composed.time.value = 2
    assert composed.picture.tooltip == ("At 2.00 s. A picture that the model draws: d 2, z 1; c0: 1.00; c1: 0.00.")
    keys = "Keys: 0.00 s, d 0, then smooth; 2.00 s, d 2, then smooth."
    assert composed.strip.tooltip == f"The timeline of 4 s, a loop. {keys}"
    composed.time.value = 0
    assert composed.picture.tooltip.startswith("At 0.00 s. A picture that the model draws: d 0, z as keyed; c0: 0.25;")
    composed.loop.value = False
    assert composed.strip.tooltip == f"The timeline of 4 s. {keys}"


def test_it_begins_with_found_labels_or_a_timeline(model):
    labels = model.space.sample(1, torch.Generator().manual_seed(4))
    composer = animlab.Composer(model, labels=labels)
    assert (shown(composer) == model.frames(labels)[0]).all()
    composer.set_key.click()
    assert composer.timeline == Timeline(model.space).with_key(0, labels)
    again = animlab.Composer(model, timeline=expected(model))
    assert again.timeline == expected(model) and again.status.value == ""
    assert (shown(again) == model.frames(expected(model).at([0]))[0]).all()


@pytest.mark.parametrize("space", [{"n_c": 0}, {"n_d": 1}, {"n_z": 0}, {"n_d": 20, "n_c": 20}, {"channels": 1}])
def test_models_of_every_kind(space, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    composer = animlab.Composer(model_of(**space))
    for time, value in ((0, 0.0), (2, 1.0)):
        set_key(composer, time, composer.model.space.n_d - 1, [value] * composer.model.space.n_c, new_z=True)
    composer.save.click()
    assert composer.status.value.startswith("Saved 48 frames")


def test_every_control_says_what_it_is(composer):
    controls = [
        composer.d,
        *composer.c,
        composer.new_z,
        composer.set_key,
        composer.delete,
        composer.undo,
        composer.key_list,
    ]
    controls += [composer.ease, composer.time, composer.play, composer.seconds, composer.loop, composer.speed]
    for control in [*controls, composer.file, composer.save, composer.load]:
        tip = "tooltip" if isinstance(control, (ipywidgets.Button, ipywidgets.ToggleButton)) else stage.TOOLTIP
        assert control.description and getattr(control, tip)


def test_without_a_kernel_it_reads_as_a_sentence(composer):
    assert repr(composer) == "Composer with 3 d and 2 c: run this cell to play."


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"model": "pretrained/actions"}, TypeError, r"^Composer plays a Model, .* got str\.$"),
        ({"d": 3}, ValueError, "discrete labels 0 to 2"),
        ({"labels": [0]}, TypeError, r"^Composer starts with Labels, such as animlab\.invert finds, got list\.$"),
        ({"labels": animlab.LabelSpace(4, 3, 2).sample(2)}, ValueError, r"^Composer starts with one row .*, got 2\.$"),
        ({"labels": animlab.LabelSpace(4, 3, 3).still()}, ValueError, "^This model draws labels of "),
        ({"timeline": "film.json"}, TypeError, r"^Composer begins with a Timeline, got str\.$"),
        ({"timeline": Timeline(animlab.LabelSpace(4, 3, 3))}, ValueError, r"^This timeline is of .*n_c=3\), and "),
    ],
)  # fmt: skip
def test_what_it_cannot_begin_with(model, options, kind, message):
    with pytest.raises(kind, match=message):
        animlab.Composer(**{"model": model} | options)
