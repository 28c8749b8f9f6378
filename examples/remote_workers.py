"""Count primes on two worker machines (both are this one), and kill one of them at work: nothing is lost.

On real machines the workers are started there, with `olympipe-like worker`, and keys say who may work for whom; see
docs/how_to/use_other_machines.md.

    pip install 'olympipe-like[remote]'
    python examples/remote_workers.py
"""

from __future__ import annotations

import argparse
import logging
import socket
from collections.abc import Sequence

from olympipe_like import Pipeline
from olympipe_like.remote import remote, start_workers

BLOCK = 2_000  # numbers that one item stands for


def count_primes(start: int) -> int:
    """Return how many primes there are in a block, the slow way."""
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(start, 2), start + BLOCK))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Start two machines, kill one in the middle, show who did what."""
    parser = argparse.ArgumentParser(description="Count primes on two worker machines, one of which is killed.")
    parser.add_argument("--blocks", type=int, default=150, help=f"blocks of {BLOCK} numbers")
    parser.add_argument("--port", type=int, help="where to listen on this machine (default: a free port)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")

    # Without keys the address must be this machine's own, and only workers that this program starts are let in.
    there = remote(f"tcp://127.0.0.1:{options.port or free_port()}", min_workers=2)
    with start_workers(there, workers=1, name="ada"), start_workers(there, workers=1, name="grace") as grace:
        pipe = Pipeline(range(0, options.blocks * BLOCK, BLOCK)).task(count_primes, executor=there)
        counts = []
        with pipe.run() as run:
            for count in run:
                counts.append(count)
                if len(counts) == options.blocks // 3:
                    print(f"{len(counts)} blocks are done; killing the machine 'grace'")
                    grace.process.kill()
        print(run.report)
    print(f"\n{sum(counts)} primes below {options.blocks * BLOCK}, from {len(counts)} of {options.blocks} blocks")


if __name__ == "__main__":
    main()
