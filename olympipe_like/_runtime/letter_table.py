"""The letters of a folder as a table on a terminal."""

from __future__ import annotations

import sys
from pathlib import Path as FilePath

from olympipe_like._observe.text import columns, left, one_line
from olympipe_like._runtime import letter_files as files

_HEAD = ("file", "stage", "item", "error", "attempts")
_WIDTHS = (255, 24, 40, 60, 8)  # columns a cell takes at most


def show(directory: FilePath) -> int:
    """Print the letters of a folder; return the exit code: 2 if it, or one of them, cannot be read."""
    code = 0
    rows = [_HEAD]
    try:
        found = files.letters_in(directory)
    except OSError as error:
        print(f"cannot read dead letters: {error}", file=sys.stderr)
        return 2
    for file in found:
        try:
            rows.append(_row(files.read_letter(file)))
        except files.LetterError as error:
            print(error, file=sys.stderr)
            code = 2
    if len(rows) == 1:
        print(f"no dead letters in {directory}")
        return code
    cells = [[one_line(cell, width) for cell, width in zip(row, _WIDTHS, strict=True)] for row in rows]
    widths = [max(map(columns, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(map(left, row, widths)).rstrip())
    return code


def _row(letter: files.Letter) -> tuple[str, str, str, str, str]:
    item = f"{letter.position_text.removeprefix('item ')}: {letter.item}"
    if letter.data is None:
        item = f"(not kept) {item}"
    return letter.file.name, f"{letter.place} {letter.stage}", item, letter.error, str(letter.attempts)
