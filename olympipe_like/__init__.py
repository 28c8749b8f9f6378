"""Fluent data pipelines over processes, threads and coroutines: in order, within bounds, nothing lost.

>>> from olympipe_like import Pipeline
>>> Pipeline(range(10)).task(lambda x: x * 2).filter(lambda x: x % 4 == 0).batch(2).wait_for_result()
[[0, 4], [8, 12], [16]]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from olympipe_like._model.options import SKIP, Retry
    from olympipe_like._observe.report import Report
    from olympipe_like._runtime.run import Run
    from olympipe_like.errors import (
        DataError,
        EvaluationError,
        InternalError,
        MissingKey,
        NodeNotFound,
        PipelineError,
        PipelineExecutionError,
        PlanError,
        PlanTypeError,
        SourceExhausted,
        SourceFailed,
        StageFailed,
        StalledError,
        TooManyFailures,
        WorkerLost,
    )
    from olympipe_like.failed_item import FailedItem
    from olympipe_like.pipeline import Pipeline

__version__ = "0.1.0"

_HOMES = {
    "FailedItem": "olympipe_like.failed_item",
    "Pipeline": "olympipe_like.pipeline",
    "Retry": "olympipe_like._model.options",
    "Report": "olympipe_like._observe.report",
    "Run": "olympipe_like._runtime.run",
    "SKIP": "olympipe_like._model.options",
}

__all__ = [
    "SKIP",
    "BrokerClosed",
    "DataError",
    "EvaluationError",
    "FailedItem",
    "InternalError",
    "MissingKey",
    "NodeNotFound",
    "Pipeline",
    "PipelineError",
    "PipelineExecutionError",
    "PlanError",
    "PlanTypeError",
    "Report",
    "Retry",
    "Run",
    "RunInUse",
    "SourceExhausted",
    "SourceFailed",
    "StageFailed",
    "StalledError",
    "TooManyFailures",
    "WorkerLost",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use: a worker must not pay for what it does not use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES.get(name, "olympipe_like.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
