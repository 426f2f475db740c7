"""What a failed HTTP request means for a message: not accepted, temporary, or unknown. Nothing is sent here."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from franking.errors import (
    ConnectError,
    ConnectTimeout,
    Evidence,
    FrankingError,
    LoginError,
    OutcomeUnknown,
    Refused,
    Throttled,
    TLSError,
)
from franking.net import tcp
from franking.text import bounded

__all__ = ["Unconnected", "busy", "from_exception", "from_response", "never_left", "retry_after"]

LONGEST_WAIT = 24 * 3600.0
"""Seconds; a Retry-After beyond a day is a broken clock or a joke."""

_SURELY_NOT = (501, 507)  # not implemented; no room, which Exchange says of a full mailbox


class Unconnected(OSError):
    """No connection came about, so that nothing of a request has left; its cause says why.

    ``stage`` is how far it came: ``connect`` or ``tls``; ``proxy`` is the one on the way, until it has let us through.
    """

    def __init__(self, stage: str, proxy: str | None = None) -> None:
        super().__init__(stage, proxy)
        self.stage, self.proxy = stage, proxy


def retry_after(value: str | None, *, clock: Callable[[], float] = time.time) -> float | None:
    """Read a Retry-After header, seconds or a date (RFC 9110 §10.2.3), as seconds from now: 0 to one day; None where it
    says nothing.
    """
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - clock()
        except (ValueError, OverflowError, TypeError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT)


def busy(status: int, headers: Mapping[str, str], words: str, text: str = "") -> ConnectError:
    """Return the error of a sign-in service that wants to be asked later; ``words`` are its sentence."""
    details = {}
    wait = retry_after(headers.get("Retry-After"))
    if wait is not None:
        details["retry_after"] = wait
    evidence = Evidence("http", code=status, text=bounded(text), details=details)
    return ConnectError(words, step="secret", evidence=evidence)


def from_response(
    status: int,
    headers: Mapping[str, str],
    *,
    service: str,
    text: str = "",
    reason: str | None = None,
    final: bool = True,
    details: Mapping[str, Any] | None = None,
    throttled: Collection[str] = (),
) -> FrankingError:
    """Return the error that a response which is no success means for the message.

    ``final`` marks the request that would have made ``service`` accept the message: after its body a 5xx leaves open
    whether it did (``OutcomeUnknown``). 429, 503 with Retry-After, and the ``reason`` words in ``throttled`` are surely
    not accepted (``Throttled``), 401 is a token that a newer one may replace (``LoginError``), everything else is
    ``Refused``, temporary for 408 and for 5xx before the final request.
    """
    facts = dict(details or {})
    wait = retry_after(headers.get("Retry-After"))
    if wait is not None:
        facts["retry_after"] = wait
    said = bounded(text)
    evidence = Evidence("http", code=status, text=said, reason=reason, details=facts)
    words = ": ".join(filter(None, (f"{service} answered {status} {reason or ''}".rstrip(), said)))
    if not words.endswith((".", "!", "?", "…")):
        words += "."
    step = "accepted" if final else "message"
    if status == 401:
        return LoginError(words, token_refused=True, evidence=evidence)
    if status == 429 or (status == 503 and wait is not None) or (reason is not None and reason in throttled):
        return Throttled(words, retry_after=wait, step=step, evidence=evidence)
    unclear = status >= 500 and status not in _SURELY_NOT
    if unclear and final:
        return OutcomeUnknown(f"{words} It may have been accepted all the same.", step=step, evidence=evidence)
    return Refused(words, step=step, temporary=status == 408 or unclear, evidence=evidence)


def from_exception(
    problem: BaseException, *, service: str, url: str, handed_over: bool = False, step: str | None = None
) -> FrankingError:
    """Return the error that a broken or impossible connection means for the message.

    ``problem`` is what requests, urllib3 or http.client raised. ``handed_over`` says that the whole of a final request
    had left: then only the response is missing, and the outcome is unknown. The error names host and port, never a path
    or a query.
    """
    parts = urlsplit(url)
    place = {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port or 443}
    chain = list(_causes(problem))
    kind, reason, said, details = _most_telling(chain)
    where = f"{service} ({parts.hostname})"
    unconnected = next((link for link in chain if isinstance(link, Unconnected)), None)
    stage = None
    if unconnected is not None:
        stage = unconnected.stage
        if unconnected.proxy:
            details["proxy"] = unconnected.proxy
            where += f", through the proxy {unconnected.proxy},"
    evidence = Evidence(kind, text=said, reason=reason, details={**details, **place})
    if handed_over:
        unknown = f"{where} got the message and did not answer ({reason}); it may have been accepted."
        return OutcomeUnknown(unknown, step="accepted", evidence=evidence)
    if kind == "tls":
        words = f"The encrypted connection to {where} could not be made: {said}."
        return TLSError(words, step=step or "tls", evidence=evidence)
    if reason == "timeout":
        return ConnectTimeout(f"{where} was silent for too long.", step=step or stage or "connect", evidence=evidence)
    words = f"{where} could not be reached: {_WORDS.get(reason, 'the connection broke off')}."
    made = ConnectTimeout if any(isinstance(link, ConnectTimeout) for link in chain) else ConnectError
    return made(words, step=step or ("resolve" if kind == "dns" else stage) or "connect", evidence=evidence)


def never_left(problem: BaseException) -> bool:
    """Return whether a request surely never left: no connection came about."""
    return any(isinstance(link, Unconnected) for link in _causes(problem))


_WORDS = {
    "refused": "nothing answers on that port",
    "unreachable": "the network leads nowhere",
    "not-found": "there is no such name",
    "no-dns": "the name could not be looked up",
    "no-address": "the name has no address",
    "proxy": "the proxy refused to help",
}
# by the names of classes, so that neither requests nor urllib3 is imported
_LIBRARIES_OWN = (
    ("connect", "timeout", {"ReadTimeoutError", "ConnectTimeoutError", "ReadTimeout", "ConnectTimeout"}),
    ("dns", "bad-name", {"InvalidURL", "LocationParseError", "UnicodeError"}),
    ("connect", "proxy", {"ProxyError", "InvalidProxyURL"}),
)

Meaning = tuple[str, str, str, dict[str, Any]]
"""An evidence's kind and reason, the operating system's words, and details."""


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """Go from an SDK's exception down to what the operating system said; they nest by cause, by argument and by
    ``reason``.
    """
    seen: set[int] = set()
    current: BaseException | None = problem
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        if isinstance(current, FrankingError):  # our own way to connect has told it all
            return
        nested = [current.__cause__, getattr(current, "reason", None), *reversed(current.args), current.__context__]
        current = next((one for one in nested if isinstance(one, BaseException)), None)


def _most_telling(chain: list[BaseException]) -> Meaning:
    """Return what the chain's most telling link means: the innermost that the operating system or TLS raised.

    Only the words of system errors are kept: those of requests and urllib3 quote whole URLs.
    """
    for link in reversed(chain):
        said = bounded(str(link), 300)
        match link:
            case ConnectError(evidence=Evidence(kind=kind, reason=reason, text=told, details=details)):
                return kind, reason or "closed", told, dict(details)
            case Unconnected():
                continue
            case ssl.SSLCertVerificationError(reason=reason, verify_code=code, verify_message=words):
                return "tls", reason or "certificate", said, {"verify_code": code, "verify_message": words}
            # the last is how Python 3.14 calls the first while it writes
            case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ssl.SSLError(reason="UNEXPECTED_EOF_WHILE_READING"):
                return "connect", "closed", said, {}
            case ssl.SSLError():
                return "tls", getattr(link, "reason", None) or "handshake", said, {}
            case socket.gaierror(errno=number):
                return "dns", tcp.why_unresolved(link)[0], said, {"errno": number}
            case http.client.RemoteDisconnected() | http.client.IncompleteRead():
                return "connect", "closed", "closed", {}
            case TimeoutError():
                return "connect", "timeout", said, {}
            case OSError(errno=number) if type(link) is OSError or isinstance(link, ConnectionError):
                if said.startswith("Tunnel connection failed"):  # http.client's words for a proxy's refusal of CONNECT
                    return "connect", "proxy", said, {}
                return "connect", tcp.why(link), said, {"errno": number}
            case _:
                continue
    names = {type(link).__name__ for link in chain}
    for kind, reason, known in _LIBRARIES_OWN:
        if names & known:
            return kind, reason, reason, {}
    return "connect", "closed", "closed", {}
