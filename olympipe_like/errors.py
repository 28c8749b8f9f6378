"""Every error a user can meet, one tree; each builds its own message.

PipelineError
├── PlanError (ValueError)            your plan: refused where it is written
│   ├── PlanTypeError (TypeError)
│   └── NodeNotFound (KeyError)       a graph has no node of that name
├── DataError (ValueError)            your data: items that do not fit together
│   └── MissingKey (KeyError)
├── EvaluationError                   a node of an expression graph; also an instance of what it raised
├── PipelineExecutionError (RuntimeError)   a run
│   ├── StageFailed                   your function; also an instance of what it raised
│   │   ├── SourceFailed              your source
│   │   └── WorkerLost                an item, or the machine: workers died, too often
│   ├── TooManyFailures               more failed than max_failures allows
│   ├── BrokerClosed                  a request was not answered: its broker is gone
│   ├── SourceExhausted               a one-shot source was asked twice
│   ├── RunInUse                      two loops waited for the results of one run
│   ├── StalledError                  nothing moved for as long as stall_timeout allows
│   └── InternalError                 ours: please report
"""

from __future__ import annotations

from collections.abc import Callable


class PipelineError(Exception):
    """Base of every error of this library."""


class PlanError(PipelineError, ValueError):
    """A plan that cannot run, refused where it is written."""


class PlanTypeError(PlanError, TypeError):
    """A plan with an argument of the wrong type."""


class NodeNotFound(PlanError, KeyError):
    """An expression graph was asked for a node that it does not have."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError shows a repr


class EvaluationError(PipelineError):
    """A node of an expression graph failed.

    The error raised is also an instance of the type that was raised, with its ``args`` and attributes, so that
    ``except OSError as error: error.errno`` works; ``__cause__`` is the original exception.

    Attributes
    ----------
    node : str
        The node's name.
    site : str
        File and line where the node was made.
    expression : str
        What it computes, as Python text, with the names of its inputs.
    inputs : dict of str to str
        For each input that was there its name and a short description of its value.
    what : str
        What happened: type and text of the original exception.
    """

    def __init__(self, node: str, site: str, expression: str, inputs: dict[str, str], what: str) -> None:
        super().__init__(node, site, expression, inputs, what)
        self.node, self.site, self.expression, self.inputs, self.what = node, site, expression, inputs, what

    def __str__(self) -> str:
        given = ", ".join(f"{name} = {value}" for name, value in self.inputs.items())
        with_inputs = f"  [{given}]" if given else ""
        return f"node {self.node!r} ({self.site}): {self.expression}: {self.what}{with_inputs}"


class DataError(PipelineError, ValueError):
    """Items of a stream that are not what a map over them needs: other keys, or shapes that do not fit together."""


class MissingKey(DataError, KeyError):
    """An item of a stream lacks a key that a map over it needs."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError shows its text quoted


class PipelineExecutionError(PipelineError, RuntimeError):
    """A run that failed.

    Attributes
    ----------
    errors : list of str
        The texts of what failed, as Olympipe gives them.
    """

    @property
    def errors(self) -> list[str]:
        """The texts of what failed."""
        return [str(self)]


class BrokerClosed(PipelineExecutionError):
    """A request was not answered, because the broker was cancelled, or is not there any more."""


class StageFailed(PipelineExecutionError):
    """A stage's function failed on an item.

    The error raised is also an instance of the type that the function raised, so that ``except ValueError`` works;
    ``__cause__`` is the original exception where it could be rebuilt.

    Attributes
    ----------
    stage : str
        The stage's name.
    place : str
        Which stage of how many, as in ``'2/3'``.
    position : str
        Number of the source item, from 0; ``'5.2'`` is the third item made of source item 5.
    item : str
        The item's ``repr``, cut.
    what : str
        What happened: type and text of the user's exception.
    worker : str
        Which worker, with its process id.
    remote_traceback : str
        The traceback where it happened.
    """

    def __init__(
        self, stage: str, place: str, position: str, item: str, what: str, worker: str, remote_traceback: str
    ) -> None:
        super().__init__(stage, place, position, item, what, worker, remote_traceback)
        self.stage, self.place, self.position, self.item = stage, place, position, item
        self.what, self.worker, self.remote_traceback = what, worker, remote_traceback

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.position, self.item) if part)
        where = f" — {where}" if where else ""
        by = f"  [{self.worker}]" if self.worker else ""
        # A source has no number among the stages; an item of it that cannot travel is counted as its result. What is
        # several stages' affair has none either.
        place = "source" if self.place.startswith("0/") else f"stage {self.place}".rstrip()
        text = f"{place} {self.stage!r}: {self.what}{where}{by}"
        return f"{text}\n\n{self.remote_traceback.rstrip()}" if self.remote_traceback else text


class WorkerLost(StageFailed):
    """A worker ended without being asked to, more often than ``worker_retries`` allows.

    ``position`` and ``item`` name the item it was working on; where that is not known, ``position`` says what it held.
    """


class TooManyFailures(PipelineExecutionError):
    """More items failed than ``max_failures`` allows.

    Attributes
    ----------
    failed, seen : int
        Items that failed, and that the sources had given by then.
    allowed : float
        What ``max_failures`` was.
    stages : tuple of str
        Where they failed, and how many.
    """

    def __init__(self, failed: int, seen: int, allowed: float, stages: tuple[str, ...]) -> None:
        super().__init__(failed, seen, allowed, stages)
        self.failed, self.seen, self.allowed, self.stages = failed, seen, allowed, stages

    def __str__(self) -> str:
        share = f" ({self.failed / self.seen:.1%})" if self.allowed < 1 and self.seen else ""
        where = f": {', '.join(self.stages)}" if self.stages else ""
        return f"{self.failed} of {self.seen} items failed{share}, more than max_failures={self.allowed} allows{where}"


class SourceFailed(StageFailed):
    """The source raised; ``position`` says after how many items."""

    def __str__(self) -> str:
        text = f"source {self.stage!r} failed {self.position}: {self.what}"
        return f"{text}\n\n{self.remote_traceback.rstrip()}" if self.remote_traceback else text


class SourceExhausted(PipelineExecutionError):
    """A one-shot source (an iterator) was asked for its items a second time."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source

    def __str__(self) -> str:
        return (
            f"source {self.source!r} was already consumed: it is an iterator and gives its items once. "
            "To run a pipeline again give it a list, or the function that makes the iterator: Pipeline(make, *args)"
        )


class RunInUse(PipelineExecutionError):
    """A loop asked a run for its next result while another one was waiting for it; the other one goes on."""

    def __str__(self) -> str:
        return (
            "another loop is waiting for the next result of this run, and each result comes once. Take them in one "
            "loop that hands them on, through a queue for example; or give each loop a run of its own: pipe.run()"
        )


class StalledError(PipelineExecutionError):
    """Nothing in a run moved for as long as its ``stall_timeout`` allows.

    Attributes
    ----------
    text : str
        For how long, which stage and worker hold what, and what each worker was doing.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text


class InternalError(PipelineExecutionError):
    """Something that must not happen in this library. Please report it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"internal error, please report it: {self.what}"


def also_instance_of(error: StageFailed, user_type: type[BaseException]) -> StageFailed:
    """Return the error as one that is an instance of the user's exception type, too.

    Types that cannot be combined (another memory layout that Python refuses, a final class) leave the error as it is.
    ``KeyboardInterrupt``, ``SystemExit``, ``GeneratorExit``, ``StopIteration`` and ``StopAsyncIteration`` are left out:
    code far away, and the language itself, would act on them.
    """
    # A pipeline within a stage function fails with such an error itself: what its user raised is meant.
    # A graph that fails in one does, too.
    if issubclass(user_type, (StageFailed, EvaluationError)):
        user_type = getattr(user_type, "user_type", user_type)
    signs = (StopIteration, StopAsyncIteration)
    if isinstance(error, user_type) or not issubclass(user_type, Exception) or issubclass(user_type, signs):
        return error
    cls = type(error)
    body = {
        "__doc__": f"{cls.__name__}, caused by a {user_type.__name__}.",
        "__init__": cls.__init__,
        "__str__": cls.__str__,
        "__module__": cls.__module__,
        "user_type": user_type,
        "__reduce__": lambda _: (_rebuild, (cls, user_type, error.args)),
    }
    try:
        combined = type(f"{cls.__name__}[{user_type.__name__}]", (cls, user_type), body)
        made: StageFailed = combined(*error.args)
    except Exception:  # noqa: BLE001 - whatever the user's class does when it is subclassed, the plain error remains
        return error
    return made


def _rebuild(cls: Callable[..., StageFailed], user_type: type[BaseException], args: tuple[str, ...]) -> StageFailed:
    return also_instance_of(cls(*args), user_type)
