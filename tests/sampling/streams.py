"""Sources for streams, importable wherever they are sent."""

from __future__ import annotations

from olympipe_like.sampling import Streamer, streamable


def labelled(label, count):
    for number in range(count):
        yield f"{label}{number}"


def endless(label):
    while True:
        yield label


def thrown(rng, count=None):
    number = 0
    while count is None or number < count:
        yield int(rng.integers(1000))
        number += 1


def doubled(stream):
    for item in stream:
        yield item * 2


@streamable
def counted(count, start=0):
    yield from range(start, start + count)


class Watched:
    """Makes sources that say how many of them are open, and how many ever were."""

    def __init__(self):
        self.open = self.most = self.opened = self.closed = self.pulled = 0

    def source(self, label="x", count=None):
        self.open += 1
        self.opened += 1
        self.most = max(self.most, self.open)
        try:
            for item in endless(label) if count is None else labelled(label, count):
                self.pulled += 1
                yield item
        finally:
            self.open -= 1
            self.closed += 1

    def streamer(self, *args):
        return Streamer(self.source, *args)


class Bookmarked:
    """An iterator with a state of its own, which counts how often it had to make an item."""

    made = 0

    def __init__(self, count):
        self.count = count
        self.at = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.at == self.count:
            raise StopIteration
        type(self).made += 1
        self.at += 1
        return f"item {self.at - 1}"

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]
