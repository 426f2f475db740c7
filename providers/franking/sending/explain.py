"""An error's evidence and the account it met → its diagnosis, by the rules of the provider, of a better one, and the
generic ones.

The mailer's half of diagnosing: what is known of the account and of who signed in. The rules themselves are run by
``diagnosis/rules.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from franking.account.repair import login_command
from franking.diagnosis.generic import GENERIC
from franking.diagnosis.rules import diagnose
from franking.errors import FrankingError, LoginRequired, forget_locals
from franking.provider import destination_of, needs_secret
from franking.registry import provider as find_provider
from franking.registry import providers
from franking.smtp.services import find

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.diagnosis.diagnosis import Diagnosis
    from franking.diagnosis.rules import Rule
    from franking.provider import Provider

__all__ = ["better_for", "explain", "in_commands", "rules_for", "speaker_of"]


def explain(
    error: FrankingError,
    account: Account | None = None,
    provider: Provider | None = None,
    *,
    signed_in: Mapping[str, Any] | None = None,
    secrets: Iterable[str] = (),
) -> Diagnosis:
    """Turn an error's evidence into its diagnosis, once; kept in ``error.diagnosis``.

    ``signed_in`` tells ``who`` and with which ``scopes``; ``secrets`` are taken out of what the other side said.
    """
    found = error.explained()
    if found is None:
        better = better_for(account)
        values = {**_values(account, provider, better), **(signed_in or {})}
        if error.evidence is not None and error.evidence.kind == "dns":
            from franking.discovery.recommend import known_hosts, nearest_host

            values["suggestion"] = nearest_host(_host(account))
            values["known_host"] = _host(account).strip().lower().rstrip(".") in known_hosts()
        error.diagnosis = found = diagnose(error, rules_for(error, account, provider), values, secrets=secrets)
        forget_locals(error)
        if isinstance(error, LoginRequired) and account is not None and account.reference:
            error.repair = login_command(account)
    return found


def rules_for(error: FrankingError, account: Account | None, provider: Provider | None) -> list[Rule]:
    """Return the rules that an error of this account meets, in their order: of whoever spoke, of a better provider, of
    the account's own, the generic ones.
    """
    owners = (speaker_of(error, account), better_for(account), provider)
    return [*(rule for owner in owners if owner is not None for rule in owner.rules), *GENERIC]


def better_for(account: Account | None) -> Provider | None:
    """Find the provider that one had better sign in with, for an account that names one of its servers as a plain SMTP
    server.
    """
    host = _host(account)
    if account is None or not host or find_provider(account.provider).facts.oauth:
        return None
    from franking.discovery.recommend import better_provider

    return better_provider(host)


def speaker_of(error: FrankingError, account: Account | None = None) -> Provider | None:
    """Find the provider whose words these are, by what only it writes, or by a server of its own that is no mailbox's
    (a relay): a plain SMTP account meets them too, behind other names.
    """
    seen, host = error.evidence, _host(account).strip().lower().rstrip(".")
    if seen is None or seen.kind not in ("smtp", "sasl"):
        return None
    for one in providers():
        speaks = one.facts.speaks
        if find(host, one.facts.foreign) or (speaks and re.search(speaks, " ".join(seen.raw.split()), re.IGNORECASE)):
            return one
    return None


def _host(account: Account | None) -> str:
    """Return the name of the server that an account's messages go to, or nothing."""
    return destination_of(account, find_provider(account.provider)).host if account is not None else ""


def _values(account: Account | None, provider: Provider | None, better: Provider | None) -> dict[str, Any]:
    if account is None or provider is None:
        return {}
    values = {
        **in_commands(account),
        "provider": provider.name,
        "title": provider.title,
        "route": provider.route(account),
        "sender": account.sender.address,
        "sent_folder": provider.facts.sent_folder == "always" or bool(account.get(provider.facts.sent_folder)),
        "no_login": not needs_secret(account, provider),
        **{key: value for key, value in account.settings.items() if isinstance(value, str | int | float)},
    }
    if better is not None:
        values |= {"recommended": better.name, "recommended_title": better.title}
    return values


def in_commands(account: Account) -> Mapping[str, Any]:
    """Return what stands for an account in a command that can be run as it is shown: its name if it is saved, else its
    URL; ``again`` for another test.
    """
    reference = account.reference  # of one that was made in code it is written each time
    if account.words:
        unsaved = account.words[0].startswith("--")
        return {
            "name": None if unsaved else account.name,
            "account": reference,
            "again": account.words,
            "unsaved": unsaved,
            "saved": reference == account.name and not unsaved,
        }
    return {"name": account.name, "account": reference, "again": (reference,) if reference else None}
