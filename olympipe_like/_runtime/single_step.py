"""Calls one step's function on one item, in the user's frames but for a few of ours, so that a debugger sees theirs."""

from __future__ import annotations

import pdb  # noqa: T100 - left in on purpose: it is what the command is for
import sys
from collections.abc import Awaitable, Callable
from fnmatch import fnmatch
from functools import partial
from itertools import islice
from types import FrameType
from typing import Any, Literal, TypeGuard

from olympipe_like._worker.blame import text_of, traceback_of
from olympipe_like._worker.epochs import PerEpoch
from olympipe_like._worker.memory import Fold, Group
from olympipe_like._worker.reshape import Distinct, Keyed, Running
from olympipe_like._worker.resumed import Resumed
from olympipe_like._worker.spread import Spread
from olympipe_like._worker.steps import PerItem, Select, Step, Tap

Debugging = Literal["no", "first line", "post-mortem"]

_SHOWN = 2000  # characters of a result
_NOT_THE_USERS = [
    "olympipe_like.*",
    "asyncio",
    "asyncio.*",
    "selectors",
    "contextvars",
]  # modules a debugger runs through


def own_step(step: Step) -> Step:
    """Return the step that is told apart by its class: of one that begins anew with each epoch the one within."""
    if isinstance(step, Resumed):
        step = step.step
    return step.step if isinstance(step, PerEpoch) else step


def has_function(step: Step) -> TypeGuard[PerItem | Spread]:
    """Whether a step calls the user for a single item, and what it gives for that one follows from it alone."""
    return isinstance(step, PerItem | Spread)


def call(step: Step, item: Any, debugging: Debugging, part: int | None = None, *, seed: int | None = None) -> Any:
    """Return what a step's function makes of an item; of an explode all it gives, or the ``part``-th alone in a list.

    ``seed``: what the item's random numbers follow from. Raises what the function raises, and `bdb.BdbQuit` if the
    debugger was left.
    """
    debugger = _Debugger(skip=_NOT_THE_USERS) if debugging == "first line" else None
    begin: Callable[[], None] = debugger.set_trace if debugger is not None else _nothing
    try:
        if isinstance(step, PerItem):
            function = _drawing(step, step.function, seed)
            result = function(item) if step.is_async else _call(function, item, begin)
            sys.settrace(None)  # what follows is ours, until the coroutine goes on
            if isinstance(result, Awaitable):
                result = _await(result, begin)
            return step.judge(result)
        if isinstance(step, Spread):
            return _spread(step, item, seed, begin, part)
        if isinstance(step, Group):
            return _call(_drawing(step, step._collate, seed), item, begin)
        if isinstance(step, Keyed):
            result = item if step.key is None else _call(step.key, item, begin)
            if isinstance(step, Distinct):
                hash(result)  # as it does, to look whether it was there
            return result
        if isinstance(step, Running):
            print("the state of the run was not kept; this is the initial one")
            return _call(step.call, item, begin)
        assert isinstance(step, Fold)
        print("the accumulator of the run was not kept; this is the initial one")
        return _call(lambda each: step._reducer(each, step._value), item, begin)
    finally:
        sys.settrace(None)


class _Debugger(pdb.Pdb):
    """Stops at lines, not at calls: the first stop is the first line of the user's function."""

    def user_call(self, frame: FrameType, argument_list: None) -> None:
        """Go on to the first line."""


def _nothing() -> None:
    pass


def _call(function: Callable[[Any], Any], item: Any, begin: Callable[[], None]) -> Any:
    begin()
    return function(item)


def _await(result: Awaitable[Any], begin: Callable[[], None]) -> Any:
    import asyncio

    async def wait() -> Any:
        begin()
        return await result

    return asyncio.run(wait())


def _spread(step: Spread, item: Any, seed: int | None, begin: Callable[[], None], part: int | None) -> list[Any]:
    function = None if step._function is None else _drawing(step, step._function, seed)
    begin()
    given = item if function is None else function(item)
    return list(given) if part is None else list(islice(given, part, part + 1))


def _drawing(step: PerItem | Spread | Group, function: Callable[..., Any], seed: int | None) -> Callable[[Any], Any]:
    """Return the function so that it draws what it drew in the run."""
    drawn = step.draws.begin(seed) if step.draws is not None and seed is not None else {}
    return partial(function, **drawn) if drawn else function


def describe(step: Step, name: str, result: object) -> str:
    """Return in words what a step's function made of an item."""
    if isinstance(step, Select):
        return "the item is kept" if result else "the item is filtered out"
    if isinstance(step, Tap):
        return "the item is passed on"
    return f"{name} gives {shown(result)}"


def shown(value: object) -> str:
    """Return a value's repr, cut."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a user's __repr__
        text = f"a {type(value).__qualname__} whose repr fails: {text_of(error)}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text) - _SHOWN} more characters)"


def tell(error: BaseException, title: str, debugging: Debugging) -> None:
    """Print a failure as the user's code alone saw it, and open the debugger there if that was asked for."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and not _is_the_users(trace.tb_frame):
        trace = trace.tb_next
    print(traceback_of(error.with_traceback(trace), title), end="")
    if debugging == "post-mortem":
        pdb.post_mortem(trace)


def _is_the_users(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__", "")
    return not any(fnmatch(module, pattern) for pattern in _NOT_THE_USERS)
