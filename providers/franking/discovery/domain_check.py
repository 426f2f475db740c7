"""Will mail from this domain be trusted? SPF, DKIM, DMARC and MX are asked for in DNS, and judged for whoever sends.

Here it is found out which domain and which sender are meant, and in which order DNS is asked: all that needs nothing
else at once, then what the SPF record includes. How each record is read and judged stands in ``trust/``. DNS only: no
server is connected to, nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterator

from franking.account.account import Account
from franking.discovery.input import Target, parse_target
from franking.discovery.lookup import Resolver, system_resolver
from franking.discovery.trust import dmarc, spf
from franking.discovery.trust.findings import Deliverability, DnsRecord, Finding
from franking.discovery.trust.judge import Judge
from franking.discovery.trust.questions import Answer, Questions
from franking.discovery.trust.sender import Sender, consumer_domain, of_account, of_mx, of_word
from franking.errors import SettingsError
from franking.registry import providers

__all__ = ["TIMEOUT", "Deliverability", "DnsRecord", "Finding", "check_account", "check_domain"]

TIMEOUT = 3.0
"""Seconds for all questions together."""


def check_account(
    account: Account, *, via: str | None = None, resolver: Resolver | None = None, timeout: float | None = None
) -> Deliverability:
    """Check the domain of an account's From, for who sends its mail, or whom ``via`` names. Where the account's server
    is nobody's that is known, it is the provider that receives the domain's mail.

    ``resolver`` is a ``dns.resolver.Resolver``, by default the system's; ``timeout`` is for everything together, three
    seconds, or the account's where that is less. Never raises for the network: what DNS gave no answer for is a
    finding.
    """
    sender, by_mx = (_named(via), False) if via else of_account(account)
    login = str(account.get("username") or "")
    target = parse_target(account.sender.address)
    seconds = min(TIMEOUT if timeout is None else timeout, account.timeout)
    return _checked(target, sender, login, account.name, resolver, seconds, by_mx=by_mx)


def check_domain(
    text: str, *, via: str | None = None, resolver: Resolver | None = None, timeout: float | None = None
) -> Deliverability:
    """Check the domain of an address, or a domain, for whom ``via`` names (``google``, ``microsoft``, a server's name),
    or for the provider that receives its mail.

    Raises ``SettingsError`` for what names no domain. The rest is as in ``check_account``.
    """
    target = parse_target(text)
    if not target.name:
        raise SettingsError(f"domain: {text!r} names no domain that mail could come from.", field="domain")
    return _checked(
        target, _named(via) if via else None, "", None, resolver, TIMEOUT if timeout is None else timeout, by_mx=not via
    )


def _named(via: str) -> Sender | None:
    """Return whom ``via`` names; a server that nobody knows is nobody, and then the sender is not judged."""
    found = of_word(via)
    if found is None and "." not in via:
        known = [each.facts.sending.name for each in providers() if each.facts.sending]
        raise SettingsError(f"via: {via!r} is none of {', '.join(known)}, and no server's name.", field="via")
    return found


def _checked(
    target: Target,
    sender: Sender | None,
    login: str,
    account: str | None,
    resolver: Resolver | None,
    timeout: float,
    *,
    by_mx: bool = False,
) -> Deliverability:
    facts, consumer = consumer_domain(target)
    if consumer:
        findings = () if sender is None or sender.facts == facts else tuple(_foreign(target, sender, login))
        return Deliverability(target.name, account, sender.via if sender else None, findings)
    if "." not in target.name:
        missing = Finding("domain.missing", "warning", {"domain": target.shown or "?"})
        return Deliverability(target.name or target.shown, account, sender.via if sender else None, (missing,))
    questions = Questions(lambda: resolver or system_resolver(), timeout=timeout)
    judge = Judge(target.name, target.shown, sender, questions)
    findings = tuple(_findings(judge, login, by_mx=by_mx))
    return Deliverability(target.name, account, judge.sender.via if judge.sender else None, findings)


def _foreign(target: Target, sender: Sender, login: str) -> Iterator[Finding]:
    """Tell of a From at a mail service whose mail another one sends: DNS need not be asked to know that nothing speaks
    for it.
    """
    other = login.rpartition("@")[2].lower()
    if "@" in login and other != target.name:
        values = {"domain": target.shown, "login": login, "other": other, "service": sender.facts.title}
        yield Finding("domain.other-than-account", "warning", values)


def _findings(judge: Judge, login: str, *, by_mx: bool) -> Iterator[Finding]:
    domain, questions = judge.domain, judge.questions
    above = dmarc.names(domain)
    mx, texts, *walked = questions.ask(
        (domain, "MX"),
        (domain, "TXT"),
        *((f"_dmarc.{name}", "TXT") for name in above),
        *((name, "TXT") for name in _keys(judge)),
    )
    if mx.problem == texts.problem == "no-domain":
        yield Finding("domain.missing", "warning", {"domain": judge.shown, "meant": _meant(judge.shown)})
        return
    if by_mx and not mx.unknown:
        judge.sender = of_mx(mx.values)
    yield from judge.mx(mx)
    yield from judge.spf(spf.follow(domain, texts, questions))
    yield from judge.dkim(_key_answers(judge))
    yield from judge.dmarc(dmarc.find(domain, dict(zip(above, walked, strict=False))))
    yield from judge.login(login)
    yield from judge.unanswered()


def _keys(judge: Judge) -> list[str]:
    selectors = judge.sender.facts.selectors if judge.sender else ()
    return [f"{selector}._domainkey.{judge.domain}" for selector in selectors]


def _key_answers(judge: Judge) -> dict[str, Answer]:
    selectors = judge.sender.facts.selectors if judge.sender else ()
    return dict(zip(selectors, judge.questions.texts(*_keys(judge)), strict=True))


def _meant(shown: str) -> str | None:
    """Return the well-known domain whose name is nearly this one's."""
    from franking.discovery.recommend import nearest_address

    near = nearest_address(f"me@{shown}")
    return near.rpartition("@")[2] if near else None
