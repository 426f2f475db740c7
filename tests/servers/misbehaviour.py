"""Every way to misbehave at every step of an SMTP dialogue: what the fault matrix does to a client. What must come of
it is in ``faults/smtp_table.py``.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from servers.smtp import Act, Fault, Gone, Peer, Welcome, drips, half_line, resets, says, sends, silence, then, twice

LINE = b"250 " + b"x" * 10_000_000 + b"\r\n"
LINES = b"250-more\r\n" * 100_000
DROP = 0.02  # seconds between two octets that are to look like progress
NOISE = b"\xff\xfe\x00\x16\x03\x01\x1b[31m\r\n" * 20
BAD_TEXT = b"550 5.0.0 \xff\xfe\xc3( no\r\n"
ESCAPES = b"550 5.0.0 \x1b[31m\x1b]0;owned\x07\x9b2J no\r\n"
STRANGE = {"greet": "250 hello", "data": "250 go ahead", "auth question": "250 ok"}
"""A code that is no answer at a step; elsewhere 354."""

BEFORE = {
    "ehlo": "greet",
    "starttls": "ehlo",
    "tls": "starttls",
    "auth": "ehlo",
    "auth question": "ehlo",
    "auth answer": "auth-question",
    "mail": "auth",
    "rcpt": "mail",
    "data": "rcpt",
}
"""Which step's answer is followed, in one breath, by the answer to this step, before anything was asked."""


def deaf(over: threading.Event) -> Act:
    """Neither read nor say anything until the test is over."""

    def act(peer: Peer, reply: str) -> None:
        peer.flush()
        over.wait(10)
        raise Gone

    return act


def drips_on(start: bytes, over: threading.Event) -> Act:
    """Send one octet after the other, each long before a time-out, until the test is over; and read nothing."""

    def act(peer: Peer, reply: str) -> None:
        peer.send(start)
        while not over.wait(DROP):
            peer.send(b"x")
        raise Gone

    return act


def goes_on(act: Act, step: str) -> Act:
    """Do ``act`` with the ordinary reply of a step that ``SmtpServer`` leaves off at when it is faulty, and go on
    behind it.
    """

    def done(peer: Peer, reply: str) -> None:
        ordinary = {
            "auth": "235 2.7.0 welcome",
            "auth-answer": "235 2.7.0 welcome",
            "starttls": "220 2.0.0 go ahead",
            "data": "354 go ahead",
        }[step]
        act(peer, ordinary)
        if step == "starttls":
            peer.buffer = b""
            peer._handshake()
            peer.greeted = False
        elif step == "data":
            peer._read_dotted()
        elif step == "auth-answer":
            raise Welcome

    return done


def waits(ready: threading.Event | None) -> Act:
    """Wait until the client has come so far."""

    def act(peer: Peer, reply: str) -> None:
        assert ready is None or ready.wait(10)

    return act


def after_hello(act: Act) -> Act:
    """Wait for the client's first octets (a ClientHello) before doing ``act``."""

    def done(peer: Peer, reply: str) -> None:
        if not peer.sock.recv(1, socket.MSG_PEEK):
            raise Gone
        act(peer, reply)

    return done


def with_early(reply_ahead: bytes) -> Act:
    """Send the ordinary reply and, in the same segment, what answers nothing yet."""

    def act(peer: Peer, reply: str) -> None:
        peer.send(reply.encode() + b"\r\n" + reply_ahead)

    return act


def sends_and_ends(data: bytes, *, reading: bool = True) -> Act:
    """Send these octets, as fast as the client takes them, and then nothing more."""

    def act(peer: Peer, reply: str) -> None:
        peer.send(data)
        if reading:
            peer.wait_for_end()
            raise Gone

    return act


def shuts(peer: Peer, reply: str) -> None:
    """Send 421 and close, as RFC 5321 §3.8 wants it."""
    with contextlib.suppress(Gone):
        peer.send(b"421 4.3.2 shutting down\r\n")
    with contextlib.suppress(OSError):
        peer.sock.shutdown(socket.SHUT_WR)
    peer.wait_for_end()
    raise Gone


def fault(step: str, kind: str, over: threading.Event, ready: threading.Event | None = None) -> Fault:
    """Make the fault ``kind`` at ``step`` for a server; ``over`` ends what would last for ever, ``ready`` tells that
    the client has come to the step.
    """
    at = {
        "tls": "handshake",
        "final": "body",
        "ehlo again": "ehlo",
        "auth question": "auth-question",
        "auth answer": "auth-answer",
    }.get(step, step)
    if kind == "too early":
        return _early(step, over)
    still = then(sends(b"\x16\x03\x03" if step == "tls" else b"25"), deaf(over))
    acts: dict[str, Act] = {
        "silence": deaf(over) if step == "content" else silence,
        "reset": resets,
        "half a line": still if step in ("content", "tls") else half_line,
        "octet by octet": drips,
        "drip": drips_on(b"\x16\x03\x03\x3f\xff" if step == "tls" else b"250-", over),
        "garbage": sends_and_ends(NOISE, reading=step != "content"),
        "10 MB line": sends_and_ends(LINE, reading=step != "content"),
        "100,000 lines": sends_and_ends(LINES, reading=step != "content"),
        "wrong code": says(STRANGE.get(step, "354 what")),
        "4xx": says("451 4.3.0 try again later"),
        "5xx": says("554 5.0.0 no"),
        "421": says("421 4.3.2 shutting down") if step == "content" else shuts,
        "invalid UTF-8": sends(BAD_TEXT),
        "escapes": sends(ESCAPES),
        "extra reply": twice,
    }
    act = acts[kind]
    if step == "tls":
        return Fault(at, after_hello(act))
    if step == "content":  # and reads no more, so that the client surely hears it before it has sent all
        return Fault(at, act if kind in ("reset", "silence", "half a line") else then(act, deaf(over)))
    if step == "greet" and kind == "reset":
        return Fault(at, then(waits(ready), act))
    ordinary = kind in ("octet by octet", "half a line", "extra reply")
    if ordinary and at in ("auth", "auth-answer", "starttls", "data"):
        return Fault(at, goes_on(act, at))
    return Fault(at, act, nth=2 if step == "ehlo again" else 1, executed=ordinary and step != "content")


def _early(step: str, over: threading.Event) -> Fault:
    if step == "content":
        return Fault("content", then(says("250 2.0.0 queued already"), deaf(over)))
    ahead = {
        "data": b"354 go ahead\r\n",
        "auth": b"235 2.7.0 welcome\r\n",
        "auth question": b"334 PDE+\r\n",
        "auth answer": b"235 2.7.0 welcome\r\n",
    }.get(step, b"250 2.0.0 ok\r\n")
    before = BEFORE[step]
    if before in ("auth", "starttls"):
        return Fault(before, goes_on(with_early(ahead), before))
    return Fault(before, with_early(ahead), executed=True)
