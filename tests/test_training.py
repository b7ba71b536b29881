"""The two-stage step against a slow one written out here; fit: EMA, exact resume, Ctrl-C, divergence, bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

import animlab
from animlab import PRESETS, Callback, Clips, LabelSpace, Preset
from animlab.augment import VIEWS
from animlab.backend.distributed import Processes
from animlab.datasets import owls
from animlab.gan_trainer import GANTrainer
from animlab.networks import build
from animlab.step import train_step
from animlab.trainer import Settings, Trainer, TrainingDiverged

SPACE = LabelSpace(n_z=3, n_d=4, n_c=2)
SMALL = {name: replace(preset, batch=8) for name, preset in PRESETS.items()}
SMALL["relativistic"] = Preset(norm="none", loss="relativistic", gamma=0.1, batch=8)
FILE = "model.safetensors"


def make_clips(frames: np.ndarray | None = None) -> Clips:
    """Pictures of noise (or `frames`) as one clip."""
    if frames is None:
        frames = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)
    table = np.zeros(1, [("start", "i8"), ("length", "i8"), ("class", "U8"), ("take", "i8")])
    table["length"] = len(frames)
    return Clips(frames, table, "noise")  # not `Clips.single`, which would refuse what `fit` has to refuse


def small_fit(preset: str | Preset = "stable", steps: int = 6, clips: Clips | None = None, **options) -> animlab.Run:
    """A run of tiny networks that shows nothing."""
    options = {"width": 0.1, "precision": "fp32", "progress": False} | options
    values = SMALL.get(preset, preset) if isinstance(preset, str) else preset
    return animlab.fit(make_clips() if clips is None else clips, SPACE, values, steps, **options)


def drawn_by(rng: torch.Generator):
    """torch.rand with a generator of its own."""
    return partial(torch.rand, generator=rng)


def weights(*nets: torch.nn.Module) -> list[torch.Tensor]:
    """Copies of everything that the networks remember."""
    return [value.clone() for net in nets for value in net.state_dict().values()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def model_weights(run: animlab.Run) -> list[torch.Tensor]:
    return weights(run.model.generator, run.model.discriminator)


def assert_same_file(first: Path, second: Path) -> None:
    """Bit for bit the same networks, optimisers and random state."""
    one, other = load_file(first / FILE), load_file(second / FILE)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


# The step -------------------------------------------------------------------------------------------------------------


def slow_step(generator, discriminator, real, labels, preset, rand, lr):
    """The step as the paper tells it, with PyTorch's losses, one backward pass a loss, and gradient descent by hand."""

    def descend(net, terms):
        parameters = list(net.parameters())
        total = [torch.zeros_like(p) for p in parameters]
        for weight, loss in terms:
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            for sum_, gradient in zip(total, gradients):
                if gradient is not None:  # R1 does not depend on the last bias
                    sum_ += weight * gradient
        with torch.no_grad():
            for p, gradient in zip(parameters, total):
                p -= lr * gradient

    def label_terms(d_logits, c_hat):
        d, c = labels.d[: len(d_logits)].argmax(dim=1), labels.c[: len(c_hat)]
        return [(preset.lambda_d, F.cross_entropy(d_logits, d)), (preset.lambda_c, F.mse_loss(c_hat, c))]

    def penalty(frame):
        """½‖∇ logit‖² of a single frame."""
        frame = frame[None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(frame)[0].sum(), frame, create_graph=True)
        return 0.5 * gradient.norm() ** 2

    bce, n = F.binary_cross_entropy_with_logits, len(real)
    view, relativistic = VIEWS.get(preset.label_view), preset.loss == "relativistic"
    ones, zeros = torch.ones(n, 1), torch.zeros(n, 1)

    def shown(frames):
        """Each frame alone cut out of itself, its edge repeated around it."""
        most, moved = preset.shift, []
        if not most:
            return frames
        for frame, (down, right) in zip(frames, (rand(len(frames), 2) * (2 * most + 1)).int().tolist()):
            wide = F.pad(frame[None], (most,) * 4, mode="replicate")[0]
            moved.append(wide[:, down : down + 64, right : right + 64])
        return torch.stack(moved)

    fake = generator(labels).detach()
    judged = shown(torch.cat([real, fake]))
    views = [view(shown(fake[: n // 2]), rand)] if view else []  # its labels are those of the fakes it shows
    logit, d_logits, c_hat = discriminator(torch.cat([judged, *views]))
    real_logit, fake_logit, read = logit[:n], logit[n : 2 * n], slice(2 * n if view else n, None)
    terms = label_terms(d_logits[read], c_hat[read])
    if relativistic:
        terms.append((1, bce(real_logit - fake_logit, ones)))
    else:
        terms += [(1, bce(real_logit, ones)), (1, bce(fake_logit, zeros))]
    if preset.gamma:
        some = range(0, n // preset.penalty_every)
        terms += [(preset.gamma / len(some), penalty(judged[start + i])) for start in (0, n) for i in some]
    descend(discriminator, terms)

    fake = generator(labels)
    judged = shown(fake)  # which draws its random numbers before the view does
    views = [view(shown(fake[: n // 2]), rand)] if view else []
    logit, d_logits, c_hat = discriminator(torch.cat([judged, *views]))
    read = slice(n if view else 0, None)
    margin = logit[:n] - real_logit.detach() if relativistic else logit[:n]
    terms = [*label_terms(d_logits[read], c_hat[read]), (1, bce(margin, ones))]
    if preset.lambda_still:
        change = F.avg_pool2d(fake[n // 2 :] - fake[: n // 2], 4).reshape(n // 2, -1)
        spread = change.norm(p=1, dim=1) / change.norm(p=2, dim=1) / change.shape[1] ** 0.5
        terms.append((preset.lambda_still, spread.mean()))
    descend(generator, terms)


def step_inputs(preset: Preset, rng: torch.Generator):
    """Networks that see large enough gradients, and a batch."""
    torch.manual_seed(1)
    generator, discriminator = build(preset.architecture, SPACE, 3, width=0.1, **preset.network_options)
    if preset.architecture == "residual":  # its blocks start at zero, and what feeds a zero has no gradient
        with torch.no_grad():
            for p in (*generator.parameters(), *discriminator.parameters()):
                p += 0.1 * torch.randn(p.shape)
    real = torch.rand(8, 3, 64, 64, generator=rng) * 2 - 1
    return generator, discriminator, real, SPACE.sample_pairs(8, rng)


def ours(nets, optimizers, real, labels, preset, seed=5):
    rand = drawn_by(torch.Generator().manual_seed(seed))
    return train_step(*nets, *optimizers, real, labels, preset, lambda: torch.autocast("cpu", enabled=False), rand)


@pytest.mark.parametrize("name", SMALL)
def test_one_step_equals_the_slow_one(name, rng):
    """Gradient descent moves each weight in proportion to its gradient, so that equal weights mean equal gradients."""
    preset, lr = SMALL[name], 0.01
    *nets, real, labels = step_inputs(preset, rng)
    slow, before = [deepcopy(net) for net in nets], [deepcopy(net) for net in nets]
    ours(nets, [torch.optim.SGD(net.parameters(), lr) for net in nets], real, labels, preset)
    slow_step(*slow, real, labels, preset, drawn_by(torch.Generator().manual_seed(5)), lr)
    for net, expected, start in zip(nets, slow, before):
        for (key, value), there, old in zip(net.named_parameters(), expected.parameters(), start.parameters()):
            moved = (there - old).abs().max().item()
            error = (value - there).abs().max().item()
            assert error <= 1e-4 * moved + 1e-7, f"{key}: off by {error:.2g} of a move of {moved:.2g}"
        # nearly every weight is told where to go, or the comparison above would say nothing
        steps = torch.cat([(a - b).flatten() for a, b in zip(net.parameters(), start.parameters())])
        assert (steps.abs() > 0).float().mean() > 0.6


@pytest.mark.parametrize("name", SMALL)
def test_each_stage_moves_one_network(name, rng):
    *nets, real, labels = step_inputs(SMALL[name], rng)
    optimizers = [torch.optim.SGD(net.parameters(), 0.01) for net in nets]
    seen = [[[p.detach().clone() for p in net.parameters()] for net in nets]]  # [moment][0 is G, 1 is D]
    grads = []  # D's at the two moments

    def look(*_):
        seen.append([[p.detach().clone() for p in net.parameters()] for net in nets])
        grads.append([p.grad.clone() for p in nets[1].parameters()])

    for optimizer in reversed(optimizers):
        optimizer.register_step_post_hook(look)
    ours(nets, optimizers, real, labels, SMALL[name])
    start, after_stage_1, after_stage_2 = seen
    assert same(start[0], after_stage_1[0]) and not same(start[1], after_stage_1[1])
    assert not same(after_stage_1[0], after_stage_2[0]) and same(after_stage_1[1], after_stage_2[1])
    assert same(*grads)  # D was frozen: stage 2 left no gradient in it
    assert all(p.requires_grad for net in nets for p in net.parameters())


def test_one_batch_of_fakes_serves_both_stages(rng):
    *nets, real, labels = step_inputs(SMALL["paper"], rng)
    ours(nets, [torch.optim.SGD(net.parameters(), 0.01) for net in nets], real, labels, SMALL["paper"])
    passes = [m.num_batches_tracked.item() for net in nets for m in net.modules() if hasattr(m, "num_batches_tracked")]
    assert passes == [1, 1, 1, 1, 2, 2]  # G's batch norms saw one batch, D's one a stage


def test_losses_of_a_step_are_pytorchs(rng):
    preset = SMALL["paper"]
    generator, discriminator, real, labels = step_inputs(preset, rng)
    with torch.no_grad():
        logit, d_logits, c_hat = deepcopy(discriminator)(torch.cat([real, deepcopy(generator)(labels)]))
    nets = generator, discriminator
    losses = ours(nets, [torch.optim.SGD(net.parameters(), 0.0) for net in nets], real, labels, preset)
    told = torch.cat([torch.ones(8, 1), torch.zeros(8, 1)])
    lambda_d = F.cross_entropy(d_logits[8:], labels.d)
    lambda_c = F.mse_loss(c_hat[8:], labels.c)
    assert losses["lambda_d"].item() == pytest.approx(lambda_d.item(), rel=1e-4)
    assert losses["lambda_c"].item() == pytest.approx(lambda_c.item(), rel=1e-4)
    bce = 2 * F.binary_cross_entropy_with_logits(logit, told)  # two means of 8, not one of 16
    assert losses["d_loss"].item() == pytest.approx((bce + lambda_d + lambda_c).item(), rel=1e-4)
    assert not any(value.requires_grad for value in losses.values())


# The loop -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frozen", "moving"), [("lr_g", "discriminator"), ("lr_d", "generator")])
def test_each_network_has_its_own_learning_rate(frozen, moving):
    preset = replace(SMALL["paper"], **{frozen: 0.0})
    before, after = (animlab.fit(make_clips(), SPACE, preset, n, width=0.1, progress=False).model for n in (1, 3))
    for name in ("generator", "discriminator"):
        pairs = zip(getattr(before, name).parameters(), getattr(after, name).parameters())
        assert all(torch.equal(a, b) for a, b in pairs) == (name != moving)


def test_the_average_equals_one_by_hand():
    preset = replace(SMALL["stable"], ema=0.5)
    state = GANTrainer(make_clips().frames, SPACE, preset, Settings(), 0.1, Processes.here("cpu"))
    by_hand = [p.detach().double() for p in state.generator.parameters()]
    for decay in [n / (n + 10) for n in range(1, 10)] + [0.5] * 3:  # follows closely at first, then ema
        state.train_step()
        by_hand = [decay * a + (1 - decay) * p.detach().double() for a, p in zip(by_hand, state.generator.parameters())]
    assert state.step == 12
    for mine, there, raw in zip(state.g_ema.parameters(), by_hand, state.generator.parameters()):
        assert torch.allclose(mine.double(), there, atol=1e-6)
        assert not torch.equal(mine, raw)
    assert all(torch.equal(a, b) for a, b in zip(state.g_ema.buffers(), state.generator.buffers()))


def test_the_paper_preset_plays_the_newest_weights(tmp_path):
    small_fit("paper", 3, out=tmp_path)
    tensors = load_file(tmp_path / FILE)
    raw = {name.removeprefix("training."): x for name, x in tensors.items() if name.startswith("training.generator.")}
    assert raw and all(torch.equal(tensors[name], value) for name, value in raw.items())


def test_the_seed_decides_everything():
    torch.manual_seed(1)
    first = model_weights(small_fit(seed=3))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second, other = model_weights(small_fit(seed=3)), model_weights(small_fit(seed=4))
    assert same(first, second) and not same(first, other)
    assert torch.equal(torch.get_rng_state(), before)  # the reader's own random numbers are left alone


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("preset", SMALL)
def test_resumed_equals_uninterrupted(preset, precision, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    once = small_fit(preset, 5, precision=precision, out=whole)
    small_fit(preset, 2, precision=precision, out=parts)
    again = small_fit(preset, 5, precision=precision, out=parts, resume=True)
    assert_same_file(whole, parts)
    assert same(model_weights(once), model_weights(again))
    assert again.step == 5 and len(again.history["d_loss"]) == 3  # of this call
    for name, values in again.history.items():
        assert np.array_equal(values, once.history[name][2:])


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    small_fit(steps=2, out=tmp_path)
    before = (tmp_path / FILE).read_bytes()
    run = small_fit(steps=2, out=tmp_path, resume=True)
    assert run.step == 2 and run.history == {} and (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("seed", {"seed": 1}),
        ("norm", {"preset": "paper"}),
        ("lambda_c", {"preset": replace(PRESETS["stable"], batch=8, lambda_c=3.0)}),
        ("width", {"width": 0.2}),
        ("precision", {"precision": "bf16"}),
        ("channels", {"clips": make_clips(np.zeros((40, 64, 64, 1), np.uint8))}),
        ("dataset", {"clips": replace(make_clips(), name="other")}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_resume_refuses_other_settings(key, other, tmp_path):
    small_fit(steps=1, out=tmp_path)
    message = rf"^The run in \S+ was begun with {key} = .*: resume it with the same setting, or start a new run .*\.$"
    with pytest.raises(ValueError, match=message):
        small_fit(**({"steps": 2, "out": tmp_path, "resume": True} | other))


def test_a_finished_model_cannot_be_resumed(tmp_path):
    animlab.save(small_fit(steps=1).model, tmp_path)
    with pytest.raises(ValueError, match=r"without its training state, so it cannot be resumed\.$"):
        small_fit(out=tmp_path, resume=True)


@pytest.mark.parametrize("place", ["run", "weights.safetensors"])
def test_a_run_is_not_overwritten(place, tmp_path):
    small_fit(steps=1, out=tmp_path / place)
    before = animlab.checkpoints.find(tmp_path / place).read_bytes()
    with pytest.raises(FileExistsError, match=r"holds a run: pass resume=True to go on, or name another place\.$"):
        small_fit(steps=1, seed=1, out=tmp_path / place)
    assert animlab.checkpoints.find(tmp_path / place).read_bytes() == before


def test_a_bad_place_shows_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    followed = Follow()
    with pytest.raises(OSError):
        small_fit(out=tmp_path / "file" / "run", callbacks=[followed])
    assert followed.calls == []


def test_resume_refuses_other_frames_of_the_same_name(tmp_path):
    other = make_clips(np.random.default_rng(1).integers(0, 256, (40, 64, 64, 3), np.uint8))
    small_fit(steps=1, out=tmp_path)
    said = (
        f"The run in {tmp_path} was begun with other frames than these, which are named 'noise' as well: resume it "
        "with the same frames, or start a new run in another folder."
    )
    for clips in (other, make_clips(make_clips().frames[:39])):
        with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
            small_fit(steps=2, out=tmp_path, resume=True, clips=clips)
    near = make_clips(np.where(make_clips().frames < 255, make_clips().frames + 1, 255).astype(np.uint8))
    assert small_fit(steps=2, out=tmp_path, resume=True, clips=near).step == 2  # as another decoder would have them


def blackened(frames: np.ndarray) -> None:
    """All but the eight frames that older versions looked at."""
    frames[np.setdiff1d(np.arange(len(frames)), np.linspace(0, len(frames) - 1, 8).astype(int))] = 0


def shuffled(frames: np.ndarray) -> None:
    """Every pixel at another place of its square of 16 × 16."""
    squares = frames.reshape(len(frames), 4, 16, 4, 16, -1).transpose(0, 1, 3, 2, 4, 5)
    mixed = np.random.default_rng(3).permutation(squares.reshape(len(frames), 4, 4, 256, -1), axis=3)
    frames[:] = mixed.reshape(squares.shape).transpose(0, 1, 3, 2, 4, 5).reshape(frames.shape)


def swapped(frames: np.ndarray) -> None:
    """Two neighbours in one film, which differ by little."""
    frames[[20, 21]] = frames[[21, 20]]


def replaced(frames: np.ndarray) -> None:
    frames[21] = frames[70]


@pytest.fixture(scope="module")
def films() -> np.ndarray:
    """Owls, (80, 64, 64, 3): a plain wall, and motion in parts of it."""
    return np.concatenate([clip.frames for clip in owls.render_owls(40)])


@pytest.mark.parametrize("change", [blackened, shuffled, swapped, replaced], ids=lambda change: change.__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_resume_notices_any_real_change_of_the_frames(change, channels, films, tmp_path):
    other = films[..., :channels].copy()
    small_fit(steps=1, out=tmp_path, clips=make_clips(other.copy()))
    change(other)
    with pytest.raises(ValueError, match="was begun with other frames than these"):
        small_fit(steps=2, out=tmp_path, resume=True, clips=make_clips(other))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("noise", [lambda rng, x: rng.integers(-1, 2, x.shape), lambda rng, x: 2, lambda rng, x: -2])
def test_resume_passes_over_what_a_decoder_rounds(noise, channels, films, tmp_path):
    frames = films[..., :channels]
    small_fit(steps=1, out=tmp_path, clips=make_clips(frames.copy()))
    near = np.clip(frames.astype(int) + noise(np.random.default_rng(4), frames), 0, 255).astype(np.uint8)
    assert small_fit(steps=2, out=tmp_path, resume=True, clips=make_clips(near)).step == 2


def test_a_run_of_an_older_version_resumes(films, tmp_path):
    """It holds the levels of eight frames, and no sketch of all of them."""
    small_fit(steps=1, out=tmp_path, clips=make_clips(films))
    tensors = load_file(tmp_path / FILE)
    with safe_open(tmp_path / FILE, "pt") as file:
        header = json.loads(file.metadata()["animlab"])
    means = films[[0, 11, 22, 33, 45, 56, 67, 79]].reshape(8, 4, 16, 4, 16, 3).mean(axis=(2, 4, 5))
    assert header["frames"] == f"80 {means.round().astype(np.uint8).tobytes().hex()}"
    del tensors["training.frames"], header["crc32"]["training.frames"]
    save_file(tensors, tmp_path / FILE, {"animlab": json.dumps(header)})
    with pytest.raises(ValueError, match="was begun with other frames than these"):
        small_fit(steps=2, out=tmp_path, resume=True, clips=make_clips(films[::-1].copy()))
    assert small_fit(steps=2, out=tmp_path, resume=True, clips=make_clips(films)).step == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t, h: [t.pop(name) for name in list(t) if name.endswith("exp_avg_sq")], "comes with exp_avg, step"),
        (lambda t, h: [t.pop(name) for name in list(t) if "g_optimizer.0." in name], "comes with no moments"),
        (lambda t, h: t.update({"training.g_optimizer.0.exp_avg": torch.zeros(2, 2)}), "RuntimeError: shape"),
        (lambda t, h: t.update({"training.g_optimizer.99.exp_avg": torch.zeros(2)}), "IndexError"),
        (lambda t, h: t.update({"training.rng": torch.zeros_like(t["training.rng"])}), "RuntimeError: Invalid mt19937"),
        (lambda t, h: t.pop("training.generator.embed.0.bias"), "embed.0.bias is missing, by the header it is"),
        (lambda t, h: h["card"].update(steps="ten"), "steps must be a whole number of at least 0, got 'ten'"),
        (lambda t, h: h["card"].update(steps=-5), "steps must be a whole number of at least 0, got -5"),
        (lambda t, h: h["card"].update(preset_values={"zeal": 1}), "unexpected keyword argument 'zeal'"),
        (lambda t, h: h.update(card=[]), "the card is [], not an object"),
        (lambda t, h: h.update(frames="many"), "ValueError"),
        (lambda t, h: t.update({"training.frames": torch.zeros(2, 2)}), "the sketch of the frames is float32 (2, 2)"),
        (lambda t, h: h.pop("space"), "a header without 'space', so it cannot be resumed"),
    ],
)  # fmt: skip
def test_resume_refuses_what_is_damaged(change, says, tmp_path):
    small_fit(steps=1, out=tmp_path)
    tensors = load_file(tmp_path / FILE)
    with safe_open(tmp_path / FILE, "pt") as file:
        header = json.loads(file.metadata()["animlab"])
    del header["crc32"]  # which would tell, too
    change(tensors, header)
    save_file(tensors, tmp_path / FILE, {"animlab": json.dumps(header)})
    with pytest.raises(animlab.CheckpointError) as caught:
        small_fit(steps=2, out=tmp_path, resume=True)
    assert says in str(caught.value) and "\n" not in str(caught.value)


# Ctrl-C ---------------------------------------------------------------------------------------------------------------


class Interrupt(Callback):
    """Presses Ctrl-C once, in the middle of step `at` as far as the loop can tell."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step(self, record):
        if record.step == self.at:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0)  # the interpreter delivers the signal here at the latest


def test_an_interrupt_leaves_a_checkpoint_to_go_on_from(tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    handler = signal.getsignal(signal.SIGINT)
    run = small_fit(steps=5, out=parts, callbacks=[Interrupt(3)])
    assert run.interrupted and run.step == 3 and signal.getsignal(signal.SIGINT) is handler
    assert re.fullmatch(r"Interrupted after step 3 of 5; go on with fit\(.*resume=True\)\.\n", capsys.readouterr().err)
    assert not small_fit(steps=5, out=parts, resume=True).interrupted
    small_fit(steps=5, out=whole)
    assert_same_file(whole, parts)


SUBPROCESS = """
import sys
sys.path.insert(0, {tests!r})
from test_training import Callback, small_fit

class Tell(Callback):
    def on_step(self, record):
        print(record.step, flush=True)

run = small_fit(steps=10**6, out={out!r}, callbacks=[Tell()])
print("ended", run.step, run.interrupted, flush=True)
"""


def test_ctrl_c_in_another_process(tmp_path):
    """Also resume across processes: this one goes on from the other's checkpoint."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    script = SUBPROCESS.format(tests=str(Path(__file__).parent), out=str(parts))
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "1\n"
    child.send_signal(signal.SIGINT)
    *_, last = child.communicate(timeout=60)[0].splitlines()
    word, step, interrupted = last.split()
    assert (word, interrupted, child.returncode) == ("ended", "True", 0)
    assert animlab.load(parts).card["steps"] == int(step)
    small_fit(steps=int(step) + 2, out=parts, resume=True)
    small_fit(steps=int(step) + 2, out=whole)
    assert_same_file(whole, parts)


# Divergence -----------------------------------------------------------------------------------------------------------


class Poison(Callback):
    """Puts NaN into a weight of D after step `at`."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step(self, record):
        if record.step == self.at:
            with torch.no_grad():
                next(record.model.discriminator.parameters()).fill_(torch.nan)


def test_nan_stops_with_the_loss_and_the_step(tmp_path):
    message = r"^Training diverged at step 5: d_loss is nan; the checkpoint of step 3 is intact\. Try "
    with pytest.raises(TrainingDiverged, match=message):
        small_fit(steps=9, out=tmp_path, checkpoint_every=3, callbacks=[Poison(4)])
    small_fit(steps=3, out=tmp_path / "clean")
    assert_same_file(tmp_path, tmp_path / "clean")


def test_nan_weights_never_become_a_checkpoint(tmp_path):
    """The losses of step 4 were fine still; what step 4 would save is not."""
    message = r"diverged at step 4: discriminator\.\S+ is not finite; the checkpoint of step 2 is intact"
    with pytest.raises(TrainingDiverged, match=message):
        small_fit(steps=9, out=tmp_path, checkpoint_every=2, callbacks=[Poison(4)])
    assert animlab.load(tmp_path).card["steps"] == 2


def test_a_huge_learning_rate_diverges_and_says_so():
    preset = replace(SMALL["paper"], lr_g=1e30, lr_d=1e30)
    message = r"^Training diverged at step \d: \w+ is (nan|inf); nothing was saved\. Try "
    with pytest.raises(TrainingDiverged, match=message):
        animlab.fit(make_clips(), SPACE, preset, 50, width=0.1, progress=False)


# Callbacks, progress, limits ------------------------------------------------------------------------------------------


class Follow(Callback):
    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.records: list[animlab.Record] = []

    def on_step(self, record):
        self.calls.append(("step", record.step))
        self.records.append(record)

    def on_sample(self, record):
        self.calls.append(("sample", record.step))

    def on_end(self, record):
        self.calls.append(("end", record.step))


def test_callbacks_in_order_with_their_records():
    follow = Follow()
    run = small_fit(steps=5, sample_every=2, callbacks=[Callback(), follow])
    marks = [(n, kind) for n in range(1, 6) for kind in ("step", "sample") if kind == "step" or n % 2 == 0]
    assert follow.calls == [(kind, n) for n, kind in marks] + [("end", 5)]
    assert {record.steps for record in follow.records} == {5}
    assert [record.model for record in follow.records] == [run.model] * 5
    assert set(run.history) == {"d_loss", "g_loss", "lambda_d", "lambda_c"}
    for name, values in run.history.items():
        assert values.tolist() == pytest.approx([record.losses[name] for record in follow.records])
    last = follow.records[-1]
    assert last.frames_per_second == pytest.approx(5 * 8 / last.seconds) and run.seconds >= last.seconds > 0


def test_without_out_and_progress_nothing_is_written_or_printed(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    run = small_fit(steps=2, checkpoint_every=1, sample_every=1)
    assert list(tmp_path.iterdir()) == [] and run.out is None
    assert capfd.readouterr() == ("", "")


def test_the_progress_bar_shows_losses_and_speed(capsys):
    small_fit(steps=3, progress=True)
    shown = capsys.readouterr().err
    for part in ("3/3", "frames/s=", "d_loss=", "g_loss=", "lambda_d=", "lambda_c="):
        assert part in shown
    assert re.search(r"\[\d\d:\d\d<\d\d:\d\d,", shown)  # time gone, and time left


@pytest.mark.parametrize(("seconds", "most"), [(0.0, 0), (0.3, 10**9)])
def test_a_time_limit_ends_the_call(seconds, most):
    began = time.perf_counter()
    run = small_fit(steps=10**9, seconds=seconds)
    assert (run.step > 0) == (seconds > 0) and run.step <= most and not run.interrupted
    assert time.perf_counter() - began < seconds + 10


def test_an_estimate_takes_the_usual_step(tmp_path, monkeypatch):
    """Steps of known length, by a clock of the test's own."""
    train_step, lengths, now = Trainer.train_step, iter([50, 9, 2, 3, 70]), [0.0]

    def slow(*args):
        now[0] += next(lengths)
        return train_step(*args)

    monkeypatch.chdir(tmp_path)
    before = torch.get_rng_state()
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", slow)
        patch.setattr("animlab.training.time", SimpleNamespace(perf_counter=lambda: now[0]))
        seconds = animlab.training.estimate(make_clips(), SPACE, SMALL["stable"], 20, width=0.1, timed=3)
    assert seconds == 20 * 3 and list(lengths) == []  # the median of 2, 3 and 70; 50 and 9 warmed up
    assert torch.equal(torch.get_rng_state(), before) and list(tmp_path.iterdir()) == []


def test_an_estimate_refuses_what_fit_refuses():
    with pytest.raises(
        ValueError,
        match=r"^What a model trains on must be uint8 frames \(N, 64, 64, 1 or 3\), got uint8 \(0, 64, 64, 3\)\.$",
    ):
        animlab.training.estimate(make_clips(np.zeros((0, 64, 64, 3), np.uint8)), SPACE)


def test_earlier_checkpoints_are_kept_to_a_number(tmp_path):
    (tmp_path / "step-best.safetensors").touch()  # the reader's own
    small_fit(steps=9, out=tmp_path, checkpoint_every=2, keep=2)
    names = ["model.safetensors", "step-6.safetensors", "step-8.safetensors", "step-best.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    small_fit(steps=11, out=tmp_path, checkpoint_every=2, keep=2, resume=True)
    steps = {path.name: animlab.load(path).card["steps"] for path in tmp_path.iterdir() if path.stat().st_size}
    assert steps == {"model.safetensors": 11, "step-9.safetensors": 9, "step-10.safetensors": 10}
    whole = tmp_path / "whole"
    small_fit(steps=9, out=whole)
    kept, expected = load_file(tmp_path / "step-9.safetensors"), load_file(whole / FILE)
    assert kept.keys() == expected.keys() and all(torch.equal(kept[key], expected[key]) for key in kept)


# A process with little more memory than it has already: what happens is the machine's own.
OUT_OF_MEMORY = """
import resource, sys
import numpy as np, torch
import animlab
clips = animlab.Clips.single(np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8))
class Squeeze(animlab.Callback):
    def on_step(self, record):
        if record.step == 5:
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            limit = used + 2**28  # for all else: safetensors and others abort a process that has nothing left
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            GREEDY = lambda *arguments: torch.ones(1 << 34)
animlab.fit(clips, animlab.LabelSpace(), animlab.Preset(batch=8), 6, out=sys.argv[1], width=0.1, checkpoint_every=2,
            progress=False, callbacks=[Squeeze()])
"""


@pytest.mark.parametrize(
    "greedy, what",
    [("animlab.gan_trainer.to_tensor", "Step 6"), ("animlab.checkpoints.save_file", "The checkpoint of step 6")],
)
def test_out_of_memory_says_what_to_make_smaller(greedy, what, tmp_path):
    script = OUT_OF_MEMORY.replace("GREEDY", greedy)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        f"MemoryError: {what} needs more memory than there is, with batches of 8 and networks of width 0.1: make one "
        "of them smaller; the checkpoint of step 4 is intact."
    )
    assert animlab.load(tmp_path / "run").card["steps"] == 4
    assert [path.name for path in (tmp_path / "run").iterdir()] == [FILE]  # nothing half-written


def test_the_caller_chooses_when_checkpoints_are_written(tmp_path):
    steps = []

    class Look(Callback):
        def on_step(self, record):
            steps.append(animlab.load(tmp_path).card["steps"] if (tmp_path / FILE).exists() else None)

    small_fit(steps=6, out=tmp_path, checkpoint_every=2, callbacks=[Look()])
    assert steps == [None, None, 2, 2, 4, 4]
    assert animlab.load(tmp_path).card["steps"] == 6


# What comes in --------------------------------------------------------------------------------------------------------


def test_grey_frames_train():
    run = small_fit(steps=1, clips=make_clips(np.random.default_rng(0).integers(0, 256, (9, 64, 64, 1), np.uint8)))
    assert run.model.animate(frames=2).shape == (2, 64, 64, 1)


def test_read_only_memory_maps_train(tmp_path):
    np.save(tmp_path / "frames.npy", make_clips().frames)
    mapped = make_clips(np.load(tmp_path / "frames.npy", mmap_mode="r"))
    assert same(model_weights(small_fit(steps=2, clips=mapped)), model_weights(small_fit(steps=2)))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (np.zeros((9, 32, 64, 3), np.uint8), "(9, 32, 64, 3)"),
        (np.zeros((9, 64, 64, 2), np.uint8), "(9, 64, 64, 2)"),
        (np.zeros((9, 64, 64), np.uint8), "(9, 64, 64)"),
        (np.zeros((9, 64, 64, 3), np.float32), "float32"),
        (np.zeros((0, 64, 64, 3), np.uint8), "(0, 64, 64, 3)"),
    ],
)
def test_frames_that_do_not_train(frames, said):
    with pytest.raises(ValueError, match=rf"^What a model trains on must be [^.]*{re.escape(said)}[^.]*\.$"):
        small_fit(clips=make_clips(frames))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preset": "papr"}, f"No preset is named 'papr'; there are {', '.join(map(repr, PRESETS))}."),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0."),
        ({"precision": "fp8"}, "No precision is named 'fp8'; there are 'auto', 'bf16', 'fp32'."),
        ({"preset": ["paper"]}, f"No preset is named ['paper']; there are {', '.join(map(repr, PRESETS))}."),
        ({"steps": np.nan}, "steps must be a whole number of at least 1, got nan."),
        ({"steps": "ten"}, "steps must be a whole number of at least 1, got 'ten'."),
        ({"seed": 1.5}, f"seed must be a whole number from {-(2**63):,} to {2**63 - 1:,}, got 1.5."),
        ({"width": -1}, "width, the factor on the networks' channels, must be a number from 0.001 to 100, got -1."),
        (
            {"width": np.nan},
            "width, the factor on the networks' channels, must be a number from 0.001 to 100, got nan.",
        ),
        ({"width": "a"}, "width, the factor on the networks' channels, must be a number from 0.001 to 100, got 'a'."),
        ({"resume": "no"}, "resume must be True or False, got 'no'."),
        ({"seconds": "1"}, "seconds must be a number of at least 0, got '1'."),
    ],
)
def test_settings_that_do_not_train(options, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        small_fit(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": "pretrained/actions"}, "start takes a Model, such as animlab.load gives, got str."),
        ({"callbacks": None}, "callbacks must be a list, got one NoneType: put it in brackets."),
        ({"callbacks": [Callback(), 1]}, "callbacks must be a list of Callback objects, got int."),
        ({"clips": make_clips().frames}, "Training takes Clips, such as load_dataset gives, got ndarray."),
    ],
)
def test_what_is_of_another_type_does_not_train(options, said):
    with pytest.raises(TypeError, match=f"^{re.escape(said)}$"):
        small_fit(**options)


@pytest.mark.parametrize("number", [np.int64, np.float32, float])
def test_numbers_of_any_type_arrive_in_the_checkpoint(number, tmp_path):
    """As a sweep or a table would give them: what cannot be stored would lose the run at its first checkpoint."""
    preset = Preset(batch=number(8), lambda_c=number(2))
    run = small_fit(preset, number(2), seed=number(3), width=number(1) / 8, out=tmp_path, checkpoint_every=number(1))
    assert run.step == 2 and small_fit(replace(preset, batch=8), 3, seed=3, width=0.125, out=tmp_path, resume=True)


FORK = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import torch
from test_training import small_fit

torch.set_num_threads(2)
model = small_fit(steps=1, width=0.5).model
child = os.fork()
if child == 0:
    signal.alarm(60)
    small_fit(steps=1, width=0.5)
    model.animate(frames=16)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0, "it waits for threads that are not there"
assert torch.get_num_threads() == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_after_training_trains(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    script = FORK.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def test_labels_without_c_do_not_train():
    with pytest.raises(ValueError, match=r"^Training needs at least one continuous label, got n_c=0\.$"):
        animlab.fit(make_clips(), LabelSpace(n_c=0), progress=False)


LONG_RUN = """
import signal
import sys
import numpy as np
import animlab
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # "nohup pytest" has its children ignore it
clips = animlab.Clips.single(np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8))
class Tells(animlab.Callback):
    def on_step(self, record):
        print(record.step, flush=True)
animlab.fit(clips, animlab.LabelSpace(), animlab.Preset(batch=8), 10**6, out=sys.argv[1], width=0.1,
            checkpoint_every=10**6, progress=False, callbacks=[Tells()])
print("the script goes on", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_polite_kill_leaves_a_checkpoint(name, tmp_path):
    """What a batch system or a closed terminal sends: the run is saved, and the process ends by that signal."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", LONG_RUN, str(tmp_path / "run")], **pipes) as process:
        for line in process.stdout:
            if int(line) == 3:
                break
        process.send_signal(getattr(signal, name))
        rest, told = process.communicate(timeout=60)
    assert process.returncode == -getattr(signal, name)
    last = int(rest.split()[-1]) if rest else 3
    assert "the script goes on" not in rest
    assert told.strip().startswith(f"Interrupted after step {last} of 1000000; go on with fit(")
    assert animlab.load(tmp_path / "run").card["steps"] == last
    assert [path.name for path in (tmp_path / "run").iterdir()] == [FILE]  # and it holds its place no longer
