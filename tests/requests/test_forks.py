"""Forks of a program that asks or answers: what was begun is the parent's, and nothing done in a fork disturbs it."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from olympipe_like.errors import BrokerClosed, PipelineExecutionError
from olympipe_like.requests import Client, Worker


@pytest.fixture
def fork(tmp_path: Path) -> Callable[[Callable[[], object]], object]:
    """Return what runs a function in a fork of this process and returns its result, or the name and text of its error.

    The fork ends as programs do (``sys.exit``, ``atexit``), or by an alarm.
    """
    file = tmp_path / "result"

    def in_fork(function: Callable[[], object]) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: there are threads
            pid = os.fork()
        if not pid:
            signal.alarm(10)
            try:
                result = function()
            except (BrokerClosed, PipelineExecutionError) as error:
                result = [type(error).__name__, str(error)]
            except BaseException:  # a fork of a test must not become another test run
                result = traceback.format_exc()
            file.write_text(json.dumps(result))
            os._exit(0)
        assert os.waitpid(pid, 0) == (pid, 0)
        return json.loads(file.read_text())

    return in_fork


@pytest.mark.parametrize("who", ["broker", "client"])
def test_a_fork_that_asks_with_what_the_parent_began_is_told_to_make_its_own(broker, work, address, fork, who):
    work(str.upper)
    with Client(address) as client:
        asker = client if who == "client" else broker
        results = asker.imap(["a", "b", "c"])
        unbegun = asker.imap(["a"])
        assert next(results) == "A"

        found = [fork(lambda: asker.apply("x")), fork(lambda: list(results)), fork(lambda: list(unbegun))]

        assert [name for name, _ in found] == ["BrokerClosed"] * 3
        assert all("this process is a fork" in text and "make a Client here" in text for _, text in found)
        assert list(results) == ["B", "C"]


def test_a_fork_that_cancels_closes_or_forgets_disturbs_nobody(broker, work, address, fork):
    work(str.upper)
    with Client(address) as client:
        calls = [client.imap("abcdef", look_ahead=2), broker.imap("abcdef", look_ahead=2)]
        assert [next(each) for each in calls] == ["A", "A"]

        def leave() -> str:
            for each in calls:
                each.close()
            calls.clear()
            client.cancel()
            broker.cancel()
            return "left"

        assert fork(leave) == "left"
        assert [list(each) for each in calls] == [list("BCDEF")] * 2
        assert client.apply("x") == broker.apply("x") == "X"


def test_a_fork_asks_with_a_client_of_its_own(broker, work, address, fork):
    work(str.upper)

    def ask() -> object:
        with Client(address) as client:
            return client.apply("mine")

    with Client(address) as client:
        assert client.apply("a") == "A"
        assert fork(ask) == "MINE"


def test_a_fork_of_a_worker_that_answers_does_not_answer(broker, address, fork, beside):
    found = []

    def target(request: str) -> str:
        if request == "fork":
            found.append(fork(worker.process_requests))
            found.append(fork(worker.cancel))
        return request.upper()

    with Worker(target, address) as worker:
        beside(worker.process_requests)

        assert list(broker.imap(["a", "fork", "b"])) == ["A", "FORK", "B"]
    assert found[0][0] == "PipelineExecutionError"
    assert "this process is a fork of the one that answers: make a Worker here" in found[0][1]
    assert found[1] is None


def test_a_fork_that_comes_back_from_the_target_answers_nothing(broker, address, beside):
    def target(request: str) -> str:
        if request == "fork":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if not pid:
                signal.alarm(10)
                return "from the fork"
            forks.append(pid)
        return request.upper()

    def answer() -> None:
        here = os.getpid()
        try:
            worker.process_requests()
        finally:
            if os.getpid() != here:
                os._exit(7 if isinstance(sys.exc_info()[1], PipelineExecutionError) else 1)

    forks: list[int] = []
    with Worker(target, address) as worker:
        beside(answer)

        assert list(broker.imap(["a", "fork", "b"])) == ["A", "FORK", "B"]
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in forks] == [7]
        assert broker.apply("c") == "C"
