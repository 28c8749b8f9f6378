"""From a chunk to bytes, and what becomes of an item that cannot be made into any."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from olympipe_like._model.failure import Failure
from olympipe_like._model.options import Skip
from olympipe_like._plan.segment import Label
from olympipe_like._transport.buffers import Buffer
from olympipe_like._transport.codec import EncodingError, encode
from olympipe_like._transport.connection import size_of
from olympipe_like._worker.blame import blame, text_of
from olympipe_like._worker.chunk import Chunk

_NAMES_SKIP = Skip.__module__.encode()  # is in every pickle that `SKIP` is in

Mend = Callable[[Chunk, int, Failure, BaseException], tuple[Chunk, int]]
"""Makes of a chunk, the index of its first item that cannot be sent, the failure this is, and the exception a chunk
without that item, or with others in its place, and the index behind them; or one that ends there in a failure."""


class Limit(NamedTuple):
    """How many bytes the caller's machine takes."""

    item: int  # of one result: what the user gave as max_message
    frame: int  # of results that travel together


_limit: Limit | None = None


def limit(most: Limit) -> None:
    """Let this process, a worker of another machine, send nothing that would be refused there."""
    global _limit  # noqa: PLW0603 - a process is a worker of one stage
    _limit = most


def encode_chunk(chunk: Chunk, label: Label, worker: str, mend: Mend | None = None) -> tuple[Chunk, list[Buffer]]:
    """Return a chunk's bytes; an item that cannot be sent is mended, or ends the chunk and becomes its failure."""
    settled = 0  # items before this one were mended: what stands there is not mended again
    while True:
        if not chunk.items:
            return chunk, []
        try:
            parts = encode(chunk.items, chunk.columns)
            if _limit is not None and size_of(parts) > _limit.item:
                _refuse_too_large(chunk, parts, _limit)
            return chunk, parts
        except EncodingError as error:
            index, cause = error.index, error.__cause__ or error
            what = f"result cannot be sent to the next stage: {text_of(cause)}"
            item = chunk.items[index]
            if hasattr(item, "send") and hasattr(item, "gi_frame"):
                what += " (use explode to emit several items)"
            failure = blame(cause, label, worker, path=chunk.path(index), item=item, what=what)
            if mend is None or index < settled:
                chunk = cut_at(chunk, index, failure)
            else:
                chunk, settled = mend(chunk, index, failure, cause)


def _refuse_too_large(chunk: Chunk, parts: list[Buffer], most: Limit) -> None:
    sizes = [size_of(encode([item], None)) for item in chunk.items]
    index = next((index for index, size in enumerate(sizes) if size > most.item), None)
    what = f"it has {sizes[index]} bytes" if index is not None else ""
    if index is None and size_of(parts) > most.frame:
        index = max(range(len(sizes)), key=sizes.__getitem__)
        what = f"{len(sizes)} results that travel together have {size_of(parts)} bytes, this one {sizes[index]}"
    if index is not None:
        raise EncodingError(index) from ValueError(f"{what}, and max_message={most.item} is the most; raise it")


def cut_at(chunk: Chunk, index: int, failure: Failure) -> Chunk:
    """Return the items before the one that failed, and its failure."""
    chunk = chunk.with_items(chunk.items[:index])
    chunk.failure = failure
    return chunk


def may_hold_skip(data: bytes, items: int) -> bool:
    """Whether to look for `SKIP` among so many items: 14 ns each, and 0.14 ns for each byte of their pickle."""
    return len(data) > 100 * items or _NAMES_SKIP in data
