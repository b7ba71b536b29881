"""load and save: a trained model's way into a checkpoint and back, and the header that tells how it is built."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from . import checkpoints
from .backend.device import find_device
from .checks import instance, shown
from .labels import LabelSpace
from .model import Model
from .networks import ARCHITECTURES, Network, architecture_of

HUB = "hf://"  # how the address of a model on the Hugging Face hub begins
PARTS = "generator.", "discriminator."  # how the names of a model's tensors begin


def load(path: str | Path, device: torch.device | str = "cpu") -> Model:
    """Loads a trained model.

    Weights shipped as float16 or int8 come back as float32.

    Example:
        >>> model = animlab.load("pretrained/actions")

    Args:
        path: the folder of a run ("runs/actions"), a shipped model ("pretrained/actions"), or a .safetensors file. A
            relative path is looked up from the working directory, then in the project's data/ folder. "hf://owner/name"
            is a model that animlab.push put on the Hugging Face hub; it is downloaded once.
        device: where the weights go.

    Raises:
        FileNotFoundError: There is no model at `path`.
        CheckpointError: The file is damaged, or not a checkpoint of this library.
        OSError: The hub cannot be reached.
        ValueError: The device cannot be used here, or no file can be named `path`.
        TypeError: `path` is neither a string nor a Path.
    """
    if str(path).startswith(HUB):
        from .hub import fetch  # which imports this module

        path = fetch(str(path))
    place = checkpoints.find(path)
    tensors, header = checkpoints.read_checkpoint(place, PARTS)
    if "baseline" in header:
        raise checkpoints.CheckpointError(f"{place} holds a {header['baseline']}: load it with animlab.baselines.load.")
    with checkpoints.fitting(place):
        with torch.device("meta"):  # tensors with a shape and no memory: a header may claim networks of any size
            checkpoints.compare(dict(zip(PARTS, build(header))), tensors)
        generator, discriminator = build(header)
        generator.load_state_dict(checkpoints.without_prefix(PARTS[0], tensors))
        if discriminator is not None:
            discriminator.load_state_dict(checkpoints.without_prefix(PARTS[1], tensors))
        card = checkpoints.card_of(header)
    device = find_device(device)
    return Model(generator.to(device), discriminator and discriminator.to(device), card)


def save(model: Model, path: str | Path, dtype: torch.dtype = torch.float32) -> Path:
    """Saves a model.

    Args:
        model: the model to save.
        path: a folder or a .safetensors file.
        dtype: torch.float32; torch.float16, which halves the file, for shipping; or torch.int8, which quarters it. int8
            stores large weights as integers from -127 to 127 with one scale for each row or output channel, and names
            them in the header under "int8"; everything else is float16 then.

    Returns:
        The file that was written.

    Raises:
        TypeError: This is not a Model, or `path` is neither a string nor a Path.
        ValueError: The dtype is another one, or no file can be named `path`.
        FileExistsError: The file belongs to a run, which could no longer be resumed.
        OSError: The disk is full, or the folder is not writable; an older file stays.
    """
    instance("save takes a Model, such as fit(…).model", model, Model)
    if dtype not in (torch.float32, torch.float16, torch.int8):
        raise ValueError(f"A model is saved as torch.float32, float16 or int8, got {shown(dtype)}.")
    file = checkpoints.file_of(path)
    if checkpoints.is_a_run(file):
        raise FileExistsError(
            f"{file} belongs to a run that can be resumed, and a saved model cannot: name another place, such as "
            f"{str(file.with_name('to-keep.safetensors'))!r}."
        )
    tensors = checkpoints.with_prefix("generator.", model.generator.state_dict())
    if model.discriminator is not None:
        tensors |= checkpoints.with_prefix("discriminator.", model.discriminator.state_dict())
    header = describe(model.generator, model.discriminator, model.card)
    if dtype == torch.int8:
        header["int8"] = [k for k, v in tensors.items() if v.ndim >= 2 and v.numel() >= checkpoints.LARGE]
    whole = {name: tensors.pop(name) for name in header.get("int8", [])}
    smaller = torch.float16 if dtype == torch.int8 else dtype
    tensors = {k: v.to(smaller) if v.is_floating_point() else v for k, v in tensors.items()}
    for name, value in whole.items():
        tensors[name], tensors[f"{name}.scale"] = checkpoints.to_int8(value)
    return checkpoints.write_checkpoint(path, tensors, header)


def describe(generator: Network, discriminator: Network | None, card: dict[str, Any]) -> dict[str, Any]:
    """Makes the header of a checkpoint: the card, and everything that is needed to build the networks again.

    Args:
        generator: G.
        discriminator: D, or None.
        card: what is known about the model.

    Raises:
        ValueError: The two networks belong to different architectures.
    """
    header: dict[str, Any] = {
        "format": checkpoints.FORMAT,
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
    """Builds the networks that a header describes, with untrained weights; the global random state is unchanged.

    Args:
        header: as `describe` makes it; without "architecture" in the oldest files, which are of the paper's networks.

    Returns:
        The generator, and the discriminator or None.

    Raises:
        ValueError: The architecture is unknown.
    """
    space, channels = LabelSpace(**header["space"]), header["channels"]
    name = header.get("architecture", "paper")  # the oldest files do not name one
    if name not in ARCHITECTURES:
        raise ValueError(f"no networks are named {name!r}; update animlab")
    generator, discriminator = ARCHITECTURES[name]
    with torch.random.fork_rng(devices=[]):
        found = header["discriminator"]
        g = generator(space, channels, **header["generator"])
        return g, None if found is None else discriminator(space, channels, **found)
