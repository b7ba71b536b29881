"""The pairs of networks, by name. To add one, write a file beside these two and a line in ARCHITECTURES.

The rest of the library relies on the following contract, and on nothing else:

- `Generator(space, channels, width, centre_c, **own)` and `Discriminator(space, channels, width, centre_c, **own)`;
- G(labels) gives frames (N, channels, 64, 64), in [-1, 1] where they are a picture;
- D(frames) gives the logit x' (N, 1), d' logits (N, n_d) and c' (N, n_c), Eq. 8;
- both are a `Network`, which keeps `space`, `channels`, and in `config` the other arguments they were built with.
"""

from __future__ import annotations

import inspect
from typing import Any

from ..labels import LabelSpace
from . import paper, residual
from .common import LEAK, Network, scaled
from .paper import Discriminator, Generator, Norm, Spectral

__all__ = [
    "ARCHITECTURES", "LEAK", "Discriminator", "Generator", "Network", "Norm", "Spectral",
    "architecture_of", "build", "options", "scaled",
]  # fmt: skip

ARCHITECTURES: dict[str, tuple[type[Network], type[Network]]] = {
    "paper": (paper.Generator, paper.Discriminator),
    "residual": (residual.Generator, residual.Discriminator),
}


def build(architecture: str, space: LabelSpace, channels: int = 3, **config: Any) -> tuple[Network, Network]:
    """Builds an untrained generator and discriminator.

    Example:
        >>> G, D = animlab.networks.build("residual", LabelSpace(n_z=8, n_d=5, n_c=5), channels=3, width=0.5)

    Args:
        architecture: a name in ARCHITECTURES, "paper" or "residual".
        space: the number of labels of each kind.
        channels: channels of a frame, 1 or 3 for the project's data.
        **config: the networks' other arguments (`width`, `centre_c`, and `norm` for "paper"); each network gets those
            that it takes.

    Returns:
        The generator and the discriminator.

    Raises:
        ValueError: The architecture is unknown, or a value is out of range.
        TypeError: Neither network takes such an option.
    """
    known = options(architecture)
    if strange := sorted(config.keys() - known[0] - known[1]):
        raise TypeError(f"The {architecture!r} networks have no option {strange[0]!r}; they have {_listed(*known)}.")
    generator, discriminator = (
        net(space, channels, **{name: value for name, value in config.items() if name in names})
        for net, names in zip(ARCHITECTURES[architecture], known)
    )
    return generator, discriminator


def options(architecture: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the arguments that G and D of an architecture take beside space and channels.

    Args:
        architecture: a name in ARCHITECTURES.

    Returns:
        Those of G and those of D.

    Raises:
        ValueError: The architecture is unknown.
    """
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise ValueError(f"No networks are named {architecture!r}; there are {', '.join(map(repr, ARCHITECTURES))}.")
    g, d = (frozenset(inspect.signature(net).parameters) - {"space", "channels"} for net in ARCHITECTURES[architecture])
    return g, d


def architecture_of(net: Network) -> str:
    """The name in ARCHITECTURES of a network's class, or of the class that it derives from.

    Args:
        net: a generator or a discriminator.

    Raises:
        ValueError: The network belongs to none of them.
    """
    for name, pair in ARCHITECTURES.items():
        if isinstance(net, pair):
            return name
    raise ValueError(f"{type(net).__name__} is not among animlab.networks.ARCHITECTURES, so no file could name it.")


def _listed(*names: frozenset[str]) -> str:
    return ", ".join(map(repr, sorted(frozenset.union(*names))))
