"""What is found of one account: its mailbox, its deadlines, its last send, and who stands in for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.auth.status import SecretState, state_of
from franking.diagnosis.diagnosis import Diagnosis
from franking.errors import SettingsError
from franking.health.deadlines import account_deadlines, grant_deadline, server_certificate
from franking.health.finding import Entry, Finding
from franking.health.mailboxes import Mailbox
from franking.health.memory import Check, Memory
from franking.outbox.entry import read_diagnosis
from franking.provider import SupportsLogin, destination_of, needs_secret
from franking.registry import provider as provider_named
from franking.sending.explain import explain

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.account.config import Config
    from franking.auth.store import SecretStore
    from franking.provider import Provider
    from franking.sending.last_failures import LastFailure

__all__ = ["Look", "look_at"]

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at all accounts has in common. ``asks``: mailboxes may be asked; else what is known counts."""

    config: Config
    environ: Mapping[str, str]
    store: SecretStore
    state: Path
    memory: Memory
    failures: Mapping[str, LastFailure]
    held: Mapping[str, str] | None
    stamp: Callable[[str], str]
    now: float
    verify: bool = False
    asks: bool = True


def look_at(name: str, look: Look) -> tuple[Entry, Check | None]:
    """Return what is found of an account, and what its mailbox answered. Settings that are wrong are a finding."""
    try:
        account = look.config.account(name)
        provider = provider_named(account.provider)
        route = provider.route(account)
    except SettingsError as problem:
        values = {"account": name, "why": str(problem).rstrip(".")}  # which setting is wrong stands in no title
        found = Finding("send.failing", "critical", values, explain(problem))
        table = look.config.tables[name]
        return Entry(name, str(table.get("provider", "")) or None, None, look.now, (found,)), None
    state = state_of(account, provider, look.store, look.environ)
    if not account.enabled:
        findings = [Finding("account.disabled", "ok", {"account": name})]
        if (ends := grant_deadline(account, provider, state, look.now, unused=True)) is not None:
            findings.append(ends)
        return Entry(name, account.provider, route, look.now, tuple(findings)), None
    check = _asked(account, provider, state, look)
    findings = list(_all(account, provider, state, check, look))
    return Entry(name, account.provider, route, look.now, tuple(findings)), check


def _asked(account: Account, provider: Provider, state: SecretState, look: Look) -> Check | None:
    before = look.memory.check(account.name)
    if not look.asks:
        return before
    box = Mailbox(account, provider, look.store, look.environ, look.stamp(account.name))
    if before is not None and before.outcome == "refused" and account.name not in look.failures:
        before = None  # somebody has sent since
    return box.look(before, state, look.now, verify=look.verify)


def _all(
    account: Account, provider: Provider, state: SecretState, check: Check | None, look: Look
) -> Iterator[Finding]:
    lasting = None
    if check is not None:
        if check.outcome == "lasting":
            lasting = read_diagnosis(check.diagnosis)
        yield from _answered(account, provider, check, look.now)
    unused = check is not None and check.outcome != "ok"
    if (ends := grant_deadline(account, provider, state, look.now, unused=unused)) is not None:
        yield ends
    yield from account_deadlines(account, state, look.now)
    yield _last_send(account, lasting, look)
    if account.fallback:
        yield _stood_in_for(account, look)
    if look.held is not None:
        yield _held(account, look.held)


def _answered(account: Account, provider: Provider, check: Check, now: float) -> Iterator[Finding]:
    """Return what a mailbox's answer means."""
    host = destination_of(account, provider).host
    values: dict[str, Any] = {"account": account.name, "host": host or provider.title}
    found = read_diagnosis(check.diagnosis)
    signs_in = isinstance(provider, SupportsLogin)
    if check.outcome == "ok":
        if signs_in:
            yield Finding("signin.ok", "ok", values)
        elif needs_secret(account, provider):
            yield Finding("password.ok", "ok", values)
        if not signs_in and host:
            yield Finding("server.unreachable", "ok", values)
    elif check.outcome == "refused":
        yield Finding("signin.dead" if signs_in else "password.refused", "critical", values, found)
    elif check.outcome == "unreachable":
        level = "critical" if now - check.since >= DAY else "warning"
        yield Finding("server.unreachable", level, values, found)
    if check.certificate:
        yield server_certificate(check.certificate, now, host)


def _last_send(account: Account, lasting: Diagnosis | None, look: Look) -> Finding:
    """Return whether the last send failed for a lasting reason, or the next one surely would."""
    values = {"account": account.name}
    failure = look.failures.get(account.name)
    if failure is not None and not failure.looked:
        return Finding("send.failing", "critical", values, failure.diagnosis)
    if lasting is not None:
        return Finding("send.failing", "critical", values, lasting)
    return Finding("send.failing", "ok", values)


def _stood_in_for(account: Account, look: Look) -> Finding:
    values = {"account": account.name, "fallback": ", ".join(account.fallback)}
    try:
        known = json.loads((look.state / "failover" / f"{account.name}.json").read_bytes())
        reason = str(known["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return Finding("fallback.active", "ok", values)
    return Finding("fallback.active", "warning", {**values, "reason": reason.rstrip(".")})


def _held(account: Account, held: Mapping[str, str]) -> Finding:
    values = {"account": account.name}
    if (code := held.get(account.name)) is None:
        return Finding("outbox.held", "ok", values)
    return Finding("outbox.held", "warning", values, Diagnosis(code, {"account": account.name}))
