"""The fast layers against PyTorch's own: values, gradients, steps of Adam; nothing else about a network changes."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import animlab
from animlab import networks
from animlab.backend import cpu_kernels as fast
from animlab.backend.distributed import Processes
from animlab.gan_trainer import GANTrainer
from animlab.presets import PRESETS
from animlab.trainer import Settings

SPACE = animlab.LabelSpace(3, 4, 2)
CPU = torch.device("cpu")


def nets(norm: str = "batch", seed: int = 0) -> tuple[animlab.Generator, animlab.Discriminator]:
    torch.manual_seed(seed)
    found = animlab.Generator(SPACE, 3, 0.1), animlab.Discriminator(SPACE, 3, 0.1, norm=norm)
    return tuple(net.to(memory_format=torch.channels_last) for net in found)


def gradients(value: torch.Tensor, *tensors: torch.Tensor) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return list(torch.autograd.grad((value * torch.randn_like(value)).sum(), tensors))


@pytest.mark.parametrize("channels", [(3, 8), (1, 8), (8, 12)])
@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_are_pytorchs(channels, transposed, rng):
    small, large = channels
    x = torch.randn(4, large if transposed else small, 10, 10, generator=rng, dtype=torch.float64)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(large, small, 4, 4, generator=rng, dtype=torch.float64).requires_grad_()
    bias = torch.randn(small if transposed else large, generator=rng, dtype=torch.float64).requires_grad_()

    def check(tensors: tuple[torch.Tensor, ...]) -> None:
        theirs = (F.conv_transpose2d if transposed else F.conv2d)(x, weight, bias, 2, 1)
        ours = fast.Convolution.apply(x, weight, bias, transposed)
        torch.testing.assert_close(ours, theirs)
        for mine, its in zip(gradients(ours, *tensors), gradients(theirs, *tensors), strict=True):
            torch.testing.assert_close(mine, its)

    check((x, weight, bias))
    weight.requires_grad_(False), bias.requires_grad_(False)  # as when D is frozen
    check((x,))


def test_the_gradient_of_what_was_flattened_lies_as_it_did(rng):
    x = torch.randn(2, 5, 3, 3, generator=rng).to(memory_format=torch.channels_last).requires_grad_()
    y = fast._Flattened.apply(x)
    assert torch.equal(y, x.flatten(1))
    (mine,) = gradients(y, x)
    assert torch.equal(mine, gradients(x.flatten(1), x)[0]) and mine.is_contiguous(memory_format=torch.channels_last)


def test_a_matrix_divided_by_its_largest_singular_value(rng):
    """Gradients as autograd finds them where σ = uᵀWv is written out."""
    x, weight = (torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in ((6, 7), (5, 7)))
    u, s, v = torch.linalg.svd(weight)
    u, v = u[:, 0], v[0]
    x.requires_grad_(), weight.requires_grad_()
    theirs = F.linear(x, weight) / torch.dot(u, weight @ v)
    ours = fast.Divided.apply(x, weight, s[0], u, v)
    torch.testing.assert_close(ours, theirs)
    for mine, its in zip(gradients(ours, x, weight), gradients(theirs, x, weight), strict=True):
        torch.testing.assert_close(mine, its)


def losses_and_gradients(generator, discriminator, labels, bf16: bool) -> tuple[list[float], list[torch.Tensor]]:
    """Of something that takes every output of both networks."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        frames = generator(labels)
        heads = [head.float() for head in discriminator(frames)]
    value = sum((i + 1) * head.square().mean() for i, head in enumerate(heads))
    value.backward()
    found = []
    for net in (generator, discriminator):
        copies = {m.weight: m.weight16.grad for m in net.modules() if isinstance(m, fast.Linear)}
        found += [copies[p].float() if p.grad is None else p.grad for p in net.parameters()]
    return value.item(), found


@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_networks_err_no_more_than_autocasts_do(norm, rng):
    """Against the same networks in fp32: what bf16 costs is the same in the fast layers and in the plain ones.

    The mean over eight batches: of one alone, two ways of rounding may differ by a third either way.
    """
    errors: dict[str, list[torch.Tensor]] = {}
    for _ in range(8):
        plain = nets(norm)
        quick, exact = copy.deepcopy(plain), copy.deepcopy(plain)
        for net in quick:
            fast.use_fused_layers(net, 1e-3, (0.5, 0.999))
        labels = SPACE.sample(32, rng)
        value, truth = losses_and_gradients(*exact, labels, bf16=False)
        found = [losses_and_gradients(*pair, labels, bf16=True) for pair in (plain, quick)]
        for loss, _ in found:
            assert loss == pytest.approx(value, rel=0.02)
        names = [name for net in plain for name, _ in net.named_parameters()]
        for name, true, *both in zip(names, truth, *(gradients for _, gradients in found), strict=True):
            if true.norm() > 1e-5:  # not a bias before a batch norm: its gradient is rounding and nothing else
                errors.setdefault(name, []).append(torch.stack([(one - true).norm() / true.norm() for one in both]))
    for name, of_batches in errors.items():
        autocasts, ours = torch.stack(of_batches).mean(dim=0)
        assert ours < 1.1 * autocasts + 0.002, name


LAYERS = {
    "the papers' own": nn.Conv2d(8, 6, 4, 2, 1),
    "the papers' own, transposed": nn.ConvTranspose2d(8, 6, 4, 2, 1),
    "kernel 3": nn.Conv2d(8, 6, 3, 1, 1),
    "kernel 1": nn.Conv2d(8, 6, 1),
    "stride 1": nn.Conv2d(8, 6, 4, 1, 1),
    "padding 2": nn.Conv2d(8, 6, 4, 2, 2),
    "groups": nn.Conv2d(8, 6, 4, 2, 1, groups=2),
    "dilation": nn.Conv2d(8, 6, 4, 2, 1, dilation=2),
    "reflected edge": nn.Conv2d(8, 6, 4, 2, 1, padding_mode="reflect"),
    "padded to the same size": nn.Conv2d(8, 6, 3, padding="same"),
    "no bias": nn.Conv2d(8, 6, 4, 2, 1, bias=False),
    "transposed, kernel 2": nn.ConvTranspose2d(8, 6, 2, 2),
    "transposed, output padding": nn.ConvTranspose2d(8, 6, 4, 2, 1, output_padding=1),
    "transposed, groups": nn.ConvTranspose2d(8, 6, 4, 2, 1, groups=2),
    "transposed, no bias": nn.ConvTranspose2d(8, 6, 4, 2, 1, bias=False),
    "flat": nn.Flatten(),
    "flat from the third dimension on": nn.Flatten(2),
    "flat from the first": nn.Flatten(0, 1),
}


def made_fast(layer: nn.Module) -> nn.Module:
    net = nn.ModuleList([copy.deepcopy(layer), nn.Linear(1, 1)])  # which has something for Adam
    fast.use_fused_layers(net, 1e-3, (0.5, 0.999))
    return net[0]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_any_other_kind_stays_what_it_is(name, rng):
    """In networks of somebody's own: the same values, the same gradients but for the rounding."""
    plain = LAYERS[name]
    quick = made_fast(plain)
    assert (type(quick) is not type(plain)) == (name.startswith("the papers' own") or name == "flat")
    found = []
    for layer in (plain, quick):
        x = torch.randn(3, 8, 12, 12, generator=torch.Generator().manual_seed(0)).bfloat16()
        x = x.to(memory_format=torch.channels_last).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        found.append([y.detach().float(), *(g.float() for g in gradients(y.float(), x, *layer.parameters()))])
    for mine, its in zip(*found, strict=True):
        torch.testing.assert_close(mine, its, rtol=0.02, atol=0.02 * float(its.abs().max()))


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 5)])
def test_what_is_no_batch_of_pictures_is_flattened_too(shape, rng):
    quick = made_fast(nn.Flatten())
    x = torch.randn(shape, generator=rng).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = quick(x)
    (mine,) = gradients(y, x)
    assert torch.equal(y, x.flatten(1)) and torch.equal(mine, gradients(x.flatten(1), x)[0])


def test_power_iterations_are_the_plain_ones(rng):
    plain = networks.Spectral(nn.Linear(400, 300))
    quick = copy.deepcopy(plain)
    fast.use_fused_layers(quick, 1e-3, (0.5, 0.999))
    assert isinstance(quick, fast.Spectral) and isinstance(quick.layer, fast.Linear)
    x = torch.randn(8, 400, generator=rng)
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            mine, its = quick(x.bfloat16()), plain(x.bfloat16())
        torch.testing.assert_close(mine, its, rtol=0.02, atol=0.02)
    for name in ("u", "v"):
        assert torch.dot(getattr(quick, name), getattr(plain, name)) > 0.9999


@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_everywhere_else_nothing_changes(norm, rng):
    """Names, in fp32, in evaluation: a network that was made fast is the plain one, bit for bit."""
    plain = nets(norm)
    quick = copy.deepcopy(plain)
    for net in quick:
        fast.use_fused_layers(net, 1e-3, (0.5, 0.999))
    for mine, its in zip(quick, plain, strict=True):
        assert list(mine.state_dict()) == list(its.state_dict())
    labels = SPACE.sample(4, rng)
    for train in (True, False):
        for net in (*plain, *quick):
            net.train(train)
        frames, same = plain[0](labels), quick[0](labels)
        assert torch.equal(frames, same)
        for mine, its in zip(quick[1](frames), plain[1](frames), strict=True):
            assert torch.equal(mine, its)


def test_adam_is_adam(monkeypatch, rng):
    """In blocks that do not divide the weight: weights, moments and counts are PyTorch's bit for bit."""
    monkeypatch.setattr(fast, "BLOCK", 4096)
    quick = nn.Sequential(nn.Linear(300, 250), nn.Linear(250, 4))
    plain = copy.deepcopy(quick)
    ours = fast.use_fused_layers(quick, 1e-3, (0.5, 0.999))
    theirs = torch.optim.Adam(plain.parameters(), 1e-3, (0.5, 0.999), fused=True)
    assert [type(layer) for layer in quick] == [fast.Linear, nn.Linear]
    for _ in range(3):
        for optimizer in (ours, theirs):
            optimizer.zero_grad()
        large = torch.randn(250, 300, generator=rng).bfloat16()
        quick[0].copied().grad, plain[0].weight.grad = large.clone(), large.float()
        for mine, its in list(zip(quick.parameters(), plain.parameters(), strict=True))[1:]:
            mine.grad = torch.randn(mine.shape, generator=rng)
            its.grad = mine.grad.clone()
        ours.step(), theirs.step()
    for mine, its in zip(quick.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, its)
        for name in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(ours.state[mine][name], theirs.state[its][name])
    assert quick[0].copied() is quick[0].weight16 and torch.equal(quick[0].weight16, plain[0].weight.bfloat16())


def test_the_copy_follows_its_weight(rng):
    layer = nn.Linear(300, 250)
    fast.use_fused_layers(layer, 1e-3, (0.5, 0.999))
    before = layer.copied()
    assert layer.copied() is before
    layer.load_state_dict({"weight": torch.randn(250, 300, generator=rng), "bias": torch.zeros(250)})
    assert torch.equal(layer.copied(), layer.weight.bfloat16()) and layer.copied().requires_grad
    layer.requires_grad_(False)
    assert not layer.copied().requires_grad


def start(preset: animlab.Preset, precision: str, count: int = 1) -> GANTrainer:
    frames = np.random.default_rng(0).integers(0, 256, (256, 64, 64, 3), np.uint8)
    return GANTrainer(frames, SPACE, preset, Settings(precision=precision), 0.1, Processes(count, 0, CPU))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_run_is_what_it_was(name):
    """Some steps of the fast layers beside as many of the plain ones under the same autocast, without penalties."""
    preset = replace(PRESETS[name], gamma=0.0)
    quick, plain = start(preset, "bf16"), start(preset, "fp32")
    plain.settings = Settings(precision="bf16")  # plain layers and PyTorch's Adam, under autocast
    assert isinstance(quick.d_optimizer, fast.Adam) and not isinstance(plain.d_optimizer, fast.Adam)
    for _ in range(4):
        ours, theirs = quick.train_step(), plain.train_step()
        for loss, value in theirs.items():
            assert ours[loss] == pytest.approx(value, rel=0.02), loss


def test_only_where_it_helps():
    stable = PRESETS["stable"]
    penalised = replace(stable, norm="none", loss="relativistic", gamma=0.1)
    for preset, precision, count in ((stable, "fp32", 1), (penalised, "bf16", 1), (stable, "bf16", 2)):
        state = start(preset, precision, count)
        assert not isinstance(state.g_optimizer, fast.Adam), (preset, precision, count)


def test_without_ema_the_newest_weights_are_played():
    state = start(PRESETS["paper"], "bf16")
    state.train_step()
    for name, value in state.generator.state_dict().items():
        assert value.data_ptr() == state.g_ema.state_dict()[name].data_ptr(), name
    assert state.generator.training and not state.g_ema.training
