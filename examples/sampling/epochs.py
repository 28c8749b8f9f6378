"""Train in epochs over files, validate on the same samples each time, and go on where a program was stopped.

Training sees every sample once per epoch, in another order each time; validation sees the same samples in the
same order. In the middle of an epoch the program is stopped, and a second one goes on exactly there.

    python examples/sampling/epochs.py --epochs 4
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

from olympipe_like.sampling import ChainMux, RoundRobinMux, StochasticMux, Streamer, buffer_stream

FILES, ROWS = 12, 100  # of each file
VALIDATION = slice(10, 12)  # the files that are validated on


def rows_of(path: Path) -> Iterator[dict]:
    """Yield all rows of a file, one by one, and end."""
    with np.load(path) as archive:
        X, Y = archive["X"], archive["Y"]
    for n in range(len(X)):
        yield {"X": X[n], "Y": Y[n], "id": f"{path.stem}/{n}"}


def training_stream(files: Sequence[Path]) -> StochasticMux:
    """Return a stream of all rows, each once per epoch; four files are open at a time."""
    # rate=None: each file is read to its end. "exhaustive": and not opened again in this epoch.
    return StochasticMux([Streamer(rows_of, path) for path in files], 4, rate=None, mode="exhaustive", random_state=7)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and validate for some epochs; then stop in the middle of one and go on."""
    parser = argparse.ArgumentParser(description="Train in epochs, each in another order, and resume inside one.")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args(arguments)

    X, Y = load_digits(return_X_y=True)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{n:02}.npz") for n in range(FILES)]
        for n, path in enumerate(files):
            rows = slice(n * ROWS, (n + 1) * ROWS)
            np.savez(path, X=X[rows] / 16, Y=Y[rows])

        train = training_stream(files[: VALIDATION.start])
        length = VALIDATION.start * ROWS
        batches = buffer_stream(train, 20)
        # One file after the other, again and again: the same samples in each validation.
        held_out_rows = ChainMux([Streamer(rows_of, path) for path in files[VALIDATION]], mode="cycle")
        validation = buffer_stream(held_out_rows, 2 * ROWS).iterate()

        model = SGDClassifier(random_state=0)
        orders = []
        for epoch in range(options.epochs):
            order = []
            for batch in batches:
                model.partial_fit(batch["X"], batch["Y"], classes=range(10))
                order += batch["id"].tolist()
            orders.append(order)
            (held_out,) = islice(validation, 1)
            accuracy = model.score(held_out["X"], held_out["Y"])
            print(f"epoch {epoch}: {len(set(order))} of {length} rows, first {order[0]}, validation {accuracy:.3f}")
        print(f"{len({tuple(order) for order in orders})} different orders of the same {len(set(orders[0]))} rows")

        # Endless: `cycle` gives epoch after epoch. So does a mux that takes its files in turn.
        endless = list(train.cycle(2 * length))
        turns = RoundRobinMux([Streamer(rows_of, path) for path in files[:3]], mode="permuted_cycle", random_state=7)
        print(f"cycle: {len({each['id'] for each in endless[:length]})} rows, and once more", end="; ")
        print(f"in turn: {' '.join(each['id'] for each in turns.iterate(6))}")

        # A program that is stopped leaves its state, a few hundred bytes, in a file ...
        stopped = training_stream(files[: VALIDATION.start])
        before = [sample["id"] for sample in islice(stopped, 350)]
        Path(folder, "state.json").write_text(json.dumps(stopped.state_dict()))
        # ... and another goes on with exactly the samples that would have come.
        resumed = training_stream(files[: VALIDATION.start])
        resumed.load_state_dict(json.loads(Path(folder, "state.json").read_text()))
        after = [sample["id"] for sample in resumed]
        print(f"resumed after {len(before)}: {len(after)} rows, as if never stopped: {before + after == orders[0]}")


if __name__ == "__main__":
    main()
