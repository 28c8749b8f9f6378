"""The nodes that are evaluated whenever they are needed."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanTypeError
from olympipe_like.graph.operation import Operation
from olympipe_like.graph.templates import nodes_in
from olympipe_like.graph.writing import NodeOptions, Unnamed, new_node

if TYPE_CHECKING:
    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        from typing_extensions import Unpack


def placeholder(name: str | None = None, **options: Unpack[Unnamed]) -> Operation:
    """Return a node whose value is given when the graph is applied; without one it fails with a ValueError.

    >>> from olympipe_like.graph import Graph, placeholder
    >>> with Graph() as graph:
    ...     area = placeholder("width") * placeholder("height")
    >>> graph(area, width=3, height=4)
    12
    """
    return new_node("placeholder", _missing, name=name, **options)


def _missing() -> Any:
    raise ValueError("no value is given for it; give one by keyword, or in the context")


def constant(value: Any, name: str | None = None, **options: Unpack[Unnamed]) -> Operation:
    """Return a node with a value of its own: the same object each time. Nodes within it are evaluated.

    A list or dict written as an argument is made anew for each evaluation, as in a function; a large table is better
    made a constant.

    >>> from olympipe_like.graph import Graph, constant
    >>> with Graph() as graph:
    ...     scale = constant(0.25, name="scale")
    >>> graph("scale"), graph("scale", scale=0.5)
    (0.25, 0.5)
    """
    if next(nodes_in(value), None) is not None:
        return new_node("identity", identity_of, (value,), name=name, **options)
    return new_node("constant", _Same(value), name=name, **options)


def identity_of(value: Any) -> Any:
    """Return the value."""
    return value


class _Same:
    """Returns one value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        return self.value


def import_(module: str, package: str | None = None, **options: Unpack[NodeOptions]) -> Operation:
    """Return a node whose value is a module, imported where the graph is evaluated: in the worker.

    >>> from olympipe_like.graph import Graph, import_, placeholder
    >>> with Graph() as graph:
    ...     root = import_("math").sqrt(placeholder("x"))
    >>> graph(root, x=9)
    3.0
    """
    args = (module,) if package is None else (module, package)
    return new_node("import", importlib.import_module, args, **options)


def func_op(target: Callable[..., Any], *args: Any, **kwargs: Any) -> Operation:
    """Return a node whose value a function makes of its arguments, which may be nodes or hold some.

    The keywords name, length, graph and dependencies are the node's; a function that needs one of them for itself can
    be given with functools.partial.

    >>> from olympipe_like.graph import Graph, func_op, placeholder
    >>> with Graph() as graph:
    ...     longest = func_op(max, placeholder("words"), key=len, name="longest")
    >>> graph("longest", words=["a", "bcd", "ef"])
    'bcd'
    """
    if not callable(target):
        raise PlanTypeError(f"func_op ({call_site()}): target must be a function, got {type(target).__name__}")
    return _function_node(target, target, args, kwargs)


def _function_node(
    function: Callable[..., Any], target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], **defaults: Any
) -> Operation:
    options = {**defaults, **{name: kwargs[name] for name in kwargs.keys() & NodeOptions.__annotations__}}
    rest = {name: value for name, value in kwargs.items() if name not in options}
    kind = getattr(target, "__name__", type(target).__name__)
    return new_node(kind if kind != "<lambda>" else "function", function, args, rest, **options)


class opmethod:  # noqa: N801 - a decorator
    """Make a function into one that makes nodes: called with nodes it returns the node of its result.

    ``length`` says how many values the result unpacks into; other keywords as in `NodeOptions`.

    >>> from olympipe_like.graph import Graph, opmethod, placeholder
    >>> @opmethod(length=2)
    ... def halves(text):
    ...     return text[: len(text) // 2], text[len(text) // 2 :]
    >>> with Graph() as graph:
    ...     left, right = halves(placeholder("text"))
    >>> graph([left, right], text="abcdef")
    ('abc', 'def')
    """

    def __new__(cls, target: Callable[..., Any] | None = None, **options: Unpack[NodeOptions]) -> Any:
        """Return the decorated function, or without one a decorator."""
        return functools.partial(cls, **options) if target is None else super().__new__(cls)

    def __init__(self, target: Callable[..., Any], **options: Unpack[NodeOptions]) -> None:
        if not callable(target):
            raise PlanTypeError(f"opmethod ({call_site()}): expected a function, got {type(target).__name__}")
        # Not what a class has in its ``__dict__``: its ``__reduce__`` would be taken for ours.
        functools.update_wrapper(self, target, updated=() if isinstance(target, type) else ("__dict__",))
        self.evaluated = target  # what a plan calls
        self.options = options

    def __call__(self, *args: Any, **kwargs: Any) -> Operation:
        """Make a node."""
        # The node holds this object and not the function: only this one can be found under its name by pickle.
        return _function_node(self, self.evaluated, args, kwargs, **self.options)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self) -> Any:
        found: Any = sys.modules.get(self.__module__)
        path: str = vars(self)["__qualname__"]
        for name in path.split("."):
            found = getattr(found, name, None)
        return path if found is self else (_opmethod, (self.evaluated, dict(self.options)))


def _opmethod(target: Callable[..., Any], options: NodeOptions) -> Any:
    return opmethod(target, **options)


def assert_(condition: Any, message: str | None = None, *args: Any, value: Any = None, **options: Any) -> Operation:
    """Return a node that has ``value`` if the condition is true, and fails with an AssertionError if not.

    ``message`` is filled with ``args``, as ``message % args``.

    >>> from olympipe_like.graph import Graph, assert_, placeholder
    >>> with Graph() as graph:
    ...     x = placeholder("x")
    ...     checked = assert_(x > 0, "x must be > 0, got %s", x, value=x)
    >>> graph(checked, x=3)
    3
    """
    return new_node("assert_", _assert, (condition, message, *args), {"value": value}, **options)


def _assert(condition: Any, message: str | None, *args: Any, value: Any) -> Any:
    if not condition:
        raise AssertionError(message % args if message and args else message or "the condition is false")
    return value


def str_format(format_string: Any, *args: Any, **kwargs: Any) -> Operation:
    """Return a node with the text ``format_string.format(*args, **kwargs)``; all keywords are the text's.

    >>> from olympipe_like.graph import Graph, placeholder, str_format
    >>> with Graph() as graph:
    ...     text = str_format("{:.1f} m in {what}", placeholder("x"), what="all")
    >>> graph(text, x=1.25)
    '1.2 m in all'
    """
    return new_node("str_format", _format, (format_string, args, kwargs))


def _format(format_string: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    return format_string.format(*args, **kwargs)
