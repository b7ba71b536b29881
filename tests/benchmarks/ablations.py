"""The paper's ablations: how many labels for how much data, and what the recipe's parts are worth.

    python tests/benchmarks/ablations.py --folder runs/ablations     # about an hour of one core

Each cell is one run of notebook 04, through animlab.sweeps; what is done already in the folder is not run again.
Writes data/results/ablations.json, the tables that notebook 05 shows, and its pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from animlab.sweeps import sweep

ROOT = Path(__file__).parents[2]
STEPS, WIDTH, SEEDS = 500, 0.25, 3
GRID = [(5, 2), (5, 5), (10, 5), (20, 10), (20, 20)]  # (n_d, n_c), Tab. 3
SETS = ["faces3d", "celeba"]  # the small set and the large one
BASE = {"n_z": 8, "n_d": 5, "n_c": 5, "preset": "stable", "steps": STEPS, "width": WIDTH, "samples": 1, "keep": 0}
# One change at a time to BASE, on the real actions.
CHANGES: dict[str, dict[str, Any]] = {
    "stable": {},
    "n_z = 2": {"n_z": 2},
    "n_z = 62": {"n_z": 62},
    "λ_c = 1": {"lambda_c": 1.0},
    "λ_c = 5": {"lambda_c": 5.0},
    "no EMA": {"ema": 0.0},
    "plain view": {"label_view": "plain"},
    "paper": {"preset": "paper"},
}
FIG_4 = [(20, 5), (20, 10), (20, 20)]


def cells(seed: int) -> list[dict[str, Any]]:
    """All cells of a seed; that of "stable" stands in for (5, 5) of Fig. 4's data set as well."""
    found = [BASE | {"dataset": name, "n_d": n_d, "n_c": n_c} for n_d, n_c in GRID for name in SETS]
    found += [BASE | {"dataset": "actions"} | change for change in CHANGES.values()]
    found += [BASE | {"dataset": "actions", "n_d": n_d, "n_c": n_c} for n_d, n_c in FIG_4]
    if seed == 0:  # drawn in place of the portraits of real people
        found += [BASE | {"dataset": "celeba-synthetic", "n_d": n_d, "n_c": n_c} for n_d, n_c in GRID]
    return [cell | {"seed": seed} for cell in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "ablations")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler", help="address of a dask scheduler; a cluster of its own where none is given")
    args = parser.parse_args()
    wanted = [cell for seed in range(args.seeds) for cell in cells(seed)]
    sweep(
        ROOT / "notebooks" / "04_full_training.ipynb", wanted, args.folder,
        scheduler=args.scheduler, workers=args.workers,
    )  # fmt: skip


if __name__ == "__main__":
    main()
