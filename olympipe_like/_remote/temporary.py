"""Throw-away keys for workers that this program starts itself, on this machine. They are never in a file."""

from __future__ import annotations

import json
import os
import threading

from olympipe_like._remote.keys import PublicKey, SecretKey, make_pair

_lock = threading.Lock()
_keys: dict[str, tuple[SecretKey, SecretKey]] = {}  # address -> the hub's, the workers'


def _pair(address: str) -> tuple[SecretKey, SecretKey]:
    with _lock:
        if address not in _keys:
            _keys[address] = make_pair("hub"), make_pair("local")
        return _keys[address]


def is_known(address: str) -> bool:
    """Whether this program, or the one it is a fork of, has made keys for an address."""
    return address in _keys


def hub_keys(address: str) -> tuple[SecretKey, tuple[PublicKey, ...]]:
    """Return the hub's key, and whom it allows."""
    hub, workers = _pair(address)
    return hub, (PublicKey(workers.name, workers.public),)


def visitor_keys(address: str) -> tuple[SecretKey, str]:
    """Return a worker's or client's key and the hub's public one, within the same program."""
    hub, workers = _pair(address)
    return workers, hub.public


def take_over(address: str, own: SecretKey, hub: str) -> None:
    """Come as this one to an address: this process was started by the program that listens there."""
    with _lock:
        _keys[address] = SecretKey("hub", hub, ""), own


def worker_keys(address: str) -> bytes:
    """Return what a worker needs to be let in, as bytes that it inherits through a pipe."""
    hub, workers = _pair(address)
    return json.dumps([*workers, hub.public]).encode() + b"\n"


def read_worker_keys(descriptor: int) -> tuple[SecretKey, str]:
    """Return a worker's key and the hub's public one, from such a pipe."""
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        name, public, secret, hub = json.loads(file.readline())
    return SecretKey(name, public, secret), hub
