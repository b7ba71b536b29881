"""Figures in one style, in colours that colour-blind readers can tell apart, each with alt text."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from math import log
from typing import Any

import matplotlib
import numpy as np
import torch
from IPython.display import Markdown, display
from matplotlib import rcsetup
from matplotlib.figure import Figure
from PIL import Image

from .animation import GAP, filmstrip
from .callbacks import Callback, Record
from .checks import instance, offers, real
from .labels import LabelSpace
from .metrics import Influence
from .model import Model

# Okabe and Ito's palette, black first: https://jfly.uni-koeln.de/color/
BLACK, *COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",
    "font.size": 11,
    "axes.prop_cycle": rcsetup.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "legend.frameon": False,
}
WIDTH = 9.0  # inches of 100 pixels: as wide as a notebook's outputs on a small laptop


class Picture:
    """A figure as a notebook shows it, with alt text; where pictures are not shown, the alt text stands alone.

    Notebooks keep no alt text for a PNG output, so this is an HTML output that contains the picture.

    Args:
        figure: the Matplotlib figure.
        alt: what the picture shows, for readers who cannot see it.
        kind: "png", or "jpeg" for small pictures enlarged.
    """

    def __init__(self, figure: Figure, alt: str, kind: str = "png") -> None:
        file = io.BytesIO()
        if kind == "jpeg":  # small pictures enlarged: more pixels would only make the file larger
            figure.savefig(file, format=kind, dpi=100, bbox_inches="tight", pil_kwargs={"quality": 85})
        else:
            figure.savefig(file, format=kind, dpi=150, bbox_inches="tight")
        self.data, self.kind, self.alt = file.getvalue(), kind, alt

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        data = b64encode(self.data).decode()
        style = f"width:{WIDTH:g}in; max-width:100%"
        return f'<img src="data:image/{self.kind};base64,{data}" alt="{escape(self.alt)}" style="{style}">'


def drawn(draw: Callable[..., None], height: float = 2.6, panels: int = 1, width: float = WIDTH) -> Figure:
    """A figure in the collection's style, for what needs the figure itself; `chart` gives a picture of it.

    Example:
        >>> Cursor(plots.drawn(lambda ax: ax.plot([1, 2])))

    Args:
        draw: called with the axes of all panels, from left to right.
        height: of the figure in inches.
        panels: how many axes stand side by side.
        width: of the figure in inches.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(*figure.subplots(1, panels, squeeze=False)[0])
    return figure


def chart(draw: Callable[..., None], alt: str, height: float = 2.6, panels: int = 1) -> Picture:
    """A chart in the collection's style.

    Example:
        >>> plots.chart(lambda left, right: (left.plot(a), right.plot(b)), "Two lines: a rises, b falls.", panels=2)

    Args:
        draw: called with the axes of all panels, from left to right.
        alt: what the chart shows, for readers who cannot see it.
        height: of the figure in inches.
        panels: how many axes stand side by side.
    """
    return Picture(drawn(draw, height, panels), alt)


def table(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> Markdown:
    """A table in Markdown, which every notebook page renders.

    Example:
        >>> plots.table(["model", "PSNR, dB"], [["shipped", 22.134], ["grey", 20.5]])

    Args:
        heads: the column headers.
        rows: the cells, row by row; floats are rounded to two decimal places.
    """

    def text(cell: object) -> str:
        return f"{round(float(cell), 2) + 0:.2f}" if isinstance(cell, float | np.floating) else str(cell)  # no "-0.00"

    lines = [heads, ["---"] * len(heads), *rows]
    return Markdown("\n".join("| " + " | ".join(map(text, line)) + " |" for line in lines))


def show_frames(
    clips: np.ndarray | Sequence[np.ndarray], alt: str, rows: Sequence[str] = (), columns: Sequence[str] = ()
) -> Picture:
    """Shows filmstrips: a row for each clip, its frames from left to right.

    Example:
        >>> animlab.plots.show_frames(model.animate(along=0, frames=8), "A person raises both arms.")

    Args:
        clips: one clip (frames, H, W, C) uint8, or several.
        alt: what the picture shows, for readers who cannot see it.
        rows: names beside the rows.
        columns: names above the columns, spread evenly over the frames.
    """
    strip = filmstrip(clips)
    one = clips if isinstance(clips, np.ndarray) and clips.ndim == 4 else clips[0]
    h, w = one.shape[1] + GAP, one.shape[2] + GAP
    return Picture(_strips(strip, h, w, rows, columns), alt, "jpeg")


class Moving:
    """Animations side by side, each with its name below, which play on any page without a kernel.

    Args:
        movies: name → bytes of an animated WebP.
        alt: what they show, for readers who cannot see it.
        width: of each on the page, in pixels.
    """

    def __init__(self, movies: Mapping[str, bytes], alt: str, width: int) -> None:
        self.movies, self.alt, self.width = movies, alt, width

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        figures = []
        for i, (name, data) in enumerate(self.movies.items()):
            alt = escape(f"{self.alt} {name}" if i == 0 else name)
            image = f'<img src="data:image/webp;base64,{b64encode(data).decode()}" alt="{alt}" width="{self.width}">'
            figures.append(f'<td style="text-align:center">{image}<br>{escape(name)}</td>')
        return f'<table role="presentation"><tr>{"".join(figures)}</tr></table>'


def show_moving(
    clips: Mapping[str, np.ndarray], alt: str, fps: float = 10, width: int = 160, back: bool = True
) -> Moving:
    """Shows animations that loop for ever, also in a stored notebook.

    Example:
        >>> clips = {f"c{j}": model.animate(along=j) for j in range(3)}
        >>> animlab.plots.show_moving(clips, "Three movements of one person.")

    Args:
        clips: name → (frames, H, W, C) uint8, C 1 or 3.
        alt: what they show, for readers who cannot see it.
        fps: frames per second, 0.1 to 50.
        width: of each on the page, in pixels.
        back: whether a clip plays backwards to its first frame, or jumps there.

    Raises:
        TypeError: `clips` is not a mapping.
        ValueError: `fps` is out of range.
    """
    instance("show_moving takes clips by their names", clips, Mapping)
    fps = real("fps, the frames per second,", fps, 0.1, 50)
    return Moving({name: _packed(clip, fps, back) for name, clip in clips.items()}, alt, width)


def _packed(clip: np.ndarray, fps: float, back: bool) -> bytes:
    """A clip as an animated WebP at twice its size; it takes a sixth of the bytes of a GIF."""
    there = [Image.fromarray(frame.squeeze(2) if frame.shape[2] == 1 else frame).convert("RGB") for frame in clip]
    large = [frame.resize((2 * frame.width, 2 * frame.height), Image.Resampling.BICUBIC) for frame in there]
    file = io.BytesIO()
    first, *rest = large + (large[-2:0:-1] if back else [])
    first.save(file, "webp", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, quality=75)
    return file.getvalue()


def heat(ax: Any, counts: np.ndarray, rows: Sequence[object], columns: Sequence[object], title: str) -> None:
    """Draws a table of counts as a heat map: each row in per cent of its sum.

    Args:
        ax: Matplotlib axes to draw on.
        counts: (len(rows), len(columns)), counts of at least 0.
        rows: names of the rows.
        columns: names of the columns.
        title: title of the axes.
    """
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    ax.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        ax.text(j, i, f"{100 * share:.0f}", ha="center", va="center", color="black" if share > 0.6 else "white")
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.set_title(title)
    ax.spines[:].set_visible(False)


def landscape(ax: Any, D: torch.nn.Module, real: torch.Tensor, fakes: torch.Tensor) -> float:
    """Draws what a D of points in the plane believes, as a map from -3 to 3 both ways.

    Forty of the fakes get an arrow that points uphill, which is where G is told to move them.

    Args:
        ax: the axes to draw on.
        D: a function from points (N, 2) to logits (N, 1).
        real: points (N, 2); the map shows up to 300 of them, in white.
        fakes: points (N, 2); the map shows up to 300 of them, in orange.

    Returns:
        The steepest slope of the logit on the map.
    """
    side = torch.linspace(-3, 3, 45)
    grid = torch.cartesian_prod(side, side).requires_grad_()
    logit = D(grid)
    (slope,) = torch.autograd.grad(logit.sum(), grid)
    belief = logit.detach().sigmoid().view(45, 45).T
    ax.imshow(belief, origin="lower", extent=(-3, 3, -3, 3), cmap="cividis", vmin=0, vmax=1, interpolation="bilinear")
    ax.plot(*real[:300].T, ".", color="white", markersize=2, alpha=0.8)
    ax.plot(*fakes[:300].T, ".", color=COLOURS[1], markersize=4)
    at = fakes[:40].clone().requires_grad_()
    (uphill,) = torch.autograd.grad(D(at).sum(), at)
    uphill = uphill / (uphill.norm(dim=1, keepdim=True) + 1)
    ax.quiver(*fakes[:40].T, *uphill.T, color="white", scale=9, width=0.006)
    ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
    return float(slope.norm(dim=1).max())


def sweep_grid(model: Model, alt: str = "", d: int = 0, seed: int = 0, columns: int = 9, title: str = "") -> Picture:
    """Shows what each continuous label does: a row for each c_j, which goes from 0 to 1 while the others stay at 0.5.

    Args:
        model: the model that draws.
        alt: alt text; a description of the grid if empty.
        d: which clip, 0 to n_d - 1.
        seed: seed from which z is drawn.
        columns: frames in a row.
        title: title of the figure.

    Raises:
        ValueError: The model has no continuous label, or no such d.
        TypeError: This is not a Model.
    """
    instance("sweep_grid takes a Model, such as animlab.load gives", model, Model)
    n_c = model.space.n_c
    if n_c == 0:
        raise ValueError("This model has no continuous label to sweep.")
    clips = [model.animate(d, j, columns, seed) for j in range(n_c)]
    _, h, w, _ = clips[0].shape
    names, moments = [f"c{j}" for j in range(n_c)], ["0", "¼", "½", "¾", "1"]
    figure = _strips(filmstrip(clips), h + GAP, w + GAP, names, moments, title)
    alt = alt or f"Filmstrips of clip {d}, a row for each c; along a row its c goes from 0 to 1."
    return Picture(figure, alt, "jpeg")


def losses(history: Mapping[str, np.ndarray], space: LabelSpace | None = None) -> Picture:
    """Plots the losses of a run: thin lines are the values of each step, thick ones a running mean.

    Args:
        history: `run.history`, loss name → (steps,).
        space: if given, a dotted line marks the loss of guessing: ln n_d for λ_d, 1/12 for λ_c.
    """
    instance("losses takes the history of a run, such as run.history", history, Mapping)
    if space is not None:
        instance("space must be a LabelSpace, such as model.space", space, LabelSpace)
    panels = [("D and G", ("d_loss", "g_loss"), None), ("λ_d, reading d", ("lambda_d",), space and log(space.n_d))]
    panels.append(("λ_c, reading c", ("lambda_c",), space and 1 / 12))
    if missing := [name for _, names, _ in panels for name in names if name not in history]:
        raise ValueError(f"losses draws the history of a run of fit, and this one has no {missing[0]}.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.4), layout="constrained")
        for ax, (title, names, guess) in zip(figure.subplots(1, 3), panels, strict=True):
            for name, dashes in zip(names, ("-", "--"), strict=False):
                _curve(ax, np.asarray(history[name]), name.removesuffix("_loss").upper(), dashes)
            if guess:
                ax.axhline(guess, color=BLACK, linestyle=":")
                ax.annotate("guessing", (1, guess), (0, 2), ("axes fraction", "data"), "offset points", ha="right")
            ax.set(title=title, xlabel="step", ylim=(0, None))
            if len(names) > 1:
                ax.legend()
    return Picture(figure, "Losses over the steps of training: D and G, λ_d and λ_c.")


def influences(measured: Mapping[str, Influence], real: Influence | None = None) -> Picture:
    """Plots how much and how locally each label changes the picture, a bar for each label.

    Args:
        measured: name → Influence, as metrics.label_influence gives.
        real: the Influence of real frames, as metrics.real_influence gives, drawn as a dotted line.
    """
    instance("influences takes what metrics.label_influence gives", measured, Mapping)
    for found in [*measured.values(), *([] if real is None else [real])]:
        offers("influences draws an Influence, such as metrics.real_influence gives", found, "strength", "focus")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.8 + 0.25 * len(measured)), layout="constrained")
        for ax, part in zip(figure.subplots(1, 2, sharey=True), ("strength", "focus"), strict=True):
            values = [getattr(found, part) for found in measured.values()]
            ax.barh(
                list(measured), values, color=[COLOURS[0] if name.startswith("c") else COLOURS[1] for name in measured]
            )
            for y, value in enumerate(values):  # a column of numbers beside the bars
                ax.text(1.02, y, f"{value:.2f}", transform=ax.get_yaxis_transform(), va="center")
            if real is not None:
                ax.axvline(getattr(real, part), color=BLACK, linestyle=":")
            ax.set_title(part + (f" (dotted: real frames, {getattr(real, part):.2f})" if real is not None else ""))
        figure.axes[0].invert_yaxis()
    return Picture(figure, "Bars: strength and focus of the change that each label makes to the picture.")


class LivePlot(Callback):
    """A callback for fit that shows, in place, what each c does so far; z and d stay the same.

    Args:
        d: which clip, 0 to n_d - 1.
        seed: seed from which z is drawn.
    """

    def __init__(self, d: int = 0, seed: int = 0) -> None:
        self.d, self.seed = d, seed
        self.step, self.handle = 0, None

    def on_step(self, record: Record) -> None:
        if record.step == 1:  # something to look at from the start
            self.on_sample(record)

    def on_sample(self, record: Record) -> None:
        title = f"step {record.step} of {record.steps}, {record.seconds:.0f} s"
        alt = "What the model draws as it learns: a row for each c, which goes from 0 to 1 along it."
        picture = sweep_grid(record.model, alt, self.d, self.seed, title=title)
        self.step = record.step
        if self.handle is None:
            self.handle = display(picture, display_id=True)
        else:
            self.handle.update(picture)

    def on_end(self, record: Record) -> None:
        if record.step > self.step:
            self.on_sample(record)


def _strips(strip: np.ndarray, h: int, w: int, rows: Sequence[str], columns: Sequence[str], title: str = "") -> Figure:
    """A filmstrip whose frames are h × w pixels, gap included, with names beside its rows and above its columns."""
    height, width = strip.shape[:2]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, WIDTH * height / width))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.imshow(strip, interpolation="bicubic")
        ax.set_xticks(np.linspace(w / 2, width + GAP - w / 2, len(columns)) - GAP / 2, columns)
        ax.set_yticks(np.arange(len(rows)) * h + (h - GAP) / 2, rows)
        ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        ax.spines[:].set_visible(False)
        ax.set_title(title, loc="left")
    return figure


def _curve(ax: Any, values: np.ndarray, label: str, dashes: str) -> None:
    steps = np.arange(1, len(values) + 1)
    window = max(1, len(values) // 40)
    (line,) = ax.plot(steps, values, linewidth=0.5, alpha=0.3)
    means = np.convolve(values, np.ones(window) / window, "valid")
    ax.plot(steps[window - 1 :], means, dashes, color=line.get_color(), linewidth=2, label=label)
