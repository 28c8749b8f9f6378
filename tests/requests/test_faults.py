"""Workers die, freeze, leave; brokers and clients close at any moment: nothing is lost, and nobody waits for ever."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

import psutil
import pytest

from olympipe_like import BrokerClosed, Pipeline, PipelineExecutionError, WorkerLost
from olympipe_like.remote import remote
from olympipe_like.requests import Broker, Client, Worker, start_workers

pytestmark = pytest.mark.timeout(60)


def slowly(number):
    time.sleep(0.05)
    return number, os.getpid()


def same(value):
    return value


class Holder:
    """A target that holds its first request until told to go on, in whichever worker that is."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, number):
        try:
            (self.folder / "held by").open("x").write(str(os.getpid()))
        except FileExistsError:
            return number, os.getpid()
        while not (self.folder / "go on").exists():
            time.sleep(0.01)
        return number, os.getpid()

    def holder(self, eventually):
        path = self.folder / "held by"
        eventually(lambda: path.exists() and path.read_text())
        return int(path.read_text())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_worker_held_when_it_died_or_left_goes_to_others_at_once(
    broker, work, beside, tmp_path, eventually, number
):
    target = Holder(tmp_path)
    work(target, 2)
    results = []
    beside(lambda: results.extend(broker.imap(range(20))))
    pid = target.holder(eventually)

    began = time.monotonic()
    os.kill(pid, number)
    eventually(lambda: len(results) == 20)

    assert time.monotonic() - began < 1.5
    assert [value for value, _ in results] == list(range(20))
    assert pid not in {each for _, each in results}


def test_what_a_frozen_worker_held_goes_to_others_after_a_while(broker, work, beside, tmp_path, eventually):
    target = Holder(tmp_path)
    workers = work(target, 2)
    results = []
    beside(lambda: results.extend(broker.imap(range(20))))
    pid = target.holder(eventually)

    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: len(results) == 20, 10)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [value for value, _ in results] == list(range(20))

    (tmp_path / "go on").touch()
    (other,) = set(workers.pids) - {pid}
    os.kill(other, signal.SIGKILL)
    assert broker.apply("awake")[1] == pid  # it has come back


def test_a_request_may_be_slower_than_any_time_limit(broker, work):
    def hold_everything(seconds):
        ctypes.PyDLL(None).sleep(seconds)  # without letting go of the GIL
        return seconds

    work(hold_everything)

    assert list(broker.imap([4, 0])) == [4, 0]


@pytest.mark.parametrize("broker", [30.0], indirect=True)  # so long may the next worker take to come
def test_a_request_that_kills_its_workers_fails_in_its_place(broker, work):
    def die(number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    work(die, 5)
    results = broker.imap(range(6), look_ahead=2)

    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(WorkerLost) as caught:
        next(results)
    assert list(results) == [4, 5]
    assert "request 3: 3" in str(caught.value)


def test_when_all_workers_are_gone_for_long_requests_fail_and_later_ones_do_not(broker, work):
    workers = work(same)
    assert broker.apply(1) == 1
    workers.stop()

    with pytest.raises(WorkerLost, match="lost all 1 remote workers"):
        broker.apply(2)

    work(same)
    assert broker.apply(3) == 3


def test_a_worker_may_come_before_its_broker_and_stay_for_the_next(address):
    first = Broker(address)
    with start_workers(same, address):
        for number in range(3):
            with first if number == 0 else Broker(address) as broker:
                assert broker.apply(number) == number


def test_a_worker_that_is_cancelled_in_the_midst_gives_its_request_back(broker, work, address, beside, eventually):
    begun, go_on = threading.Event(), threading.Event()

    def hold(number):
        begun.set()
        go_on.wait(10)
        return "mine"

    results = []
    with Worker(hold, address) as worker:
        serving = beside(worker.process_requests)
        beside(lambda: results.append(broker.apply(1)))
        assert begun.wait(5)
        worker.cancel()
        work(lambda number: "another's")
        eventually(lambda: results == ["another's"])
        go_on.set()
        serving.join(5)
        assert not serving.is_alive()
    worker.process_requests()  # returns: it is over


def test_ctrl_c_ends_a_worker_and_not_the_request(address, folders, script, eventually):
    with Broker(address, keys=folders["hub"]) as locked:
        process = script.start(
            f"""
            import time
            from olympipe_like.requests import Worker

            def hold(number):
                print("begun", flush=True)
                time.sleep(30)

            Worker(hold, {address!r}, keys={str(folders["worker"])!r}).process_requests()
            """
        )
        results = []
        thread = threading.Thread(target=lambda: results.append(locked.apply(1)))
        thread.start()
        assert process.stdout.readline() == "begun\n"

        os.killpg(process.pid, signal.SIGINT)
        done = script.finish(process, 5)
        with start_workers(same, address, keys=folders["worker"]):
            eventually(lambda: results == [1])
        thread.join(5)

    assert done.returncode in (130, -signal.SIGINT)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


def test_ctrl_c_at_any_moment_of_its_start_is_not_the_affair_of_a_programs_processes(work, address, folders, script):
    """As a terminal sends it to all of them; the program itself, which alone may act on it, is left out here."""
    other = address[:-1] + str((int(address[-1]) + 1) % 10)
    options = {"keys": folders["hub"], "clients": ["asker"]}
    with Broker(other, **options), start_workers(same, other, keys=folders["worker"]):
        process = script.start(
            f"""
            from olympipe_like.requests import Client, start_workers

            with Client({other!r}, keys={str(folders["asker"])!r}) as client:
                print(client.apply(1))
                with start_workers(abs, {other!r}, keys={str(folders["worker"])!r}):
                    print(client.apply(1))
            """
        )
        while process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                try:
                    child.send_signal(signal.SIGINT)
                except psutil.NoSuchProcess:
                    continue  # the program has ended it meanwhile
            time.sleep(0.001)
        done = script.finish(process)

    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n1\n", "")


@pytest.mark.parametrize("how", ["broker", "results"])
def test_closing_from_another_thread_wakes_who_waits(broker, beside, eventually, how):
    results = broker.imap([1, 2])
    told = []

    def take():
        try:
            told.append(list(results))
        except BrokerClosed as error:
            told.append(str(error))

    beside(take)
    eventually(lambda: broker._exchange._ready or broker._exchange._tickets)
    (broker.cancel if how == "broker" else results.close)()

    eventually(lambda: told)
    assert (told == [[]]) if how == "results" else ("was cancelled" in told[0])


def test_a_broker_can_be_cancelled_from_many_threads_at_once(address, beside):
    broker = Broker(address).run_async()

    for thread in [beside(broker.cancel) for _ in range(8)]:
        thread.join(5)
        assert not thread.is_alive()

    with Broker(address):
        pass  # the address is free again


def test_an_address_that_is_taken_is_said_at_once(broker, address):
    with pytest.raises(PipelineExecutionError, match="cannot bind"):
        Broker(address.replace("127.0.0.1", "localhost")).run_async()


def test_a_long_call_does_not_hold_up_a_short_one(broker, work, beside, eventually):
    work(slowly)
    results = broker.imap(range(60), look_ahead=60)
    next(results)
    began = time.monotonic()

    broker.apply("short")

    assert time.monotonic() - began < 1.0  # and not 3
    results.close()


def test_several_threads_ask_at_once(broker, work):
    work(same, 2)
    found = {}

    def ask(caller):
        found[caller] = list(broker.imap((caller, number) for number in range(100)))

    threads = [threading.Thread(target=ask, args=(caller,)) for caller in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert found == {caller: [(caller, number) for number in range(100)] for caller in range(6)}


# -- clients of other processes ---------------------------------------------------------------------------------------


def client(address, folder, body):
    return f"""
        from olympipe_like.requests import Client

        with Client({address!r}, keys={str(folder)!r}, reconnect_for=5) as client:
            {body}
    """


def test_clients_of_other_processes_ask_the_same_workers(address, folders, script):
    with (
        Broker(address, keys=folders["hub"], clients=["asker"]) as broker,
        start_workers(same, address, 2, keys=folders["worker"]),
    ):
        program = client(address, folders["asker"], "print(list(client.imap(range(300))) == list(range(300)))")
        started = [script.start(program) for _ in range(2)]
        assert list(broker.imap(range(300))) == list(range(300))
        done = [script.finish(process) for process in started]

    assert [each.stdout for each in done] == ["True\n"] * 2, done


def test_who_may_work_may_not_ask_unless_it_is_named(address, folders, script):
    with Broker(address, keys=folders["hub"], clients=["asker"]):
        done = script.finish(script.start(client(address, folders["worker"], "client.apply(1)")))

    assert "BrokerClosed: refused: " in done.stderr
    assert "may not ask: its key 'worker' is not among Broker(..., clients=[...])" in done.stderr


def test_a_client_that_is_killed_costs_the_others_nothing(address, folders, script, eventually):
    with (
        Broker(address, keys=folders["hub"], clients=["asker"]) as broker,
        start_workers(slowly, address, keys=folders["worker"]),
    ):
        body = "print([print('x', flush=True) for _ in client.imap(range(10**6))])"
        process = script.start(client(address, folders["asker"], body))
        assert process.stdout.readline() == "x\n"

        os.kill(process.pid, signal.SIGKILL)
        assert [number for number, _ in broker.imap(range(5))] == list(range(5))
        eventually(lambda: not broker._exchange._tickets and not broker._exchange._waiting)
        script.finish(process)


def test_a_broker_keeps_nothing_of_calls_that_were_answered(broker, work, address):
    work(str.upper)
    with Client(address) as client:
        for _ in range(20):
            assert client.apply("a") == "A"
        assert list(client.imap("abc")) == ["A", "B", "C"]

        assert broker._reception._callers == {}
        assert broker._exchange._tickets == {}


def test_a_client_asks_a_broker_that_has_come_back_again(address, beside, eventually):
    first = Broker(address).run_async()
    results = []
    with Client(address, reconnect_for=10) as client, start_workers(slowly, address):
        beside(lambda: results.extend(number for number, _ in client.imap(range(40), look_ahead=8)))
        eventually(lambda: len(results) > 5)
        first.cancel()
        with Broker(address):
            eventually(lambda: len(results) == 40, 20)

    assert results == list(range(40))


def test_a_client_without_a_broker_is_told_after_a_while(address):
    Broker(address)
    with (
        Client(address, reconnect_for=1) as client,
        pytest.raises(BrokerClosed, match=r"no broker at .* for reconnect_for=1 s"),
    ):
        client.apply(1)


def test_a_client_that_is_cancelled_wakes_who_waits(broker, address, beside, eventually):
    told = []
    client = Client(address).run_async()

    def take():
        with pytest.raises(BrokerClosed, match="was cancelled"):
            client.apply(1)
        told.append(True)

    beside(take)
    eventually(lambda: client._open_requests)
    client.cancel()

    eventually(lambda: told)


# -- others at the same door ------------------------------------------------------------------------------------------


def test_a_machine_without_a_target_is_refused_and_told_why(broker, work, machines, eventually):
    work(same)
    assert broker.apply(1) == 1

    machine = machines(1)

    eventually(lambda: "it answers requests of a Broker" in machine.text, 10)
    assert broker.apply(2) == 2


def test_a_worker_with_a_target_is_refused_by_a_stage(address, machines, beside, caplog, eventually):
    Broker(address)  # its keys are the stage's
    with Worker(same, address) as worker:
        beside(worker.process_requests)
        there = remote(address)
        beside(lambda: machines(1) if (eventually(lambda: "refused" in caplog.text, 10) or True) else None)
        assert Pipeline(range(5)).task(same, executor=there).wait_for_result() == list(range(5))
        worker.cancel()

    assert "it answers requests only; for stages of pipelines start olympipe-like worker" in caplog.text


def test_a_hub_that_dies_costs_what_was_asked_and_nothing_later(broker, work, beside, tmp_path, eventually):
    target = Holder(tmp_path)
    work(target)
    told = []

    def ask():
        with pytest.raises(BrokerClosed, match="the broker could not answer: InternalError"):
            broker.apply(1)
        told.append(True)

    beside(ask)
    target.holder(eventually)
    os.kill(broker._run._engine._hub.pid, signal.SIGKILL)
    eventually(lambda: told)
    (tmp_path / "go on").touch()

    assert broker.apply(2)[0] == 2


def test_a_gateway_that_dies_costs_what_was_asked_and_nothing_later(broker, work, beside, tmp_path, eventually):
    target = Holder(tmp_path)
    work(target)
    told = []

    def ask():
        with pytest.raises(WorkerLost, match=r"the gateway process .* has ended"):
            broker.apply(1)
        told.append(True)

    beside(ask)
    target.holder(eventually)
    os.kill(broker._gateway.pid, signal.SIGKILL)
    eventually(lambda: told)
    (tmp_path / "go on").touch()

    assert broker.apply(2)[0] == 2


def test_a_second_broker_at_the_address_of_the_first_is_refused_and_does_it_no_harm(broker, address, work):
    work(same)
    assert broker.apply(1) == 1

    with pytest.raises(PipelineExecutionError, match=f"broker at {address}: another one of this program answers there"):
        Broker(address).run_async()

    assert broker.apply(2) == 2
    broker.cancel()
    with Broker(address, lost_after=1.0) as second:
        assert second.apply(3) == 3
