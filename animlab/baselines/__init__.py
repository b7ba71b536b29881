"""The models that the paper compares with, rebuilt from their papers: MoCoGAN (Tab. 4) and TGAN (Tab. 5).

>>> run = animlab.baselines.fit(clips, model="mocogan", steps=2000, seed=0, out="runs/mocogan") >>>
run.model.animate(frames=16, seed=3) # (16, 64, 64, 3) uint8 >>> animlab.baselines.load("runs/mocogan").animate(seed=3)
# the same clip

Both are trained on clips, with frames in order, where ours sees single frames in random order; MoCoGAN is given each
clip's class.
"""

from .clip_gan import ClipGAN
from .mocogan import MoCoGAN
from .tgan import TGAN
from .training import MODELS, fit, load

__all__ = ["MODELS", "TGAN", "ClipGAN", "MoCoGAN", "fit", "load"]
