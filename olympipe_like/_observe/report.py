"""What a run did, for people: a table, a sentence that names the limit, a dict.

Knows words and columns. Does not know how figures are gathered, and judges nothing (`bottleneck` does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape

from olympipe_like._model.stats import RunStats, StageStats, WorkerMove, WorkerStats
from olympipe_like._observe.bottleneck import (
    ENDS,
    Limit,
    Verdict,
    find_bottleneck,
    may_have_workers,
    shares,
    time_shares,
)
from olympipe_like._observe.moves import lines_of_moves
from olympipe_like._observe.text import grouped, one_line, percent, rate, seconds, table
from olympipe_like._observe.workers import table_of_workers

_HEADINGS = (
    "stage",
    "workers",
    "in",
    "out",
    "filtered",
    "failed",
    "items/s",
    "busy %",
    "starved %",
    "blocked %",
    "queue",
)
_LONGEST_NAME = 40  # columns; one long name must not push the figures off the screen
_LONGEST_LINE = 400  # columns of what is said of a failed item, which is cut in its parts already
_SHORT_RUN = 1.0  # seconds; below, starting the workers (60 to 100 ms) is a large part of the run
_MERGES = frozenset({"gather", "zip", "concat"})


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What every stage of a run did, and what limits the run.

    Print it for a table with the verdict below; a notebook shows it as HTML.

    Parameters
    ----------
    stats : RunStats
        Where the run stands; the figures of a run that goes on are those until now.

    Examples
    --------
    >>> from olympipe_like._model.stats import RunStats, StageStats, WorkerStats
    >>> decode = StageStats("decode", "task", 2, 900, 900, 0, 0, 0, 19.4, 0.4, 0.2, 0, 16, 900)
    >>> print(Report(RunStats(elapsed=10.0, finished=True, stages=(decode,))))
    Run finished after 10.0 s
    stage   workers   in  out  filtered  failed  items/s  busy %  starved %  blocked %  queue
    decode        2  900  900         0       0     90.0      97          2          1   0/16
    <BLANKLINE>
    'decode' is the bottleneck: 97 % busy with 2 workers; make its function faster, or give it more workers.
    """

    stats: RunStats

    @property
    def elapsed(self) -> float:
        """Seconds from the run's start to its end, or until now."""
        return self.stats.elapsed

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self.stats.finished

    @property
    def balanced(self) -> bool:
        """Whether the run has ended and every item is accounted for: in = out + filtered + failed + merged."""
        return self.stats.balanced

    @property
    def stages(self) -> tuple[StageStats, ...]:
        """The stages with their counts and times, in topological order."""
        return self.stats.stages

    @property
    def workers(self) -> tuple[WorkerStats, ...]:
        """Every worker of the stages that workers of other machines may join; those that have left, too."""
        return self.stats.workers

    @property
    def moves(self) -> tuple[WorkerMove, ...]:
        """The latest workers that went to a stage with ``workers="auto"``, in the order of time."""
        return self.stats.moves

    @property
    def bottleneck(self) -> str | None:
        """The name of the stage, source or sink that limits the run; None if there is none to name."""
        verdict = find_bottleneck(self.stats)
        if verdict.index is None or verdict.limit is Limit.NONE:
            return None
        return self.stages[verdict.index].name

    def verdict(self) -> str:
        """Return one sentence: what limits the run, the figures that say so, and what would help."""
        return _sentence(self.stats, find_bottleneck(self.stats))

    def to_dict(self) -> dict[str, object]:
        """Return all figures as plain values, ready for JSON; shares are from 0 to 1, None if not known."""
        return {
            "elapsed": self.elapsed,
            "finished": self.finished,
            "limit": find_bottleneck(self.stats).limit.value,
            "bottleneck": self.bottleneck,
            "verdict": self.verdict(),
            "balanced": self.stats.balanced,
            "failed": list(self.stats.failed),
            "stages": [_stage_as_dict(stage, self.elapsed) for stage in self.stages],
            "workers": [asdict(worker) for worker in self.workers],
            "moves": [asdict(move) for move in self.moves],
        }

    def __repr__(self) -> str:
        return f"Report({len(self.stages)} stages, {seconds(self.elapsed)}, bottleneck {self.bottleneck!r})"

    def __str__(self) -> str:
        rows = [_HEADINGS, *(_row(stage, self.elapsed) for stage in self.stages)]
        proof = ["Every item is accounted for."] if self.stats.balanced else []
        workers = ["", *table_of_workers(self.workers)] if self.workers else []
        failed = ["", *self._failed()] if self.stats.kept else []
        moves = ["", *lines_of_moves(self.stats)] if self.stats.moves else []
        return "\n".join([self._headline(), *table(rows), *workers, *moves, *failed, "", *proof, self.verdict()])

    def _failed(self) -> list[str]:
        """Return who failed, a line for each as far as they are shown."""
        shown, more = self.stats.failed, self.stats.kept - len(self.stats.failed)
        lines = ["Failed, and kept in run.failures:", *(f"  {one_line(text, _LONGEST_LINE)}" for text in shown)]
        return [*lines, f"  and {grouped(more)} more"] if more else lines

    def _repr_html_(self) -> str:
        verdict = find_bottleneck(self.stats)
        limiting = None if verdict.limit is Limit.NONE else verdict.index
        head = "".join(f"<th>{escape(heading)}</th>" for heading in _HEADINGS)
        body = ""
        for index, stage in enumerate(self.stages):
            name, *figures = _row(stage, self.elapsed)
            weight = ' style="font-weight:bold"' if index == limiting else ""
            cells = "".join(f'<td style="text-align:right">{escape(figure)}</td>' for figure in figures)
            body += f'<tr{weight}><td style="text-align:left">{escape(name)}</td>{cells}</tr>'
        moves = "".join(f"<p>{escape(line)}</p>" for line in lines_of_moves(self.stats))
        return (
            f"<table><caption>{escape(self._headline())}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{moves}<p>{escape(self.verdict())}</p>"
        )

    def _headline(self) -> str:
        return f"Run {'finished' if self.finished else 'still going on'} after {seconds(self.elapsed)}"


def handled(stage: StageStats) -> int:
    """Return how many items a stage has had to do with: those it took, or, for a source, those it gave."""
    return stage.items_out if stage.kind == "source" else stage.items_in


def _row(stage: StageStats, elapsed: float) -> tuple[str, ...]:
    share = shares(stage, elapsed)
    times = ("-", "-", "-")
    if share is not None:
        times = (str(percent(share.busy)), str(percent(share.starved)), str(percent(share.blocked)))
    return (
        one_line(stage.name, _LONGEST_NAME),
        _workers(stage),
        "-" if stage.kind == "source" else grouped(stage.items_in),
        grouped(stage.items_out),
        grouped(stage.filtered),
        grouped(stage.failed),
        rate(handled(stage) / elapsed) if elapsed > 0 else "-",
        *times,
        f"{grouped(stage.waiting)}/{grouped(stage.capacity)}" if stage.capacity else "-",
    )


def _workers(stage: StageStats) -> str:
    if not stage.workers:
        return "-"
    return grouped(stage.workers) if stage.on_duty is None else f"{grouped(stage.workers)} auto"


def _stage_as_dict(stage: StageStats, elapsed: float) -> dict[str, object]:
    share = shares(stage, elapsed)
    return {
        **asdict(stage),
        "items_per_second": handled(stage) / elapsed if elapsed > 0 else None,
        "busy_share": share.busy if share else None,
        "starved_share": share.starved if share else None,
        "blocked_share": share.blocked if share else None,
    }


def _sentence(run: RunStats, verdict: Verdict) -> str:
    """Return a verdict in words."""
    match verdict.limit:
        case Limit.STAGE:
            return _of_stage(run, verdict)
        case Limit.SOURCE:
            return _of_source(run, verdict)
        case Limit.CONSUMER:
            return _of_consumer(run, verdict)
        case Limit.TRANSPORT:
            return (
                "Moving the items is the limit: the source waited for room while every stage starved "
                f"{percent(verdict.share)} % of the time or more; "
                "put more work into one step, or .batch() the items so that fewer travel."
            )
        case Limit.MACHINE:
            return _of_machine(run, verdict)
        case Limit.NONE:
            return _of_nobody(run, verdict)


def _of_stage(run: RunStats, verdict: Verdict) -> str:
    assert verdict.index is not None
    stage = run.stages[verdict.index]
    times = time_shares(run)
    figures = [f"{percent(verdict.share)} % busy{_with_workers(stage)}"]
    if riders := _riders(run, verdict.index):
        figures.append(f"which includes {_listed(riders)} in the same workers")
    if verdict.starved is not None:
        waits = percent(times[verdict.starved].starved)
        figures.append(f"{_quoted(run.stages[verdict.starved])} behind it starved {waits} %")
    if verdict.blocked is not None:
        waits = percent(times[verdict.blocked].blocked)
        figures.append(f"{_quoted(run.stages[verdict.blocked])} before it blocked {waits} %")
    if verdict.level_with:
        others = _listed([run.stages[index] for index in verdict.level_with])
        return (
            f"{_quoted(stage)} is the bottleneck, level with {others}: {', '.join(figures)}; "
            "only more speed in all of them makes the run faster."
        )
    return f"{_quoted(stage)} is the bottleneck: {', '.join(figures)}; {_advice(run, verdict, stage)}."


def _advice(run: RunStats, verdict: Verdict, stage: StageStats) -> str:
    if not may_have_workers(stage):
        return "it runs in one worker, so only less work in it makes the run faster"
    if stage.workers == 0:
        return "make its function faster, or let it run in workers of its own"
    if stage.on_duty is not None:
        return (
            "make its function faster, or, as far as there are cores, "
            'give the stages with workers="auto" more workers to share (auto_workers=)'
        )
    if verdict.workers is None or verdict.next_busiest is None:
        return "make its function faster, or give it more workers"
    return (
        "make its function faster, or, as far as there are cores, give it more workers "
        f"(workers={verdict.workers} would bring it level with {_quoted(run.stages[verdict.next_busiest])})"
    )


def _of_source(run: RunStats, verdict: Verdict) -> str:
    times = time_shares(run)
    subject, figures = "The source", []
    if verdict.index is not None:
        subject = f"The source {_quoted(run.stages[verdict.index])}"
        if verdict.index in times:
            figures.append(f"{percent(times[verdict.index].busy)} % busy")
    starved = min((share.starved for at, share in times.items() if run.stages[at].kind not in ENDS), default=0.0)
    if not figures or percent(starved) > 0:
        figures.append(f"every stage starved {percent(starved)} % of the time or more")
    return (
        f"{subject} is the limit: {', '.join(figures)}; more workers do not help, "
        "but a source that only names the items (paths, keys) and leaves reading them to a first .task() may."
    )


def _of_consumer(run: RunStats, verdict: Verdict) -> str:
    times = time_shares(run)
    figures = []
    if verdict.index is not None and verdict.index in times:
        figures.append(f"{percent(times[verdict.index].busy)} % busy")
    inner = [index for index in times if run.stages[index].kind not in ENDS]
    if inner:
        figures.append(f"{_quoted(run.stages[inner[-1]])} blocked {percent(times[inner[-1]].blocked)} % of the time")
    return (
        f"Taking the results is the limit: {', '.join(figures)}; more workers do not help, "
        "but moving work from the loop over the results into a .task() may."
    )


def _of_machine(run: RunStats, verdict: Verdict) -> str:
    assert verdict.index is not None
    stage = run.stages[verdict.index]
    return (
        f"{_quoted(stage)} is the bottleneck, because all {run.cores} processors are busy and it takes "
        f"{percent(verdict.share)} % of the work; make its function faster, or use more processors: "
        "more workers do not help."
    )


def _of_nobody(run: RunStats, verdict: Verdict) -> str:
    if verdict.index is None:
        return "Nothing to judge yet: no item has been worked on."
    busy = f"was busy {percent(verdict.share)} % of the time"
    busiest = f"the busiest stage, {_quoted(run.stages[verdict.index])}, {busy}"
    if run.elapsed < _SHORT_RUN:
        return f"No bottleneck to name: {busiest}, and a run of {seconds(run.elapsed)} is too short to say more."
    return f"No single bottleneck: {busiest}, and the others do not wait for it alone."


def _riders(run: RunStats, index: int) -> list[StageStats]:
    """Return the stages that run in this one's workers, so that its times are theirs too."""
    riders: list[StageStats] = []
    before = run.stages[index]
    for stage in run.stages[index + 1 :]:
        # In one segment a step gets just what the step before it gave; other counts mean another branch.
        rides = stage.workers == 0 and stage.kind not in ENDS | _MERGES and stage.items_in == before.items_out
        if not rides or shares(stage, run.elapsed) is not None:
            break
        riders.append(stage)
        before = stage
    return riders


def _with_workers(stage: StageStats) -> str:
    match stage.workers:
        case 0:
            return ""
        case 1:
            return " with 1 worker"
        case several:
            return f" with {several} workers"


def _quoted(stage: StageStats) -> str:
    return f"'{one_line(stage.name, _LONGEST_NAME)}'"


def _listed(stages: Sequence[StageStats]) -> str:
    *first, last = (_quoted(stage) for stage in stages)
    return f"{', '.join(first)} and {last}" if first else last
