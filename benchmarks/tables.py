"""Turns measurements into Markdown, and says which targets they meet."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from statistics import median

from benchmarks.measure import Outcome, Series
from benchmarks.workloads import Figure

PACKAGES = ("olympipe_like", "olympipe", "pescador", "numpy", "Pillow", "multiprocess", "dill", "psutil")


def number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))} to {number(max(values))})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def usable(outcome: Outcome, figure: Figure) -> float | None:
    """Return the figure, unless the run hung, failed or gave a wrong result; lost order is still a speed."""
    if outcome.trouble not in (None, "unordered"):
        return None
    return outcome.figures.get(figure.name)


def remarks(outcomes: Sequence[Outcome]) -> str:
    counts = Counter(outcome.trouble for outcome in outcomes if outcome.trouble)
    left = max((outcome.left_processes for outcome in outcomes), default=0)
    if left:
        counts[f"leaves {left} processes"] = sum(outcome.left_processes > 0 for outcome in outcomes)
    total = len(outcomes)
    return "; ".join(text if times == total else f"{text} in {times} of {total}" for text, times in counts.items())


def cell(series: Series, peer: str, figure: Figure) -> str:
    outcomes = series.rounds[peer]
    values = [value for outcome in outcomes if (value := usable(outcome, figure)) is not None]
    remark = remarks(outcomes)
    parts = ([spread(values)] if values else []) + ([f"**{remark}**"] if remark else [])
    return " ".join(parts) or "-"


def ratios(series: Series, peer: str, figure: Figure) -> list[float]:
    """Return by how much ours is better, round by round; above 1: ours is better."""
    found = []
    for ours, theirs in zip(series.rounds["ours"], series.rounds[peer], strict=True):
        mine, other = usable(ours, figure), usable(theirs, figure)
        if mine and other:
            found.append(mine / other if figure.higher_is_better else other / mine)
    return found


def comparison(all_series: Sequence[Series], peers: Sequence[str]) -> str:
    others = [peer for peer in peers if peer != "ours"] if "ours" in peers else []
    head = ["", "figure", *peers, *(f"ours : {peer}" for peer in others)]
    rows = []
    for series in all_series:
        for figure in series.figures:
            found = [ratios(series, peer, figure) for peer in others]
            compared = [
                f"**{number(median(one))}** ({number(min(one))} to {number(max(one))})" if one else "-" for one in found
            ]
            cells = [cell(series, peer, figure) for peer in peers]
            rows.append([series.name, f"{figure.name}, {figure.unit}", *cells, *compared])
    return table(head, rows)


def memory(all_series: Sequence[Series], peers: Sequence[str]) -> str:
    rows = [
        [series.name, *(number(series.peak_mib[peer]) if peer in series.peak_mib else "-" for peer in peers)]
        for series in all_series
        if series.peak_mib
    ]
    return table(["peak memory, MiB", *peers], rows) if rows else ""


def legend(all_series: Sequence[Series]) -> str:
    lines = []
    for series in all_series:
        most = max(series.items.values())
        fewer = [f"{peer} only {count:,}" for peer, count in series.items.items() if count < most]
        lines.append(f"- **{series.name}** {series.title}" + (f" ({', '.join(fewer)})" if fewer else ""))
    return "\n".join(lines)


def judged(met: bool, target: str, measured: str) -> str:
    return f"- {'met' if met else '**missed**'}: {target}: {measured}"


def targets(all_series: Sequence[Series], peers: Sequence[str]) -> str:
    """Return one line for each target that these measurements can judge."""
    lines: list[str] = []
    if "ours" not in peers:
        return ""
    for series in all_series:
        trouble = remarks(series.rounds["ours"])
        if trouble:
            lines.append(judged(met=False, target=f"{series.name} right and in order", measured=trouble))
        for figure in series.figures:
            values = [value for one in series.rounds["ours"] if (value := usable(one, figure)) is not None]
            if figure.below is not None and values:
                target = f"{series.name} {figure.name} under {figure.below:g} {figure.unit}"
                lines.append(judged(median(values) < figure.below, target, number(median(values))))
            found = ratios(series, figure.rival, figure) if figure.rival in series.rounds else []
            if figure.times_olympipe is not None and found:
                target = f"{series.name} {figure.name} at least {figure.times_olympipe:g} times {figure.rival.title()}"
                measured = f"{number(median(found))} ({number(min(found))} to {number(max(found))})"
                lines.append(judged(median(found) >= figure.times_olympipe, target, measured))
    return "\n".join(lines)


def _version(package: str) -> str | None:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the platform's own name is all there is
    return platform.processor() or platform.machine()


def machine() -> str:
    versions = ", ".join(found for package in PACKAGES if (found := _version(package)))
    system = f"{platform.system()} {platform.release()}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores ({_processor()}), {system}, {python}; {versions}; load before {load}"
