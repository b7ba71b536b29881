"""A trained model: what it draws and reads depends on what it is given, and on nothing else."""

import numpy as np
import pytest
import torch

import animlab

SPACE = animlab.LabelSpace(3, 4, 2)


@pytest.fixture(scope="module")
def clips():
    frames = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)
    return animlab.Clips.single(frames)


@pytest.fixture(scope="module")
def run(clips):
    return animlab.fit(clips, SPACE, "paper", 2, width=0.1, progress=False)


def test_along_is_which_c_moves_and_its_old_name_says_so(run):
    new = run.model.animate(d=1, along=[0, 1], frames=4, seed=2)
    with pytest.warns(FutureWarning, match=r"^animate\(c=…\) is called animate\(along=…\) now\.$") as warned:
        old = run.model.animate(d=1, c=[0, 1], frames=4, seed=2)
    assert np.array_equal(old, new) and warned[0].filename == __file__  # the line to be changed
    by_hand = SPACE.still(1, [1.0, 0.0], seed=2)  # where c1 sets out, c0 has arrived
    assert np.array_equal(new[4:5], run.model.frames(by_hand))


def test_an_animation_sets_out_from_given_labels(run):
    given = SPACE.sample(1, torch.Generator().manual_seed(4))
    before = given.c.clone()
    clip = run.model.animate(labels=given, along=1, frames=3)
    by_hand = animlab.Labels(given.z.repeat(3, 1), given.d.repeat(3, 1), given.c.repeat(3, 1))
    by_hand.c[:, 1] = torch.tensor([0, 0.5, 1])
    assert np.array_equal(clip, run.model.frames(by_hand)) and torch.equal(given.c, before)


def test_a_reading_depends_on_no_neighbour_and_changes_nothing(run, clips):
    """The paper's D has a batch norm, and is left as training needs it."""
    D = run.model.discriminator
    D.train()
    before = {name: value.clone() for name, value in D.state_dict().items()}
    together = run.model.read(clips.frames[:6])
    alone = [np.concatenate(part) for part in zip(*(run.model.read(clips.frames[i : i + 1]) for i in range(6)))]
    for a, b in zip(together, alone, strict=True):
        assert np.allclose(a, b, atol=1e-5)
    assert D.training and all(torch.equal(before[name], value) for name, value in D.state_dict().items())


def test_a_clip_is_read_backwards_and_mirrored(run, clips):
    there = clips.frames[:5]
    for view in (there[::-1], there[:, :, ::-1], there[1::2, ::-1]):
        for part, again in zip(run.model.read(view), run.model.read(view.copy())):
            np.testing.assert_array_equal(part, again)


def test_a_callback_that_reads_leaves_the_training_as_it_was(run, clips):
    class Reads(animlab.Callback):
        def on_step(self, record):
            record.model.read(clips.frames[:3])

    read = animlab.fit(clips, SPACE, "paper", 2, width=0.1, progress=False, callbacks=[Reads()])
    for name, losses in run.history.items():
        assert np.array_equal(losses, read.history[name])


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda m: m.frames(animlab.LabelSpace(3, 4, 5).still()), r"This model draws labels of .* = \(3, 4, 5\)\."),
        (lambda m: m.read(np.zeros((2, 64, 64, 1), np.uint8)), r"What this model reads .* \(N, 64, 64, 3\), "),
        (lambda m: m.read(np.zeros((2, 64, 64, 3))), r"What this model reads must be uint8 frames .* got float64 "),
        (lambda m: m.animate(along=[]), r"An animation needs at least one d and one c, got d=0, along=\[\]\."),
        (lambda m: m.animate(along=2), "along=2 is out of range: this model has continuous labels 0 to 1."),
        (lambda m: m.animate(d=[[0], [1, 2]]), r"d must be a whole number or a list of them, got \[\[0\], \[1"),
        (lambda m: m.animate(along=[[0], [1, 2]]), "along must be a whole number or a list of them, got "),
        (lambda m: m.animate(frames=10**400), "frames must be a whole number from 1 to 100,000, got 1000"),
        (lambda m: m.animate(stop=10**400), "stop must be a number from -1e\\+06 to 1e\\+06, got 1000"),
        (lambda m: m.animate(frames=0), "frames"),
        (lambda m: m.animate(start=float("nan")), "start must be a number from"),
        (lambda m: m.animate(labels=SPACE.sample(2)), r"labels must be one row of labels of .*, got z \(2, 3\), "),
        (lambda m: m.animate(labels=animlab.LabelSpace(3, 4, 5).still()), "labels must be one row of labels of "),
        (lambda m: m.animate(labels=animlab.LabelSpace(3, 4, 1).still(), along=1), "labels must be one row of "),
        (lambda m: m.animate(labels=animlab.Labels(*map(torch.zeros, [(1, 3), (2, 4), (2, 2)]))), "labels must be one"),
        (lambda m: m.frames(animlab.Labels(*torch.full((3, 1, 1), torch.nan))), "Model.frames takes labels that are"),
        (lambda m: m.frames(SPACE.sample(0)), "Model.frames needs at least one row of labels, got none."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_sentence(run, act, says):
    with pytest.raises(ValueError, match=f"^{says}"):
        act(run.model)


@pytest.mark.parametrize("frames", [8.0, np.int64(8), np.float32(8)])
def test_whole_numbers_of_any_type_are_counts(run, frames):
    assert len(run.model.animate(frames=frames)) == 8


def test_a_run_that_was_kept_nowhere_has_a_whole_card(run):
    assert run.out is None
    assert (
        run.model.card["steps"] == 2 and run.model.card["preset"] == "paper" and run.model.card["dataset"] == "single"
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"checkpoint_every": 0}, "checkpoint_every must be a whole number of at least 1, got 0."),
        ({"sample_every": -3}, "sample_every must be a whole number of at least 1, got -3."),
        ({"keep": -3}, "keep must be a whole number of at least 0, got -3."),
        ({"seconds": float("nan")}, "seconds must be a number of at least 0, got nan."),
    ],
)
def test_options_of_the_loop_are_checked_before_the_first_step(clips, options, says):
    with pytest.raises(ValueError) as error:
        animlab.fit(clips, SPACE, steps=2, width=0.1, progress=False, **options)
    assert str(error.value) == says


def test_one_callback_is_not_a_list_of_them(clips):
    with pytest.raises(TypeError, match=r"^callbacks must be a list, got one Callback: put it in brackets\.$"):
        animlab.fit(clips, SPACE, steps=2, width=0.1, progress=False, callbacks=animlab.Callback())


CHECKPOINT = "The path of a checkpoint"


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda model: animlab.load(None), f"{CHECKPOINT} must be a string or a Path, got None."),
        (lambda model: animlab.save(model, 3), f"{CHECKPOINT} must be a string or a Path, got 3."),
        (lambda model: animlab.Timeline.load(3), "path must be a string or a Path, got 3."),
        (lambda model: animlab.Timeline(SPACE).save(None), "path must be a string or a Path, got None."),
        (lambda model: animlab.load("a\0"), f"{CHECKPOINT} must have no null character in it, got 'a\\x00'."),
        (lambda model: animlab.Timeline.load("a\0"), "path must have no null character in it, got 'a\\x00'."),
    ],
)
def test_what_is_no_path_is_refused_in_one_sentence(run, act, says):
    with pytest.raises((TypeError, ValueError)) as error:
        act(run.model)
    assert str(error.value) == says
