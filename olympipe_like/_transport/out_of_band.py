"""Pickles with large bytes beside them: of numpy arrays so that what arrives may be written to, of pictures, too."""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
from collections.abc import Callable
from typing import Any


def dumps(value: object, buffer_callback: Callable[[pickle.PickleBuffer], bool]) -> bytes:
    """Return a pickle of protocol 5; the callback says of each large buffer whether it belongs inside."""
    numpy, pillow = sys.modules.get("numpy"), sys.modules.get("PIL.Image")
    if numpy is None and pillow is None:
        return pickle.dumps(value, protocol=5, buffer_callback=buffer_callback)
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol=5, buffer_callback=buffer_callback)
    table = pickler.dispatch_table = copyreg.dispatch_table.copy()
    if numpy is not None:
        table[numpy.ndarray] = _reduce_array
    if pillow is not None:
        table.setdefault(pillow.Image, _reduce_image)
    pickler.dump(value)
    return file.getvalue()


def _reduce_array(array: Any) -> Any:
    """Reduce a numpy array so that the receiver's is its own to write to, even where the sender's is read-only.

    One with gaps is copied without them; numpy would put its bytes inside the pickle, which costs two copies more.
    """
    if not array.flags.forc:
        array = array.copy()
    elif not array.flags.writeable:
        array = _as_writable(array) if array.nbytes and not array.dtype.hasobject else array.copy()
    return array.__reduce_ex__(5)


class _Open:
    """Offers the bytes of a read-only array to numpy as if they might be written to, which pickle does not do."""

    def __init__(self, array: Any) -> None:
        self._array = array  # lives as long as this does
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {"data": (address, False), "shape": (array.nbytes,), "typestr": "|u1", "version": 3}


def _as_writable(array: Any) -> Any:
    """Return a contiguous array over the bytes of one that is read-only: pickle would tell the receiver that it was."""
    order = "C" if array.flags.c_contiguous else "F"
    return sys.modules["numpy"].asarray(_Open(array)).view(array.dtype).reshape(array.shape, order=order)


def _reduce_image(image: Any) -> Any:
    """Reduce a Pillow image so that its pixels may be a buffer; Pillow's own way puts them inside the pickle."""
    make, args, state, *_ = image.__reduce_ex__(5)
    parts = [pickle.PickleBuffer(part) if type(part) is bytes else part for part in state]
    return _image, (make, args, parts)


def _image(make: Callable[..., Any], args: tuple[Any, ...], state: list[Any]) -> Any:
    image = make(*args)
    image.__setstate__(state)
    return image
