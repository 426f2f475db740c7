"""Find a server's addresses and open a TCP connection to one of them: IPv6 and IPv4 race fairly (RFC 8305). No SMTP, no
TLS.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from franking.errors import ConnectError, ConnectTimeout, Evidence
from franking.message.idna import to_ascii

__all__ = ["Place", "connect", "is_public", "resolve"]

HEAD_START = 0.25  # seconds that an address gets before the next one joins the race (RFC 8305 §5)

Found = tuple[int, int, int, str, tuple[Any, ...]]
"""One result of ``socket.getaddrinfo``."""
Resolver = Callable[..., Sequence[Any]]

_NAT64 = bytes.fromhex("0064ff9b") + bytes(8)  # IPv4 addresses as a network without IPv4 writes them (RFC 6052 §2.1)
_OWN_NAT64 = bytes.fromhex("0064ff9b0001") + bytes(6)  # the same with a prefix of the network's own (RFC 8215)
_COMPATIBLE = bytes(12)  # IPv4 within IPv6 of old (RFC 4291 §2.5.5.1)
_RESOLVER_WORDS = {
    socket.EAI_AGAIN: ("no-dns", "cannot be looked up now, because no name server answers", True),
    getattr(socket, "EAI_NODATA", socket.EAI_NONAME): ("no-address", "exists, but has no address", False),
    getattr(socket, "EAI_ADDRFAMILY", socket.EAI_NONAME): ("no-address", "exists, but has no address", False),
    socket.EAI_NONAME: ("not-found", "is not known; check the server's name", False),
}
_SENTENCES = {  # of several failures, the first says most about the server
    "refused": "nothing listens there (connection refused)",
    "timeout": "no answer came in time",
    "reset": "the connection was reset",
    "unreachable": "there is no way to it from here (network unreachable)",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect: as typed, and with which security (for evidence only)."""

    host: str
    port: int
    security: str = "none"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def details(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "security": self.security}

    @property
    def name(self) -> str:
        """Return the name for DNS and TLS: A-labels, no brackets, no final dot.

        Raises ``ValueError`` for what cannot be a name.
        """
        host = self.host.removesuffix(".")
        if self.host.startswith("[") and self.host.endswith("]"):
            host = self.host[1:-1]
        if ":" in host:
            if not _is_literal(host):
                raise ValueError(f"{host!r} is neither a name nor an address")
            return host
        return to_ascii(host)


def why(problem: OSError) -> str:
    """Return the catalogue's word for a network failure."""
    if isinstance(problem, TimeoutError):
        return "timeout"
    if isinstance(problem, ConnectionRefusedError):
        return "refused"
    if isinstance(problem, ConnectionError):
        return "reset"
    return "unreachable"


def why_unresolved(problem: socket.gaierror) -> tuple[str, str, bool]:
    """Return what a failed look-up means: the catalogue's word, a sentence's end, and whether it may pass."""
    unknown = ("no-dns", f"cannot be looked up ({problem.strerror})", True)
    return _RESOLVER_WORDS.get(problem.errno or 0, unknown)


def is_public(address: str) -> bool:
    """Return whether an IP address lies in the public internet (not loopback, private, link-local or shared)."""
    import ipaddress  # only a password without TLS asks

    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = None
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if parsed.packed.startswith((_NAT64, _OWN_NAT64, _COMPATIBLE)) and int(parsed) > 1:
            inner = ipaddress.IPv4Address(parsed.packed[12:])
        if parsed.is_site_local:
            return False
    return (inner or parsed).is_global and not parsed.is_multicast


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
        found = _bounded(resolver or _system, place.name, place.port, timeout)
    except socket.gaierror as problem:
        raise failed(*why_unresolved(problem), problem.errno) from None
    except TimeoutError:
        words = "cannot be looked up now, because no name server answered in time"
        raise failed("no-dns", words, True, kind=ConnectTimeout) from None
    except ValueError:  # the codec's, too
        raise failed("bad-name", "cannot be a server's name", False) from None
    except OSError as problem:
        raise failed("no-dns", f"cannot be looked up ({problem.strerror})", True, problem.errno) from None
    if not found:
        raise failed("no-address", "exists, but has no address", False)
    return _interleaved(list(dict.fromkeys(found)))


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
    from franking.net.deadline import within  # an address needs no resolver

    return within(timeout, lambda: list(resolver(name, port, type=socket.SOCK_STREAM)), name="franking-resolve")


def _interleaved(found: list[Found]) -> list[Found]:
    """Let the two families take turns, the preferred one first."""
    first = [each for each in found if each[0] == found[0][0]]
    second = [each for each in found if each[0] != found[0][0]]
    return [each for pair in zip_longest(first, second) for each in pair if each is not None]


def connect(
    place: Place,
    found: Sequence[Found],
    attach: Callable[[socket.socket], None],
    *,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Open a TCP connection to the first address that answers; each next one joins after a head start, or as soon as
    one fails.

    All together get ``timeout`` seconds. ``attach`` takes the socket: a signal may strike between any two lines, and it
    has an owner at every moment. Raises ``ConnectError`` with evidence of kind ``connect`` and every address tried.
    """
    race = _Race(clock)
    try:
        winner = race.run(found, timeout)
        race.close(winner)
        if winner is not None:
            winner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            winner.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            attach(winner)
            return
    except BaseException:
        race.close()
        raise
    raise _nobody(place, race.tried)


class _Race:
    """Attempts at several addresses at once. ``tried`` are those that came to nothing."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.tried: list[dict[str, Any]] = []
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._running: dict[socket.socket, str] = {}

    def run(self, found: Sequence[Found], timeout: float) -> socket.socket | None:
        """Return the first socket that is connected; None where none is in time."""
        end = self._clock() + timeout
        head_start = min(HEAD_START, timeout / (len(found) + 1))
        waiting = list(found)
        winner = None
        while winner is None and (waiting or self._running):
            if waiting and not self._start(waiting.pop(0)):
                continue
            winner = self._wait(min(end, self._clock() + head_start) if waiting else end)
            if winner is None and self._clock() >= end:
                break
        return winner

    def close(self, winner: socket.socket | None = None) -> None:
        """End every attempt but the winner's; what is still running came to nothing, for want of time."""
        self._selector.close()
        for late, address in self._running.items():
            if late is not winner:
                late.close()
                self.tried.append({"address": address, "reason": "timeout", "errno": None})

    def _start(self, found: Found) -> bool:
        """Begin one attempt; False where it fails at once."""
        family, kind, protocol, _, address = found
        try:
            # in one breath: a signal may strike between any two lines, and a socket that nobody knows stays open
            self._running[socket.socket(family, kind, protocol)] = str(address[0])
        except OSError as problem:  # no IPv6 on this machine
            self._failed(address[0], problem)
            return False
        candidate = next(reversed(self._running))
        candidate.setblocking(False)
        try:
            candidate.connect(address)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as problem:
            self._end(candidate, problem)
            return False
        self._selector.register(candidate, selectors.EVENT_WRITE)
        return True

    def _wait(self, until: float) -> socket.socket | None:
        """Wait until one attempt succeeds, one fails, or ``until`` is reached."""
        failed = False
        while self._running and not failed:
            left = until - self._clock()
            ready = self._selector.select(max(left, 0))
            if not ready and left <= 0:
                return None
            for key, _ in ready:
                candidate = key.fileobj
                assert isinstance(candidate, socket.socket)
                number = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not number:
                    return candidate
                self._selector.unregister(candidate)
                self._end(candidate, OSError(number, os.strerror(number)))
                failed = True
        return None

    def _end(self, candidate: socket.socket, problem: OSError) -> None:
        candidate.close()
        self._failed(self._running.pop(candidate), problem)

    def _failed(self, address: Any, problem: OSError) -> None:
        self.tried.append({"address": str(address), "reason": why(problem), "errno": problem.errno})


def _nobody(place: Place, tried: list[dict[str, Any]]) -> ConnectError:
    reason = min((each["reason"] for each in tried), key=list(_SENTENCES).index, default="unreachable")
    number = next((each["errno"] for each in tried if each["reason"] == reason), None)
    evidence = Evidence(
        "connect", text=_SENTENCES[reason], reason=reason, details={**place.details, "tried": tried, "errno": number}
    )
    kind = ConnectTimeout if reason == "timeout" else ConnectError
    return kind(f"{place} cannot be reached: {_SENTENCES[reason]}.", step="connect", evidence=evidence)
