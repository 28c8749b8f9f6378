"""From a chunk to bytes, and what becomes of an item that cannot be made into any."""

from __future__ import annotations

from collections.abc import Callable

from olympipe_like._model.failure import Failure
from olympipe_like._model.options import Skip
from olympipe_like._plan.segment import Label
from olympipe_like._transport.buffers import Buffer
from olympipe_like._transport.codec import EncodingError, encode
from olympipe_like._worker.blame import blame, text_of
from olympipe_like._worker.chunk import Chunk

_NAMES_SKIP = Skip.__module__.encode()  # is in every pickle that `SKIP` is in

Mend = Callable[[Chunk, int, Failure, BaseException], tuple[Chunk, int]]
"""Makes of a chunk, the index of its first item that cannot be sent, the failure this is, and the exception a chunk
without that item, or with others in its place, and the index behind them; or one that ends there in a failure."""


def encode_chunk(chunk: Chunk, label: Label, worker: str, mend: Mend | None = None) -> tuple[Chunk, list[Buffer]]:
    """Return a chunk's bytes; an item that cannot be sent is mended, or ends the chunk and becomes its failure."""
    settled = 0  # items before this one were mended: what stands there is not mended again
    while True:
        if not chunk.items:
            return chunk, []
        try:
            return chunk, encode(chunk.items, chunk.columns)
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


def cut_at(chunk: Chunk, index: int, failure: Failure) -> Chunk:
    """Return the items before the one that failed, and its failure."""
    chunk = chunk.with_items(chunk.items[:index])
    chunk.failure = failure
    return chunk


def may_hold_skip(data: bytes, items: int) -> bool:
    """Whether to look for `SKIP` among so many items: 14 ns each, and 0.14 ns for each byte of their pickle."""
    return len(data) > 100 * items or _NAMES_SKIP in data
