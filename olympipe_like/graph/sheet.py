"""A preview as one picture: a row for each item, a column for each node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

from olympipe_like.graph.pictures import caption, is_picture, picture, pillow

if TYPE_CHECKING:
    from PIL.Image import Image

PAPER, INK, PENCIL, LINE, RED = "#faf9f6", "#23272b", "#7b8087", "#dddad3", "#a8322d"
MARGIN, GAP = 32, 20  # pixels: around the sheet, between cells
TEXT_WIDTH = 30  # characters in a cell of text
NAME_SIZE, TEXT_SIZE = 18, 13  # pixels


class Cell(NamedTuple):
    """What is known of a node for an item."""

    value: Any
    text: str
    state: str = "value"  # or "failed", "missing"

    @property
    def is_picture(self) -> bool:
        """Whether it is shown as a picture."""
        return self.state == "value" and is_picture(self.value)


def draw_sheet(columns: Sequence[str], labels: Sequence[str], rows: Sequence[Sequence[Cell]], side: int) -> Image:
    """Return the picture; ``side`` is the longer side of an array's picture in pixels.

    Raises
    ------
    ImportError
        If pillow is not installed.
    """
    image_module, draw_module, font_module = pillow("Image"), pillow("ImageDraw"), pillow("ImageFont")
    name_font, text_font = (font_module.load_default(size=size) for size in (NAME_SIZE, TEXT_SIZE))
    line = TEXT_SIZE + 5

    def width_of(text: str, font: Any) -> int:
        return int(font.getlength(text)) + 1

    drawn = [[_Drawn(cell, side) for cell in row] for row in rows]
    widths = [
        max(
            [width_of(title, name_font)] + [row[place].width(lambda text: width_of(text, text_font)) for row in drawn],
        )
        for place, title in enumerate(columns)
    ]
    heights = [max((cell.height(line) for cell in row), default=0) for row in drawn]
    head = MARGIN + NAME_SIZE + 14
    labelled = line + 8
    size = (
        max(
            2 * MARGIN + sum(widths) + GAP * (len(widths) - 1), 2 * MARGIN + max(width_of(t, text_font) for t in labels)
        ),
        head + sum(heights) + (labelled + GAP) * len(rows) + MARGIN - GAP,
    )
    sheet: Image = image_module.new("RGB", size, PAPER)
    draw = draw_module.Draw(sheet)
    lefts = [MARGIN + sum(widths[:place]) + GAP * place for place in range(len(columns))]
    for left, title in zip(lefts, columns, strict=True):
        draw.text((left, MARGIN - 8), title, INK, name_font)
    top = head
    for label, row, height in zip(labels, drawn, heights, strict=True):
        draw.line((MARGIN, top, size[0] - MARGIN - 1, top), LINE)
        draw.text((MARGIN, top + 6), label, PENCIL, text_font)
        for left, cell in zip(lefts, row, strict=True):
            cell.put(sheet, draw, (left, top + labelled), text_font, line)
        top += labelled + height + GAP
    return sheet


class _Drawn:
    """A cell with its picture, or its text in lines."""

    def __init__(self, cell: Cell, side: int) -> None:
        self.cell = cell
        self.image = picture(cell.value, side) if cell.is_picture else None
        self.lines = [caption(cell.value)] if cell.is_picture else wrap(cell.text, TEXT_WIDTH) or [""]

    def width(self, width_of: Callable[[str], int]) -> int:
        return max([width_of(text) for text in self.lines] + ([self.image.width] if self.image else []))

    def height(self, line: int) -> int:
        return len(self.lines) * line + (self.image.height + 6 if self.image else 0)

    def put(self, sheet: Any, draw: Any, corner: tuple[int, int], font: Any, line: int) -> None:
        left, top = corner
        if self.image is not None:
            whole = self.image.convert("RGBA")
            sheet.paste(whole, corner, whole)
            top += self.image.height + 6
        plain = PENCIL if self.image is not None else INK
        color = {"value": plain, "failed": RED, "missing": PENCIL}[self.cell.state]
        for text in self.lines:
            draw.text((left, top), text, color, font)
            top += line
