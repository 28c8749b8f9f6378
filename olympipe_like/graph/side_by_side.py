"""The intermediates of some items, side by side: what a graph does, to look at."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.checks import whole_number
from olympipe_like.errors import EvaluationError
from olympipe_like.graph.function import Inputs, graph_function
from olympipe_like.graph.graph import Graph
from olympipe_like.graph.operation import Operation
from olympipe_like.graph.pictures import caption, picture
from olympipe_like.graph.sheet import Cell, draw_sheet
from olympipe_like.graph.summary import summary
from olympipe_like.graph.templates import asked_in

if TYPE_CHECKING:
    from PIL.Image import Image


def preview(
    graph: Graph, items: Iterable[Any], fetches: Any = None, inputs: Inputs = None, *, side: int = 320
) -> Preview:
    """Evaluate a graph for some items in this process, and return its nodes' values to look at, side by side.

    Parameters
    ----------
    graph : Graph
        What to apply.
    items : iterable
        What a stage would be given; a few, as all values are kept.
    fetches : Operation, str, or list, tuple or dict of these, optional
        The nodes to show, in this order. By default placeholders and all nodes with a name but modules.
    inputs : optional
        What an item is, as in `graph_function`.
    side : int, optional
        Longer side of a picture in pixels, >= 16; small arrays are enlarged up to it.

    Returns
    -------
    Preview
        Prints as a table, shows itself in notebooks, and saves itself as PNG. Arrays of two dimensions, or three with
        1, 3 or 4 channels, are pictures; that needs pillow. An item that fails shows what failed, and what it got
        before.

    Examples
    --------
    >>> from olympipe_like.graph import Graph, placeholder, preview
    >>> with Graph() as graph:
    ...     x = placeholder("x")
    ...     half = (x / 2).set_name("half")
    ...     root = (half**0.5).set_name("root")
    >>> print(preview(graph, [8, "a"]))
    item  x    half                                      root
    0     8    4.0                                       2.0
    1     'a'  TypeError: unsupported operand type(s...  -
    """
    whole_number(f"preview ({call_site()})", "side", side, 16)
    nodes = list(dict.fromkeys(asked_in(graph.resolve(fetches)))) if fetches is not None else _worth_seeing(graph)
    function = graph_function(graph, tuple(nodes), inputs)
    rows: list[list[Cell]] = []
    labels = []
    for number, item in enumerate(items):
        context: dict[Any, Any] = {}
        failure: Exception | None = None
        try:
            context = function.context_of(item)
            graph.apply(function.fetches, context)
        except Exception as error:  # noqa: BLE001 - of this item, and shown beside the others
            failure = error
        rows.append(_cells(nodes, context, failure))
        labels.append(f"item {number}: {summary(item)}")
    return Preview([node.name for node in nodes], labels, rows, side)


def _worth_seeing(graph: Graph) -> list[Operation]:
    kinds = {"placeholder"}
    return [
        node
        for node in graph
        if node._definition.kind in kinds or (node._named and node._definition.kind not in ("import", "constant"))
    ]


def _cells(nodes: Sequence[Operation], context: dict[Any, Any], failure: Exception | None) -> list[Cell]:
    """Return what is known of each node; of the first that is missing, why."""
    cause = None if failure is None or isinstance(failure, EvaluationError) else failure.__cause__
    if isinstance(cause, EvaluationError):
        failure = cause  # which says where; what was raised is of a type that it cannot be itself
    missing = [node for node in nodes if node not in context]
    cells = []
    for node in nodes:
        if node in context:
            cells.append(Cell(context[node], summary(context[node])))
        elif failure is not None and node is missing[0]:
            cells.append(Cell(None, _why(failure, node), "failed"))
        else:
            cells.append(Cell(None, "-", "missing"))
    return cells


def _why(failure: Exception, node: Operation) -> str:
    if not isinstance(failure, EvaluationError):  # the item gives no values for the graph
        return f"{type(failure).__name__}: {failure}"
    return failure.what if failure.node == node.name else f"node {failure.node!r}: {failure.what}"


class Preview:
    """Values of nodes for some items; `preview` makes one.

    Attributes
    ----------
    columns : list of str
        Names of the nodes.
    rows : list of dict
        For each item the values there are, by name.
    """

    def __init__(
        self, columns: Sequence[str], labels: Sequence[str], cells: Sequence[Sequence[Cell]], side: int
    ) -> None:
        self.columns = list(columns)
        self._labels, self._cells, self._side = labels, cells, side

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The values there are, for each item."""
        return [
            {name: cell.value for name, cell in zip(self.columns, row, strict=True) if cell.state == "value"}
            for row in self._cells
        ]

    def to_image(self) -> Image:
        """Return everything as one picture, a ``PIL.Image.Image``.

        Raises
        ------
        ImportError
            If pillow is not installed; the text names the extra.
        """
        return draw_sheet(self.columns, self._labels, self._cells, self._side)

    def save(self, path: str | PathLike[str]) -> None:
        """Write `to_image` to a PNG file."""
        self.to_image().save(path, format="PNG")

    def __str__(self) -> str:
        table = [["item", *self.columns]]
        table += [[str(number), *(_shorten(cell.text) for cell in row)] for number, row in enumerate(self._cells)]
        widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table
        )

    __repr__ = __str__

    def _repr_png_(self) -> bytes | None:
        return _png(self.to_image()) if _has_pillow() else None

    def _repr_html_(self) -> str:
        pictures = _has_pillow()
        head = "".join(f"<th style='text-align:left'>{html.escape(name)}</th>" for name in self.columns)
        body = []
        for label, row in zip(self._labels, self._cells, strict=True):
            cells = "".join(
                f"<td style='text-align:left;vertical-align:top'>{self._html(c, pictures)}</td>" for c in row
            )
            body.append(
                f"<tr><td colspan='{len(row)}' style='text-align:left;color:gray'>{html.escape(label)}</td></tr>"
                f"<tr>{cells}</tr>"
            )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"

    def _html(self, cell: Cell, pictures: bool) -> str:
        if pictures and cell.is_picture:
            data = base64.b64encode(_png(picture(cell.value, self._side))).decode()
            text = html.escape(caption(cell.value))
            return f"<img alt='{text}' src='data:image/png;base64,{data}'><br><small>{text}</small>"
        return f"<code>{html.escape(cell.text)}</code>"


MOST_CHARACTERS = 40  # of a cell in the table of texts


def _shorten(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def _png(image: Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def _has_pillow() -> bool:
    from importlib.util import find_spec

    return find_spec("PIL") is not None
