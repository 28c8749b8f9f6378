"""Arrays of every memory layout and kind of element; workers load this file, too."""

from __future__ import annotations

import numpy as np

BASE = np.arange(24, dtype=np.int32).reshape(2, 3, 4)


def read_only(array: np.ndarray) -> np.ndarray:
    """Return the array, closed for writing."""
    array.setflags(write=False)
    return array


ARRAYS = {
    "0-d": np.array(5),
    "0-d of float": np.array(2.5),
    "empty": np.zeros((0, 3)),
    "empty in the middle": np.zeros((2, 0, 3), np.uint8),
    "C order": BASE,
    "Fortran order": np.asfortranarray(BASE),
    "transposed": BASE.T,
    "axes moved": BASE.transpose(1, 2, 0),
    "strided": BASE[:, ::2, 1::2],
    "negative strides": BASE[::-1, :, ::-1],
    "broadcast": np.broadcast_to(np.arange(3), (4, 3)),
    "read-only": read_only(np.arange(6)),
    "view of read-only": read_only(np.arange(6.0))[1:4],
    "structured": np.array([(1, 2.5, "ä"), (2, 3.5, "b")], dtype=[("a", "i4"), ("b", "f8"), ("c", "U2")]),
    "field of structured": np.zeros(3, dtype=[("a", "i4"), ("b", "f8")])["b"],
    "big-endian": np.arange(5, dtype=">i4"),
    "big-endian float": np.linspace(0, 1, 4, dtype=">f8"),
    "object": np.array([None, "a", [1, 2], {3: 4}], dtype=object),
    "boolean": np.array([True, False]),
    "complex": np.array([1 + 2j]),
    "datetime": np.array(["2024-02-29", "NaT"], dtype="datetime64[D]"),
    "text": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "half": np.array([1.5], np.float16),
    "nan": np.array([np.nan, np.inf]),
    "large": np.arange(1 << 18, dtype=np.float64),
    "large Fortran order": np.asfortranarray(np.arange(1 << 18, dtype=np.float32).reshape(512, 512)),
    "large strided": np.arange(1 << 19, dtype=np.uint8)[::2],
    "large read-only": read_only(np.arange(1 << 18, dtype=np.float64)),
}
