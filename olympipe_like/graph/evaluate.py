"""Evaluate nodes: each at most once, nothing that is not needed, however deep the graph.

A lazy node (conditional, try_, cache) is a generator: it yields nested literals with nodes, gets their values, and
returns its own. So what it does not ask for is not evaluated, and no call waits inside another for its inputs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any

from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanTypeError
from olympipe_like.graph.failing import located
from olympipe_like.graph.operation import Operation
from olympipe_like.graph.plan import Plan, Run, make_plan
from olympipe_like.graph.templates import fill, nodes_in

Values = dict[Any, Any]
Callback = Callable[[Operation, Values], AbstractContextManager[Any]]
Step = tuple[Operation, "Run | None"]


class NodeFailed(Exception):
    """How a failure goes from node to node: thrown into lazy nodes, which may do something else instead."""

    def __init__(self, node: Operation, error: BaseException) -> None:
        super().__init__(node, error)
        self.node, self.error = node, error


def evaluate(plan: Plan, values: Values, callback: Callback | None) -> None:
    """Add to ``values`` those of a plan's nodes, and of those that its lazy nodes ask for.

    Raises
    ------
    EvaluationError
        If a node fails; also an instance of what it raised. The values found until then are in ``values``.
    PlanTypeError
        If the callback is none: it cannot be called like one, or returns no context manager.
    """
    if callback is not None or not plan.plain:
        if callback is not None:
            checks.sync_function(f"apply ({call_site()})", "callback", callback)
        evaluation = _Evaluation(values, callback)
        failure = evaluation.run(plan)
        if evaluation.refused is not None:
            raise evaluation.refused
        if failure is not None:
            raise_located(failure.node, failure.error, values)
        return
    node = None
    try:
        for node, run in plan.steps:
            values[node] = run(values)  # type: ignore[misc]  # plain plans have functions only
    except BaseException as error:
        if node is None:
            raise
        raise_located(node, error, values)


def raise_located(node: Operation, error: BaseException, values: Values) -> None:
    """Raise an error that says which node failed."""
    shown = located(error, node, values)
    if shown is error:
        raise error
    raise shown from error


class _Routine:
    """A lazy node under way."""

    def __init__(self, node: Operation, block: Iterator[Step], scope: AbstractContextManager[Any] | None) -> None:
        definition = node._definition
        self.node = node
        self.block = block  # where to go on when it is done
        self.scope = scope  # the callback's
        self.routine: Generator[Any, Any, Any] = definition.function(*definition.args, **(definition.kwargs or {}))
        self.wanted: Any = None

    def go_on(self, values: Values, failure: NodeFailed | None) -> bool:
        """Tell it what it asked for; return whether it is done."""
        try:
            if failure is not None:
                self.wanted = self.routine.throw(failure)
            else:
                self.wanted = self.routine.send(fill(self.wanted, values))
        except StopIteration as done:
            values[self.node] = done.value
            return True
        return False


class _Evaluation:
    def __init__(self, values: Values, callback: Callback | None) -> None:
        self.values, self.callback = values, callback
        self.failed: dict[Operation, NodeFailed] = {}  # a node that two try_ ask for fails once, for both
        # Raised in the end: a try_ must not catch it, and no node is to blame.
        self.refused: PlanTypeError | None = None

    def run(self, plan: Plan) -> NodeFailed | None:
        """Evaluate a plan; return the failure that nothing caught."""
        block = iter(plan.steps)
        under_way: list[_Routine] = []
        while True:
            begun, failure = self._through(block)
            if begun is not None:
                under_way.append(begun)
            # The innermost lazy node goes on. If it is done, so does the block that it is in.
            while under_way:
                routine = under_way[-1]
                done, failure = self._go_on(routine, failure)
                if not done:
                    # Planned now, and not kept: what has a value by now is no part of it, nor what is behind that.
                    block = iter(make_plan(nodes_in(routine.wanted), self.values).steps)
                    break
                under_way.pop()
                if failure is None:
                    block = routine.block
                    break
            else:
                return failure

    def _through(self, block: Iterator[Step]) -> tuple[_Routine | None, NodeFailed | None]:
        """Evaluate up to the next lazy node, which is returned, to the end, or to a failure."""
        values, failed = self.values, self.failed
        for node, run in block:
            if node in values:
                continue
            if node in failed:
                return None, failed[node]
            try:
                if self.callback is None and run is not None:
                    values[node] = run(values)
                    continue
                begun = self._begin(node, run, block)
            except BaseException as error:  # noqa: BLE001 - lazy nodes around it are told; then it is raised
                failed[node] = failure = NodeFailed(node, error)
                return None, failure
            if begun is not None:
                return begun, None
        return None, None

    def _begin(self, node: Operation, run: Run | None, block: Iterator[Step]) -> _Routine | None:
        """Evaluate a node inside its callback; if it is lazy, only enter that, and return it."""
        scope = self._scope_of(node) if self.callback is not None else None
        if run is None:
            routine = _Routine(node, block, scope)
            if scope is not None:
                scope.__enter__()
            return routine
        if scope is not None:
            with scope:
                self.values[node] = run(self.values)
            if node not in self.values:
                raise RuntimeError("its callback hid an error; a callback may look at errors, not end them")
        return None

    def _scope_of(self, node: Operation) -> AbstractContextManager[Any]:
        """Return what the callback puts around a node; refuse a callback that is none."""
        callback: Any = self.callback
        try:
            scope = callback(node, self.values)
        except TypeError:
            if _takes_two(callback):
                raise
            text = f"must take a node and the values so far, got {checks.show(callback)}"
        else:
            if isinstance(scope, AbstractContextManager):
                return scope
            text = (
                f"must return a context manager, as contextlib.contextmanager makes one, got {checks.show(scope)}; "
                "for a node with nothing around it return contextlib.nullcontext()"
            )
        self.refused = self.refused or PlanTypeError(f"apply ({call_site()}): callback {text}")
        raise self.refused

    def _go_on(self, routine: _Routine, failure: NodeFailed | None) -> tuple[bool, NodeFailed | None]:
        """Return whether a lazy node is done, and how it failed."""
        found: NodeFailed | None = None
        try:
            if not routine.go_on(self.values, failure):
                return False, None
        except BaseException as error:  # noqa: BLE001 - as above
            found = error if isinstance(error, NodeFailed) else NodeFailed(routine.node, error)
        found = _leave(routine, found)
        if found is not None:
            self.failed[routine.node] = found
        return True, found


def _leave(routine: _Routine, failure: NodeFailed | None) -> NodeFailed | None:
    """Leave the callback of a lazy node; return how the node failed, which may be by this."""
    if routine.scope is None:
        return failure
    error = None if failure is None else failure.error
    how = (None, None, None) if error is None else (type(error), error, error.__traceback__)
    try:
        routine.scope.__exit__(*how)
    except BaseException as raised:  # noqa: BLE001 - as above
        return NodeFailed(routine.node, raised)
    return failure


def _takes_two(callback: Callable[..., Any]) -> bool:
    """Whether two arguments can be given; only then is a TypeError the callback's own."""
    try:
        inspect.signature(callback).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # builtins may have no signature
        return True
    return True
