"""Nodes that evaluate only what they turn out to need.

Their functions are generators: each yield asks for the value of a node, or of a literal with nodes in it; what is
never asked for is never evaluated. See `evaluate`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.checks import show
from olympipe_like.errors import PlanTypeError
from olympipe_like.graph.evaluate import NodeFailed
from olympipe_like.graph.operation import Operation
from olympipe_like.graph.writing import NodeOptions, new_node

if TYPE_CHECKING:
    import sys

    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        from typing_extensions import Unpack

Asking = Generator[Any, Any, Any]
Clause = tuple["type[BaseException] | tuple[type[BaseException], ...]", Any]


def conditional(predicate: Any, x: Any, y: Any = None, **options: Unpack[NodeOptions]) -> Operation:
    """Return a node with the value of ``x`` if the predicate is true, else of ``y``; the other is not evaluated.

    A node that others need in any case is evaluated in any case.

    >>> from olympipe_like.graph import Graph, conditional, placeholder
    >>> with Graph() as graph:
    ...     x = placeholder("x")
    ...     inverse = conditional(x == 0, float("inf"), 1 / x)
    >>> graph(inverse, x=4), graph(inverse, x=0)
    (0.25, inf)
    """
    return new_node("conditional", _conditional, (predicate, x, y), lazy=True, **options)


def _conditional(predicate: Any, x: Any, y: Any) -> Asking:
    chosen = x if (yield predicate) else y
    return (yield chosen)


def try_(
    operation: Any,
    except_: Sequence[Clause] | None = None,
    finally_: Any = None,
    **options: Unpack[NodeOptions],
) -> Operation:
    """Return a node with the value of another or, where that fails, of what is there for such errors.

    Parameters
    ----------
    operation : Operation
        What to try. What it needs is tried with it, if it was not evaluated before for another.
    except_ : sequence of (exception type or tuple of types, node or value), optional
        The first that matches what was raised gives the value, and is evaluated for that. If none does, or its node
        fails, so does this one.
    finally_ : Operation, optional
        Evaluated in the end, whatever happened; its value is not used.
    **options
        See `NodeOptions`.

    Raises
    ------
    PlanTypeError
        If ``except_`` is no sequence of such pairs.

    Examples
    --------
    >>> from olympipe_like.graph import Graph, placeholder, try_
    >>> with Graph() as graph:
    ...     x = placeholder("x")
    ...     inverse = try_(1 / x, [(ZeroDivisionError, "none")])
    >>> graph(inverse, x=4), graph(inverse, x=0)
    (0.25, 'none')
    """
    return new_node("try_", _try, (operation, _clauses(except_), finally_), lazy=True, **options)


def _clauses(except_: Any) -> tuple[Clause, ...]:
    """Return what there is for which errors; refuse what is no such list."""
    where = f"try_ ({call_site()})"
    pairs = "a list of pairs, each an exception type or a tuple of them and a node or value"
    if except_ is None:
        return ()
    if not isinstance(except_, Sequence):
        raise PlanTypeError(f"{where}: except_ must be {pairs}, got {show(except_)}")
    for clause in except_:
        if not isinstance(clause, list | tuple) or len(clause) != 2:
            raise PlanTypeError(f"{where}: except_ must be {pairs}; one of them is {show(clause)}")
        for kind in clause[0] if isinstance(clause[0], tuple) else (clause[0],):
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise PlanTypeError(f"{where}: except_ needs exception types, got {show(kind)}")
    return tuple((kinds, instead) for kinds, instead in except_)


def _try(operation: Any, clauses: tuple[Clause, ...], finally_: Any) -> Asking:
    try:
        try:
            return (yield operation)
        except NodeFailed as failure:
            match = [instead for kinds, instead in clauses if isinstance(failure.error, kinds)]
            if not match:
                raise
        return (yield match[0])
    finally:
        yield finally_
