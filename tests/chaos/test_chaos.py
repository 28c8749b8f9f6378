"""Workers are killed at random moments, again and again, at full speed: nothing is lost, doubled or out of order.

    make test ARGS="-m chaos tests/chaos"

Each test is one seed, which its name gives; `-k "[17-"` plays it again. Processes are never scheduled alike twice, so a
seed repeats who is killed when, not what he was at.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from olympipe_like import Pipeline

SEEDS = 200
MOST_KILLS = 60  # a run: on a busy machine workers could be killed faster than they start
RETRIES = 1000  # the killer is to blame, and no item


def grow(number, kib):
    return number, bytes([number % 251]) * (kib << 10)


def is_kept(pair):
    return pair[0] % 7 != 3


def again(pair):
    return pair[0], bytearray(pair[1])


def two_halves(pair):
    number, data = pair
    yield number, "first", data[: len(data) // 2]
    yield number, "second", data[len(data) // 2 :]


def total(pair, so_far):
    return so_far + pair[0] + len(pair[1])


def summed(numbers):
    return [number for number, *_ in numbers]


def plans(count, kib):
    """Return the leaves of a plan with every way to remember, to branch and to make many of one."""
    options = {"workers": 2, "worker_retries": RETRIES}
    made = Pipeline(range(count)).task(lambda number: grow(number, kib), **options)
    kept = made.filter(is_kept, worker_retries=RETRIES).task(again, **options)
    halves = kept.explode(two_halves, **options).task(lambda half: (*half[:2], len(half[2])), worker_retries=RETRIES)
    batches = kept.task(lambda pair: pair, worker_retries=RETRIES).batch(4).task(summed, worker_retries=RETRIES)
    other = kept.task(lambda pair: (-pair[0], b""), worker_retries=RETRIES)
    merged = kept.gather(other).task(lambda pair: pair[0], **options)
    return [halves, batches, merged, kept.reduce(0, total, worker_retries=RETRIES)]


def expected(count, kib):
    kept = [number for number in range(count) if number % 7 != 3]
    size = kib << 10
    halves = [(number, half, size // 2) for number in kept for half in ("first", "second")]
    batches = [kept[start : start + 4] for start in range(0, len(kept), 4)]
    merged = [sign * number for number in kept for sign in (1, -1)]
    return [halves, batches, merged, [sum(kept) + size * len(kept)]]


def children_of(parent):
    found = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            found += [int(pid) for pid in task.read_text().split()]
        except OSError:
            continue  # that thread has just ended
    return found


class Killer(threading.Thread):
    """Kills a worker of this program every now and then, or all of them at once."""

    def __init__(self, seed):
        super().__init__(daemon=True)
        self.dice = random.Random(seed)
        self.pace = self.dice.choice([0.02, 0.05, 0.1])
        self.over = threading.Event()
        self.kills = 0

    def run(self):
        while self.kills < MOST_KILLS and not self.over.wait(self.dice.random() * 2 * self.pace):
            workers = sorted(pid for hub in children_of(os.getpid()) for pid in children_of(hub))
            if not workers:
                continue
            victims = workers if self.dice.random() < 0.05 else [self.dice.choice(workers)]
            for victim in victims:
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue  # it was done already
                self.kills += 1


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kib", [256, 8192])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_kills_cost_no_item_and_no_order(seed, kib, record_property):
    count = 80 if kib == 256 else 8
    killer = Killer(seed)
    began = time.monotonic()
    killer.start()
    try:
        results = Pipeline.wait_for_all_results(plans(count, kib), progress=False)
    finally:
        killer.over.set()
        killer.join()

    record_property("kills", killer.kills)
    print(f"seed {seed}, {kib} KiB: {killer.kills} kills in {time.monotonic() - began:.1f} s")
    assert results == expected(count, kib)
