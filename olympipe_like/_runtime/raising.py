"""From the record of a failure to the error the user catches."""

from __future__ import annotations

import pickle

from olympipe_like._model.failure import Failure
from olympipe_like.errors import (
    InternalError,
    PipelineExecutionError,
    SourceFailed,
    StageFailed,
    StalledError,
    WorkerLost,
    also_instance_of,
)

_CLASSES = {"stage": StageFailed, "source": SourceFailed, "worker": WorkerLost}


def to_error(failure: Failure) -> PipelineExecutionError:
    """Return the error for a failure; its cause is the user's own exception where that could be rebuilt."""
    if failure.kind == "run":
        found = rebuild(failure.exception)
        return found if isinstance(found, PipelineExecutionError) else InternalError(failure.what)
    if failure.kind == "stall":
        return StalledError(failure.what)
    cause = failure.original or rebuild(failure.exception)
    kind = type(cause) if cause is not None else rebuild_type(failure.exception_type)
    error: StageFailed = _CLASSES[failure.kind](
        failure.stage,
        failure.place,
        failure.position,
        failure.item,
        failure.what,
        failure.worker,
        failure.traceback,
    )
    if kind is not None:
        error = also_instance_of(error, kind)
    if cause is not None:
        error.__cause__ = cause
        _copy_attributes(cause, error)
    return error


def rebuild(data: bytes | None) -> BaseException | None:
    if data is None:
        return None
    try:
        made = pickle.loads(data)
    except Exception:  # noqa: BLE001 - user code; it could be rebuilt in the worker, here it cannot: the text remains
        return None
    return made if isinstance(made, BaseException) else None


def rebuild_type(data: bytes | None) -> type[BaseException] | None:
    if data is None:
        return None
    try:
        made = pickle.loads(data)
    except Exception:  # noqa: BLE001 - the caller has no such class under that name
        return None
    return made if isinstance(made, type) and issubclass(made, BaseException) else None


def _copy_attributes(cause: BaseException, error: StageFailed) -> None:
    """Let ``except OSError as error: error.errno`` and the like find what they look for."""
    found = dict(vars(cause))
    if isinstance(cause, OSError):
        found.update(errno=cause.errno, strerror=cause.strerror, filename=cause.filename, filename2=cause.filename2)
    for name, value in found.items():
        if name not in vars(error):
            try:
                setattr(error, name, value)
            except (AttributeError, TypeError):
                continue  # a read-only attribute of the user's class: __cause__ has it
