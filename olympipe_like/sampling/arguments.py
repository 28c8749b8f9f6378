"""Arguments of muxes and maps, checked where they are written."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanError, PlanTypeError
from olympipe_like.sampling.streamer import Streamer, as_streamer

LARGEST_RATE = 1e12  # far more than a stream gives, and far less than numpy's distributions take (2 ** 63)


def streamers_of(what: str, streams: Iterable[Any]) -> list[Streamer[Any]]:
    """Return a mux's streams as streamers; there must be one at least."""
    where = f"{what} ({call_site()})"
    if isinstance(streams, Streamer):
        raise PlanTypeError(f"{where}: streams must be a list of streams, got one stream: {streams}")
    in_order("a list or the like", where, streams)
    found = [as_streamer(what, stream, number) for number, stream in enumerate(streams)]
    if not found:
        raise PlanError(f"{where}: there must be a stream at least, and the list is empty")
    return found


def in_order(wanted: str, where: str, streams: object) -> None:
    """Refuse streams that have no order, or names: of a mapping the names would be taken for the streams."""
    if not isinstance(streams, Iterable) or isinstance(streams, Mapping | set | frozenset):
        advice = "; give its values(); only mix takes streams by name" if isinstance(streams, Mapping) else ""
        raise PlanTypeError(f"{where}: streams must be {wanted}, got {type(streams).__name__}{advice}")


def weights_of(what: str, weights: Iterable[Any] | None, count: int) -> list[float] | None:
    """Return as many weights as there are streams, with a sum of 1; None if all are alike."""
    if weights is None:
        return None
    where = f"{what} ({call_site()})"
    if isinstance(weights, Mapping | set | frozenset | str):
        raise PlanTypeError(f"{where}: weights must be a sequence of numbers, got {type(weights).__name__}")
    try:
        found = [float(weight) for weight in weights]
    except (TypeError, ValueError) as error:
        raise PlanTypeError(f"{where}: weights must be a sequence of numbers: {error}") from error
    if len(found) != count:
        raise PlanError(f"{where}: there are {count} streams and {len(found)} weights; give each stream one")
    for number, weight in enumerate(found):
        if not 0 <= weight < math.inf:
            raise PlanError(f"{where}: weights must be >= 0 and finite, weight {number} is {weight}")
    largest = max(found)
    if not largest:
        raise PlanError(f"{where}: all weights are 0, so nothing could be drawn; one must be above 0")
    if min(found) == largest:
        return None
    if largest > sys.float_info.max / count:  # their sum might be infinite
        found = [weight / largest for weight in found]
    total = math.fsum(found)
    return [weight / total for weight in found]


def one_of(what: str, name: str, value: Any, choices: Collection[str]) -> Any:
    """Return the value if it is one of the choices."""
    if value not in choices:
        names = ", ".join(repr(choice) for choice in choices)
        raise PlanError(f"{what} ({call_site()}): {name} must be one of {names}, got {value!r}")
    return value


def rate_of(what: str, rate: Any, dist: str) -> float | None:
    """Return how many items a stream gives before it is replaced, on average."""
    if rate is None:
        return None
    where = f"{what} ({call_site()})"
    found = checks.number(where, "rate", rate)
    if not 1 <= found < math.inf:
        raise PlanError(f"{where}: rate must be >= 1 and finite: a stream gives an item at least; got {rate!r}")
    if found > LARGEST_RATE:
        raise PlanError(f"{where}: rate must be at most {LARGEST_RATE:.0e}, or None for all items, got {rate!r}")
    if dist == "constant" and found != int(found):
        raise PlanError(f'{where}: with dist="constant" the rate must be a whole number, got {rate!r}')
    return found
