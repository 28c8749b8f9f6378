"""Items of libraries, small ones and large ones, with and without a copy: equal, and one's own or safe."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from olympipe_like import Pipeline

SMALL, LARGE = 400, 40_000  # of 8 bytes: inside the message and in the pickle; in shared memory and beside the pickle


def identity(item):
    return item


def what_it_got(item):
    """Return an item with what the worker finds of its arrays: whether it may write to them, and owns them."""
    return item, [(array.flags.writeable, array.flags.owndata) for array in arrays_in(item)]


def arrays_in(item):
    """Return the plain arrays of an item that travel by their buffer."""
    if type(item) is np.ndarray:
        return [] if item.dtype.hasobject else [item]
    if isinstance(item, dict):
        return [array for value in item.values() for array in arrays_in(value)]
    if isinstance(item, list | tuple):
        return [array for value in item for array in arrays_in(value)]
    return []


def numbers(n):
    return np.arange(n, dtype=np.float64)


def closed(array):
    array.flags.writeable = False
    return array


def pandas_frame(n):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"a": numbers(n), "b": range(n), "c": ["x", None] * (n // 2), "d": numbers(n) > 3})


def pandas_series(n):
    pandas = pytest.importorskip("pandas")
    return pandas.Series(numbers(n), index=pandas.date_range("2024-01-01", periods=n, freq="min"), name="s")


def arrow_table(n):
    pyarrow = pytest.importorskip("pyarrow")
    return pyarrow.table({"a": numbers(n), "b": [str(number) for number in range(n)]})


def pil_image(n):
    image = pytest.importorskip("PIL.Image")
    return image.fromarray((np.arange(n * 8).reshape(-1, 80) % 251).astype(np.uint8))


def torch_tensor(n):
    return pytest.importorskip("torch").arange(n)


KINDS = {
    "C order": numbers,
    "Fortran order": lambda n: np.asfortranarray(numbers(n).reshape(-1, 20)),
    "strided": lambda n: numbers(2 * n)[::2],
    "transposed axes": lambda n: numbers(n).reshape(-1, 5, 4).transpose(1, 0, 2),
    "0-d": lambda n: np.array(float(n)),
    "empty": lambda n: np.zeros((0, n)),
    "structured": lambda n: np.array([(1, 2.5, "ä")] * n, dtype=[("a", "i4"), ("b", "f8"), ("c", "U2")]),
    "objects": lambda n: np.array([None, "text", 3, {"a": 1}] * (n // 4), dtype=object),
    "dates": lambda n: np.arange(n).astype("datetime64[s]"),
    "read-only": lambda n: closed(numbers(n)),
    "masked": lambda n: np.ma.masked_less(numbers(n), 3),
    "matrix": lambda n: numbers(n).reshape(-1, 8).view(np.matrix),
    "bytes": lambda n: bytes(range(200)) * (n // 25),
    "bytearray": lambda n: bytearray(range(200)) * (n // 25),
    "a dict of them": lambda n: {"a": numbers(n), "b": [bytes(n), (numbers(n)[::-1],)], "c": bytearray(n)},
    "DataFrame": pandas_frame,
    "Series": pandas_series,
    "Table": arrow_table,
    "Image": pil_image,
    "Tensor": torch_tensor,
}


def assert_equal(got, item):
    assert type(got) is type(item)
    if isinstance(item, np.ndarray):
        assert (got.dtype, got.shape) == (item.dtype, item.shape)
        np.testing.assert_array_equal(got, item)
    elif isinstance(item, dict):
        assert list(got) == list(item)
        assert_equal(list(got.values()), list(item.values()))
    elif isinstance(item, list | tuple):
        for one, other in zip(got, item, strict=True):
            assert_equal(one, other)
    elif type(item).__module__.startswith("pandas"):
        testing = importlib.import_module("pandas.testing")
        (testing.assert_frame_equal if item.ndim == 2 else testing.assert_series_equal)(got, item)
    elif type(item).__module__.startswith("PIL"):
        assert (got.mode, got.size, got.tobytes()) == (item.mode, item.size, item.tobytes())
    elif type(item).__module__.startswith("torch"):
        assert got.equal(item)
    else:
        assert got == item


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("kind", KINDS)
def test_items_go_through_processes_and_arrive_equal_and_writable(kind, size):
    items = [KINDS[kind](size) for _ in range(3)]

    results = Pipeline(items).task(identity).task(what_it_got).wait_for_result()

    for (got, found), item in zip(results, items, strict=True):
        assert_equal(got, item)
        assert all(writeable for writeable, _ in found)
        assert all(array.flags.writeable for array in arrays_in(got))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("kind", KINDS)
def test_items_go_through_processes_that_look_at_them_and_arrive_equal_and_writable(kind, size):
    items = [KINDS[kind](size) for _ in range(3)]

    results = Pipeline(items).task(identity, copy=False).task(what_it_got, copy=False).wait_for_result()

    for (got, found), item in zip(results, items, strict=True):
        assert_equal(got, item)
        assert not any(writeable for writeable, _ in found if kind != "dates")
        assert all(array.flags.writeable for array in arrays_in(got))


@pytest.mark.parametrize("copy", [True, False])
def test_an_array_that_is_mapped_from_a_file_arrives_equal(tmp_path, copy):
    array = np.memmap(tmp_path / "array", dtype=np.float64, mode="w+", shape=LARGE)
    array[:] = numbers(LARGE)

    (got,) = Pipeline([array]).task(identity, copy=copy).task(identity, copy=copy).wait_for_result()

    np.testing.assert_array_equal(np.asarray(got), numbers(LARGE))
    got[0] = 5
    assert array[0] == 0
