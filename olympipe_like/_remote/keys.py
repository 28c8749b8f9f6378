"""Keys: how machines know each other. A folder holds our own secret and the public keys of those we trust.

A key is a CURVE25519 pair, as ZeroMQ uses it. Knows files and their modes. Does not know sockets.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from olympipe_like._remote.zeromq import load_zmq
from olympipe_like.errors import PlanError

DEFAULT_FOLDER = "~/.config/olympipe-like/keys"
ALLOWED = "allowed"  # the folder within it that holds the keys of others

_FIRST_LINE = "olympipe-like key, version 1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_MOST_BYTES = 4096  # of a key file


class KeyProblem(PlanError):
    """A key that cannot be used, and what to do about it."""


class PublicKey(NamedTuple):
    """Who somebody is."""

    name: str
    public: str  # 40 characters, z85

    @property
    def fingerprint(self) -> str:
        """Return what people compare."""
        digest = hashlib.sha256(self.public.encode()).hexdigest()[:24]
        return ":".join(digest[at : at + 4] for at in range(0, len(digest), 4))


class SecretKey(NamedTuple):
    """Who we are."""

    name: str
    public: str
    secret: str

    def __repr__(self) -> str:
        return f"SecretKey({self.name!r})"  # a secret in a log is none


def make_pair(name: str) -> SecretKey:
    """Return a new key that is in no file."""
    zmq = load_zmq()
    public, secret = zmq.curve_keypair()
    return SecretKey(name, public.decode(), secret.decode())


def checked_name(name: str) -> str:
    """Return a name that is one."""
    if not _NAME.fullmatch(name):
        raise KeyProblem(f"a key's name consists of letters, digits, '.', '_' and '-', at most 63; got {name!r}")
    return name


class KeyFolder:
    """A folder of keys.

    Parameters
    ----------
    place : str or path
        The folder, or a file ``NAME.secret`` in it, which says which of several keys is meant.

    Raises
    ------
    KeyProblem
        From any method: a file is missing, is no key, or others can read or write what they must not.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        path = Path(place).expanduser()
        self._chosen: Path | None = path if path.suffix == ".secret" else None
        self.folder = path.parent if self._chosen is not None else path

    # -- our own ------------------------------------------------------------------------------------------------------

    def new(self, name: str) -> SecretKey:
        """Make a pair and write ``NAME.pub`` and ``NAME.secret``; no file is ever overwritten."""
        checked_name(name)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_folder()
        secret_file, public_file = self.folder / f"{name}.secret", self.folder / f"{name}.pub"
        for path in (secret_file, public_file):
            if path.exists():
                raise KeyProblem(f"{path} exists; choose another name, or remove it if nobody uses it any more")
        key = make_pair(name)
        lines = [_FIRST_LINE, f"name {name}", f"public {key.public}"]
        _write(secret_file, [*lines, f"secret {key.secret}"], 0o600)
        _write(public_file, lines, 0o644)
        return key

    def own(self) -> SecretKey:
        """Return our own key."""
        found = [self._chosen] if self._chosen is not None else sorted(self.folder.glob("*.secret"))
        if not found:
            raise KeyProblem(f"no key in {self.folder}: run 'olympipe-like keys new NAME --keys {self.folder}' first")
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise KeyProblem(f"{self.folder} holds several secret keys ({names}); give the path of one of them as keys")
        path = found[0]
        self._check_folder()
        _check_secret(path)
        fields = _read(path)
        if "secret" not in fields:
            raise KeyProblem(f"{path} holds no secret key")
        return SecretKey(fields["name"], fields["public"], fields["secret"])

    def own_names(self) -> list[PublicKey]:
        """Return our own keys, without their secrets."""
        found = (_read(path) for path in sorted(self.folder.glob("*.pub")))
        return [PublicKey(fields["name"], fields["public"]) for fields in found]

    # -- others -------------------------------------------------------------------------------------------------------

    def allow(self, file: str | os.PathLike[str]) -> PublicKey:
        """Trust whoever holds the secret that belongs to a ``.pub`` file."""
        fields = _read(Path(file))
        key = PublicKey(fields["name"], fields["public"])
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_folder()
        self._allowed_folder.mkdir(mode=0o700, exist_ok=True)
        path = self._allowed_folder / f"{key.name}.pub"
        if path.exists():
            known = _read(path)["public"]
            if known == key.public:
                return key
            raise KeyProblem(
                f"another key of the name {key.name!r} is allowed; run 'olympipe-like keys revoke {key.name}' first"
            )
        _write(path, [_FIRST_LINE, f"name {key.name}", f"public {key.public}"], 0o644)
        return key

    def revoke(self, name: str) -> None:
        """Trust a name no longer; a hub that runs drops its workers within a second or so."""
        path = self._allowed_folder / f"{checked_name(name)}.pub"
        try:
            path.unlink()
        except FileNotFoundError:
            raise KeyProblem(f"no key of the name {name!r} is allowed in {self.folder}") from None

    def allowed(self) -> list[PublicKey]:
        """Return whom we trust."""
        self._check_folder()
        found = []
        for path in sorted(self._allowed_folder.glob("*.pub")):
            _check_not_writable_by_others(path)
            fields = _read(path)
            found.append(PublicKey(fields["name"], fields["public"]))
        return found

    def hub(self, name: str | None = None) -> PublicKey:
        """Return the one hub that a worker trusts, or that of a name."""
        found = self.allowed()
        if name is not None:
            for key in found:
                if key.name == name:
                    return key
            raise KeyProblem(f"no key of the name {name!r} is allowed in {self.folder}")
        if not found:
            raise KeyProblem(
                f"{self.folder} allows no hub: copy its .pub file here and run 'olympipe-like keys allow FILE'"
            )
        if len(found) > 1:
            names = ", ".join(key.name for key in found)
            raise KeyProblem(f"{self.folder} allows several keys ({names}); say which one the hub's is with --hub NAME")
        return found[0]

    @property
    def _allowed_folder(self) -> Path:
        return self.folder / ALLOWED

    def _check_folder(self) -> None:
        for folder in (self.folder, self._allowed_folder):
            if folder.exists():
                _check_not_writable_by_others(folder)


def _check_not_writable_by_others(path: Path) -> None:
    """Whoever can write here decides who is trusted."""
    found = path.stat()
    kind = "folder" if stat.S_ISDIR(found.st_mode) else "file"
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        raise KeyProblem(f"key {kind} {path} is writable by others (mode {mode:04o}); chmod go-w it")
    _check_owner(path, found.st_uid)


def _check_secret(path: Path) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise KeyProblem(f"there is no key file {path}; 'olympipe-like keys new' makes one") from None
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise KeyProblem(f"key file {path} is readable by others (mode {mode:04o}); chmod 600 it")
    _check_owner(path, found.st_uid)


def _check_owner(path: Path, owner: int) -> None:
    if owner not in (os.geteuid(), 0):
        raise KeyProblem(f"{path} belongs to another user (uid {owner}, we are {os.geteuid()}); make a key of your own")


def _write(path: Path, lines: list[str], mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, mode)  # whatever the umask is
        file.write("\n".join([*lines, ""]))


def _read(path: Path) -> dict[str, str]:
    """Return the fields of a key file."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyProblem(f"{path} cannot be read as a key: {error}") from None
    first, *lines = text.splitlines() or [""]
    fields = dict(line.split(" ", 1) for line in lines if " " in line)
    keys = [fields.get(name, "") for name in ("public", "secret") if name == "public" or name in fields]
    if first != _FIRST_LINE or not _NAME.fullmatch(fields.get("name", "")) or not all(map(_Z85.fullmatch, keys)):
        raise KeyProblem(f"{path} is no key of olympipe-like (or one of another version)")
    return fields
