"""What surrounds a run is short, closed, odd or in motion: T37, T40, T43, T52, T55, T56."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import olympipe_like
from tests.faults.cases import ITEMS, Once, assert_first_line, first_line, outcome, raising, two_stages

pytestmark = pytest.mark.timeout(60)


# -- shared memory -------------------------------------------------------------------------------------------

LARGE_ITEMS = """
    from olympipe_like import Pipeline

    def make(number):
        return number, bytes([number]) * (4 << 20)

    def check(item):
        number, data = item
        assert data == bytes([number]) * (4 << 20)
        return number, data[:1]

    pipe = Pipeline(range(20)).task(make, workers=2).task(lambda item: item, workers=2).task(check)
    print(pipe.wait_for_result() == [(number, bytes([number])) for number in range(20)])
    """

MOUNTS = {
    "tiny": "mount -t tmpfs -o size=1m tmpfs /dev/shm",
    "full": "mount -t tmpfs -o size=1m tmpfs /dev/shm; head -c 2m /dev/zero > /dev/shm/full 2>/dev/null || true",
    "read-only": "mount -t tmpfs -o ro tmpfs /dev/shm",
    # A /dev of its own with the four devices that any program needs, and no shm in it.
    "missing": """
        mount -t tmpfs tmpfs {folder}
        for name in null zero urandom random; do touch {folder}/$name; mount --bind /dev/$name {folder}/$name; done
        mount --rbind {folder} /dev
        """,
}


@functools.cache
def may_mount():
    """Whether this machine lets us have mounts of our own."""
    if shutil.which("unshare") is None:
        return False
    probe = ["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /dev/shm"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.fault("T37")
@pytest.mark.parametrize("state", MOUNTS)
def test_the_state_of_dev_shm_does_not_matter(state, script, tmp_path):
    if not may_mount():
        pytest.skip("mounts need privileges that are missing here")
    (tmp_path / "dev").mkdir()
    program = script.write(LARGE_ITEMS)
    mounts = dedent(MOUNTS[state].format(folder=tmp_path / "dev"))
    commands = f"set -e\n{mounts}\nexec {sys.executable} {program}"

    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", commands],
        capture_output=True,
        text=True,
        env=script.environment,
        check=False,
        timeout=50,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


REFUSED = """
    import os

    def refuse(*args):
        raise OSError(24, "Too many open files")

    os.memfd_create = refuse
    """
SHORTAGES = {
    "no memfd": (REFUSED, "memfd_create: [Errno 24] Too many open files"),
    "a system without memfd": (
        """
        import os
        del os.memfd_create
        """,
        "memfd_create: [Errno 38] Function not implemented",
    ),
    # What a write to a memfd gets beyond this size is an error, as when memory is short.
    "writes fail": (
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        """,
        "writing 4194341 bytes to a memfd: [Errno 27] File too large",
    ),
    "writes fail half-way": (
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (6 << 20, 6 << 20))
        """,
        "writing 4194341 bytes to a memfd: [Errno 27] File too large",
    ),
}


@pytest.mark.fault("T37")
@pytest.mark.parametrize("shortage", SHORTAGES)
@pytest.mark.parametrize("executor", ["process", "thread"])
def test_without_shared_memory_large_items_take_the_socket_and_one_warning_says_so(executor, shortage, script):
    act, reason = SHORTAGES[shortage]
    items = LARGE_ITEMS.replace(".task(check)", f".task(check, executor={executor!r})")

    done = script.finish(
        script.start("import warnings; warnings.simplefilter('always')\n" + dedent(act) + dedent(items))
    )

    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    said = [line for line in done.stderr.splitlines() if "Warning" in line]
    assert len(said) == 1, done.stderr
    told = re.sub(r"\d{7} bytes", "4194341 bytes", said[0])  # a pickle's own bytes differ between versions
    assert re.fullmatch(
        rf"{re.escape(str(script.folder))}/script\.py:\d+: RuntimeWarning: no shared memory \({re.escape(reason)}\): "
        "large items of this run travel through sockets, which is slower; the results are the same",
        told,
    ), told


@pytest.mark.fault("T37")
def test_a_run_that_needs_no_shared_memory_does_not_miss_it(script):
    done = script.finish(
        script.start(
            dedent(REFUSED)
            + dedent(
                """
                from olympipe_like import Pipeline
                print(Pipeline(range(2000)).task(abs, workers=2).batch(1000).wait_for_result() != [])
                """
            )
        )
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


@pytest.mark.fault("T37")
def test_a_warning_about_shared_memory_that_is_an_error_ends_the_run(script):
    done = script.finish(
        script.start("import warnings; warnings.simplefilter('error')\n" + dedent(REFUSED) + dedent(LARGE_ITEMS))
    )

    assert done.returncode == 1
    assert "RuntimeWarning: no shared memory" in done.stderr.splitlines()[-1]


# -- standard streams ----------------------------------------------------------------------------------------


@pytest.mark.fault("T40")
def test_twenty_megabytes_on_each_stream_arrive_whole(script):
    done = script.finish(
        script.start(
            """
            import sys
            from olympipe_like import Pipeline

            def talk(number):
                sys.stdout.write("o" * 99_999 + "\\n")
                sys.stderr.write("e" * 99_999 + "\\n")
                return number

            print(Pipeline(range(200)).task(talk, workers=2).wait_for_result() == list(range(200)))
            """
        )
    )

    assert done.returncode == 0
    assert (done.stdout.count("o"), done.stderr.count("e")) == (199 * 99_999 + 99_999, 200 * 99_999)
    assert len(done.stdout) == 200 * 100_000 + len("True\n")
    assert len(done.stderr) == 200 * 100_000


CLOSED = """
    from olympipe_like import Pipeline

    def talk(number):
        print("talk", number)
        return number

    numbers = Pipeline(range(200)).task(talk, workers=2).task(lambda number: number).wait_for_result()
    open("result", "w").write(str(numbers == list(range(200))))
    """


@pytest.mark.fault("T40")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_not_matter(closed, script, tmp_path):
    program = script.write(CLOSED)

    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} {program} {closed}"],
        cwd=tmp_path,
        env=script.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert (tmp_path / "result").read_text() == "True", done.stderr
    assert done.stderr == ""
    assert (len(done.stdout) == 0) == (">&-" in closed.replace("2>&-", ""))


# -- folders that nobody can write to ------------------------------------------------------------------------


def test_a_system_without_any_folder_to_write_to_runs_pipelines(script):
    # A container whose file systems are read-only, or full. Closures are more than plain pickle takes.
    out = script(
        """
        import os, resource, tempfile
        from olympipe_like import Pipeline

        for name in ("TMPDIR", "TEMP", "TMP"):
            os.environ[name] = "/dev/null/none"
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            print(tempfile.gettempdir())
        except FileNotFoundError:
            print("no folder")

        def adding(number):
            return lambda item: item + number

        print(Pipeline(range(4)).task(adding(1), workers=2).task(lambda item: bytes(item)).wait_for_result())
        """
    )

    assert out == "no folder\n[b'\\x00', b'\\x00\\x00', b'\\x00\\x00\\x00', b'\\x00\\x00\\x00\\x00']\n"


# -- locks and threads ---------------------------------------------------------------------------------------


@pytest.mark.fault("T43")
@pytest.mark.parametrize("lock", ["logging.getLogger().handlers[0].lock", "shared.lock"])
def test_locks_that_other_threads_hold_while_workers_start_do_not_matter(lock, script):
    script.write(
        "import threading\nlock = threading.RLock()\n\ndef use(x):\n    with lock:\n        return x\n", "shared.py"
    )

    out = script(
        f"""
        import logging, threading
        import shared
        from olympipe_like import Pipeline

        logging.basicConfig(filename="log.txt", level=logging.INFO)

        def work(value):
            logging.debug("item %s", value)  # a record that the caller wants would wait for its locked handler
            return shared.use(value)

        held, done = threading.Event(), threading.Event()

        def hold():
            with {lock}:
                held.set()
                done.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        results = Pipeline(range(200)).task(work, workers=2).task(work, workers=2).wait_for_result()
        done.set()
        thread.join()
        print(results == list(range(200)))
        """
    )

    assert out == "True\n"


# -- descriptors and processes -------------------------------------------------------------------------------

SHORT_OF_DESCRIPTORS = """
    import resource
    from olympipe_like import Pipeline, PipelineExecutionError

    resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
    try:
        print(Pipeline(range(9)).task(abs, workers={workers}).task(abs, workers=2).wait_for_result())
    except (PipelineExecutionError, OSError) as error:
        print(type(error).__name__, str(error).splitlines()[0])
    """


@pytest.mark.fault("T52")
def test_a_run_of_a_few_workers_needs_no_more_than_64_descriptors(script):
    out = script(SHORT_OF_DESCRIPTORS.format(limit=64, workers=4))

    assert out == "[0, 1, 2, 3, 4, 5, 6, 7, 8]\n"


@pytest.mark.fault("T52")
def test_too_few_descriptors_for_all_workers_are_an_error_that_says_which_one_could_not_start(script):
    process = script.start(SHORT_OF_DESCRIPTORS.format(limit=64, workers=60))

    done = script.finish(process)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.fullmatch(
        r"WorkerLost stage 1/2 'abs': worker could not be started: \[Errno 24\] Too many open files"
        r"  \[worker 1\.\d+\]\n",
        done.stdout,
    ), done.stdout


@pytest.mark.fault("T52")
@pytest.mark.parametrize("limit", range(6, 20))
def test_however_few_descriptors_there_are_a_run_works_or_says_what_is_missing(limit, script):
    done = script.finish(script.start(SHORT_OF_DESCRIPTORS.format(limit=limit, workers=2)))

    text = done.stdout + done.stderr
    assert "[0, 1, 2, 3, 4, 5, 6, 7, 8]" in text or "Too many open files" in text, text


@pytest.mark.fault("T52")
def test_a_caller_with_thousands_of_open_files_can_watch_and_await_its_runs(script):
    out = script(
        """
        import asyncio, os, resource
        from olympipe_like import Pipeline

        resource.setrlimit(resource.RLIMIT_NOFILE, (3000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]

        async def awaited():
            return [item async for item in Pipeline(range(9)).task(abs, workers=2)]

        print(Pipeline(range(9)).task(abs, workers=2).wait_for_result(progress=lambda report: None))
        print(asyncio.run(awaited()))
    """
    )

    assert out == "[0, 1, 2, 3, 4, 5, 6, 7, 8]\n" * 2


# -- what a stage function does to its process ---------------------------------------------------------------


@pytest.mark.fault("T55")
def test_a_stage_function_may_fork_and_wait():
    def stage_two_bad(value):
        import os

        pid = os.fork()
        if pid == 0:
            os._exit(value % 7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    arrived, error = outcome(two_stages(stage_two_bad))

    assert error is None
    assert arrived == [value % 7 for value in ITEMS]


@pytest.mark.fault("T55")
def test_a_child_that_a_stage_function_forked_and_left_does_not_hold_up_the_run(tmp_path, eventually):
    def stage_two_bad(value):
        import os
        import time

        if value == ITEMS[100]:
            pid = os.fork()
            if pid == 0:
                (tmp_path / "child").write_text(str(os.getpid()))
                while not (tmp_path / "run is over").exists():
                    time.sleep(0.01)
                (tmp_path / "child ended").touch()
                os._exit(0)
        return value

    arrived, error = outcome(two_stages(stage_two_bad))
    ended_first = (tmp_path / "child ended").exists()
    (tmp_path / "run is over").touch()

    assert error is None
    assert arrived == list(ITEMS)
    assert not ended_first
    eventually((tmp_path / "child ended").exists)


@pytest.mark.fault("T55")
def test_a_child_that_comes_back_from_the_stage_function_answers_nothing_in_its_parents_name():
    def stage_two_bad(value):
        import os

        if value % 10 == 0:
            os.fork()
        return value

    assert outcome(two_stages(stage_two_bad)) == (list(ITEMS), None)


@pytest.mark.fault("T55")
def test_a_daemon_thread_that_a_stage_function_starts_does_not_hold_up_the_run():
    def stage_two_bad(value):
        import threading
        import time

        if value == ITEMS[100]:
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        return value

    assert outcome(two_stages(stage_two_bad)) == (list(ITEMS), None)


@pytest.mark.fault("T55")
def test_an_ordinary_thread_that_a_stage_function_starts_does_not_hold_up_the_run():
    def stage_two_bad(value):
        import threading
        import time

        if value == ITEMS[100]:
            threading.Thread(target=time.sleep, args=(600,)).start()
        return value

    assert outcome(two_stages(stage_two_bad)) == (list(ITEMS), None)


@pytest.mark.fault("T55")
def test_an_alarm_that_a_stage_function_handles_is_its_own_affair():
    def stage_two_bad(value):
        import signal
        import time

        def ring(number, frame):
            raise TimeoutError("user-alarm")

        if value == ITEMS[100]:
            signal.signal(signal.SIGALRM, ring)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            time.sleep(30)
        return value

    arrived, error = outcome(two_stages(stage_two_bad))

    assert arrived == list(ITEMS[:100])
    assert isinstance(error, TimeoutError)
    assert_first_line(error, "TimeoutError: user-alarm")


@pytest.mark.fault("T55")
def test_an_alarm_that_nobody_handles_is_the_workers_death(tmp_path):
    once = Once(tmp_path)

    def stage_two_bad(value):
        import signal
        import time

        if value == ITEMS[100] and once():
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            time.sleep(30)
        return value

    assert outcome(two_stages(stage_two_bad)) == (list(ITEMS), None)
    assert once.happened


@pytest.mark.fault("T55")
def test_a_stage_function_that_closes_every_descriptor_loses_its_worker_and_no_item(tmp_path):
    once = Once(tmp_path)

    def stage_two_bad(value):
        import os

        if value == ITEMS[100] and once():
            os.closerange(3, 4096)
        return value

    arrived, error = outcome(two_stages(stage_two_bad))

    assert error is None, first_line(error)
    assert arrived == list(ITEMS)


# -- the clock -----------------------------------------------------------------------------------------------


@pytest.mark.fault("T56")
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_in_the_middle_of_a_run_has_no_effect(hours, monkeypatch):
    import time

    real = time.time

    def stage_two_bad(value):
        if value == ITEMS[50]:
            time.time = lambda: real() + hours * 3600
        return value

    arrived = []
    with two_stages(stage_two_bad).run() as run:
        for value in run:
            arrived.append(value)
            if value == ITEMS[20]:
                monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)

    assert arrived == list(ITEMS)
    assert 0 <= run.report.elapsed < 60


@pytest.mark.fault("T56")
def test_nothing_in_the_library_asks_for_the_time_of_day():
    asks = re.compile(r"\btime\.time\(|from time import .*\btime\b|\bdatetime\b|CLOCK_REALTIME")
    package = Path(olympipe_like.__file__).parent

    found = [path.name for path in sorted(package.rglob("*.py")) if asks.search(path.read_text())]

    assert found == ["dead_letters.py"]  # which tells people when an item failed, and decides nothing by it


@pytest.mark.fault("T55")
def test_a_stage_function_that_changes_signal_handlers_changes_only_its_worker():
    def stage_two_bad(value):
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        return raising(lambda: ValueError("user-boom"))(value)

    arrived, error = outcome(two_stages(stage_two_bad))

    assert arrived == list(ITEMS[:100])
    assert_first_line(error, "ValueError: user-boom")


def test_a_program_that_ignores_the_deaths_of_its_children_runs_pipelines(script):
    out = script(
        """
        import os, signal
        from olympipe_like import Pipeline

        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # spares a server its zombies, and is handed down

        def work(number):
            if number == 3 and not os.path.exists("died"):
                open("died", "w").close()
                os._exit(1)
            return os.waitstatus_to_exitcode(os.system(f"exit {number}"))

        pipe = Pipeline(range(6)).task(work, workers=2)
        print(pipe.wait_for_result(), pipe.limit(2).wait_for_result())
        """
    )

    assert out == "[0, 1, 2, 3, 4, 5] [0, 1]\n"
