"""Functions and classes of ours that stages are made of: what a worker finds by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

from olympipe_like._plan.checks import show


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


def rows(columns: Iterable[Any], names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the n-th members of all columns, for each n.

    Raises
    ------
    TypeError, ValueError
        If a column is no iterable, or they are not of one length; with the names of the steps that made them.
    """
    found: list[list[Any]] = []
    for name, column in zip(names, columns, strict=True):
        if not isinstance(column, Iterable) and not hasattr(type(column), "__getitem__"):
            raise TypeError(f"step {name!r} must return the items of a batch, got {show(column)}")
        found.append(list(column))
    if len(set(map(len, found))) > 1:
        counts = ", ".join(f"{name!r} {len(column)}" for name, column in zip(names, found, strict=True))
        raise ValueError(
            f"the steps of a union must return as many items of a batch each: {counts}; where they do not, "
            "say with join= what becomes of a batch"
        )
    return list(zip(*found, strict=True))
