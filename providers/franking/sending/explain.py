"""An error's evidence and the account it met → its diagnosis, by the rules of the provider, of a better road, and the
generic ones.

The mailer's half of diagnosing: what is known of the account and of who signed in. The rules themselves are run by
``diagnosis.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from franking.account.repair import login_command
from franking.diagnosis.generic import GENERIC
from franking.diagnosis.rules import diagnose
from franking.errors import FrankingError, LoginRequired, forget_locals
from franking.registry import provider as find_provider

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.diagnosis.diagnosis import Diagnosis
    from franking.provider import Provider

__all__ = ["better_road", "explain", "in_commands"]


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
    if error.diagnosis is None:
        better = better_road(account)
        rules = (*(better.rules if better else ()), *(provider.rules if provider else ()), *GENERIC)
        values = {**_values(account, provider, better), **(signed_in or {})}
        if account is not None and error.evidence is not None and error.evidence.kind == "dns":
            from franking.discovery.recommend import nearest_host

            values["suggestion"] = nearest_host(account.get("host") or "")
        error.diagnosis = diagnose(error, rules, values, secrets=secrets)
        forget_locals(error)
        if isinstance(error, LoginRequired) and account is not None and account.reference:
            error.repair = login_command(account)
    return error.diagnosis


def better_road(account: Account | None) -> Provider | None:
    """Find the provider whose sign-in is the better road for an account that names one of its servers as a plain SMTP
    server.
    """
    if account is None or not account.get("host") or find_provider(account.provider).facts.oauth:
        return None
    from franking.discovery.recommend import better_provider

    return better_provider(account.host)


def _values(account: Account | None, provider: Provider | None, better: Provider | None) -> Mapping[str, Any]:
    if account is None or provider is None:
        return {}
    values: dict[str, Any] = {
        **in_commands(account),
        "provider": provider.name,
        "title": provider.title,
        "route": provider.route(account),
        "sender": account.sender.address,
        **{key: value for key, value in account.settings.items() if isinstance(value, str | int | float)},
    }
    if better is not None:
        values |= {"recommended": better.name, "recommended_title": better.title}
    return values


def in_commands(account: Account) -> Mapping[str, Any]:
    """Return what stands for an account in a command that can be run as it is shown: its name if it is saved, else its
    URL; ``again`` for another test.
    """
    if account.words:
        unsaved = account.words[0].startswith("--")
        saved = account.reference == account.name and not unsaved
        again = {"account": account.reference, "again": account.words}
        return {"name": None if unsaved else account.name, **again, "unsaved": unsaved, "saved": saved}
    return {
        "name": account.name,
        "account": account.reference,
        "again": (account.reference,) if account.reference else None,
    }  # made in code
