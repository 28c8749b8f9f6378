"""Hub and workers on two hosts, and what befalls the cable between them: the network of the kernel, not a proxy.

The hosts are network namespaces, so these tests need root, and are skipped where there is none. Delay, random loss
and reordering need ``netem``, which many kernels lack: `test_network.py` has them by a proxy.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from olympipe_like._remote.keys import KeyFolder
from tests.remote.conftest import ROOT
from tests.remote.namespaces import HUB, Hosts, why_not

REASON = why_not()
pytestmark = [pytest.mark.timeout(60), pytest.mark.skipif(bool(REASON), reason=REASON or "possible")]

LOST_AFTER = 1.5  # seconds

PROGRAM = """
import json, logging, os, sys, time
from olympipe_like import Pipeline, WorkerLost
from olympipe_like.remote import remote

logging.basicConfig(level=logging.INFO, format="%(message)s")
count, nbytes, options = json.loads(sys.argv[1])
there = remote("tcp://{hub}:5555", keys={keys!r}, **options)

def work(item):
    time.sleep(0.02)
    return item[0], os.getpid(), time.monotonic(), item[1]

items = ((n, bytes(nbytes)) for n in range(count))
try:
    with Pipeline(items).task(work, executor=there, name="work").run(progress=False) as run:
        for n, pid, at, data in run:
            assert len(data) == nbytes
            print(json.dumps([n, pid, at]), flush=True)
        assert run.report.balanced
except WorkerLost as error:
    print(json.dumps([str(error).splitlines()[0], 0, time.monotonic()]), flush=True)
"""


@pytest.fixture
def hosts():
    with Hosts() as made:
        yield made


class Program:
    """The user's program on host A and a worker machine on each host; everything they say is kept."""

    def __init__(self, hosts, folder):
        self.hosts = hosts
        self.folder = folder
        self.processes = []
        hub = KeyFolder(folder / "hub")
        hub.new("hub")
        for name in ("near", "far"):
            there = KeyFolder(folder / name)
            there.new(name)
            there.allow(folder / "hub" / "hub.pub")
            hub.allow(folder / name / f"{name}.pub")

    def _start(self, host, name, *command):
        out = (self.folder / f"{name}.out").open("w")
        with out:
            process = subprocess.Popen(
                ["ip", "netns", "exec", host, sys.executable, *command],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def start(self, count, nbytes=1, machines=("near", "far"), **options):
        for name in machines:
            host = self.hosts.a if name == "near" else self.hosts.b
            command = ["worker", f"tcp://{HUB}:5555", "--keys", str(self.folder / name), "--name", name]
            self._start(host, name, "-m", "olympipe_like", *command)
        text = PROGRAM.format(hub=HUB, keys=str(self.folder / "hub"))
        options = {"lost_after": LOST_AFTER, "min_workers": len(machines), **options}
        self.process = self._start(self.hosts.a, "program", "-c", text, json.dumps([count, nbytes, options]))

    @property
    def said(self):
        return (self.folder / "program.out").read_text()

    @property
    def results(self):
        return [json.loads(line) for line in self.said.splitlines() if line.startswith("[") and line.endswith("]")]

    def finish(self, seconds=40):
        assert self.process.wait(seconds) == 0, self.said
        return self.results

    def end(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def program(hosts, tmp_path):
    made = Program(hosts, tmp_path)
    yield made
    made.end()


LOSSES = {
    "cable out": (Hosts.pull_the_cable, Hosts.plug_it_in),
    "one way": (Hosts.lose_what_the_worker_sends, Hosts.lose_nothing),
}


@pytest.mark.fault("N02")
@pytest.mark.fault("N03")
@pytest.mark.parametrize("what", LOSSES)
def test_a_short_loss_costs_nobody_anything(hosts, program, eventually, what):
    begin, end = LOSSES[what]
    program.start(300, lost_after=15.0)
    eventually(lambda: len(program.results) > 40, 20)

    begin(hosts)
    time.sleep(1)
    end(hosts)

    results = program.finish()
    assert [n for n, _, _ in results] == list(range(300))
    assert len({pid for _, pid, _ in results}) == 2  # the same two all the time
    assert "is lost" not in program.said


@pytest.mark.fault("N02")
@pytest.mark.fault("N03")
@pytest.mark.parametrize("what", LOSSES)
def test_a_long_loss_is_noticed_in_time_and_the_machine_comes_back(hosts, program, eventually, what):
    begin, end = LOSSES[what]
    program.start(700)
    eventually(lambda: len(program.results) > 40, 20)

    began = time.monotonic()
    begin(hosts)
    eventually(lambda: "worker far is lost (last seen " in program.said, 10)
    noticed = time.monotonic() - began
    at = len(program.results)
    eventually(lambda: len(program.results) > at + 30, 10)
    end(hosts)
    eventually(lambda: program.said.count("worker far has come") == 2, 15)

    results = program.finish()
    assert [n for n, _, _ in results] == list(range(700))
    assert len({pid for _, pid, _ in results}) == 3
    assert noticed < LOST_AFTER + 1.5  # 0.3 s of it are the last sign of life and the next look


@pytest.mark.fault("N02")
def test_a_cable_that_stays_out_ends_a_run_that_has_nobody_else(hosts, program, eventually):
    program.start(10_000, machines=("far",), reconnect_for=2.0)
    eventually(lambda: len(program.results) > 20, 20)

    began = time.monotonic()
    hosts.pull_the_cable()

    *results, (text, _, _) = program.finish(20)
    assert time.monotonic() - began < LOST_AFTER + 2.0 + 4
    assert [n for n, _, _ in results] == list(range(len(results)))
    assert text.startswith("stage 1/1 'work': lost all 1 remote workers (last seen 1.")
    assert "none came within reconnect_for=2 s" in text


@pytest.mark.fault("N08")
@pytest.mark.slow
def test_large_items_on_a_slow_cable_are_not_taken_for_a_dead_one(hosts, program):
    hosts.slow_down("10mbit")
    program.start(2, nbytes=3 << 20, machines=("far",))  # 2.5 s for each item, each way

    results = program.finish(45)

    assert [n for n, _, _ in results] == [0, 1]
    assert "is lost" not in program.said
