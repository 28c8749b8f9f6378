"""Runs the stages that an item went through on it once more, here, up to the one that failed.

Decides where it begins: with the item as its source gave it, or, where that cannot be had, with what the failing stage
was given.
"""

from __future__ import annotations

import bdb
import os
import pickle
import re
import sys
from functools import partial
from pathlib import Path as FilePath
from typing import Any

from olympipe_like._model.topology import Role
from olympipe_like._plan import operators as ops
from olympipe_like._plan.operators import Source
from olympipe_like._plan.segment import Segment
from olympipe_like._runtime import letter_files as files
from olympipe_like._runtime import single_step
from olympipe_like._runtime.quarantine import load
from olympipe_like._runtime.retrace import Arrived, Failed, NotGiven, Outcome, Retracing, UnknownNumbers, from_source
from olympipe_like._runtime.single_step import Debugging
from olympipe_like._runtime.way import Route, WayStage, routes
from olympipe_like._transport.callables import install_main, unpack
from olympipe_like._transport.codec import DecodingError, EncodingError, decode_item, encode_item
from olympipe_like._worker.blame import show, text_of
from olympipe_like._worker.program import Program
from olympipe_like._worker.spread import Spread
from olympipe_like._worker.steps import PerItem, Select, Tap

WORKS, FAILS, CANNOT = 0, 1, 2
"""Exit codes: the item passes now; it fails again; there is nothing that can be run."""


def replay(file: FilePath, debugging: Debugging, *, alone: bool = False) -> int:
    """Run a letter's stages on its item and print what comes of it; return an exit code.

    ``alone``: only the stage that failed, on what it was given.

    Functions of the program's own script are those of the run; modules are imported as they are now.
    """
    mains = {name: sys.modules.get(name) for name in ("__main__", "__mp_main__")}
    folder, path = FilePath.cwd(), sys.path[:]
    try:
        return _replay(file.absolute(), debugging, alone=alone)
    except files.LetterError as error:
        print(f"cannot replay: {error}", file=sys.stderr)
        return CANNOT
    except bdb.BdbQuit:
        print("left the debugger before the end")
        return FAILS
    finally:
        os.chdir(folder)
        sys.path[:] = path
        for name, module in mains.items():
            if module is not None:
                sys.modules[name] = module
            else:
                sys.modules.pop(name, None)


def _replay(file: FilePath, debugging: Debugging, *, alone: bool) -> int:
    letter = files.read_letter(file)
    stage = files.read_stage(file.parent / letter.stage_file)
    print(f"{file.name}: {letter.position_text or 'no position'}: {letter.item}")
    print(f"stage {letter.place} {letter.stage!r} failed: {letter.error}")
    if not stage.way or stage.way[-1].functions is None:
        why = stage.way[-1].why_no_functions if stage.way else "there were none"
        raise files.LetterError(f"{file}: the functions of its stage were not kept: {why}")
    _go_where_it_ran(stage)
    install_main()
    segment = _load_segment(file, stage, len(stage.way) - 1)
    index = _operator(file, letter, segment)
    if not alone:
        try:
            outcome = _bring(file, letter, stage, index, debugging)
        except _NoWay as reason:
            if letter.data is None:
                raise files.LetterError(
                    f"{file}: does not hold its item: {letter.why_no_data}; and it cannot be brought from its source: "
                    f"{reason}"
                ) from reason
            print(f"only the stage that failed is run, on what it was given: {reason}")
        else:
            if isinstance(outcome, Arrived):
                return _run(letter, stage, segment, index, outcome.item, debugging)
            if isinstance(outcome, Failed):
                single_step.tell(outcome.error, f"fails on the way, in {outcome.stage}:", debugging)
                return FAILS
            print(f"works now: {outcome.text}, so it does not come to the stage that failed")
            return WORKS
    return _run(letter, stage, segment, index, load(letter, stage), debugging)


def _go_where_it_ran(stage: files.StageFile) -> None:
    sys.path += [place for place in stage.path if place not in sys.path]
    try:
        os.chdir(stage.directory)  # relative paths in items and tracebacks mean files there
    except OSError as error:
        print(f"the folder it ran in cannot be entered, so this one it is: {error}", file=sys.stderr)


def _load(file: FilePath, stage: files.StageFile, place: int) -> object:
    """Return the operators of a stage, or the operator of a source."""
    kept = stage.way[place]
    assert kept.functions is not None
    try:
        return unpack(pickle.loads(kept.functions), stage.classes)
    except Exception as error:
        raise files.LetterError(
            f"{file}: the functions of stage {kept.name!r} cannot be loaded: {text_of(error)}"
        ) from error


def _load_segment(file: FilePath, stage: files.StageFile, place: int) -> Segment:
    loaded = _load(file, stage, place)
    assert isinstance(loaded, Segment)
    return loaded


def _operator(file: FilePath, letter: files.Letter, segment: Segment) -> int:
    for index, label in enumerate(segment.labels):
        if (label.name, label.number) == (letter.stage, letter.number):
            if isinstance(segment.ops[index], ops.Gather | ops.Align | ops.Zip):
                break
            return index
    raise files.LetterError(f"{file}: a {letter.operator} cannot be run on one item")


# -- from the source --------------------------------------------------------------------------------------------------


class _NoWay(Exception):
    """The item cannot be brought from its source; the text says why."""


def _bring(file: FilePath, letter: files.Letter, stage: files.StageFile, index: int, debugging: Debugging) -> Outcome:
    """Take the item from its source to the stage that failed."""
    if letter.position is None:
        raise _NoWay("its position is not known")
    segments: list[Segment | None] = []
    way: list[WayStage] = []
    for place, kept in enumerate(stage.way):
        role = Role(kept.role)
        segment = None
        if role in (Role.MAP, Role.SCAN):
            if kept.functions is None:
                raise _NoWay(f"the functions of {kept.name!r} were not kept: {kept.why_no_functions}")
            try:
                segment = _load_segment(file, stage, place)
            except files.LetterError as error:
                raise _NoWay(str(error)) from error
        segments.append(segment)
        way.append(WayStage(kept.inputs, role, segment.ops if segment is not None else (), kept.depth))
    found, why = routes(way, index, letter.position)
    if not found:
        raise _NoWay(why)
    if index == 0 and letter.data is not None and all(way[above].role is Role.SOURCE for above in way[-1].inputs):
        return Arrived(load(letter, stage))  # nothing lies between
    retracing = Retracing(segments, debugging)
    try:
        outcomes = [retracing.follow(route, partial(_origin, file, letter, stage, route)) for route in found]
    except UnknownNumbers as error:
        raise _NoWay(str(error)) from error
    arrived = [outcome for outcome in outcomes if isinstance(outcome, Arrived)]
    if len(arrived) > 1:
        raise _NoWay("its position does not tell by which leg of a gather it came")
    failed = (outcome for outcome in outcomes if isinstance(outcome, Failed))
    return arrived[0] if arrived else next(failed, outcomes[0])


def _origin(file: FilePath, letter: files.Letter, stage: files.StageFile, route: Route) -> Any:
    """Return the item as the source of a route gave it."""
    place = route[0].place
    if stage.way[place].functions is not None:
        try:
            source = _load(file, stage, place)
            assert isinstance(source, Source)
            return from_source(source, route[0].paths[0])
        except (NotGiven, files.LetterError) as error:
            raise _NoWay(str(error)) from error
    origin = next((each for each in letter.origins if each.stage == place), None)
    if origin is None or origin.data is None:
        raise _NoWay(origin.why_no_data if origin is not None else stage.way[place].why_no_functions)
    try:
        return decode_item(origin.data, stage.classes)
    except DecodingError as error:
        raise _NoWay(f"what the source gave cannot be rebuilt: {text_of(error.__cause__ or error)}") from error


# -- the stage that failed --------------------------------------------------------------------------------------------


def _run(
    letter: files.Letter, stage: files.StageFile, segment: Segment, index: int, item: Any, debugging: Debugging
) -> int:
    """Call the function that failed."""
    now = show(item)
    if letter.data is not None and _plain(now) != _plain(letter.item):
        print(f"stage {letter.place} {letter.stage!r} is given {now}; in the run it was given {letter.item}")
    slot = re.match(r"worker \d+\.(\d+)", letter.worker)
    alone = Segment(
        segment.stage,
        (segment.ops[index],),
        (segment.labels[index],),
        1,
        seed=segment.seed,
        keys=(segment.keys[index],),
        seeds_generators=segment.seeds_generators,
    )
    try:
        program = Program(alone, int(slot[1]) if slot else 0, "replay", alone=True)
    except Exception as error:  # noqa: BLE001 - the constructor is the user's; it fails as the stage does
        single_step.tell(error, "fails again:", debugging)
        return FAILS
    try:
        (step,) = map(single_step.own_step, program._steps)
        try:
            result = single_step.call(step, item, debugging, seed=letter.seed)
        except (KeyboardInterrupt, bdb.BdbQuit):
            raise
        except BaseException as error:  # noqa: BLE001 - anything a function raises is its item's failure
            single_step.tell(error, "fails again:", debugging)
            return FAILS
        said = single_step.describe(step, segment.ops[index].name, result)
        if index == len(segment.ops) - 1 and stage.way[-1].travels:
            given = item if isinstance(step, Select | Tap) else result
            problem = _sent(given if isinstance(step, Spread) else [given], stage)
            if problem is not None and isinstance(step, PerItem | Spread):
                print(f"{said}; fails again: {problem}")
                return FAILS
        print(f"works now: {said}")
        return WORKS
    finally:
        program.close()


def _plain(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", text)  # an address says nothing


def _sent(results: list[Any], stage: files.StageFile) -> str | None:
    """Return why a result would not arrive in another process; None: each would."""
    for result in results:
        try:
            decode_item(encode_item(result), stage.classes)
        except EncodingError as error:
            return f"its result cannot be sent to the next stage: {text_of(error.__cause__ or error)}"
        except DecodingError as error:
            return f"its result cannot be rebuilt where it is sent to: {text_of(error.__cause__ or error)}"
    return None
