"""What is asked for and could not work is refused at once, by the program or the command itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from olympipe_like import Pipeline
from olympipe_like._remote.keys import KeyFolder, KeyProblem
from olympipe_like.errors import PlanError, PlanTypeError
from olympipe_like.remote import remote, start_workers
from tests.remote.conftest import ROOT, free_address


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return folders of keys of a hub and of a machine, which trust each other."""
    hub, machine = tmp_path / "hub", tmp_path / "machine"
    KeyFolder(hub).new("hub")
    KeyFolder(machine).new("nodeb")
    KeyFolder(hub).allow(machine / "nodeb.pub")
    KeyFolder(machine).allow(hub / "hub.pub")
    return hub, machine


def command(*arguments: object, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run ``olympipe-like`` for at most ten seconds; what refuses something takes less than one."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT)])}
    line = [sys.executable, "-m", "olympipe_like", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=10, env=environment, check=False)


@pytest.mark.parametrize(
    "address", ["", "hub", "tcp://hub", "tcp://127.0.0.1:99999", "http://hub:5555", "tcp://*:5555"]
)
def test_a_worker_that_is_told_no_address_says_so_and_ends(folders, address):
    done = command("worker", address, "--keys", folders[1])

    assert done.returncode == 2
    assert done.stderr.startswith("olympipe-like: address must ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "refusal"),
    [
        ("--workers", "0", "--workers must be from 1 to 10000, got 0"),
        ("--workers", "10001", "--workers must be from 1 to 10000, got 10001"),
        ("--linger", "-1", "--linger must be a number of seconds, at least 0, got -1"),
        ("--linger", "nan", "--linger must be a number of seconds, at least 0, got nan"),
    ],
)
def test_options_of_a_worker_that_cannot_be_are_refused(folders, option, value, refusal):
    done = command("worker", "tcp://127.0.0.1:5555", "--keys", folders[1], option, value)

    assert done.returncode == 2
    assert done.stderr == f"olympipe-like: {refusal}\n"


def test_a_worker_without_zeromq_says_what_to_install_and_ends(folders, tmp_path):
    without = tmp_path / "without"
    without.mkdir()
    (without / "zmq.py").write_text("raise ImportError('there is none')\n")

    done = command("worker", "tcp://127.0.0.1:5555", "--keys", folders[1], path=without)

    assert done.returncode == 2
    assert "pip install 'olympipe-like[remote]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_of_this_machine_come_to_who_listens_at_all_its_addresses(folders):
    hub, machine = folders
    there = remote(free_address().replace("127.0.0.1", "*"), keys=hub)

    with start_workers(there, keys=machine):
        assert Pipeline([1, 2]).task(str, executor=there).wait_for_result() == ["1", "2"]


def test_an_address_that_is_none_of_this_machines_is_refused_for_that(folders):
    there = remote("tcp://no-such-interface:5555", keys=folders[0])

    with pytest.raises(RuntimeError, match="this machine has no such address"):
        Pipeline([1]).task(str, executor=there).wait_for_result()


def test_what_could_not_be_let_in_is_not_started(folders, address):
    hub, machine = folders
    open_to_all, with_keys = remote(address), remote(address, keys=hub)

    with pytest.raises(PlanTypeError, match=r"start_workers \(test_arguments.py:\d+\): give what remote\(ADDRESS\)"):
        start_workers(address)
    with pytest.raises(PlanError, match="workers must be >= 1, got 0"):
        start_workers(open_to_all, workers=0)
    with pytest.raises(PlanError, match="must have a key"):
        start_workers(with_keys)
    with pytest.raises(PlanError, match="has no keys="):
        start_workers(open_to_all, keys=machine)
    with pytest.raises(KeyProblem, match="no key in"):
        start_workers(with_keys, keys=machine / "nothing")
