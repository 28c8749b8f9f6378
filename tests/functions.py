"""Functions, classes and sources that reach workers by name. Imports nothing heavy: every worker loads this file."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from olympipe_like import SKIP

# -- for random plans: total functions of ints, strings, None, tuples and lists of these ---------------------


def size(value):
    """Return a small number that is the same in every process, unlike ``hash``."""
    return value if isinstance(value, int) else len(repr(value))


def increment(value):
    return value + 1 if isinstance(value, int) else value


def describe(value):
    return repr(value)[:12]


def nothing(value):
    return None


def drop_thirds(value):
    return SKIP if size(value) % 3 == 0 else value


async def increment_later(value):
    await asyncio.sleep(0)
    return increment(value)


async def drop_thirds_later(value):
    await asyncio.sleep(0.001 * (size(value) % 2))
    return drop_thirds(value)


def is_even(value):
    return size(value) % 2 == 0


def is_rare(value):
    return size(value) % 5 == 4


def twice(value):
    return [value, value]


def some(value):
    """Yield the value 0 to 2 times."""
    for _ in range(size(value) % 3):
        yield value


def letters(value):
    return repr(value)[:2]


def count_one(item, total):
    return total + 1


def remember(item, seen):
    return (*seen, describe(item))


def running_count(item, total):
    return total + 1, SKIP if total % 3 == 2 else (total, describe(item))


def what_was_before(item, before):
    return (describe(item), *before)[:3], before


def both_or_one(value):
    return value, (value if is_even(value) else SKIP)


def three_ways(value) -> tuple[object, object, object]:
    way = size(value) % 3
    return (value if way == 0 else None), (value if way == 1 else SKIP), (value, way)


# -- for consumers in the test's own process -----------------------------------------------------------------


def take_all(items, *, into: list) -> None:
    """Take items one by one, so that they are kept when an error follows."""
    for item in items:
        into.append(item)  # noqa: PERF402 - `extend` does not promise to keep them


# -- for things that happen at the same time ----------------------------------------------------------------------


def meet(folder: Path, mine: str, others: list[str]) -> bool:
    """Wait until all are there; say whether they came."""
    (folder / mine).touch()
    for _ in range(1000):
        if all((folder / other).exists() for other in others):
            return True
        time.sleep(0.005)
    return False


# -- for order: early items take longest, so order never comes by luck ---------------------------------------


def hurry_later(value: int) -> int:
    """Take 25 ms for every sixth item and less and less for those after it."""
    time.sleep((5 - value % 6) * 0.005)
    return value


async def hurry_later_async(value: int) -> int:
    await asyncio.sleep((5 - value % 6) * 0.005)
    return value


def hurry_later_and_keep_even(value: int) -> bool:
    return hurry_later(value) % 2 == 0


def hurry_later_and_repeat(value: int) -> Iterator[tuple[int, int]]:
    for part in range(value % 3):
        yield hurry_later(value), part


# -- counting across processes -------------------------------------------------------------------------------


class Tally:
    """Counts calls made in any process: one byte a call, appended to a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def hit(self, name: str) -> None:
        """Count one call."""
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, b".")
        os.close(descriptor)

    def count(self, name: str) -> int:
        """Return how many calls there were."""
        path = self.folder / name
        return path.stat().st_size if path.exists() else 0


# -- sources -------------------------------------------------------------------------------------------------


def numbers(start: int, stop: int, *, step: int = 1) -> Iterator[int]:
    yield from range(start, stop, step)


def process_ids(n: int) -> Iterator[int]:
    for _ in range(n):
        yield os.getpid()


def numbers_until_it_breaks(n: int, error: BaseException) -> Iterator[int]:
    yield from range(n)
    raise error


def replay(values, *, times: int = 1) -> Iterator[object]:
    for _ in range(times):
        yield from values


class AsyncValues:
    """An async iterable that can be iterated again."""

    def __init__(self, values) -> None:
        self.values = values

    async def __aiter__(self) -> AsyncIterator[object]:
        for value in self.values:
            await asyncio.sleep(0)
            yield value


# -- exceptions ----------------------------------------------------------------------------------------------


class TwoArguments(Exception):
    """Pickle calls its class with the one argument in ``args`` and fails."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} (code {code})")
        self.code = code


class HoldsALock(Exception):
    """Cannot be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class HoldsASocket(Exception):
    """Cannot be pickled, and its descriptor must not stay open."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.connection = socket.socket()


class CannotBePrinted(Exception):
    """Fails whoever wants to report it."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


# -- items and results ---------------------------------------------------------------------------------------


def explode_on_load(text: str) -> None:
    raise ValueError(text)


class ExplodesOnLoad:
    """Pickles well and cannot be rebuilt."""

    def __reduce__(self):
        return explode_on_load, ("boom while loading",)


class Touchy:
    """Raises at whatever a library might be tempted to ask of an item."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("do not compare me")

    def __hash__(self) -> int:
        raise RuntimeError("do not hash me")

    def __bool__(self) -> bool:
        raise RuntimeError("do not test me")

    def __len__(self) -> int:
        raise RuntimeError("do not measure me")

    def __iter__(self):
        raise RuntimeError("do not iterate me")

    def __repr__(self) -> str:
        raise RuntimeError("do not print me")


def array_of(layout: str):
    """Return one of the arrays of `tests.arrays`, made by the worker itself."""
    from tests.arrays import ARRAYS

    return ARRAYS[layout]


class Doubler:
    """An object with ``transform``, as in Neuraxle and scikit-learn."""

    def transform(self, value: int) -> int:
        return value * 2


# -- workers with a state ------------------------------------------------------------------------------------


class Scaler:
    """Multiplies; tells its tally when it is built, used and closed."""

    def __init__(self, factor: int = 1, offset: int = 0, tally: Tally | None = None) -> None:
        self.factor = factor
        self.offset = offset
        self.tally = tally
        self.seen = 0
        self._note("built")

    def scale(self, value: int) -> int:
        self.seen += 1
        self._note("used")
        return value * self.factor + self.offset

    def scale_slowly(self, value: int) -> int:
        time.sleep(0.03)
        return self.scale(value)

    def count(self, value: object) -> int:
        self.seen += 1
        return self.seen

    def home(self, value: object) -> int:
        return os.getpid()

    def fail(self, value: int) -> int:
        if value == 3:
            raise ValueError("user-boom")
        return value

    def close(self) -> None:
        self._note("closed")

    def _note(self, what: str) -> None:
        if self.tally is not None:
            self.tally.hit(what)


class CannotBeBuilt:
    """Fails in the worker, before any item."""

    def __init__(self) -> None:
        raise OSError("no such device")

    def use(self, value: int) -> int:
        return value
