"""What delivers: a thread for each account that has due messages and may send, over the one path of every message.

Rows are taken a few at a time. Before the last byte of one leaves, its mark is committed (``claims.py``); messages that
leave together share that commit, and it settles those before them too. ``outcome.py`` decides what an attempt leads to.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from franking.errors import FrankingError, LoginRequired, SendError
from franking.message.address import Envelope
from franking.message.prepare import Prepared
from franking.outbox.body import remove
from franking.outbox.claims import Claims, Settlement
from franking.outbox.holds import Holds
from franking.outbox.lookup import Lookups
from franking.outbox.notice import put_notice
from franking.outbox.outcome import Attempt, after, interrupted
from franking.outbox.stamp import Stamps
from franking.outbox.store import Store
from franking.provider import Step
from franking.sending.explain import explain
from franking.sending.mailer import Mailer
from franking.sending.queue import SendResult
from franking.sending.retry import Policy, is_the_accounts
from franking.sending.source import Ready

if TYPE_CHECKING:
    from pathlib import Path

    from franking.outbox.entry import OutboxEntry

__all__ = ["Runner", "Summary"]

POLL_SECONDS = 0.5
"""How often a running runner looks for new rows: one is seen within a second."""

SETTLE_SECONDS = 0.02
"""How long a result may wait to share a commit with others."""

LINGER_SECONDS = 30.0
"""How long an account's connections are kept for further messages."""

PATIENCE_SECONDS = 30.0
"""How long what is under way may take once a run is to stop."""

PURGE_SECONDS = 3600.0

ONCE = Policy(attempts=1, patience=60.0)
"""The outbox itself tries again; a limit of the mailbox is waited for as long as a minute's takes, else it is held."""

_log = logging.getLogger("franking.outbox")


@dataclass(slots=True)
class Summary:
    """Count what a run did: attempts by what became of the message; ``held`` the codes that accounts are held by,
    ``sign_in`` those among them for which a person has to sign in.
    """

    outcomes: dict[str, int] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    sign_in: set[str] = field(default_factory=set)

    def count(self, state: str) -> None:
        self.outcomes[state] = self.outcomes.get(state, 0) + 1


class Runner:
    """Deliver what is due in an outbox until told to stop, or once."""

    def __init__(
        self,
        store: Store,
        *,
        connections: int = 1,
        window: int = 1,
        observer: Callable[[OutboxEntry, Step], None] | None = None,
        attempted: Callable[[OutboxEntry], None] | None = None,
        awake: threading.Event | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] | None = None,
    ) -> None:
        """``observer`` is told each step of a message, ``attempted`` each entry after an attempt. Who sets ``awake``
        has it look for new rows at once.
        """
        self.store, self.clock, self.chance = store, clock, chance or SystemRandom().random
        self.connections, self.window = connections, window
        self.observer, self.attempted, self.awake = observer, attempted, awake
        self.claims, self.stamps = Claims(store.database), Stamps()
        self.holds, self.lookups = Holds(store.database, self.stamps), Lookups(store)
        self.summary = Summary()
        self.lock = threading.Lock()
        self._kept_house = 0.0
        self._lanes: dict[str, _Lane] = {}

    def run(self, stop: threading.Event, *, once: bool = False) -> Summary:
        """Deliver until ``stop`` is set; with ``once`` what is due now, once each. Return what was done."""
        try:
            while not stop.is_set():
                try:
                    self._look(once=once)
                except SendError as problem:  # a full disk, a file in use: a service goes on when that is over
                    if once or not problem.temporary:
                        raise
                    _log.warning("%s", problem)
                if once:
                    break
                self._rest(stop)
                self._end_lanes(idle=True)
            self._wait(stop)
        finally:
            for lane in self._lanes.values():
                lane.abort()
            self._end_lanes(idle=False)
            self.claims.close()
        return self.summary

    def _rest(self, stop: threading.Event) -> None:
        """Wait until there may be something to do; who stops a runner with ``awake`` sets that too."""
        (self.awake or stop).wait(POLL_SECONDS)
        if self.awake is not None:
            self.awake.clear()

    def _look(self, *, once: bool) -> None:
        """Take over what the dead had, and begin what is due."""
        now = self.clock()
        for lane in self._lanes.values():
            if not lane.busy:
                lane.write_down()
        for number in self.claims.take_over(now):
            self.finished(number, "unknown")
        if abs(now - self._kept_house) > PURGE_SECONDS:
            self._keep_house()
            self._kept_house = now
        self.lookups.begin(self.finished, wait=once)
        self._start_lanes(now, once=once)

    def _keep_house(self) -> None:
        """Remove what is past its keeping, and tell of what needs a person; neither stops the mail."""
        try:
            self.store.purge()
            self.claims.sweep()
            put_notice(self.store)
        except FrankingError as problem:
            _log.warning("%s", problem)

    def finished(self, number: int, state: str) -> None:
        """Tell of a row whose attempt is over, and what state it is in now."""
        with self.lock:
            self.summary.count(state)
        _log.info("Message %d: %s", number, state)
        if self.attempted is not None:
            for entry in self.store.entries([number]):
                self.attempted(entry)

    # -- lanes -------------------------------------------------------------------------------------------------------

    def _start_lanes(self, now: float, *, once: bool) -> None:
        for account, on_trial in self.holds.due(now):
            lane = self._lanes.get(account)
            if lane is not None and lane.busy:
                continue
            stamp = self.stamps(account)
            if lane is not None and lane.stamp != stamp:  # other settings, another secret
                lane.close()
                lane = None
            if lane is None:
                lane = self._lanes[account] = _Lane(self, account, stamp)
            lane.start(on_trial=on_trial, until=now if once else None)

    def _wait(self, stop: threading.Event) -> None:
        """Wait for what is under way; once ``stop`` is set not for ever."""
        while any(lane.busy for lane in self._lanes.values()):
            if stop.is_set():
                deadline = time.monotonic() + PATIENCE_SECONDS
                for lane in self._lanes.values():
                    lane.stop.set()
                for lane in self._lanes.values():
                    lane.join(deadline - time.monotonic())
                return
            time.sleep(0.02)

    def _end_lanes(self, *, idle: bool) -> None:
        for account, lane in list(self._lanes.items()):
            rests = not lane.busy and not lane.owes and time.monotonic() - lane.since > LINGER_SECONDS
            if rests or not idle:
                lane.join(PATIENCE_SECONDS)
                lane.close()
                del self._lanes[account]


class _Lane:
    """One account's way out: its mailer, and a thread while it has something to send."""

    def __init__(self, runner: Runner, account: str, stamp: str) -> None:
        self.account, self.stamp = account, stamp
        self.stop = threading.Event()
        self.since = time.monotonic()
        self._runner = runner
        self._mailer: Mailer | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()
        self._ready: deque[Any] = deque()  # rows that were taken and not drawn
        self._drawn: dict[int, Any] = {}  # by the index of the mailer's run: rows under way
        self._marked: set[int] = set()
        self._begun: set[int] = set()  # of those, the ones that a session has asked for
        self._settled: list[Settlement] = []
        self._unbegun: list[int] = []  # rows that go back
        self._files: dict[int, Path] = {}  # of rows that were accepted
        self._committed = 0.0
        self._trial = False
        self._until: float | None = None
        self._current: dict[int, OutboxEntry] = {}  # by thread: whose steps these are

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def owes(self) -> bool:
        """Return whether something is known that could not be written down."""
        return bool(self._settled or self._unbegun)

    def start(self, *, on_trial: bool, until: float | None) -> None:
        """Begin to send; on trial one message first, and rows that became due after ``until`` are another run's."""
        self.stop.clear()
        self._trial, self._until = on_trial, until
        self._thread = threading.Thread(target=self._run, name=f"franking-outbox-{self.account}", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))

    def abort(self) -> None:
        """Break off what is under way."""
        self.stop.set()
        if self._mailer is not None and self.busy:
            self._mailer.abort()

    def close(self) -> None:
        if self._mailer is not None:
            self._mailer.close()

    # -- sending -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            try:
                mailer = self._opened()
            except FrankingError as error:
                self._hold(error)
                return
            on_trial = self._trial
            self._send(mailer)
            if on_trial and not self._trial and not self.stop.is_set():
                self._send(mailer)  # the first one went well: now the others
        except Exception:  # noqa: BLE001  (one account's trouble is not the others')
            _log.exception("The outbox cannot go on with the account %r for now.", self.account)
        finally:
            self.since = time.monotonic()
            if self._runner.awake is not None:  # a row may have come while this thread was about to end
                self._runner.awake.set()

    def _opened(self) -> Mailer:
        """Return the account's mailer. Raises ``SettingsError`` for one that is unknown or wrong."""
        runner = self._runner
        if self._mailer is None:
            from franking.account.config import load

            account = load().account(self.account)
            observer = self._watch if runner.observer is not None else None
            self._mailer = Mailer(account, connections=runner.connections, window=runner.window, observer=observer)
            self._mailer.record.ask()
        return self._mailer

    def _send(self, mailer: Mailer) -> None:
        self._drawn.clear()
        try:
            due = Ready(self._rows(), self._ready.__len__)
            for result in mailer.send_many(due, policy=ONCE, started=self._started, stop=self.stop):
                self._finish(result)
        finally:
            with self._lock:
                self._end()

    def _end(self) -> None:
        """Let what was not begun wait again; what was begun and never told of may have been accepted."""
        rows = [*self._ready, *self._drawn.values()]
        self._ready.clear()
        self._drawn.clear()
        self._unbegun += [row["number"] for row in rows if row["number"] not in self._begun]
        self._settled += [interrupted(row) for row in rows if row["number"] in self._begun]
        self._marked.clear()
        self._begun.clear()
        self.write_down()

    def write_down(self) -> None:
        """Write down what is known and was not written yet: a disk may have been full."""
        with self._lock:
            self._commit()
            if self._unbegun:
                self._runner.claims.give_back(self._unbegun)
                self._unbegun.clear()

    def _rows(self) -> Iterator[Prepared]:
        """Return what is due, as it is drawn."""
        index = 0
        while True:
            with self._lock:
                if not self._ready:
                    self._take()
                if not self._ready:
                    return
                row = self._ready.popleft()
                prepared = self._prepared(row, index)
            if prepared is not None:
                yield prepared
                index += 1

    def _prepared(self, row: Any, index: int) -> Prepared | None:
        """Return a row's message for those who still wait for it; None where its octets are gone."""
        try:
            prepared = Prepared(Envelope(row["sender"], json.loads(row["waiting"])), self._runner.store.content(row))
        except FrankingError as problem:
            explain(problem)
            self._settle(row, SendResult(index, None, "failed", None, problem))
            return None
        self._drawn[index] = row
        self._note(row)
        return prepared

    @property
    def _ahead(self) -> int:
        """Return how many rows are taken at once: those that leave together."""
        return 1 if self._trial else max(self._runner.window, 1)

    def _take(self) -> None:
        if self.stop.is_set() or (self._trial and self._drawn):
            self._commit()
            return
        now = self._runner.clock() if self._until is None else self._until
        rows, _ = self._runner.claims.claim(self.account, self._ahead, now, self._settled)
        self._ready.extend(rows)
        self._told()

    def _started(self, index: int, message_id: str) -> None:
        """Commit the mark of a message that is about to leave, and of those that leave with it."""
        with self._lock:
            row = self._drawn[index]
            self._note(row)
            if row["number"] in self._marked:
                self._begun.add(row["number"])
                return  # it left with others, or this is another attempt
            together = [row["number"]]
            if self._together:
                together += [other["number"] for other in self._ready]
            _, marked = self._runner.claims.claim(self.account, 0, self._runner.clock(), self._settled, together)
            self._marked |= marked
            self._told()
            if row["number"] not in marked:
                raise RuntimeError(f"The message {message_id} is another runner's now; nothing of it was sent.")
            self._begun.add(row["number"])

    @property
    def _together(self) -> bool:
        """Return whether what is ready leaves at once, so that one commit may mark it all; an API takes one by one."""
        assert self._mailer is not None
        return self._mailer.turns is None and not self._mailer.limits.api

    # -- what became of it -------------------------------------------------------------------------------------------

    def _finish(self, result: SendResult) -> None:
        with self._lock:
            row = self._drawn[result.index]
            if result.receipt is not None and self._runner.observer is not None:
                (entry,) = self._runner.store.entries([row["number"]])
                self._runner.observer(entry, Step("accepted", "ok", result.receipt.ms, result.receipt.reply))
            self._settle(row, result)
            del self._drawn[result.index]
            error = result.error
            if error is not None and is_the_accounts(error):
                self._commit()
                self._hold(error)
            else:
                if self._trial and not (error is not None and error.possibly_sent):
                    self._runner.holds.release(self.account)
                    self._trial = False
                if time.monotonic() - self._committed > SETTLE_SECONDS:
                    self._commit()

    def _settle(self, row: Any, result: SendResult) -> None:
        settlement = after(Attempt(row, result, self._runner.clock(), self._runner.chance()))
        self._marked.discard(row["number"])
        self._begun.discard(row["number"])
        self._settled.append(settlement)
        if settlement.state == "accepted" and (path := self._runner.store.file_of(row)) is not None:
            self._files[row["number"]] = path

    def _commit(self) -> None:
        """Write down what became of messages, where nothing else is to be written with it."""
        if self._settled:
            self._runner.claims.claim(self.account, 0, self._runner.clock(), self._settled)
            self._told()

    def _told(self) -> None:
        """Tell of what was committed just now."""
        settled, self._settled = self._settled, []
        self._committed = time.monotonic()
        for settlement in settled:
            if path := self._files.pop(settlement.number, None):
                remove(path)
            self._runner.finished(settlement.number, settlement.state)

    def _hold(self, error: FrankingError) -> None:
        """Let the account wait; nothing more of it is begun."""
        runner = self._runner
        self.stop.set()
        diagnosis = explain(error)
        retry_after = getattr(error, "retry_after", None)
        over = runner.holds.hold(self.account, diagnosis, runner.clock(), runner.chance(), retry_after)
        with runner.lock:
            runner.summary.held[self.account] = diagnosis.code
            if isinstance(error, LoginRequired):
                runner.summary.sign_in.add(self.account)
        _log.warning("The account %r waits: %s", self.account, diagnosis.title)
        for number in over:
            runner.finished(number, "failed")

    # -- watching ----------------------------------------------------------------------------------------------------

    def _note(self, row: Any) -> None:
        if self._runner.observer is not None:
            self._current[threading.get_ident()] = self._runner.store.entries([row["number"]])[0]

    def _watch(self, step: Step) -> None:
        entry = self._current.get(threading.get_ident())
        if entry is not None and self._runner.observer is not None:
            self._runner.observer(entry, step)
