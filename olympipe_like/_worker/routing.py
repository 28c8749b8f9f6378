"""Split and partition in a worker: what each leg gets of an item."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from olympipe_like._model.options import SKIP
from olympipe_like._plan.parameters import wants_rng
from olympipe_like._plan.segment import Label
from olympipe_like._worker.attempts import Attempts
from olympipe_like._worker.blame import show
from olympipe_like._worker.steps import Map
from olympipe_like._worker.watch import Watch


class Route(Map):
    """Split and partition: ``route`` makes of an item and its function's result what each leg gets."""

    def __init__(
        self,
        function: Callable[..., Any],
        route: Callable[[Any, Any], Any],
        label: Label,
        worker: str,
        attempts: Attempts,
        watch: Watch,
    ) -> None:
        super().__init__(partial(_routed, function, route), label, worker, attempts, watch)
        self.wants_rng = wants_rng(function, 1)
        self._route = route

    def replacement(self, item: Any, made: Any) -> Any:
        """Return where the item goes, as if the function had said so."""
        return self._route(item, made)


def _routed(function: Callable[..., Any], route: Callable[[Any, Any], Any], item: Any, **drawn: Any) -> Any:
    return route(item, function(item, **drawn))


def to_legs(legs: int, item: Any, values: Any) -> Any:
    """Return what a split's function gave for each leg."""
    del item
    try:
        count = len(values)
        # Taken apart here, where it is the item's failure that there is no first or second of them, as in a set.
        parts = tuple(values[leg] for leg in range(legs)) if count == legs else ()
    except (TypeError, LookupError) as error:
        raise TypeError(
            f"split into {legs} legs, but the function returned {show(values)}, a {type(values).__name__}; "
            f"it must return a list or tuple of {legs} values, one for each leg"
        ) from error
    if count != legs:
        raise ValueError(f"split into {legs} legs, but the function returned {count} values")
    return parts


def to_one_leg(item: Any, verdict: Any) -> Any:
    """Return what the two legs of a partition get."""
    return (item, SKIP) if verdict else (SKIP, item)
