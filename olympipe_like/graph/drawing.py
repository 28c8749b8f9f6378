"""A graph as Mermaid and DOT text. Evaluates nothing.

A box is a node that has a name, is needed by several, or ends the graph; what lies between is written into the box
that uses it, as Python. An arrow goes to where a value is used: dashed if that may not be asked for, dotted if only
the order matters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from olympipe_like.graph.expression import MOST_CHARACTERS, Text, cut, write
from olympipe_like.graph.operation import Operation
from olympipe_like.graph.templates import nodes_in

Arrow = Literal["used", "perhaps", "before"]

# Arguments that a lazy node asks for in any case, by place.
_ALWAYS = {"conditional": (0,), "try_": (0, 2), "cache": (3,), "cache_file": (3,)}
_LIGHT = ("import", "constant", "getattr")  # short enough to be written wherever they are used


@dataclass
class Box:
    """A node that is drawn."""

    node: Operation
    name: str  # "" if it was not given one
    text: str  # what it computes; "" for placeholders
    arrows: dict[Operation, Arrow] = field(default_factory=dict)  # from whom


def boxes(nodes: Sequence[Operation], ends: frozenset[Operation]) -> list[Box]:
    """Return what to draw of some nodes, all that they need being among them."""
    uses = Counter(node for each in nodes for node in set(_inputs(each)))
    ordered = {before for each in nodes for before in each._definition.dependencies}
    found: dict[Operation, Box] = {}
    folded: dict[Operation, tuple[Text, dict[Operation, Arrow]]] = {}  # what is written into the boxes that use it

    def text_of(node: Operation) -> Text:
        return folded[node][0] if node in folded else Text(node.name)

    for node in nodes:
        text, arrows = write(node, text_of), _arrows(node, folded)
        kind = node._definition.kind
        light = kind in _LIGHT and len(text.text) <= MOST_CHARACTERS // 2
        stands_alone = (
            node._named
            or node in ends
            or node in ordered
            or node._definition.dependencies
            or kind == "placeholder"
            or node._definition.lazy
            or len(text.text) > MOST_CHARACTERS
            or (uses[node] > 1 and not light)
        )
        if stands_alone:
            shown = "" if kind == "placeholder" else cut(text.text)
            found[node] = Box(node, node.name if node._named or kind == "placeholder" else "", shown, arrows)
        else:
            folded[node] = (text, arrows)
    # An unnamed box that another one's text speaks of needs its name shown.
    spoken_of = {source for box in found.values() for source in box.arrows}
    for node in spoken_of:
        found[node].name = node.name
    return list(found.values())


def _inputs(node: Operation) -> Iterable[Operation]:
    definition = node._definition
    yield from nodes_in([definition.args, definition.kwargs])
    yield from definition.dependencies


def _arrows(node: Operation, folded: dict[Operation, tuple[Text, dict[Operation, Arrow]]]) -> dict[Operation, Arrow]:
    definition = node._definition
    found: dict[Operation, Arrow] = {}

    def add(source: Operation, arrow: Arrow) -> None:
        through = folded[source][1] if source in folded else {source: arrow}
        for each, own in through.items():
            if found.get(each) != "used":  # one arrow between two boxes, the plainest
                found[each] = own if arrow == "used" else arrow

    for before in definition.dependencies:
        add(before, "before")
    for place, argument in enumerate((*definition.args, definition.kwargs)):
        always = not definition.lazy or place in _ALWAYS.get(definition.kind, ())
        for source in nodes_in(argument):
            add(source, "used" if always else "perhaps")
    return found


def mermaid(drawn: Sequence[Box]) -> str:
    """Return the boxes as a Mermaid flowchart."""
    lines = ["flowchart TB"]
    arrows = {"used": "-->", "perhaps": "-.->", "before": "-. before .->"}
    for box in drawn:
        label = "<br/>".join(_mermaid_text(part) for part in _label(box))
        opening, closing = ("([", "])") if not box.text else ("{{", "}}") if box.node._definition.lazy else ("[", "]")
        lines.append(f'    n{box.node._number}{opening}"{label}"{closing}')
    for box in drawn:
        lines.extend(
            f"    n{source._number} {arrows[arrow]} n{box.node._number}" for source, arrow in box.arrows.items()
        )
    return "\n".join(lines) + "\n"


def dot(drawn: Sequence[Box]) -> str:
    """Return the boxes as a digraph for Graphviz."""
    lines = [
        "digraph {",
        '    node [shape=box, style=rounded, fontname="Helvetica", fontsize=11]',
    ]
    arrows = {"used": "", "perhaps": " [style=dashed]", "before": ' [style=dotted, label="before"]'}
    for box in drawn:
        label = "\\n".join(part.replace("\\", "\\\\").replace('"', '\\"') for part in _label(box))
        shape = ", shape=ellipse" if not box.text else ", shape=hexagon" if box.node._definition.lazy else ""
        lines.append(f'    n{box.node._number} [label="{label}"{shape}]')
    for box in drawn:
        lines.extend(
            f"    n{source._number} -> n{box.node._number}{arrows[arrow]}" for source, arrow in box.arrows.items()
        )
    return "\n".join([*lines, "}"]) + "\n"


def _label(box: Box) -> list[str]:
    return [part for part in (box.name, box.text) if part and not (part == box.text == box.name)] or [box.name]


def _mermaid_text(text: str) -> str:
    """Return text that Mermaid shows as it is: it reads HTML, and some marks of its own."""
    special = {"&": "amp", '"': "quot", "<": "lt", ">": "gt", "#": "35", "`": "96"}
    return "".join(f"#{special[letter]};" if letter in special else letter for letter in text)
