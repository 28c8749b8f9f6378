"""Dead letters as files: how they are named, read, and written so that a reader never meets half of one.

A folder of dead letters holds, all as JSON:

- ``002-parse-000000000005.3f2a9c1b7d04.json``: one failed item. Stage number, stage name, position in the source, and
  the run that kept it. Sorted by name they are sorted by stage and position.
- ``stage-002-parse.3f2a9c1b7d04.json``: the operators of a stage that kept one, as its workers had them.
- ``.letter-*.tmp``: one that is being written, or was when its writer was killed.

Knows files and fields. Does not know failures, runs or items.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, NamedTuple, TypeVar

from olympipe_like._model.identity import Path, position_of

FORMAT = 1
ENCODING = "base64 of pickle protocol 5"

_DIGITS = 12  # of a position's numbers in a name: enough for eleven days at a million items a second
_LETTER = re.compile(r"\d{3,}-.*\.[0-9a-f]{12}(-\d+)?\.json")
_STAGE = re.compile(r"stage-\d{3,}-.*\.[0-9a-f]{12}\.json")
_TEMPORARY = ".letter-"

R = TypeVar("R")


class LetterError(ValueError):
    """A file of dead letters that cannot be used; the text names it and says why."""


def new_run_id() -> str:
    """Return 12 hexadecimal digits that no other run has."""
    return secrets.token_hex(6)


def letter_name(number: int, stage: str, path: Path | None, run: str) -> str:
    """Return a letter's file name.

    >>> letter_name(2, "parse ages", (5, 2), "3f2a9c1b7d04")
    '002-parse_ages-000000000005_000000000002.3f2a9c1b7d04.json'
    """
    # "_" sorts after ".": what explode made of an item comes behind the item itself.
    place = "_".join(f"{number:0{_DIGITS}}" for number in position_of(path or ())) or ("end" if path else "unknown")
    return f"{number:03}-{_plain(stage)}-{place[:150]}.{run}.json"


def stage_name(number: int, stage: str, run: str) -> str:
    """Return the name of the file with a stage's operators.

    >>> stage_name(2, "<lambda>", "3f2a9c1b7d04")
    'stage-002-_lambda_.3f2a9c1b7d04.json'
    """
    return f"stage-{number:03}-{_plain(stage)}.{run}.json"


def _plain(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]+", "_", text)[:40] or "_"


def letters_in(directory: FilePath) -> list[FilePath]:
    """Return the letters of a folder, sorted by stage and position."""
    return sorted(path for path in directory.iterdir() if _LETTER.fullmatch(path.name))


def stages_in(directory: FilePath) -> list[FilePath]:
    """Return the files of a folder that hold a stage's operators."""
    return sorted(path for path in directory.iterdir() if _STAGE.fullmatch(path.name))


# -- reading ----------------------------------------------------------------------------------------------------------


class Origin(NamedTuple):
    """An item as a source gave it."""

    stage: int  # which stage of the way is the source
    data: bytes | None
    why_no_data: str


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One failed item, as its file says."""

    file: FilePath
    stage: str
    place: str
    operator: str  # the kind: 'task', 'batch'
    position: Path | None
    position_text: str
    item: str  # its repr, cut
    error: str  # type and text
    attempts: int
    worker: str
    stage_file: str
    data: bytes | None  # the item; None: it was not kept
    why_no_data: str
    origins: tuple[Origin, ...]  # the item as its source gave it, one for each way it may have come
    seed: int | None  # what the item's random numbers followed from

    @property
    def number(self) -> int:
        """Which stage of the plan it is, from 1."""
        return int(self.place.partition("/")[0])


@dataclass(frozen=True, kw_only=True)
class KeptStage:
    """One stage of the way to the one that failed."""

    name: str
    inputs: tuple[int, ...]  # which stages of the way feed it
    role: str
    depth: int  # of a source: numbers in the paths of its items
    travels: bool  # what it gives is pickled
    functions: bytes | None  # a pickled Shipment of its operators, or of a source; None: there is none
    why_no_functions: str


@dataclass(frozen=True, kw_only=True)
class StageFile:
    """A stage's operators, and those of the stages above it, as their file says."""

    stages: tuple[str, ...]  # names of all stages of the plan
    way: tuple[KeptStage, ...]  # from the sources on, in topological order; the stage itself is the last
    classes: Mapping[str, bytes]  # of the __main__ of that run
    path: tuple[str, ...]  # sys.path
    directory: str


def read_letter(file: FilePath) -> Letter:
    """Return a letter.

    Raises
    ------
    LetterError
        If the file is none, is of another format, or cannot be read.
    """
    return _read(file, lambda fields: _letter(file, fields))


def _letter(file: FilePath, fields: dict[str, Any]) -> Letter:
    given, position = fields["input"], fields["position"]
    error = fields["error"]
    return Letter(
        file=file,
        stage=fields["stage"],
        place=fields["place"],
        operator=fields["operator"],
        position=tuple(position) if position is not None else None,
        position_text=fields["position_text"],
        item=fields["item"],
        error=": ".join(filter(None, (error["type"], error["text"]))),
        attempts=fields["attempts"],
        worker=fields["worker"],
        stage_file=fields["stage_file"],
        data=_data(given["data"]),
        why_no_data=given["missing"] or "",
        origins=tuple(Origin(each["stage"], _data(each["data"]), each["missing"] or "") for each in fields["origins"]),
        seed=int(fields["seed"], 16) if fields["seed"] is not None else None,
    )


def read_stage(file: FilePath) -> StageFile:
    """Return a stage's operators; raises as `read_letter`."""
    return _read(file, _stage)


def _stage(fields: dict[str, Any]) -> StageFile:
    way = [
        KeptStage(
            name=each["name"],
            inputs=tuple(each["inputs"]),
            role=each["role"],
            depth=each["depth"],
            travels=each["travels"],
            functions=_data(each["functions"]),
            why_no_functions=each["missing"] or "",
        )
        for each in fields["way"]
    ]
    return StageFile(
        stages=tuple(fields["stages"]),
        way=tuple(way),
        classes={name: from_text(blob) for name, blob in fields["classes"].items()},
        path=tuple(fields["path"]),
        directory=fields["directory"],
    )


def _read(file: FilePath, make: Callable[[dict[str, Any]], R]) -> R:
    try:
        fields = json.loads(file.read_bytes())
        found = fields["format"]
        if found == FORMAT:
            return make(fields)
    except OSError as error:
        raise LetterError(f"{file}: cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError) as error:  # no JSON, a field that is missing, one of another type
        raise LetterError(f"{file}: is no dead letter: {type(error).__name__}: {error}") from error
    raise LetterError(f"{file}: has format {found!r}, and this version reads {FORMAT}")


def item_fields(data: bytes | None, missing: str) -> dict[str, object]:
    """Return the fields that hold an item, or say why there is none."""
    return {
        "encoding": ENCODING if data is not None else None,
        "bytes": len(data) if data is not None else None,
        "missing": None if data is not None else missing,
        "data": to_text(data) if data is not None else None,
    }


def _data(text: str | None) -> bytes | None:
    return from_text(text) if text is not None else None


def to_text(data: bytes) -> str:
    """Return bytes as JSON can hold them."""
    return base64.b64encode(data).decode("ascii")


def from_text(text: str) -> bytes:
    """Return what `to_text` was given."""
    return base64.b64decode(text, validate=True)


# -- writing ----------------------------------------------------------------------------------------------------------


def write(directory: FilePath, name: str, fields: Mapping[str, object]) -> FilePath:
    """Write a file as a whole: whenever this process is killed, it is there with all it holds, or not at all.

    Raises
    ------
    OSError
        If there is no room, or no right to.
    """
    # What is no character (half of a surrogate pair) becomes an escape that JSON reads as the same half again.
    text = json.dumps(fields, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    target = directory / name
    while True:
        try:
            _replace(directory, target, text)
        except FileNotFoundError:
            if not directory.is_dir():
                raise
            continue  # somebody swept the temporary file between its making and its lock
        return target


def _replace(directory: FilePath, target: FilePath, text: bytes) -> None:
    temporary = directory / f"{_TEMPORARY}{secrets.token_hex(8)}.tmp"
    with temporary.open("xb") as file:
        try:
            _hold(file.fileno())
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    _sync(directory)


def _hold(descriptor: int) -> None:
    """Lock a file for as long as this process lives: `sweep` tells by it what a dead one has left."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}:
            raise  # else a file system without locks, where `sweep` gets none either and removes nothing


def _sync(directory: FilePath) -> None:
    """Have the folder itself written, so that the new name outlives a crash of the machine."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # file systems that know no such thing
            raise
    finally:
        os.close(descriptor)


def sweep(directory: FilePath) -> None:
    """Remove temporary files whose writers are dead."""
    for path in _temporaries(directory):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except OSError:
            continue  # its writer lives, or has just finished; or it is somebody else's, whose affair it stays


def _temporaries(directory: FilePath) -> Iterator[FilePath]:
    for path in directory.iterdir():
        if path.name.startswith(_TEMPORARY) and path.suffix == ".tmp":
            yield path


def is_quarantine(names: Sequence[str]) -> bool:
    """Whether a folder with these names in it is one of dead letters, or may become one."""
    ours = (name for name in names if _LETTER.fullmatch(name) or _STAGE.fullmatch(name) or name.startswith(_TEMPORARY))
    return not names or any(ours)
