"""Whose servers send for an account or a domain, as far as that is known: the provider of the account, the service that
its host belongs to, a provider that receives the domain's mail. DNS is not asked here; what follows is judged in
``judge.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from franking.account.account import Account
from franking.discovery.input import Target, parse_target
from franking.discovery.recommendation import mx_provider
from franking.provider import Provider, SenderFacts, destination_of
from franking.registry import provider as provider_named
from franking.registry import providers
from franking.smtp.services import find, service_at, table

__all__ = ["Sender", "at_host", "consumer_domain", "of_account", "of_mx", "of_word"]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: what is known of it, and the word for it in ``via``."""

    facts: SenderFacts
    via: str


def of_account(account: Account) -> tuple[Sender | None, bool]:
    """Return who sends for an account, and whether its server leaves that open: one of a known service does not, though
    nothing may be known of what that service sends.
    """
    found = provider_named(account.provider)
    if found.facts.sending is not None:
        return _of_provider(found), False
    host = destination_of(account, found).host
    sender = at_host(host)
    return sender, bool(host) and sender is None and service_at(host) is None


def of_word(word: str) -> Sender | None:
    """Return whom the word behind ``--via`` means: a provider's name for itself, or a host."""
    for each in providers():
        if each.facts.sending is not None and each.facts.sending.name == word.strip().lower():
            return _of_provider(each)
    return at_host(word)


def at_host(host: str) -> Sender | None:
    """Return who sends what a submission server takes."""
    try:
        name = parse_target(host).name
    except ValueError:
        return None
    for each in providers():
        if each.facts.sending is not None and name in each.facts.hosts:
            return _of_provider(each)
    service = table().hosts.get(name)
    return Sender(service.sending, name) if service and service.sending else None


def of_mx(hosts: tuple[str, ...]) -> Sender | None:
    """Return the provider that receives a domain's mail, which then sends it too."""
    for host in hosts:
        found, _ = mx_provider(host)
        if found is not None and found.facts.sending is not None:
            return _of_provider(found)
    return None


def _of_provider(found: Provider) -> Sender:
    assert found.facts.sending is not None
    return Sender(found.facts.sending, found.facts.sending.name)


def consumer_domain(target: Target) -> tuple[SenderFacts | None, bool]:
    """Return whether a domain is one of a service's own, in which everybody may have a mailbox, and who sends for it:
    it is the service's business that receivers trust it.
    """
    for each in providers():
        if find(target.name, each.facts.mail_domains):
            return each.facts.sending, True
    service = table().domains.get(target.name)
    return (service.sending, True) if service else (None, False)
