"""Keeps items that failed, one file each, with all that a person or a replay needs.

Decides what a letter says. How files are named and written is `letter_files`' affair.
"""

from __future__ import annotations

import os
import pickle
import platform
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path as FilePath

from olympipe_like._model.failure import Failure
from olympipe_like._model.identity import Path, StageId, position_of
from olympipe_like._model.topology import Role
from olympipe_like._plan.layout import LaidStage, Layout
from olympipe_like._plan.operators import Restartable, Source
from olympipe_like._plan.segment import Label
from olympipe_like._runtime import letter_files as files
from olympipe_like._runtime.failed_items import error_of, original_of
from olympipe_like._runtime.sources import OneShot
from olympipe_like._runtime.way import routes, stages_above, way_to
from olympipe_like._transport.callables import ShippingError, pack, pack_main_classes
from olympipe_like._worker.blame import input_of, text_of
from olympipe_like._worker.startup import Surroundings
from olympipe_like.errors import PlanError

_TOLD_IF_LOADED = {"numpy", "PIL", "scipy", "pandas", "pyarrow", "sklearn", "cv2", "torch", "tensorflow", "jax"}


class DeadLetters:
    """The letters of one run in a folder that other runs may use as well.

    Parameters
    ----------
    directory : str or path
        The folder; made if it is not there.
    layout : Layout
        Of the run; its segments are packed when the first item of their stage is kept.
    shipped : mapping of StageId to bytes
        Segments that were packed already, for workers: what a letter refers to is then exactly what they had.
    classes : mapping of str to bytes, optional
        What `pack_main_classes` returned for those workers.

    Raises
    ------
    PlanError
        If files cannot be written to the folder.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        layout: Layout,
        shipped: Mapping[StageId, bytes] | None = None,
        classes: Mapping[str, bytes] | None = None,
    ) -> None:
        self.directory = FilePath(directory).absolute()  # the program may change its working folder
        self.run = files.new_run_id()
        self._layout = layout
        self._shipped = dict(shipped or {})
        self._classes = classes
        self._travels = False  # between stages, items are pickled
        self._stage_files: set[str] = set()
        self._lock = threading.Lock()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            files.sweep(self.directory)
        except (OSError, ValueError) as error:  # the latter of a path with a null character
            raise PlanError(f"quarantine: cannot keep failed items in {str(self.directory)!r}: {error}") from error
        if not os.access(self.directory, os.W_OK | os.X_OK):
            raise PlanError(f"quarantine: cannot keep failed items in {str(self.directory)!r}: no right to write there")

    def use(self, shipped: Mapping[StageId, bytes], classes: Mapping[str, bytes]) -> None:
        """Take what was packed for the run's workers."""
        self._shipped.update(shipped)
        self._classes = classes
        self._travels = True

    def keep(self, failure: Failure) -> FilePath:
        """Write a failed item's letter, from any thread; return its file. When it returns, the file is on the disk.

        Raises
        ------
        OSError
            If it cannot be written; then there is no file.
        """
        with self._lock:
            stage_file = self._keep_stage(failure)
            number = int(failure.place.partition("/")[0])
            name = files.letter_name(number, failure.stage, failure.path, self.run)
            again = 1
            while (self.directory / name).exists():  # items of one position: both legs of a gather had them
                again += 1
                name = files.letter_name(number, failure.stage, failure.path, f"{self.run}-{again}")
            return files.write(self.directory, name, self._letter(failure, stage_file))

    def _letter(self, failure: Failure, stage_file: str) -> dict[str, object]:
        error_type, text = error_of(failure, original_of(failure))
        found = self._find(failure)
        data = failure.input
        missing = failure.no_input or "where it failed, the item the stage was given was not at hand any more"
        return {
            "format": files.FORMAT,
            "run": self.run,
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "stage": failure.stage,
            "place": failure.place,
            "operator": found[1].kind if found is not None else "",
            "position": position_of(failure.path) if failure.path is not None else None,
            "position_text": failure.position,
            "item": failure.item,
            "error": {"type": error_type, "text": text},
            "attempts": failure.attempts,
            "worker": failure.worker,
            "seed": hex(failure.seed) if failure.seed is not None else None,  # too large for JSON's numbers
            "traceback": failure.traceback.splitlines(),
            "environment": self._environment,
            "stage_file": stage_file,
            "input": files.item_fields(data, missing),
            "origins": [
                {"stage": place, **files.item_fields(*given)} for place, given in self._origins(failure, found)
            ],
        }

    def _origins(
        self, failure: Failure, found: tuple[LaidStage, Label] | None
    ) -> Iterator[tuple[int, tuple[bytes | None, str]]]:
        """Give the item as its source gave it, where that can be asked for it; one for each route it may have come."""
        if found is None or failure.path is None or found[0].segment is None:
            return
        stage, label = found
        way = way_to(self._layout, stage.spec.id)
        index = stage.labels.index(label)
        if failure.input is not None and index == 0 and all(way[above].role is Role.SOURCE for above in way[-1].inputs):
            return  # it is what the stage was given
        above = stages_above(self._layout, stage.spec.id)
        for first, *_ in routes(way, index, failure.path)[0]:
            source = self._layout.stages[above[first.place]].source
            if source is not None and not source.factory:
                yield first.place, _again(source, first.paths[0])

    @cached_property
    def _environment(self) -> dict[str, object]:
        loaded = {
            name: getattr(sys.modules[name], "__version__", None) for name in _TOLD_IF_LOADED & sys.modules.keys()
        }
        return {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "olympipe_like": sys.modules["olympipe_like"].__version__,
            "libraries": {name: str(version) for name, version in sorted(loaded.items())},
            "directory": Surroundings.here().directory,
            "arguments": sys.argv,
        }

    def _find(self, failure: Failure) -> tuple[LaidStage, Label] | None:
        for stage in self._layout.stages:
            for label in stage.labels:
                if label.name == failure.stage and f"{label.number}/{label.of}" == failure.place:
                    return stage, label
        return None

    def _keep_stage(self, failure: Failure) -> str:
        """Write the operators of the stage, if that was not done yet; return the name of the file."""
        found = self._find(failure)
        label = found[1] if found is not None else Label(failure.stage, "", 0, 0)
        name = files.stage_name(label.number, label.name, self.run)
        if name not in self._stage_files:
            here = Surroundings.here()
            classes = self._classes if self._classes is not None else pack_main_classes()
            plan = [label for stage in self._layout.stages for label in stage.labels if label.number]
            fields = {
                "format": files.FORMAT,
                "run": self.run,
                "stages": list(dict.fromkeys(each.name for each in plan if each.kind != "leg")),
                "directory": here.directory,
                "path": here.path,
                "way": self._way(found[0]) if found is not None else [],
                "classes": {each: files.to_text(blob) for each, blob in classes.items()},
            }
            files.write(self.directory, name, fields)
            self._stage_files.add(name)
        return name

    def _way(self, stage: LaidStage) -> list[dict[str, object]]:
        """Return the stages from the sources to this one, with their functions, as a file holds them."""
        above = stages_above(self._layout, stage.spec.id)
        fields = []
        for number, each in zip(above, way_to(self._layout, stage.spec.id), strict=True):
            laid = self._layout.stages[number]
            data, missing = self._pack(laid)
            fields.append(
                {
                    "name": laid.label.name,
                    "inputs": each.inputs,
                    "role": each.role.value,
                    "depth": each.depth,
                    "travels": self._travels,
                    "missing": missing or None,
                    "functions": files.to_text(data) if data is not None else None,
                }
            )
        return fields

    def _pack(self, stage: LaidStage) -> tuple[bytes | None, str]:
        """Return the functions of a stage, or a source that is one, as bytes; or why there are none."""
        if stage.spec.id in self._shipped:
            return self._shipped[stage.spec.id], ""
        what: object = stage.segment
        if stage.source is not None:
            if not stage.source.factory or isinstance(stage.source.datas, Restartable):
                return None, "its items are kept with each letter, if at all"
            what = stage.source
        if what is None:
            return None, "it has no functions of yours"
        try:
            return pickle.dumps(pack(what), protocol=5), ""
        except ShippingError as error:  # a stage in threads may hold what does not travel
            return None, str(error)


def _again(source: Source, path: Path) -> tuple[bytes | None, str]:
    """Return an item of a source in the caller as bytes, or why it cannot be had."""
    datas = source.datas
    if isinstance(datas, OneShot):
        return None, "its source is an iterator, which gives each item once"
    if isinstance(datas, Restartable) or not (isinstance(datas, Sequence) or not hasattr(type(datas), "__iter__")):
        return None, "its source is no sequence, so it cannot be asked for one item"
    try:
        item = datas[path[-1]]
    except Exception as error:  # noqa: BLE001 - a dataset of the user's may raise anything; the letter is written all the same
        return None, f"its source does not give it any more: {text_of(error)}"
    return input_of(item)
