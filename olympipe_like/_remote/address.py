"""Addresses as texts: what may be listened at, and what may be gone to. Asks no name server and opens nothing."""

from __future__ import annotations

import re
import socket

_ADDRESS = re.compile(
    r"tcp://(?P<host>\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?\]|[A-Za-z0-9._-]+|\*):(?P<port>[0-9]{1,5})",
)
_LOOPBACK = re.compile(r"127(\.[0-9]{1,3}){3}|localhost|\[::1\]")
_EVERYWHERE = ("*", "0.0.0.0", "[::]")  # noqa: S104 - who listens there needs keys


def host_of(address: str) -> str | None:
    """Return the host of an address; None: it is none."""
    found = _ADDRESS.fullmatch(address)
    return found["host"] if found is not None and 0 < int(found["port"]) < 65536 else None


def is_loopback(host: str) -> bool:
    """Whether no other machine can reach a host."""
    return _LOOPBACK.fullmatch(host) is not None


def why_not_to_go_to(address: str) -> str:
    """Return why nobody can go to an address; empty: one can."""
    host = host_of(address)
    if host is None:
        return f"address must be like tcp://10.0.0.5:5555, got {address!r}"
    if host == "*":
        return f"address must name the machine to go to, like tcp://10.0.0.5:5555; one can only listen at {address}"
    return ""


def from_here(address: str) -> str:
    """Return where the processes of this machine find who listens at an address of it."""
    return address.replace("//*:", "//127.0.0.1:")


def from_elsewhere(address: str) -> str:
    """Return where other machines find who listens at an address of this one, as far as that is known here."""
    host = host_of(address)
    return address if host not in _EVERYWHERE else address.replace(f"//{host}:", f"//{socket.gethostname()}:")
