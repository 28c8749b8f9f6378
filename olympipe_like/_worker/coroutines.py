"""Coroutine functions, called one at a time. Apart from the rest because asyncio is slow to load."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from olympipe_like._worker.attempts import Attempts


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
            return judge(await _result(call(), timeout)), None, tries
        except _Cancelled as stopped:
            raise asyncio.CancelledError from stopped
        except BaseException as error:  # noqa: BLE001 - anything a function raises is its item's failure
            rest()
            wait = next(waits, None) if attempts.may_retry(error) else None
            if wait is None:
                return None, error, tries
            attempts.retried += 1
        await asyncio.sleep(wait)


class _Cancelled(BaseException):
    """The run is being stopped: not the item's own CancelledError."""


async def _result(given: Any, timeout: float | None) -> Any:
    if not isinstance(given, Awaitable):
        return given
    if timeout is None and hasattr(asyncio.Task, "cancelling"):
        try:
            return await given
        except asyncio.CancelledError as cancelled:
            task: Any = asyncio.current_task()  # `cancelling` came with 3.11
            if task is not None and task.cancelling():
                raise _Cancelled from cancelled
            raise
    # A task of its own tells the item's CancelledError from that of the task we are in, and can be given up.
    own = asyncio.ensure_future(given)
    try:
        done, _ = await asyncio.wait({own}, timeout=timeout)
    except asyncio.CancelledError as stopped:
        own.cancel()
        raise _Cancelled from stopped
    if not done:
        own.cancel()
        own.add_done_callback(_forget)
        try:
            await asyncio.wait({own}, timeout=1.0)  # its finally blocks; one that goes on regardless is left behind
        except asyncio.CancelledError as stopped:
            raise _Cancelled from stopped
        raise TimeoutError(f"took longer than timeout={timeout:g} s")
    return own.result()


def _forget(given_up: asyncio.Future[Any]) -> None:
    """Look at what a coroutine that was given up came to, or asyncio complains that nobody did."""
    if not given_up.cancelled():
        given_up.exception()
