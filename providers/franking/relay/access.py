"""Who may send, as whom, and by which account. It decides by settings alone and opens nothing.

A user, or a client whose address is allowed, sends only as what is written down for it, in the envelope and in the
header's From; an account with ``rewrite_from`` takes any and puts its own address there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from franking.account.routes import account_by_author
from franking.errors import SettingsError
from franking.message.idna import to_ascii

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.account.config import Config
    from franking.relay.settings import RelaySettings, User

__all__ = ["Access", "Denied"]


class Denied(Exception):
    """Say that somebody may not send so; the words name what is allowed."""


class Access:
    """The settings of one moment: those of the relay and those of the accounts that it sends by."""

    def __init__(self, settings: RelaySettings, config: Config) -> None:
        """Raises ``SettingsError`` for an account that is not there, or that is wrong."""
        self.settings, self.config = settings, config
        for name in self.accounts():
            self.account(name)
        if not self.accounts():
            raise self.config.no_default()

    def accounts(self) -> tuple[str, ...]:
        """Return the accounts that anybody could send by, each once."""
        named = [user.account for user in self.settings.users.values()]
        named += [*map(str, self.config.sections.get("routes", {}).values()), self._default]
        return tuple(dict.fromkeys(name for name in named if name))

    def account(self, name: str) -> Account:
        """Return an account, made once: taking settings apart costs as much as all the rest of a message."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self.config.account(name)
        return made

    @cached_property
    def _made(self) -> dict[str, Account]:
        return {}

    @cached_property
    def _routing(self) -> Config | None:
        """Return the settings that routes are looked up in; None where there are none."""
        if not self.config.sections.get("routes"):
            return None
        environ = {key: value for key, value in self.config.environ.items() if key != "FRANKING_ACCOUNT"}
        return replace(self.config, default=self._default, environ=environ)

    @cached_property
    def _default(self) -> str | None:
        return self.settings.account or self.config.chosen

    def on_blocked(self, user: User | None) -> str:
        return (user and user.on_blocked) or self.settings.on_blocked

    def account_for(self, user: User | None, author: str) -> Account:
        """Return the account that sends what this user (None: an allowed client) sends From an address.

        Raises ``SettingsError``.
        """
        name = user.account if user else None
        if name is None:
            name = self._default if self._routing is None else account_by_author(self._routing, author)
        if name is None:
            raise SettingsError("relay.account: nothing says which account sends.", field="account")
        return self.account(name)

    def check(self, user: User | None, account: Account, senders: Iterable[str]) -> None:
        """Raise ``Denied`` where one of the addresses may not be sent from."""
        patterns = self._patterns(user, account)
        for sender in senders:
            if sender and sender not in patterns and not (account.rewrite_from or matches(sender, patterns)):
                who = f"the user {user.name}" if user else "this client"
                raise Denied(f"{sender} may not be sent from here; {who} may send from: {', '.join(patterns[:10])}")

    def _patterns(self, user: User | None, account: Account) -> tuple[str, ...]:
        own = (account.sender.wire,)
        if user is not None:
            return user.senders or own
        return (*self.config.sections.get("routes", {}), *own)


def matches(address: str, patterns: Sequence[str]) -> bool:
    """Return whether an address is one of these, or in one of these domains (``@novak.cz``); ``*`` is any."""
    local, _, domain = address.rpartition("@")
    domain = _domain(domain)
    for pattern in patterns:
        if pattern == "*":
            return True
        of, _, at = pattern.rpartition("@")
        if _domain(at) == domain and of.lower() in ("", local.lower()):
            return True
    return False


def _domain(domain: str) -> str:
    try:
        return to_ascii(domain).lower()
    except ValueError:
        return domain.lower()
