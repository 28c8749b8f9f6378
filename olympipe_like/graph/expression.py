"""What a node computes, as Python text. Evaluates nothing."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from olympipe_like.graph.operation import Operation
from olympipe_like.graph.summary import summary

MOST_CHARACTERS = 72

_INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "matmul": "@",
    "truediv": "/",
    "floordiv": "//",
    "mod": "%",
    "pow": "**",
    "lshift": "<<",
    "rshift": ">>",
    "and_": "&",
    "or_": "|",
    "xor": "^",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
}
_PREFIX = {"neg": "-", "pos": "+", "invert": "~"}


class Text(NamedTuple):
    """A piece of Python."""

    text: str
    whole: bool = True  # False: needs parentheses beside an operator or a dot

    def inside(self) -> str:
        """Return it as a part of another."""
        return self.text if self.whole else f"({self.text})"


Namer = Callable[[Operation], Text]


def expression_of(node: Operation, depth: int = 4) -> str:
    """Return what a node computes, of nodes with names; and of those without, if they are deeper than this."""

    def text_of(inner: Operation, left: int) -> Text:
        if inner._named or left == 0 or inner._definition.kind == "placeholder":
            return Text(inner.name)
        return write(inner, lambda each: text_of(each, left - 1))

    return cut(write(node, lambda each: text_of(each, depth)).text)


def cut(text: str) -> str:
    """Return the text, or its start."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def write(node: Operation, text_of: Namer) -> Text:
    """Return a node's expression, uncut."""
    definition = node._definition
    kind, args, kwargs = definition.kind, definition.args, definition.kwargs or {}

    def part(value: Any) -> Text:
        return literal(value, text_of)

    if kind in _INFIX and len(args) == 2 and definition.function in (getattr(operator, kind), pow):
        return Text(f"{part(args[0]).inside()} {_INFIX[kind]} {part(args[1]).inside()}", whole=False)
    if kind in _PREFIX and definition.function is getattr(operator, kind):
        return Text(f"{_PREFIX[kind]}{part(args[0]).inside()}", whole=False)
    if kind == "getattr" and len(args) == 2 and isinstance(args[1], str):
        return Text(f"{part(args[0]).inside()}.{args[1]}")
    if kind == "getitem":
        return Text(f"{part(args[0]).inside()}[{_key(args[1], text_of)}]")
    if kind == "import" and isinstance(args[0], str):
        return Text(args[0])
    if kind == "constant":
        return Text(summary(definition.function()))
    if kind in ("cache", "cache_file"):  # the others are how, not what
        args = args[:1]
    if kind == "try_":
        clauses = [f", {literal(kinds, text_of).text}: {part(instead).text}" for kinds, instead in args[1]]
        last = f", finally: {part(args[2]).text}" if args[2] is not None else ""
        return Text(f"try_({part(args[0]).text}{''.join(clauses)}{last})")
    if kind == "str_format":
        args, kwargs = (args[0], *args[1]), args[2]
    if kind == "call":
        name, args = part(args[0]).inside(), args[1:]
    else:
        name = kind
    inside = [part(each).text for each in args] + [f"{key}={part(each).text}" for key, each in kwargs.items()]
    return Text(f"{name}({', '.join(inside)})")


def literal(value: Any, text_of: Namer) -> Text:
    """Return a nested literal as text."""
    kind = type(value)
    if kind is Operation:
        return text_of(value)
    if kind in (list, tuple, set) and value and len(value) <= 6:
        inside = ", ".join(literal(each, text_of).text for each in value)
        if kind is tuple:
            return Text(f"({inside}{',' if len(value) == 1 else ''})")
        return Text(f"[{inside}]" if kind is list else f"{{{inside}}}")
    if kind is dict and len(value) <= 6:
        pairs = (f"{literal(key, text_of).text}: {literal(each, text_of).text}" for key, each in value.items())
        return Text(f"{{{', '.join(pairs)}}}")
    if callable(value) and hasattr(value, "__name__"):
        return Text(str(value.__name__))
    return Text(summary(value))


def _key(key: Any, text_of: Namer) -> str:
    """Return what stands in brackets."""
    if type(key) is tuple and key:
        return ", ".join(_key(each, text_of) for each in key)
    if type(key) is slice:
        start, stop, step = (
            "" if each is None else literal(each, text_of).text for each in (key.start, key.stop, key.step)
        )
        return f"{start}:{stop}{f':{step}' if step else ''}"
    return "..." if key is Ellipsis else literal(key, text_of).text
