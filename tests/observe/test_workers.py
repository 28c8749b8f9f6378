"""What people are shown of single workers, where those of other machines may join."""

from __future__ import annotations

import logging
from dataclasses import replace

from olympipe_like._model.stats import WorkerStats
from olympipe_like._observe.lines import line_of_workers
from olympipe_like._observe.progress import Progress
from olympipe_like._observe.report import Report
from olympipe_like._observe.workers import table_of_workers
from tests.observe.runs import run, stage, untimed_sink, untimed_source

HERE = WorkerStats("decode", "1.0", "", 17, 400, 9.0, None, left=False, seconds=10.0)
LATE = WorkerStats("decode", "1.1", "nodeb", 4711, 90, 1.8, 0.1, left=False, seconds=2.0)
GONE = WorkerStats("decode", "1.2", "nodec", 18, 50, 0.5, None, left=True, seconds=1.0)


def with_workers(*workers, elapsed=10.0, finished=True):
    stats = run(untimed_source(), stage("decode"), untimed_sink(), elapsed=elapsed, finished=finished)
    return replace(stats, workers=workers)


def test_a_worker_that_came_late_or_left_is_shown_as_fast_as_it_was():
    assert table_of_workers([HERE, LATE, GONE]) == [
        "worker  of stage   host   pid  items  items/s  busy %   last seen",
        "1.0       decode   here    17    400     40.0      90           -",
        "1.1       decode  nodeb  4711     90     45.0      90  0.10 s ago",
        "1.2       decode  nodec    18     50     50.0      50        left",
    ]


def test_a_worker_that_has_answered_nothing_has_no_rate():
    idle = replace(LATE, items=0, busy=0.0, seconds=0.0)

    assert table_of_workers([idle])[1].split() == ["1.1", "decode", "nodeb", "4711", "0", "-", "-", "0.10", "s", "ago"]


def test_a_report_has_the_table():
    lines = str(Report(with_workers(HERE, LATE, GONE))).splitlines()

    assert [line for line in lines if line.startswith("1.")] == table_of_workers([HERE, LATE, GONE])[1:]


def test_a_display_has_a_line_with_the_machines_that_work_now():
    stats = with_workers(HERE, LATE, replace(LATE, name="1.3", last_seen=0.4), GONE)

    line = line_of_workers(stats, None)

    assert line.head == "workers: here 1 worker, 40.0/s; nodeb 2 workers, 90.0/s, seen 0.40 s ago"
    assert line_of_workers(stats, 20).head == "workers: here 1 wor~"
    assert line_of_workers(with_workers(GONE), None).head == "workers: none"
    assert line_of_workers(with_workers(), None) is None


def test_log_lines_name_the_machines(caplog):
    progress = Progress.choose(None)

    with caplog.at_level(logging.INFO, "olympipe_like"):
        progress.update(with_workers(LATE, elapsed=60.0, finished=False))

    assert "Workers: nodeb 1 worker, 45.0/s, seen 0.10 s ago." in caplog.text
