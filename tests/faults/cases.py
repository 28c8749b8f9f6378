"""The shape all cases of the fault table have: 200 numbers, two stages of two workers, the fault at item 100.

Its functions reach workers by name, so it imports nothing heavy.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from olympipe_like import Pipeline

ITEMS = range(770_000, 770_200)
AT = 100  # number of the item at fault
BAD = ITEMS[AT]
BEFORE = list(ITEMS[:AT])

STAGE = "stage 2/2 'stage_two_bad'"
ITEM = "item 100: 770100"
WORKER = r"  \[worker 2\.[01], pid \d+\]"  # a pattern, as are the two below
HELD = r"(item 100: 770100|it held \d+ items?)"
GAVE_UP = "; gave up after 3 attempts"


def stage_one_ok(value: Any) -> Any:
    return value


def two_stages(stage_two_bad: Callable[[Any], Any], items: Iterable[Any] = ITEMS, **options: Any) -> Pipeline:
    """Return the pipeline of the table; ``options`` are those of the stage at fault."""
    options = {"workers": 2, "name": "stage_two_bad", **options}
    return Pipeline(items).task(stage_one_ok, workers=2).task(stage_two_bad, **options)


def outcome(items: Iterable[Any]) -> tuple[list[Any], BaseException | None]:
    """Return what arrived one by one, and the error that followed, if any."""
    arrived: list[Any] = []
    try:
        for item in items:
            arrived.append(item)  # noqa: PERF402 - `extend` does not promise to keep what came before an error
    except BaseException as error:
        return arrived, error
    return arrived, None


def first_line(error: BaseException | None) -> str:
    """Return the first line of an error's text."""
    return str(error).split("\n", 1)[0]


def assert_first_line(error: BaseException | None, what: str, *, item: str = ITEM, stage: str = STAGE) -> None:
    """Compare the whole first line; only the worker's number and process id are left open."""
    expected = re.escape(f"{stage}: {what} — {item}") + WORKER
    assert re.fullmatch(expected, first_line(error)), first_line(error)


# -- ways to die ---------------------------------------------------------------------------------------------


def exit_0() -> None:
    os._exit(0)


def exit_1() -> None:
    os._exit(1)


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def abort() -> None:
    silence()
    os.abort()


def crash() -> None:
    silence()
    ctypes.string_at(0)


def silence() -> None:
    """Keep the stacks that faulthandler prints out of the test's output."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)


DEATHS: dict[str, tuple[Callable[[], None], str]] = {
    "exit code 1": (exit_1, "worker exited with code 1"),
    "exit code 0": (exit_0, "worker exited with code 0"),
    "SIGKILL": (be_killed, "worker was killed by SIGKILL (often the kernel's out-of-memory killer)"),
    "SIGSEGV": (crash, "worker crashed with SIGSEGV"),
    "SIGABRT": (abort, "worker crashed with SIGABRT"),
}


class Once:
    """Says True to the first process that asks, however many there are."""

    def __init__(self, folder: Path, name: str = "happened") -> None:
        self.path = str(folder / name)

    def __call__(self) -> bool:
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    @property
    def happened(self) -> bool:
        """Whether somebody was the first."""
        return os.path.exists(self.path)  # noqa: PTH110 - pathlib takes time to load in every worker


def always() -> bool:
    return True


def dying(die: Callable[[], None], when: Callable[[], bool] = always) -> Callable[[Any], Any]:
    """Return a stage function that ends its worker at the item at fault."""

    def stage_two_bad(value: Any) -> Any:
        if value == BAD and when():
            die()
        return value

    return stage_two_bad


def raising(make_error: Callable[[], BaseException]) -> Callable[[Any], Any]:
    """Return a stage function that raises at the item at fault."""

    def stage_two_bad(value: Any) -> Any:
        if value == BAD:
            raise make_error()
        return value

    return stage_two_bad


def making(make: Callable[[], Any]) -> Callable[[Any], Any]:
    """Return a stage function that makes something special of the item at fault."""

    def stage_two_bad(value: Any) -> Any:
        return make() if value == BAD else value

    return stage_two_bad
