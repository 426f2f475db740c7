"""The fault matrix of SMTP: what a client must make of every way to misbehave at every step. Values only;
``docs/generate.py`` prints them.

``faults/test_smtp.py`` does each fault to a real session over sockets. A mode is a way in which messages leave:
``chunking`` (one flight), ``pipelining`` (groups) and ``dialogue`` (one command at a time). Up to the login the mode
makes no difference.
"""

from __future__ import annotations

from dataclasses import dataclass

MODES = ("chunking", "pipelining", "dialogue")

STEPS = {
    "connect": "the TCP handshake",
    "greet": "the greeting",
    "ehlo": "the answer to EHLO",
    "starttls": "the answer to STARTTLS",
    "tls": "the TLS handshake",
    "ehlo again": "the answer to the second EHLO, under TLS",
    "auth": "the answer to the login",
    "auth question": "the server's question in a login of two steps (CRAM-MD5)",
    "auth answer": "the answer to the second step",
    "mail": "the answer to MAIL",
    "rcpt": "the answer to RCPT",
    "data": "the answer to DATA",
    "content": "in the middle of a large content",
    "final": "the answer to the content",
    "rset": "the answer to RSET, after a refused message",
    "quit": "the answer to QUIT",
}

FAULTS = {
    "silence": "nothing comes any more",
    "reset": "the connection is reset (at the TCP handshake: refused)",
    "half a line": "half a line, then nothing",
    "octet by octet": "the right answer, one octet at a time",
    "drip": "one octet after the other, for ever",
    "garbage": "octets that are no text",
    "10 MB line": "one line of ten million octets",
    "100,000 lines": "a hundred thousand continuation lines",
    "too early": "the answer comes before the command, in one segment with the answer before",
    "wrong code": "a code that is no answer here",
    "4xx": "451 4.3.0",
    "5xx": "554 5.0.0",
    "421": "421 4.3.2, and the connection is closed",
    "invalid UTF-8": "550 with octets that are no UTF-8",
    "escapes": "550 with terminal escape sequences",
    "extra reply": "the answer comes twice",
}

WAITING = ("silence", "half a line", "drip")  # nothing that ends, ever: only the time-out tells
MALFORMED = ("garbage", "10 MB line", "100,000 lines")
REFUSING = ("5xx", "invalid UTF-8", "escapes")


@dataclass(frozen=True)
class Expected:
    """What must come of a cell: no ``error`` = the message is accepted and closing is quiet. ``closed``: the session is
    of no more use.
    """

    error: str = ""
    step: str = ""
    temporary: bool = False
    possibly_sent: bool = False
    code: str = ""
    closed: bool = True


ACCEPTED = Expected(closed=False)
UNKNOWN = Expected("OutcomeUnknown", "accepted", False, True, "outcome.unknown")
STALE = Expected("ConnectError", "message", True, False, "protocol.error")


def broken(step: str, code: str, *, timeout: bool = False, temporary: bool = True) -> Expected:
    return Expected("ConnectTimeout" if timeout else "ConnectError", step, temporary, False, code)


def expected(step: str, fault: str, mode: str = "chunking") -> Expected | None:
    """Return what must come of a cell; None where there is no such cell."""
    match step:
        case "connect":
            return _connect(fault)
        case "greet" | "ehlo" | "ehlo again":
            return _greet(step, fault)
        case "starttls" | "tls":
            return _tls(step, fault)
        case "auth" | "auth question" | "auth answer":
            return _login(step, fault)
        case "quit":
            return None if fault == "too early" else ACCEPTED
        case _:
            return _message(step, fault, mode)


def allowed(step: str, fault: str, mode: str, *, apart: bool = False) -> tuple[Expected | None, ...]:
    """Return what may come of a cell: one thing, but where a surplus reply races. ``apart``: each reply is a segment of
    its own.
    """
    wanted = expected(step, fault, mode)
    if (step, fault, mode) == ("data", "too early", "pipelining"):
        # DATA shares RCPT's flight: the early 354 may come in a segment of its own, and then the content leaves before
        # the real one shows that it was too early
        return wanted, UNKNOWN
    if apart and mode == "chunking" and fault in ("too early", "extra reply") and wanted == UNKNOWN:
        # pushed on by one, RCPT's reply answers the content; its own may come when nobody looks any more
        return wanted, ACCEPTED
    return (wanted,)


def _connect(fault: str) -> Expected | None:
    # the server says nothing here: whatever else it does is the greeting
    return {
        "silence": broken("connect", "connect.timeout", timeout=True),
        "reset": broken("connect", "connect.refused"),
    }.get(fault)


def _greet(step: str, fault: str) -> Expected | None:
    first = step == "greet"
    match fault:
        case "silence":
            return broken("greet", "greet.silent", timeout=True)
        # the first octets tell that something else than SMTP listens; later they are only late
        case "half a line" | "drip":
            return (
                broken("greet", "greet.not-smtp", temporary=False)
                if first
                else broken("greet", "greet.silent", timeout=True)
            )
        case "reset":
            return broken("greet", "greet.closed")
        case "octet by octet":
            return ACCEPTED
        case "garbage":
            return broken("greet", "greet.not-smtp", temporary=not first)
        case "10 MB line" | "100,000 lines":
            return broken("greet", "greet.not-smtp", temporary=False) if first else broken("greet", "protocol.error")
        case "too early":  # behind the handshake it cannot come in one segment with anything
            return broken("greet", "protocol.error") if step == "ehlo" else None
        case "wrong code":
            return broken("greet", "protocol.error", temporary=False)
        case "4xx":
            return broken("greet", "server.trouble")
        case "421":
            return Expected("Throttled", "greet", True, False, "server.not-now")
        case "extra reply":
            return broken("greet" if first else "login", "protocol.error")
        case _:
            return broken("greet", "greet.refused", temporary=False)


def _tls(step: str, fault: str) -> Expected | None:
    if fault in WAITING:
        return broken("tls", "tls.interrupted", timeout=True)
    if step == "tls":  # anything that is no TLS is the same to the handshake
        if fault in ("octet by octet", "wrong code", "extra reply"):
            return None
        if fault == "too early":
            return Expected("TLSError", "tls", False, False, "tls.injected")
        return Expected("TLSError", "tls", fault == "reset", False, "tls.interrupted")
    if fault == "reset":
        return broken("tls", "tls.interrupted")
    if fault in MALFORMED or fault == "too early":
        return broken("tls", "protocol.error")
    if fault == "octet by octet":
        return ACCEPTED
    if fault == "extra reply":
        return Expected("TLSError", "tls", False, False, "tls.injected")
    return Expected("TLSError", "tls", fault in ("4xx", "421"), False, "tls.server-trouble")


def _login(step: str, fault: str) -> Expected | None:
    match fault:
        case "silence" | "half a line" | "drip":
            return broken("login", "connect.stalled", timeout=True)
        case "reset":
            return broken("login", "connect.lost")
        case "octet by octet":
            return ACCEPTED
        case "extra reply":  # seen before the password, or the first message, leaves
            return broken("login", "protocol.error") if step == "auth question" else STALE
        case "4xx" | "421":
            code = "server.not-now" if fault == "421" else "server.trouble"
            return Expected("LoginError", "login", True, False, code)
        case "wrong code":
            return Expected("LoginError", "login", False, False, "protocol.error")
        case "5xx" | "invalid UTF-8" | "escapes":
            return Expected("LoginError", "login", False, False, "login.failed")
        case _:
            return broken("login", "protocol.error")


def _message(step: str, fault: str, mode: str) -> Expected | None:
    flight = mode == "chunking"  # everything has left before the first answer: what breaks then may have been accepted
    if step == "data" and flight:
        return None
    if step in ("final", "rset") and fault == "too early":
        return None  # for the content it is the row above; for RSET an extra answer to the message before
    over = step == "final" or (flight and step != "content")
    match fault:
        case "silence" | "half a line" | "drip":
            return UNKNOWN if over else broken("message", "connect.stalled", timeout=True)
        case "reset":
            return UNKNOWN if over else broken("message", "connect.lost")
        case "octet by octet":
            return None if step == "content" else ACCEPTED
        case "wrong code":
            return UNKNOWN if over else STALE
        case "too early":
            # one flight: the answers are one too many, and nobody can tell which was meant for the message; before MAIL
            # somebody looks
            return UNKNOWN if flight and step == "rcpt" else STALE
        case "extra reply":
            if step == "content":
                return None
            if step == "final" and mode == "dialogue":  # the first answers the content: nothing else was asked
                return ACCEPTED
            return UNKNOWN if over else STALE
        case "4xx" | "5xx" | "421" | "invalid UTF-8" | "escapes":
            return _refused(step, fault, mode)
        case _:
            return UNKNOWN if over else STALE


def _refused(step: str, fault: str, mode: str) -> Expected:
    flight = mode == "chunking"
    temporary = fault in ("4xx", "421")
    code = "server.trouble" if temporary else "send.refused"
    ends = fault == "421" or step == "content"
    if fault == "421":
        where = "accepted" if step in ("content", "final") else "message"
        return Expected("Throttled", where, True, False, "server.not-now")
    if step == "rcpt":
        return Expected(
            "RecipientsRefused",
            "message",
            temporary,
            False,
            "server.trouble" if temporary else "recipient.refused",
            False,
        )
    if step == "rset" and fault == "4xx" and mode == "dialogue":
        return Expected("ConnectError", "message", True, False, code)  # the session's end, a new one tells
    if step == "rset":  # cannot be refused for good (RFC 5321 §4.1.1.5), and what is accepted behind it proves nothing
        return UNKNOWN if flight else STALE
    return Expected("Refused", "accepted" if step in ("content", "final") else "message", temporary, False, code, ends)


def cells() -> list[tuple[str, str, str]]:
    """Return every cell: step, fault, mode. Steps before the first message have one mode."""
    return [
        (step, fault, mode)
        for step in STEPS
        for fault in FAULTS
        for mode in (MODES if step in ("mail", "rcpt", "data", "content", "final", "rset", "quit") else MODES[:1])
        if expected(step, fault, mode) is not None
    ]
