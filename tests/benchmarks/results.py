"""How the benchmarks write their results down."""

from __future__ import annotations

import json
from typing import Any

import numpy as np


def written(found: dict[str, Any]) -> str:
    """JSON with a line a row; numbers to 5 digits, null for infinity."""

    def plain(value: Any) -> Any:
        if isinstance(value, float | np.floating):
            return float(f"{value:.5g}") if np.isfinite(value) else None
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        return value

    def line(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n  " + ",\n  ".join(json.dumps(plain(row), ensure_ascii=False) for row in value) + "\n ]"
        return json.dumps(plain(value), ensure_ascii=False)

    return "{\n " + ",\n ".join(f"{json.dumps(key)}: {line(value)}" for key, value in found.items()) + "\n}\n"
