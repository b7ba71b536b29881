"""Clips redrawn by the baselines, features of whole clips, and the methods of the comparison."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import animlab
from animlab.baselines import MODELS, TGAN, MoCoGAN
from animlab.baselines.comparison import BENCHMARKS, Evaluator, draw
from animlab.metrics import (
    Inversion,
    Statistics,
    clip_features,
    frechet_distance,
    inversion_protocol,
    kernel_distance,
    load_features,
)
from animlab.metrics.features import Features

GANS = {
    "mocogan": partial(MoCoGAN, channels=1, categories=3, width=0.1),
    "tgan": partial(TGAN, channels=1, width=0.1),
    "tgan-z1": partial(TGAN, channels=1, width=0.1, fast=False),
}


def untrained(name: str):
    """A model whose pictures depend on its noise: TGAN begins with weights so small that they hardly do."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gan = GANS[name]()
        for weight in gan.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.3 / weight[0].numel() ** 0.25)
    return gan.eval()


# Redrawing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GANS)
def test_a_model_finds_its_own_clip_again(name):
    """A clip that the model can draw is the one it comes nearest to: far nearer than the best of many random ones."""
    gan = untrained(name)
    clip = gan.sample(1, frames=6, seed=99)[0]
    found = gan.invert(clip, steps=80)
    assert found.frames.shape == clip.shape and found.frames.dtype == np.uint8
    assert found.mse == pytest.approx(np.mean((found.frames.astype(float) - clip) ** 2))
    random = gan.sample(64, frames=6, seed=1).astype(float)
    assert found.mse < 0.5 * ((random - clip) ** 2).reshape(64, -1).mean(axis=1).min()


def test_redrawing_tries_every_category_and_leaves_the_weights_alone():
    gan = untrained("mocogan")
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    clips = [gan.sample(1, frames=4, seed=5, d=d)[0] for d in range(3)]
    errors = [gan.invert(clip, steps=60).mse for clip in clips]
    spread = np.mean([(clips[0].astype(float) - clip) ** 2 for clip in clips[1:]])
    assert max(errors) < spread
    assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in gan.parameters())


def test_the_noise_stays_within_what_is_drawn():
    """Towards a clip that no noise can reach, the noise goes to its bounds and no further."""
    gan, seen = untrained("tgan"), []
    paint = gan.paint
    gan.paint = lambda noise, frames: (seen.append(noise["z_slow"].detach().abs().max().item()), paint(noise, frames))[
        1
    ]
    gan.invert(np.full((4, 64, 64, 1), 255, np.uint8), steps=40)
    assert 0.99 < max(seen) <= 1


def test_the_same_protocol_scores_baselines():
    gan = untrained("mocogan")
    clips = gan.sample(2, frames=5, seed=3)
    found = inversion_protocol(gan, clips, steps=20)
    assert len(found.reconstructions) == 2 and not any(isinstance(each, Inversion) for each in found.reconstructions)
    mse = np.array(
        [
            ((each.frames.astype(float) - clip) ** 2).mean(axis=(1, 2, 3))
            for each, clip in zip(found.reconstructions, clips)
        ]
    )
    assert found.psnr == pytest.approx(np.mean(10 * np.log10(255**2 / mse)))
    assert np.isnan(found.order)  # there is no c


@pytest.mark.parametrize(
    ("clip", "says"),
    [
        (np.zeros((4, 64, 64, 3), np.uint8), r"must be uint8 frames \(N, 64, 64, 1\), got uint8 \(4, 64, 64, 3\)"),
        (np.zeros((4, 64, 64, 1), np.float32), "got float32"),
        (np.zeros((17, 64, 64, 1), np.uint8), "at most 16 frames"),
    ],
)
def test_what_cannot_be_redrawn_is_refused_in_one_sentence(clip, says):
    with pytest.raises(ValueError, match=says):
        untrained("tgan").invert(clip)


# Features of clips ---------------------------------------------------------------------------------------------------


def brightness() -> Features:
    """One feature, the mean of the frame, from 0 to 1: what becomes of it over time can be worked out by hand."""
    return Features(
        "brightness",
        1,
        1,
        "FD(brightness)",
        lambda x: (x.float().mean((1, 2, 3))[:, None] / 255, torch.zeros(len(x), 1)),
    )


def clip_of(levels) -> np.ndarray:
    return np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (len(levels), 8, 8, 1))


def test_clip_features_are_a_cosine_series():
    rng = np.random.default_rng(0)
    clips = np.stack([clip_of(rng.integers(0, 256, 16)) for _ in range(3)])
    x = clips[:, :, 0, 0, 0] / 255
    t = (np.arange(16) + 0.5) / 16
    waves = [np.ones(16)] + [np.sqrt(2) * np.cos(np.pi * k * t) for k in (1, 2, 3)]
    assert clip_features(clips, brightness()) == pytest.approx(
        np.stack([(x * wave).mean(axis=1) for wave in waves], axis=1), abs=1e-6
    )


def test_the_terms_of_several_features_stay_apart():
    two = Features(
        "two",
        2,
        1,
        "FD(two)",
        lambda x: (torch.stack([x[:, 0, 0, 0].float(), x[:, 0, 0, 1].float()], 1), torch.zeros(len(x), 1)),
    )
    clip = np.zeros((1, 4, 8, 8, 1), np.uint8)
    clip[0, :, 0, 0, 0], clip[0, :, 0, 1, 0] = 7, [0, 0, 8, 8]
    found = clip_features(clip, two, terms=2).reshape(2, 2)  # terms, features
    assert found[0] == pytest.approx([7, 4]) and found[1, 0] == pytest.approx(0, abs=1e-6) and found[1, 1] < -3


def test_distances_of_clips_see_order_where_those_of_frames_are_blind():
    """Bars that go down, against others of their kind, frozen ones and shuffled ones."""
    look, rng = load_features("animlab"), np.random.default_rng(0)

    def bars(n: int) -> np.ndarray:
        clips = np.full((n, 16, 64, 64, 1), 40, np.uint8)
        for clip, top, left in zip(clips, rng.integers(0, 20, n), rng.integers(0, 40, n)):
            for t in range(16):
                clip[t, top + 2 * t : top + 2 * t + 8, left : left + 20] = 220
        return clips

    real, others = bars(60), bars(60)
    shuffled = np.stack([clip[rng.permutation(16)] for clip in others])
    frozen = np.repeat(others[:, 8:9], 16, axis=1)

    def distance(drawn: np.ndarray) -> float:
        return kernel_distance(clip_features(drawn, look), clip_features(real, look), 20, 50).mean

    same = abs(distance(others))
    assert distance(shuffled) > 5 * same and distance(frozen) > 5 * same
    of_frames = Statistics.of(look(real.reshape(-1, 64, 64, 1)))
    frames = [frechet_distance(look(x.reshape(-1, 64, 64, 1)), of_frames) for x in (others, shuffled)]
    assert frames[1] == pytest.approx(frames[0], rel=1e-5)


@pytest.mark.parametrize("shape", [(3, 8, 8, 1), (2, 3, 8, 8, 1)])
def test_too_short_clips_are_refused(shape):
    with pytest.raises(ValueError, match=r"at least 4 frames"):
        clip_features(np.zeros(shape, np.uint8), brightness())


# Methods and evaluator -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_benchmark():
    """Few clips of the stand-in of the actions, and a benchmark on them."""
    clips = animlab.load_dataset("actions-synthetic", progress=False)
    benchmark = replace(BENCHMARKS["actions"], dataset="actions-synthetic", real_frames=300)
    train, held_out = clips.split(0.3, seed=0)
    return benchmark, train, held_out


def test_every_method_trains_at_its_published_settings():
    for benchmark in BENCHMARKS.values():
        assert all((rival.model is None) == (rival.space is not None) for rival in benchmark.rivals.values())
        assert {rival.model for rival in benchmark.rivals.values() if rival.model} <= MODELS.keys()
    assert (BENCHMARKS["actions"].length, BENCHMARKS["actions"].real_frames) == (10, 7_000)  # Tab. 4
    assert (BENCHMARKS["moving-mnist"].length, BENCHMARKS["moving-mnist"].real_frames) == (5, 20_000)  # Tab. 5
    sizes = {(rival.space.n_d, rival.space.n_c) for rival in BENCHMARKS["moving-mnist"].rivals.values() if rival.space}
    assert sizes == {(10, 20), (20, 20)}  # Tab. 5


def test_methods_are_trained_and_drawn_alike(small_benchmark):
    benchmark, train, _ = small_benchmark
    for name in ("mocogan", "stable"):
        run = benchmark.rivals[name].fit(train, 1, width=0.05, precision="fp32", progress=False)
        drawn = draw(run.model, 2, 5, seed=1)
        assert drawn.shape == (2, 5, 64, 64, 3) and np.array_equal(drawn, draw(run.model, 2, 5, seed=1))


def test_real_windows_are_drawn_at_the_stride(small_benchmark):
    _, train, _ = small_benchmark
    whole, thinned = draw(train, 3, 8, seed=2), draw(train, 3, 4, seed=2, stride=2)
    assert whole.shape[1] == 8 and np.array_equal(whole[:, ::2], thinned)


def test_the_evaluator_ranks_real_clips_before_broken_ones(small_benchmark):
    """A model that draws shuffled, or frozen, real clips: its frames are as good as real, its clips are not."""
    benchmark, train, held_out = small_benchmark
    evaluator = Evaluator(benchmark, train, held_out)

    class Broken(MoCoGAN):
        def __init__(self, spoil):
            super().__init__(width=0.05, categories=2)
            self.spoil = spoil

        def sample(self, n, frames=16, seed=0, d=None):
            return self.spoil(draw(train, n, frames, seed, benchmark.stride if frames == 16 else 1))

    rng = np.random.default_rng(0)
    found = {
        "real": evaluator.distances(Broken(lambda clips: clips), 60),
        "shuffled": evaluator.distances(
            Broken(lambda clips: np.stack([clip[rng.permutation(16)] for clip in clips])), 60
        ),
        "frozen": evaluator.distances(Broken(lambda clips: np.repeat(clips[:, :1], clips.shape[1], axis=1)), 60),
    }
    assert found["shuffled"]["motion"] > 1.3 * found["real"]["motion"]
    assert found["frozen"]["motion"] > 2 * found["real"]["motion"]
    assert found["shuffled"]["kid"] == pytest.approx(found["real"]["kid"], abs=0.05)
    assert evaluator.copying(Broken(lambda clips: clips), 10)["nearer"] > 0.9  # copies of the training clips


def test_control_tells_whether_labels_go_with_classes(small_benchmark):
    benchmark, train, held_out = small_benchmark
    evaluator = Evaluator(benchmark, train, held_out)
    classes = np.unique(train.clips["class"])

    class Obeys(MoCoGAN):
        """Draws real clips of the class that it is asked for, or of any."""

        def __init__(self, obeys):
            super().__init__(width=0.05, categories=len(classes))
            self.obeys = obeys

        def sample(self, n, frames=16, seed=0, d=None):
            table = train.clips[train.clips["class"] == classes[d]] if self.obeys else train.clips
            starts = np.random.default_rng([seed, d]).choice(table["start"], n)
            return np.stack([train.frames[start : start + frames] for start in starts])

    obedient, wilful = evaluator.control(Obeys(True), 4), evaluator.control(Obeys(False), 4)
    assert obedient["nmi"] == pytest.approx(1) and obedient["nmi_by_chance"] < 0.6
    assert wilful["nmi"] < 0.7
