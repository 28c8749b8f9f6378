"""The report of a run: what each stage took, gave, dropped and failed, and what limited the run."""

from __future__ import annotations

import itertools
import json
import time

import pytest

from olympipe_like import SKIP, Pipeline
from tests import functions as f

executors = pytest.mark.parametrize("executor", ["process", "thread", "inline"])


def report_of(pipe, **options):
    with pipe.run(**options) as run:
        results = list(run)
    return run.report, results


def increment_slowly(number):
    time.sleep(0.005)
    return number + 1


def counts(report):
    """Return name -> (in, out, filtered, failed) of every stage."""
    return {s.name: (s.items_in, s.items_out, s.filtered, s.failed) for s in report.stages}


@executors
def test_the_report_counts_what_each_stage_took_gave_and_dropped(executor):
    pipe = Pipeline(range(20), name="numbers").task(f.increment, name="increment").filter(f.is_even, name="even")
    pipe = pipe.explode(f.twice, name="twice").task(lambda x: SKIP if x == 4 else x, name="no fours").batch(4)

    report, results = report_of(pipe, executor=executor)

    assert len(results) == 5
    found = counts(report)
    assert found["numbers"][1:] == (20, 0, 0)
    assert found["increment"] == (20, 20, 0, 0)
    assert found["even"] == (20, 10, 10, 0)
    assert found["twice"] == (10, 20, 0, 0)
    assert found["no fours"] == (20, 18, 2, 0)
    assert found["batch"] == (18, 5, 0, 0)
    assert report.finished


@executors
def test_every_leg_of_a_branch_is_counted(executor):
    shared = Pipeline(range(10), name="numbers").task(f.increment, name="shared")
    joined = shared.task(f.describe, name="left").gather(shared.filter(f.is_even, name="right"))

    report, results = report_of(joined, executor=executor)

    assert len(results) == 15
    found = counts(report)
    assert found["shared"] == (10, 10, 0, 0)
    assert found["left"] == (10, 10, 0, 0)
    assert found["right"] == (10, 5, 5, 0)
    assert found["gather"] == (15, 15, 0, 0)


def test_a_limit_is_counted_as_exactly_what_it_let_through():
    report, _ = report_of(Pipeline(itertools.count(), name="numbers").task(f.increment, name="work").limit(7))

    found = counts(report)
    assert found["numbers"][1] == 7
    assert found["work"] == (7, 7, 0, 0)
    assert found["limit"][1] == 7


def test_many_tiny_items_are_counted_one_by_one():
    report, _ = report_of(Pipeline(range(30_000)).task(f.increment, name="a", workers=2).filter(f.is_even, name="b"))

    assert counts(report)["a"] == (30_000, 30_000, 0, 0)
    assert counts(report)["b"] == (30_000, 15_000, 15_000, 0)


@executors
def test_a_failed_item_is_counted_where_it_failed(executor):
    def bad(x):
        if x == 5:
            raise ValueError("user-boom")
        return x

    pipe = Pipeline(range(9)).task(f.increment, name="good").task(bad, name="bad")

    with pytest.raises(ValueError, match="user-boom"), pipe.run(executor=executor) as run:
        list(run)

    found = counts(run.report)
    assert found["bad"][3] == 1
    assert found["good"][3] == 0
    assert found["bad"][1] >= 4
    assert run.report.finished


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_the_slowest_stage_is_named_as_the_bottleneck(executor):
    pipe = Pipeline(range(60)).task(f.increment, name="quick", executor=executor)
    pipe = pipe.task(lambda x: time.sleep(0.01) or x, name="slow", executor=executor)

    report, _ = report_of(pipe.task(f.increment, name="quick, too", executor=executor))

    (slow,) = (stage for stage in report.stages if stage.name == "slow")
    (last,) = (stage for stage in report.stages if stage.name == "quick, too")
    assert report.bottleneck == "slow"
    assert "slow" in report.verdict()
    assert 0.6 <= slow.busy <= report.elapsed + 0.1
    assert last.starved > last.busy


def test_a_stage_that_waits_for_room_is_counted_as_blocked():
    pipe = Pipeline(itertools.count()).task(f.increment, name="quick", queue_size=2)
    pipe = pipe.task(lambda x: time.sleep(0.01) or x, name="slow", queue_size=2).limit(50)

    report, _ = report_of(pipe)

    (quick,) = (stage for stage in report.stages if stage.name == "quick")
    assert quick.blocked > quick.busy


def test_the_busy_time_of_many_workers_is_their_sum():
    report, _ = report_of(Pipeline(range(20)).task(lambda x: time.sleep(0.02), name="slow", workers=4))

    (slow,) = (stage for stage in report.stages if stage.name == "slow")
    assert slow.workers == 4
    assert slow.busy >= 0.4


def test_the_report_can_be_read_while_the_run_goes_on():
    with Pipeline(itertools.count()).task(f.increment, name="work").run() as run:
        for x in run:
            if x == 1000:
                break
        meanwhile = run.report

    assert counts(meanwhile)["work"][1] >= 1000
    assert not meanwhile.finished
    assert run.report.finished
    assert counts(run.report)["work"][1] >= counts(meanwhile)["work"][1]


def test_the_report_can_be_read_while_the_last_results_wait():
    results = []

    with Pipeline(range(60)).task(increment_slowly, workers=2).run() as run:
        for number in run:
            if not results:
                time.sleep(1)  # meanwhile all that is left comes, in several frames, and the run has ended
            results.append(number)
            assert run.report.stages[1].items_out >= len(results)

    assert results == list(range(1, 61))
    assert run.report.finished


def test_the_report_of_an_empty_run_has_its_stages():
    report, _ = report_of(Pipeline([], name="nothing").task(f.increment, name="work"))

    assert counts(report)["nothing"][1] == 0
    assert counts(report)["work"] == (0, 0, 0, 0)
    assert report.verdict()


def test_the_report_names_the_first_failed_items_that_are_kept():
    def fails(number):
        if number % 5 == 0:
            raise ValueError("no fives")
        return number

    report, _ = report_of(Pipeline(range(60)).task(fails, workers=2, on_error="collect"))

    lines = str(report).splitlines()
    at = lines.index("Failed, and kept in run.failures:")
    assert lines[at + 2] == "  stage 1/1 'fails': ValueError: no fives — item 5: 5"
    assert lines[at + 10 : at + 12] == ["  stage 1/1 'fails': ValueError: no fives — item 45: 45", "  and 2 more"]
    assert report.to_dict()["failed"][0] == "stage 1/1 'fails': ValueError: no fives — item 0: 0"


def test_the_report_is_text_and_plain_data():
    report, _ = report_of(Pipeline(range(5), name="numbers").task(f.increment, name="work"))

    assert "numbers" in str(report)
    assert "work" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["finished"] is True
    assert 0 < report.elapsed < 30


def test_a_progress_function_is_called_with_the_report_and_last_with_the_finished_one():
    seen = []

    Pipeline(range(200)).task(lambda x: time.sleep(0.002), name="work").wait_for_completion(progress=seen.append)

    assert counts(seen[-1])["work"] == (200, 200, 0, 0)
    assert seen[-1].finished
    assert [counts(report)["work"][0] for report in seen] == sorted(counts(report)["work"][0] for report in seen)


def test_a_progress_function_that_takes_its_time_holds_up_no_results():
    calls = []

    def post(report):
        time.sleep(0.4)  # longer than from one report to the next
        calls.append(report.finished)

    begun = time.monotonic()
    results = Pipeline(range(400)).task(increment_slowly).wait_for_result(progress=post)
    took = time.monotonic() - begun

    assert results == list(range(1, 401))
    assert calls[-1]
    assert len(calls) <= took / 0.6 + 2  # some time between them is left for the results


def test_what_a_progress_function_raises_reaches_the_consumer():
    def broken(report):
        raise LookupError("the bar is broken")

    with pytest.raises(LookupError, match="the bar is broken"):
        Pipeline(range(3)).task(str).wait_for_result(progress=broken)


def test_no_progress_is_drawn_where_nobody_looks(script):
    process = script.start(
        """
        from olympipe_like import Pipeline
        Pipeline(range(200)).task(str).wait_for_completion()
        """
    )

    done = script.finish(process)

    assert (done.stdout, done.stderr) == ("", "")


def test_progress_is_drawn_on_standard_error_when_asked_for(script):
    process = script.start(
        """
        from olympipe_like import Pipeline
        print(len(Pipeline(range(200)).task(str, name="shrink").wait_for_result(progress=True)))
        """
    )

    done = script.finish(process)

    assert done.stdout == "200\n"
    assert "shrink" in done.stderr
