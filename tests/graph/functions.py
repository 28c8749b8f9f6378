"""What graphs of the tests call, and what pickle finds by name."""

from __future__ import annotations

import os
import threading

from olympipe_like.graph import (
    Graph,
    assert_,
    conditional,
    func_op,
    import_,
    lazy_constant,
    opmethod,
    placeholder,
    try_,
)

MADE = []


def make_table():
    """Return what a process makes once: its number, and a word."""
    MADE.append(threading.get_ident())
    return {"process": os.getpid(), "word": "table"}


@opmethod(length=2)
def halves(text):
    """Return both halves of a text."""
    return text[: len(text) // 2], text[len(text) // 2 :]


class Scaler:
    """Has a method that makes nodes."""

    def __init__(self, by):
        self.by = by

    @opmethod
    def scaled(self, value):
        """Return a value times something."""
        return value * self.by


class TwoArguments(Exception):
    """Cannot be rebuilt by pickle."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")
        self.one = one


def fail_with_two(value):
    raise TwoArguments(value, "more")


def item_graph():
    """Return a graph with something of everything that travels."""
    with Graph() as graph:
        x = placeholder("x")
        math = import_("math")
        root = math.sqrt(x).set_name("root")
        table = lazy_constant(make_table, name="table")
        left, right = halves(func_op(str, x))
        scaled = Scaler(3).scaled(x)
        checked = assert_(x >= 0, "x is %s", x, value=x)
        safe = try_(1 / x, [(ZeroDivisionError, -1)])
        everything = [root, table["word"], left + right, scaled, conditional(x > 2, "large", "small"), safe, checked]
        func_op(tuple, everything, name="all")
    return graph
