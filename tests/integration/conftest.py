"""What every test here must leave behind: nothing. And the means to run scripts and to wait for events."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

import psutil
import pytest

import olympipe_like
from olympipe_like import Pipeline
from olympipe_like._runtime.hub_client import close_idle_hubs
from tests.functions import Tally

# Inherited by every process that this one starts, so that orphans are found as well as children.
MARK = ("OLYMPIPE_LIKE_TEST", uuid4().hex)
os.environ[MARK[0]] = MARK[1]

SHARED_MEMORY = Path("/dev/shm")
DESCRIPTORS = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGHUP, signal.SIGPIPE)
SECONDS_TO_TIDY_UP = 2.0


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    # A hub process stays warm between runs. It is there before each test and, with no more than it had, after it:
    # a new one for each test would cost more than all tests together.
    if not psutil.Process().children():
        Pipeline([0]).task(abs).wait_for_completion()
    before = _belongings()
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    if request.node.stash.get(FAILED, False):
        close_idle_hubs()
        return  # the traceback keeps the test's pipelines alive
    if _belongings() - before:
        close_idle_hubs()  # may be another hub than before, so without any there must be nothing at all
    deadline = time.monotonic() + SECONDS_TO_TIDY_UP
    while (left := _belongings() - before) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert not left, f"left behind: {sorted(left)}"
    # pytest-timeout owns SIGALRM only while a test runs; nobody else may touch any of them.
    assert {number: signal.getsignal(number) for number in SIGNALS} == handlers


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if call.when == "call" and report.failed:
        item.stash[FAILED] = True
    return report


def _belongings() -> set[tuple[str, str]]:
    """Return what this process holds of the machine."""
    found = {("process", text) for text in _processes()}
    found |= {("thread", f"{thread.name} {thread.ident}") for thread in threading.enumerate()}
    for path in DESCRIPTORS.iterdir():
        try:
            target = path.readlink() if sys.platform == "linux" else ""
        except FileNotFoundError:
            continue  # the descriptor that listed the directory
        found.add(("descriptor", f"{path.name} {target}"))
    if SHARED_MEMORY.is_dir():
        names = [path.name for path in SHARED_MEMORY.iterdir()]
        found |= {("shared memory", name) for name in names if not _is_a_strangers(name)}
    if sys.platform == "linux":
        maps = Path("/proc/self/maps").read_text().splitlines()
        found |= {("mapping", line) for line in maps if "/memfd:" in line or f" {SHARED_MEMORY}/" in line}
    return found


def _processes() -> Iterator[str]:
    """Describe the processes that exist because of this one."""
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    for process in psutil.process_iter():
        try:
            marked = process.pid != os.getpid() and process.environ().get(MARK[0]) == MARK[1]
            if marked or process.pid in children:
                yield f"{process.pid} {' '.join(process.cmdline())[:200]}"
        except psutil.Error:
            continue  # gone meanwhile, or not ours to look at


def _is_a_strangers(name: str) -> bool:
    """Say whether a process of somebody else uses this shared memory: the machine is not ours alone."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if f"{SHARED_MEMORY}/{name}" in maps.read_text():
                environment = psutil.Process(int(maps.parent.name)).environ()
                return environment.get(MARK[0]) != MARK[1] and int(maps.parent.name) != os.getpid()
        except (OSError, psutil.Error):
            continue  # gone meanwhile, or not ours to look at
    return False


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
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"the script did not end within {seconds} s\n{out}\n{err}")
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
