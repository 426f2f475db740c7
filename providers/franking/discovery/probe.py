"""Try the usual ports of a mail server: which of them answers, how it is secured, and what it offers. No login, no
address, no message.

All ports are tried at once. A port that does not offer STARTTLS is tried again without encryption, so that the answer
is complete; what is recommended is the best of them by ``rank``: trusted TLS first, a login rather than none, 465
before 587 (RFC 8314 §3.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from franking.discovery.input import read
from franking.discovery.recommendation import say
from franking.errors import FrankingError, SettingsError
from franking.net.deadline import gather

__all__ = ["PORTS", "Probed", "advice", "probe", "rank"]

PORTS = ((465, "tls"), (587, "starttls"), (25, "starttls"), (2525, "starttls"))
"""RFC 8314 (465), RFC 6409 (587), RFC 5321 (25), and the port that services open where 25 is blocked."""

TIMEOUT = 10.0  # seconds for all ports together; a firewall that swallows packets costs all of them


@dataclass(frozen=True, slots=True)
class Probed:
    """Return what one port is like.

    ``answers``: a mail server spoke there. ``trusted``: its certificate is valid for this host; None where there is no
    TLS. ``auth`` are the mechanisms that it offers, ``size`` its limit in octets, ``tls`` version and certificate.
    ``problem`` is one sentence, empty where all is well.
    """

    port: int
    security: str
    answers: bool
    trusted: bool | None = None
    auth: tuple[str, ...] = ()
    size: int | None = None
    tls: str = ""
    greeting: str = ""
    problem: str = ""

    @property
    def usable(self) -> bool:
        """Return whether mail can be handed over here."""
        return self.answers and not self.problem

    def as_dict(self) -> dict[str, Any]:
        """Return the object that ``franking recommend --probe --json`` lists."""
        keys = ("port", "security", "answers", "trusted", "auth", "size", "tls", "problem")
        return {key: list(value) if isinstance(value := getattr(self, key), tuple) else value for key in keys}


def probe(
    host: str,
    *,
    ports: Iterable[tuple[int, str]] | None = None,
    timeout: float = TIMEOUT,
    ca_file: str | None = None,
) -> list[Probed]:
    """Try the ports (``(number, security)``) of a host, all at once, for at most ``timeout`` seconds; give the results,
    the best first.

    Without ``ports`` the usual ones, and the one that was typed with the host. A failure is a result, never an
    exception. Raises ``SettingsError`` for what cannot be a host.
    """
    typed = read(host)
    if typed.odd or typed.local is not None:
        raise SettingsError(f"host: {host[:80]!r} is not a host that could be tried.", field="host")
    name = typed.name or typed.shown
    wanted = list(PORTS if ports is None else ports)
    if ports is None and typed.port and typed.port not in dict(PORTS):
        wanted[:0] = [(typed.port, "starttls"), (typed.port, "tls")]  # an unusual port does not say which
    jobs = {(port, security): partial(_try, name, port, security, timeout, ca_file) for port, security in wanted}
    came = gather(jobs, timeout, name="probe")
    silent = {way: Probed(*way, answers=False, problem=say("probe", "silent")) for way in jobs}
    ranked = sorted((silent | came).values(), key=rank)
    return [one for place, one in enumerate(ranked) if one.port not in {better.port for better in ranked[:place]}]


def rank(found: Probed) -> tuple[bool, bool, bool, bool, int]:
    """Return the key to sort by: what can be used comes first, trusted TLS before none, a login before none."""
    order = [port for port, _ in PORTS]
    place = order.index(found.port) if found.port in order else ("tls", "starttls", "none").index(found.security)
    return (not found.usable, not found.answers, found.security == "none", not found.auth, place)


def _try(host: str, port: int, security: str, timeout: float, ca_file: str | None) -> Probed:
    from franking.smtp.probe import probe as greet

    try:
        seen = greet(host, port, security, timeout=timeout, ca_file=ca_file)
    except FrankingError as error:
        reason = error.evidence.reason if error.evidence else None
        kind = error.evidence.kind if error.evidence else None
        if reason == "starttls-not-offered":
            return _try(host, port, "none", timeout, ca_file)
        # where a certificate is refused a server did answer; a handshake that fails otherwise may be anything
        distrusted = (kind, reason) == ("tls", "certificate")
        return Probed(port, security, distrusted or kind == "smtp", False if distrusted else None, problem=str(error))
    trusted = None if security == "none" else True
    return Probed(port, security, True, trusted, seen.auth, seen.size, seen.tls, seen.greeting)


def advice(found: Sequence[Probed], *, language: str = "en") -> str:
    """Say in a sentence which port to use; ``found`` as ``probe`` gives it."""
    best = found[0] if found else None
    if best is None or not best.answers:
        return say("probe", "none", language=language)
    security = say("security", best.security, language=language)
    if not best.usable:
        return say("probe", "untrusted", language=language, port=best.port, security=security, problem=best.problem)
    if best.security == "none":
        return say("probe", "plain-only", language=language, port=best.port)
    code = "best-login" if best.auth else "best-no-login"
    mechanisms = ", ".join(name.upper() for name in best.auth)
    return say("probe", code, language=language, port=best.port, security=security, mechanisms=mechanisms)
