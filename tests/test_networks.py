"""Tab. 1 and Tab. 2, layer by layer; spectral normalisation against PyTorch's."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import animlab
from animlab import Discriminator, Generator, LabelSpace
from animlab.networks import Spectral

SPACE = LabelSpace(n_z=8, n_d=5, n_c=5)


def layers(net):
    """(kind, weights and biases) of every layer that has any, in order."""
    return [
        (type(m).__name__, sum(p.numel() for p in m.parameters(recurse=False)))
        for m in net.modules()
        if any(True for _ in m.parameters(recurse=False))
    ]


def test_generator_is_table_1():
    assert layers(Generator(SPACE)) == [
        ("Linear", (8 + 5 + 5) * 1024 + 1024),
        ("BatchNorm1d", 2 * 1024),
        ("Linear", 1024 * 8192 + 8192),
        ("BatchNorm1d", 2 * 8192),
        ("ConvTranspose2d", 128 * 64 * 16 + 64),
        ("BatchNorm2d", 2 * 64),
        ("ConvTranspose2d", 64 * 32 * 16 + 32),
        ("BatchNorm2d", 2 * 32),
        ("ConvTranspose2d", 32 * 3 * 16 + 3),  # "BN, Tanh" in the table, "except the last layer" in the text: no BN
    ]


def test_discriminator_is_table_2():
    assert layers(Discriminator(SPACE)) == [
        ("Conv2d", 3 * 32 * 16 + 32),
        ("Conv2d", 32 * 64 * 16 + 64),
        ("Conv2d", 64 * 128 * 16 + 128),
        ("BatchNorm2d", 2 * 128),  # "we only use BN for the last Conv2d layer"
        ("Linear", 8192 * 1024 + 1024),  # "K=4, S=2" is a slip: a linear layer has no kernel
        ("BatchNorm1d", 2 * 1024),
        ("Linear", 1024 * (1 + 5 + 5) + 11),  # n_z + n_d + n_c in the table; Eq. 8 has one score x'
    ]


@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
@pytest.mark.parametrize(("width", "channels"), [(1.0, 3), (0.25, 1)])
def test_shapes_and_ranges(norm, width, channels, rng):
    frames = Generator(SPACE, channels, width)(SPACE.sample(4, rng))
    assert frames.shape == (4, channels, 64, 64) and frames.abs().max() <= 1
    logit, d_logits, c_hat = Discriminator(SPACE, channels, width, norm=norm)(frames)
    assert logit.shape == (4, 1) and d_logits.shape == (4, 5) and c_hat.shape == (4, 5)


def test_the_strides_of_the_tables(rng):
    """8 → 16 → 32 → 64 and back, which fixes the padding that the paper leaves out."""
    x = torch.zeros(1, 128, 8, 8)
    for layer in Generator(SPACE).eval().decoder:
        x = layer(x)
        if isinstance(layer, nn.ConvTranspose2d):
            assert (layer.kernel_size, layer.stride, layer.padding) == ((4, 4), (2, 2), (1, 1))
    assert x.shape == (1, 3, 64, 64)


def test_width_scales_every_hidden_layer():
    wide, narrow = Generator(SPACE, width=1.0), Generator(SPACE, width=0.25)
    assert narrow.embed[0].out_features == 256 and narrow.decoder[0].in_channels == 32
    assert sum(p.numel() for p in narrow.parameters()) < sum(p.numel() for p in wide.parameters()) / 14


def test_centring_moves_c_and_nothing_outside(rng):
    labels = SPACE.sample(4, rng)
    plain, centred = (Generator(SPACE, width=0.25, centre_c=centre).eval() for centre in (False, True))
    centred.load_state_dict(plain.state_dict())
    shifted = type(labels)(labels.z, labels.d, 2 * labels.c - 1)
    assert torch.equal(centred(labels), plain(shifted))


def test_centred_reading_lives_where_c_does(rng):
    plain, centred = (Discriminator(SPACE, width=0.25, centre_c=c, norm="none") for c in (False, True))
    centred.load_state_dict(plain.state_dict())
    frames = torch.randn(4, 3, 64, 64, generator=rng)
    assert torch.allclose(centred(frames)[2], (plain(frames)[2] + 1) / 2)


@pytest.mark.parametrize("layer", [nn.Linear(24, 12), nn.Conv2d(3, 8, 4, 2, 1)], ids=["linear", "conv"])
def test_spectral_normalisation_equals_pytorchs(layer, rng):
    """Same weight and same vectors: same output and same gradients, though we divide elsewhere."""
    ours = Spectral(layer)
    reference = spectral_norm(type(layer)(*((24, 12) if isinstance(layer, nn.Linear) else (3, 8, 4, 2, 1))))
    with torch.no_grad():
        reference.parametrizations.weight.original.copy_(layer.weight)
        reference.bias.copy_(layer.bias)
        reference.parametrizations.weight[0]._u.copy_(ours.u)
        reference.parametrizations.weight[0]._v.copy_(ours.v)
    ours.eval(), reference.eval()  # no further power iteration, so both use the same σ
    x = torch.randn(5, 24, generator=rng) if isinstance(layer, nn.Linear) else torch.randn(5, 3, 8, 8, generator=rng)
    assert torch.allclose(ours(x), reference(x), atol=1e-6)
    ours(x).square().sum().backward()
    reference(x).square().sum().backward()
    assert torch.allclose(layer.weight.grad, reference.parametrizations.weight.original.grad, atol=1e-5)


def test_power_iteration_finds_the_largest_singular_value(rng):
    spectral = Spectral(nn.Linear(40, 30)).train()
    for _ in range(50):
        spectral(torch.zeros(1, 40))
    true = torch.linalg.svdvals(spectral.layer.weight)[0]
    assert spectral.sigma().item() == pytest.approx(true.item(), rel=1e-3)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"width": -1}, "width, the factor on the networks' channels, must be a number from 0.001 to 100, got -1."),
        (
            {"width": float("nan")},
            "width, the factor on the networks' channels, must be a number from 0.001 to 100, got",
        ),
        ({"centre_c": "no"}, "centre_c must be True or False, got 'no'."),
        ({"channels": 0}, "channels must be a whole number from 1 to 1,000, got 0."),
        ({"channels": "3"}, "channels must be a whole number from 1 to 1,000, got '3'."),
    ],
)
@pytest.mark.parametrize("architecture", animlab.networks.ARCHITECTURES)
def test_networks_are_built_from_what_fits(architecture, config, says):
    with pytest.raises(ValueError) as caught:
        animlab.networks.build(architecture, animlab.LabelSpace(3, 4, 2), **config)
    assert str(caught.value).startswith(says)


def test_a_norm_has_a_name():
    with pytest.raises(ValueError, match=r"^D's norm must be 'batch', 'spectral', 'none', got 'layer'\.$"):
        animlab.networks.build("paper", animlab.LabelSpace(3, 4, 2), norm="layer")
