"""Numbers given to fluent methods, checked as in `checks`."""

from __future__ import annotations

import math
import numbers

from olympipe_like._plan.checks import show, values, whole_number
from olympipe_like.errors import PlanError, PlanTypeError


def number(where: str, name: str, value: object) -> float:
    """Return the value if it is a number, and finite."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise PlanTypeError(f"{where}: {name} must be a number, got {show(value)}")
    if not math.isfinite(value):
        raise PlanError(f"{where}: {name} must be finite, got {show(value)}")
    return float(value)


def above_zero(where: str, name: str, value: object) -> float:
    """Return the value if it is a number above 0."""
    found = number(where, name, value)
    if found <= 0:
        raise PlanError(f"{where}: {name} must be > 0, got {show(value)}")
    return found


def share(where: str, name: str, value: object) -> float:
    """Return the value if it is a number from 0 to 1."""
    found = number(where, name, value)
    if not 0 <= found <= 1:
        raise PlanError(f"{where}: {name} must be from 0 to 1, got {show(value)}")
    return found


def boundaries(where: str, name: str, value: object) -> tuple[float, ...]:
    """Return the value if it is a list of growing numbers."""
    found = tuple(number(where, f"each of {name}", each) for each in values(where, name, value))
    if list(found) != sorted(set(found)):
        raise PlanError(f"{where}: {name} must grow, got {show(value)}")
    return found


def seed(where: str, value: object) -> int | None:
    """Return the value if it is a seed: a whole number, or None for another in each run."""
    return None if value is None else whole_number(where, "seed", value, 0)
