"""From places that a consumer has passed to where each step of the plan must begin: the way up, step by step.

At each step the question is: which of the items it gave are needed again? The answer is always "all behind some item
that the consumer has had", or "all from that one on", since the paths of such items say which items of every stream
above they were made of. Whoever cannot tell begins where the run had begun, or with the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from olympipe_like._model.identity import Path
from olympipe_like._model.start import BEGINNING, Start
from olympipe_like._plan import operators as ops
from olympipe_like._plan import reshaping
from olympipe_like._plan.graph import Node, keys_of
from olympipe_like._plan.operators import Operator
from olympipe_like._plan.resuming import Restart, unmarked
from olympipe_like._worker.mixing import Order

_SAME_PATH = (
    ops.Task,
    ops.ClassTask,
    ops.Filter,
    ops.NotNone,
    ops.Tap,
    ops.Debug,
    ops.Split,
    ops.Partition,
    ops.Leg,
    reshaping.Sample,
)
"""What comes out of them has the path of what went in, and nothing is remembered."""


@dataclass(frozen=True)
class _Need:
    """What is needed again of a stream: all behind an item the consumer has had, or all from it on."""

    at: Path  # that item's
    inclusive: bool  # from it on
    count: int | None  # items of the stream up to it; None: not known
    passed: Sequence[Path]  # of items at the sink
    project: Callable[[Path], Path]  # from a path at the sink to that of what it was made of in this stream
    in_order: bool = True  # whether what was passed is in the order of this stream

    def before(self, times: int, depth: int) -> Path | None:
        """Return the path of an item so many (>= 0) before this one, at least, in the same epoch; None: not known."""
        if times == 0:
            return self.at
        epoch, last = self.at[:depth], self.at
        latest = map(self.project, reversed(self.passed))
        for path in latest if self.in_order else sorted(latest, reverse=True):
            if path[:depth] != epoch and path < last:
                return None
            if path < last and path[:depth] == epoch:
                last = path
                times -= 1
                if not times:
                    return path
        return None


class _Played:
    """How a shuffle went so far in one epoch, played again as far as needed."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._known: dict[Path, int] = {}  # path at the sink: its number among the items that the shuffle took

    @property
    def given(self) -> int:
        """How far it has been played."""
        return self._order.given

    def last_before(self, given: int, passed: Mapping[int, Path]) -> tuple[int, Path] | None:
        """Return an item that was taken before any that may be in the buffer; None: there is none known.

        ``given``: how many items had been given; ``passed``: of some of them the path at the sink. What is returned is
        its number among the items taken, and that path.
        """
        # The last items of an epoch are given in another order, and nobody here knows yet whether they are the last.
        # But those given a buffer's size earlier are none of them.
        given -= self._order.size
        if given < max(self.given, 1):
            return None
        self._known.update((passed[turn], taken) for turn, taken in self._order.play(given, passed))
        oldest = self._order.oldest
        best = max(((taken, path) for path, taken in self._known.items() if taken < oldest), default=None)
        if best is not None:  # what the buffer holds only becomes younger
            self._known = {path: taken for path, taken in self._known.items() if taken >= best[0]}
        return best


class Orders:
    """Those of all shuffles of a run, in the epoch at hand."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._of: dict[int, tuple[Path, _Played]] = {}

    def of(self, number: int, epoch: Path, op: reshaping.Shuffle, key: str) -> _Played:
        """Return that of one step."""
        found = self._of.get(number)
        if found is None or found[0] != epoch:
            assert op.buffer is not None
            seed = reshaping.seed_text(self._seed, op.seed, key, epoch)
            found = self._of[number] = epoch, _Played(Order(seed, op.buffer))
        return found[1]


def find_restart(
    nodes: Mapping[int, Node],
    unique: Mapping[int, bool],
    base: Restart,
    passed: Sequence[Path],
    given: int,
    orders: Orders,
) -> Restart:
    """Return where a run must begin to give all that comes behind the items passed.

    Parameters
    ----------
    nodes, unique : mappings
        The plan, and for each step whether its paths are unique.
    base : Restart
        Where this run had begun.
    passed : sequence of paths
        Of items the consumer has had, in order, the last one included.
    given : int
        How many it has had, up to that one.
    orders : Orders
        Of the run's shuffles.
    """
    if not passed:
        return base
    way = _Way(nodes, unique, base, orders)
    node: Node | None = nodes[max(nodes)]
    need = _Need(passed[-1], False, given, passed, lambda path: path)
    while node is not None:
        node, need = way.above(node, need)
    return way.found


class _Way:
    """The way up from the sink."""

    def __init__(
        self,
        nodes: Mapping[int, Node],
        unique: Mapping[int, bool],
        base: Restart,
        orders: Orders,
    ) -> None:
        self._numbers = {node: number for number, node in nodes.items()}
        self._keys = keys_of(list(nodes.values()))
        self._unique = unique
        self._base = base
        self._orders = orders
        self._steps: dict[int, Start] = {}
        self._sources: dict[int, Path] = {}

    @property
    def found(self) -> Restart:
        """Where everything begins."""
        return Restart(self._steps, self._sources)

    def above(self, node: Node, need: _Need) -> tuple[Node | None, _Need]:
        """Say where a step begins; return the one above it and what is needed of that, or none if that is said, too."""
        op, number = node.op, self._numbers[node]
        if isinstance(op, ops.Source):
            self._sources[number] = (*need.at[:-1], need.at[-1] + (not need.inclusive))
            return None, need
        if len(node.inputs) > 1:
            return self._above_merge(node, need)
        above = unmarked(node.inputs[0])
        if isinstance(op, _SAME_PATH):
            count = need.count if isinstance(op, ops.Debug) else None
            return above, replace(need, count=count)
        if op.multiplies:
            project = need.project
            return above, replace(
                need, at=need.at[:-1], inclusive=True, count=None, project=lambda path: project(path)[:-1]
            )
        found = self._begin_behind(node, op, need, above) if self._unique[self._numbers[above]] else None
        if found is None:
            self._begin_anew(node, need)
            return None, need
        start, further = found
        self._steps[number] = start
        return above, further

    def _begin_behind(self, node: Node, op: Operator, need: _Need, above: Node) -> tuple[Start, _Need] | None:
        """Return where a step begins whose input has unique paths; None: with the epoch, or where the run had begun."""
        depth = len(op.epochs)
        epoch = need.at[:depth]
        match op:
            case ops.Batch():
                at = need.before(int(need.inclusive), depth)
                count = None if need.inclusive or depth or need.count is None else need.count * op.size
                return None if at is None else _begins(Start(at, 0, (), epoch), need, count)
            case reshaping.Window():
                at = need.before(-(-op.size // op.step) - 1 + need.inclusive, depth)
                return None if at is None else _begins(Start(at, op.size, self._below(node, need), epoch), need)
            case reshaping.Shard() if op.even != "pad":
                at = need.before(int(need.inclusive), depth)
                return None if at is None else _begins(Start(at, op.rank + 1, (), epoch), need)
            case reshaping.Shuffle() if op.buffer is not None:
                return self._begin_shuffle(node, op, need)
            case ops.SkipFirst():
                count = None if need.count is None else need.count + op.amount
                return Start(taken=op.amount), replace(need, count=count)
            case ops.Limit():
                count = need.count
                if isinstance(above.op, ops.Source) and not above.op.epochs:
                    count = need.at[-1] + 1
                if count is None or need.inclusive or not self._gives_once(above):  # it would count items twice
                    return None
                return Start(taken=count), replace(need, count=count)
        return None

    def _begin_shuffle(self, node: Node, op: reshaping.Shuffle, need: _Need) -> tuple[Start, _Need] | None:
        depth = len(op.epochs)
        epoch, project = need.at[:depth], need.project
        below = self._below(node, need)
        order = self._orders.of(self._numbers[node], epoch, op, self._keys[node])
        passed = {}
        for path in reversed(need.passed):
            own = project(path)
            if own[:depth] == epoch:
                passed[own[depth]] = path
            if need.in_order and own[: depth + 1] < (*epoch, order.given):
                break
        found = order.last_before(below[depth], passed)
        if found is None:
            return None
        taken, path = found

        def inner(path: Path) -> Path:
            own = project(path)
            return own[:depth] + own[depth + 1 :]

        at = inner(path)
        count = None if depth else taken + 1
        start = Start(at, taken + 1, below, epoch)
        return start, _Need(at, False, count, need.passed, inner, in_order=False)

    def _above_merge(self, node: Node, need: _Need) -> tuple[Node | None, _Need]:
        """Go on above a diamond whose legs keep all items' paths; else begin anew."""
        fork = _fork_of(node) if isinstance(node.op, ops.Gather | ops.Align) else None
        if fork is None:
            self._begin_anew(node, need)
            return None, need
        several = isinstance(node.op, ops.Gather) or not self._unique[self._numbers[fork]]  # items of one place
        return fork, replace(need, inclusive=need.inclusive or several, count=None)

    def _begin_anew(self, node: Node, need: _Need) -> None:
        """Let a step, and all above it, begin with the epoch, or where the run had begun if that is not before."""
        depth = len(node.op.epochs)
        epoch = need.at[:depth]
        whole = _with_all_above(node)
        begun = [self._base.sources.get(self._numbers[each], (0,) * (depth + 1)) for each in whole if not each.inputs]
        later = all(first[:depth] < epoch for first in begun)
        for each in whole:
            number, inner = self._numbers[each], (*epoch, *(0,) * (len(each.op.epochs) - depth))
            if isinstance(each.op, ops.Source):
                first = (*inner, 0) if later else self._base.sources.get(number)
                if first is not None:
                    self._sources[number] = first
            elif later and each.op.remembers:
                self._steps[number] = Start(epoch=inner)
            elif not later and number in self._base.steps:
                self._steps[number] = self._base.steps[number]
        if node.op.remembers and len(node.inputs) == 1:
            number = self._numbers[node]
            self._steps[number] = self._steps.get(number, BEGINNING)._replace(below=self._below(node, need))

    def _below(self, node: Node, need: _Need) -> Path:
        """Return the path below which a step need not give anything again."""
        if isinstance(node.op, reshaping.Shuffle):
            depth = len(node.op.epochs)
            return (*need.at[:depth], need.at[depth] + (not need.inclusive))
        # A longer path sorts right behind the item itself.
        return need.at if need.inclusive or not self._unique[self._numbers[node]] else (*need.at, 0)

    def _gives_once(self, node: Node) -> bool:
        """Whether what comes from here begins right behind the item wanted: it is not given again."""
        while isinstance(node.op, (*_SAME_PATH, ops.SkipFirst)):
            node = unmarked(node.inputs[0])
        if isinstance(node.op, ops.Source):
            return True
        return node.op.remembers and len(node.inputs) == 1 and self._unique[self._numbers[node]]


def _begins(start: Start, need: _Need, count: int | None = None) -> tuple[Start, _Need]:
    """Return a start behind an item, and that all behind that item is needed."""
    return start, replace(need, at=start.after, inclusive=False, count=count)


def _fork_of(merge: Node) -> Node | None:
    """Return the one step that all legs come from, if nothing on the way changes paths, or remembers."""
    ends = set()
    for leg in merge.inputs:
        node = unmarked(leg)
        while isinstance(node.op, _SAME_PATH):
            node = unmarked(node.inputs[0])
        ends.add(node)
    return ends.pop() if len(ends) == 1 else None


def _with_all_above(node: Node) -> list[Node]:
    found, waiting = [], [node]
    while waiting:
        each = unmarked(waiting.pop())
        if each not in found:
            found.append(each)
            waiting += each.inputs
    return found
