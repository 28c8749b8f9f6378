"""What a test run holds of the machine: processes, threads, descriptors, shared memory. And what they are doing."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil

from olympipe_like._worker import stacks

# Inherited by every process that this one starts, so that orphans are found as well as children.
MARK = ("OLYMPIPE_LIKE_TEST", uuid4().hex)
os.environ[MARK[0]] = MARK[1]

ON_LINUX = sys.platform == "linux"
SHARED_MEMORY = Path("/dev/shm")
DESCRIPTORS = Path("/proc/self/fd" if ON_LINUX else "/dev/fd")

Belonging = tuple[str, str]


def belongings() -> set[Belonging]:
    """Return what this process holds, but for the idle hub that is kept warm between runs. Some milliseconds."""
    warm = _warm_hubs()
    found = {("process", f"{pid} {text}") for pid, text in processes() if pid not in warm}
    threads = [thread for thread in threading.enumerate() if thread.name != "tqdm_monitor"]  # tqdm's own, for good
    found |= {("thread", f"{thread.name} {thread.ident}") for thread in threads}
    for path in DESCRIPTORS.iterdir():
        try:
            target = str(path.readlink()) if ON_LINUX else ""
        except FileNotFoundError:
            continue  # the descriptor that listed the directory
        if int(path.name) not in warm.values():
            found.add(("descriptor", f"{path.name} {target}"))
    if SHARED_MEMORY.is_dir():
        found |= {("shared memory", path.name) for path in SHARED_MEMORY.iterdir()}
    if ON_LINUX:
        # A semaphore is tqdm's, too: of the lock that bars in several processes would share.
        maps = [line for line in Path("/proc/self/maps").read_text().splitlines() if "/sem." not in line]
        found |= {("mapping", line) for line in maps if "/memfd:" in line or f" {SHARED_MEMORY}/" in line}
    return found


def is_ours(belonging: Belonging) -> bool:
    """Say whether it is not somebody else's: the machine is not ours alone."""
    kind, name = belonging
    return kind != "shared memory" or not _is_a_strangers(name)


def processes() -> Iterator[tuple[int, str]]:
    """Yield the id and command line of every process that exists because of this one; zombies have no command line."""
    for pid in marked(MARK[1]):
        if pid != os.getpid():
            yield pid, _command_of(pid)


def marked(value: str) -> set[int]:
    """Return the ids of the processes whose environment has this mark, and of their children, whatever theirs has."""
    parents: dict[int, int] = {}
    found = set()
    wanted = f"{MARK[0]}={value}".encode()
    for pid in psutil.pids():
        try:
            if ON_LINUX:
                parents[pid] = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
                ours = wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            else:
                parents[pid] = psutil.Process(pid).ppid()
                ours = psutil.Process(pid).environ().get(MARK[0]) == value
        except (OSError, psutil.Error):
            continue  # gone meanwhile, or not ours to look at
        if ours:
            found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def dump_stacks() -> str:
    """Return the stacks of every hub and worker that exists because of this process.

    Each of them has a file for its stacks open; whoever has none would die of the signal, and is left alone.
    """
    if stacks.SIGNAL is None:
        return ""
    asked = [pid for pid, _ in processes() if _stack_files(pid)]
    for pid in asked:
        try:
            os.kill(pid, stacks.SIGNAL)
        except ProcessLookupError:
            continue
    time.sleep(0.3)
    texts: dict[int, tuple[list[int], str]] = {}
    for pid in asked:
        for path in _stack_files(pid):
            try:
                owners, _ = texts.setdefault(path.stat().st_ino, ([], path.read_text(errors="replace")))
            except OSError:
                continue  # ended meanwhile
            owners.append(pid)
    return "\n".join(f"-- of one of the processes {owners}:\n{text}" for owners, text in texts.values() if text)


def _stack_files(pid: int) -> list[Path]:
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
        return [link for link in links if str(link.readlink()).startswith(f"/memfd:{stacks.FILE_NAME}")]
    except OSError:
        return []  # gone meanwhile, or not ours to look at


def _warm_hubs() -> dict[int, int]:
    """Return the process id of every idle hub, and this process's descriptor for it."""
    client = sys.modules.get("olympipe_like._runtime.hub_client")
    return {hub.pid: hub._control.fileno() for hub in client._idle} if client is not None else {}


def _command_of(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())[:200]
    except psutil.Error:
        return ""


def _is_a_strangers(name: str) -> bool:
    """Say whether a process of somebody else uses this shared memory."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if f"{SHARED_MEMORY}/{name}" in maps.read_text():
                environment = psutil.Process(int(maps.parent.name)).environ()
                return environment.get(MARK[0]) != MARK[1] and int(maps.parent.name) != os.getpid()
        except (OSError, psutil.Error):
            continue  # gone meanwhile, or not ours to look at
    return False
