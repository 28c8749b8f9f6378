"""Functions that draw random numbers, in every way a stage may ask for them."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import numpy as np


def first(item):
    """Return the number that the item began with, however often it was drawn for."""
    while isinstance(item, tuple):
        item = item[0]
    return item


def draw(item, rng):
    return item, int(rng.integers(1 << 30))


def draw_by_name(item, *, rng):
    return item, rng.random()


async def draw_later(item, rng):
    before = rng.random()
    await asyncio.sleep(0.001 * (first(item) % 2))
    return item, before, rng.random()


def is_lucky(item, rng):
    return rng.random() < 0.7


def some(item, rng):
    for _ in range(int(rng.integers(4))):
        yield item, int(rng.integers(1 << 30))


def mixed(members, rng):
    return tuple(members[place] for place in rng.permutation(len(members)))


def two_ways(item, rng):
    return (item, rng.random()), rng.random()


def draw_globally(item):
    return item, random.random(), float(np.random.random())  # noqa: NPY002 - what is tested


def some_globally(item):
    for _ in range(random.randrange(4)):
        yield item, random.random(), float(np.random.random())  # noqa: NPY002 - what is tested


class Noise:
    """Draws, as an object with ``transform`` and as a class whose instances workers build."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def transform(self, item, rng):
        return item, self.scale * rng.random()


class Caller:
    """Draws when it is called."""

    def __call__(self, item, rng):
        return item, -rng.random()


class Dying:
    """A drawing function that ends its worker, after it has drawn, the first time it meets an item."""

    def __init__(self, function, trace, items):
        self.function = function
        self.trace = str(trace)  # of those it has met
        self.items = frozenset(items)

    def __call__(self, item, rng):
        made = self.function(item, rng)
        if first(item) in self.items:
            try:
                os.close(os.open(f"{self.trace}-{first(item)}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                return made
            os.kill(os.getpid(), signal.SIGKILL)
        return made
