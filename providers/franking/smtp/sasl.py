"""SASL mechanisms, and which of them to use. A mechanism starts (initial response or None) and answers challenges; no
I/O.

PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), CRAM-MD5 (RFC 2195), XOAUTH2 (Google, Microsoft), OAUTHBEARER (RFC
7628). What goes over the wire and when is RFC 4954: ``login`` is that dialogue, a generator that says lines and hears
replies.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from franking.errors import Evidence, LoginError, SettingsError
from franking.redaction import HIDDEN, Redactor
from franking.smtp.protocol import Capabilities, Line, Reply, readable
from franking.text import json_object

__all__ = ["MECHANISMS", "TOKEN_MECHANISMS", "Credentials", "Mechanism", "choose", "hiding", "login"]

AUTH_LINE_LIMIT = 512
"""Octets of the whole AUTH line, CRLF included: Dovecot and Postfix refuse longer ones (RFC 4954 §4 allows no more
either)."""
CHALLENGES = 8  # no mechanism of ours needs more than two
_ENCODED = 40  # octets from which on a word may be something in base64 with a secret in it
TOKEN_MECHANISMS = ("xoauth2", "oauthbearer")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Hold who logs in and where: name, password or token, and the server (which OAUTHBEARER wants to hear)."""

    username: str
    secret: str = field(repr=False)
    host: str = ""
    port: int = 0

    def __post_init__(self) -> None:
        for name, value in (("username", self.username), ("password", self.secret)):
            if "\0" in value or "\r" in value or "\n" in value:
                words = f"The {name} contains a line break or a NUL; copy it again."
                raise SettingsError(words, field=name, step="login")
            if any("\ud800" <= char <= "\udfff" for char in value):
                raise SettingsError(f"The {name} contains half a character; copy it again.", field=name, step="login")


def hiding(redactor: Redactor) -> Callable[[bytes], bytes]:
    """Return what takes secrets out of the lines of a server, and out of the base64 of a challenge: the reason of an
    OAuth refusal may repeat the token (RFC 7628 §3.2.2), and a token that was encoded before.
    """

    def look(found: re.Match[bytes]) -> bytes:
        whole, word = found[0], found[0].rstrip(b"=")
        for lead in range(4):
            said = base64.b64decode(word[lead : len(word) - (len(word) - lead) % 4])
            if redactor.octets(said) != said:
                if len(whole) % 4 or whole != found.string.strip():
                    return HIDDEN.encode()
                return base64.b64encode(redactor.octets(base64.b64decode(whole)))  # a challenge, still to be read
        return whole

    innocent: dict[bytes, int] = {}  # lines without a secret: how many were known then; servers say few different ones

    def hide(line: bytes) -> bytes:
        known = len(redactor)
        if innocent.get(line) == known:
            return line
        hidden = line
        if len(line) > _ENCODED:
            hidden = re.sub(rb"[A-Za-z0-9+/]{%d,}+={0,2}" % _ENCODED, look, line)
        hidden = redactor.octets(hidden)
        if hidden == line and len(line) < _ENCODED + 99 and len(innocent) < 99:
            innocent[line] = known
        return hidden

    return hide


class Mechanism:
    """One SASL exchange. ``start`` gives the initial response (None: the server speaks first), ``next`` answers a
    challenge.

    ``failure`` is what an OAuth server sent as its reason (RFC 7628 §3.2.2): JSON, untrusted.
    """

    name = ""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self.failure: bytes | None = None
        self.proof = ""  # made of the password, and enough to try passwords with

    def start(self) -> bytes | None:
        return None

    def next(self, challenge: bytes) -> bytes:
        raise NotImplementedError


class Plain(Mechanism):
    name = "PLAIN"

    def start(self) -> bytes:
        return f"\0{self._credentials.username}\0{self._credentials.secret}".encode()

    def next(self, challenge: bytes) -> bytes:
        return self.start()  # a server that did not look at the initial response asks for it


class Login(Mechanism):
    """Two questions, whatever their words: the name, then the password."""

    name = "LOGIN"

    def __init__(self, credentials: Credentials) -> None:
        super().__init__(credentials)
        self._asked = 0

    def next(self, challenge: bytes) -> bytes:
        self._asked += 1
        return (self._credentials.username if self._asked == 1 else self._credentials.secret).encode()


class CramMd5(Mechanism):
    name = "CRAM-MD5"

    def next(self, challenge: bytes) -> bytes:
        import hmac  # and hashlib: 3 ms that no other mechanism waits for

        digest = hmac.new(self._credentials.secret.encode(), challenge, "md5").hexdigest()
        self.proof = digest
        return f"{self._credentials.username} {digest}".encode()


class XOAuth2(Mechanism):
    """``user=… ^A auth=Bearer … ^A ^A``; the reason for a refusal comes as a challenge and is answered with an empty
    line.
    """

    name = "XOAUTH2"
    acknowledgement = b""

    def start(self) -> bytes:
        return f"user={self._credentials.username}\x01auth=Bearer {self._credentials.secret}\x01\x01".encode()

    def next(self, challenge: bytes) -> bytes:
        if not challenge:
            return self.start()
        self.failure = challenge
        return self.acknowledgement


class OAuthBearer(XOAuth2):
    """RFC 7628 §3.1; the refusal's JSON is answered with a single ^A (``AQ==``)."""

    name = "OAUTHBEARER"
    acknowledgement = b"\x01"

    def start(self) -> bytes:
        who = self._credentials.username.replace("=", "=3D").replace(",", "=2C")
        place = f"host={self._credentials.host}\x01port={self._credentials.port}"
        return f"n,a={who},\x01{place}\x01auth=Bearer {self._credentials.secret}\x01\x01".encode()


MECHANISMS: dict[str, type[Mechanism]] = {
    "plain": Plain,
    "login": Login,
    "cram-md5": CramMd5,
    "xoauth2": XOAuth2,
    "oauthbearer": OAuthBearer,
}


def choose(auth: str, *, tls: bool, token: bool = False) -> tuple[str, ...]:
    """Return the mechanisms to try in order: the one that was asked for, or for ``auto`` what the line and the secret
    call for.

    Under TLS the simplest comes first (PLAIN answers in one line); without it CRAM-MD5, which does not show the
    password.
    """
    if auth != "auto":
        return (auth,)
    if token:
        return TOKEN_MECHANISMS
    return ("plain", "login", "cram-md5") if tls else ("cram-md5", "plain", "login")


def login(
    credentials: Credentials, capabilities: Capabilities, wanted: tuple[str, ...], redactor: Redactor, **details: Any
) -> Generator[Line, Reply, str]:
    """Log in: say AUTH lines, hear replies, return the mechanism's name.

    Another mechanism is tried only after 504 or 534 (this one is not the right one), never after 535 (a wrong password
    tried three ways locks accounts). Raises ``LoginError`` with evidence of kind ``sasl``.
    """
    offered = capabilities.auth
    details |= {"username": credentials.username, "mechanisms": list(offered)}
    usable = [name for name in wanted if name.upper() in offered]
    if not usable:
        reason = "no-mechanism" if offered else "auth-not-offered"
        what = f"only {', '.join(offered)}, not {' or '.join(wanted).upper()}" if offered else "no login at all"
        evidence = Evidence("sasl", reason=reason, details={**details, "wanted": list(wanted)})
        raise LoginError(f"A login was asked for, but the server offers {what}.", evidence=evidence)
    # in no variable: this frame is in what is raised
    redactor.add(credentials.secret)
    while True:
        mechanism = MECHANISMS[usable.pop(0)](credentials)
        reply = yield from _attempt(mechanism, redactor)
        if reply.code == 235:
            return mechanism.name
        if reply.code not in (504, 534) or not usable:
            raise _refusal(reply, mechanism, redactor, details)


def _attempt(mechanism: Mechanism, redactor: Redactor) -> Generator[Line, Reply, Reply]:
    """Speak one exchange; return the last reply, a 334 where nobody could go on. It raises nothing: its variables hold
    the secret in plain.
    """
    command = f"AUTH {mechanism.name}"
    line = Line(f"{command}\r\n".encode(), command)
    response = mechanism.start()
    if response is not None:
        encoded = base64.b64encode(response)
        redactor.add_whole(encoded.decode())
        whole = b"%b %b\r\n" % (command.encode(), encoded)
        if len(whole) <= AUTH_LINE_LIMIT:
            line, response = Line(whole, f"{command} {HIDDEN}"), None
    reply = yield line
    for _ in range(CHALLENGES):
        if reply.code != 334 or (challenge := _decoded(reply)) is None:
            return reply
        if response is None:
            response = mechanism.next(challenge)
        encoded, response = base64.b64encode(response), None
        shown = HIDDEN
        if mechanism.failure is None:
            redactor.add_whole(encoded.decode())
            redactor.add(mechanism.proof)
        else:  # the acknowledgement of a refusal holds no secret
            shown = encoded.decode()
        reply = yield Line(encoded + b"\r\n", shown)
    return reply


def _decoded(reply: Reply) -> bytes | None:
    try:
        return base64.b64decode(reply.lines[-1].strip(), validate=True)
    except binascii.Error:
        return None


def _refusal(reply: Reply, mechanism: Mechanism, redactor: Redactor, details: dict[str, Any]) -> LoginError:
    details["mechanism"] = mechanism.name
    if reply.code == 334:
        if _decoded(reply) is None:
            evidence = reply.evidence("sasl", "bad-challenge", **details)
            return LoginError("The server's question during the login is not readable.", evidence=evidence)
        evidence = reply.evidence("sasl", "endless-challenges", **details)
        return LoginError("The server kept asking instead of answering the login.", temporary=False, evidence=evidence)
    if mechanism.failure is not None:
        details["sasl"] = _failure(mechanism.failure, redactor)
    words = "The server refused the login"
    if reply.temporary:
        words += " for now"
    token = isinstance(mechanism, XOAuth2) and not reply.temporary and (reply.code == 535 or "sasl" in details)
    evidence = reply.evidence("sasl", **details)
    return LoginError(f"{words}: {reply}", token_refused=token, temporary=reply.temporary, evidence=evidence)


def _failure(challenge: bytes, redactor: Redactor) -> dict[str, str] | str:
    """Read the refusal's JSON; what is no JSON object is kept as text."""

    def shown(value: object) -> str:
        return readable(redactor(str(value)).encode("utf-8", "backslashreplace"), 500)

    read = json_object(challenge)
    if read is not None:
        return {shown(key): shown(value) for key, value in list(read.items())[:20]}
    return readable(redactor.octets(challenge), 500)
