"""What a worker may say, without a network: what our own say is let through, whatever the stage."""

from __future__ import annotations

import pytest

from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import END, StageId, WorkerId
from olympipe_like._model.topology import Role, StageSpec
from olympipe_like._remote.conduct import Conduct
from olympipe_like._remote.envelope import ProtocolError
from olympipe_like._remote.speech import Says
from olympipe_like._transport import messages as wire

PARTS = StageSpec(id=StageId(1), name="explode", role=Role.MAP, parts=True)


def ready_with(spec, upto):
    """Return a worker that is ready and has one frame of one item, and the frame's number."""
    conduct = Conduct(spec, None)
    conduct.says(Says.READY)
    run = wire.Run(WorkerId(1), 0, False, None, 0, 1, (), upto, None, 1, 0, wire.NO_SLOT, False, False, ())
    return conduct, conduct.given(run)


def part(upto, *, more):
    counts = (OpCounts(items_in=1, items_out=1),)
    return wire.Answered(WorkerId(1), None, 1, upto, None, counts, 0.0, more, False, (), (), None, 0)


@pytest.mark.parametrize(("frame", "within"), [((6,), (5, 3)), (END, (*END, 59, *END)), ((2, 6), (2, 5, 1))])
def test_a_part_of_an_item_is_within_its_frame(frame, within):
    conduct, number = ready_with(PARTS, frame)

    conduct.answers(number, part(within, more=True))
    conduct.answers(number, part(frame, more=False))

    with pytest.raises(ProtocolError, match="which it has not or has answered before"):
        conduct.answers(number, part(frame, more=False))


@pytest.mark.parametrize(("frame", "beyond"), [((6,), (7,)), ((6,), (7, 0)), ((6,), ()), ((2, 6), (3,))])
def test_a_part_beyond_its_frame_is_refused(frame, beyond):
    conduct, number = ready_with(PARTS, frame)

    with pytest.raises(ProtocolError, match="a part that goes beyond its frame"):
        conduct.answers(number, part(beyond, more=True))


def test_a_frame_that_a_worker_was_told_to_forget_is_not_answered_any_more():
    conduct, number = ready_with(PARTS, (6,))
    conduct.answers(number, part((5, 3), more=True))

    assert conduct.drops() == number

    with pytest.raises(ProtocolError, match="which it has not or has answered before"):
        conduct.answers(number, part((6,), more=False))
