"""The state of a run as JSON can hold it: written, read, and held against the plan that it is loaded into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from olympipe_like._model.identity import Path
from olympipe_like._model.start import Start
from olympipe_like._plan.graph import Node
from olympipe_like._plan.resuming import Restart, outline, refuse_other_plan
from olympipe_like._runtime.bookmark import Mark, Place
from olympipe_like.errors import PlanError, PlanTypeError

VERSION = 1  # of the states written here

State = dict[str, Any]
"""What JSON can hold."""

_STEP = 0x9E3779B97F4A7C15  # the golden ratio as a fraction of 2**64: epochs' seeds are far apart
_SEED_BITS = 56


class Saved(NamedTuple):
    """Where a run begins."""

    seed: int
    seed_given: bool  # by the user: then `random` and `numpy.random` follow from it, too
    epoch: int = 0  # how many runs of this plan have come to their end, one state leading to the next
    place: Place = Place()  # where the consumer is
    given: int = 0  # items it has had in this epoch
    restart: Restart = Restart({}, {})
    marks: Mapping[int, Mark] = {}

    @property
    def own_seed(self) -> int:
        """What the steps of this epoch draw by."""
        bits = max(_SEED_BITS, self.seed.bit_length())
        return (self.seed + self.epoch * _STEP) % (1 << bits) if self.epoch else self.seed

    @property
    def begun(self) -> dict[int, Path]:
        """Where streamers are that were told their own place."""
        return {source: mark.at for source, mark in self.marks.items() if mark.at}

    def write(self, leaf: Node) -> State:
        """Return it as JSON can hold it."""
        sources: dict[str, Any] = {
            str(number): {"first": list(first)} for number, first in self.restart.sources.items()
        }
        for number, mark in self.marks.items():
            sources.setdefault(str(number), {}).update(at=list(mark.at), state=dict(mark.state))
        return {
            "version": VERSION,
            "plan": outline(leaf),
            "seed": hex(self.seed),
            "seed_given": self.seed_given,
            "epoch": self.epoch,
            "given": self.given,
            "place": [list(self.place.path), self.place.met],
            "steps": {str(number): _of_start(start) for number, start in self.restart.steps.items()},
            "sources": sources,
        }


def _of_start(start: Start) -> State:
    written = {"after": list(start.after), "taken": start.taken, "below": list(start.below), "epoch": list(start.epoch)}
    return {name: value for name, value in written.items() if value}


def read(what: str, state: Any, leaf: Node) -> Saved:
    """Return what was written of the same plan.

    Raises
    ------
    PlanError, PlanTypeError
        If it is no state, a damaged one, or of another plan or release.
    """
    if not isinstance(state, Mapping) or not {"version", "plan", "place", "seed", "seed_given"} <= set(state):
        raise PlanTypeError(f"{what}: this is not what state_dict() of a run returned: {state!r:.60}")
    if state["version"] != VERSION:
        raise PlanError(f"{what}: the state is of version {state['version']}, and this release reads {VERSION}")
    try:
        refuse_other_plan(what, leaf, _list(state["plan"]))
        return _parse(state)
    except PlanError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise PlanError(
            f"{what}: the state is damaged ({problem}); it has to be as state_dict() returned it"
        ) from error


def _parse(state: Mapping[str, Any]) -> Saved:
    steps = {
        int(number): Start(
            _path(each.get("after", ())),
            _number(each.get("taken", 0)),
            _path(each.get("below", ())),
            _path(each.get("epoch", ())),
        )
        for number, each in state["steps"].items()
    }
    sources = {int(number): each for number, each in state["sources"].items()}
    path, met = state["place"]
    return Saved(
        int(state["seed"], 16),
        bool(state["seed_given"]),
        _number(state["epoch"]),
        Place(_path(path), _number(met)),
        _number(state["given"]),
        Restart(steps, {number: _path(each["first"]) for number, each in sources.items() if "first" in each}),
        {number: Mark(_path(each["at"]), each["state"]) for number, each in sources.items() if "state" in each},
    )


def _list(written: Any) -> Sequence[Any]:
    if isinstance(written, Sequence) and not isinstance(written, str):
        return written
    raise TypeError(f"a list was expected, not {written!r:.60}")


def _path(written: Any) -> Path:
    return tuple(_number(number) for number in _list(written))


def _number(written: Any) -> int:
    if type(written) is int:
        return written
    raise TypeError(f"a whole number was expected, not {written!r:.60}")
