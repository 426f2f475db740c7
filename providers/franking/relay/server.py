"""The server: it listens, counts its clients, ends those that are silent, re-reads its settings, and stops in order.

What one client says is ``connection.py``'s, what becomes of a message ``acceptance.py``'s.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from franking.errors import SettingsError
from franking.relay.certificate import Certificate, made_certificate
from franking.relay.connection import Connection
from franking.relay.events import Event
from franking.relay.listening import bound, unusable
from franking.relay.logins import Logins
from franking.relay.reply import reply
from franking.relay.settings import Listen, plain_address

if TYPE_CHECKING:
    import socket
    import ssl

    from franking.relay.acceptance import Acceptance
    from franking.relay.events import Observer
    from franking.relay.settings import RelaySettings

__all__ = ["Server"]

TICK_SECONDS = 1.0
PATIENCE_SECONDS = 30.0
"""How long what is under way may take once the relay is to stop."""

READ_SIZE = 256 * 1024

_log = logging.getLogger("franking.relay")
_RATED = 10_000


class Server:
    """Serve clients in one loop."""

    def __init__(self, acceptance: Acceptance, observer: Observer | None, state: Path) -> None:
        """``state`` is the directory where a certificate is made, if one is needed."""
        self.loop = asyncio.get_running_loop()
        self.acceptance, self.observer = acceptance, observer
        self.logins = Logins()
        self.tasks: set[asyncio.Task[None]] = set()
        self.stopping = False
        self.connections: set[Connection] = set()
        self.totals: Counter[str] = Counter(accepted=0, queued=0, refused=0)
        self.now = time.monotonic  # what the loop's clock is
        #: what any client sends is read into this: a new one for each time takes longer than reading
        self.buffer = memoryview(bytearray(READ_SIZE))
        self._state = state
        self._per_address: Counter[str] = Counter()
        self._certificates: dict[Listen, Certificate] = {}
        self._servers: list[asyncio.Server] = []
        self._turns: OrderedDict[str, deque[float]] = OrderedDict()
        self._tick: asyncio.TimerHandle | None = None
        self.addresses: list[tuple[Listen, tuple[str, int]]] = []

    def tell(self, event: Event) -> None:
        """Tell whoever watches."""
        if self.observer is not None:
            self.observer(event)

    @property
    def settings(self) -> RelaySettings:
        return self.acceptance.access.settings

    # -- listening ---------------------------------------------------------------------------------------------------

    async def listen(self, sockets: Sequence[tuple[Listen, socket.socket]] = ()) -> None:
        """Have all sockets, and serve nobody yet: those that were handed over, else of the addresses of the settings.
        Raises ``SettingsError``.
        """
        every = self.settings.listen
        for listen, sock in sockets or [(listen, bound(listen, every)) for listen in every]:
            try:
                self._certified(listen)
            except BaseException:
                sock.close()
                raise
            server = await self.loop.create_server(
                partial(Connection, self, listen), sock=sock, backlog=512, start_serving=False
            )
            self._servers.append(server)
            self.addresses.append((listen, sock.getsockname()[:2]))

    async def serve(self) -> None:
        """Take clients. Raises ``SettingsError``."""
        for server, (listen, _) in zip(self._servers, self.addresses, strict=True):
            try:
                await server.start_serving()
            except OSError as problem:  # an address that stands there twice
                raise unusable(listen, problem) from None
        self._tick = self.loop.call_later(TICK_SECONDS, self._ticks)
        for listen, (host, port) in self.addresses:
            shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            held = self._certificates.get(listen)
            values = {"address": shown, "tls": listen.tls, "fingerprint": held.fingerprint if held else None}
            self.tell(Event("listening", values))
            if listen.legacy_tls:
                self.tell(Event("warning", {"text": f"{shown} takes TLS 1.0, which anybody on the way may break"}))
            if self.settings.keeps_out(listen):
                text = (
                    f"nobody can send at {shown}: without encryption it takes no password, and allow names nobody there"
                )
                self.tell(Event("warning", {"text": text}))

    def _certified(self, listen: Listen) -> None:
        if listen.tls == "none":
            return
        path = Path(listen.certificate) if listen.certificate else made_certificate(self._state, self._hosts())
        self._certificates[listen] = Certificate(listen, path, Path(listen.key) if listen.key else None)

    def _hosts(self) -> list[str]:
        return [one.host for one in self.settings.listen]

    def context(self, listen: Listen) -> ssl.SSLContext:
        return self._certificates[listen].context

    # -- clients -----------------------------------------------------------------------------------------------------

    def enters(self, connection: Connection) -> bytes | None:
        """Count a client; return the refusal where there are too many."""
        self.connections.add(connection)
        self._per_address[connection.address] += 1
        settings = self.settings
        if self.stopping:
            return reply(421, "4.3.2", "the relay is stopping; try again")
        if len(self.connections) > settings.max_connections:
            return reply(421, "4.3.2", "too many connections; try again later")
        near = connection.address != "?" and plain_address(connection.address).is_loopback
        if not near and self._per_address[connection.address] > settings.max_connections_per_address:
            return reply(421, "4.7.0", "too many connections from this address; try again later")
        return None

    def leaves(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            self._per_address[connection.address] -= 1
            if self._per_address[connection.address] <= 0:
                del self._per_address[connection.address]

    def has_turn(self, who: str) -> bool:
        """Return whether a user or an address may send one more message in this minute."""
        most = self.settings.messages_per_minute
        if not most:
            return True
        now = self.now()
        times = self._turns.setdefault(who, deque())
        self._turns.move_to_end(who)
        while len(self._turns) > _RATED:
            self._turns.popitem(last=False)
        while times and now - times[0] >= 60:
            times.popleft()
        if len(times) >= most:
            return False
        times.append(now)
        return True

    def broken(self, problem: BaseException) -> None:
        """Take note of a mistake of our own."""
        _log.error("A connection ended by a mistake of the relay's own: %r", problem, exc_info=problem)
        self.tell(
            Event("warning", {"text": f"a connection ended by a mistake of the relay's own: {type(problem).__name__}"})
        )

    def _ticks(self) -> None:
        """Close who is silent; take certificates that have changed."""
        now = self.now()
        settings = self.settings
        for connection in list(self.connections):
            if connection.deadline < now:
                connection.expire(reply(421, "4.4.2", "too long a silence; good-bye"))
            elif connection.user is not None and settings.users.get(connection.user.name) != connection.user:
                connection.expire(reply(421, "4.7.0", "this user was changed; log in again"))
        for certificate in self._certificates.values():
            try:
                if certificate.changed:
                    certificate.load()
            except SettingsError as problem:
                self.tell(Event("warning", {"text": str(problem)}))
        self._tick = self.loop.call_later(TICK_SECONDS, self._ticks)

    # -- ending ------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Take no new clients; let what is under way end, within 30 seconds."""
        self.stopping = True
        if self._tick is not None:
            self._tick.cancel()
        for server in self._servers:
            server.close()
        until = self.now() + PATIENCE_SECONDS
        good_bye = reply(421, "4.3.2", "the relay is stopping; try again")
        while self.connections and self.now() < until:
            for connection in list(self.connections):
                if not connection.busy:
                    connection.expire(good_bye)
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=1.0)
        await asyncio.sleep(0)
