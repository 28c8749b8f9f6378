"""Stages with workers: which frame goes to which worker, and in what order the answers go on."""

from __future__ import annotations

from olympipe_like._model.commands import ContinueFrame, ReportDropped
from olympipe_like._model.events import FrameReturned
from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import NO_PAYLOAD, WorkerId, until_end
from olympipe_like._model.topology import StageSpec
from olympipe_like._scheduler.crew import Task
from olympipe_like._scheduler.edge import Edge
from olympipe_like._scheduler.ledger import Ledger
from olympipe_like._scheduler.legs import Legs
from olympipe_like._scheduler.release import Release
from olympipe_like._scheduler.sizing import FrameSizer, frames_ahead
from olympipe_like._scheduler.staffed_stage import StaffedStage


class WorkStage(StaffedStage):
    """A segment that runs in workers: any worker and any order (MAP), or one worker in order (SCAN)."""

    def __init__(self, spec: StageSpec, ledger: Ledger, part_sizer: FrameSizer | None, max_frame: int) -> None:
        super().__init__(spec, ledger, part_sizer, max_frame)
        self._legs = Legs(spec.take, tells_end=spec.flushes)
        self._taken = 0  # SCAN: key of the next frame taken
        self._last: int | None = None  # the key of the failed item's frame: nothing after it goes out
        self._answer: tuple[FrameReturned, Task, bool] | None = None  # of the event at hand, not in the books yet
        self._has_turns = self._is_scan or spec.flushes  # whether there may be something to do where no frame waits
        self._is_alone = False  # whether its one worker always has a second frame in hand

    def start(self) -> None:
        """Ask for the workers."""
        self._since = self.ledger.at
        self._is_alone = self.spec.workers == len(self.inputs) == 1 and not self.spec.auto
        if self.spec.parts:
            keeps_order = self._is_scan or (self.spec.ordered and self.inputs[0].in_order_numbers)
            self._release = Release(in_order=keeps_order)
        for slot in range(self.spec.workers):
            self.crew.start(slot)

    # -- events -------------------------------------------------------------------------------------------------------

    def returned(self, event: FrameReturned) -> None:
        """Take a worker's answer. It goes on first; the books are written once whoever waited for it has begun."""
        task = self.crew.first(event.worker)
        late = self.ended or (self._last is not None and task.key > self._last)  # nobody wants it any more
        self._answer = event, task, late
        self.ledger.mark(self.id)
        if task.replay:
            return
        if event.records and not late and (records := task.new_records(event.records)):
            self.ledger.command(ReportDropped(self.id, records))
        frame, release = event.frame, self._release
        if release is not None:
            assert not event.same
            task.given += frame.count
            if late:
                self.ledger.payloads.discard(frame)
            else:
                self.ledger.payloads.hold(frame)
                release.add(task.key, frame.spanning(frame.count), complete=not event.more)
        elif late:
            self.withdraw(task.key)
            self.ledger.payloads.discard(frame)
        else:
            if task.frame is None:
                frame = frame.spanning(0)
            elif event.same:
                frame = task.frame
            elif frame.span != task.frame.span:
                frame = frame.spanning(task.frame.span)
            self.emit(task.key, frame)
        if frame.failure is not None and not late:
            self._close_after(task.key, task.number)
        elif event.done:
            # The worker is still told that its legs have ended: a later step of it (a batch) may hold items.
            self.close_inputs()

    def _write_down(self, event: FrameReturned, task: Task, late: bool) -> None:
        """Enter an answer that has gone on into the books."""
        self._answer = None
        self.tally.busy += event.seconds
        if task.replay:
            self.crew.finish_first(event.worker, event.rss)
            self._forget(task)
            return
        task.seconds += event.seconds
        failed = self.tally.add(event.counts)
        if failed and event.frame.failure is not None:
            failed -= 1  # that one is not dropped: it ends the run
        if failed and not late:
            self.ledger.failed_at[self.id] += failed
        if self._release is not None:
            task.counts.append(event.counts)
        if event.more:
            self.crew.pause(event.worker)
            return
        self.crew.finish_first(event.worker, event.rss)
        self._suspects.cleared(task.key)
        if self._memory is not None and not self.ended:
            self._memory.answered(task, event.snapshot)
        if task.frame is not None:
            for sizer in task.edge.sizers:
                sizer.observe(self.id, task.seconds, task.frame.span)
            self.finish(task.edge, task.number, task.frame)
        self._given.pop(task.number, None)

    # -- progress -----------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Send on what is in order, hand out what may be handed out, end when all is done."""
        if self.ledger.at > self._since:
            self.book()
        if self._answer is not None:
            self._write_down(*self._answer)
        if self._release is not None:
            self._send_parts()
        # One child that wants whatever comes is enough, and the first does most of the time; so below.
        if self.outputs[0].cut is not None and self._end_if_unwanted():
            self._drop_parts_after(-1)
        else:
            self._blocked = False
            while (self._has_turns or self.inputs[0].waiting) and self._dispatch():
                pass
            self._end_if_done()
        if self.ended:
            self.crew.stop_idle()
            if self._memory is not None:
                self._memory.forget()

    def _dispatch(self) -> bool:
        """Hand out one frame; say whether there may be more to do."""
        edge = self._legs.in_turn(self.inputs) if self._is_scan else self.inputs[0]
        if edge is None:
            return False
        number = edge.next()
        if number is None:
            return self.spec.flushes and self._tell_end(edge)
        key = self._taken if self._is_scan else number
        if self._last is not None and key > self._last:
            return False
        frame = edge.waiting[number]
        if self._release is None and self.outputs[0].cut is not None and not self.is_wanted(key):
            self._take(edge, number)
            self.finish(edge, number, frame)
            return True
        is_silent = frame.count == 0 and len(self.inputs) == 1 and not self.spec.sees_all
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
        task = Task(key, edge, number, frame)
        if number in self._given:
            task.given, task.reported = self._given[number]
            task.repeated = task.reported
        if key in self._suspects.cases:
            task.poison = self._suspects.poison(key)
        self._send(worker, task)
        return True

    def _take(self, edge: Edge, number: int) -> Frame:
        frame = edge.take(number)
        if self._is_scan:
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
        upto = until_end(frame.upto) if self._is_scan else frame.upto
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
        if self.crew.wears_out:
            keep = self._memory is not None and self._memory.is_lost  # what it remembers cannot be handed on
            for slot in self.crew.retire(items, keep=keep):
                self._succeed(slot, [])
        if self._release is not None:
            return self.crew.free(1)
        return self.crew.free(2 if self._is_alone else frames_ahead(self.inputs[0].sizers, self.id))

    def _may_start(self, key: int, items: int = 1) -> bool:
        if self._release is None:
            return self.may_emit(key, items)
        if self._release.may_go_on(key):
            return self.may_emit(self._release.number)
        # Ahead of its turn: one part a worker may wait, so that the others have begun when their turn comes.
        return self._release.backlog <= len(self.crew)

    def _tell_end(self, edge: Edge) -> bool:
        """Tell the worker that a leg has ended: it may hold items for it."""
        if not (edge.exhausted and edge.leg not in self._legs.told and self._last is None):
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
        in_step = not self._is_scan and self.inputs[0].in_order_numbers
        self.close_inputs(number + 1 if in_step else 0)

    def _end_if_unwanted(self) -> bool:
        """As `end_if_unwanted`, from the first frame on that has not gone out."""
        if any(edge.cut is None for edge in self.outputs):
            return False
        if self._release is not None:
            return self.end_if_unwanted(self._release.number)
        if self._is_scan:
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
        if not self._is_scan:
            edge = self.inputs[0]
            if edge.is_finished and edge.cut is None:
                assert edge.total is not None
                self.end(self._release.number if self._release is not None else edge.total)
        elif all(edge.exhausted for edge in self.inputs) and (
            not self.spec.flushes or len(self._legs.told) == len(self.inputs)
        ):
            self.end(self._release.number if self._release is not None else self._taken)
