"""Lists of steps over mini-batches: in a row, side by side, and as an estimator of scikit-learn.

Handwritten digits go through steps that each have workers and a queue of their own; then several transformers look at
the same batches at once, and a classifier learns from what they find.

    python examples/queued_steps.py
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from olympipe_like import Pipeline
from olympipe_like.sklearn import StreamingFeatureUnion, StreamingPipeline

BATCH = 100


class MultiplyByN:
    """A step is anything that transforms a batch."""

    def __init__(self, multiply_by=1):
        self.multiply_by = multiply_by

    def transform(self, batch):
        return [value * self.multiply_by for value in batch]


class Ask:
    """A step whose workers each ask a host of their own."""

    host = "nobody"

    def transform(self, batch):
        return [(self.host, value) for value in batch]


def row_sums(images):
    return np.reshape(images, (-1, 8, 8)).sum(axis=2)


def column_sums(images):
    return np.reshape(images, (-1, 8, 8)).sum(axis=1)


def every_form(use_processes):
    """Return what comes out of the same two steps in all their forms."""
    double, triple = MultiplyByN(2), MultiplyByN(3)
    doubled = [{"multiply_by": 2}] * 2
    forms = {
        "step": [double, triple],
        "(workers, step)": [(2, double), (1, triple)],
        "(name, step)": [("double", double), ("triple", triple)],
        "(name, workers, step)": [("double", 2, double), ("triple", 1, triple)],
        "(name, workers, queue_size, step)": [("double", 2, 10, double), ("triple", 1, 5, triple)],
        "(name, workers, worker_args, queue_size, step)": [("double", 2, doubled, 10, MultiplyByN()), triple],
    }
    return {
        form: Pipeline.from_steps(range(35), steps, batch_size=10, use_processes=use_processes).wait_for_result()
        for form, steps in forms.items()
    }


def ask_hosts(use_processes):
    """Return how many answers each host gave."""
    hosts = [("host", "host1"), ("host", "host2")]
    pipe = Pipeline.from_steps(range(200), [("ask", 2, hosts, 10, Ask())], batch_size=1, use_processes=use_processes)
    return Counter(host for host, _ in pipe.wait_for_result())


def measure(images, use_processes):
    """Return the images with their sums, and with those of their rows and columns: all from the same batches."""
    steps = [("image", lambda batch: batch), ("rows", 2, row_sums), ("columns", 2, column_sums)]
    pipe = Pipeline.union(
        images,
        steps,
        BATCH,
        join=lambda *blocks: np.hstack(blocks),
        collate="stack",
        joiner=np.concatenate,
        use_processes=use_processes,
    )
    (features,) = pipe.wait_for_result()
    return features


def learn(images, labels):
    """Return how many of the digits it has not seen a classifier knows, fitted on features of mini-batches."""
    seen, unseen, names, hidden = train_test_split(images, labels, test_size=0.25, random_state=0)
    features = StreamingFeatureUnion(
        [
            ("pixels", MinMaxScaler()),
            ("rows", FunctionTransformer(row_sums)),
            ("columns", FunctionTransformer(column_sums)),
        ],
        batch_size=BATCH,
        n_workers=2,
    )
    scaled = StreamingPipeline([("features", features), ("scale", StandardScaler())], batch_size=BATCH)
    model = make_pipeline(scaled, LogisticRegression(max_iter=1000))
    return model.fit(seen, names).score(unseen, hidden)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the steps, say what came out."""
    parser = argparse.ArgumentParser(description="Run lists of steps over mini-batches of handwritten digits.")
    parser.add_argument("--processes", action="store_true", help="run the steps in processes instead of threads")
    options = parser.parse_args(arguments)

    images, labels = load_digits(return_X_y=True)
    expected = [value * 6 for value in range(35)]
    for form, found in every_form(options.processes).items():
        print(f"{form:<48} {'as expected' if found == expected else found}")

    answers = ask_hosts(options.processes)
    print(f"\nanswers of hosts: {sum(answers.values())}, of {' and '.join(sorted(answers))}")

    features = measure(images, options.processes)
    print(f"features of {features.shape[0]} digits: {features.shape[1]}")
    print(f"digits known that were not seen before: {learn(images, labels):.1%}")


if __name__ == "__main__":
    main()
