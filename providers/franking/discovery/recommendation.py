"""What the candidates for a mailbox add up to: the recommendation, its settings and its words.

Candidates come from ``recommend.py``, the most trustworthy first; here they are compared, contradictions named, and
everything put in words from ``texts/recommend.<language>.toml``. Nothing is looked up here.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from franking.diagnosis.texts import entries, said
from franking.discovery.input import LONGEST, Target
from franking.provider import Facts, Provider
from franking.registry import providers
from franking.smtp.services import Service, find, table

if TYPE_CHECKING:
    from franking.discovery.lookup import LookupResult, LookupResults

__all__ = ["Candidate", "Finding", "Recommendation", "Recommender", "mx_provider", "password_provider", "phrase"]

SHOWN_MX = 8  # lines of evidence; Google gives five names, a reply may hold hundreds
KEYS = ("route", "host", "port", "security", "username")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was seen; ``source`` is ``host``, ``domain``, ``mx``, ``srv``, ``autoconfig``, ``known`` or
    ``probe``.
    """

    source: str
    detail: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A provider and its settings for what was typed, with the evidence.

    ``kind`` is what was typed: ``host``, ``address`` or ``domain``. ``provider`` is a provider's name, or None where
    nothing is known. ``confidence`` is ``certain``, ``likely`` or ``unknown``. ``settings`` has route, host, port,
    security and username, None where one does not follow from what was typed; for a route that uses an API, host, port
    and security are those of the same mailbox's SMTP route. ``title`` names the mail service. ``why`` is the code of
    the reason (``texts/recommend.en.toml``): ``no-such-domain``, ``unreachable``, ``srv`` …
    """

    input: str
    kind: str
    provider: str | None = None
    confidence: str = "unknown"
    reason: str = ""
    evidence: tuple[Finding, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=lambda: dict.fromkeys(KEYS))
    warnings: tuple[str, ...] = ()
    title: str = ""
    address: str | None = None
    why: str = ""

    @property
    def command(self) -> str | None:
        """Return the command that sets such an account up, quoted for a shell; None where nothing is recommended."""
        if self.provider is None:
            return None
        words = ["--provider", self.provider]
        if self.provider == password_provider().name:
            words += ["--host", self.settings["host"]]
            if self.why == "probe":
                words += ["--port", str(self.settings["port"]), "--security", self.settings["security"]]
        if self.address:
            words = [self.address]
        return shlex.join(["franking", "setup", *words])

    def as_dict(self) -> dict[str, Any]:
        """Return the object of ``franking recommend --json``."""
        return {
            "input": self.input,
            "kind": self.kind,
            "provider": self.provider,
            "confidence": self.confidence,
            "reason": self.reason,
            "evidence": [{"source": finding.source, "detail": finding.detail} for finding in self.evidence],
            "settings": dict(self.settings),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """Where one finding points: to a provider that signs in with OAuth, or to a service that takes name and password,
    whose first server is the one to use.

    ``why`` is the code of the reason, ``values`` fill its words. ``entry`` is the entry of the provider's facts that
    matched. ``certain``: this finding alone leaves no doubt.
    """

    source: str
    why: str
    values: Mapping[str, Any]
    provider: Provider | None = None
    entry: str = ""
    service: Service | None = None
    certain: bool = False

    @property
    def title(self) -> str:
        """Return the name of the provider or service; candidates of one mail service have the same."""
        if self.provider is not None:
            return self.provider.title
        assert self.service is not None
        return self.service.name


def mx_provider(host: str) -> tuple[Provider | None, str]:
    """Return the provider that an MX name belongs to, and the entry of its facts that says so."""
    for provider in providers():
        entry = find(host, provider.facts.mx_suffixes)
        if entry and not find(host, provider.facts.foreign):
            return provider, entry
    return None, ""


def password_provider() -> Provider:
    """Return the provider for servers that take a name and a password: the first without OAuth."""
    return next(provider for provider in providers() if not provider.facts.oauth)


def _filter(results: LookupResults) -> str:
    """Return the name of the filter that receives the mail, if one does."""
    filters = table().filters
    return next((filters[pattern] for host in results.mx.hosts if (pattern := find(host, filters))), "")


class Recommender:
    """Make the recommendation for one input: words, settings and warnings for the candidates and look-ups there are."""

    def __init__(self, text: str, target: Target, language: str) -> None:
        self.text, self.target = text[:LONGEST], target
        self.kind = "domain"
        if target.ip:
            self.kind = "host"
        elif target.local is not None or (target.odd and "@" in text):
            self.kind = "address"
        self._language, self._phrase = language, partial(phrase, language=language)
        self._about = {"domain": target.shown, "host": target.shown}
        self._warnings: list[str] = []

    def _warn(self, code: str, **values: Any) -> None:
        self._warnings.append(self._phrase("warning", code, **{**self._about, **values}))

    def unknown(self, why: str, evidence: Iterable[Finding] = (), **values: Any) -> Recommendation:
        """Recommend nothing, and say why."""
        reason = self._phrase("reason", why, **self._about, **values)
        return Recommendation(
            self.text, self.kind, reason=reason, evidence=tuple(evidence), warnings=tuple(self._warnings), why=why
        )

    def conclude(self, candidates: list[Candidate], results: LookupResults | None = None) -> Recommendation:
        """Weigh the candidates, the most trustworthy first. ``results`` are what the network said; None: it was not
        asked.
        """
        evidence = [*self._evidence(results)] if results else []
        evidence += [self._named(one) for one in candidates if one.source in ("host", "domain", "known")]
        if not candidates:
            return self._nothing(results, evidence)
        best = candidates[0]
        if best.why == "foreign":  # a service that is no mailbox
            return self.unknown("foreign", evidence, title=best.title)
        others = [one for one in candidates if one.title != best.title]
        agreeing = {one.source for one in candidates if one.title == best.title}
        self._contradictions(best, others)
        if results:
            self._cautions(best, results)
        settings = self._settings(best)
        reason = self._phrase("reason", best.why, **best.values, title=best.title)
        return Recommendation(
            self.text,
            self.kind,
            provider=(best.provider or password_provider()).name,
            confidence="certain" if not others and (best.certain or len(agreeing) > 1) else "likely",
            reason=" ".join([reason, *self._route(best, settings)]),
            evidence=tuple(evidence),
            settings=settings,
            warnings=tuple(dict.fromkeys(self._warnings)),
            title=best.title,
            address=self.target.address,
            why=best.why,
        )

    def _nothing(self, results: LookupResults | None, evidence: list[Finding]) -> Recommendation:
        if self.kind == "host":
            return self.unknown("unknown-host", evidence)
        if results is None:
            return self.unknown("unknown-offline", evidence)
        if results.mx.problem == "null":
            self._warn("null-mx")
        if results.mx.problem == "no-domain":
            return self.unknown("no-such-domain", evidence)
        if title := _filter(results):
            return self.unknown("filtered", evidence, title=title)
        if results.mx.problem in ("timeout", "failed"):
            return self.unknown("unreachable", evidence)
        return self.unknown("unknown-domain", evidence)

    # -- what was seen --------------------------------------------------------------------------------------

    def _named(self, candidate: Candidate) -> Finding:
        detail = self._phrase("evidence", "named", name=self.target.shown, title=candidate.title)
        return Finding(candidate.source, detail)

    def _evidence(self, results: LookupResults) -> Iterator[Finding]:
        """Return what every look-up brought, the failed ones too."""
        mx = results.mx
        for host in mx.hosts[:SHOWN_MX]:
            code, title = _receiver(host)
            yield Finding("mx", self._phrase("evidence", code, mx=host, title=title))
        if len(mx.hosts) > SHOWN_MX:
            yield Finding("mx", self._phrase("evidence", "mx-more", count=len(mx.hosts) - SHOWN_MX))
        if mx.problem:
            yield Finding("mx", self._phrase("evidence", f"mx-{mx.problem}"))
        yield from self._published("srv", results.srv)
        yield from self._published("autoconfig", results.autoconfig)

    def _published(self, source: str, result: LookupResult) -> Iterator[Finding]:
        for server in [published.server for published in result.servers[:SHOWN_MX]]:
            words: dict[str, Any] = {"port": server.port, "security": self._phrase("security", server.security)}
            yield Finding(source, self._phrase("evidence", source, host=server.host, url=result.detail, **words))
        # most domains have neither, which is no news
        if result.problem and result.problem not in ("none", "no-domain"):
            yield Finding(source, self._phrase("evidence", f"{source}-{result.problem}", url=result.detail))

    # -- what to mind ---------------------------------------------------------------------------------------

    def _contradictions(self, best: Candidate, others: list[Candidate]) -> None:
        for other in others:
            if other.why == "known-domain":
                self._warn("mailbox-moved", title=other.title)
            else:
                self._warn("contradiction", first=best.source, one=best.title, second=other.source, other=other.title)

    def _cautions(self, best: Candidate, results: LookupResults) -> None:
        title = _filter(results)
        if title:
            self._warn("filter", title=title)
        if best.provider is not None and best.source == "mx":
            for host in results.mx.hosts:
                if mx_provider(host)[0] is not best.provider and not find(host, table().filters):
                    self._warn("mixed-mx", title=best.title, mx=host)
                    break
        if results.mx.problem == "null":
            self._warn("null-mx")
        for source, result in (("MX", results.mx), ("SRV", results.srv), ("autoconfig", results.autoconfig)):
            if result.problem in ("timeout", "failed"):
                self._warn("look-up", source=source)
        if best.source == "autoconfig" and best.provider is None and results.autoconfig.servers[0].oauth:
            self._warn("oauth-only")

    # -- what to do -----------------------------------------------------------------------------------------

    def _settings(self, best: Candidate) -> dict[str, Any]:
        """Fill the settings in, and warn of a host that is not the one to use."""
        if best.provider is not None:
            return self._oauth_settings(best, best.provider.facts)
        assert best.service is not None  # a candidate has a provider or a service
        server = best.service.servers[0]
        if best.why == "host-wrong":
            self._warn(best.why, right=server.host)
        if server.security == "none" and server.host != "localhost":
            self._warn("no-tls")
        return {
            "route": password_provider().facts.routes[0].name,
            "host": server.host,
            "port": server.port,
            "security": server.security,
            "username": best.service.login(self.target.address),
        }

    def _oauth_settings(self, best: Candidate, facts: Facts) -> dict[str, Any]:
        """Return the settings of the provider's SMTP route, as they are for the name that was recognised."""
        chosen: dict[str, Any] = {**next((route.settings for route in facts.routes if not route.api), {})}
        if best.entry in facts.hosts:
            chosen["host"] = best.entry
        chosen |= facts.variants.get(best.entry, {})
        if best.why in ("host-wrong", "domain-as-host"):
            chosen["host"] = facts.wrong_hosts.get(best.entry) or chosen.get("host")
            self._warn(best.why, right=chosen["host"])
        chosen |= {"route": facts.routes[0].name, "username": self.target.address}
        return {key: chosen.get(key) for key in KEYS}

    def _route(self, best: Candidate, settings: Mapping[str, Any]) -> Iterator[str]:
        """Explain the route: an API or SMTP, and why; the login name; what to mind."""
        if best.provider is not None:
            yield from self._oauth_route(best, best.provider.facts)
            return
        service = best.service
        assert service is not None
        yield self._phrase(
            "route", "smtp", port=settings["port"], security=self._phrase("security", settings["security"])
        )
        yield self._phrase("route", f"login-{service.username}", literal=service.literal)
        yield from (self._phrase("remark", remark) for remark in service.remarks)
        if service.oauth:
            yield self._phrase("remark", "oauth-possible")

    def _oauth_route(self, best: Candidate, facts: Facts) -> Iterator[str]:
        if facts.oauth:
            yield self._phrase("route", "oauth")
        first, *others = facts.routes
        yield self._phrase("route", "first", route=first.name, why=said(first.why, self._language))
        for route in others:
            yield self._phrase("route", "other", route=route.name, why=said(route.why, self._language))
        for key, value in facts.variants.get(best.entry, {}).items():
            if key not in KEYS:
                yield self._phrase("route", "also", key=key, value=value)


def _receiver(host: str) -> tuple[str, str]:
    """Return what receives mail at an MX name: the code of its words, and its title."""
    provider, _ = mx_provider(host)
    if provider:
        return "mx", provider.title
    if pattern := find(host, table().filters):
        return "mx-filter", table().filters[pattern]
    if pattern := find(host, table().mx):
        return "mx", table().mx[pattern].name
    return "mx-other", ""


def phrase(section: str, code: str, *, language: str = "en", **values: Any) -> str:
    """Return the words for a code of ``texts/recommend.<language>.toml``, in English where the language lacks it."""
    words = entries(language, "recommend.").get(section, {}).get(code) or entries("en", "recommend.")[section][code]
    return str(words).format(**values)


# read now, so that the first recommendation is as quick as the rest
table()
entries("en", "recommend.")
