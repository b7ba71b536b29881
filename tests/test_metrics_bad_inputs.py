"""What no number can be made of gets one sentence, and no number."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from animlab import LabelSpace, metrics
from animlab.datasets import Clips
from animlab.metrics.matching import windows

NAN, INF = float("nan"), float("inf")
RNG = np.random.default_rng(0)
TABLE = RNG.random((40, 3))
FRAMES = RNG.integers(0, 256, (12, 16, 16, 3), np.uint8)
ROWS = [(0, 6, "a", 0), (6, 6, "b", 1)]
CLIPS = Clips(FRAMES, np.array(ROWS, [("start", "i8"), ("length", "i8"), ("class", "U1"), ("take", "i8")]), "noise")
LOOK = metrics.Features("mean", 2, 2, "FD(mean)", lambda x: (x.float().mean(dim=(2, 3))[:, :2],) * 2)
NET = SimpleNamespace(space=LabelSpace(1, 2, 1))
MODEL = SimpleNamespace(space=LabelSpace(1, 2, 1))


def with_one(value: float, table: np.ndarray = TABLE) -> np.ndarray:
    spoilt = table.copy()
    spoilt.flat[7] = value
    return spoilt


@pytest.mark.parametrize("measure", [metrics.mig, metrics.dci, metrics.sap])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_codes_and_factors_are_finite(measure, value):
    with pytest.raises(ValueError, match=r"^Codes are finite numbers, but 1 of the 120 given are not\.$"):
        measure(with_one(value), TABLE)
    with pytest.raises(ValueError, match=r"^Factors are finite numbers, but 1 of the 120 given are not\.$"):
        measure(TABLE, with_one(value))


@pytest.mark.parametrize("measure", [metrics.mig, metrics.dci, metrics.sap])
@pytest.mark.parametrize("codes, factors", [(TABLE[:0], TABLE[:0]), (TABLE[:, :0], TABLE), (TABLE[:3], TABLE)])
def test_codes_and_factors_go_row_by_row(measure, codes, factors):
    with pytest.raises(ValueError, match=r"^Codes \(N, n\) and factors \(N, k\) go row by row, got"):
        measure(codes, factors)


def test_whole_numbers_and_lists_are_codes_too():
    codes = TABLE.round(1) * 10
    assert metrics.mig(codes.astype(int), codes) == metrics.mig(codes.tolist(), codes) == metrics.mig(codes, codes)


def protocol():
    return metrics.AnimationProtocol(CLIPS, LOOK)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: metrics.agreement(np.array([0.0, NAN]), np.array([0, 1])), "d holds labels that are not finite"),
        (lambda: metrics.agreement(np.array([]), np.array([])), "N at least 1, got"),
        (lambda: metrics.smoothness(FRAMES[:5, :0]), "A sweep must be uint8"),
        (lambda: metrics.real_influence(FRAMES, CLIPS.clips, gap=-2), "gap must be a whole number of .* 1, got -2"),
        (lambda: metrics.real_influence(FRAMES, CLIPS.clips, gap=0), "gap must be a whole number of at least 1, got 0"),
        (lambda: metrics.real_influence(FRAMES, CLIPS.clips, 2, pairs=-1), "pairs must be a whole number"),
        (lambda: metrics.influence(torch.zeros(0, 1, 8, 8), torch.zeros(0, 1, 8, 8)), "pairs of frames of at least 4"),
        (lambda: metrics.influence(torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), NAN)), "finite numbers"),
        (lambda: metrics.label_influence(NET, pairs=0), "pairs must be a whole number of at least 1, got 0"),
        (lambda: metrics.settling(NET, steps=0), "steps must be a whole number of at least 1, got 0"),
        (lambda: metrics.best_match(FRAMES[:2], CLIPS, "1"), "A take, .* a whole number of at least 0, got '1'"),
        (lambda: metrics.nearest_frames(FRAMES[:2], CLIPS, ["0", "1"]), "A take, the number of a recording, must be"),
        (lambda: metrics.nearest_frames(FRAMES[:2], CLIPS, [0]), "for each of 2 animations or frames, got 1"),
        (lambda: metrics.nearest_frames(FRAMES[:0], CLIPS), r"nearest frames .* got uint8 \(0, "),
        (lambda: metrics.copying(FRAMES[:0], CLIPS, FRAMES), r"nearest frames .* got uint8 \(0, "),
        (lambda: windows(CLIPS, 0, 3, RNG), "length must be a whole number of at least 1, got 0"),
        (lambda: windows(CLIPS, 2, -1, RNG), "count must be a whole number of at least 1, got -1"),
        (lambda: protocol().score(FRAMES[None, :3], takes="2"), "A take, the number of a recording, must be"),
        (lambda: protocol().score(FRAMES[None, :3], takes=[1, 2]), "for each of 1 animations or frames, got 2"),
        (lambda: protocol().score(FRAMES[:0, None].repeat(3, 1)), "Animations are uint8"),
        (lambda: metrics.random_sweeps(MODEL, 0, 3), "length must be a whole number of at least 1, got 0"),
        (lambda: metrics.inversion_protocol(MODEL, FRAMES[:0, None].repeat(3, 1)), "Clips to redraw must be uint8"),
        (lambda: metrics.inversion_protocol(MODEL, FRAMES[None] / 255), "Each clip to redraw .*, got float64"),
        (lambda: metrics.inversion_protocol(MODEL, FRAMES[None], steps=-1), "steps must be a whole number of at least"),
        (lambda: metrics.psnr(FRAMES[:0], FRAMES[:0]), "What PSNR and SSIM compare must be uint8"),
        (lambda: metrics.ssim(FRAMES[:, :5], FRAMES[:, :5]), "SSIM needs frames of at least 7×7 pixels"),
        (lambda: metrics.animation_score(NAN, 0.5, 1.0), "made of numbers, got PSNR nan"),
        (lambda: metrics.clip_features(FRAMES[:0, None].repeat(5, 1), LOOK), "Clips are uint8"),
        (lambda: metrics.kernel_distance(TABLE, TABLE, 0, 5), "subsets must be a whole number of at least 1, got 0"),
        (lambda: metrics.Statistics(3).add(with_one(NAN)), r"A batch \(40, 3\) holds features that are not finite"),
        (lambda: metrics.evaluate(MODEL, CLIPS, frames="20"), "frames must be a whole number of at least 0, got '20'"),
    ],
)  # fmt: skip
def test_one_sentence(call, says):
    with pytest.raises(ValueError, match=says) as error:
        call()
    assert "\n" not in str(error.value)


def test_takes_of_any_whole_type_are_left_out():
    for take in (1, np.int64(1), 1.0, np.uint8(1)):
        assert metrics.best_match(FRAMES[6:8], CLIPS, take).start < 6
    assert metrics.best_match(FRAMES[6:8], CLIPS).start == 6
