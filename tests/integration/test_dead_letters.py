"""What becomes of items that failed: kept in files, shown, fed again, run again."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from olympipe_like import FailedItem, Pipeline, PipelineExecutionError, PlanError, PlanTypeError, StageFailed
from olympipe_like._model.failure import Failure
from olympipe_like._model.identity import at_end
from olympipe_like._plan.layout import lay_out
from olympipe_like._plan.segment import Label
from olympipe_like._runtime import letter_files as files
from olympipe_like._runtime.dead_letters import DeadLetters
from olympipe_like._runtime.failed_items import from_failure
from olympipe_like._transport.codec import DecodingError, EncodingError, decode_item, encode_item
from olympipe_like._worker.blame import blame
from tests.functions import ExplodesOnLoad, increment

EXECUTORS = ["process", "thread", "async", "inline"]
LABEL = Label("increment", "task", 1, 1)
LAYOUT = lay_out([Pipeline([1]).task(increment)._node])


def failure_of(
    item: object, path: tuple[int, ...] = (0,), label: Label = LABEL, *, texts: tuple[str, ...] = ("no such thing",)
) -> Failure:
    """Return the record of an item that failed, as a worker makes it."""
    try:
        raise LookupError(*texts)
    except LookupError as error:
        return blame(error, label, "worker 1.0, pid 1", path=path, item=item, keep=True)


def half(number):
    return 10 / number


def make_lock(_):
    return threading.Lock()


def interrupt(_):
    raise KeyboardInterrupt


# -- items as bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", [None, 5, "ä\udc80", [1, (2, {3: b"4"})], increment, range(3)])
def test_an_item_comes_out_of_its_bytes_as_it_went_in(item):
    assert decode_item(encode_item(item), {}) == item


def test_a_lambda_that_is_an_item_travels_by_value():
    factor = 3

    made = decode_item(encode_item(lambda number: number * factor), {})

    assert made(5) == 15


def test_what_cannot_be_pickled_is_refused_with_the_reason():
    with pytest.raises(EncodingError) as caught:
        encode_item(threading.Lock())

    assert "lock" in str(caught.value.__cause__)


def test_bytes_that_cannot_be_read_are_refused_with_the_reason():
    with pytest.raises(DecodingError) as caught:
        decode_item(b"nonsense", {})

    assert isinstance(caught.value.__cause__, pickle.UnpicklingError)


# -- letters ----------------------------------------------------------------------------------------------------------


def test_a_letter_says_what_failed_where_why_and_holds_the_item(tmp_path):
    letters = DeadLetters(tmp_path, LAYOUT)

    file = letters.keep(failure_of({"a": 1}, (5, 2)))

    fields = json.loads(file.read_text())
    assert fields["format"] == 1
    assert fields["run"] == letters.run
    assert (fields["stage"], fields["place"], fields["operator"]) == ("increment", "1/1", "task")
    assert (fields["position"], fields["position_text"]) == ([5, 2], "item 5.2")
    assert fields["item"] == "{'a': 1}"
    assert fields["error"] == {"type": "LookupError", "text": "no such thing"}
    assert fields["traceback"][-1] == "LookupError: no such thing"
    assert (fields["attempts"], fields["worker"], fields["seed"]) == (1, "worker 1.0, pid 1", None)
    assert fields["environment"]["python"] == sys.version.split()[0]
    assert fields["environment"]["directory"] == str(Path.cwd())
    assert fields["environment"]["arguments"] == sys.argv
    assert pickle.loads(files.from_text(fields["input"]["data"])) == {"a": 1}
    assert fields["input"]["encoding"] == "base64 of pickle protocol 5"


def test_a_letter_without_its_item_says_why(tmp_path):
    file = DeadLetters(tmp_path, LAYOUT).keep(failure_of(threading.Lock()))

    given = json.loads(file.read_text())["input"]
    assert given["data"] is None
    assert "cannot be pickled" in given["missing"]
    assert "lock" in given["missing"]


def test_texts_that_are_no_characters_survive(tmp_path):
    failure = failure_of("half of a pair: \udc80, and 日本")

    letter = files.read_letter(DeadLetters(tmp_path, LAYOUT).keep(failure))

    assert letter.item == failure.item
    assert decode_item(letter.data, {}) == "half of a pair: \udc80, and 日本"


def test_letters_sorted_by_name_are_sorted_by_stage_and_position(tmp_path):
    places = [
        (2, (10,)),
        (1, (9,)),
        (12, (0,)),
        (2, (9, 1)),
        (2, (9,)),
        (2, (10**11,)),
        (2, (9, 0, 4)),
    ]
    of_no_item = (2, at_end(()))
    for number, path in [*places[:4], of_no_item, *places[4:]]:
        DeadLetters(tmp_path, LAYOUT).keep(failure_of(0, path, Label(f"stage {number}", "task", number, 12)))

    found = [files.read_letter(file) for file in files.letters_in(tmp_path)]

    expected = sorted(places)
    expected.insert(-1, (2, ()))  # behind all of its stage, before stage 12
    assert [(letter.number, letter.position) for letter in found] == expected


def test_items_of_one_position_each_get_a_letter(tmp_path):
    letters = DeadLetters(tmp_path, LAYOUT)

    kept = {letters.keep(failure_of(item)) for item in "abc"}

    assert len(kept) == 3
    assert sorted(Pipeline.from_quarantine(tmp_path).wait_for_result(executor="inline")) == ["a", "b", "c"]


def test_runs_may_share_a_folder(tmp_path):
    for item in (1, 2):
        DeadLetters(tmp_path, LAYOUT).keep(failure_of(item))

    assert len(files.letters_in(tmp_path)) == 2
    assert len(files.stages_in(tmp_path)) == 2


def test_the_operators_of_a_stage_are_kept_once_a_run(tmp_path):
    letters = DeadLetters(tmp_path, LAYOUT)

    for number in range(3):
        letters.keep(failure_of(number, (number,)))

    (file,) = files.stages_in(tmp_path)
    assert files.read_stage(file).stages == ("increment",)
    assert b"increment" in files.read_stage(file).way[-1].functions


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_path_that_names_no_folder_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(PlanError, match="quarantine"):
        Pipeline([0]).task(half, on_error="skip").wait_for_result(quarantine=path)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_refused_before_the_run_starts(tmp_path):
    (tmp_path / "file").touch()
    seen = []

    with pytest.raises(PlanError, match=r"quarantine: cannot keep failed items in .*file"):
        Pipeline(map(seen.append, [1])).wait_for_result(quarantine=tmp_path / "file" / "q")

    assert seen == []


def test_a_path_that_is_none_is_refused_where_it_is_written():
    with pytest.raises(PlanTypeError, match=r"run \(test_dead_letters.py:\d+\): quarantine must be a path, got 3"):
        Pipeline([1]).wait_for_result(quarantine=3)


# -- whatever happens to the writer ------------------------------------------------------------------------------------

WRITER = """
import sys
from olympipe_like import Pipeline
from olympipe_like._plan.layout import lay_out
from olympipe_like._plan.segment import Label
from olympipe_like._runtime.dead_letters import DeadLetters
from olympipe_like._worker.blame import blame
letters = DeadLetters(sys.argv[1], lay_out([Pipeline([1]).task(abs)._node]))
number = 0
while True:
    print(number, flush=True)
    item = "x" * 50_000
    letters.keep(blame(LookupError(), Label("abs", "task", 1, 1), "w", path=(number,), item=item, keep=True))
    number += 1
"""


def test_a_writer_that_is_killed_leaves_only_whole_letters(tmp_path):
    chance = random.Random(4)
    written = 0
    root = Path(__file__).parents[2]
    for _ in range(20):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=root) as writer:
            for number in range(chance.randint(1, 6)):
                assert writer.stdout.readline() == b"%d\n" % number
            written += number
            pause = threading.Event()
            pause.wait(chance.uniform(0, 0.005))  # a letter takes about as long: any moment of it is hit
            writer.send_signal(signal.SIGKILL)

    everything = sorted(tmp_path.glob("*.json"))
    letters = files.letters_in(tmp_path)
    stages = files.stages_in(tmp_path)
    assert len(letters) >= written > 20
    assert sorted([*letters, *stages]) == everything
    for file in letters:
        letter = files.read_letter(file)
        assert pickle.loads(letter.data) == "x" * 50_000
        assert tmp_path / letter.stage_file in stages
    for file in stages:
        assert files.read_stage(file).way[-1].functions is not None


AT_EVERY_INSTANT = """
import os, signal, sys
from pathlib import Path
from olympipe_like import Pipeline
from olympipe_like._plan.layout import lay_out
from olympipe_like._plan.segment import Label
from olympipe_like._runtime import letter_files as files
from olympipe_like._runtime.dead_letters import DeadLetters
from olympipe_like._worker.blame import blame

folder = Path(sys.argv[1])
failure = blame(LookupError(), Label("abs", "task", 2, 2), "w", path=(1,), item="x" * 50_000, keep=True)
layout = lay_out([Pipeline(["a", "x" * 50_000]).task(str).task(abs)._node])


def keep_and_be_killed_at(instant):
    seen = 0

    def count(frame, event, arg):
        nonlocal seen
        writes = frame.f_code.co_filename.endswith("letter_files.py") or "pathlib" in frame.f_code.co_filename
        if writes and event in ("c_call", "c_return"):  # before and after whatever touches the disk
            seen += 1
            if seen == instant:
                os.kill(os.getpid(), signal.SIGKILL)

    letters = DeadLetters(folder / str(instant), layout)
    sys.setprofile(count)
    letters.keep(failure)
    sys.setprofile(None)


instant, states = 0, []
while True:
    instant += 1
    child = os.fork()
    if child == 0:
        keep_and_be_killed_at(instant)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    here = folder / str(instant)
    letters, stages = files.letters_in(here), files.stages_in(here)
    assert sorted([*letters, *stages]) == sorted(here.glob("*.json"))
    for file in stages:
        assert len(files.read_stage(file).way) == 3
    for file in letters:
        letter = files.read_letter(file)
        assert len(letter.data) > 50_000 and len(letter.origins[0].data) > 50_000
        assert here / letter.stage_file in stages
    files.sweep(here)
    assert [path for path in here.iterdir() if path.suffix == ".tmp"] == []
    states.append((len(stages), len(letters)))
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
assert states == sorted(states)
print(len(states), *sorted(set(states)))
"""


def test_a_writer_that_is_killed_at_any_instant_leaves_a_whole_letter_or_none(tmp_path):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", AT_EVERY_INSTANT, str(tmp_path)]

    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
        timeout=50,
        check=False,
    )

    instants, _, states = done.stdout.partition(" ")
    assert states == "(0, 0) (1, 0) (1, 1)\n", done.stderr
    assert int(instants) > 50


def test_what_a_killed_writer_left_is_ignored_and_swept_by_the_next(tmp_path):
    (tmp_path / ".letter-0123456789abcdef.tmp").write_text('{"form')
    assert Pipeline.from_quarantine(tmp_path).wait_for_result(executor="inline") == []

    DeadLetters(tmp_path, LAYOUT)

    assert list(tmp_path.iterdir()) == []


def test_what_another_writer_is_writing_is_not_swept(tmp_path):
    with (tmp_path / ".letter-0123456789abcdef.tmp").open("xb") as file:
        files._hold(file.fileno())

        DeadLetters(tmp_path, LAYOUT)

        assert [path.name for path in tmp_path.iterdir()] == [".letter-0123456789abcdef.tmp"]


def test_a_temporary_file_that_is_swept_too_early_is_written_again(tmp_path, monkeypatch):
    lock, swept = files._hold, []

    def sweep_first(descriptor):
        if not swept:
            swept.extend(tmp_path.glob(".letter-*"))
            files.sweep(tmp_path)
        lock(descriptor)

    monkeypatch.setattr(files, "_hold", sweep_first)
    file = DeadLetters(tmp_path, LAYOUT).keep(failure_of(7))

    assert len(swept) == 1
    assert pickle.loads(files.read_letter(file).data) == 7


# -- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_item_that_fails_a_run_is_kept(tmp_path, executor):
    with pytest.raises(ZeroDivisionError):
        Pipeline([5, 0, 2]).task(half, executor=executor, workers=2).wait_for_result(quarantine=tmp_path)

    (file,) = files.letters_in(tmp_path)
    letter = files.read_letter(file)
    assert (letter.stage, letter.position, letter.item) == ("half", (1,), "0")
    assert pickle.loads(letter.data) == 0
    assert letter.error == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("executor", ["process", "inline"])
@pytest.mark.parametrize(
    ("build", "stage", "item"),
    [
        (lambda p: p.filter(half), "half", 0),
        (lambda p: p.tap(half), "half", 0),
        (lambda p: p.explode(half), "half", 5),  # a float is not iterable
        (lambda p: p.class_task(dict, "__getitem__", [{5: 1}]), "dict", 0),
        (lambda p: p.reduce(0, lambda item, total: total + half(item)), "<lambda>", 0),
        (lambda p: p.filter().task(str).task(half, name="text"), "text", "5"),
        (lambda p: p.split(lambda item: (half(item), 1), n=2)[0], "<lambda>", 0),
        (lambda p: p.task(lambda item: [item, item]).unbatch().task(half), "half", 0),
        (lambda p: p.task(lambda item: [item]).unbatch().filter().task(half), "half", 0),
    ],
)
def test_what_is_kept_is_what_the_failing_stage_was_given(tmp_path, executor, build, stage, item):
    with pytest.raises(StageFailed):
        build(Pipeline([5, 0])).wait_for_result(executor=executor, quarantine=tmp_path)

    (file,) = files.letters_in(tmp_path)
    letter = files.read_letter(file)
    assert letter.stage == stage
    assert pickle.loads(letter.data) == item


def test_a_run_without_failures_keeps_nothing(tmp_path):
    assert Pipeline([1]).task(half).wait_for_result(quarantine=tmp_path / "new") == [10]

    assert list((tmp_path / "new").iterdir()) == []


def test_a_failing_source_leaves_no_letter(tmp_path):
    def numbers():
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError):
        Pipeline(numbers()).task(half).wait_for_result(quarantine=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_record_holds_no_item_unless_it_is_asked_for():
    assert not any(stage.segment.keeps for stage in LAYOUT.stages if stage.segment is not None)
    assert blame(LookupError(), LABEL, "w", path=(0,), item=5).input is None
    assert blame(LookupError(), LABEL, "w", path=(0,), item=5, keep=True).input == encode_item(5)


def test_a_result_that_cannot_be_sent_leaves_a_letter_with_the_item_it_was_made_of(tmp_path):
    with pytest.raises(TypeError, match="lock"):
        Pipeline([1]).task(make_lock).wait_for_result(quarantine=tmp_path)

    (file,) = files.letters_in(tmp_path)
    letter = files.read_letter(file)
    assert decode_item(letter.data, {}) == 1
    assert "cannot be sent" in letter.error


def test_a_result_that_cannot_be_rebuilt_leaves_a_letter_without_its_item(tmp_path):
    with pytest.raises(ValueError, match="boom while loading"):
        Pipeline([1]).task(lambda _: ExplodesOnLoad()).wait_for_result(quarantine=tmp_path)

    (file,) = files.letters_in(tmp_path)
    letter = files.read_letter(file)
    assert letter.data is None
    assert letter.why_no_data == "where it failed, the item the stage was given was not at hand any more"


def test_ctrl_c_in_an_inline_run_is_nobodys_failure(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Pipeline([1]).task(interrupt).wait_for_result(executor="inline", quarantine=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_does_not_hide_the_error_of_the_run(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", refuse)
    with (
        pytest.warns(RuntimeWarning, match=r"item 0 of stage 'half' could not be kept: .*No space left"),
        pytest.raises(ZeroDivisionError),
    ):
        Pipeline([0]).task(half, executor="thread").wait_for_result(quarantine=tmp_path)


@pytest.mark.parametrize("on_error", ["skip", "collect"])
def test_a_dropped_item_that_cannot_be_kept_ends_the_run_with_an_error_that_names_it(tmp_path, on_error):
    def remove_the_folder(number):
        shutil.rmtree(tmp_path / "failed", ignore_errors=True)
        return half(number)

    pipe = Pipeline([1, 0]).task(remove_the_folder, name="half", on_error=on_error)
    with pytest.raises(PipelineExecutionError) as caught:
        pipe.wait_for_result(quarantine=tmp_path / "failed")

    assert re.fullmatch(
        rf"quarantine: item 1 of stage 'half' could not be kept in '{tmp_path}/failed': .*No such file.*"
        r"The run ends, because the item would be lost",
        str(caught.value),
    ), caught.value
    assert isinstance(caught.value.__cause__, OSError)


# -- fed again --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
def test_kept_items_are_fed_again_in_order_and_stay(tmp_path, executor):
    letters = DeadLetters(tmp_path, LAYOUT)
    for number in (30, 4, 100):
        letters.keep(failure_of(number, (number,)))

    pipe = Pipeline.from_quarantine(tmp_path).task(increment, executor=executor)

    assert pipe.wait_for_result() == [5, 31, 101]
    assert len(files.letters_in(tmp_path)) == 3
    letters.keep(failure_of(1, (1,)))
    assert pipe.wait_for_result() == [2, 5, 31, 101]


def test_only_items_of_the_stage_that_is_named_are_fed_again(tmp_path):
    layout = lay_out([Pipeline([1]).task(increment).task(half).filter(increment, name="rest")._node])
    letters = DeadLetters(tmp_path, layout)
    letters.keep(failure_of(1, (0,), Label("increment", "task", 1, 3)))
    letters.keep(failure_of(2, (1,), Label("half", "task", 2, 3)))

    for stage, items in (("half", [2]), ("increment", [1]), ("rest", [])):
        assert Pipeline.from_quarantine(tmp_path, stage=stage).wait_for_result(executor="inline") == items
    with pytest.raises(PlanError, match=r"no stage 'halve' in the runs .* there were \['half', 'increment', 'rest'\]"):
        Pipeline.from_quarantine(tmp_path, stage="halve")


def test_the_members_of_a_batch_that_failed_are_fed_one_by_one(tmp_path):
    def add(members):
        return sum(members) / (members[0] - 3)

    with pytest.raises(ZeroDivisionError):
        Pipeline(range(1, 7)).batch(2, collate=add).wait_for_result(quarantine=tmp_path)

    assert Pipeline.from_quarantine(tmp_path).batch(2).wait_for_result() == [[3, 4]]


def test_an_empty_folder_is_an_empty_source(tmp_path):
    assert Pipeline.from_quarantine(tmp_path).task(half).wait_for_result(executor="inline") == []


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(PlanError, match=r"test_dead_letters.py:\d+\): cannot read dead letters from .*no_such"):
        Pipeline.from_quarantine(tmp_path / "no_such")


def test_a_folder_of_other_things_is_refused_by_name(tmp_path):
    (tmp_path / "notes.json").write_text("{}")

    with pytest.raises(PlanError, match=rf"there are no dead letters in '{tmp_path}'"):
        Pipeline.from_quarantine(tmp_path)


def test_letters_without_their_item_are_named_in_a_warning(tmp_path):
    letters = DeadLetters(tmp_path, LAYOUT)
    file = letters.keep(failure_of(threading.Lock(), (0,)))
    letters.keep(failure_of(2, (1,)))

    with pytest.warns(RuntimeWarning, match=rf"the item is not in its letter: {file.name}"):
        assert Pipeline.from_quarantine(tmp_path).wait_for_result(executor="inline") == [2]


def test_a_letter_of_another_format_fails_the_source_by_name(tmp_path):
    file = DeadLetters(tmp_path, LAYOUT).keep(failure_of(1))
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))

    with pytest.raises(ValueError, match=rf"{file.name}: has format 99"):
        Pipeline.from_quarantine(tmp_path).wait_for_result(executor="inline")


def test_an_item_of_a_class_that_the_script_has_no_more_is_rebuilt(script):
    script("""
        from olympipe_like import Pipeline

        class Point:
            def __init__(self, x):
                self.x = x
            def double(self):
                return self.x * TWO

        TWO = 2
        try:
            Pipeline([Point(0)]).task(lambda point: 1 / point.x).wait_for_result(quarantine="kept")
        except ZeroDivisionError:
            pass
    """)

    said = script("""
        from olympipe_like import Pipeline
        print([point.double() + 1 for point in Pipeline.from_quarantine("kept")])
        print(Pipeline.from_quarantine("kept").task(lambda point: point.x).wait_for_result())
    """)

    assert said == "[1]\n[0]\n"


def test_a_class_that_the_script_has_changed_is_the_scripts(script):
    for factor in (1, 7):
        said = script(f"""
            from olympipe_like import Pipeline

            class Point:
                def __init__(self, x):
                    self.x = x
                def double(self):
                    return {factor}

            try:
                Pipeline([Point(0)]).task(lambda point: 1 / point.x).wait_for_result(quarantine="kept")
            except ZeroDivisionError:
                pass
            pipe = Pipeline.from_quarantine("kept").task(lambda point: (isinstance(point, Point), point.double()))
            print(pipe.wait_for_result()[0])
        """)

    assert said == "(True, 7)\n"


# -- what users are given ---------------------------------------------------------------------------------------------


def test_a_failed_item_tells_what_its_record_knows():
    failed = from_failure(failure_of([1, 2], (5, 2)), {})

    assert isinstance(failed, FailedItem)
    assert (failed.item, failed.position, failed.stage, failed.place) == ([1, 2], (5, 2), "increment", "1/1")
    assert (failed.error_type, failed.text, failed.attempts) == ("LookupError", "no such thing", 1)
    assert isinstance(failed.error, LookupError)
    assert "LookupError: no such thing" in failed.traceback
    assert repr(failed) == "<FailedItem 5.2: [1, 2] at stage 1/1 'increment': LookupError: no such thing>"


def test_an_exception_without_a_text_is_named_once():
    failed = from_failure(failure_of(3, texts=()), {})

    assert (failed.error_type, failed.text) == ("LookupError", "")
    assert repr(failed) == "<FailedItem 0: 3 at stage 1/1 'increment': LookupError>"


def test_a_failed_item_that_does_not_travel_is_none():
    failed = from_failure(failure_of(threading.Lock()), {})

    assert failed.item is None
    assert (failed.error_type, failed.text) == ("LookupError", "no such thing")


def test_the_repr_of_a_failed_item_is_one_line_whatever_the_item_is():
    class Rude:
        def __repr__(self):
            raise LookupError

    for item in ("two\nlines" * 100, Rude(), list(range(1000))):
        text = repr(FailedItem(**{**vars(from_failure(failure_of(1), {})), "item": item, "text": "a\nb"}))
        assert len(text.splitlines()) == 1
        assert len(text) < 400


def test_an_error_that_does_not_travel_leaves_its_type_and_text():
    class Local(Exception):
        pass

    try:
        raise Local("deep")
    except Local as error:
        failure = Failure.unpack(blame(error, LABEL, "w", path=(0,), item=1, keep=True).pack())

    failed = from_failure(failure, {})

    assert failed.error is None
    assert failed.error_type.endswith("Local")
    assert "deep" in failed.text
