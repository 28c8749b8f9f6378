"""`class_task`: one instance in each worker, built there, kept between items, closed at the end."""

from __future__ import annotations

import itertools
import os

import pytest

from olympipe_like import Pipeline
from olympipe_like.errors import StageFailed
from tests.functions import CannotBeBuilt, Scaler

executors = pytest.mark.parametrize("executor", ["process", "thread", "inline"])


@executors
@pytest.mark.parametrize(
    "method", ["scale", Scaler.scale, lambda scaler, x: scaler.scale(x)], ids=["name", "function", "lambda"]
)
def test_the_method_is_a_name_or_a_function_of_instance_and_item(method, executor):
    pipe = Pipeline(range(4)).class_task(Scaler, method, class_kwargs={"factor": 3})

    assert pipe.wait_for_result(executor=executor) == [0, 3, 6, 9]


@executors
def test_the_instance_gets_positional_and_keyword_arguments(executor):
    pipe = Pipeline(range(3)).class_task(Scaler, "scale", [10], class_kwargs={"offset": 1})

    assert pipe.wait_for_result(executor=executor) == [1, 11, 21]


def test_the_arguments_stand_in_olympipes_order():
    pipe = Pipeline(range(3)).class_task(Scaler, Scaler.scale, (10,), Scaler.close, {"offset": 1}, 2)

    assert pipe.wait_for_result() == [1, 11, 21]


@executors
def test_an_instance_keeps_its_state_between_items(executor):
    assert Pipeline("abc").class_task(Scaler, "count").wait_for_result(executor=executor) == [1, 2, 3]


def test_the_instance_is_built_in_the_worker_and_not_in_the_caller():
    homes = set(Pipeline(range(3)).class_task(Scaler, "home").wait_for_result())

    assert len(homes) == 1
    assert os.getpid() not in homes


@pytest.mark.parametrize("executor", ["process", "thread"])
@pytest.mark.parametrize("workers", [1, 3])
def test_each_worker_builds_one_instance_and_closes_it_once(workers, executor, tally):
    pipe = Pipeline(range(30)).class_task(
        Scaler,
        "scale_slowly" if workers > 1 else "scale",
        class_kwargs={"tally": tally},
        close_method="close",
        workers=workers,
        executor=executor,
    )

    assert pipe.wait_for_result() == list(range(30))

    assert tally.count("built") == workers
    assert tally.count("closed") == workers
    assert tally.count("used") == 30


@executors
def test_each_run_builds_its_own_instance(executor, tally):
    pipe = Pipeline("abc").class_task(Scaler, "count", class_kwargs={"tally": tally}, close_method=Scaler.close)

    results = [pipe.wait_for_result(executor=executor) for _ in range(2)]

    assert results == [[1, 2, 3], [1, 2, 3]]
    assert (tally.count("built"), tally.count("closed")) == (2, 2)


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_each_worker_may_get_arguments_of_its_own(executor):
    pipe = Pipeline([1] * 20).class_task(
        Scaler,
        "scale_slowly",
        class_kwargs={"offset": 0.5},
        workers=2,
        worker_args=[{"factor": 10}, {"factor": 20}],
        executor=executor,
    )

    assert set(pipe.wait_for_result()) == {10.5, 20.5}


def test_order_holds_with_many_instances():
    pipe = Pipeline(range(20)).class_task(Scaler, "scale_slowly", [2], workers=4)

    assert pipe.wait_for_result() == [2 * x for x in range(20)]


@executors
def test_instances_are_closed_when_the_consumer_leaves_early(executor, tally, eventually):
    pipe = Pipeline(itertools.count()).class_task(Scaler, "scale", class_kwargs={"tally": tally}, close_method="close")

    with pipe.run(executor=executor) as run:
        for x in run:
            if x == 3:
                break

    eventually(lambda: tally.count("closed"))
    assert tally.count("closed") == 1


@executors
def test_instances_are_closed_when_an_item_fails(executor, tally, eventually):
    pipe = Pipeline(range(9)).class_task(Scaler, "fail", class_kwargs={"tally": tally}, close_method="close")

    with pytest.raises(ValueError, match="user-boom") as caught:
        pipe.wait_for_result(executor=executor)

    assert "item 3: 3" in str(caught.value)
    assert "Scaler" in str(caught.value).splitlines()[0]
    eventually(lambda: tally.count("closed"))
    assert tally.count("closed") == 1


@executors
def test_an_instance_that_cannot_be_built_ends_the_run(executor):
    with pytest.raises(OSError, match="no such device") as caught:
        Pipeline(range(3)).class_task(CannotBeBuilt, "use").wait_for_result(executor=executor)

    assert isinstance(caught.value, StageFailed)
    assert "CannotBeBuilt" in str(caught.value).splitlines()[0]


def test_an_instance_is_told_apart_by_the_name_the_user_gave():
    with pytest.raises(ValueError, match="user-boom") as caught:
        Pipeline(range(9)).class_task(Scaler, "fail", name="model").wait_for_result()

    assert "'model'" in str(caught.value).splitlines()[0]


@executors
def test_a_close_that_fails_is_not_silent(executor):
    def close(scaler):
        raise OSError("the last block was not written")

    pipe = Pipeline(range(3)).class_task(Scaler, "scale", close_method=close)
    got = []

    with pytest.raises(OSError, match="the last block was not written") as caught, pipe.run(executor=executor) as run:
        got.extend(run)

    assert isinstance(caught.value, StageFailed)
    assert "stage 1/1 'Scaler': could not close" in str(caught.value)
    assert "Scaler" in str(pipe)  # what was run is still a plan


@executors
def test_a_close_that_fails_does_not_hide_the_item_that_failed(executor):
    def close(scaler):
        raise OSError("the last block was not written")

    pipe = Pipeline(range(9)).class_task(Scaler, "fail", close_method=close)

    with pytest.raises(StageFailed, match="stage 1/1 'Scaler': ") as caught:
        pipe.wait_for_result(executor=executor)

    assert "could not close" not in str(caught.value)


@executors
def test_who_leaves_early_is_not_told_of_a_close_that_fails(executor):
    def close(scaler):
        raise OSError("the last block was not written")

    pipe = Pipeline(itertools.count()).class_task(Scaler, "scale", close_method=close)

    with pipe.run(executor=executor) as run:
        assert next(iter(run)) is not None


def test_a_class_defined_on_the_spot_works():
    class Counter:
        def __init__(self, start):
            self.value = start

        def step(self, item):
            self.value += item
            return self.value

    assert Pipeline([1, 2, 3]).class_task(Counter, "step", [10]).wait_for_result() == [11, 13, 16]


def test_an_async_method_is_awaited():
    class Client:
        async def fetch(self, item):
            return item * 2

    assert Pipeline(range(3)).class_task(Client, "fetch").wait_for_result() == [0, 2, 4]
