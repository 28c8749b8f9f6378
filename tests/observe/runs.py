"""Made-up runs, written as shares of time, for the tests of what a run shows."""

from __future__ import annotations

from olympipe_like._model.stats import RunStats, StageStats


def stage(
    name,
    *,
    kind="task",
    workers=1,
    given=1000,
    out=None,
    filtered=0,
    failed=0,
    merged=0,
    busy=0.0,
    starved=0.0,
    blocked=0.0,
    waiting=0,
    capacity=16,
    expected=None,
    elapsed=10.0,
):
    """Return a stage whose workers spent these shares of `elapsed` seconds."""
    time = elapsed * max(workers, 1)
    return StageStats(
        name=name,
        kind=kind,
        workers=workers,
        items_in=given,
        items_out=given - filtered - failed - merged if out is None else out,
        filtered=filtered,
        failed=failed,
        merged=merged,
        busy=busy * time,
        starved=starved * time,
        blocked=blocked * time,
        waiting=waiting,
        capacity=capacity,
        expected=expected,
    )


def run(*stages, elapsed=10.0, finished=True):
    return RunStats(elapsed=elapsed, finished=finished, stages=tuple(stages))


def untimed_source(name="source", *, given=1000, expected=None):
    return stage(name, kind="source", workers=0, given=0, out=given, capacity=0, expected=expected)


def untimed_sink(name="results", *, given=1000):
    return stage(name, kind="sink", workers=0, given=given, capacity=64)


SLOW_DECODE = run(
    untimed_source(expected=2000),
    stage("decode", workers=2, busy=0.97, starved=0.01, blocked=0.02, waiting=16, expected=2000),
    stage("resize", busy=0.38, starved=0.61),
    untimed_sink(),
)
SLOW_SOURCE = run(
    untimed_source("walk"),
    stage("decode", workers=2, busy=0.11, starved=0.88),
    stage("resize", busy=0.05, starved=0.94),
    untimed_sink(),
)
SLOW_CONSUMER = run(
    untimed_source(),
    stage("decode", workers=2, busy=0.10, blocked=0.88),
    stage("resize", busy=0.05, starved=0.01, blocked=0.92),
    untimed_sink("loop"),
)
BALANCED = run(
    untimed_source(),
    stage("decode", busy=0.45, starved=0.25, blocked=0.25),
    stage("resize", busy=0.42, starved=0.25, blocked=0.25),
    untimed_sink(),
)
JUST_BEGUN = run(
    untimed_source(given=0),
    stage("decode", given=0),
    untimed_sink(given=0),
    elapsed=0.0,
    finished=False,
)
