"""In the kernel of a notebook: cells, interrupts, restarts. Needs the extra ``notebook``; skipped without it."""

from __future__ import annotations

from textwrap import dedent

import pytest

pytest.importorskip("ipykernel")
pytest.importorskip("jupyter_client")

# What a notebook does, without its pages. The kernel's own remarks are not looked at.
CLIENT = """
import os, time
import psutil
from jupyter_client.manager import start_new_kernel

os.environ.pop("PYTEST_CURRENT_TEST", None)  # with it a kernel does not take over descriptors 1 and 2
manager, client = start_new_kernel()


def cell(code, interrupt_at=None):
    \"\"\"Run a cell; return what it shows, as (kind, text). Interrupt it once it has printed this.\"\"\"
    shown, asked = [], client.execute(code)
    while True:
        message = client.get_iopub_msg(timeout=30)
        kind, content = message["msg_type"], message["content"]
        if message["parent_header"].get("msg_id") != asked:
            continue
        if kind == "status" and content["execution_state"] == "idle":
            return shown
        if kind == "stream":
            shown.append((content["name"], content["text"]))
        elif kind == "execute_result":
            shown.append(("result", content["data"]["text/plain"]))
        elif kind == "error":
            shown.append(("error", content["ename"]))
        if interrupt_at is not None and any(interrupt_at in text for _, text in shown):
            manager.interrupt_kernel()
            interrupt_at = None


def family():
    return psutil.Process(manager.provisioner.pid).children(recursive=True)


def busy():
    \"\"\"Begin a cell whose workers never return; return the processes of its run.\"\"\"
    cell(SLEEPER)
    client.execute("pipe.wait_for_result(progress=False)")
    deadline = time.monotonic() + 15
    while len(family()) < 3:  # the hub and two workers
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return family()


def text(kind, shown):
    return "".join(text for name, text in shown if name == kind)


SLEEPER = '''
import itertools, time
from olympipe_like import Pipeline

def work(x):
    if x > 3:
        time.sleep(1000)
    print("item", x, flush=True)
    return x

pipe = Pipeline(itertools.count()).task(work, workers=2)
'''
TALKER = '''
import logging

def talk(x):
    print("item", x)
    logging.getLogger("mine").warning("about %s", x)
    return x
'''
try:
    cell("from olympipe_like import Pipeline")
{steps}
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
print("done")
"""


@pytest.fixture
def notebook(script):
    """Run the steps of a notebook's user."""

    def run(steps):
        indented = "".join(f"    {line}\n" for line in dedent(steps).strip().splitlines())
        done = script.finish(script.start(CLIENT.replace("{steps}\n", indented)), seconds=50)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "done"

    return run


def test_cells_define_functions_and_classes_and_change_them(notebook):
    notebook("""
        cell("def double(x):\\n    return 2 * x")
        double = "Pipeline(range(4)).task(double, workers=2).wait_for_result(progress=False)"
        assert cell(double) == [("result", "[0, 2, 4, 6]")], cell(double)
        cell("def double(x):\\n    return -x")
        assert cell(double) == [("result", "[0, -1, -2, -3]")], cell(double)
        cell("class Point:\\n    def __init__(self, x):\\n        self.x = x")
        points = "[type(p) is Point for p in Pipeline(range(2)).task(lambda x: Point(x)).run(progress=False)]"
        assert cell(points) == [("result", "[True, True]")], cell(points)
        in_async = "[x async for x in Pipeline(range(3)).task(double).run(progress=False)]"
        assert cell(in_async) == [("result", "[0, -1, -2]")], cell(in_async)
        assert cell("Pipeline([0]).task(lambda x: 1 // x).wait_for_result(progress=False)") == [
            ("error", "StageFailed[ZeroDivisionError]")
        ]
    """)


def test_what_workers_print_and_log_is_shown_under_the_cell(notebook):
    notebook("""
        cell(TALKER)
        shown = cell("Pipeline(range(3)).task(talk).wait_for_result(progress=False)")
        assert text("stdout", shown) == "item 0\\nitem 1\\nitem 2\\n", shown
        assert text("stderr", shown) == "about 0\\nabout 1\\nabout 2\\n", shown
    """)


def test_a_progress_bar_is_shown_and_is_full_at_the_end(notebook):
    notebook("""
        shown = cell("Pipeline(range(30)).task(lambda x: x).wait_for_result()[:1]")
        lines = text("stderr", shown).split("\\r")
        assert " 30/30 " in lines[-1] and lines[-1].endswith("\\n"), shown
        assert text("stdout", shown) == "", shown
        assert text("result", shown) == "[0]", shown
    """)


def test_an_interrupted_cell_ends_its_workers_and_the_next_one_runs(notebook):
    notebook("""
        cell(SLEEPER)
        for _ in range(2):
            began = time.monotonic()
            shown = cell("Pipeline(range(9)).task(work, workers=2).wait_for_result()", interrupt_at="item 3")
            assert shown[-1] == ("error", "KeyboardInterrupt"), shown
            assert time.monotonic() - began < 10
            assert len(family()) == 1, family()  # the idle hub
        assert cell("Pipeline(range(3)).task(str).wait_for_result(progress=False)")[-1] == ("result", "['0', '1', '2']")
    """)


def test_a_kernel_that_is_restarted_takes_the_run_with_it(notebook):
    notebook("""
        running = busy()
        manager.restart_kernel(now=True)
        _, alive = psutil.wait_procs(running, timeout=2)
        assert not alive, alive
        client.wait_for_ready(timeout=30)
        cell("from olympipe_like import Pipeline")
        assert cell("Pipeline(range(2)).task(str).wait_for_result(progress=False)") == [("result", "['0', '1']")]
    """)


def test_a_kernel_that_is_shut_down_takes_the_run_with_it(notebook):
    notebook("""
        running = busy()
        manager.shutdown_kernel(now=True)
        _, alive = psutil.wait_procs(running, timeout=2)
        assert not alive, alive
    """)
