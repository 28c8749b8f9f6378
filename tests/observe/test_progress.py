"""What shows a run while it goes on, and that showing never harms it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from dataclasses import replace

import pytest
import tqdm as tqdm_package
from hypothesis import given
from hypothesis import strategies as st

from olympipe_like._model.stats import WorkerStats
from olympipe_like._observe.lines import fold, lay_out
from olympipe_like._observe.progress import Progress
from olympipe_like._observe.text import columns
from tests.observe.runs import SLOW_DECODE, SLOW_SOURCE, run, stage, untimed_sink, untimed_source
from tests.observe.terminal import Terminal


@pytest.fixture
def terminal(request, monkeypatch):
    """A terminal; its size may be given as a parameter."""
    made = Terminal(**getattr(request, "param", {}))
    monkeypatch.setenv("TERM", "xterm")
    yield made
    # A test that failed has not closed its bars, and they would push down those of the next.
    for left_over in list(tqdm_package.tqdm._instances):
        left_over.close()
    made.close()


def show_on(stream, option=None):
    """Return what is chosen where standard error is this stream."""
    with contextlib.redirect_stderr(stream):
        return Progress.choose(option)


def of_size(rows, columns):
    return pytest.mark.parametrize(
        "terminal", [{"rows": rows, "columns": columns}], indirect=True, ids=[f"{rows}x{columns}"]
    )


def going_on(stats, elapsed):
    return replace(stats, elapsed=elapsed, finished=False)


def at(elapsed, *, finished=False, decoded=500, expected=1000):
    """Return a run of which `decode` keeps nine of ten items."""
    return run(
        untimed_source("walk", given=decoded, expected=expected),
        stage(
            "decode", workers=2, given=decoded, filtered=decoded // 10, busy=0.9, starved=0.05,
            waiting=7, expected=expected, elapsed=elapsed,
        ),
        stage("save", given=decoded * 9 // 10, busy=0.2, starved=0.7, elapsed=elapsed),
        untimed_sink(given=decoded * 9 // 10),
        elapsed=elapsed,
        finished=finished,
    )  # fmt: skip


# Bars


@of_size(24, 120)
def test_each_stage_has_a_line_with_its_figures(terminal):
    progress = show_on(terminal.stream)

    progress.update(at(10.0))

    lines = terminal.look().lines
    assert [line[: line.index("|")] for line in lines] == [
        "walk        ",
        "decode   2w ",
        "save     1w ",
        "results     ",
    ]
    assert [line[line.rindex("|") + 1 :].split() for line in lines] == [
        ["500/1", "000", "50.0/s"],
        ["500/1", "000", "->", "450", "50.0/s", "queue", "7/16", "90", "%", "busy", "<-", "bottleneck"],
        ["450", "->", "450", "45.0/s", "queue", "0/16", "20", "%", "busy"],
        ["450", "45.0/s", "queue", "0/64"],
    ]
    assert all(line.index("|") == lines[0].index("|") for line in lines)
    assert all(line.rindex("|") == lines[0].rindex("|") for line in lines)
    progress.close()


def bar_of(line):
    return line[line.index("|") + 1 : line.rindex("|")]


def test_the_bar_fills_with_the_share_done_and_stays_blank_where_the_end_is_not_known(terminal):
    progress = show_on(terminal.stream)

    progress.update(at(10.0))

    source, decode, save, results = map(bar_of, terminal.look().lines)
    assert source.count("\u2588") == pytest.approx(len(source) / 2, abs=1)
    assert decode == source
    assert save.strip() == results.strip() == ""
    progress.close()


def test_a_source_that_gives_more_than_its_length_loses_its_total(terminal):
    progress = show_on(terminal.stream)
    progress.update(at(1.0))

    progress.update(at(2.0, decoded=1001))

    line = terminal.look().lines[0]
    assert "1 001 " in line
    assert "1 000" not in line
    assert bar_of(line).strip() == ""
    progress.close()


@of_size(24, 120)
def test_workers_of_other_machines_that_come_get_a_line_below_the_stages(terminal):
    progress = show_on(terminal.stream)
    far = WorkerStats("decode", "1.0", "nodeb", 7, 90, 1.8, 0.1, left=False, seconds=2.0)
    progress.update(at(1.0))

    progress.update(replace(at(2.0), workers=(far,)))
    progress.update(replace(at(3.0), workers=(replace(far, items=110),)))
    progress.update(replace(at(4.0, finished=True), workers=(replace(far, left=True),)))
    progress.close()

    lines = terminal.look().lines
    assert [line.split()[0] for line in lines if line] == ["walk", "decode", "save", "results", "workers:"]
    assert lines[4].strip() == "workers: none"


def test_updates_redraw_in_place_and_the_end_leaves_every_line(terminal):
    terminal.stream.write("$ python prepare.py\r\n")
    progress = show_on(terminal.stream)
    for tick in range(1, 30):
        progress.update(at(float(tick), decoded=tick * 30))
        assert len(terminal.look().lines) == 5
    progress.update(at(30.0, decoded=1000, finished=True))
    progress.close()
    terminal.stream.write("$ ")

    lines = terminal.look().lines
    assert lines[0] == "$ python prepare.py"
    assert lines[5:] == ["$"]
    assert "1 000/1 000  -> 900" in lines[2]
    assert [line.split()[0] for line in lines[1:5]] == ["walk", "decode", "save", "results"]
    assert terminal.screen.scrolled == []


@of_size(6, 100)
def test_bars_at_the_foot_of_a_terminal_scroll_it_once(terminal):
    terminal.stream.write("\r\n".join(["before", *"abcd", "prompt"]) + "\r\n")
    progress = show_on(terminal.stream)

    for tick in range(1, 9):
        progress.update(at(float(tick), decoded=100 * tick))
    progress.close()

    screen = terminal.look()
    assert screen.scrolled == ["before", "a", "b", "c", "d"]
    assert [line.split()[0] for line in screen.lines] == ["prompt", "walk", "decode", "save", "results"]
    assert "800/1 000" in screen.lines[2]


def test_updates_that_come_too_soon_are_dropped_but_the_last_is_shown_at_the_close(terminal):
    progress = show_on(terminal.stream)
    progress.update(at(1.0, decoded=100))
    assert 0.1 <= progress.interval <= 0.5

    progress.update(at(1.0 + progress.interval / 2, decoded=200))
    assert "100/1 000" in terminal.look().lines[0]

    progress.close()
    assert "200/1 000" in terminal.look().lines[0]


def test_closing_twice_or_without_any_update_draws_nothing(terminal):
    unused, used = show_on(terminal.stream), show_on(terminal.stream, True)
    unused.close()
    used.update(at(1.0))
    used.close()
    before = terminal.look().lines

    used.close()
    used.update(at(2.0))
    used.update(at(3.0, finished=True))

    assert len(before) == 4
    assert terminal.look().lines == before


def test_rates_follow_the_last_seconds_and_end_as_the_mean(terminal):
    progress = show_on(terminal.stream)
    progress.update(at(10.0, decoded=1000, expected=None))
    progress.update(at(30.0, decoded=1020, expected=None))
    late = terminal.look().lines[0]
    progress.update(at(40.0, decoded=1020, expected=None, finished=True))
    progress.close()

    assert float(late.split()[-1].removesuffix("/s")) == pytest.approx(1.0, abs=0.2)  # 34.0 over the whole run
    assert terminal.look().lines[0].endswith("25.5/s")


def test_the_bottleneck_is_not_marked_before_there_is_much_to_go_by(terminal):
    progress = show_on(terminal.stream)
    progress.update(at(0.3))
    assert "<-" not in terminal.look().lines[1]

    progress.update(at(1.3))

    assert terminal.look().lines[1].endswith("<- bottleneck")
    progress.close()


@of_size(10, 80)
def test_forty_stages_on_a_small_terminal_show_the_first_and_the_last(terminal):
    middle = [stage(f"step {number}", busy=0.9 if number == 20 else 0.1) for number in range(38)]
    stats = run(untimed_source(), *middle, untimed_sink())
    progress = show_on(terminal.stream)
    for elapsed in (2.0, 4.0, 6.0):
        progress.update(going_on(stats, elapsed))
    progress.update(stats)
    progress.close()

    lines = terminal.look().lines
    assert [" ".join(line.split("|")[0].split()) for line in lines] == [
        "source",
        "step 0 1w",
        "step 1 1w",
        "step 2 1w",
        "... 32 more stages, the bottleneck 'step 20' among them",
        "step 35 1w",
        "step 36 1w",
        "step 37 1w",
        "results",
    ]
    assert terminal.screen.scrolled == []


@of_size(24, 20)
def test_a_terminal_of_twenty_columns_keeps_one_row_for_each_stage(terminal):
    progress = show_on(terminal.stream)
    progress.update(at(5.0))
    progress.update(at(6.0))

    assert [line[:4] for line in terminal.look().lines] == ["walk", "deco", "save", "resu"]
    progress.close()


@of_size(2, 100)
def test_a_terminal_of_two_rows_shows_the_last_stage(terminal):
    progress = show_on(terminal.stream)
    progress.update(at(5.0))
    progress.update(at(6.0))

    assert [line.split()[0] for line in terminal.look().lines] == ["results"]
    progress.close()


@of_size(0, 0)
def test_a_terminal_that_does_not_tell_its_size_gets_eighty_columns(terminal, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    terminal.screen.__init__(24, 80)
    progress = show_on(terminal.stream)
    progress.update(at(5.0))
    progress.update(at(6.0))

    lines = terminal.look().lines
    assert [line.split()[0] for line in lines] == ["walk", "decode", "save", "results"]
    assert max(map(len, lines)) > 70
    progress.close()


def test_a_window_made_wider_gets_wider_lines(terminal):
    progress = show_on(terminal.stream)
    progress.update(at(5.0))
    narrow = len(terminal.look().lines[1])
    terminal.resize(24, 150)
    terminal.screen.__init__(24, 150)

    progress.update(at(6.0))

    assert len(terminal.look().lines[1]) > narrow
    progress.close()


def test_the_users_own_bar_keeps_its_line_while_the_run_goes_on(terminal):
    own = tqdm_package.tqdm(total=10, desc="epoch", file=terminal.stream, ncols=100)
    progress = show_on(terminal.stream)
    progress.update(at(1.0))
    own.update(3)
    own.refresh()
    progress.update(at(2.0, decoded=600))

    assert [line.split()[0].rstrip(":") for line in terminal.look().lines] == [
        "epoch", "walk", "decode", "save", "results",
    ]  # fmt: skip
    progress.close()
    own.close()
    assert [line.split()[0].rstrip(":") for line in terminal.look().lines] == [
        "walk", "decode", "save", "results", "epoch",
    ]  # fmt: skip


def test_drawing_starts_no_thread(terminal):
    before = threading.enumerate()
    progress = show_on(terminal.stream, True)

    progress.update(at(1.0))
    during = threading.enumerate()
    progress.close()

    assert during == before


def child(script, **environment):
    """Run a script in a process of its own, where warnings are errors and standard error is a pipe."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env={
            **os.environ,
            "PYTHONIOENCODING": "utf-8",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **environment,
        },
    )


def test_in_a_fresh_process_bars_leave_neither_monitor_nor_lock_for_other_processes():
    answer = child(
        """
        import threading
        from olympipe_like._observe.progress import Progress
        from tests.observe.runs import SLOW_DECODE
        import sys

        assert "tqdm" not in sys.modules, "wanted by nobody yet"
        progress = Progress.choose(True)
        progress.update(SLOW_DECODE)
        import tqdm.std

        print(threading.active_count(), tqdm.tqdm.monitor, hasattr(tqdm.std.TqdmDefaultWriteLock, "mp_lock"))
        progress.close()
        print(len(tqdm.tqdm._instances))
        """
    )

    assert answer.stdout == "1 None False\n0\n"
    assert all(name in answer.stderr for name in ("source", "decode", "resize", "results"))
    assert answer.returncode == 0


def test_bars_forced_into_a_file_come_seldom_and_are_all_there(capsys):
    file = io.StringIO()
    progress = show_on(file, True)
    middle = [stage(f"step {number}") for number in range(40)]
    stats = run(*middle)

    progress.update(going_on(stats, 1.0))
    progress.update(stats)
    progress.close()

    assert progress.interval >= 1.0
    assert all(f"step {number} " in file.getvalue() for number in range(40))
    assert capsys.readouterr().out == ""


def test_nothing_goes_to_standard_output(terminal, capfd):
    progress = show_on(terminal.stream)
    progress.update(at(1.0))
    progress.update(at(2.0, finished=True))
    progress.close()

    assert capfd.readouterr().out == ""
    assert len(terminal.look().lines) == 4


def test_a_stream_without_unicode_gets_plain_bars_and_escaped_names():
    raw = io.BytesIO()
    progress = show_on(io.TextIOWrapper(raw, encoding="ascii", errors="strict"), True)

    progress.update(run(stage("déco", given=500, expected=1000)))
    progress.close()

    assert b"d\\xe9co" in raw.getvalue()
    assert b"####" in raw.getvalue()


@pytest.mark.parametrize("option", [None, True])
@pytest.mark.parametrize("closed", [False, True])
def test_without_standard_error_a_run_is_shown_nowhere(option, closed):
    stream = io.StringIO() if closed else None
    if stream:
        stream.close()
    progress = show_on(stream, option)

    progress.update(at(1.0))
    progress.update(at(2.0, finished=True))
    progress.close()

    assert progress.interval == 30.0  # left to the log


def test_a_terminal_that_goes_away_in_mid_run_does_not_harm_it(terminal):
    progress = show_on(terminal.stream)
    progress.update(at(1.0))
    assert len(terminal.look().lines) == 4
    terminal.close()

    progress.update(at(2.0))
    progress.update(at(3.0, finished=True))
    progress.close()

    assert terminal.stream.closed


def test_a_reader_that_goes_away_in_mid_run_does_not_harm_it():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        progress = show_on(stream, True)
        progress.update(at(1.0))
        assert b"decode" in os.read(reader, 65536)
        os.close(reader)

        progress.update(at(10.0))
        progress.close()

        # The stream keeps what it could not write; let it write that elsewhere when it is closed.
        with tempfile.TemporaryFile() as elsewhere:
            os.dup2(elsewhere.fileno(), writer)


def test_a_stand_in_for_standard_error_needs_no_more_than_print_does():
    class Tee:
        def __init__(self):
            self.texts = []

        def write(self, text):
            self.texts.append(text)

    tee = Tee()
    progress = show_on(tee, True)
    progress.update(at(1.0))
    progress.update(at(10.0, finished=True))
    progress.close()

    assert "decode" in "".join(tee.texts)


@pytest.mark.skipif(
    tuple(map(int, tqdm_package.__version__.split(".")[:2])) < (4, 66),
    reason="tqdm reads its options from the environment since 4.66",
)
def test_tqdms_own_switch_turns_bars_off():
    answer = child(
        """
        from olympipe_like._observe.progress import Progress
        from tests.observe.runs import SLOW_DECODE, SLOW_SOURCE
        from dataclasses import replace

        progress = Progress.choose(True)
        progress.update(replace(SLOW_DECODE, finished=False, elapsed=1.0))
        progress.update(SLOW_DECODE)
        progress.close()
        """,
        TQDM_DISABLE="1",
    )

    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


NOTEBOOK = """
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

class ZMQInteractiveShell: ...
class Shell(ZMQInteractiveShell):  # some notebooks have one of their own
    config = {"IPKernelApp": {}}  # where older tqdms look

def module(name, **names):
    sys.modules[name] = made = ModuleType(name)
    vars(made).update(names)

class Widget:
    def __init__(self, children=(), max=None, **options):
        self.children, self.max, self.layout, self.bar_style = children, max, SimpleNamespace(), ""
        self.style = SimpleNamespace()

shown = []
module("IPython", get_ipython=Shell)
module("IPython.display", display=shown.append)
module("ipykernel.zmqshell")
if WIDGETS:
    module("ipywidgets", HTML=Widget, HBox=Widget, FloatProgress=Widget)
else:
    sys.modules["ipywidgets"] = None

from olympipe_like._observe.progress import Progress
from tests.observe.runs import SLOW_DECODE

progress = Progress.choose(None)
begun = [replace(stage, expected=None) for stage in SLOW_DECODE.stages]
progress.update(replace(SLOW_DECODE, finished=False, elapsed=1.0, stages=tuple(begun)))
progress.update(SLOW_DECODE)
progress.close()
for box in shown:
    words, bar, more_words = box.children
    print(words.value.split()[0], bar.value, bar.max, bar.bar_style, more_words.value.split()[-1])
"""


def test_a_notebook_gets_a_widget_for_each_stage():
    answer = child(f"WIDGETS = True\n{NOTEBOOK}")

    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines() == [
        "source 1000 2000 success 100/s",
        "decode 1000 2000 success bottleneck",
        "resize 1000 1 success busy",
        "results 1000 1 success 0/64",
    ]


def test_a_notebook_without_widgets_gets_one_line_of_text_and_no_warning():
    answer = child(f"WIDGETS = False\n{NOTEBOOK}")

    assert (answer.returncode, answer.stdout) == (0, "")
    lines = [line for line in answer.stderr.splitlines() if line.strip()]
    assert {line.split()[0] for line in lines} == {"results"}
    assert "\x1b" not in answer.stderr
    assert answer.stderr.endswith("\n")


# Log lines


@pytest.mark.parametrize("dumb", [False, True], ids=["file", "dumb terminal"])
def test_off_a_terminal_the_log_gets_a_line_every_thirty_seconds(dumb, terminal, monkeypatch, caplog):
    file = io.StringIO()
    monkeypatch.setenv("TERM", "dumb")
    progress = show_on(terminal.stream if dumb else file)
    with caplog.at_level(logging.INFO, logger="olympipe_like"):
        for elapsed in (0.0, 10.0, 29.9, 30.0, 45.0, 59.9, 60.0, 75.0):
            progress.update(at(elapsed))
        progress.update(at(80.0, finished=True))
        progress.update(at(81.0, finished=True))
        progress.close()

    assert [record.message.split(":")[0] for record in caplog.records] == [
        "running for 30.0 s",
        "running for 1 min 00 s",
        "finished after 1 min 20 s",
    ]
    assert caplog.records[0].message == (
        "running for 30.0 s: 'walk' 500/1 000 items, 16.7/s; 'results' 450 items, 15.0/s. "
        "'decode' is the bottleneck: 90 % busy with 2 workers, 'save' behind it starved 70 %; "
        "make its function faster, or give it more workers."
    )
    assert {(record.name, record.levelno) for record in caplog.records} == {("olympipe_like", logging.INFO)}
    assert (terminal.look().lines, file.getvalue()) == ([], "")


def test_a_run_over_before_the_first_line_leaves_no_trace_in_the_log(caplog):
    progress = show_on(io.StringIO())
    with caplog.at_level(logging.DEBUG):
        progress.update(at(0.1))
        progress.update(at(29.0, finished=True))
        progress.close()

    assert caplog.records == []


def test_failed_items_are_told_in_the_log(caplog):
    with caplog.at_level(logging.INFO, logger="olympipe_like"):
        show_on(io.StringIO()).update(run(stage("load", failed=3), stage("fit", failed=1), elapsed=40.0))

    assert "; 4 failed. " in caplog.records[0].message


# The user's own function


def test_a_function_gets_a_report_now_and_then_and_once_at_the_end():
    reports = []
    progress = Progress.choose(reports.append)
    assert 0.1 <= progress.interval <= 0.5

    for tenth in range(11):
        progress.update(at(tenth / 10))
    progress.update(at(1.01, finished=True))
    progress.update(at(1.02, finished=True))
    progress.close()

    assert [report.elapsed for report in reports] == [0.0, 0.3, 0.6, 0.9, 1.01]
    assert [report.finished for report in reports] == [False] * 4 + [True]
    assert reports[-1].bottleneck == "decode"


def test_what_the_function_raises_reaches_the_caller_and_closing_does_not_call_it_again():
    calls = []

    def fail(report):
        calls.append(report)
        raise ZeroDivisionError("no")

    progress = Progress.choose(fail)
    with pytest.raises(ZeroDivisionError, match="no"):
        progress.update(at(0.0))
    progress.update(at(0.1))

    progress.close()

    assert len(calls) == 1


# Which one is taken


def test_false_shows_nothing(terminal):
    assert show_on(terminal.stream, False) is None


@pytest.mark.parametrize("option", ["bars", 1, 0, 0.5, object()])
def test_an_option_of_another_kind_is_refused_by_name(option):
    with pytest.raises(TypeError, match="progress must be None, True, False or a function of a report, got "):
        Progress.choose(option)


def test_a_function_nobody_would_await_is_refused():
    async def show(report): ...

    with pytest.raises(TypeError, match="progress must be a plain function"):
        Progress.choose(show)


# What fits


@given(stages=st.integers(0, 60), room=st.integers(1, 60))
def test_folding_keeps_every_stage_in_order_or_the_last_ones(stages, room):
    lines = fold(stages, room)

    assert len(lines) == min(stages, room)
    told = [index for line in lines for index in line]
    assert told == list(range(stages))[-len(told) or stages :]
    assert len(told) == stages or room <= 2
    assert sum(len(line) > 1 for line in lines) <= 1


counts = st.integers(0, 10**9)
some_stages = st.lists(
    st.builds(
        stage,
        st.text(max_size=40),
        kind=st.sampled_from(["source", "task", "sink"]),
        workers=st.integers(0, 99),
        given=counts,
        out=counts,
        busy=st.floats(0, 1),
        starved=st.floats(0, 1),
        waiting=counts,
        expected=st.none() | counts,
    ),
    min_size=1,
    max_size=5,
)


@given(stages=some_stages, width=st.integers(40, 200), elapsed=st.floats(0, 1000))
def test_from_forty_columns_on_every_line_fits_with_a_bar_and_stays_in_column(stages, width, elapsed):
    lines = lay_out(run(*stages, elapsed=elapsed), [1e6] * len(stages), fold(len(stages), 9), width)

    assert len({columns(line.head) for line in lines}) == 1
    assert len({columns(line.tail) for line in lines}) == 1
    assert columns(lines[0].head) + columns(lines[0].tail) + len("||") + 8 <= width
    assert all((line.head + line.tail).isprintable() for line in lines)


@pytest.mark.parametrize("stats", [SLOW_DECODE, SLOW_SOURCE])
def test_room_without_end_leaves_nothing_out(stats):
    lines = lay_out(stats, [1.0] * 4, fold(4, 4), None)

    marked = [line.tail.endswith("<- bottleneck") for line in lines]
    assert marked == [stats is SLOW_SOURCE, stats is SLOW_DECODE, False, False]
    assert all("/s" in line.tail for line in lines)
    assert "queue 0/16" in lines[2].tail
