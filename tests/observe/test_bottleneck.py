"""Who is named as the limit of a run, and who is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olympipe_like._observe.bottleneck import Limit, Verdict, find_bottleneck, shares
from olympipe_like._observe.report import Report
from tests.observe.runs import (
    BALANCED,
    JUST_BEGUN,
    SLOW_CONSUMER,
    SLOW_DECODE,
    SLOW_SOURCE,
    run,
    stage,
    untimed_sink,
    untimed_source,
)


def test_the_stage_that_never_waits_is_named_with_those_that_wait_for_it():
    assert find_bottleneck(SLOW_DECODE) == Verdict(
        Limit.STAGE, share=0.97, index=1, starved=2, workers=6, next_busiest=2
    )


def test_a_stage_before_the_bottleneck_is_told_as_blocked():
    verdict = find_bottleneck(
        run(
            untimed_source(),
            stage("decode", busy=0.2, blocked=0.78),
            stage("embed", workers=2, busy=0.9, starved=0.05),
            stage("pack", busy=0.1, starved=0.88),
        )
    )

    assert (verdict.limit, verdict.index, verdict.blocked, verdict.starved) == (Limit.STAGE, 2, 1, 3)


def test_utilisation_counts_workers_not_busy_seconds():
    verdict = find_bottleneck(
        run(stage("wide", workers=8, busy=0.5, starved=0.45), stage("narrow", busy=0.95, starved=0.02))
    )

    assert verdict.index == 1  # 40 s of busy time against 9.5 s


def test_slow_source_is_told_by_stages_that_all_starve():
    assert find_bottleneck(SLOW_SOURCE) == Verdict(Limit.SOURCE, share=pytest.approx(0.88), index=0)


def test_slow_consumer_is_told_by_a_last_stage_that_is_blocked():
    assert find_bottleneck(SLOW_CONSUMER) == Verdict(Limit.CONSUMER, share=pytest.approx(0.92), index=3)


@pytest.mark.parametrize(("kind", "limit"), [("source", Limit.SOURCE), ("sink", Limit.CONSUMER), ("task", Limit.STAGE)])
def test_a_busy_end_is_named_as_what_it_is(kind, limit):
    busy_end = stage("end", kind=kind, busy=0.93)
    other = stage("decode", busy=0.3, starved=0.6)

    verdict = find_bottleneck(run(busy_end, other))

    assert (verdict.limit, verdict.index, verdict.share) == (limit, 0, pytest.approx(0.93))


def test_two_slow_sources_leave_it_open_which_one():
    verdict = find_bottleneck(run(untimed_source("a"), untimed_source("b"), stage("join", starved=0.9, busy=0.05)))

    assert (verdict.limit, verdict.index) == (Limit.SOURCE, None)


def test_a_source_that_waits_for_room_is_not_blamed_for_starving_stages():
    verdict = find_bottleneck(
        run(
            stage("range", kind="source", given=0, out=1000, busy=0.1, blocked=0.85),
            stage("double", busy=0.1, starved=0.8),
            stage("add", busy=0.1, starved=0.85),
        )
    )

    assert (verdict.limit, verdict.share) == (Limit.TRANSPORT, pytest.approx(0.8))


def test_balanced_stages_name_nobody_and_the_busiest_is_still_told():
    assert find_bottleneck(BALANCED) == Verdict(Limit.NONE, share=0.45, index=1)


def test_stages_equally_busy_are_named_together():
    verdict = find_bottleneck(run(stage("decode", busy=0.93), stage("pack", busy=0.1), stage("embed", busy=0.95)))

    assert (verdict.index, verdict.level_with, verdict.workers) == (2, (0,), None)


@pytest.mark.parametrize(
    ("neighbour", "limit"),
    [
        (stage("pack", busy=0.1, starved=0.6), Limit.STAGE),
        (stage("pack", busy=0.1, starved=0.1), Limit.NONE),
    ],
)
def test_a_stage_fairly_busy_is_named_only_if_another_waits_for_it(neighbour, limit):
    slow = stage("decode", busy=0.6, starved=0.1)  # the rest of the time went into starting

    assert find_bottleneck(run(slow, neighbour)).limit is limit


def test_in_a_run_without_waiting_the_longest_turn_is_the_limit():
    # executor="inline": the caller does one thing after the other.
    verdict = find_bottleneck(run(stage("load", workers=0, busy=0.3), stage("fit", workers=0, busy=0.65)))

    assert (verdict.limit, verdict.index) == (Limit.STAGE, 1)


def test_stages_that_ride_along_are_neither_named_nor_counted_as_idle():
    verdict = find_bottleneck(
        run(
            untimed_source(),
            stage("decode", busy=0.1, starved=0.88),
            stage("resize", workers=0),
            untimed_sink(),
        )
    )

    assert verdict.limit is Limit.SOURCE


def test_no_number_of_workers_is_reckoned_from_a_stage_that_does_next_to_nothing():
    verdict = find_bottleneck(run(stage("decode", workers=4, busy=0.95), stage("count", busy=0.05, starved=0.9)))

    assert (verdict.limit, verdict.workers, verdict.next_busiest) == (Limit.STAGE, None, None)


def test_a_batch_is_not_told_to_have_more_workers():
    verdict = find_bottleneck(run(stage("pack", kind="batch", busy=0.95), stage("save", busy=0.5, starved=0.4)))

    assert (verdict.limit, verdict.workers) == (Limit.STAGE, None)


@pytest.mark.parametrize("elapsed", [0.0, -1.0])
def test_nothing_is_said_before_time_has_passed(elapsed):
    stats = run(stage("decode", busy=0.5), elapsed=elapsed)

    assert find_bottleneck(stats) == Verdict(Limit.NONE)
    assert shares(stats.stages[0], elapsed) is None


@pytest.mark.parametrize(
    "stats", [JUST_BEGUN, run(), run(untimed_source(given=0), stage("decode", given=0, starved=0.99))]
)
def test_a_run_without_items_names_nobody(stats):
    assert find_bottleneck(stats) == Verdict(Limit.NONE)


def test_shares_stay_below_one_where_clocks_disagree():
    given_more = stage("decode", workers=2, busy=1.01, starved=0.02)

    share = shares(given_more, 10.0)

    assert share is not None
    assert (share.busy, share.starved) == (1.0, pytest.approx(0.02))


times = st.floats(0, 1)
any_stage = st.builds(
    stage,
    st.sampled_from(["a", "b"]),
    kind=st.sampled_from(["source", "task", "filter", "batch", "gather", "sink"]),
    workers=st.integers(0, 4),
    given=st.integers(0, 5),
    out=st.integers(0, 5),
    busy=times,
    starved=times,
    blocked=times,
)


@given(stages=st.lists(any_stage, max_size=6), elapsed=st.floats(0, 100))
def test_whatever_the_figures_a_verdict_points_into_the_run(stages, elapsed):
    stats = run(*stages, elapsed=elapsed)

    verdict = find_bottleneck(stats)

    pointers = [verdict.index, verdict.starved, verdict.blocked, verdict.next_busiest, *verdict.level_with]
    assert all(0 <= index < len(stages) for index in pointers if index is not None)
    assert 0.0 <= verdict.share <= 1.0
    if verdict.limit is Limit.STAGE:
        assert verdict.index is not None
        assert stages[verdict.index].kind not in {"source", "sink"}
        assert verdict.share == max(share.busy for each in stages if (share := shares(each, elapsed)))
    if verdict.workers is not None:
        assert verdict.workers > stages[verdict.index].workers


def test_where_all_processors_are_busy_the_stage_with_most_work_is_named():
    stages = [stage("a", busy=0.3, starved=0.4), stage("b", workers=2, busy=0.36, starved=0.2), stage("c", busy=0.5)]

    shared = replace(run(*stages), cores=2)
    plenty = replace(run(*stages), cores=8)

    assert find_bottleneck(shared) == Verdict(Limit.MACHINE, share=pytest.approx(0.72 / 1.52), index=1)
    assert find_bottleneck(plenty).limit is Limit.NONE
    assert Report(shared).bottleneck == "b"
    assert "all 2 processors are busy" in Report(shared).verdict()
