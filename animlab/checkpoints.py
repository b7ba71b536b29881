"""Checkpoints: safetensors plus a JSON header, never pickle; written whole or not at all.

One format for everything. "generator.…" (the weights to play with) and "discriminator.…" make a model; a run in
progress adds "training.…": the raw generator, both optimisers' moments and the random state, to go on exactly.
"""

from __future__ import annotations

import glob
import json
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .backend.device import find_device
from .checks import instance, shown
from .datasets.files import MISSING, unsuited
from .labels import LabelSpace
from .model import Model
from .networks import ARCHITECTURES, Network, architecture_of

FILE = "model.safetensors"
HUB = "hf://"  # how the address of a model on the Hugging Face hub begins
FORMAT = 1
PARTS = "generator.", "discriminator."  # how the names of a model's tensors begin
# Parts of networks that had other names in checkpoints written before 2026-11-28.
RENAMED = {".draw.": ".decoder.", ".look.": ".features.", ".judge.": ".head."}
LARGE = 2**16  # numbers from which on int8 stores a weight so: smaller ones weigh nothing
PROJECT = Path(__file__).resolve().parents[1]


class CheckpointError(ValueError):
    """A file that is no checkpoint of this library, or does not fit what it is loaded into."""


def load(path: str | Path, device: torch.device | str = "cpu") -> Model:
    """A trained model: a run's folder ("runs/actions"), a shipped one ("pretrained/actions") or a .safetensors file.

    A relative path is looked up from the working directory, then in the project's data/ folder. "hf://owner/name" is a
    model that animlab.push has put on the Hugging Face hub; it is downloaded once. Weights shipped as float16 or int8
    come back as float32. Raises FileNotFoundError or CheckpointError, each with one sentence that says why, and OSError
    where the hub cannot be reached.
    """
    if str(path).startswith(HUB):
        from .hub import fetch  # which imports this module

        path = fetch(str(path))
    place = find(path)
    tensors, header = read_checkpoint(place, PARTS)
    if "baseline" in header:
        raise CheckpointError(f"{place} holds a {header['baseline']}: load it with animlab.baselines.load.")
    with fitting(place):
        with torch.device("meta"):  # where tensors have a shape and take no memory: a header may promise anything
            compare(dict(zip(PARTS, build(header))), tensors)
        generator, discriminator = build(header)
        generator.load_state_dict(without_prefix(PARTS[0], tensors))
        if discriminator is not None:
            discriminator.load_state_dict(without_prefix(PARTS[1], tensors))
        card = card_of(header)
    device = find_device(device)
    return Model(generator.to(device), discriminator and discriminator.to(device), card)


def save(model: Model, path: str | Path, dtype: torch.dtype = torch.float32) -> Path:
    """Writes the model to `path` (a folder, or a .safetensors file).

    dtype: float16 halves the file, for shipping. int8 quarters it: the large weights become whole numbers from -127 to
    127 with one scale for each row or output channel, which the header names under "int8"; all else is float16.

    Raises ValueError for any other dtype, FileExistsError where a run lies in that place that could no longer be
    resumed, OSError as write_checkpoint does.
    """
    instance("save takes a Model, such as fit(…).model", model, Model)
    if dtype not in (torch.float32, torch.float16, torch.int8):
        raise ValueError(f"A model is saved as torch.float32, float16 or int8, got {shown(dtype)}.")
    if _is_a_run(file_of(path)):
        raise FileExistsError(
            f"{file_of(path)} belongs to a run that can be resumed, and a saved model cannot: name another place, such "
            f"as {str(file_of(path).with_name('to-keep.safetensors'))!r}."
        )
    tensors = with_prefix("generator.", model.generator.state_dict())
    if model.discriminator is not None:
        tensors |= with_prefix("discriminator.", model.discriminator.state_dict())
    header = describe(model.generator, model.discriminator, model.card)
    if dtype == torch.int8:
        header["int8"] = [name for name, value in tensors.items() if value.ndim >= 2 and value.numel() >= LARGE]
    whole = {name: tensors.pop(name) for name in header.get("int8", [])}
    smaller = torch.float16 if dtype == torch.int8 else dtype
    tensors = {k: v.to(smaller) if v.is_floating_point() else v for k, v in tensors.items()}
    for name, value in whole.items():
        tensors[name], tensors[f"{name}.scale"] = to_int8(value)
    return write_checkpoint(path, tensors, header)


def to_int8(weight: Tensor, most: int = 127) -> tuple[Tensor, Tensor]:
    """A weight (m, …) as whole numbers from -most to most, and the scale (m, 1, …) that gives each of its m parts back.

    No number is off by more than half its part's scale, which is the part's largest number over `most`.
    """
    weight = weight.float()
    scale = (weight.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True) / most).clamp(
        min=torch.finfo(torch.float32).tiny
    )
    return (weight / scale).round().to(torch.int8), scale


def file_of(path: str | Path) -> Path:
    """The checkpoint file that `path` stands for: itself if it is a .safetensors file, else the one in that folder."""
    if not str(path).strip():
        raise ValueError(f"A checkpoint needs the name of a folder or of a .safetensors file, got {str(path)!r}.")
    path = Path(path).expanduser()
    return path if path.suffix == ".safetensors" else path / FILE


def find(path: str | Path) -> Path:
    """The checkpoint file that `path` names; FileNotFoundError says where it was looked for.

    Raises CheckpointError for what lies there and is no file that can be read.
    """
    named = file_of(path)
    for place in (named, PROJECT / "data" / named):
        reason = _unsuited(place)
        if not reason:
            return place
        if reason != MISSING:
            raise CheckpointError(f"{place} cannot be opened ({reason}).")
    raise FileNotFoundError(
        f"No trained model at {str(path)!r}: looked for {FILE} there and under {PROJECT / 'data'}; "
        "train one with animlab.fit(…, out=…) or use a shipped one, such as 'pretrained/actions'."
    )


def describe(generator: Network, discriminator: Network | None, card: dict[str, Any]) -> dict[str, Any]:
    """The header: all that is needed to build the networks again, and the card."""
    header: dict[str, Any] = {
        "format": FORMAT,
        "architecture": architecture_of(generator),
        "space": asdict(generator.space),
        "channels": generator.channels,
        "generator": generator.config,
        "discriminator": None,
        "card": card,
    }
    if discriminator is not None:
        if architecture_of(discriminator) != header["architecture"]:
            raise ValueError(
                f"A checkpoint holds networks of one architecture, got a {header['architecture']!r} generator and a "
                f"{architecture_of(discriminator)!r} discriminator."
            )
        header["discriminator"] = discriminator.config
    return header


def build(header: dict[str, Any]) -> tuple[Network, Network | None]:
    """Networks as the header describes them, with untrained weights; the caller's random state is left alone."""
    space, channels = LabelSpace(**header["space"]), header["channels"]
    name = header.get("architecture", "paper")  # files from before there were others do not say so
    if name not in ARCHITECTURES:
        raise ValueError(f"no networks are named {name!r}; update animlab")
    generator, discriminator = ARCHITECTURES[name]
    with torch.random.fork_rng(devices=[]):
        found = header["discriminator"]
        g = generator(space, channels, **header["generator"])
        return g, None if found is None else discriminator(space, channels, **found)


def write_checkpoint(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> Path:
    """Writes beside the old file and renames over it: a kill at any moment leaves the old or the new one whole.

    Raises OSError where the disk is full or the folder cannot be written to; the old file is intact then.
    """
    path = file_of(path)
    # A folder, because safetensors itself writes under a name of its own beside the file that it is asked for.
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    temporary = unfinished / path.name
    whole = {k: v.detach().cpu().contiguous() for k, v in sorted(tensors.items())}  # a file reads back in any order
    header = header | {"version": library_version(), "crc32": {k: checksum(v) for k, v in whole.items()}}
    try:
        unfinished.mkdir(parents=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(whole, temporary, {"animlab": json.dumps(header)})
        temporary.chmod(mode)  # safetensors leaves a file that nobody else may read
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:  # safetensors does not call a full disk an OSError
        intact = "; the checkpoint before it is intact" if path.is_file() else ""
        raise OSError(f"{path} could not be written ({error}){intact}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return path


def set_aside(path: str | Path, step: int, keep: int) -> None:
    """Keeps the checkpoint of `step` beside the newest as `step-<step>.safetensors`, and the last `keep` of these.

    Beside a file of another name, `mine.safetensors`, it is `mine-step-<step>.safetensors`.
    """
    newest = file_of(path)
    unfinished = newest.with_name(f"{newest.name}.{secrets.token_hex(4)}.part")
    try:
        os.link(newest, unfinished)  # another name for the same file: the next write replaces it and changes nothing
    except OSError:  # a file system without links
        shutil.copy2(newest, unfinished)
    os.replace(unfinished, newest.with_name(f"{_aside(newest)}{step}.safetensors"))
    earlier = {n: file for n, file in earlier_ones(newest).items() if n <= step}  # later ones: of a run taken back
    for n in sorted(earlier)[:-keep]:
        earlier[n].unlink()


def earlier_ones(newest: Path) -> dict[int, Path]:
    """The checkpoints that were set aside of a run, by their steps."""
    pattern = re.compile(re.escape(_aside(newest)) + r"(\d+)\.safetensors")
    found = [(pattern.fullmatch(file.name), file) for file in newest.parent.iterdir()]
    return {int(match[1]): file for match, file in found if match}


def _aside(newest: Path) -> str:
    """How the names of what is set aside begin: runs that share a folder have files of their own."""
    return "step-" if newest.name == FILE else f"{newest.stem}-step-"


def remove_unfinished(file: Path) -> None:
    """Deletes what killed processes left behind while they wrote `file`."""
    for left in file.parent.glob(f"{glob.escape(file.name)}.*.part"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def read_checkpoint(path: Path, prefixes: tuple[str, ...] = ("",)) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors whose names start with one of `prefixes`, floats as float32, and the header.

    Raises CheckpointError for what is no such file, and where a tensor is missing, is not what was written, or holds
    what is no finite number.
    """
    if reason := _unsuited(path):
        raise CheckpointError(f"{path} cannot be opened ({reason}).")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("animlab", "null"))
            if not isinstance(header, dict):
                raise CheckpointError(f"{path} is a safetensors file, but not a checkpoint written by animlab.")
            if header.get("format") != FORMAT:
                raise CheckpointError(
                    f"{path} has checkpoint format {header.get('format')}, this animlab reads {FORMAT}; update animlab."
                )
            sums = dict(header.get("crc32", {}))  # none in files from before 2026-12
            names = [name for name in {*file.keys(), *sums} if name.startswith(prefixes)]
            tensors = {}
            for name in sorted(names):
                tensors[_of_today(name)] = tensor = file.get_tensor(name)
                if checksum(tensor) != sums.get(name, checksum(tensor)):
                    raise ValueError(f"{name} is not what was written")
                if not tensor.isfinite().all():
                    raise ValueError(f"{name} is not finite")
            whole = header.get("int8", [])
            for name in [_of_today(name) for name in names if name in whole]:
                tensors[name] = tensors[name] * tensors.pop(f"{name}.scale")
    except CheckpointError:
        raise
    except (SafetensorError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint at all ({error}); train again or fetch it anew."
        ) from None
    return {k: v.float() if v.dtype == torch.float16 else v for k, v in tensors.items()}, header


@contextmanager
def fitting(place: Path) -> Iterator[None]:
    """Around giving the tensors of a file to what its header describes: CheckpointError where they do not fit."""
    try:
        yield
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = shorten(f"{type(error).__name__}: {str(error).splitlines()[-1].strip()}", 200)
        raise CheckpointError(f"{place} does not hold the networks that its header describes ({reason}).") from None


def compare(networks: Mapping[str, nn.Module | None], tensors: dict[str, Tensor]) -> None:
    """ValueError where tensors have other names or shapes than those of networks, by the beginning of their names."""
    for prefix, network in networks.items():
        expected = {} if network is None else {k: v.shape for k, v in network.state_dict().items()}
        found = {k: v.shape for k, v in without_prefix(prefix, tensors).items()}
        for name in [name for name in expected | found if expected.get(name) != found.get(name)][:1]:
            was, wanted = (str(tuple(x[name])) if name in x else "missing" for x in (found, expected))
            raise ValueError(f"{prefix}{name} is {was}, by the header it is {wanted}")


def card_of(header: dict[str, Any]) -> dict[str, Any]:
    """The card in a header; ValueError where it is none."""
    if not isinstance(header["card"], dict):
        raise ValueError(f"the card is {shown(header['card'])}, not an object {{…}}")
    return header["card"]


def checksum(tensor: Tensor) -> int:
    """The CRC-32 of a tensor's bytes, which one flipped bit changes."""
    return zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]  # it has a buffer


def _unsuited(path: Path) -> str:
    """Why a file cannot be opened, "" where it can."""
    try:
        return unsuited(path)
    except ValueError:  # a name that no file can have
        return MISSING


def _is_a_run(path: Path) -> bool:
    """Whether a file holds a run that can be resumed."""
    if _unsuited(path):
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return "training.rng" in file.keys()  # noqa: SIM118  # it is no dict
    except SafetensorError:
        return False


def _of_today(name: str) -> str:
    """A tensor's name as it is written today."""
    for before, now in RENAMED.items():
        name = name.replace(before, now)
    return name


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under longer names."""
    return {prefix + k: v for k, v in tensors.items()}


def without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those tensors whose names start with `prefix`, under the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def library_version() -> str:
    """The installed animlab's version, "unknown" where it runs uninstalled."""
    try:
        return version("animlab")
    except PackageNotFoundError:
        return "unknown"
