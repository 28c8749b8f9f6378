"""Where random numbers come from: one number for a whole tree of streams, and a path for each place in it.

Nothing here is drawn from numpy's global state. What a place draws depends on the seed and on the path alone, so a
stream can be begun in any process, and its state is a count instead of a generator's insides.
"""

from __future__ import annotations

import operator
import secrets
from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanError, PlanTypeError

if TYPE_CHECKING:
    import numpy as np

_CHILDREN = 8  # places below this are a streamer's own: its draws, its quotas, its order
_FIRST_BLOCK, _LARGEST_BLOCK = 16, 1024  # draws; a mux that is left early should not have paid for a thousand


def load_numpy() -> Any:
    """Return numpy, or say what to install."""
    try:
        import numpy as np
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "random streams need numpy: pip install 'olympipe-like[sampling]'", name="numpy"
        ) from error
    return np


class Seed(NamedTuple):
    """What all random numbers of one place in a tree of streams follow from."""

    entropy: int
    path: tuple[int, ...] = ()

    def child(self, number: int) -> Seed:
        """Return the seed of the ``number``-th stream (>= 0) that is opened from here."""
        return Seed(self.entropy, (*self.path, _CHILDREN + number))

    def of(self, entropy: int | None) -> Seed:
        """Return the seed of a streamer in this place that may have entropy of its own."""
        return self if entropy is None else Seed(entropy, self.path)

    def generator(self, *use: int) -> np.random.Generator:
        """Return a generator for one of the uses a place has for random numbers."""
        numpy = load_numpy()
        key = numpy.random.SeedSequence(self.entropy, spawn_key=(*self.path, *use))
        made: np.random.Generator = numpy.random.Generator(numpy.random.PCG64(key))
        return made

    def entropy_here(self) -> int:
        """Return entropy for a tree of streams of its own in this place."""
        return entropy_behind(repr(tuple(self)))

    def state(self) -> dict[str, Any]:
        """Return the seed as JSON can hold it."""
        return {"entropy": hex(self.entropy), "path": list(self.path)}  # 128 bits are more than most readers take

    @staticmethod
    def from_state(state: dict[str, Any]) -> Seed:
        """Return what `state` was asked of."""
        return Seed(int(state["entropy"], 16), tuple(state["path"]))


def entropy_behind(text: str) -> int:
    """Return the 128 bits that a text stands for."""
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "little")


def fresh_entropy() -> int:
    """Return 128 bits that nobody has had before."""
    return secrets.randbits(128)


def entropy_of(what: str, random_state: Any) -> int | None:
    """Return the entropy a ``random_state`` stands for; None for None.

    Parameters
    ----------
    what : str
        Who was given it, for errors.
    random_state : None, int >= 0, numpy.random.RandomState, Generator, BitGenerator or SeedSequence
        Of the generators some numbers are drawn, now and only now.
    """
    if random_state is None:
        return None
    if not isinstance(random_state, bool) and hasattr(type(random_state), "__index__"):
        number = operator.index(random_state)
        if number < 0:
            raise PlanError(f"{what} ({call_site()}): random_state must be >= 0, got {number}")
        return number
    random = load_numpy().random
    words: list[int]
    if isinstance(random_state, random.RandomState):
        words = random_state.randint(0, 1 << 32, size=4, dtype="uint64").tolist()
    elif isinstance(random_state, random.Generator | random.BitGenerator | random.SeedSequence):
        words = random.default_rng(random_state).integers(0, 1 << 32, size=4, dtype="uint64").tolist()
    else:
        raise PlanTypeError(
            f"{what} ({call_site()}): random_state must be None, a whole number, a RandomState or a Generator of "
            f"numpy, got {type(random_state).__name__}"
        )
    return sum(word << 32 * place for place, word in enumerate(words))


class Uniforms:
    """Numbers from 0 to below 1, drawn in blocks; how many have been used is all there is to remember.

    ``block`` may be read with ``next`` where speed matters; `more` follows once it is empty.
    """

    def __init__(self, seed: Seed, *use: int, used: int = 0) -> None:
        self._generator = seed.generator(*use)
        if used:
            self._generator.bit_generator.advance(used)  # type: ignore[attr-defined]  # each takes one step of PCG64
        self._drawn = used
        self._size = _FIRST_BLOCK
        self.block: Iterator[float] = iter(())

    def more(self) -> float:
        """Draw the next block; return its first number."""
        numbers = self._generator.random(self._size).tolist()
        self._drawn += self._size
        self._size = min(2 * self._size, _LARGEST_BLOCK)
        self.block = iter(numbers)
        return next(self.block)

    def one(self) -> float:
        """Return the next number."""
        number = next(self.block, None)
        return self.more() if number is None else number

    @property
    def used(self) -> int:
        """How many numbers have been taken."""
        return self._drawn - operator.length_hint(self.block)
