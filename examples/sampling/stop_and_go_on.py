"""Stop a training program in the middle of an epoch, and go on in another one as if nothing had happened.

A model learns digits from batches that a pipeline draws, shuffles and prepares in worker processes. One program does
all of it. Another is stopped after some batches and keeps two things in a file: its model, and the state of its run. A
third one reads them, has another number of workers, and goes on with the next batch. In the end its model is the same,
number for number.

    python examples/sampling/stop_and_go_on.py --batches 60 --stop 23
"""

from __future__ import annotations

import argparse
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

from olympipe_like import Pipeline

Sample = tuple[np.ndarray, int]
IMAGES, LABELS = load_digits(return_X_y=True)
TRAIN = 1500  # the others are for the score


def prepare(number: int) -> Sample:
    """Return one image, moved by one pixel, as an expensive function would."""
    image = np.roll(IMAGES[number].reshape(8, 8), number % 3 - 1, axis=1)
    return image.ravel() / 16, int(LABELS[number])


def has_ink(sample: Sample) -> bool:
    """Return whether there is something to see."""
    return bool(sample[0].sum() > 15)


def training(workers: int) -> Pipeline[Any]:
    """Return batches of images without end, each epoch in another order."""
    # Numbers are shuffled, not images: what stands in front of a shuffle is made again when a run goes on.
    samples = Pipeline(range(TRAIN)).shuffle(200, seed=1).task(prepare, workers=workers).filter(has_ink)
    return samples.batch(32, collate="stack").repeat()


def learn(model: SGDClassifier, state: dict[str, Any] | None, batches: int, workers: int) -> dict[str, Any]:
    """Teach the model with so many batches; return the state of the run behind the last of them."""
    with training(workers).run() as run:
        if state is not None:
            run.load_state_dict(state)
        for number, (images, labels) in enumerate(run, 1):
            model.partial_fit(images, labels, classes=range(10))
            if number == batches:
                break
        return run.state_dict()


def main() -> None:
    """Learn with and without a break; compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--batches", type=int, default=60, help="of 32 images")
    parser.add_argument("--stop", type=int, default=23, help="after so many batches")
    asked = parser.parse_args()

    whole = SGDClassifier(random_state=0)
    learn(whole, None, asked.batches, workers=1)

    stopped = SGDClassifier(random_state=0)
    state = learn(stopped, None, asked.stop, workers=1)
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "training.json"
        saved.write_text(json.dumps({"run": state, "model": pickle.dumps(stopped).hex()}))
        print(f"stopped after {asked.stop} batches; the state of the run has {len(json.dumps(state))} bytes")

        found = json.loads(saved.read_text())
        other = pickle.loads(bytes.fromhex(found["model"]))
        learn(other, found["run"], asked.batches - asked.stop, workers=2)

    score = other.score(IMAGES[TRAIN:] / 16, LABELS[TRAIN:])
    print(f"without a break: accuracy {whole.score(IMAGES[TRAIN:] / 16, LABELS[TRAIN:]):.3f}")
    print(f"with one: accuracy {score:.3f}; the same model: {np.array_equal(whole.coef_, other.coef_)}")


if __name__ == "__main__":
    main()
