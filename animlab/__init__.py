"""animlab: one 2-D GAN teaches itself the labels that animate pictures."""

from importlib import import_module
from typing import Any

from . import metrics, networks
from .animation import filmstrip, save_animation
from .checkpoints import CheckpointError, load, save
from .datasets import Clips, load_dataset
from .labels import Labels, LabelSpace
from .logs import TensorBoard
from .model import Model
from .networks import Discriminator, Generator
from .presets import PRESETS, Preset
from .state import TrainingDiverged
from .training import Callback, Record, Run, fit

__all__ = [
    "PRESETS",
    "Callback",
    "CheckpointError",
    "Clips",
    "Discriminator",
    "Generator",
    "LabelPlayer",
    "LabelSpace",
    "Labels",
    "Model",
    "Preset",
    "Record",
    "Run",
    "TensorBoard",
    "TrainingDiverged",
    "baselines",
    "filmstrip",
    "fit",
    "load",
    "load_dataset",
    "metrics",
    "networks",
    "plots",
    "save",
    "save_animation",
]


def __getattr__(name: str) -> Any:
    """The parts that need matplotlib or a notebook, and the baselines, are imported when they are first asked for."""
    if name == "LabelPlayer":
        return import_module(".widgets", __name__).LabelPlayer
    if name in ("baselines", "plots", "widgets"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
