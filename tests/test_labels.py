"""Labels: the distributions of Tab. 1's input row, sweeps and paths, and what is refused."""

import numpy as np
import pytest
import torch

from animlab import Labels, LabelSpace

SPACE, OTHER = LabelSpace(n_z=4, n_d=3, n_c=2), LabelSpace(n_z=4, n_d=3, n_c=1)


def test_samples_follow_the_three_distributions(rng):
    labels = LabelSpace(n_z=8, n_d=5, n_c=3).sample(20_000, generator=rng)
    assert labels.z.shape == (20_000, 8) and labels.d.shape == (20_000, 5) and labels.c.shape == (20_000, 3)
    assert labels.z.mean().abs() < 0.01 and abs(labels.z.std() - 1) < 0.01  # N(0, 1)
    assert torch.equal(labels.d.sum(1), torch.ones(20_000)) and set(labels.d.unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(labels.d.mean(0), torch.full((5,), 0.2), atol=0.01)  # U{1..n_d}
    assert labels.c.min() >= 0 and labels.c.max() <= 1
    assert torch.allclose(labels.c.mean(0), torch.tensor(0.5), atol=0.01)
    assert torch.allclose(labels.c.var(0), torch.tensor(1 / 12), atol=0.003)  # U(0, 1)


def test_same_seed_same_labels():
    space = LabelSpace()
    first, again = (space.sample(16, torch.Generator().manual_seed(7)) for _ in range(2))
    assert all(torch.equal(getattr(first, name), getattr(again, name)) for name in "zdc")


def test_pairs_differ_in_one_c_and_are_uniform_each(rng):
    labels = LabelSpace().sample_pairs(10_000, rng)
    first, second = labels[:5000], labels[5000:]
    assert torch.equal(first.z, second.z) and torch.equal(first.d, second.d)
    assert torch.equal((first.c != second.c).sum(1), torch.ones(5000, dtype=torch.long))
    assert torch.allclose((first.c != second.c).float().mean(0), torch.tensor(0.2), atol=0.02)
    assert torch.allclose(second.c.var(0), torch.tensor(1 / 12), atol=0.005)


@pytest.mark.parametrize("draw", [SPACE.sample, SPACE.sample_pairs])
def test_any_whole_number_of_rows_is_drawn_as_an_int_is(draw):
    plain = draw(8, torch.Generator().manual_seed(3))
    for n in (8.0, np.int64(8), np.float32(8), torch.tensor(8)):
        other = draw(n, torch.Generator().manual_seed(3))
        assert all(torch.equal(getattr(plain, name), getattr(other, name)) for name in "zdc")
    assert len(draw(0)) == 0


def test_one_hot_rows_have_their_one_at_d():
    assert SPACE.one_hot(torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert SPACE.one_hot(torch.tensor([], dtype=torch.long)).shape == (0, 3)


def test_sweep_moves_one_c_in_equal_steps_and_nothing_else():
    space = LabelSpace(n_z=4, n_d=3, n_c=2)
    base = space.still(d=2, c=[0.3, 0.7], seed=5)
    labels = space.sweep(base, along=1, frames=5, start=-0.5, stop=1.5)
    assert labels.c[:, 1].tolist() == pytest.approx([-0.5, 0.0, 0.5, 1.0, 1.5])
    assert labels.c[:, 0].tolist() == pytest.approx([0.3] * 5)
    assert torch.equal(labels.z, base.z.expand(5, -1)) and torch.equal(labels.d, base.d.expand(5, -1))
    assert base.c.tolist() == [pytest.approx([0.3, 0.7])]  # the sweep copied


def test_the_old_name_of_along_works_and_says_so():
    base = SPACE.still()
    with pytest.warns(FutureWarning, match=r"^sweep\(c=…\) is called sweep\(along=…\) now\.$") as warned:
        old = SPACE.sweep(base, c=1, frames=3)
    assert warned[0].filename == __file__  # the line to be changed
    assert torch.equal(old.c, SPACE.sweep(base, along=1, frames=3).c)


def test_path_starts_and_ends_at_its_stops_and_keeps_d_a_distribution():
    space = LabelSpace()
    stops = [space.still(d=0, seed=1), space.still(d=3, seed=2), space.still(d=3, c=[1.0] * 5, seed=2)]
    labels = space.path(stops, frames=4)
    assert len(labels) == 9
    for row, stop in ((0, stops[0]), (4, stops[1]), (8, stops[2])):
        assert all(torch.allclose(getattr(labels[row : row + 1], n), getattr(stop, n)) for n in "zdc")
    assert torch.allclose(labels.d.sum(1), torch.ones(9))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: LabelSpace(n_d=0), "LabelSpace's n_d must be a whole number from 1 to 10,000, got 0"),
        (lambda: LabelSpace(n_z=-1), "LabelSpace's n_z must be a whole number from 0 to 10,000, got -1"),
        (lambda: LabelSpace(n_c=2.5), "LabelSpace's n_c must be a whole number from 0 to 10,000, got 2.5"),
        (lambda: LabelSpace(n_d=5).still(d=5), "d=5 is out of range: this model has discrete labels 0 to 4"),
        (lambda: LabelSpace(n_d=5).still(d=-1), "d=-1 is out of range"),
        (lambda: LabelSpace(n_c=5).still(c=[0.1]), "5 continuous labels, got 1 values"),
        (lambda: LabelSpace(n_c=5).sweep(LabelSpace().still(), along=5), "along=5 is out of range.* 0 to 4"),
        (lambda: LabelSpace(n_c=0).sweep(LabelSpace(n_c=0).still(), 0), "along=0 .* has no continuous labels"),
        (lambda: LabelSpace().path([LabelSpace().still()]), "at least two stops, got 1"),
        (lambda: SPACE.sample(-1), "n must be a whole number from 0 to 10,000,000, got -1"),
        (lambda: SPACE.sample(2.5), "n must be a whole number from 0 to 10,000,000, got 2.5"),
        (lambda: SPACE.sample(10**400), "n must be a whole number from 0 to 10,000,000, got 1000"),
        (lambda: SPACE.sample(2, device="gpu"), "device 'gpu' cannot be used here"),
        (lambda: SPACE.sample_pairs(3), "n, the rows of sample_pairs, must be even, got 3"),
        (lambda: OTHER.sample_pairs("4"), "n must be a whole number from 0 to 10,000,000, got '4'"),
        (lambda: LabelSpace(n_c=0).sample_pairs(4), "Pairs differ in one c, and this model has no continuous labels"),
        (lambda: SPACE.one_hot(torch.tensor([0, 9])), r"d must be from 0 to 2, got 9"),
        (lambda: SPACE.one_hot(torch.tensor([-1, 0])), r"d must be from 0 to 2, got -1"),
        (lambda: SPACE.sweep(SPACE.sample(2), 0), r"base must be one row of labels of .*n_c=2\), got .* \(2, 2\)"),
        (lambda: SPACE.sweep(SPACE.sample(0), 0), r"base must be one row of labels of .*n_c=2\), got .* \(0, 2\)"),
        (lambda: SPACE.sweep(OTHER.still(), 1), r"base must be one row of .*, got z \(1, 4\), d \(1, 3\), c \(1, 1\)"),
        (lambda: SPACE.sweep(Labels(1, 2, 3), 1), "base must be one row of labels of .*, got z 1, d 2, c 3"),
        (lambda: SPACE.path([SPACE.still(), OTHER.still()]), r"stops\[1\] must be one row of labels of "),
        (lambda: SPACE.path([SPACE.sample(2), SPACE.still()]), r"stops\[0\] must be one row of labels of "),
    ],
)
def test_wrong_labels_get_one_clear_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: SPACE.sample(2, 7), "generator must be a torch.Generator or None, got int."),
        (lambda: SPACE.one_hot(2), "d must be a tensor (N,) int64, got 2."),
        (lambda: SPACE.one_hot(torch.zeros(2)), "d must be a tensor (N,) int64, got torch.float32 (2,)."),
        (lambda: SPACE.sweep(None, 0), "base must be Labels, such as model.space.still gives, got NoneType."),
        (lambda: SPACE.path(SPACE.sample(3)), "stops must be a list of Labels, each one row, got Labels."),
        (lambda: SPACE.path(None), "stops must be a list of Labels, each one row, got NoneType."),
        (lambda: SPACE.path([SPACE.still(), 1]), "stops[1] must be Labels, such as model.space.still gives, got int."),
    ],
)
def test_what_is_no_label_gets_one_clear_sentence_too(wrong, sentence):
    with pytest.raises(TypeError) as error:
        wrong()
    assert str(error.value) == sentence


def test_values_may_come_backwards():
    space = LabelSpace(n_z=1, n_d=2, n_c=3)
    backwards = np.array([0.1, 0.2, 0.3])[::-1]
    assert space.still(c=backwards).c[0].tolist() == pytest.approx([0.3, 0.2, 0.1])
