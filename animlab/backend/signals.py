"""Signals that ask a run to end: Ctrl-C, a batch system, a closed terminal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """A context in which a signal ends a run after the current step, so that no half-done step is saved.

    A second signal interrupts at once. SIGTERM and SIGHUP are raised again when the context ends.

    Yields:
        A function that says whether a signal has come; outside the main thread, where signals cannot be caught, it says
        no.
    """
    asked: list[int] = []

    def ask(signum: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(signum)

    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield lambda: False
        return
    caught = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {each: signal.signal(each, ask) for each in caught}
    try:
        yield lambda: bool(asked)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if asked and asked[0] != signal.SIGINT:
        signal.raise_signal(asked[0])
