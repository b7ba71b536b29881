"""What a reader drags in a notebook: the player of a model, explorers of a figure, games to play."""

from .player import LabelPlayer

__all__ = ["LabelPlayer"]
