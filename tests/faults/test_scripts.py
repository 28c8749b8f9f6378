"""Programs: signals at bad moments, threads that end, functions that cannot travel, every start method of the caller.

T30 to T34, T41, T42, T48 to T50. The library forks its workers from a process of its own, whatever the caller is.
"""

from __future__ import annotations

import os
import re
import signal
import time

import psutil
import pytest

pytestmark = pytest.mark.timeout(60)


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def started(script):
    return [int(path.name.split("-")[1]) for path in script.folder.glob("started-*")]


# -- signals -------------------------------------------------------------------------------------------------

CLOSING_SLOWLY = """
    import itertools, os, pathlib, time
    from olympipe_like import Pipeline

    class Model:
        def use(self, value):
            pathlib.Path(f"started-{os.getpid()}").touch()
            time.sleep(0.01)
            return value

        def close(self):
            pathlib.Path(f"closing-{os.getpid()}").touch()
            time.sleep(30)

    def source():
        try:
            yield from itertools.count()
        finally:
            pathlib.Path("source-closed").touch()

    for value in Pipeline(source()).class_task(Model, "use", close_method="close", workers=2):
        pass
    """


@pytest.mark.fault("T31")
@pytest.mark.parametrize("pause", [0.0, 0.05, 0.15])
def test_a_second_ctrl_c_during_the_clean_up_leaves_nothing_either(pause, script, eventually):
    process = script.start(CLOSING_SLOWLY)
    eventually(lambda: len(started(script)) == 2, 15)
    family = psutil.Process(process.pid).children(recursive=True)

    process.send_signal(signal.SIGINT)
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    done = script.finish(process)

    assert done.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in done.stderr
    eventually(lambda: all(is_gone(member.pid) for member in family))


@pytest.mark.fault("T33")
@pytest.mark.parametrize(
    "busy",
    [
        "sum(range(10**12))",
        "time.sleep(600)",
        "threading.Lock().acquire() and threading.Event().wait()",
        "__import__('ctypes').CDLL(None).pause()",
    ],
    ids=["computes in C", "sleeps", "waits for ever", "waits in C"],
)
def test_no_worker_outlives_a_caller_that_is_killed_whatever_it_does(busy, script, eventually):
    process = script.start(
        f"""
        import os, pathlib, threading, time
        from olympipe_like import Pipeline

        def work(value):
            pathlib.Path(f"started-{{os.getpid()}}").touch()
            {busy}

        Pipeline(range(9)).task(work, workers=2).wait_for_result()
        """
    )
    eventually(lambda: len(started(script)) == 2, 15)
    family = psutil.Process(process.pid).children(recursive=True)
    assert {member.pid for member in family} >= set(started(script))

    process.kill()
    process.wait(5)

    eventually(lambda: all(is_gone(member.pid) for member in family))
    script.finish(process)


@pytest.mark.fault("T33")
def test_no_worker_outlives_a_caller_killed_while_nobody_takes_its_results(script, eventually):
    process = script.start(
        """
        import itertools, os, pathlib, time
        from olympipe_like import Pipeline

        def work(value):
            pathlib.Path(f"started-{os.getpid()}").touch()
            return bytes(300 << 10)

        with Pipeline(itertools.count()).task(work, workers=2, queue_size=4).run(queue_size=4) as run:
            next(iter(run))
            pathlib.Path("taken").touch()
            time.sleep(600)
        """
    )
    eventually((script.folder / "taken").exists, 15)
    family = psutil.Process(process.pid).children(recursive=True)

    os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)

    eventually(lambda: all(is_gone(member.pid) for member in family))
    script.finish(process)


# -- threads -------------------------------------------------------------------------------------------------


@pytest.mark.fault("T34")
def test_a_run_begun_in_a_thread_outlives_the_thread(script):
    out = script(
        """
        import threading
        from olympipe_like import Pipeline

        results = []

        def begin():
            results.append(iter(Pipeline(range(500)).task(abs, workers=2).task(abs, workers=2)))
            results.append(next(results[0]))

        thread = threading.Thread(target=begin)
        thread.start()
        thread.join()
        print([results[1], *results[0]] == list(range(500)))
        """
    )

    assert out == "True\n"


@pytest.mark.fault("T42")
def test_runs_in_many_threads_at_once_give_each_its_own(script):
    out = script(
        """
        from concurrent.futures import ThreadPoolExecutor
        from olympipe_like import Pipeline

        def run(number):
            return Pipeline(range(50)).task(lambda value: (number, value)).wait_for_result()

        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(run, range(12)))
        print(found == [[(number, value) for value in range(50)] for number in range(12)])
        """
    )

    assert out == "True\n"


# -- pipelines within pipelines ------------------------------------------------------------------------------


@pytest.mark.fault("T41")
@pytest.mark.parametrize("executor", ["process", "thread"])
def test_a_pipeline_inside_a_stage_function_that_fails_names_both_stages(executor, script):
    out = script(
        f"""
        from olympipe_like import Pipeline, StageFailed

        def inner(value):
            if value == 3:
                raise ValueError("user-boom")
            return value

        def outer(value):
            return sum(Pipeline(range(value)).task(inner, workers=2).wait_for_result())

        try:
            Pipeline(range(9)).task(outer, workers=2, executor={executor!r}).wait_for_result()
        except ValueError as error:
            text = str(error)
            print(isinstance(error, StageFailed), error.position, type(error.__cause__).__name__, "in inner" in text)
            print(text.splitlines()[0])
        """
    )

    assert re.fullmatch(
        r"True item 4 StageFailed\[ValueError\] True\n"
        r"stage 1/1 'outer': StageFailed\[ValueError\]: stage 1/1 'inner': ValueError: user-boom — item 3: 3"
        r"  \[worker 1\.[01], pid \d+\] — item 4: 4  \[worker 1\.[01], .*\]\n",
        out,
    ), out


@pytest.mark.fault("T41")
def test_a_worker_killed_inside_a_pipeline_inside_a_stage_function_costs_nothing(script):
    out = script(
        """
        import os, signal
        from olympipe_like import Pipeline

        def inner(value):
            try:
                os.close(os.open("happened", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return value
            os.kill(os.getpid(), signal.SIGKILL)

        def outer(value):
            return sum(Pipeline(range(value)).task(inner, workers=2).wait_for_result())

        print(Pipeline(range(6)).task(outer, workers=2).wait_for_result(), os.path.exists("happened"))
        """
    )

    assert out == "[0, 0, 1, 3, 6, 10] True\n"


@pytest.mark.fault("T41")
def test_pipelines_within_pipelines_end_with_a_caller_that_is_killed(script, eventually):
    process = script.start(
        """
        import os, pathlib, time
        from olympipe_like import Pipeline

        def inner(value):
            pathlib.Path(f"started-{os.getpid()}").touch()
            time.sleep(600)

        def outer(value):
            return Pipeline(range(9)).task(inner, workers=2).wait_for_result()

        Pipeline(range(9)).task(outer, workers=2).wait_for_result()
        """
    )
    eventually(lambda: len(started(script)) == 4, 15)
    family = psutil.Process(process.pid).children(recursive=True)

    process.kill()
    process.wait(5)

    eventually(lambda: all(is_gone(member.pid) for member in family))
    assert all(map(is_gone, started(script)))
    script.finish(process)


# -- functions that cannot travel ----------------------------------------------------------------------------


@pytest.mark.fault("T49")
def test_a_function_that_cannot_be_sent_is_refused_with_the_variable_at_fault(script):
    out = script(
        """
        from olympipe_like import Pipeline, PlanTypeError

        def make():
            letters = (letter for letter in "abc")

            def f(value):
                return next(letters)

            return f

        try:
            Pipeline(range(9)).task(make(), workers=2).task(abs).wait_for_result()
        except PlanTypeError as error:
            print(error)
        """
    )

    assert out == (
        "stage 1/2 'f' cannot be sent to its workers: cannot pickle 'generator' object (captured variable 'letters'). "
        'Make it inside the function or with class_task, or give the stage executor="thread"\n'
    )


# -- every start method --------------------------------------------------------------------------------------

CALLER = """
    import multiprocessing, os, signal, sys
    from olympipe_like import Pipeline, WorkerLost

    def double(value):
        return value * 2

    def raising(value):
        if value == 100:
            raise ValueError("user-boom")
        return value

    def dying_once(value):
        if value == 100:
            try:
                os.close(os.open(f"happened-{os.getppid()}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return value
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    def dying(value):
        if value == 100:
            os._exit(1)
        return value

    def run(bad):
        arrived = []
        try:
            for value in Pipeline(range(200)).task(double, workers=2).task(lambda x: x // 2).task(bad, workers=2):
                arrived.append(value)
        except Exception as error:
            return len(arrived), type(error).__name__, str(error).splitlines()[0].split("  [")[0]
        return arrived == list(range(200))

    def caller():
        print(run(abs), run(dying_once), run(raising), run(dying)[1:], sep="\\n", flush=True)
    """
EXPECTED = [
    "True",
    "True",
    "(100, 'StageFailed[ValueError]', \"stage 3/3 'raising': ValueError: user-boom — item 100: 100\")",
]
LOST = r"\('WorkerLost', \"stage 3/3 'dying': worker exited with code 1; gave up after 3 attempts — .*\"\)"


def assert_as_expected(out):
    lines = out.splitlines()
    assert lines[:3] == EXPECTED
    assert re.fullmatch(LOST, lines[3]), lines[3]
    assert len(lines) == 4


@pytest.mark.fault("T50")
@pytest.mark.parametrize("daemon", [False, True], ids=["", "daemonic"])
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_faults_are_the_same_in_a_caller_that_multiprocessing_started(method, daemon, script):
    out = script(
        CALLER
        + f"""
    if __name__ == "__main__":
        process = multiprocessing.get_context({method!r}).Process(target=caller, daemon={daemon})
        process.start()
        process.join()
        sys.exit(process.exitcode)
    """
    )

    assert_as_expected(out)


@pytest.mark.fault("T50")
def test_faults_are_the_same_in_a_caller_forked_from_one_that_has_run_a_pipeline(script):
    out = script(
        CALLER
        + """
    if __name__ == "__main__":
        assert run(abs)
        process = multiprocessing.get_context("fork").Process(target=caller)
        process.start()
        process.join()
        assert run(abs)
        sys.exit(process.exitcode)
    """
    )

    assert_as_expected(out)


@pytest.mark.fault("T50")
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_the_workers_of_a_pool_may_run_pipelines(method, script):
    out = script(
        CALLER
        + f"""
    def total(number):
        return sum(Pipeline(range(number)).task(double, workers=2).wait_for_result())

    if __name__ == "__main__":
        from concurrent.futures import ProcessPoolExecutor

        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context({method!r})) as pool:
            print(list(pool.map(total, range(6))))
    """
    )

    assert out == "[0, 0, 2, 6, 12, 20]\n"


@pytest.mark.fault("T50")
def test_a_script_without_a_guard_starts_no_more_processes_than_it_asked_for(script, eventually):
    process = script.start(
        """
        import os, pathlib, time
        from olympipe_like import Pipeline

        pathlib.Path(f"main-{os.getpid()}").touch()

        def work(value):
            pathlib.Path(f"started-{os.getpid()}").touch()
            while not os.path.exists("go on"):
                time.sleep(0.01)
            return value

        print(Pipeline(range(9)).task(work, workers=2).task(abs, workers=2).wait_for_result())
        """
    )
    eventually(lambda: len(started(script)) == 2, 15)
    family = psutil.Process(process.pid).children(recursive=True)
    (script.folder / "go on").touch()

    done = script.finish(process)

    assert done.stdout == "[0, 1, 2, 3, 4, 5, 6, 7, 8]\n"
    assert len(family) == 5  # a hub and four workers
    assert len(list(script.folder.glob("main-*"))) == 1
