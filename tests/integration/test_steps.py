"""from_steps, union and fan_out: lists of steps over batches, one after the other or side by side."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from olympipe_like import SKIP, Pipeline, PlanError, StageFailed
from tests import functions as f


class Times:
    """A step as in Neuraxle and scikit-learn."""

    def __init__(self, factor=2):
        self.factor = factor

    def transform(self, batch):
        return [value * self.factor for value in batch]


def double(batch):
    return [value * 2 for value in batch]


def times(batch, factor=1):
    return [value * factor for value in batch]


def home(batch):
    return [(os.getpid(), threading.get_ident())] * len(batch)


FORMS = {
    "step": (Times(), "Times", 1, "default queue"),
    "function": (double, "double", 1, "default queue"),
    "(workers, step)": ((3, Times()), "Times", 3, "default queue"),
    "(name, step)": (("twice", Times()), "twice", 1, "default queue"),
    "(name, workers, step)": (("twice", 3, Times()), "twice", 3, "default queue"),
    "(name, workers, queue_size, step)": (("twice", 3, 5, Times()), "twice", 3, "queue of 5"),
    "(name, workers, worker_args, step)": (
        ("twice", 2, [{"factor": 2}, {"factor": 2}], Times(9)),
        "twice",
        2,
        "default",
    ),
    "pairs for arguments": (("twice", 2, [("factor", 2), ("factor", 2)], Times(9)), "twice", 2, "default"),
    "lists of pairs": (("twice", 1, [[("factor", 2)]], times), "twice", 1, "default"),
    "(name, workers, worker_args, queue_size, step)": (
        ("twice", 1, [("factor", 2)], 4, times),
        "twice",
        1,
        "queue of 4",
    ),
    "no arguments": (("twice", 2, None, double), "twice", 2, "default queue"),
}


@pytest.mark.parametrize("use_processes", [False, True], ids=["threads", "processes"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_step_works(form, use_processes):
    step, name, workers, queue = FORMS[form]
    pipe = Pipeline.from_steps(range(10), [step], batch_size=3, use_processes=use_processes)

    unit = "process" if use_processes else "thread"
    line = next(line for line in pipe.explain().splitlines() if name in line)
    assert f"{workers} {unit}" in line
    assert queue in line
    assert pipe.wait_for_result() == [value * 2 for value in range(10)]


@pytest.mark.parametrize(
    "step",
    [
        (),
        ("a",),
        (2.5, Times()),
        ("a", "b", Times()),
        (1, 2, Times()),
        ("a", 1, 2, 3, Times()),
        ("a", 1, [3], Times()),
        5,
    ],
    ids=lambda step: f"{type(step).__name__}-of-{len(step)}" if isinstance(step, tuple) else repr(step),
)
def test_a_step_in_no_known_form_is_refused_with_its_number(step):
    with pytest.raises(PlanError, match=r"from_steps \(test_steps\.py:\d+\): step 2: "):
        Pipeline.from_steps([1], [double, step], batch_size=1)


def test_steps_that_are_no_list_or_none_are_refused():
    for steps in ([], "steps", double):
        with pytest.raises(PlanError, match="steps must"):
            Pipeline.from_steps([1], steps, batch_size=1)


def test_each_worker_gets_arguments_of_its_own_and_the_step_itself_is_left_alone(tmp_path):
    class Meet:
        """Works only when both workers are at it at once."""

        def transform(self, batch):
            return [(self.host, f.meet(tmp_path, self.host, ["host1", "host2"])) for _ in batch]

    step = Meet()
    steps = [("meet", 2, [("host", "host1"), ("host", "host2")], 10, step)]

    results = Pipeline.from_steps(range(2), steps, batch_size=1).wait_for_result()

    assert sorted(results) == [("host1", True), ("host2", True)]
    assert not hasattr(step, "host")


def test_fewer_arguments_than_workers_are_refused():
    with pytest.raises(PlanError, match="worker_args must have a mapping for each of 3 workers, got 1"):
        Pipeline.from_steps([1], [("a", 3, [{"factor": 1}], Times())], batch_size=1)


@pytest.mark.parametrize("use_processes", [False, True], ids=["threads", "processes"])
def test_steps_run_where_they_are_asked_to(use_processes):
    homes = Pipeline.from_steps(range(3), [home], batch_size=2, use_processes=use_processes).wait_for_result()

    assert (homes[0][0] == os.getpid()) is not use_processes
    assert homes[0] != (os.getpid(), threading.get_ident())


LAST = {
    "kept": ({}, [3, 3, 3, 1]),
    "dropped": ({"keep_incomplete_batch": False}, [3, 3, 3]),
    "padded": ({"pad": 0}, [3, 3, 3, 3]),
    "padded by a function": ({"pad": range}, [3, 3, 3, 3]),
}


@pytest.mark.parametrize("last", LAST)
def test_the_last_batch_is_kept_dropped_or_padded(last):
    options, sizes = LAST[last]

    found = Pipeline.from_steps(range(10), [len, lambda size: [size]], batch_size=3, **options).wait_for_result()

    assert found == sizes


def test_a_joiner_makes_one_item_of_all_batches_in_order():
    data = np.arange(20.0).reshape(10, 2)
    steps = [("a", 2, lambda batch: batch + 1), ("b", 3, lambda batch: batch * 2)]

    pipe = Pipeline.from_steps(data, steps, batch_size=4, collate="stack", joiner=np.concatenate)

    (joined,) = pipe.wait_for_result()
    np.testing.assert_array_equal(joined, (data + 1) * 2)
    assert Pipeline.from_steps([], steps, batch_size=4, joiner=np.concatenate).wait_for_result() == []


def test_defaults_are_for_steps_that_do_not_say_it_themselves():
    pipe = Pipeline.from_steps([1], [double, ("own", 1, 2, double)], 1, 4, 7)

    default, own = (line for line in pipe.explain().splitlines() if line.startswith(("  double", "  own")))
    assert "4 threads" in default
    assert "queue of 7" in default
    assert "1 thread," in own
    assert "queue of 2" in own


def test_a_step_that_raises_is_named_with_its_batch():
    def fail(batch):
        if 4 in batch:
            raise ValueError("four")
        return batch

    with pytest.raises(ValueError, match=r"stage 3/4 'fails': ValueError: four — item 5: \[3, 4, 5\]") as caught:
        Pipeline.from_steps(range(9), [double and list, ("fails", 2, fail)], batch_size=3).wait_for_result()
    assert isinstance(caught.value, StageFailed)


# -- side by side --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_processes", [False, True], ids=["threads", "processes"])
def test_a_union_joins_what_its_steps_make_of_a_batch_in_their_order(use_processes):
    steps = [("one", 2, double), ("two", Times(3)), (2, lambda batch: map(str, batch))]
    where = {"use_processes": use_processes}

    side_by_side = Pipeline.union(range(5), steps, batch_size=2, **where).wait_for_result()
    joined = Pipeline.union(
        np.arange(5), steps[:2], batch_size=2, join=lambda *outputs: np.stack(outputs, axis=1), **where
    ).wait_for_result()
    (whole,) = Pipeline.union(
        np.arange(5), steps[:2], batch_size=2, join=np.append, joiner=np.concatenate, **where
    ).wait_for_result()

    assert side_by_side == [(2 * x, 3 * x, str(x)) for x in range(5)]
    assert [list(row) for row in joined] == [[2 * x, 3 * x] for x in range(5)]
    assert whole.tolist() == [0, 2, 0, 3, 4, 6, 6, 9, 8, 12]


def test_the_steps_of_a_union_run_at_the_same_time(tmp_path):
    steps = [
        ("left", lambda batch: [f.meet(tmp_path, "left", ["right"]) for _ in batch]),
        ("right", lambda batch: [f.meet(tmp_path, "right", ["left"]) for _ in batch]),
    ]

    assert Pipeline.union([1], steps, batch_size=1).wait_for_result() == [(True, True)]


def test_outputs_of_different_length_are_an_error_that_names_the_batch():
    steps = [double, ("first", lambda batch: batch[:1])]
    with pytest.raises(ValueError, match=r"'join': ValueError: the steps .* each: 'double' 2, 'first' 1; .* join="):
        Pipeline.union(range(4), steps, batch_size=2).wait_for_result()


def test_an_output_of_a_union_that_is_no_batch_is_an_error_that_names_the_step():
    with pytest.raises(TypeError, match="step 'total' must return the items of a batch, got 1"):
        Pipeline.union(range(4), [double, ("total", sum)], batch_size=2).wait_for_result()


def test_wrong_options_for_all_steps_are_refused():
    with pytest.raises(PlanError, match=r"union \(test_steps\.py:\d+\): n_workers_per_step must be >= 1, got 0"):
        Pipeline.union([1], [double], batch_size=1, n_workers_per_step=0)
    with pytest.raises(PlanError, match=r"from_steps \(test_steps\.py:\d+\): use_processes must be True or False"):
        Pipeline.from_steps([1], [double], batch_size=1, use_processes="no")


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
def test_fan_out_gives_what_each_function_makes_of_an_item_in_their_order(executor):
    workers = 1 if executor == "inline" else 2
    pipe = Pipeline(range(50)).fan_out(f.hurry_later, str, f.Doubler(), workers=workers, executor=executor)

    assert pipe.wait_for_result() == [(x, str(x), 2 * x) for x in range(50)]


def test_fan_out_joins_by_a_function():
    pipe = Pipeline(["a", "bb"]).fan_out(len, str.upper, join=lambda size, text: f"{text}:{size}")

    assert pipe.wait_for_result() == ["A:1", "BB:2"]


def test_an_item_that_one_function_drops_costs_no_other_item_its_partner():
    def drop_twos(item):
        return SKIP if item % 3 == 2 else item

    def fail_threes(item):
        return 1 // (item - 3) and item

    pipe = Pipeline(range(8)).fan_out(drop_twos, fail_threes, on_error="skip")

    assert pipe.wait_for_result() == [(x, x and fail_threes(x)) for x in (0, 1, 4, 6, 7)]


def test_fan_out_needs_a_function():
    with pytest.raises(PlanError, match=r"'fan_out' \(test_steps\.py:\d+\): give at least one function"):
        Pipeline([1]).fan_out()


def test_align_fills_up_what_a_leg_does_not_have():
    numbers = Pipeline(range(6))
    even, thirds = numbers.filter(lambda x: x % 2 == 0), numbers.filter(lambda x: x % 3 == 0).task(str, workers=2)

    both, either = Pipeline.wait_for_all_results([even.align(thirds), even.align(thirds, missing=None)])

    assert both == [(0, "0")]
    assert either == [(0, "0"), (2, None), (None, "3"), (4, None)]


def test_align_of_exploded_items_pairs_the_parts():
    words = Pipeline(["ab", "c"])
    letters = words.explode(list)

    pairs = letters.align(letters.task(str.upper, workers=2)).wait_for_result()

    assert pairs == [("a", "A"), ("b", "B"), ("c", "C")]


def test_align_of_a_leg_without_its_order_is_refused():
    loose = Pipeline(range(3)).task(abs, ordered=False).batch(2)

    with pytest.raises(PlanError, match="source order"):
        loose.align(Pipeline(range(3)))
