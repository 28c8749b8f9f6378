"""What a report says of workers that went from stage to stage."""

from __future__ import annotations

import json
from dataclasses import replace

from olympipe_like._model.stats import WorkerMove
from olympipe_like._observe.bottleneck import shares
from olympipe_like._observe.report import Report
from tests.observe.runs import run, stage

GIVEN = WorkerMove(at=0.26, workers=2, to="decode", giver=None, busy=0.97, giver_busy=None)
TAKEN = WorkerMove(at=5.2, workers=1, to="resize", giver="decode", busy=0.99, giver_busy=0.07)


def auto(name, workers, on_duty, **figures):
    return replace(stage(name, workers=workers, **figures), on_duty=on_duty)


def test_each_move_is_a_line_that_says_when_how_many_to_whom_and_why():
    report = Report(replace(run(stage("decode")), moves=(GIVEN, TAKEN)))

    assert str(report).split("\n\n")[1].splitlines() == [
        "Workers went where the time goes:",
        "  after 0.26 s: 2 more for 'decode', 97 % busy",
        "  after 5.20 s: 1 more for 'resize', 99 % busy, from 'decode', 7 % busy",
    ]
    assert "1 more for &#x27;resize&#x27;" in report._repr_html_()


def test_only_the_latest_moves_are_listed_and_the_others_counted():
    report = Report(replace(run(stage("decode")), moves=(GIVEN,) * 8, earlier_moves=30))

    lines = str(report).split("\n\n")[1].splitlines()

    assert lines[0] == "Workers went where the time goes (32 times before that):"
    assert len(lines) == 7


def test_moves_are_data_too():
    report = Report(replace(run(stage("decode")), moves=(TAKEN,)))

    assert json.loads(json.dumps(report.to_dict()))["moves"] == [
        {"at": 5.2, "workers": 1, "to": "resize", "giver": "decode", "busy": 0.99, "giver_busy": 0.07}
    ]
    assert report.moves == (TAKEN,)


def test_shares_are_of_the_time_that_workers_were_there():
    decode = replace(auto("decode", 3, on_duty=20.0), busy=15.0, starved=4.0, blocked=1.0)

    found = shares(decode, elapsed=10.0)

    assert (found.busy, found.starved, found.blocked) == (0.75, 0.2, 0.05)
    assert shares(replace(decode, on_duty=0.0), elapsed=10.0) is None


def test_the_table_says_auto_beside_the_number():
    assert "3 auto" in str(Report(run(auto("decode", 3, on_duty=20.0))))


def test_a_stage_that_shares_workers_is_not_advised_a_number_of_its_own():
    stages = (auto("decode", 2, on_duty=20.0, busy=0.97), stage("resize", busy=0.3, starved=0.6))

    assert "more workers to share (auto_workers=)" in Report(run(*stages)).verdict()
