"""Models on the Hugging Face hub: push(model, "owner/name") uploads one, load("hf://owner/name") downloads one."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from .animation import filmstrip, to_png
from .checkpoints import FILE, library_version
from .checks import flag, instance, shown
from .datasets.fetch import offline
from .model import Model
from .networks import architecture_of
from .storage import HUB, save

PAPER = "https://doi.org/10.1109/ACCESS.2020.3008523"
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
PICTURE, COLUMNS = "sliders.png", 9


def push(model: Model, name: str, private: bool = False) -> str:
    """Uploads a model to the Hugging Face hub.

    It uploads the weights as safetensors in float32, so that what is loaded back is equal to the last bit; a model card
    made from model.card, with its "license" and "note"; and a picture of what each c does. A missing repository is
    created, files of these three names are replaced, and others are left alone. You have to be logged in: `hf auth
    login`, or a token in the environment variable HF_TOKEN.

    Example:
        >>> animlab.push(animlab.load("runs/mine"), "owner/name")
        >>> animlab.load("hf://owner/name")

    Args:
        model: the model to upload.
        name: "owner/name", where the owner is you or an organisation of yours.
        private: whether a repository that this call creates is visible to you alone.

    Returns:
        The model's address on the hub.

    Raises:
        TypeError: This is not a Model.
        ValueError: The name has another form.
        OSError: The hub refuses or cannot be reached, or the environment variable ANIMLAB_OFFLINE is set.
    """
    from huggingface_hub import HfApi  # takes half a second, and is hardly ever needed

    instance("push takes a Model, such as animlab.load('runs/mine') or fit(…).model", model, Model)
    name, private = _checked(name), flag("private", private)
    if offline():
        raise OSError(
            f"{name!r} cannot be pushed, because the environment variable ANIMLAB_OFFLINE is set: unset it first."
        )
    api = HfApi(library_name="animlab", library_version=library_version())
    with tempfile.TemporaryDirectory() as folder, _in_a_sentence(f"{name!r} could not be pushed"):
        save(model, folder)
        (Path(folder) / PICTURE).write_bytes(to_png(_sliders(model)))
        (Path(folder) / "README.md").write_text(card(model, name), encoding="utf-8")
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Push a model of animlab")
    return str(address)


def fetch(address: str) -> Path:
    """The checkpoint at an address on the hub, downloaded unless it is in the local cache.

    Args:
        address: "hf://owner/name".

    Raises:
        ValueError: The address has another form.
        FileNotFoundError: There is no such model, or it is not cached and ANIMLAB_OFFLINE is set.
        OSError: The hub cannot be reached.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    name = _checked(address.removeprefix(HUB))
    try:
        with _in_a_sentence(f"{address!r} could not be fetched"):
            path = hf_hub_download(
                name, FILE, local_files_only=offline(), library_name="animlab", library_version=library_version()
            )
    except LocalEntryNotFoundError:
        raise FileNotFoundError(
            f"{address!r} is not on this machine yet, and the environment variable ANIMLAB_OFFLINE forbids fetching "
            "it: unset it once, or name a model that is here."
        ) from None
    return Path(path)


def card(model: Model, name: str) -> str:
    """A model card in Markdown, with the metadata that the hub reads, from what model.card knows.

    Args:
        model: the model to describe.
        name: "owner/name", its name on the hub.
    """
    from huggingface_hub import ModelCardData

    known, space, generator = model.card, model.space, model.generator
    licence = known.get("license")
    head = ModelCardData(
        library_name="animlab",
        pipeline_tag="unconditional-image-generation",
        license=licence if isinstance(licence, str) else None,
        tags=["gan", "infogan", "animation", "self-supervised"],
    )
    weights = sum(parameter.numel() for parameter in generator.parameters())
    rows = {
        "labels": f"n_z = {space.n_z}, n_d = {space.n_d}, n_c = {space.n_c}",
        "networks": f"{architecture_of(generator)}, {weights:,} weights in the generator",
        **{key: known[key] for key in ("dataset", "preset", "steps", "seed", "machine") if known.get(key) is not None},
        "written by": f"animlab {library_version()}",
    }
    table = "\n".join(f"| {key} | {_cell(value)} |" for key, value in rows.items())
    sliders = "\n".join(f"- {_cell(label)}" for label in model.names_of_c())
    note = known.get("note")
    return f"""---
{head.to_yaml()}
---

# {name.partition("/")[2]}

This GAN was trained on single frames in random order and found by itself what can change in them: *d* chooses one of a
few clips, each *c* changes one thing continuously, and *z* accounts for the rest. It was trained with animlab, which
rebuilds the paper [*Self-Supervised Animation Synthesis Through Adversarial Training*]({PAPER}).

```python
import animlab

model = animlab.load("{HUB}{name}")
animlab.LabelPlayer(model)  # in a notebook: sliders for d and every c
```

![{"In each row one c goes from 0 to 1." if space.n_c else "Pictures drawn with random z."}]({PICTURE})

{sliders}

| property | value |
|---|---|
{table}
{f"{chr(10)}What it cannot do: {_cell(note)}{chr(10)}" if isinstance(note, str) and note else ""}"""


def _sliders(model: Model) -> np.ndarray:
    """A picture with a row for each c, or of random z if there is none: uint8 (H, W, 3)."""
    if model.space.n_c:
        return filmstrip([model.animate(along=j, frames=COLUMNS) for j in range(model.space.n_c)])
    return filmstrip(model.frames(model.space.sample(COLUMNS, torch.Generator().manual_seed(0))))


def _cell(value: object) -> str:
    """A value as text that breaks no line, table cell or tag."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def _checked(name: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"A model on the hub is called 'owner/name', got {shown(name)}.")
    return name


@contextmanager
def _in_a_sentence(failed: str) -> Iterator[None]:
    """Turns errors of the hub or the network into one sentence that begins with `failed`."""
    from huggingface_hub import errors

    try:
        yield
    except errors.RepositoryNotFoundError:
        raise FileNotFoundError(f"{failed}: the hub has no such model that this account may see.") from None
    except errors.LocalEntryNotFoundError as error:
        if offline():
            raise
        raise OSError(f"{failed}, because the hub cannot be reached ({_reason(error.__cause__ or error)}).") from None
    except errors.EntryNotFoundError:
        raise FileNotFoundError(f"{failed}: it is on the hub, but holds no {FILE} of animlab.") from None
    except errors.LocalTokenNotFoundError:
        raise OSError(f"{failed}: log in first, with `hf auth login` or a token in HF_TOKEN.") from None
    except Exception as error:  # of httpx or of requests, whichever the hub's library has
        raise OSError(f"{failed} ({_reason(error)}).") from None


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(": .")
