"""``python -m benchmarks.shifting_load``: two CPU stages whose load changes sides, fixed workers beside ``"auto"``.

Every measurement runs in a fresh process; variants take turns within a round and the order of turns rotates.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.measure import ROOT, rotated, say
from benchmarks.tables import machine, number, spread, table
from benchmarks.workloads import LOOPS_VARIABLE, burn, calibrate
from olympipe_like import Pipeline

HEAVY, LIGHT = 4.0, 0.2  # ms of CPU


class Shape(NamedTuple):
    """How the load lies: ms of CPU at the first and at the second stage."""

    title: str
    items: int
    before: tuple[float, float]  # of the first half of the items
    after: tuple[float, float]  # of the others


SHAPES = {
    "shift": Shape(f"{HEAVY:g} ms at one stage, {LIGHT:g} ms at the other", 1_500, (HEAVY, LIGHT), (LIGHT, HEAVY)),
    "one-sided": Shape(f"always {HEAVY:g} ms at the second", 1_500, (LIGHT, HEAVY), (LIGHT, HEAVY)),
    "level": Shape("2 ms at both", 1_500, (2.0, 2.0), (2.0, 2.0)),
    "short": Shape("as the shift, with few items", 40, (HEAVY, LIGHT), (LIGHT, HEAVY)),
}

VARIANTS: dict[str, tuple[Any, int | None]] = {  # workers of each stage, auto_workers
    "1 + 1": (1, None),
    "2 + 2": (2, None),
    "auto": ("auto", None),
    "auto, 2 shared": ("auto", 2),
}


def measure(shape_name: str, variant: str) -> dict[str, Any]:
    """Return seconds of a second run in this process (its hub is warm), and what was moved in it."""
    shape = SHAPES[shape_name]
    workers, shared = VARIANTS[variant]
    loops = int(os.environ[LOOPS_VARIABLE])
    items = shape.items
    costs = [shape.before] * (items // 2) + [shape.after] * (items - items // 2)
    loads = [(n, round(first_ms * loops), round(second_ms * loops)) for n, (first_ms, second_ms) in enumerate(costs)]

    def first(item: tuple[int, int, int]) -> tuple[int, int]:
        burn(item[1])
        return item[0], item[2]

    def second(item: tuple[int, int]) -> int:
        burn(item[1])
        return item[0]

    Pipeline([(0, 0, 0)]).task(first).task(second).wait_for_result()  # starts the hub
    began = time.perf_counter()
    with Pipeline(loads).task(first, workers).task(second, workers).run(auto_workers=shared, progress=False) as run:
        results = list(run)
    seconds = time.perf_counter() - began
    if results != list(range(items)):
        raise AssertionError(f"{variant}: wrong results")
    moves = [f"{move.at:.1f} s: {move.giver or '-'} -> {move.to}" for move in run.report.moves]
    return {"seconds": seconds, "moves": moves}


def in_fresh_process(shape: str, variant: str) -> dict[str, Any]:
    """Return what `measure` returns in a process of its own."""
    asked = [sys.executable, "-m", "benchmarks.shifting_load", "--once", shape, variant]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shifting_load", description=__doc__)
    parser.add_argument("shapes", nargs="*", help=f"of {', '.join(SHAPES)}; default all")
    parser.add_argument("--repeat", type=int, default=5, help="rounds; default 5")
    parser.add_argument("--once", nargs=2, metavar=("SHAPE", "VARIANT"), help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.once:
        print(json.dumps(measure(*asked.once)))
        return 0
    os.environ[LOOPS_VARIABLE] = str(calibrate())
    print(f"{machine()}; medians of {asked.repeat}")
    for shape in asked.shapes or SHAPES:
        taken: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for turn in range(asked.repeat):
            for variant in rotated(list(VARIANTS), turn):
                found = in_fresh_process(shape, variant)
                taken[variant].append(found["seconds"])
                say(f"{shape} {turn + 1}/{asked.repeat} {variant}: {found['seconds']:.3f} s {found['moves']}")
        ratios = [median(b / a for a, b in zip(taken["auto"], taken[each], strict=True)) for each in VARIANTS]
        rows = [
            [variant, spread(taken[variant]), number(ratio)] for variant, ratio in zip(VARIANTS, ratios, strict=True)
        ]
        print(f"\n{SHAPES[shape].items} items, {SHAPES[shape].title}\n")
        print(table(["workers", "seconds", "times the seconds of auto"], rows), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
