"""What a plan means: every operator in a line or two of plain Python over complete lists.

An item is a pair of its position path and its value. Source item i has the path (i,). Knows no stage, worker or frame.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, islice
from math import inf
from random import Random

from olympipe_like import SKIP  # the marker that users' functions return; nothing else is taken from the library

Path = tuple[float, ...]
Items = list[tuple[Path, object]]

END: Path = (inf,)  # of whatever is emitted only when the input has ended


@dataclass(frozen=True)
class Node:
    """One operator; ``inputs`` are the numbers of earlier nodes, ``options`` concern only `strategies.build`."""

    kind: str
    inputs: tuple[int, ...] = ()
    arguments: tuple[object, ...] = ()
    options: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class Plan:
    """Nodes in an order in which inputs come first, and the numbers of those somebody waits for."""

    nodes: tuple[Node, ...]
    wanted: tuple[int, ...]


def evaluate(plan: Plan) -> list[list[object]]:
    """Return the values of every wanted node."""
    made = outcomes(plan.nodes)
    return [[value for _, value in made[number]] for number in plan.wanted]


def outcomes(nodes: Iterable[Node]) -> list[Items]:
    """Return what each node emits, positions included."""
    made: list[Items] = []
    for node in nodes:
        made.append(list(OPERATORS[node.kind](*(made[number] for number in node.inputs), *node.arguments)))
    return made


def source(values):
    return [((i,), value) for i, value in enumerate(values)]


def task(items, function):
    return [(path, result) for path, value in items if (result := function(value)) is not SKIP]


def filter_(items, keep):
    return [(path, value) for path, value in items if (value is not None if keep is None else keep(value))]


def tap(items, function):
    return items


def explode(items, function):
    return [
        ((*path, j), part) for path, whole in items for j, part in enumerate(function(whole) if function else whole)
    ]


def batch(items, size, rest="keep", pad=None):
    members = iter(items)
    while group := list(islice(members, size)):
        values = [value for _, value in group]
        if len(group) == size:
            yield group[-1][0], values  # where its last member was
        elif rest != "drop":
            yield END, values + [pad] * (size - len(group)) * (rest == "pad")


def reduce_(items, initial, reducer):
    return [(END, reduce(lambda total, item: reducer(item[1], total), items, initial))]


def scan(items, initial, fn):
    state = initial
    for path, value in items:
        state, result = fn(value, state)
        if result is not SKIP:
            yield path, result


def window(items, size, step, partial):
    for start in range(0, len(items), step):
        members = items[start : start + size]
        if len(members) == size or partial:
            yield (members[-1][0] if len(members) == size else END), [value for _, value in members]


def bucket(items, key, boundaries, size, most):
    begun = {}
    for path, value in items:
        place = sum(key(value) >= boundary for boundary in boundaries)
        begun.setdefault(place, [])
        if most is not None and begun[place] and sum(map(key, begun[place])) + key(value) > most:
            yield path, begun.pop(place)
        begun.setdefault(place, []).append(value)
        if len(begun[place]) == size or (most is not None and sum(map(key, begun[place])) >= most):
            yield path, begun.pop(place)
    yield from ((END, begun[place]) for place in sorted(begun) if begun[place])


def shuffle(items, buffer, seed):
    chance, held, out = Random(str(seed)), [], []
    for item in items:
        if buffer is None or len(held) < buffer:
            held.append(item)
        else:
            place = int(chance.random() * buffer)
            out.append(held[place])
            held[place] = item
    for last in range(len(held) - 1, 0, -1):
        place = int(chance.random() * (last + 1))
        held[place], held[last] = held[last], held[place]
    return [((number, *path), value) for number, (path, value) in enumerate(out + held)]


def sample(items, share):
    return {0: [], 1: items}[share]  # what lies between is a matter of chance; see test_reshaping


def unique(items, key):
    keys = [key(value) for _, value in items]
    return [item for place, item in enumerate(items) if keys[place] not in keys[:place]]


def shard(items, rank, world, even):
    mine, rest = items[rank::world], len(items) % world
    if even == "drop" and rest > rank:
        return mine[:-1]
    if even == "pad" and 0 < rest <= rank:
        return [*mine, (END, items[(rank - rest) % min(world, len(items))][1])]
    return mine


def repeat(items, epochs):
    return [((epoch, *path), value) for epoch in range(epochs) for path, value in items]


def limit(items, n):
    return items[:n]


def skip(items, n):
    return items[n:]


def split(items, function):
    return [(path, function(value)) for path, value in items]


def partition(items, predicate):
    return [(path, (value, SKIP) if predicate(value) else (SKIP, value)) for path, value in items]


def leg_of_split(items, number):
    return [(path, legs[number]) for path, legs in items if legs[number] is not SKIP and legs[number] is not None]


def leg_of_partition(items, number):
    return [(path, legs[number]) for path, legs in items if legs[number] is not SKIP]


def gather(*legs):
    return heapq.merge(*legs, key=lambda item: item[0])  # ties: the first leg first


def align(*legs, missing=SKIP):
    placed = []  # an item is where the furthest item before it in its leg is
    for leg in legs:
        places = accumulate((path for path, _ in leg), max)
        placed.append([(path, value) for path, (_, value) in zip(places, leg, strict=True)])
    for path in sorted({path for leg in placed for path, _ in leg}):
        columns = [[value for place, value in leg if place == path] for leg in placed]
        rows = (min if missing is SKIP else max)(map(len, columns))
        for row in range(rows):
            yield path, tuple(column[row] if row < len(column) else missing for column in columns)


def zip_(*legs):
    return [(row[0][0], tuple(value for _, value in row)) for row in zip(*legs, strict=False)]


def concat(*legs):
    return [((number, *path), value) for number, leg in enumerate(legs) for path, value in leg]


OPERATORS: Mapping[str, Callable[..., Iterable[tuple[Path, object]]]] = {
    "source": source,
    "task": task,
    "filter": filter_,
    "tap": tap,
    "explode": explode,
    "batch": batch,
    "unbatch": lambda items: explode(items, None),
    "reduce": reduce_,
    "scan": scan,
    "window": window,
    "bucket": bucket,
    "shuffle": shuffle,
    "sample": sample,
    "unique": unique,
    "shard": shard,
    "repeat": repeat,
    "align": align,
    "align_filled": lambda *legs: align(*legs, missing="missing"),
    "limit": limit,
    "skip": skip,
    "split": split,
    "partition": partition,
    "leg_of_split": leg_of_split,
    "leg_of_partition": leg_of_partition,
    "gather": gather,
    "zip": zip_,
    "concat": concat,
}
