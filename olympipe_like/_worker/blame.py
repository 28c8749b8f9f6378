"""From an exception to the record of a failed item."""

from __future__ import annotations

import pickle
import reprlib
import sys
import traceback
from typing import Any, Literal

from olympipe_like._model.failure import ITEM_LIMIT, TEXT_LIMIT, Failure, cut, describe
from olympipe_like._model.identity import Path
from olympipe_like._plan.segment import Label
from olympipe_like._transport.codec import EncodingError, encode_item
from olympipe_like.errors import StageFailed

_OWN = __file__[: -len("/_worker/blame.py")]  # pathlib would cost every process 4 ms
INPUT_LIMIT = 1 << 28  # bytes of a failed item; it travels inside messages, whose length has 32 bits
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 2 * ITEM_LIMIT
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = 8


def show(item: object) -> str:
    """Return an item's repr, cut; never fails and never takes long on large containers."""
    try:
        text = _short.repr(item)
    except BaseException:  # noqa: BLE001 - a user's __repr__ may raise anything, and must not hide the failure
        text = f"<{type(item).__qualname__} whose repr fails>"
    text = " ".join(text.split())  # on one line, as the message is
    return text if len(text) <= ITEM_LIMIT else text[: ITEM_LIMIT - 1] + "…"


def text_of(error: BaseException) -> str:
    """Return type and text of an exception."""
    name = type(error).__qualname__
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - as above
        return f"{name}: <unprintable>"
    if isinstance(error, StageFailed):
        text = text.split("\n", 1)[0]  # a pipeline within a function; the rest of its text is in the traceback
    return cut(f"{name}: {text}" if text else name, TEXT_LIMIT)


def traceback_of(error: BaseException, title: str) -> str:
    """Return the traceback from the user's code on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next and trace.tb_frame.f_code.co_filename.startswith(_OWN):
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace)
    except BaseException:  # noqa: BLE001 - formatting runs the user's __str__ as well
        lines = [*traceback.format_tb(trace), text_of(error), "\n"]
    if sys.version_info < (3, 11):  # later ones show notes themselves; they say which stream of a mux it was
        lines += [f"{note}\n" for note in getattr(error, "__notes__", ())]
    text = "".join(lines)
    if len(text) > TEXT_LIMIT:  # keep both ends: the start tells where, the end what
        text = f"{text[: TEXT_LIMIT // 2]}\n… ({len(text) - TEXT_LIMIT} characters cut)\n{text[-TEXT_LIMIT // 2 :]}"
    return f"{title}\n{text}"


def _portable(error: BaseException) -> tuple[bytes | None, bytes | None]:
    """Return the exception and its type as bytes, each None if it cannot be rebuilt."""
    try:
        kind = pickle.dumps(type(error), protocol=5)
    except Exception:  # noqa: BLE001 - a local class has no name elsewhere; the text remains
        kind = None
    try:
        data = pickle.dumps(error, protocol=5)
        # The bases: an error that is also of the user's type has a class made for it, anew where it is rebuilt.
        made, bases = type(pickle.loads(data)), type(error).__mro__[1:]
        if made is not type(error) and not (isinstance(error, StageFailed) and made.__mro__[1:] == bases):
            return None, kind
    except BaseException:  # noqa: BLE001 - user code runs while pickling; the text remains
        return None, kind
    return data, kind


def input_of(item: object) -> tuple[bytes | None, str]:
    """Return the item as bytes, or why it cannot travel."""
    try:
        data = encode_item(item)
    except EncodingError as error:
        return None, f"it cannot be pickled: {text_of(error.__cause__ or error)}"
    if len(data) > INPUT_LIMIT:
        return None, f"it takes {len(data)} bytes, and records hold {INPUT_LIMIT} at most"
    return data, ""


def blame(
    error: BaseException,
    label: Label,
    worker: str,
    *,
    path: Path | None = None,
    item: Any = None,
    what: str | None = None,
    kind: Literal["stage", "source", "worker"] = "stage",
    position: str | None = None,
    keep: bool = False,
) -> Failure:
    """Return the record of ``error``, raised by a stage while it worked on the item with this path.

    ``keep``: with the item itself, as it is now; a function may have changed it before it failed.
    """
    data, exception_type = _portable(error)
    text = what or text_of(error)
    kept, why_not = input_of(item) if keep and path is not None else (None, "")
    if data is None:
        text += " (original exception could not be rebuilt)"
    return Failure(
        kind=kind,
        stage=label.name,
        place=f"{label.number}/{label.of}",
        what=text,
        path=path,
        position=position if position is not None else describe(path) if path is not None else "",
        item=show(item) if path is not None else "",
        worker=worker,
        traceback=traceback_of(error, f"In {worker}:" if worker else "There:"),
        exception=data,
        exception_type=exception_type,
        original=error,
        input=kept,
        no_input=why_not,
    )
