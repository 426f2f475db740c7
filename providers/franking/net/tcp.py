"""Find a server's addresses and open a TCP connection to one of them: IPv6 and IPv4 race fairly (RFC 8305). No SMTP, no
TLS.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from franking.errors import ConnectError, ConnectTimeout, Evidence
from franking.message.idna import to_ascii
from franking.net.deadline import within

__all__ = ["Place", "connect", "is_public", "resolve"]

HEAD_START = 0.25  # seconds that an address gets before the next one joins the race (RFC 8305 §5)

Found = tuple[int, int, int, str, tuple[Any, ...]]
"""One result of ``socket.getaddrinfo``."""
Resolver = Callable[..., Sequence[Any]]

_RESOLVER_WORDS = {
    socket.EAI_NONAME: ("not-found", "is not known; check the server's name", False),
    socket.EAI_AGAIN: ("no-dns", "cannot be looked up now, because no name server answers", True),
    getattr(socket, "EAI_NODATA", socket.EAI_NONAME): ("no-address", "exists, but has no address", False),
    getattr(socket, "EAI_ADDRFAMILY", socket.EAI_NONAME): ("no-address", "exists, but has no address", False),
    socket.EAI_NONAME: ("not-found", "is not known; check the server's name", False),
}
_ERRNO_WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.EAFNOSUPPORT: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "reset",
    errno.EPIPE: "reset",
}
_WINDOWS_WORDS = {
    10061: "refused",
    10060: "timeout",
    10051: "unreachable",
    10065: "unreachable",
    10054: "reset",
    10053: "reset",
}
# of several failures, the one that says most about the server
_TELLING = ("refused", "timeout", "reset", "unreachable")
_SENTENCES = {
    "refused": "nothing listens there (connection refused)",
    "timeout": "no answer came in time",
    "unreachable": "there is no way to it from here (network unreachable)",
    "reset": "the connection was reset",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect: as typed, and with which security (for evidence only)."""

    host: str
    port: int
    security: str = "none"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def details(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "security": self.security}

    @property
    def wire(self) -> str:
        """Return the name for DNS and TLS: A-labels, no brackets, no final dot. Raises ``ValueError`` for what cannot be
        a name.
        """
        host = self.host[1:-1] if self.host[:1] == "[" and self.host[-1:] == "]" else self.host.removesuffix(".")
        if ":" in host:
            if not _is_literal(host):
                raise ValueError(f"{host!r} is neither a name nor an address")
            return host
        return to_ascii(host)


def why(problem: OSError) -> str:
    """Return the catalogue's word for a network failure."""
    if isinstance(problem, TimeoutError):
        return "timeout"
    number = problem.errno or 0
    return _ERRNO_WORDS.get(number) or _WINDOWS_WORDS.get(getattr(problem, "winerror", None) or number) or "unreachable"


def is_public(address: str) -> bool:
    """Return whether an IP address lies in the public internet (not loopback, private, link-local or shared)."""
    import ipaddress  # only a password without TLS asks

    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_global


def resolve(place: Place, *, timeout: float, resolver: Resolver | None = None) -> list[Found]:
    """Find the addresses of a server, IPv6 and IPv4 taking turns, in the system's order of preference.

    Raises ``ConnectError`` with evidence of kind ``dns``.
    """

    def failed(
        reason: str, words: str, temporary: bool, number: int | None = None, kind: type[ConnectError] = ConnectError
    ) -> ConnectError:
        evidence = Evidence("dns", text=words, reason=reason, details={**place.details, "errno": number, "tried": []})
        return kind(f"The server name {place.host!r} {words}.", step="resolve", temporary=temporary, evidence=evidence)

    try:
        name = place.wire
    except ValueError:
        raise failed("bad-name", "cannot be a server's name", False) from None
    try:
        found = _bounded(resolver or _system, name, place.port, timeout)
    except socket.gaierror as problem:
        reason, words, temporary = _RESOLVER_WORDS.get(
            problem.errno or 0, ("no-dns", f"cannot be looked up ({problem.strerror})", True)
        )
        raise failed(reason, words, temporary, problem.errno) from None
    except UnicodeError:
        raise failed("bad-name", "cannot be a server's name", False) from None
    except TimeoutError:
        raise failed(
            "no-dns", "cannot be looked up now, because no name server answered in time", True, kind=ConnectTimeout
        ) from None
    except OSError as problem:
        raise failed("no-dns", f"cannot be looked up ({problem.strerror})", True, problem.errno) from None
    if not found:
        raise failed("no-address", "exists, but has no address", False)
    return _take_turns(list(dict.fromkeys(found)))


def _system(name: str, port: int, **options: Any) -> list[Any]:
    """Ask the system. It takes A-labels as octets; a text it would send through the codec for IDNA, which must be
    loaded for that.
    """
    return socket.getaddrinfo(name.encode("ascii"), port, **options)


def _is_literal(name: str) -> bool:
    """Return whether a host is an IP address, with or without a zone."""
    address = name.partition("%")[0]
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except (OSError, ValueError):
        return False
    return True


def _bounded(resolver: Resolver, name: str, port: int, timeout: float) -> list[Found]:
    """Call the system's resolver, which knows no time-out, in a thread that may be left behind."""
    if _is_literal(name):
        return list(resolver(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    return within(timeout, lambda: list(resolver(name, port, type=socket.SOCK_STREAM)), name="franking-resolve")


def _take_turns(found: list[Found]) -> list[Found]:
    first = [each for each in found if each[0] == found[0][0]]
    second = [each for each in found if each[0] != found[0][0]]
    turns: list[Found] = []
    for index in range(max(len(first), len(second))):
        turns += first[index : index + 1] + second[index : index + 1]
    return turns


def connect(
    place: Place, found: Sequence[Found], *, timeout: float, clock: Callable[[], float] = time.monotonic
) -> socket.socket:
    """Open a TCP connection to the first address that answers; each next one joins after a head start, or as soon as
    one fails.

    All together get ``timeout`` seconds. Raises ``ConnectError`` with evidence of kind ``connect`` and every address
    tried.
    """
    tried: list[dict[str, Any]] = []
    started: dict[socket.socket, str] = {}
    waiting = list(found)
    end = clock() + timeout
    pause = min(HEAD_START, timeout / (len(waiting) + 1))
    selector = selectors.DefaultSelector()
    winner: socket.socket | None = None
    try:
        while winner is None and (waiting or started):
            if waiting:
                family, kind, protocol, _, address = waiting.pop(0)
                try:
                    candidate = socket.socket(family, kind, protocol)
                except OSError as problem:  # no IPv6 on this machine
                    tried.append(_attempt(address[0], problem))
                    continue
                started[candidate] = str(address[0])
                candidate.setblocking(False)
                try:
                    candidate.connect(address)
                    winner = candidate
                    break
                except (BlockingIOError, InterruptedError):
                    selector.register(candidate, selectors.EVENT_WRITE)
                except OSError as problem:
                    tried.append(_attempt(started.pop(candidate), problem))
                    candidate.close()
                    continue
            winner = _race(selector, started, tried, min(end, clock() + pause) if waiting else end, clock)
            if winner is None and clock() >= end:
                break
        if winner is not None:
            del started[winner]
            winner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            winner.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return winner
    except BaseException:
        if winner is not None:
            winner.close()
        raise
    finally:
        selector.close()
        for late in started:
            late.close()
    tried += [{"address": address, "reason": "timeout", "errno": None} for address in started.values()]
    raise _nobody(place, tried)


def _race(
    selector: selectors.BaseSelector,
    started: dict[socket.socket, str],
    tried: list[dict[str, Any]],
    until: float,
    clock: Callable[[], float],
) -> socket.socket | None:
    """Wait until one attempt succeeds, one fails, or ``until`` is reached."""
    failed = False
    while started and not failed:
        left = until - clock()
        ready = selector.select(max(left, 0))
        if not ready and left <= 0:
            return None
        for key, _ in ready:
            candidate = key.fileobj
            assert isinstance(candidate, socket.socket)
            number = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            selector.unregister(candidate)
            if not number:
                return candidate
            tried.append(_attempt(started.pop(candidate), OSError(number, os.strerror(number))))
            candidate.close()
            failed = True
    return None


def _attempt(address: Any, problem: OSError) -> dict[str, Any]:
    return {"address": str(address), "reason": why(problem), "errno": problem.errno}


def _nobody(place: Place, tried: list[dict[str, Any]]) -> ConnectError:
    reason = min((each["reason"] for each in tried), key=_TELLING.index, default="unreachable")
    number = next((each["errno"] for each in tried if each["reason"] == reason), None)
    evidence = Evidence(
        "connect", text=_SENTENCES[reason], reason=reason, details={**place.details, "tried": tried, "errno": number}
    )
    kind = ConnectTimeout if reason == "timeout" else ConnectError
    return kind(f"{place} cannot be reached: {_SENTENCES[reason]}.", step="connect", evidence=evidence)
