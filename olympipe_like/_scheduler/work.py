"""Stages with workers: which frame goes to which worker, in what order the answers go on, what a loss costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from olympipe_like._model.commands import ContinueFrame, FailRun, ReportDropped, RestoreWorker, RunFrame
from olympipe_like._model.events import FrameReturned, WorkerFailed, WorkerLost, WorkerReady
from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import NO_PAYLOAD, WorkerId, until_end
from olympipe_like._model.topology import Role, StageSpec
from olympipe_like._scheduler.crew import Crew, Task
from olympipe_like._scheduler.edge import Edge
from olympipe_like._scheduler.ledger import Ledger
from olympipe_like._scheduler.legs import Legs
from olympipe_like._scheduler.recovery import Memory, Suspects
from olympipe_like._scheduler.release import Release
from olympipe_like._scheduler.sizing import FrameSizer, frames_ahead
from olympipe_like._scheduler.stage import Stage


class WorkStage(Stage):
    """A segment that runs in workers: any worker and any order (MAP), or one worker in order (SCAN)."""

    def __init__(self, spec: StageSpec, ledger: Ledger, part_sizer: FrameSizer | None, max_frame: int) -> None:
        super().__init__(spec, ledger)
        self._part_sizer = part_sizer
        self._max_frame = max_frame
        self.crew = Crew(spec, ledger)
        self._legs = Legs(spec.take, tells_end=spec.flushes)
        self._suspects = Suspects(spec.worker_retries, spec.timeout_retries)
        self._memory = Memory(ledger.payloads) if spec.role is Role.SCAN and spec.may_die else None
        self._given: dict[int, tuple[int, int]] = {}  # frame -> items and records taken over before its worker was lost
        self._taken = 0  # SCAN: key of the next frame taken
        self._last: int | None = None  # the key of the failed item's frame: nothing after it goes out
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
            self.crew.start(slot)

    # -- events -------------------------------------------------------------------------------------------------------

    def ready(self, event: WorkerReady) -> None:
        """A worker has come so far: what befalls it now says nothing against its stage."""
        self._suspects.came_along(self.crew.note_ready(event.worker, event.holds))

    def returned(self, event: FrameReturned) -> None:
        """Take a worker's answer."""
        self.book()
        task = self.crew.first(event.worker)
        self.tally.busy += event.seconds
        self.ledger.mark(self.id)
        if task.replay:
            self.crew.finish_first(event.worker, event.rss)
            self._forget(task)
            return
        task.seconds += event.seconds
        self.tally.add(event.counts)
        if self._release is not None:
            task.counts.append(event.counts)
        span = event.frame.count if self._release is not None else task.frame.span if task.frame is not None else 0
        assert not event.same or self._release is None
        frame = task.frame if event.same and task.frame is not None else event.frame.spanning(span)
        self.ledger.payloads.hold(frame)
        late = self.ended or (self._last is not None and task.key > self._last)
        if not late:
            self._note_dropped(event, task)
        if event.more:
            self.crew.pause(event.worker)
        else:
            self.crew.finish_first(event.worker, event.rss)
            self._suspects.cleared(task.key)
            if task.frame is not None:
                for sizer in task.edge.sizers:
                    sizer.observe(self.id, task.seconds, task.frame.span)
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
        if not event.more:
            if self._memory is not None and not self.ended:
                self._memory.answered(task, event.snapshot)
            self._forget(task)
            self._given.pop(task.number, None)

    def _note_dropped(self, event: FrameReturned, task: Task) -> None:
        # Without the one that is not dropped: it ends the run.
        failed = sum(counts.failed for counts in event.counts) - (event.frame.failure is not None)
        if failed > 0:
            self.ledger.failed_at[self.id] += failed
        if records := task.new_records(event.records):
            self.ledger.command(ReportDropped(self.id, records))

    def lost(self, event: WorkerLost) -> None:
        """Give a lost worker's frames to the others and start its successor."""
        self.book()
        self.tally.lost_workers += not event.excused
        was_ready = event.worker in self.crew.ready
        slot, tasks = self.crew.remove(event.worker)
        if self.ended:
            for task in tasks:
                self._forget(task)
            return
        head = tasks[0] if tasks else None
        attempts: int | None = None
        if not was_ready:  # whatever it was given had no part in it
            attempts = self._suspects.lost_early(slot)
        elif head is None:
            attempts = self._suspects.lost_idle()
        elif not event.excused:
            # Alone in its frame an item is known without being noted; not so among what a stage remembers.
            one_item = head.frame is not None and head.frame.count == 1 and self.spec.role is Role.MAP
            before = self._suspects.poison(head.key)
            attempts = self._suspects.lost(head, event, slot, one_item=one_item and not self.spec.parts)
            self.tally.retried += event.timed_out and self._suspects.poison(head.key) == before
        if self.spec.role is Role.SCAN and (self._memory is None or self._memory.is_lost):
            attempts = attempts or 1
        if attempts is not None:
            frame = head.frame if head is not None else None
            self.ledger.command(FailRun(None, self.id, event.worker, slot, event.exit_code, event.pid, attempts, frame))
            return
        if self._memory is not None:
            for task in tasks:
                if task.replay:
                    self._forget(task)
            self._succeed(slot, [task for task in tasks if not task.replay])
        else:
            self._give_back(tasks)
            # Only now: the successor must find the oldest work first.
            self._succeed(slot, ())
        self.ledger.mark(self.id)

    def _give_back(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            if not task.edge.wants(task.number):
                self._forget(task)
                continue
            assert task.frame is not None
            task.edge.give_back(task.number, task.frame)
            if self._release is None:
                self.withdraw(task.key)
            elif task.given or task.reported:
                self._given[task.number] = (task.given, task.reported)
            self._take_back_counts(task)

    def _succeed(self, slot: int, tasks: Iterable[Task]) -> None:
        """Start a worker that remembers what its predecessor knew and goes on with what that had in hand."""
        worker = self.crew.start(slot)
        if self._memory is not None:
            if self._memory.snapshot is not None:
                self.ledger.command(RestoreWorker(worker, self._memory.snapshot))
            for task in self._memory:
                if task.frame is not None:
                    self.ledger.payloads.hold(task.frame)
                self._send(worker, replace(task, replay=True))
        for task in tasks:
            task.poison = self._suspects.poison(task.key)
            task.repeated = task.reported
            self._take_back_counts(task)
            self._send(worker, task)

    def _take_back_counts(self, task: Task) -> None:
        """Parts that were answered are counted again when the frame is run again."""
        for counts in task.counts:
            self.tally.take_back(counts)
            self.ledger.failed_at[self.id] -= sum(each.failed for each in counts)
        task.counts.clear()

    def _send(self, worker: WorkerId, task: Task) -> None:
        self.crew.give(worker, task)
        rehearsed = self.spec.worker_retries == 0 or self._suspects.is_suspect(task.key)
        careful = self.spec.careful or rehearsed
        leg, size = task.edge.leg, self._max_frame
        if self._part_sizer is not None:
            size = min(self._part_sizer.size, size)
        self.ledger.command(
            RunFrame(worker, self.id, leg, task.frame, size, task.given, careful, rehearsed, task.poison, task.replay)
        )

    def _forget(self, task: Task) -> None:
        """Be done with a frame."""
        if task.frame is not None and task.replay:
            self.ledger.payloads.drop(task.frame)
        elif task.frame is not None:
            self.finish(task.edge, task.number, task.frame)

    def failed(self, event: WorkerFailed) -> None:
        """A worker could not start or close: the whole run fails, once."""
        self.ledger.command(FailRun(event.failure, self.id, event.worker))

    @property
    def awaits(self) -> bool:
        """Whether a worker is about to come, or is at something."""
        return self.crew.awaits

    # -- progress -----------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Send on what is in order, hand out what may be handed out, end when all is done."""
        self.book()
        self._send_parts()
        if self._end_if_unwanted():
            self._drop_parts_after(-1)
        else:
            self._blocked = False
            while self._dispatch():
                pass
            self._end_if_done()
        if self.ended:
            self.crew.stop_idle()
            if self._memory is not None:
                self._memory.forget()

    def _dispatch(self) -> bool:
        """Hand out one frame; say whether there may be more to do."""
        edge = self.inputs[0] if self.spec.role is Role.MAP else self._legs.in_turn(self.inputs)
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
        is_silent = frame.is_silent and len(self.inputs) == 1 and not self.spec.sees_all
        # Asked before there is known to be room: mostly it is a worker that lacks.
        worker = None if is_silent else self._free_worker(frame.count)
        if worker is None and not is_silent:
            return False
        if not self._may_start(key, frame.count):
            self._blocked = True
            return False
        if worker is None:
            self._answer_silently(edge, number, key)
            return True
        self._take(edge, number)
        if self._release is None:
            self.grant(key, frame.count)
        given, told = self._given.get(number, (0, 0))
        poison = self._suspects.poison(key)
        self._send(worker, Task(key, edge, number, frame, given, poison=poison, reported=told, repeated=told))
        return True

    def _take(self, edge: Edge, number: int) -> Frame:
        frame = edge.take(number)
        if self.spec.role is Role.SCAN:
            self._taken += 1
            self._legs.taken(edge.leg, frame)
            if frame.failure is not None and len(self.inputs) > 1:
                # Nothing of this leg comes any more; the others go on until they have passed the failed item.
                self._legs.told.add(edge.leg)
                self.close(edge)
        return frame

    def _answer_silently(self, edge: Edge, number: int, key: int) -> None:
        """Answer a frame without items for the workers: order and ends need its number, nobody its content."""
        frame = self._take(edge, number)
        for sizer in edge.sizers:
            sizer.pass_by(self.id, frame.span)
        upto = until_end(frame.upto) if self.spec.role is Role.SCAN else frame.upto
        out = frame._replace(payload=NO_PAYLOAD, nbytes=0, skip=0, upto=upto)
        if self._release is not None:
            self._release.add(key, out, complete=True)
            self._send_parts()
        else:
            self.emit(key, out)
        if frame.failure is not None:
            self._close_after(key, number)
        self.finish(edge, number, frame)

    def _free_worker(self, items: int = 0) -> WorkerId | None:
        keep = self._memory is not None and self._memory.is_lost  # what it remembers cannot be handed on
        for slot in self.crew.retire(items, keep=keep):
            self._succeed(slot, [])
        if self._release is not None:
            return self.crew.free(1)
        alone = self.spec.workers == len(self.inputs) == 1 and not self.spec.auto
        return self.crew.free(2 if alone else frames_ahead(self.inputs[0].sizers, self.id))

    def _may_start(self, key: int, items: int = 1) -> bool:
        if self._release is None:
            return self.may_emit(key, items)
        if self._release.may_go_on(key):
            return self.may_emit(self._release.number)
        # Ahead of its turn: one part a worker may wait, so that the others have begun when their turn comes.
        return self._release.backlog <= len(self.crew)

    def _tell_end(self, edge: Edge) -> bool:
        """Tell the worker that a leg has ended: it may hold items for it."""
        if not (self.spec.flushes and edge.exhausted and edge.leg not in self._legs.told and self._last is None):
            return False
        key = self._taken
        if not self._may_start(key):
            self._blocked = True
            return False
        if (worker := self._free_worker()) is None:
            return False
        self._legs.told.add(edge.leg)
        self._taken += 1
        if self._release is None:
            self.grant(key, 1)
        self._send(worker, Task(key, edge, -1, None))
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
        for worker in sorted(self.crew.paused):
            key = self.crew.first(worker).key
            unwanted = not self.is_wanted(release.number) or (self._last is not None and key >= self._last)
            if unwanted:
                continue  # the generator is never asked again; its worker ends with the run
            if release.may_go_on(key) and self.may_emit(release.number):
                self.crew.go_on(worker)
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
        in_step = self.spec.role is not Role.SCAN and self.inputs[0].in_order_numbers
        self.close_inputs(number + 1 if in_step else 0)

    def _end_if_unwanted(self) -> bool:
        """As `end_if_unwanted`, from the first frame on that has not gone out."""
        if any(edge.cut is None for edge in self.outputs):
            return False  # most of the time: it wants whatever comes
        if self._release is not None:
            return self.end_if_unwanted(self._release.number)
        if self.spec.role is Role.SCAN:
            # What is still in the worker's hands was passed by frames that were answered for it.
            return self.end_if_unwanted(min((task.key for task in self.crew.tasks), default=self._taken))
        # Frames keep their numbers, so what no child wants need not come in either.
        self.close_inputs(max(edge.cut for edge in self.outputs if edge.cut is not None))
        return self.end_if_unwanted(self.inputs[0].low)

    def _end_if_done(self) -> None:
        for edge in self.inputs:
            if edge.total is None and edge.cut is None:
                return
        # Behind a failed item nothing is announced: whoever takes its frame closes for itself.
        if self.ended or self._last is not None or self.crew.is_busy:
            return
        if self._release is not None and not self._release.is_empty:
            return
        if self.spec.role is Role.MAP:
            edge = self.inputs[0]
            if edge.is_finished and edge.cut is None:
                assert edge.total is not None
                self.end(self._release.number if self._release is not None else edge.total)
        elif all(edge.exhausted for edge in self.inputs) and (
            not self.spec.flushes or len(self._legs.told) == len(self.inputs)
        ):
            self.end(self._release.number if self._release is not None else self._taken)

    def book(self) -> None:
        """Book the time since the last look for the workers that had nothing to do."""
        passed = self.ledger.at - self._since
        if passed > 0 and not self.ended:  # else it is the same event, mostly
            self.tally.wait(passed * self.crew.idle, blocked=self._blocked or bool(self.crew.paused))
            self._since = self.ledger.at
