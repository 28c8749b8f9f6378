"""What functions of items draw: numbers that follow from the run's seed, the step and the item's path alone.

So it does not matter which worker has an item, in what frame, after which others, or for which time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from olympipe_like._model.identity import Path
from olympipe_like._worker.chunk import Chunk

if TYPE_CHECKING:
    from hashlib import blake2b

_BYTES = 16  # of a seed: of 64 bits two of a thousand million items would be alike now and then
_WORD = (1 << 32) - 1


class Generators:
    """``random`` and ``numpy.random`` of this process, where nobody else draws from them meanwhile."""

    def __init__(self) -> None:
        import random  # takes a few milliseconds to load

        self._random = random
        self._numpy = _numpys()

    def seed(self, seed: int) -> None:
        """Begin anew: the same numbers for the same seed, of at most 128 bits. Takes some 16 µs."""
        self._random.seed(seed)
        if self._numpy is not None:
            # A word more: both are a Mersenne Twister that is seeded alike, and would draw the same numbers.
            self._numpy.seed([*(seed >> shift & _WORD for shift in range(0, 8 * _BYTES, 32)), 1])

    def state(self) -> Any:
        """Return where they are."""
        return self._random.getstate(), None if self._numpy is None else self._numpy.get_state()

    def restore(self, state: Any) -> None:
        """Put them there."""
        own, numpys = state
        self._random.setstate(own)
        if self._numpy is not None:
            self._numpy.set_state(numpys)


@cache
def _numpys() -> Any:
    """Return ``numpy.random``, None if there is none."""
    if find_spec("numpy") is None:
        return None
    # Not only if it is loaded already: a function may load it, and draw, within its first item.
    import numpy.random

    return numpy.random


@contextmanager
def kept(seeded: bool) -> Iterator[None]:
    """Leave the process's generators as they are found, where they are ``seeded`` in between."""
    generators = Generators() if seeded else None
    state = generators.state() if generators is not None else None
    try:
        yield
    finally:
        if generators is not None:
            generators.restore(state)


def seed_of(root: str) -> int:
    """Return the seed that a text stands for."""
    return int.from_bytes(_hash_of(root).digest(), "little")


def _hash_of(root: str) -> blake2b:
    from hashlib import blake2b  # loads OpenSSL, which takes 4 ms, and most steps draw nothing

    return blake2b(root.encode(), digest_size=_BYTES)


class Draws:
    """The random numbers of one step in one worker.

    Parameters
    ----------
    root : str
        What all of them follow from: the run's seed, and the step.
    rng : bool
        Whether the step's function wants a generator.
    generators : Generators, optional
        To be seeded for each item.
    alike : bool
        Whether items of one path draw the same: they may come in different frames, and whoever has one of them knows
        of no other.

    Raises
    ------
    ModuleNotFoundError
        If the function wants a generator, and there is no numpy.
    """

    def __init__(
        self, root: str, *, rng: bool = False, generators: Generators | None = None, alike: bool = False
    ) -> None:
        self._text = root
        self._alike = alike
        self._generators = generators
        self._make_rng = _default_rng() if rng else None
        self.active = rng or generators is not None

    @cached_property
    def _root(self) -> blake2b:
        return _hash_of(self._text)

    def seed(self, chunk: Chunk, index: int) -> int:
        """Return what one item's numbers follow from: 128 bits."""
        return self.seed_at(chunk.path(index), _twins(chunk, index))

    def seed_at(self, path: Path, twins: int = 0) -> int:
        """Return that of the item with a path; ``twins``: how many others have come with it before."""
        digest = self._root.copy()
        digest.update(repr((path, 0 if self._alike else twins)).encode())
        return int.from_bytes(digest.digest(), "little")

    def begin(self, seed: int) -> dict[str, Any]:
        """Begin an item, or another try of it; return the arguments that its function wants."""
        if self._generators is not None:
            self._generators.seed(seed)
        return {} if self._make_rng is None else {"rng": self._make_rng(seed)}

    def pause(self) -> Any:
        """Return where an item's numbers are, before others are drawn that are not its own."""
        return None if self._generators is None else self._generators.state()

    def go_on(self, state: Any) -> None:
        """Go on with an item's numbers."""
        if self._generators is not None:
            self._generators.restore(state)


def _twins(chunk: Chunk, index: int) -> int:
    """Return how many items of the same path are right before this one: legs of a gather gave one each.

    To be asked only where they are always in one chunk, see `_plan.twins`: a merge gives out all items of a place
    together, and most steps do not take them apart again.
    """
    if index and not isinstance(chunk.columns[-1], range):
        path, before = chunk.path(index), index - 1
        while before >= 0 and chunk.path(before) == path:
            before -= 1
        return index - 1 - before
    return 0


def _default_rng() -> Any:
    try:
        from numpy.random import default_rng
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a function with a parameter rng needs numpy: pip install 'olympipe-like[sampling]'", name="numpy"
        ) from error
    return default_rng
