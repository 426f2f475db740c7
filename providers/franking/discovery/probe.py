"""Try the usual ports of a mail server: which of them answers, how it is secured, and what it offers. No login, no
address, no message.

All ports are tried at once. A port that does not offer STARTTLS is tried again without encryption, so that the answer
is complete; what is recommended is the best of them by ``rank``: trusted TLS first, a login rather than none, 465
before 587 (RFC 8314 §3.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from franking.diagnosis.texts import said
from franking.discovery.input import parse_target
from franking.discovery.recommendation import Finding, Recommendation, password_provider, phrase
from franking.errors import Evidence, FrankingError, SettingsError
from franking.net.deadline import gather

__all__ = ["PORTS", "Probed", "advice", "filled_in", "probe_ports", "rank"]

PORTS = ((465, "tls"), (587, "starttls"), (25, "starttls"), (2525, "starttls"))
"""RFC 8314 (465), RFC 6409 (587), RFC 5321 (25), and the port that services open where 25 is blocked."""

TIMEOUT = 10.0  # seconds for all ports together; a firewall that swallows packets costs all of them


@dataclass(frozen=True, slots=True)
class Probed:
    """What one port is like.

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
        return {key: getattr(self, key) for key in keys} | {"auth": list(self.auth)}


def probe_ports(
    host: str,
    *,
    ports: Iterable[tuple[int, str]] | None = None,
    timeout: float = TIMEOUT,
    ca_file: str | None = None,
) -> list[Probed]:
    """Try the ports (``(number, security)``) of a host, all at once, for at most ``timeout`` seconds.

    Return the results, the best first. Without ``ports`` the usual ones, and the one that was typed with the host. A
    failure is a result, never an exception. Raises ``SettingsError`` for what cannot be a host.
    """
    target = parse_target(host)
    if target.odd or target.local is not None:
        raise SettingsError(f"host: {host[:80]!r} is not a host that could be tried.", field="host")
    name = target.name or target.shown
    if ports is None:
        ports = PORTS
        if target.port and target.port not in dict(PORTS):
            ports = ((target.port, "starttls"), (target.port, "tls"), *PORTS)  # an unusual port does not say which
    jobs = {way: partial(_probe_port, name, *way, timeout, ca_file) for way in ports}
    silent = {way: Probed(*way, answers=False, problem=phrase("probe", "silent")) for way in jobs}
    results = silent | gather(jobs, timeout, name="probe")
    best: dict[int, Probed] = {}
    for result in sorted(results.values(), key=rank):
        best.setdefault(result.port, result)
    return list(best.values())


def rank(found: Probed) -> tuple[bool, bool, bool, bool, int]:
    """Return the key to sort by: what can be used comes first, trusted TLS before none, a login before none."""
    usual = [port for port, _ in PORTS]
    place = usual.index(found.port) if found.port in usual else ("tls", "starttls", "none").index(found.security)
    return (not found.usable, not found.answers, found.security == "none", not found.auth, place)


def _probe_port(host: str, port: int, security: str, timeout: float, ca_file: str | None) -> Probed:
    from franking.smtp.probe import probe

    try:
        seen = probe(host, port, security, timeout=timeout, ca_file=ca_file)
    except FrankingError as error:
        evidence = error.evidence or Evidence("")
        if evidence.reason == "starttls-not-offered":
            return _probe_port(host, port, "none", timeout, ca_file)
        if (evidence.kind, evidence.reason) == ("tls", "certificate"):  # what presents one does answer
            return Probed(port, security, answers=True, trusted=False, problem=str(error))
        # a handshake that fails otherwise may be anything
        return Probed(port, security, answers=evidence.kind == "smtp", problem=str(error))
    trusted = security != "none" or None
    return Probed(port, security, True, trusted, seen.auth, seen.size, seen.tls, seen.greeting)


def filled_in(recommendation: Recommendation, found: Sequence[Probed], *, language: str = "en") -> Recommendation:
    """Return a recommendation with the best way as its settings, where nothing but the ports told one, and the sentence
    for it in a language.
    """
    if recommendation.provider is not None or not found or not found[0].usable:
        return recommendation
    best, kind = found[0], password_provider()
    target = parse_target(recommendation.input)
    settings = {
        "route": kind.facts.routes[0].name,
        "host": target.name or target.shown,
        "port": best.port,
        "security": best.security,
        "username": None,
    }
    words = advice(found, language=language)
    return replace(
        recommendation,
        provider=kind.name,
        confidence="likely",
        reason=words,
        evidence=(*recommendation.evidence, Finding("probe", words)),
        settings=settings,
        title=kind.title,
        why="probe",
    )


def advice(found: Sequence[Probed], *, language: str = "en") -> str:
    """Return a sentence that tells which port to use; ``found`` is what ``probe_ports`` returns."""
    say = partial(phrase, language=language)
    if not found or not found[0].answers:
        return say("probe", "none")
    best = found[0]
    security = say("security", best.security)
    if not best.usable:
        return say("probe", "untrusted", port=best.port, security=security, problem=said(best.problem, language))
    if best.security == "none":
        return say("probe", "plain-only", port=best.port)
    if not best.auth:
        return say("probe", "best-no-login", port=best.port, security=security)
    mechanisms = ", ".join(name.upper() for name in best.auth)
    return say("probe", "best-login", port=best.port, security=security, mechanisms=mechanisms)
