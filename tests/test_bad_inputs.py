"""Every input in bad_inputs.py gets the outcome that stands beside it, and nothing hangs."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from bad_inputs import CASES, Case, outcome


def hangs(*_: object) -> None:
    """What blocks for ever would block the whole run."""
    pytest.fail("it hangs")


@pytest.mark.parametrize("one", CASES, ids=[case.name for case in CASES])
def test_outcome(one: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(60)
    try:
        got = outcome(one, tmp_path, monkeypatch)
    finally:
        signal.alarm(0)
    assert re.match(one.says, got), got


def test_there_are_many_and_each_is_named_once() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 40
