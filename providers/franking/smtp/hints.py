"""What looks wrong in an SMTP account's settings and password. It only points: nothing is changed, and no password is
ever shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from franking.account.account import Account
from franking.diagnosis.diagnosis import Hint
from franking.smtp.services import service_at
from franking.text import DIRECTION_CONTROLS, DIRECTION_MARKS, JOINERS

__all__ = ["hints", "wants_address"]

USUAL_SECURITY = {
    25: ("none", "starttls"),
    465: ("tls",),
    587: ("starttls",),
    2525: ("none", "starttls"),
    2465: ("tls",),
    2587: ("starttls",),
}
"""Which kinds of security a port usually has, the likeliest first (RFC 8314; 2525, 2465 and 2587 are mail services'
spare ports).
"""

INCOMING = {110: "POP3", 143: "IMAP", 993: "IMAP", 995: "POP3", 80: "the web", 443: "the web", 22: "SSH", 21: "FTP"}
"""Ports that people copy from the wrong line of a help page."""

# Blanks in the wide sense: str.isspace() and what browsers and word processors add without a visible trace.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u180e\u200b\u2060\u2061\u2062\u2063\u2064\ufeff"
    + JOINERS
    + DIRECTION_MARKS
    + DIRECTION_CONTROLS
)
_NAMES = {
    "\u00a0": "non-breaking blank",
    "\u00ad": "soft hyphen",
    "\u200b": "zero-width blank",
    "\u200c": "zero-width non-joiner",
    "\u200d": "zero-width joiner",
    "\u202f": "narrow non-breaking blank",
    "\u2060": "word joiner",
    "\ufeff": "byte order mark",
}
_QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("„", "“"), ("‘", "’"), ("‚", "‘"), ("«", "»"), ("`", "`"))
_APP_PASSWORD = re.compile(r"[a-z]{4}(?:[ \u00a0][a-z]{4}){3}")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def wants_address(host: object) -> bool:
    """Return whether a login name there is a whole address, as it is nearly everywhere: a few take its first part, or
    hand out names of their own.
    """
    service = service_at(host)
    return service is None or service.username in ("address", "none")


def hints(account: Account, secret: str | None) -> tuple[Hint, ...]:
    """Look at an account's server, port, login name and (where there is one) its password; the weightiest first."""
    return (
        *_of_secret(account, secret),
        *_of_username(account),
        *_of_host(account),
        *_of_port(account),
        *_of_no_username(account),
    )


def _of_secret(account: Account, secret: str | None) -> Iterator[Hint]:
    if secret is None or not account.username:
        return
    seen = sorted({char for char in secret if _unseen(char)})
    names = ", ".join(_NAMES.get(char, f"U+{ord(char):04X}") for char in seen)
    body = secret.strip("\r\n")
    core = body.strip()
    app_password = _APP_PASSWORD.fullmatch(core.lower())
    wrong = {
        "secret.empty": not secret,
        "secret.newline": any(char in secret for char in "\r\n\x0b\x0c\x85\u2028\u2029"),
        "secret.invisible": seen,
        "secret.app-password-blanks": app_password,
        "secret.trailing-blank": body[-1:].isspace(),
        "secret.leading-blank": core and body[:1].isspace(),
        "secret.inner-blank": not app_password and any(char.isspace() for char in core),
        "secret.quotes": _quoted(core),
        "secret.equals-username": secret == account.username,
    }
    values = {"account": account.reference, "character": names}
    yield from (Hint(code, values) for code, found in wrong.items() if found)


def _of_username(account: Account) -> Iterator[Hint]:
    name, address = account.username, account.sender.address
    if not name:
        return
    clean = _clean(name)
    values = {"account": account.reference, "username": name, "address": address, "username_clean": clean}
    if _quoted(clean):
        yield Hint("username.quotes", {**values, "username_clean": clean[1:-1].strip()})
    elif clean != name:
        yield Hint("username.blank", values)
    if account.host == "localhost" or not wants_address(account.host):
        return
    if "@" not in clean:
        local, _, domain = address.partition("@")
        whole = f"{clean}@{domain}"
        if " " in whole or local.lower() == clean.lower():
            whole = address
        yield Hint("username.not-an-address", {**values, "whole_address": whole})
    elif clean.strip("\"'").casefold() != address.casefold():
        yield Hint("username.other-mailbox", values)


def _of_no_username(account: Account) -> Iterator[Hint]:
    """Point at a login name that is missing: at a service that is known for wanting one, or at a port for which
    RFC 6409 §4.3 asks for one.
    """
    if account.username:
        return
    service, values = service_at(account.host), {"account": account.reference, "address": account.sender.address}
    if service is not None:
        if service.username != "none":
            login = service.login(account.sender.address) or "NAME"
            yield Hint("username.missing", {**values, "address": login, "service": service.name})
    elif account.port in (465, 587) and not _local(account.host):
        yield Hint("username.missing", {**values, "port": account.port})


def _of_host(account: Account) -> Iterator[Hint]:
    host = account.host or ""
    clean = _clean(host)
    values = {"account": account.reference, "host": host}
    if clean != host:
        yield Hint("host.blank", {**values, "host_clean": clean})
    bare = _SCHEME.sub("", clean)
    inside = re.fullmatch(r"(\[[^\]]*\]|[^:/\[]+):(\d{1,5})/*", bare)
    name = (inside[1] if inside else bare.partition("/")[0]).strip("[]")
    if _SCHEME.match(clean) or "/" in clean:
        yield Hint("host.scheme", {**values, "host_clean": name})
    if inside:
        yield Hint("host.port", {**values, "host_clean": name, "port_inside": int(inside[2])})
    if "@" in name:
        yield Hint("host.address", {**values, "host_clean": f"smtp.{name.rpartition('@')[2]}"})
    elif (
        account.security != "none"
        and re.fullmatch(r"\d+\.\d+\.\d+\.\d+|[0-9a-fA-F]*:[0-9a-fA-F:.]+", name)
        and not name.startswith("127.")
    ):
        yield Hint("host.ip-with-tls", values)


def _of_port(account: Account) -> Iterator[Hint]:
    port, security = account.port, account.security
    values = {"account": account.reference, "host": account.host, "port": port, "security": security}
    usual = USUAL_SECURITY.get(port)
    if port in INCOMING:
        yield Hint("port.incoming", {**values, "service": INCOMING[port]})
    elif usual and security not in usual:
        yield Hint("port.security", {**values, "usual_security": usual[-1] if security == "tls" else usual[0]})
    if security == "none" and account.username and not _local(account.host):
        yield Hint("port.none-with-login", values)


def _unseen(char: str) -> bool:
    """Return whether nobody can see this character: zero-width, direction marks, and blanks that are not the space
    bar's.
    """
    return char in _INVISIBLE or (char.isspace() and char not in " \t\r\n\x0b\x0c\x85\u2028\u2029")


def _clean(text: str) -> str:
    return "".join(char for char in text if char not in _INVISIBLE).strip()


def _quoted(text: str) -> bool:
    return len(text) > 2 and (text[0], text[-1]) in _QUOTES


def _local(host: str | None) -> bool:
    name = (host or "").strip().lower()
    return name == "localhost" or name.startswith("127.") or name == "::1"
