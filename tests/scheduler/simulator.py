"""A run in virtual time: the scheduler is real, sources, workers and consumers are played by a seeded random choice.

`Simulation.run` lets one outstanding thing after the other happen, in any order the seed likes; the methods it uses
(`pull`, `answer`, `lose`, ...) can also be called one by one, to tell a story. After every event every promise of the
scheduler is checked.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import islice
from random import Random

from olympipe_like._model import commands as c
from olympipe_like._model import events as e
from olympipe_like._model.failure import READING
from olympipe_like._model.frame import Frame, OpCounts
from olympipe_like._model.identity import NO_PAYLOAD, Path, PayloadId, StageId, WorkerId
from olympipe_like._model.options import Limits
from olympipe_like._model.topology import Role, StageSpec
from olympipe_like._plan.layout import Layout
from olympipe_like._scheduler.invariants import check
from olympipe_like._scheduler.scheduler import Scheduler
from olympipe_like._scheduler.sizing import MAX_ITEMS
from tests.scheduler.models import Chunk, Failed, Item, Model

MOST_EVENTS = 20_000
MOST_AHEAD = 2  # frames a worker may have in hand


@dataclass
class Source:
    """What a source has, and how far it has come."""

    values: Sequence[object]
    breaks: bool = False  # it raises after its last item
    allowed: int = 0
    size: int = 1
    pulled: int = 0
    told_to_stop: bool = False
    ended: bool = False


@dataclass(frozen=True)
class Held:
    """A frame (or the end of a leg) in a worker's hands."""

    order: c.RunFrame
    key: tuple[StageId, int, int]  # stage, leg, and the frame's number in its stream; -1: the end of the leg


@dataclass
class Worker:
    """One worker, from its start to the news of its end."""

    stage: StageId
    slot: int
    model: object
    queue: deque[Held] = field(default_factory=deque)
    parts: deque[tuple[Chunk, bool]] | None = None  # what is left of the answer to the oldest frame
    done: bool = False  # the stage wants no more, as the model said with the answer at hand
    waits: bool = False  # for ContinueFrame
    ready: bool = False  # has told that it has loaded its function
    state: str = "alive"  # 'alive', 'dead' (nobody knows yet), 'lost' (the scheduler knows), 'stopped'


class Simulation:
    """Plays everything around one scheduler.

    The seed also gives every kind of thing a weight and every source, worker and sink a pace of its own, so that in
    some runs the consumer, in others a worker is starved until nothing else can happen. How long items take and how
    large they are is drawn too, unless ``item_seconds`` and ``item_bytes`` say it.
    """

    def __init__(
        self,
        stages: Layout | Sequence[StageSpec],
        *,
        sources: dict[StageId, Source] | None = None,
        models: dict[StageId, Callable[[], object]] | None = None,
        seed: int = 0,
        losses: int = 0,
        worker_retries: int = 2,
        stops: bool = False,
        item_seconds: float | None = None,
        item_bytes: int | None = None,
        auto_workers: int | None = None,
        memory: int | None = None,
    ) -> None:
        if isinstance(stages, Layout):
            sources = {s.spec.id: Source(s.source.datas) for s in stages.stages if s.source} | (sources or {})
            models = {s.spec.id: _maker(s.segment) for s in stages.stages if s.segment} | (models or {})
            stages = stages.specs
        works = (Role.MAP, Role.SCAN)
        self.specs = [spec._replace(may_die=spec.role in works, worker_retries=worker_retries) for spec in stages]
        self.seed = seed
        self.random = Random(seed)
        self.gave_up = False  # items that cost too many workers
        self.sources = sources or {}
        self.models = models or {}
        self.losses = losses
        self.stops = stops
        self.auto_workers = max(auto_workers or 0, sum(spec.auto for spec in self.specs))
        self.now = 0.0
        self.events = 0
        self.workers: dict[WorkerId, Worker] = {}
        self.payloads: dict[PayloadId, list[Item]] = {}
        self.next_payload = 0
        self.costs: Counter[tuple[StageId, int, int]] = Counter()  # frame -> workers it has cost
        self.answered: set[tuple[StageId, int, int]] = set()
        self.early: Counter[tuple[StageId, int]] = Counter()  # slot -> workers lost there before they were ready
        self.undelivered: dict[StageId, deque[Frame]] = {}
        self.delivered: dict[StageId, list[Item]] = {s.id: [] for s in self.specs if s.role is Role.SINK}
        self.failures: dict[StageId, Failed | None] = dict.fromkeys(self.delivered)
        self.ended: set[StageId] = set()
        self.finished = False
        self.failed: c.FailRun | None = None
        self.commands: list[c.Command] = []  # of the last event
        self.stopping = False
        self.max_frame = min([MAX_ITEMS, *(s.queue_size for s in self.specs if s.queue_size is not None)])
        # How fast and how large everything is: drawn once, so that a run has a character.
        scale = self.random.choice
        self.seconds = {s.id: scale([1e-7, 1e-5, 1e-3, 3e-2]) for s in self.specs}
        self.nbytes = {s.id: scale([0, 0, 100, 3 << 20]) for s in self.specs}
        self.exact = item_seconds is not None or item_bytes is not None
        if self.exact:
            self.seconds = {s.id: item_seconds or 0.0 for s in self.specs}
            self.nbytes = {s.id: item_bytes or 0 for s in self.specs}
        self.weights = {kind: scale([0.02, 1, 1, 1, 20]) for kind in ("pull", "answer", "consume")}
        self.paces: dict[object, float] = {}
        self._hands = {
            c.StartWorker: self._start_worker,
            c.RunFrame: self._run_frame,
            c.ContinueFrame: self._go_on,
            c.DropFrame: self._drop_frame,
            c.StopWorker: self._stop_worker,
            c.AllowSource: self._allow_source,
            c.StopSource: self._stop_source,
            c.Deliver: self._deliver,
            c.EndSink: self._end_sink,
            c.FreePayload: self._free_payload,
            c.FinishRun: self._finish_run,
            c.FailRun: self._fail_run,
            c.RestoreWorker: self._restore,
        }
        self.scheduler = Scheduler(self.specs, Limits(auto_workers=auto_workers, memory=memory))
        self.scheduler.at_once = self._carry_out
        self._obey(lambda: self.scheduler.start(self.now))

    # -- the story ----------------------------------------------------------------------------------------------------

    def run(self) -> Simulation:
        """Let things happen until nothing can happen any more, and check that the run is over then."""
        self.run_without()
        if not self.failed:
            self.check_end()
        return self

    def run_without(self, *excluded: object) -> None:
        """Let things happen until nothing can, but for things of these kinds ('consume') or to these (kind, who)."""
        while not self.failed:
            possible = [each for each in self.possible() if each[0] not in excluded and each not in excluded]
            if not possible:
                return
            self.happen(possible)

    def possible(self) -> list[tuple[str, object]]:
        """Return what may happen next, (kind, who), things that need not happen left out."""
        found: list[tuple[str, object]] = []
        for number, source in self.sources.items():
            if not source.ended and (source.told_to_stop or source.allowed > source.pulled):
                found.append(("pull", number))
        for number, worker in self.workers.items():
            if worker.state == "alive" and not worker.ready:
                found.append(("make_ready", number))
            elif worker.state == "alive" and worker.queue and not worker.waits:
                found.append(("answer", number))
            elif worker.state == "dead":
                found.append(("report_loss", number))
        found += [("consume", sink) for sink, frames in self.undelivered.items() if frames]
        return found

    def happen(self, possible: list[tuple[str, object]]) -> None:
        """Let one of the possible things happen, or a fault."""
        if self.losses and self.random.random() < 0.1 and self._lose_someone():
            return
        if self.stops and not self.stopping and self.random.random() < 0.05:
            self.stop()
            return
        weights = [self.weights.get(kind, 1) * self._pace(who) for kind, who in possible]
        kind, who = self.random.choices(possible, weights)[0]
        getattr(self, kind)(who)

    def _vary(self) -> float:
        return 1.0 if self.exact else self.random.random()

    def _pace(self, who: object) -> float:
        if who not in self.paces:
            self.paces[who] = self.random.choice([0.01, 1, 1, 1])
        return self.paces[who]

    def _lose_someone(self) -> bool:
        alive = [number for number, worker in self.workers.items() if worker.state == "alive"]
        if not alive or self.finished:
            return False
        self.losses -= 1
        self.workers[self.random.choice(alive)].state = "dead"
        return True

    def _is_one_item(self, stage: StageId, order: c.RunFrame) -> bool:
        spec = self.specs[stage]
        return order.frame is not None and order.frame.count == 1 and spec.role is Role.MAP and not spec.parts

    # -- what can happen ----------------------------------------------------------------------------------------------

    def pull(self, number: StageId, count: int | None = None) -> None:
        """Let a source give its next frame, or end."""
        source = self.sources[number]
        most = min(source.size, source.allowed - source.pulled)
        if source.told_to_stop and (most <= 0 or self.random.random() < 0.7):
            source.ended = True
            self._event(e.SourceEnded(at=self.now, source=number))
            return
        if count is None:
            count = self.random.choice([1, most, self.random.randint(1, most)])
        assert count <= most, f"source {number} may pull {most} items now, not {count}"
        values = list(islice(self.source_items(source), source.pulled, source.pulled + count))
        items = [((source.pulled + i,), value) for i, value in enumerate(values)]
        source.pulled += len(items)
        over = len(items) < count
        failure = Failed((source.pulled,), "source") if over and source.breaks else None
        if items or failure:
            frame = self._frame(number, Chunk(items, (source.pulled,), failure))
            self._event(e.SourcePulled(at=self.now, source=number, frame=frame))
        if over:
            source.ended = True
            self._event(e.SourceEnded(at=self.now, source=number))

    @staticmethod
    def source_items(source: Source) -> Sequence[object]:
        """Return an iterable over what a source has; it may be endless."""
        return source.values

    def make_ready(self, number: WorkerId) -> None:
        """Let a worker have loaded its function, if it has not."""
        worker = self.workers[number]
        if not worker.ready:
            worker.ready = True
            del self.early[worker.stage, worker.slot]
            self._event(e.WorkerReady(at=self.now, worker=number))

    def answer(self, number: WorkerId) -> None:
        """Let a worker answer its oldest frame, or give the next part of its answer."""
        worker = self.workers[number]
        self.make_ready(number)
        held = worker.queue[0]
        if worker.parts is None:
            self._begin(worker, held.order)
        assert worker.parts is not None
        part, more = worker.parts.popleft()
        done = worker.done
        if more:
            worker.waits = True
        else:
            worker.queue.popleft()
            worker.parts = None
            self.answered.add(held.key)
            del self.costs[held.key]
        if held.order.replay:
            part = Chunk([], part.upto)
        snapshot = None
        if self.specs[worker.stage].role is Role.SCAN and not more and self.random.random() < 0.4:
            snapshot = deepcopy(worker.model)
        same = not more and self._passes_on(worker.stage, held.order.frame, part)
        ops = self.specs[worker.stage].ops
        worked = max(held.order.frame.count if held.order.frame else 0, len(part.items))
        spent = self.spent(number, worked)
        self._event(
            e.FrameReturned(
                at=self.now,
                worker=number,
                frame=Frame(len(part.items), 0, part.upto) if same else self._frame(worker.stage, part),
                counts=(OpCounts(0, len(part.items)),) * ops,
                seconds=spent,
                more=more,
                done=done,
                snapshot=snapshot,
                same=same,
            )
        )

    def _passes_on(self, stage: StageId, frame: Frame | None, part: Chunk) -> bool:
        """Whether a worker says that its answer is the frame: it may, if that is so and it has one answer."""
        if frame is None or self.specs[stage].parts or self.random.random() < 0.5:
            return False
        return part.failure is None and part == self._chunk(frame)

    def spent(self, number: WorkerId, items: int) -> float:
        """Return how many seconds a worker says that it was at its oldest frame."""
        return self.seconds[self.workers[number].stage] * items * self._vary()

    def _begin(self, worker: Worker, order: c.RunFrame) -> None:
        chunk = self._chunk(order.frame) if order.frame is not None else None
        for place in sorted(case.ordinal % READING for case in order.poison)[:1]:
            self.gave_up = True
            path, _ = chunk.items[place]
            chunk = Chunk(chunk.items[:place], chunk.upto, Failed(path, "given up"))
        whole, worker.done = worker.model.run(chunk, order.leg)
        if order.replay:
            worker.parts = deque([(Chunk([], whole.upto), False)])
            return
        if not self.specs[worker.stage].parts:
            worker.parts = deque([(whole, False)])
            return
        parts: deque[tuple[Chunk, bool]] = deque()
        items = whole.items[order.skip_items :]
        assert order.skip_items <= len(whole.items), f"more items are skipped than there are: {order}"
        while items and (len(items) > order.part_items or self.random.random() < 0.6):
            count = self.random.randint(0, min(order.part_items, len(items)))
            parts.append((Chunk(items[:count], self._part_upto(items, count)), True))
            items = items[count:]
        # A worker need not know that nothing follows a failed item; it must not be asked again.
        parts.append(
            (Chunk(items, whole.upto, whole.failure), whole.failure is not None and self.random.random() < 0.5)
        )
        worker.parts = parts

    def _part_upto(self, items: list[Item], count: int) -> Path:
        """Return how far so many items bring a stream, of which others follow."""
        last = items[max(count - 1, 0)][0]
        if self.seed % 2 and len(last) > 1:
            return last[:-1]  # as far as the item that they are made of: what a worker says
        # Workers know the next item's place only after they have made it.
        return items[count][0] if count < len(items) and self.random.random() < 0.5 else last

    def consume(self, sink: StageId) -> None:
        """Let the caller be done with its oldest frame."""
        self.undelivered[sink].popleft()
        self._event(e.FrameConsumed(at=self.now, sink=sink))

    def lose(self, number: WorkerId) -> None:
        """Let a worker die at what it has in hand, and the scheduler know it."""
        self.make_ready(number)
        self.workers[number].state = "dead"
        self.report_loss(number, late=0.0)

    def report_loss(self, number: WorkerId, late: float = 0.3, ordinal: int | None = None) -> None:
        """Let the scheduler know that a worker is dead; ``ordinal``: of the item that is known to have done it."""
        worker = self.workers[number]
        worker.state = "lost"
        spec = self.specs[worker.stage]
        wanted = not self.finished and not self.scheduler.stages[worker.stage].ended
        attempts = 0
        if not worker.ready:
            self.early[worker.stage, worker.slot] += 1
            attempts = self.early[worker.stage, worker.slot]
        elif worker.queue:
            head = worker.queue[0]
            # Alone in its frame it can only have been this item, unless it was not to be run.
            known = ordinal is not None or (self._is_one_item(worker.stage, head.order) and not head.order.poison)
            self.costs[head.key] = 0 if known else self.costs[head.key] + 1
            attempts = self.costs[head.key]
        before = len(self.workers)
        self._event(e.WorkerLost(at=self.now, worker=number, exit_code=-9, ordinal=ordinal))
        if not wanted:
            assert self.failed is None, f"a worker was lost that nobody needed, and the run failed: {self.failed}"
            return
        hopeless = attempts > spec.worker_retries
        assert (self.failed is not None) == hopeless, f"loss {attempts} of {spec}: {self.failed}"
        if not hopeless:
            successors = [each for each in list(self.workers.values())[before:] if each.stage == worker.stage]
            if not spec.auto:  # there somebody else may do; `check` sees to it that somebody does
                assert [each.slot for each in successors] == [worker.slot], f"no successor of {worker}: {successors}"
            if self.random.random() < late:
                self.late_answer(number)

    def late_answer(self, number: WorkerId) -> None:
        """Let an answer of a lost worker come after all; its payload is not kept."""
        stage = self.workers[number].stage
        frame = Frame(count=1, span=1, upto=(), payload=PayloadId(10_000_000 + self.events), nbytes=1)
        counts = (OpCounts(1, 1),) * self.specs[stage].ops
        more, done = self.random.random() < 0.5, self.random.random() < 0.5
        late = e.FrameReturned(
            at=self.now, worker=number, frame=frame, counts=counts, seconds=0.1, more=more, done=done
        )
        self._event(late)
        # Time alone may move workers; then windows change, and who is left may have to change frames.
        moves = (c.StartWorker, c.StopWorker, c.DropFrame, c.RunFrame, c.ContinueFrame, c.AllowSource)
        moves = moves if any(spec.auto for spec in self.specs) else ()
        effects = [command for command in self.commands if not isinstance(command, moves)]
        assert effects == [], f"a late answer of a lost worker had an effect: {effects}"

    def refuse(self, number: WorkerId) -> None:
        """Let there be no room for a worker that has been asked for."""
        self.workers.pop(number)
        self._event(e.WorkerRefused(at=self.now, worker=number))

    def pass_time(self) -> None:
        """Let the scheduler know how late it is."""
        self._event(e.TimePassed(at=self.now))

    def stop(self) -> None:
        """Let the caller want no more."""
        self.stopping = True
        self._event(e.StopRequested(at=self.now))

    # -- payloads -----------------------------------------------------------------------------------------------------

    def _frame(self, stage: StageId, chunk: Chunk) -> Frame:
        count = len(chunk.items)
        payload, nbytes = NO_PAYLOAD, 0
        if count:
            payload = PayloadId(self.next_payload)
            self.next_payload += 1
            self.payloads[payload] = chunk.items
            nbytes = int(self.nbytes[stage] * count * self._vary())
        return Frame(count, count, chunk.upto, payload, nbytes, failure=chunk.failure)

    def _chunk(self, frame: Frame) -> Chunk:
        items: list[Item] = []
        if frame.payload != NO_PAYLOAD and frame.count:
            assert frame.payload in self.payloads, f"{frame} was freed while someone still needed it"
            items = self.payloads[frame.payload][frame.skip : frame.skip + frame.count]
        assert len(items) == frame.count, f"{frame} claims {frame.count} items, there are {len(items)}"
        items = [((*frame.prefix, *path), value) for path, value in items]
        failure = frame.failure
        if failure is not None:
            assert isinstance(failure, Failed)
            failure = replace(failure, path=(*frame.prefix, *failure.path))
        return Chunk(items, frame.upto, failure)

    # -- commands -----------------------------------------------------------------------------------------------------

    def _event(self, event: e.Event) -> None:
        self.events += 1
        assert self.events < MOST_EVENTS, f"the run does not end\n{self}"
        try:
            self._obey(lambda: self.scheduler.handle(event))
        except AssertionError as error:
            error.args = (f"{error}\nafter {event}\n{self}",)
            raise
        self.now += self.random.random() * 0.001

    def _obey(self, decide: Callable[[], list[c.Command]]) -> None:
        self.commands = []
        self._carry_out(decide())
        check(self.scheduler)

    def _carry_out(self, commands: list[c.Command]) -> None:
        self.commands += commands
        for command in commands:
            if self.finished:
                allowed = c.FreePayload | c.StopWorker | c.StopSource
                assert isinstance(command, allowed), f"after the end of the run: {command}"
            if self.failed:
                continue  # nobody carries out what comes after a failure
            self._hands[type(command)](command)

    def _start_worker(self, command: c.StartWorker) -> None:
        assert command.worker not in self.workers, f"{command}: the number is taken"
        spec = self.specs[command.stage]
        alive = [w for w in self.workers.values() if w.stage == command.stage and w.state in {"alive", "dead"}]
        assert command.slot not in {w.slot for w in alive}, f"{command}: the slot is taken"
        if spec.auto:
            autos = [w for w in self.workers.values() if self.specs[w.stage].auto and w.state in {"alive", "dead"}]
            assert len(autos) < self.auto_workers, f"{command}: more than {self.auto_workers} that are shared"
        else:
            assert len(alive) < spec.workers, f"{command}: more than {spec.workers} workers"
        self.workers[command.worker] = Worker(command.stage, command.slot, self.models[command.stage]())

    def _known(self, command: c.RunFrame | c.ContinueFrame | c.DropFrame | c.StopWorker | c.RestoreWorker) -> Worker:
        worker = self.workers[command.worker]
        assert worker.state in {"alive", "dead"}, f"{command} to a worker that is {worker.state}"
        return worker

    def _run_frame(self, command: c.RunFrame) -> None:
        worker = self._known(command)
        assert worker.stage == command.stage, f"{command} to a worker of stage {worker.stage}"
        assert 1 <= command.part_items <= self.max_frame, f"{command}: parts of that size"
        if command.frame is not None:
            self._chunk(command.frame)
        task = self.scheduler.stages[command.stage].crew._tasks[command.worker][len(worker.queue)]
        key = (command.stage, command.leg, task.number)
        for other in self.workers.values():
            if other.state in {"alive", "dead"} and other.stage == command.stage:
                assert all(held.key != key for held in other.queue), f"{command}: another worker has it"
        assert (key in self.answered) == command.replay, f"{command}: it was answered before, or never"
        worker.queue.append(Held(command, key))
        new = [held for held in worker.queue if not held.order.replay]
        assert len(new) <= MOST_AHEAD, f"{command}: {len(new)} frames in one worker's hands"
        if self.specs[command.stage].role is Role.SCAN:
            holders = [w for w in self.workers.values() if w.stage == command.stage and w.state == "alive"]
            assert len(holders) <= 1, f"{command}: a stage that remembers has {len(holders)} workers"

    def _restore(self, command: c.RestoreWorker) -> None:
        worker = self._known(command)
        assert not worker.queue, f"{command}: it has begun already"
        worker.model = deepcopy(command.snapshot)

    def _go_on(self, command: c.ContinueFrame) -> None:
        worker = self._known(command)
        assert worker.waits, f"{command} to a worker that does not wait for it"
        assert worker.parts, f"{command}: nothing follows the failed item it has told of"
        worker.waits = False

    def _drop_frame(self, command: c.DropFrame) -> None:
        worker = self._known(command)
        assert worker.waits, f"{command} to a worker that is at work"
        worker.waits = False
        worker.parts = None
        worker.queue.popleft()

    def _stop_worker(self, command: c.StopWorker) -> None:
        worker = self._known(command)
        assert not worker.queue, f"{command}: it has {list(worker.queue)} in hand"
        worker.state = "stopped"

    def _allow_source(self, command: c.AllowSource) -> None:
        source = self.sources[command.source]
        assert not source.ended, f"{command}: it has ended"
        assert not source.told_to_stop, f"{command}: it was told to stop"
        assert command.items != source.allowed, f"{command}: nothing new"
        assert command.items >= source.pulled, f"{command}: it has given {source.pulled}"
        assert 1 <= command.size <= self.max_frame, f"{command}: frames of that size"
        demand = self.specs[command.source].demand
        if demand is not None:
            # More only where items were dropped on the way, and never more than a limit still lets through.
            most = max(demand, source.pulled + max(s.amount for s in self.specs if s.role is Role.LIMIT))
            assert command.items <= most, f"{command}: {demand} are needed"
        source.allowed, source.size = command.items, command.size

    def _stop_source(self, command: c.StopSource) -> None:
        source = self.sources[command.source]
        assert not source.told_to_stop, f"{command}: told twice"
        source.told_to_stop = True

    def _deliver(self, command: c.Deliver) -> None:
        sink = command.sink
        assert sink not in self.ended, f"{command}: the sink has ended"
        assert self.failures[sink] is None, f"{command}: after a failure"
        chunk = self._chunk(command.frame)
        self.delivered[sink] += chunk.items
        self.failures[sink] = chunk.failure
        self.undelivered.setdefault(sink, deque()).append(command.frame)

    def _end_sink(self, command: c.EndSink) -> None:
        assert command.sink not in self.ended, f"{command}: it ended before"
        self.ended.add(command.sink)

    def _free_payload(self, command: c.FreePayload) -> None:
        payload = command.payload
        assert payload in self.payloads, f"{command}: it was freed before, or never was"
        needed = [frame for frames in self.undelivered.values() for frame in frames]
        needed += [
            held.order.frame
            for worker in self.workers.values()
            if worker.state == "alive"
            for held in worker.queue
            if held.order.frame is not None
        ]
        holders = [frame for frame in needed if frame.payload == payload]
        assert not holders, f"{command}: still needed for {holders}"
        del self.payloads[payload]

    def _finish_run(self, command: c.FinishRun) -> None:
        assert not self.finished, "the run finished twice"
        assert self.ended == set(self.delivered), f"the run finished before its sinks: {self.ended}"
        self.finished = True

    def _fail_run(self, command: c.FailRun) -> None:
        self.failed = command

    # -- the end ------------------------------------------------------------------------------------------------------

    def check_end(self) -> None:
        """Check that a run in which nothing can happen any more is over, and that it left nothing behind."""
        assert self.finished, f"DEADLOCK: nothing can happen, and the run is not over\n{self}"
        # A generator that is never asked again keeps its frame until its worker ends with the run.
        kept = {
            held.order.frame.payload
            for worker in self.workers.values()
            if worker.waits and worker.state == "alive"
            for held in worker.queue
            if held.order.frame is not None
        }
        assert set(self.payloads) <= kept, f"payloads {set(self.payloads) - kept} were never freed\n{self}"
        failing = any(self.failures.values())
        for number, source in self.sources.items():
            assert source.ended, f"source {number} was never stopped: {source}"
        for spec, tally in zip(self.specs, self.scheduler.tallies(), strict=True):
            if spec.role is Role.SINK:
                assert tally.ops[0].items_out == len(self.delivered[spec.id]), f"{spec.name} is counted as {tally}"
            if spec.role is Role.SOURCE:
                assert tally.ops[0].items_out == self.sources[spec.id].pulled, f"{spec.name} is counted as {tally}"
        for worker in self.workers.values():
            unneeded = worker.state in {"stopped", "lost"} or worker.waits
            assert unneeded or failing, f"a worker was never stopped: {worker}\n{self}"

    def values(self, sink: StageId) -> list[object]:
        """Return what the caller got, without positions."""
        return [value for _, value in self.delivered[sink]]

    def stage(self, name: str) -> StageId:
        """Return the number of the stage of that name."""
        (found,) = [spec.id for spec in self.specs if spec.name == name]
        return found

    def workers_of(self, stage: StageId) -> list[WorkerId]:
        """Return the living workers of a stage."""
        return [number for number, worker in self.workers.items() if (worker.stage, worker.state) == (stage, "alive")]

    def __str__(self) -> str:
        lines = [f"simulation with seed {self.seed}, event {self.events}:"]
        for stage in self.scheduler.stages:
            spec = stage.spec
            lines.append(f"  {spec.id} {spec.name!r} {spec.role.value} {'ended' if stage.ended else ''}")
            if spec.role is Role.SOURCE:
                lines.append(f"    {str(self.sources[spec.id])[-110:]}")
            lines += [
                f"    leg {edge.leg} from {edge.parent}: low {edge.low}, taken {edge.taken}, waiting {edge._numbers}, "
                f"items {edge.items}, cut {edge.cut}, total {edge.total}"
                for edge in stage.inputs
            ]
            lines += [
                f"    worker {number}: {worker.state}{', waits' if worker.waits else ''}, has "
                f"{[held.key for held in worker.queue]}"
                for number, worker in self.workers.items()
                if worker.stage == spec.id and worker.state != "stopped"
            ]
        return "\n".join(lines)


def _maker(segment) -> Callable[[], object]:
    return lambda: Model(segment)
