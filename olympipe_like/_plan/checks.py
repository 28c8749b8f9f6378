"""Arguments of the fluent methods, checked where they are written. Each refusal names argument, value and place."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import re
import typing
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import Any

from olympipe_like._model.options import (
    EXECUTORS,
    ExecutorName,
    OnError,
    Placement,
    Policy,
    PolicyOptions,
    Remote,
    Retry,
    Where,
    Workers,
)
from olympipe_like._plan.graph import Node, gave_up_order
from olympipe_like._plan.operators import Restartable
from olympipe_like.errors import PlanError, PlanTypeError


def whole_number(where: str, name: str, value: object, least: int) -> int:
    """Return the value if it is a whole number and large enough."""
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise PlanTypeError(f"{where}: {name} must be a whole number, got {show(value)}")
    number = typing.cast("typing.SupportsIndex", value).__index__()
    if number < least:
        raise PlanError(f"{where}: {name} must be >= {least}, got {number}")
    return number


def staff(where: str, name: str, value: object) -> Workers:
    """Return how many workers a stage has, or "auto"."""
    if value == "auto":
        return "auto"
    if isinstance(value, str):
        raise PlanTypeError(f'{where}: {name} must be a whole number or "auto", got {show(value)}')
    return whole_number(where, name, value, 1)


def number(where: str, name: str, value: object) -> float:
    """Return the value if it is a number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise PlanTypeError(f"{where}: {name} must be a number, got {show(value)}")
    return float(value)


def seconds(where: str, name: str, value: object) -> float:
    """Return the value if it is a length of time: a number above 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise PlanTypeError(f"{where}: {name} must be a number of seconds, got {show(value)}")
    number = float(value)
    if not 0 < number < math.inf:
        raise PlanError(f"{where}: {name} must be > 0 seconds and finite, got {show(value)}")
    return number


def one_of(where: str, name: str, value: object, words: Sequence[str]) -> None:
    """Refuse what is none of these words."""
    if value not in words:
        raise PlanError(f"{where}: {name} must be one of {', '.join(map(repr, words))}, got {show(value)}")


def flag(where: str, name: str, value: object) -> bool:
    """Return the value if it is True or False."""
    if not isinstance(value, bool):
        raise PlanTypeError(f"{where}: {name} must be True or False, got {show(value)}")
    return value


def function(where: str, name: str, value: object, *, or_transform: bool = False) -> object:
    """Return the value if it can be called (or, if so allowed, has a ``transform``)."""
    if callable(value) or (or_transform and callable(getattr(value, "transform", None))):
        return value
    kinds = "a function or an object with .transform" if or_transform else "a function"
    raise PlanTypeError(f"{where}: {name} must be {kinds}, got {show(value)}")


def sync_function(where: str, name: str, value: object) -> object:
    """Return the value if it can be called and gives its result at once."""
    if is_async(value):
        raise PlanTypeError(f"{where}: {name} must be a plain function, got the async {show(value)}")
    return function(where, name, value)


def executor(where: str, value: object) -> ExecutorName | Remote:
    """Return the value if it names an executor, or says which remote workers are meant."""
    if isinstance(value, Remote):
        return value
    if value not in EXECUTORS:
        names = ", ".join(repr(name) for name in EXECUTORS)
        raise PlanError(f"{where}: executor must be one of {names}, or remote(...), got {show(value)}")
    return value


def is_async(value: object) -> bool:
    """Whether calling the value gives a coroutine."""
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(getattr(value, "__call__", None))  # noqa: B004


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def nbytes(where: str, name: str, value: object) -> int:
    """Return a number of bytes given as such, or as a text like "512MB" or "2 GiB"."""
    if not isinstance(value, str):
        return whole_number(where, name, value, 1)
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", value)
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None or float(found[1]) * unit < 1:
        raise PlanError(f'{where}: {name} must be a number of bytes, or a text like "512MB" or "2GiB", got {value!r}')
    return int(float(found[1]) * unit)


def max_failures(where: str, value: object) -> int | float:
    """Return how many items of a run may fail: a number, or a share below 1."""
    if isinstance(value, float):
        if not 0 <= value < 1:
            raise PlanError(
                f"{where}: max_failures must be a number of items, or a share from 0 to below 1, got {value}"
            )
        return value
    return whole_number(where, "max_failures", value, 0)


def policy(where: str, options: Mapping[str, object], executor_name: Where) -> Policy:
    """Return the policy these options describe."""
    known = set(PolicyOptions.__annotations__)
    unknown = set(options) - known
    if unknown:
        raise PlanTypeError(
            f"{where}: unknown option {min(unknown)!r}; of policies there are {', '.join(sorted(known))}"
        )
    on_error = options.get("on_error", "raise")
    if on_error not in ("raise", "skip", "collect"):
        if not callable(on_error):
            raise PlanError(
                f'{where}: on_error must be "raise", "skip", "collect" or a function of item and exception, '
                f"got {show(on_error)}"
            )
        sync_function(where, "on_error", on_error)
    retries = options.get("retries", 0)
    retry = retries if isinstance(retries, Retry) else Retry(times=whole_number(where, "retries", retries, 0))
    timeout = options.get("timeout")
    if timeout is not None:
        timeout = seconds(where, "timeout", timeout)
        if executor_name not in ("process", "async", "remote"):
            raise PlanError(
                f"{where}: timeout= needs a worker that can be ended: executor must be "
                f'"process" or "async", got {executor_name!r}'
            )
    for name in ("worker_retries", "max_items_per_worker", "max_rss"):
        if options.get(name) is not None and executor_name not in ("process", "remote"):
            raise PlanError(
                f'{where}: {name}= is about worker processes: executor must be "process", got {executor_name!r}'
            )
    max_items, max_rss = options.get("max_items_per_worker"), options.get("max_rss")
    return Policy(
        on_error=typing.cast("OnError", on_error),
        retry=retry,
        timeout=timeout,
        worker_retries=whole_number(where, "worker_retries", options.get("worker_retries", 2), 0),
        max_items=None if max_items is None else whole_number(where, "max_items_per_worker", max_items, 1),
        max_rss=None if max_rss is None else nbytes(where, "max_rss", max_rss),
    )


_WHY_NOT_AUTO = {
    "thread": "how many threads help depends on what they wait for, and on who holds the GIL: give a number",
    "async": "coroutines take none: say how many shall wait at once, such as workers=50",
}


def placement(
    where: str,
    *,
    workers: object,
    count: object,
    ordered: object,
    executor_name: object,
    queue_size: object,
    options: Mapping[str, object],
    default: ExecutorName = "process",
) -> Placement:
    """Return the placement these options describe."""
    if count is not None:
        if workers != 1:
            raise PlanError(f"{where}: give workers= or count= (its other name), not both")
        return placement(
            where,
            workers=staff(where, "count", count),
            count=None,
            ordered=ordered,
            executor_name=executor_name,
            queue_size=queue_size,
            options=options,
            default=default,
        )
    given = default if executor_name is None else executor(where, executor_name)
    chosen: Where = "remote" if isinstance(given, Remote) else given
    asked = staff(where, "workers", workers)
    if isinstance(given, Remote) and asked != 1:
        raise PlanError(
            f"{where}: workers must not be given with remote workers, who come by themselves; "
            "remote(..., local_workers=) adds processes of this machine"
        )
    auto = asked == "auto" and chosen != "inline"  # a call has one worker, whatever was asked for
    if auto and chosen != "process":
        raise PlanError(f'{where}: workers="auto" shares out processes; {_WHY_NOT_AUTO[chosen]}')
    number = 1 if asked == "auto" else asked
    own = flag(where, "copy", options.get("copy", True))
    if not own and chosen != "process":
        raise PlanError(
            f"{where}: copy=False is about memory that the worker processes of this machine share: executor must be "
            f'"process", got {chosen!r}'
        )
    return Placement(
        executor=chosen,
        remote=given if isinstance(given, Remote) else None,
        workers=given.local_workers if isinstance(given, Remote) else number,
        auto=auto,
        ordered=flag(where, "ordered", ordered),
        queue_size=None if queue_size is None else whole_number(where, "queue_size", queue_size, 1),
        policy=policy(where, options, chosen),
        copy=own,
    )


def source(where: str, datas: object, args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
    """Return whether the source is a callable that makes the items (else it holds them)."""
    if isinstance(datas, Restartable):
        _stream_arguments(where, datas, args, kwargs)
        return datas.own_process
    is_items = isinstance(datas, Iterable | AsyncIterable) or hasattr(type(datas), "__getitem__")
    if callable(datas) and (not is_items or args or kwargs or isinstance(datas, type)):
        return True
    if args or kwargs:
        raise PlanTypeError(
            f"{where}: arguments are for a callable that makes the items, got {show(datas)} and arguments"
        )
    if not is_items:
        raise PlanTypeError(f"{where}: Pipeline needs an iterable or a callable that makes one, got {show(datas)}")
    return False


def _stream_arguments(where: str, stream: Restartable, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    """Refuse what is not said about the iterations of a stream: it is no function, and takes no arguments."""
    known = ("max_iter", "cycle")
    given = {**dict(zip(known, args, strict=False)), **kwargs}
    if len(args) > len(known) or len(given) < len(args) + len(kwargs) or not given.keys() <= set(known):
        shown = ", ".join([*map(show, args), *(f"{name}={show(value)}" for name, value in kwargs.items())])
        raise PlanTypeError(
            f"{where}: behind a {type(stream).__name__} there may be max_iter and cycle, each once, got {shown}; "
            "arguments of a function are for the Streamer that it is given to"
        )
    if given.get("max_iter") is not None:
        whole_number(where, "max_iter", given["max_iter"], 0)
    flag(where, "cycle", given.get("cycle", False))


def keeps_source_order(where: str, legs: Sequence[Node]) -> None:
    """Refuse a merge by source position whose legs have lost it."""
    for number, leg in enumerate(legs, 1):
        culprit = gave_up_order(leg)
        if culprit is not None:
            raise PlanError(
                f"{where}: gather asks for source order, but leg {number} went through {culprit.label}, "
                "which gave it up; give gather(ordered=False), or keep the order there"
            )


def legs_of(where: str, split_function: object, n: object) -> int:
    """Return how many legs a split has: as said, or as the function's return annotation says."""
    if n is not None:
        return whole_number(where, "n", n, 1)
    try:
        hints = typing.get_type_hints(split_function)
    except Exception:  # noqa: BLE001 - annotations may be anything; then the number must be given
        hints = {}
    returns = hints.get("return")
    members = typing.get_args(returns)
    if typing.get_origin(returns) is tuple and members and Ellipsis not in members:
        return len(members)
    raise PlanError(
        f"{where}: say how many legs: split(fn, n=3), or annotate fn as returning tuple[...] of that length"
    )


def show(value: object) -> str:
    """Return a value as errors show it."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the type alone says enough
        text = ""
    return f"{type(value).__name__} {text[:60]}".rstrip() if not isinstance(value, int | float | str) else text[:60]


def values(where: str, name: str, value: object) -> tuple[Any, ...]:
    """Return positional arguments given as a list or tuple."""
    if value is None:
        return ()
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise PlanTypeError(f"{where}: {name} must be a list or tuple, got {show(value)}")
    return tuple(value)


def named_values(where: str, name: str, value: object) -> dict[str, Any]:
    """Return keyword arguments given as a mapping."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PlanTypeError(f"{where}: {name} must be a mapping, got {show(value)}")
    return dict(value)


def text(where: str, name: str, value: object) -> str:
    """Return the value if it is a text."""
    if not isinstance(value, str):
        raise PlanTypeError(f"{where}: {name} must be a text, got {show(value)}")
    return value


def path(where: str, name: str, value: object) -> None:
    """Refuse what is no path."""
    if not isinstance(value, str) and not hasattr(value, "__fspath__"):
        raise PlanTypeError(f"{where}: {name} must be a path, got {show(value)}")
    if value == "":  # which would be the working folder
        raise PlanError(f"{where}: {name} must be a path, got an empty text")


def method_of(where: str, name: str, constructor: object, value: object) -> object:
    """Return the value if it is a function, or names a method that instances of the class have."""
    if not isinstance(value, str):
        return function(where, name, value)
    # A constructor that is no class may return anything; then only the worker can tell.
    if isinstance(constructor, type) and not hasattr(constructor, value):
        raise PlanError(f"{where}: {name} {value!r} is no method of {constructor.__name__}")
    return getattr(constructor, value, None)


def progress(where: str, value: object) -> None:
    """Refuse what is no way to show progress."""
    shown = value is None or isinstance(value, bool)  # 1 and 0 equal True and False, and are none
    if not shown and (not callable(value) or is_async(value)):
        raise PlanTypeError(f"{where}: progress must be None, True, False or a function of a report, got {show(value)}")


def worker_args(where: str, value: object, workers: int) -> tuple[Mapping[str, Any], ...]:
    """Return the value if it is a mapping for each worker."""
    if value is None:
        return ()
    if not isinstance(value, Sequence) or not all(isinstance(each, Mapping) for each in value):
        raise PlanTypeError(f"{where}: worker_args must be a list of mappings, got {show(value)}")
    if not workers:
        raise PlanError(f"{where}: worker_args needs a fixed number of workers; remote ones, and auto, come and go")
    if len(value) != workers:
        raise PlanError(f"{where}: worker_args must have a mapping for each of {workers} workers, got {len(value)}")
    return tuple(value)


def last_batch(where: str, keep: object, drop: object, *, padded: bool) -> typing.Literal["keep", "drop", "pad"]:
    """Return what becomes of an incomplete last batch."""
    keeps = flag(where, "keep_incomplete_batch", keep)
    if drop is not None:
        drops = flag(where, "drop_last", drop)
        if not keeps and not drops:
            raise PlanError(f"{where}: drop_last=False contradicts keep_incomplete_batch=False; give one of them")
        keeps = not drops
    if padded:
        if not keeps:
            raise PlanError(f"{where}: the last batch cannot be padded and dropped; give pad= or drop_last=True")
        return "pad"
    return "keep" if keeps else "drop"


def name_of(value: object, default: str) -> str:
    """Return what to call a stage that runs this."""
    own = getattr(value, "__name__", None)
    if isinstance(own, str):
        return own
    if isinstance(value, functools.partial):
        return name_of(value.func, default)
    return default if value is None else type(value).__name__
