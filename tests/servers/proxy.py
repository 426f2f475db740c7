"""A proxy before a real SMTP server that follows the dialogue and misbehaves once, at one step. What comes of it, the
server's own record tells.

It reads commands and replies on both sides, ends TLS and begins it anew, and knows which reply answers what. Faults and
steps are those of ``faults/smtp_table.py``. A refusal (4xx, 5xx, 421, a 550 of strange octets) comes *instead of* the
command, which the server never hears; every other fault spoils the reply to a command that was executed: the worse case
for whoever has to say what became of a message. When the client has gone, the server gets everything that was meant for
it and an orderly end, and the proxy waits until it has closed: after ``wait`` nothing more can happen.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from servers.handshake import shake_hands
from servers.misbehaviour import BAD_TEXT, DROP, ESCAPES, LINE, LINES, NOISE

REFUSALS = {
    "4xx": b"451 4.3.0 try again later\r\n",
    "5xx": b"554 5.0.0 no\r\n",
    "421": b"421 4.3.2 shutting down\r\n",
    "invalid UTF-8": BAD_TEXT,
    "escapes": ESCAPES,
}
FLOODS = {"garbage": NOISE, "10 MB line": LINE, "100,000 lines": LINES}
STRANGE = {"greet": b"250 hello\r\n", "data": b"250 go ahead\r\n", "auth question": b"250 ok\r\n"}
AHEAD = {
    "data": b"354 go ahead\r\n",
    "auth": b"235 2.7.0 welcome\r\n",
    "auth answer": b"235 2.7.0 welcome\r\n",
    "auth question": b"334 \r\n",
}
BEFORE = {
    "ehlo": "greet",
    "starttls": "ehlo",
    "tls": "starttls",
    "auth": "ehlo",
    "auth question": "ehlo",
    "auth answer": "auth question",
    "mail": "auth",
    "rcpt": "mail",
    "data": "rcpt",
}
REPLY = re.compile(rb"(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n")
IN_THE_MIDDLE = 32_768  # octets of a content that the server gets before a fault in it
PATIENCE = 30.0  # seconds that are never reached


@dataclass(frozen=True)
class Injection:
    """Do ``kind`` at the ``nth`` time of ``step`` on the first connection."""

    step: str
    kind: str
    nth: int = 1


class Proxy:
    """Carry connections to ``target`` on this machine; a context manager. ``done`` is set as soon as the fault has
    happened. ``each`` is asked for every connection instead.
    """

    def __init__(
        self,
        target: int,
        injection: Injection | None = None,
        *,
        each: Callable[[], Injection | None] | None = None,
        security: str = "none",
        context: ssl.SSLContext | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.target, self.injection, self.security, self.context, self.trust = (
            target,
            injection,
            security,
            context,
            trust,
        )
        self.each = each
        self.done = threading.Event()
        self.over = threading.Event()  # the client has its verdict: what would last for ever may end
        self.ready = threading.Event()  # the client has come as far as the greeting
        self.connections = 0
        self._listener = socket.socket()
        # a large content does not vanish in the kernel
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Proxy:
        self._threads[0].start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.wait()

    def wait(self) -> None:
        """Take no more connections, and wait until the server has closed each of them."""
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the server did not close"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            injection = self.injection if self.connections == 1 else None
            relay = _Relay(self, client, self.each() if self.each is not None else injection)
            thread = threading.Thread(target=relay.run, daemon=True)
            self._threads.append(thread)
            thread.start()


class Dripping:
    """Carry one connection to ``target``, each octet in a segment of its own; a context manager. It understands nothing
    of what it carries.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Dripping:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        with client, socket.create_connection(("127.0.0.1", self._target)) as server, contextlib.suppress(OSError):
            ends = {client: server, server: client}
            for sock in ends:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while ready := select.select(list(ends), [], [], PATIENCE)[0]:
                for sock in ready:
                    data = sock.recv(65_536)
                    if not data:
                        return
                    for octet in data:
                        ends[sock].sendall(bytes((octet,)))


class _Over(Exception):
    """Nothing more is carried on this connection."""


class _Relay:
    """One connection, carried by one thread."""

    def __init__(self, proxy: Proxy, client: socket.socket, injection: Injection | None) -> None:
        self.proxy, self.injection = proxy, injection
        self.client: Any = client
        self.server: Any = None
        self.said = self.heard = b""  # read and not yet understood, from the client and from the server
        # step, whether the fault is due, whether the server was asked at all
        self.asked: deque[tuple[str, bool, bool]] = deque()
        self.counts: dict[str, int] = {}
        self.octets = 0  # of a BDAT that are still to come
        self.dotted = self.answering = self.secure = self.mute = self.dropping = False
        self.shut = False  # behind a command that is answered 421 nothing is carried out (RFC 5321 §3.8)
        self.passed = 0  # octets of content

    def run(self) -> None:
        for sock in (self.client, server := socket.create_connection(("127.0.0.1", self.proxy.target))):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(PATIENCE)
        self.server = server
        try:
            if self.proxy.security == "tls":
                self._encrypt()
            self._ask("greet")
            while True:
                self._turn()
        except (_Over, OSError):
            pass
        finally:
            self.client.close()
            self._end_server()

    def _end_server(self) -> None:
        """Hear what the server still has to say, say goodbye, and wait until it has closed."""
        self.mute = True
        with contextlib.suppress(_Over, OSError, ValueError):
            # Dovecot 2.3 overlooks an end that comes before its reply to a content, and waits for ever
            self._replies()
            while any(asked for _, _, asked in self.asked) and not (self.octets or self.dotted):
                if not select.select([self.server], [], [], 2.0)[0]:
                    break
                data = _read(self.server)
                if data == b"":
                    break
                self.heard += data or b""
                self._replies()
        with contextlib.suppress(OSError, ValueError):
            self.server.settimeout(PATIENCE)
            socket.socket.shutdown(self.server, socket.SHUT_WR)
            while self.server.recv(65_536):
                pass
        self.server.close()

    def _turn(self) -> None:
        pending = [sock for sock in (self.client, self.server) if isinstance(sock, ssl.SSLSocket) and sock.pending()]
        ready = pending or select.select([self.client, self.server], [], [], PATIENCE)[0]
        if not ready:
            raise _Over
        if self.server in ready:
            data = _read(self.server)
            if data == b"":
                self._wait_for_client()
            self.heard += data or b""
            self._replies()
        else:
            data = _read(self.client)
            if data == b"":
                raise _Over
            self.said += data or b""
            self._commands()

    # — what the client says —

    def _commands(self) -> None:
        while self.said and not self.shut:
            if self.octets:
                piece, self.said = self.said[: self.octets], self.said[self.octets :]
                self.octets -= len(piece)
                self._content(piece)
            elif self.dotted:
                end = self.said.find(b"\r\n.\r\n") + 5 if not self.said.startswith(b".\r\n") or self.passed else 3
                if end == 4:  # not there yet; its beginning may be
                    if len(self.said) > 4:
                        piece, self.said = self.said[:-4], self.said[-4:]
                        self._content(piece)
                    return
                piece, self.said = self.said[:end], self.said[end:]
                self.dotted = False
                self._content(piece, last=True)
            else:
                line, mark, rest = self.said.partition(b"\n")
                if not mark:
                    return
                self.said = rest
                self._command(line + mark)

    def _command(self, line: bytes) -> None:
        verb = line.split()[0].upper().decode() if line.strip() else ""
        if self.answering:
            step = "auth answer"
        elif verb == "AUTH":
            step = "auth question" if len(line.split()) == 2 else "auth"
        elif verb == "BDAT":
            self.octets, step = int(line.split()[1]), "final"
        else:
            step = "ehlo again" if verb == "EHLO" and self.secure else verb.lower()
        self.answering = False
        self._ask(step, line)

    def _ask(self, step: str, line: bytes = b"") -> None:
        """Pass a command on, and remember what is to become of its reply."""
        due = self._due(step)
        withheld = due and self.injection is not None and self.injection.kind in REFUSALS and step != "greet"
        self.dropping = withheld and step == "final"
        if withheld:
            self.asked.append((step, True, False))
            self.shut = self.injection is not None and self.injection.kind == "421"
            self._unasked()
            return
        if line:
            self.server.sendall(line)
        self.asked.append((step, due, True))

    def _due(self, step: str) -> bool:
        self.counts[step] = self.counts.get(step, 0) + 1
        if self.injection is None:
            return False
        wanted = self.injection.step
        if self.injection.kind == "too early":
            wanted = BEFORE.get(wanted, "")
            if wanted == "ehlo" and self.injection.step.startswith("auth") and self.proxy.security != "none":
                wanted = "ehlo again"
            elif wanted == "auth" and step == "auth answer":
                wanted = step
        return step == wanted and self.counts[step] == self.injection.nth

    def _content(self, piece: bytes, *, last: bool = False) -> None:
        if not self.dropping:
            self.server.sendall(piece)
        self.passed += len(piece)
        injection = self.injection
        if injection is not None and injection.step == "content" and self.passed > IN_THE_MIDDLE:
            self._in_the_middle(injection.kind)
        if last:
            due = self._due("final")
            self.asked.append(("final", due, not self.dropping))
            self._unasked()

    # — what the server says —

    def _replies(self) -> None:
        while found := REPLY.match(self.heard):
            reply, self.heard = found[0], self.heard[found.end() :]
            if not self.asked:  # 421 of a server that has waited long enough
                self._tell(reply)
                continue
            step, due, _ = self.asked.popleft()
            if due and not self.mute:
                self._act(step, reply)
            else:
                self._tell(reply)
            self._after(step, reply)
            self._unasked()

    def _unasked(self) -> None:
        """Answer what the server was not asked, once everything before it has been answered."""
        while self.asked and not self.asked[0][2]:
            step, _, _ = self.asked.popleft()
            assert self.injection is not None
            self.proxy.done.set()
            self._tell(REFUSALS[self.injection.kind])
            if self.injection.kind == "421" or step == "final":
                self._hang_up()

    def _after(self, step: str, reply: bytes) -> None:
        """Follow what the reply changes, as the server understands it."""
        if step in ("auth question", "auth answer") and reply.startswith(b"334"):
            self.answering = True
        elif step == "data" and reply.startswith(b"354"):
            self.dotted, self.passed = True, 0
            injection = self.injection
            if injection is not None and injection.step == "final" and injection.kind in REFUSALS:
                self.dropping = self.counts.get("final", 0) + 1 == injection.nth
        elif step == "starttls" and reply.startswith(b"220") and not self.mute:
            self._encrypt()
        elif step == "quit" and not self.mute:
            raise _Over

    def _wait_for_client(self) -> NoReturn:
        """The server has closed: so do we, unless the client is to hear nothing, and that includes an end."""
        while self.mute and self.client.recv(65_536):
            pass
        raise _Over

    def _encrypt(self) -> None:
        proxy = self.proxy
        assert proxy.context is not None
        assert proxy.trust is not None
        if self._due("tls") and self.injection is not None and self.injection.kind != "too early":
            if not self.client.recv(1, socket.MSG_PEEK):
                raise _Over
            self._act("tls", b"\x16\x03\x03")
            self.mute = True
            self._wait_for_client()
        self.client = shake_hands(proxy.context, self.client)
        self.server = proxy.trust.wrap_socket(self.server, server_hostname="localhost")
        self.secure = True

    def _tell(self, data: bytes) -> None:
        if not self.mute:
            self.client.sendall(data)

    # — faults —

    def _act(self, step: str, reply: bytes) -> None:
        """Do the fault in place of ``reply``, which the server gave to a command that it carried out."""
        assert self.injection is not None
        kind = self.injection.kind
        self.proxy.done.set()
        if kind == "silence":
            self.mute = True
        elif kind == "reset":
            self._reset(step)
        elif kind == "half a line":
            self._tell(reply if step == "tls" else reply.split(b"\r\n")[0][: max(len(reply.split(b"\r\n")[0]) // 2, 2)])
            self.mute = True
        elif kind == "drip":
            self._drip(b"\x16\x03\x03\x3f\xff" if step == "tls" else b"250-")
        elif kind == "octet by octet":
            for octet in reply:
                self._tell(bytes((octet,)))
        elif kind in FLOODS:
            self._tell(FLOODS[kind])
            self.mute = True
        elif kind == "wrong code":
            self._tell(STRANGE.get(step, b"354 what\r\n"))
        elif kind == "extra reply":
            self._tell(reply * 2)
        elif kind == "too early":
            self._tell(reply + AHEAD.get(self.injection.step, b"250 2.0.0 ok\r\n"))
        else:
            self._tell(REFUSALS[kind])
            if kind == "421":
                self._hang_up()
            self.mute = True

    def _drip(self, start: bytes) -> None:
        """Send one octet after the other until the client has gone."""
        self.client.sendall(start)
        with contextlib.suppress(OSError):
            while not self.proxy.over.wait(DROP):
                self.client.sendall(b"x")
        raise _Over

    def _in_the_middle(self, kind: str) -> None:
        """Do the fault while the client is still sending, and take nothing more from it."""
        self.proxy.done.set()
        if kind == "reset":
            self._reset("content")
        elif kind == "drip":
            self._drip(b"250-")
        elif kind != "silence":
            early = {"half a line": b"25", "too early": b"250 2.0.0 queued already\r\n", "wrong code": b"354 what\r\n"}
            octets = {**FLOODS, **REFUSALS, **early}[kind]
            with contextlib.suppress(OSError):  # a client that has heard enough goes
                self.client.sendall(octets)
        self.proxy.over.wait(PATIENCE)
        raise _Over

    def _reset(self, step: str) -> None:
        if step == "greet":
            self.proxy.ready.wait(PATIENCE)  # else it would be the connect that fails
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _Over

    def _hang_up(self) -> None:
        """Close our side, and read until the client has closed its own, so that no reset overtakes the last reply."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.client, socket.SHUT_WR)
            while self.client.recv(65_536):
                pass
        raise _Over


def _read(sock: Any) -> bytes | None:
    """Read what is there; None where a TLS record held nothing for us, such as a session ticket."""
    sock.settimeout(0)
    try:
        data: bytes = sock.recv(65_536)
        return data
    except (ssl.SSLWantReadError, BlockingIOError):
        return None
    finally:
        sock.settimeout(PATIENCE)
