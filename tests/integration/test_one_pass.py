"""Where stages share a process, an item goes through all their functions before the next one begins."""

from __future__ import annotations

import math
import os
import signal
import threading
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olympipe_like import SKIP, Pipeline, StageFailed
from tests.integration.test_random_plans import relaxed

ITEMS = 300  # after some single ones frames hold several


class Picture:
    def __init__(self, number):
        self.number = number


KINDS = {
    "add": lambda pipe, n: pipe.task(lambda x: x + n),
    "drop": lambda pipe, n: pipe.task(lambda x: SKIP if x % (n + 2) == 0 else x),
    "keep": lambda pipe, n: pipe.filter(lambda x: x % (n + 2)),
    "see": lambda pipe, n: pipe.tap(lambda x: [SKIP, None, x][n % 3]),
    "retried": lambda pipe, n: pipe.task(lambda x: x - n, retries=1),
    "skipping": lambda pipe, n: pipe.task(lambda x: 12 // (x % 4) + n, on_error="skip"),
    "fail": lambda pipe, n: pipe.task(lambda x: x + 1 // (x % 199 - 30 * n), name=f"fail{n}"),
}


def outcome(pipe, **options):
    """Return what a run gives: results, what it says of its failure, and each stage's counts."""
    results, said = [], ""
    with pipe.run(executor="thread", **options) as run:
        try:
            results.extend(run)
        except StageFailed as error:
            said = str(error).split("  [worker", 1)[0]
    counts = [(stage.items_in, stage.items_out, stage.filtered, stage.failed) for stage in run.report.stages]
    return results, said, counts


@settings(relaxed)
@given(
    kinds=st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 5)), min_size=2, max_size=6),
    first=st.integers(0, 20),
)
def test_results_failures_and_counts_are_those_of_one_stage_after_the_other(kinds, first):
    pipe = Pipeline(range(first, first + ITEMS))
    for kind, number in kinds:
        pipe = KINDS[kind](pipe, number)

    apart, fused = outcome(pipe), outcome(pipe, fuse=True)

    assert fused[:2] == apart[:2]
    if not fused[1]:  # else a stage may have been given items behind the one that failed
        assert fused[2] == apart[2]


def test_an_item_goes_through_all_functions_before_the_next_one_begins():
    calls = []
    pipe = (
        Pipeline(range(ITEMS))
        .task(lambda x: calls.append(("first", x)) or x)
        .filter(lambda x: calls.append(("second", x)) or True)
        .tap(lambda x: calls.append(("third", x)))
    )

    assert pipe.wait_for_result(executor="thread", fuse=True) == list(range(ITEMS))

    assert calls == [(name, x) for x in range(ITEMS) for name in ("first", "second", "third")]


def test_of_large_items_only_the_one_at_hand_is_held_between_the_stages():
    alive, most = weakref.WeakSet(), []

    def load(number):
        picture = Picture(number)
        alive.add(picture)
        most.append(len(alive))
        return picture

    pipe = Pipeline(range(ITEMS)).task(load).filter(lambda picture: picture.number % 7).task(lambda p: p.number)

    assert pipe.wait_for_result(executor="thread", fuse=True) == [x for x in range(ITEMS) if x % 7]
    assert max(most) <= 2  # this one, and the one before while its name is still taken


def test_a_failure_names_the_stage_and_what_it_was_given():
    pipe = (
        Pipeline(range(ITEMS))
        .task(lambda x: x * 10)
        .filter(lambda x: x % 20 == 0)
        .task(lambda x: 1 // (x - 800), name="divide")
        .task(str)
    )
    results = []

    with pytest.raises(ZeroDivisionError) as caught:
        results.extend(pipe.run(fuse=True))

    assert results == [str(1 // (x - 800)) for x in range(0, 800, 20)]
    text = str(caught.value)
    assert "stage 3/4 'divide'" in text
    assert "item 80: 800 " in text
    assert "_worker/one_pass.py" not in text


def test_an_exception_raised_again_and_again_is_laid_at_the_right_door():
    error = ValueError("kept")

    def collects(x):
        if x < 50:
            return x
        try:
            raise error
        except ValueError:
            return x

    def fails(x):
        if x == 60:
            raise error
        return x

    with pytest.raises(ValueError, match="stage 2/3 'fails'") as caught:
        Pipeline(range(ITEMS)).task(collects).task(fails).task(abs).wait_for_result(executor="thread", fuse=True)

    assert "item 60" in str(caught.value)


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("items", [1, 3])
def test_ctrl_c_within_a_function_of_c_ends_an_inline_run_as_ctrl_c(fuse, items):
    begun = threading.Event()

    def begin(x):
        begun.set()
        return x

    def interrupt():
        begun.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    pipe = Pipeline([300_000] * items).tap(begin).task(math.factorial).task(type)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            pipe.wait_for_result(executor="inline", fuse=fuse)
    finally:
        begun.set()
        thread.join()
