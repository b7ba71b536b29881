"""Numbers for pictures, sets of pictures, animations and labels; each function says what it measures and from where."""

from .influence import Influence, influence, label_influence, real_influence
from .score import animation_score

__all__ = ["Influence", "animation_score", "influence", "label_influence", "real_influence"]
