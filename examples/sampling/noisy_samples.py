"""Train a classifier on an endless stream of noisy samples, of one noise level and of several drawn by chance.

A generator of samples becomes a stream that can be begun again, several of them become one by a mux, single
samples become minibatches, and dicts become the tuples that a model takes. The data is scikit-learn's breast
cancer data set: 30 measurements of a tumour, malignant or benign.

    python examples/sampling/noisy_samples.py --samples 4000
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from olympipe_like import Pipeline
from olympipe_like.sampling import StochasticMux, Streamer, buffer_stream, tuples

CLASSES = (0, 1)
BATCH = 32


def noisy_samples(X: np.ndarray, Y: np.ndarray, rng: np.random.Generator, sigma: float = 1.0) -> Iterator[dict]:
    """Yield one sample after the other, each with noise of its own, without end.

    ``rng`` is declared and not passed: the stream gives a generator that follows its seed.
    """
    while True:
        i = rng.integers(len(X))
        yield {"X": X[i] + sigma * rng.standard_normal(X.shape[1]), "Y": Y[i]}


def lose_measurements(stream: Iterable[dict], rng: np.random.Generator, share: float = 0.1) -> Iterator[dict]:
    """Yield the samples of a stream with some measurements set to their mean, 0: a map of one's own."""
    for sample in stream:
        kept = rng.random(sample["X"].shape) >= share
        yield {**sample, "X": sample["X"] * kept}


def accuracy_of(batches: Iterable[tuple[np.ndarray, np.ndarray]], test: tuple[np.ndarray, np.ndarray]) -> float:
    """Return the share of test samples that a classifier gets right after learning from some batches."""
    model = SGDClassifier(random_state=0)
    for X, Y in batches:
        model.partial_fit(X, Y, classes=CLASSES)
    return model.score(*test)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train on three streams; print the accuracy on samples without noise."""
    parser = argparse.ArgumentParser(description="Train a classifier on endless streams of noisy samples.")
    parser.add_argument("--samples", type=int, default=4000, help="how many to train on, for each stream")
    parser.add_argument("--seed", type=int, default=1, help="what all noise follows from")
    options = parser.parse_args(arguments)

    X, Y = load_breast_cancer(return_X_y=True)
    X_train, X_test, Y_train, Y_test = train_test_split(X, Y, test_size=0.3, random_state=0, stratify=Y)
    scaler = StandardScaler().fit(X_train)
    X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

    # A stream is not a generator: it can be begun again, twice at once, and in another process.
    stream = Streamer(noisy_samples, X_train, Y_train)
    print(f"{stream} gives samples of shape {next(iter(stream))['X'].shape}")

    # Five streams as one: three are open at a time, and each is replaced after 64 samples on average.
    levels = [Streamer(noisy_samples, X_train, Y_train, sigma=sigma) for sigma in (0, 0.5, 1.0, 2.0, 4.0)]
    mux = StochasticMux(levels, n_active=3, rate=64)

    # Streams are arguments of streams: what you write as a generator over another stream is a map.
    lossy = Streamer(lose_measurements, mux, share=0.2)

    for name, samples in (("one noise level", stream), ("five noise levels", mux), ("and lost measurements", lossy)):
        batches = tuples(buffer_stream(samples.with_seed(options.seed), BATCH), "X", "Y")
        count = options.samples // BATCH
        print(f"{name:<22} accuracy {accuracy_of(batches.iterate(count), (X_test, Y_test)):.3f}", flush=True)

    # The samples may as well be made in a process of their own while the model learns in this one.
    in_background = Pipeline(tuples(buffer_stream(mux.with_seed(options.seed), BATCH), "X", "Y"), count)
    print(f"{'in another process':<22} accuracy {accuracy_of(in_background, (X_test, Y_test)):.3f}")


if __name__ == "__main__":
    main()
