"""Streamers and muxes as sources of pipelines."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from olympipe_like import Pipeline, PlanError, PlanTypeError, SourceFailed
from olympipe_like.sampling import ChainMux, RoundRobinMux, ShuffledMux, StochasticMux, Streamer, buffer_stream, mix
from tests.arrays import ARRAYS
from tests.sampling.streams import labelled, thrown

ROOT = Path(__file__).parents[2]


def exhaustive(seed=3):
    streams = [Streamer(labelled, name, 6) for name in "abcd"]
    return StochasticMux(streams, 2, None, mode="exhaustive", random_state=seed)


def upper(item):
    return item.upper()


def process_ids():
    while True:
        yield os.getpid()


def test_a_mux_is_a_source_and_gives_what_it_gives_in_a_loop():
    assert Pipeline(exhaustive()).task(upper, workers=2).wait_for_result() == [item.upper() for item in exhaustive()]


@pytest.mark.parametrize("executor", [None, "inline"])
def test_each_run_is_another_epoch_under_one_seed(executor):
    mux = exhaustive()
    expected = [list(mux) for _ in range(4)]
    other = exhaustive()
    pipe = Pipeline(other).task(upper)

    runs = [pipe.wait_for_result(executor=executor) for _ in range(3)]

    assert runs == [[item.upper() for item in epoch] for epoch in expected[:3]]
    assert list(other) == expected[3]


@pytest.mark.parametrize("executor", [None, "inline"])
def test_a_stream_without_a_seed_follows_that_of_the_run(executor):
    free, own = ShuffledMux(["abc", "def"]), ShuffledMux(["abc", "def"], random_state=1)
    both = Pipeline(free, 20).zip(Pipeline(ShuffledMux(["abc", "def"]), 20))

    one, again, other = (Pipeline(free, 20).wait_for_result(seed=seed, executor=executor) for seed in (1, 1, 2))
    pairs = both.wait_for_result(seed=1)

    assert one == again != other
    assert [pair[0] for pair in pairs] == one != [pair[1] for pair in pairs]
    assert Pipeline(own, 20).wait_for_result(seed=1, executor=executor) == list(
        ShuffledMux(["abc", "def"], random_state=1).iterate(20)
    )


def test_a_pipeline_over_a_state_goes_on_from_it():
    mux = exhaustive()
    given = list(islice(mux, 9))
    other = exhaustive()
    other.load_state_dict(mux.state_dict())

    assert given + Pipeline(other).task(str).wait_for_result() == list(exhaustive())


@pytest.mark.parametrize("options", [{}, {"max_iter": 20, "cycle": True}])
def test_a_mux_that_is_repeated_within_a_run_gives_another_order_each_time(options):
    runs = [Pipeline(exhaustive(), **options).repeat(3).wait_for_result(executor=where) for where in (None, "inline")]

    assert runs[0] == runs[1]
    length = 20 if options else 24
    epochs = [runs[0][at : at + length] for at in range(0, 3 * length, length)]
    assert len(runs[0]) == 3 * length
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_mux_runs_in_a_process_of_its_own_and_in_the_caller_if_inline():
    stream = Streamer(process_ids)

    (there,) = Pipeline(stream).limit(1).wait_for_result()
    (here,) = Pipeline(stream).limit(1).wait_for_result(executor="inline")

    assert there != os.getpid() == here


def test_an_endless_mux_feeds_stages_until_they_have_enough():
    mux = ShuffledMux([Streamer(thrown), Streamer(thrown)], [3, 1], random_state=1)

    found = Pipeline(mux).task(str, workers=2).limit(500).wait_for_result()

    again = ShuffledMux([Streamer(thrown), Streamer(thrown)], [3, 1], random_state=1)
    assert found == [str(item) for item in again.iterate(500)]


def test_a_pipeline_takes_the_arguments_of_an_iteration():
    assert Pipeline(Streamer("abc"), max_iter=7, cycle=True).wait_for_result() == list("abcabca")
    assert Pipeline(Streamer("abc"), 2).wait_for_result() == ["a", "b"]


@pytest.mark.parametrize("kind", [RoundRobinMux, ChainMux])
def test_other_muxes_and_maps_are_sources_too(kind):
    stream = buffer_stream(kind([Streamer(range, 4), Streamer(range, 10, 14)]), 4)

    found = Pipeline(stream).task(np.sum).wait_for_result()

    assert found == [sum(batch) for batch in stream]


def test_arrays_of_any_layout_arrive_as_they_were_and_can_be_written_to():
    streams = [[{"X": array, "layout": layout, "kind": object}] for layout, array in ARRAYS.items()]

    items = Pipeline(ChainMux(streams)).wait_for_result()

    assert [item["layout"] for item in items] == list(ARRAYS)
    for item in items:
        expected = ARRAYS[item["layout"]]
        assert item["X"].dtype == expected.dtype
        assert item["X"].flags.writeable
        assert item["kind"] is object
        np.testing.assert_array_equal(item["X"], expected, item["layout"])


@pytest.mark.parametrize("item", [{}, None, StopIteration(), [], "", b""], ids=repr)
def test_any_object_is_an_item(item):
    found = Pipeline(ChainMux([[item, item]])).wait_for_result()

    assert [repr(each) for each in found] == [repr(item)] * 2


def test_an_error_of_a_source_names_its_stream_and_comes_behind_what_it_gave():
    def broken(path):
        yield "first"
        raise FileNotFoundError(2, "not there", path)

    results = iter(Pipeline(ShuffledMux([StochasticMux([Streamer(broken, "clicks.npz")], 1, None)])))
    taken = [next(results)]
    with pytest.raises(FileNotFoundError) as caught:
        next(results)

    assert taken == ["first"]
    assert isinstance(caught.value, SourceFailed)
    text = str(caught.value)
    assert "source 'ShuffledMux' failed after 1 items: FileNotFoundError: [Errno 2] not there: 'clicks.npz'" in text
    assert "in stream 0 of StochasticMux(1 streams): Streamer(broken, 'clicks.npz')" in text
    assert "in stream 0 of ShuffledMux(1 streams)" in text


def test_a_mix_in_a_pipeline_hears_of_its_weights():
    mixed = mix({name: Streamer(labelled, name, 100_000) for name in "ab"}, [1, 0], random_state=1)

    seen = []
    with Pipeline(mixed).task(upper, executor="thread", queue_size=4).run(queue_size=4) as run:
        for item in run:
            seen.append(item[0])
            if len(seen) == 50:
                mixed.set_weights({"a": 0, "b": 1})
            if len(seen) == 400:
                break

    assert set(seen[:50]) == {"A"}
    assert set(seen[200:]) == {"B"}


def test_pipelines_are_streams_of_a_mix():
    pipes = [Pipeline(Streamer(labelled, name, 5)).task(upper) for name in "ab"]

    assert sorted(mix(pipes, random_state=1)) == [f"{name}{n}" for name in "AB" for n in range(5)]


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (
            lambda stream: Pipeline(stream, 7, False, 3),
            "there may be max_iter and cycle, each once, got 7, False, 3",
        ),
        (
            lambda stream: Pipeline(stream, 7, max_iter=7),
            "there may be max_iter and cycle, each once, got 7, max_iter=7",
        ),
        (lambda stream: Pipeline(stream, most=7), "there may be max_iter and cycle, each once, got most=7"),
        (lambda stream: Pipeline(stream, "x"), "max_iter must be a whole number, got 'x'"),
        (lambda stream: Pipeline(stream, -1), "max_iter must be >= 0, got -1"),
        (lambda stream: Pipeline(stream, 7, cycle="yes"), "cycle must be True or False, got 'yes'"),
    ],
    ids=["a third", "twice", "unknown", "no number", "below 0", "no flag"],
)
@pytest.mark.parametrize("stream", [Streamer(labelled, "a", 3), mix(["ab", "cd"])], ids=["Streamer", "Mix"])
def test_what_a_stream_does_not_take_is_refused_where_the_pipeline_is_written(made, text, stream):
    with pytest.raises(PlanError, match=rf"^source \(test_pipelines\.py:\d+\): .*{text}"):
        made(stream)


def test_a_stream_that_cannot_be_sent_says_what_to_do():
    advice = r"source 'Streamer' cannot be sent .* inside the function that makes .* give the pipeline an iterator"
    with Path(__file__).open() as file:
        stream = Streamer(lambda: [file.name])

        with pytest.raises(PlanTypeError, match=advice):
            Pipeline(stream).wait_for_result()

        assert Pipeline(stream.iterate()).wait_for_result() == [file.name]


def test_a_script_without_main_guard_may_feed_a_pipeline_by_a_mux_of_its_own_functions(script):
    said = script(
        """
        from olympipe_like import Pipeline
        from olympipe_like.sampling import StochasticMux, Streamer

        def letters(letter, rng):
            while True:
                yield letter * int(rng.integers(1, 3))

        mux = StochasticMux([Streamer(letters, letter) for letter in "abc"], 2, rate=3, random_state=1)
        found = Pipeline(mux).task(len, workers=2).limit(100).wait_for_result()
        print(found == [len(x) for x in mux.with_seed(1).iterate(100)])
        """
    )

    assert said == "True\n"


def test_without_numpy_the_extra_is_named_and_streams_that_draw_nothing_work(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError('No module named numpy', name='numpy')")
    program = """
from olympipe_like.sampling import ChainMux, RoundRobinMux, ShuffledMux
print(list(ChainMux([RoundRobinMux(["ab", "c"])], "cycle").iterate(4)))
mux = ShuffledMux(["ab"], random_state=1)
try:
    list(mux)
except ModuleNotFoundError as error:
    print(error.name, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout.splitlines() == [
        "['a', 'c', 'b', 'a']",
        "numpy random streams need numpy: pip install 'olympipe-like[sampling]'",
    ]
