"""The order of answers that come in parts. Knows neither workers nor windows."""

from __future__ import annotations

from collections import deque

from olympipe_like._model.frame import Frame


class Release:
    """Puts the parts of answers in order and numbers them anew.

    One frame may be answered by many parts; those of a later frame wait until the earlier one is complete.
    """

    def __init__(self, *, in_order: bool) -> None:
        self.head = 0  # the key whose parts may go out
        self.number = 0  # of the next frame out
        self._in_order = in_order
        self._waiting: dict[int, deque[Frame]] = {}
        self._complete: set[int] = set()

    def may_go_on(self, key: int) -> bool:
        """Whether parts of this key are released as they come."""
        return not self._in_order or key == self.head

    def add(self, key: int, frame: Frame | None, *, complete: bool) -> None:
        """Take a part; ``complete`` with the last one."""
        parts = self._waiting.setdefault(key, deque())
        if frame is not None:
            parts.append(frame)
        if complete:
            self._complete.add(key)

    def pop(self) -> tuple[int, Frame] | None:
        """Return the next frame out and its number."""
        while True:
            keys = [self.head] if self._in_order else list(self._waiting)
            for key in keys:
                parts = self._waiting.get(key)
                if parts:
                    self.number += 1
                    return self.number - 1, parts.popleft()
                if key in self._complete:
                    self._complete.discard(key)
                    self._waiting.pop(key, None)
                    if self._in_order:
                        self.head += 1
                        break  # look at the new head
            else:
                return None

    def drop_after(self, key: int) -> list[Frame]:
        """Forget the parts of every later key; return them."""
        late = [each for each in self._waiting if each > key]
        self._complete.difference_update(late)
        return [frame for each in late for frame in self._waiting.pop(each)]

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to go out."""
        return not self._waiting

    @property
    def backlog(self) -> int:
        """Answers begun or complete that wait for an earlier one."""
        return len(self._waiting)
