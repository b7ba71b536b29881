"""`modern` and MoCoGAN on the actions for a quarter of an hour each, over three seeds.

    python tests/benchmarks/long_comparison.py train --part 0/2   # half of the runs, and 1/2 beside it the others
    python tests/benchmarks/long_comparison.py judge              # from what `train` left in --runs
    python tests/benchmarks/long_comparison.py write

train: each method of METHODS, for the processor time of the last of MARKS on one thread, on the same clips; models are
kept at each mark, and a run that was stopped goes on from its last one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from comparisons import ROOT, train_method

import animlab
from animlab.baselines.comparison import BENCHMARKS, Method

BENCHMARK = BENCHMARKS["actions"]
MODERN, SPACE = animlab.PRESETS["modern"], animlab.LabelSpace(n_z=4, n_d=5, n_c=5)  # as the shipped actions
METHODS = {
    "mocogan": BENCHMARK.rivals["mocogan"],
    "modern": Method("ours, modern", preset=MODERN, space=SPACE),
    "modern-still-0.04": Method("ours, modern, λ_still 0.04", preset=replace(MODERN, lambda_still=0.04), space=SPACE),
}
SEEDS, MARKS = 3, (120.0, 240.0, 480.0, 960.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["train"])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "long-comparison", help="where models are kept")
    parser.add_argument("--share", default="0/1", help="k/n: every n-th run from the k-th, to share the work")
    args = parser.parse_args()
    runs = [(seed, name) for seed in range(SEEDS) for name in METHODS]
    share, shares = map(int, args.share.split("/"))
    if args.part == "train":
        clips, _ = BENCHMARK.load()
        for seed, name in runs[share::shares]:
            print(train_method(METHODS[name], clips, seed, args.runs / name / str(seed), MARKS), flush=True)


if __name__ == "__main__":
    main()
