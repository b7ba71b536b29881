"""Both protocols: rows against the definitions, planted animations, and labels that are known beforehand."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from test_metrics_matching import brute_force, walk

import animlab
from animlab.metrics import (
    AnimationProtocol,
    Features,
    animation_protocol,
    evaluate,
    frechet_distance,
    inversion_protocol,
    invert,
    psnr,
    random_sweeps,
    ssim,
)
from animlab.metrics import features as streaming


def pooled(pictures):
    """Features that need no training: means over a 4 × 4 grid."""
    seen = torch.nn.functional.adaptive_avg_pool2d(pictures.float() / 255, 4).flatten(1)
    return seen, seen


POOLED = Features("pooled", 48, 48, "FD(pooled)", pooled)


@pytest.fixture
def model():
    torch.manual_seed(0)
    space = animlab.LabelSpace(n_z=3, n_d=3, n_c=2)
    generator = animlab.Generator(space, width=0.1, centre_c=True)
    with torch.no_grad():
        generator(space.sample(256, torch.Generator().manual_seed(1)))  # batch norms see some pictures
        generator.decoder[-2].weight.mul_(6)  # untrained pictures are faint
    return animlab.Model(generator)


def test_a_row_is_what_the_paper_describes():
    rng = np.random.default_rng(0)
    clips = walk(rng, [12, 9, 15, 20], size=16)
    animations = np.stack([walk(rng, [5], size=16).frames for _ in range(3)])
    found = AnimationProtocol(clips, POOLED, real_frames=10_000).score(animations)
    starts = [brute_force(each, clips)[1] for each in animations]
    related = [clips.frames[start : start + 5] for start in starts]
    assert [match.start for match in found.matches] == starts
    assert found.psnr == pytest.approx(np.mean([psnr(a, b) for a, b in zip(animations, related)]))
    assert found.ssim == pytest.approx(np.mean([ssim(a, b) for a, b in zip(animations, related)]))
    real, seen = POOLED(clips.frames), [POOLED(each) for each in animations]
    assert found.fd == pytest.approx(frechet_distance(np.concatenate(seen), real))
    assert found.fd_alone == pytest.approx(np.mean([frechet_distance(each, real) for each in seen]))
    assert found.score == pytest.approx(found.psnr + 20 * found.ssim + 1 / found.fd)
    assert found.score_alone == pytest.approx(found.psnr + 20 * found.ssim + 1 / found.fd_alone)


def test_the_distance_is_made_of_more_animations_than_are_matched():
    rng = np.random.default_rng(0)
    clips = walk(rng, [12, 9, 15, 20], size=16)
    animations = np.stack([walk(rng, [5], size=16).frames for _ in range(30)])
    protocol = AnimationProtocol(clips, POOLED, real_frames=50)
    few, many = protocol.score(animations[:3]), protocol.score(animations[:3], samples=animations)
    assert (few.frames, many.frames, many.real_frames, many.animations) == (15, 150, 50, 3)
    assert (many.psnr, many.ssim, many.fd_alone, many.matches) == (few.psnr, few.ssim, few.fd_alone, few.matches)
    assert many.fd == pytest.approx(frechet_distance(POOLED(animations.reshape(-1, 16, 16, 3)), protocol.statistics))
    assert many.score == pytest.approx(many.psnr + 20 * many.ssim + 1 / many.fd)
    for row in (protocol.real(5, 3, 30), protocol.noise(5, 3, 30)):
        assert (row.animations, row.frames) == (3, 150)
    assert protocol.real(5, 3).frames == 15 and protocol.noise(5, 3, 2).frames == 15
    with pytest.raises(ValueError, match=r"animations \(3, 5, 16, 16, 3\), got \(2, 5, 8, 8, 3\)"):
        protocol.score(animations[:3], samples=animations[:2, :, :8, :8])


def tiny(pictures):
    seen = torch.nn.functional.adaptive_avg_pool2d(pictures.float() / 255, 1).flatten(1)
    return seen, seen


def peak(work):
    """The most memory that numpy held during the work, in MB."""
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 1e6


def test_twenty_thousand_frames_take_bounded_memory():
    """Frames that are one frame in memory: what is copied out of them shows. All at once they are 246 MB."""
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    clips = animlab.Clips.single(np.broadcast_to(one, (20_000, 64, 64, 3)))
    look = Features("tiny", 3, 3, "FD(tiny)", tiny)
    kept = 20_000 * 769 * 4 / 1e6  # what the matcher remembers of a frame, 62 MB
    assert kept < peak(lambda: AnimationProtocol(clips, look, 20_000)) < kept + 60
    rows = rng.permutation(20_000)
    assert peak(lambda: look.statistics(streaming.Rows(clips.frames, rows))) < 15
    assert peak(lambda: clips.frames[rows]) > 200

    class Model:
        space = animlab.LabelSpace(1, 1, 1)

        def frames(self, labels):
            return rng.integers(0, 256, (len(labels), 64, 64, 3), dtype=np.uint8)

    assert peak(lambda: evaluate(Model(), clips, 2000, look, progress=False)) < 100  # fakes and reals were 74 MB alone


def test_a_bar_counts_the_real_frames(capsys, monkeypatch):
    monkeypatch.setattr(streaming, "tqdm", partial(streaming.tqdm, mininterval=0, miniters=1))
    clips = walk(np.random.default_rng(3), [30, 30], size=16)
    AnimationProtocol(clips, POOLED, real_frames=50, progress=True)
    assert "50/50" in capsys.readouterr().err
    AnimationProtocol(clips, POOLED, real_frames=50)
    assert capsys.readouterr().err == ""


def test_real_clips_do_not_match_themselves_and_noise_matches_nothing():
    rng = np.random.default_rng(1)
    clips = walk(rng, [12] * 8, size=16)
    protocol = AnimationProtocol(clips, POOLED, real_frames=50)
    real, noise = protocol.real(5, 6), protocol.noise(5, 6)
    assert all(match.mse > 0 for match in real.matches)
    assert real.psnr > noise.psnr + 2 and real.ssim > noise.ssim + 0.1
    window = clips.frames[None, 12:17]
    copied, honest = protocol.score(window), protocol.score(window, takes=[clips.clips["take"][1]])
    assert copied.psnr == np.inf and copied.ssim == pytest.approx(1)  # copies are the winners
    assert honest.psnr < 30


def test_the_protocol_of_a_model_comes_out_the_same_twice(model):
    clips = walk(np.random.default_rng(2), [12] * 4, size=64)
    rows = [animation_protocol(model, clips, 4, 3, 40, POOLED, seed=5) for _ in range(2)]
    assert rows[0] == rows[1] and set(rows[0]) == {"model", "real", "noise"}
    assert rows[0] != [animation_protocol(model, clips, 4, 3, 40, POOLED, seed=6)]
    with pytest.raises(ValueError, match="at least 2 frames"):
        AnimationProtocol(clips, POOLED).score(clips.frames[None, :1])


def test_random_sweeps_move_one_c_from_0_to_1(model):
    """Drawn again with each c_j in turn: one of them gives the same frames."""
    found = random_sweeps(model, length=5, count=4, seed=3)
    base = model.space.sample(4, torch.Generator().manual_seed(3))
    for k, frames in enumerate(found):
        again = []
        for j in range(model.space.n_c):
            labels = model.space.sweep(base[k : k + 1], j, 5)
            again.append(np.abs(model.frames(labels).astype(int) - frames).max())
        assert min(again) <= 1  # a batch of another size rounds otherwise


def test_a_clip_that_the_model_drew_is_redrawn(model):
    """The labels are known: the redrawn clip is nearly the same, in the d that drew it."""
    rng = torch.Generator().manual_seed(7)
    for d in range(model.space.n_d):
        c = torch.rand(4, 2, generator=rng)
        z = torch.randn(1, 3, generator=rng).clamp(-2, 2).expand(4, -1)
        clip = model.frames(animlab.Labels(z, model.space.one_hot(torch.full((4,), d)), c))
        found = invert(model, clip, steps=80)
        still = ((clip - clip.mean(axis=0)) ** 2).mean()
        assert found.d == d
        assert found.mse < 0.1 * still
        assert found.mse == pytest.approx(((found.frames.astype(float) - clip) ** 2).mean())
        np.testing.assert_array_equal(model.frames(found.labels), found.frames)


def test_labels_found_lie_where_training_drew_them_and_change_nothing_else(model):
    clip = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    before = {name: value.clone() for name, value in model.generator.state_dict().items()}
    state = torch.get_rng_state()
    found, again = invert(model, clip, steps=12), invert(model, clip, steps=12)
    assert found.labels.c.min() >= 0 and found.labels.c.max() <= 1 and found.labels.z.abs().max() <= 3
    assert (found.labels.z == found.labels.z[0]).all() and (found.labels.d == found.labels.d[0]).all()
    np.testing.assert_array_equal(found.frames, again.frames)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.generator.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.generator.parameters())


def test_order_shows_in_c_and_not_in_the_pictures(model):
    """A steady sweep, and the same frames shuffled: redrawn equally well, but c jumps about."""
    sweep = model.animate(d=1, along=0, frames=8, seed=2)
    shuffled = sweep[np.random.default_rng(0).permutation(8)]
    steady, mixed = (inversion_protocol(model, clip[None], steps=80) for clip in (sweep, shuffled))
    assert abs(steady.psnr - mixed.psnr) < 2
    assert steady.order < 0.6 < 0.75 < mixed.order
    still = np.broadcast_to(sweep.mean(axis=0).round().astype(np.uint8), sweep.shape)
    assert steady.still_psnr == pytest.approx(psnr(still, sweep).mean()) and steady.psnr > steady.still_psnr


def test_inversion_refuses_what_the_model_cannot_draw(model):
    with pytest.raises(ValueError, match=r"\(N, 64, 64, 3\), got uint8 \(4, 64, 64, 1\)"):
        invert(model, np.zeros((4, 64, 64, 1), np.uint8))
    with pytest.raises(ValueError, match="at least two steps"):
        invert(model, np.zeros((4, 64, 64, 3), np.uint8), steps=1)
