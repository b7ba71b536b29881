"""Training as TensorBoard sees it: curves of the losses, and sheets of what the model draws."""

from __future__ import annotations

from pathlib import Path

from .animation import filmstrip
from .checks import whole
from .training import Callback, Record


class TensorBoard(Callback):
    """A callback for fit that writes a log for TensorBoard.

    >>> animlab.fit(clips, space, out="runs/mine", callbacks=[animlab.TensorBoard("runs/mine/log")])

    Then `tensorboard --logdir runs`, or `%load_ext tensorboard` and `%tensorboard --logdir runs` in a notebook.
    folder: where to; a resumed run goes on in the same one. every: steps from one point of a curve to the next.

    Raises ModuleNotFoundError where TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path, every: int = 10) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("TensorBoard logs need the package: pip install tensorboard") from error
        self.writer, self.every = SummaryWriter(str(Path(folder).expanduser())), whole("every", every, 1)

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
        self.writer.flush()
