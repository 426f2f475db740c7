"""From a whole message to the reply: who sends it, by which account, into the outbox, and what became of it.

One for all connections. It knows no sockets and no dialogue.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from franking.account.config import BY_ROUTE
from franking.errors import FrankingError, MessageError, SettingsError
from franking.outbox.store import Store, parsed
from franking.provider import RouteFacts
from franking.relay.access import Access, Denied
from franking.relay.blocked import Blocked
from franking.relay.byenvelope import by_envelope
from franking.relay.incoming import Header, Unwanted, compose, received_line, strangers
from franking.relay.intake import Intake, Outcomes
from franking.relay.reply import reply
from franking.relay.settings import DEFAULT_SIZE
from franking.relay.verdict import Verdict, blocked_reply, queued, verdict
from franking.sending.mailer import Mailer

if TYPE_CHECKING:
    from pathlib import Path

    from franking.account.account import Account
    from franking.message.prepare import Prepared
    from franking.outbox.entry import OutboxEntry
    from franking.outbox.rows import Draft
    from franking.relay.asked import End
    from franking.relay.settings import User
    from franking.relay.spool import Spool

__all__ = ["Acceptance", "Client", "Taken"]

LOOK_SECONDS = 0.2
"""How long what the disk said counts."""
ROOM = 16 * 1024 * 1024
"""Octets that must stay free on the outbox's disk."""

_FINAL = ("accepted", "refused", "failed", "unknown", "cancelled")


class Client(NamedTuple):
    """Who sends: ``user`` has logged in, or None for an address that is allowed. ``gone``: has it hung up?"""

    address: str
    user: User | None
    sender: str
    recipients: list[str]
    protocol: str
    helo: str
    utf8: bool
    gone: Callable[[], bool]


class Taken(NamedTuple):
    """What became of one message: its id in the outbox, what its client is told, and the key that it has there until
    its reply was given (empty: it is not there, or has none).
    """

    outcome: str
    reply: bytes
    id: str | None = None
    account: str | None = None
    author: str = ""
    mended: tuple[str, ...] = ()
    size: int = 0
    key: str = ""


class Acceptance:
    """Take messages."""

    def __init__(self, access: Access, intake: Intake, outcomes: Outcomes, *, woken: Callable[[], object]) -> None:
        """``woken`` has a runner in this process look at once."""
        self._looked, self._room = -LOOK_SECONDS, 0
        self._ids = _ids()
        self._live: dict[str, Client] = {}
        self._mailers: dict[tuple[str, str | None], tuple[Account, Mailer, RouteFacts]] = {}
        self.renew(access)
        self.intake, self._outcomes, self._woken = intake, outcomes, woken
        self.reading = Store(intake.store.directory)  # a connection of its own: no commit is waited for
        self.bodies: Path = self.reading.directory / "bodies"
        self.blocked = Blocked(self.reading)

    def close(self) -> None:
        self.reading.close()

    def found(self, ids: Sequence[str]) -> list[OutboxEntry]:
        """Return those messages of which an attempt is known, told by the outbox itself."""
        entries = self.reading.entries([parsed(id)[0] for id in ids])
        return [entry for entry in entries if entry.state in _FINAL or (entry.state == "queued" and entry.attempts)]

    # -- before the message ------------------------------------------------------------------------------------------

    def renew(self, access: Access) -> None:
        """Take the settings that count from now on."""
        self.access = access
        #: octets that a message may have: as set, or what the largest route of an account carries
        self.largest = access.settings.max_message_size or max(
            self._mailer(access.account(name))[0].limits.size or DEFAULT_SIZE for name in access.accounts()
        )

    def room_for(self, size: int) -> bool:
        """Return whether the disk holds a message of that size."""
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._looked = now
            try:
                found = os.statvfs(self.reading.directory)
            except (OSError, AttributeError):  # Windows has no statvfs; writing tells
                self._room = 1 << 62
            else:
                self._room = found.f_bavail * found.f_frsize
        return self._room >= 2 * size + ROOM

    def at_mail(self, user: User | None, sender: str) -> bytes | None:
        """Return the refusal of a sender, if it is known already; the header's From may say more."""
        access = self.access
        try:
            account = access.account_for(user, sender)
            if sender and not access.config.sections.get("routes"):
                access.check(user, account, [sender])
            if access.on_blocked(user) == "refuse" and (why := self.blocked.why(account)) is not None:
                return blocked_reply(why)
        except Denied as problem:
            return reply(550, "5.7.1", str(problem))
        except FrankingError as problem:
            return _refusal(problem)
        return None

    def at_rcpt(self, user: User | None, sender: str, address: str) -> bytes | None:
        """Return the refusal of an address that the account's server has been found unable to carry, if it is one."""
        if address.isascii():
            return None
        try:
            account = self.access.account_for(user, sender)
        except FrankingError:  # the header's From will say
            return None
        if not self.blocked.takes_ascii_alone(account):
            return None
        return reply(553, "5.6.7", "the mailbox's server cannot handle letters like these in an address")

    # -- the message -------------------------------------------------------------------------------------------------

    async def take(self, client: Client, spool: Spool, end: End) -> Taken:
        """Put a message that has come whole into the outbox, and return what is said to its client."""
        begin = spool.finish()
        try:
            header = Header(begin, utf8=client.utf8)
            if spool.path is not None and header.end == len(begin):
                raise Unwanted(552, "5.3.4", "the header of the message is too long")
            author = next(iter(header.authors), "")
            account = self.access.account_for(client.user, author or client.sender)
            self.access.check(client.user, account, {*header.authors, client.sender})
            on_blocked = self.access.on_blocked(client.user)
            if on_blocked == "refuse" and (why := self.blocked.why(account)) is not None:
                return Taken("refused", blocked_reply(why), account=account.name, author=author)
            (mailer, route), lane = self._mailer(account), account.name
            if route.api and strangers(header, client.recipients):
                loop = asyncio.get_running_loop()  # a store may be encrypted, which takes its time
                instead = await loop.run_in_executor(None, by_envelope, account, mailer.provider)
                if instead is not None:
                    (mailer, route), lane = self._mailer(instead), f"{account.name}{BY_ROUTE}{instead.route}"
                if on_blocked == "refuse" and (why := self.blocked.why(account, lane)) is not None:
                    return Taken("refused", blocked_reply(why), account=account.name, author=author)
            mended = (*end.mended, *header.missing)
            prepared = compose(
                header,
                begin,
                (spool.path, spool.size - len(begin)),
                sender=client.sender,
                recipients=client.recipients,
                account=account.sender,
                rewrite_from=account.rewrite_from,
                route=route,
                received=self._received(client),
                eight_bit=end.eight_bit,
            )
            made = _drafting()(mailer, prepared)
            made.account = lane
        except (Unwanted, Denied, FrankingError) as problem:
            return Taken("refused", _refusal(problem))
        key = _key(client, header, spool)
        if (other := self._live.get(key)) is None or other.gone():
            self._live[key] = client
            made.unheard = key
        try:
            entry = await self.intake.put(made)
            said = await self._said(client, entry, on_blocked)
        except FrankingError as problem:
            self.left(key, client)
            return Taken("refused", _not_written(problem), account=account.name, author=author, mended=mended)
        if said.withdraw:
            self.left(key, client)
            key = ""
        return Taken(said.outcome, said.reply, entry.id, account.name, author, mended, entry.bytes, key)

    def left(self, key: str, client: Client | None = None) -> None:
        """Take note that nobody waits any more for the reply to a message, or that it is not in the outbox."""
        if client is None or self._live.get(key) is client:
            self._live.pop(key, None)

    def answered(self, taken: Taken) -> None:
        """Take note that the reply to a message has come."""
        if taken.id is not None and taken.key:
            self.left(taken.key)
            self.intake.answered(taken.key, taken.id)

    async def _said(self, client: Client, entry: OutboxEntry, on_blocked: str) -> Verdict:
        """Return what is said of a message that is in the outbox; where that is a refusal, it is out of it by then."""
        wait = self.access.settings.wait
        if wait and self.blocked.rests(entry.account):
            wait = 0.0
        if wait and entry.state not in _FINAL:
            self._woken()
            entry = await self._outcomes.wait(entry, wait) or entry
        elif entry.state not in _FINAL:
            return queued(entry)
        self.blocked.note(entry)
        said = verdict(entry, on_blocked)
        if said.withdraw:
            loop = asyncio.get_running_loop()
            if client.gone() or not await loop.run_in_executor(None, self.intake.withdraw, entry.id):
                return queued(entry)
        return said

    def _mailer(self, account: Account) -> tuple[Mailer, RouteFacts]:
        """Return what composes and checks for an account (it never opens a session), and what its route is like."""
        way = (account.name, account.get("route"))
        found = self._mailers.get(way)
        if found is None or (found[0] is not account and found[0] != account):
            mailer = Mailer(account)
            found = self._mailers[way] = (account, mailer, _route(mailer))
        return found[1:]

    def _received(self, client: Client) -> bytes:
        told = ""
        if self.access.settings.received == "full":
            name = "".join(char for char in client.helo if char.isalnum() or char in ".-_[]:")[:255] or "unknown"
            told = f"from {name} ([{client.address}])\r\n\t"
        return received_line(client.protocol, "localhost", next(self._ids), told)


@cache
def _drafting() -> Callable[[Mailer, Prepared], Draft]:
    """Return what checks a message for the outbox; with all that it needs it takes a tenth of the relay's start."""
    from franking.sending.enqueue import draft

    return draft


def _key(client: Client, header: Header, spool: Spool) -> str:
    """Return what a message is known by until its reply was given: user, envelope, Message-ID or all octets."""
    parts = (client.user.name if client.user else "", client.sender, *client.recipients, header.message_id)
    text = "".join([f"{len(part)}:{part}" for part in parts])
    # OpenSSL, which SHA-256 is of, takes longer to begin than this to end
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=20)
    if not header.message_id:
        digest.update(spool.digest)
    return digest.hexdigest()


def _ids() -> Iterator[str]:
    """Return ids of 40 random bits, many for each time that the system is asked."""
    while True:
        digits = os.urandom(5 * 100).hex()
        yield from [digits[at : at + 10] for at in range(0, len(digits), 10)]


def _route(mailer: Mailer) -> RouteFacts:
    """Return what is known of the route that a mailer sends by."""
    return next(
        (route for route in mailer.provider.facts.routes if route.name == mailer.route), RouteFacts(mailer.route)
    )


def _refusal(problem: Exception) -> bytes:
    if isinstance(problem, Unwanted):
        return reply(problem.code, problem.enhanced, problem.text)
    if isinstance(problem, Denied):
        return reply(550, "5.7.1", str(problem))
    if isinstance(problem, MessageError):
        return reply(554, "5.6.0", str(problem))
    if isinstance(problem, SettingsError):
        return reply(554, "5.3.5", str(problem))
    return reply(451, "4.3.0", str(problem))


def _not_written(problem: FrankingError) -> bytes:
    """Return the refusal where the outbox could not take a message: a full disk, a file that is in use."""
    code, enhanced = (452, "4.3.1") if problem.temporary else (451, "4.3.5")
    return reply(code, enhanced, str(problem))
