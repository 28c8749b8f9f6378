"""What is larger than `max_message` allows is the failure of that item or request, and of nobody else."""

from __future__ import annotations

import pytest

from olympipe_like import Pipeline
from olympipe_like.errors import StageFailed
from olympipe_like.remote import remote, start_workers
from olympipe_like.requests import Broker, Client
from olympipe_like.requests import start_workers as start_answering

pytestmark = pytest.mark.timeout(60)

KIB = 1 << 10


@pytest.mark.parametrize("serializer", ["pickle", "msgpack"])
def test_a_result_that_is_too_large_is_its_items_failure(address, serializer):
    there = remote(address, max_message="100KiB", serializer=serializer, reconnect_for=5.0)

    def grow(size):
        return b"x" * (size * KIB)

    with start_workers(there):
        sizes = Pipeline([1, 200, 50, 300, 2])
        with sizes.task(grow, executor=there, on_error="collect").run() as run:
            found = [len(each) // KIB for each in run]
        told = sizes.task(grow, executor=there, on_error=lambda size, _: size).task(type).wait_for_result()
        with pytest.raises(StageFailed, match=r"it has 2048\d\d bytes, and max_message=102400 is the most") as caught:
            sizes.task(grow, executor=there).wait_for_result()

    assert found == [1, 50, 2]
    assert [each.position for each in run.failures] == [(1,), (3,)]
    assert told == [bytes, int, bytes, int, bytes]
    assert "item 1" in str(caught.value)
    assert all(row.left is False for row in run.report.workers)  # nobody was thrown out for it


def test_small_results_are_taken_however_many_travel_together(address):
    there = remote(address, max_message="2KiB")

    with start_workers(there):
        found = Pipeline(range(20_000)).task(lambda n: [n] * 3, executor=there).wait_for_result()

    assert found == [[n] * 3 for n in range(20_000)]


def test_a_request_or_a_result_that_is_too_large_fails_in_its_place(address):
    def grow(request):
        return b"x" * request if isinstance(request, int) else len(request)

    with (
        Broker(address, max_message="100KiB") as broker,
        start_answering(grow, address),
        Client(address) as client,
    ):
        for asker in (broker, client):
            results = asker.imap([10, 200 * KIB, 20])
            assert next(results) == b"x" * 10
            with pytest.raises(ValueError, match=r"the result cannot be sent: .* max_message=102400 of the Broker"):
                next(results)
            assert list(results) == [b"x" * 20]

        results = client.imap([b"y" * 10, b"y" * 200 * KIB, b"y" * 20])
        assert next(results) == 10
        with pytest.raises(ValueError, match=r"cannot be sent: .* max_message=102400 of the Broker is the most"):
            next(results)
        assert list(results) == [20]
