"""What the themed parts of `Pipeline` stand on: one node of a plan, and how the next one is made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from olympipe_like._plan import operators as ops
from olympipe_like._plan.graph import Node
from olympipe_like._runtime.terminals import Runnable

if TYPE_CHECKING:
    from olympipe_like.pipeline import Pipeline

T = TypeVar("T")


class Chain(Runnable[T], ABC):
    """A node that others can be put behind. The parts name `Pipeline` in their types only: it is made of them."""

    @abstractmethod
    def _then(self, op: ops.Operator, *others: Chain[Any], site: str) -> Pipeline[Any]:
        """Return a pipeline that ends in this operator, applied to this node and those of others."""

    @abstractmethod
    def _at(self, node: Node) -> Pipeline[Any]:
        """Return a pipeline that ends in this node."""
