"""What user code says in workers, by log records, warnings and prints, reaches the people who run the pipeline."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from collections import Counter

import psutil
import pytest

from olympipe_like import Pipeline, StageFailed, WorkerLost
from tests.functions import ExplodesOnLoad, HoldsALock

LOGGER = logging.getLogger("tests.output")


def say(number: int) -> int:
    logging.getLogger("tests.output").info("item %d", number)
    return number


def said(caplog, logger: str = "tests.output") -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == logger]


def messages(caplog, logger: str = "tests.output") -> list[str]:
    return [record.getMessage() for record in said(caplog, logger)]


@pytest.fixture
def info(caplog):
    """Let the test's logger want records from INFO up."""
    caplog.set_level(logging.INFO, "tests.output")
    return caplog


# -- log records ------------------------------------------------------------------------------------------------------


def test_a_workers_records_reach_the_callers_logger_with_stage_and_worker(info):
    def whoami(number):
        LOGGER.info("item %d", number)
        return os.getpid()

    pids = Pipeline(range(3)).task(abs, name="first").task(whoami, name="look").wait_for_result()

    assert messages(info) == ["item 0", "item 1", "item 2"]
    record = said(info)[0]
    assert (record.stage, record.worker) == ("look", f"worker 2.0, pid {pids[0]}")
    assert (record.levelname, record.funcName, record.process) == ("INFO", "whoami", pids[0])


def test_all_records_are_there_when_the_run_is_over(info):
    Pipeline(range(200)).task(say, workers=3).wait_for_completion()

    assert sorted(messages(info)) == sorted(f"item {number}" for number in range(200))


def test_a_record_arrives_before_the_result_it_belongs_to(info):
    for number in Pipeline(range(20)).task(say).batch(1).unbatch():
        assert f"item {number}" in messages(info)


def numbers_that_speak(count: int):
    for number in range(count):
        logging.getLogger("tests.output").info("giving %d", number)
        yield number


def test_a_source_processs_records_reach_the_caller(info):
    assert Pipeline(numbers_that_speak, 2, name="speaker").wait_for_result() == [0, 1]

    assert messages(info) == ["giving 0", "giving 1"]
    assert {record.stage for record in said(info)} == {"speaker"}


def test_a_record_whose_arguments_cannot_be_pickled_arrives_as_text(info):
    def hold(number):
        LOGGER.info("holding %s and %r", threading.Lock(), HoldsALock("it"))
        return number

    Pipeline([1]).task(hold).wait_for_completion()

    (text,) = messages(info)
    assert text.startswith("holding <unlocked _thread.lock object at ")
    assert text.endswith("HoldsALock('it')")


def test_what_is_added_to_a_record_arrives_or_its_text(info):
    def add(number):
        extra = {"plain": {"a": [1]}, "lock": threading.Lock(), "bomb": ExplodesOnLoad()}
        LOGGER.info("added", extra=extra)
        return number

    Pipeline([1]).task(add).wait_for_completion()

    (record,) = said(info)
    assert record.plain == {"a": [1]}
    assert record.lock.startswith("<unlocked _thread.lock object")
    assert record.bomb == "<could not be rebuilt>"


class Chatterbox:
    """Logs itself while it is pickled."""

    def __reduce__(self):
        logging.getLogger("tests.output").info("being pickled", extra={"it": self})
        return Chatterbox, ()


def test_an_addition_that_logs_itself_while_it_is_pickled_ends(info):
    def add(number):
        LOGGER.info("added", extra={"it": Chatterbox()})
        return number

    assert Pipeline([1]).task(add).wait_for_result() == [1]

    assert messages(info) == ["being pickled", "added"]


def test_an_exception_logged_in_a_worker_arrives_with_its_traceback(info):
    def fail(number):
        try:
            return 1 / number
        except ZeroDivisionError:
            LOGGER.exception("no good")
            return -1

    assert Pipeline([0]).task(fail).wait_for_result() == [-1]

    (record,) = said(info)
    assert record.exc_text.startswith("Traceback (most recent call last):")
    assert "in fail" in record.exc_text
    assert record.exc_text.endswith("ZeroDivisionError: division by zero")
    assert "ZeroDivisionError: division by zero" in info.text
    assert pickle.loads(pickle.dumps(record)).getMessage() == "no good"


def test_the_callers_levels_are_the_workers(caplog):
    caplog.set_level(logging.ERROR)
    caplog.set_level(logging.WARNING, "tests.output.quiet")
    caplog.set_level(logging.DEBUG, "tests.output")

    def enabled(name):
        LOGGER.debug("wanted")
        logging.getLogger("tests.output.quiet").info("not wanted")
        return [level for level in (10, 20, 30, 40) if logging.getLogger(name).isEnabledFor(level)]

    names = ["tests.output", "tests.output.below", "tests.output.quiet", "tests.elsewhere"]
    found = Pipeline(names).task(enabled).wait_for_result()

    assert found == [[10, 20, 30, 40], [10, 20, 30, 40], [30, 40], [40]]
    assert messages(caplog) == ["wanted"] * 4
    assert messages(caplog, "tests.output.quiet") == []


def test_the_names_that_the_caller_gave_to_levels_are_the_workers(info):
    def trace(number):
        LOGGER.log(logging.getLevelName("FINE"), "item %d", number)
        LOGGER.error("item %d", number)
        return logging.getLevelName(logging.INFO + 1)

    error = logging.getLevelName(logging.ERROR)
    logging.addLevelName(logging.INFO + 1, "FINE")
    logging.addLevelName(logging.ERROR, "\033[31mERROR\033[0m")
    try:
        found = Pipeline([1]).task(trace).wait_for_result()
    finally:
        logging.addLevelName(logging.ERROR, error)
        del logging._levelToName[logging.INFO + 1], logging._nameToLevel["FINE"]

    assert found == ["FINE"]
    assert [record.levelname for record in said(info)] == ["FINE", "\033[31mERROR\033[0m"]


def test_what_the_caller_has_disabled_is_not_made_in_workers(info):
    def enabled(level):
        return LOGGER.isEnabledFor(level)

    logging.disable(logging.WARNING)
    try:
        found = Pipeline([logging.INFO, logging.WARNING, logging.ERROR]).task(enabled).wait_for_result()
    finally:
        logging.disable(logging.NOTSET)

    assert found == [False, False, True]


def test_a_logger_that_wants_less_meanwhile_gets_less(info):
    def wait_and_say(number):
        LOGGER.info("item %d", number)
        return number

    for number in Pipeline(range(5)).task(wait_and_say, queue_size=1).run(queue_size=1):
        if number == 0:
            before = len(said(info))
            LOGGER.setLevel(logging.ERROR)

    assert len(said(info)) == before


def test_records_of_a_thread_in_the_worker_reach_the_caller(info):
    def with_thread(number):
        thread = threading.Thread(target=LOGGER.info, args=("from the side",), name="side")
        thread.start()
        thread.join()
        return number

    Pipeline([1]).task(with_thread).wait_for_completion()

    (record,) = said(info)
    assert (record.getMessage(), record.threadName) == ("from the side", "side")


class Choir:
    """Its threads speak while the worker sends results."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def work(self, number: int) -> bytes:
        threads = [threading.Thread(target=self.speak, args=(number,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        self.threads += threads
        return bytes([number]) * 50_000  # travels inside messages

    def speak(self, number: int) -> None:
        for _ in range(10):
            LOGGER.info("%d %s", number, "x" * 2000)

    def close(self) -> None:
        for thread in self.threads:
            thread.join()


def test_threads_that_log_while_results_are_sent_tear_nothing(info):
    results = Pipeline(range(20)).class_task(Choir, "work", [], "close").task(len).wait_for_result()

    assert results == [50_000] * 20
    assert Counter(messages(info)) == {f"{number} {'x' * 2000}": 30 for number in range(20)}


class TimeIsUp(BaseException):
    """Not an Exception: `logging` itself has places that swallow those."""


def test_a_time_limit_that_cuts_into_logging_breaks_nothing(info):
    def limited(number):
        def expire(*_):
            raise TimeIsUp

        signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        try:
            while True:
                LOGGER.info("x" * 10_000)
        except TimeIsUp:
            return number
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    assert Pipeline(range(20)).task(limited).wait_for_result() == list(range(20))
    assert set(messages(info)) == {"x" * 10_000}


def test_a_fork_made_by_user_code_does_not_speak_into_its_parents_connection(info, capfd):
    def fork(number):
        child = os.fork()
        if child == 0:
            LOGGER.warning("from the fork")
            os._exit(0)
        os.waitpid(child, 0)
        LOGGER.info("from the worker")
        return number

    assert Pipeline([1, 2]).task(fork).wait_for_result() == [1, 2]

    assert messages(info) == ["from the worker"] * 2
    assert capfd.readouterr().err == "from the fork\n" * 2


def test_handlers_that_user_code_sets_up_in_the_worker_work_too(info, tmp_path):
    def with_file(number):
        handler = logging.FileHandler(tmp_path / "worker.log")
        LOGGER.addHandler(handler)
        LOGGER.info("twice")
        LOGGER.removeHandler(handler)
        handler.close()
        return number

    Pipeline([1]).task(with_file).wait_for_completion()

    assert (tmp_path / "worker.log").read_text() == "twice\n"
    assert messages(info) == ["twice"]


def test_a_wrong_format_is_told_on_stderr_and_costs_the_item_nothing(info, capfd):
    def confuse(number):
        LOGGER.info("%d %d", number)  # noqa: PLE1206 - on purpose
        return number

    assert Pipeline([1]).task(confuse).wait_for_result() == [1]

    assert "not enough arguments for format string" in capfd.readouterr().err


class Fails(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter of the caller")


def test_a_filter_of_the_callers_that_raises_does_not_end_the_run(info, capsys):
    fails = Fails()
    LOGGER.addFilter(fails)
    try:
        assert Pipeline([1, 2]).task(say).wait_for_result() == [1, 2]
    finally:
        LOGGER.removeFilter(fails)

    assert capsys.readouterr().err.count("RuntimeError: a filter of the caller") == 2


def test_records_of_a_failed_run_arrive(info):
    def fail(number):
        LOGGER.info("about to fail")
        raise ValueError(number)

    with pytest.raises(StageFailed):
        Pipeline([1]).task(fail).wait_for_result()

    assert messages(info) == ["about to fail"]


def test_records_that_wait_when_a_loop_is_left_are_handed_over(info, eventually, tally):
    def speak_and_note(number):
        LOGGER.info("item %d", number)
        tally.hit(str(number))
        return number

    with Pipeline(range(3)).task(speak_and_note).run() as run:
        eventually(lambda: tally.count("1"))

    assert run.report.finished
    assert messages(info)[:1] == ["item 0"]


def test_records_that_come_while_only_the_report_is_asked_for_are_handed_over(info, eventually):
    with Pipeline(range(3)).task(say).run() as run:
        eventually(lambda: run.report and len(said(info)) == 3)
        assert list(run) == [0, 1, 2]


# -- warnings ---------------------------------------------------------------------------------------------------------


def test_a_workers_warnings_reach_the_callers_logger_for_warnings(caplog):
    def warn(number):
        warnings.warn(f"careful with {number}", UserWarning, stacklevel=1)
        return number

    assert Pipeline([7]).task(warn, name="shaky").wait_for_result() == [7]

    (record,) = said(caplog, "py.warnings")
    assert "UserWarning: careful with 7" in record.getMessage()
    assert (record.levelname, record.stage) == ("WARNING", "shaky")
    assert record.worker.startswith("worker 1.0, pid ")


def test_a_workers_warning_is_shown_where_nobody_has_set_up_logging(script):
    process = script.start("""
        import warnings
        from olympipe_like import Pipeline

        def warn(number):
            warnings.warn("mind the gap")
            return number

        print(Pipeline([7]).task(warn).wait_for_result())
        """)
    done = script.finish(process)

    assert done.stdout == "[7]\n"
    assert "UserWarning: mind the gap" in done.stderr


# -- lost workers -----------------------------------------------------------------------------------------------------


def test_a_lost_worker_is_told_with_stage_worker_and_cause(caplog, tally):
    def die_once(number):
        if number == 2 and not tally.count("died"):
            tally.hit("died")
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert Pipeline(range(4)).task(die_once, name="fragile").wait_for_result() == [0, 1, 2, 3]

    (record,) = said(caplog, "olympipe_like")
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("stage 1/1 'fragile': worker was killed by SIGKILL")
    assert record.getMessage().endswith(f"[{record.worker}]")
    assert record.stage == "fragile"


def test_what_a_worker_says_just_before_it_dies_arrives(info):
    def die(number):
        LOGGER.error("last words")
        os._exit(7)

    with pytest.raises(WorkerLost):
        Pipeline([1]).task(die).wait_for_result()

    assert messages(info) == ["last words"] * 3  # three attempts
    assert len(messages(info, "olympipe_like")) == 3


def test_workers_that_end_as_they_should_are_not_told_of(caplog):
    assert next(iter(Pipeline(range(10**6)).task(abs, workers=2))) == 0

    assert messages(caplog, "olympipe_like") == []


# -- too many records -------------------------------------------------------------------------------------------------


def test_a_caller_who_does_not_read_makes_nobody_hold_records_without_end(info, tally, eventually):
    def chatter(number):
        for turn in range(40_000):
            LOGGER.info("%d %s", turn, "x" * 1000)
        tally.hit("done")
        return number

    with Pipeline([1]).task(chatter).run() as run:
        hub = max(psutil.Process().children(), key=lambda child: child.create_time())
        before = hub.memory_info().rss
        eventually(lambda: tally.count("done"), seconds=40)
        grown = hub.memory_info().rss - before
        assert list(run) == [1]

    assert grown < 20 << 20  # of 40 MB
    told = [record for record in said(info, "olympipe_like") if "were dropped" in record.getMessage()]
    dropped = sum(int(record.getMessage().split()[0]) for record in told)
    assert dropped > 20_000
    assert len(said(info)) + dropped == 40_000
    turns = [int(text.split()[0]) for text in messages(info)]
    assert turns == sorted(turns)


def test_a_caller_who_reads_gets_every_record_however_many(info):
    def chatter(number):
        for turn in range(100):
            LOGGER.info("%d %d", number, turn)
        return number

    Pipeline(range(50)).task(chatter).wait_for_completion()

    assert len(said(info)) + sum(int(text.split()[0]) for text in messages(info, "olympipe_like")) == 5000


# -- prints -----------------------------------------------------------------------------------------------------------


def test_what_workers_print_goes_where_the_callers_output_goes_now(capfd):
    Pipeline([1]).task(print).wait_for_completion()
    first = capfd.readouterr().out
    with capfd.disabled():
        assert Pipeline([2]).task(abs).wait_for_result() == [2]
    Pipeline([3]).task(lambda number: print(number, file=sys.stderr)).wait_for_completion()

    assert first == "1\n"
    assert capfd.readouterr() == ("", "3\n")


def test_the_library_itself_prints_nothing(script):
    process = script.start("""
        from olympipe_like import Pipeline
        Pipeline(range(100)).task(str, workers=2).batch(3).wait_for_result()
        """)
    done = script.finish(process)

    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("length", [10, 3000, 100_000])
def test_lines_that_many_workers_print_at_once_are_not_torn(script, length):
    lines = 2_000_000 // length if length > 3000 else 400
    out = script(f"""
        from olympipe_like import Pipeline

        def speak(letter):
            for _ in range({lines // 4}):
                print(letter, letter * {length}, sep="", flush=False)
            return letter

        Pipeline("abcd").task(speak, workers=4, queue_size=1).wait_for_completion()
        """)

    assert Counter(out.splitlines()) == {letter * (length + 1): lines // 4 for letter in "abcd"}


def test_twenty_megabytes_on_each_stream_arrive_whole(script):
    process = script.start("""
        import sys
        from olympipe_like import Pipeline

        def flood(number):
            sys.stdout.write("o" * 20_000_000)
            sys.stderr.write("e" * 20_000_000)
            return number

        Pipeline([1]).task(flood).wait_for_completion()
        """)
    done = script.finish(process)

    assert Counter(done.stdout) == {"o": 20_000_000}
    assert Counter(done.stderr) == {"e": 20_000_000}


def test_a_line_without_an_end_is_printed_when_the_worker_ends(script):
    out = script("""
        from olympipe_like import Pipeline
        Pipeline([1]).task(lambda number: print("no end", end="")).wait_for_completion()
        """)

    assert out == "no end"


def test_a_killed_worker_loses_no_finished_line(script):
    out = script("""
        import os, signal
        from pathlib import Path
        from olympipe_like import Pipeline, WorkerLost
        import logging

        def die(number):
            print("finished")
            print("unfinished", end="")
            os.kill(os.getpid(), signal.SIGKILL)

        logging.disable(logging.CRITICAL)
        try:
            Pipeline([1]).task(die).wait_for_result()
        except WorkerLost:
            print("lost")
        """)

    assert out == "finished\n" * 3 + "lost\n"


def test_a_worker_killed_while_it_prints_a_long_line_keeps_no_other_waiting(script):
    out = script("""
        import logging, os, signal, threading, time
        from olympipe_like import Pipeline

        def speak(number):
            if number == 0 and not os.path.exists("died"):
                open("died", "w").close()
                threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
                while True:
                    print("x" * 500_000)
            print("y" * 100_000)
            return number

        logging.disable(logging.CRITICAL)
        print(Pipeline(range(8)).task(speak, workers=2, queue_size=1).wait_for_result())
        """)

    assert out.count("y" * 100_000 + "\n") == 8
    assert out.endswith("[0, 1, 2, 3, 4, 5, 6, 7]\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_break_no_worker(script, closed):
    name = script.write("""
        import sys
        from pathlib import Path
        from olympipe_like import Pipeline

        def speak(number):
            print("to stdout")
            print("to stderr", file=sys.stderr)
            return number + 1

        Path("results").write_text(str(Pipeline(range(3)).task(speak, workers=2).wait_for_result()))
        """)
    command = ["/bin/sh", "-c", f'"$0" "$1" {closed}', sys.executable, str(name)]
    done = subprocess.run(
        command, cwd=script.folder, env=script.environment, capture_output=True, text=True, timeout=20, check=False
    )

    assert (script.folder / "results").read_text() == "[1, 2, 3]"
    assert done.returncode == 0
    expected = {">&-": ("", "to stderr\n" * 3), "2>&-": ("to stdout\n" * 3, "")}
    assert (done.stdout, done.stderr) == expected.get(closed, ("", ""))
