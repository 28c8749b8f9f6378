"""What is said of a run that stands still: who holds what, what waits where, and what the workers are doing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from olympipe_like._executors.port import WorkerStack
from olympipe_like._model.identity import StageId
from olympipe_like._plan.segment import Label
from olympipe_like._runtime.driver import Driver
from olympipe_like._runtime.stall import Verdict
from olympipe_like._scheduler.standing import Hand, InFront, StageStanding, WaitsFor, standing, waits_for

MOST_STACKS = 16  # workers whose stacks are shown: more fill a screen without telling more

_FIRST_CALL = re.compile(r'_worker/loop\.py", line \d+ in main$')

_STATES = {
    "R": "it is running",
    "S": "it sleeps",
    "D": "it waits in the kernel for a device, a disk or the network, and cannot be interrupted",
    "T": "it was stopped by a signal (SIGSTOP, or Ctrl-Z); SIGCONT lets it go on",
    "t": "a debugger holds it",
    "Z": "it has ended",
}


class Account:
    """Tells of one run: knows its labels and how its workers are called."""

    def __init__(
        self, driver: Driver, labels: Mapping[StageId, Label], name_of: Callable[[StageId, Hand], str]
    ) -> None:
        self._driver = driver
        self._labels = labels
        self._name_of = name_of

    def tell(self, verdict: Verdict, at: float) -> str:
        """Return the text, without stacks: a line of what happened, then a line for each stage."""
        stages = standing(self._driver.scheduler)
        seconds = _seconds(verdict.seconds)
        if verdict.fatal:
            head = f"the run stood still for {seconds}, as long as its stall_timeout allows"
        else:
            head = f"the run has stood still for {seconds} and goes on waiting (stall_timeout= would make it fail)"
        if waits_for(stages) is WaitsFor.SOURCE:
            head += "; all that its sources gave is done"
        return "\n".join([f"{head}:", *(f"  {self._line(stage, at)}" for stage in stages)])

    def _line(self, stage: StageStanding, at: float) -> str:
        label = self._labels[stage.stage]
        said = [self._hand(stage.stage, hand, at) for hand in stage.hands]
        if label.kind == "source":
            said.append(_of_source(stage))
        elif stage.ended and not said:
            said.append("has ended")
        else:
            said += [self._in_front(edge, several=len(stage.in_front) > 1) for edge in stage.in_front]
        return f"{place_of(label)}: {'; '.join(said)}"

    def _hand(self, stage: StageId, hand: Hand, at: float) -> str:
        name = self._name_of(stage, hand)
        since = self._driver.holding.since(hand.worker)
        for_seconds = f" for {_seconds(at - since)}" if since is not None else ""
        if hand.waits_for_room:
            return f"{name} has had the rest of an answer{for_seconds}, for which there is no room yet"
        if not hand.items:
            return f"{name} has known{for_seconds} that its input has ended, and not answered"
        frames = "1 frame" if hand.frames == 1 else f"{hand.frames} frames"
        return f"{name} has had {frames} of {_items(hand.items)}{for_seconds}"

    def _in_front(self, edge: InFront, *, several: bool) -> str:
        sender = f" from {self._labels[edge.parent].name!r}" if several else ""
        if edge.capacity and edge.counted >= edge.capacity:
            return f"{_items(edge.waiting)}{sender} wait in front of it, where there is no room for more"
        room = f" of {edge.capacity}" if edge.capacity else ""
        return f"{edge.waiting}{room} items{sender} wait in front of it"


def with_stacks(text: str, stacks: Sequence[WorkerStack]) -> str:
    """Return the text followed by what each worker is doing."""
    shown = [f"{stack.title}:\n{stack.text}" for stack in stacks[:MOST_STACKS]]
    if len(stacks) > MOST_STACKS:
        shown.append(f"(and {len(stacks) - MOST_STACKS} more workers)")
    return "\n\n".join([text, *shown])


def place_of(label: Label) -> str:
    """Return what a stage is called.

    >>> place_of(Label("decode", "task", 2, 3)), place_of(Label("numbers", "source", 0, 3))
    ("stage 2/3 'decode'", "source 'numbers'")
    """
    if label.kind in ("source", "sink"):
        return f"{label.kind} {label.name!r}"
    return f"stage {label.number}/{label.of} {label.name!r}"


def readable(stacks: str) -> str:
    """Return a worker process's stacks without what all of them share: how the hub came to fork it."""
    lines: list[str] = []
    ours = False
    for line in stacks.splitlines():
        ours = ours and line.startswith("  File ")
        if not ours:
            lines.append(line)
        ours = ours or bool(_FIRST_CALL.search(line))
    if len(lines) == 6 and lines[1].endswith(" in receive") and lines[3].endswith(" in serve"):
        return "(waits for something to do)"
    return "\n".join(lines)


def silence_of(pid: int) -> str:
    """Return why a process may have given no stacks."""
    from pathlib import Path  # 4 ms, which no run that moves should pay

    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "(gives no stacks, and its state cannot be read)"
    return f"(gives no stacks: {_STATES.get(state, f'its state is {state}')})"


def _of_source(stage: StageStanding) -> str:
    given = f"has given {_items(stage.given)}"
    if stage.ended:
        return f"{given} and ended"
    if stage.wanted:
        return f"{given} and may give {stage.wanted} more"
    return f"{given} and was asked to end" if stage.is_awaited else f"{given}; there is no room for more"


def _items(count: int) -> str:
    return f"{count} item{'' if count == 1 else 's'}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
