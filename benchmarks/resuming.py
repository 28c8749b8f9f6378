"""``python -m benchmarks.resuming``: what it costs to go on where a run was left, beside beginning anew.

Each plan makes items at 1 ms of one core each, in two workers, and is left after some batches. Measured are the time
until the next batch is there, how many items were made for it, and what the state itself costs.
"""

from __future__ import annotations

import json
import sys
import timeit
from collections.abc import Callable
from itertools import islice
from time import perf_counter
from typing import Any, NamedTuple

from olympipe_like import Pipeline

ITEMS, BATCH, LEFT_AFTER = 10_000, 32, 200
ITEM_SECONDS = 0.001


def work(item: int) -> int:
    """Keep a core busy."""
    until = perf_counter() + ITEM_SECONDS
    while perf_counter() < until:
        pass
    return item


def source() -> Pipeline[int]:
    return Pipeline(range(ITEMS))


PLANS: dict[str, Callable[[], Pipeline[Any]]] = {
    "task, batch": lambda: source().task(work, workers=2).batch(BATCH),
    "shuffle(1000), task, batch": lambda: source().shuffle(1000, seed=1).task(work, workers=2).batch(BATCH),
    "task, shuffle(200), batch": lambda: source().task(work, workers=2).shuffle(200, seed=1).batch(BATCH),
    "task, shuffle(1000), batch": lambda: source().task(work, workers=2).shuffle(1000, seed=1).batch(BATCH),
    "task, unique, batch": lambda: source().task(work, workers=2).unique().batch(BATCH),
}


class Cost(NamedTuple):
    """What was measured of one plan."""

    run_seconds: float  # from the beginning to where it was left
    begin_seconds: float  # to the first batch
    resume_seconds: float  # to the batch behind the place
    made: int  # by the task, until that batch was there, and what was made ahead
    state_bytes: int
    state_seconds: float  # the first time
    again_seconds: float  # and then, at best


def measure(make: Callable[[], Pipeline[Any]]) -> Cost:
    """Run a plan, leave it, and go on."""
    begun = perf_counter()
    with make().run() as run:
        batches = iter(run)
        first = next(batches)
        begin_seconds = perf_counter() - begun
        list(islice(batches, LEFT_AFTER - 1))
        run_seconds = perf_counter() - begun
        asked = perf_counter()
        text = json.dumps(run.state_dict())
        state_seconds = perf_counter() - asked
        again_seconds = min(timeit.repeat(run.state_dict, number=1, repeat=20))
        expected = next(batches)
    begun = perf_counter()
    with make().run() as run:
        run.load_state_dict(json.loads(text))
        found = next(iter(run))
        resume_seconds = perf_counter() - begun
        made = next(stage.items_in for stage in run.report.stages if stage.name == "work")
    assert found == expected != first
    return Cost(run_seconds, begin_seconds, resume_seconds, made, len(text), state_seconds, again_seconds)


def main() -> None:
    """Print a table."""
    write = sys.stdout.write
    write(f"left after {LEFT_AFTER} batches of {BATCH}; items of {ITEM_SECONDS * 1000:g} ms\n\n")
    heads = ["plan", "to there", "first batch anew", "next batch", "items made for it", "state", "asked in", "again"]
    write(f"| {' | '.join(heads)} |\n")
    write("|---|---|---|---|---|---|---|---|\n")
    next(iter(source().task(work)))  # the first run of a program starts a hub
    for name, make in PLANS.items():
        cost = measure(make)
        write(
            f"| {name} | {cost.run_seconds:.2f} s | {cost.begin_seconds * 1000:.0f} ms | "
            f"{cost.resume_seconds * 1000:.0f} ms | {cost.made} | {cost.state_bytes} bytes | "
            f"{cost.state_seconds * 1000:.1f} ms | {cost.again_seconds * 1000:.2f} ms |\n"
        )


if __name__ == "__main__":
    main()
