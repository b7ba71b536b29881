"""animlab: one 2-D GAN teaches itself the labels that animate pictures."""

from . import metrics
from .labels import Labels, LabelSpace
from .model import Model
from .networks import Discriminator, Generator

__all__ = ["Discriminator", "Generator", "LabelSpace", "Labels", "Model", "metrics"]
