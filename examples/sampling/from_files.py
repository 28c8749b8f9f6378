"""Sample from more files than should be open at once: NPZ archives, memory-mapped arrays, data sets together.

The digits of scikit-learn are written to many small files, as a preparation job would leave them. Then a
classifier learns from samples drawn from all of them, with few of them open at a time.

    python examples/sampling/from_files.py --files 60 --open 8
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from olympipe_like import Pipeline
from olympipe_like.sampling import ShuffledMux, StochasticMux, Streamer

ROWS = 8  # of one sample


def write_files(X: np.ndarray, Y: np.ndarray, folder: Path, count: int) -> list[Path]:
    """Write every ``count``-th row to the same archive, and once more to arrays of their own; return the archives."""
    archives = []
    for n in range(count):
        path = folder / f"part-{n:03}.npz"
        np.savez(path, X=X[n::count], Y=Y[n::count])
        np.save(path.with_suffix(".x.npy"), X[n::count])
        np.save(path.with_suffix(".y.npy"), Y[n::count])
        archives.append(path)
    return archives


def sample_npz(path: Path, n: int, rng: np.random.Generator) -> Iterator[dict]:
    """Yield ``n`` neighbouring rows of an archive, which is in memory as long as its stream is open."""
    with np.load(path) as archive:
        X, Y = archive["X"], archive["Y"]
    while True:
        start = rng.integers(len(X) - n)
        # A copy: a view would keep the whole archive in memory for as long as anybody holds it.
        yield {"X": X[start : start + n].copy(), "Y": Y[start : start + n].copy(), "file": path.name}


def sample_mapped(path: Path, n: int, rng: np.random.Generator) -> Iterator[dict]:
    """Yield the same of arrays in files of their own, of which only the rows that are used are read."""
    # Copy on write: whoever changes a sample does not change the file.
    X, Y = (np.load(path.with_suffix(ending), mmap_mode="c") for ending in (".x.npy", ".y.npy"))
    while True:
        start = rng.integers(len(X) - n)
        yield {"X": X[start : start + n], "Y": Y[start : start + n], "file": path.name}


def scaled(sample: dict) -> dict:
    """Return the sample with pixels from 0 to 1: a stage of the pipeline."""
    return {**sample, "X": np.asarray(sample["X"]) / 16}


def learn(samples: Iterable[dict], test: tuple[np.ndarray, np.ndarray]) -> tuple[float, Counter]:
    """Return the accuracy after learning from the samples, and how often each file was drawn from."""
    model = SGDClassifier(random_state=0)
    drawn: Counter = Counter()
    for sample in samples:
        model.partial_fit(sample["X"], sample["Y"], classes=range(10))
        drawn[sample["file"]] += 1
    return model.score(*test), drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Write files, learn from them in four ways, print accuracies and how evenly files were used."""
    parser = argparse.ArgumentParser(description="Learn digits from samples of many files, few of them open.")
    parser.add_argument("--files", type=int, default=60, help="how many to spread the digits over, 2 to 100")
    parser.add_argument("--open", type=int, default=8, help="how many may be open at once")
    parser.add_argument("--samples", type=int, default=500, help=f"how many to draw, of {ROWS} rows each")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)

    X, Y = load_digits(return_X_y=True)
    X_train, X_test, Y_train, Y_test = train_test_split(X, Y, test_size=0.25, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        archives = write_files(X_train, Y_train, Path(folder), options.files)
        several = {"n_active": options.open, "rate": 16, "random_state": options.seed}
        plans = {
            "archives": StochasticMux([Streamer(sample_npz, path, ROWS) for path in archives], **several),
            "memory-mapped": StochasticMux([Streamer(sample_mapped, path, ROWS) for path in archives], **several),
            # All open, each as often as the others; or one after the other, a hundred samples from each.
            "three at once": ShuffledMux(
                [Streamer(sample_npz, path, ROWS) for path in archives[:3]], None, options.seed
            ),
            "one at a time": StochasticMux(
                [Streamer(sample_npz, path, ROWS) for path in archives[:3]], 1, rate=100, random_state=options.seed
            ),
        }
        for name, mux in plans.items():
            # The mux runs in a process of its own, the stage in another, the model here.
            samples = Pipeline(mux, options.samples, name=name).task(scaled)
            accuracy, drawn = learn(samples, (X_test / 16, Y_test))
            print(f"{name:<14} accuracy {accuracy:.3f}, {len(drawn)} files, {drawn.most_common()[0][1]} samples of one")


if __name__ == "__main__":
    main()
