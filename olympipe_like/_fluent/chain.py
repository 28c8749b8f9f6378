"""What the themed parts of `Pipeline` stand on: one node of a plan, and how the next one is made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from olympipe_like._plan import operators as ops
from olympipe_like._plan.graph import Node
from olympipe_like._runtime.terminals import Runnable

if TYPE_CHECKING:
    import numpy as np

    from olympipe_like.pipeline import Pipeline

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
C_contra = TypeVar("C_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Drawing(Protocol[T_contra, R_co]):
    """A function of an item that asks for random numbers, a ``numpy.random.Generator``."""

    def __call__(self, item: T_contra, /, *, rng: np.random.Generator) -> R_co: ...


class DrawingMethod(Protocol[C_contra, T_contra]):
    """A method that does."""

    def __call__(self, instance: C_contra, item: T_contra, /, *, rng: np.random.Generator) -> Any: ...


class Chain(Runnable[T], ABC):
    """A node that others can be put behind. The parts name `Pipeline` in their types only: it is made of them."""

    @abstractmethod
    def _then(self, op: ops.Operator, *others: Chain[Any], site: str) -> Pipeline[Any]:
        """Return a pipeline that ends in this operator, applied to this node and those of others."""

    @abstractmethod
    def _at(self, node: Node) -> Pipeline[Any]:
        """Return a pipeline that ends in this node."""
