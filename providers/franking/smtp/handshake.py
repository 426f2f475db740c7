"""The beginning of a session as dialogues: greeting, EHLO, STARTTLS. They say lines and hear replies; no I/O.

The login is in ``sasl.py``; who leads the dialogues over a connection is in ``open.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from franking.errors import ConnectError, Evidence, SendError, SettingsError, Throttled, TLSError
from franking.message.idna import to_ascii
from franking.net.tcp import Place, is_public
from franking.smtp.connection import Dialogue
from franking.smtp.protocol import Capabilities, Line, Reply, command, parse_ehlo

__all__ = ["check_greeting", "check_plain_login", "ehlo_name", "hello", "starttls"]


def ehlo_name(configured: str | None, local: str) -> str:
    """Return the name to greet with: the account's, else the socket's address literal (RFC 5321 §4.1.3). Raises
    ``SettingsError``.
    """
    if configured:
        if any(char <= " " or char == "\x7f" for char in configured):
            words = f"ehlo_name: {configured!r} contains a blank or a control character; give one host name."
            raise SettingsError(words, field="ehlo_name")
        if configured.isascii():
            return configured
        try:
            return to_ascii(configured)
        except ValueError as problem:
            raise SettingsError(f"ehlo_name: {problem}.", field="ehlo_name") from None
    address = local.partition("%")[0]
    if ":" not in address:
        return f"[{address}]"
    mapped = address.removeprefix("::ffff:")  # the system writes an IPv4 address so on a socket that takes both
    return f"[{mapped}]" if "." in mapped else f"[IPv6:{address}]"


def check_greeting(reply: Reply, place: Place) -> None:
    """Look at the server's first words. Raises ``Throttled`` for 421, ``ConnectError`` for any other refusal."""
    if reply.code != 220:
        raise _rejected(reply, place, "turned us away")


def hello(name: str, place: Place) -> Dialogue[Capabilities]:
    """Say EHLO, or HELO to a server that does not know it."""
    reply = yield _line(f"EHLO {name}")
    if reply.code in (500, 502):
        reply = yield _line(f"HELO {name}")
        if reply.code == 250:
            return Capabilities(reply.text.partition(" ")[0])
    if reply.code != 250:
        raise _rejected(reply, place, f"did not accept our greeting as {name}")
    return parse_ehlo(reply)


def starttls(capabilities: Capabilities, place: Place) -> Dialogue[None]:
    """Ask for TLS. Raises ``TLSError`` where it is not on offer, before any secret or address has left."""
    if "STARTTLS" not in capabilities:
        details = {**place.details, "offered": sorted(capabilities.words)}
        words = (
            f'{place} offers no STARTTLS. Try security = "tls" on port 465, or "none" if the server really has no TLS.'
        )
        raise TLSError(words, step="tls", evidence=Evidence("tls", reason="starttls-not-offered", details=details))
    reply = yield _line("STARTTLS")
    if reply.code != 220:
        words = f"{place} offered STARTTLS and then refused it: {reply}"
        evidence = reply.evidence("smtp", "starttls-refused", **place.details)
        raise TLSError(words, step="tls", temporary=reply.temporary, evidence=evidence)


def check_plain_login(peer: str, *, tls: bool, token: bool, allowed: bool, details: Mapping[str, Any]) -> None:
    """Refuse a login that anybody on the way could read: a password to a public address (unless ``allowed``), a token
    always.
    """
    if tls or (not token and (allowed or not is_public(peer))):
        return
    words = (
        f"A password does not go to {peer} without TLS; set security to starttls or tls, "
        "or allow_plain_login = true if you accept that anybody on the way can read it."
    )
    if token:
        words = f"An access token does not go to {peer} without TLS; set security to starttls or tls."
    evidence = Evidence("settings", reason="plain-login", details={**details, "peer": peer, "token": token})
    raise SettingsError(words, field="security", step="login", evidence=evidence)


def _line(text: str) -> Line:
    return Line(command(text), text)


def _rejected(reply: Reply, place: Place, what: str) -> SendError:
    evidence = reply.evidence("smtp", **place.details)
    words = f"{place} {what}: {reply}"
    if reply.code == 421:
        return Throttled(words, step="greet", evidence=evidence)
    return ConnectError(words, step="greet", temporary=reply.temporary, evidence=evidence)
