"""Where a step or source of a resumed run begins, as plain data."""

from __future__ import annotations

from typing import NamedTuple

from olympipe_like._model.identity import Path


class Start(NamedTuple):
    """Where a step that remembers begins; what came before has been dealt with by an earlier run."""

    after: Path = ()  # items up to this path are not taken again; empty: all are
    taken: int = 0  # how many items had been taken by then, as far as the step cares
    below: Path = ()  # what it gives before this path is not given again
    epoch: Path = ()  # which epoch of each repeat behind it


BEGINNING = Start()


class SourceStart(NamedTuple):
    """Where a source begins. Both are an epoch's number for each repeat, and an item's number in that epoch."""

    first: Path  # the first item to be given
    begun: Path  # where it is begun: items from there to `first` are pulled and dropped
