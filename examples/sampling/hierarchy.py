"""Sample in two steps: first a population, then one of its members. And let the model say which it needs.

Muxes are streams, so a mux of muxes draws from a hierarchy. Here the populations are upper and lower case
letters, then the ten digits of scikit-learn's data set, which a model learns while it tells the mix of streams
which of them it finds hard.

    python examples/sampling/hierarchy.py --seed 3
"""

from __future__ import annotations

import argparse
import string
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from olympipe_like.sampling import ShuffledMux, StochasticMux, Streamer, buffer_stream, cache, mix

SAMPLES = 3000


def letter(c: str) -> Iterator[str]:
    """Yield one letter without end."""
    while True:
        yield c


def images(X: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield images of one digit without end."""
    while True:
        yield X[rng.integers(len(X))]


def show_letters(seed: int) -> None:
    """Draw letters from two populations, evenly and three to one."""
    # Three of the upper case letters are open at a time, each for five samples on average; of the lower case five,
    # each for two: so there is more variety among these.
    upper = StochasticMux([Streamer(letter, c) for c in string.ascii_uppercase], 3, 5)
    lower = StochasticMux([Streamer(letter, c) for c in string.ascii_lowercase], 5, 2)

    for weights in (None, [0.75, 0.25]):
        # The inner muxes have no seed of their own, so all chance follows from this one.
        mux = ShuffledMux([upper, lower], weights, random_state=seed)
        drawn = "".join(mux.iterate(2000))
        share = sum(c.isupper() for c in drawn) / len(drawn)
        print(f"weights {weights}: {drawn[:60]}... {share:.0%} upper case, {len(set(drawn))} letters")

    seldom = "".join(cache(ShuffledMux([upper, lower], random_state=seed), n_cache=5, prob=0.2, random_state=seed)(60))
    print(f"each given five times on average: {seldom}")


def learn(seed: int, told: bool) -> tuple[float, Counter]:
    """Return accuracy, and how often each digit was drawn, of a model that says which digits are hard if ``told``."""
    X, Y = load_digits(return_X_y=True)
    X_train, X_test, Y_train, Y_test = train_test_split(X / 16, Y, test_size=0.25, random_state=0)
    streams = {digit: Streamer(images, X_train[Y_train == digit]) for digit in range(10)}
    digits = mix(streams, stop="never", with_names=True, random_state=seed)

    model = SGDClassifier(random_state=0, average=True)
    drawn: Counter = Counter()
    for batch, pictures in buffer_stream(digits.iterate(SAMPLES), 20):
        if told and drawn:
            # Wrong or right: digits that are not learned yet come more often.
            for digit, guess in zip(batch, model.predict(pictures), strict=True):
                digits.feedback(digit, float(digit != guess))
        model.partial_fit(pictures, batch, classes=range(10))
        drawn.update(batch.tolist())
    return model.score(X_test, Y_test), drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw letters, then digits."""
    parser = argparse.ArgumentParser(description="Draw samples from hierarchies of streams.")
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args(arguments)

    show_letters(options.seed)
    for told in (False, True):
        accuracy, drawn = learn(options.seed, told)
        counts = " ".join(f"{digit}:{drawn[digit]}" for digit in range(10))
        print(f"{'hard digits more often' if told else 'all digits alike':<23} accuracy {accuracy:.3f}  {counts}")


if __name__ == "__main__":
    main()
