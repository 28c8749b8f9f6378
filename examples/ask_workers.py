"""Ask workers for training samples that depend on the model they train: the harder, the better it is.

Two workers answer; one of them is killed on the way, and what it had in hand goes to the other.

    pip install 'olympipe-like[remote]'
    python examples/ask_workers.py
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
from collections.abc import Iterator, Sequence

from olympipe_like.requests import Broker, start_workers

WORDS = {length: [chr(97 + number) * length for number in range(26)] for length in range(1, 100)}


def sample(request: dict[str, int]) -> dict[str, str | int]:
    """Return a word of the wanted length; what is slow here in earnest is decoding, augmenting, rendering."""
    drawn = random.Random(request["seed"]).choice(WORDS[request["length"]])
    return {"word": drawn, "length": request["length"], "worker": os.getpid()}


class Model:
    """Learns lengths: knows one more after five samples of it."""

    def __init__(self) -> None:
        self.level = 1
        self._seen = 0

    def train(self, drawn: dict[str, str | int]) -> None:
        """Take a sample in."""
        self._seen += drawn["length"] == self.level
        if self._seen == 5:
            self.level, self._seen = self.level + 1, 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and kill a worker on the way."""
    parser = argparse.ArgumentParser(description="Ask workers for samples that depend on a model.")
    parser.add_argument("--samples", type=int, default=100)
    options = parser.parse_args(arguments)
    model = Model()

    def requests() -> Iterator[dict[str, int]]:
        for seed in range(options.samples):
            yield {"length": model.level, "seed": seed}  # pulled only when it is wanted soon

    # Without keys the address must be this machine's own, and only workers that this program starts are let in.
    address = f"tcp://127.0.0.1:{free_port()}"
    levels, workers = [], set()
    with Broker(address) as broker, start_workers(sample, address, workers=2) as started:
        for number, drawn in enumerate(broker.imap(requests(), look_ahead=4)):
            model.train(drawn)
            levels.append(drawn["length"])
            workers.add(drawn["worker"])
            if number == options.samples // 2:
                print(f"{number} samples are drawn; killing worker {started.pids[0]}")
                os.kill(started.pids[0], signal.SIGKILL)
    print(f"{len(levels)} samples from {len(workers)} workers, of lengths {levels[0]} to {levels[-1]}")
    print(f"the model is at level {model.level}")


if __name__ == "__main__":
    main()
