"""What a segment makes of one frame: of a failure that comes in with it, of Ctrl-C, of odd exceptions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olympipe_like import Pipeline
from olympipe_like._model.failure import Failure
from olympipe_like._plan.layout import lay_out
from olympipe_like._worker.blame import blame
from olympipe_like._worker.chunk import dense
from olympipe_like._worker.one_pass import OnePass
from olympipe_like._worker.program import Program


def program_of(pipe):
    """Return the program of the first stage with a function, and the label it goes by."""
    segment = next(stage.segment for stage in lay_out([pipe._node], "thread").stages if stage.segment)
    return Program(segment, 0, "a worker", None), segment.labels[0]


def failing_chunk(items, label):
    chunk = dense(list(items), 0)
    chunk.failure = blame(ValueError("before"), label, "another worker", path=(len(items),), item=None)
    return chunk


class InterruptedBehindTheLast(list):
    """As when Ctrl-C was pressed while a function of C worked at the last item."""

    def __iter__(self):
        yield from super().__iter__()
        raise KeyboardInterrupt


class WithoutTraceback(Exception):
    __traceback__ = None


@given(items=st.integers(1, 6), each=st.integers(0, 5), part=st.integers(1, 7), steps=st.integers(0, 2))
def test_a_failure_that_comes_with_a_frame_leaves_behind_all_parts_an_explode_makes_of_it(items, each, part, steps):
    pipe = Pipeline(range(items)).explode(lambda x: [x] * each)
    for _ in range(steps):
        pipe = pipe.filter(None)
    program, label = program_of(pipe.batch(2))

    answers = list(program.run(failing_chunk(range(items), label), 0, part))

    assert [answer.chunk.failure is not None for answer in answers] == [not answer.more for answer in answers]
    assert not answers[-1].more


@pytest.mark.parametrize("fused", [False, True])
def test_ctrl_c_behind_the_last_item_is_no_failure_of_an_item(fused):
    pipe = Pipeline([1, 2]).task(abs)
    program, _ = program_of(pipe.task(abs).fuse() if fused else pipe)
    chunk = dense([1, 2], 0)
    chunk.items = InterruptedBehindTheLast(chunk.items)

    with pytest.raises(KeyboardInterrupt):
        list(program.run(chunk, 0, 10))


def test_an_exception_that_hides_its_traceback_is_laid_at_the_right_door():
    def fail(x):
        if x == 2:
            raise WithoutTraceback("hidden")
        return x

    program, _ = program_of(Pipeline([]).task(abs).task(fail, name="fail").task(abs).fuse())
    assert isinstance(program._way[0], OnePass)

    (answer,) = program.run(dense([0, 1, 2, 3], 0), 0, 10)

    assert answer.chunk.items == [0, 1]
    assert isinstance(answer.chunk.failure, Failure)
    assert (answer.chunk.failure.stage, answer.chunk.failure.path, answer.chunk.failure.item) == ("fail", (2,), "2")
