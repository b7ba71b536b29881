"""Timelines: against interpolation by hand, one label at a time; loops, edits, and text that is none."""

import json
import math
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import animlab
from animlab.timeline import EASINGS, Key, Timeline

SPACE = animlab.LabelSpace(n_z=2, n_d=3, n_c=2)


def some_keys(*times):
    rng = np.random.default_rng(0)
    eases = ["linear", "smooth", "hold"]
    return tuple(
        Key(time, k % 3, tuple(rng.random(2)), tuple(rng.normal(size=2)), eases[k % 3]) for k, time in enumerate(times)
    )


def by_hand(timeline, now):
    """z ⊕ d ⊕ c at one time, without a vector: walk along the keys until the right two are found."""
    keys = sorted(timeline.keys, key=lambda key: key.time)
    before = [key for key in keys if key.time <= now]
    after = [key for key in keys if key.time > now]
    if not timeline.loop and not (before and after):
        a = b = (before or after)[-1 if before else 0]
        share = 0.0
    else:
        a, b = (before or keys)[-1], (after or keys)[0]
        start = a.time if before else a.time - timeline.seconds
        stop = b.time if after else b.time + timeline.seconds
        share = (now - start) / (stop - start)
    share = {"linear": share, "hold": 0.0, "smooth": 3 * share**2 - 2 * share**3}[a.ease]
    numbers = [[*key.z, *(float(d == key.d) for d in range(3)), *key.c] for key in (a, b)]
    return [(1 - share) * one + share * other for one, other in zip(*numbers)]


def joined(labels):
    return torch.cat([labels.z, labels.d, labels.c], dim=1).numpy()


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("times", [(0,), (1.3,), (4,), (0, 4), (0, 1, 2.5), (0.4, 0.5, 2, 3.9), (2, 0.7, 3)])
def test_between_keys_it_is_what_interpolation_by_hand_gives(times, loop):
    timeline = Timeline(SPACE, 4, loop, some_keys(*times))
    for frames in (1, 2, 7, 48):
        moments = [4 * k / frames if loop else (4 * k / (frames - 1) if k else 0.0) for k in range(frames)]
        expected = [by_hand(timeline, now) for now in moments]
        np.testing.assert_allclose(joined(timeline.labels(frames)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("loop", [True, False])
def test_at_its_time_a_key_is_met_to_the_last_bit(loop):
    labels = SPACE.sample(3, torch.Generator().manual_seed(0))
    timeline = Timeline(SPACE, 4, loop)
    for k, time in enumerate((0, 0.7, 2.1)):
        timeline = timeline.with_key(time, labels[k : k + 1])
    assert np.array_equal(joined(timeline.at([0, 0.7, 2.1])), joined(labels))


def test_a_loop_has_no_jump_where_it_comes_round():
    timeline = Timeline(SPACE, 4, True, tuple(Key(key.time, key.d, key.c, key.z) for key in some_keys(0, 1, 2.5)))
    rows = joined(timeline.labels(400))
    steps = np.abs(np.diff(np.concatenate([rows, rows[:1]]), axis=0)).max(axis=1)
    assert steps[-1] < 0.01 < steps.max() < 0.05
    assert np.allclose(joined(timeline.at([4])), rows[:1])
    ends = Timeline(SPACE, 4, True, some_keys(0, 4))  # nothing of the way back is left
    assert np.array_equal(joined(ends.at([4]))[0, 2:5], [0, 1, 0])


def test_a_dissolve_blends_the_one_hot_vectors():
    timeline = Timeline(SPACE, 2).with_key(0, SPACE.still(0), "linear").with_key(1, SPACE.still(2), "linear")
    there = [[1, 0, 0], [0.75, 0, 0.25], [0.5, 0, 0.5], [0.25, 0, 0.75], [0, 0, 1]]
    assert timeline.labels(8).d.tolist() == there + there[3:0:-1]


def test_each_easing_goes_from_one_key_to_the_next():
    for name, ease in EASINGS.items():
        done = np.array([ease(share) for share in np.linspace(0, 1, 101)])
        assert done[0] == 0 and (np.diff(done) >= 0).all() and done[-1] == (name != "hold")


def test_edits_give_another_timeline_and_leave_this_one():
    empty = Timeline(SPACE)
    one = empty.with_key(1, SPACE.still(1))
    two = one.with_key(1, SPACE.still(2), "hold").with_key(0.5, SPACE.still(0))
    assert [len(each.keys) for each in (empty, one, two)] == [0, 1, 2]
    assert [(key.time, key.d, key.ease) for key in two.keys] == [(0.5, 0, "smooth"), (1, 2, "hold")]
    assert two.without_key(0.5).without_key(1) == empty != two


def test_a_model_draws_it_and_it_becomes_a_film(tmp_path):
    torch.manual_seed(0)
    model = animlab.Model(animlab.Generator(SPACE, width=0.1))
    clip = model.frames(Timeline(SPACE, 1).with_key(0, SPACE.still(0)).with_key(0.5, SPACE.still(2)).labels(12))
    assert clip.shape == (12, 64, 64, 3) and not np.array_equal(clip[0], clip[6])
    animlab.save_animation(clip, tmp_path / "dissolve.webp", fps=12)


@pytest.mark.parametrize("loop", [True, False])
def test_json_and_back_is_the_same_to_the_last_bit(loop):
    timeline = Timeline(SPACE, 4, loop, some_keys(0, 1.1, 3)).with_key(2, SPACE.sample(1))
    again = Timeline.from_json(timeline.to_json())
    assert again == timeline
    assert np.array_equal(joined(again.labels(31)), joined(timeline.labels(31)))
    assert json.loads(timeline.to_json())["kind"] == "animlab timeline"


def test_a_file_and_back_is_the_same_and_what_is_no_such_file_is_said(tmp_path):
    timeline = Timeline(SPACE, 4, True, some_keys(0, 1.1, 3))
    timeline.save(tmp_path / "new" / "film.json")
    assert Timeline.load(tmp_path / "new" / "film.json") == timeline
    with pytest.raises(FileNotFoundError, match=r"^There is no timeline '.*absent\.json'\.$"):
        Timeline.load(tmp_path / "absent.json")
    with pytest.raises(ValueError, match=r"new cannot be opened \(a folder, not a file\)\.$"):
        Timeline.load(tmp_path / "new")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ValueError, match=r"pipe\.json cannot be opened \(not a regular file"):
        Timeline.load(tmp_path / "pipe.json")
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(10_000_001)
    with pytest.raises(ValueError, match=r"large\.json cannot be opened \(too large for a timeline\)\.$"):
        Timeline.load(tmp_path / "large.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"^This is not a timeline, because it is not JSON"):
        Timeline.load(tmp_path / "bytes.json")


GOOD = json.loads(Timeline(SPACE, 4, True, some_keys(0, 1)).to_json())


def changed(path, value):
    """GOOD as text, with something else in one place; ... takes it out."""
    content = json.loads(json.dumps(GOOD))
    *way, last = path
    place = content
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "This is not a timeline, because it is not JSON"),
        ("{", "This is not a timeline, because it is not JSON"),
        ("[" * 100_000, "This is not a timeline, because it is not JSON"),
        (None, "This is not a timeline, because it is not JSON"),
        ("[]", "This is not a timeline, because its JSON does not begin with the kind 'animlab timeline'"),
        ("{}", "This is not a timeline, because its JSON does not begin with the kind 'animlab timeline'"),
        (changed(["loop"], ...), "A timeline is an object of space, seconds, loop, keys, got "),
        (changed(["more"], 1), "A timeline is an object of space, seconds, loop, keys, got "),
        (changed(["loop"], "no"), "loop must be True or False, got 'no'"),
        (changed(["seconds"], 1e9), "seconds, the length of a timeline, must be .* from 0.1 to 600, got 1000000000.0"),
        (changed(["seconds"], math.nan), "seconds, the length of a timeline, must be .* from 0.1 to 600, got nan"),
        (changed(["seconds"], 0.5), "A timeline of 0.5 s ends before its key at 1 s: make it longer, or "),
        (changed(["keys"], {}), r"A timeline's keys are a list \[…\], got {}"),
        (changed(["keys", 0], 7), "A key is an object of time, d, c, z, ease, got 7"),
        (changed(["keys", 0, "time"], 1), "A timeline has one key at a time, got two at 1 s"),
        (changed(["keys", 0, "time"], -1), "A key's time in seconds must be a number from 0 to 600, got -1"),
        (changed(["keys", 0, "d"], 3), "d=3 is out of range: this model has discrete labels 0 to 2"),
        (changed(["keys", 0, "c"], [0]), r"A key's c is a list of 2 numbers, got \[0\]"),
        (changed(["keys", 0, "c"], "ab"), "A key's c is a list of 2 numbers, got 'ab'"),
        (changed(["keys", 0, "z"], [0, None]), "A key's z must be a number from -1e\\+06 to 1e\\+06, got None"),
        (changed(["keys", 0, "ease"], "quick"), "A key's ease is one of smooth, linear, hold, got 'quick'"),
        (changed(["keys", 0, "ease"], []), r"A key's ease is one of smooth, linear, hold, got \[\]"),
        (changed(["space", "n_d"], 0), "LabelSpace's n_d must be a whole number from 1 to 10,000, got 0"),
        (changed(["space"], []), r"A timeline's space is an object of n_z, n_d, n_c, got \[\]"),
    ],
)  # fmt: skip
def test_other_text_is_refused_in_one_sentence(text, says):
    with pytest.raises(ValueError, match=f"^{says}.*\\.$") as error:
        Timeline.from_json(text)
    assert len(str(error.value).splitlines()) == 1


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
places = [["seconds"], ["loop"], ["keys"], ["space"], ["space", "n_c"], ["keys", 0]]
places += [["keys", 1, name] for name in ("time", "d", "c", "z", "ease")]


@settings(derandomize=True, deadline=None)
@given(st.sampled_from(places), anything)
def test_whatever_stands_in_a_file_is_taken_or_refused_in_one_sentence(path, value):
    try:
        timeline = Timeline.from_json(changed(path, value))
    except ValueError as error:
        assert len(str(error).splitlines()) == 1 and str(error).endswith(".")
    else:
        if timeline.keys:
            timeline.labels(3)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (SPACE.sample(2), "A key takes one row of labels, got 2."),
        (animlab.Labels(*(getattr(SPACE.still(), name) / 2 for name in "zdc")), r"of one d, got the blend \[0\.5, "),
        (animlab.LabelSpace(n_z=1, n_d=3, n_c=2).still(), "A key's z is a list of 2 numbers, got "),
        (animlab.LabelSpace(n_z=2, n_d=9, n_c=2).still(5), "d=5 is out of range"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, says):
    with pytest.raises(ValueError, match=says):
        Timeline(SPACE).with_key(0, labels)


def test_what_is_not_there_is_said():
    with pytest.raises(ValueError, match=r"^This timeline has no key yet: there is nothing to draw\.$"):
        Timeline(SPACE).labels(3)
    with pytest.raises(ValueError, match=r"^This timeline has no key at 2 s\.$"):
        Timeline(SPACE).without_key(2)
    with pytest.raises(TypeError, match=r"^A key takes Labels, such as model\.space\.still gives, got int\.$"):
        Timeline(SPACE).with_key(0, 3)
