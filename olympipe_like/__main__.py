"""The command line, ``olympipe-like``: looks at failed items and tries them again; works for other machines."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from olympipe_like._remote import command


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="olympipe-like",
        description="Look at items that failed and try them again; work for pipelines of other machines.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    letters = commands.add_parser("letters", help="list the failed items that a run kept in a folder")
    letters.add_argument("directory", type=Path, help="what the run was given as quarantine=")
    replay = commands.add_parser(
        "replay",
        help="send a failed item through its stages again, in this process",
        description="Send a failed item from its source through the stages it went through, up to the one that failed.",
        epilog="Exit code: 0 if it works now, 1 if it fails again, 2 if it cannot be run.",
    )
    replay.add_argument("file", type=Path, help="a file that `letters` lists")
    how = replay.add_mutually_exclusive_group()
    how.add_argument("--pdb", action="store_true", help="stop at the first line of each function")
    how.add_argument(
        "--post-mortem",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="enter the debugger where it fails (the default on a terminal)",
    )
    replay.add_argument("--alone", action="store_true", help="run only the stage that failed, on what it was given")
    command.add_to(commands)
    chosen = parser.parse_args(arguments)
    # Loaded here: --help needs none of it.
    if chosen.command in ("worker", "keys"):
        return command.run(chosen)
    if chosen.command == "letters":
        from olympipe_like._runtime.letter_table import show

        return show(chosen.directory)
    from olympipe_like._runtime.replay import replay as run

    look = chosen.post_mortem if chosen.post_mortem is not None else sys.stdin.isatty()
    return run(chosen.file, "first line" if chosen.pdb else "post-mortem" if look else "no", alone=chosen.alone)


if __name__ == "__main__":
    sys.exit(main())
