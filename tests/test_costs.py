"""What models cost: counted by hand, by another counter and by another measure of memory; the models of Tab. 6."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from animlab.baselines import mocogan, monkeynet, pix2pix
from animlab.baselines.cost_models import COST_MODELS, cost_model
from animlab.baselines.costs import FlopCounter, WithoutNumbers, cost, parameters

SMALL = {"tgan": 2, "mocogan": 1, "monkeynet": 1, "pix2pix": 1, "ours": 4}


def metered(net, *inputs):
    with torch.no_grad(), FlopCounter(net) as meter:
        net(*inputs)
    return meter.multiply_adds


# One layer at a time.


@pytest.mark.parametrize(
    "net, shape, kind",
    [
        (nn.Conv1d(3, 5, 4, 2), (2, 3, 11), "conv 1-D"),
        (nn.Conv2d(3, 5, (3, 2), (1, 2)), (2, 3, 9, 8), "conv 2-D"),
        (nn.Conv2d(4, 6, 3, groups=2), (1, 4, 5, 5), "conv 2-D"),
        (nn.ConvTranspose2d(3, 5, 4, 2), (2, 3, 6, 5), "conv 2-D"),
        (nn.Conv3d(3, 5, 4, (1, 2, 2)), (2, 3, 6, 9, 8), "conv 3-D"),
        (nn.Conv3d(3, 5, (1, 3, 3)), (2, 3, 6, 9, 8), "conv 3-D, depth 1"),
        (nn.Linear(7, 5), (3, 7), "linear"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_layer_of_ones_adds_up_its_own_products(net, shape, kind):
    """With weights and inputs of 1 and no padding, every product is 1: the outputs sum to the number of them."""
    nn.init.ones_(net.weight)
    nn.init.zeros_(net.bias)
    x = torch.ones(shape)
    assert dict(metered(net, x)) == {kind: net(x).sum().item()}


def test_the_first_layer_of_mocogans_video_discriminator_by_hand():
    net = mocogan.VideoDiscriminator().layers[0]
    weights, places = 64 * 3 * 4 * 4 * 4, 13 * 32 * 32  # a kernel for each of 64 channels; 16 frames lose three
    assert metered(net, torch.rand(1, 3, 16, 64, 64)) == {"conv 3-D": weights * places}


@pytest.mark.parametrize("steps, inside, hidden", [(1, 10, 10), (3, 4, 7)])
def test_a_recurrent_cell_by_hand(steps, inside, hidden):
    """Three gates, each with a matrix for the input and one for the state; backwards, two products for each one."""
    cell, h = nn.GRUCell(inside, hidden), torch.randn(2, hidden, requires_grad=True)
    forward = steps * 2 * 3 * (inside + hidden) * hidden
    with FlopCounter(cell) as meter:
        for _ in range(steps):
            h = cell(torch.randn(2, inside), h)
        h.sum().backward()
    unasked = steps * 2 * 3 * inside * hidden  # no gradient of the inputs
    assert meter.multiply_adds == {"recurrent": 3 * forward - unasked}


def test_a_recurrent_cell_costs_as_much_through_pytorchs_whole_layer():
    assert metered(nn.GRU(4, 7), torch.rand(3, 2, 4)) == {"recurrent": 3 * 2 * 3 * 11 * 7}


def test_an_lstm_is_turned_down_because_it_cannot_be_counted():
    with FlopCounterMode(display=False) as counter:
        nn.LSTM(4, 7)(torch.rand(3, 2, 4))
    assert counter.get_total_flops() == 0  # where this fails, PyTorch has learned to count it, and so may FlopCounter
    with pytest.raises(ValueError, match="LSTM"):
        FlopCounter(nn.LSTM(4, 7))


def test_layers_that_cannot_be_told_apart_are_an_error():
    with pytest.raises(ValueError, match="one shape"):
        FlopCounter(nn.GRUCell(10, 10), nn.Linear(10, 30))


def test_inference_mode_counts_the_same():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 5))
    x = torch.rand(2, 3, 3, 3)
    with torch.inference_mode(), FlopCounter(net) as meter:
        net(x)
    assert meter.multiply_adds == metered(net, x) == {"conv 2-D": 2 * 108, "linear": 2 * 20}


# Memory.


def test_live_bytes_of_a_chain_by_hand():
    """A kept for the second layer's gradient, B given up: weights, gradients and A, B, loss."""
    net = nn.Sequential(nn.Linear(100, 50, bias=False), nn.ReLU())
    x = torch.rand(1000, 100)
    with FlopCounter(net) as meter:
        y = net(x)  # 1000 × 50 before and after the ReLU, of which only what comes out is kept
        assert meter.live == 4 * (50 * 100 + 1000 * 50)
        y.sum().backward()
        del y
    assert meter.start == 4 * 50 * 100
    assert meter.live == 2 * meter.start  # the weights and their gradient are all that is left
    assert meter.peak > 4 * (50 * 100 + 2 * 1000 * 50)


@pytest.mark.parametrize("name, batch", [("ours", 16), ("pix2pix", 1)])
def test_peak_memory_is_what_the_allocator_reports(name, batch):
    """Measured by PyTorch's profiler, which sees the kernels' own scratch space as well: at most a quarter more."""
    it = cost_model(name, batch=batch)
    nets = [*it.generators, *it.discriminators]
    it.step()

    def without_gradients():
        for net in nets:
            net.zero_grad()

    without_gradients()
    with FlopCounter(*nets, optimizers=it.optimizers) as meter:
        it.step()
    without_gradients()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        it.step()
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    assert 1 <= np.cumsum(sizes).max() / (meter.peak - meter.start) < 1.25


# The five models.


@pytest.fixture(scope="module")
def counted():
    return {name: cost(name) for name in COST_MODELS}


@pytest.mark.parametrize("name", COST_MODELS)
def test_counting_without_numbers_is_counting_what_runs(name):
    it = cost_model(name, batch=SMALL[name])
    nets = [*it.generators, *it.discriminators]
    it.step()
    with FlopCounterMode(display=False) as counter:
        it.step()
    with FlopCounter(*nets, optimizers=it.optimizers) as meter:
        it.step()
    found = cost(name, batch=SMALL[name])
    assert found.step == meter.multiply_adds
    assert found.step.total() == counter.get_total_flops() // 2
    assert (found.kept, found.peak) == (meter.start, pytest.approx(meter.peak, rel=0.02))
    assert found.generators + found.discriminators == parameters(*nets)


def test_parameters_are_those_of_the_papers(counted):
    """TGAN and MoCoGAN: tests/test_baselines.py. pix2pix: printed by its authors' program for grey pictures."""
    assert counted["tgan"].generators == 825_444 + 3_622_691
    assert counted["mocogan"].discriminators == 11_253_504 + 663_296
    grey_g, grey_d = 2 * (64 + 128) * 16 + 2, 2 * 2 * 64 * 16  # what two channels less save: first layer, last layer
    published = {64: 29.238, 256: 54.408}  # millions: github.com/junyanz/pytorch-CycleGAN-and-pix2pix/issues/1152
    for size, millions in published.items():
        assert round((parameters(pix2pix.UNet(size)) - grey_g) / 1e6, 3) == millions
    assert round((counted["pix2pix"].discriminators - grey_d) / 1e6, 3) == 2.765


def test_the_kinds_of_layers_are_those_of_tab_6_but_for_monkey_net(counted):
    main = {
        name: (found.drawn.most_common(1)[0][0], found.judged.most_common(1)[0][0]) for name, found in counted.items()
    }
    assert main == {
        "tgan": ("conv 2-D", "conv 3-D"),
        "mocogan": ("conv 2-D", "conv 3-D"),
        "monkeynet": ("conv 3-D, depth 1", "conv 3-D, depth 1"),  # Conv3d, each on one frame
        "pix2pix": ("conv 2-D", "conv 2-D"),
        "ours": ("conv 2-D", "conv 2-D"),
    }
    assert counted["mocogan"].drawn["recurrent"] == 16 * 3 * 20 * 10


def test_our_networks_by_hand(counted):
    """Tab. 1 and 2: three convolutions of one cost each way, and the linear layers; 16 frames a clip."""
    convs = 8 * 8 * 128 * 64 * 16 + 16 * 16 * 64 * 32 * 16 + 32 * 32 * 32 * 3 * 16  # places, channels, 4 × 4 kernels
    assert counted["ours"].drawn == {"conv 2-D": 16 * convs, "linear": 16 * (18 * 1024 + 1024 * 8192)}
    assert counted["ours"].judged == {"conv 2-D": 16 * convs, "linear": 16 * (8192 * 1024 + 1024 * 11)}


@pytest.mark.parametrize("name", COST_MODELS)
def test_longer_and_wider_models_draw_what_was_asked_for(name, counted):
    with torch.device("meta"), WithoutNumbers():
        it = cost_model(name, frames=32, size=128)
        for net in [*it.generators, *it.discriminators]:
            net.eval()
        clip = it.draw()
        it.judge(clip)
    assert clip.shape == (1, 3, 32, 128, 128)
    longer, wider = cost(name, frames=32), cost(name, size=128)
    base = counted[name]
    assert 1.9 < longer.drawn.total() / base.drawn.total() <= 2
    assert 3.9 < wider.drawn.total() / base.drawn.total() < 4.2
    assert (
        longer.peak > base.peak if name in ("tgan", "mocogan") else longer.peak == base.peak
    )  # others train on frames


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "vgan"}, "named 'vgan'"),
        ({"name": "tgan", "frames": 20}, "multiple of 16 frames here, as TGAN draws them; got frames=20"),
        ({"name": "ours", "size": 100}, "power of two from 64 pixels up here, got size=100"),
    ],
)
def test_what_does_not_fit_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        cost_model(**arguments)


def test_a_unet_needs_a_power_of_two():
    with pytest.raises(ValueError, match="got 48"):
        pix2pix.UNet(48)


# Monkey-Net's own arithmetic.


def test_heatmaps_are_gaussians(rng):
    root = torch.randn(1, 1, 10, 2, 2, generator=rng) * 0.3 + torch.eye(2) * 0.4
    points = monkeynet.Keypoints(torch.rand(1, 1, 10, 2, generator=rng) - 0.5, root @ root.transpose(-1, -2))
    found = monkeynet.heatmaps(points, 7, 9)[0, 0, 3].numpy()
    y, x = np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 9), indexing="ij")
    bell = multivariate_normal(points.mean[0, 0, 3].numpy(), points.var[0, 0, 3].numpy())
    expected = bell.pdf(np.stack([x, y], axis=-1)) / bell.pdf(bell.mean)
    np.testing.assert_allclose(found * monkeynet.HEAT, expected, rtol=1e-4, atol=1e-6)


def test_keypoints_are_means_and_covariances_of_the_heatmaps(rng):
    detector = monkeynet.KeypointDetector().eval()
    video = torch.rand(1, 3, 2, 32, 32, generator=rng)
    with torch.no_grad():
        heat = (detector.hourglass(video)[0, 4, 1] / monkeynet.TEMPERATURE).flatten().softmax(dim=0).view(32, 32)
        points = detector(video)
    y, x = np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32), indexing="ij")
    places, weights = np.stack([x.ravel(), y.ravel()]), heat.numpy().ravel()
    np.testing.assert_allclose(points.mean[0, 1, 4].numpy(), places @ weights, atol=1e-5)
    expected = np.cov(places, aweights=weights, ddof=0)
    np.testing.assert_allclose(points.var[0, 1, 4].numpy(), expected, atol=1e-5)


def test_a_flow_that_stays_leaves_features_as_they_are_and_one_that_shifts_shifts_them(rng):
    features = torch.rand(1, 5, 1, 9, 9, generator=rng)
    stay = monkeynet.grid(9, 9, features).expand(1, 2, 9, 9, 2)
    torch.testing.assert_close(monkeynet.warp(features, stay), features.expand(-1, -1, 2, -1, -1), atol=1e-5, rtol=0)
    right = stay + torch.tensor([2 / 8, 0.0])  # a pixel of nine is a quarter of the way from -1 to 0
    torch.testing.assert_close(
        monkeynet.warp(features, right)[:, :, 0, :, :-1], features[:, :, 0, :, 1:], atol=1e-5, rtol=0
    )


def test_monkey_net_sees_one_frame_at_a_time(rng):
    """Why its Conv3d count as two-dimensional: a frame of the result does not change with the other frames."""
    g, detector = monkeynet.Generator().eval(), monkeynet.KeypointDetector().eval()
    video = torch.rand(1, 3, 3, 64, 64, generator=rng)
    with torch.no_grad():
        points = detector(video)
        together = g(video[:, :, :1], points, points.at(slice(1)))
        alone = g(video[:, :, :1], detector(video[:, :, 2:]), points.at(slice(1)))
    torch.testing.assert_close(together[:, :, 2:], alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["monkeynet", "pix2pix"])
def test_a_step_moves_every_network(name):
    it = cost_model(name, batch=2)
    nets = [*it.generators, *it.discriminators]
    before = [[w.detach().clone() for w in net.parameters()] for net in nets]
    it.step()
    for net, old in zip(nets, before):
        assert any(not torch.equal(w, was) for w, was in zip(net.parameters(), old))
