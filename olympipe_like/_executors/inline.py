"""Workers that run in whichever thread drives the run: for debugging, with the user's own stack and debugger."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from time import perf_counter

from olympipe_like._executors.port import ChunkAnswer, ChunkTask, Tell, WorkerBroken, WorkerClosed, WorkerStack
from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._plan.segment import Label, Segment
from olympipe_like._worker.blame import blame, text_of
from olympipe_like._worker.draws import kept
from olympipe_like._worker.program import Answer, Program


class InlineExecutor:
    """Keeps what is to be done until `step` is called."""

    def __init__(self, segments: Mapping[StageId, Segment], tell: Tell) -> None:
        self._segments = segments
        self._tell = tell
        self._programs: dict[WorkerId, Program] = {}
        self._names: dict[WorkerId, tuple[Label, str]] = {}  # the stage's, and how people are told which worker it was
        self._paused: dict[WorkerId, Generator[Answer, None, None]] = {}
        self._todo: deque[ChunkTask | WorkerId] = deque()

    def start(self, worker: WorkerId, stage: StageId, slot: int) -> None:
        """Build the worker's segment."""
        segment = self._segments[stage]
        title = f"worker {segment.label.number}.{slot}, inline"
        self._names[worker] = segment.label, title
        try:
            with kept(segment.seeds_generators):  # they are the caller's, who draws from them, too
                self._programs[worker] = Program(segment, slot, title, alone=True)
        except Exception as error:  # noqa: BLE001 - the user's class may raise anything; Ctrl-C passes
            self._break(worker, error, "could not start")

    def run(self, task: ChunkTask) -> None:
        """Note a frame."""
        self._todo.append(task)

    def go_on(self, worker: WorkerId) -> None:
        """Note that the next part is wanted."""
        self._todo.append(worker)

    def stop(self, worker: WorkerId) -> None:
        """Close the worker's segment."""
        program = self._programs.pop(worker, None)
        if program is not None:
            try:
                program.close()
            except Exception as error:  # noqa: BLE001 - as above
                self._break(worker, error, "could not close")
            self._tell(WorkerClosed(worker))

    def _break(self, worker: WorkerId, error: Exception, what: str) -> None:
        label, title = self._names[worker]
        self._tell(WorkerBroken(worker, blame(error, label, title, what=f"{what}: {text_of(error)}")))

    def stacks(self) -> list[WorkerStack]:
        """Return nothing: whoever could ask is the worker."""
        return []

    def abandon(self) -> None:
        """Close all segments."""
        self._todo.clear()
        self._paused.clear()
        for worker in list(self._programs):
            self.stop(worker)

    def step(self) -> bool:
        """Do one thing that is noted; say whether there was one."""
        if not self._todo:
            return False
        task = self._todo.popleft()
        answers: Generator[Answer, None, None]
        if isinstance(task, ChunkTask):
            worker = task.worker
            answers = self._programs[worker].run(task.chunk, task.leg, task.part_items)
        else:
            worker = task
            answers = self._paused.pop(worker)
        program = self._programs[worker]
        with kept(program.seeds_generators):
            began = perf_counter()
            answer = next(answers)
            seconds = perf_counter() - began
        if answer.more:
            self._paused[worker] = answers
        else:
            answers.close()  # by itself it would end while nobody hears of a Ctrl-C
        self._tell(ChunkAnswer(worker, answer, seconds, program))
        return True
