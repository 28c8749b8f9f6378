"""Muxes that draw. Statistics are held to three standard deviations, under seeds that are fixed."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, islice
from math import sqrt

import numpy as np
import pytest

from olympipe_like import PlanError, PlanTypeError
from olympipe_like.sampling import ShuffledMux, StochasticMux, Streamer
from olympipe_like.sampling.pools import Exhaustive, SingleActive, WithReplacement, weighted_order
from olympipe_like.sampling.quotas import Quotas
from olympipe_like.sampling.seeds import Seed, Uniforms
from tests.sampling.streams import Watched, endless, labelled, thrown

MODES = ["with_replacement", "single_active", "exhaustive"]
DISTS = ["constant", "poisson", "binomial"]


def letters(names, count=None):
    return [Streamer(endless, name) if count is None else Streamer(labelled, name, count) for name in names]


def assert_share(counts, name, share, total, spread=1.0):
    """Assert that a count is within three standard deviations; ``spread``: of how many items one choice decides."""
    sigma = sqrt(share * (1 - share) * total * spread)
    assert abs(counts[name] - share * total) < 3 * sigma, f"{counts[name]} of {total}, expected {share:.0%}"


# -- weights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [[0.9, 0.1], (9, 1), np.array([0.9, 0.1]), np.array([18, 2])])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_weights_say_how_often_streams_are_drawn_from(weights, seed):
    drawn = Counter(ShuffledMux(letters("ab"), weights, random_state=seed).iterate(20_000))

    assert_share(drawn, "a", 0.9, 20_000)


@pytest.mark.parametrize("n_active", [1, 2, 5])
@pytest.mark.parametrize("dist", DISTS)
def test_weights_say_how_often_streams_are_opened_too(n_active, dist):
    mux = StochasticMux(letters("ab"), n_active, rate=4, weights=[0.9, 0.1], dist=dist, random_state=n_active)

    drawn = Counter(mux.iterate(40_000))

    # A choice decides about a whole quota, of mean 4 and a second moment of at most 4 x 4 + 3.
    assert_share(drawn, "a", 0.9, 40_000, spread=19 / 4)


def test_weights_hold_where_one_stream_is_active_once():
    mux = StochasticMux(letters("ab"), 1, 4, [9, 1], mode="single_active", dist="constant", random_state=3)

    assert_share(Counter(mux.iterate(40_000)), "a", 0.9, 40_000, spread=4)


def test_alike_streams_have_alike_shares():
    drawn = Counter(StochasticMux(letters("abcde"), 3, 8, random_state=5).iterate(50_000))

    for name in "abcde":
        assert_share(drawn, name, 0.2, 50_000, spread=9)


def test_a_stream_of_weight_0_is_never_opened():
    watched = Watched()
    streams = [watched.streamer("never"), Streamer(endless, "b"), Streamer(endless, "c")]

    for mode in ("with_replacement", "single_active"):
        assert "never" not in set(StochasticMux(streams, 3, 2, [0, 1, 1], mode, random_state=1).iterate(2000))
    assert "never" not in set(ShuffledMux(streams, [0, 1, 1], random_state=1).iterate(2000))
    assert watched.opened == 0


def test_the_order_by_weights_is_that_of_drawing_without_replacement():
    firsts = Counter(weighted_order(Seed(7, (n,)), [0.7, 0.2, 0.1, 0.0], 4)[0] for n in range(5000))
    orders = [weighted_order(Seed(7, (n,)), [0.7, 0.2, 0.1, 0.0], 4) for n in range(200)]

    assert_share(firsts, 0, 0.7, 5000)
    assert_share(firsts, 1, 0.2, 5000)
    assert all(sorted(order) == [0, 1, 2] for order in orders)


def test_a_stream_that_left_is_replaced_by_weight_among_those_that_are_not_open():
    chosen = Counter()
    for n in range(3000):
        pool = SingleActive(4, [0.1, 0.2, 0.3, 0.4], Seed(n), Uniforms(Seed(n), 0), prune=True)
        pool.restore({}, [0, 1])
        chosen[pool.after(0, gave=True)] += 1

    assert set(chosen) == {0, 2, 3}
    assert_share(chosen, 0, 1 / 8, 3000)
    assert_share(chosen, 3, 4 / 8, 3000)


# -- rates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dist", DISTS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99995, 1.0])
@pytest.mark.parametrize("rate", [1, 2, 8, 64])
def test_rates_have_their_mean(dist, share, rate):
    quotas = Quotas(float(rate), dist, Seed(rate))

    drawn = np.array([quotas.draw(share) for _ in range(4000)])

    assert drawn.min() >= 1
    assert abs(drawn.mean() - rate) <= 3 * drawn.std() / sqrt(len(drawn))
    if dist == "constant" or rate == 1:
        assert set(drawn.tolist()) == {rate}
    elif dist == "poisson":
        assert drawn.var() == pytest.approx(rate - 1, rel=0.15)
    else:
        assert drawn.var() == pytest.approx((rate - 1) * share, rel=0.2, abs=0.5)


def test_a_rate_need_not_be_a_whole_number():
    for dist in ("poisson", "binomial"):
        quotas = Quotas(2.5, dist, Seed(9))
        assert np.mean([quotas.draw(0.3) for _ in range(8000)]) == pytest.approx(2.5, abs=0.05)


@pytest.mark.parametrize("dist", DISTS)
def test_streams_give_as_many_items_as_their_rate_says(dist):
    mux = StochasticMux(letters("abcdefgh"), 1, 6, mode="single_active", dist=dist, random_state=11)

    # One is open at a time, and another follows seven times in eight: the same counts twice.
    runs = [len(list(run)) for _, run in groupby(mux.iterate(30_000))][1:-1]

    assert np.mean(runs) == pytest.approx(6 * 8 / 7, rel=0.06)


# -- modes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_active", [1, 3, 7, 100])
@pytest.mark.parametrize("weights", [None, [1, 2, 3, 4, 5, 6, 7]])
def test_each_exhaustive_epoch_gives_all_items_once(n_active, weights):
    mux = StochasticMux(letters("abcdefg", 9), n_active, None, weights, "exhaustive", random_state=1)

    epochs = [list(mux) for _ in range(4)]

    everything = sorted(item for stream in letters("abcdefg", 9) for item in stream)
    assert all(sorted(epoch) == everything for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_cycle_of_an_exhaustive_mux_gives_epoch_after_epoch():
    mux = StochasticMux(letters("abc", 4), 2, None, mode="exhaustive", random_state=1)

    items = list(mux.cycle(36))

    rounds = [items[at : at + 12] for at in (0, 12, 24)]
    assert {tuple(sorted(one)) for one in rounds} == {tuple(sorted(rounds[0]))}
    assert len(set(rounds[0])) == 12
    assert rounds[0] != rounds[1] != rounds[2]


def test_an_exhaustive_mux_with_a_rate_cuts_streams_off():
    mux = StochasticMux(letters("abcdef", 100), 2, 3, mode="exhaustive", dist="constant", random_state=1)

    assert Counter(item[0] for item in mux) == dict.fromkeys("abcdef", 3)


def test_single_active_never_has_a_stream_open_twice():
    watched = [Watched() for _ in range(5)]
    mux = StochasticMux([each.streamer() for each in watched], 4, 2, mode="single_active", random_state=1)

    assert len(list(mux.iterate(3000))) == 3000
    assert [each.most for each in watched] == [1] * 5


def test_with_replacement_a_stream_may_be_open_several_times():
    watched = Watched()

    assert len(list(StochasticMux([watched.streamer()], 3, None, random_state=1).iterate(100))) == 100
    assert watched.most == 3


def test_more_active_than_there_are_means_all():
    watched = Watched()
    streams = [watched.streamer(name, 50) for name in "ab"]

    drawn = list(StochasticMux(streams, 100, None, mode="exhaustive", random_state=1))

    assert sorted(drawn) == sorted(f"{name}{n}" for name in "ab" for n in range(50))
    assert watched.most == 2


def test_a_shuffled_mux_begins_its_streams_again():
    mux = ShuffledMux(letters("ab", 3), random_state=1)

    drawn = list(mux.iterate(60))

    for name in "ab":
        mine = [item for item in drawn if item[0] == name]
        assert mine == [f"{name}{n % 3}" for n in range(len(mine))]


# -- empty streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prune", [True, False])
def test_a_mux_of_empty_streams_ends(mode, prune):
    mux = StochasticMux([[], [], []], 2, 3, [1e-9, 1, 1e9], mode, prune, random_state=1)

    assert list(mux) == list(mux.cycle()) == []


def test_a_shuffled_mux_of_empty_streams_ends():
    assert list(ShuffledMux([[], []])) == []


def test_an_empty_stream_is_left_out_for_good():
    watched = Watched()
    streams = [watched.streamer("x", 0), Streamer(labelled, "a", 2), Streamer(labelled, "b", 2)]

    for mode in ("with_replacement", "single_active"):
        mux = StochasticMux(streams, 2, None, mode=mode, random_state=1)
        assert len(list(mux.iterate(500))) == 500
    assert watched.opened <= 2 * 2


def test_an_empty_stream_is_tried_again_where_it_is_not_pruned():
    watched = Watched()
    streams = [watched.streamer("x", 0), Streamer(labelled, "a", 2), Streamer(labelled, "b", 2)]
    mux = StochasticMux(streams, 2, None, prune_empty_streams=False, random_state=1)

    assert len(list(mux.iterate(500))) == 500
    assert watched.opened > 20


def test_streams_of_all_lengths_are_given_whole():
    streams = [Streamer(labelled, f"{n}-", n) for n in (0, 1, 0, 5, 2, 0)]

    found = sorted(StochasticMux(streams, 2, None, mode="exhaustive", random_state=1))

    assert found == sorted(item for stream in streams for item in stream)


# -- the working set -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_of_thirty_thousand_sources_never_more_than_a_hundred_are_open(mode):
    watched = Watched()
    streams = [watched.streamer(str(n)) for n in range(30_000)]
    mux = StochasticMux(streams, 100, 8, mode=mode, random_state=1)

    seen = set(mux.iterate(20_000))

    assert 90 < watched.most <= 100
    assert watched.opened > 2000
    assert len(seen) > 2000
    assert watched.open == 0


def test_a_source_is_closed_when_it_is_dropped_and_not_before_its_last_item_was_used():
    watched = Watched()
    iteration = StochasticMux([watched.streamer()], 1, 3, dist="constant", random_state=1).iterate()

    assert (len(list(islice(iteration, 3))), watched.open, watched.closed) == (3, 1, 0)
    assert (next(iteration), watched.open, watched.closed) == ("x", 1, 1)
    iteration.close()
    assert (watched.open, watched.closed) == (0, 2)


def test_only_streams_that_are_drawn_from_are_opened():
    watched = Watched()
    mux = StochasticMux([watched.streamer(str(n)) for n in range(1000)], 100, None, random_state=1)

    assert len(list(mux.iterate(5))) == 5
    assert watched.opened <= 5


def test_all_are_closed_also_if_one_cannot_be():
    watched = Watched()

    def clings():
        try:
            yield from endless("c")
        finally:
            raise OSError("will not close")

    iteration = ShuffledMux([Streamer(clings), watched.streamer(), Streamer(clings)], random_state=1).iterate()
    list(islice(iteration, 50))

    with pytest.raises(OSError, match="will not close"):
        iteration.close()
    assert watched.open == 0


# -- seeds ---------------------------------------------------------------------------------------------


SEEDS = {
    "int": lambda: 5,
    "numpy int": lambda: np.int64(5),
    "RandomState": lambda: np.random.RandomState(5),
    "Generator": lambda: np.random.default_rng(5),
    "BitGenerator": lambda: np.random.PCG64(5),
    "SeedSequence": lambda: np.random.SeedSequence(5),
}


@pytest.mark.parametrize("make", SEEDS.values(), ids=SEEDS)
def test_the_same_seed_gives_the_same_stream_and_each_epoch_another_order(make):
    def mux():
        return StochasticMux(letters("abcde", 9), 2, 4, [1, 2, 3, 2, 1], random_state=make())

    first, second = mux(), mux()
    epochs = [list(first.iterate(60)) for _ in range(3)]

    assert epochs == [list(second.iterate(60)) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_without_a_seed_streams_differ():
    assert list(ShuffledMux(letters("ab")).iterate(80)) != list(ShuffledMux(letters("ab")).iterate(80))


def test_numpys_global_state_is_neither_used_nor_changed():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.random(2).tolist()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002

    one = list(ShuffledMux(letters("ab"), random_state=1).iterate(50))

    assert np.random.random(2).tolist() == before  # noqa: NPY002
    assert one == list(ShuffledMux(letters("ab"), random_state=1).iterate(50))


@pytest.mark.parametrize("seed", [-1, 2.5, "x", True])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(PlanError, match=r"ShuffledMux \(test_stochastic.py:\d+\): random_state must be"):
        ShuffledMux(letters("ab"), random_state=seed)


def test_a_mux_within_a_mux_follows_the_seed_of_the_outer_one():
    def tree():
        inner = [StochasticMux(letters(names), 2, 3) for names in ("ABC", "abc")]
        return ShuffledMux([*inner, Streamer(thrown)], random_state=8)

    first, second = tree(), tree()
    epochs = [list(first.iterate(100)) for _ in range(2)]

    assert epochs == [list(second.iterate(100)) for _ in range(2)]
    assert epochs[0] != epochs[1]


def test_a_mux_within_a_mux_keeps_a_seed_of_its_own():
    def upper(seed):
        outer = ShuffledMux(
            [StochasticMux(letters("ABCDEF"), 2, 3, random_state=4), letters("-")[0]], random_state=seed
        )
        return [item for item in outer.iterate(200) if item != "-"][:50]

    assert upper(1) == upper(2)


def test_a_hierarchy_gives_each_population_its_share():
    upper = StochasticMux(letters("ABCDEFGHIJ"), 3, 5)
    lower = StochasticMux(letters("abcdefghij"), 5, 2)

    drawn = Counter(item.isupper() for item in ShuffledMux([upper, lower], [0.75, 0.25], random_state=2).iterate(9000))

    assert_share(drawn, True, 0.75, 9000)


# -- errors --------------------------------------------------------------------------------------------


def notes_of(error):
    return getattr(error, "__notes__", [])


def test_an_error_names_the_streams_it_came_through():
    def broken(path):
        yield path
        raise FileNotFoundError(path)

    inner = ShuffledMux([Streamer(broken, "b.npz")])
    outer = StochasticMux([inner], 1, None, random_state=1)

    with pytest.raises(FileNotFoundError) as caught:
        list(outer)

    assert notes_of(caught.value) == [
        "in stream 0 of ShuffledMux(1 streams): Streamer(broken, 'b.npz')",
        "in stream 0 of StochasticMux(1 streams): ShuffledMux(1 streams)",
    ]


def test_an_error_on_opening_a_stream_names_it():
    with pytest.raises(FileNotFoundError) as caught:
        list(ShuffledMux([Streamer(open, "/no/such/file")]))

    assert notes_of(caught.value) == ["in stream 0 of ShuffledMux(1 streams): Streamer(open, '/no/such/file')"]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"streams": []}, "there must be a stream at least"),
        ({"streams": 3}, "streams must be a list"),
        ({"streams": ["ab", iter("c")]}, "stream 1.*is an iterator"),
        ({"streams": ["ab", 3]}, "stream 1.*3 is no stream"),
        ({"streams": {"a": "ab"}}, r"streams must be a list or the like, got dict; give its values\(\); only mix"),
        ({"streams": {"ab", "cd"}}, "streams must be a list or the like, got set"),
        ({"streams": Streamer(["ab", "cd"])}, r"streams must be a list of streams, got one stream: Streamer\(\['ab"),
        ({"n_active": 0}, "n_active must be >= 1, got 0"),
        ({"n_active": 1.5}, "n_active must be a whole number"),
        ({"rate": 0}, "rate must be >= 1"),
        ({"rate": float("inf")}, "rate must be >= 1 and finite"),
        ({"rate": 1e300}, r"rate must be at most 1e\+12, or None for all items, got 1e\+300"),
        ({"rate": "2"}, "rate must be a number"),
        ({"rate": 2.5, "dist": "constant"}, 'with dist="constant" the rate must be a whole number'),
        ({"weights": [1, 2, 3]}, "there are 2 streams and 3 weights"),
        ({"weights": [0, 0]}, "all weights are 0"),
        ({"weights": [1, -1]}, "weight 1 is -1"),
        ({"weights": [1, float("nan")]}, "weight 1 is nan"),
        ({"weights": ["x", 1]}, "weights must be a sequence of numbers"),
        ({"weights": {0: 1, 1: 2}}, "weights must be a sequence of numbers, got dict"),
        ({"weights": "12"}, "weights must be a sequence of numbers, got str"),
        ({"weights": 5}, "weights must be a sequence of numbers"),
        ({"mode": "exhausting"}, "mode must be one of 'with_replacement', 'single_active', 'exhaustive', got 'exhaus"),
        ({"dist": "normal"}, "dist must be one of"),
        ({"prune_empty_streams": 1}, "prune_empty_streams must be True or False"),
    ],
)
def test_a_wrong_argument_is_refused_where_it_is_written(changed, text):
    with pytest.raises(PlanError, match=rf"StochasticMux.*\(test_stochastic.py:\d+\).*{text}"):
        StochasticMux(**{"streams": ["ab", "cd"], "n_active": 1, "rate": 2, **changed})


def test_arguments_of_the_wrong_type_are_type_errors():
    with pytest.raises(PlanTypeError):
        StochasticMux(["ab"], 1, "2")


def test_large_weights_do_not_overflow():
    drawn = Counter(ShuffledMux(letters("ab"), [1.5e308, 1e308], random_state=1).iterate(5000))

    assert_share(drawn, "a", 0.6, 5000)


def test_pools_run_dry():
    assert Exhaustive(2, None, Seed(1)).first(5) in ([0, 1], [1, 0])
    pool = WithReplacement(2, None, Seed(1), Uniforms(Seed(1), 0), prune=True)
    assert {pool.after(0, gave=False), pool.after(1, gave=False)} == {1, None}
