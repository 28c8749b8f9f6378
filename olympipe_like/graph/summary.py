"""A value in a few words, for errors and previews."""

from __future__ import annotations

import reprlib
from types import ModuleType
from typing import Any

MOST_CHARACTERS = 60
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = MOST_CHARACTERS
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = 6


def summary(value: Any) -> str:
    """Return a value's type, shape and dtype if it is an array, else its repr on one line; cut; never fails."""
    if isinstance(value, ModuleType):
        return f"module {value.__name__}"
    try:
        shape = getattr(value, "shape", ())
        if isinstance(shape, tuple) and shape and hasattr(value, "dtype"):
            return f"{type(value).__name__} {shape} {value.dtype}"
        text = " ".join(_short.repr(value).split())
    except Exception:  # noqa: BLE001 - the user's class may raise anything, and must not hide what is shown beside it
        text = f"<{type(value).__qualname__} whose repr fails>"
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
