"""The other way of an account that sends by an API: SMTP, where the envelope alone says who gets a message.

Not every sign-in allows it, and nobody is asked for one because of a message: it is looked up in what is stored.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from franking.errors import SettingsError

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.provider import Provider

__all__ = ["by_envelope"]


def by_envelope(account: Account, provider: Provider) -> Account | None:
    """Return the account on the provider's route by SMTP; None where it has none, or the sign-in allows none."""
    from franking.auth.status import state_of  # few messages need it
    from franking.auth.store import open_store

    for route in provider.facts.routes:
        if route.api or "route" not in account.settings:
            continue
        try:
            other = account.replace(route=route.name)
            state = state_of(other, provider, open_store(os.environ), os.environ)
        except SettingsError:
            return None
        wanted = {scope for scope in route.scopes if "/" in scope}  # openid and email are for people
        if state.ok and (route.name in state.details.get("consented", ()) or wanted <= set(state.scopes)):
            return other.referred_to_as(account.name)
    return None
