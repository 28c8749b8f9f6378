"""Bad input to the listening socket: nothing of it is unpickled, and who is allowed goes on working."""

from __future__ import annotations

import logging
import os
import resource
import socket
import struct
import threading
import time
from random import Random

import psutil
import pytest

from olympipe_like import Pipeline
from olympipe_like._remote import fields, gateways, temporary
from olympipe_like._remote.envelope import CHUNK_BYTES, NO_TOKEN, PROTOCOL, SIZE, Envelope, Kind
from olympipe_like._remote.keys import KeyFolder, make_pair
from olympipe_like._remote.speech import Says, pack
from olympipe_like.remote import remote
from tests.remote.attacks import Canary, Peer, place_of, raw

pytestmark = pytest.mark.timeout(60)

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00"  # ZMTP 3.0, as far as the mechanism
NULL_GREETING = GREETING + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
CURVE_GREETING = GREETING + b"CURVE".ljust(20, b"\0") + b"\0" + bytes(31)


@pytest.fixture
def canary(tmp_path):
    return Canary(tmp_path / "canary")


@pytest.fixture
def run(machines, hub, canary, eventually):
    """A run under way with one good worker; at the end it has done all its work, and no canary was unpickled."""
    machines(1, name="good")
    allowance = threading.Semaphore(100)

    def numbers():
        for n in range(200):
            assert allowance.acquire(timeout=50)
            yield n

    results = []
    pipe = Pipeline(numbers()).task(lambda n: n, executor=hub())
    consumer = threading.Thread(target=lambda: results.extend(pipe))
    consumer.start()
    eventually(lambda: gateways._open, 10)
    (gateway,) = gateways._open.values()
    time.sleep(1)
    before = psutil.Process(gateway.pid).memory_info().rss
    eventually(lambda: len(results) == 100, 10)

    def go_on():
        """Let ten more items through; they must come while whatever it is goes on."""
        expected = len(results) + 10
        allowance.release(10)
        eventually(lambda: len(results) == expected, 5)

    yield go_on
    go_on()
    after = psutil.Process(gateway.pid).memory_info().rss
    allowance.release(100)
    consumer.join(20)
    assert results == list(range(200))
    assert canary.is_alive
    assert after - before < 64 << 20


@pytest.fixture
def peer(address):
    made = []

    def make(hub=None, own=None):
        ours, workers = temporary._pair(address)
        made.append(Peer(address, hub or ours.public, own or workers))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.fault("B01")
def test_a_stranger_without_encryption_is_not_heard(run, address, canary, caplog, eventually):
    stranger = Peer(address, None, None)
    with caplog.at_level(logging.WARNING, "olympipe_like"):
        stranger.try_to_send(canary.pickled())
        stranger.try_to_send(Envelope(Kind.HELLO).pack(4), canary.pickled()[:4])

        assert stranger.receive(2) is None
        run()
        eventually(lambda: "refused 1 connection that did not finish the handshake" in caplog.text)
    stranger.close()


@pytest.mark.fault("B02")
def test_a_key_that_is_not_allowed_is_not_heard_and_told_of_once_a_minute(run, peer, canary, caplog, eventually):
    with caplog.at_level(logging.WARNING, "olympipe_like"):
        for _ in range(5):
            stranger = peer(own=make_pair("mallory"))
            stranger.try_to_send(canary.pickled())
            assert stranger.receive(0.5) is None

        eventually(lambda: "refused" in caplog.text)
        run()
        lines = [line for line in caplog.messages if "refused" in line]
        assert lines == ["refused 1 connection from 127.0.0.1: no key that is allowed"]


@pytest.mark.fault("B02")
def test_who_expects_another_hub_does_not_speak_to_this_one(run, peer):
    mistaken = peer(hub=make_pair("other").public)
    mistaken.try_to_send(Envelope(Kind.HELLO).pack(0), b"")

    assert mistaken.receive(2) is None


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip(f"a process may have {hard} descriptors here, and 1200 are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


RUBBISH = {
    "64 random bytes": Random(1).randbytes(64),
    "1 MiB of them": Random(2).randbytes(1 << 20),
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("16030100f8010000f40303") + bytes(240),
    "a greeting of version 9": b"\xff" + bytes(8) + b"\x7f\x09\x00" + bytes(52),
    "another mechanism": NULL_GREETING,
}


@pytest.mark.fault("B03")
@pytest.mark.parametrize("what", RUBBISH)
def test_rubbish_is_hung_up_on(run, address, what):
    closed = raw(address, RUBBISH[what], 8)

    assert closed is not None
    assert closed < 5


@pytest.mark.fault("B04")
@pytest.mark.slow
def test_a_thousand_silent_strangers_are_shown_out_and_disturb_nobody(run, address, many_descriptors):
    silent = [socket.create_connection(place_of(address)) for _ in range(1000)]
    began = time.monotonic()
    for each in silent:
        each.sendall(CURVE_GREETING)
        each.settimeout(8)

    run()
    assert time.monotonic() - began < 3  # they are all there still
    for each in silent:
        try:
            while each.recv(4096):
                pass
        except ConnectionError:
            pass  # hung up on, too
        each.close()
    assert time.monotonic() - began < 8


@pytest.mark.fault("B05")
@pytest.mark.parametrize("length", [1 << 62, (1 << 63) + 5, 300 << 20])
def test_a_length_that_cannot_be_never_gets_past_the_handshake(run, address, length):
    header = b"\x02" + struct.pack("!Q", length)

    assert raw(address, CURVE_GREETING + header + bytes(1000), 8) is not None


@pytest.mark.fault("B05")
def test_an_allowed_peer_that_sends_too_much_at_once_is_disconnected(run, peer, eventually):
    allowed = peer()
    allowed.greet()

    allowed.send(Envelope(Kind.BEGIN, number=1, token=allowed.session.token).pack(300 << 20), bytes(300 << 20))

    run()

    def is_unknown():
        # Its connection is cut: what it says then comes over another one, which has no session yet. Until ZeroMQ has
        # noticed, what it says is lost with the old one.
        allowed.send(allowed.session.beat(), b"")
        return allowed.is_thrown_out(1)

    eventually(is_unknown, 20)


@pytest.mark.fault("B05")
def test_an_allowed_peer_that_announces_too_much_is_thrown_out_by_name(run, peer, caplog, eventually):
    allowed = peer()
    allowed.greet()
    data = (1 << 40).to_bytes(8, "big") + bytes(100)
    with caplog.at_level(logging.WARNING, "olympipe_like"):
        allowed.send(Envelope(Kind.BEGIN, number=1, token=allowed.session.token).pack(len(data)), data)

        assert allowed.is_thrown_out()
        eventually(lambda: "worker evil (key 'local') is lost (broke the protocol: a message of" in caplog.text)


@pytest.mark.fault("B06")
def test_a_recorded_session_that_is_played_again_delivers_nothing(run, address, peer, caplog):
    caplog.set_level(logging.INFO, "olympipe_like")
    recorded = []
    with Tap(address, recorded) as tapped:
        friend = Peer(tapped.address, temporary._pair(address)[0].public, temporary._pair(address)[1])
        friend.greet()
        friend.close()

    with socket.create_connection(place_of(address)) as again:
        for piece in recorded:
            again.sendall(piece)
            time.sleep(0.02)
        again.settimeout(5)
        heard = b""
        try:
            while data := again.recv(4096):
                heard += data
        except OSError:
            pass  # hung up on
    assert b"READY" not in heard
    run()
    assert caplog.text.count("worker evil (key 'local') has come") == 1


class Tap:
    """Passes one connection on and keeps what the client sends."""

    def __init__(self, address, recorded):
        self._to = place_of(address)
        self._recorded = recorded
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._pass)
        self._thread.start()
        return self

    def _pass(self):
        client, _ = self._listener.accept()
        with client, socket.create_connection(self._to) as server:
            back = threading.Thread(target=copy, args=(server, client))
            back.start()
            copy(client, server, self._recorded)
            try:
                server.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was faster
            back.join()

    def __exit__(self, *_):
        self._thread.join()
        self._listener.close()


def copy(source, target, kept=None):
    try:
        while data := source.recv(65536):
            if kept is not None:
                kept.append(data)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other direction has ended


def _answer(number, **changes):
    values = {
        "lengths": None,
        "length": 0,
        "upto": (1,),
        "failure": None,
        "counts": ((1, 1, 0, 0, 0, 0),),
        "seconds": 0.0,
        "more": False,
        "done": False,
        "records": (),
        "rss": 0,
        **changes,
    }
    return pack(Says.ANSWERED, number, *values.values())


BROKEN = {
    "a frame too many": lambda p: p.send(b"x", b"y", b"z"),
    "no frame": lambda p: p.send(b""),
    "200 frames": lambda p: p.send(*[b"x"] * 200),
    "another magic": lambda p: p.send(b"EVIL" + bytes(SIZE - 4), b""),
    "a kind that is not": lambda p: p.send(Envelope(99, token=p.session.token).pack(0), b""),
    "a hub's own words": lambda p: p.send(Envelope(Kind.WELCOME, token=p.session.token).pack(0), b""),
    "a length that is not": lambda p: p.send(Envelope(Kind.BEAT, token=p.session.token).pack(7), b""),
    "a gap": lambda p: p.send(Envelope(Kind.BEGIN, number=9, token=p.session.token).pack(0), b""),
    "having heard too much": lambda p: p.send(Envelope(Kind.BEAT, heard=99, token=p.session.token).pack(0), b""),
    "the middle of nothing": lambda p: p.send(Envelope(Kind.MORE, number=1, token=p.session.token).pack(0), b""),
    "a message of nothing": lambda p: p.say(1, b""),
    "an unknown message": lambda p: p.say(1, fields.pack((77,))),
    "a worker that never was": lambda p: p.say(1000, pack(Says.READY, 0)),
    "a hub's message": lambda p: p.say(1000, pack(Says.START, 1, 2, 3)),
    "a payload where there is none": lambda p: p.say(1000, pack(Says.READY, 0), (b"x",)),
    "text where a value should be": lambda p: p.say(1000, b"not fields"),
}


@pytest.mark.fault("B07")
@pytest.mark.parametrize("what", BROKEN)
def test_an_allowed_peer_that_breaks_the_protocol_is_thrown_out(run, peer, what):
    allowed = peer()
    allowed.greet()

    BROKEN[what](allowed)

    assert allowed.is_thrown_out()
    run()


ANSWERS = {
    "to a frame it has not": lambda n, c: _answer(n + 1),
    "with a payload of another size": lambda n, c: _answer(n, lengths=(7,), length=1),
    "with items but no payload": lambda n, c: _answer(n, length=3),
    "with a failure that is none": lambda n, c: _answer(n, failure=(1, 2)),
    "with counts below 0": lambda n, c: _answer(n, counts=((-1, 0, 0, 0, 0, 0),)),
    "with other counts": lambda n, c: _answer(n, counts=((1,),)),
    "with a time that is none": lambda n, c: _answer(n, seconds=float("nan")),
    "with a path that is none": lambda n, c: _answer(n, upto=("x",)),
    "with more fields": lambda n, c: pack(Says.ANSWERED, n, 1, 2, 3),
    "twice": lambda n, c: None,
}


@pytest.mark.fault("B07")
@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_that_cannot_be_costs_the_peer_its_place_and_no_item(machines, hub, peer, canary, what):
    pipe = Pipeline(range(60)).task(lambda n: n, executor=hub())
    results = []
    consumer = threading.Thread(target=lambda: results.extend(pipe))
    consumer.start()
    for _ in range(100):
        time.sleep(0.1)
        if gateways._open:
            break
    evil = peer()
    evil.greet()
    channel, _ = evil.wait_for(Says.START)
    evil.say(channel, pack(Says.READY, 0))
    _, (number, *_) = evil.wait_for(Says.RUN)
    if what == "twice":
        dropped = _answer(number, counts=((1, 0, 1, 0, 0, 0),))
        evil.say(channel, dropped)
        evil.say(channel, dropped)
    else:
        evil.say(channel, ANSWERS[what](number, canary))
    assert evil.is_thrown_out()

    machines(1, name="good")
    consumer.join(20)

    assert not consumer.is_alive()
    assert results == list(range(what == "twice", 60))  # its first answer was one: the item was dropped


@pytest.mark.fault("B02")
def test_a_key_revoked_at_work_is_dropped_and_its_items_go_on(machines, tmp_path, address, eventually, caplog):
    here, good, bad = (KeyFolder(tmp_path / name) for name in ("here", "good", "bad"))
    for folder, name in ((here, "hub"), (good, "good"), (bad, "bad")):
        folder.new(name)
    for folder, name in ((good, "good"), (bad, "bad")):
        here.allow(folder.folder / f"{name}.pub")
        folder.allow(here.folder / "hub.pub")
    there = remote(address, keys=here.folder, min_workers=2, lost_after=20.0)
    machines(1, name="goodhost", keys=good.folder)
    machines(1, name="badhost", keys=bad.folder)
    results = []
    pipe = Pipeline(range(400)).task(lambda n: time.sleep(0.02) or (n, os.getppid()), executor=there)
    consumer = threading.Thread(target=lambda: results.extend(pipe))
    with caplog.at_level(logging.WARNING, "olympipe_like"):
        consumer.start()
        eventually(lambda: len({parent for _, parent in results}) == 2, 20)

        here.revoke("bad")
        eventually(lambda: "worker badhost (key 'bad') is lost (its key was revoked)" in caplog.text, 10)
        at = len(results)
        consumer.join(30)

    assert not consumer.is_alive()
    assert [n for n, _ in results] == list(range(400))
    assert len({parent for _, parent in results[at + 50 :]}) == 1


@pytest.mark.fault("N09")
def test_a_worker_of_another_protocol_is_refused_by_name(run, peer, caplog, eventually):
    other = peer()
    packed = bytearray(Envelope(Kind.HELLO).pack(0))
    packed[4] = PROTOCOL + 1
    refusal = f"worker local runs protocol {PROTOCOL + 1}, this hub speaks {PROTOCOL}"
    with caplog.at_level(logging.WARNING, "olympipe_like"):
        other.send(bytes(packed), b"")

        envelope, text = other.receive()
        assert envelope.kind is Kind.REFUSE
        assert text.startswith(refusal.encode())
        eventually(lambda: f"refused: {refusal}" in caplog.text)


@pytest.mark.fault("N09")
def test_a_worker_of_another_python_is_refused_on_both_sides(run, machines, caplog, eventually):
    with caplog.at_level(logging.WARNING, "olympipe_like"):
        machine = machines(1, name="host2", prelude=OTHER_PYTHON)

        assert machine.process.wait(15) == 3
        assert "refused: worker host2 runs Python 3.99, this hub 3." in machine.text
        eventually(lambda: "refused: worker host2 runs Python 3.99" in caplog.text)


# The courier is a process of its own; what it says of its Python is read there.
OTHER_PYTHON = """
import subprocess
start = subprocess.Popen
class Popen(start):
    def __init__(self, command, **options):
        if "courier" in str(command):
            command[command.index("-c") + 1] = command[command.index("-c") + 1].replace(
                "from olympipe_like", "sys.version_info = (3, 99, 0); from olympipe_like")
        super().__init__(command, **options)
subprocess.Popen = Popen
"""


@pytest.mark.fault("N09")
def test_a_worker_without_a_module_is_refused_and_others_work(machines, hub, tmp_path, caplog, monkeypatch):
    (tmp_path / "only_here.py").write_text("def triple(n):\n    return 3 * n\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    poor = machines(1, name="poor")
    with caplog.at_level(logging.WARNING, "olympipe_like"):
        pipe = Pipeline(range(20)).task(only_here.triple, executor=hub())
        results = []
        consumer = threading.Thread(target=lambda: results.extend(pipe))
        consumer.start()
        deadline = time.monotonic() + 15
        while "was refused" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        machines(1, name="rich", prelude=f"sys.path.append({str(tmp_path)!r})")
        consumer.join(20)

    assert results == [3 * n for n in range(20)]
    text = "stage 1/1 'triple': worker poor (key 'local') was refused: it has no module 'only_here'; install it there"
    assert text in caplog.text
    assert "refused for stage 'triple': it has no module 'only_here'" in poor.text


@pytest.mark.fault("N09")
def test_a_worker_without_what_a_travelling_module_imports_is_refused_and_others_work(
    machines, hub, tmp_path, caplog, monkeypatch, eventually
):
    """Only what its import cannot do without counts: not what is imported in functions, or tried."""
    (tmp_path / "installed_here").mkdir()
    (tmp_path / "installed_here" / "base_of_it.py").write_text("FACTOR = 3\n")
    text = "import base_of_it\nfrom os import path\ntry:\n    import not_anywhere\nexcept ImportError:\n    pass\n"
    text += "def triple(n):\n    if n < 0:\n        import not_anywhere_either\n    return base_of_it.FACTOR * n\n"
    (tmp_path / "travels_with_it.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "installed_here")
    monkeypatch.syspath_prepend(tmp_path)
    import travels_with_it

    machines(1, name="poor")
    results = []
    with caplog.at_level(logging.WARNING, "olympipe_like"):
        pipe = Pipeline(range(20)).task(travels_with_it.triple, executor=hub(modules=[travels_with_it]))
        consumer = threading.Thread(target=lambda: results.extend(pipe))
        consumer.start()
        eventually(lambda: "worker poor (key 'local') was refused: it has no module 'base_of_it'" in caplog.text, 15)
        machines(1, name="rich", prelude=f"sys.path.append({str(tmp_path / 'installed_here')!r})")
        consumer.join(20)

    assert results == [3 * n for n in range(20)]


def test_a_module_can_travel_with_the_functions(machines, hub, tmp_path, monkeypatch):
    package = tmp_path / "luggage_for_test"
    package.mkdir()
    (package / "__init__.py").write_text("from .inner import Point\nFACTOR = 3\n")
    (package / "inner.py").write_text("class Point:\n    def __init__(self, x):\n        self.x = x\n")
    monkeypatch.syspath_prepend(tmp_path)
    import luggage_for_test
    from luggage_for_test import Point

    def scale(point):
        assert isinstance(point, luggage_for_test.Point)
        return Point(point.x * luggage_for_test.FACTOR)

    machines(1)
    there = hub(modules=["luggage_for_test"])
    points = Pipeline(map(Point, range(5))).task(scale, executor=there).wait_for_result()

    assert [point.x for point in points] == [0, 3, 6, 9, 12]
    assert all(isinstance(point, Point) for point in points)


def test_the_packets_that_travel_are_no_larger_than_the_socket_takes():
    assert len(Envelope(Kind.MORE, 1, 1, 1, NO_TOKEN).pack(CHUNK_BYTES)) == SIZE
