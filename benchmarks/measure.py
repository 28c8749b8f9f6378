"""Runs measurements, each in a fresh process with a time limit, and samples memory from outside.

Peers take turns within a round and the order of turns rotates, so that a slow minute of the machine hits all
of them alike; ratios are taken within a round. Memory is sampled in a run of its own: reading page tables
every 50 ms would slow the runs that are timed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil  # type: ignore[import-untyped,unused-ignore]

from benchmarks.once import make
from benchmarks.workloads import MIB, WORKLOADS, Figure

ROOT = Path(__file__).resolve().parent.parent
MARK_VARIABLE = "BENCHMARK_MARK"
SAMPLE_SECONDS = 0.05
LEAVE_SECONDS = 0.5  # how long a run's processes may outlive its main process before they count as left

# One thread per process in numpy's linear algebra: none of the workloads is about it.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to measure: a peer, a workload and the workload's arguments."""

    peer: str
    workload: str
    arguments: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one measurement gave; ``trouble`` is None only if every result was right and in order."""

    figures: Mapping[str, float] = field(default_factory=dict)
    trouble: str | None = None
    hung: bool = False
    left_processes: int = 0
    peak_mib: float | None = None


def _belongs(process: psutil.Process, session: int, mark: str) -> bool:
    # A process may have left the session, another may have overwritten its environment: either is enough.
    try:
        if os.getsid(process.pid) == session:
            return True
        return bool(process.environ().get(MARK_VARIABLE) == mark)
    except (psutil.Error, OSError):
        return False  # it ended meanwhile, or is another user's


def _members(session: int, mark: str) -> list[psutil.Process]:
    """Return the living processes of one measurement, whoever is their parent now."""
    return [
        process
        for process in psutil.process_iter(["status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and _belongs(process, session, mark)
    ]


def _memory_mib(processes: Iterable[psutil.Process]) -> float:
    """Return the memory of some processes: shared pages counted once (PSS) where the system can tell."""
    total = 0
    for process in processes:
        # A process may end between being listed and being read.
        with contextlib.suppress(psutil.Error, OSError):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    return total / MIB


def _end(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)


def _watch(child: subprocess.Popen[bytes], mark: str, deadline: float, *, sample_memory: bool) -> float:
    """Wait until the child has ended, or kill it and all its processes at the deadline; return peak MiB."""
    peak = 0.0
    try:
        while sample_memory and child.poll() is None and time.monotonic() < deadline:
            peak = max(peak, _memory_mib(_members(child.pid, mark)))
            time.sleep(SAMPLE_SECONDS)
        child.wait(max(0.0, deadline - time.monotonic()))
    finally:
        if child.poll() is None:
            _end(_members(child.pid, mark))
        child.wait()
    return peak


def _clear_away(session: int, mark: str) -> int:
    """Kill what has outlived its main process by more than a moment; return how many those were."""
    patience = time.monotonic() + LEAVE_SECONDS
    while (left := _members(session, mark)) and time.monotonic() < patience:
        time.sleep(0.02)
    _end(left)
    return len(left)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _last_line(noise: bytes, returncode: int) -> str:
    lines = noise.decode(errors="replace").strip().splitlines() or [f"exit code {returncode}, no error text"]
    # The full text goes to the terminal; a table is no place for a long line, nor for our own paths.
    say("\n".join(lines[-20:]))
    return lines[-1].replace(str(ROOT), "").strip()[:70]


def run(task: Task, *, limit_seconds: float, sample_memory: bool = False) -> Outcome:
    """Measure once in a fresh process; whatever is left of it afterwards is counted and killed."""
    mark = uuid4().hex
    asked = json.dumps({"peer": task.peer, "workload": task.workload, "arguments": dict(task.arguments)})
    environment = {**os.environ, **ONE_THREAD, **task.environment, MARK_VARIABLE: mark}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as noise:
        report = Path(folder, "report.json")
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.once", asked, str(report)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=noise,
            start_new_session=True,
        )
        try:
            peak = _watch(child, mark, time.monotonic() + limit_seconds, sample_memory=sample_memory)
        except subprocess.TimeoutExpired:
            # A report means that it measured, and then could not end.
            trouble = "does not exit" if report.exists() else f"hangs (over {limit_seconds:g} s)"
            return Outcome(trouble=trouble, hung=True)
        left = _clear_away(child.pid, mark)
        if child.returncode or not report.exists():
            noise.seek(0)
            last = _last_line(noise.read(), child.returncode)
            return Outcome(trouble=f"failed: {last}", left_processes=left)
        read = json.loads(report.read_text())
        return Outcome(
            figures=read["figures"],
            trouble=None if read["order"] == "ordered" else read["order"],
            left_processes=left,
            peak_mib=peak if sample_memory else None,
        )


@dataclass(slots=True, kw_only=True)
class Series:
    """All that was measured of one workload; ``rounds[peer]`` is in the order of rounds."""

    name: str
    title: str
    figures: tuple[Figure, ...]
    items: Mapping[str, int]
    rounds: dict[str, list[Outcome]]
    peak_mib: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def rotated(peers: Sequence[str], turns: int) -> list[str]:
    turns %= len(peers)
    return [*peers[turns:], *peers[:turns]]


def take_turns(tasks: Mapping[str, Task], repeat: int, limit_seconds: float) -> dict[str, list[Outcome]]:
    """Measure every task ``repeat`` times in alternation; one that hung is not tried again."""
    rounds: dict[str, list[Outcome]] = {name: [] for name in tasks}
    for number in range(repeat):
        for name in rotated(list(tasks), number):
            if any(outcome.hung for outcome in rounds[name]):
                rounds[name].append(rounds[name][-1])
                continue
            task = tasks[name]
            started = time.monotonic()
            outcome = run(task, limit_seconds=limit_seconds)
            rounds[name].append(outcome)
            figures = ", ".join(f"{key} {value:.4g}" for key, value in outcome.figures.items())
            remark = f" [{outcome.trouble}]" if outcome.trouble else ""
            took = time.monotonic() - started
            say(f"{task.workload} {number + 1}/{repeat} {name}: {figures}{remark} ({took:.1f} s)")
    return rounds


def compare(name: str, peers: Sequence[str], *, repeat: int, quick: bool, limit_seconds: float) -> Series:
    size = WORKLOADS[name]
    peers = [peer for peer in peers if peer in size.peers]
    items = {peer: size.items(peer, quick=quick) for peer in peers}
    workload = make(name, {"items": size.quick if quick else size.full})
    tasks = {
        peer: Task(peer=peer, workload=name, arguments={"items": items[peer]}, environment=workload.environment)
        for peer in peers
    }
    rounds = take_turns(tasks, repeat, limit_seconds)
    series = Series(name=name, title=workload.title, figures=workload.figures, items=items, rounds=rounds)
    if workload.memory:
        for peer, task in tasks.items():
            if all(outcome.hung for outcome in rounds[peer]):
                continue
            peak = run(task, limit_seconds=limit_seconds, sample_memory=True).peak_mib
            if peak is not None:
                series.peak_mib[peer] = peak
    return series
