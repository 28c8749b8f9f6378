"""What the scheduler must know of a stage whose workers may be lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from olympipe_like._model.options import Placement
from olympipe_like._plan import operators as ops
from olympipe_like._plan.reshaping import Scan

PATIENCE = 100
"""How many workers a frame may cost where all of the work is ours: somebody else ends them."""


def on_loss(placement: Placement | None, operators: Sequence[ops.Operator]) -> dict[str, Any]:
    """Return what a stage with these operators tells the scheduler about workers being lost."""
    if placement is None or placement.executor not in ("process", "remote"):
        return {}
    policy = placement.policy
    retries = [op.worker_retries for op in operators if isinstance(op, ops.Reduce | Scan)]
    if any(op.calls_user for op in operators if not isinstance(op, ops.Reduce | Scan | ops.Batch)):
        retries.append(policy.worker_retries)
    batches = [op for op in operators if isinstance(op, ops.Batch) and op.calls_user]
    retries += [op.placement.policy.worker_retries for op in batches]
    worker_retries = min(retries, default=PATIENCE)
    return {
        "may_die": True,
        # Without a second chance, and where time is limited, the first loss must tell whose it was.
        "careful": worker_retries == 0 or policy.timeout is not None,
        "worker_retries": worker_retries,
        "timeout_retries": policy.retry.timeouts,
        "max_items": policy.max_items,
        "max_rss": policy.max_rss,
        "is_open": placement.remote is not None,
        # Requests wait with those who ask, so that everybody's turn comes: here are no more than keep workers busy.
        "queue_frames": 1 if placement.remote is not None and placement.remote.own_target else None,
        # A worker that answers in parts has one frame at a time.
        "prefetch": 1
        if placement.remote is None or any(op.multiplies for op in operators)
        else placement.remote.prefetch,
    }
