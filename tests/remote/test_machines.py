"""Machines come late, leave, die, freeze and come back: the run goes on, in order, every item once at the consumer."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from itertools import pairwise

import psutil
import pytest

from olympipe_like import Pipeline, PipelineExecutionError, WorkerLost
from olympipe_like._remote import temporary
from olympipe_like._remote.gateways import close_gateways
from olympipe_like._remote.keys import KeyFolder
from olympipe_like.remote import remote
from tests.remote.conftest import ROOT

pytestmark = pytest.mark.timeout(60)

STARTING = 3.0  # seconds that the processes of a machine may take to start where others keep the processors busy


def slowly(n):
    time.sleep(0.02)
    return n, os.getpid(), time.monotonic()


class Consumer:
    """Takes the results of a run in a thread of its own."""

    def __init__(self, pipe):
        self.results = []
        self.error = None
        self.run = pipe.run()
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self):
        try:
            for result in self.run:
                self.results.append(result)
        except BaseException as error:
            self.error = error

    def finish(self, seconds=30):
        self._thread.join(seconds)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.results


@pytest.fixture
def consume():
    consumers = []

    def start(pipe):
        consumers.append(Consumer(pipe))
        return consumers[-1]

    yield start
    for each in consumers:
        each.run.close()
        each._thread.join(10)


def workers_of(machine):
    """Return the worker processes of a machine that live now."""
    children = psutil.Process(machine.process.pid).children()
    return [child for child in children if "courier" not in " ".join(child.cmdline())]


def longest_pause(results):
    """Return the longest time in which no item was done."""
    times = sorted(at for _, _, at in results)
    return max(after - before for before, after in pairwise(times))


@pytest.mark.fault("N01")
def test_a_killed_worker_process_costs_nothing(machines, hub, consume, eventually):
    machine = machines(2)
    consumer = consume(Pipeline(range(200)).task(slowly, executor=hub()))
    eventually(lambda: len(consumer.results) > 20, 15)

    workers_of(machine)[0].kill()

    results = consumer.finish()
    assert [n for n, _, _ in results] == list(range(200))
    assert len({pid for _, pid, _ in results}) == 3
    assert consumer.run.report.stages[1].lost_workers == 1


@pytest.mark.fault("N01")
def test_the_items_of_a_machine_that_is_killed_go_to_others_at_once(machines, hub, consume, eventually):
    first, _ = machines(1), machines(1)
    consumer = consume(Pipeline(range(300)).task(slowly, executor=hub(min_workers=2, lost_after=30.0)))
    eventually(lambda: len(consumer.results) > 40, 15)

    first.signal(signal.SIGKILL)

    results = consumer.finish(15)  # far below lost_after: nobody waited for a silence
    assert [n for n, _, _ in results] == list(range(300))
    assert longest_pause(results) < 2
    assert consumer.run.report.balanced


def test_the_machine_that_is_left_takes_the_oldest_frame_though_it_has_begun_a_later_one(
    machines, hub, eventually, tmp_path
):
    """A part of a later answer waits for the earlier one, which nobody else is there to give."""

    def several(number):
        (tmp_path / f"{number}-{socket.gethostname()}-{os.getpid()}").touch()
        for part in range(20):
            yield number, part, os.getppid(), bytes(200_000)

    both = machines(1, name="nodea"), machines(1, name="nodeb")
    pipe = Pipeline(range(4)).explode(several, executor=hub(), queue_size=1)
    with pipe.run() as run:
        results = iter(run)
        number, part, parent, _ = next(results)
        assert (number, part) == (0, 0)
        eventually(lambda: {path.name[0] for path in tmp_path.iterdir()} >= {"0", "1"})
        next(machine for machine in both if machine.process.pid == parent).signal(signal.SIGKILL, everybody=True)

        rest = [(number, part) for number, part, _, _ in results]

    assert [(0, 0), *rest] == [(number, part) for number in range(4) for part in range(20)]


def test_a_machine_whose_processes_are_all_killed_is_lost_after_its_time(machines, hub, consume, eventually):
    first, _ = machines(1), machines(1)
    consumer = consume(Pipeline(range(300)).task(slowly, executor=hub(min_workers=2, lost_after=1.0)))
    eventually(lambda: len(consumer.results) > 40, 15)

    first.signal(signal.SIGKILL, everybody=True)

    assert [n for n, _, _ in consumer.finish()] == list(range(300))


@pytest.mark.fault("N06")
def test_a_machine_that_comes_while_the_run_waits_is_used_at_once(machines, hub, consume, caplog, eventually):
    with caplog.at_level(logging.WARNING, "olympipe_like"):
        consumer = consume(Pipeline(range(100)).task(slowly, executor=hub(), name="resize"))
        text = "stage 1/1 'resize' waits for remote workers: 0 of min_workers=1 are there"
        eventually(lambda: text in caplog.text, 10)
        assert not consumer.results

        machines(2)

        assert [n for n, _, _ in consumer.finish()] == list(range(100))


@pytest.mark.fault("N06")
def test_a_machine_that_joins_in_the_middle_takes_its_share(machines, hub, consume, eventually):
    machines(1)
    consumer = consume(Pipeline(range(400)).task(slowly, executor=hub()))
    eventually(lambda: len(consumer.results) > 20, 15)

    machines(2)

    results = consumer.finish()
    assert [n for n, _, _ in results] == list(range(400))
    assert len({pid for _, pid, _ in results}) == 3


@pytest.mark.fault("N06")
def test_a_machine_that_leaves_politely_gives_its_items_back_at_once(machines, hub, consume, eventually):
    first, second = machines(2), machines(1)
    consumer = consume(Pipeline(range(300)).task(slowly, executor=hub(min_workers=3, lost_after=30.0)))
    eventually(lambda: len(consumer.results) > 40, 15)

    first.signal(signal.SIGTERM)

    assert first.process.wait(10) == 0
    results = consumer.finish(20)
    assert [n for n, _, _ in results] == list(range(300))
    assert longest_pause(results) < 2
    assert consumer.run.report.stages[1].lost_workers == 0
    assert second.process.poll() is None


def test_nothing_begins_before_min_workers_are_there(machines, hub, consume, eventually):
    machines(1)
    consumer = consume(Pipeline(range(50)).task(slowly, executor=hub(min_workers=2)))
    time.sleep(2)
    assert not consumer.results

    machines(1)

    assert [n for n, _, _ in consumer.finish()] == list(range(50))


@pytest.mark.fault("N02")
def test_a_run_that_has_lost_all_its_workers_fails_after_reconnect_for(machines, hub, consume, eventually):
    machine = machines(2)
    there = hub(lost_after=1.0, reconnect_for=1.5)
    consumer = consume(Pipeline(range(1000)).task(slowly, executor=there, name="resize"))
    eventually(lambda: len(consumer.results) > 20, 15)
    before = time.monotonic()

    machine.signal(signal.SIGKILL, everybody=True)

    with pytest.raises(WorkerLost, match=r"stage 1/1 'resize': lost all 2 remote workers \(last seen 1\.\d s ago\)"):
        consumer.finish()
    assert 2 < time.monotonic() - before < 8


def test_a_run_without_workers_for_a_while_goes_on_with_those_that_come(machines, hub, consume, eventually):
    machine = machines(1)
    consumer = consume(Pipeline(range(150)).task(slowly, executor=hub(reconnect_for=20.0)))
    eventually(lambda: len(consumer.results) > 20, 15)
    machine.signal(signal.SIGKILL)
    time.sleep(1)

    machines(1)

    assert [n for n, _, _ in consumer.finish()] == list(range(150))


def test_the_local_workers_of_a_stage_go_on_when_all_remote_ones_are_gone(machines, hub, consume, eventually):
    machine = machines(1)
    there = hub(local_workers=1, reconnect_for=0.5, lost_after=1.0)
    consumer = consume(Pipeline(range(250)).task(slowly, executor=there))
    eventually(lambda: len({pid for _, pid, _ in consumer.results}) == 2, 15)

    machine.signal(signal.SIGKILL, everybody=True)

    assert [n for n, _, _ in consumer.finish()] == list(range(250))
    assert consumer.run.report.balanced


def test_a_local_worker_that_dies_beside_remote_ones_is_replaced(machines, hub, consume, eventually):
    machine = machines(1)
    consumer = consume(Pipeline(range(300)).task(slowly, executor=hub(local_workers=1)))
    eventually(lambda: len({pid for _, pid, _ in consumer.results}) == 2, 15)
    (far,) = (worker.pid for worker in workers_of(machine))
    (here,) = {pid for _, pid, _ in consumer.results} - {far}

    os.kill(here, signal.SIGKILL)

    results = consumer.finish()
    assert [n for n, _, _ in results] == list(range(300))
    assert len({pid for _, pid, _ in results}) == 3
    assert [worker.host for worker in consumer.run.report.workers if not worker.left] == ["node0", ""]


@pytest.mark.fault("N04")
def test_a_frozen_machine_is_lost_and_begins_anew_when_it_wakes(machines, hub, consume, eventually, caplog):
    caplog.set_level(logging.INFO, "olympipe_like")
    first, _ = machines(1, name="sleepy"), machines(1)
    consumer = consume(Pipeline(range(500)).task(slowly, executor=hub(min_workers=2, lost_after=1.0)))
    eventually(lambda: len(consumer.results) > 40, 15)
    sleeper = workers_of(first)[0].pid

    first.signal(signal.SIGSTOP, everybody=True)
    eventually(lambda: "worker sleepy (key 'local') is lost (last seen 1." in caplog.text, 1.0 + 2)
    eventually(lambda: len(consumer.results) > 200, 20)
    first.signal(signal.SIGCONT, everybody=True)

    results = consumer.finish()
    assert [n for n, _, _ in results] == list(range(500))
    pids = {pid for _, pid, _ in results}
    assert sleeper in pids
    assert len(pids) == 3  # after its sleep it works with another process: the old one's frames were given to others
    assert "the session is over" in first.text
    assert first.text.count("connected to the hub") == 2


@pytest.mark.fault("N05")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_program_dies_its_workers_end_and_serve_the_next_one(machines, hub, address, eventually, number):
    code = (
        "import sys, os, time\n"
        "from olympipe_like import Pipeline\n"
        "from olympipe_like._remote import temporary\n"
        "from olympipe_like.remote import remote\n"
        f"temporary._keys[{address!r}] = {temporary_keys(address)!r}\n"
        f"there = remote({address!r})\n"
        "for pid in Pipeline(range(10**6)).task(lambda n: time.sleep(n and 30) or os.getpid(), executor=there):\n"
        "    print(pid, flush=True)\n"
    )
    code = "from olympipe_like._remote.keys import SecretKey\n" + code
    machine = machines(1)
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        pid = int(program.stdout.readline())
        program.send_signal(number)
        program.wait(10)

    eventually(lambda: not psutil.pid_exists(pid), 5)
    assert machine.process.poll() is None
    assert Pipeline(range(10)).task(str, executor=hub()).wait_for_result() == [str(n) for n in range(10)]


@pytest.mark.fault("N05")
def test_a_machine_that_is_slow_to_read_still_hears_that_the_program_has_ended(machines, hub, eventually):
    machine = machines(1)
    with (
        Pipeline(range(100))
        .task(lambda n: time.sleep(n and 30) or os.getpid(), executor=hub(lost_after=30.0))
        .run() as run
    ):
        next(iter(run))
        machine.signal(signal.SIGSTOP, everybody=True)
        ending = threading.Thread(target=close_gateways)
        ending.start()
        time.sleep(0.4)
        machine.signal(signal.SIGCONT, everybody=True)

        eventually(lambda: "the session is over: the hub has ended" in machine.text, 5)
        ending.join()


def temporary_keys(address):
    return tuple(_Shown(*key) for key in temporary._pair(address))


class _Shown(tuple):
    __slots__ = ()

    def __new__(cls, *values):
        return super().__new__(cls, values)

    def __repr__(self):
        return f"SecretKey{tuple(self)!r}"


@pytest.mark.fault("N05")
def test_a_worker_without_a_hub_ends_after_linger(machines):
    machine = machines(1, "--linger", "0.5")

    assert machine.process.wait(10) == 0
    assert "no hub at" in machine.text


@pytest.mark.fault("N10")
@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("no-such-host.invalid", "there is no machine 'no-such-host.invalid': "),
        ("127.0.0.1", "no hub answers at tcp://127.0.0.1:9; we go on trying"),
    ],
)
def test_a_worker_without_a_hub_says_why_within_five_seconds(machines, eventually, host, text):
    began = time.monotonic()
    machine = machines(1, address=f"tcp://{host}:9")

    eventually(lambda: text in machine.text, 15)

    assert time.monotonic() - began < 5 + STARTING
    assert machine.process.poll() is None


@pytest.mark.fault("B02")
def test_a_worker_that_is_not_allowed_is_told_so_and_comes_in_once_it_is(machines, tmp_path, address, eventually):
    here, there = KeyFolder(tmp_path / "here"), KeyFolder(tmp_path / "there")
    here.new("hub")
    there.new("nodeb")
    there.allow(here.folder / "hub.pub")
    pipe = Pipeline(range(5)).task(str, executor=remote(address, keys=here.folder))
    machine = machines(1, keys=there.folder)
    results = []
    consumer = threading.Thread(target=lambda: results.extend(pipe))
    consumer.start()

    eventually(lambda: "does not let our key 'nodeb' in; there: olympipe-like keys allow nodeb.pub" in machine.text, 15)
    here.allow(there.folder / "nodeb.pub")

    consumer.join(15)
    assert results == [str(n) for n in range(5)]


def test_a_worker_that_trusts_another_hub_is_told_so(machines, tmp_path, address, hub, eventually):
    there = KeyFolder(tmp_path / "there")
    for name in ("nodeb", "other"):
        there.new(name)
    there.allow(there.folder / "other.pub")
    machine = machines(1, keys=there.folder / "nodeb.secret")
    machines(1)
    pipe = Pipeline(range(400)).task(slowly, executor=hub())

    with pipe.run() as run:
        next(iter(run))
        eventually(lambda: "is not the hub whose key we trust" in machine.text, 15)


def test_with_worker_retries_0_what_a_lost_machine_held_is_not_run_again(machines, hub, consume, eventually):
    first, _ = machines(1, name="nodeb"), machines(1)
    pipe = Pipeline(range(500)).task(slowly, executor=hub(min_workers=2), worker_retries=0)
    consumer = consume(pipe)
    eventually(lambda: len(consumer.results) > 40, 15)

    first.signal(signal.SIGKILL)

    with pytest.raises(WorkerLost, match=r"its main process was killed.*nothing is run twice.*on nodeb"):
        consumer.finish()


@pytest.mark.fault("N10")
def test_a_port_that_is_taken_is_said_at_once(address, hub):
    with socket.socket() as other:
        host, _, port = address.removeprefix("tcp://").partition(":")
        other.bind((host, int(port)))
        other.listen()
        with pytest.raises(PipelineExecutionError, match=f"cannot bind {address}: Address already in use"):
            Pipeline(range(3)).task(str, executor=hub()).wait_for_result()


@pytest.mark.fault("N10")
@pytest.mark.parametrize("host", ["no-such-host.invalid", "127.0.0.1"])
def test_a_worker_that_finds_no_hub_says_so_and_goes_on_trying(machines, host):
    machine = machines(1, "--linger", "1.5", address=f"tcp://{host}:9")

    assert machine.process.wait(15) == 0
    assert f"no hub at tcp://{host}:9" in machine.text


@pytest.mark.parametrize("with_keys", [True, False], ids=["with keys", "with keys of the moment"])
def test_workers_that_a_program_started_end_with_it_however_it_ends(address, with_keys, tmp_path, script, eventually):
    keys = None
    if with_keys:
        keys = str(tmp_path / "keys")
        key = KeyFolder(keys).new("both")
        KeyFolder(keys).allow(tmp_path / "keys" / f"{key.name}.pub")
    program = script.start(
        f"""
        import time
        from olympipe_like import Pipeline
        from olympipe_like.remote import remote, start_workers

        hub = remote({address!r}, keys={keys!r})
        workers = start_workers(hub, 2, keys={keys!r})
        print(Pipeline([1]).task(str, executor=hub).wait_for_result(), workers.pid, flush=True)
        time.sleep(60)
        """
    )
    result, pid = program.stdout.readline().rsplit(maxsplit=1)
    main = psutil.Process(int(pid))
    processes = [main, *main.children(recursive=True)]

    program.kill()
    script.finish(program)

    assert result == "['1']"
    assert len(processes) >= 2
    eventually(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes))


def test_what_functions_print_in_workers_of_the_program_is_printed_by_it(address, script):
    done = script.finish(
        script.start(
            f"""
            from olympipe_like import Pipeline
            from olympipe_like.remote import remote, start_workers

            hub = remote({address!r})
            with start_workers(hub):
                Pipeline(["here"]).task(print, executor=hub).wait_for_completion()
            """
        )
    )

    assert done.stdout == "here\n"


def test_a_machine_keeps_nothing_of_runs_that_are_over(machines, hub, eventually):
    machine = machines(1)
    there = hub()

    def run_with_ballast() -> None:
        ballast = os.urandom(8 << 20)
        assert Pipeline([1]).task(lambda n: n + len(ballast), executor=there).wait_for_result() == [1 + (8 << 20)]

    def memory() -> int:
        processes = psutil.Process(machine.process.pid).children(recursive=True)
        eventually(lambda: len([each for each in processes if each.is_running()]) == 1)  # the courier
        return sum(each.memory_info().rss for each in processes if each.is_running())

    for _ in range(2):
        run_with_ballast()
    before = memory()
    for _ in range(6):
        run_with_ballast()

    assert memory() - before < 24 << 20
