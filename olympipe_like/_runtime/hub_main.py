"""The hub process: one run after the other.

A fresh interpreter that never imports the user's modules: it can fork safely at any time, and nothing of the caller's
threads and locks is in it. It ends when its caller is gone.
"""

from __future__ import annotations

import errno
import gc
import os
import socket
import warnings

from olympipe_like._runtime.hub import HubRun
from olympipe_like._runtime.orders import Idle, Refused, RunOrder
from olympipe_like._runtime.preloading import preload
from olympipe_like._transport.connection import Connection
from olympipe_like._transport.loading import load
from olympipe_like._worker.interrupts import ignore_interrupts, outlive_the_run
from olympipe_like._worker.stacks import StackFile, show_on_signal
from olympipe_like._worker.startup import keep_large_blocks

multiprocess = load("multiprocess")


def main(descriptor: int) -> None:
    """Serve the caller at the other end of the descriptor until it is gone."""
    ignore_interrupts()
    outlive_the_run()
    keep_large_blocks()
    # For whoever looks into a hub that hangs; and a worker that is asked before it listens must not die of the signal.
    show_on_signal(StackFile().descriptor)
    # Libraries that were forked with threads alive warn; here there is one thread, and OpenBLAS ends its own first.
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
    with socket.socket(fileno=descriptor) as control_socket:  # left open, it is warned of under -X dev
        _serve(control_socket)


def _serve(control_socket: socket.socket) -> None:
    context = multiprocess.get_context("fork")
    control = Connection(control_socket)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    while True:
        try:
            mark, descriptors, _, _ = socket.recv_fds(control_socket, 1, 250)
            if not mark:
                return
            for standard in (1, 2)[: len(descriptors)]:
                os.dup2(descriptors[0], standard)
                os.close(descriptors.pop(0))
            order, _ = control.receive()
        except (EOFError, OSError):
            return
        assert isinstance(order, RunOrder)
        if len(descriptors) < order.descriptors:
            for each in descriptors:
                os.close(each)
            control.send(Refused(f"[Errno {errno.EMFILE}] {os.strerror(errno.EMFILE)} in the hub process"))
        else:
            preload(order)
            HubRun(order, descriptors, context, control_socket).serve()
        os.dup2(nowhere, 1)  # who reads the caller's output would wait for an idle hub
        try:
            control.send(Idle())
        except OSError:
            return
        # What is left of a run refers to itself: the next run would freeze it, and it would stay for ever.
        gc.collect()
