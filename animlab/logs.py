"""Training logs for TensorBoard: curves of the losses, and pictures of what the model draws."""

from __future__ import annotations

from pathlib import Path

from .animation import filmstrip
from .callbacks import Callback, Record
from .checks import path_of, whole


class TensorBoard(Callback):
    """A callback for fit that writes a TensorBoard log.

    View it with `tensorboard --logdir runs`, or in a notebook with `%load_ext tensorboard` and `%tensorboard --logdir
    runs`.

    Example:
        >>> animlab.fit(clips, space, out="runs/mine", callbacks=[animlab.TensorBoard("runs/mine/log")])

    Args:
        folder: where the log is written; a resumed run continues the log in the same folder.
        every: steps between two points of a curve, at least 1.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed.
        ValueError: `every` is not a whole number of at least 1.
    """

    def __init__(self, folder: str | Path, every: int = 10) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("TensorBoard is not installed: pip install tensorboard.") from error
        self.every = whole("every", every, 1)
        self.writer = SummaryWriter(str(path_of("folder", folder)))

    def on_step(self, record: Record) -> None:
        if record.step % self.every == 0:
            for name, value in record.losses.items():
                self.writer.add_scalar(f"losses/{name}", value, record.step)
            self.writer.add_scalar("frames per second", record.frames_per_second, record.step)

    def on_sample(self, record: Record) -> None:
        model = record.model
        sheet = filmstrip([model.animate(d=0, along=c, frames=8) for c in range(model.space.n_c)])
        self.writer.add_image("d 0, a row for each c from 0 to 1", sheet, record.step, dataformats="HWC")

    def on_end(self, record: Record) -> None:
        self.on_sample(record)
        self.writer.close()  # ends its thread; should the same callback serve another run, it opens a new file
