"""What comes back, in which order, and how far requests are pulled."""

from __future__ import annotations

import json
import os
import random
import threading
import time

import numpy as np
import pytest

from olympipe_like import SKIP, BrokerClosed, PlanError, PlanTypeError, SourceFailed, StageFailed
from olympipe_like.graph import Graph, placeholder
from olympipe_like.requests import Broker, Client, Worker, start_workers

pytestmark = pytest.mark.timeout(60)


def unsteadily(number):
    time.sleep(random.random() / 100)
    return number * 2, os.getpid()


def invert(number):
    return 1 / number


def same(value):
    return value


class Two(Exception):
    def __init__(self, first, second):
        super().__init__(first)
        self.second = second


def test_results_come_in_the_order_of_the_requests_from_several_workers(broker, work):
    work(unsteadily, 2)

    results = list(broker.imap(range(200)))

    assert [number for number, _ in results] == [2 * number for number in range(200)]
    assert len({pid for _, pid in results}) == 2


def test_a_report_shows_who_has_answered_what(broker, work):
    work(same, 2, name="nodeb")
    list(broker.imap(range(50)))

    workers = broker.report.workers

    assert {worker.host for worker in workers} == {"nodeb"}
    assert sum(worker.items for worker in workers) == 50


def test_one_request_is_answered_at_once(broker, work):
    work(same)

    assert broker.apply("a") == "a"


@pytest.mark.parametrize("value", [None, SKIP, ValueError("an item"), StopIteration(), (), {"a": [1]}, float("inf")])
def test_any_value_is_a_request_and_a_result(broker, work, value):
    work(same)

    (found,) = broker.imap([value])

    assert repr(found) == repr(value)


def test_arrays_are_the_askers_own(broker, work):
    work(same, 2)

    for size in (3, 100_000, 2_000_000):
        for number, array in enumerate(broker.imap(np.full(size, n) for n in range(4))):
            assert (array == number).all()
            array[0] = -1


def test_an_empty_list_of_requests_has_no_results(broker):
    assert list(broker.imap([])) == []


def test_requests_that_fail_do_so_behind_the_results_of_those_before(broker, work):
    work(same)

    def requests():
        yield from range(3)
        raise KeyError("broken")

    results = broker.imap(requests())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="broken") as caught:
        next(results)

    assert isinstance(caught.value, SourceFailed)
    assert str(caught.value).startswith("source 'requests' failed after 3 requests: KeyError: 'broken'")
    assert list(results) == []


def test_an_iterable_that_fails_at_once_fails(broker):
    class Broken:
        def __iter__(self):
            raise RuntimeError("no iterator")

    with pytest.raises(RuntimeError, match="no iterator"):
        list(broker.imap(Broken()))


@pytest.mark.parametrize("look_ahead", [1, 3, 40])
def test_requests_are_pulled_no_further_than_the_look_ahead(broker, work, look_ahead):
    work(same, 2)
    results = []
    taken_when_pulled = []

    def requests():
        for number in range(150):
            taken_when_pulled.append(len(results))
            yield number

    for result in broker.imap(requests(), look_ahead=look_ahead):
        results.append(result)  # noqa: PERF402 - the requests look at it meanwhile

    assert results == list(range(150))
    assert all(taken >= number - look_ahead + 1 for number, taken in enumerate(taken_when_pulled))


def test_requests_may_depend_on_what_the_results_have_changed(broker, work):
    work(same)
    model = {"level": 0}

    levels = []
    for level in broker.imap((model["level"] for _ in range(20)), look_ahead=2):
        levels.append(level)
        model["level"] += 1

    assert levels[0] == 0
    assert all(number - 2 < level <= number for number, level in enumerate(levels))


def test_leaving_endless_requests_closes_them(broker, work, eventually):
    work(same)
    closed = threading.Event()

    def requests():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    results = broker.imap(requests())
    assert [next(results) for _ in range(100)] == [1] * 100
    results.close()

    assert closed.wait(5)
    assert list(results) == []
    assert broker.apply(2) == 2


def test_results_that_are_forgotten_are_withdrawn(broker, work, eventually):
    work(same)
    broker.apply(0)  # all threads that stay are there
    before = threading.active_count()

    assert next(broker.imap(iter(int, 1))) == 0

    eventually(lambda: threading.active_count() <= before)


def test_an_error_comes_in_its_place_as_the_users_type(broker, work):
    work(invert, 2, name="nodeb")

    results = broker.imap([2, 0, 4])

    assert next(results) == 0.5
    with pytest.raises(ZeroDivisionError) as caught:
        next(results)
    assert next(results) == 0.25
    assert list(results) == []
    assert isinstance(caught.value, StageFailed)
    text = str(caught.value)
    assert text.startswith("stage 1/1 'invert': ZeroDivisionError: ")
    assert "— request 1: 0  [worker 1." in text
    assert " on nodeb, pid " in text
    assert "return 1 / number" in text


@pytest.mark.parametrize("error", [OSError(2, "gone"), EOFError(), TimeoutError()])
def test_whatever_a_target_raises_is_its_requests_error(broker, work, error):
    def fail(_):
        raise error

    work(fail)

    with pytest.raises(type(error)) as caught:
        broker.apply(1)
    assert isinstance(caught.value, StageFailed)


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration(1), GeneratorExit()])
def test_what_would_end_a_program_ends_only_its_request(broker, work, error):
    def fail(_):
        raise error

    work(fail)

    with pytest.raises(StageFailed, match=type(error).__name__) as caught:
        broker.apply(1)
    assert type(caught.value.__cause__) is type(error)


def test_an_error_that_cannot_be_rebuilt_comes_as_text(broker, work):
    def fail(_):
        raise Two("one", "two")

    work(fail)

    with pytest.raises(StageFailed, match="Two: one"):
        broker.apply(1)


def test_results_and_requests_that_cannot_be_written_are_errors_in_their_place(broker, work):
    work(lambda number: threading.Lock() if number == 1 else number)

    results = broker.imap([0, 1, threading.Lock(), 3])

    assert next(results) == 0
    with pytest.raises(TypeError, match="the result, of type lock, cannot be written"):
        next(results)
    with pytest.raises(TypeError, match="cannot be sent: TypeError"):
        next(results)
    assert next(results) == 3


def unreadable():
    raise RuntimeError("not here")


class Unreadable:
    def __reduce__(self):
        return unreadable, ()


def test_a_result_that_cannot_be_read_here_is_its_requests_error(broker, work):
    work(lambda number: Unreadable() if number else number)

    results = broker.imap([0, 1, 0])

    assert next(results) == 0
    with pytest.raises(RuntimeError, match=r"the result was sent, but cannot be read here: .* — request 1: 1"):
        next(results)
    assert next(results) == 0


def test_a_target_stays_in_its_process(broker, address, beside):
    lock = threading.Lock()

    with Worker(lambda _: (lock.locked(), os.getpid()), address) as worker:
        beside(worker.process_requests)
        with lock:
            assert broker.apply(1) == (True, os.getpid())


def test_a_graph_answers_requests_for_one_context_or_several(broker, address, beside):
    with Graph() as graph:
        x = placeholder("x")
        squared = (x**2).set_name("squared")
        (squared + 1).set_name("larger")

    with Worker.from_graph(graph, address) as worker:
        beside(worker.process_requests)

        assert broker.apply({"fetches": "squared", "context": {"x": 3}}) == 9
        assert broker.apply({"fetches": ["squared", "larger"], "contexts": [{"x": 1}, {"x": 2}]}) == [(1, 2), (4, 5)]
        with pytest.raises(TypeError, match="a request to a graph must be"):
            broker.apply({"context": {"x": 3}})


def test_own_functions_write_requests_and_results_and_nothing_is_unpickled(address):
    def dumps(value):
        return json.dumps(value).encode()

    with (
        Broker(address, dumps=dumps, loads=json.loads) as broker,
        start_workers(invert, address, dumps=dumps, loads=json.loads),
    ):
        assert list(broker.imap([2, 4])) == [0.5, 0.25]
        with pytest.raises(StageFailed, match="ZeroDivisionError") as caught:
            broker.apply(0)
        with Client(address) as client, pytest.raises(StageFailed, match="the request cannot be read"):
            client.apply(1)  # it writes pickles

    assert type(caught.value) is StageFailed
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("returned", ["text", 7, None])
def test_dumps_that_returns_no_bytes_costs_only_its_own_request(address, returned):
    def dumps(value):
        return returned if value == "odd" else json.dumps(value).encode()

    own = {"dumps": dumps, "loads": json.loads}
    with Broker(address, **own) as broker, start_workers(str.upper, address, **own), Client(address, **own) as client:
        for asker in (broker, client):
            results = asker.imap(["a", "odd", "b"])

            assert next(results) == "A"
            with pytest.raises(StageFailed, match="cannot be sent: TypeError: dumps must return bytes, and returned"):
                next(results)
            assert list(results) == ["B"]


def test_who_asks_before_or_after_is_told(address):
    broker = Broker(address)
    with pytest.raises(BrokerClosed, match=r"the broker is not running: call run_async\(\)"):
        broker.apply(1)

    with broker:
        pass

    with pytest.raises(BrokerClosed, match=r"the broker is not running: it was cancelled, .* make another one"):
        broker.imap([1])


@pytest.mark.parametrize("cls", [Broker, Client, Worker])
def test_bad_addresses_are_refused(cls):
    arguments = (len,) if cls is Worker else ()
    with pytest.raises(PlanError, match="address must be like"):
        cls(*arguments, "5555")


def test_what_could_not_work_is_refused_where_it_is_written(address):
    with pytest.raises(PlanError, match=r"Broker \(test_results.py:\d+\): refusing to listen on tcp://0.0.0.0:5555"):
        Broker("tcp://0.0.0.0:5555")
    with pytest.raises(PlanError, match="without keys only a Broker of this program"):
        Worker(len, "tcp://127.0.0.1:1")
    with pytest.raises(PlanError, match="give dumps= and loads= together"):
        Broker(address, dumps=json.dumps)
    with pytest.raises(PlanTypeError, match="clients must be a list"):
        Broker(address, clients="asker")
    with pytest.raises(PlanTypeError, match="clients must be a list"):
        Broker(address, clients=5)
    broker = Broker(address).run_async()
    with pytest.raises(PlanError, match="prefetch must be less than 10000, got 20000"):
        Worker(len, address, prefetch=20_000)
    with pytest.raises(PlanError, match=r"start_workers \(test_results.py:\d+\): prefetch must be >= 0, got -1"):
        start_workers(len, address, prefetch=-1)
    with pytest.raises(PlanTypeError, match="name must be a text, got 5"):
        Client(address, name=5)
    with pytest.raises(PlanError, match="address must name the machine to go to"):
        Client("tcp://*:5555")
    with pytest.raises(PlanTypeError, match="requests must be an iterable, got int 3"):
        broker.imap(3)
    with pytest.raises(PlanError, match="look_ahead must be >= 1"):
        broker.imap([], look_ahead=0)
    broker.cancel()
