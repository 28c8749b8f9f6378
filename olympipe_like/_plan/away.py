"""Which stages of a run can be given to workers of other machines."""

from __future__ import annotations

from dataclasses import replace

from olympipe_like._model.options import Placement, Remote
from olympipe_like._plan import operators as ops


def away(placement: Placement, remote: Remote, op: ops.Operator) -> Placement:
    """Return a stage's placement in a run whose stages are all to be remote.

    What remembers needs one worker from the beginning to the end, and arguments for each worker need a fixed number of
    them: such stages stay in processes of this machine.
    """
    if op.remembers or (isinstance(op, ops.ClassTask) and op.worker_args):
        return replace(placement, executor="process", remote=None)
    return replace(placement, executor="remote", remote=remote, workers=remote.local_workers, auto=False)
