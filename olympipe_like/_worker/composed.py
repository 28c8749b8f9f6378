"""Functions and classes of ours that stages are made of: what a worker finds by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any


class OwnStep:
    """A step of which each worker has its own.

    Parameters
    ----------
    step : function or object with ``transform``
        Copied.
    arguments : mapping
        Attributes of the copy, or, for a function, keyword arguments of every call.
    """

    def __init__(self, step: Any, arguments: Mapping[str, Any]) -> None:
        if callable(step):
            self._transform: Callable[[Any], Any] = partial(step, **arguments)
            return
        own = deepcopy(step)  # threads share what they are given
        for name, value in arguments.items():
            setattr(own, name, value)
        self._transform = own.transform

    @property
    def use(self) -> Callable[[Any], Any]:
        """What makes something of a batch: the step's own, so that it can be seen what else that asks for."""
        return self._transform


def call_with(function: Callable[..., Any], arguments: Iterable[Any]) -> Any:
    """Call a function with an item's members."""
    return function(*arguments)


def rows(columns: Iterable[Iterable[Any]]) -> list[tuple[Any, ...]]:
    """Return the n-th members of all columns, for each n.

    Raises
    ------
    ValueError
        If the columns are not of one length.
    """
    return list(zip(*columns, strict=True))
