"""What every test must leave behind: nothing. And the means to run scripts and to wait for events."""

from __future__ import annotations

import compileall
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import olympipe_like
from olympipe_like._runtime import preloading
from tests import machine
from tests.functions import Tally

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGHUP, signal.SIGPIPE)
SECONDS_TO_TIDY_UP = 2.0


# Nearly every worker of a test imports its test's module, and so pytest: as with numpy, their hub does that for all. It
# is no longer a hub without any module of the user's; the tests that run scripts have that.
preloading._PRELOADABLE |= {"pytest": True, "hypothesis": True}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile once, as an installation would; where Python may write no bytecode each of a thousand hubs would."""
    if hasattr(session.config, "workerinput"):
        return  # pytest-xdist: the first process has done it
    compileall.compile_dir(Path(olympipe_like.__file__).parent, quiet=2)


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    before = machine.belongings()
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    if request.node.stash.get(FAILED, False):
        _close_idle_hubs()
        return  # the traceback keeps the test's pipelines alive
    deadline = time.monotonic() + SECONDS_TO_TIDY_UP
    while (left := machine.belongings() - before) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    left = {each for each in left if machine.is_ours(each)}
    assert not left, f"left behind: {sorted(left)}"
    # pytest-timeout owns SIGALRM only while a test runs; nobody else may touch any of them.
    assert {number: signal.getsignal(number) for number in SIGNALS} == handlers


def _close_idle_hubs() -> None:
    client = sys.modules.get("olympipe_like._runtime.hub_client")
    if client is not None:
        client.close_idle_hubs()


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: object) -> object:
    """Before a test that hangs is ended, show what the processes of its run are doing; later they are gone."""
    result = yield
    fail = signal.getsignal(signal.SIGALRM)
    if callable(fail):

        def show_and_fail(number: int, frame: object) -> None:
            sys.stderr.write(f"stacks of the hub and the workers:\n{machine.dump_stacks()}\n")
            fail(number, frame)

        signal.signal(signal.SIGALRM, show_and_fail)
    return result


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if call.when == "call" and report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait for something that happens elsewhere, at most some seconds."""

    def wait(condition: Callable[[], object], seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"did not happen within {seconds} s"
            time.sleep(0.005)

    return wait


@pytest.fixture
def tally(tmp_path: Path) -> Tally:
    """Count calls in whatever process they happen."""
    folder = tmp_path / "tally"
    folder.mkdir()
    return Tally(folder)


class Script:
    """Writes programs as a user would, and runs them in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        library = Path(olympipe_like.__file__).parents[1]
        self.environment = {**os.environ, "PYTHONPATH": str(library)}
        self.started: list[subprocess.Popen[str]] = []

    def write(self, text: str, name: str = "script.py") -> Path:
        """Write a file beside the script."""
        path = self.folder / name
        path.write_text(dedent(text))
        return path

    def start(self, text: str) -> subprocess.Popen[str]:
        """Start a script in a process group of its own, as a shell does."""
        process = subprocess.Popen(
            [sys.executable, self.write(text)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str], seconds: float = 20) -> subprocess.CompletedProcess[str]:
        """Wait for a started script."""
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            found = machine.dump_stacks()
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"the script did not end within {seconds} s\n{out}\n{err}\n{found}")
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def __call__(self, text: str) -> str:
        """Run a script that must succeed; return what it printed."""
        done = self.finish(self.start(text))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        """End what a failed test left running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    """Run programs as a user would."""
    scripts = Script(tmp_path)
    yield scripts
    scripts.close()
