"""Notebook 09: what it builds by hand is what the library does, and its exercises tell right from wrong."""

import json
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
import torch
from lessons import answers, attempt, cells

import animlab
from animlab import losses
from animlab.augment import shifted
from animlab.backend.distributed import Processes
from animlab.gan_trainer import GANTrainer
from animlab.step import train_step
from animlab.trainer import Settings

FOLDER = Path(__file__).parent.parent / "notebooks"
NAME = "09_beyond_the_paper.ipynb"
NOTEBOOK = nbformat.read(FOLDER / NAME, as_version=4)
SOLUTIONS = nbformat.read(FOLDER / "solutions" / NAME, as_version=4)
CHECKS, ANSWERS = cells(NOTEBOOK, "check"), answers(SOLUTIONS)
SPACE = animlab.LabelSpace(n_z=4, n_d=3, n_c=2)


def definitions():
    space = {"animlab": animlab, "seed": 0}
    for source in cells(NOTEBOOK, "definitions"):
        exec(compile(source, NAME, "exec"), space)
    return space


@pytest.fixture(scope="module")
def nb():
    """The names that the notebook defines, as attributes."""
    return type("Defined", (), {name: staticmethod(value) for name, value in definitions().items()})


def dice(seed=0):
    rng = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.rand(*shape, generator=rng)


# No batch norm.


def test_a_number_by_itself_does_not_tell_real_from_fake(nb, rng):
    for kind in ("real", "fake"):
        firsts = torch.stack([nb.batch_of(kind, rng, 1) for _ in range(20_000)])
        assert abs(firsts.mean()) < 0.03 and abs(firsts.std() - 1) < 0.03


def test_numbers_of_a_fake_batch_are_alike(nb, rng):
    spread = {kind: sum(nb.batch_of(kind, rng).std() for _ in range(200)) / 200 for kind in ("real", "fake")}
    assert spread["real"] == pytest.approx(1.0, abs=0.03) and spread["fake"] == pytest.approx(0.6, abs=0.03)


def test_only_batch_norm_reads_the_batch(nb):
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    normed, plain = nb.critic(torch.nn.BatchNorm1d(64)), nb.critic(torch.nn.Identity())
    assert nb.hit_rates(normed, rng, 200)[-80:].mean() > 0.6
    assert 0.45 < nb.hit_rates(plain, rng, 200)[-80:].mean() < 0.55


# The networks.


@pytest.mark.parametrize("width, channels", [(0.25, 3), (0.1, 1), (1.0, 3)])
def test_the_pair_by_hand_is_the_library_s(nb, width, channels):
    torch.manual_seed(3)
    my_g, my_d = nb.modern_G(SPACE.size, channels, width), nb.modern_D(1 + 3 + 2, channels, width)
    torch.manual_seed(3)
    their_g, their_d = animlab.networks.build("residual", SPACE, channels, width=width)
    for mine, theirs in ((my_g, their_g), (my_d, their_d)):
        pairs = list(zip(mine.parameters(), theirs.parameters(), strict=True))
        assert all(torch.equal(a, b) for a, b in pairs)
        for a, b in pairs:  # away from the start at zero, where blocks do nothing
            b.data.add_(0.02 * torch.randn_like(b))
            a.data.copy_(b)
    labels = SPACE.sample(3, torch.Generator().manual_seed(0))
    frames = my_g(nb.joined(labels))
    assert torch.allclose(frames, their_g(labels), atol=1e-4)
    mine, theirs = nb.parted(my_d(frames), labels), their_d(frames)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(mine, theirs, strict=True))
    sum(head.square().sum() for head in mine).backward()
    by_hand = [p.grad.clone() for p in (*my_g.parameters(), *my_d.parameters())]
    sum(head.square().sum() for head in their_d(their_g(labels))).backward()
    for a, b in zip(by_hand, (*their_g.parameters(), *their_d.parameters()), strict=True):
        assert torch.allclose(a, b.grad, atol=1e-3 * float(b.grad.abs().max()) + 1e-6)


def test_a_block_starts_as_the_identity_and_does_not_stay_it(nb, rng):
    x, block = torch.randn(2, 8, 4, 4, generator=rng), nb.Block(8)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.second.weight.grad.abs().max() > 0


def test_poured_weights_draw_the_same(nb, rng):
    mine = nb.modern_G(SPACE.size, 3, 0.1)
    theirs, _ = animlab.networks.build("residual", SPACE, 3, width=0.1)
    source = next(cell.source for cell in NOTEBOOK.cells if cell.source.startswith("def pour"))
    space = {}
    exec(source[: source.index("\n\n")], space)
    space["pour"](mine, theirs)
    labels = SPACE.sample(2, rng)
    assert torch.allclose(mine(nb.joined(labels)), theirs(labels), atol=1e-5)


# Loss, penalty, average, shift.


def test_pairing_and_penalty_are_the_library_s(nb, rng):
    real, fake = torch.randn(7, 1, generator=rng), torch.randn(7, 1, generator=rng)
    assert torch.equal(nb.pairing(real, fake), losses.relativistic_loss(real, fake))
    frames = torch.randn(5, 2, 6, 6, generator=rng).requires_grad_()
    logit = (frames**3).sum(dim=(1, 2, 3))[:, None]
    mine, theirs = nb.penalty(logit, frames), losses.gradient_penalties(logit, frames)
    assert torch.allclose(mine, theirs) and mine.requires_grad
    assert torch.allclose(mine, 0.5 * (3 * frames**2).square().sum(dim=(1, 2, 3)))


@pytest.mark.parametrize("most", [0, 1, 6])
def test_the_shift_by_hand_is_the_library_s(nb, most, rng):
    frames = torch.randn(9, 3, 16, 12, generator=rng)
    assert torch.equal(nb.moved(frames, most, dice(4)), shifted(frames, most, dice(4)))


def test_the_average_by_hand_is_that_of_fit(nb):
    """fit's own first step from the same seed: what it plays is what `follow` makes of the newest weights."""
    frames = torch.randint(256, (8, 64, 64, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8).numpy()
    preset = animlab.Preset(architecture="residual", norm="none", batch=4, ema=0.9)
    state = GANTrainer(frames, SPACE, preset, Settings(), 0.1, Processes.here("cpu"))
    average = deepcopy(state.generator)
    for step in range(1, 4):
        state.train_step()
        nb.follow(average, state.generator, 0.9, step)
    for mine, theirs in zip(average.parameters(), state.g_ema.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize("gamma, most", [(1.0, 4), (10.0, 2)])
def test_the_step_by_hand_is_the_library_s(nb, gamma, most):
    torch.manual_seed(0)
    theirs = animlab.networks.build("residual", SPACE, 3, width=0.1)
    torch.manual_seed(0)
    mine = nb.modern_G(SPACE.size, 3, 0.1), nb.modern_D(1 + 3 + 2, 3, 0.1)
    optimizers = [torch.optim.Adam(net.parameters(), 1e-4, (0.0, 0.99)) for net in (*theirs, *mine)]
    preset = animlab.Preset(
        architecture="residual", norm="none", loss="relativistic", gamma=gamma, penalty_every=4, centre_c=True,
        shift=most, lambda_c=5.0,
    )  # fmt: skip
    rng, first, second = torch.Generator().manual_seed(1), dice(2), dice(2)
    for _ in range(3):
        real, labels = torch.rand(10, 3, 64, 64, generator=rng) * 2 - 1, SPACE.sample(10, rng)
        found = train_step(*theirs, *optimizers[:2], real, labels, preset, nullcontext, first)
        d_loss, _ = nb.modern_step(*mine, *optimizers[2:], real, labels, gamma, most, second)
        assert d_loss == pytest.approx(found["d_loss"].item(), rel=1e-3, abs=1e-4)
    for a, b in zip(theirs, mine):
        for right, value in zip(a.parameters(), b.parameters(), strict=True):
            assert (value - right).abs().mean() < 3e-5  # three steps of 1e-4


# Directions, tables.


def test_sefa_finds_what_moves_the_first_layer_most(nb, rng):
    w = torch.randn(40, 6, generator=rng)
    found = nb.sefa(w)
    assert torch.allclose(found @ found.T, torch.eye(6), atol=1e-5)
    lengths = (w @ found.T).norm(dim=0)
    assert torch.allclose(lengths, torch.linalg.svdvals(w), atol=1e-4)


def test_the_ablations_are_shown_where_they_are(nb, tmp_path, monkeypatch):
    monkeypatch.setattr(animlab.checkpoints, "PROJECT", tmp_path)
    assert "not been measured" in nb.ablations().data
    (tmp_path / "data" / "recipes").mkdir(parents=True)
    file = tmp_path / "data" / "recipes" / "modern.json"
    rows = {"modern": {"what": "all of it", "steps": 500, "fd": 251.234}, "no-shift": {"what": "none", "steps": 490}}
    for stored in (rows, [{"name": name, **row} for name, row in rows.items()]):
        file.write_text(json.dumps(stored))
        lines = nb.ablations().data.splitlines()
        assert lines[0] == "| recipe | what | steps | fd |" and lines[2] == "| modern | all of it | 500 | 251 |"
        assert lines[3] == "| no-shift | none | 490 |  |"


# Exercises: the check cell of each, on answers that are wrong in one way each.

GP = "def gp(logit, x):\n    (slope,) = torch.autograd.grad(logit.sum(), x, create_graph=True)\n    return "
WRONG = {
    1: {
        "steps": ("half_life = lambda decay, batch: math.log(0.5) / math.log(decay)", "number of steps"),
        "1 / e": ("half_life = lambda decay, batch: batch / (1 - decay)", "1/e"),
        "sign": ("half_life = lambda decay, batch: batch * math.log(0.5) / -math.log(decay)", "both logarithms"),
        "divided": ("half_life = lambda decay, batch: math.log(0.5) / math.log(decay) / batch", "frames"),
    },
    2: {
        "R1": ("gp = penalty", "slope of zero"),
        "square": (GP + "(slope.flatten(1).square().sum(dim=1) - 1).square()", "not its square"),
        "over the batch": (GP + "(slope.norm() - 1).square()", "One number for each"),
        "cut off": ((GP + "(slope.flatten(1).norm(dim=1) - 1).square()").replace(", create_graph=True", ""), "cut off"),
        "no square": (GP + "slope.flatten(1).norm(dim=1) - 1", "off by"),
    },
    3: {
        "pairs": ("all_pairs = pairing", "the n pairs"),
        "sum": ("all_pairs = lambda logit, other: F.softplus(other.T - logit).sum()", "the mean"),
        "sign": ("all_pairs = lambda logit, other: F.softplus(logit - other.T).mean()", "wrong way round"),
        "early mean": ("all_pairs = lambda logit, other: F.softplus(other.mean() - logit.mean())", "after softplus"),
        "no mean": ("all_pairs = lambda logit, other: F.softplus(other.T - logit)", "One number"),
        "one side": ("all_pairs = lambda logit, other: F.softplus(other.mean() - logit).mean()", "one by one"),
    },
}  # fmt: skip


def test_every_exercise_is_here():
    assert len(CHECKS) == len(ANSWERS) == len(WRONG) == 3
    assert cells(SOLUTIONS, "check") == CHECKS
    prose = "\n".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")
    assert prose.count("<details><summary>Hint</summary>") == 3


@pytest.mark.parametrize("k", WRONG)
def test_an_exercise_waits_for_its_answer(k):
    assert attempt(definitions(), answers(NOTEBOOK)[k - 1], CHECKS[k - 1]).startswith("Not yet")


@pytest.mark.parametrize("k", WRONG)
def test_the_worked_answer_passes_the_very_same_check(k):
    assert attempt(definitions(), ANSWERS[k - 1], CHECKS[k - 1]).startswith("Right")


@pytest.mark.parametrize("k, how", [(k, how) for k, tries in WRONG.items() for how in tries])
def test_a_wrong_answer_is_told_what_is_wrong(k, how):
    answer, told = WRONG[k][how]
    with pytest.raises(AssertionError, match=told):
        attempt(definitions(), answer, CHECKS[k - 1])
