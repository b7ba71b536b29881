"""What a reader drags in a notebook: the player of a model, the composer, explorers of a figure, games to play."""

from .composer import Composer
from .player import LabelPlayer

__all__ = ["Composer", "LabelPlayer"]
