"""Coroutine functions, called one at a time. Apart from the rest because asyncio is slow to load."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from olympipe_like._worker.attempts import Attempts

CLEAN_UP_SECONDS = 1.0  # for the finally blocks of a coroutine that is cancelled; one that goes on is left behind
LAST_SECONDS = 0.25  # for what is left on a loop that ends

_Told = asyncio.Future[tuple[Any, BaseException | None]]  # what a coroutine came to

_in_hand: WeakKeyDictionary[asyncio.Task[Any], asyncio.Task[Any]] = WeakKeyDictionary()
"""For each worker's task that of the coroutine it waits for."""


async def attempt(
    call: Callable[[], Any],
    attempts: Attempts,
    judge: Callable[[Any], Any],
    timeout: float | None,
    rest: Callable[[], None],
) -> tuple[Any, BaseException | None, int]:
    """Call, and again as often as allowed; return the result, or the last exception, and the number of tries.

    ``rest`` is called after each try that failed.
    """
    tries = 0
    waits = attempts.waits()
    while True:
        tries += 1
        try:
            given = call()
            result, error = await _outcome(given, timeout) if isinstance(given, Awaitable) else (given, None)
            if error is None:
                return judge(result), None, tries
        except _Cancelled as stopped:
            raise asyncio.CancelledError from stopped
        except BaseException as raised:  # noqa: BLE001 - anything a function raises is its item's failure
            error = raised
        rest()
        wait = next(waits, None) if attempts.may_retry(error) else None
        if wait is None:
            return None, error, tries
        attempts.retried += 1
        await asyncio.sleep(wait)


class _Cancelled(BaseException):
    """The worker's own task was cancelled: no item's failure."""


async def _outcome(given: Awaitable[Any], timeout: float | None) -> tuple[Any, BaseException | None]:
    """Return what a coroutine returned or raised, or a TimeoutError.

    It has a task of its own. What it cancels, swallows or leaves cancelled there is its own affair: with the worker's
    task it would be the next item's, or could not be told from the end of the run.
    """
    loop = asyncio.get_running_loop()
    told: _Told = loop.create_future()
    own = loop.create_task(_run(given, told))
    own.add_done_callback(partial(_ended, told))
    worker = asyncio.current_task()
    assert worker is not None
    _in_hand[worker] = own
    try:
        if timeout is None:
            return await told
        await asyncio.wait({told}, timeout=timeout)
        if told.done():
            return told.result()
        own.cancel()
        await asyncio.wait({own}, timeout=CLEAN_UP_SECONDS)
    except asyncio.CancelledError as stopped:
        own.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({own}, timeout=CLEAN_UP_SECONDS)
        raise _Cancelled from stopped
    return None, TimeoutError(f"took longer than timeout={timeout:g} s")


async def _run(given: Awaitable[Any], told: _Told) -> None:
    """Tell what a coroutine comes to; a task that ended with KeyboardInterrupt or SystemExit would end its loop."""
    result, error = None, None
    try:
        result = await given
    except BaseException as raised:  # noqa: BLE001 - anything a function raises is its item's failure
        error = raised
    if not told.done():
        told.set_result((result, error))


def _ended(told: _Told, own: asyncio.Task[None]) -> None:
    """Tell that a task ended before it had begun, as one does that another item cancels."""
    if own.cancelled() and not told.done():
        told.set_result((None, asyncio.CancelledError()))


def in_hand(worker: asyncio.Task[Any]) -> Any:
    """Return the coroutine that a worker's task waits for, or waited for last; None: there was none."""
    own = _in_hand.get(worker)
    return own.get_coro() if own is not None else None


def end_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop, after all that still waits there was cancelled and had a moment to end."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    try:
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=LAST_SECONDS))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
