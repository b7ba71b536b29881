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
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .labels import LabelSpace
from .model import Model
from .networks import ARCHITECTURES, Network, architecture_of

FILE = "model.safetensors"
FORMAT = 1
# Parts of networks that had other names in checkpoints written before 2026-11-28.
RENAMED = {".draw.": ".decoder.", ".look.": ".features.", ".judge.": ".head."}
LARGE = 2**16  # numbers from which on int8 stores a weight so: smaller ones weigh nothing
PROJECT = Path(__file__).resolve().parents[1]


class CheckpointError(ValueError):
    """A file that is no checkpoint of this library, or does not fit what it is loaded into."""


def load(path: str | Path, device: torch.device | str = "cpu") -> Model:
    """A trained model: a run's folder ("runs/actions"), a shipped one ("pretrained/actions") or a .safetensors file.

    A relative path is looked up from the working directory, then in the project's data/ folder. Weights shipped as
    float16 or int8 come back as float32. Raises FileNotFoundError or CheckpointError, each with one sentence that says
    why.
    """
    place = find(path)
    tensors, header = read_checkpoint(place, ("generator.", "discriminator."))
    if "baseline" in header:
        raise CheckpointError(f"{place} holds a {header['baseline']}: load it with animlab.baselines.load.")
    try:
        generator, discriminator = build(header)
        generator.load_state_dict(without_prefix("generator.", tensors))
        if discriminator is not None:
            discriminator.load_state_dict(without_prefix("discriminator.", tensors))
        card = header["card"]
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = shorten(f"{type(error).__name__}: {str(error).splitlines()[-1].strip()}", 200)
        raise CheckpointError(f"{place} does not hold the networks that its header describes ({reason}).") from None
    return Model(generator.to(device), discriminator and discriminator.to(device), card)


def save(model: Model, path: str | Path, dtype: torch.dtype = torch.float32) -> Path:
    """Writes the model to `path` (a folder, or a .safetensors file).

    dtype: float16 halves the file, for shipping. int8 quarters it: the large weights become whole numbers from -127 to
    127 with one scale for each row or output channel, which the header names under "int8"; all else is float16.

    Raises ValueError for any other dtype, OSError as write_checkpoint does.
    """
    if dtype not in (torch.float32, torch.float16, torch.int8):
        raise ValueError(f"A model is saved as torch.float32, float16 or int8, got {dtype}.")
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
    path = Path(path)
    return path if path.suffix == ".safetensors" else path / FILE


def find(path: str | Path) -> Path:
    """The checkpoint file that `path` names; FileNotFoundError says where it was looked for."""
    for base in (Path(), PROJECT / "data"):
        place = file_of(base / path)
        if place.is_file():
            return place
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
    whole = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    try:
        unfinished.mkdir(parents=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(whole, temporary, {"animlab": json.dumps(header | {"version": library_version()})})
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
    """Keeps the checkpoint of `step` beside the newest as `step-<step>.safetensors`, and the last `keep` of these."""
    newest = file_of(path)
    kept = newest.with_name(f"step-{step}.safetensors")
    if not kept.exists():
        try:
            os.link(newest, kept)  # another name for the same file: the next write replaces it and changes nothing
        except OSError:  # a file system without links
            shutil.copy2(newest, kept)
    matches = [re.fullmatch(r"step-(\d+)\.safetensors", file.name) for file in newest.parent.iterdir()]
    for match in sorted(filter(None, matches), key=lambda match: int(match[1]))[:-keep]:
        newest.with_name(match.string).unlink()


def remove_unfinished(file: Path) -> None:
    """Deletes what killed processes left behind while they wrote `file`."""
    for left in file.parent.glob(f"{glob.escape(file.name)}.*.part"):
        shutil.rmtree(left, ignore_errors=True)


def read_checkpoint(path: Path, prefixes: tuple[str, ...] = ("",)) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors whose names start with one of `prefixes`, floats as float32, and the header."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("animlab", "null"))
            if not isinstance(header, dict):
                raise CheckpointError(f"{path} is a safetensors file, but not a checkpoint written by animlab.")
            if header.get("format") != FORMAT:
                raise CheckpointError(
                    f"{path} has checkpoint format {header.get('format')}, this animlab reads {FORMAT}; update animlab."
                )
            names = [name for name in list(file.keys()) if name.startswith(prefixes)]
            tensors = {_of_today(name): file.get_tensor(name) for name in names}
            whole = header.get("int8", [])
            for name in [_of_today(name) for name in names if name in whole]:
                tensors[name] = tensors[name] * tensors.pop(f"{name}.scale")
    except (SafetensorError, json.JSONDecodeError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint at all ({error}); train again or fetch it anew."
        ) from None
    return {k: v.float() if v.dtype == torch.float16 else v for k, v in tensors.items()}, header


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
