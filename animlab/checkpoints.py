"""Checkpoints: safetensors plus a JSON header, never pickle; each is written completely or not at all.

There is one format for everything. "generator.…" (the weights to play with) and "discriminator.…" make a model; a run
in progress adds "training.…": the raw generator, the moments of both optimisers and the random state, so that it can
resume exactly, and a sketch of its frames, so that it does not go on with others.
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
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .checks import path_of, shown
from .datasets.files import MISSING, unsuited

FILE = "model.safetensors"
FORMAT = 1
# Parts of networks that had other names in checkpoints written before 2026-11-28.
RENAMED = {".draw.": ".decoder.", ".look.": ".features.", ".judge.": ".head."}
LARGE = 2**16  # elements of a weight from which on int8 quantises it: smaller ones hardly add to the file
PROJECT = Path(__file__).resolve().parents[1]


class CheckpointError(ValueError):
    """A file is not a checkpoint of this library, is damaged, or does not fit the networks that it is loaded into."""


def to_int8(weight: Tensor, most: int = 127) -> tuple[Tensor, Tensor]:
    """Quantises a weight symmetrically, with one scale for each entry along its first axis.

    The error of a value is at most half the scale of its entry, which is the entry's largest magnitude over `most`.

    Args:
        weight: (m, …).
        most: largest integer; 127 uses all of int8.

    Returns:
        The integers, int8 (m, …), and the scales, float32 (m, 1, …), whose product approximates the weight.
    """
    weight = weight.float()
    scale = (weight.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True) / most).clamp(
        min=torch.finfo(torch.float32).tiny
    )
    return (weight / scale).round().to(torch.int8), scale


def file_of(path: str | Path) -> Path:
    """The checkpoint file that a path stands for: itself if it ends in .safetensors, else the one in that folder.

    Args:
        path: a folder or a .safetensors file; `~` is the home folder.

    Raises:
        ValueError: The path is empty, or no file can have such a name.
        TypeError: The path is neither a string nor a Path.
    """
    if not str(path).strip():
        raise ValueError(f"A checkpoint needs the name of a folder or of a .safetensors file, got {str(path)!r}.")
    path = path_of("The path of a checkpoint", path)
    return path if path.suffix == ".safetensors" else path / FILE


def find(path: str | Path) -> Path:
    """Looks a checkpoint up, from the working directory and then in the project's data/ folder.

    Args:
        path: a folder or a .safetensors file.

    Raises:
        FileNotFoundError: There is no such file; the message says where it was looked for.
        CheckpointError: What lies there is not a readable file.
        ValueError: The path is empty, or no file can have such a name.
        TypeError: The path is neither a string nor a Path.
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


def write_checkpoint(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> Path:
    """Writes a checkpoint atomically: if the process is killed, either the old file or the new one is there, complete.

    The file is written beside the old one, then renamed over it. The header gets the library's version and a CRC-32 of
    each tensor.

    Args:
        path: a folder or a .safetensors file.
        tensors: what to store, by name.
        header: the rest, which JSON can store.

    Returns:
        The file that was written.

    Raises:
        OSError: The disk is full, or the folder is not writable; the old file stays.
    """
    path = file_of(path)
    # A folder, because safetensors itself writes to a temporary file beside the one that it is asked for.
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    temporary = unfinished / path.name
    whole = {k: v.detach().cpu().contiguous() for k, v in sorted(tensors.items())}  # a file reads back in any order
    header = header | {"version": library_version(), "crc32": {k: checksum(v) for k, v in whole.items()}}
    try:
        unfinished.mkdir(parents=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(whole, temporary, {"animlab": json.dumps(header)})
        temporary.chmod(mode)  # safetensors leaves a file that only its owner may read
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
    """Keeps the newest checkpoint of a run under another name, before the next one replaces it.

    The name is `step-<step>.safetensors`, or `mine-step-<step>.safetensors` for a file `mine.safetensors`.

    Args:
        path: the run's folder or .safetensors file.
        step: the step of its newest checkpoint.
        keep: how many of these stay; the oldest are deleted.
    """
    newest = file_of(path)
    unfinished = newest.with_name(f"{newest.name}.{secrets.token_hex(4)}.part")
    try:
        os.link(newest, unfinished)  # another name for the same file: the next write replaces it and changes nothing
    except OSError:  # a file system without links
        shutil.copy2(newest, unfinished)
    os.replace(unfinished, newest.with_name(f"{_aside(newest)}{step}.safetensors"))
    earlier = {n: file for n, file in earlier_ones(newest).items() if n <= step}  # later ones: of a run set back
    for n in sorted(earlier)[:-keep]:
        earlier[n].unlink()


def earlier_ones(newest: Path) -> dict[int, Path]:
    """The checkpoints of a run that were set aside, by step.

    Args:
        newest: the run's checkpoint file.
    """
    pattern = re.compile(re.escape(_aside(newest)) + r"(\d+)\.safetensors")
    found = [(pattern.fullmatch(file.name), file) for file in newest.parent.iterdir()]
    return {int(match[1]): file for match, file in found if match}


def _aside(newest: Path) -> str:
    """The prefix of the names of checkpoints that are set aside; runs that share a folder have different ones."""
    return "step-" if newest.name == FILE else f"{newest.stem}-step-"


def remove_unfinished(file: Path) -> None:
    """Deletes what killed processes left behind while they were writing a file.

    Args:
        file: the file that they were to write.
    """
    for left in file.parent.glob(f"{glob.escape(file.name)}.*.part"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def read_checkpoint(path: Path, prefixes: tuple[str, ...] = ("",)) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads a checkpoint.

    Args:
        path: the .safetensors file.
        prefixes: only tensors whose names start with one of these are read.

    Returns:
        The tensors by name, with float16 and int8 converted to float32, and the header.

    Raises:
        CheckpointError: The file is not a checkpoint, a tensor is missing, its checksum is wrong, or it is not finite.
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
    """A context in which tensors are given to the networks of a header; turns errors into CheckpointError.

    Args:
        place: the file, for the message.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = shorten(f"{type(error).__name__}: {str(error).splitlines()[-1].strip()}", 200)
        raise CheckpointError(f"{place} does not hold the networks that its header describes ({reason}).") from None


def compare(networks: Mapping[str, nn.Module | None], tensors: dict[str, Tensor]) -> None:
    """Raises ValueError if tensors differ in names or shapes from those of networks.

    Args:
        networks: the networks by the prefix of their tensors' names; None stands for a network without tensors.
        tensors: the tensors by name; names with other prefixes are ignored.
    """
    for prefix, network in networks.items():
        expected = {} if network is None else {k: v.shape for k, v in network.state_dict().items()}
        found = {k: v.shape for k, v in without_prefix(prefix, tensors).items()}
        for name in [name for name in expected | found if expected.get(name) != found.get(name)][:1]:
            was, wanted = (str(tuple(x[name])) if name in x else "missing" for x in (found, expected))
            raise ValueError(f"{prefix}{name} is {was}, by the header it is {wanted}")


def card_of(header: dict[str, Any]) -> dict[str, Any]:
    """Looks up the model card in a header.

    Args:
        header: a checkpoint's header.

    Raises:
        ValueError: The card is not a dict.
    """
    if not isinstance(header["card"], dict):
        raise ValueError(f"the card is {shown(header['card'])}, not an object {{…}}")
    return header["card"]


def checksum(tensor: Tensor) -> int:
    """The CRC-32 of a tensor's bytes, which a single flipped bit changes.

    Args:
        tensor: of any shape and dtype, on the CPU.
    """
    return zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]  # it has a buffer


def _unsuited(path: Path) -> str:
    """Why a file cannot be opened, "" if it can."""
    try:
        return unsuited(path)
    except ValueError:  # a name that no file can have
        return MISSING


def is_a_run(path: Path) -> bool:
    """Whether a file holds a run that can be resumed.

    Args:
        path: the file; False if there is none, or if it is damaged.
    """
    if _unsuited(path):
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return "training.rng" in file.keys()  # noqa: SIM118  # it is no dict
    except SafetensorError:
        return False


def _of_today(name: str) -> str:
    """A tensor's current name."""
    for before, now in RENAMED.items():
        name = name.replace(before, now)
    return name


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under longer names.

    Args:
        prefix: what to put before each name.
        tensors: by name.
    """
    return {prefix + k: v for k, v in tensors.items()}


def without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with a prefix, under names without it.

    Args:
        prefix: what to take away.
        tensors: by name.
    """
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def library_version() -> str:
    """The version of the installed animlab, "unknown" if it is not installed."""
    try:
        return version("animlab")
    except PackageNotFoundError:
        return "unknown"
