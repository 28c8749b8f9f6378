"""What every method that adds a stage begins with: the stage's name, where it is written, where it shall run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from olympipe_like._model.options import ExecutorName, Placement
from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanError, PlanTypeError


class NewStage:
    """A stage in the making: its name, where it is written, and checks that name both."""

    def __init__(self, name: object, value: object, default: str) -> None:
        self.site = call_site()
        if name is not None and not isinstance(name, str):
            raise PlanTypeError(f"stage ({self.site}): name must be a text, got {checks.show(name)}")
        self.name = name or checks.name_of(value, default)
        self.where = f"stage {self.name!r} ({self.site})"

    def place(
        self,
        called: object,
        workers: object = 1,
        count: object = None,
        ordered: object = True,
        executor_name: object = None,
        queue_size: object = None,
        options: Mapping[str, object] | None = None,
    ) -> Placement:
        """Return the placement the options describe; async functions run on an event loop by default."""
        default: ExecutorName = "async" if checks.is_async(called) else "process"
        return checks.placement(
            self.where,
            workers=workers,
            count=count,
            ordered=ordered,
            executor_name=executor_name,
            queue_size=queue_size,
            options=options or {},
            default=default,
        )

    def place_sync(
        self,
        workers: object = 1,
        count: object = None,
        ordered: object = True,
        executor_name: object = None,
        queue_size: object = None,
        options: Mapping[str, object] | None = None,
    ) -> Placement:
        """As `place`, for steps that cannot run on an event loop."""
        placed = self.place(None, workers, count, ordered, executor_name, queue_size, options)
        if placed.executor == "async":
            raise PlanError(f'{self.where}: executor must be "process", "thread" or "inline" here, got \'async\'')
        return placed

    def pipelines(self, others: Sequence[object], kind: type) -> None:
        """Refuse what is no pipeline."""
        for other in others:
            if not isinstance(other, kind):
                raise PlanTypeError(f"{self.where}: expected pipelines, got {checks.show(other)}")
