"""Items written by msgpack or by functions of the user's: then nothing that a worker sends is unpickled here."""

from __future__ import annotations

import json
import logging
import re
import threading

import numpy as np
import pytest

from olympipe_like import Pipeline, PlanError, StageFailed
from olympipe_like._remote import fields, gateways, temporary
from olympipe_like._remote.speech import Says, pack
from olympipe_like.remote import remote
from tests.faults.cases import outcome
from tests.remote.attacks import Canary, Peer

pytestmark = pytest.mark.timeout(60)

VALUES = [1, 2.5, "text", b"bytes", None, True, [1, [2]], {"a": 1, 2: "b"}, -(2**40), ""]


def same(value):
    return value


def test_msgpack_carries_plain_values_and_arrays(machines, hub):
    machines(2)
    arrays = [np.arange(6).reshape(2, 3), np.zeros(0), np.float32(1.5), np.full((300, 1000), 7, "<u2")]

    pipe = Pipeline(VALUES + arrays).task(same, executor=hub(serializer="msgpack")).task(same)
    results = pipe.wait_for_result()

    assert results[: len(VALUES)] == VALUES
    for result, array in zip(results[len(VALUES) :], arrays, strict=True):
        assert result.dtype == array.dtype
        assert np.array_equal(result, array)


def test_order_filters_and_explode_hold_with_msgpack(machines, hub):
    machines(3)
    there = hub(serializer="msgpack")

    pipe = Pipeline(range(300)).filter(lambda n: n % 3, executor=there).explode(lambda n: [n, -n], executor=there)

    assert pipe.wait_for_result() == [m for n in range(300) if n % 3 for m in (n, -n)]


def test_what_steps_that_remember_make_travels_with_msgpack(machines, hub):
    machines(2)
    there = hub(serializer="msgpack")
    numbers = Pipeline(range(50)).task(same, executor=there)

    batches = numbers.batch(7).task(sum, executor=there)
    windows = numbers.window(3).task(sum, executor=there)
    total = numbers.reduce(0, lambda n, so_far: n + so_far).task(same, executor=there)

    assert batches.wait_for_result() == [sum(range(n, min(n + 7, 50))) for n in range(0, 50, 7)]
    assert windows.wait_for_result() == [3 * n for n in range(1, 49)]
    assert total.wait_for_result() == [sum(range(50))]
    assert numbers.batch(7).repeat(2).task(len, executor=there).wait_for_result() == [7, 7, 7, 7, 7, 7, 7, 1] * 2


class Point:
    def __init__(self, x):
        self.x = x


def write(point):
    return json.dumps(point.x).encode()


def read(data):
    return Point(json.loads(data))


def test_own_functions_carry_own_classes(machines, hub):
    machines(1)

    def move(point):
        return Point(point.x + 1)

    pipe = Pipeline(map(Point, range(50))).task(move, executor=hub(dumps=write, loads=read)).task(lambda p: p.x)

    assert pipe.wait_for_result() == list(range(1, 51))


def test_own_functions_may_be_lambdas_of_the_script(machines, hub):
    machines(1)
    there = hub(dumps=lambda item: str(item).encode(), loads=lambda data: int(data))  # noqa: PLW0108 - a lambda is meant

    assert Pipeline(range(20)).task(lambda n: n * 3, executor=there).wait_for_result() == [n * 3 for n in range(20)]


def test_a_result_that_cannot_be_written_is_its_items_failure(machines, hub):
    machines(1)
    pipe = Pipeline(range(10)).task(lambda n: {1, 2} if n == 4 else n, executor=hub(serializer="msgpack"), name="work")

    arrived, error = outcome(pipe)

    assert isinstance(error, StageFailed)
    assert re.match(r"stage 1/1 'work': result cannot be sent .* msgpack cannot write set — item 4", str(error))
    assert arrived == [0, 1, 2, 3]


def test_an_item_that_cannot_be_written_is_told_with_where_it_came_from(machines, hub):
    machines(1)
    items = [1, 2, {3}, 4]

    with pytest.raises(StageFailed, match=r"msgpack cannot write set — item 2"):
        Pipeline(items).task(same, executor=hub(serializer="msgpack")).wait_for_result()


@pytest.mark.parametrize("returned", ["text", 7])
def test_dumps_that_returns_no_bytes_is_told(machines, hub, returned):
    machines(1)
    there = hub(dumps=lambda _: returned, loads=json.loads)

    with pytest.raises(StageFailed, match=r"dumps must return bytes, and returned (str|int)"):
        Pipeline([1, 2]).task(same, executor=there).wait_for_result()


def test_a_result_that_cannot_be_read_is_its_items_failure(machines, hub):
    machines(1)

    def picky(data):
        if data == b"7":
            raise ValueError("no sevens")
        return int(data)

    there = hub(dumps=lambda item: str(item).encode(), loads=picky)
    pipe = Pipeline([1, 2, 3, 4]).task(lambda n: n + 4, executor=there).task(same, name="after")

    with pytest.raises(StageFailed, match=r"no sevens"):
        pipe.wait_for_result()


def test_an_item_read_as_what_cannot_be_pickled_is_told_and_ends_nothing_else(machines, hub):
    machines(1)
    there = hub(
        dumps=lambda item: str(item).encode(), loads=lambda data: threading.Lock() if data == b"7" else int(data)
    )
    pipe = Pipeline([1, 2, 7, 4]).task(lambda n: n if isinstance(n, int) else 7, executor=there)

    with pytest.raises(StageFailed, match=r"cannot pickle '_thread.lock' object"):
        pipe.wait_for_result()
    assert Pipeline([1, 2]).task(lambda n: n * 2, executor=there).wait_for_result() == [2, 4]


def test_functions_that_end_programs_end_no_gateway(machines, hub):
    machines(1)

    def leave(data):
        if data == b"6":
            raise SystemExit(3)
        return int(data)

    there = hub(dumps=lambda item: str(item).encode(), loads=leave)

    with pytest.raises(StageFailed, match=r"SystemExit: 3"):
        Pipeline([1, 2, 3]).task(lambda n: n * 2, executor=there).wait_for_result()


def test_failures_and_records_arrive_as_texts(machines, hub, caplog):
    machines(1, name="nodeb")

    def work(n):
        logging.getLogger("shop").warning("at %d", n)
        return 1 // (n - 3)

    with caplog.at_level(logging.WARNING), pytest.raises(StageFailed) as caught:
        Pipeline(range(6)).task(work, executor=hub(serializer="msgpack")).wait_for_result()

    assert "ZeroDivisionError" in str(caught.value)
    assert "item 3: 3  [worker 1.0 on nodeb" in str(caught.value)
    assert "return 1 // (n - 3)" in str(caught.value)
    assert not isinstance(caught.value, ZeroDivisionError)  # its exception would have been a pickle
    assert "at 2" in caplog.messages


def test_a_failure_of_an_earlier_stage_keeps_its_type(machines, hub):
    machines(1)
    pipe = Pipeline(range(6)).task(lambda n: 1 // (n - 3)).task(same, executor=hub(serializer="msgpack"))

    with pytest.raises(ZeroDivisionError):
        pipe.wait_for_result()


def test_collected_failures_are_counted_and_kept_without_their_items(machines, hub):
    machines(1)
    there = hub(serializer="msgpack")

    with Pipeline(range(6)).task(lambda n: 1 // (n - 3), executor=there, on_error="collect").run() as run:
        assert list(run) == [1 // (n - 3) for n in range(6) if n != 3]

    (failed,) = run.failures
    assert failed.position == (3,)
    assert run.report.balanced


def test_a_pickle_where_none_was_agreed_on_is_never_opened(machines, hub, address, tmp_path):
    canary = Canary(tmp_path / "canary")
    results = []
    pipe = Pipeline(range(40)).task(same, executor=hub(serializer="msgpack"))
    consumer = threading.Thread(target=lambda: results.extend(pipe))
    consumer.start()
    while not gateways._open:
        pass
    evil = Peer(address, temporary._pair(address)[0].public, temporary._pair(address)[1])
    evil.greet()
    channel, _ = evil.wait_for(Says.START)
    evil.say(channel, pack(Says.READY, 0))
    _, (number, *_) = evil.wait_for(Says.RUN)
    data = canary.pickled()
    rest = (number, (len(data),), 1, (1,), None, ((1, 1, 0, 0, 0, 0),), 0.0, False, False, (), 0)
    evil.say(channel, pack(Says.ANSWERED, *rest), (data,))
    assert evil.is_thrown_out()
    evil.close()

    machines(1)
    consumer.join(20)

    assert results == list(range(40))
    assert canary.is_alive


def test_a_worker_that_forbids_pickle_works_for_those_who_take_none(machines, hub, caplog):
    machine = machines(1, "--forbid-pickle")

    assert Pipeline(range(9)).task(str, executor=hub(serializer="msgpack")).wait_for_result() == [
        str(n) for n in range(9)
    ]
    there = hub(reconnect_for=1.0)
    with pytest.raises(StageFailed, match="it was started with --forbid-pickle"):
        Pipeline(range(9)).task(str, executor=there).wait_for_result()
    assert "refused for stage 'str'" in machine.text


def test_a_site_can_forbid_pickled_results(monkeypatch):
    monkeypatch.setenv("OLYMPIPE_LIKE_FORBID_PICKLE", "1")

    with pytest.raises(PlanError, match="OLYMPIPE_LIKE_FORBID_PICKLE is set"):
        remote("tcp://127.0.0.1:5555")
    assert remote("tcp://127.0.0.1:5555", serializer="msgpack").serializer == "msgpack"
    assert remote("tcp://127.0.0.1:5555", dumps=write, loads=read).serializer == "own"


@pytest.mark.parametrize(
    "options", [{"dumps": write}, {"loads": read}, {"dumps": 3, "loads": read}, {"serializer": "xml"}]
)
def test_half_a_serializer_is_refused(options):
    with pytest.raises(PlanError, match=r"dumps|serializer"):
        remote("tcp://127.0.0.1:5555", **options)


def test_plain_values_are_what_the_wire_is_made_of():
    with pytest.raises(TypeError):
        fields.pack(Point(1))
