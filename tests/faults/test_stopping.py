"""However and whenever a program with a run is ended, its processes end within 2 s and nothing stays on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

import psutil
import pytest

from tests import machine

GONE = 2.0  # seconds: what a user may still see of a program that has ended
LONG = 20.0  # seconds a program may take to end by itself, on a busy machine

# How workers spend their time. Each says that it has begun.
WORK = {
    "sleeps": "time.sleep(1000)",
    "computes in C": "sum(itertools.repeat(0, 10**13))",
    "blocks in a send": "return bytes(8 << 20)",  # nobody takes the results
    "swallows all": """
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            pass
    """,
    "is quick": "return x",
}


class Program:
    """A script under watch: every process of it has a mark of its own in its environment."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        self.mark = uuid4().hex
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.shared = set(machine.SHARED_MEMORY.iterdir())
        path = folder / "program.py"
        path.write_text(text)
        self.process = subprocess.Popen(
            [sys.executable, path],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
                machine.MARK[0]: self.mark,
                "TMPDIR": str(self.temporary),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a process group of its own, as a shell gives it
        )
        self.out = self.err = ""

    @property
    def others(self) -> set[int]:
        """The processes of the program but itself."""
        return machine.marked(self.mark) - {self.process.pid}

    @property
    def hub(self) -> int:
        """The process that the program itself started."""
        (child,) = psutil.Process(self.process.pid).children()
        return child.pid

    def has(self, name: str) -> bool:
        """Whether any process of it has said that it came so far."""
        return (self.folder / name).exists()

    def wait_until(self, *names: str) -> None:
        """Wait until it has come so far."""
        deadline = time.monotonic() + LONG
        while not all(map(self.has, names)):
            assert time.monotonic() < deadline, f"did not come to {names} within {LONG} s\n{machine.dump_stacks()}"
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.005)

    def end(self) -> int:
        """Wait for its end; return the exit code."""
        try:
            self.out, self.err = self.process.communicate(timeout=LONG)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end within {LONG} s\n{machine.dump_stacks()}")
        return self.process.returncode

    def check_nothing_is_left(self) -> None:
        """Fail if any of its processes lives after 2 s, or it left a file."""
        deadline = time.monotonic() + GONE
        while (left := self.others) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not left, [psutil.Process(pid).cmdline() for pid in left if psutil.pid_exists(pid)]
        assert list(self.temporary.iterdir()) == []
        new = {("shared memory", path.name) for path in set(machine.SHARED_MEMORY.iterdir()) - self.shared}
        assert {each for each in new if machine.is_ours(each)} == set()

    def close(self) -> None:
        """End what a failed test left running."""
        for pid in machine.marked(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.communicate()


@pytest.fixture
def start(tmp_path):
    """Start a program whose run has two workers that work so; ``then`` is what the program does with the results."""
    programs = []

    def starting(work="is quick", then="for _ in pipe: pass", *, source="itertools.count()", before="", **options):
        text = PROGRAM.format(
            before=dedent(before),
            work=indented(WORK.get(work, work)),
            source=source,
            options=options,
            then=dedent(then),
        )
        programs.append(Program(tmp_path, text))
        return programs[-1]

    yield starting
    for program in programs:
        program.close()


PROGRAM = """
import itertools, os, pathlib, signal, sys, time
from olympipe_like import Pipeline

def say(name):
    pathlib.Path(name).touch()

{before}

def work(x):
    say("works")
{work}

pipe = Pipeline({source}).task(work, workers=2, **{options})
say("starts")
{then}
"""


def indented(text):
    return "\n".join("    " + line for line in dedent(text).strip("\n").splitlines())


def assert_quiet(program):
    """The caller's own traceback may be there, no worker's and no hub's."""
    chained = program.err.count("During handling of the above exception")  # caught in the midst of an import, say
    assert program.err.count("Traceback") <= 1 + chained, program.err
    assert "olympipe-" not in program.err.partition("Traceback")[0], program.err
    assert "pid" not in program.err, program.err
    assert "Exception ignored" not in program.err, program.err


# -- Ctrl-C -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", [work for work in WORK if work != "blocks in a send"])
@pytest.mark.parametrize("to", ["group", "program"])
def test_ctrl_c_ends_a_program_whatever_its_workers_do(start, work, to):
    program = start(work)
    program.wait_until("works")

    if to == "group":
        os.killpg(program.process.pid, signal.SIGINT)
    else:
        program.process.send_signal(signal.SIGINT)

    assert program.end() == -signal.SIGINT
    assert program.err.rstrip().endswith("KeyboardInterrupt")
    assert_quiet(program)
    program.check_nothing_is_left()


def test_ctrl_c_ends_a_program_that_takes_nothing_while_workers_block_in_a_send(start):
    program = start("blocks in a send", then="results = iter(pipe); next(results); say('sleeps'); time.sleep(1000)")
    program.wait_until("sleeps")

    os.killpg(program.process.pid, signal.SIGINT)

    assert program.end() == -signal.SIGINT
    assert_quiet(program)
    program.check_nothing_is_left()


@pytest.mark.parametrize("work", ["sleeps", "computes in C", "is quick"])
@pytest.mark.parametrize("pause", [0.0, 0.01, 0.1, 0.25])
def test_a_second_ctrl_c_while_the_first_is_dealt_with_leaves_nothing(start, work, pause):
    program = start(work)
    program.wait_until("works")

    os.killpg(program.process.pid, signal.SIGINT)
    time.sleep(pause)
    if program.process.poll() is None:
        os.killpg(program.process.pid, signal.SIGINT)

    assert program.end() == -signal.SIGINT
    assert "KeyboardInterrupt" in program.err
    assert "Exception ignored" not in program.err
    program.check_nothing_is_left()


@pytest.mark.parametrize("pause", [0.02, 0.1, 0.2])
def test_a_program_that_catches_ctrl_c_twice_can_run_again(start, pause):
    program = start(
        "computes in C",
        then="""
        try:
            try:
                pipe.wait_for_result()
            finally:
                time.sleep(1)  # the second one comes now, or came while the run ended
        except KeyboardInterrupt:
            print(Pipeline(range(3)).task(str, workers=2).wait_for_result(), flush=True)
            say("again")
            time.sleep(1000)
        """,
    )
    program.wait_until("works")

    os.killpg(program.process.pid, signal.SIGINT)
    time.sleep(pause)
    os.killpg(program.process.pid, signal.SIGINT)
    program.wait_until("again")

    assert len(program.others) == 1  # the idle hub
    program.process.kill()
    program.end()
    assert program.out == "['0', '1', '2']\n"
    program.check_nothing_is_left()


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_ctrl_c_during_the_start_leaves_nothing(start, pause):
    program = start("is quick")
    program.wait_until("starts")
    time.sleep(pause)  # somewhere between the first process and the first item; each place must do

    os.killpg(program.process.pid, signal.SIGINT)

    assert program.end() == -signal.SIGINT
    assert program.err.rstrip().endswith("KeyboardInterrupt")
    assert_quiet(program)
    program.check_nothing_is_left()


def test_ctrl_c_at_any_moment_of_its_start_is_not_the_hubs_affair(start):
    program = start(source="range(3)", then="print(pipe.wait_for_result())")

    # As a terminal does, but to the hub alone, from before its first line on: only the caller may act on it.
    while program.process.poll() is None:
        for child in psutil.Process(program.process.pid).children():
            try:
                child.send_signal(signal.SIGINT)
            except psutil.NoSuchProcess:
                continue  # the program has ended it meanwhile
        time.sleep(0.001)

    assert program.end() == 0, program.err
    assert program.out == "[0, 1, 2]\n"
    assert program.err == ""
    program.check_nothing_is_left()


def test_ctrl_c_while_workers_are_built_leaves_nothing(start):
    program = start(
        before="""
        class Model:
            def __init__(self):
                say("builds")
                time.sleep(1000)

            def apply(self, x):
                return x
        """,
        then="pipe = pipe.class_task(Model, 'apply')\nfor _ in pipe: pass",
    )
    program.wait_until("builds")

    os.killpg(program.process.pid, signal.SIGINT)

    assert program.end() == -signal.SIGINT
    assert_quiet(program)
    program.check_nothing_is_left()


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.1])
def test_ctrl_c_during_the_clean_up_leaves_nothing(start, pause):
    program = start(
        "sleeps",
        source="[1]",
        then="""
        with pipe.run() as run:
            run.frames()
            while not pathlib.Path("works").exists():
                time.sleep(0.01)
            say("leaves")
        """,
    )
    program.wait_until("leaves")
    time.sleep(pause)

    if program.process.poll() is None:
        os.killpg(program.process.pid, signal.SIGINT)

    assert program.end() in (0, -signal.SIGINT)  # it may have been quicker
    assert "Exception ignored" not in program.err
    program.check_nothing_is_left()


def test_ctrl_c_while_workers_close_leaves_nothing(start):
    program = start(
        before="""
        class Model:
            def apply(self, x):
                return x

            def close(self):
                say("closes")
                time.sleep(1000)
        """,
        then="pipe = Pipeline(range(3)).class_task(Model, 'apply', close_method='close')\nfor _ in pipe: pass",
    )
    program.wait_until("closes")

    os.killpg(program.process.pid, signal.SIGINT)

    assert program.end() == -signal.SIGINT
    assert_quiet(program)
    program.check_nothing_is_left()


# -- other signals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
@pytest.mark.parametrize("work", WORK)
def test_nothing_outlives_a_program_that_is_killed_whatever_its_workers_do(start, number, work):
    program = start(work, then="results = iter(pipe); next(results); say('sleeps'); time.sleep(1000)")
    program.wait_until("sleeps" if work in ("blocks in a send", "is quick") else "works")
    assert len(program.others) >= 2

    program.process.send_signal(number)

    assert program.end() == -number
    assert program.err == ""
    program.check_nothing_is_left()


def test_sigterm_to_the_whole_group_leaves_nothing(start):
    program = start("sleeps")
    program.wait_until("works")

    os.killpg(program.process.pid, signal.SIGTERM)

    assert program.end() == -signal.SIGTERM
    assert program.err == ""
    program.check_nothing_is_left()


# Slurm, systemd, timeout and a terminal that closes send them to every process of a program.
TO_ALL = [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]


@pytest.mark.parametrize("number", TO_ALL)
def test_a_program_that_handles_a_signal_to_the_whole_group_gets_what_was_on_its_way(start, number):
    program = start(
        then=f"""
        signal.signal({number}, lambda *_: run.stop())
        results = []
        with pipe.run() as run:
            for result in run:
                results.append(result)
                say("runs")
        print(results == list(range(len(results))), run.report.finished, run.report.to_dict()["balanced"])
        """,
    )
    program.wait_until("runs")

    os.killpg(program.process.pid, number)

    assert program.end() == 0, program.err
    assert program.out == "True True True\n"
    program.check_nothing_is_left()


@pytest.mark.parametrize("number", TO_ALL)
def test_an_idle_hub_outlives_a_signal_that_its_program_handles(start, number):
    program = start(
        source="range(9)",
        then=f"""
        signal.signal({number}, lambda *_: say("handled"))
        pipe.wait_for_completion()
        say("idle")
        while not pathlib.Path("handled").exists():
            time.sleep(0.01)
        print(pipe.wait_for_result())
        """,
    )
    program.wait_until("idle")
    hub = program.hub

    os.killpg(program.process.pid, number)
    program.wait_until("handled")

    assert psutil.Process(hub).status() != psutil.STATUS_ZOMBIE
    assert program.end() == 0, program.err
    assert program.out == "[0, 1, 2, 3, 4, 5, 6, 7, 8]\n"


@pytest.mark.parametrize("number", TO_ALL)
def test_functions_meet_the_signals_of_the_program_as_it_started(start, number):
    program = start(
        f"return signal.getsignal({number}) == signal.SIG_DFL", source="range(3)", then="print(pipe.wait_for_result())"
    )

    assert program.end() == 0, program.err
    assert program.out == "[True, True, True]\n"


def test_workers_that_were_stopped_do_not_outlive_the_program(start):
    program = start("os.kill(os.getpid(), signal.SIGSTOP)")
    program.wait_until("works")

    program.process.kill()

    assert program.end() == -signal.SIGKILL
    program.check_nothing_is_left()


@pytest.mark.parametrize("work", ["sleeps", "computes in C", "blocks in a send", "is quick"])
def test_a_hub_that_is_killed_is_an_error_never_a_short_list_and_takes_its_workers_with_it(start, work):
    program = start(
        work,
        then="""
        try:
            print("results", len(pipe.wait_for_result()), flush=True)
        except BaseException as error:
            print(type(error).__name__, error, flush=True)  # it will be killed
        say("failed")
        time.sleep(1000)
        """,
        source="range(1000)" if work == "blocks in a send" else "itertools.count()",
    )
    program.wait_until("works")
    hub, workers = program.hub, program.others - {program.hub}
    assert workers

    os.kill(hub, signal.SIGKILL)
    program.wait_until("failed")

    deadline = time.monotonic() + GONE
    while (alive := program.others) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive
    program.process.kill()
    program.end()
    assert program.out.startswith("InternalError"), program.out
    program.check_nothing_is_left()


def test_the_error_of_a_killed_hub_says_so_and_the_next_run_has_a_new_one(start):
    program = start(
        "sleeps",
        then="""
        try:
            print("results", len(pipe.wait_for_result()))
        except BaseException as error:
            print(type(error).__name__, error)
        print(Pipeline(range(3)).task(str, workers=2).wait_for_result())
        """,
    )
    program.wait_until("works")

    os.kill(program.hub, signal.SIGKILL)

    assert program.end() == 0, program.err
    first, second = program.out.splitlines()
    assert first.startswith("InternalError")
    assert "hub process ended" in first
    assert second == "['0', '1', '2']"
    assert program.err == ""
    program.check_nothing_is_left()


# -- the program itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", ["sleeps", "computes in C", "swallows all"])
@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("for x in pipe:\n    if x == 5: break", 0),
        ("for x in pipe:\n    if x == 5: raise LookupError('mine')", 1),
        ("for x in pipe:\n    if x == 5: sys.exit(3)", 3),
        ("run = pipe.run().__enter__()\nresults = iter(run)\nnext(results)", 0),
        ("results = iter(pipe)\nnext(results)", 0),
        ("results = iter(pipe)\nnext(results)\nos._exit(4)", 4),
    ],
    ids=["break", "exception", "exit", "open run at exit", "open iterator at exit", "exit without clean-up"],
)
def test_a_program_ends_though_a_stage_function_never_returns(start, work, then, code):
    program = start(f"if x < 6: return x\n{dedent(WORK[work])}", then=then, queue_size=1)

    assert program.end() == code
    if code == 1:
        assert program.err.rstrip().endswith("LookupError: mine")
        assert_quiet(program)
    else:
        assert program.err == ""
    program.check_nothing_is_left()


HANGS = """
import asyncio

def hangs():
    yield from range(3)
    time.sleep(1000)

async def hangs_async():
    for number in range(3):
        yield number
    await asyncio.sleep(1000)

def hangs_while_it_is_closed():
    try:
        yield from range(1000)
    finally:
        time.sleep(1000)
"""


@pytest.mark.parametrize("executor", ["process", "thread"])
@pytest.mark.parametrize("source", ["hangs()", "hangs", "hangs_async()", "hangs_async", "hangs_while_it_is_closed()"])
@pytest.mark.parametrize(
    "then",
    ["for x in pipe:\n    if x == 2: break", "pipe.limit(3).wait_for_result()", "results = iter(pipe)\nnext(results)"],
    ids=["break", "limit", "open iterator at exit"],
)
def test_a_source_that_never_returns_does_not_keep_the_program_alive(start, source, then, executor):
    program = start(before=HANGS, source=source, then=then, executor=executor)

    assert program.end() == 0
    assert program.err == ""
    program.check_nothing_is_left()


@pytest.mark.parametrize("work", ["sleeps", "swallows all"])
def test_a_thread_that_never_returns_does_not_keep_the_program_alive(start, work):
    program = start(
        f"if x < 6: return x\n{dedent(WORK[work])}",
        then="for x in pipe:\n    if x == 5: break",
        executor="thread",
        queue_size=1,
    )

    assert program.end() == 0
    assert program.err == ""
    program.check_nothing_is_left()


def test_an_open_run_in_another_thread_does_not_keep_the_program_alive(start):
    program = start(
        "sleeps",
        then="""
        import threading
        threading.Thread(target=pipe.wait_for_result, daemon=True).start()
        while not pathlib.Path("works").exists():
            time.sleep(0.01)
        """,
    )

    assert program.end() == 0
    assert program.err == ""
    program.check_nothing_is_left()


def test_what_workers_print_before_the_end_is_not_lost_and_nothing_else_is_printed(start):
    program = start(
        "print(f'item {x}\\n', end='', flush=True)\nreturn x", source="range(3)", then="print(pipe.wait_for_result())"
    )

    assert program.end() == 0
    assert sorted(program.out.splitlines()) == ["[0, 1, 2]", "item 0", "item 1", "item 2"]
    assert program.err == ""
    program.check_nothing_is_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_program_that_has_just_ended_a_run_leaves_no_idle_hub(start, number):
    program = start(source="range(3)", then="pipe.wait_for_result(); say('idle'); time.sleep(1000)")
    program.wait_until("idle")
    assert len(program.others) == 1  # kept for the next run

    program.process.send_signal(number)

    assert program.end() == -number
    program.check_nothing_is_left()
