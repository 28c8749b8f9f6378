"""Large items that a stage passes on as they came: their bytes stay where they are, and nobody gets others for it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from olympipe_like import Pipeline
from olympipe_like._worker.passed_on import is_constant
from tests.integration.test_views import array, shared, source  # noqa: F401 - a fixture among them

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no memfd here"),
]

SIZE = 3_000_000  # bytes: a frame for each item


def texts(count):
    for number in range(count):
        yield bytes([number]) * SIZE


def place(array):
    """Return where in the run's memory an array is."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, *_ = line.split()
        low, high = (int(each, 16) for each in span.split("-"))
        if low <= address < high:
            return int(offset, 16) + address - low
    raise AssertionError("it is nowhere")


def whatever(item):
    return True


def test_views_that_are_kept_stay_where_they_are(tmp_path):
    def note(array):
        with (tmp_path / "places").open("a") as file:
            file.write(f"{place(array)}\n")

    pipe = Pipeline(source(20)).tap(note, copy=False).filter(whatever, copy=False)

    places = pipe.task(place, copy=False).wait_for_result()

    assert [str(each) for each in places] == (tmp_path / "places").read_text().split()


def test_bytes_that_are_kept_are_not_written_again(shared):  # noqa: F811
    pipe = Pipeline(texts(1)).filter(whatever).tap(whatever).filter(whatever)

    assert pipe.wait_for_result() == list(texts(1))
    assert SIZE < shared() < 2 * SIZE


def test_what_is_dropped_and_what_a_limit_cuts_off_is_left_out():
    items = [(number, bytes([number]) * 100_000) for number in range(60)]  # several to a frame
    kept = Pipeline(items).filter(lambda item: item[0] % 20 != 7).skip(3).filter(whatever).limit(40)

    expected = [item for item in items if item[0] % 20 != 7][3:43]
    assert kept.filter(whatever).wait_for_result() == expected
    assert kept.concat(kept).filter(whatever).wait_for_result() == 2 * expected


def change_array(array):
    array[0] = -1


def change_and_lock(array):
    array[0] = -1
    array.flags.writeable = False


def change_list(item):
    item[0] = "changed"


@pytest.mark.parametrize("change", [change_array, change_and_lock])
def test_an_array_that_a_stage_has_changed_is_sent_on_changed(change):
    results = Pipeline(source(3)).tap(change).filter(whatever).wait_for_result()

    assert [array[0] for array in results] == [-1, -1, -1]


@pytest.mark.parametrize("copy", [True, False])
def test_so_is_a_list_that_holds_bytes(copy):
    items = [["as it was", text] for text in texts(3)]

    results = Pipeline(items).tap(change_list, copy=copy).filter(whatever, copy=copy).wait_for_result()

    assert results == [["changed", text] for text in texts(3)]


def test_branches_that_pass_the_same_bytes_on_all_have_them():
    pipe = Pipeline(texts(12)).filter(whatever)
    legs = [pipe.filter(whatever), pipe.filter(lambda text: text[0] % 2), pipe.tap(whatever)]

    first, odd, third = Pipeline.wait_for_all_results(legs)

    assert first == third == list(texts(12))
    assert odd == [text for text in texts(12) if text[0] % 2]


def test_a_worker_that_is_killed_behind_others_that_passed_on_costs_nothing(tmp_path):
    def once(text):
        if text[0] == 5 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    pipe = Pipeline(texts(12)).filter(whatever).filter(once, workers=2).filter(whatever)

    assert pipe.wait_for_result() == list(texts(12))


def test_only_what_nobody_can_have_changed_is_constant():
    view = np.frombuffer(memoryview(bytearray(80)).toreadonly())
    locked = np.zeros(3)
    locked.flags.writeable = False
    assert all(map(is_constant, [1, None, "text", b"bytes", view, view[2:], (1, (view, b"")), ()]))
    assert not any(map(is_constant, [[], {}, bytearray(3), array(1), locked, (1, locked), np.array([None]), object()]))
    assert not locked.flags.writeable
