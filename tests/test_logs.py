"""What TensorBoard reads back from a log is what the run gave."""

import sys
import threading

import numpy as np
import pytest

import animlab

EventAccumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator


@pytest.fixture
def clips():
    return animlab.Clips.single(np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8))


def train(clips, folder, steps, **options):
    return animlab.fit(
        clips, animlab.LabelSpace(2, 3, 2), animlab.Preset(batch=8), steps, width=0.1, precision="fp32",
        progress=False, sample_every=4, callbacks=[animlab.TensorBoard(folder, every=2)], **options,
    )  # fmt: skip


def test_curves_and_sheets_read_back(clips, tmp_path):
    first = train(clips, tmp_path / "log", 5, out=tmp_path / "run")
    second = train(clips, tmp_path / "log", 8, out=tmp_path / "run", resume=True)
    log = EventAccumulator(str(tmp_path / "log"))
    log.Reload()
    for name in ("d_loss", "g_loss", "lambda_d", "lambda_c"):
        points = {event.step: event.value for event in log.Scalars(f"losses/{name}")}
        values = np.concatenate([first.history[name], second.history[name]])
        assert points == {step: pytest.approx(values[step - 1], rel=1e-6) for step in (2, 4, 6, 8)}
    (tag,) = log.Tags()["images"]
    sheets = log.Images(tag)
    assert [event.step for event in sheets] == [4, 5, 8, 8]
    assert (sheets[-1].height, sheets[-1].width) == (2 * 66 - 2, 8 * 66 - 2)


def test_without_tensorboard_one_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ModuleNotFoundError, match="TensorBoard is not installed: pip install tensorboard"):
        animlab.TensorBoard(tmp_path)


def test_what_is_refused_opens_no_log(tmp_path):
    with pytest.raises(ValueError, match=r"^every must be a whole number of at least 1, got 0\.$"):
        animlab.TensorBoard(tmp_path / "log", every=0)
    assert not (tmp_path / "log").exists()


def test_one_callback_serves_two_runs(clips, tmp_path):
    board, before = animlab.TensorBoard(tmp_path / "log", every=1), threading.active_count()
    for steps in (2, 3):
        options = {"width": 0.1, "progress": False, "callbacks": [board]}
        animlab.fit(clips, animlab.LabelSpace(2, 3, 2), animlab.Preset(batch=8), steps, **options)
        assert threading.active_count() < before  # the log's own has ended
    log = EventAccumulator(str(tmp_path / "log"))
    log.Reload()
    assert [event.step for event in log.Scalars("losses/d_loss")] == [1, 2, 1, 2, 3]
