"""animlab: a 2-D GAN learns, from single frames in random order, the labels that animate pictures.

Where to look:

- labels, losses, presets, step: the paper's mathematics, from sampling z, d and c to the two-stage training step.
- networks, augment: generators and discriminators, and how frames are augmented before the discriminator sees them.
- training, callbacks, logs: the training loop, and what watches it; trainer, gan_trainer: the state between two steps.
- checkpoints, storage, hub: the files of runs, saving and loading models, sharing them.
- model, animation, timeline, inversion: a trained model, its pictures and films, the labels of a given picture.
- plots, widgets, web: figures, players, and the page that needs no Python.
- datasets, metrics, baselines, sweeps: frames, measurements, the models that the paper compares with, grids of runs.
- backend: what makes all this fast on the machine at hand.
"""

from importlib import import_module
from typing import Any

from . import networks
from .animation import filmstrip, save_animation
from .callbacks import Callback, Record
from .checkpoints import CheckpointError
from .datasets import Clips, load_dataset
from .hub import push
from .labels import Labels, LabelSpace
from .logs import TensorBoard
from .model import Model
from .networks import Discriminator, Generator
from .presets import PRESETS, Preset
from .storage import load, save
from .timeline import Timeline
from .trainer import TrainingDiverged
from .training import Run, fit

__all__ = [
    "PRESETS",
    "Callback",
    "CheckpointError",
    "Clips",
    "Composer",
    "Discriminator",
    "Generator",
    "Inversion",
    "LabelPlayer",
    "LabelSpace",
    "Labels",
    "Model",
    "Preset",
    "Record",
    "Run",
    "TensorBoard",
    "Timeline",
    "TrainingDiverged",
    "baselines",
    "export_player",
    "filmstrip",
    "fit",
    "invert",
    "load",
    "load_dataset",
    "metrics",
    "networks",
    "plots",
    "push",
    "save",
    "save_animation",
]


def __getattr__(name: str) -> Any:
    """Imports on first use what needs matplotlib, scikit-learn, SciPy or a notebook, and the web page."""
    if name in ("Composer", "LabelPlayer"):
        return getattr(import_module(".widgets", __name__), name)
    if name == "export_player":
        return import_module(".web", __name__).export_player
    if name in ("Inversion", "invert"):
        return getattr(import_module(".inversion", __name__), name)
    if name in ("baselines", "metrics", "plots", "web", "widgets"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
