"""Who of the stages that share workers should have how many. Knows shares of time. Does not know stages or clocks.

Theory of operation. A stage with ``w`` workers of which ``b`` are at work could do ``w / b`` times what it does: its
*headroom*. The parts of one stream do the same items, so the stream cannot go faster than the least headroom of its
stages allows. Workers go to the stage with the least until a stage whose number is fixed has less, or until nothing is
gained. What each stage has at work is measured under the workers it has, but how it compares with the others does not
depend on them: it is the ratio of their work for an item. So the best allotment is the same wherever one starts, and
two looks at the same load do not contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SHORT_IDLE = 0.15
"""A stage is short of workers only if they wait for less than this share of their time. Between frames a worker that
always finds items waits for 1 % of it, with items of 0.1 ms as with those of 20 ms; where they are uneven, and come in
order, for more."""

SHORT_BUSY = 0.5
"""And if they are at work for more than this share of it. Else it is the transport that takes the time, of which more
workers need more: of three stages of tiny ints the first is idle for 4 % of its time, and at work for 41 %; where items
are sent one by one, for 7 %."""

GAIN = 1.2
"""By how much a stream must become faster for a worker to be taken from a stage. Of very uneven items (one in twenty of
20 ms, the others of 0.75 ms) a quarter of a second has 146, whose mean has a standard error of a fifth."""

GAIN_OF_SPARE = 1.05
"""The same for a worker that nobody has: nothing is lost if it is not needed after all."""

LEAST = 0.01  # workers at work: the headroom of a stage that did nothing is large, not endless


class Load(NamedTuple):
    """What a stage's workers did for some time."""

    workers: int  # it shall have
    busy: float  # how many of them were at work, on average
    idle_share: float = 0.0  # of their time: waited for items, or for room; 0 to 1
    busy_share: float = 1.0
    auto: bool = True  # their number may change
    stream: int = 0  # stages with the same one are parts of one stream

    @property
    def is_short(self) -> bool:
        """Whether it might do more with more workers."""
        return self.auto and self.idle_share <= SHORT_IDLE and self.busy_share >= SHORT_BUSY


class Transfer(NamedTuple):
    """One worker that goes to another stage. Places in the sequence of loads."""

    giver: int | None  # None: nobody had it
    taker: int


def allot(loads: Sequence[Load], total: int) -> list[Transfer]:
    """Return who should be given workers of whom, at once; empty: leave all as it is.

    Parameters
    ----------
    loads : sequence of Load
        Of all stages with workers that have not ended.
    total : int
        Workers that those with ``auto`` share.

    Returns
    -------
    list of Transfer
        A stage at most doubles. Workers that nobody had come first, and if those are a gain they are all.

    Examples
    --------
    >>> allot([Load(3, 0.4, idle_share=0.87, busy_share=0.13), Load(1, 1.0)], total=4)
    [Transfer(giver=0, taker=1)]
    >>> allot([Load(2, 1.9), Load(2, 1.8)], total=4)
    []
    """
    sizes = [load.workers for load in loads]
    spare = total - sum(load.workers for load in loads if load.auto)
    streams = {load.stream for load in loads if load.is_short}
    for stream in sorted(streams, key=lambda each: (_least(loads, sizes, each), each)):
        if transfers := _for_stream(loads, stream, spare):
            return transfers
    return []


def _for_stream(loads: Sequence[Load], stream: int, spare: int) -> list[Transfer]:
    """Return the transfers that gain a stream most; of those that nobody loses anything by, if they gain enough."""
    sizes = [load.workers for load in loads]
    before = _least(loads, sizes, stream)
    transfers: list[Transfer] = []
    givers: set[int] = set()
    most, found = 0.0, 0
    while (taker := _taker(loads, sizes, stream)) is not None and taker not in givers:
        if not (transfers or loads[taker].is_short):
            break
        giver = None
        if len(transfers) >= spare:
            giver = _giver(loads, sizes, {taker, *(each.taker for each in transfers)})
            if giver is None or (found > 0 and not givers):
                break
            givers.add(giver)
            sizes[giver] -= 1
        sizes[taker] += 1
        transfers.append(Transfer(giver, taker))
        # A giver of another stream must not become what holds that up.
        gain = min([_least(loads, sizes, stream), *(_headroom(loads[each], sizes[each]) for each in givers)]) / before
        if gain > max(most, GAIN if givers else GAIN_OF_SPARE):
            most, found = gain, len(transfers)
    return transfers[:found]


def _giver(loads: Sequence[Load], sizes: Sequence[int], takers: set[int]) -> int | None:
    """Return the stage that can best do with one less."""
    others = [place for place, load in enumerate(loads) if load.auto and sizes[place] > 1 and place not in takers]
    return max(others, key=lambda place: _headroom(loads[place], sizes[place] - 1), default=None)


def _taker(loads: Sequence[Load], sizes: Sequence[int], stream: int) -> int | None:
    """Return the stage that keeps the stream from going faster, if more workers may help it.

    Whether it is short of workers is seen only of those that do so now; others will, when these have more.
    """
    members = [place for place, load in enumerate(loads) if load.stream == stream]
    slowest = min(members, key=lambda place: _headroom(loads[place], sizes[place]))
    load = loads[slowest]
    return slowest if load.auto and sizes[slowest] < 2 * load.workers else None


def _least(loads: Sequence[Load], sizes: Sequence[int], stream: int) -> float:
    return min(_headroom(load, size) for load, size in zip(loads, sizes, strict=True) if load.stream == stream)


def _headroom(load: Load, workers: int) -> float:
    return workers / max(load.busy, LEAST)
