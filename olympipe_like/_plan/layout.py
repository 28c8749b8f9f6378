"""From the plan's graph to the stages of a run: what is fused into one worker, what is only routed, who takes how.

Steps that run user code own their workers. Purely structural steps ride along with a neighbour where the meaning
allows: with the stage before if nobody else reads it (and, for steps that remember, if it has one worker), else with
the stage after under the same conditions, else they get a worker of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from olympipe_like._model.identity import StageId
from olympipe_like._model.options import ExecutorName, Placement, Remote
from olympipe_like._model.topology import Role, StageSpec, Take
from olympipe_like._plan import operators as ops
from olympipe_like._plan.away import away
from olympipe_like._plan.counts import demands, expected_counts
from olympipe_like._plan.fusion import content_with_views, may_share, without_marks
from olympipe_like._plan.graph import Node, clocks_of, keys_of, sources_of, topological
from olympipe_like._plan.losses import on_loss
from olympipe_like._plan.segment import Label, Segment
from olympipe_like._plan.twins import side_by_side
from olympipe_like.errors import PlanError


class LaidStage(NamedTuple):
    """One stage of a run."""

    spec: StageSpec
    labels: tuple[Label, ...]
    placement: Placement | None = None  # where its workers run; None: it has none
    segment: Segment | None = None
    source: ops.Source | None = None
    main: int = 0  # which of its labels names it
    expected: int | None = None  # items that will come in, if known
    senders: tuple[Label, ...] = ()  # for each leg, the step whose results come in
    key: str = ""  # of a source: what tells its random numbers from those of others

    @property
    def label(self) -> Label:
        """How the whole is named."""
        return self.segment.label if self.segment is not None else self.labels[self.main]


class Layout(NamedTuple):
    """All stages of a run, in topological order, and the sinks in the order of the leaves."""

    stages: tuple[LaidStage, ...]
    sinks: tuple[StageId, ...]

    @property
    def specs(self) -> list[StageSpec]:
        """What the scheduler needs to know."""
        return [stage.spec for stage in self.stages]

    def keeping_inputs(self) -> Layout:
        """Return the layout of a run whose records of failures hold the failed items."""
        return self._with_segments(lambda segment: segment._replace(keeps=True))

    def seeded(self, seed: int, *, generators: bool = False) -> Layout:
        """Return the layout of a run whose steps that draw, and were given no seed, draw by this one.

        ``generators``: so do ``random`` and ``numpy.random``, but where they are shared: in threads and on a loop.
        """
        own = ("process", "inline") if generators else ()
        made = self._with_segments(lambda each: each._replace(seed=seed, seeds_generators=each.executor in own))
        if not generators:
            return made
        stages = [
            stage._replace(source=stage.source and replace(stage.source, follows=f"{seed}/{stage.key}"))
            for stage in made.stages
        ]
        return self._replace(stages=tuple(stages))

    def _with_segments(self, change: Callable[[Segment], Segment]) -> Layout:
        stages = [
            stage if stage.segment is None else stage._replace(segment=change(stage.segment)) for stage in self.stages
        ]
        return self._replace(stages=tuple(stages))


@dataclass(eq=False)
class _Group:
    """Nodes that become one stage."""

    nodes: list[Node]
    placement: Placement | None = None  # None: structural so far, nobody has said where it runs
    inputs: tuple[Node, ...] = ()
    role: Role = field(default=Role.MAP)


def lay_out(
    leaves: Sequence[Node],
    executor: ExecutorName | Remote | None = None,
    queue_size: int | None = None,
    *,
    fuse: bool = False,
) -> Layout:
    """Return the stages of a run that delivers these leaves.

    ``executor`` overrides every stage's own; ``queue_size`` is the window of every edge that names none; ``fuse``:
    stages share their workers with the one above wherever that makes no difference but speed.
    """
    leaves, fused = without_marks(leaves)
    nodes = topological(leaves)
    groups = _Grouping(nodes, leaves, executor, set(nodes) if fuse else fused).groups
    return _Builder(nodes, leaves, groups, executor, queue_size).build()


class _Grouping:
    """Decides which nodes share a stage."""

    def __init__(
        self,
        nodes: Sequence[Node],
        leaves: Sequence[Node],
        executor: ExecutorName | Remote | None,
        fused: set[Node],
    ) -> None:
        self._fused = fused
        self._readers = Counter(each for node in nodes for each in node.inputs) + Counter(leaves)
        self._executor = executor
        self._of: dict[Node, _Group] = {}
        self.groups: list[_Group] = []
        for node in nodes:
            self._add(node)

    def _placement(self, node: Node) -> Placement:
        placement = node.op.placement
        if isinstance(self._executor, Remote):
            placement = away(placement, self._executor, node.op)
        elif self._executor is not None:
            placement = replace(placement, executor=self._executor)
            if self._executor == "thread" and placement.policy.timeout is not None:
                raise PlanError(
                    f"stage {node.op.name!r} ({node.site}): timeout= needs a worker that can be ended, "
                    'so the run cannot be given executor="thread"'
                )
            if placement.auto and self._executor in ("thread", "async"):
                raise PlanError(
                    f'stage {node.op.name!r} ({node.site}): workers="auto" shares out processes, '
                    f"so the run cannot be given executor={self._executor!r}"
                )
        return replace(placement, workers=1, auto=False) if placement.executor == "inline" else placement

    def _add(self, node: Node) -> None:
        if isinstance(node.op, ops.Source):
            self._new(node, Role.SOURCE)
        elif isinstance(node.op, ops.ROUTED):
            self._new(node, _ROUTES[type(node.op)])
        elif node.op.runs_user_code:
            self._add_user_step(node)
        else:
            self._add_structural(node)

    def _new(self, node: Node, role: Role, placement: Placement | None = None) -> None:
        group = _Group([node], placement, node.inputs, role)
        self._of[node] = group
        self.groups.append(group)

    def _above(self, node: Node) -> _Group | None:
        """Return the group that ends in the node's only input, if nobody else reads it and it may grow."""
        if len(node.inputs) != 1 or self._readers[node.inputs[0]] != 1:
            return None
        group = self._of[node.inputs[0]]
        return group if group.role in (Role.MAP, Role.SCAN) else None

    def _join(self, node: Node, group: _Group, placement: Placement | None) -> None:
        group.nodes.append(node)
        group.placement = placement
        if node.op.remembers:
            group.role = Role.SCAN
        self._of[node] = group

    def _add_user_step(self, node: Node) -> None:
        placement = self._placement(node)
        above = self._above(node)
        role = Role.SCAN if node.op.remembers else Role.MAP
        one_worker = placement.workers == 1 and not placement.auto and placement.executor not in ("async", "remote")
        fits = above is not None and (above.role is Role.MAP or one_worker)
        if above is not None and above.placement is not None:
            fits = fits and node in self._fused and may_share(above.placement, placement)
        if above is not None and placement.executor == "async" and any(each.op.multiplies for each in above.nodes):
            fits = False  # a loop's frames answer in one part
        if above is not None and fits:
            self._join(node, above, placement)
        else:
            self._new(node, role, placement)

    def _add_structural(self, node: Node) -> None:
        above = self._above(node)
        if above is None:
            self._new(node, Role.SCAN if node.op.remembers else Role.MAP)
            return
        where = above.placement
        alone = where is None or (
            where.workers == 1 and not where.auto and where.executor not in ("async", "remote") and where.ordered
        )
        on_loop = where is not None and where.executor == "async"
        if (node.op.remembers and not alone) or (node.op.multiplies and on_loop):  # a loop's frames answer in one part
            self._new(node, Role.SCAN if node.op.remembers else Role.MAP)
        else:
            self._join(node, above, where)


_ROUTES = {
    ops.Limit: Role.LIMIT,
    ops.SkipFirst: Role.SKIP,
    ops.Concat: Role.CONCAT,
    ops.GatherArrival: Role.ARRIVAL,
}


class _Builder:
    """Turns groups into stages."""

    def __init__(
        self,
        nodes: Sequence[Node],
        leaves: Sequence[Node],
        groups: Sequence[_Group],
        executor: ExecutorName | Remote | None,
        queue_size: int | None,
    ) -> None:
        self._nodes = nodes
        self._leaves = leaves
        self._groups = groups
        self._queue_size = queue_size
        self._executor = executor
        self._sources = sources_of(nodes)
        self._clocks = clocks_of(nodes)
        self._labels = _label(nodes)
        self._keys = keys_of(nodes)
        self._side_by_side = side_by_side(nodes)
        self._ids = {group.nodes[-1]: StageId(number) for number, group in enumerate(groups)}
        self._demand = demands(nodes, leaves)
        self._expected = expected_counts(nodes)
        in_hub = any(group.placement and group.placement.executor in ("process", "remote") for group in groups)
        default: ExecutorName = "process" if in_hub else "thread"
        self._default = executor if executor is not None and not isinstance(executor, Remote) else default

    def build(self) -> Layout:
        stages = [self._stage(StageId(number), group) for number, group in enumerate(self._groups)]
        sinks = []
        for leaf in self._leaves:
            sink = StageId(len(stages))
            spec = StageSpec(
                id=sink,
                name="results",
                role=Role.SINK,
                inputs=(self._ids[leaf],),
                queue_size=self._queue_size,
            )
            label = Label("results", "sink", 0, 0)
            stages.append(LaidStage(spec, (label,), expected=self._expected[leaf], senders=(self._sender(leaf),)))
            sinks.append(sink)
        return Layout(tuple(stages), tuple(sinks))

    def _stage(self, number: StageId, group: _Group) -> LaidStage:
        first, last = group.nodes[0], group.nodes[-1]
        main = next((index for index, node in enumerate(group.nodes) if node.op.runs_user_code), 0)
        labels = tuple(self._labels[node] for node in group.nodes)
        expected = self._expected[first.inputs[0]] if first.inputs else self._expected[first]
        works = group.role in (Role.MAP, Role.SCAN)
        placement = group.placement or (Placement(executor=self._default) if works else None)
        queue_size = first.op.placement.queue_size or (placement.queue_size if placement else None)
        merge = works and len(first.inputs) > 1
        spec = StageSpec(
            id=number,
            name=group.nodes[main].op.name,
            role=group.role,
            inputs=tuple(self._ids[each] for each in first.inputs),
            workers=placement.workers if placement else 0,
            auto=placement.auto if placement else False,
            ordered=placement.ordered if placement else True,
            queue_size=queue_size or self._queue_size,
            amount=first.op.amount if isinstance(first.op, ops.Limit | ops.SkipFirst) else 0,
            parts=any(node.op.multiplies for node in group.nodes),
            flushes=group.role is Role.SCAN,
            sees_all=any(node.op.tracks_progress for node in group.nodes),
            take=self._take(first) if merge else Take.WATERMARK,
            unbounded_legs=self._unbounded_legs(first) if group.role is Role.CONCAT else (),
            demand=self._demand.get(last) if group.role is Role.SOURCE else None,
            ops=len(group.nodes),
            conserves=tuple(node.op.conserves for node in group.nodes),
            **on_loss(placement, [node.op for node in group.nodes]),
        )
        segment = None
        if works:
            operators = tuple(node.op for node in group.nodes)
            where = placement.executor if placement is not None else self._default
            executor: ExecutorName = "process" if where == "remote" else where  # to its worker it is one
            keys = tuple(self._keys[node] for node in group.nodes)
            parted = tuple(index for index, node in enumerate(group.nodes) if not self._keeps_twins_above(node))
            looks = where == "process" and content_with_views(operators)
            segment = Segment(
                number, operators, labels, len(first.inputs), main, executor, keys=keys, looks=looks, parted=parted
            )
        source = first.op if isinstance(first.op, ops.Source) else None
        senders = tuple(self._sender(each) for each in first.inputs)
        return LaidStage(spec, labels, placement, segment, source, main, expected, senders, self._keys[first])

    def _keeps_twins_above(self, node: Node) -> bool:
        return all(self._side_by_side[each] for each in node.inputs)

    def _sender(self, node: Node) -> Label:
        while isinstance(node.op, ops.ROUTED):  # passed on unopened
            node = node.inputs[0]
        return self._labels[node]

    def _shares_source(self, legs: Sequence[Node]) -> bool:
        seen: set[Node] = set()
        for leg in legs:
            if seen & self._sources[leg]:
                return True
            seen |= self._sources[leg]
        return False

    def _take(self, merge: Node) -> Take:
        if len({self._clocks[leg] for leg in merge.inputs}) == 1:
            return Take.STEP
        if self._shares_source(merge.inputs):
            return Take.ANY
        return Take.COUNT if isinstance(merge.op, ops.Zip) else Take.WATERMARK

    def _unbounded_legs(self, concat: Node) -> tuple[int, ...]:
        return tuple(
            leg
            for leg, node in enumerate(concat.inputs)
            if any(self._sources[node] & self._sources[earlier] for earlier in concat.inputs[:leg])
        )


def _label(nodes: Sequence[Node]) -> dict[Node, Label]:
    """Number the stages as a user counts them: sources and legs of a split have no number of their own."""
    counted = [node for node in nodes if not isinstance(node.op, ops.Source | ops.Leg)]
    numbers = {node: number for number, node in enumerate(counted, 1)}
    return {
        node: Label(
            node.op.name,
            node.op.kind,
            numbers.get(node, numbers.get(node.inputs[0], 0) if node.inputs else 0),
            len(counted),
        )
        for node in nodes
    }
