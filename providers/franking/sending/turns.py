"""Whose turn it is: a mailer keeps to what its mailbox may do, together with every other program that sends by it.

The limits are the account's keys ``per_minute``, ``per_day``, ``recipients_per_day`` and ``max_connections``, else the
provider's facts (``limits.py``). Where the counts are kept is another's business: ``limit_places.py``.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from franking.account.binding import binding_of
from franking.errors import Evidence, FrankingError, MessageError, Throttled
from franking.sending.counts import Turn
from franking.sending.limit_places import LoneLimits, Room, Where
from franking.sending.limits import KEYS, limits_of
from franking.sending.retry import BEFORE_A_MESSAGE

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.message.prepare import Prepared
    from franking.provider import Provider, Receipt, RouteFacts
    from franking.sending.limit_places import SharedLimits, Slot
    from franking.sending.mailer import Mailer
    from franking.sending.queue import Run

__all__ = ["Turns", "mailbox_of", "turns_of", "within_limits"]

GLANCE = 0.1
"""Seconds between two looks, while waiting, at whether the sending was broken off."""

ALONE = 10.0
"""Seconds after which the place where all keep their limits is looked for again, where it was away."""

LOOK = 1.0
"""Seconds after which somebody who waits asks again: others may have given room back."""

T = TypeVar("T")

_log = logging.getLogger("franking.limits")


class Turns:
    """Let one mailer's messages go when it is their turn. Safe to share between threads."""

    def __init__(
        self,
        account: Account,
        limits: RouteFacts,
        shared: SharedLimits,
        *,
        required: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """``required`` says whether nothing may be sent where ``shared`` is away; None: where the account itself names
        a limit.
        """
        self.limits, self.mailbox = limits, mailbox_of(account)
        self._shared, self._timeout = shared, account.timeout
        self._counts = bool(limits.per_minute or limits.per_day or limits.recipients_per_day)
        self._required = any(account.get(key) for key in KEYS) if required is None else required
        self._clock, self._sleep = clock, sleep
        self._lone, self._alone_until = LoneLimits(), -math.inf
        self.had: Turn | None = None  # a turn that was taken before, and not asked for yet

    def having(self, turn: Turn) -> Turns:
        """Return these turns for one message that was counted already: it is its first ``turn``."""
        its = copy(self)
        its.had = turn
        return its

    def room(self, recipients: int) -> Room | None:
        """Return a message's wish for a turn, None where nothing is counted. Raises ``MessageError`` for a message that
        never has one.
        """
        if not self._counts:
            return None
        most = self.limits.recipients_per_day
        if most and recipients > most:
            raise MessageError(
                f"The message has {recipients} recipients, and this mailbox may write to {most:g} a day.",
                field="to",
                evidence=Evidence("message", reason="too-many-recipients", details={"limit": most}),
            )
        return Room(self._shared, self.mailbox, self.limits, recipients, lambda: self.take(recipients))

    def take(self, recipients: int) -> Turn:
        """Count a message, or say how long there is no room for it. Raises ``MessageError`` for one that never has."""
        had, self.had = self.had, None
        if had is not None:
            return had
        if self.room(recipients) is None:
            return Turn()
        return self._kept(lambda place: place.take(self.mailbox, self.limits, recipients))

    def _kept(self, act: Callable[[SharedLimits], T]) -> T:
        """Have something kept where all keep it; where that is away and need not be there, by this program alone for a
        while.
        """
        if self._clock() >= self._alone_until:
            try:
                return act(self._shared)
            except (FrankingError, OSError) as problem:
                if self._required:
                    raise
                _log.warning("Limits are kept by this program alone: %s", problem)
                self._alone_until = self._clock() + ALONE
        return act(self._lone)

    def wait(self, recipients: int, broken_off: Callable[[], bool], take: Callable[[], Turn] | None = None) -> Turn:
        """Wait until a message may go, for as long as the account's ``timeout`` allows; ``take`` asks for its turn in
        another way. Raises ``Throttled``.
        """
        until = self._clock() + self._timeout
        while (turn := take() if take is not None else self.take(recipients)).wait > 0:
            left = until - self._clock()
            if turn.wait > left or broken_off():
                raise self.throttled(turn)
            self._rest(min(turn.wait, LOOK), broken_off)
        return turn

    def send(
        self, prepared: Prepared, transact: Callable[[Prepared], Receipt], broken_off: Callable[[], bool]
    ) -> Receipt:
        """Send a message once the limits of the mailbox allow it."""
        turn = self.wait(len(prepared.envelope.recipients), broken_off)
        try:
            return transact(prepared)
        except BaseException as broken:
            self.ended(turn, broken)
            raise

    def _rest(self, seconds: float, broken_off: Callable[[], bool]) -> None:
        """Wait, and a little more: several may have waited for the same room."""
        until = self._clock() + seconds + 0.001
        while (left := until - self._clock()) > 0 and not broken_off():
            self._sleep(min(left, GLANCE))

    def throttled(self, turn: Turn) -> Throttled:
        """Return the error of a message that has no turn now."""
        most = getattr(self.limits, turn.limit.replace("-", "_"), None) or 0
        then = f"The next can go in {_time(turn.wait)}." if turn.wait else "Try again."
        return Throttled(
            f"{_WHAT[turn.limit].format(most=most)}; it was not sent. {then}",
            step="message",
            retry_after=float(math.ceil(turn.wait)) or None,
            evidence=Evidence("limit", reason=turn.limit, details={"limit": f"{most:g}"}),
        )

    def ended(self, turn: Turn | None, error: BaseException) -> None:
        """Take note of how an attempt failed: room that was surely not used is free again, and what the server asks for
        all obey.
        """
        if not self._counts:
            return
        try:
            if isinstance(error, Throttled) and error.retry_after and not _ours(error):
                pause = error.retry_after
                self._kept(lambda place: place.hold_off(self.mailbox, pause))
            if turn is not None and _unused(error):
                self._kept(lambda place: place.give_back(self.mailbox, turn))
        except (FrankingError, OSError) as problem:  # it counts as used
            _log.warning("%s", problem)

    def give_back(self, turn: Turn) -> None:
        """Let a turn be free again: surely nothing was sent."""
        if turn.at:
            try:
                self._kept(lambda place: place.give_back(self.mailbox, turn))
            except (FrankingError, OSError) as problem:  # it counts as used
                _log.warning("%s", problem)

    def connection(self) -> Slot | None:
        """Wait for one of the mailbox's connections, for as long as ``timeout`` allows; None where any number may be
        had. Raises ``Throttled``.
        """
        most = self.limits.connections
        if not most:
            return None
        until, pause = self._clock() + self._timeout, GLANCE
        while (slot := self._kept(lambda place: place.connection(self.mailbox, most))) is None:
            left = until - self._clock()
            if left <= 0:
                raise self.throttled(Turn(0.0, "connections"))
            self._sleep(min(pause, left))
            pause = min(pause * 1.5, LOOK)
        return slot


def turns_of(mailer: Mailer, *, rate: float | None = None, per_day: float | None = None) -> Turns | None:
    """Return what a mailer keeps to, or None where its mailbox has no limits. A run's own ``rate`` and ``per_day`` take
    the place of what is only known of the provider, not of what the account says.
    """
    account = mailer.account
    limits = limits_of(account, mailer.provider, mailer.route)
    if rate is not None and account.get("per_minute") is None:
        limits = replace(limits, per_minute=None)
    if per_day is not None and account.get("per_day") is None:
        limits = replace(limits, per_day=None)
    if not limits.limited:
        return None
    from franking.sending.shared_stores import limits_at
    from franking.shared.opening import shared_place

    where = mailer.limits_at or Where()
    place = limits_at(where.place, os.environ)
    required = where.required
    if required is None and (where.place is not None or shared_place(os.environ) is not None):
        required = True  # who shares a place means it
    return Turns(account, limits, place, required=required)


def within_limits(run: Run) -> Run:
    """Return a run that keeps to what its mailbox may do; where an application's own tests run, nobody shares it."""
    mailer, rate, per_day = run.mailer, run.rate, run.per_day
    turns = run.turns or mailer.turns
    if run.turns is not None:
        rate = per_day = None
    elif turns is None:
        rate, per_day = rate or mailer.limits.per_minute, per_day or mailer.limits.per_day
    elif (rate, per_day) != (None, None):
        turns = turns_of(mailer, rate=rate, per_day=per_day)
    return replace(run, turns=turns, rate=_finite(rate), per_day=_finite(per_day))


def _finite(limit: float | None) -> float | None:
    """Return a limit as the queue knows it: infinity is none."""
    return None if limit == math.inf else limit


def mailbox_of(account: Account) -> str:
    """Return what names the mailbox that an account sends by: where its secret belongs, and who logs in."""
    provider: Provider = _provider(account)
    who = account.get(provider.facts.login_key) or account.sender.address
    return " ".join((*(f"{key}={value}" for key, value in sorted(binding_of(account).items())), str(who).lower()))


def _provider(account: Account) -> Provider:
    from franking.registry import provider

    return provider(account.provider)


_WHAT = {
    "per-minute": "This mailbox may send {most:g} a minute and just did",
    "per-day": "This mailbox may send {most:,.0f} a day and did",
    "recipients-per-day": "This mailbox may write to {most:,.0f} recipients a day and did",
    "connections": "All connections that this mailbox may have at once ({most:g}) are in use",
    "retry-after": "The server wanted a pause",
}


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _ours(error: FrankingError) -> bool:
    return error.evidence is not None and error.evidence.kind == "limit"


def _unused(error: BaseException) -> bool:
    """Return whether nothing of a message can have reached the server."""
    if not isinstance(error, FrankingError) or error.possibly_sent:
        return False
    return error.step in BEFORE_A_MESSAGE or _ours(error) or getattr(error, "stale", False)
