"""What the leads to a mailbox add up to: the recommendation, its settings and its words.

Leads come from ``selector.py``, the best first; here they are compared, contradictions named, and everything put in
words from ``texts/recommend.<language>.toml``. Nothing is looked up here.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from franking.diagnosis.texts import FOLDER
from franking.discovery.input import MAX_TYPED, Typed
from franking.provider import Facts, Provider
from franking.registry import providers
from franking.smtp.services import Server, Service, find, table

if TYPE_CHECKING:
    from franking.discovery.lookup import Answer, Answers

__all__ = ["Clue", "Lead", "Recommendation", "Verdict", "entries", "plain", "receiver", "say", "setup_command"]

SHOWN_MX = 8  # lines of evidence; Google gives five names, an answer may hold hundreds
KEYS = ("route", "host", "port", "security", "username")


@dataclass(frozen=True, slots=True)
class Clue:
    """Tell one thing that was seen; ``source`` is ``host``, ``domain``, ``mx``, ``srv``, ``autoconfig`` or
    ``known``.
    """

    source: str
    detail: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Recommend a provider and its settings for what was typed, with the evidence.

    ``kind`` is what was typed: ``host``, ``address`` or ``domain``. ``provider`` is a provider's name, or None where
    nothing is known. ``confidence`` is ``certain``, ``likely`` or ``unknown``. ``settings`` has route, host, port,
    security and username, None where one does not follow from what was typed; for a route that uses an API, host, port
    and security are those of the same mailbox's SMTP route. ``title`` names the mail service.
    """

    input: str
    kind: str
    provider: str | None = None
    confidence: str = "unknown"
    reason: str = ""
    evidence: tuple[Clue, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=lambda: dict.fromkeys(KEYS))
    warnings: tuple[str, ...] = ()
    title: str = ""
    address: str | None = None

    @property
    def command(self) -> str | None:
        """Return the command that sets such an account up, quoted for a shell; None where nothing is recommended."""
        if self.provider is None:
            return None
        return setup_command(
            self.provider, self.address, host=self.settings["host"] if self.provider == plain().name else None
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the object of ``franking recommend --json``."""
        return {
            "input": self.input,
            "kind": self.kind,
            "provider": self.provider,
            "confidence": self.confidence,
            "reason": self.reason,
            "evidence": [{"source": clue.source, "detail": clue.detail} for clue in self.evidence],
            "settings": dict(self.settings),
            "warnings": list(self.warnings),
        }


def setup_command(provider: str, address: str | None = None, *, host: str | None = None) -> str:
    """Return the command that sets an account up, quoted for a shell."""
    known = [address] if address else ["--provider", provider, *(["--host", host] if host else [])]
    return shlex.join(["franking", "setup", *known])


@dataclass(frozen=True, slots=True)
class Lead:
    """Return where one clue points: to a provider that signs in with OAuth, or to a server that takes name and password.

    ``why`` is the code of the reason, ``values`` fill its words. ``entry`` is the entry of the provider's facts that
    matched. ``sure``: this clue alone leaves no doubt.
    """

    source: str
    why: str
    values: Mapping[str, Any]
    provider: Provider | None = None
    entry: str = ""
    service: Service | None = None
    server: Server | None = None
    username: str = "address"
    sure: bool = False

    @property
    def title(self) -> str:
        """Name the goal; leads to one mail service have the same title."""
        if self.provider is not None:
            return self.provider.title
        return self.service.name if self.service else self.server.host if self.server else ""


@lru_cache(maxsize=64)
def entries(listed: tuple[str, ...]) -> Mapping[str, None]:
    """Make a list of facts quick to search."""
    return dict.fromkeys(listed)


def receiver(host: str) -> tuple[Provider, str] | None:
    """Find the provider that an MX name belongs to, and the entry of its facts that says so."""
    for provider in providers():
        facts = provider.facts
        if not find(host, facts.foreign) and (hit := find(host, entries(facts.mx_suffixes))):
            return provider, hit[0]
    return None


def _filter(answers: Answers) -> str:
    """Name the filter that receives the mail, if one does."""
    return next((hit[1] for host in answers.mx.hosts if (hit := find(host, table().filters))), "")


class Verdict:
    """Make the recommendation for one input: words, settings and warnings for the leads and answers that there are."""

    def __init__(self, text: str, typed: Typed, language: str) -> None:
        self.text, self.typed = text[:MAX_TYPED], typed
        self.kind = (
            "host" if typed.ip else "address" if typed.local is not None or (typed.odd and "@" in text) else "domain"
        )
        self.say = partial(say, language=language)
        self.warnings: list[str] = []

    def _warn(self, code: str, **values: Any) -> None:
        self.warnings.append(
            self.say("warning", code, **{"domain": self.typed.shown, "host": self.typed.shown, **values})
        )

    def unknown(self, why: str, evidence: Iterable[Clue] = (), **values: Any) -> Recommendation:
        """Recommend nothing, and say why."""
        reason = self.say("reason", why, **{"host": self.typed.shown, "domain": self.typed.shown, **values})
        return Recommendation(
            self.text, self.kind, reason=reason, evidence=tuple(evidence), warnings=tuple(self.warnings)
        )

    def foreign(self, title: str) -> Recommendation:
        """Name a service that is no mailbox; recommend nothing."""
        clue = Clue("host", self.say("evidence", "named", name=self.typed.shown, title=title))
        return self.unknown("foreign", [clue], title=title)

    def conclude(self, leads: list[Lead], answers: Answers | None = None) -> Recommendation:
        """Weigh the leads, the most trustworthy first. ``answers`` are what the network said; None: it was not
        asked.
        """
        evidence = [*self._evidence(answers)] if answers else []
        evidence += [self._named(lead) for lead in leads if lead.source in ("host", "domain", "known")]
        if not leads:
            return self._nothing(answers, evidence)
        best = leads[0]
        others = [lead for lead in leads[1:] if lead.title != best.title]
        agreeing = {lead.source for lead in leads if lead.title == best.title}
        self._contradictions(best, others)
        if answers:
            self._cautions(best, answers)
        settings = self._settings(best)
        return Recommendation(
            self.text,
            self.kind,
            provider=(best.provider or plain()).name,
            confidence="certain" if not others and (best.sure or len(agreeing) > 1) else "likely",
            reason=" ".join(
                [self.say("reason", best.why, **best.values, title=best.title), *self._route(best, settings)]
            ),
            evidence=tuple(evidence),
            settings=settings,
            warnings=tuple(dict.fromkeys(self.warnings)),
            title=best.title,
            address=self.typed.address,
        )

    def _nothing(self, answers: Answers | None, evidence: list[Clue]) -> Recommendation:
        if answers is None:
            return self.unknown("unknown-host" if self.kind == "host" else "unknown-offline", evidence)
        if answers.mx.problem == "null":
            self._warn("null-mx")
        if answers.mx.problem == "no-domain":
            return self.unknown("no-such-domain", evidence)
        if title := _filter(answers):
            return self.unknown("filtered", evidence, title=title)
        return self.unknown(
            "unreachable" if answers.mx.problem in ("timeout", "failed") else "unknown-domain", evidence
        )

    # -- what was seen ---------------------------------------------------------------------------------------------------

    def _named(self, lead: Lead) -> Clue:
        return Clue(lead.source, self.say("evidence", "named", name=self.typed.shown, title=lead.title))

    def _evidence(self, answers: Answers) -> Iterator[Clue]:
        """Return every answer, the failed ones too."""
        for host in answers.mx.hosts[:SHOWN_MX]:
            if owner := receiver(host):
                code, title = "mx", owner[0].title
            elif filtered := find(host, table().filters):
                code, title = "mx-filter", filtered[1]
            elif service := find(host, table().mx):
                code, title = "mx", service[1].name
            else:
                code, title = "mx-other", ""
            yield Clue("mx", self.say("evidence", code, mx=host, title=title))
        if len(answers.mx.hosts) > SHOWN_MX:
            yield Clue("mx", self.say("evidence", "mx-more", count=len(answers.mx.hosts) - SHOWN_MX))
        if answers.mx.problem:
            yield Clue("mx", self.say("evidence", f"mx-{answers.mx.problem}"))
        yield from self._published("srv", answers.srv)
        yield from self._published("autoconfig", answers.autoconfig)

    def _published(self, source: str, answer: Answer) -> Iterator[Clue]:
        for published in answer.servers[:SHOWN_MX]:
            server = published.server
            security = self.say("security", server.security)
            yield Clue(
                source,
                self.say("evidence", source, host=server.host, port=server.port, security=security, url=answer.detail),
            )
        # most domains have neither, which is no news
        if answer.problem and answer.problem not in ("none", "no-domain"):
            yield Clue(source, self.say("evidence", f"{source}-{answer.problem}", url=answer.detail))

    # -- what to mind ----------------------------------------------------------------------------------------------------

    def _contradictions(self, best: Lead, others: list[Lead]) -> None:
        for other in others:
            if other.why == "known-domain":
                self._warn("mailbox-moved", title=other.title)
            else:
                self._warn("contradiction", first=best.source, one=best.title, second=other.source, other=other.title)

    def _cautions(self, best: Lead, answers: Answers) -> None:
        title = _filter(answers)
        if title:
            self._warn("filter", title=title)
        if best.provider is not None and best.source == "mx":
            strangers = [
                host for host in answers.mx.hosts if (owner := receiver(host)) is None or owner[0] is not best.provider
            ]
            strangers = [host for host in strangers if not find(host, table().filters)]
            if strangers:
                self._warn("mixed-mx", title=best.title, mx=strangers[0])
        if answers.mx.problem == "null":
            self._warn("null-mx")
        for source, answer in (("MX", answers.mx), ("SRV", answers.srv), ("autoconfig", answers.autoconfig)):
            if answer.problem in ("timeout", "failed"):
                self._warn("look-up", source=source)
        if best.source == "autoconfig" and best.provider is None and answers.autoconfig.servers[0].oauth:
            self._warn("oauth-only")

    # -- what to do ------------------------------------------------------------------------------------------------------

    def _settings(self, best: Lead) -> dict[str, Any]:
        """Fill the settings in, and warn of a host that is not the one to use."""
        if best.provider is not None:
            return self._oauth_settings(best, best.provider.facts)
        assert best.server is not None  # a lead has a provider or a server
        server, literal = best.server, best.service.literal if best.service else None
        if best.why == "host-wrong":
            self._warn("wrong-host", right=server.host)
        if server.security == "none" and server.host != "localhost":
            self._warn("no-tls")
        username = Service("", (server,), username=best.username, literal=literal).login(self.typed.address)
        route = plain().facts.routes[0].name
        return {
            "route": route,
            "host": server.host,
            "port": server.port,
            "security": server.security,
            "username": username,
        }

    def _oauth_settings(self, best: Lead, facts: Facts) -> dict[str, Any]:
        """Take the settings of the provider's SMTP route, as they are for the name that was recognised."""
        chosen: dict[str, Any] = dict(next((route.settings for route in facts.routes if not route.api), {}))
        if best.entry in facts.hosts:
            chosen["host"] = best.entry
        chosen.update(facts.variants.get(best.entry, {}))
        if best.why in ("host-wrong", "domain-as-host"):
            chosen["host"] = facts.wrong_hosts.get(best.entry) or chosen.get("host")
            self._warn("wrong-host" if best.why == "host-wrong" else "domain-as-host", right=chosen["host"])
        return {**{key: chosen.get(key) for key in KEYS}, "route": facts.routes[0].name, "username": self.typed.address}

    def _route(self, best: Lead, settings: Mapping[str, Any]) -> Iterator[str]:
        """Explain the route: an API or SMTP, and why; the login name; what to mind."""
        if best.provider is not None:
            if best.provider.facts.oauth:
                yield self.say("route", "oauth")
            for place, route in enumerate(best.provider.facts.routes):
                yield self.say("route", "other" if place else "first", route=route.name, why=route.why)
            for key, value in best.provider.facts.variants.get(best.entry, {}).items():
                if key not in KEYS:
                    yield self.say("route", "also", key=key, value=value)
            return
        yield self.say("route", "smtp", port=settings["port"], security=self.say("security", settings["security"]))
        yield self.say("route", f"login-{best.username}", literal=best.service.literal if best.service else None)
        if best.service:
            yield from (self.say("remark", remark) for remark in best.service.remarks)
            if best.service.oauth:
                yield self.say("remark", "oauth-possible")


def plain() -> Provider:
    """Find the provider for servers that take a name and a password: the first without OAuth."""
    return next(provider for provider in providers() if not provider.facts.oauth)


@lru_cache(maxsize=4)
def _texts(language: str) -> Mapping[str, Mapping[str, str]]:
    with (FOLDER / f"recommend.{language}.toml").open("rb") as file:
        return tomllib.load(file)


def say(section: str, code: str, *, language: str = "en", **values: Any) -> str:
    """Return the words for a code of ``texts/recommend.<language>.toml``."""
    return _texts(language)[section][code].format(**values)


# read now, so that the first recommendation is as quick as the rest
table()
_texts("en")
