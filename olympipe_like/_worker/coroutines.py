"""Coroutine functions, called one at a time. Apart from the rest because asyncio is slow to load."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from olympipe_like._worker.attempts import Attempts

CLEAN_UP_SECONDS = 1.0  # for the finally blocks of a coroutine that is cancelled; one that goes on is left behind
LAST_SECONDS = 0.25  # for what is left on a loop that ends

T = TypeVar("T")
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
        pause = next(waits, None) if attempts.may_retry(error) else None
        if pause is None:
            return None, error, tries
        attempts.retried += 1
        await asyncio.sleep(pause)


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


def run(loop: asyncio.AbstractEventLoop, given: Awaitable[T]) -> T:
    """Return what an awaitable gives on a loop that stands still; in whichever thread that may run."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return loop.run_until_complete(given)
    # A notebook's own loop, say, runs in this thread, which can run no other meanwhile.
    task = asyncio.ensure_future(given, loop=loop)
    found: Future[T] = Future()
    thread = threading.Thread(
        target=copy_context().run, args=(_run_there, loop, task, found), name="olympipe-loop", daemon=True
    )
    try:
        thread.start()
        return found.result()
    except BaseException:
        if not found.done():  # Ctrl-C, even while the thread starts; it may never have begun
            loop.call_soon_threadsafe(task.cancel)
            wait([found], timeout=2 * CLEAN_UP_SECONDS)
        raise
    finally:
        if found.done():
            thread.join()


def _run_there(loop: asyncio.AbstractEventLoop, task: asyncio.Future[T], found: Future[T]) -> None:
    try:
        found.set_result(loop.run_until_complete(task))
    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
        found.set_exception(error)


def end_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop, after all that still waits there was cancelled and had a moment to end."""
    if loop.is_running():
        return  # in another thread, with a coroutine that Ctrl-C could not cancel: it is left behind
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    try:
        if left:
            run(loop, asyncio.wait(left, timeout=LAST_SECONDS))
        run(loop, loop.shutdown_asyncgens())
    finally:
        loop.close()
