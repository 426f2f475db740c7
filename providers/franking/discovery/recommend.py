"""From a host, an address or a domain to the provider, the route and the settings that will work, with the reasons.

Every provider is asked for its facts; none is known here by name. Order for an address or a domain: a provider's own
mail domains, MX, SRV, published settings (autoconfig), the well-known table (``smtp/services.json``). For a host: the
providers' hosts, then the table. Names are compared by whole labels from the right, after normalisation. What nobody
knows stays unknown: ``smtp.<domain>`` is never guessed.

``typed.py`` reads what was typed, ``lookup.py`` asks the network, ``verdict.py`` weighs and puts it in words,
``probe.py`` tries the ports. Here names and answers become leads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from franking.discovery.input import Typed, read
from franking.discovery.recommendation import Clue, Lead, Recommendation, Verdict, entries, receiver, setup_command
from franking.registry import providers
from franking.smtp.services import Server, Service, find, table

if TYPE_CHECKING:
    from franking.discovery.lookup import Answers, Fetch, Published, Resolver

__all__ = ["Better", "Clue", "Recommendation", "nearest_host", "recommend", "recommended_for"]

TIMEOUT = 5.0  # seconds for all look-ups together: name servers that answer at all do so within two


def recommend(
    text: str,
    *,
    offline: bool = False,
    resolver: Resolver | None = None,
    timeout: float = TIMEOUT,
    fetch: Fetch | None = None,
    language: str = "en",
) -> Recommendation:
    """Recommend provider, route and settings for a host, a mail address or a domain.

    ``offline`` answers from the name alone. Otherwise DNS (``resolver``, a ``dns.resolver.Resolver``; by default the
    system's) and the settings that the domain publishes (``fetch(url, seconds) -> bytes``) are asked, all at once, for
    at most ``timeout`` seconds. A provider's own hosts and mail domains are recognised without asking anybody. Failed
    look-ups are told in the evidence and the warnings, never raised. ``language`` chooses the words. Raises
    ``SettingsError`` where nothing was typed.
    """
    typed = read(text)
    verdict = Verdict(text, typed, language)
    if typed.odd or typed.ip:
        return verdict.unknown("ip" if typed.ip else f"odd-{typed.odd}")
    named = _by_name(typed)
    if named.is_host or typed.explicit or "." not in typed.name:
        verdict.kind = "host"
    if named.foreign:
        return verdict.foreign(named.foreign)
    leads = [named.lead] if named.lead else []
    if offline or verdict.kind == "host" or (named.lead and named.lead.provider):
        return verdict.conclude(leads)
    from franking.discovery.lookup import ask

    answers = ask(typed.name, resolver=resolver, fetch=fetch, timeout=timeout)
    return verdict.conclude([*_by_answers(typed, answers), *leads], answers)


class Better(NamedTuple):
    """A better road than an smtp account's: the provider's name, its route, the command that leads there, and the
    provider's title.
    """

    provider: str
    route: str
    command: str
    title: str


def recommended_for(host: str) -> Better | None:
    """Return whether a server that an smtp account names belongs to a provider with a better road; else None.

    Asks nobody: for hints beside an account's settings and behind a refused login.
    """
    try:
        typed = replace(read(host), explicit=True)
    except ValueError:
        return None
    lead = None if typed.odd or typed.ip or typed.local is not None else _by_name(typed).lead
    if lead is None or lead.provider is None:
        return None
    return Better(
        lead.provider.name, lead.provider.facts.routes[0].name, setup_command(lead.provider.name), lead.provider.title
    )


def nearest_host(host: str) -> str | None:
    """Find the known server that a misspelt name was probably meant to be (``smtp.gmai.com`` → ``smtp.gmail.com``);
    None where none is near.
    """
    from difflib import get_close_matches

    known = {name for provider in providers() for name in provider.facts.hosts} | {
        server.host for service in table().services for server in service.servers
    }
    name = host.strip().lower().rstrip(".")
    close = get_close_matches(name, known, n=1, cutoff=0.88)
    return close[0] if close and name not in known else None


# --- by name alone -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Named:
    """What a name alone says: where it points, whether it is a server's name, and whether it belongs to a service that
    is no mailbox.
    """

    lead: Lead | None = None
    is_host: bool = False
    foreign: str = ""


def _by_name(typed: Typed) -> _Named:
    """Recognise a host or a domain by its name. For an address only what stands for a mail domain counts."""
    domain_first = typed.local is not None or not typed.explicit
    known = table()
    if domain_first:
        for provider in providers():
            hit = find(typed.name, entries(provider.facts.mail_domains))
            if hit:
                return _Named(Lead("domain", "domain", {"domain": typed.shown}, provider, hit[0], sure=True))
        if typed.local is not None:
            return _Named(_known_domain(typed))
    service = known.hosts.get(f"{typed.name}:{typed.port}") or known.hosts.get(typed.name)
    if service:
        return _Named(_known_host(typed, service), is_host=True)
    for provider in providers():
        facts = provider.facts
        foreign = find(typed.name, facts.foreign)
        if foreign:
            return _Named(foreign=foreign[1], is_host=True)
        if typed.name in entries(facts.hosts):
            return _Named(Lead("host", "host", {"host": typed.shown}, provider, typed.name, sure=True), is_host=True)
        wrong = find(typed.name, facts.wrong_hosts)
        as_domain = typed.explicit and typed.name in entries(facts.mail_domains)
        if wrong or as_domain:
            entry = typed.name if as_domain else wrong[0] if wrong else ""
            why = "domain-as-host" if as_domain else "host-wrong"
            return _Named(Lead("host", why, {"host": typed.shown}, provider, entry, sure=True), is_host=True)
    if typed.explicit:
        return _Named()
    receives = find(typed.name, known.mx)
    if receives and receives[0] == typed.name:
        return _Named(_known("host-wrong", {"host": typed.shown}, receives[1]), is_host=True)
    return _Named(_known_domain(typed))


def _known_host(typed: Typed, service: Service) -> Lead:
    port = next((server for server in service.servers if server.port == typed.port), service.servers[0])
    return _known("known-host", {"host": typed.shown}, service, Server(typed.name, port.port, port.security))


def _known_domain(typed: Typed) -> Lead | None:
    service = table().domains.get(typed.name)
    return (
        _known("known-domain", {"domain": typed.shown, "host": service.servers[0].host}, service) if service else None
    )


def _known(
    why: str, values: Mapping[str, Any], service: Service, server: Server | None = None, *, source: str = "known"
) -> Lead:
    server = server or service.servers[0]
    return Lead(source, why, values, service=service, server=server, username=service.username, sure=source == "known")


# --- by what the network says ---------------------------------------------------------------------------------------------------


def _by_answers(typed: Typed, answers: Answers) -> Iterator[Lead]:
    """Return the leads of the network's answers, the most trustworthy first."""
    owned = [(host, *owner) for host in answers.mx.hosts if (owner := receiver(host))]
    if owned:
        host, provider, entry = owned[0]
        sure = len(owned) == len(answers.mx.hosts) and all(other is provider for _, other, _ in owned)
        yield Lead("mx", "mx", {"domain": typed.shown, "mx": host}, provider, entry, sure=sure)
    for source, answer in (("srv", answers.srv), ("autoconfig", answers.autoconfig)):
        if answer.servers:
            yield _pointing(source, typed, answer.servers[0])
    for host in answers.mx.hosts:
        if hit := find(host, table().mx):
            values = {"domain": typed.shown, "mx": host, "host": hit[1].servers[0].host}
            yield _known("known-mx", values, hit[1], source="mx")
            break


def _pointing(source: str, typed: Typed, named: Published) -> Lead:
    """Follow a server that a domain names: to a provider, a well-known service, or just that server."""
    server, values = named.server, {"domain": typed.shown, "host": named.server.host}
    for provider in providers():
        if server.host in entries(provider.facts.hosts) or server.host in provider.facts.wrong_hosts:
            return Lead(source, source, values, provider, server.host)
    return Lead(source, source, values, service=table().hosts.get(server.host), server=server, username=named.username)
