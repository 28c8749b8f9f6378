"""Methods that say which items there are, how often, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from olympipe_like._fluent.chain import Chain
from olympipe_like._plan import checks
from olympipe_like._plan import operators as ops
from olympipe_like._plan.checks import NewStage

if TYPE_CHECKING:
    from olympipe_like.pipeline import Pipeline

T = TypeVar("T")


class Selection(Chain[T]):
    """The part of `Pipeline` that chooses items."""

    def limit(self, packet_limit: int) -> Pipeline[T]:
        """Keep the first items. The source is asked for no item more than they need.

        That is exact behind stages that make one item of one (task, batch, skip, tap). Behind filter and explode, which
        cannot know, the source runs ahead within the windows.

        >>> Pipeline(range(10**9)).limit(3).wait_for_result()
        [0, 1, 2]
        """
        stage = NewStage(None, None, "limit")
        amount = checks.whole_number(stage.where, "packet_limit", packet_limit, 0)
        return self._then(ops.Limit(name="limit", amount=amount), site=stage.site)

    def skip(self, n: int) -> Pipeline[T]:
        """Drop the first ``n`` items.

        >>> Pipeline(range(5)).skip(3).wait_for_result()
        [3, 4]
        """
        stage = NewStage(None, None, "skip")
        return self._then(
            ops.SkipFirst(name="skip", amount=checks.whole_number(stage.where, "n", n, 0)), site=stage.site
        )
