"""Notebook 01: what it builds by hand is what the library does, and its exercises tell right from wrong."""

import json
from contextlib import nullcontext
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from lessons import attempt, load_script, stored_table
from scipy.integrate import quad
from scipy.stats import norm
from torch.nn import functional as F

import animlab
from animlab.step import train_step

FOLDER = Path(__file__).parent.parent / "notebooks"
NAME = "01_gan_basics.ipynb"


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


STORED = nbformat.read(FOLDER / NAME, as_version=4)
RING = json.loads((FOLDER.parent / "data" / "results" / "ring.json").read_text())
NOTEBOOK, SOLUTIONS = code_cells(FOLDER / NAME), code_cells(FOLDER / "solutions" / NAME)
# An exercise is the cell with its check and the cell before it, which is where the answer goes.
EXERCISES = [NOTEBOOK[i - 1 : i + 1] for i, cell in enumerate(NOTEBOOK) if '"Not yet' in cell.source]
ANSWERS = [SOLUTIONS[i - 1 : i + 1] for i, cell in enumerate(SOLUTIONS) if '"Not yet' in cell.source]


def definitions():
    space = {}
    for cell in NOTEBOOK:
        if "definitions" in cell.metadata.get("tags", []):
            exec(compile(cell.source, NAME, "exec"), space)
    return space


@pytest.fixture(scope="module")
def nb():
    """The names that the notebook defines, as attributes."""
    return type("Defined", (), {name: staticmethod(value) for name, value in definitions().items()})


# One parameter.


@pytest.mark.parametrize("theta", [-1.0, 2.0, 5.5])
def test_the_best_weights_are_the_log_ratio_of_the_densities(nb, theta):
    w, b = nb.best_weights(theta)
    x = np.linspace(-5, 9, 29)
    assert np.allclose(w * x + b, norm.logpdf(x, nb.mu) - norm.logpdf(x, theta))


@pytest.mark.parametrize("theta, w, spread, gamma", [(2.5, 0.8, 0.5, 0.3), (5.0, -1.5, 1.0, 0.0), (1.0, 2.0, 0.1, 1.0)])
def test_push_is_minus_the_slope_of_the_expected_losses(nb, theta, w, spread, gamma):
    def mean(f, centre):  # over a bell curve, by adaptive quadrature
        return quad(lambda x: f(x) * norm.pdf(x, centre, spread), centre - 12 * spread, centre + 12 * spread)[0]

    def d_loss(w):
        real = mean(lambda x: np.logaddexp(0, -w * (x - nb.mu)), nb.mu)
        return real + mean(lambda x: np.logaddexp(0, w * (x - nb.mu)), theta) + gamma * w**2 / 2

    def g_loss(theta):
        return mean(lambda x: np.logaddexp(0, -w * (x - nb.mu)), theta)

    h = 1e-4
    slopes = [(g_loss(theta + h) - g_loss(theta - h)) / (2 * h), (d_loss(w + h) - d_loss(w - h)) / (2 * h)]
    assert np.allclose(nb.push(theta, w, spread, gamma), [-slope for slope in slopes], atol=1e-6)


def test_a_walk_takes_turns_unless_told_otherwise(nb):
    theta, w = 1.0, 0.5
    d_theta, d_w = nb.push(theta, w, 0.2, 0.1)
    _, together = nb.walk(0.3, 1, 0.2, 0.1, together=True, start=(theta, w))
    assert np.allclose(together, [theta + 0.3 * d_theta, w + 0.3 * d_w])
    _, in_turns = nb.walk(0.3, 1, 0.2, 0.1, start=(theta, w))
    seen = nb.push(theta, w + 0.3 * d_w, 0.2, 0.1)[0]  # G moves after D has moved
    assert np.allclose(in_turns, [theta + 0.3 * seen, w + 0.3 * d_w])


def test_what_a_best_d_still_loses_is_ln_4_minus_twice_the_divergence():
    """The stored table, whose divergence is a sum, against the loss of D* by adaptive quadrature."""

    def at(x):
        p, q = norm.pdf(x, 4), norm.pdf(x, 2)
        return -(p * np.log(p / (p + q)) + q * np.log(q / (p + q)))

    stored = stored_table(STORED, "D's")
    assert float(stored["loss"][1]) == pytest.approx(quad(at, -8, 14)[0], abs=0.005)
    assert [float(stored[name][1]) for name in ("w", "b")] == [2.0, -6.0]
    for name, slack in (("w", 0.3), ("b", 0.8), ("loss", 0.05)):  # 2,000 points of each
        assert float(stored[name][0]) == pytest.approx(float(stored[name][1]), abs=slack)


def test_theta_runs_past_its_goal_and_comes_back(nb):
    start = torch.zeros((), requires_grad=True), torch.zeros(2, requires_grad=True)
    theta = nb.play(*start, 0.1, 1500, torch.Generator().manual_seed(0))[:, 0]
    assert theta[200] == theta[[0, 50, 100, 200, 400]].max() and theta[200] == pytest.approx(5.2, abs=0.1)
    assert abs(theta[-1] - nb.mu) < 0.1


def test_the_plane_ends_as_the_lesson_says(nb):
    def left(spread, gamma, **how):
        return nb.far(nb.walk(0.2, 400, spread, gamma, **how))

    prose = " ".join(" ".join(cell.source.split()) for cell in STORED.cells if cell.cell_type == "markdown")
    assert left(1.0, 0.0) < 0.005 and left(0.0, 0.3) < 0.005
    turns, both = left(0.0, 0.0), left(0.0, 0.0, together=True)
    assert f"still {turns:.2f} away" in prose and f"orbit {both:.2f} from the goal" in prose
    for gamma, said in ((0.3, "after 90 steps"), (3.0, "takes 206 steps")):
        path = nb.walk(0.2, 400, 0.0, gamma)
        late = np.hypot(path[:, 0] - nb.mu, path[:, 1]) > 0.1
        assert str(np.flatnonzero(late).max() + 1) in said and said in prose


# The ring.


def test_the_ring_s_table_was_made_with_the_lesson_s_own_cells():
    script = load_script("tests/benchmarks/ring.py")
    assert RING["cells"] == script.digest(script.cells("ring")), "run tests/benchmarks/ring.py again"
    games = [name for name in RING["rows"] if name not in ("real points", "an even ring")]
    assert games == list(definitions()["recipes"]) and RING["steps"] == script.STEPS
    assert all(len(row["modes"]) == len(row["share"]) == script.SEEDS for row in RING["rows"].values())


def test_two_rows_of_the_ring_s_table_can_be_worked_out():
    rows = RING["rows"]
    assert rows["real points"]["modes"] == rows["an even ring"]["modes"] == [8] * RING["seeds"]
    assert np.mean(rows["real points"]["share"]) == pytest.approx(1 - np.exp(-8), abs=0.001)  # within four σ in a plane
    arc = 4 * np.arcsin(0.4 / 2 / 2)  # of the circle of radius 2, the part within 0.4 of one island
    assert np.mean(rows["an even ring"]["share"]) == pytest.approx(8 * arc / (2 * np.pi), abs=0.01)


def test_the_ring_s_table_bears_out_what_the_lesson_says():
    rows = {name: (np.mean(row["modes"]), np.mean(row["share"])) for name, row in RING["rows"].items()}
    assert rows["same pace"] == (8, pytest.approx(0.613, abs=0.001))
    assert rows["G too fast"][0] < 4 and sum(n <= 2 for n in RING["rows"]["G too fast"]["modes"]) == 4
    assert rows["  + relativistic loss"][0] < 2
    assert min(rows[name][0] for name in ("  + five steps of D", "  + D as fast")) > 6
    assert rows["D too strong"][0] < 4 and rows["D too strong"][1] > rows["same pace"][1]
    assert rows["  + R1"][0] == 8 and sum(RING["rows"]["  + spectral norm"]["modes"]) == 47
    assert all(abs(rows[name][1] - rows["an even ring"][1]) < 0.1 for name in ("  + R1", "  + spectral norm"))
    assert rows["  + relativistic loss "][0] < 4


def test_points_are_counted_on_the_island_they_are_near(nb):
    islands = [(2 * np.cos(k * np.pi / 4), 2 * np.sin(k * np.pi / 4)) for k in range(8)]
    points = torch.tensor([islands[0]] * 5 + [islands[3]] * 2 + [(0.0, 0.0), (2.41, 0.0)], dtype=torch.float32)
    points[0, 0] += 0.39  # within four standard deviations of 0.1; the last point lies beyond
    assert nb.count(points).tolist() == [5, 0, 0, 2, 0, 0, 0, 0]
    assert nb.report(nb.count(points), 64) == (
        2,
        pytest.approx(7 / 64),
    )  # a quarter of the fair share of 64 points is 2
    assert nb.report(nb.count(points), 96) == (1, pytest.approx(7 / 96))


@pytest.mark.parametrize("relativistic", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.7])
def test_a_step_on_the_ring_is_what_its_equations_say(nb, relativistic, gamma):
    game, twin = (nb.RingGame(gamma=gamma, relativistic=relativistic, d_steps=1, seed=4) for _ in range(2))
    game.rng, twin.rng = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    game.step()

    real, fake = nb.real_points(128, twin.rng).requires_grad_(), twin.fakes().detach()
    real_logit, fake_logit = twin.D(real), twin.D(fake)
    if relativistic:
        loss = -torch.log(torch.sigmoid(real_logit - fake_logit)).mean()
    else:
        loss = -torch.log(torch.sigmoid(real_logit)).mean() - torch.log(1 - torch.sigmoid(fake_logit)).mean()
    (slope,) = torch.autograd.grad(real_logit.sum(), real, create_graph=True)
    loss = loss + gamma * 0.5 * (slope**2).sum(dim=1).mean()
    twin.d_optimizer.zero_grad()
    loss.backward()
    twin.d_optimizer.step()
    fake_logit = twin.D(twin.fakes())
    other = twin.D(nb.real_points(128, twin.rng)).detach() if relativistic else 0.0
    loss = -torch.log(torch.sigmoid(fake_logit - other)).mean()
    twin.g_optimizer.zero_grad()
    loss.backward()
    twin.g_optimizer.step()

    for net in ("G", "D"):
        for mine, right in zip(getattr(game, net).parameters(), getattr(twin, net).parameters()):
            assert torch.allclose(mine, right, atol=2e-5)  # Adam's first steps are 2e-3 long


def test_tuning_in_the_middle_of_a_game_changes_what_follows_only(nb):
    game = nb.RingGame(seed=1)
    game.step()
    before = [p.clone() for p in game.G.parameters()]
    game.tune(lr_g=0.0, lr_d=1e-3, d_steps=3, gamma=0.2)
    assert all(torch.equal(p, q) for p, q in zip(before, game.G.parameters()))
    game.step()
    assert all(torch.equal(p, q) for p, q in zip(before, game.G.parameters()))  # G stands still at learning rate 0
    assert (game.steps, game.d_steps, game.gamma) == (2, 3, 0.2)


# The paper's networks and their step.


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("width, channels, normed", [(1.0, 3, "batch"), (0.1, 1, "batch"), (0.25, 3, "spectral")])
def test_tables_by_hand_equal_the_library_to_the_bit(nb, training, width, channels, normed):
    space = animlab.LabelSpace(n_z=4, n_d=3, n_c=2)
    their_g = animlab.Generator(space, channels, width)
    their_d = animlab.Discriminator(space, channels, width, norm=normed)
    my_g, my_d = nb.tab1(space.size, channels, width), nb.tab2(6, channels, width, normed == "spectral")
    for theirs, mine in ((their_g, my_g), (their_d, my_d)):
        nb.pour(theirs, mine)
        theirs.train(training)
        mine.train(training)
    labels = space.sample(4, torch.Generator().manual_seed(0))
    my_frames, their_frames = my_g(torch.cat([labels.z, labels.d, labels.c], dim=1)), their_g(labels)
    assert torch.equal(my_frames, their_frames)
    mine, theirs = my_d(my_frames), torch.cat(their_d(their_frames), dim=1)
    assert torch.equal(mine, theirs)
    mine.square().sum().backward()
    theirs.square().sum().backward()
    for a, b in ((my_g, their_g), (my_d, their_d)):
        assert all(torch.equal(p.grad, q.grad) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_layers_are_named_as_in_the_tables(nb):
    g, d = (dict(net.named_children()) for net in (nb.tab1(18), nb.tab2(11)))
    assert [name for name in g if name[:2] in ("li", "de")] == [
        "linear 1",
        "linear 2",
        "deconv 1",
        "deconv 2",
        "deconv 3",
    ]
    assert [name for name in d if name[:2] in ("li", "co")] == ["conv 1", "conv 2", "conv 3", "linear 1", "linear 2"]
    assert nb.shapes(nb.tab1(18), torch.randn(2, 18)) == {
        "input": (18,), "linear 1": (1024,), "linear 2": (8192,), "reshape": (128, 8, 8),
        "deconv 1": (64, 16, 16), "deconv 2": (32, 32, 32), "deconv 3": (3, 64, 64),
    }  # fmt: skip


@pytest.mark.parametrize("normed", ["batch", "spectral"])
def test_the_step_by_hand_equals_the_library_s_plain_step(nb, normed):
    space = animlab.LabelSpace(n_z=4, n_d=1, n_c=1)
    theirs = [animlab.Generator(space, 3, 0.1), animlab.Discriminator(space, 3, 0.1, norm=normed)]
    mine = [nb.tab1(space.size, 3, 0.1), nb.tab2(3, 3, 0.1, normed == "spectral")]
    for a, b in zip(theirs, mine):
        nb.pour(a, b)
    optimizers = [torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.999)) for net in theirs + mine]
    plain = animlab.Preset(norm=normed, lambda_d=0.0, lambda_c=0.0)
    rng = torch.Generator().manual_seed(0)
    for _ in range(4):
        real, labels = torch.rand(8, 3, 64, 64, generator=rng) * 2 - 1, space.sample(8, rng)
        found = train_step(*theirs, *optimizers[:2], real, labels, plain, nullcontext)
        losses = nb.gan_step(*mine, *optimizers[2:], real, torch.cat([labels.z, labels.d, labels.c], dim=1))
        assert losses == pytest.approx((found["d_loss"].item(), found["g_loss"].item()), abs=1e-6)
    for a, b in zip(theirs, mine):
        for right, value in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
            assert torch.allclose(value, right, rtol=0, atol=1e-6)  # four steps of 1e-3


def test_the_thief_is_caught_and_the_shipped_model_is_none():
    """By the stored table, whose distances `nearest` has measured."""
    rows = stored_table(STORED, "distance to the nearest training frame")
    stored = {who: tuple(map(float, row)) for who, row in rows.items()}
    assert stored["a thief"][1] < 5
    assert stored["shipped G"][0] > 2 * stored["a thief"][1]
    assert 0.5 < stored["shipped G"][1] / stored["new real frames"][1] < 1.5


def test_nearest_is_the_brute_force_answer(nb):
    rng = np.random.default_rng(0)
    train, queries = (rng.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8) for n in (7, 5))
    queries[2] = train[6]
    gaps = np.sqrt(((queries[:, None].astype(float) - train[None]) ** 2).mean(axis=(2, 3, 4)))
    distance, where = nb.nearest(queries, train, block=3)
    assert where.tolist() == gaps.argmin(axis=1).tolist() and where[2] == 6
    assert np.allclose(distance, gaps.min(axis=1), atol=0.2) and distance[2] < 0.2


# Exercises: the check cell of each, on answers that are wrong in one way each.

WRONG = {
    1: {
        "D* itself": "from scipy.stats import norm as n\n"
        "best_score = lambda x: n.pdf(x, 1, .5) / (n.pdf(x, 1, .5) + n.pdf(x, -1, 1.5))",
        "sign": "best_score = lambda x: 2 * (x - 1) ** 2 - (x + 1) ** 2 / 4.5 - np.log(3)",
        "no factors 1/σ": "best_score = lambda x: (x + 1) ** 2 / 4.5 - 2 * (x - 1) ** 2",
        "factors 1/σ the wrong way round": "best_score = lambda x: (x + 1) ** 2 / 4.5 - 2 * (x - 1) ** 2 - np.log(3)",
        "the formula for equal widths": "best_score = lambda x: 2 * x",
        "σ where σ² belongs": "best_score = lambda x: (x + 1) ** 2 / 3 - (x - 1) ** 2 + np.log(3)",
    },
    2: {
        "Eq. 4 as it stands": "my_loss = lambda logit: -torch.log(torch.sigmoid(logit)).mean()",
        "clamped": "my_loss = lambda logit: -torch.log(torch.sigmoid(logit).clamp_min(1e-12)).mean()",
        "a small number added": "my_loss = lambda logit: -torch.log(torch.sigmoid(logit) + 1e-8).mean()",
        "Eq. 2": "my_loss = lambda logit: F.softplus(logit).mean()",
        "saturating": "my_loss = lambda logit: -F.softplus(logit).mean()",
        "the sum": "my_loss = lambda logit: F.softplus(-logit).sum()",
        "no mean": "my_loss = lambda logit: F.softplus(-logit)",
        "logit clamped": "my_loss = lambda logit: F.softplus(-logit.clamp(-30, 30)).mean()",
    },
    3: {
        "the bug is still there": "fixed_step = buggy_step",
        "detached in both stages": ("loss(game.D(game.fakes()))", "loss(game.D(game.fakes().detach()))"),
        "G trained with D's loss": ("generator_loss(game.D", "fake_loss(game.D"),
        "the saturating loss": ("losses.generator_loss(game.D", "-losses.fake_loss(game.D"),
        "D's gradients piled up": ("        game.d_optimizer.zero_grad()\n", ""),
        "G's gradients piled up": ("    game.g_optimizer.zero_grad()\n", ""),
        "D gets one move": ("range(5)", "range(1)"),
    },
    4: {
        "nothing done about it": "settings = dict(lr_g=1e-2, lr_d=1e-3)",
        "G slowed down": "settings = dict(lr_g=2e-3, lr_d=2e-3)",
        "the default rate": "settings = dict(lr_d=1e-2)",
        "an even slower D": "settings = dict(lr_g=1e-2, lr_d=3e-4, gamma=0.5)",
    },
}  # fmt: skip


def test_every_exercise_is_here():
    assert len(EXERCISES) == len(ANSWERS) == len(WRONG) == 4


@pytest.mark.parametrize("k", WRONG)
def test_an_exercise_waits_for_its_answer(k):
    assert attempt(definitions(), EXERCISES[k - 1][0].source, EXERCISES[k - 1][1].source).startswith("Not yet")


@pytest.mark.parametrize("k", WRONG)
def test_the_worked_answer_passes_the_very_same_check(k):
    answer, check = ANSWERS[k - 1]
    assert check.source == EXERCISES[k - 1][1].source
    assert attempt(definitions(), answer.source, EXERCISES[k - 1][1].source).startswith("Right")


@pytest.mark.parametrize("k, how", [(k, how) for k, answers in WRONG.items() for how in answers])
def test_a_wrong_answer_is_told_so(k, how):
    answer = WRONG[k][how]
    if isinstance(answer, tuple):  # the worked answer, spoilt in one place
        there, instead = answer
        right = ANSWERS[k - 1][0].source
        assert there in right
        answer = right.replace(there, instead)
    with pytest.raises(AssertionError, match=r"\w{3}"):
        attempt(definitions(), answer, EXERCISES[k - 1][1].source)


def test_the_loss_of_exercise_2_is_cross_entropy():
    space = definitions()
    exec(ANSWERS[1][0].source, space)
    logit = torch.linspace(-90, 90, 37).view(-1, 1)
    assert torch.allclose(space["my_loss"](logit), F.binary_cross_entropy_with_logits(logit, torch.ones_like(logit)))
