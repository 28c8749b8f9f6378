"""Small requests through a broker to two worker processes: ours, and Pythonflow's pfmq.

python -m benchmarks.broker_requests

Pythonflow is not needed: without it only ours is measured. Its newest release, 0.3.0, names what Python 3.10 has moved,
so that is put back first, here and nowhere else. pfmq neither encrypts nor knows its peers; ours always does.
"""

from __future__ import annotations

import collections
import collections.abc
import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

REQUESTS = 5_000
LONE = 300  # requests asked one after the other
WORKERS = 2
ROUNDS = 3
PEERS = ("ours", "ours, through a client", "pfmq")

Asks = tuple[Callable[[Any], Any], Callable[[Any], Any]]  # imap, apply


def double(number: int) -> int:
    return 2 * number


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def ours() -> Iterator[Asks]:
    from olympipe_like.requests import Broker, start_workers

    address = free_address()
    with Broker(address) as broker, start_workers(double, address, WORKERS):
        yield broker.imap, broker.apply


@contextmanager
def elsewhere() -> Iterator[Asks]:
    from olympipe_like.requests import Broker, Client, start_workers

    address = free_address()
    # Its requests take the way of a client in another process: tcp, the gateway, the program of the broker, and back.
    with Broker(address), start_workers(double, address, WORKERS), Client(address) as client:
        yield client.imap, client.apply


def import_pfmq() -> Any:
    for name in ("Mapping", "Sequence"):
        setattr(collections, name, getattr(collections.abc, name))
    from pythonflow import pfmq  # type: ignore[import-not-found,unused-ignore]

    return pfmq


def work_for_pfmq(address: str) -> None:
    import_pfmq().Worker(double, address).run()


@contextmanager
def pfmq() -> Iterator[Asks]:
    address = free_address()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work_for_pfmq, args=(address,), daemon=True) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    try:
        with import_pfmq().Broker(address) as broker:
            yield broker.imap, broker.apply
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def measure(peer: str) -> dict[str, float]:
    """Return requests a second, and milliseconds for one alone."""
    with {PEERS[0]: ours, PEERS[1]: elsewhere, PEERS[2]: pfmq}[peer]() as (imap, apply):
        assert list(imap(range(500))) == [2 * number for number in range(500)]  # all are there, and warm
        began = time.perf_counter()
        results = list(imap(range(REQUESTS)))
        rate = REQUESTS / (time.perf_counter() - began)
        assert results == [2 * number for number in range(REQUESTS)]
        times = []
        for number in range(LONE):
            began = time.perf_counter()
            assert apply(number) == 2 * number
            times.append(time.perf_counter() - began)
    return {"requests/s": rate, "one alone, p50, ms": statistics.median(times) * 1e3}


def main() -> None:
    """Measure each peer in a process of its own, in turns."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    found: dict[str, list[dict[str, float]]] = {peer: [] for peer in PEERS}
    for _ in range(ROUNDS):
        for peer in PEERS:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.broker_requests", peer],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            if done.returncode:
                print(f"{peer}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            else:
                found[peer].append(json.loads(done.stdout))
    print(f"{REQUESTS} small requests, {WORKERS} workers; median of {ROUNDS} rounds (smallest to largest)")
    for peer, rounds in found.items():
        for figure in rounds[0] if rounds else ():
            values = sorted(each[figure] for each in rounds)
            text = f"{statistics.median(values):,.4g} ({values[0]:,.4g} to {values[-1]:,.4g})"
            print(f"  {peer:<26} {figure:<20} {text}")


if __name__ == "__main__":
    main()
