"""However a run ends, it ends soon and leaves nothing behind. That nothing is left is checked after every test."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import signal
import sys
import threading
import time

import psutil
import pytest

from olympipe_like import Pipeline, RunInUse
from olympipe_like._executors import threads
from olympipe_like._runtime import hub_client
from olympipe_like._runtime.engines import open_engines
from olympipe_like._runtime.hub_run import HubRun
from olympipe_like._transport.connection import Connection
from olympipe_like._transport.messages import Consumed

executors = pytest.mark.parametrize("executor", ["process", "thread", "inline"])
SOON = 5.0  # seconds, on a busy machine; the library itself takes some hundredths


def worker_ids(**options):
    """Return an endless pipeline of the process ids of its two workers."""
    return Pipeline(itertools.count()).task(lambda x: os.getpid(), workers=2, **options)


def is_gone(pid):
    try:
        # A zombie is gone; whoever inherited it may take its time.
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def children():
    return psutil.Process().children(recursive=True)


# -- the consumer ends it ------------------------------------------------------------------------------------


def test_building_a_pipeline_starts_nothing():
    before = (len(children()), threading.active_count())

    pipe = worker_ids()
    left, right = pipe.filter(lambda x: True).split(lambda x: (x, x), n=2)
    both = left.gather(right.batch(3)).reduce(0, lambda x, acc: acc)
    text = repr(both) + both.explain()

    assert (len(children()), threading.active_count()) == before
    assert "gather" in text


def test_leaving_a_loop_ends_the_workers(eventually):
    for pid in worker_ids():  # noqa: B007
        break

    assert pid != os.getpid()
    eventually(lambda: is_gone(pid))


def test_an_exception_in_the_loop_ends_the_workers_and_is_not_changed(eventually):
    seen = []

    def consume():
        for pid in worker_ids():
            seen.append(pid)
            raise LookupError("the consumer's own")

    with pytest.raises(LookupError, match="the consumer's own") as caught:
        consume()
    assert type(caught.value) is LookupError
    del caught

    eventually(lambda: gc.collect() >= 0 and is_gone(seen[0]))


def test_an_iterator_that_is_forgotten_ends_the_workers(eventually):
    iterator = iter(worker_ids())
    pid = next(iterator)
    assert not is_gone(pid)

    del iterator

    eventually(lambda: gc.collect() >= 0 and is_gone(pid))


def test_an_iterator_in_a_reference_cycle_that_is_forgotten_ends_the_workers(eventually):
    cycle = [iter(worker_ids())]
    cycle.append(cycle)
    pid = next(cycle[0])

    del cycle

    eventually(lambda: gc.collect() >= 0 and is_gone(pid))


def test_an_iterator_can_be_closed(eventually):
    iterator = iter(worker_ids())
    pid = next(iterator)

    iterator.close()

    eventually(lambda: is_gone(pid))
    with pytest.raises(StopIteration):
        next(iterator)


def test_an_iterator_that_was_never_asked_leaves_nothing():
    iter(worker_ids())


def test_an_exhausted_iterator_stays_exhausted():
    iterator = iter(Pipeline(range(2)).task(str))

    assert list(iterator) == ["0", "1"]
    assert list(iterator) == []
    with pytest.raises(StopIteration):
        next(iterator)


def test_leaving_an_async_loop_ends_the_workers(eventually):
    seen = []

    async def consume():
        async for pid in worker_ids():
            seen.append(pid)
            break

    asyncio.run(consume())

    eventually(lambda: gc.collect() >= 0 and is_gone(seen[0]))


def test_cancelling_the_task_of_an_async_loop_ends_the_workers(eventually):
    seen, first = [], None

    async def consume():
        async for pid in worker_ids(queue_size=1):
            seen.append(pid)
            first.set()
            await asyncio.sleep(0.001)

    async def main():
        nonlocal first
        first = asyncio.Event()
        task = asyncio.create_task(consume())
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    eventually(lambda: gc.collect() >= 0 and is_gone(seen[0]))


def test_an_async_loop_lets_other_tasks_run_while_it_waits():
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.005)

    async def main():
        task = asyncio.create_task(others())
        results = [x async for x in Pipeline([1, 2]).task(lambda x: time.sleep(0.15) or x)]
        task.cancel()
        return results

    assert asyncio.run(main()) == [1, 2]
    assert turns >= 5  # some 60 on an idle machine, none or one where the loop is blocked


@pytest.mark.parametrize("timeout", [None, 60])
def test_leaving_a_loop_runs_the_finally_of_a_coroutine_and_then_closes_its_instance(timeout, eventually):
    log = []

    class Session:
        async def fetch(self, number):
            try:
                await asyncio.sleep(60 * number)
            finally:
                await asyncio.sleep(0.01)
                log.append(f"fetched {number}")
            return number

        def close(self):
            log.append("closed")

    for _ in Pipeline(range(2)).class_task(Session, "fetch", close_method="close", timeout=timeout):
        break

    eventually(lambda: log == ["fetched 0", "fetched 1", "closed"])


def test_leaving_a_loop_does_not_wait_for_a_coroutine_that_will_not_be_cancelled(eventually):
    async def fetch(number):
        while number:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        return number

    begin = time.monotonic()
    for _ in Pipeline(range(2)).task(fetch):
        break

    assert time.monotonic() - begin < SOON
    eventually(lambda: not any(thread.name == "olympipe-async" for thread in threading.enumerate()))
    gc.collect()


@executors
def test_leaving_the_block_of_a_run_ends_it(executor):
    with worker_ids().run(executor=executor) as run:
        first = next(iter(run))

    assert (first == os.getpid()) == (executor != "process")


def test_leaving_the_block_of_a_run_ends_it_though_nobody_took_an_item():
    with worker_ids().run():
        pass


def test_an_exception_in_the_block_of_a_run_is_not_changed():
    with pytest.raises(LookupError, match="the consumer's own"), worker_ids().run() as run:
        raise LookupError("the consumer's own", next(iter(run)))


@pytest.mark.parametrize("sleep", [0.01, 30])
def test_leaving_a_loop_does_not_wait_for_items_in_work(sleep):
    def work(x):
        if x > 0:
            time.sleep(sleep)
        return x

    begin = time.monotonic()
    for _ in Pipeline(itertools.count()).task(work, workers=3):
        break

    assert time.monotonic() - begin < SOON


def test_leaving_a_loop_does_not_wait_for_a_source_that_blocks():
    release = threading.Event()

    def blocking():
        yield 1
        release.wait(20)

    begin = time.monotonic()
    for _ in Pipeline(blocking()).task(lambda x: x):
        break
    took = time.monotonic() - begin
    release.set()

    assert took < SOON


# -- sources are closed --------------------------------------------------------------------------------------


def endings(seen):
    """Yield numbers for ever and note how it ends."""
    try:
        yield from itertools.count()
    finally:
        seen.append(threading.current_thread().name)


@executors
def test_leaving_a_loop_runs_the_finally_of_the_callers_generator(executor, eventually):
    seen = []

    with Pipeline(endings(seen)).task(lambda x: x).run(executor=executor) as run:
        for x in run:
            if x == 5:
                break

    eventually(lambda: seen)


def test_leaving_a_plain_loop_runs_the_finally_of_the_callers_generator(eventually):
    seen = []

    for x in Pipeline(endings(seen)).task(lambda x: x):
        if x == 5:
            break

    eventually(lambda: seen)


def test_a_limit_runs_the_finally_of_the_callers_generator(eventually):
    seen = []

    Pipeline(endings(seen)).task(lambda x: x).limit(3).wait_for_completion()

    eventually(lambda: seen)


def test_an_error_runs_the_finally_of_the_callers_generator(eventually):
    seen = []

    with pytest.raises(ZeroDivisionError):
        Pipeline(endings(seen)).task(lambda x: 1 // (5 - x)).wait_for_completion()

    eventually(lambda: seen)


def test_leaving_a_loop_runs_the_finally_of_a_generator_in_its_own_process(tally, eventually):
    def source(tally):
        try:
            yield from itertools.count()
        finally:
            tally.hit("closed")

    for x in Pipeline(source, tally).task(lambda x: x):
        if x == 5:
            break

    eventually(lambda: tally.count("closed"))


def test_leaving_a_loop_runs_the_finally_of_an_async_generator(eventually):
    seen = []

    async def source():
        try:
            for number in itertools.count():
                yield number
        finally:
            seen.append("closed")

    for x in Pipeline(source()).task(lambda x: x):
        if x == 5:
            break

    eventually(lambda: seen)


# -- stop() --------------------------------------------------------------------------------------------------


@executors
@pytest.mark.parametrize("drain", [True, False])
def test_stop_ends_an_endless_run_after_a_run_of_neighbours(executor, drain):
    got = []

    with Pipeline(itertools.count()).task(lambda x: x).run(executor=executor) as run:
        for x in run:
            got.append(x)
            if x == 20:
                run.stop(drain=drain)

    assert got == list(range(len(got)))
    assert len(got) >= 21


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_stop_with_drain_finishes_what_the_source_gave(executor):
    pulled, got = [], []

    def source():
        for number in itertools.count():
            pulled.append(number)
            yield number

    with Pipeline(source()).task(lambda x: x, queue_size=5, executor=executor).batch(4).run() as run:
        for batch in run:
            got.extend(batch)
            if batch[0] == 40:
                run.stop(drain=True)

    assert got == pulled


def test_stop_without_drain_drops_what_is_in_work():
    def work(x):
        if x > 3:
            time.sleep(30)
        return x

    begin = time.monotonic()
    with Pipeline(itertools.count()).task(work, workers=2).run() as run:
        got = []
        for x in run:
            got.append(x)
            if x == 3:
                run.stop(drain=False)

    assert got == [0, 1, 2, 3]
    assert time.monotonic() - begin < SOON


@pytest.mark.parametrize("drain", [True, False])
def test_stop_from_another_thread_ends_the_loop(drain):
    with Pipeline(itertools.count()).task(lambda x: x).run() as run:
        stopper = threading.Thread(target=lambda: run.stop(drain=drain))
        for x in run:
            if x == 10:
                stopper.start()
        stopper.join()


def test_stop_a_second_time_and_after_the_end_is_allowed():
    with Pipeline(range(3)).task(lambda x: x).run() as run:
        got = list(run)
        run.stop()
        run.stop(drain=False)

    run.stop()
    assert got == [0, 1, 2]


# -- two loops over one run ----------------------------------------------------------------------------------


class HeldBack:
    """A run whose source waits until a loop was refused; ``take`` loops over it."""

    def __init__(self):
        self.refused = threading.Event()
        self.outcomes = []
        self.run = Pipeline(self.source()).task(str, executor="thread").run()

    def source(self):
        assert self.refused.wait(20)
        yield from range(1000)

    def take(self):
        try:
            self.outcomes.append(list(self.run))
        except RunInUse as error:
            self.refused.set()
            self.outcomes.append(error)

    async def take_later(self):
        try:
            self.outcomes.append([value async for value in self.run])
        except RunInUse as error:
            self.refused.set()
            self.outcomes.append(error)

    def assert_one_was_refused_and_the_other_got_all(self):
        error, results = self.outcomes
        assert "another loop is waiting for the next result of this run" in str(error)
        assert results == [str(number) for number in range(1000)]
        assert self.run.report.finished


@pytest.mark.parametrize("entered", [True, False])
def test_of_two_async_loops_that_wait_for_one_run_the_second_is_refused(entered):
    held = HeldBack()

    async def main():
        await asyncio.gather(held.take_later(), held.take_later())

    with held.run if entered else contextlib.nullcontext():
        asyncio.run(main())

    held.assert_one_was_refused_and_the_other_got_all()


@pytest.mark.parametrize("entered", [True, False])
def test_of_two_threads_that_wait_for_one_run_the_second_is_refused(entered):
    held = HeldBack()

    with held.run if entered else contextlib.nullcontext():
        both = [threading.Thread(target=held.take) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()

    held.assert_one_was_refused_and_the_other_got_all()


@executors
def test_loops_that_take_turns_share_the_results_of_a_run(executor):
    with Pipeline(range(100)).task(lambda x: x, workers=2).run(executor=executor) as run:
        first = next(iter(run))
        pairs = list(zip(run, run, strict=False))

    assert [first, *itertools.chain.from_iterable(pairs)] == list(range(99))


def test_an_async_loop_under_with_goes_on_where_a_plain_one_was_left():
    async def rest(run):
        return [value async for value in run]

    with Pipeline([list(range(8))]).unbatch().run(executor="inline") as run:
        first = next(iter(run))
        others = asyncio.run(rest(run))

    assert [first, *others] == list(range(8))


# -- an error ends it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_an_error_while_all_queues_are_full_and_the_source_endless_ends_the_run(executor):
    def slow_and_bad(x):
        time.sleep(0.02)
        if x == 10:
            raise ValueError("user-boom")
        return x

    pipe = Pipeline(itertools.count()).task(lambda x: x, workers=2, queue_size=2, executor=executor)
    pipe = pipe.task(slow_and_bad, queue_size=2, executor=executor).task(lambda x: x, executor=executor)

    begin = time.monotonic()
    with pytest.raises(ValueError, match="user-boom"):
        pipe.wait_for_result(queue_size=2)

    assert time.monotonic() - begin < SOON


def test_an_error_does_not_wait_for_other_workers_in_work():
    def work(x):
        if x == 0:
            raise ValueError("user-boom")
        time.sleep(30)

    begin = time.monotonic()
    with pytest.raises(ValueError, match="user-boom"):
        Pipeline(range(8)).task(work, workers=4).wait_for_result()

    assert time.monotonic() - begin < SOON


def test_an_error_while_the_consumer_takes_nothing_arrives_when_it_does():
    pipe = Pipeline(itertools.count()).task(lambda x: 1 // (300 - x) * 0 + x, queue_size=4)

    with pipe.run(queue_size=4) as run:
        items = iter(run)
        got = [next(items)]
        time.sleep(0.1)  # the queues fill up
        with pytest.raises(ZeroDivisionError):
            got.extend(items)

    assert got[0] == 0


# -- signals -------------------------------------------------------------------------------------------------

LOOP = """
    import itertools, os, pathlib, time
    from olympipe_like import Pipeline

    def work(x):
        pathlib.Path(f"started-{{os.getpid()}}").touch()
        time.sleep({seconds})
        return x

    for x in Pipeline(itertools.count()).task(work, workers={workers}, executor={executor!r}):
        pass
    """


def started(script):
    return list(script.folder.glob("started-*"))


@pytest.mark.parametrize(
    ("executor", "workers", "seconds"),
    [("process", 2, 0.01), ("process", 2, 30), ("thread", 2, 0.01), ("inline", 1, 0.01), ("inline", 1, 30)],
)
def test_ctrl_c_ends_the_program_at_once_and_quietly(script, eventually, executor, workers, seconds):
    process = script.start(LOOP.format(seconds=seconds, executor=executor, workers=workers))
    eventually(lambda: started(script), 15)

    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    done = script.finish(process)

    assert time.monotonic() - begin < SOON
    assert done.returncode == -signal.SIGINT
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    if executor != "inline":
        assert done.stderr.count("Traceback") == 1, done.stderr  # the caller's own, no worker's
    assert done.stdout == ""


def test_ctrl_c_to_the_caller_alone_ends_the_workers_too(script, eventually):
    process = script.start(LOOP.format(seconds=30, executor="process", workers=2))
    eventually(lambda: len(started(script)) == 2, 15)
    workers = [int(path.name.split("-")[1]) for path in started(script)]

    process.send_signal(signal.SIGINT)
    done = script.finish(process)

    assert done.returncode == -signal.SIGINT
    eventually(lambda: all(map(is_gone, workers)))


def test_ctrl_c_caught_by_the_program_leaves_it_able_to_run_again(script, eventually):
    process = script.start(
        """
        import itertools, pathlib, time
        from olympipe_like import Pipeline

        def work(x):
            pathlib.Path("started-1").touch()
            time.sleep(30)

        try:
            Pipeline(itertools.count()).task(work, workers=2).wait_for_result()
        except KeyboardInterrupt:
            print("interrupted")
        print(Pipeline(range(3)).task(str).wait_for_result())
        """
    )
    eventually(lambda: started(script), 15)

    os.killpg(process.pid, signal.SIGINT)
    done = script.finish(process)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "interrupted\n['0', '1', '2']\n"
    assert done.stderr == ""


def test_ctrl_c_runs_the_finally_of_the_callers_generator(script, eventually):
    process = script.start(
        """
        import itertools, pathlib, time
        from olympipe_like import Pipeline

        def source():
            try:
                yield from itertools.count()
            finally:
                print("closed")

        def work(x):
            pathlib.Path("started-1").touch()
            time.sleep(0.01)
            return x

        for x in Pipeline(source()).task(work):
            pass
        """
    )
    eventually(lambda: started(script), 15)

    os.killpg(process.pid, signal.SIGINT)
    done = script.finish(process)

    assert done.returncode == -signal.SIGINT
    assert done.stdout == "closed\n"


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_ctrl_c_before_a_hub_is_told_of_its_run_is_neither_slow_nor_hidden(monkeypatch, executor):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(hub_client.Hub, "begin", interrupted)

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Pipeline([1]).task(str).task(len, executor=executor).wait_for_result()

    assert time.monotonic() - begin < hub_client.IDLE_SECONDS / 2
    assert not open_engines


def test_ctrl_c_while_a_thread_starts_is_not_hidden(monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(threads._WorkerThread, "start", interrupted)

    with pytest.raises(KeyboardInterrupt):
        Pipeline([1]).task(str, executor="thread").wait_for_result()

    assert not open_engines


def test_what_ctrl_c_breaks_off_when_a_run_ends_is_made_good(monkeypatch, eventually):
    close, calls = HubRun.close, []

    def interrupted_once(run):
        calls.append(run)
        if len(calls) == 1:
            raise KeyboardInterrupt
        close(run)

    iterator = iter(worker_ids())
    pid = next(iterator)
    monkeypatch.setattr(HubRun, "close", interrupted_once)

    with pytest.raises(KeyboardInterrupt):
        iterator.close()
    del iterator

    eventually(lambda: gc.collect() >= 0 and is_gone(pid))
    assert not open_engines


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.01, 30])
def test_nothing_outlives_a_caller_that_is_killed(script, eventually, number, seconds):
    process = script.start(LOOP.format(seconds=seconds, executor="process", workers=2))
    eventually(lambda: len(started(script)) == 2, 15)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2

    process.send_signal(number)
    process.wait(SOON)

    eventually(lambda: all(is_gone(member.pid) for member in family))
    script.finish(process)


# -- at the end of the program -------------------------------------------------------------------------------


def test_a_program_ends_though_a_loop_in_a_daemon_thread_goes_on(script):
    out = script(
        """
        import itertools, threading
        from olympipe_like import Pipeline

        first = threading.Event()

        def loop():
            for _ in Pipeline(itertools.count()).task(lambda x: x, workers=2):
                first.set()

        threading.Thread(target=loop, daemon=True).start()
        print(first.wait(10))
        """
    )

    assert out == "True\n"


def test_many_runs_in_a_row_leave_nothing():
    descriptors = psutil.Process().num_fds()

    for _ in range(12):
        for x in Pipeline(itertools.count()).task(lambda x: x):
            if x == 2:
                break

    gc.collect()
    assert psutil.Process().num_fds() < descriptors + 10
    assert len(children()) < 5


def test_a_run_may_be_left_while_its_threads_are_being_started():
    pipe = Pipeline(range(9)).task(lambda x: x)
    for _ in range(4):
        pipe = pipe.task(lambda x: x, executor="thread", workers=4)

    for _ in range(30):
        with pipe.run():
            pass


class Interrupting:
    """Raises in a line of ours what Ctrl-C would raise there."""

    def __init__(self, lines):
        self.left = lines
        self.place = None

    def __call__(self, frame, event, _):
        if f"{os.sep}olympipe_like{os.sep}_" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.place = frame.f_code.co_filename, frame.f_lineno
                raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("fuse", [False, True])
def test_ctrl_c_in_an_inline_run_is_ctrl_c_whatever_is_at_work(fuse):
    places = set()
    pipe = Pipeline(range(50)).task(abs).filter(lambda x: x % 2).task(str)
    for lines in range(1, 3000, 13):
        interrupting = Interrupting(lines)
        with pipe.run(executor="inline", fuse=fuse) as run:
            results = iter(run)
            next(results)
            before = sys.gettrace()
            sys.settrace(interrupting)
            try:
                with pytest.raises(KeyboardInterrupt):
                    list(results)
            finally:
                sys.settrace(before)
        places.add(interrupting.place)

    assert len(places) > 100


FORKED = """
    import os, sys, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later: of any fork of a program with threads
    from olympipe_like import Pipeline, PipelineExecutionError

    def child(results):
        {child}

    with Pipeline(range(3000)).task(lambda x: x, workers=2, executor={executor!r}).run() as run:
        results = iter(run)
        next(results)
        pid = os.fork()
        if pid == 0:
            child(results)
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        print(len(list(results)))
    print(run.report.balanced, Pipeline(range(3)).task(str).wait_for_result())
    """


@pytest.mark.parametrize("executor", ["process", "thread"])
@pytest.mark.parametrize(
    "child", ["sys.exit(0)", "os._exit(0)", "run.close(); sys.exit(0)", "del results; sys.exit(0)"]
)
def test_a_fork_of_the_program_that_ends_does_not_end_its_runs(script, executor, child):
    done = script.finish(script.start(FORKED.format(child=child, executor=executor)))

    assert done.stdout == "2999\nTrue ['0', '1', '2']\n"
    assert done.stderr == ""


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_a_fork_of_the_program_cannot_take_the_items_of_its_runs_but_can_run_others(script, executor):
    child = """
        try:
            next(results)
        except PipelineExecutionError as error:
            print(error, Pipeline([1]).task(str).wait_for_result(), flush=True)
        sys.exit(0)
    """
    done = script.finish(script.start(FORKED.format(child=child.strip(), executor=executor)))

    first, *rest = done.stdout.splitlines()
    assert first.startswith("this process is a fork of the one in which the run began")
    assert first.endswith("['1']")
    assert rest == ["2999", "True ['0', '1', '2']"]


def test_a_fork_of_the_program_keeps_no_descriptor_of_its_runs(script):
    child = """
        paths = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        mine = [os.readlink(path) for path in paths if os.path.exists(path)]  # not the one that listed them
        print([each for each in mine if "memfd" in each or "socket" in each], flush=True)
    """
    done = script.finish(script.start(FORKED.format(child=child.strip(), executor="process")))

    assert done.stdout.splitlines() == ["[]", "2999", "True ['0', '1', '2']"]


@pytest.mark.timeout(20)
def test_a_signal_handler_may_stop_the_run_while_the_program_speaks_with_the_hub(monkeypatch):
    send = Connection.send
    met = []

    def interrupted(connection, message, payload=()):
        if isinstance(message, Consumed) and not met:
            met.append(message)
            signal.raise_signal(signal.SIGUSR1)
        send(connection, message, payload)

    monkeypatch.setattr(Connection, "send", interrupted)
    with Pipeline(itertools.count()).task(abs).run() as run:
        before = signal.signal(signal.SIGUSR1, lambda *_: run.stop())
        try:
            results = list(run)
        finally:
            signal.signal(signal.SIGUSR1, before)

    assert met
    assert results == list(range(len(results)))
    assert run.report.finished
