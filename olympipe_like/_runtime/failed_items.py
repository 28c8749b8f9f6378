"""From the record of a failure to what the user is shown of the item."""

from __future__ import annotations

from collections.abc import Mapping

from olympipe_like._model.failure import Failure
from olympipe_like._model.identity import position_of
from olympipe_like._runtime.raising import rebuild, rebuild_type
from olympipe_like._transport.codec import DecodingError, decode_item
from olympipe_like.errors import WorkerLost
from olympipe_like.failed_item import FailedItem


def from_failure(failure: Failure, classes: Mapping[str, bytes]) -> FailedItem:
    """Return what the user is given of a failed item.

    ``classes`` are those of the ``__main__`` where the item was encoded; the caller's own need none.
    """
    error = original_of(failure)
    error_type, text = error_of(failure, error)
    item: object = None
    if failure.input is not None:
        try:
            item = decode_item(failure.input, classes)
        except DecodingError:
            item = None  # it went into its bytes and does not come out of them here; the repr in the text remains
    return FailedItem(
        item=item,
        position=position_of(failure.path or ()),
        stage=failure.stage,
        place=failure.place,
        error=error,
        error_type=error_type,
        text=text,
        traceback=failure.traceback,
        attempts=failure.attempts,
        worker=failure.worker,
        seed=failure.seed,
    )


def original_of(failure: Failure) -> BaseException | None:
    """Return the exception, itself or rebuilt; None where it does not travel."""
    return failure.original if failure.original is not None else rebuild(failure.exception)


def error_of(failure: Failure, error: BaseException | None) -> tuple[str, str]:
    """Return type and text of what happened; the type is empty where there was no exception, as when a worker died."""
    if failure.kind == "worker":
        return WorkerLost.__name__, failure.what
    kind = type(error) if error is not None else rebuild_type(failure.exception_type)
    name = kind.__qualname__ if kind is not None else ""
    if not name and failure.traceback:  # of a type that does not travel; its name begins the text
        name = failure.what.partition(":")[0].partition(" ")[0]
    if failure.what == name:
        return name, ""  # it says no more
    return name, failure.what.removeprefix(f"{name}: ") if name else failure.what
