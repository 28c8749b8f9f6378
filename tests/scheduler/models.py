"""What the workers of a simulated run do: every operator on plain lists of (path, value), in a few lines each."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile

from olympipe_like._model.identity import END, Path
from olympipe_like._model.options import SKIP
from olympipe_like._plan import operators as ops
from olympipe_like._plan.segment import Segment

Item = tuple[Path, object]


@dataclass(frozen=True)
class Failed:
    """A failed item, as the scheduler carries it: it never looks inside."""

    path: Path
    what: str


@dataclass
class Chunk:
    """A frame with its items."""

    items: list[Item] = field(default_factory=list)
    upto: Path = ()
    failure: Failed | None = None


class Each:
    """Operators without memory: `make` turns one item into a list of items, or raises."""

    done = False

    def __init__(self, make):
        self.make = make

    def feed(self, chunk, leg):
        out = []
        for path, value in chunk.items:
            try:
                for made in self.make(path, value):
                    out.append(made)  # noqa: PERF402 - what comes before an exception counts
            except Exception as error:
                # After the items an explode made of it before it failed.
                place = (*out[-1][0], 0) if out and out[-1][0] > path else path
                return Chunk(out, chunk.upto, Failed(place, repr(error)))
        return Chunk(out, chunk.upto, chunk.failure)

    def end(self, leg):
        return None


class Group:
    """Batch."""

    done = False

    def __init__(self, op):
        self.op = op
        self.held = []

    def feed(self, chunk, leg):
        self.held += chunk.items
        out = []
        while len(self.held) >= self.op.size:
            members, self.held = self.held[: self.op.size], self.held[self.op.size :]
            out.append((members[-1][0], [value for _, value in members]))
        return Chunk(out, min(chunk.upto, END), chunk.failure)

    def end(self, leg):
        values = [value for _, value in self.held]
        if not values or self.op.last == "drop":
            return None
        if self.op.last == "pad":
            values += [self.op.pad] * (self.op.size - len(values))
        return Chunk([(END, values)], END)


class Fold:
    """Reduce."""

    done = False

    def __init__(self, op):
        self.op = op
        self.value = op.initial

    def feed(self, chunk, leg):
        for _, value in chunk.items:
            self.value = self.op.reducer(value, self.value)
        return Chunk([], min(chunk.upto, END), chunk.failure)

    def end(self, leg):
        return Chunk([(END, self.value)], END)


class Merge:
    """What gather and zip have in common: they hold the items of each leg."""

    done = False

    def __init__(self, legs):
        self.legs = [Chunk() for _ in range(legs)]
        self.ended = [False] * legs

    def feed(self, chunk, leg):
        held = self.legs[leg]
        assert held.failure is None, f"leg {leg} goes on after its failed item"
        assert not self.ended[leg], f"leg {leg} goes on after its end"
        held.items += chunk.items
        held.upto = chunk.upto
        if chunk.failure is not None:
            held.failure = chunk.failure
            held.upto = chunk.failure.path
        return self.ready()

    def end(self, leg):
        assert not self.ended[leg], f"leg {leg} ends twice"
        self.ended[leg] = True
        self.legs[leg].upto = (END[0] + 1,)
        return self.ready()


class Interleave(Merge):
    """Gather by source position."""

    def feed(self, chunk, leg):
        upto = self.legs[leg].upto
        assert all(path >= upto for path, _ in chunk.items), f"leg {leg} brings items from before {upto}"
        return super().feed(chunk, leg)

    def ready(self):
        bound = min(leg.upto for leg in self.legs)
        out = []
        for number, leg in enumerate(self.legs):
            ready = list(takewhile(lambda item: item[0] < bound, leg.items))
            del leg.items[: len(ready)]
            out += [(path, number, value) for path, value in ready]
        out.sort(key=lambda entry: entry[:2])
        failure = next((leg.failure for leg in self.legs if leg.failure and leg.upto == bound), None)
        return Chunk([(path, value) for path, _, value in out], min(bound, END), failure)


class Pair(Merge):
    """Zip up to the end of the shortest leg."""

    def ready(self):
        count = min(len(leg.items) for leg in self.legs)
        rows = list(zip(*(leg.items[:count] for leg in self.legs), strict=True))
        for leg in self.legs:
            del leg.items[:count]
        first = self.legs[0]
        upto = first.items[0][0] if first.items else min(first.upto, END)
        failure = next((leg.failure for leg in self.legs if leg.failure and not leg.items), None)
        self.done = any(ended and not leg.items for ended, leg in zip(self.ended, self.legs, strict=True))
        return Chunk([(row[0][0], tuple(value for _, value in row)) for row in rows], upto, failure)


def step_of(op, legs):
    match op:
        case ops.Task():
            return Each(lambda path, value: [(path, v) for v in [op.function(value)] if v is not SKIP])
        case ops.Filter():
            return Each(lambda path, value: [(path, value)] if op.function(value) else [])
        case ops.Explode():
            return Each(lambda path, value: (((*path, i), v) for i, v in enumerate(op.function(value))))
        case ops.Unbatch():
            return Each(lambda path, value: [((*path, i), v) for i, v in enumerate(value)])
        case ops.Tap():
            return Each(lambda path, value: [(path, value)])
        case ops.Partition():
            return Each(lambda path, value: [(path, (value, SKIP) if op.function(value) else (SKIP, value))])
        case ops.Leg():
            return Each(lambda path, value: [(path, value[op.leg])] if value[op.leg] is not SKIP else [])
        case ops.Batch():
            return Group(op)
        case ops.Reduce():
            return Fold(op)
        case ops.Gather():
            return Interleave(legs)
        case ops.Zip():
            return Pair(legs)
    raise AssertionError(f"no model of {op!r}")


class Model:
    """One worker's segment."""

    def __init__(self, segment: Segment):
        self.steps = [step_of(op, segment.legs) for op in segment.ops]
        self.open_legs = max(segment.legs, 1)

    def run(self, chunk: Chunk | None, leg: int) -> tuple[Chunk, bool]:
        """Return the whole answer to a frame (None: to the end of a leg), and whether no more input is wanted."""
        out = self.flow(0, chunk, leg) if chunk is not None else self.end(leg)
        return out, any(step.done for step in self.steps)

    def flow(self, start, chunk, leg):
        for index in range(start, len(self.steps)):
            chunk = self.steps[index].feed(chunk, leg if index == 0 else 0)
        return chunk

    def end(self, leg):
        self.open_legs -= 1
        steps = self.steps if self.open_legs == 0 else self.steps[:1]
        out = Chunk(upto=END if self.open_legs == 0 else ())
        for index, step in enumerate(steps):
            held = step.end(leg if index == 0 else 0)
            if held is not None and out.failure is None:
                made = self.flow(index + 1, held, 0)
                out = Chunk(out.items + made.items, made.upto, made.failure)
        return out
