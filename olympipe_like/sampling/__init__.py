"""Streams of samples drawn from many sources: made again at will, mixed by chance, bounded in memory, resumable.

>>> from olympipe_like.sampling import ShuffledMux, Streamer
>>> letters = ShuffledMux([Streamer("abc"), Streamer("xyz")], random_state=1)
>>> "".join(letters(max_iter=8))
'xyazbcxa'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from olympipe_like.sampling.in_order import ChainMux, RoundRobinMux
    from olympipe_like.sampling.iteration import Iteration
    from olympipe_like.sampling.maps import buffer_stream, keras_tuples, tuples
    from olympipe_like.sampling.mixture import Mix, mix
    from olympipe_like.sampling.reuse import cache
    from olympipe_like.sampling.stochastic import ShuffledMux, StochasticMux
    from olympipe_like.sampling.streamer import Streamer, streamable

_HOMES = {
    "ChainMux": "in_order",
    "Iteration": "iteration",
    "Mix": "mixture",
    "RoundRobinMux": "in_order",
    "ShuffledMux": "stochastic",
    "StochasticMux": "stochastic",
    "Streamer": "streamer",
    "buffer_stream": "maps",
    "cache": "reuse",
    "keras_tuples": "maps",
    "mix": "mixture",
    "streamable": "streamer",
    "tuples": "maps",
}

__all__ = [
    "ChainMux",
    "Iteration",
    "Mix",
    "RoundRobinMux",
    "ShuffledMux",
    "StochasticMux",
    "Streamer",
    "buffer_stream",
    "cache",
    "keras_tuples",
    "mix",
    "streamable",
    "tuples",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use: what needs no numpy must not wait for it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
