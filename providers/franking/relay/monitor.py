"""What monitoring asks the relay over HTTP: /healthz (can it accept), /readyz (can it send), /metrics (Prometheus).

Three fixed answers to GET, no bodies read, no addresses or subjects told; a request has 5 seconds and 8 KiB.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from franking.errors import FrankingError
from franking.health.finding import Entry, Finding
from franking.health.look import glance
from franking.health.metrics import family, metrics
from franking.relay.listening import bound
from franking.relay.settings import plain_address

if TYPE_CHECKING:
    import socket

    from franking.health.look import Health
    from franking.relay.acceptance import Acceptance
    from franking.relay.server import Server
    from franking.relay.settings import Listen

__all__ = ["Monitor"]

SECONDS = 5.0
LONGEST = 8192
MOST = 20
"""Requests at once."""


class Monitor:
    """Answer monitoring."""

    def __init__(self, acceptance: Acceptance, server: Server) -> None:
        self._acceptance, self._relay = acceptance, server
        self._server: asyncio.Server | None = None
        self._asked = 0

    async def start(self, listen: Listen | None, handed: socket.socket | None) -> tuple[str, int]:
        """Listen, and return where: on a socket that was handed over, else on an address. Raises ``SettingsError``."""
        if handed is None:
            assert listen is not None
            handed = bound(listen, key="health")
        self._server = await asyncio.start_server(self._serve, sock=handed, limit=LONGEST)
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._asked += 1
        try:
            status, kind, body = "429 Too Many Requests", "text/plain", b""
            if self._asked <= MOST:
                async with asyncio.timeout(SECONDS):
                    line = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0].decode("latin-1")
                    status, kind, body = await self._answer(line, writer.get_extra_info("peername") or ("?",))
            head = (
                f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._asked -= 1
            with suppress(OSError):
                writer.close()

    async def _answer(self, line: str, peer: tuple[Any, ...]) -> tuple[str, str, bytes]:
        method, _, rest = line.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if not self._may_ask(str(peer[0])):
            return "403 Forbidden", "text/plain", b"not from this address\n"
        if method != "GET":
            return "405 Method Not Allowed", "text/plain", b"GET\n"
        answers = {"/healthz": self.healthz, "/readyz": self.readyz, "/metrics": self.metrics}
        if path not in answers:
            return "404 Not Found", "text/plain", b"/healthz, /readyz, /metrics\n"
        return await asyncio.get_running_loop().run_in_executor(None, answers[path])

    def _may_ask(self, address: str) -> bool:
        try:
            plain = plain_address(address)
        except ValueError:
            return False
        return plain.is_loopback or any(plain in network for network in self._relay.settings.allow_health)

    # -- answers -----------------------------------------------------------------------------------------------------

    def healthz(self) -> tuple[str, str, bytes]:
        """Return whether a message could be accepted: disk and outbox."""
        why = ""
        if self._relay.stopping:
            why = "the relay is stopping"
        elif not self._acceptance.room_for(0):
            why = "the disk is full"
        else:
            try:
                with self._acceptance.reading.database.transaction():
                    pass
            except FrankingError as problem:
                why = str(problem)
        status = "503 Service Unavailable" if why else "200 OK"
        return status, "text/plain", f"{why or 'ok'}\n".encode()

    def readyz(self) -> tuple[str, str, bytes]:
        """Return whether what is accepted can leave, account by account."""
        try:
            found = self.report()
        except FrankingError as problem:
            found = {"level": "critical", "accounts": [], "outbox": {"level": "critical", "text": str(problem)}}
        status = "503 Service Unavailable" if found["level"] == "critical" else "200 OK"
        return status, "application/json", json.dumps(found, ensure_ascii=False).encode()

    def report(self) -> dict[str, Any]:
        """Return what is known of the accounts and of the outbox, by level."""
        health, reading = self._known(), self._acceptance.reading
        *accounts, machine = health.entries
        outbox = {
            "level": machine.level,
            "messages": reading.counts(),
            "oldest_seconds": round(health.outbox.oldest, 1),
            "findings": [one.as_dict() for one in machine.findings],
        }
        return {"level": health.level, "accounts": [one.as_dict() for one in accounts], "outbox": outbox}

    def _known(self) -> Health:
        """Return what health knows, without asking anybody: its last look, the outbox, and what keeps accounts from
        sending now.
        """
        access, reading = self._acceptance.access, self._acceptance.reading
        names = list(access.accounts())
        health = glance([name for name in names if name in access.config.tables], access.config, reading)
        *looked, machine = health.entries
        known = {entry.account: entry for entry in looked}
        now = machine.checked_at
        entries = [self._with_block(name, known.get(name, Entry(name, None, None, now))) for name in names]
        here = tuple(one for one in machine.findings if one.code != "alert.untold")  # that keeps no mail back
        return replace(health, entries=(*entries, replace(machine, findings=here)))

    def _with_block(self, name: str, entry: Entry) -> Entry:
        """Return an entry that begins with what keeps the account from sending, if that is known here."""
        access = self._acceptance.access
        why = self._acceptance.blocked.why(access.account(name))
        if why is None:
            return entry
        code = why.code if why.code == "account.disabled" else "send.failing"
        blocked = Finding(code, "critical", {"account": name}, why).began(entry.checked_at)
        others = (one for one in entry.findings if one.code != code)
        return replace(entry, findings=(blocked, *others))

    def metrics(self) -> tuple[str, str, bytes]:
        """Tell numbers in Prometheus' text form; no addresses, no subjects."""
        totals = self._relay.totals
        counts = (({"outcome": name}, totals[name]) for name in sorted(totals))
        lines = [
            *family("franking_relay_connections", "Open connections.", [({}, len(self._relay.connections))]),
            *family("franking_relay_messages_total", "Messages by their outcome.", counts, "counter"),
        ]
        text = metrics(self._known()) + "\n".join(lines) + "\n"
        return "200 OK", "text/plain; version=0.0.4", text.encode()
