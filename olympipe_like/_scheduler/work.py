"""Stages with workers: which frame goes to which worker, in what order the answers go on, what a loss costs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from olympipe_like._model.commands import ContinueFrame, FailRun, RunFrame, StartWorker, StopWorker
from olympipe_like._model.events import FrameReturned, WorkerFailed, WorkerLost
from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import END, NO_PAYLOAD, Path, WorkerId
from olympipe_like._model.topology import Role, StageSpec, Take
from olympipe_like._scheduler.edge import Edge
from olympipe_like._scheduler.ledger import Ledger
from olympipe_like._scheduler.release import Release
from olympipe_like._scheduler.sizing import FrameSizer
from olympipe_like._scheduler.stage import Stage

SHORT_SECONDS = 0.005
"""A second frame is sent ahead to a worker only while frames are shorter than this: slow items are dealt greedily."""

MAX_ATTEMPTS = 3
"""A frame that lost this many workers is given up; so is a stage whose workers die this often before any answer."""


@dataclass(slots=True)
class Task:
    """One frame (or the end of a leg) in a worker's hands."""

    key: int  # place in the stage's output order
    edge: Edge
    number: int
    frame: Frame | None
    given: int = 0  # items of the answer taken over so far
    seconds: float = 0.0


class WorkStage(Stage):
    """A segment that runs in workers: any worker and any order (MAP), or one worker in order (SCAN)."""

    def __init__(self, spec: StageSpec, ledger: Ledger, part_sizer: FrameSizer | None, max_frame: int) -> None:
        super().__init__(spec, ledger)
        self._part_sizer = part_sizer
        self._max_frame = max_frame
        self._workers: dict[WorkerId, deque[Task]] = {}
        self._slots: dict[WorkerId, int] = {}
        self._paused: set[WorkerId] = set()  # hold a generator that may go on when there is room
        self._attempts: dict[int, int] = {}  # frame number -> workers it has cost
        self._given: dict[int, int] = {}  # frame number -> items taken over before its worker was lost
        self._lost_early = 0
        self._answered = False
        self._taken = 0  # SCAN: key of the next frame taken
        self._last: int | None = None  # the key of the failed item's frame: nothing after it goes out
        self._told: set[int] = set()  # SCAN: legs whose end the worker knows
        self._progress: dict[int, Path] = {}  # SCAN: how far each leg has come
        self._leg_items: dict[int, int] = {}
        self._blocked = False
        self._since = 0.0
        self._release: Release | None = None

    def start(self) -> None:
        """Ask for the workers."""
        self._since = self.ledger.at
        if self.spec.parts:
            keeps_order = self.spec.role is Role.SCAN or (self.spec.ordered and self.inputs[0].in_order_numbers)
            self._release = Release(in_order=keeps_order)
        for slot in range(self.spec.workers):
            self._start_worker(slot)

    # -- events -------------------------------------------------------------------------------------------------------

    def returned(self, event: FrameReturned) -> None:
        """Take a worker's answer."""
        self._account()
        tasks = self._workers[event.worker]
        task = tasks[0]
        task.seconds += event.seconds
        self.tally.busy += event.seconds
        self._answered = True
        for op, counts in enumerate(event.counts):
            self.tally.add(op, counts)
        span = event.frame.count if self._release is not None else task.frame.span if task.frame is not None else 0
        frame = event.frame.spanning(span)
        self.ledger.payloads.hold(frame)
        late = self.ended or (self._last is not None and task.key > self._last)
        if event.more:
            self._paused.add(event.worker)
        else:
            tasks.popleft()
            self._observe(task)
        if self._release is not None:
            task.given += frame.count
            if late:
                self.ledger.payloads.drop(frame)
            else:
                self._release.add(task.key, frame, complete=not event.more)
        else:
            if late:
                self.withdraw(task.key)
            else:
                self.emit(task.key, frame)
            self.ledger.payloads.drop(frame)
        if frame.failure is not None and not late:
            self._close_after(task.key, task.number)
        elif event.done:
            # The worker is still told that its legs have ended: a later step of it (a batch) may hold items.
            self.close_inputs()
        if not event.more and task.frame is not None:
            self._attempts.pop(task.number, None)
            self._given.pop(task.number, None)
            self.finish(task.edge, task.number, task.frame)
        self.ledger.mark(self.id)

    def lost(self, event: WorkerLost) -> None:
        """Give a lost worker's frames to the others and start its successor."""
        self._account()
        tasks = self._workers.pop(event.worker)
        slot = self._slots.pop(event.worker)
        self._paused.discard(event.worker)
        attempts = 0
        if tasks and tasks[0].frame is not None:
            number = tasks[0].number
            attempts = self._attempts[number] = self._attempts.get(number, 0) + 1
        elif not self._answered:
            self._lost_early += 1
        if self.ended:
            for task in tasks:
                self._forget(task)
            return
        # A SCAN's memory is lost with its worker; only stages without memory can be asked again.
        if self.spec.role is Role.SCAN or max(attempts, self._lost_early) >= MAX_ATTEMPTS:
            frame = tasks[0].frame if tasks else None
            self.ledger.command(
                FailRun(None, self.id, event.worker, slot, event.exit_code, event.pid, max(attempts, 1), frame)
            )
            return
        # Give the frames back before starting the successor: it must find the oldest work first.
        for task in tasks:
            if not task.edge.wants(task.number):
                self._forget(task)
                continue
            assert task.frame is not None
            task.edge.give_back(task.number, task.frame)
            if self._release is None:
                self.withdraw(task.key)
            elif task.given:
                self._given[task.number] = task.given
        self._start_worker(slot)
        self.ledger.mark(self.id)

    def _forget(self, task: Task) -> None:
        """Be done with a frame whose answer nobody wants any more."""
        if task.frame is not None:
            self.finish(task.edge, task.number, task.frame)

    def failed(self, event: WorkerFailed) -> None:
        """A worker could not start or close: the whole run fails, once."""
        self.ledger.command(FailRun(event.failure, self.id, event.worker))

    # -- progress -----------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Send on what is in order, hand out what may be handed out, end when all is done."""
        self._account()
        self._send_parts()
        if self._end_if_unwanted():
            self._drop_parts_after(-1)
        else:
            self._blocked = False
            while self._dispatch():
                pass
            self._end_if_done()
        if self.ended:
            self._stop_workers()

    def _dispatch(self) -> bool:
        """Hand out one frame; say whether there may be more to do."""
        edge = self.inputs[0] if self.spec.role is Role.MAP else self._leg_in_turn()
        if edge is None:
            return False
        number = edge.next()
        if number is None:
            return self._tell_end(edge)
        key = number if self.spec.role is Role.MAP else self._taken
        if self._last is not None and key > self._last:
            return False
        frame = edge.peek(number)
        if self._release is None and not self.is_wanted(key):
            self._take(edge, number)
            self.finish(edge, number, frame)
            return True
        if not self._may_start(key, frame.count):
            self._blocked = True
            return False
        if frame.is_silent and len(self.inputs) == 1:
            self._answer_silently(edge, number, key)
            return True
        worker = self._free_worker()
        if worker is None:
            return False
        self._take(edge, number)
        given = self._given.get(number, 0)
        self._workers[worker].append(Task(key, edge, number, frame, given))
        if self._release is None:
            self.grant(key, frame.count)
        self.ledger.command(RunFrame(worker, self.id, edge.leg, frame, self._part_items(), given))
        return True

    def _take(self, edge: Edge, number: int) -> None:
        frame = edge.take(number)
        if self.spec.role is Role.SCAN:
            self._taken += 1
            # What came at the end of the input is all equally far: merges further up tell no more of it than that.
            self._progress[edge.leg] = max(min(frame.upto, END), self._progress.get(edge.leg, ()))
            self._leg_items[edge.leg] = self._leg_items.get(edge.leg, 0) + frame.count
            if frame.failure is not None and len(self.inputs) > 1:
                # Nothing of this leg comes any more; the others go on until they have passed the failed item.
                self._told.add(edge.leg)
                self.close(edge)

    def _answer_silently(self, edge: Edge, number: int, key: int) -> None:
        """Answer a frame without items for the workers: order and ends need its number, nobody its content."""
        frame = edge.peek(number)
        self._take(edge, number)
        for sizer in edge.sizers:
            sizer.observe(self.id, 0.0, frame.span)
        out = replace(frame, payload=NO_PAYLOAD, nbytes=0, skip=0)
        if self._release is not None:
            self._release.add(key, out, complete=True)
            self._send_parts()
        else:
            self.emit(key, out)
        if frame.failure is not None:
            self._close_after(key, number)
        self.finish(edge, number, frame)

    def _free_worker(self) -> WorkerId | None:
        if not self._workers:
            return None
        worker = min(self._workers, key=lambda each: len(self._workers[each]))
        return worker if len(self._workers[worker]) < self._ahead() else None

    def _ahead(self) -> int:
        """Frames a worker may have in hand: a second one while frames are short, so that it never waits."""
        if self._release is not None:
            return 1
        for sizer in self.inputs[0].sizers:
            seconds = sizer.frame_seconds(self.id)
            if seconds is None or seconds > SHORT_SECONDS:
                return 1
        return 2

    def _part_items(self) -> int:
        size = self._part_sizer.size if self._part_sizer is not None else self._max_frame
        return min(size, self._max_frame)

    def _may_start(self, key: int, items: int = 1) -> bool:
        if self._release is None:
            return self.may_emit(key, items)
        if self._release.may_go_on(key):
            return self.may_emit(self._release.number)
        # Ahead of its turn: one part a worker may wait, so that the others have begun when their turn comes.
        return self._release.backlog <= self.spec.workers

    def _leg_in_turn(self) -> Edge | None:
        """Return the leg to take from (or whose end to tell), None while that leg has nothing."""
        for edge in self.inputs:
            if edge.exhausted and edge.leg not in self._told:
                return edge if self.spec.flushes else None
        legs = [edge for edge in self.inputs if not edge.exhausted]
        if not legs:
            return None
        if self.spec.take is Take.ANY:
            legs = [edge for edge in legs if edge.next() is not None]
            return min(legs, key=lambda edge: edge.taken) if legs else None
        if self.spec.take is Take.COUNT:
            leg = min(legs, key=lambda edge: self._leg_items.get(edge.leg, 0))
        else:
            # Of legs that have come equally far one that has a frame: a merge further up answers with several frames
            # for the same stretch, and the other leg's next one may be waiting for room that only this one makes.
            leg = min(legs, key=lambda edge: (self._progress.get(edge.leg, ()), edge.next() is None))
        return leg if leg.next() is not None else None

    def _tell_end(self, edge: Edge) -> bool:
        """Tell the worker that a leg has ended: it may hold items for it."""
        if not (self.spec.flushes and edge.exhausted and edge.leg not in self._told and self._last is None):
            return False
        key = self._taken
        if not self._may_start(key):
            self._blocked = True
            return False
        worker = self._free_worker()
        if worker is None:
            return False
        self._told.add(edge.leg)
        self._taken += 1
        self._workers[worker].append(Task(key, edge, -1, None))
        if self._release is None:
            self.grant(key, 1)
        self.ledger.command(RunFrame(worker, self.id, edge.leg, None, self._part_items()))
        return True

    def _send_parts(self) -> None:
        """Send on the parts whose turn it is, and let those generators go on for which there is room."""
        release = self._release
        if release is None:
            return
        while (part := release.pop()) is not None:
            number, frame = part
            self.emit(number, frame)
            self.ledger.payloads.drop(frame)
        for worker in sorted(self._paused):
            key = self._workers[worker][0].key
            unwanted = not self.is_wanted(release.number) or (self._last is not None and key >= self._last)
            if unwanted:
                continue  # the generator is never asked again; its worker ends with the run
            if release.may_go_on(key) and self.may_emit(release.number):
                self._paused.discard(worker)
                self.ledger.command(ContinueFrame(worker))

    def _drop_parts_after(self, key: int) -> None:
        if self._release is not None:
            for frame in self._release.drop_after(key):
                self.ledger.payloads.drop(frame)

    def _close_after(self, key: int, number: int) -> None:
        """Let nothing go out after this failed frame and take no input that only later ones need."""
        if self._last is None or key < self._last:
            self._last = key
            self._drop_parts_after(key)
        if self.spec.role is Role.SCAN or not self.inputs[0].in_order_numbers:
            self.close_inputs()
        else:
            self.close_inputs(number + 1)

    def _observe(self, task: Task) -> None:
        if task.frame is not None:
            for sizer in task.edge.sizers:
                sizer.observe(self.id, task.seconds, task.frame.span)

    def _end_if_unwanted(self) -> bool:
        """As `end_if_unwanted`, from the first frame on that has not gone out."""
        if self._release is not None:
            return self.end_if_unwanted(self._release.number)
        if self.spec.role is Role.SCAN:
            # What is still in the worker's hands was passed by frames that were answered for it.
            return self.end_if_unwanted(min((task.key for task in self.tasks), default=self._taken))
        # Frames keep their numbers, so what no child wants need not come in either.
        cuts = [edge.cut for edge in self.outputs if edge.cut is not None]
        if len(cuts) == len(self.outputs):
            self.close_inputs(max(cuts))
        return self.end_if_unwanted(self.inputs[0].low)

    def _end_if_done(self) -> None:
        if self.ended or any(self._workers.values()) or (self._release is not None and not self._release.is_empty):
            return
        if self._last is not None:
            return  # nothing is announced: whoever takes the failed frame closes for itself
        if self.spec.role is Role.MAP:
            edge = self.inputs[0]
            if edge.is_finished and edge.cut is None:
                assert edge.total is not None
                self.end(self._release.number if self._release is not None else edge.total)
        elif all(edge.exhausted for edge in self.inputs) and (
            not self.spec.flushes or len(self._told) == len(self.inputs)
        ):
            self.end(self._release.number if self._release is not None else self._taken)

    # -- workers ------------------------------------------------------------------------------------------------------

    def _start_worker(self, slot: int) -> None:
        worker = self.ledger.new_worker()
        self._workers[worker] = deque()
        self._slots[worker] = slot
        self.ledger.command(StartWorker(worker, self.id, slot))

    def _stop_workers(self) -> None:
        for worker in [each for each, tasks in self._workers.items() if not tasks]:
            del self._workers[worker], self._slots[worker]
            self.ledger.command(StopWorker(worker))

    @property
    def tasks(self) -> list[Task]:
        """What the workers have in hand."""
        return [task for tasks in self._workers.values() for task in tasks]

    def has_worker(self, worker: WorkerId) -> bool:
        """Whether the worker is one of ours and not yet asked to stop."""
        return worker in self._workers

    def _account(self) -> None:
        """Book the time since the last look for the workers that had nothing to do."""
        passed = self.ledger.at - self._since
        self._since = self.ledger.at
        if passed > 0 and not self.ended:
            idle = sum(1 for worker, tasks in self._workers.items() if not tasks or worker in self._paused)
            if self._blocked or self._paused:
                self.tally.blocked += passed * idle
            else:
                self.tally.starved += passed * idle
