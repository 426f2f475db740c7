"""One client's connection: octets between the socket and ``protocol.py``, and each event brought to who decides it.

Under asyncio; nothing here waits for a disk or for another server but as a task of its own, so that one client never
keeps another waiting.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from franking.errors import forget_locals
from franking.relay.acceptance import Client, Taken
from franking.relay.asked import Begin, Body, End, Hangup, Login, Mail, Rcpt, StartTls, Terms
from franking.relay.events import Event
from franking.relay.halfclosed import has_heard
from franking.relay.handshake import NoHandshake, shake_hands
from franking.relay.protocol import Receiver
from franking.relay.reply import reply
from franking.relay.settings import plain_address
from franking.relay.spool import SMALL, Spool
from franking.text import visible

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from franking.relay.asked import Event as Asked
    from franking.relay.server import Server
    from franking.relay.settings import Listen, User

__all__ = ["Connection"]

AHEAD = 64 * 1024  # octets that may be read before their turn
ODD = {
    "tls": "a client begins TLS on a port without it: use the port for implicit TLS, or STARTTLS",
    "http": "a client speaks HTTP",
    "line-too-long": "a command line is too long",
    "mistakes": "too many wrong commands",
}
_OK_MAIL, _OK_RCPT = reply(250, "2.1.0", "ok"), reply(250, "2.1.5", "ok")


def is_near(host: str) -> bool:
    """Return whether what is listened on there is reached from this machine alone."""
    return plain_address(host).is_loopback


class Connection(asyncio.BufferedProtocol):
    """Serve one client."""

    def __init__(self, server: Server, listen: Listen) -> None:
        self._server, self.listen = server, listen
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._paused = self._gone = self._closing = self._securing = self._utf8 = False
        self._spool: Spool | None = None
        self._too_large = self._no_room = False
        self._over = 0  # octets that came of a message that is refused already
        self._sender = ""
        self._recipients: list[str] = []
        self._sent = False  # a first MAIL was taken
        self._unconfirmed: list[Taken] = []  # messages whose replies were the last things written
        self.user: User | None = None
        self.address = "?"
        self._begun = self._heard = 0.0  # when it began, and when something of it was dealt with last

    # -- what asyncio calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        try:
            self._begins(transport)
        except Exception as problem:  # noqa: BLE001
            self._broken(problem)

    def _begins(self, transport: asyncio.Transport) -> None:
        peer = transport.get_extra_info("peername") or ("?",)
        self.address = str(peer[0])
        try:
            plain = plain_address(self.address)
            self.address = str(plain)
            self.allowed = self._server.settings.allows(plain)
        except ValueError:
            self.allowed = False
        self._begun = self._server.now()
        self.receiver = Receiver(self._terms())
        implicit = self.listen.tls == "implicit"
        if (refusal := self._server.enters(self)) is not None:
            self._server.tell(Event("refused", {"stage": "connect", "client": self.address, "reply": _text(refusal)}))
            if implicit:  # it would not be understood
                self.abort()
            else:
                self._end(refusal)
        elif implicit:
            self.receiver.await_tls()
            self._encrypt()
        else:
            self.receiver.greet()
            self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        try:
            if self._unconfirmed:
                self._confirm()
            self.receiver.feed(self._server.buffer[:nbytes])
            self._advance()
        except Exception as problem:  # noqa: BLE001
            self._broken(problem)

    def _broken(self, problem: Exception) -> None:
        """Let a mistake of ours end this connection and no other."""
        forget_locals(problem)
        self._server.broken(problem)
        self._closing = True
        self.abort()

    def eof_received(self) -> bool:
        """Go on with what is under way: a client may have closed its sending side alone; TLS knows no such thing."""
        self._gone = True
        return self.receiver.busy and not self.receiver.tls

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        if exc is None:
            self._confirm()
        for taken in self._unconfirmed:
            self._server.acceptance.left(taken.key)
        self._server.leaves(self)
        self._drop_message()

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not (self._paused or self._securing):
            self._transport.resume_reading()

    # -- driving -----------------------------------------------------------------------------------------------------

    def _terms(self) -> Terms:
        settings, listen = self._server.settings, self.listen
        tls = self._transport is not None and self._transport.get_extra_info("ssl_object") is not None
        safe = tls or listen.allow_plain_login or is_near(listen.host)
        return Terms(
            size=self._server.acceptance.largest,
            starttls=listen.tls == "starttls",
            auth=bool(settings.users) and safe,
            most_recipients=settings.max_recipients,
        )

    def _advance(self) -> None:
        """Deal with all that can be dealt with now."""
        receiver = self.receiver
        while not self._closing and (event := receiver.next()) is not None:
            self._deal(event)
        self._flush()
        transport = self._transport
        if transport is None or self._closing or self._securing:
            return
        full = receiver.busy and receiver.waiting > AHEAD
        if full != self._paused:
            self._paused = full
            if full:
                transport.pause_reading()
            else:
                transport.resume_reading()
        if self._gone and not receiver.busy:
            self._close()
        self._heard = self._server.now()

    def _deal(self, event: Asked) -> None:
        match event:
            case Body(octets):
                self._keep(octets)
            case Mail(path):
                self._utf8 = path.utf8
                self._mail(path.address, path.size)
            case Rcpt(path):
                if (line := self._server.acceptance.at_rcpt(self.user, self._sender, path.address)) is not None:
                    self._refuse("rcpt", line)
                    return
                self._recipients.append(path.address)
                self.receiver.answer(_OK_RCPT, accepted=True)
            case Begin():
                self._begin()
            case End():
                self._begin_task(self._finish(event))
            case Login():
                self._begin_task(self._log_in(event))
            case StartTls():
                self._flush()
                self._encrypt()
            case Hangup(reason):
                if reason in ODD:
                    self._server.tell(
                        Event("refused", {"stage": "command", "client": self.address, "reply": ODD[reason]})
                    )
                self._close()

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self._server.loop.create_task(self._guarded(work))
        self._server.tasks.add(self._task)
        self._task.add_done_callback(self._server.tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what takes time; a mistake of ours ends this connection and no other."""
        try:
            await work
        except Exception as problem:  # noqa: BLE001
            forget_locals(problem)
            self._server.broken(problem)
            self._end(reply(421, "4.3.0", "something went wrong here; try again"))
            return
        if not self._closing:
            self._advance()

    def _flush(self) -> None:
        if self._transport is not None and (out := self.receiver.output()):
            self._transport.write(out)

    def _end(self, line: bytes) -> None:
        self.receiver.close(line)
        self._close()

    def _close(self) -> None:
        self._flush()
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    @property
    def deadline(self) -> float:
        """Return until when its client may be silent: looked at by a clock for all, not set for each command."""
        settings = self._server.settings
        if self._sent or self.receiver.in_message:
            return self._heard + settings.idle_timeout
        return self._begun + settings.login_timeout

    def expire(self, line: bytes) -> None:
        """Close a connection whose time is over, or that is to end."""
        if self._securing:
            self.abort()
        elif not self.receiver.busy and not self._closing:
            self._end(line)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def busy(self) -> bool:
        """Return whether a message is under way."""
        return not (self._closing or self._securing) and (self.receiver.busy or self.receiver.in_message)

    # -- events ------------------------------------------------------------------------------------------------------

    def _refuse(self, stage: str, line: bytes) -> None:
        values = {"stage": stage, "client": self.address, "user": self._name, "reply": _text(line)}
        self._server.tell(Event("refused", values))
        self.receiver.answer(line)

    @property
    def _name(self) -> str | None:
        return self.user.name if self.user else None

    def _mail(self, sender: str, size: int) -> None:
        server = self._server
        if self.user is None and not self.allowed:
            line: bytes | None = reply(530, "5.7.0", "log in first: this address may not send without a login")
        elif server.stopping:
            line = reply(421, "4.3.2", "the relay is stopping; try again")
        elif size > self.receiver.terms.size:
            line = reply(552, "5.3.4", f"the message is too large; {self.receiver.terms.size} octets is the most")
        elif not server.acceptance.room_for(size):
            line = reply(452, "4.3.1", "the disk is full; try again later")
        elif not server.has_turn(self._name or self.address):
            line = reply(450, "4.7.1", "too many messages in a minute; try again later")
        else:
            line = server.acceptance.at_mail(self.user, sender)
        if line is not None:
            self._refuse("mail", line)
            return
        self._sender, self._recipients, self._sent = sender, [], True
        self.receiver.answer(_OK_MAIL, accepted=True)

    def _begin(self) -> None:
        self._drop_message()
        if not self._server.acceptance.room_for(0):
            self._refuse("data", reply(452, "4.3.1", "the disk is full; try again later"))
            return
        self._spool = Spool(self._server.acceptance.bodies)
        self._too_large = self._no_room = False
        self.receiver.go_on()

    def _keep(self, octets: bytes) -> None:
        spool = self._spool
        if spool is None:
            return
        if self._too_large or self._no_room:
            self._over += len(octets)
            if self._over > self.receiver.terms.size + SMALL:  # it was told the size and goes on all the same
                self._end(reply(421, "4.3.4", "the message is too large; good-bye"))
            return
        if spool.size + len(octets) > self.receiver.terms.size:
            self._too_large, self._over = True, spool.size
            spool.discard()
            return
        try:
            spool.write(octets)
        except OSError:
            self._no_room, self._over = True, spool.size
            spool.discard()

    def _drop_message(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.discard()

    async def _finish(self, end: End) -> None:
        """Take a whole message, and answer."""
        began = time.perf_counter()
        spool, self._spool = self._spool, None
        assert spool is not None
        sender, recipients = self._sender, list(dict.fromkeys(self._recipients))
        try:
            if self._too_large:
                most = self.receiver.terms.size
                taken = Taken("refused", reply(552, "5.3.4", f"the message is too large; {most} octets is the most"))
            elif self._no_room:
                taken = Taken("refused", reply(452, "4.3.1", "the disk is full; try again later"))
            elif end.nul:
                taken = Taken("refused", reply(554, "5.6.0", "the message has a NUL in it, which no mail may have"))
            else:
                helo, protocol = self.receiver.helo or "", self.receiver.protocol
                client = Client(
                    self.address, self.user, sender, recipients, protocol, helo, self._utf8, lambda: self._gone
                )
                taken = await self._server.acceptance.take(client, spool, end)
        finally:
            spool.discard()
        self.receiver.answer(taken.reply)
        if not self._gone:
            self._flush()
            self._unconfirmed.append(taken)
        elif await self._half_heard():
            self._server.acceptance.answered(taken)
        else:
            self._server.acceptance.left(taken.key)
        self._server.totals[taken.outcome] += 1
        if self._server.observer is None:
            return
        values = {
            "id": taken.id, "client": self.address, "user": self._name, "account": taken.account,
            "from": taken.author or sender, "to": recipients, "bytes": taken.size or end.size,
            "outcome": taken.outcome, "reply": _text(taken.reply), "mended": list(taken.mended or end.mended),
            "ms": round((time.perf_counter() - began) * 1000, 1),
        }  # fmt: skip
        self._server.tell(Event("message", values))

    async def _half_heard(self) -> bool:
        """Return whether a client that closed its sending side has heard its reply all the same."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._flush()
        return await has_heard(self._transport)

    def _confirm(self) -> None:
        """Take note that the last replies have come: their client went on, or left in good order."""
        for taken in self._unconfirmed:
            self._server.acceptance.answered(taken)
        self._unconfirmed.clear()

    async def _log_in(self, login: Login) -> None:
        server = self._server
        user = None
        if login.user:
            user = await server.logins.user(server.settings.users, login.user, login.password)
        if user is not None:
            self.user, self.receiver.user = user, user.name
            self.receiver.answer(reply(235, "2.7.0", "welcome"))
            return
        pause, close = server.logins.failed(self.address)
        hint = None
        if not login.user:
            hint = "the name is empty"
            if self.allowed:
                hint += "; no login is needed from this address: switch it off in the device"
        values = {"client": self.address, "user": visible(login.user, 100), "hint": hint}
        server.tell(Event("login-failed", values))
        if pause:
            await asyncio.sleep(pause)
        if close:
            self._end(reply(421, "4.7.0", "too many wrong logins; good-bye"))
            return
        self.receiver.answer(reply(535, "5.7.8", "name or password is wrong (a user of the relay, not the mailbox's)"))

    def _encrypt(self) -> None:
        self._securing = True
        if self._transport is not None:
            self._transport.pause_reading()  # what comes now belongs to the handshake
        self._begin_task(self._secure())

    async def _secure(self) -> None:
        transport, server = self._transport, self._server
        assert transport is not None
        try:
            self._transport = await shake_hands(transport, self, server.context(self.listen))
        except NoHandshake as problem:
            self._closing = True
            server.tell(Event("refused", {"stage": "tls", "client": self.address, "reply": str(problem)}))
            transport.abort()
            server.leaves(self)
            return
        self._securing = False
        self.receiver.secured()
        self.receiver.terms = self._terms()
        if self.listen.tls == "implicit":
            self.receiver.greet()


def _text(line: bytes) -> str:
    return line.decode("ascii", "replace").strip()
