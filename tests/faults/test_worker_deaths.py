"""Workers die: T15 to T24, and where they cannot start, T51. Deaths beyond what a policy asks for: test_policies.py."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from olympipe_like import InternalError, Pipeline, PipelineExecutionError, StageFailed, WorkerLost
from tests.faults.cases import (
    AT,
    BEFORE,
    DEATHS,
    GAVE_UP,
    ITEMS,
    WORKER,
    Once,
    assert_first_line,
    be_killed,
    dying,
    first_line,
    outcome,
    stage_one_ok,
    two_stages,
)

pytestmark = pytest.mark.timeout(40)

IDS = {"exit code 1": "T15", "exit code 0": "T16", "SIGKILL": "T17", "SIGSEGV": "T18", "SIGABRT": "T18"}
deaths = pytest.mark.parametrize(
    ("die", "what"), [pytest.param(*DEATHS[name], id=name, marks=pytest.mark.fault(IDS[name])) for name in DEATHS]
)


# -- in the middle of an item --------------------------------------------------------------------------------


@deaths
@pytest.mark.fault("T20")
def test_an_item_that_ends_every_worker_ends_the_run_and_says_how(die, what):
    arrived, error = outcome(two_stages(dying(die)))

    assert arrived == BEFORE
    assert type(error) is WorkerLost
    assert_first_line(error, what + GAVE_UP)


@deaths
def test_a_death_is_noticed_within_a_second_though_somebody_holds_its_socket_open(die, what, tmp_path, caplog):
    heard = []

    def note(record):
        heard.append(time.monotonic())
        return True

    caplog.handler.addFilter(note)

    def die_with_an_heir():
        sockets = [int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.is_socket()]
        heir = subprocess.Popen(["sleep", "30"], pass_fds=sockets, start_new_session=True)
        (tmp_path / "heir").write_text(f"{len(sockets)} {heir.pid} {time.monotonic()}")
        die()

    try:
        _, error = outcome(two_stages(dying(die_with_an_heir), worker_retries=0))
    finally:
        caplog.handler.removeFilter(note)  # it is the handler of all tests
        sockets, heir, died = (tmp_path / "heir").read_text().split()
        os.kill(int(heir), signal.SIGKILL)

    assert int(sockets) > 0
    assert_first_line(error, what)
    assert heard[0] - float(died) < 1.0


@deaths
@pytest.mark.fault("T19")
def test_a_worker_that_dies_once_costs_nothing(die, what, tmp_path):
    once = Once(tmp_path)

    arrived, error = outcome(two_stages(dying(die, once)))

    assert error is None
    assert once.happened
    assert arrived == list(ITEMS)


@pytest.mark.fault("T19")
@pytest.mark.parametrize("operator", ["filter", "explode", "tap", "class_task", "split"])
def test_a_worker_of_any_operator_without_memory_that_dies_once_costs_nothing(operator, tmp_path):
    once = Once(tmp_path)
    bad = dying(be_killed, once)

    class Model:
        def use(self, value):
            return bad(value)

    pipe = Pipeline(ITEMS).task(stage_one_ok, workers=2)
    calls = {
        "filter": lambda: pipe.filter(lambda value: bad(value) > 0, workers=2),
        "explode": lambda: pipe.explode(lambda value: [bad(value)], workers=2),
        "tap": lambda: pipe.tap(bad),
        "class_task": lambda: pipe.class_task(Model, "use", workers=2),
        "split": lambda: pipe.split(lambda value: (bad(value), value), n=2)[0],
    }

    arrived, error = outcome(calls[operator]())

    assert error is None
    assert once.happened
    assert arrived == list(ITEMS)


@pytest.mark.fault("T19")
def test_a_worker_that_dies_half_way_through_an_exploded_item_gives_each_part_once(tmp_path):
    once = Once(tmp_path)

    def parts(value):
        for part in range(5000):
            if value == ITEMS[3] and part == 4321 and once():
                be_killed()
            yield value, part

    arrived, error = outcome(Pipeline(ITEMS[:6]).explode(parts, workers=2))

    assert error is None
    assert once.happened
    assert arrived == [(value, part) for value in ITEMS[:6] for part in range(5000)]


MEMORIES = {
    "batch": (
        lambda pipe, bad: pipe.batch(7, collate=lambda items: [bad(item) for item in items]),
        [list(ITEMS[start : start + 7]) for start in range(0, 200, 7)],
    ),
    "reduce": (lambda pipe, bad: pipe.reduce(0, lambda item, total: total + bad(item)), [sum(ITEMS)]),
    "scan": (
        lambda pipe, bad: pipe.scan(0, lambda item, total: (total + bad(item), total)),
        [sum(ITEMS[:place]) for place in range(200)],
    ),
    "window": (
        lambda pipe, bad: pipe.task(bad).window(3, step=2),
        [list(ITEMS[start : start + 3]) for start in range(0, 198, 2)],
    ),
    "bucket": (
        lambda pipe, bad: pipe.bucket(lambda item: bad(item) % 2, [1], batch_size=9),
        [list(ITEMS[start + odd : start + 18 + odd : 2]) for start in range(0, 198, 18) for odd in (0, 1)]
        + [[ITEMS[198]], [ITEMS[199]]],
    ),
    "shuffle": (
        lambda pipe, bad: pipe.task(bad).shuffle(30, seed=5),
        Pipeline(ITEMS).shuffle(30, seed=5).wait_for_result(executor="inline"),
    ),
    "unique": (lambda pipe, bad: pipe.unique(lambda item: bad(item) // 4), list(ITEMS[::4])),
    "shard": (lambda pipe, bad: pipe.task(bad).shard(2, 7, even="drop"), list(ITEMS[2:196:7])),
    "repeat": (
        lambda pipe, bad: pipe.task(bad).window(70, step=70, partial=True).repeat(2),
        [list(ITEMS[start : start + 70]) for start in (0, 70, 140)] * 2,
    ),
    "align": (
        lambda pipe, bad: pipe.align(pipe.filter(lambda value: value % 2 == 0)).task(
            lambda pair: (bad(pair[0]), pair[1])
        ),
        [(value, value) for value in ITEMS if value % 2 == 0],
    ),
    "gather": (
        lambda pipe, bad: pipe.gather(pipe.task(lambda value: -value)).task(bad),
        [signed for value in ITEMS for signed in (value, -value)],
    ),
    "zip": (
        lambda pipe, bad: pipe.zip(pipe.task(lambda value: -value)).task(lambda pair: (bad(pair[0]), pair[1])),
        [(value, -value) for value in ITEMS],
    ),
}


@pytest.mark.fault("T19")
@pytest.mark.parametrize("operator", MEMORIES)
def test_a_death_in_or_behind_a_stage_that_remembers_costs_nothing(operator, tmp_path):
    once = Once(tmp_path)
    build, expected = MEMORIES[operator]
    pipe = Pipeline(ITEMS).task(stage_one_ok, workers=2)

    arrived, error = outcome(build(pipe, dying(be_killed, once)))

    assert once.happened
    assert error is None
    assert arrived == expected


@pytest.mark.fault("T20")
@pytest.mark.parametrize("operator", ["batch", "reduce"])
def test_an_item_that_ends_every_worker_of_a_stage_that_remembers_ends_the_run_and_is_named(operator):
    build, expected = MEMORIES[operator]

    arrived, error = outcome(build(Pipeline(ITEMS).task(stage_one_ok), dying(be_killed)))

    assert isinstance(error, WorkerLost)
    assert "SIGKILL" in first_line(error)
    assert error.position == ("item 104" if operator == "batch" else "item 100")
    assert arrived == expected[: AT // 7 if operator == "batch" else 0]


# -- killed from outside -------------------------------------------------------------------------------------


class Gate:
    """A source that gives the items up to a number, and the rest when it is told."""

    def __init__(self, items, first):
        self.items, self.first = items, first
        self.opened = threading.Event()

    def __iter__(self):
        yield from self.items[: self.first]
        assert self.opened.wait(30)
        yield from self.items[self.first :]


def family():
    """Return the workers: what the hubs, our only children, have forked."""
    workers = {}
    for process in psutil.Process().children(recursive=True):
        try:
            if process.ppid() != os.getpid():
                workers[process.pid] = process
        except psutil.NoSuchProcess:
            continue  # it has ended since it was listed
    return workers


def idle():
    """Whether all workers wait for work."""
    workers = family().values()
    try:
        return workers and all(process.status() == psutil.STATUS_SLEEPING for process in workers)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def at_rest(eventually, *, build=lambda pipe: pipe.task(stage_one_ok, workers=2), workers=4):
    """Give a run whose workers have done ten items and wait, its results, and what lets it go on."""
    gate = Gate(ITEMS, 10)
    pipe = build(Pipeline(gate).task(stage_one_ok, workers=2))
    with pipe.run() as run:
        results = iter(run)
        arrived = [next(results) for _ in range(10)]
        eventually(lambda: len(family()) == workers and idle())

        def rest():
            gate.opened.set()
            return arrived + list(results)

        yield rest


@pytest.mark.fault("T21")
@pytest.mark.parametrize("which", range(4))
def test_an_idle_worker_that_is_killed_is_replaced(which, eventually):
    with at_rest(eventually) as rest:
        before = family()
        before[sorted(before)[which]].kill()
        eventually(lambda: len(family()) == 4 and family().keys() != before.keys())

        results = rest()

    assert results == list(ITEMS)


@pytest.mark.fault("T21")
def test_idle_workers_that_are_killed_one_after_the_other_are_all_replaced(eventually):
    with at_rest(eventually) as rest:
        old = family()
        for pid in sorted(old):
            now = family().keys()
            old[pid].kill()
            eventually(lambda now=now: len(family()) == 4 and family().keys() != now)
        assert not family().keys() & old.keys()

        results = rest()

    assert results == list(ITEMS)


@pytest.mark.fault("T22")
def test_all_idle_workers_killed_at_once_are_replaced(eventually):
    with at_rest(eventually) as rest:
        for process in family().values():
            process.kill()

        results = rest()

    assert results == list(ITEMS)


@pytest.mark.fault("T22")
def test_all_workers_killed_at_once_in_the_middle_of_their_items_are_replaced(tmp_path, eventually):
    release = tmp_path / "release"

    def hold(value):
        (tmp_path / f"began-{os.getpid()}").touch()
        while not release.exists():
            time.sleep(0.005)
        return value

    with two_stages(stage_one_ok, ITEMS, workers=2).task(hold, workers=3).run() as run:
        eventually(lambda: len(list(tmp_path.glob("began-*"))) == 3)
        for process in family().values():
            process.kill()
        eventually(lambda: len(list(tmp_path.glob("began-*"))) >= 6)
        release.touch()

        assert list(run) == list(ITEMS)


@pytest.mark.fault("T21")
def test_an_idle_worker_of_a_batch_that_is_killed_is_replaced(eventually):
    gate = Gate(ITEMS, 10)
    # The batch rides in the worker of the unordered stage before it, or has one of its own: kill them all.
    with Pipeline(gate).task(stage_one_ok).batch(3).run() as run:
        results = iter(run)
        arrived = [next(results) for _ in range(3)]
        eventually(idle)
        for process in family().values():
            process.kill()
        gate.opened.set()
        arrived += list(results)

    assert arrived == [list(ITEMS[start : start + 3]) for start in range(0, 200, 3)]


@pytest.mark.fault("T21")
@pytest.mark.parametrize("merge", ["gather", "zip"])
def test_an_idle_worker_of_a_merge_that_is_killed_is_replaced(merge, eventually):
    gate = Gate(ITEMS, 10)
    whole = Pipeline(gate)
    negative = whole.task(lambda value: -value)
    pipe = whole.gather(negative) if merge == "gather" else whole.zip(negative)
    first = 20 if merge == "gather" else 10
    with pipe.run() as run:
        results = iter(run)
        arrived = [next(results) for _ in range(first)]
        eventually(idle)
        for process in family().values():
            process.kill()
        gate.opened.set()
        arrived += list(results)

    assert arrived == MEMORIES[merge][1]


@pytest.mark.fault("T23")
@pytest.mark.parametrize("kib", [256, 8192])
@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 200))])
def test_a_worker_killed_at_any_moment_at_full_speed_costs_nothing(seed, kib):
    dice = random.Random(seed)
    count = 200 if kib == 256 else 24
    victim_at, delay = dice.randrange(1, count), dice.random() * 0.03

    def grow(value):
        return value, bytes(kib << 10)

    pipe = Pipeline(ITEMS[:count]).task(grow, workers=2).task(lambda pair: (pair[0], bytearray(pair[1])), workers=2)
    numbers = []
    for number, data in pipe:
        assert len(data) == kib << 10
        numbers.append(number)
        if len(numbers) == victim_at:
            time.sleep(delay)
            workers = sorted(family())
            if workers:
                kill(dice.choice(workers))

    assert numbers == list(ITEMS[:count])


# Ends in lists, so that what is compared is few items; what is remembered changes with every one of them.
SCANS = {
    "scan": lambda pipe: pipe.scan(0, lambda item, total: (total + item, total)).batch(500),
    "window": lambda pipe: pipe.window(500, step=400),
    "bucket": lambda pipe: pipe.bucket(lambda item: item % 7, [2, 4], batch_size=300),
    "shuffle": lambda pipe: pipe.shuffle(700, seed=2).batch(500),
    "unique": lambda pipe: pipe.unique(lambda item: item // 3).batch(500),
    "shard": lambda pipe: pipe.shard(1, 3, even="pad").batch(500),
    "repeat": lambda pipe: pipe.shuffle(100, seed=4).batch(700).repeat(2),
}


@pytest.mark.fault("T23")
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("operator", SCANS)
def test_a_worker_of_a_scan_killed_at_any_moment_at_full_speed_costs_nothing(operator, seed):
    dice = random.Random(f"{operator} {seed}")
    source = range(10_000) if operator == "repeat" else range(20_000)
    pipe = SCANS[operator](Pipeline(source).task(abs))
    expected = pipe.wait_for_result(executor="inline")
    victims = set(dice.sample(range(len(expected)), 3))

    arrived = []
    for number, item in enumerate(pipe):
        arrived.append(item)
        if number in victims:
            time.sleep(dice.random() * 0.01)
            for worker in sorted(family()):
                kill(worker)

    assert arrived == expected


@pytest.mark.fault("T19")
def test_a_shuffle_without_a_seed_whose_worker_dies_still_gives_each_item_once(tmp_path):
    once = Once(tmp_path)

    arrived, error = outcome(Pipeline(ITEMS).task(dying(be_killed, once)).shuffle(30))

    assert once.happened
    assert error is None
    assert sorted(arrived) == list(ITEMS)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was done already


@pytest.mark.fault("T24")
def test_the_death_of_the_hub_is_an_error_and_never_a_short_list(eventually):
    gate = Gate(ITEMS, 10)
    arrived, workers = [], {}

    def consume():
        with two_stages(stage_one_ok, gate).run() as run:
            for value in run:
                arrived.append(value)
                if len(arrived) == 10:
                    workers.update(family())
                    for child in psutil.Process().children():
                        child.kill()
                    gate.opened.set()

    with pytest.raises(InternalError, match="the hub process ended"):
        consume()

    assert arrived == list(ITEMS[: len(arrived)])
    eventually(lambda: not any(process.is_running() and not is_zombie(process) for process in workers.values()))
    assert two_stages(stage_one_ok).wait_for_result() == list(ITEMS)  # the next run has a hub of its own


def is_zombie(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# -- before the first item -----------------------------------------------------------------------------------


def assert_could_not_start(error, what):
    assert isinstance(error, StageFailed)
    assert re.fullmatch(re.escape(f"stage 2/2 'x': could not start: {what}") + WORKER, first_line(error)), str(error)


@pytest.mark.fault("T51")
def test_a_class_that_cannot_be_built_is_reported_once(tally):
    class Model:
        def __init__(self):
            tally.hit("built")
            raise ImportError("no module named 'weights'")

        def use(self, value):
            return value

    pipe = Pipeline(ITEMS).task(stage_one_ok, workers=2).class_task(Model, "use", workers=2, name="x")

    arrived, error = outcome(pipe)

    assert arrived == []
    assert isinstance(error, ImportError)
    assert_could_not_start(error, "ImportError: no module named 'weights'")
    assert 1 <= tally.count("built") <= 2  # once a worker, not once an item


@pytest.mark.fault("T51")
def test_a_module_that_cannot_be_imported_in_the_worker_is_reported_once(script):
    script.write(
        """
        import os
        if os.getpid() != int(os.environ["HOME_PID"]):
            raise ImportError("needs a display")

        def use(value):
            return value
        """,
        "display.py",
    )

    out = script(
        """
        import os
        os.environ["HOME_PID"] = str(os.getpid())
        import display
        from olympipe_like import Pipeline

        try:
            print(Pipeline(range(200)).task(abs).task(display.use, workers=2, name="x").wait_for_result())
        except ImportError as error:
            print(str(error).splitlines()[0])
        """
    )

    pattern = re.escape("stage 2/2 'x': could not start: ImportError: needs a display")
    assert re.fullmatch(pattern + WORKER + "\n", out), out


@pytest.mark.fault("T51")
def test_a_worker_that_dies_while_it_starts_every_time_ends_the_run():
    class Model:
        def __init__(self):
            be_killed()

        def use(self, value):
            return value

    pipe = Pipeline(ITEMS).task(stage_one_ok, workers=2).class_task(Model, "use", workers=2, name="x")

    arrived, error = outcome(pipe)

    assert arrived == []
    assert isinstance(error, PipelineExecutionError)
    assert first_line(error).startswith("stage 2/2 'x': worker was killed by SIGKILL")


@pytest.mark.fault("T51")
def test_a_worker_that_dies_while_it_starts_once_costs_nothing(tmp_path):
    once = Once(tmp_path)

    class Model:
        def __init__(self):
            if once():
                be_killed()

        def use(self, value):
            return value

    pipe = Pipeline(ITEMS).task(stage_one_ok, workers=2).class_task(Model, "use", workers=2, name="x")

    arrived, error = outcome(pipe)

    assert error is None
    assert once.happened
    assert arrived == list(ITEMS)
