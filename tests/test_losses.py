"""Eq. 2 to 9 against PyTorch's own losses, their formulas by hand, and finite differences."""

import pytest
import torch
from torch.nn import functional as F

from animlab import losses


@pytest.fixture
def logits(rng):
    return tuple(3 * torch.randn(32, 1, generator=rng, dtype=torch.float64) for _ in range(2))


def test_the_games_losses_equal_pytorchs_bce(logits):
    real, fake = logits
    bce = F.binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    assert torch.allclose(losses.fake_loss(fake), bce(fake, zeros))  # Eq. 2
    assert torch.allclose(losses.real_loss(real), bce(real, ones))  # Eq. 3
    assert torch.allclose(losses.generator_loss(fake), bce(fake, ones))  # Eq. 4
    assert torch.allclose(losses.cgan_loss(real, fake), bce(real, ones) + bce(fake, zeros))  # Eq. 5


def test_the_games_losses_equal_the_printed_formulas(logits):
    real, fake = logits
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    assert torch.allclose(losses.fake_loss(fake), -(1 - d_fake).log().mean())
    assert torch.allclose(losses.real_loss(real), -d_real.log().mean())
    assert torch.allclose(losses.generator_loss(fake), -d_fake.log().mean())


def test_the_games_losses_stay_finite_where_the_formulas_do_not():
    sure = torch.tensor([[400.0], [-400.0]])
    for loss in (losses.fake_loss, losses.real_loss, losses.generator_loss):
        assert loss(sure).item() == pytest.approx(200.0)


def test_label_losses_equal_pytorchs(rng):
    logits = torch.randn(32, 5, generator=rng, dtype=torch.float64)
    d = torch.randint(5, (32,), generator=rng)
    c, c_hat = (torch.rand(32, 3, generator=rng, dtype=torch.float64) for _ in range(2))
    assert torch.allclose(losses.discrete_loss(logits, F.one_hot(d, 5)), F.cross_entropy(logits, d))  # Eq. 6
    assert torch.allclose(losses.continuous_loss(c_hat, c), F.mse_loss(c_hat, c))  # Eq. 7


def test_guessing_scores_what_the_docstring_says(rng):
    c = torch.rand(100_000, 1, generator=rng)
    assert losses.continuous_loss(torch.full_like(c, 0.5), c).item() == pytest.approx(1 / 12, rel=0.02)


def test_total_loss_is_the_sum_of_its_parts(logits, rng):
    real, fake = logits
    label = torch.tensor(0.7, dtype=torch.float64)
    whole = losses.total_loss(real, fake, label)
    assert torch.allclose(whole, losses.fake_loss(fake) + losses.real_loss(real) + label)  # Eq. 9


def test_relativistic_loss_is_the_bce_of_the_difference(logits):
    real, fake = logits
    bce = F.binary_cross_entropy_with_logits(real - fake, torch.ones_like(real))
    assert torch.allclose(losses.relativistic_loss(real, fake), bce)


def test_gradient_penalty_of_a_known_logit(rng):
    """logit = w · x has the gradient w everywhere, so the penalty is ½‖w‖² for each frame."""
    w = torch.randn(1, 3, 8, 8, generator=rng)
    x = torch.randn(4, 3, 8, 8, generator=rng, requires_grad=True)
    penalties = losses.gradient_penalties((x * w).sum((1, 2, 3)).unsqueeze(1), x)
    assert torch.allclose(penalties, 0.5 * w.square().sum().expand(4))


def test_stillness_at_its_two_ends(rng):
    still = torch.zeros(2, 1, 64, 64)
    one_place, everywhere = still.clone(), still.clone()
    one_place[:, :, 8:12, 20:24] = 1.0  # one 4×4 block of 256
    everywhere += 1.0
    assert losses.stillness_loss(still, one_place).item() == pytest.approx(1 / 16, rel=1e-3)  # 1/√256
    assert losses.stillness_loss(still, everywhere).item() == pytest.approx(1.0, rel=1e-3)
    assert losses.stillness_loss(still, 0.2 * one_place).item() == pytest.approx(1 / 16, rel=1e-3)  # not of amount


@pytest.mark.parametrize(
    "loss",
    [
        losses.fake_loss,
        losses.real_loss,
        losses.generator_loss,
        lambda x: losses.cgan_loss(x, x.flip(0)),
        lambda x: losses.total_loss(x, x.flip(0), losses.fake_loss(x)),
        lambda x: losses.relativistic_loss(x, x.flip(0).square()),
        lambda x: losses.discrete_loss(x.view(4, 3), torch.eye(3, dtype=x.dtype)[[0, 2, 1, 1]]),
        lambda x: losses.continuous_loss(x, torch.full_like(x, 0.3)),
    ],
    ids=["eq2", "eq3", "eq4", "eq5", "eq9", "relativistic", "eq6", "eq7"],
)
def test_gradients_equal_finite_differences(loss, rng):
    x = torch.randn(12, 1, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (x,))
