"""`workers="auto"` with real processes: they come, go and die, and the user sees it."""

from __future__ import annotations

import itertools
import os
import signal
import time

import pytest

from olympipe_like import Pipeline
from olympipe_like.errors import PlanError, PlanTypeError


def wait_at_first(number):
    time.sleep(0.004 if number < 700 else 0.0001)
    return number


def wait_at_second(number):
    time.sleep(0.0001 if number < 700 else 0.004)
    return number


class Noted:
    """Leaves a file when it is built, and another when it is closed."""

    def __init__(self, folder):
        self.place = folder / str(os.getpid())
        self.place.with_suffix(".built").touch()

    def work(self, number):
        return wait_at_first(number)

    def close(self):
        self.place.with_suffix(".closed").touch()


def end_once(number, mark):
    time.sleep(0.005)
    if number == 150:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return number
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_workers_go_where_the_time_goes_and_the_report_says_so():
    def moved(name):
        return any(move.to == name for move in run.report.moves)

    def numbers():
        # On a busy machine it takes longer to see where the time goes.
        yield from itertools.takewhile(lambda n: n % 50 or not moved("wait_at_first"), range(700))
        yield from itertools.takewhile(lambda n: n % 50 or not moved("wait_at_second"), range(700, 4000))

    pipe = Pipeline(numbers()).task(wait_at_first, workers="auto")
    pipe = pipe.task(wait_at_second, workers="auto", queue_size=20)  # the first stage does not end long before it

    run = pipe.run(auto_workers=3)
    with run:
        results = list(run)

    assert results == sorted(results)
    moves = [(move.to, move.giver) for move in run.report.moves]
    assert moves[:2] == [("wait_at_first", None), ("wait_at_second", "wait_at_first")]
    assert "Workers went where the time goes" in str(run.report)
    assert "1 more for 'wait_at_second'" in str(run.report)
    assert run.report.balanced
    assert all(0 < stage.workers <= 3 for stage in run.report.stages[1:3])


def test_a_short_run_has_one_worker_each_and_no_word_of_moves():
    pipe = Pipeline(range(20)).task(str, "auto").filter(str.isdigit, "auto")

    with pipe.run(auto_workers=8) as run:
        assert list(run) == [str(number) for number in range(20)]

    assert run.report.moves == ()
    assert [stage.workers for stage in run.report.stages[1:3]] == [1, 1]
    assert "1 auto" in str(run.report)
    assert "Workers went" not in str(run.report)


def test_instances_of_workers_that_leave_are_closed(tmp_path):
    pipe = Pipeline(range(600)).class_task(Noted, "work", [tmp_path], "close", workers="auto")

    pipe.task(wait_at_second, workers="auto").wait_for_completion(auto_workers=3)

    built, closed = (sorted(each.stem for each in tmp_path.glob(f"*.{what}")) for what in ("built", "closed"))
    assert len(built) == 2
    assert closed == built


def test_a_worker_that_dies_costs_nothing(tmp_path):
    pipe = Pipeline(range(300)).task(lambda number: end_once(number, tmp_path / "died"), workers="auto")

    with pipe.run(auto_workers=3) as run:
        assert list(run) == list(range(300))

    assert run.report.stages[1].lost_workers == 1


SHORT_OF_DESCRIPTORS = """
    import resource, time
    from olympipe_like import Pipeline

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    pipe = Pipeline(range(400)).task(lambda number: time.sleep(0.02) or number, workers="auto")
    with pipe.run(auto_workers=60) as run:
        assert list(run) == list(range(400))
    print(1 < run.report.stages[1].workers < 60)
"""


def test_too_few_descriptors_for_more_workers_are_a_warning(script):
    done = script.finish(script.start(SHORT_OF_DESCRIPTORS))

    assert done.stdout == "True\n", done.stderr
    assert "no room for another worker of those that stages share: [Errno 24]" in done.stderr


def test_progress_is_told_the_present_number():
    seen = {0}
    until_seen = itertools.takewhile(lambda _: max(seen) < 4, range(4000))
    pipe = Pipeline(until_seen).task(lambda number: time.sleep(0.01) or number, workers="auto")

    pipe.wait_for_completion(auto_workers=4, progress=lambda report: seen.add(report.stages[1].workers))

    assert max(seen) == 4


def test_a_plan_says_auto_and_can_be_debugged_inline():
    pipe = Pipeline(range(5)).task(str, workers="auto")

    assert "auto: 1 process or more, ordered" in pipe.explain()
    assert "xauto" in repr(pipe)
    assert pipe.wait_for_result(executor="inline") == list("01234")


def test_fused_stages_share_their_workers_if_all_are_auto():
    pipe = Pipeline(range(50)).task(lambda n: n + 1, workers="auto").task(lambda n: n * 2, workers="auto").fuse()

    assert "auto: 1 process or more" in pipe.explain()
    assert len(pipe.explain().splitlines()) == 4
    assert pipe.wait_for_result() == [2 * (n + 1) for n in range(50)]


def test_steps_share_workers_too():
    steps = [("one", "auto", sorted), ("two", lambda batch: [n + 1 for n in batch])]

    assert Pipeline.from_steps(range(6), steps, 2, "auto", use_processes=True).wait_for_result() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        pytest.param(
            lambda pipe: pipe.task(str, "auto", executor="thread"),
            PlanError,
            'workers="auto" shares out processes; how many threads help',
            id="threads",
        ),
        pytest.param(
            lambda pipe: pipe.task(str, "auto", executor="async"),
            PlanError,
            'workers="auto" shares out processes; coroutines take none',
            id="async",
        ),
        pytest.param(
            lambda pipe: pipe.task(str, "many"), PlanTypeError, 'workers must be a whole number or "auto"', id="word"
        ),
        pytest.param(
            lambda pipe: pipe.class_task(dict, "get", workers="auto", worker_args=[{}]),
            PlanError,
            "worker_args needs a fixed number of workers",
            id="arguments for each",
        ),
        pytest.param(
            lambda pipe: pipe.task(str, "auto").wait_for_result(executor="thread"),
            PlanError,
            "so the run cannot be given executor='thread'",
            id="a run in threads",
        ),
        pytest.param(
            lambda pipe: pipe.task(str, "auto").task(str, "auto").wait_for_result(auto_workers=1),
            PlanError,
            'auto_workers must be >= 2, one for each stage with workers="auto", got 1',
            id="fewer than stages",
        ),
        pytest.param(
            lambda pipe: pipe.task(str).wait_for_result(auto_workers="2"),
            PlanTypeError,
            "auto_workers must be a whole number",
            id="not a number to share",
        ),
    ],
)
def test_what_cannot_be_shared_out_is_refused(make, error, text):
    with pytest.raises(error, match=text.replace("(", r"\(")):
        make(Pipeline(range(3)))
