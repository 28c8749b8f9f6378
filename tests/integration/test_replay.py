"""The command: ``python -m olympipe_like letters`` and ``replay``, as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from olympipe_like.__main__ import main

KEEP = """
    from pathlib import Path
    from olympipe_like import Pipeline, PipelineError
    from stages import *
    try:
        {pipe}.wait_for_result(quarantine="kept", executor={executor!r})
    except PipelineError:
        pass
"""
STAGES = """
    import asyncio

    FACTOR = 10

    def half(number):
        return FACTOR / number

    def is_large(number):
        return 10 / number > 1

    def down(number):
        while True:
            number -= 1
            yield 10 / number
            if number < -3:
                return

    async def half_later(number):
        await asyncio.sleep(0)
        return 10 / number

    def read(name):
        with open(name) as file:
            return file.read()

    def mean(members):
        return 10 / sum(members)

    def add(item, total):
        return total + 10 / item

    def add_up(item, total):
        return total + 1, 20 / item

    class Scaler:
        def __init__(self, factor, **others):
            self.factor = factor

        def scale(self, number):
            return self.factor / number

        def close(self):
            print("closed")
"""


class Kept:
    """A folder with a letter, and the command run beside it."""

    def __init__(self, script) -> None:
        self.script = script

    def keep(self, pipe: str, executor: str | None = None) -> Path:
        """Run a pipeline that fails, and return its letter."""
        self.script.write(STAGES, "stages.py")
        self.script(KEEP.format(pipe=pipe, executor=executor))
        (letter,) = (self.script.folder / "kept").glob("0*.json")
        return letter

    def fix(self, old: str, new: str) -> None:
        """Change the module that the stages are in."""
        self.script.write(STAGES.replace(old, new), "stages.py")

    def run(self, *arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command, in another folder than the program was run in."""
        elsewhere = self.script.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        return subprocess.run(
            [sys.executable, "-m", "olympipe_like", *map(str, arguments)],
            cwd=elsewhere,
            env=self.script.environment,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )


@pytest.fixture
def kept(script) -> Kept:
    return Kept(script)


FAILING = {
    "task": ("Pipeline([5, 0]).task(half)", "return FACTOR / number", "return FACTOR * number", "half gives 0"),
    "filter": ("Pipeline([5, 0]).filter(is_large)", "10 / number > 1", "number > 1", "the item is filtered out"),
    "tap": ("Pipeline([5, 0]).tap(half)", "FACTOR / number", "FACTOR", "the item is passed on"),
    "explode": (
        "Pipeline([2]).explode(down)",
        "yield 10 / number",
        "yield number",
        "down gives [1, 0, -1, -2, -3, -4]",
    ),
    "async": ("Pipeline([5, 0]).task(half_later)", "return 10 / number", "return number", "half_later gives 0"),
    "batch": ("Pipeline([1, 0, 0, 0]).batch(2, collate=mean)", "10 / sum", "sum", "batch gives 0"),
    "reduce": ("Pipeline([5, 0]).reduce(7, add)", "total + 10 / item", "total + item", "add gives 7"),
    "scan": ("Pipeline([5, 0]).scan(7, add_up)", "20 / item", "20 * item", "add_up gives 0"),
    "unique": ("Pipeline([5, 0]).unique(half)", "FACTOR / number", "FACTOR * number", "unique gives 0"),
    "repeated bucket": ("Pipeline([5, 0]).bucket(half, [], 2).repeat(2)", "R / number", "R * number", "bucket gives 0"),
    "class_task": (
        "Pipeline([5, 0]).class_task(Scaler, 'scale', [3], 'close', worker_args=[{'some': 1}])",
        "self.factor / number",
        "self.factor * number",
        "Scaler gives 0",
    ),
    "split": ("Pipeline([5, 0]).split(lambda n: (half(n), n), n=2)[0]", "FACTOR / number", "FACTOR", "gives (10, 0)"),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_replay_fails_as_the_run_did_until_the_function_is_mended(kept, kind):
    pipe, old, new, says = FAILING[kind]
    letter = kept.keep(pipe)

    before = kept.run("replay", letter)
    kept.fix(old, new)
    after = kept.run("replay", letter)

    assert before.returncode == 1, before.stderr
    assert "fails again:" in before.stdout
    assert "ZeroDivisionError" in before.stdout
    assert "stages.py" in before.stdout
    assert "_runtime" not in before.stdout  # the traceback is the user's alone
    assert after.returncode == 0, after.stdout + after.stderr
    assert says in after.stdout


def test_a_replay_reads_relative_paths_where_the_program_ran(kept):
    letter = kept.keep("Pipeline(['notes.txt']).task(read)")
    kept.script.write("now it is there", "notes.txt")

    done = kept.run("replay", letter.relative_to(kept.script.folder).parent.parent / ".." / "kept" / letter.name)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "read gives 'now it is there'" in done.stdout


def test_functions_and_classes_of_the_script_itself_are_replayed_without_it(kept, script):
    script("""
        from dataclasses import dataclass
        from olympipe_like import Pipeline

        @dataclass
        class Point:
            x: int

        scale = 10
        try:
            Pipeline([Point(0)]).task(lambda p: (isinstance(p, Point), scale / p.x)).wait_for_result(quarantine="kept")
        except ZeroDivisionError:
            pass
    """)
    (script.folder / "script.py").unlink()
    (letter,) = (script.folder / "kept").glob("0*.json")

    done = kept.run("replay", letter)

    assert done.returncode == 1
    assert "item 0: Point(x=0)" in done.stdout
    assert "ZeroDivisionError: division by zero" in done.stdout


@pytest.mark.parametrize("kind", ["task", "async", "explode"])
def test_a_debugger_stops_at_the_first_line_of_the_function(kept, kind):
    pipe = FAILING[kind][0]
    letter = kept.keep(pipe)

    done = kept.run("replay", letter, "--pdb", stdin="p 'it is', number\nq\n")

    first_line = {
        "task": "-> return FACTOR / number",
        "async": "-> await asyncio.sleep(0)",
        "explode": "-> while True:",
    }[kind]
    assert done.stdout.count("-> ") == 1, done.stdout
    assert first_line in done.stdout
    assert f"('it is', {2 if kind == 'explode' else 0})" in done.stdout
    assert done.returncode == 1


def test_a_debugger_that_goes_on_to_the_end_leaves_the_result(kept):
    letter = kept.keep(FAILING["task"][0])

    done = kept.run("replay", letter, "--pdb", stdin="number = 5\nc\n")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "works now: half gives 2.0" in done.stdout


def test_a_debugger_is_entered_where_the_function_failed(kept):
    letter = kept.keep(FAILING["task"][0])

    done = kept.run("replay", letter, "--post-mortem", stdin="p 'it is', number\nq\n")

    assert "-> return FACTOR / number" in done.stdout
    assert "('it is', 0)" in done.stdout
    assert done.returncode == 1


def test_without_a_terminal_no_debugger_is_entered(kept):
    done = kept.run("replay", kept.keep(FAILING["task"][0]))

    assert "(Pdb)" not in done.stdout
    assert done.returncode == 1


def test_a_thread_stage_that_does_not_travel_keeps_its_item_and_cannot_be_replayed(kept, script):
    script("""
        import threading
        from olympipe_like import Pipeline

        lock = threading.Lock()

        def half(number):
            with lock:
                return 10 / number

        try:
            Pipeline([0]).task(half, executor="thread").wait_for_result(quarantine="kept")
        except ZeroDivisionError:
            pass
        print(Pipeline.from_quarantine("kept").wait_for_result())
    """)
    (letter,) = (script.folder / "kept").glob("0*.json")

    done = kept.run("replay", letter)

    assert done.returncode == 2
    assert "the functions of its stage were not kept: cannot pickle '_thread.lock' object" in done.stderr


def test_what_has_no_function_cannot_be_replayed(kept):
    letter = kept.keep("Pipeline([1, 2]).zip(Pipeline([1]))")

    done = kept.run("replay", letter)

    assert done.returncode == 2
    assert "a zip cannot be run on one item" in done.stderr


def test_a_file_that_is_no_letter_cannot_be_replayed(kept):
    path = kept.script.write("[]", "other.json")

    for name in (path, path.with_name("missing.json")):
        done = kept.run("replay", name)
        assert done.returncode == 2
        assert name.name in done.stderr
        assert "Traceback" not in done.stderr


def test_a_table_shows_file_stage_item_error_and_attempts(kept):
    letter = kept.keep("Pipeline([5, 0]).task(half).task(print)")

    done = kept.run("letters", letter.parent)

    head, row = done.stdout.splitlines()
    assert head.split() == ["file", "stage", "item", "error", "attempts"]
    assert row.split("  ")[0] == letter.name
    for cell in ("1/2 half", "1: 0", "ZeroDivisionError: division by zero"):
        assert cell in row
    assert row.endswith("1")
    assert done.returncode == 0


def test_a_table_names_files_that_cannot_be_read_and_shows_the_others(kept, capsys):
    letter = kept.keep(FAILING["task"][0])
    broken = letter.with_name(letter.name.replace("001-", "002-"))
    broken.write_text(json.dumps({"format": 1}))

    code = main(["letters", str(letter.parent)])

    said = capsys.readouterr()
    assert code == 2
    assert letter.name in said.out
    assert f"{broken}: is no dead letter: KeyError" in said.err


def test_a_folder_without_letters_says_so(tmp_path, capsys):
    assert main(["letters", str(tmp_path)]) == 0
    assert "no dead letters" in capsys.readouterr().out
    assert main(["letters", str(tmp_path / "missing")]) == 2
    assert "missing" in capsys.readouterr().err


def test_a_replay_leaves_this_process_as_it_was(kept, capsys):
    letter = kept.keep(FAILING["task"][0])
    before = (sys.modules["__main__"], Path.cwd(), list(sys.path))

    code = main(["replay", str(letter), "--no-post-mortem"])

    assert code == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert (sys.modules["__main__"], Path.cwd(), list(sys.path)) == before
