"""Bad arguments are refused where they are written: the text names argument, value, and the user's file and line."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from olympipe_like import Pipeline, Retry
from olympipe_like.errors import PipelineError, PlanError, PlanTypeError
from tests import functions as f

# Looked up by the calls below; the marker word in the ids is the operator.
PIPE = Pipeline(range(3))


def pair(x):
    return x, x


# What every stage that runs a function takes: how it is called, and the argument at fault.
STAGES = {
    "task": lambda **options: PIPE.task(str, **options),
    "class_task": lambda **options: PIPE.class_task(f.Scaler, "scale", **options),
    "filter": lambda **options: PIPE.filter(bool, **options),
    "explode": lambda **options: PIPE.explode(pair, **options),
}
OUT_OF_RANGE_FOR_STAGES = [
    ("workers", 0),
    ("workers", -3),
    ("count", 0),
    ("executor", "procces"),
    ("executor", ""),
    ("executor", 3),
    ("executor", [1]),
    ("queue_size", 0),
    ("queue_size", -1),
]
WRONG_TYPE_FOR_STAGES = [
    ("workers", 1.5),
    ("workers", "2"),
    ("workers", None),
    ("workers", [1]),
    ("count", "2"),
    ("queue_size", "4"),
    ("queue_size", 2.0),
    ("ordered", "yes"),
    ("ordered", 2),
    ("name", 5),
    ("name", b"decode"),
]

# (call, words for the argument, the value)
OUT_OF_RANGE = {
    "batch size 0": (lambda: PIPE.batch(0), "batch_size", 0),
    "batch size -2": (lambda: PIPE.batch(-2), "batch_size", -2),
    "batch collate": (lambda: PIPE.batch(2, collate="stak"), "collate", "stak"),
    "batch pads what it drops": (lambda: PIPE.batch(2, drop_last=True, pad=7), "pad", None),
    "batch pads what it does not keep": (lambda: PIPE.batch(2, False, pad=7), "pad", None),
    "batch keeps and drops": (lambda: PIPE.batch(2, False, drop_last=False), "drop_last", False),
    "limit": (lambda: PIPE.limit(-1), "packet_limit", -1),
    "skip": (lambda: PIPE.skip(-1), "n", -1),
    "shuffle of nothing": (lambda: PIPE.shuffle(0), "buffer", 0),
    "shuffle seed": (lambda: PIPE.shuffle(seed=-1), "seed", -1),
    "sample above 1": (lambda: PIPE.sample(1.5), "fraction", 1.5),
    "sample below 0": (lambda: PIPE.sample(-0.1), "fraction", -0.1),
    "shard of no world": (lambda: PIPE.shard(0, 0), "world", 0),
    "shard rank": (lambda: PIPE.shard(3, 3), "rank", 3),
    "shard evenness": (lambda: PIPE.shard(0, 3, even="cut"), "even", "cut"),
    "window size": (lambda: PIPE.window(0), "size", 0),
    "window step": (lambda: PIPE.window(2, step=0), "step", 0),
    "bucket size": (lambda: PIPE.bucket(len, [], 0), "batch_size", 0),
    "bucket cost": (lambda: PIPE.bucket(len, [], max_cost=0), "max_cost", 0),
    "bucket boundaries": (lambda: PIPE.bucket(len, [3, 2], 4), "boundaries", None),
    "bucket without an end": (lambda: PIPE.bucket(len), "batch_size", None),
    "repeat 0": (lambda: PIPE.repeat(0), "epochs", 0),
    "cycle -1": (lambda: PIPE.cycle(-1), "max_iter", -1),
    "debug every 0": (lambda: PIPE.debug("x", every=0), "every", 0),
    "debug every -1": (lambda: PIPE.debug(every=-1), "every", -1),
    "split into none": (lambda: PIPE.split(pair, n=0), "n", 0),
    "split into -1": (lambda: PIPE.split(pair, n=-1), "n", -1),
    "split without a number": (lambda: PIPE.split(lambda x: (x, x)), "n", None),
    "class_task without the method": (lambda: PIPE.class_task(f.Scaler, "scael"), "class_method", "scael"),
    "class_task without the close method": (
        lambda: PIPE.class_task(f.Scaler, "scale", close_method="clsoe"),
        "close_method",
        "clsoe",
    ),
    "class_task with fewer arguments than workers": (
        lambda: PIPE.class_task(f.Scaler, "scale", workers=3, worker_args=[{"factor": 1}]),
        "worker_args",
        1,
    ),
    "class_task with more arguments than workers": (
        lambda: PIPE.class_task(f.Scaler, "scale", workers=1, worker_args=[{}, {}]),
        "worker_args",
        2,
    ),
    "arguments for a list": (lambda: Pipeline([1, 2], 5), "arguments", [1, 2]),
    "keyword arguments for a list": (lambda: Pipeline([1, 2], factor=5), "arguments", [1, 2]),
    "queue_size of a run": (lambda: PIPE.wait_for_result(queue_size=0), "queue_size", 0),
    "stall_timeout of a run": (lambda: PIPE.wait_for_result(stall_timeout=0.0), "stall_timeout", 0.0),
    "endless stall_timeout": (lambda: PIPE.run(stall_timeout=float("inf")), "stall_timeout", "inf"),
    "executor of a run": (lambda: PIPE.wait_for_result(executor="inlin"), "executor", "inlin"),
    "executor of a run as a number": (lambda: PIPE.wait_for_result(executor=5), "executor", 5),
    "gather by source order after it was given up": (
        lambda: PIPE.gather(PIPE, ordered=False).task(str).gather(PIPE),
        "gather",
        "ordered=False",
    ),
    "executor of run()": (lambda: PIPE.run(executor="inlin"), "executor", "inlin"),
    "workers beside count": (lambda: PIPE.task(str, workers=2, count=3), "count", None),
}
WRONG_TYPE = {
    "source": (lambda: Pipeline(5), "datas|Pipeline", 5),
    "source of None": (lambda: Pipeline(None), "datas|Pipeline", None),
    "name of the source": (lambda: Pipeline([1], name=5), "name", 5),
    "task": (lambda: PIPE.task(5), "task", 5),
    "task None": (lambda: PIPE.task(None), "task", None),
    "task of a pipeline": (lambda: PIPE.task([str]), "task", [str]),
    "class_task of an instance": (lambda: PIPE.class_task("Scaler", "scale"), "class_constructor", "Scaler"),
    "class_task method": (lambda: PIPE.class_task(f.Scaler, 5), "class_method", 5),
    "class_task class_args": (lambda: PIPE.class_task(f.Scaler, "scale", 5), "class_args", 5),
    "class_task class_args text": (lambda: PIPE.class_task(f.Scaler, "scale", "ab"), "class_args", "ab"),
    "class_task class_kwargs": (lambda: PIPE.class_task(f.Scaler, "scale", class_kwargs=[1]), "class_kwargs", [1]),
    "class_task close_method": (lambda: PIPE.class_task(f.Scaler, "scale", close_method=5), "close_method", 5),
    "class_task worker_args": (lambda: PIPE.class_task(f.Scaler, "scale", worker_args=5), "worker_args", 5),
    "class_task worker_args inside": (lambda: PIPE.class_task(f.Scaler, "scale", worker_args=[5]), "worker_args", 5),
    "filter": (lambda: PIPE.filter(5), "keep_if_true", 5),
    "explode": (lambda: PIPE.explode(5), "explode_function", 5),
    "batch size text": (lambda: PIPE.batch("3"), "batch_size", "3"),
    "batch size float": (lambda: PIPE.batch(2.5), "batch_size", 2.5),
    "batch size None": (lambda: PIPE.batch(None), "batch_size", None),
    "batch keep": (lambda: PIPE.batch(2, "no"), "keep_incomplete_batch", "no"),
    "batch drop_last": (lambda: PIPE.batch(2, drop_last="no"), "drop_last", "no"),
    "batch collate": (lambda: PIPE.batch(2, collate=5), "collate", 5),
    "reduce": (lambda: PIPE.reduce(0, 5), "reducer", 5),
    "reduce with its arguments exchanged": (lambda: PIPE.reduce(lambda x, acc: acc, 0), "reducer", 0),
    "limit text": (lambda: PIPE.limit("3"), "packet_limit", "3"),
    "limit float": (lambda: PIPE.limit(2.5), "packet_limit", 2.5),
    "limit None": (lambda: PIPE.limit(None), "packet_limit", None),
    "skip": (lambda: PIPE.skip("3"), "n", "3"),
    "tap": (lambda: PIPE.tap(5), "fn", 5),
    "debug label": (lambda: PIPE.debug(5), "label", 5),
    "debug every": (lambda: PIPE.debug("x", every="2"), "every", "2"),
    "split": (lambda: PIPE.split(5, n=2), "split_function", 5),
    "split into text": (lambda: PIPE.split(pair, n="2"), "n", "2"),
    "partition": (lambda: PIPE.partition(5), "predicate", 5),
    "gather": (lambda: PIPE.gather(5), "others|pipelines", 5),
    "gather a list": (lambda: PIPE.gather([1]), "others|pipelines", [1]),
    "gather ordered": (lambda: PIPE.gather(PIPE, ordered="yes"), "ordered", "yes"),
    "zip": (lambda: PIPE.zip(5), "others|pipelines", 5),
    "zip strict": (lambda: PIPE.zip(PIPE, strict="yes"), "strict", "yes"),
    "concat": (lambda: PIPE.concat(range(7)), "others|pipelines", range(7)),
    "all results of one": (lambda: Pipeline.wait_for_all_results(PIPE), "pipes|pipelines", None),
    "all results of numbers": (lambda: Pipeline.wait_for_all_results([PIPE, 5]), "pipes|pipelines", None),
    "results": (lambda: PIPE.wait_for_results(5), "other_pipes|others|pipes|pipelines", None),
    "results of numbers": (lambda: PIPE.wait_for_results([5]), "other_pipes|others|pipes|pipelines", None),
    "completion": (lambda: PIPE.wait_for_completion([5]), "other_pipes|others|pipes|pipelines", None),
    "wait_and_reduce": (lambda: PIPE.wait_and_reduce(0, 5), "reducer", 5),
    "queue_size of a run": (lambda: PIPE.wait_for_result(queue_size="4"), "queue_size", "4"),
    "stall_timeout of a run": (lambda: PIPE.wait_for_result(stall_timeout="4"), "stall_timeout", "4"),
    "stall_timeout as a flag": (lambda: PIPE.wait_for_result(stall_timeout=True), "stall_timeout", True),
    "progress of a run": (lambda: PIPE.wait_for_result(progress="yes"), "progress", "yes"),
    "progress of run()": (lambda: PIPE.run(progress=5), "progress", 5),
    "progress as 1": (lambda: PIPE.run(progress=1), "progress", 1),
    "progress as 0": (lambda: PIPE.wait_for_result(progress=0), "progress", 0),
    "progress as an array": (lambda: PIPE.run(progress=np.zeros(2)), "progress", None),
}


def assert_refused(call, words, value, error_type):
    with pytest.raises(error_type) as caught:
        call()

    text = str(caught.value)
    assert isinstance(caught.value, PipelineError)
    assert re.search(rf"\b({words})\b", text), text
    if value is not None:
        assert repr(value) in text or str(value) in text
    assert re.search(rf"\b{re.escape(Path(__file__).name)}:\d+", text), f"no call site: {text}"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("argument", "value"), OUT_OF_RANGE_FOR_STAGES, ids=repr)
def test_a_stage_option_out_of_range_is_refused(stage, argument, value):
    assert_refused(lambda: STAGES[stage](**{argument: value}), argument, value, PlanError)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("argument", "value"), WRONG_TYPE_FOR_STAGES, ids=repr)
def test_a_stage_option_of_the_wrong_type_is_refused(stage, argument, value):
    assert_refused(lambda: STAGES[stage](**{argument: value}), argument, value, PlanTypeError)


@pytest.mark.parametrize("case", OUT_OF_RANGE)
def test_an_argument_out_of_range_is_refused(case):
    call, words, value = OUT_OF_RANGE[case]

    assert_refused(call, words, value, PlanError)


@pytest.mark.parametrize("case", WRONG_TYPE)
def test_an_argument_of_the_wrong_type_is_refused(case):
    call, words, value = WRONG_TYPE[case]

    assert_refused(call, words, value, PlanTypeError)


@pytest.mark.parametrize(
    "call",
    [
        lambda: PIPE.task(str, workerz=2),
        lambda: PIPE.filter(bool, workerz=2),
        lambda: PIPE.explode(pair, workerz=2),
        lambda: PIPE.class_task(f.Scaler, "scale", workerz=2),
        lambda: PIPE.wait_for_result(workerz=2),
        lambda: PIPE.run(workerz=2),
    ],
    ids=["task", "filter", "explode", "class_task", "wait_for_result", "run"],
)
def test_an_option_nobody_knows_is_refused_by_name(call):
    with pytest.raises(TypeError, match="workerz"):
        call()


def test_the_text_gives_the_line_of_the_call():
    line = inspect.currentframe().f_lineno + 2
    with pytest.raises(PlanError) as caught:
        PIPE.task(str).task(repr, workers=0)

    assert f"{Path(__file__).name}:{line}" in str(caught.value)


def test_the_text_names_the_stage():
    with pytest.raises(PlanError, match="'decode'"):
        PIPE.task(str, name="decode", workers=0)
    with pytest.raises(PlanError, match="'increment'"):
        PIPE.task(f.increment, workers=0)


def test_a_range_error_is_a_value_error_and_a_type_error_a_type_error():
    with pytest.raises(ValueError, match="workers"):
        PIPE.task(str, workers=0)
    with pytest.raises(TypeError, match="workers"):
        PIPE.task(str, workers="2")


def test_a_value_without_a_repr_is_refused_all_the_same():
    with pytest.raises(PlanTypeError, match="Touchy"):
        PIPE.batch(f.Touchy(1))


@pytest.mark.parametrize(
    ("options", "error_type", "text"),
    [
        ({"times": -1}, PlanError, "times must be >= 0, got -1"),
        ({"times": 1.5}, PlanTypeError, "times must be a whole number, got 1.5"),
        ({"wait": "x"}, PlanTypeError, "wait must be a number, got 'x'"),
        ({"wait": True}, PlanTypeError, "wait must be a number, got True"),
        ({"wait": -1}, PlanError, "wait must be >= 0 and finite, got -1"),
        ({"wait": float("inf")}, PlanError, "wait must be >= 0 and finite, got inf"),
        ({"wait": float("nan")}, PlanError, "wait must be >= 0 and finite, got nan"),
        ({"factor": "x"}, PlanTypeError, "factor must be a number, got 'x'"),
        ({"factor": 0.5}, PlanError, "factor must be >= 1 and finite, got 0.5"),
        ({"on": 3}, PlanTypeError, "on must be a tuple of exception types, got 3"),
    ],
    ids=repr,
)
def test_an_option_of_a_retry_is_refused(options, error_type, text):
    with pytest.raises(error_type, match=f"^Retry: {text}$"):
        Retry(**options)


def test_a_long_value_is_cut():
    with pytest.raises(PlanTypeError) as caught:
        PIPE.batch("x" * 100_000)

    assert len(str(caught.value)) < 1000


def test_a_pipeline_given_where_a_list_of_them_is_asked_for_is_not_run(tally):
    pipe = Pipeline(range(3)).tap(lambda x: tally.hit("ran"))

    with pytest.raises(PlanTypeError):
        Pipeline.wait_for_all_results(pipe, executor="inline")
    with pytest.raises(PlanTypeError):
        pipe.wait_for_results(pipe, executor="inline")

    assert tally.count("ran") == 0


def test_a_refused_call_changes_nothing():
    pipe = PIPE.task(str)

    with pytest.raises(PlanError):
        pipe.batch(0)

    assert pipe.wait_for_result(executor="inline") == ["0", "1", "2"]


@pytest.mark.parametrize("value", [2, 1])
def test_integers_of_numpy_are_integers(value):
    pipe = PIPE.task(str, workers=np.int64(value)).batch(np.int32(2)).limit(np.uint8(1))

    assert pipe.wait_for_result() == [["0", "1"]]


def test_smallest_values_are_accepted():
    pipe = PIPE.task(str, workers=1, queue_size=1, name="s").batch(1).limit(1).skip(0).debug("", every=1)

    assert pipe.limit(0).wait_for_result(queue_size=1, progress=False) == []
