"""What crosses between the machines and the runs: every message of one side, as the other one says it.

Unpickles nothing that came from the network.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Any

from olympipe_like._model.identity import StageId
from olympipe_like._remote import speech
from olympipe_like._remote.clients import Clients
from olympipe_like._remote.envelope import ProtocolError
from olympipe_like._remote.guests import Guest, Guests
from olympipe_like._remote.keys import PublicKey
from olympipe_like._remote.run_link import RunLink, Worker
from olympipe_like._remote.serialising import failure_of, from_worker, record_of, to_worker, with_failures
from olympipe_like._remote.session import Buffer
from olympipe_like._remote.speech import Ended, Says
from olympipe_like._remote.vacancies import Vacancies
from olympipe_like._transport import messages as wire
from olympipe_like._transport.remote_messages import Based, Left, Lost, Noted, Seen

SEEN_SECONDS = 1.0  # between two messages about signs of life
MOST_NOTES = 100  # kept for the next run


class Gateway:
    """The desk between `Guests` and `RunLink`s."""

    guests: Guests  # who tells us; set once both are there
    clients: Clients

    def __init__(self) -> None:
        self.links: list[RunLink] = []
        self._vacancies = Vacancies()
        self._workers: dict[tuple[Guest, int], Worker] = {}
        self._notes: list[Noted] = []
        self._look_at = 0.0

    # -- runs ---------------------------------------------------------------------------------------------------------

    def open(self, link: RunLink) -> None:
        """Begin to work for a run."""
        self.links.append(link)
        self._vacancies.add(link, monotonic())
        for note in self._notes:
            link.tell(note)
        self._notes.clear()
        self._fill()

    def close(self, link: RunLink) -> None:
        """Stop working for a run, whatever it has in hand."""
        self.links.remove(link)
        self._vacancies.remove(link)
        for worker in list(link.workers.values()):
            self._tell(worker, Says.ABORT)
            self._forget(worker)
        for terms in [need.terms.number for need in link.needs.values()]:
            for guest in self.guests:
                if terms in guest.terms:
                    guest.terms.discard(terms)
                    self.guests.send(guest, 0, speech.pack(Says.FORGET, terms))
        link.close()
        self._fill()

    def _fill(self) -> None:
        self._vacancies.fill(lambda: [guest for guest in self.guests if guest.idle > 0])

    # -- from the hub -------------------------------------------------------------------------------------------------

    def start(self, link: RunLink, message: wire.Start) -> None:
        """Start a worker on the machine that was promised."""
        vacancy = self._vacancies[link, message.stage]
        guest = vacancy.take()
        if guest is None:
            link.tell(Left(message.worker, lost=False, why="it left before it began"))
            return
        worker = Worker(guest, guest.new_channel(), link, message.stage, message.worker)
        link.workers[message.worker] = worker
        vacancy.workers.add(worker)
        self._workers[guest, worker.channel] = worker
        terms = link.needs[message.stage].terms
        if terms.number not in guest.terms:
            guest.terms.add(terms.number)
            self.guests.send(guest, 0, speech.pack(Says.TERMS, *terms))
        self._tell(worker, Says.START, terms.number, message.worker, message.slot)

    def run(self, worker: Worker, message: wire.Run, payload: list[Buffer]) -> None:
        """Send a frame to a worker."""
        number = worker.conduct.given(message)
        serializer = worker.link.serializers[worker.stage]
        if serializer is not None:
            message, payload = to_worker(message, payload, serializer)
            if message.failure is not None:
                worker.passed_on[number] = message.failure
        self.guests.send(worker.guest, worker.channel, speech.pack_run(number, message), payload)

    def go_on(self, worker: Worker) -> None:
        """Let a worker make the next part."""
        self._tell(worker, Says.GO_ON)

    def drop(self, worker: Worker) -> None:
        """Let a worker forget the frame whose next part it would make."""
        number = worker.conduct.drops()
        worker.passed_on.pop(number, None)
        self._tell(worker, Says.DROP)

    def stop(self, worker: Worker) -> None:
        """Let a worker close and end."""
        worker.conduct.stopping = True
        self._tell(worker, Says.STOP)

    def declined(self, link: RunLink, stage: StageId) -> None:
        """Give what was promised to a stage that has ended to others."""
        self._vacancies[link, stage].close()
        self._fill()

    def _tell(self, worker: Worker, says: Says, *values: object) -> None:
        self.guests.send(worker.guest, worker.channel, speech.pack(says, *values))

    # -- from machines ------------------------------------------------------------------------------------------------

    def came(self, guest: Guest) -> None:
        """A machine is there, for the first time or again."""
        if guest.is_client:
            return
        if not guest.is_known:
            guest.is_known = True
            text = f"worker {guest.title} has come, with {guest.workers} worker{'' if guest.workers == 1 else 's'}"
            if late := self.guests.count_of_late(guest.key):
                text += f"; {late} packets of a session that was over came late and were dropped"
            self.note(text, logging.INFO)
        self._fill()

    def said(self, guest: Guest, channel: int, body: bytes, payload: list[memoryview]) -> None:
        """Pass a worker's message on to its run."""
        says, values = speech.unpack(body)
        if guest.is_client:
            self.clients.said(guest, channel, says, values, payload)
            return
        worker = self._workers.get((guest, channel))
        if worker is None:
            if channel in guest.channels and says is Says.ENDED:
                guest.channels.discard(channel)
                self._fill()
                return
            if not guest.had(channel):
                raise ProtocolError("a message from a worker that never was")
            return  # its run is over
        if says is Says.ANSWERED:
            try:
                self._answered(worker, values, payload)
            except ProtocolError:
                self.broke(guest, channel)
                raise
            return
        if payload:
            raise ProtocolError(f"{says.name} with a payload")
        self._told(worker, says, values)

    def broke(self, guest: Guest, channel: int) -> None:
        """What a worker says cannot be: as if it had died of the frame it is at.

        A machine that comes back and answers so again would get that frame for ever.
        """
        worker = self._workers.get((guest, channel))
        if worker is None or not worker.conduct.has_frames:
            return
        self._forget(worker)
        ended = Ended(None, guest.pid, None, timed_out=False, excused=False)
        identity = worker.identity
        worker.link.tell(wire.Closed(identity) if worker.conduct.stopping else Lost(identity, *ended))

    def _answered(self, worker: Worker, values: Sequence[Any], payload: list[memoryview]) -> None:
        nbytes = sum(piece.nbytes for piece in payload)
        number, answer = speech.unpack_answer(worker.identity, values, nbytes)
        worker.conduct.answers(number, answer)
        passed_on = worker.passed_on.get(number) if answer.more else worker.passed_on.pop(number, None)
        answer = with_failures(answer, passed_on, plain=self._is_plain(worker))
        pieces: list[Buffer] = list(payload)
        serializer = worker.link.serializers[worker.stage]
        if serializer is not None:
            answer, pieces = from_worker(answer, pieces, serializer)
        worker.link.tell(answer, pieces)

    def _is_plain(self, worker: Worker) -> bool:
        return worker.link.needs[worker.stage].terms.plain

    def _told(self, worker: Worker, says: Says, values: Sequence[Any]) -> None:
        link, identity = worker.link, worker.identity
        plain = self._is_plain(worker)
        worker.conduct.says(says)
        match says:
            case Says.STARTED:
                link.tell(Based(identity, worker.guest.host, speech.one_int(values)))
            case Says.READY:
                link.tell(wire.Ready(identity, speech.holds_of(values)))
            case Says.BROKEN:
                link.tell(wire.Broken(identity, failure_of(speech.one_value(values), plain=plain)))
            case Says.LOGGED:
                link.tell(wire.Logged(record_of(speech.one_value(values), plain=plain)))
            case Says.ENDED:
                ended = speech.unpack_ended(values)
                worker.conduct.ends(ended)
                self._forget(worker)
                worker.guest.channels.discard(worker.channel)
                link.tell(wire.Closed(identity) if worker.conduct.stopping else Lost(identity, *ended))
                self._fill()
            case Says.REFUSED:
                text = speech.one_text(values)
                vacancy = self._vacancies[link, worker.stage]
                is_news = worker.guest.session.token not in vacancy.refused  # else its machine's other workers said it
                vacancy.refused.add(worker.guest.session.token)
                vacancy.lost(f"worker {worker.guest.title} was refused: {text}")
                self._forget(worker)
                worker.guest.channels.discard(worker.channel)
                if is_news:
                    note = f"{vacancy.place}: worker {worker.guest.title} was refused: {text}"
                    link.tell(Noted(logging.WARNING, note))
                link.tell(Left(identity, lost=False, why=text))
                self._fill()
            case _:
                raise ProtocolError(f"{says.name} from a worker")

    def left(self, guest: Guest, *, lost: bool, why: str) -> None:
        """A machine has gone."""
        if guest.is_client:
            self.clients.left(guest)
            return
        self._vacancies.gone(guest)
        for worker in [each for each in self._workers.values() if each.guest is guest]:
            self._vacancies[worker.link, worker.stage].lost(why)
            self._forget(worker)
            worker.link.tell(
                wire.Closed(worker.identity) if worker.conduct.stopping else Left(worker.identity, lost, why)
            )
        verb = "is lost" if lost else "has left"
        self.note(f"worker {guest.title} {verb} ({why})", logging.WARNING if lost else logging.INFO)

    def _forget(self, worker: Worker) -> None:
        self._workers.pop((worker.guest, worker.channel), None)
        worker.link.workers.pop(worker.identity, None)
        if worker.link in self.links:
            self._vacancies[worker.link, worker.stage].workers.discard(worker)

    def may_not_ask(self, key: PublicKey) -> str:
        """Return why a key may not ask; empty: it may."""
        return self.clients.why_not(key)

    # -- time, and people ---------------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Say what stages wait for, and when workers were last seen."""
        if now < self._look_at:
            return
        self._look_at = now + SEEN_SECONDS / 4
        self._vacancies.look(now)
        for link in self.links:
            link.tell(Seen(tuple((each.identity, each.guest.session.heard_at) for each in link.workers.values())))

    def note(self, text: str, level: int = logging.WARNING) -> None:
        """Tell the runs, or else the next one, something people should know."""
        note = Noted(level, text)
        for link in self.links:
            link.tell(note)
        if not self.links:
            self._notes = [*self._notes[1 - MOST_NOTES :], note]
