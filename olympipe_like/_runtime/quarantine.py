"""Dead letters as a source: the items that failed, to be fed again."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from olympipe_like._plan import checks
from olympipe_like._runtime import letter_files as files
from olympipe_like._transport.codec import DecodingError, decode_item
from olympipe_like.errors import PlanError


class Quarantine:
    """The items of a folder's letters, read anew by each run that iterates them."""

    def __init__(self, directory: FilePath, stage: str | None) -> None:
        self._directory = directory
        self._stage = stage

    def __iter__(self) -> Iterator[Any]:
        """Yield the items, sorted by stage and position; warns of letters that hold none."""
        without: list[str] = []
        stages: dict[str, files.StageFile] = {}
        for file in files.letters_in(self._directory):
            letter = files.read_letter(file)
            if self._stage is not None and letter.stage != self._stage:
                continue
            if letter.data is None:
                without.append(file.name)
                continue
            if letter.stage_file not in stages:
                stages[letter.stage_file] = files.read_stage(self._directory / letter.stage_file)
            item: Any = load(letter, stages[letter.stage_file])
            if (
                letter.operator == "batch"
            ):  # what its function was given is a batch; what the stage was given, its items
                yield from item
            else:
                yield item
        if without:
            more = f" and {len(without) - 1} more" if len(without) > 1 else ""
            warnings.warn(
                f"{self._directory}: not fed again, because the item is not in its letter: {without[0]}{more}; "
                f"`python -m olympipe_like letters {self._directory}` shows them",
                RuntimeWarning,
                stacklevel=2,
            )


def load(letter: files.Letter, stage: files.StageFile) -> object:
    """Return a letter's item.

    Raises
    ------
    LetterError
        If there is none in it, or it cannot be rebuilt here.
    """
    if letter.data is None:
        raise files.LetterError(f"{letter.file}: does not hold its item: {letter.why_no_data}")
    try:
        return decode_item(letter.data, stage.classes)
    except DecodingError as error:
        cause = error.__cause__ or error
        raise files.LetterError(
            f"{letter.file}: its item cannot be rebuilt here: {type(cause).__name__}: {cause}"
        ) from cause


def open_quarantine(where: str, directory: str | os.PathLike[str], stage: str | None) -> Quarantine:
    """Return the items of a folder's letters, or only those of one stage.

    Raises
    ------
    PlanError
        If there is no such folder, it is one of other things, or its runs had no stage of that name.
    """
    checks.path(where, "directory", directory)
    if stage is not None:
        checks.text(where, "stage", stage)
    folder = FilePath(directory).absolute()
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise PlanError(f"{where}: cannot read dead letters from {str(directory)!r}: {error}") from error
    if not files.is_quarantine(names):
        raise PlanError(
            f"{where}: there are no dead letters in {str(directory)!r}; "
            "give the folder that a run was given as quarantine="
        )
    if stage is not None:
        known = sorted({name for file in files.stages_in(folder) for name in files.read_stage(file).stages})
        if known and stage not in known:
            raise PlanError(f"{where}: no stage {stage!r} in the runs that used {str(directory)!r}; there were {known}")
    return Quarantine(folder, stage)
