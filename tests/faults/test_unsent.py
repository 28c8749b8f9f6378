"""Results that cannot be sent on, and what a policy makes of them: it is asked wherever the result is met."""

from __future__ import annotations

import threading

import pytest

from olympipe_like import SKIP, Pipeline, StageFailed
from tests.faults.cases import first_line, outcome, stage_one_ok
from tests.faults.test_policies import finished, stage_of

pytestmark = [pytest.mark.timeout(40), pytest.mark.fault("T10")]

N = 60
BAD = {20, 21, 41}
GOOD = [number for number in range(N) if number not in BAD]


def bad(number):
    """Return something that cannot be pickled for some numbers."""
    return threading.Lock() if number in BAD else number


def bad_parts(number):
    yield number
    yield bad(number)


def bad_pair(number):
    return bad(number), number


def instead(item, error):
    assert isinstance(error, TypeError)
    return -item


def pairwise_instead(item, error):
    return -item, item


def parts_instead(item, error):
    return [instead(item, error)] * 2


SPECIAL = [-number if number in BAD else number for number in range(N)]
# Where the result is met, and what the run gives if a handler replaces it; without it for those that are skipped.
SHAPES = {
    "task": (lambda pipe, **options: pipe.task(bad, **options), instead, SPECIAL),
    "workers": (lambda pipe, **options: pipe.task(bad, workers=2, **options), instead, SPECIAL),
    "thread": (lambda pipe, **options: pipe.task(bad, executor="thread", **options), instead, SPECIAL),
    "filter behind": (lambda pipe, **options: pipe.task(bad, **options).filter(), instead, SPECIAL),
    "one leg": (lambda pipe, **options: pipe.split(bad_pair, n=2, **options)[0], pairwise_instead, SPECIAL),
    "batch behind": (
        lambda pipe, **options: pipe.task(bad, **options).batch(7).task(tuple, workers=2).unbatch(),
        instead,
        SPECIAL,
    ),
    "batch behind, in a thread": (
        lambda pipe, **options: pipe.task(bad, executor="thread", **options).batch(7).task(tuple, workers=2).unbatch(),
        instead,
        SPECIAL,
    ),
    "batch before": (
        lambda pipe, **options: pipe.task(stage_one_ok, workers=2).batch(1).task(lambda one: bad(one[0]), **options),
        lambda item, error: -item[0],
        SPECIAL,
    ),
}


def coroutine(pipe, **options):
    async def later(number):
        return bad(number)

    return pipe.task(later, workers=3, **options)


SHAPES["coroutine"] = (coroutine, instead, SPECIAL)
shapes = pytest.mark.parametrize("shape", SHAPES)


def run_of(shape, **options):
    # A process on the way, so that even a thread's results must travel.
    return SHAPES[shape][0](Pipeline(range(N)).task(stage_one_ok), name="bad", **options)


@shapes
@pytest.mark.parametrize("policy", ["skip", "collect"])
def test_a_result_that_cannot_be_sent_is_dropped_and_its_neighbours_are_not(policy, shape):
    results, run = finished(run_of(shape, on_error=policy))

    assert results == GOOD
    assert stage_of(run, "bad").failed == len(BAD)
    assert run.report.balanced
    if policy == "collect":
        expected = [[number] if shape == "batch before" else number for number in sorted(BAD)]
        assert [failed.item for failed in run.failures] == expected
        assert [failed.position for failed in run.failures] == [(number,) for number in sorted(BAD)]
        assert "cannot be sent to the next stage" in run.failures[0].text


@shapes
def test_a_handler_is_asked_about_the_item_whose_result_cannot_be_sent(shape):
    _, replace, expected = SHAPES[shape]

    results, run = finished(run_of(shape, on_error=replace))

    assert results == expected
    assert stage_of(run, "bad").failed == 0
    assert run.report.balanced


@shapes
@pytest.mark.parametrize("answer", [None, SKIP], ids=repr)
def test_a_handler_may_drop_an_item_whose_result_cannot_be_sent(answer, shape):
    results, run = finished(run_of(shape, on_error=lambda item, error: answer))

    assert results == GOOD
    assert stage_of(run, "bad").failed == len(BAD)
    assert run.report.balanced


@shapes
def test_a_replacement_that_cannot_be_sent_either_is_the_items_failure(shape):
    def lock(item, error):
        made = threading.Lock()
        return (made, 0) if shape == "one leg" else made

    arrived, error = outcome(run_of(shape, on_error=lock))

    assert arrived == list(range(20)) or (shape.startswith("batch behind") and arrived == list(range(14)))
    assert isinstance(error, StageFailed)
    assert "cannot be sent to the next stage: TypeError: cannot pickle" in first_line(error)
    assert error.position == "item 20"


@shapes
def test_a_handler_that_raises_is_the_items_failure(shape):
    def refuse(item, error):
        raise LookupError("no replacement")

    error = outcome(run_of(shape, on_error=refuse))[1]

    assert isinstance(error, LookupError)
    assert (error.stage, error.position) == ("bad", "item 20")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("skip", [20, 21, 22, 22]),
        (parts_instead, [20, -20, -20, 21, -21, -21, 22, 22]),
        (lambda item, error: None, [20, 21, 22, 22]),
    ],
    ids=["skip", "replace", "drop"],
)
@pytest.mark.parametrize("behind", ["nothing", "a batch"])
def test_a_part_that_cannot_be_sent_is_dropped_or_replaced_and_the_others_stay(behind, policy, expected):
    pipe = Pipeline(range(20, 23)).task(stage_one_ok).explode(bad_parts, on_error=policy)
    if behind == "a batch":
        pipe = pipe.batch(3).task(tuple, workers=2).unbatch()

    results, run = finished(pipe)

    assert results == expected
    assert run.report.balanced


@pytest.mark.parametrize("verdict", [True, False])
def test_a_filter_or_tap_of_an_item_that_cannot_be_sent_any_more_can_only_drop_it(verdict):
    def spoil(item):
        if item["number"] in BAD:
            item["lock"] = threading.Lock()
        return True

    items = [{"number": number} for number in range(N)]
    pipe = Pipeline(items).task(stage_one_ok)

    kept, run = finished(pipe.filter(spoil, on_error=lambda item, error: False, name="spoil"))
    assert [item["number"] for item in kept] == GOOD
    assert stage_of(run, "spoil").filtered == len(BAD)
    for operator in (pipe.filter, pipe.tap):
        arrived, error = outcome(operator(spoil, on_error=lambda item, error: verdict or None, name="spoil"))
        if operator == pipe.tap or verdict:
            assert "cannot be sent" in first_line(error)
            assert error.position == "item 20"
        else:
            assert error is None
        assert [item["number"] for item in arrived][:20] == GOOD[:20]


@pytest.mark.parametrize("policy", ["skip", instead])
def test_a_result_that_its_batch_makes_something_else_of_need_not_be_sendable(policy):
    pipe = Pipeline(range(N)).task(stage_one_ok).task(bad, on_error=policy).batch(3, collate=len)

    assert pipe.wait_for_result() == [3] * 20


def test_a_batch_that_cannot_be_sent_is_the_batchs_failure():
    def collate(numbers):
        return threading.Lock() if 20 in numbers else sum(numbers)

    pipe = Pipeline(range(30)).task(stage_one_ok)
    sums = [sum(range(start, start + 4)) for start in range(0, 28, 4)]

    for home in (pipe.task(stage_one_ok), pipe.task(stage_one_ok, workers=2)):
        results, run = finished(home.batch(4, collate=collate, on_error="skip"))
        assert results == [*sums[:5], sums[6], 28 + 29]
        assert stage_of(run, "batch").failed == 4
        assert run.report.balanced
        replaced = home.batch(4, collate=collate, on_error=lambda items, error: items).wait_for_result()
        assert replaced == [*sums[:5], [20, 21, 22, 23], sums[6], 28 + 29]
        error = outcome(home.batch(4, collate=collate))[1]
        assert (error.stage, error.position) == ("batch", "item 23")


def test_of_two_items_of_one_position_the_one_whose_result_it_was_is_asked_about():
    numbers = Pipeline(range(9)).task(stage_one_ok)
    both = numbers.task(lambda number: number + 100).gather(numbers)

    def lock_small(number):
        return threading.Lock() if number == 4 else number

    results = both.task(lock_small, on_error=lambda item, error: (item,)).wait_for_result()

    assert results == [value for number in range(9) for value in (number + 100, (number,) if number == 4 else number)]
