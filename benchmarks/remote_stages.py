"""What the network costs on loopback: a stage of two workers as local processes, as remote ones, and as Pythonflow's.

python -m benchmarks.remote_stages

Remote workers are a machine of their own (`start_workers`) with encryption, as always. Pythonflow's pfmq has a broker
in this process and two worker processes, without encryption; each item is a request. It is left out if not installed.
"""

from __future__ import annotations

import collections
import collections.abc
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from statistics import median
from typing import Any

import numpy as np
import psutil

from olympipe_like import Pipeline
from olympipe_like.remote import remote, start_workers

WORKERS = 2
ROUNDS = 3
LONE_ITEMS = 300
PAUSE = 0.005  # seconds between lone items: each is a frame of its own

Run = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


def plus_one(n: int) -> int:
    return n + 1


def total(array: np.ndarray) -> float:
    return float(array.sum())


def double(array: np.ndarray) -> np.ndarray:
    return array * 2


def busy(n: int) -> int:
    until = time.process_time() + 0.001
    while time.process_time() < until:
        pass
    return n


# Name: function, an item, how many, how many of Pythonflow's, which sends each by itself.
WORKLOADS: dict[str, tuple[Callable[[Any], Any], Any, int, int]] = {
    "ints: + 1": (plus_one, 1, 200_000, 4_000),
    "1 ms of CPU": (busy, 1, 1_500, 1_500),
    "arrays of 16 KiB: * 2": (double, np.ones(4096, np.float32), 6_000, 2_000),
    "arrays of 1 MiB there: sum": (total, np.ones(1 << 18, np.float32), 300, 300),
    "arrays of 1 MiB there and back: * 2": (double, np.ones(1 << 18, np.float32), 300, 300),
}


def address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def pythonflow_broker(stack: ExitStack) -> Run | None:
    """Return how Pythonflow does it; None if it is not there."""
    # Release 0.3.0 needs a name that Python 3.10 dropped.
    collections.Mapping = collections.abc.Mapping  # type: ignore[attr-defined]
    try:
        from pythonflow import pfmq
    except ImportError:
        return None
    where = address()
    broker = stack.enter_context(pfmq.Broker(where))
    for _ in range(WORKERS):
        process = multiprocessing.get_context("fork").Process(target=pythonflow_worker, args=(where,), daemon=True)
        process.start()
        stack.callback(process.kill)
    return lambda function, items: broker.imap((function, item) for item in items)


def pythonflow_worker(where: str) -> None:
    from pythonflow import pfmq

    pfmq.Worker(lambda request: request[0](request[1]), where).run()


def throughput(run: Run, function: Callable[[Any], Any], item: Any, count: int) -> float:
    """Return items per second, the start of the run included."""
    began = time.perf_counter()
    found = sum(1 for _ in run(function, (item for _ in range(count))))
    assert found == count
    return count / (time.perf_counter() - began)


def cpu_seconds() -> float:
    """Return what this process and all its descendants have used so far, those that have ended included."""
    whole = 0.0
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            whole += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return whole


def lone_items(run: Run) -> tuple[float, float]:
    """Return for items that come one by one the median time from source to consumer, and processor time, in ms."""
    sent: list[float] = []
    used = cpu_seconds()

    def items() -> Iterable[int]:
        for n in range(LONE_ITEMS):
            time.sleep(PAUSE)
            sent.append(time.perf_counter())
            yield n

    taken = [time.perf_counter() - sent[n] for n, _ in enumerate(run(plus_one, items()))]
    return median(taken[20:]) * 1e3, (cpu_seconds() - used) / LONE_ITEMS * 1e3


def main() -> None:
    """Measure, peers in turn, and print tables."""
    there = remote(address(), min_workers=WORKERS)
    with ExitStack() as stack:
        peers: dict[str, Run] = {
            "local": lambda function, items: Pipeline(items).task(function, workers=WORKERS),
            "remote": lambda function, items: Pipeline(items).task(function, executor=there),
        }
        broker = pythonflow_broker(stack)
        if broker is not None:
            peers["pfmq"] = broker
        stack.enter_context(start_workers(there, WORKERS))
        for run in peers.values():
            throughput(run, plus_one, 1, 10)  # whatever is started once is started now
        print(f"| items/s (MiB/s), median of {ROUNDS} | {' | '.join(peers)} |\n|---|{'---|' * len(peers)}")
        for name, (function, item, count, fewer) in WORKLOADS.items():
            found: dict[str, list[float]] = {peer: [] for peer in peers}
            for _ in range(ROUNDS):
                for peer, run in peers.items():
                    found[peer].append(throughput(run, function, item, fewer if peer == "pfmq" else count))
            nbytes = getattr(item, "nbytes", 0)
            cells = [
                f"{median(rates):,.0f}" + (f" ({median(rates) * nbytes / 2**20:,.0f})" if nbytes else "")
                for rates in found.values()
            ]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
        print(f"\n| lone items, one every {PAUSE * 1e3:g} ms | {' | '.join(peers)} |\n|---|{'---|' * len(peers)}")
        figures = [lone_items(run) for run in peers.values()]
        print(f"| from source to consumer, median, ms | {' | '.join(f'{latency:.2f}' for latency, _ in figures)} |")
        print(f"| processor time for each, all processes, ms | {' | '.join(f'{cpu:.2f}' for _, cpu in figures)} |")


if __name__ == "__main__":
    main()
