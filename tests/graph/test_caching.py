"""Nodes that remember, and keys that every process makes alike."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import logging
import operator
import os
import pickle
import re
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import olympipe_like
from olympipe_like import PlanTypeError
from olympipe_like.graph import Graph, cache, cache_file, conditional, func_op, placeholder, stable_key


class Counting:
    """Counts its calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, value):
        self.calls.append(value)
        return value * 2


# -- cache ------------------------------------------------------------------------------------------------------------


def test_a_cached_node_is_evaluated_once_for_each_key():
    store, double = {}, Counting()
    with Graph() as graph:
        x = placeholder("x")
        cached = cache(func_op(double, x), store.__getitem__, store.__setitem__, key=x)

    assert [graph(cached, x=each) for each in (1, 2, 1, 2)] == [2, 4, 2, 4]
    assert double.calls == [1, 2]
    assert store == {1: 2, 2: 4}


def test_the_key_is_made_of_function_and_arguments_by_default():
    store = {}
    with Graph() as graph:
        x = placeholder("x")
        nodes = [cache(node, store.__getitem__, store.__setitem__) for node in (x + 1, x * 1, x.bit_length(), x[...])]

    assert graph(nodes[:3], x=5) == (6, 5, 3)
    assert graph(nodes[:3], x=6) == (7, 6, 3)
    assert len(store) == 6
    assert graph(nodes[:3], x=5) == (6, 5, 3)
    assert len(store) == 6


def test_what_is_behind_is_not_evaluated_when_the_key_is_given():
    store, slow = {"k": "stored"}, Counting()
    with Graph() as graph:
        cached = cache(func_op(slow, func_op(slow, 1)), store.__getitem__, store.__setitem__, key="k")

    assert graph(cached) == "stored"
    assert slow.calls == []


def test_an_error_of_get_is_no_miss():
    def get(key):
        raise OSError("disk")

    with Graph() as graph:
        cached = cache(func_op(int, 3), get, lambda key, value: None)

    with pytest.raises(OSError, match="disk"):
        graph(cached)


def test_a_lazy_node_needs_a_key_of_its_own():
    with Graph():
        x = placeholder("x")
        with pytest.raises(ValueError, match=r"cache \(test_caching\.py:\d+\).*give key="):
            cache(conditional(x, x, 1), dict, dict)
        with pytest.raises(TypeError, match="expected a node"):
            cache(3, dict, dict)


def test_get_and_put_must_be_functions():
    with Graph():
        x = placeholder("x")
        with pytest.raises(PlanTypeError, match=r"cache \(test_caching\.py:\d+\): get must be a function, got 3"):
            cache(x, 3, dict)
        with pytest.raises(PlanTypeError, match="put must be a function, got NoneType None"):
            cache(x, dict, None)
        with pytest.raises(PlanTypeError, match="put must be a function, got the node <placeholder 'x'"):
            cache(x, dict, x)


# -- cache_file -------------------------------------------------------------------------------------------------------


def test_a_value_is_kept_in_a_file_for_each_key(tmp_path):
    double = Counting()

    def found(value):
        with Graph() as graph:
            x = placeholder("x")
            cache_file(func_op(double, x), f"{tmp_path}/deep/%s.pickle", key=x, name="cached")
        return graph("cached", x=value)

    assert [found(each) for each in (1, "a", 1, "a")] == [2, "aa", 2, "aa"]

    assert double.calls == [1, "a"]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["1.pickle", "a.pickle"]


def test_a_key_made_of_the_arguments_names_the_file(tmp_path):
    with Graph() as graph:
        cached = cache_file(placeholder("x") + 1, f"{tmp_path}/%s")

    assert [graph(cached, x=each) for each in (1, 2, 1)] == [2, 3, 2]

    names = [path.name for path in tmp_path.iterdir()]
    assert [len(name) for name in names] == [32, 32]


class Shot:
    """Its text is where it is in memory."""

    def __init__(self, number):
        self.number = number


@pytest.mark.parametrize(
    "make",
    [
        lambda number: np.full(2000, 1) + (np.arange(2000) == number),
        lambda number: ("name", np.array([0.1 + number * 1e-12])),
        Shot,
        lambda number: [{"shot": Shot(number)}],
    ],
    ids=["long array", "array in a tuple", "object", "object in a list"],
)
def test_keys_whose_text_does_not_tell_them_apart_have_files_of_their_own(tmp_path, make):
    with Graph() as graph:
        key = placeholder("key")
        made = cache_file(func_op(pickle.dumps, key), f"{tmp_path}/%s.pickle", key=key)

    values = [graph(made, key=make(number)) for number in (500, 501, 500)]

    assert values[0] == values[2] != values[1]
    assert len(list(tmp_path.iterdir())) == 2


def test_load_and_dump_must_be_functions():
    with Graph():
        x = placeholder("x")
        with pytest.raises(PlanTypeError, match=r"cache_file \(test_caching\.py:\d+\): dump must be a function, got 4"):
            cache_file(x, "%s", load=str, dump=4)


@pytest.mark.parametrize("damage", [b"", b"\x80", None])
def test_a_damaged_file_is_logged_and_made_again(tmp_path, damage, caplog):
    calls = []
    with Graph() as graph:
        x = placeholder("x")
        cache_file(func_op(lambda value: calls.append(value) or [value] * 100, x), f"{tmp_path}/%s", key=x, name="c")
    value = graph("c", x=1)
    path = tmp_path / "1"
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)

    with caplog.at_level(logging.WARNING, "olympipe_like"):
        assert graph("c", x=1) == value

    assert calls == [1, 1]
    assert pickle.loads(path.read_bytes()) == value
    assert str(path) in caplog.text


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    def dump(value, name):
        Path(name).write_text("half")
        raise OSError("disk full")

    with Graph() as graph:
        cache_file(func_op(int, 3), f"{tmp_path}/%s.txt", load=str, dump=dump, key="k", name="cached")

    with pytest.raises(OSError, match="disk full"):
        graph("cached")
    assert list(tmp_path.iterdir()) == []


def test_loaders_of_arrays_work_with_names(tmp_path):
    with Graph() as graph:
        x = placeholder("x")
        cached = cache_file(
            func_op(np.arange, x), f"{tmp_path}/%s.npy", np.load, lambda value, name: np.save(name, value), key=x
        )

    assert graph(cached, x=3).tolist() == graph(cached, x=3).tolist() == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["3.npy"]


def test_threads_that_make_the_same_file_leave_one(tmp_path):
    barrier = threading.Barrier(4)
    with Graph() as graph:
        cached = cache_file(func_op(barrier.wait, 5) * 0 + 7, f"{tmp_path}/%s", key="k")
    found = []

    threads = [threading.Thread(target=lambda: found.append(graph(cached))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [7] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


@pytest.mark.parametrize("template", ["no place", "%s %s", "%d", 3])
def test_a_template_needs_one_place_for_the_key(template):
    with Graph(), pytest.raises(ValueError, match="one %s for the key"):
        cache_file(func_op(int), template)


def test_load_and_dump_come_together():
    with Graph(), pytest.raises(ValueError, match="load= and dump="):
        cache_file(func_op(int), "%s", load=str)


# -- keys -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    tags: frozenset


class Color(enum.Enum):
    RED = 1


SAMPLES = """
import datetime, fractions, operator, os, pathlib
from olympipe_like.graph import stable_key
def greet(name, mark="!"):
    return {"hello", "hi"} and name in {"ada", "alan", "grace"} and name + mark
samples = ["text", 1, 1.5, None, b"b", (1, [2, {"a": {"x", "y", "zz"}}]), frozenset(["p", "q", "r"]), greet,
    pathlib.PurePosixPath("a/b"), datetime.date(2026, 1, 2), fractions.Fraction(1, 3), len, os.path.join, dict,
    operator.itemgetter(1), {3: "c", "a": 1, None: 2}, "x".join, lambda: {"k": {"b", "a"}}]
print(*map(stable_key, samples))
"""


def test_keys_are_the_same_in_processes_with_other_hash_seeds():
    environment = {**os.environ, "PYTHONPATH": str(Path(olympipe_like.__file__).parents[1])}

    printed = {
        subprocess.run(
            [sys.executable, "-c", SAMPLES],
            env={**environment, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
        for seed in (0, 1, 2)
    }

    (keys,) = printed
    assert len(set(keys.split())) == 18


DIFFERENT = [1, 1.0, True, "1", b"1", (1,), [1], {1}, {1: 1}, None, Color.RED, Point(1, frozenset("a"))]
DIFFERENT += [("a", "b"), ("ab",), (("a",), "b"), [["a"], "b"], {"a": "b"}, Fraction(1), dt.date(2026, 1, 1)]
DIFFERENT += [np.arange(2), np.arange(2.0), np.arange(4).reshape(2, 2), np.arange(4), np.float32(1), np.float64(1)]
DIFFERENT += [len, max, operator.add, Point, Path("a"), "x".join, "y".join, lambda: 1, lambda: 2]


def test_values_that_differ_give_other_keys():
    assert len({stable_key(value) for value in DIFFERENT}) == len(DIFFERENT)


def test_equal_arrays_give_one_key_however_they_lie_in_memory():
    array = np.arange(6).reshape(2, 3)

    assert (
        stable_key(array) == stable_key(np.asfortranarray(array)) == stable_key(np.arange(12)[::2].reshape(2, 3) // 2)
    )
    assert stable_key(array) != stable_key(array.T)


class Measured(np.ndarray):
    """An array with a unit."""

    def __new__(cls, values, unit):
        made = np.asarray(values).view(cls)
        made.unit = unit
        return made


class Quantity:
    """Values with a unit; for all else it asks the values."""

    def __init__(self, values, unit):
        self.values, self.unit = values, unit

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["values"], name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Measured([1.0, 2.0], "m"), Measured([1.0, 2.0], "km")),
        (Quantity(np.ones(2), "m"), Quantity(np.ones(2), "km")),
        (np.ma.array([1, 2], mask=[False, True]), np.ma.array([1, 999999])),
        (np.add, np.subtract),
        (re.compile("a"), re.compile("a", re.IGNORECASE)),
    ],
)
def test_what_is_more_than_its_bytes_and_what_pickle_was_told_of_have_keys_of_their_own(one, other):
    assert stable_key(one) == stable_key(pickle.loads(pickle.dumps(one))) or isinstance(one, Measured)
    assert stable_key(one) != stable_key(other)


def test_a_function_with_another_body_default_or_captured_value_gives_another_key():
    def make(text):
        space = {}
        exec(text, space)
        return space["f"]

    texts = ["def f(x): return x", "def f(x): return -x", "def f(x=1): return x", "def f(x): return x + 1000"]
    keys = [stable_key(make(text)) for text in texts]
    captured = [stable_key(holding(value)) for value in (1, 2)]

    assert len({*keys, *captured}) == 6
    assert stable_key(make(f"# elsewhere\n\n{texts[0]}")) == keys[0]


def holding(value):
    return lambda: value


def test_what_contains_itself_has_a_key():
    loop = [1]
    loop.append(loop)

    assert stable_key(loop) == stable_key(pickle.loads(pickle.dumps(loop)))


def test_what_cannot_be_pickled_has_no_key():
    with pytest.raises(TypeError, match="pickle"):
        stable_key(threading.Lock())


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(value=nested)
def test_a_copy_has_the_key_of_the_original(value):
    assert stable_key(pickle.loads(pickle.dumps(value))) == stable_key(value)


@given(values=st.dictionaries(st.text(), st.integers()), seed=st.randoms())
def test_dicts_and_sets_have_no_order(values, seed):
    items = list(values.items())
    seed.shuffle(items)

    assert stable_key(dict(items)) == stable_key(values)
    assert stable_key({key for key, _ in items}) == stable_key(set(values))
