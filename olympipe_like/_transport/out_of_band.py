"""Pickles with large bytes beside them: of numpy arrays so that what arrives may be written to, of images, tensors."""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def dumps(value: object, buffer_callback: Callable[[pickle.PickleBuffer], bool]) -> bytes:
    """Return a pickle of protocol 5; the callback says of each large buffer whether it belongs inside."""
    # Another thread may be importing one of the modules: then there are no such items yet.
    reducers: dict[Any, Any] = {
        getattr(sys.modules.get(module), name, None): reduce for module, name, reduce in _REDUCERS
    }
    if reducers.keys() == {None}:
        return pickle.dumps(value, protocol=5, buffer_callback=buffer_callback)
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol=5, buffer_callback=buffer_callback)
    pickler.dispatch_table = {**reducers, **copyreg.dispatch_table}
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


def _reduce_tensor(tensor: Any) -> Any:
    """Reduce a torch tensor to an array, if that is all of it; torch's own way takes 0.1 ms and two copies more."""
    if vars(tensor) or any(name is not None for name in tensor.names):
        return tensor.__reduce_ex__(5)
    try:
        return _tensor, (tensor.resolve_conj().resolve_neg().numpy(),)  # torch 1.12 loses that it is conjugated
    except (TypeError, RuntimeError):  # of a graph, a device, a type or a layout that numpy does not know
        return tensor.__reduce_ex__(5)


def _tensor(array: Any) -> Any:
    torch = import_module("torch")  # whoever is sent tensors needs it
    return torch.from_numpy(array if array.flags.writeable else array.copy())


_REDUCERS = (
    ("numpy", "ndarray", _reduce_array),
    ("PIL.Image", "Image", _reduce_image),
    ("torch", "Tensor", _reduce_tensor),
)
