"""Every public function with odd arguments: it returns something right, or refuses in one sentence of its own.

`make fuzz` tries a hundred times as many as the tests do, and others each time.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz import budget, is_one_sentence, others, values

import animlab
from animlab import Labels, LabelSpace, Preset, metrics, plots

DOCUMENTED = (ValueError, TypeError, OSError, MemoryError, animlab.TrainingDiverged)  # CheckpointError is a ValueError
SPACE, OTHER = LabelSpace(n_z=2, n_d=2, n_c=2), LabelSpace(n_z=2, n_d=2, n_c=1)


def picture_arrays(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def picked(near: list[Any]) -> st.SearchStrategy[Any]:
    """One of these, or junk. By their places, since Hypothesis would compare arrays."""
    return st.one_of(st.sampled_from(range(len(near))).map(near.__getitem__), others)


def odd_like(good: Any) -> st.SearchStrategy[Any]:
    """Values that a caller might give in place of a good one: its neighbours in size, type and content, and junk."""
    if isinstance(good, np.ndarray) and good.dtype.names:
        near = [good[:0], good[0], good[None], good["start"], good[["length"]], np.concatenate([good, good])]
        return picked(near)
    if isinstance(good, np.ndarray):
        near = [
            good[:0], good[:1], good[0], good[None], good[..., 0], good[::-1], good.astype(np.float32), good.tolist(),
            good.astype(np.float32) + np.nan, good.astype(np.float64) * 1e300, good.astype(bool), good.astype(np.int64),
            good.astype(object), good.astype("U4"), good.astype(complex), torch.tensor(good),
            np.zeros_like(good), np.concatenate([good, good], axis=-1),
        ]  # fmt: skip
        return picked(near)
    if isinstance(good, Labels):
        near = [
            good[:0], Labels(good.z, good.c, good.d), Labels(good.z * torch.nan, good.d, good.c),
            Labels(good.z[:1], good.d, good.c), Labels(good.z, good.d[:, :1], good.c), good.z, (good.z, good.d, good.c),
            Labels(*(torch.cat([part, part]) for part in (good.z, good.d, good.c))), OTHER.sample(len(good)), None,
        ]  # fmt: skip
        return picked(near)
    if isinstance(good, (bool, str, Path)) or good is None:
        return st.one_of(st.sampled_from([str(good), "", "~", "a/b", "\0", "x" * 300, Path("y")]), values)
    if isinstance(good, dict):
        return st.one_of(
            st.just({}), st.just(dict.fromkeys(good)), st.dictionaries(st.text(), values, max_size=2), values
        )
    if isinstance(good, (list, tuple)):
        last = [odd_like(good[-1]).map(lambda odd: [*good[:-1], odd])] if good else []
        return st.one_of(st.just([]), st.just(tuple(good)), *last, st.lists(values, max_size=3), values)
    return values


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Names that are odd become files here, and what wants all the memory there is gets a MemoryError."""
    allowed = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (psutil.Process().memory_info().data + MEMORY, allowed[1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield
    resource.setrlimit(resource.RLIMIT_DATA, allowed)


CLIPS = animlab.load_dataset("shapes-synthetic", progress=False)
CLIPS = animlab.Clips(CLIPS.frames[:64], CLIPS.clips[:2], "odd")
MODEL = animlab.Model(*animlab.networks.build("paper", SPACE, width=0.05))
FRAMES = np.asarray(CLIPS.frames[:8])
CODES, FACTORS = np.random.default_rng(0).random((40, 2)), np.arange(80).reshape(40, 2) % 3
FEATURES = np.random.default_rng(1).random((30, 4))
NETWORK = metrics.load_features("animlab", progress=False)
PROTOCOL = metrics.AnimationProtocol(CLIPS, NETWORK, 40)
HISTORY = dict.fromkeys(["d_loss", "g_loss", "lambda_d", "lambda_c"], np.ones(3))
TIMELINE = animlab.Timeline(SPACE, 2.0).with_key(0, SPACE.still(d=0)).with_key(1.5, SPACE.still(d=1))
FAST = {"progress": False, "device": "cpu"}

CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "LabelSpace": (LabelSpace, {"n_z": 2, "n_d": 2, "n_c": 2}),
    "LabelSpace.sample": (SPACE.sample, {"n": 4, "generator": None, "device": "cpu"}),
    "LabelSpace.sample_pairs": (SPACE.sample_pairs, {"n": 4, "generator": None, "device": "cpu"}),
    "LabelSpace.one_hot": (SPACE.one_hot, {"d": torch.tensor([0, 1])}),
    "LabelSpace.still": (SPACE.still, {"d": 1, "c": [0.5, 0.5], "seed": 0}),
    "LabelSpace.sweep": (
        SPACE.sweep,
        {"base": SPACE.still(), "along": 1, "frames": 4, "start": 0.0, "stop": 1.0, "c": None},
    ),
    "LabelSpace.path": (SPACE.path, {"stops": [SPACE.still(), SPACE.still(1)], "frames": 4}),
    "fit": (
        animlab.fit,
        {
            "clips": CLIPS,
            "space": SPACE,
            "preset": replace(animlab.PRESETS["stable"], batch=4),
            "steps": 1,
            "seed": 0,
            "out": None,
            "width": 0.05,
            "start": None,
            "seconds": None,
            "precision": "fp32",
            "device": "cpu",
            "resume": False,
            "callbacks": (),
            "sample_every": 100,
            "checkpoint_every": 500,
            "keep": 0,
            "progress": False,
        },
    ),
    "baselines.fit": (
        animlab.baselines.fit,
        {
            "clips": CLIPS,
            "model": "mocogan",
            "steps": 1,
            "seed": 0,
            "width": 0.05,
            "seconds": None,
            "precision": "fp32",
            "resume": False,
            "callbacks": (),
            "sample_every": 100,
            "checkpoint_every": 500,
            "keep": 0,
            **FAST,
        },
    ),
    "Model.animate": (
        MODEL.animate,
        {"d": 0, "along": 0, "frames": 2, "seed": 0, "start": 0.0, "stop": 1.0, "labels": SPACE.still()},
    ),
    "Model.animate, no labels": (MODEL.animate, {"d": [0, 1], "along": [0, 1], "frames": 2, "seed": 0, "c": None}),
    "Model.frames": (MODEL.frames, {"labels": SPACE.sample(2)}),
    "Model.read": (MODEL.read, {"frames": FRAMES}),
    "filmstrip": (animlab.filmstrip, {"clips": FRAMES, "gap": 2}),
    "invert": (
        animlab.invert,
        {"model": MODEL, "picture": FRAMES[0], "known": None, "steps": 2, "seed": 0, "progress": False},
    ),
    "save": (animlab.save, {"model": MODEL, "path": "a.safetensors", "dtype": torch.float32}),
    "load": (animlab.load, {"path": "pretrained/actions", "device": "cpu"}),
    "export_player": (animlab.export_player, {"model": MODEL, "path": "a.html"}),
    "load_dataset": (
        animlab.load_dataset,
        {"name": "shapes-synthetic", "root": None, "progress": False, "crop": False},
    ),
    "push": (animlab.push, {"model": MODEL, "name": "owner/name", "private": False}),
    "save_animation": (animlab.save_animation, {"clip": FRAMES, "path": "a.gif", "fps": 12}),
    "Clips": (animlab.Clips, {"frames": FRAMES, "clips": CLIPS.clips[:1], "name": "a", "factors": {}, "skipped": ()}),
    "Clips.only": (CLIPS.only, {"keep": np.array([True, False])}),
    "Clips.single": (animlab.Clips.single, {"frames": FRAMES}),
    "Clips.split": (CLIPS.split, {"held_out": 0.5, "seed": 0}),
    "LabelPlayer": (animlab.LabelPlayer, {"model": MODEL, "d": 0, "seed": 0, "labels": SPACE.still()}),
    "Composer": (animlab.Composer, {"model": MODEL, "d": 0, "seed": 0, "labels": None, "timeline": TIMELINE}),
    "Timeline": (animlab.Timeline, {"space": SPACE, "seconds": 2.0, "loop": True, "keys": TIMELINE.keys}),
    "Timeline.with_key": (TIMELINE.with_key, {"time": 1.0, "labels": SPACE.still(d=1), "ease": "linear"}),
    "Timeline.without_key": (TIMELINE.without_key, {"time": 0.0}),
    "Timeline.at": (TIMELINE.at, {"times": np.array([0.0, 1.5])}),
    "Timeline.labels": (TIMELINE.labels, {"frames": 4}),
    "Timeline.from_json": (animlab.Timeline.from_json, {"text": TIMELINE.to_json()}),
    "Timeline.load": (animlab.Timeline.load, {"path": "a.json"}),
    "Timeline.save": (TIMELINE.save, {"path": "a.json"}),
    "TensorBoard": (lambda **given: animlab.TensorBoard(**given).writer.close(), {"folder": "board", "every": 10}),
    "evaluate": (
        metrics.evaluate,
        {"model": MODEL, "clips": CLIPS, "frames": 20, "features": "auto", "seed": 0, "progress": False},
    ),
    "animation_protocol": (
        metrics.animation_protocol,
        {
            "model": MODEL,
            "clips": CLIPS,
            "length": 2,
            "count": 2,
            "real_frames": 40,
            "features": "auto",
            "seed": 0,
            "samples": 2,
            "progress": False,
        },
    ),
    "AnimationProtocol": (
        metrics.AnimationProtocol,
        {"clips": CLIPS, "features": "auto", "real_frames": 40, "seed": 0, "progress": False},
    ),
    "AnimationProtocol.real": (PROTOCOL.real, {"length": 2, "count": 2, "samples": 2}),
    "AnimationProtocol.noise": (PROTOCOL.noise, {"length": 2, "count": 2, "samples": 2}),
    "load_features": (
        metrics.load_features,
        {"name": "animlab", "weights": None, "device": "cpu", "progress": False},
    ),
    "clip_features": (metrics.clip_features, {"clips": FRAMES[None], "features": NETWORK, "terms": 2}),
    "influence": (metrics.influence, {"before": torch.zeros(2, 3, 64, 64), "after": torch.full((2, 3, 64, 64), 0.5)}),
    "Matcher": (metrics.Matcher, {"clips": CLIPS}),
    "Statistics": (metrics.Statistics, {"size": 4, "count": 0}),
    "agreement": (metrics.agreement, {"d": FACTORS[:, 0], "truth": FACTORS[:, 1]}),
    "animation_score": (metrics.animation_score, {"psnr": 20.0, "ssim": 0.5, "fid": 3.0, "alpha": 20.0, "beta": 1.0}),
    "best_match": (metrics.best_match, {"animation": FRAMES, "clips": CLIPS, "without_take": None}),
    "copying": (metrics.copying, {"samples": FRAMES, "train": CLIPS, "held_out": FRAMES, "takes": None}),
    "nearest_frames": (metrics.nearest_frames, {"frames": FRAMES, "clips": CLIPS, "takes": None}),
    "dci": (metrics.dci, {"codes": CODES, "factors": FACTORS, "seed": 0}),
    "mig": (metrics.mig, {"codes": CODES, "factors": FACTORS}),
    "sap": (metrics.sap, {"codes": CODES, "factors": FACTORS}),
    "frechet_distance": (metrics.frechet_distance, {"x": FEATURES, "y": FEATURES + 1}),
    "kernel_distance": (metrics.kernel_distance, {"x": FEATURES, "y": FEATURES + 1, "subsets": 2, "subset_size": 8}),
    "inception_score": (
        metrics.inception_score,
        {"probabilities": FEATURES / FEATURES.sum(1, keepdims=True), "splits": 2},
    ),
    "precision_recall": (metrics.precision_recall, {"fake": FEATURES, "real": FEATURES + 0.1, "k": 3}),
    "label_influence": (metrics.label_influence, {"generator": MODEL.generator, "pairs": 2, "seed": 0}),
    "real_influence": (
        metrics.real_influence,
        {"frames": CLIPS.frames, "clips": CLIPS.clips, "gap": 8, "pairs": 4, "seed": 0},
    ),
    "settling": (metrics.settling, {"generator": MODEL.generator, "labels": 2, "steps": 2, "seed": 0}),
    "monotonicity": (metrics.monotonicity, {"frames": FRAMES}),
    "smoothness": (metrics.smoothness, {"frames": FRAMES}),
    "psnr": (metrics.psnr, {"clip": FRAMES, "truth": FRAMES}),
    "ssim": (metrics.ssim, {"clip": FRAMES, "truth": FRAMES}),
    "random_sweeps": (metrics.random_sweeps, {"model": MODEL, "length": 2, "count": 2, "seed": 0}),
    "inversion_protocol": (metrics.inversion_protocol, {"model": MODEL, "clips": FRAMES[None], "steps": 2, "seed": 0}),
    "metrics.invert": (metrics.invert, {"model": MODEL, "clip": FRAMES, "steps": 2, "seed": 0}),
    "show_frames": (plots.show_frames, {"clips": FRAMES, "alt": "frames", "rows": (), "columns": ()}),
    "show_moving": (plots.show_moving, {"clips": {"a": FRAMES}, "alt": "frames", "fps": 10, "back": True}),
    "plots.losses": (plots.losses, {"history": HISTORY, "space": None}),
    "plots.influences": (plots.influences, {"measured": {"c0": metrics.Influence(0.2, 0.5)}, "real": None}),
    "networks.build": (
        animlab.networks.build,
        {"architecture": "paper", "space": SPACE, "channels": 3, "width": 0.05, "centre_c": False},
    ),
    "networks.options": (animlab.networks.options, {"architecture": "paper"}),
    "networks.scaled": (animlab.networks.scaled, {"width": 0.5, "channels": 8}),
    "networks.architecture_of": (animlab.networks.architecture_of, {"net": MODEL.generator}),
    "baselines.load": (animlab.baselines.load, {"path": "a.safetensors", "device": "cpu"}),
    "sweep_grid": (plots.sweep_grid, {"model": MODEL, "alt": "frames", "d": 0, "seed": 0, "columns": 2, "title": ""}),
}
# How often or how much: more than this is right and would take all day.
MOST = dict.fromkeys(
    ["steps", "pairs", "labels", "count", "samples", "length", "columns", "subsets", "frames", "seconds"], 12
) | {"width": 0.3}
MEMORY = 4_000_000_000  # bytes, beside what the process has: one call must not take the machine's


def too_much(name: str, value: Any) -> bool:
    try:
        return float(value) > MOST[name]
    except (KeyError, TypeError, ValueError):
        return False
    except OverflowError:
        return name in MOST


# What is given back and not asked for, what other tests try, and what has no arguments of its own to be tried.
LEFT_OUT = {
    "Callback", "CheckpointError", "Inversion", "Labels", "Model", "Preset", "Record", "Run",
    "TrainingDiverged", "AnimationScores", "Agreement", "Copying", "DCI", "Estimate", "Features", "Influence",
    "InversionScores", "Match", "NotInceptionWarning", "PrecisionRecall", "Smoothness", "Generator", "Discriminator",
    "Network", "Norm", "Spectral", "ClipGAN", "MoCoGAN", "TGAN",
}  # fmt: skip


def test_no_public_function_is_left_out() -> None:
    tried = {part for name in CALLS for part in name.split(".")}
    for room in (animlab, metrics, animlab.baselines, animlab.networks):
        public = {name for name in room.__all__ if callable(getattr(room, name))}
        assert public <= tried | LEFT_OUT, public - tried - LEFT_OUT


@pytest.mark.parametrize("name", CALLS)
@budget(0.5)
@given(data=st.data())
def test_odd_arguments(name: str, data: st.DataObject) -> None:
    function, good = CALLS[name]
    changed = data.draw(st.sampled_from(sorted(good)))
    value = data.draw(odd_like(good[changed]).filter(lambda value: not too_much(changed, value)))
    try:
        function(**good | {changed: value})
    except DOCUMENTED as error:
        assert is_one_sentence(error), error


@budget(20)
@given(st.sampled_from([field.name for field in fields(Preset)]), st.one_of(values, st.lists(values, max_size=3)))
def test_odd_presets(name: str, value: Any) -> None:
    try:
        preset = replace(animlab.PRESETS["modern"], **{name: value})
    except ValueError as error:
        assert is_one_sentence(error) and name in str(error)
        return
    assert np.all(np.asarray(getattr(preset, name)) == np.asarray(value))
