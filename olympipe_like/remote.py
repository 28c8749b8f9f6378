"""Stages on other machines: `remote` says where their workers come to, `start_workers` starts some on this one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Literal

from olympipe_like._model.options import Remote
from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like._remote.address import host_of, is_loopback
from olympipe_like._remote.msgpack_items import load_msgpack
from olympipe_like._remote.starting import Workers, start_workers
from olympipe_like.errors import PlanError, PlanTypeError

__all__ = ["Workers", "remote", "start_workers"]

FORBID_PICKLE = "OLYMPIPE_LIKE_FORBID_PICKLE"  # an environment variable: set by a site that wants no pickled results


def remote(
    address: str,
    *,
    keys: str | os.PathLike[str] | None = None,
    min_workers: int = 1,
    prefetch: int = 2,
    lost_after: float = 10.0,
    reconnect_for: float = 60.0,
    local_workers: int = 0,
    modules: Sequence[str | ModuleType] = (),
    max_message: int | str = "1GiB",
    serializer: Literal["pickle", "msgpack"] = "pickle",
    dumps: Callable[[Any], bytes] | None = None,
    loads: Callable[[bytes], Any] | None = None,
) -> Remote:
    """Return where a stage may run: on workers that come to an address of this machine. Plain data; opens nothing.

    Parameters
    ----------
    address : str
        ``tcp://HOST:PORT`` of this machine, where the first run that needs it listens, until the program ends.
    keys : str or path, optional
        The folder that ``olympipe-like keys`` made, or a ``NAME.secret`` in it. Without keys only an address that
        other machines cannot reach is allowed, and only workers that `start_workers` starts are let in.
    min_workers : int, at least 1
        A stage begins when so many workers are there.
    prefetch : int, at least 1
        Frames a worker may have in hand, so that it does not wait for the network.
    lost_after : float, seconds
        A worker of which nothing has been heard for so long is lost: its items go to others. One that is back sooner
        goes on where it was.
    reconnect_for : float, seconds
        A stage that has lost all its workers waits so long for one to come before the run fails.
    local_workers : int, at least 0
        Processes of this machine that work for the stage beside the remote ones.
    modules : list of modules or their names
        Python modules and packages that travel with the functions; others must be installed on the workers' machines.
    max_message : int or text
        Bytes that one result may have; a larger one is the failure of its item.
    serializer : "pickle" or "msgpack"
        How items travel. With "msgpack" nothing that a worker sends is unpickled.
    dumps, loads : callable, optional
        Both: how to write one item as bytes and read it again, instead of ``serializer``; ``loads`` must be safe to
        call with anything. Nothing that a worker sends is unpickled.

    Raises
    ------
    PlanError
        If an argument cannot be; if the address can be reached from outside and there are no keys; if a key file can
        be read by others.
    """
    where = f"remote ({call_site()})"
    folder = keys_to_listen(where, address, keys)
    if serializer not in ("pickle", "msgpack"):
        raise PlanError(f'{where}: serializer must be "pickle" or "msgpack", got {serializer!r}')
    if serializer == "msgpack":
        load_msgpack()
    elif dumps is None and os.environ.get(FORBID_PICKLE):
        raise PlanError(
            f"{where}: {FORBID_PICKLE} is set, so nothing that a worker sends may be unpickled: "
            'give serializer="msgpack", or dumps= and loads='
        )
    if (dumps is None) is not (loads is None):
        raise PlanError(f"{where}: give dumps= and loads= together: what one writes the other reads")
    if dumps is not None:
        checks.function(where, "dumps", dumps)
        checks.function(where, "loads", loads)
        if serializer != "pickle":
            raise PlanError(f"{where}: give serializer= or dumps= and loads=, not both")
    return Remote(
        address=address,
        keys=folder,
        min_workers=checks.whole_number(where, "min_workers", min_workers, 1),
        prefetch=checks.whole_number(where, "prefetch", prefetch, 1),
        lost_after=checks.seconds(where, "lost_after", lost_after),
        reconnect_for=checks.seconds(where, "reconnect_for", reconnect_for),
        local_workers=checks.whole_number(where, "local_workers", local_workers, 0),
        modules=tuple(_module_name(where, each) for each in _listed(where, modules)),
        max_message=checks.nbytes(where, "max_message", max_message),
        serializer="own" if dumps is not None else serializer,
        dumps=dumps,
        loads=loads,
    )


def keys_to_listen(where: str, address: str, keys: str | os.PathLike[str] | None) -> str | None:
    """Return the folder of keys with which an address of this machine may be listened on; None: without any.

    Raises
    ------
    PlanError
        If it must not be: without keys no other machine may reach it.
    """
    checks.text(where, "address", address)
    host = host_of(address)
    if host is None:
        raise PlanError(f"{where}: address must be like tcp://10.0.0.5:5555, got {address!r}")
    if keys is None:
        if not is_loopback(host):
            name = where.split(" ", 1)[0]
            raise PlanError(
                f"{where}: refusing to listen on {address} without keys: run 'olympipe-like keys new NAME' and give "
                f"{name}(..., keys=FOLDER); without keys only this machine's own address (127.0.0.1) is possible"
            )
        return None
    checks.path(where, "keys", keys)
    folder = os.path.abspath(os.path.expanduser(os.fspath(keys)))  # noqa: PTH100, PTH111 - links stay as they are
    from olympipe_like._remote.keys import KeyFolder  # with it comes ZeroMQ

    KeyFolder(folder).own()
    return folder


def _listed(where: str, modules: object) -> Sequence[object]:
    if isinstance(modules, str) or not isinstance(modules, Sequence):
        raise PlanTypeError(f"{where}: modules must be a list of modules or of their names, got {modules!r}")
    return modules


def _module_name(where: str, module: object) -> str:
    if isinstance(module, ModuleType):
        return module.__name__
    return checks.text(where, "modules", module)
