"""A terminal to draw on: a real pseudo-terminal, and as much of an emulator as bars need."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios

_SYNC = "\x05"  # ENQ: nothing that is tested writes it


class Screen:
    """What stands on a terminal of so many rows and columns after some text was written to it."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.grid = [[" "] * columns for _ in range(rows)]
        self.scrolled = []  # rows that left at the top
        self.row = self.column = 0

    def feed(self, text):
        text = text.replace("\x1b[A", "\x01")
        for sign in text:
            if sign == "\x01":
                self.row = max(self.row - 1, 0)
            elif sign == "\r":
                self.column = 0
            elif sign == "\n":
                self._go_down()
            else:
                self._put(sign)

    def _go_down(self):
        self.row += 1
        if self.row == self.rows:
            self.row -= 1
            self.scrolled.append("".join(self.grid.pop(0)).rstrip())
            self.grid.append([" "] * self.columns)

    def _put(self, sign):
        assert sign.isprintable(), f"{sign!r} would do something to the terminal"
        if self.column == self.columns:  # the last column wraps only when more comes
            self.column = 0
            self._go_down()
        self.grid[self.row][self.column] = sign
        self.column += 1

    @property
    def lines(self):
        """Every row down to the last that is not blank."""
        rows = ["".join(row).rstrip() for row in self.grid]
        while rows and not rows[-1]:
            rows.pop()
        return rows


class Terminal:
    """A pseudo-terminal: `stream` is what a program writes to, `look` tells what stands on it."""

    def __init__(self, rows=24, columns=100):
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.stream = os.fdopen(theirs, "w", encoding="utf-8")
        self.screen = Screen(rows, columns)

    def look(self):
        """Return the screen with all that was written so far."""
        self.stream.write(_SYNC)
        self.stream.flush()
        written = b""
        while not written.endswith(_SYNC.encode()):
            readable, _, _ = select.select([self._ours], [], [], 10)
            assert readable, "the terminal gave nothing back"
            written += os.read(self._ours, 65536)
        self.screen.feed(written.decode()[:-1])
        return self.screen

    def resize(self, rows, columns):
        fcntl.ioctl(self.stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self):
        if not self.stream.closed:
            self.stream.close()
            os.close(self._ours)
