"""Whether a secret may go where an account sends it: a stored one remembers what it was stored for.

An account URL may take any name, and flags may change any setting; neither leads a secret to another place. What is
compared, ``account/binding.py`` says. Nothing is read from a store here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from franking.account.binding import Binding, binding_of, difference, loose_in
from franking.account.config import load, parse_url
from franking.account.environment import secret_variable
from franking.account.repair import login_command
from franking.errors import Evidence, SettingsError

if TYPE_CHECKING:
    from franking.account.account import Account

__all__ = ["check_bound", "check_named"]


def check_bound(bound: Binding, account: Account, environ: Mapping[str, str], what: str) -> None:
    """Raise ``SettingsError`` where a secret (``what``, for the sentence) is not for the places that the account names.

    One without a binding was stored by Franking 0.1: it belongs to the account of that name in the settings, never to
    what an account URL says.
    """
    if bound:
        _compare(bound, account, what)
        _check_loose(loose_in(bound), account, environ, what)
    elif not check_named(account, environ, what) and account.from_url:
        raise _error(
            account,
            f"{what} does not say where it belongs (Franking 0.1 stored it), and an account URL names any server",
        )


def check_named(account: Account, environ: Mapping[str, str], what: str) -> bool:
    """Return whether the settings have an account of this name, which is what a secret of that name alone belongs to.

    Raises ``SettingsError`` where that account names other places than this one.
    """
    if account.saved:
        return True
    configured = [binding_of(one) for one in _configured(account, environ)]
    for one in configured:
        _compare(one, account, what)
    if configured:
        _check_loose(set(), account, environ, what)
    return bool(configured)


def _configured(account: Account, environ: Mapping[str, str]) -> Iterator[Account]:
    """Go through the accounts of the settings, and of ``$FRANKING_ACCOUNT``, that share this one's variable."""
    variable = secret_variable(account.name)
    config = load(environ)
    for name in config.names:
        if secret_variable(name) == variable:
            yield config.account(name)
    if "://" in (environ.get("FRANKING_ACCOUNT") or ""):
        one = parse_url(environ["FRANKING_ACCOUNT"], environ)
        if secret_variable(one.name) == variable:
            yield one


def _compare(bound: Binding, account: Account, what: str) -> None:
    wanted = binding_of(account)
    if key := difference(bound, wanted):
        why = f"{what} belongs to {bound[key]}, but {key} now names {wanted[key]}"
        raise _error(account, why, key=key, bound=bound[key], named=wanted[key])


def _check_loose(known: set[str], account: Account, environ: Mapping[str, str], what: str) -> None:
    """Raise ``SettingsError`` where an account URL says that less protects the secret on its way (no TLS, other
    authorities) than where it was stored, or than the settings say.
    """
    if not account.from_url:
        return
    wanted = loose_in(binding_of(account)) - known
    if not wanted:
        return
    for one in _configured(account, environ):
        wanted -= loose_in(binding_of(one))
    if wanted:
        which = ", ".join(sorted(wanted))
        raise _error(account, f"{what} was not stored for {which}, which only the account URL says", named=which)


def _error(account: Account, why: str, *, key: str | None = None, **details: str) -> SettingsError:
    repair = login_command(account)
    how = f"store it anew with: {repair}"
    if account.words[1:]:
        how = f"save the changed settings, then store it anew with: {repair}"
    return SettingsError(
        f"{why}. Nothing was sent there. If it should be, {how}",
        step="secret",
        field=key,
        repair=repair,
        evidence=Evidence("settings", text=why, reason="bound-elsewhere", details=details),
    )
