"""Keys: made, allowed, revoked, listed; and refused where others could have read or changed them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from olympipe_like import PlanError
from olympipe_like._remote.keys import KeyFolder, KeyProblem
from olympipe_like.remote import remote
from tests.remote.conftest import ROOT


def command(*arguments):
    code = "import sys; from olympipe_like.__main__ import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "keys"


def test_a_secret_is_written_for_its_owner_alone_and_never_overwritten(folder):
    KeyFolder(folder).new("nodeb")

    assert stat.S_IMODE((folder / "nodeb.secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "secret" not in (folder / "nodeb.pub").read_text()
    with pytest.raises(KeyProblem, match=r"nodeb\.secret exists; choose another name"):
        KeyFolder(folder).new("nodeb")


def test_the_command_line_makes_allows_lists_and_revokes(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"

    made = command("keys", "new", "hub", "--keys", here)
    assert command("keys", "new", "nodeb", "--keys", there).returncode == 0
    allowed = command("keys", "allow", there / "nodeb.pub", "--keys", here)
    listed = command("keys", "list", "--keys", here)
    revoked = command("keys", "revoke", "nodeb", "--keys", here)
    again = command("keys", "revoke", "nodeb", "--keys", here)

    assert "olympipe-like keys allow hub.pub" in made.stdout
    (key,) = KeyFolder(there).own_names()
    assert allowed.stdout == f"allowed nodeb\n  {key.fingerprint}\n"
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["our", "hub", "allowed:", "nodeb"]
    assert revoked.stdout == "revoked nodeb\n"
    assert again.returncode == 2
    assert "no key of the name 'nodeb' is allowed" in again.stderr


@pytest.mark.fault("B10")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_secret_that_others_can_read_is_refused(folder, mode):
    KeyFolder(folder).new("hub")
    (folder / "hub.secret").chmod(mode)

    with pytest.raises(PlanError) as caught:
        remote("tcp://0.0.0.0:5555", keys=folder)

    text = f"key file {folder / 'hub.secret'} is readable by others (mode {mode:04o}); chmod 600 it"
    assert str(caught.value) == text


@pytest.mark.fault("B10")
@pytest.mark.parametrize("what", ["keys", "keys/allowed"])
def test_a_folder_that_others_can_write_to_is_refused(folder, tmp_path, what):
    KeyFolder(folder).new("hub")
    KeyFolder(folder).allow(folder / "hub.pub")
    (tmp_path / what).chmod(0o777)

    with pytest.raises(KeyProblem, match=r"key folder .* is writable by others \(mode 0777\); chmod go-w it"):
        KeyFolder(folder).allowed()
    with pytest.raises(KeyProblem, match="is writable by others"):
        KeyFolder(folder).own()


@pytest.mark.fault("B10")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_secret_of_another_user_is_refused(folder):
    KeyFolder(folder).new("hub")
    os.chown(folder / "hub.secret", 65534, -1)

    with pytest.raises(KeyProblem, match="belongs to another user"):
        KeyFolder(folder).own()


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "x" * 64, "ü"])
def test_a_name_that_is_no_name_is_refused(folder, name):
    with pytest.raises(KeyProblem, match="a key's name consists of"):
        KeyFolder(folder).new(name)

    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "hello", "olympipe-like key, version 2\nname x\npublic y", "\x00" * 5000])
def test_a_file_that_is_no_key_is_refused(folder, tmp_path, text):
    path = tmp_path / "x.pub"
    path.write_text(text)

    with pytest.raises(KeyProblem, match=r"x\.pub"):
        KeyFolder(folder).allow(path)


def test_a_second_key_of_a_name_does_not_replace_the_first(folder, tmp_path):
    for place in ("a", "b"):
        KeyFolder(tmp_path / place).new("nodeb")
    KeyFolder(folder).allow(tmp_path / "a" / "nodeb.pub")

    with pytest.raises(KeyProblem, match="another key of the name 'nodeb' is allowed"):
        KeyFolder(folder).allow(tmp_path / "b" / "nodeb.pub")


def test_of_several_keys_one_must_be_named(folder):
    for name in ("hub", "nodeb"):
        KeyFolder(folder).new(name)

    with pytest.raises(KeyProblem, match=r"several secret keys \(hub\.secret, nodeb\.secret\)"):
        KeyFolder(folder).own()
    assert KeyFolder(folder / "nodeb.secret").own().name == "nodeb"


@pytest.mark.fault("B09")
@pytest.mark.parametrize("host", ["0.0.0.0", "*", "[::]", "10.1.2.3", "myhost", "1270.0.0.1", "127.0.0.1.evil.example"])
def test_listening_beyond_this_machine_needs_keys(host):
    with pytest.raises(
        ValueError, match=r"refusing to listen on tcp://.*:5555 without keys: run 'olympipe-like keys new"
    ):
        remote(f"tcp://{host}:5555")


def test_a_folder_is_the_same_however_it_is_written(folder, monkeypatch):
    KeyFolder(folder).new("hub")
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.chdir(folder.parent)

    spelled = {remote("tcp://0.0.0.0:5555", keys=each) for each in (folder, "~/keys", "keys", "./x/../keys")}

    assert len(spelled) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_this_machine_alone_needs_none(host):
    assert remote(f"tcp://{host}:5555").keys is None


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:5", "ipc:///tmp/x", "tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://a:99999"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(PlanError, match="address must be like"):
        remote(address)


def test_without_a_key_the_command_to_make_one_is_named(folder):
    with pytest.raises(PlanError, match="run 'olympipe-like keys new NAME"):
        remote("tcp://0.0.0.0:5555", keys=folder)


def test_a_worker_without_keys_says_what_to_do(folder):
    done = command("worker", "tcp://127.0.0.1:5555", "--keys", folder)

    assert done.returncode == 2
    assert "run 'olympipe-like keys new NAME" in done.stderr
