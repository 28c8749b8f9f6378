"""Messages as bytes and back; those of every frame as plain tuples, which pickle takes an eighth of the time for."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

from olympipe_like._model.frame import OpCounts
from olympipe_like._transport.messages import (
    Allow,
    Answered,
    Consumed,
    Delivered,
    GoOn,
    Parcel,
    Pulled,
    Run,
    SlotGrant,
)


class _Form(NamedTuple):
    """How one kind of message travels."""

    number: int
    kind: Any
    inner: tuple[tuple[int, Any], ...]  # places of other named tuples, or of None
    series: tuple[tuple[int, Any], ...]  # places of tuples of them


def _forms() -> tuple[_Form, ...]:
    kinds: tuple[Any, ...] = (Run, Answered, Pulled, Delivered, Consumed, Allow, GoOn)
    inner = {"parcel": Parcel, "slot": SlotGrant}
    series = {"counts": OpCounts}
    return tuple(
        _Form(
            number,
            kind,
            tuple((place, inner[name]) for place, name in enumerate(kind._fields) if name in inner),
            tuple((place, series[name]) for place, name in enumerate(kind._fields) if name in series),
        )
        for number, kind in enumerate(kinds)
    )


_FORMS = _forms()
_BY_KIND = {form.kind: form for form in _FORMS}
_new = tuple.__new__
_FORMED = b"F"  # in front of those: no pickle of protocol 5 begins with it


def pack(message: object) -> bytes:
    """Return a message as bytes."""
    form = _BY_KIND.get(type(message))
    if form is None:
        return pickle.dumps(message, protocol=5)
    values: list[Any] = list(message)  # type: ignore[call-overload]
    for place, _ in form.inner:
        if values[place] is not None:
            values[place] = tuple(values[place])
    for place, _ in form.series:
        values[place] = [*map(tuple, values[place])]
    return _FORMED + pickle.dumps((form.number, values), protocol=5)


def unpack(data: memoryview) -> Any:
    """Return what `pack` was given."""
    if data[:1] != _FORMED:
        return pickle.loads(data)
    number, values = pickle.loads(data[1:])
    form = _FORMS[number]
    for place, kind in form.inner:
        if values[place] is not None:
            values[place] = _new(kind, values[place])
    for place, kind in form.series:
        values[place] = tuple([_new(kind, each) for each in values[place]])
    return _new(form.kind, values)
