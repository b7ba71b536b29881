"""Trains the small network behind FD(animlab-features) and ships it, with a card that says what it notices.

    python data/pretrained/features.py --steps 4000       # one thread, some minutes

The network learns from frames of every data set that may be used so, real and rendered (not CelebA, whose terms forbid
it: its stand-in): which set and class a frame is from, who is seen (actions), the true factors where frames were
rendered (places, angles, colours), and how strongly the frame was spoilt. The last is there so that the features
notice bad pictures; the tasks other than the classes are dropped once it is trained.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

import animlab
from animlab.checkpoints import library_version, write_checkpoint
from animlab.frames import to_tensor
from animlab.metrics.feature_net import NAME, SIZE, FeatureNet

HERE = Path(__file__).resolve().parent / "features"
SETS = [
    "actions", "actions-synthetic", "shapes", "shapes-synthetic", "moving-mnist", "moving-mnist-synthetic",
    "faces3d", "faces3d-synthetic", "celeba-synthetic",
]  # fmt: skip
FRAMES = 12_000  # of each set at most
SHARE = 16  # frames of each set in a batch
SPOILT = ("blur", "noise", "warp", "fade", "ghost", "checks")
WEIGHT = {"kind": 1.0, "person": 0.5, "factors": 1.0, "spoilt": 2.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    data = Mix(np.random.default_rng(args.seed))
    torch.manual_seed(args.seed)
    net, report = train(data, args.steps)
    card = {
        "name": NAME, "features": SIZE, "kinds": data.kinds, "sets": SETS, "frames_of_each_set": FRAMES,
        "steps": args.steps, "batch": SHARE * len(SETS), "seed": args.seed, "held_out": report,
        "processor_minutes": round((time.process_time() - began) / 60, 1),
        "machine": f"a thread of {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.split('+')[0]}",
        "made by": "data/pretrained/features.py", "version": library_version(),
    }  # fmt: skip
    write_checkpoint(args.out, {k: v.half() if v.ndim > 1 else v for k, v in net.state_dict().items()}, card)
    card["kinds"] = len(data.kinds)  # their names are in the file's header
    (args.out / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(report, indent=1))


class Mix:
    """Frames of all the sets in memory, with what the network is to say of each; the last tenth is held out."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.kinds: list[str] = []
        self.people = 0
        self.frames, self.targets = [], []
        for name in SETS:
            clips = animlab.load_dataset(name)
            rows = rng.choice(len(clips), min(len(clips), FRAMES), replace=False)
            self.frames.append(clips.frames[np.sort(rows)])
            clip = np.repeat(np.arange(len(clips.clips)), clips.clips["length"])[np.sort(rows)]
            names, kind = np.unique(clips.clips["class"], return_inverse=True)
            kind, first = kind[clip] + len(self.kinds), len(self.kinds)
            self.kinds += [f"{name}: {each}" if each else name for each in names.tolist()]
            person = np.full(len(clip), -1)
            if name == "actions":
                person = clips.clips["take"][clip]
                self.people = int(person.max()) + 1
            factors = visible(clips.factors, np.sort(rows))
            assert first <= kind.min() and kind.max() < len(self.kinds)
            self.targets.append((kind, person, factors))
        self.widths = [factors.shape[1] for *_, factors in self.targets]

    def batch(self, held_out: bool = False) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """SHARE frames of each set: pictures (N, 3, 64, 64), kinds (N,), people (N,), factors of each set."""
        frames, kinds, people, factors = [], [], [], []
        for of_set, (kind, person, factor) in zip(self.frames, self.targets):
            edge = len(of_set) * 9 // 10  # frames are in the order of the clips: what is held out is whole clips
            rows = self.rng.integers(edge, len(of_set), SHARE) if held_out else self.rng.integers(edge, size=SHARE)
            frames.append(to_tensor(of_set[rows]).expand(-1, 3, -1, -1))
            kinds.append(kind[rows])
            people.append(person[rows])
            factors.append(torch.from_numpy(factor[rows]))
        return (
            torch.cat(frames),
            torch.from_numpy(np.concatenate(kinds)),
            torch.from_numpy(np.concatenate(people)),
            factors,
        )


def visible(factors: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """What a single frame shows of the true factors, each with mean 0 and variance 1: (len(rows), number of them).

    Speeds cannot be seen, and which of two digits is the first is chance: their middle and their distance are not.
    """
    chosen = {name: values[rows] for name, values in factors.items() if not name.startswith(("class", "digit", "v"))}
    for axis in "xy":
        if f"{axis}_1" in chosen:
            one, two = chosen.pop(f"{axis}_1"), chosen.pop(f"{axis}_2")
            chosen |= {f"{axis} middle": (one + two) / 2, f"{axis} distance": np.abs(one - two)}
    table = np.stack(list(chosen.values()), axis=1) if chosen else np.zeros((len(rows), 0))
    return ((table - table.mean(axis=0)) / table.std(axis=0)).astype(np.float32)


def spoil(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Half of the frames spoilt in one of six ways each; and how strongly, (N, 6), 0 for what was left alone to 1."""
    strength = torch.rand(len(frames)) * (torch.rand(len(frames)) < 0.5)
    way = torch.randint(len(SPOILT), (len(frames),))
    spoilt, amounts = frames.clone(), torch.zeros(len(frames), len(SPOILT))
    amounts[torch.arange(len(frames)), way] = strength
    for index, name in enumerate(SPOILT):
        rows = ((way == index) & (strength > 0)).nonzero()[:, 0]
        if len(rows):
            spoilt[rows] = WAYS[name](frames[rows], strength[rows].view(-1, 1, 1, 1), frames)
    return spoilt.clamp(-1, 1), amounts


def blur(x: Tensor, s: Tensor, _: Tensor) -> Tensor:
    """A Gaussian of up to 2.5 pixels, its own for each picture."""
    offsets = torch.arange(-6.0, 7.0)
    kernel = torch.exp(-0.5 * (offsets / (2.5 * s.view(-1, 1) + 0.05)) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)  # (3N, 13)
    flat = F.pad(x, (6, 6, 6, 6), mode="replicate").flatten(0, 1).unsqueeze(0)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=len(kernel))
    return F.conv2d(flat, kernel[:, None, None, :], groups=len(kernel)).view_as(x)


def noise(x: Tensor, s: Tensor, _: Tensor) -> Tensor:
    """White noise of up to a fifth of the range."""
    return x + 0.4 * s * torch.randn_like(x)


def warp(x: Tensor, s: Tensor, _: Tensor) -> Tensor:
    """Places moved by a smooth random field of up to about 4 pixels."""
    field = F.interpolate(torch.randn(len(x), 2, 6, 6), size=(64, 64), mode="bicubic", align_corners=True)
    straight = F.affine_grid(torch.eye(2, 3).expand(len(x), -1, -1), list(x.shape), align_corners=False)
    moved = straight + (4 / 32 * s * field).permute(0, 2, 3, 1)
    return F.grid_sample(x, moved, padding_mode="border", align_corners=False)


def fade(x: Tensor, s: Tensor, _: Tensor) -> Tensor:
    """Contrast taken away, up to four fifths of it."""
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (1 - 0.8 * s) * (x - mean)


def ghost(x: Tensor, s: Tensor, others: Tensor) -> Tensor:
    """Another picture shines through, up to half of it."""
    other = others[torch.randint(len(others), (len(x),))]
    return (1 - 0.5 * s) * x + 0.5 * s * other


def checks(x: Tensor, s: Tensor, _: Tensor) -> Tensor:
    """The chequered pattern that transposed convolutions leave, up to a seventh of the range."""
    y = torch.arange(64)
    pattern = ((y[:, None] // 2 + y[None, :] // 2) % 2 * 2 - 1).float()
    return x + 0.15 * s * pattern


WAYS = {"blur": blur, "noise": noise, "warp": warp, "fade": fade, "ghost": ghost, "checks": checks}


class Tasks(nn.Module):
    """Linear heads on the features; dropped once the features are learned."""

    def __init__(self, data: Mix) -> None:
        super().__init__()
        self.person = nn.Linear(SIZE, data.people)
        self.spoilt = nn.Linear(SIZE, len(SPOILT))
        self.factors = nn.ModuleList(nn.Linear(SIZE, width) if width else nn.Identity() for width in data.widths)

    def losses(self, net: FeatureNet, data: Mix, held_out: bool = False) -> dict[str, Tensor]:
        """Mean losses of a batch by task: nats for kind and person, mean squared errors for factors and spoilt."""
        clean, kinds, people, factors = data.batch(held_out)
        frames, amounts = spoil(clean)
        with torch.autocast("cpu", torch.bfloat16, enabled=not held_out):
            features = net(frames.contiguous(memory_format=torch.channels_last)).float()
        parts = features.split(SHARE)
        errors = [F.mse_loss(head(x), y) for head, x, y in zip(self.factors, parts, factors) if y.shape[1]]
        logits = net.classify(features)
        return {
            "kind": F.cross_entropy(logits, kinds),
            "person": F.cross_entropy(self.person(features), people, ignore_index=-1),
            "factors": torch.stack(errors).mean(),
            "spoilt": F.mse_loss(self.spoilt(features), amounts) * 20,  # the variance of an amount is about 1/20
            "set right": (set_of(logits, data) == set_of(None, data)).float().mean(),
        }


def set_of(logits: Tensor | None, data: Mix) -> Tensor:
    """Which set each frame of a batch is from, by the classifier or in truth."""
    if logits is None:
        return torch.arange(len(SETS)).repeat_interleave(SHARE)
    owner = torch.tensor([SETS.index(kind.split(":")[0]) for kind in data.kinds])
    return owner[logits.argmax(dim=1)]


def train(data: Mix, steps: int) -> tuple[FeatureNet, dict[str, float]]:
    """The network after `steps` steps of Adam, and its losses on the frames that were held out."""
    net = FeatureNet(len(data.kinds)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    tasks = Tasks(data)
    optimizer = torch.optim.Adam([*net.parameters(), *tasks.parameters()], fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    with tqdm(range(steps), desc=NAME, mininterval=10) as bar:
        for _ in bar:
            found = tasks.losses(net, data)
            loss = torch.stack([WEIGHT[name] * found[name] for name in WEIGHT]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.set_postfix({name: f"{value.item():.2f}" for name, value in found.items()}, refresh=False)
    net.eval()
    with torch.inference_mode():
        rounds = [tasks.losses(net, data, held_out=True) for _ in range(50)]
    return net, {
        name: round(float(np.mean([each[name] for each in rounds])), 3) for name in rounds[0] if name != "person"
    }


if __name__ == "__main__":
    main()
