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
    import threading
    from olympipe_like import SKIP

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

    def lower(text):
        return text.lower()

    def numbers(count, step=1):
        for number in range(count):
            yield number * step

    def minus_three(number):
        return number - 3

    def ten_over(number):
        return 10 / number

    def is_odd(number):
        return number % 2 == 1

    def twice(number):
        return [number, number - 5]

    def endless(number):
        while True:
            yield number
            number -= 1

    def forget(number):
        return SKIP if number == 3 else number

    def is_number(item):
        return not isinstance(item, str)

    def make_lock(number):
        return threading.Lock()

    class Explodes:
        def __init__(self, number):
            self.number = number

        def __reduce__(self):
            return explode, (self.number,)

    def explode(number):
        raise ValueError(f"boom while loading {number}")

    def bomb(number):
        return Explodes(number) if number == 3 else number

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
        self.more = ""  # of the module that the stages are in

    def keep(self, pipe: str, executor: str | None = None) -> Path:
        """Run a pipeline that fails, and return its letter."""
        self.script.write(STAGES + self.more, "stages.py")
        self.script(KEEP.format(pipe=pipe, executor=executor))
        (letter,) = (self.script.folder / "kept").glob("0*.json")
        return letter

    def fix(self, old: str, new: str) -> None:
        """Change the module that the stages are in."""
        self.script.write((STAGES + self.more).replace(old, new), "stages.py")

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


DRAWING = """
    import random
    import numpy
    from olympipe_like import Pipeline, PipelineError

    def fail(item, rng):
        raise ValueError(rng.random(), random.random(), numpy.random.random())

    async def fail_later(item, rng):
        fail(item, rng)

    def parts(item, rng):
        yield rng.random(), random.random()
        fail(item, rng)

    class Noise:
        def __init__(self):
            self.own = random.random()

        def fail(self, item, rng):
            raise ValueError(self.own, rng.random(), random.random())

    try:
        Pipeline([3, 4]).{step}.wait_for_result(quarantine="kept", seed=1)
    except PipelineError:
        pass
"""


@pytest.mark.parametrize(
    "step",
    [
        "task(fail, 2)",
        "task(int).batch(2, collate=fail)",
        "task(fail_later, executor='process')",
        "explode(parts)",
        "class_task(Noise, 'fail')",
    ],
)
def test_a_replay_draws_what_the_run_drew(kept, step):
    kept.script(DRAWING.format(step=step))
    letter = min((kept.script.folder / "kept").glob("0*.json"))
    fields = json.loads(letter.read_text())

    again = kept.run("replay", letter)

    assert int(fields["seed"], 16) < 1 << 128
    assert f"ValueError: {fields['error']['text']}" in again.stdout.split("fails again:")[1]


DRAWING_ON_THE_WAY = """
    import random
    from olympipe_like import Pipeline, PipelineError

    def noise(item, rng):
        return item + rng.random() + random.random()

    def mark(item, rng):
        return item + rng.random() if isinstance(item, int) else item

    def is_number(item):
        return isinstance(item, float)

    def noises(item, rng):
        return [rng.random() + random.random() for _ in range(item)]

    class Noise:
        def __init__(self):
            self.own = random.random()

        def add(self, item, rng):
            return item + self.own + rng.random()

    def fail(item):
        raise ValueError(item)

    try:
        {pipe}.wait_for_result(quarantine="kept", seed=1)
    except PipelineError:
        pass
"""


@pytest.mark.parametrize(
    "pipe",
    [
        "Pipeline([3, 4]).task(noise, 2).task(noise).task(fail)",
        "Pipeline([3, 4]).explode(noises).task(fail)",
        "Pipeline([3, 4]).task(abs).class_task(Noise, 'add').filter(bool).task(fail)",
        "Pipeline([3, 4]).task(abs).fuse().task(noise).fuse().task(fail)",
        "Pipeline([3]).repeat(2).task(noise).task(fail)",
        "(lambda kept, others: kept.gather(others))(*Pipeline([3, 4]).partition(bool)).task(noise).task(fail)",
    ],
)
def test_stages_on_the_way_draw_what_they_drew_in_the_run(kept, pipe):
    kept.script(DRAWING_ON_THE_WAY.format(pipe=pipe))
    letter = min((kept.script.folder / "kept").glob("0*.json"))

    again = kept.run("replay", letter)

    assert f"ValueError: {json.loads(letter.read_text())['error']['text']}" in again.stdout.split("fails again:")[1]
    assert "the source gives 3" in again.stdout
    assert "in the run it was given" not in again.stdout


def test_what_was_drawn_behind_a_gather_is_told_apart_by_the_items_beside_it(kept):
    """Of two legs the first gives an item that is then filtered out; the second one's came behind it."""
    kept.script(
        DRAWING_ON_THE_WAY.format(
            pipe="(lambda p: p.task(str).gather(p.task(abs)))(Pipeline([3])).task(mark).filter(is_number).task(fail)"
        )
    )
    letter = min((kept.script.folder / "kept").glob("0*.json"))

    again = kept.run("replay", letter)

    assert f"ValueError: {json.loads(letter.read_text())['error']['text']}" in again.stdout.split("fails again:")[1]
    assert "the source gives 3" in again.stdout
    assert "in the run it was given" not in again.stdout


def test_a_step_of_ours_behind_a_gather_draws_nothing_and_is_in_nobodys_way(kept):
    pipe = "(lambda full, empty: full.gather(empty))(*Pipeline([[3]]).partition(len)).unbatch().task(fail)"
    kept.script(DRAWING_ON_THE_WAY.format(pipe=pipe))
    letter = min((kept.script.folder / "kept").glob("0*.json"))

    again = kept.run("replay", letter)

    assert "the source gives [3]" in again.stdout
    assert "ValueError: 3" in again.stdout.split("fails again:")[1]


def test_where_that_cannot_be_told_only_the_stage_that_failed_is_run(kept):
    pipe = "(lambda p: p.gather(p.task(abs)))(Pipeline([3])).explode(lambda item: [item]).task(noise).task(fail)"
    kept.script(DRAWING_ON_THE_WAY.format(pipe=pipe))
    letter = min((kept.script.folder / "kept").glob("0*.json"))

    again = kept.run("replay", letter)

    assert "only the stage that failed is run" in again.stdout
    assert "'noise' draws random numbers, and which they were behind a gather is not known" in again.stdout
    assert f"ValueError: {json.loads(letter.read_text())['error']['text']}" in again.stdout.split("fails again:")[1]


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


# -- from the source --------------------------------------------------------------------------------------------------

# What fails, in the end, is ten_over of 0, and what comes before it is told line by line.
WAYS = {
    "tasks": ("Pipeline([5, 3, 9]).task(minus_three).task(ten_over)", ["gives 3", "minus_three gives 0"]),
    "a callable source": ("Pipeline(numbers, 9).task(minus_three).task(ten_over)", ["gives 3", "minus_three gives 0"]),
    "arguments of a source": (
        "Pipeline(numbers, 9, step=3).task(minus_three).task(ten_over)",
        ["gives 3", "minus_three gives 0"],
    ),
    "filter, tap, debug": (
        "Pipeline([5, 3]).filter(is_odd).tap(abs).debug().task(minus_three).task(ten_over)",
        ["gives 3", "the item is kept", "the item is passed on", "debug: item 1: 3", "minus_three gives 0"],
    ),
    "coroutines, threads": (
        "Pipeline([5, 0]).task(str).task(int, executor='thread').task(half_later)",
        ["gives 0", "str gives '0'", "int gives 0"],
    ),
    "class_task": (
        "Pipeline([5, 3]).class_task(Scaler, 'scale', [0], worker_args=[{}]).task(ten_over)",
        ["gives 5", "Scaler gives 0.0"],
    ),
    "explode": ("Pipeline([4, 5]).explode(twice).task(ten_over)", ["gives 5", "twice gives 0"]),
    "an endless explode": ("Pipeline([2]).explode(endless).task(ten_over)", ["gives 2", "endless gives 0"]),
    "unbatch": ("Pipeline([[1, 2], [3, 0]]).unbatch().task(ten_over)", ["gives [3, 0]", "unbatch gives 0"]),
    "limit and skip": (
        "Pipeline(range(9)).skip(2).limit(3).task(minus_three).task(ten_over)",
        ["gives 3", "minus_three gives 0"],
    ),
    "shuffle": ("Pipeline([3] * 5).shuffle(3).task(minus_three).task(ten_over)", ["gives 3", "minus_three gives 0"]),
    "unique, shard, sample": (
        "Pipeline([3]).unique().shard(0, 1).sample(1.0).task(minus_three).task(ten_over)",
        ["gives 3", "minus_three gives 0"],
    ),
    "repeat": (
        "Pipeline([3]).shuffle(4).task(minus_three).repeat(2).task(ten_over)",
        ["gives 3", "minus_three gives 0"],
    ),
    "a repeated callable source": (
        "Pipeline(numbers, 4).task(minus_three).repeat(2).task(ten_over)",
        ["gives 3", "minus_three gives 0"],
    ),
    "concat": (
        "Pipeline([1, 3]).filter(is_large).concat(Pipeline(numbers, 9).task(minus_three)).task(ten_over)",
        ["gives 3", "minus_three gives 0"],
    ),
    "a leg of a split": (
        "Pipeline([5, 3]).split(lambda n: (n, n - 3), n=2)[1].task(ten_over)",
        ["gives 3", "gives (3, 0)"],
    ),
    "the leg of a gather": (
        "(lambda odd, even: even.gather(odd.task(minus_three)))(*Pipeline([2, 3]).partition(is_odd)).task(ten_over)",
        ["gives 3", "is_odd gives (3, SKIP)", "minus_three gives 0"],
    ),
    "legs of different depth": (
        "(lambda p: p.task(str).filter(len).gather(p.explode(twice)))(Pipeline([5])).filter(is_number).task(ten_over)",
        ["gives 5", "twice gives 0", "the item is kept"],
    ),
    "fused stages": (
        "Pipeline([5, 3]).task(float).task(minus_three).task(ten_over).fuse()",
        ["gives 3", "float gives 3.0", "minus_three gives 0.0"],
    ),
    "a handler on the way": (
        "Pipeline(['a', '3']).task(int, on_error=lambda item, error: 3).task(minus_three).task(ten_over)",
        ["gives 'a'", "its on_error gives 3", "minus_three gives 0"],
    ),
    "a text, character by character": ("Pipeline('70').task(int).task(ten_over)", ["gives '0'", "int gives 0"]),
    "a failing reduce": (
        "Pipeline([5, 3]).task(minus_three).reduce(0, add)",
        ["gives 3", "minus_three gives 0", "initial"],
    ),
}


@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.parametrize("executor", [None, "inline"])
def test_a_replay_sends_the_item_from_its_source_through_every_stage_before(kept, kind, executor):
    pipe, lines = WAYS[kind]
    letter = kept.keep(pipe, executor)

    done = kept.run("replay", letter)

    said = done.stdout.splitlines()[2:]
    assert done.returncode == 1, done.stdout + done.stderr
    assert said[0].startswith("the source gives"), done.stdout
    before = said[: said.index("fails again:")]
    assert len(before) == len(lines), before
    for line, text in zip(before, lines, strict=True):
        assert text in line, before
    assert "division by zero" in said[-1]


def test_a_stage_on_the_way_that_was_mended_is_the_one_of_now(kept):
    letter = kept.keep("Pipeline([5, 3]).task(minus_three).task(ten_over)")
    kept.fix("return number - 3", "return number - 1")

    done = kept.run("replay", letter)
    alone = kept.run("replay", letter, "--alone")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "stage 2/2 'ten_over' is given 2; in the run it was given 0" in done.stdout
    assert done.stdout.endswith("works now: ten_over gives 5.0\n")
    assert alone.returncode == 1
    assert "the source" not in alone.stdout


@pytest.mark.parametrize(
    ("new", "code", "says"),
    [
        ("return SKIP", 0, "works now: stage 1/2 'minus_three' drops the item now, so it does not come to the stage"),
        ("raise KeyError(number)", 1, "fails on the way, in stage 1/2 'minus_three':"),
    ],
)
def test_an_item_that_does_not_come_through_any_more_says_where_it_went(kept, new, code, says):
    letter = kept.keep("Pipeline([5, 3]).task(minus_three).task(ten_over)")
    kept.fix("return number - 3", new)

    done = kept.run("replay", letter)

    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stdout
    assert "_runtime" not in done.stdout


def test_a_debugger_stops_in_each_function_on_the_way(kept):
    letter = kept.keep("Pipeline([5, 3]).task(minus_three).task(ten_over)")

    done = kept.run("replay", letter, "--pdb", stdin="p 'first', number\nc\np 'second', number\nq\n")

    assert "('first', 3)" in done.stdout
    assert "('second', 0)" in done.stdout
    assert done.stdout.count("-> ") == 2


def test_a_debugger_is_entered_where_the_item_fails_on_the_way(kept):
    letter = kept.keep("Pipeline([5, 3]).task(minus_three).task(ten_over)")
    kept.fix("return number - 3", "return number - None")

    done = kept.run("replay", letter, "--post-mortem", stdin="p 'it is', number\nq\n")

    assert "-> return number - None" in done.stdout
    assert "('it is', 3)" in done.stdout


ALONE = {
    "batch": ("Pipeline([5, 0]).task(abs).batch(2).task(mean)", "the batch 'batch' made it of several items"),
    "a failing batch": (
        "Pipeline([1, 0, 0, 0]).task(abs).batch(2, collate=mean)",
        "what 'batch' was given is a batch of several items",
    ),
    "iterator": (
        "Pipeline(iter([5, 3])).task(minus_three).task(ten_over)",
        "its source is an iterator, which gives each item once",
    ),
    "set": (
        "Pipeline({3}).task(minus_three).task(ten_over)",
        "its source is no sequence, so it cannot be asked for one item",
    ),
    "both legs": (
        "(lambda p: p.task(minus_three).gather(p.task(abs)))(Pipeline([5, 3])).task(ten_over)",
        "its position does not tell by which leg of a gather it came",
    ),
    "a source that ends earlier": (
        "Pipeline(numbers, 9).task(minus_three).task(ten_over)",
        "its source ends before it comes to it",
    ),
}


@pytest.mark.parametrize("kind", ALONE)
def test_an_item_that_cannot_be_had_from_its_source_is_taken_as_the_failing_stage_was_given_it(kept, kind):
    pipe, why = ALONE[kind]
    if kind == "batch":
        kept.more = """
    def mean(members):
        return 10 / (sum(members) - 5)
    """
    letter = kept.keep(pipe)
    kept.fix("in range(count)", "in range(2)")

    done = kept.run("replay", letter)

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"only the stage that failed is run, on what it was given: {why}" in done.stdout
    assert "division by zero" in done.stdout


def test_what_the_source_gave_is_kept_with_the_letter_though_what_the_stage_was_given_cannot_be(kept):
    letter = kept.keep("Pipeline([5, 3]).task(make_lock, executor='thread').task(len, executor='thread')", "thread")
    fields = json.loads(letter.read_text())

    done = kept.run("replay", letter)

    assert fields["input"]["data"] is None
    assert fields["origins"][0]["data"] is not None
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the source gives 5" in done.stdout
    assert "object of type '_thread.lock' has no len()" in done.stdout


def test_a_result_that_cannot_be_sent_fails_again_until_the_function_is_mended(kept):
    letter = kept.keep("Pipeline([5, 3]).task(abs).task(make_lock)")

    before = kept.run("replay", letter)
    kept.fix("return threading.Lock()", "return number")
    after = kept.run("replay", letter)

    assert before.returncode == 1, before.stdout + before.stderr
    assert "fails again: its result cannot be sent to the next stage: TypeError: cannot pickle" in before.stdout
    assert after.returncode == 0, after.stdout + after.stderr


@pytest.mark.parametrize("behind", ["", ".task(str)"])
def test_a_result_that_cannot_be_rebuilt_is_made_again_of_what_the_source_gave(kept, behind):
    letter = kept.keep(f"Pipeline([5, 3]).task(abs).task(bomb){behind}")
    kept_item = json.loads(letter.read_text())["input"]["data"]

    before = kept.run("replay", letter)
    kept.fix("return Explodes(number) if number == 3 else number", "return number")
    after = kept.run("replay", letter)

    assert kept_item is None
    assert before.returncode == 1, before.stdout + before.stderr
    assert "abs gives 3" in before.stdout
    assert "its result cannot be rebuilt where it is sent to: ValueError: boom while loading 3" in before.stdout
    assert after.returncode == 0, after.stdout + after.stderr
    assert "bomb gives 3" in after.stdout


def test_a_part_of_an_explode_that_cannot_be_rebuilt_is_made_again(kept):
    letter = kept.keep("Pipeline([5]).explode(lambda n: map(bomb, range(n))).task(str)")

    done = kept.run("replay", letter)

    assert json.loads(letter.read_text())["position"] == [0, 3]
    assert done.returncode == 1, done.stdout + done.stderr
    assert "boom while loading 3" in done.stdout


def test_without_its_item_and_without_its_source_nothing_can_be_run(kept):
    letter = kept.keep("Pipeline(iter([5, 3])).task(bomb)")

    done = kept.run("replay", letter)

    assert done.returncode == 2
    assert "it cannot be brought from its source: its source is an iterator" in done.stderr
