"""Views that a stage passes on as they came: their bytes stay where they are, and nobody gets others for it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from olympipe_like import Pipeline
from tests.integration.test_views import MIB, array, shared, source  # noqa: F401 - a fixture among them

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no memfd here"),
]


def place(item):
    """Return where in the run's memory an item's array is."""
    address = (item["array"] if isinstance(item, dict) else item).__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, *_ = line.split()
        low, high = (int(each, 16) for each in span.split("-"))
        if low <= address < high:
            return int(offset, 16) + address - low
    raise AssertionError("it is nowhere")


def whatever(item):
    return True


def firsts(arrays):
    return [int(each[0]) for each in arrays]


@pytest.mark.parametrize(
    "wrap", [lambda array: array, lambda array: {"array": array, "label": "it"}], ids=["bare", "dict"]
)
def test_what_is_kept_stays_where_it_is(tmp_path, wrap):
    def note(item):
        with (tmp_path / "places").open("a") as file:
            file.write(f"{place(item)}\n")

    pipe = Pipeline(map(wrap, source(20))).tap(note, copy=False).filter(whatever, copy=False)

    places = pipe.task(place, copy=False).wait_for_result()

    assert [str(each) for each in places] == (tmp_path / "places").read_text().split()


def test_it_takes_no_more_memory_than_one_copy(shared):  # noqa: F811
    size = 8 * 3 * MIB
    pipe = Pipeline(source(1, 3 * MIB)).filter(whatever, copy=False).tap(whatever, copy=False)

    (result,) = pipe.filter(whatever, copy=False).wait_for_result()

    assert result.nbytes == size
    assert size < shared() < 2 * size


def test_what_is_dropped_and_what_a_limit_cuts_off_is_left_out():
    arrays = [array(number, 12_000) for number in range(60)]  # several to a frame
    kept = Pipeline(arrays).filter(lambda each: each[0] % 20 != 7, copy=False).skip(3).filter(whatever, copy=False)
    kept = kept.limit(40)

    expected = [number for number in range(60) if number % 20 != 7][3:43]
    assert firsts(kept.filter(whatever, copy=False).wait_for_result()) == expected
    assert firsts(kept.concat(kept).filter(whatever, copy=False).wait_for_result()) == 2 * expected


# -- what is changed --------------------------------------------------------------------------------------------------


def reshape(array):
    array.shape = (-1, 2)


def recast(array):
    array.dtype = np.int64


@pytest.mark.parametrize("size", [100, MIB])
@pytest.mark.parametrize(("change", "expected"), [(reshape, ("float64", 2)), (recast, ("int64", 1))])
def test_a_view_that_a_stage_has_given_another_shape_or_type_has_it_everywhere(change, expected, size):
    results = Pipeline(source(3, size)).tap(change, copy=False).filter(whatever, copy=False).wait_for_result()

    assert [(str(each.dtype), each.ndim) for each in results] == [expected] * 3


def blacken(array):
    array[0] = -1


def rename(item):
    item["label"] = "another"


def test_an_array_of_its_own_that_a_stage_has_changed_is_sent_on_changed():
    assert firsts(Pipeline(source(3)).tap(blacken).filter(whatever).wait_for_result()) == [-1, -1, -1]


def test_so_is_what_is_beside_a_view():
    items = ({"array": array, "label": "it"} for array in source(3))

    results = Pipeline(items).tap(rename, copy=False).filter(whatever, copy=False).wait_for_result()

    assert [each["label"] for each in results] == ["another"] * 3


class Read:
    """Is read from its file when it arrives."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.read_text, (self.path,)


def test_what_was_made_on_arrival_is_made_once(tmp_path):
    (tmp_path / "text").write_text("it")
    items = [(tmp_path / "text", Read(tmp_path / "text"), array(0))]

    pipe = Pipeline(items).tap(lambda item: item[0].unlink(), copy=False).filter(whatever, copy=False)

    assert [text for _, text, _ in pipe.wait_for_result()] == ["it"]


# -- who needs it still -----------------------------------------------------------------------------------------------


def test_branches_that_pass_the_same_on_all_have_it():
    pipe = Pipeline(source(12)).filter(whatever, copy=False)
    legs = [pipe.filter(whatever, copy=False), pipe.filter(lambda each: each[0] % 2, copy=False), pipe.tap(whatever)]

    first, odd, third = Pipeline.wait_for_all_results(legs)

    assert firsts(first) == firsts(third) == list(range(12))
    assert firsts(odd) == list(range(1, 12, 2))


def test_a_worker_that_is_killed_behind_others_that_passed_on_costs_nothing(tmp_path):
    def once(array):
        if array[0] == 5 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    pipe = Pipeline(source(12)).filter(whatever, copy=False).filter(once, workers=2, copy=False)

    assert firsts(pipe.filter(whatever, copy=False).wait_for_result()) == list(range(12))
