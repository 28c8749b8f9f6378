"""From what a node raised to the error that users catch: it says which node, and is of the type that was raised."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Mapping
from typing import Any

from olympipe_like.errors import EvaluationError
from olympipe_like.graph.expression import expression_of
from olympipe_like.graph.operation import Operation
from olympipe_like.graph.summary import summary
from olympipe_like.graph.templates import nodes_in

MOST_INPUTS = 6  # that are shown
# As in a pipeline's StageFailed: code far away, and the language itself, would act on these.
_SIGNS = (StopIteration, StopAsyncIteration)
_Fields = tuple[str, str, str, dict[str, str], str]


def located(error: BaseException, node: Operation, values: Mapping[Any, Any]) -> BaseException:
    """Return the error to raise for a node that failed; what is no Exception (Ctrl-C) stays as it is."""
    if not isinstance(error, Exception):
        return error
    nodes = dict.fromkeys(nodes_in([node._definition.args, node._definition.kwargs]))
    inputs = {each.name: summary(values[each]) for each in nodes if each in values}
    shown = dict(list(inputs.items())[:MOST_INPUTS])
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything, and must not hide the failure
        text = "<unprintable>"
    name = type(error).__qualname__
    fields = (node.name, node._definition.site, expression_of(node), shown, f"{name}: {text}" if text else name)
    return _dressed(fields, error)


def _dressed(fields: _Fields, error: Exception) -> Exception:
    """Return the error with these fields, as one that is also of the type of another, and has what that has."""
    plain = EvaluationError(*fields)
    plain.__cause__ = error
    kind: Any = type(error)
    try:
        cls = _combined(getattr(kind, "user_type", kind))
        if cls is EvaluationError:
            return plain
        made = _as_instance(cls, error)
    except Exception:  # noqa: BLE001 - whatever the user's class does; then the error is raised as it is
        plain.__cause__, error.__cause__ = error.__cause__, plain  # which says where
        return error
    made.node, made.site, made.expression, made.inputs, made.what = fields
    made.__cause__ = error
    return made


@functools.cache  # one class per type, so that what was pickled and rebuilt is of the same type
def _combined(user_type: type[Exception]) -> type[EvaluationError]:
    if issubclass(EvaluationError, user_type) or issubclass(user_type, _SIGNS):
        return EvaluationError
    body = {
        "__doc__": f"EvaluationError, caused by a {user_type.__name__}.",
        "__module__": EvaluationError.__module__,
        "__str__": EvaluationError.__str__,
        "__reduce__": _reduce,
        "user_type": user_type,
    }
    return type(f"EvaluationError[{user_type.__name__}]", (EvaluationError, user_type), body)


def _as_instance(cls: type[EvaluationError], error: Exception) -> EvaluationError:
    """Return an instance with the other's arguments and attributes. No constructor of the user's is called."""
    builtin: Any = next(each for each in type(error).__mro__ if each.__module__ == "builtins")
    # What the built-in type says of itself: an OSError's filename is not among its arguments.
    _, args, *state = builtin.__reduce__(error)
    made: EvaluationError = builtin.__new__(cls, *args)
    builtin.__init__(made, *args)
    if state and state[0]:
        made.__setstate__(state[0])
    made.args = error.args
    return made


def _reduce(self: Any) -> Any:
    fields = (self.node, self.site, self.expression, self.inputs, self.what)
    try:
        cause = pickle.dumps(self.__cause__)
        pickle.loads(cause)
    except Exception:  # noqa: BLE001 - the user's error cannot travel; what is said of it can, and its type may
        cause = b""
    return _rebuild, (fields, self.user_type, cause)


def _rebuild(fields: _Fields, user_type: type[Exception], cause: bytes) -> Exception:
    if cause:
        error: Exception = pickle.loads(cause)
    else:
        error = user_type.__new__(user_type)
    made = _dressed(fields, error)
    if not cause:
        made.__cause__ = None
    return made
