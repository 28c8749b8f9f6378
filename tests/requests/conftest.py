"""A broker at an address of the test's own, and workers as processes; nothing of them is left behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from olympipe_like._remote.gateways import close_gateways
from olympipe_like._remote.keys import KeyFolder
from olympipe_like.requests import Broker, start_workers
from tests.remote.conftest import Machines, free_address


@pytest.fixture(autouse=True)
def no_gateway_is_left(nothing_is_left_behind: None) -> Iterator[None]:
    yield
    close_gateways()
    gc.collect()


@pytest.fixture
def address() -> str:
    return free_address()


@pytest.fixture
def broker(request: pytest.FixtureRequest, address: str, no_gateway_is_left: None) -> Iterator[Broker]:
    """Return a broker that runs, with patience for so many seconds as the test says: mostly few."""
    with Broker(address, lost_after=1.0, reconnect_for=getattr(request, "param", 3.0)) as made:
        yield made


@pytest.fixture
def work(broker: Broker, address: str) -> Iterator[Callable[..., object]]:
    """Start worker processes with a target."""
    started = []

    def start(target: Callable[..., object], workers: int = 1, **options: object):
        started.append(start_workers(target, address, workers, **options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def machines(tmp_path: Path, address: str, no_gateway_is_left: None) -> Iterator[Machines]:
    """Start ``olympipe-like worker`` at the test's address."""
    made = Machines(tmp_path, address)
    yield made
    for machine in made.all:
        machine.end()


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Return folders of keys of a hub that trusts a worker and an asker, and of both, which trust it."""
    names = ("hub", "worker", "asker")
    made = {name: tmp_path / f"keys of {name}" for name in names}
    for name, folder in made.items():
        KeyFolder(folder).new(name)
    for name in ("worker", "asker"):
        KeyFolder(made["hub"]).allow(made[name] / f"{name}.pub")
        KeyFolder(made[name]).allow(made["hub"] / "hub.pub")
    return made


@pytest.fixture
def beside() -> Iterator[Callable[..., threading.Thread]]:
    """Run a function in a thread, which must end with the test."""
    threads = []

    def start(function: Callable[..., object], *args: object) -> threading.Thread:
        threads.append(threading.Thread(target=function, args=args))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
