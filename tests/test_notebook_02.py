"""Notebook 02: what it builds by hand is the library's, its scores are right, its check cells tell right from wrong."""

import copy
import itertools
import json
import math
from contextlib import nullcontext
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from lessons import load_script, stored_table
from sklearn.metrics.cluster import contingency_matrix

import animlab
from animlab import losses
from animlab.labels import Labels
from animlab.presets import Preset
from animlab.step import train_step

ROOT = Path(__file__).parent.parent
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "02_discrete_labels.ipynb", as_version=4)
ANSWERS = nbformat.read(ROOT / "notebooks" / "solutions" / "02_discrete_labels.ipynb", as_version=4)
TABLE = ROOT / "data" / "results" / "discrete_labels.json"


def cells(*tags):
    """The notebook's code cells with one of these tags."""
    found = [cell.source for cell in NOTEBOOK.cells if set(tags) & set(cell.metadata.get("tags", []))]
    return "\n\n".join(found)


@pytest.fixture(scope="module")
def built():
    """What the notebook defines."""
    names = {}
    exec(cells("definition"), names)
    return names


@pytest.fixture(scope="module")
def benchmark():
    return load_script("tests/benchmarks/discrete_labels.py")


# Built by hand against the library


def test_labels_are_those_of_the_library(built):
    z, d = built["sample"](100, 4, 5, torch.Generator().manual_seed(3))
    theirs = animlab.LabelSpace(4, 5, 0).sample(100, torch.Generator().manual_seed(3))
    assert torch.equal(z, theirs.z) and torch.equal(d, theirs.d)


@pytest.mark.parametrize("name", ["cgan_loss", "generator_loss", "discrete_loss"])
def test_losses_and_their_gradients_are_those_of_the_library(built, name, rng):
    if name == "discrete_loss":
        variables = [torch.randn(32, 5, generator=rng, dtype=torch.float64).requires_grad_()]
        fixed = [torch.eye(5, dtype=torch.float64)[torch.randint(5, (32,), generator=rng)]]
    else:
        count = 2 if name == "cgan_loss" else 1
        variables = [
            (5 * torch.randn(32, 1, generator=rng, dtype=torch.float64)).requires_grad_() for _ in range(count)
        ]
        fixed = []
    mine, theirs = built[name](*variables, *fixed), getattr(losses, name)(*variables, *fixed)
    assert torch.allclose(mine, theirs, rtol=1e-12)
    for a, b in zip(torch.autograd.grad(mine, variables), torch.autograd.grad(theirs, variables)):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-15)


class AsGenerator(torch.nn.Module):
    """The notebook's G as train_step calls one."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, labels):
        return self.net(labels.z, labels.d)


class AsDiscriminator(torch.nn.Module):
    """The notebook's D as train_step calls one; it has no c, which stands at 0."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, frames):
        logit, d_logits = self.net(frames, None)
        return logit, d_logits, torch.zeros(len(frames), 1)


def test_the_papers_way_is_the_librarys_training_step(built, rng):
    torch.manual_seed(0)
    G, D = built["DigitGenerator"](4, 5), built["DigitDiscriminator"](5)
    theirs = AsGenerator(copy.deepcopy(G)), AsDiscriminator(copy.deepcopy(D))
    # Plain gradient steps: Adam would blow up the rounding of gradients that are 0 but for it (biases before a norm).
    mine = [torch.optim.SGD(net.parameters(), 0.05) for net in (G, D)]
    optimizers = [torch.optim.SGD(net.parameters(), 0.05) for net in theirs]
    way = built["WAYS"]["the paper"]
    preset = Preset(lambda_d=way.d, lambda_c=0.0)
    for _ in range(3):
        x = torch.rand(16, 1, 14, 14, generator=rng) * 2 - 1
        z, d = built["sample"](16, 4, 5, rng)
        fake = built["stage_1"](way, G, D, mine[1], x, torch.zeros(16, 5), z, d)
        built["stage_2"](way, D, mine[0], fake, d)
        train_step(*theirs, *optimizers, x, Labels(z, d, torch.zeros(16, 1)), preset, nullcontext)
    for mine_net, other in zip((G, D), theirs):
        for (name, a), b in zip(mine_net.state_dict().items(), other.net.state_dict().values(), strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("name", ["CGAN", "ACGAN", "InfoGAN", "the paper"])
def test_only_the_ways_that_say_so_look_at_true_labels(built, name, rng):
    x = torch.rand(128, 1, 14, 14, generator=rng) * 2 - 1
    y = torch.randint(5, (128,), generator=rng)
    way = built["WAYS"][name]
    (G, _, first), (H, _, _) = (built["learn"](way, x, labels, 5, 3, 0) for labels in (y, (y + 1) % 5))
    same = all(torch.equal(a, b) for a, b in zip(G.state_dict().values(), H.state_dict().values()))
    assert same == (name in ("InfoGAN", "the paper"))
    again = built["learn"](way, x, y, 5, 3, 0)
    assert (again[2] == first).all()  # the same seed, the same run


def test_each_stage_moves_whom_it_should(built, rng):
    G, D = built["DigitGenerator"](4, 5), built["DigitDiscriminator"](5)
    optimizers = [torch.optim.SGD(net.parameters(), 0.1) for net in (G, D)]
    z, d = built["sample"](16, 4, 5, rng)
    x, y, way = torch.rand(16, 1, 14, 14, generator=rng), torch.zeros(16, 5), built["Way"](d=1.0, g=1.0, both=1.0)

    def moved(stage):
        before = [[p.clone() for p in net.parameters()] for net in (G, D)]
        answer = stage()
        now = [list(net.parameters()) for net in (G, D)]
        return answer, [not all(map(torch.equal, old, new)) for old, new in zip(before, now)]

    fake, whom = moved(lambda: built["stage_1"](way, G, D, optimizers[1], x, y, z, d))
    assert whom == [False, True]
    assert moved(lambda: built["stage_2"](way, D, optimizers[0], fake, d))[1] == [True, False]
    assert moved(lambda: built["stage_3"](way, G, D, optimizers, z, d))[1] == [True, True]


def test_the_bug_is_planted(built):
    D = built["Copied"](5)
    logit, d_logits = D(torch.zeros(2, 1, 14, 14), None)
    assert torch.equal(logit[:, 0], d_logits[:, 0])


# The scores


def test_table_and_scores_agree_with_sklearn_and_brute_force(built):
    rng = np.random.default_rng(0)
    for n_d in (3, 4, 6):
        classes, d = rng.integers(0, 4, 300), rng.integers(0, n_d, 300)
        d[:150] = classes[:150] % n_d
        counts = built["table"](classes, d, 4, n_d)
        assert (counts == contingency_matrix(classes, d)).all()
        scores = built["scores"](classes, d, 4, n_d)
        square = np.pad(counts, ((0, max(0, n_d - 4)), (0, max(0, 4 - n_d))))
        orders = itertools.permutations(range(len(square)))
        assert scores["match"] == max(square[range(len(square)), order].sum() for order in orders) / 300
        assert scores["purity"] == sum(np.bincount(classes[d == k]).max() for k in range(n_d)) / 300


def test_the_bound_holds_and_is_reached_by_the_true_posterior(built):
    """Brute force on a world of seven pictures: H(d) - λ_d is never above I(d; x)."""
    rng = np.random.default_rng(0)
    joint = rng.dirichlet(np.ones(4), 7).T / 7  # p(d, x), (4, 7)
    joint /= 4 * joint.sum(axis=1, keepdims=True)  # d uniform
    p_x = joint.sum(axis=0)
    information = (joint * np.log(joint / (joint.sum(axis=1, keepdims=True) * p_x))).sum()
    d, picture = np.indices(joint.shape).reshape(2, -1)
    one_hot = torch.eye(4, dtype=torch.float64)[d] * torch.tensor(joint.reshape(-1, 1) * joint.size)

    def bound(q):
        return math.log(4) - built["discrete_loss"](torch.tensor(np.log(q)[:, picture].T), one_hot).item()

    assert bound(joint / p_x) == pytest.approx(information)
    for _ in range(20):
        assert bound(rng.dirichlet(np.ones(4), 7).T) <= information


def test_a_told_discriminator_is_asked_with_every_label(built):
    class Knows(torch.nn.Module):
        told = True

        def forward(self, x, label):
            return -(x.mean(dim=(1, 2, 3)) - label.argmax(dim=1)).abs()[:, None], None

    x = torch.tensor([2.0, 0.0, 1.0]).reshape(3, 1, 1, 1).expand(-1, -1, 14, 14)
    assert built["read"](Knows(), x, 4).tolist() == [2, 0, 1]


# The committed table


def test_the_table_was_made_with_the_notebooks_own_cells(benchmark):
    table = json.loads(TABLE.read_text())
    assert table["cells"] == benchmark.digest(cells("definition")), "run tests/benchmarks/discrete_labels.py again"
    wanted = {(name, "real") for name in benchmark.RUNS} | {(name, "synthetic") for name in benchmark.SYNTHETIC}
    wanted |= {("frames", data) for data in benchmark.FRAMES}
    wanted = {(*each, seed) for each in wanted for seed in range(3)}
    assert {(run["name"], run["data"], run["seed"]) for run in table["runs"]} == wanted


def test_the_digest_sees_code_and_no_comment(benchmark):
    plain = benchmark.digest("def f(x):\n    return x")
    assert plain == benchmark.digest('def f(x):\n    """Doc."""\n    return x  # why')
    assert plain != benchmark.digest("def f(x):\n    return -x")


# What the lesson says of its tables

COMMITTED = json.loads(TABLE.read_text())["runs"]


def runs(name, what, score, data="real"):
    return np.array([run[what][score] for run in COMMITTED if (run["name"], run["data"]) == (name, data)])


def test_the_stored_run_found_what_the_lesson_says():
    rows = stored_table(NOTEBOOK, "way")
    nmi = {name: float(row[0].split()[0]) for name, row in rows.items()}
    draws = {name: float(row[-1]) for name, row in rows.items()}
    assert min(draws["CGAN"], draws["ACGAN"]) > 0.95 and min(draws["InfoGAN"], draws["the paper"]) > 0.65
    assert nmi["ACGAN"] > 0.85 and min(nmi["InfoGAN"], nmi["the paper"]) > 0.5 and nmi["CGAN"] < 0.1


def test_told_nothing_two_ways_find_the_digits():
    for data in ("real", "synthetic"):
        assert all(runs(name, "drawn", "match", data).min() > 0.95 for name in ("CGAN", "ACGAN"))
        assert runs("ACGAN", "read", "NMI", data).min() > 0.9 and runs("CGAN", "read", "NMI", data).mean() < 0.4
    means = {(name, data): runs(name, "read", "NMI", data).mean() for name in ("InfoGAN", "the paper")
             for data in ("real", "synthetic")}  # fmt: skip
    assert [round(value, 2) for value in means.values()] == [0.88, 0.97, 0.84, 0.96]


def test_both_have_to_pay():
    paid = {name: runs(name, "drawn", "NMI") for name in ("the paper", "D alone", "G alone", "nobody")}
    assert paid.pop("the paper").min() > 0.7 and max(values.max() for values in paid.values()) < 0.24


def test_the_number_of_classes_is_the_best_n_d_by_all_but_purity():
    sizes = {3: "n_d = 3", 5: "the paper", 10: "n_d = 10", 20: "n_d = 20"}
    mean = {
        n: {s: runs(name, "read", s).mean() for s in ("purity", "match", "NMI", "ARI")} for n, name in sizes.items()
    }
    assert all(max(mean, key=lambda n: mean[n][score]) == 5 for score in ("match", "NMI", "ARI"))
    assert round(mean[3]["purity"], 1) == round(mean[3]["match"], 1) == 0.6
    assert [mean[n]["purity"] for n in (5, 10)] == pytest.approx([0.905, 0.945], abs=0.0006)
    assert round(mean[10]["match"], 2) == 0.66


def test_slant_and_more_digits_make_it_harder():
    nmi = [round(runs(name, "read", "NMI").mean(), 2) for name in ("the paper", "as written", "ten digits")]
    assert nmi == [0.84, 0.60, 0.58]

    def held(name, digit):
        """The share of a digit's pictures that its commonest d holds, for every seed."""
        tables = [np.array(run["table"]) for run in COMMITTED if (run["name"], run["data"]) == (name, "real")]
        return np.array([counts[digit].max() / counts[digit].sum() for counts in tables])

    assert (
        held("the paper", 1).min() > 0.95 and held("as written", 1).max() < 0.85 and held("ten digits", 5).max() < 0.5
    )


def test_what_d_means_on_frames():
    said = stored_table(NOTEBOOK, "d' and the")
    nmi, shuffled = map(float, said["motion"][:2])
    assert 0.15 < nmi < 0.35 and shuffled < 0.1
    frames = [run for run in COMMITTED if run["name"] == "frames"]
    people, shapes = (
        [run for run in frames if run["data"] == data] for data in ("actions-synthetic", "shapes-synthetic")
    )
    assert all(0.3 < run["NMI"]["take"] < 0.37 and run["NMI"]["class"] < 0.1 for run in people)
    assert min(max(run["share"]) for run in shapes) > 0.6 and min(run["nats"] for run in frames) > 1


def test_the_shared_column_does_no_harm_that_seeds_would_not_hide():
    with_it, without = runs("shared column", "read", "NMI"), runs("the paper", "read", "NMI")
    assert (round(without.mean(), 2), round(with_it.mean(), 2)) == (0.84, 0.82)
    assert without.mean() - with_it.mean() < np.ptp(without)


# The exercises

CHECKS = [cell.source for cell in NOTEBOOK.cells if cell.cell_type == "code" and "Not yet" in cell.source]
NAMES = ["Fixed", "agreement", "highest_match", "naming"]
WRONG = {
    "both still share a column, the first now": "class Fixed(DigitDiscriminator):\n"
    "    def forward(self, x, label):\n        out = self.judge(self.look(x))\n        return out[:, :1], out[:, :-1]",
    "left as it was": "Fixed = Copied",
    "the logit without its axis": "class Fixed(DigitDiscriminator):\n"
    "    def forward(self, x, label):\n        out = self.judge(self.look(x))\n        return out[:, 0], out[:, 1:]",
    "one code thrown away": "class Fixed(DigitDiscriminator):\n"
    "    def forward(self, x, label):\n        out = self.judge(self.look(x))\n        return out[:, 1:2], out[:, 2:]",
    "the gradient cut, the column still shared": "class Fixed(DigitDiscriminator):\n"
    "    def forward(self, x, label):\n        out = self.judge(self.look(x))\n"
    "        return out[:, 1:2].detach(), out[:, 1:]",
    "the logit is the mean of all": "class Fixed(DigitDiscriminator):\n"
    "    def forward(self, x, label):\n        out = self.judge(self.look(x))\n"
    "        return out.mean(dim=1, keepdim=True), out[:, 1:]",
    "purity by rows": "def agreement(c):\n    return c.max(axis=1).sum() / c.sum(), 0.52",
    "match on the diagonal": "def agreement(c):\n    return c.max(axis=0).sum() / c.sum(), np.trace(c) / c.sum()",
    "match by the largest first": "def agreement(c):\n    left, match = c.astype(float), 0\n"
    "    for _ in range(len(c)):\n        i, j = np.unravel_index(left.argmax(), c.shape)\n"
    "        match += c[i, j]; left[i] = left[:, j] = -1\n    return c.max(axis=0).sum() / c.sum(), match / c.sum()",
    "only the example's numbers": "def agreement(c):\n    return 0.67, 0.52",
    "always possible": "def highest_match(classes, n_d):\n    return 1.0",
    "spare labels do no harm": "def highest_match(classes, n_d):\n    return min(1, n_d / classes)",
    "one label's share": "def highest_match(classes, n_d):\n    return 1 / n_d",
    "the names of the digits": "naming = digits",
    "d taken for the class": "naming = list(range(n_d))",
    "the permutation backwards": "naming = np.argsort(TRUE).tolist()",
    "one d twice": "naming = [TRUE[0]] * n_d",
}
TURNED = [2, 0, 4, 1, 3]  # the d that draws each class, for a G that draws perfectly; not its own inverse


def of(answer):
    """Which exercise an answer is for."""
    return next(i for i, name in enumerate(NAMES) if name in answer.split("\n")[0])


@pytest.fixture(scope="module")
def desk(built):
    """A reader's kernel before the exercises, with drawn digits and, for the fourth, a G that draws without fault."""
    names = dict(built, animlab=animlab, display=lambda _: None, seed=0, steps=1, digits=[0, 1, 3, 6, 7])
    names |= {"source": "digits-synthetic", "n_d": 5, "n_z": 4, "TRUE": TURNED}
    exec(cells("setup"), names)
    classes = np.argsort(TURNED)

    def faultless(z, d):
        shown = [names["train_x"][names["train_y"] == int(classes[k])] for k in d.argmax(dim=1)]
        return torch.stack([pictures[i % len(pictures)] for i, pictures in enumerate(shown)])

    names |= {"generators": {"the paper": faultless}, "fixed_z": torch.zeros(16, 4)}
    return names


def check(desk, number, answer, capsys):
    """Run an answer, then the exercise's own check cell; what it prints."""
    names = dict(desk)
    exec(answer, names)
    exec(CHECKS[number], names)
    return capsys.readouterr().out


def test_there_are_four_exercises():
    assert len(CHECKS) == 4


@pytest.mark.parametrize("number", range(4))
def test_an_unanswered_exercise_says_so(desk, number, capsys):
    before = NOTEBOOK.cells[[cell.source for cell in NOTEBOOK.cells].index(CHECKS[number]) - 1].source
    assert check(desk, number, before, capsys).startswith("Not yet")


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_answer_is_refused_in_words(desk, wrong, capsys):
    with pytest.raises(AssertionError) as refusal:
        check(desk, of(WRONG[wrong]), WRONG[wrong], capsys)
    assert len(str(refusal.value).split()) >= 5
    assert "Right" not in capsys.readouterr().out


@pytest.mark.parametrize("number", range(3))
def test_the_worked_answer_is_accepted(desk, number, capsys):
    sources = [cell.source for cell in ANSWERS.cells if cell.cell_type == "code"]
    at = sources.index(CHECKS[number])  # the very same check cell
    assert check(desk, number, sources[at - 1], capsys).startswith("Right")


def test_the_naming_of_a_faultless_generator_is_accepted(desk, capsys):
    assert CHECKS[3] in [cell.source for cell in ANSWERS.cells]
    assert "Right" in check(desk, 3, f"naming = {TURNED}", capsys)
