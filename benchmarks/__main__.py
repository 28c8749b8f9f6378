"""``python -m benchmarks [workload ...]`` compares; ``python -m benchmarks growth`` shows how cost grows."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import tables
from benchmarks.measure import ROOT, Outcome, Series, Task, compare, say, take_turns
from benchmarks.once import MODULES
from benchmarks.workloads import (
    ARCHIVES_VARIABLE,
    IMAGES_VARIABLE,
    LOOPS_VARIABLE,
    MIB,
    SECONDS,
    WORKLOADS,
    calibrate,
    make_archives,
    make_images,
)

GROWTH: dict[str, list[dict[str, Any]]] = {
    "items": [{"items": n} for n in (1_000, 10_000, 100_000, 1_000_000)],
    "nbytes": [
        {"items": max(32, min(20_000, 128 * MIB // size)), "nbytes": size}
        for size in (64, 1024, 16 * 1024, 256 * 1024, MIB, 4 * MIB)
    ],
    "stages": [{"items": 200_000, "stages": n} for n in (1, 2, 4, 8)],
    "workers": [{"items": 200_000, "workers": n} for n in (1, 2, 4, 8)],
    "workers, 1 ms of CPU": [{"items": 500, "workers": n, "cpu": True} for n in (1, 2, 4, 8)],
}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="workload",
        help=f"{', '.join(WORKLOADS)}, growth; default: all but growth",
    )
    parser.add_argument("--repeat", type=int, help="rounds; default 5, quick and growth 2")
    parser.add_argument("--peers", default=None, help=f"of {','.join(MODULES)}; default all, growth: ours,handwritten")
    parser.add_argument("--quick", action="store_true", help="fewer items and rounds: under two minutes")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for one measurement; default 60")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement there")
    asked = parser.parse_args(arguments)
    growth = asked.workloads == ["growth"]
    asked.workloads = asked.workloads or list(WORKLOADS)
    asked.repeat = asked.repeat or (2 if asked.quick or growth else 5)
    asked.peers = (asked.peers or ("ours,handwritten" if growth else ",".join(MODULES))).split(",")
    if not growth and (unknown := [name for name in asked.workloads if name not in WORKLOADS]):
        parser.error(f"unknown workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}, and growth by itself")
    if unknown := [name for name in asked.peers if name not in MODULES]:
        parser.error(f"unknown peer {unknown[0]!r}; there are {', '.join(MODULES)}")
    return asked


def microseconds_per_item(outcomes: Sequence[Outcome], items: int) -> str:
    values = [seconds / items * 1e6 for one in outcomes if (seconds := tables.usable(one, SECONDS)) is not None]
    remark = tables.remarks(outcomes)
    return " ".join(([tables.number(median(values))] if values else []) + ([f"**{remark}**"] if remark else []))


def show_growth(peers: Sequence[str], repeat: int, limit_seconds: float) -> dict[str, Any]:
    """Print µs per item, whole run with start-up, for each size that is varied."""
    measured: dict[str, Any] = {}
    for title, points in GROWTH.items():
        varied = title.split(",")[0]
        rows = []
        for arguments in points:
            tasks = {peer: Task(peer=peer, workload="growth", arguments=arguments) for peer in peers}
            rounds = take_turns(tasks, repeat, limit_seconds)
            cells = [microseconds_per_item(rounds[peer], arguments["items"]) for peer in peers]
            rows.append([f"{arguments[varied]:,}", f"{arguments['items']:,}", *cells])
            figures = {peer: [dict(one.figures) for one in outcomes] for peer, outcomes in rounds.items()}
            measured.setdefault(title, []).append({**arguments, "rounds": figures})
        print(
            f"\n{tables.table([title, 'items of the run', *(f'{peer}, µs/item' for peer in peers)], rows)}",
            flush=True,
        )
    return measured


def show_comparison(asked: argparse.Namespace) -> list[dict[str, Any]]:
    every: list[Series] = [
        compare(name, asked.peers, repeat=asked.repeat, quick=asked.quick, limit_seconds=asked.limit)
        for name in asked.workloads
    ]
    # Workloads that the same peers can do share a table.
    for peers, several in groupby(every, key=lambda series: list(series.rounds)):
        group = list(several)
        print(f"\n{tables.legend(group)}\n\n{tables.comparison(group, peers)}\n")
        for part in (tables.memory(group, peers), tables.targets(group, peers)):
            if part:
                print(f"{part}\n")
    return [series.as_json() for series in every]


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parse(arguments)
    facts = tables.machine()
    print(f"{facts}; {'quick, ' if asked.quick else ''}medians of {asked.repeat}", flush=True)
    for package in ("olympipe_like", "benchmarks"):
        # As pip does with what it installs; a clone has no bytecode, and with PYTHONDONTWRITEBYTECODE gets none.
        compileall.compile_dir(ROOT / package, quiet=1)
    os.environ[LOOPS_VARIABLE] = str(calibrate())
    with tempfile.TemporaryDirectory(prefix="benchmark-data-") as folder:
        os.environ[IMAGES_VARIABLE] = os.environ[ARCHIVES_VARIABLE] = folder
        if any(name.startswith("W7") for name in asked.workloads):
            say("making images")
            make_images(Path(folder))
        if "S3" in asked.workloads:
            say("making archives")
            make_archives(Path(folder))
        if asked.workloads == ["growth"]:
            measured: Any = show_growth(asked.peers, asked.repeat, asked.limit)
        else:
            measured = show_comparison(asked)
    if asked.json:
        asked.json.write_text(json.dumps({"machine": facts, "measured": measured}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
