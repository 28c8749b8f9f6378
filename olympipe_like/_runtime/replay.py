"""Runs the stage an item failed in on that item once more, here, with nothing between a debugger and the function."""

from __future__ import annotations

import bdb
import os
import pdb  # noqa: T100 - left in on purpose: it is what the command is for
import pickle
import re
import sys
from collections.abc import Awaitable, Callable
from fnmatch import fnmatch
from pathlib import Path as FilePath
from types import FrameType
from typing import Any, Literal

from olympipe_like._plan import operators as ops
from olympipe_like._plan.layout import Segment
from olympipe_like._runtime import letter_files as files
from olympipe_like._runtime.quarantine import load
from olympipe_like._transport.callables import install_main, unpack
from olympipe_like._worker.blame import text_of, traceback_of
from olympipe_like._worker.epochs import PerEpoch
from olympipe_like._worker.memory import Fold, Group
from olympipe_like._worker.program import Program
from olympipe_like._worker.reshape import Distinct, Keyed, Running
from olympipe_like._worker.spread import Spread
from olympipe_like._worker.steps import PerItem, Select, Tap

WORKS, FAILS, CANNOT = 0, 1, 2
"""Exit codes: the function works now; it fails again; there is nothing that can be run."""

Debugging = Literal["no", "first line", "post-mortem"]

_SHOWN = 2000  # characters of a result
_NOT_THE_USERS = [
    "olympipe_like.*",
    "asyncio",
    "asyncio.*",
    "selectors",
    "contextvars",
]  # modules a debugger runs through


def replay(file: FilePath, debugging: Debugging) -> int:
    """Run a letter's stage on its item and print what comes of it; return an exit code.

    Functions of the program's own script are those of the run; modules are imported as they are now.
    """
    mains = {name: sys.modules.get(name) for name in ("__main__", "__mp_main__")}
    folder, path = FilePath.cwd(), sys.path[:]
    try:
        return _replay(file.absolute(), debugging)
    except files.LetterError as error:
        print(f"cannot replay: {error}", file=sys.stderr)
        return CANNOT
    finally:
        os.chdir(folder)
        sys.path[:] = path
        for name, module in mains.items():
            if module is not None:
                sys.modules[name] = module
            else:
                sys.modules.pop(name, None)


def _replay(file: FilePath, debugging: Debugging) -> int:
    letter = files.read_letter(file)
    stage = files.read_stage(file.parent / letter.stage_file)
    print(f"{file.name}: {letter.position_text or 'no position'}: {letter.item}")
    print(f"stage {letter.place} {letter.stage!r} failed: {letter.error}")
    if stage.segment is None:
        raise files.LetterError(f"{file}: the functions of its stage were not kept: {stage.why_no_segment}")
    _go_where_it_ran(stage)
    install_main()
    segment = _load_segment(file, stage)
    item = load(letter, stage)
    index = _operator(file, letter, segment)
    slot = re.match(r"worker \d+\.(\d+)", letter.worker)
    alone = Segment(segment.stage, (segment.ops[index],), (segment.labels[index],), 1)
    try:
        program = Program(alone, int(slot[1]) if slot else 0, "replay")
    except Exception as error:  # noqa: BLE001 - the constructor is the user's; it fails as the stage does
        return _fails(error, debugging)
    try:
        return _run(program, segment.ops[index], item, debugging)
    finally:
        program.close()


def _go_where_it_ran(stage: files.StageFile) -> None:
    sys.path += [place for place in stage.path if place not in sys.path]
    try:
        os.chdir(stage.directory)  # relative paths in items and tracebacks mean files there
    except OSError as error:
        print(f"the folder it ran in cannot be entered, so this one it is: {error}", file=sys.stderr)


def _load_segment(file: FilePath, stage: files.StageFile) -> Segment:
    assert stage.segment is not None
    try:
        segment = unpack(pickle.loads(stage.segment), stage.classes)
    except Exception as error:
        raise files.LetterError(f"{file}: the functions of its stage cannot be loaded: {text_of(error)}") from error
    assert isinstance(segment, Segment)
    return segment


def _operator(file: FilePath, letter: files.Letter, segment: Segment) -> int:
    for index, label in enumerate(segment.labels):
        if (label.name, label.number) == (letter.stage, letter.number):
            if isinstance(segment.ops[index], ops.Gather | ops.Align | ops.Zip):
                break
            return index
    raise files.LetterError(f"{file}: a {letter.operator} cannot be run on one item")


def _run(program: Program, op: ops.Operator, item: Any, debugging: Debugging) -> int:
    """Call the function on the item, in the user's frames but for a few of ours."""
    (step,) = program._steps
    if isinstance(step, PerEpoch):
        step = step.step
    debugger = _Debugger(skip=_NOT_THE_USERS) if debugging == "first line" else None
    begin: Callable[[], None] = debugger.set_trace if debugger is not None else _nothing
    try:
        if isinstance(step, PerItem):
            result = step.function(item) if step.is_async else _call(step.function, item, begin)
            sys.settrace(None)  # what follows is ours, until the coroutine goes on
            if isinstance(result, Awaitable):
                result = _await(result, begin)
            if isinstance(step, Select):
                result = bool(result)
        elif isinstance(step, Spread):
            result = _spread(step, item, begin)
        elif isinstance(step, Group):
            result = _call(step._collate, item, begin)
        elif isinstance(step, Keyed):
            result = item if step.key is None else _call(step.key, item, begin)
            if isinstance(step, Distinct):
                hash(result)  # as it does, to look whether it was there
        elif isinstance(step, Running):
            print("the state of the run was not kept; this is the initial one")
            result = _call(step.call, item, begin)
        else:
            assert isinstance(step, Fold)
            print("the accumulator of the run was not kept; this is the initial one")
            result = _call(lambda each: step._reducer(each, step._value), item, begin)
    except bdb.BdbQuit:
        print("left the debugger before the end")
        return FAILS
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - anything a function raises is its item's failure
        sys.settrace(None)
        return _fails(error, debugging)
    finally:
        sys.settrace(None)
    print(f"works now: {_describe(step, op, result)}")
    return WORKS


class _Debugger(pdb.Pdb):
    """Stops at lines, not at calls: the first stop is the first line of the user's function."""

    def user_call(self, frame: FrameType, argument_list: None) -> None:
        """Go on to the first line."""


def _nothing() -> None:
    pass


def _call(function: Callable[[Any], Any], item: Any, begin: Callable[[], None]) -> Any:
    begin()
    return function(item)


def _await(result: Awaitable[Any], begin: Callable[[], None]) -> Any:
    import asyncio

    async def wait() -> Any:
        begin()
        return await result

    return asyncio.run(wait())


def _spread(step: Spread, item: Any, begin: Callable[[], None]) -> list[Any]:
    begin()
    return list(item if step._function is None else step._function(item))


def _describe(step: object, op: ops.Operator, result: object) -> str:
    if isinstance(step, Select):
        return "the item is kept" if result else "the item is filtered out"
    if isinstance(step, Tap):
        return "the item is passed on"
    try:
        text = repr(result)
    except Exception as error:  # noqa: BLE001 - a user's __repr__
        text = f"a {type(result).__qualname__} whose repr fails: {text_of(error)}"
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text) - _SHOWN} more characters)"
    return f"{op.name} gives {shown}"


def _fails(error: BaseException, debugging: Debugging) -> int:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and not _is_the_users(trace.tb_frame):
        trace = trace.tb_next
    print(traceback_of(error.with_traceback(trace), "fails again:"), end="")
    if debugging == "post-mortem":
        pdb.post_mortem(trace)
    return FAILS


def _is_the_users(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__", "")
    return not any(fnmatch(module, pattern) for pattern in _NOT_THE_USERS)
