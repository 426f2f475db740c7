"""From a host, an address or a domain to the provider, the route and the settings that will work, with the reasons.

Every provider is asked for its facts; none is known here by name. Order for an address or a domain: a provider's own
mail domains, MX, SRV, published settings (autoconfig), the well-known table (``smtp/services.json``). For a host: the
providers' hosts, then the table. Names are compared by whole labels from the right, after normalisation. What nobody
knows stays unknown: ``smtp.<domain>`` is never guessed.

Here names and look-ups become candidates. ``input.py`` reads what was typed, ``lookup.py`` asks the network,
``recommendation.py`` weighs the candidates and puts the result in words, ``probe.py`` tries the ports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from franking.discovery.input import Target, parse_target
from franking.discovery.recommendation import Candidate, Recommendation, Recommender, mx_provider
from franking.errors import FrankingError, SettingsError, exhausted
from franking.registry import providers
from franking.smtp.services import Server, Service, find, service_at, table

if TYPE_CHECKING:
    from franking.discovery.lookup import Fetch, LookupResults, Published, Resolver
    from franking.provider import Provider

__all__ = ["Recommendation", "better_provider", "nearest_address", "nearest_host", "recommend", "server_settings"]

TIMEOUT = 5.0  # seconds for all look-ups together: name servers that answer at all do so within two

_HOST_REASONS = ("host", "host-wrong", "domain-as-host", "known-host", "foreign")


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

        franking.recommend("info@novak.cz").settings    # route, host, port, security, username

    ``offline`` decides by the name alone. Otherwise DNS (``resolver``, a ``dns.resolver.Resolver``; by default the
    system's) and the settings that the domain publishes (``fetch(url, seconds) -> bytes``) are asked, all at once, for
    at most ``timeout`` seconds. A provider's own hosts and mail domains are recognised without asking anybody. Failed
    look-ups are told in the evidence and the warnings, never raised. ``language`` chooses the words. Raises
    ``SettingsError`` where nothing was typed.
    """
    given: Any = text
    if not isinstance(given, str):
        raise TypeError(f"recommend takes a host, an address or a domain, as text, not {type(given).__name__}.")
    try:
        target = parse_target(text)
    except SettingsError as problem:
        problem.explained_by(_explain)
        raise
    try:
        return _recommended(text, target, offline, resolver, timeout, fetch, language)
    except (FrankingError, ImportError, MemoryError, OSError, RuntimeError) as problem:
        if (error := exhausted(problem, "resolve")) is None:
            raise
        error.explained_by(_explain)
        if error is problem:
            raise
        raise error from problem


def _recommended(
    text: str,
    target: Target,
    offline: bool,
    resolver: Resolver | None,
    timeout: float,
    fetch: Fetch | None,
    language: str,
) -> Recommendation:
    recommender = Recommender(text, target, language)
    if target.ip:
        return recommender.unknown("ip")
    if target.odd:
        return recommender.unknown(f"odd-{target.odd}")
    named = _by_name(target)
    if target.explicit or "." not in target.name or (named and named.why in _HOST_REASONS):
        recommender.kind = "host"
    candidates = [named] if named else []
    if offline or recommender.kind == "host" or (named and named.provider):
        return recommender.conclude(candidates)
    from franking.discovery.lookup import look_up

    results = look_up(target.name, resolver=resolver, fetch=fetch, timeout=timeout)
    return recommender.conclude([*_by_results(target, results), *candidates], results)


def _explain(error: FrankingError) -> None:
    from franking.diagnosis.generic import GENERIC
    from franking.diagnosis.rules import diagnose

    error.diagnosis = diagnose(error, GENERIC, {})


def better_provider(host: str) -> Provider | None:
    """Return the provider whose own sign-in is better than a password for a server that an smtp account names, or None.

    Asks nobody: for hints beside an account's settings and behind a refused login.
    """
    try:
        target = replace(parse_target(host), explicit=True)
    except ValueError:
        return None
    if target.odd or target.ip or target.local is not None:
        return None
    named = _by_name(target)
    return named.provider if named else None


def server_settings(host: str, address: str) -> dict[str, Any]:
    """Return what is known of a server for the mailbox of an address: ``port``, ``security``, and ``username`` where
    the login name follows from the address (None: it wants no login). Nothing of a server that nobody knows.
    """
    service = service_at(host)
    if service is None:
        return {}
    name = host.strip().lower().rstrip(".")
    server = next((each for each in service.servers if each.host == name), service.servers[0])
    settings: dict[str, Any] = {"port": server.port, "security": server.security}
    login = service.login(address)
    if login or service.username == "none":
        settings["username"] = login
    return settings


def known_hosts() -> set[str]:
    """Return the names of all submission servers that are known: those are there, whatever a resolver answers."""
    known = {name for provider in providers() for name in provider.facts.hosts}
    return known | {server.host for service in table().services for server in service.servers}


def nearest_host(host: str) -> str | None:
    """Return the known server that a misspelt name was probably meant to be (``smtp.gmai.com`` → ``smtp.gmail.com``);
    None where none is near.
    """
    from difflib import get_close_matches

    known = known_hosts()
    name = host.strip().lower().rstrip(".")
    if name in known:
        return None
    return next(iter(get_close_matches(name, known, n=1, cutoff=0.88)), None)


def nearest_address(address: str) -> str | None:
    """Return the address that was probably meant: at a well-known mail domain whose name is nearly this one's
    (``jan@gmial.com`` → ``jan@gmail.com``); None where none is near, or where the domain is one itself.
    """
    from difflib import get_close_matches

    target = parse_target(address)
    known = {name for provider in providers() for name in provider.facts.mail_domains if not name.startswith(".")}
    known |= set(table().domains)
    if target.local is None or target.odd or target.name in known:
        return None
    label = target.name.partition(".")[0]
    near = sorted(name for name in known if name.partition(".")[0] == label and len(label) > 4)  # gmail.cz
    if f"{label}.com" in near:
        near = [f"{label}.com"]
    near += get_close_matches(target.name, known, n=1, cutoff=0.84)
    return f"{target.local}@{near[0]}" if near else None


# -- by name alone ----------------------------------------------------------------------------------------------------


def _by_name(target: Target) -> Candidate | None:
    """Recognise a host or a domain by its name. For an address only what stands for a mail domain counts."""
    if target.local is not None or not target.explicit:
        for provider in providers():
            entry = find(target.name, provider.facts.mail_domains)
            if entry:
                return Candidate("domain", "domain", {"domain": target.shown}, provider, entry, certain=True)
    if target.local is not None:
        return _well_known_domain(target)
    service = table().hosts.get(f"{target.name}:{target.port}") or table().hosts.get(target.name)
    if service:
        return _well_known_host(target, service)
    for provider in providers():
        candidate = _of_provider(target, provider)
        if candidate:
            return candidate
    if target.explicit:
        return None
    receiving = table().mx.get(target.name)
    if receiving:
        return Candidate("known", "host-wrong", {"host": target.shown}, service=receiving, certain=True)
    return _well_known_domain(target)


def _of_provider(target: Target, provider: Provider) -> Candidate | None:
    facts, values = provider.facts, {"host": target.shown}
    foreign = find(target.name, facts.foreign)
    if foreign:
        return Candidate("host", "foreign", values, service=Service(facts.foreign[foreign], ()))
    if target.name in facts.hosts:
        return Candidate("host", "host", values, provider, target.name, certain=True)
    if target.explicit and target.name in facts.mail_domains:
        return Candidate("host", "domain-as-host", values, provider, target.name, certain=True)
    wrong = find(target.name, facts.wrong_hosts)
    if wrong:
        return Candidate("host", "host-wrong", values, provider, wrong, certain=True)
    return None


def _well_known_host(target: Target, service: Service) -> Candidate:
    usual = next((server for server in service.servers if server.port == target.port), service.servers[0])
    service = replace(service, servers=(Server(target.name, usual.port, usual.security),))
    return Candidate("known", "known-host", {"host": target.shown}, service=service, certain=True)


def _well_known_domain(target: Target) -> Candidate | None:
    service = table().domains.get(target.name)
    if service is None:
        return None
    values = {"domain": target.shown, "host": service.servers[0].host}
    return Candidate("known", "known-domain", values, service=service, certain=True)


# -- by what the network says -----------------------------------------------------------------------------------------


def _by_results(target: Target, results: LookupResults) -> Iterator[Candidate]:
    """Return the candidates that the look-ups name, the most trustworthy first."""
    hosts = results.mx.hosts
    receiving = [(host, *mx_provider(host)) for host in hosts]
    owners = {provider for _, provider, _ in receiving}
    for host, provider, entry in receiving:
        if provider is not None:
            values = {"domain": target.shown, "mx": host}
            yield Candidate("mx", "mx", values, provider, entry, certain=owners == {provider})
            break
    for source, result in (("srv", results.srv), ("autoconfig", results.autoconfig)):
        if result.servers:
            yield _published(source, target, result.servers[0])
    for host in hosts:
        pattern = find(host, table().mx)
        if pattern:
            service = table().mx[pattern]
            values = {"domain": target.shown, "mx": host, "host": service.servers[0].host}
            yield Candidate("mx", "known-mx", values, service=service)
            break


def _published(source: str, target: Target, published: Published) -> Candidate:
    """Follow a server that a domain names: to a provider, a well-known service, or just that server."""
    server = published.server
    values = {"domain": target.shown, "host": server.host}
    for provider in providers():
        if server.host in provider.facts.hosts or server.host in provider.facts.wrong_hosts:
            return Candidate(source, source, values, provider, server.host)
    service = table().hosts.get(server.host) or Service(server.host, ())
    service = replace(service, servers=(server,), username=published.username)
    return Candidate(source, source, values, service=service)
