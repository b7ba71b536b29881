"""Measures of pictures, sets of pictures, animations and labels; each docstring gives the definition and its source.

What needs scikit-learn, scikit-image or scipy.stats imports it when it is called: together they take half a second,
and most lessons measure with none of them.
"""

from .clip_features import clip_features
from .distances import (
    Estimate,
    PrecisionRecall,
    Statistics,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)
from .evaluate import evaluate
from .features import Features, NotInceptionWarning, load_features
from .images import psnr, ssim
from .influence import Influence, influence, label_influence, real_influence
from .inversion import Inversion, invert
from .label_measures import DCI, Agreement, Smoothness, agreement, dci, mig, monotonicity, sap, settling, smoothness
from .matching import Copying, Match, Matcher, best_match, copying, nearest_frames
from .protocols import (
    AnimationProtocol,
    AnimationScores,
    InversionScores,
    animation_protocol,
    animation_score,
    inversion_protocol,
    random_sweeps,
)

__all__ = [
    "DCI",
    "Agreement",
    "AnimationProtocol",
    "AnimationScores",
    "Copying",
    "Estimate",
    "Features",
    "Influence",
    "Inversion",
    "InversionScores",
    "Match",
    "Matcher",
    "NotInceptionWarning",
    "PrecisionRecall",
    "Smoothness",
    "Statistics",
    "agreement",
    "animation_protocol",
    "animation_score",
    "best_match",
    "clip_features",
    "copying",
    "dci",
    "evaluate",
    "frechet_distance",
    "inception_score",
    "influence",
    "inversion_protocol",
    "invert",
    "kernel_distance",
    "label_influence",
    "load_features",
    "mig",
    "monotonicity",
    "nearest_frames",
    "precision_recall",
    "psnr",
    "random_sweeps",
    "real_influence",
    "sap",
    "settling",
    "smoothness",
    "ssim",
]
