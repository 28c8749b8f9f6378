"""``olympipe-like worker`` and ``olympipe-like keys``."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from pathlib import Path
from typing import Any

from olympipe_like._remote import temporary
from olympipe_like._remote.address import why_not_to_go_to
from olympipe_like._remote.keys import DEFAULT_FOLDER, KeyFolder
from olympipe_like._remote.speech import MOST_WORKERS
from olympipe_like._remote.zeromq import load_zmq
from olympipe_like.errors import PlanError


def add_to(commands: Any) -> None:
    """Add both commands to the command line."""
    worker = commands.add_parser("worker", help="work for a pipeline on another machine")
    worker.add_argument("address", help="where the hub listens, like tcp://10.0.0.5:5555")
    worker.add_argument("--workers", type=int, default=1, metavar="N", help="worker processes (default: 1)")
    worker.add_argument("--keys", default=DEFAULT_FOLDER, metavar="FOLDER", help=f"default: {DEFAULT_FOLDER}")
    worker.add_argument("--keys-from", type=int, metavar="FD", help=argparse.SUPPRESS)
    worker.add_argument("--program", type=int, metavar="FD", help=argparse.SUPPRESS)  # end when its other side does
    worker.add_argument("--hub", metavar="NAME", help="the hub's key, where several are allowed")
    worker.add_argument("--name", help="what reports call this machine (default: its host name)")
    worker.add_argument("--linger", type=float, metavar="SECONDS", help="end when there is no hub for so long")
    worker.add_argument(
        "--forbid-pickle", action="store_true", help="work only for hubs that take no pickles from workers"
    )
    keys = commands.add_parser("keys", help="make and allow the keys by which machines know each other")
    actions = keys.add_subparsers(dest="action", required=True)
    new = actions.add_parser("new", help="make a key for this machine")
    new.add_argument("name")
    allow = actions.add_parser("allow", help="trust whoever has the secret of a .pub file")
    allow.add_argument("file", type=Path)
    revoke = actions.add_parser("revoke", help="trust a key no longer")
    revoke.add_argument("name")
    shown = actions.add_parser("list", help="show our own keys, and those we trust")
    for each in (new, allow, revoke, shown):
        each.add_argument("--keys", default=DEFAULT_FOLDER, metavar="FOLDER", help=f"default: {DEFAULT_FOLDER}")


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line says; return the exit code."""
    try:
        return _work(chosen) if chosen.command == "worker" else _keys(chosen)
    except (PlanError, OSError) as error:
        print(f"olympipe-like: {error}", file=sys.stderr)
        return 2


def _work(chosen: argparse.Namespace) -> int:
    from olympipe_like._remote.household import Visiting
    from olympipe_like._remote.machine import Machine

    if why := why_not_to_go_to(chosen.address):
        raise PlanError(why)
    if not 0 < chosen.workers <= MOST_WORKERS:
        raise PlanError(f"--workers must be from 1 to {MOST_WORKERS}, got {chosen.workers}")
    if chosen.linger is not None and not chosen.linger >= 0:
        raise PlanError(f"--linger must be a number of seconds, at least 0, got {chosen.linger:g}")
    load_zmq()  # here, and not in a process of ours that would be started again and again
    if chosen.keys_from is not None:
        own, hub = temporary.read_worker_keys(chosen.keys_from)
    else:
        folder = KeyFolder(chosen.keys)
        own = folder.own()
        hub = folder.hub(chosen.hub).public
    host = chosen.name or socket.gethostname()
    visiting = Visiting(chosen.address, own, hub, host, chosen.workers, chosen.forbid_pickle, chosen.linger)
    return Machine(visiting, _say, chosen.program).run()


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _keys(chosen: argparse.Namespace) -> int:
    folder = KeyFolder(chosen.keys)
    match chosen.action:
        case "new":
            key = folder.new(chosen.name)
            public = folder.folder / f"{key.name}.pub"
            print(f"{public}\n  {_fingerprint(key.public)}\nCopy it to the other machine; there: ")
            print(f"  olympipe-like keys allow {public.name}")
        case "allow":
            known = folder.allow(chosen.file)
            print(f"allowed {known.name}\n  {known.fingerprint}")
        case "revoke":
            folder.revoke(chosen.name)
            print(f"revoked {chosen.name}")
        case _:
            for title, found in (("our own", folder.own_names()), ("allowed", folder.allowed())):
                print(f"{title}:")
                for each in found:
                    print(f"  {each.name:<20} {each.fingerprint}")
    return 0


def _fingerprint(public: str) -> str:
    from olympipe_like._remote.keys import PublicKey

    return PublicKey("", public).fingerprint
