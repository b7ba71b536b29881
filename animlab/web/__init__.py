"""export_player: a trained generator as one HTML page that plays without Python and without a network.

The page draws with a WebAssembly kernel of a few kilobytes, made for the model. onnxruntime-web is about as fast, but
its runtime takes 4.9 MB of the 6 that a page may have (tests/benchmarks/bench_onnxruntime.py, bench_page.py).
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import asdict
from html import escape
from importlib.resources import files
from pathlib import Path

from ..animation import write_whole
from ..checkpoints import library_version
from ..checks import path_of
from ..datasets import SYNTHETIC
from ..model import Model
from .assembler import assemble
from .kernel import kernel
from .layers import Layer, layers_of
from .weights import TooLarge, pack

LARGEST = 6_000_000  # bytes of a page: what an e-mail or a slow line still takes
SEEDS = 8  # z that a page shares with the notebook; it draws later ones itself
PAPER = "https://doi.org/10.1109/ACCESS.2020.3008523"

# What a data set shows, for somebody who has never heard of it, and whom to thank for it.
SHOWN = {
    "actions": ("people who move in front of a wall", "Frames: Weizmann data set (Blank et al., ICCV 2005)."),
    "shapes": (
        "circles and squares that move over black",
        "Frames: shapes, published with MoCoGAN (Tulyakov et al., CVPR 2018).",
    ),
    "moving-mnist": (
        "handwritten digits that cross the picture",
        "Frames: Moving MNIST (Srivastava et al., ICML 2015), from MNIST's digits, CC BY-SA 3.0.",
    ),
    "faces3d": ("computer-drawn heads that turn and smile", ""),
    "celeba": ("portraits", "Frames: CelebA (Liu et al., ICCV 2015)."),
}


def export_player(model: Model, path: str | Path) -> Path:
    """Writes one HTML page that plays the model in any browser: from a file, without Python and without a network.

    The page has a slider for each c, a button for each d, a button for another z, Play, a comparison of two pictures,
    animated GIFs to save, and a composer that reads and writes the JSON of `animlab.Composer`. It draws what
    `model.frames(model.space.still(d, c, seed))` gives for seeds 0 to 7, to within a few of 255 levels: large layers
    are stored as int8, or in fewer steps where one layer has millions of weights.

    Example:
        >>> animlab.export_player(animlab.load("pretrained/actions"), "player.html")

    Args:
        model: the model, as `load` or `fit(…).model` gives it. Its generator may have any architecture made of linear
            layers, convolutions that keep the size, transposed convolutions that multiply it by their stride, batch
            norms after these, (leaky) ReLU, tanh, bilinear enlargement, sums and concatenation.
        path: file name that ends in .html or .htm. `~` is the home folder; missing folders are made. An older page
            stays until the new one is complete.

    Returns:
        The path, with `~` replaced.

    Raises:
        TypeError: `model` is not a Model.
        ValueError: `path` has another ending, the page cannot run the generator, or it would be larger than 6 MB.
        OSError: The disk is full, or the folder is not writable.
    """
    path = path_of("path", path)
    if not isinstance(model, Model):
        raise TypeError(
            "export_player writes a Model, such as animlab.load('pretrained/actions') or fit(…).model, "
            f"got {type(model).__name__}."
        )
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"export_player writes a page whose name ends in .html, got {path.name!r}.")
    page, _ = page_of(model)
    write_whole(path, lambda part: part.write_text(page, encoding="utf-8"))
    return path


def page_of(model: Model) -> tuple[str, list[Layer]]:
    """Builds the page of a model.

    Args:
        model: the model.

    Returns:
        The HTML, and the layers with the weights as the page has them, which `layers.draw` draws with.

    Raises:
        ValueError: The page cannot run the generator, or it would be larger than 6 MB.
    """
    layers = layers_of(model.generator)
    _, height, width = layers[-1].shape
    scripts = ("engine.js", "gif.js", "worker.js", "player.js", "composer.js")
    parts = {name: _file(name) for name in ("style.css", *scripts, "index.html")}
    fixed = sum(len(part.encode()) for part in parts.values()) + 32_000  # for what follows, beside the weights
    try:
        weights, described, restored = pack(layers, model.space, LARGEST - fixed)
    except TooLarge:
        count = sum(parameter.numel() for parameter in model.generator.parameters())
        raise ValueError(
            f"This generator has {count:,} weights, too many for a page of at most {LARGEST / 1e6:.0f} MB."
        ) from None
    name = str(model.card.get("dataset") or "model")
    content = {
        "name": re.sub(r"[^\w.-]+", "-", name),
        "about": _shown(name),
        "space": asdict(model.space),
        "names": model.names_of_c(),
        "along": model.liveliest_c(),
        "z": [model.space.still(seed=seed).z[0].tolist() for seed in range(SEEDS)],
        "layers": described,
        "kernels": [b64encode(assemble(kernel(fused))).decode() for fused in (True, False)],
    }
    fields = {
        "title": f"{name}: pictures to move · animlab",
        "lead": _lead(name),
        "about": _about(model, name),
        "width": str(width),
        "height": str(height),
        "model": json.dumps(content, ensure_ascii=False).replace("<", "\\u003c"),  # no text may end the script
        "weights": weights,
        **{part.partition(".")[0]: parts[part] for part in parts},
    }
    fields = {key: escape(value) if key == "title" else value for key, value in fields.items()}
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fields[match[1]], parts["index.html"]), restored


def _file(name: str) -> str:
    return (files(__name__) / "page" / name).read_text(encoding="utf-8").strip()


def _shown(name: str) -> str:
    plain = name.removesuffix(SYNTHETIC)
    return f"the data set {name}" + (f" ({SHOWN[plain][0]})" if plain in SHOWN else "")


def _lead(name: str) -> str:
    plain = name.removesuffix(SYNTHETIC)
    what = f"<b>{escape(SHOWN[plain][0])}</b>" if plain in SHOWN else "<b>pictures</b>"
    return (
        "No camera took this picture: a neural network draws it, here in your browser, anew whenever you move "
        f"something. It has seen {what}, single frames in random order, and found by itself what can change in them."
    )


def _about(model: Model, name: str) -> str:
    """What a stranger may want to know, as paragraphs of HTML."""
    card, space = model.card, model.space
    said = any(" · " in label for label in model.names_of_c())
    steps, frames = card.get("steps"), card.get("frames")
    known = f" in {steps:,} steps" if isinstance(steps, int) else ""
    known += f" on {frames:,} frames" if isinstance(frames, int) else ""
    count = sum(parameter.numel() for parameter in model.generator.parameters())
    learned = f"It learned from {escape(_shown(name))}{known}." if "dataset" in card else ""
    labels = {
        "c": (space.n_c, "<i>c</i> are numbers from 0 to 1 for what happens in the picture"),
        "d": (space.n_d > 1, "<i>d</i> chooses one of a few kinds of clip"),
        "z": (space.n_z, "<i>z</i> is noise that settles everything else"),
    }
    present = "; ".join(text for there, text in labels.values() if there)
    names = (
        "The words beside the sliders come from the model's card: a person watched what each slider does and wrote it "
        "down. The network itself knows no words, and a slider may do more than its words say."
        if said
        else "Nobody has named the sliders of this model yet: try what each one does."
    )
    note = card.get("note")
    thanks = [SHOWN.get(name, ("", ""))[1], *(card.get(key) for key in ("licence", "license", "credit", "credits"))]
    credit = " ".join(escape(text) for text in thanks if isinstance(text, str) and text)
    paragraphs = [
        f"A generative adversarial network (GAN) with {count:,} weights, all of them inside this page. {learned}",
        f"Nobody told it which frames belong together. Its labels are its own: {present}." if present else "",
        names,
        f"What it cannot do: {escape(note)}" if isinstance(note, str) and note else "",
        credit,
        f'Made with animlab {escape(library_version())} after the paper <a href="{PAPER}"><cite>Self-Supervised '
        "Animation Synthesis Through Adversarial Training</cite></a>. This page works offline and sends nothing "
        "anywhere. Animations are saved as GIF, because browsers have no way to write animated WebP.",
    ]
    return "\n".join(f"    <p>{text}</p>" for text in paragraphs if text)
