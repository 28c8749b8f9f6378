from __future__ import annotations

import pickle
from itertools import islice

import pytest

from olympipe_like import PlanError, PlanTypeError
from olympipe_like.sampling import ChainMux, RoundRobinMux, Streamer
from tests.sampling.streams import Watched, labelled, thrown


def joined(stream, most=None):
    return "".join(stream.iterate(most))


def test_round_robin_takes_an_item_of_each_in_turn_and_skips_those_that_are_over():
    assert joined(RoundRobinMux(["abc", "d", "ef"])) == "adebfc"


def test_round_robin_in_a_cycle_begins_all_again_once_all_are_over():
    assert joined(RoundRobinMux(["abc", "d", "ef"], mode="cycle"), 14) == "adebfcadebfcad"


def test_a_permuted_cycle_changes_the_order_with_each_round_under_one_seed():
    def mux():
        return RoundRobinMux("abcdefgh", mode="permuted_cycle", random_state=3)

    drawn = joined(mux(), 80)

    rounds = [drawn[at : at + 8] for at in range(0, 80, 8)]
    assert {"".join(sorted(one)) for one in rounds} == {"abcdefgh"}
    assert rounds[0] == "abcdefgh"
    assert len(set(rounds)) == 10
    assert joined(mux(), 80) == drawn
    other = mux()
    assert joined(other, 80) != joined(other, 80)


@pytest.mark.parametrize("mode", ["exhaustive", "cycle", "permuted_cycle"])
def test_round_robin_over_empty_streams_ends(mode):
    assert list(RoundRobinMux([[], [], []], mode, random_state=1)) == []


@pytest.mark.parametrize("mode", ["exhaustive", "cycle"])
def test_a_chain_of_empty_streams_ends(mode):
    assert list(ChainMux([[], []], mode)) == list(ChainMux([], mode)) == []


def test_round_robin_passes_over_an_empty_stream_in_every_round():
    assert joined(RoundRobinMux(["ab", "", "c"], "cycle"), 7) == "acbacba"


def test_a_chain_gives_one_stream_after_the_other():
    assert joined(ChainMux(["ab", Streamer("c"), RoundRobinMux(["de", "f"])])) == "abcdfe"


def test_a_chain_in_a_cycle_begins_with_the_first_again():
    assert joined(ChainMux(["ab", "c"], "cycle"), 8) == "abcabcab"


def test_a_chain_has_one_stream_open_at_a_time():
    watched = Watched()

    assert len(list(ChainMux([watched.streamer("a", 3) for _ in range(5)]))) == 15
    assert (watched.most, watched.opened, watched.open) == (1, 5, 0)


def test_a_chain_takes_a_generator_of_streams_lazily_and_can_be_iterated_again():
    asked = []

    def streams():
        for number in range(1000):
            asked.append(number)
            yield Streamer(labelled, f"{number}-", 2)

    chain = ChainMux(streams())

    assert list(islice(chain, 3)) == ["0-0", "0-1", "1-0"]
    assert asked == [0, 1]
    assert list(chain.iterate(5)) == ["0-0", "0-1", "1-0", "1-1", "2-0"]
    assert asked == [0, 1, 2]


def test_a_chain_asks_a_function_of_streams_anew_in_each_round():
    rounds = []

    def streams():
        rounds.append(len(rounds))
        yield from ("a", "b")

    chain = ChainMux(streams, "cycle")

    assert joined(chain, 6) == "ababab"
    assert rounds == [0, 1, 2]
    assert joined(pickle.loads(pickle.dumps(ChainMux(Streamer(["x", "y"]))))) == "xy"


def test_streams_of_a_chain_draw_by_its_seed_and_differently_in_each_round():
    chain = ChainMux([Streamer(thrown, count=4), Streamer(thrown, count=4)], "cycle", random_state=6)

    drawn = list(chain.iterate(16))

    assert len({tuple(drawn[at : at + 4]) for at in (0, 4, 8, 12)}) == 4
    assert drawn == list(ChainMux([Streamer(thrown, count=4)] * 2, "cycle", random_state=6).iterate(16))


def test_the_streams_of_a_chain_may_themselves_be_drawn():
    def files(rng):
        for number in rng.permutation(5):
            yield [int(number)] * 2

    chain = ChainMux(Streamer(files), "cycle", random_state=2)

    first, second = list(chain.iterate(20))[:10], list(chain.iterate(20))[10:]
    assert sorted(first) == sorted(second) == sorted([*range(5)] * 2)
    assert first != second


@pytest.mark.parametrize("mux", [RoundRobinMux, ChainMux])
def test_an_error_names_its_stream(mux):
    def broken():
        yield from ()
        raise OSError("torn")

    with pytest.raises(OSError, match="torn") as caught:
        list(mux(["a", Streamer(broken)]))

    (line,) = caught.value.__notes__
    assert line.startswith(f"in stream 1 of {mux.__name__}")
    assert line.endswith("Streamer(broken)")


def test_a_chain_of_fewer_streams_refuses_a_state_within_a_later_one():
    iteration = ChainMux(["abc", "de"]).iterate()
    assert "".join(islice(iteration, 4)) == "abcd"
    shorter = ChainMux(["abc"])
    shorter.load_state_dict(iteration.state_dict())

    with pytest.raises(PlanError, match=r"ChainMux\(Streamer\(\['abc'\]\)\) ended before stream 1, which this state"):
        list(shorter)


def test_wrong_arguments_are_refused_where_they_are_written():
    with pytest.raises(PlanError, match=r"RoundRobinMux \(test_in_order.py:\d+\): mode must be one of 'exhaustive'"):
        RoundRobinMux(["a"], "forever")
    with pytest.raises(PlanError, match=r"ChainMux \(test_in_order.py:\d+\): mode must be one of 'exhaustive', 'cycl"):
        ChainMux(["a"], "permuted_cycle")
    with pytest.raises(PlanTypeError, match=r"ChainMux \(test_in_order.py:\d+\): streams must be a list"):
        ChainMux(3)
    with pytest.raises(PlanTypeError, match=r"ChainMux \(test_in_order.py:\d+\): streams must be a list.* got dict"):
        ChainMux({"a": "bc"})
    with pytest.raises(PlanError, match="there must be a stream at least"):
        RoundRobinMux([])
    with pytest.raises(PlanTypeError, match="stream 1: 3 is no stream"):
        list(ChainMux(["a", 3]))
