"""A scriptable SMTP server on loopback, strict where real servers are, and misbehaving on demand.

    with SmtpServer(users={"jana": "secret"}, faults=[Fault("mail", says("451 4.7.1 later"))]) as server:
        ...
    server.messages        what was accepted, in order
    server.sessions        one Heard per connection: every command line, and every octet

A fault is a step and an act. Steps: ``connect`` (before the greeting), ``greet``, ``handshake``, ``ehlo``, ``helo``,
``starttls``, ``auth``, ``auth-answer``, ``mail``, ``rcpt``, ``data``, ``bdat``, ``content`` (in the middle of it),
``body`` (the content has been read; its reply is due), ``rset``, ``noop``, ``quit``. An act is what happens instead of
the reply; with ``executed=True`` the command takes effect first (a message is accepted, and then …). ``Dialogue`` at
the end needs no sockets at all.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from servers.handshake import shake_hands

EXTENSIONS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING")

Act = Callable[["Peer", str], None]


# — acts: each one way to misbehave; ``reply`` is what would have been said —


class Gone(Exception):
    """The connection is over."""


class Welcome(Exception):
    """The login is over and went well; it has been answered."""


def says(*lines: str) -> Act:
    """Send these lines instead. After 421 nothing more is executed (RFC 5321 §3.8); the rest is read, so that no reset
    overtakes the reply.
    """

    def act(peer: Peer, reply: str) -> None:
        peer.send("".join(line + "\r\n" for line in lines).encode())
        if lines[-1].startswith("421 "):
            silence(peer, reply)

    return act


def sends(data: bytes) -> Act:
    """Send these octets instead, whatever they are."""

    def act(peer: Peer, reply: str) -> None:
        peer.send(data)

    return act


def silence(peer: Peer, reply: str) -> None:
    """Send nothing, and wait until the client has gone."""
    peer.wait_for_end()
    raise Gone


def hangs_up(peer: Peer, reply: str) -> None:
    """Close the connection (FIN)."""
    raise Gone


def resets(peer: Peer, reply: str) -> None:
    """Reset the connection (RST)."""
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Gone


def half_line(peer: Peer, reply: str) -> None:
    """Send half of the reply, then nothing."""
    peer.send(reply.encode()[: len(reply) // 2])
    silence(peer, reply)


def drips(peer: Peer, reply: str) -> None:
    """Send the reply one octet at a time."""
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in (reply + "\r\n").encode():
        peer.send(bytes((octet,)))


def twice(peer: Peer, reply: str) -> None:
    """Send the reply two times, in one segment with those to the commands that are there already."""
    peer.reply(reply)
    peer.reply(reply)


def then(*acts: Act) -> Act:
    """Do one after the other."""

    def act(peer: Peer, reply: str) -> None:
        for each in acts:
            each(peer, reply)

    return act


def answers(peer: Peer, reply: str) -> None:
    """Send the ordinary reply (useful in ``then``)."""
    peer.send((reply + "\r\n").encode())


def long_line(size: int = 10_000_000) -> Act:
    """Send one endless line of ``size`` octets."""
    return sends(b"250 " + b"x" * size + b"\r\n")


def continuations(count: int = 100_000) -> Act:
    """Send ``count`` continuation lines that never end."""
    return sends(b"250-more\r\n" * count)


def garbage(peer: Peer, reply: str) -> None:
    """Send octets that are no text."""
    peer.send(b"\x16\x03\x01\x00\xff\xfe\x00\x1b[31m\r\n")


@dataclass(frozen=True)
class Fault:
    """At ``step``, do ``act`` instead of replying; at its ``nth`` time on one connection (None: always), on the
    ``connection``-th connection (None: all).
    """

    step: str
    act: Act
    nth: int | None = 1
    executed: bool = False
    connection: int | None = None


# — the server —


@dataclass
class Received:
    """One accepted message."""

    sender: str
    recipients: list[str]
    data: bytes
    mail_parameters: list[str]
    user: str | None
    tls: bool
    by: str  # "bdat" or "data"


@dataclass
class Heard:
    """What one connection heard: command lines, and all octets (in plain, and inside TLS)."""

    lines: list[str] = field(default_factory=list)
    plain: bytes = b""
    inside: bytes = b""
    ended: threading.Event = field(default_factory=threading.Event)


class SmtpServer:
    """Listen on a free port of ``host``; one thread per connection."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        extensions: Sequence[str] = EXTENSIONS,
        users: Mapping[str, str] | None = None,
        tokens: Mapping[str, str] | None = None,
        mechanisms: Sequence[str] = (),
        auth_line: str | None = None,
        refused: Mapping[str, str] | None = None,
        most_recipients: int | None = None,
        most_messages: int | None = None,
        enough: str = "452 4.5.3 Too many recipients: Too many messages sent",
        longest_line: int | None = None,
        context: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        plain_auth: bool = True,
        faults: Iterable[Fault] = (),
        greeting: str = "220 mx.example.test ESMTP",
        name: str = "mx.example.test",
        line_limit: int = 512,
        backlog: int = 50,
        cut_received: int | None = None,
        cut_sent: int | None = None,
        port: int = 0,
    ) -> None:
        """``cut_received`` resets the connection when that many octets were read and dealt with, ``cut_sent`` when that
        many were sent.

        Behind ``most_messages`` of a session, RSET and MAIL are answered with ``enough``, as OpenSMTPD does.
        ``refused`` maps an address (sender or recipient) to the reply that refuses it. A message with a line of more
        than ``longest_line`` octets is refused. ``context`` turns TLS on: STARTTLS, or from the first octet.
        """
        self.host = host
        self.extensions = tuple(extensions)
        self.users = dict(users or {})
        self.tokens = dict(tokens or {})
        self.mechanisms = tuple(mechanisms) or (
            (("PLAIN", "LOGIN") if self.users else ()) + (("XOAUTH2", "OAUTHBEARER") if self.tokens else ())
        )
        self.auth_line = auth_line
        self.refused = dict(refused or {})
        self.most_recipients = most_recipients
        self.most_messages = most_messages
        self.enough = enough
        self.longest_line = longest_line
        self.context = context
        self.implicit_tls = implicit_tls
        self.plain_auth = plain_auth
        self.faults = list(faults)
        self.greeting = greeting
        self.name = name
        self.line_limit = line_limit
        self.cut_received = cut_received
        self.cut_sent = cut_sent
        self.messages: list[Received] = []
        self.sessions: list[Heard] = []
        self.lock = threading.Lock()
        self._peers: list[Peer] = []
        self._threads: list[threading.Thread] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, port))
        self._listener.listen(backlog)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> SmtpServer:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in list(self._peers):
            peer.stop()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            heard = Heard()
            peer = Peer(self, sock, heard, len(self.sessions) + 1)
            self.sessions.append(heard)
            self._peers.append(peer)
            thread = threading.Thread(target=peer.run, daemon=True)
            self._threads.append(thread)
            thread.start()

    def wait(self, session: int = 0, seconds: float = 10) -> Heard:
        """Wait until a connection has ended, and give what it heard."""
        assert self.sessions[session].ended.wait(seconds), "the connection is still open"
        return self.sessions[session]


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: SmtpServer, sock: socket.socket, heard: Heard, number: int) -> None:
        self.server = server
        self.sock = sock
        self.heard = heard
        self.number = number
        self.buffer = b""
        self.may_read = server.cut_received
        self.may_send = server.cut_sent
        self.out: list[bytes] = []
        self.tls = False
        self.user: str | None = None
        self.greeted = False
        self.counts: dict[str, int] = {}
        self.sender: str | None = None
        self.parameters: list[str] = []
        self.recipients: list[str] = []
        self.chunks = b""
        self.failed = False  # a BDAT of this transaction was refused
        self.accepted = 0  # messages of this session

    # octets

    def send(self, data: bytes) -> None:
        self.flush()
        if self.may_send is not None:
            data = data[: self.may_send]
            self.may_send -= len(data)
        try:
            self.sock.sendall(data)
        except OSError:
            raise Gone from None
        if self.may_send == 0:
            resets(self, "")

    def reply(self, text: str) -> None:
        """Keep a reply until the client's octets have run out, as real servers do with pipelined commands."""
        self.out.append(text.encode("utf-8", "surrogateescape") + b"\r\n")

    def flush(self) -> None:
        if self.out:
            data, self.out = b"".join(self.out), []
            self.send(data)

    def read(self) -> None:
        self.flush()
        if self.may_read == 0:
            resets(self, "")
        try:
            data = self.sock.recv(262144)
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        if self.may_read is not None:
            data = data[: self.may_read]
            self.may_read -= len(data)
        if self.tls:
            self.heard.inside += data
        else:
            self.heard.plain += data
        self.buffer += data

    def line(self, limit: int | None = None) -> str:
        while b"\n" not in self.buffer:
            if limit is not None and len(self.buffer) > 65536:
                raise Gone
            self.read()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")

    def octets(self, size: int) -> bytes:
        parts = []
        while size > len(self.buffer):
            parts.append(self.buffer)
            size -= len(self.buffer)
            self.buffer = b""
            self.read()
        parts.append(self.buffer[:size])
        self.buffer = self.buffer[size:]
        return b"".join(parts)

    def wait_for_end(self) -> None:
        self.flush()
        try:
            while data := self.sock.recv(65536):
                if self.tls:
                    self.heard.inside += data
                else:
                    self.heard.plain += data
        except OSError:
            pass

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    # the dialogue

    def run(self) -> None:
        try:
            self._dialogue()
        except (Gone, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.out.clear()
            self.sock.close()
            self.heard.ended.set()

    def _dialogue(self) -> None:
        server = self.server
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.at("connect", None)
        if server.implicit_tls:
            self._handshake()
        self.at("greet", lambda: server.greeting)
        while True:
            line = self.line(server.line_limit)
            self.heard.lines.append(line)
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            if len(line) + 2 > server.line_limit and verb == "AUTH":
                self.reply("500 5.5.6 Line too long")
                continue
            handler = getattr(self, f"_{verb.lower()}", None) if verb.isalpha() else None
            if handler is None:
                self.reply("500 5.5.2 unknown command")
            else:
                handler(rest)
            if verb == "QUIT":
                self.flush()
                return

    def fault(self, step: str) -> Fault | None:
        self.counts[step] = self.counts.get(step, 0) + 1
        for fault in self.server.faults:
            if (
                fault.step == step
                and fault.nth in (None, self.counts[step])
                and fault.connection in (None, self.number)
            ):
                return fault
        return None

    def at(self, step: str, normal: Callable[[], str] | None) -> bool:
        """Come to a step: the ordinary reply, or the fault that stands in for it."""
        fault = self.fault(step)
        if fault is None:
            if normal is not None:
                self.reply(normal())
            return True
        reply = normal() if normal is not None and fault.executed else ""
        if not reply and normal is not None and fault.act in (drips, twice, half_line, answers):
            reply = normal()
        self.flush()
        fault.act(self, reply or "250 2.0.0 ok")
        return False

    def _handshake(self) -> None:
        self.at("handshake", None)
        self.flush()
        assert self.server.context is not None
        try:
            self.sock = shake_hands(self.server.context, self.sock)
        except (OSError, ValueError):
            raise Gone from None
        self.tls = True

    def _offer(self) -> list[str]:
        server = self.server
        words = list(server.extensions)
        if server.context is not None and not self.tls:
            words.append("STARTTLS")
        if server.auth_line is not None:
            words.append(server.auth_line)
        elif server.mechanisms and (self.tls or server.plain_auth):
            words.append("AUTH " + " ".join(server.mechanisms))
        return words

    def _ehlo(self, name: str) -> None:
        def normal() -> str:
            self.greeted = True
            self._forget()
            lines = [f"{self.server.name} greets {name}", *self._offer()]
            return "\r\n".join(
                f"250{'-' if number < len(lines) - 1 else ' '}{line}" for number, line in enumerate(lines)
            )

        self.at("ehlo", normal)

    def _helo(self, name: str) -> None:
        def normal() -> str:
            self.greeted = True
            return f"250 {self.server.name}"

        self.at("helo", normal)

    def _starttls(self, rest: str) -> None:
        if self.server.context is None or self.tls:
            self.reply("503 5.5.1 no TLS here")
            return
        if self.at("starttls", lambda: "220 2.0.0 go ahead"):
            self.flush()
            self.buffer = b""
            self._handshake()
            self.greeted = False

    def _noop(self, rest: str) -> None:
        self.at("noop", lambda: "250 2.0.0 ok")

    def _rset(self, rest: str) -> None:
        def normal() -> str:
            self._forget()
            return "250 2.0.0 reset"

        if not self._had_enough():
            self.at("rset", normal)

    def _quit(self, rest: str) -> None:
        self.at("quit", lambda: "221 2.0.0 bye")

    def _forget(self) -> None:
        self.sender, self.parameters, self.recipients, self.chunks, self.failed = None, [], [], b"", False

    # transactions

    def _had_enough(self) -> bool:
        server = self.server
        if server.most_messages is None or self.accepted < server.most_messages:
            return False
        if server.enough.startswith("421 "):
            says(server.enough)(self, "")
        self.reply(server.enough)
        return True

    def _mail(self, rest: str) -> None:
        def normal() -> str:
            if not self.greeted:
                return "503 5.5.1 EHLO first"
            if self.sender is not None or self.failed:
                return "503 5.5.1 nested MAIL"
            if not rest.upper().startswith("FROM:<"):
                return "501 5.5.4 syntax"
            sender, *parameters = rest[5:].split(" ")
            offered = {word.split()[0] for word in self._offer()}
            for parameter in parameters:
                need = {"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8"}.get(parameter.partition("=")[0])
                if need is None or need not in offered:
                    return f"555 5.5.4 unsupported parameter {parameter}"
            if sender[1:-1] in self.server.refused:
                return self.server.refused[sender[1:-1]]
            self.sender, self.parameters = sender[1:-1], parameters
            return "250 2.1.0 sender ok"

        if not self._had_enough():
            self.at("mail", normal)

    def _rcpt(self, rest: str) -> None:
        def normal() -> str:
            if self.sender is None:
                return "503 5.5.1 MAIL first"
            if not rest.upper().startswith("TO:<"):
                return "501 5.5.4 syntax"
            recipient = rest[3:].split(" ")[0][1:-1]
            if recipient in self.server.refused:
                return self.server.refused[recipient]
            if self.server.most_recipients is not None and len(self.recipients) >= self.server.most_recipients:
                return "452 4.5.3 too many recipients"
            self.recipients.append(recipient)
            return "250 2.1.5 recipient ok"

        self.at("rcpt", normal)

    def _data(self, rest: str) -> None:
        def normal() -> str:
            if self.sender is None:
                return "503 5.5.1 MAIL first"
            if not self.recipients:
                return "554 5.5.1 no valid recipients"
            return "354 go ahead"

        faulty = self.fault("data")
        reply = normal() if faulty is None or faulty.executed else ""
        if faulty is not None:
            sent = len(self.out)
            faulty.act(self, reply)
            del sent
            if faulty.act is not lone_354:
                return
            reply = "354 go ahead"
        else:
            self.reply(reply)
        if reply.startswith("354"):
            self._read_dotted()

    def _read_dotted(self) -> None:
        if not self.buffer:
            self.read()
        self.at("content", None)
        # all at once: taking a large buffer apart line by line copies it each time
        whole, self.buffer = bytearray(b"\r\n" + self.buffer), b""
        looked = 0
        while (end := whole.find(b"\r\n.\r\n", looked)) < 0:
            looked = max(0, len(whole) - 4)
            self.read()
            whole += self.buffer
            self.buffer = b""
        self.buffer = bytes(whole[end + 5 :])
        self._accept(bytes(whole[: end + 2].replace(b"\r\n.", b"\r\n")[2:]), "data")

    def _bdat(self, rest: str) -> None:
        fault = self.fault("bdat")
        if fault is not None:
            self.flush()
            fault.act(self, "250 2.0.0 ok")
            return
        words = rest.upper().split()
        self.at("content", None)
        data = self.octets(int(words[0]))
        last = words[1:] == ["LAST"]
        if self.sender is None or not self.recipients or self.failed:
            self.failed = self.failed or self.sender is not None
            self.reply("503 5.5.1 MAIL first" if self.sender is None else "554 5.5.1 no valid recipients")
            return
        self.chunks += data
        if last:
            self._accept(self.chunks, "bdat")
        else:
            self.reply("250 2.0.0 chunk ok")

    def _accept(self, data: bytes, by: str) -> None:
        def normal() -> str:
            longest = self.server.longest_line
            if longest is not None and max(map(len, data.split(b"\r\n"))) > longest:
                self._forget()
                self.failed = by == "bdat"
                return "500 5.5.2 Line too long"
            with self.server.lock:
                if self.recipients:
                    message = Received(
                        self.sender or "", self.recipients, data, self.parameters, self.user, self.tls, by
                    )
                    self.server.messages.append(message)
                    self.accepted += 1
                number = len(self.server.messages)
            valid = bool(self.recipients)
            self._forget()
            return f"250 2.0.0 queued as {number}" if valid else "554 5.5.1 no valid recipients"

        if not self.at("body", normal) and by == "bdat" and self.sender is not None:
            self.failed = True  # after a refused BDAT only RSET helps (RFC 3030 §2)
        elif by == "data":
            self._forget()

    # logging in

    def _auth(self, rest: str) -> None:
        if not self.at("auth", None):
            return
        name, _, initial = rest.partition(" ")
        mechanism = getattr(self, "_auth_" + name.lower().replace("-", "_"), None)
        if self.user is not None:
            self.reply("503 5.5.1 already authenticated")
        elif name.upper() not in self.server.mechanisms or mechanism is None:
            self.reply("504 5.5.4 unrecognized authentication type")
        else:
            try:
                self.user = mechanism(base64.b64decode(initial, validate=True) if initial not in ("", "=") else None)
            except Welcome:
                return
            except ValueError:
                self.reply("501 5.5.2 cannot decode")
                return
            self.reply("235 2.7.0 welcome" if self.user is not None else "535 5.7.8 authentication failed")

    def ask(self, challenge: bytes) -> bytes:
        self.at("auth-question", lambda: "334 " + base64.b64encode(challenge).decode())
        line = self.line(12288)
        self.heard.lines.append(line)
        if not self.at("auth-answer", None):
            raise Gone
        return base64.b64decode(line, validate=True)

    def _auth_plain(self, initial: bytes | None) -> str | None:
        _, user, password = (initial if initial is not None else self.ask(b"")).split(b"\0")
        return user.decode() if self.server.users.get(user.decode()) == password.decode() else None

    def _auth_login(self, initial: bytes | None) -> str | None:
        user = self.ask(b"Username:").decode()
        password = self.ask(b"Password:").decode()
        return user if self.server.users.get(user) == password else None

    def _auth_cram_md5(self, initial: bytes | None) -> str | None:
        challenge = b"<1896.697170952@mx.example.test>"
        user, _, digest = self.ask(challenge).decode().rpartition(" ")
        expected = hmac.new(self.server.users.get(user, "").encode(), challenge, "md5").hexdigest()
        return user if user in self.server.users and hmac.compare_digest(digest, expected) else None

    def _bearer(self, user: str, token: str, acknowledgement: bytes) -> str | None:
        if self.server.tokens.get(user) == token:
            return user
        assert self.ask(b'{"status":"401","schemes":"Bearer","scope":"https://mail.example.test/"}') == acknowledgement
        return None

    def _auth_xoauth2(self, initial: bytes | None) -> str | None:
        user, auth, *rest = (initial if initial is not None else self.ask(b"")).decode().split("\x01")
        assert rest == ["", ""]
        return self._bearer(user.removeprefix("user="), auth.removeprefix("auth=Bearer "), b"")

    def _auth_oauthbearer(self, initial: bytes | None) -> str | None:
        header, host, port, auth, *rest = (initial if initial is not None else self.ask(b"")).decode().split("\x01")
        assert (
            rest == ["", ""]
            and header.startswith("n,a=")
            and host.startswith("host=")
            and port == f"port={self.server.port}"
        )
        user = header[4:-1].replace("=2C", ",").replace("=3D", "=")
        return self._bearer(user, auth.removeprefix("auth=Bearer "), b"\x01")


def lone_354(peer: Peer, reply: str) -> None:
    """Answer DATA with 354 although no recipient was accepted, as old servers do (RFC 2920 §3.1)."""
    peer.send(b"354 go ahead, though nobody is there\r\n")


def wait_until(true: Callable[[], Any], seconds: float = 10) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)
