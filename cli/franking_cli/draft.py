"""An account that is being set up: every answer that was given so far, and the command that goes on from them. It asks
nothing (``questions.py``) and writes nothing (``commands/setup.py``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from franking.account.account import Account
from franking.account.config import load
from franking.account.fields import COMMON_FIELDS, Field
from franking.account.url import write_url
from franking.auth.secret import Grant
from franking.auth.sources import Sources, keyed_by_settings
from franking.auth.store import MemoryStore
from franking.message.address import Address
from franking.provider import Provider, SupportsLogin, needs_secret
from franking_cli.console import shell
from franking_cli.options import as_flags

__all__ = ["Draft"]


@dataclass
class Draft:
    """What is known of an account so far, in memory alone.

    ``settings`` holds what was answered (None: the answer is "none"), ``recommended`` what the address or the server
    tells by itself. ``flags`` are those of the command line that are no settings, such as ``--offline``.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    offline: bool = False
    asked: Address | None = None  # who sends, once that is known
    kind: Provider | None = None
    chosen: bool = False  # the provider was chosen by the person; else it follows from the address
    recommended: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    named: bool = False  # by the person; else the name is made of the address
    to: str = ""
    password: str | None = field(default=None, repr=False)
    way: str = "browser"  # of signing in: browser, paste, code
    client_file: Path | None = None
    grant: Grant | None = field(default=None, repr=False)
    granted_for: object = None  # what the sign-in was for; with another answer it is another sign-in
    store: MemoryStore = field(default_factory=MemoryStore)

    @property
    def sender(self) -> Address:
        """Return who sends."""
        assert self.asked is not None
        return self.asked

    @property
    def provider(self) -> Provider:
        """Return the provider that was chosen."""
        assert self.kind is not None
        return self.kind

    @property
    def address(self) -> str:
        """Return the address of who sends."""
        return self.sender.address

    @property
    def known(self) -> dict[str, Any]:
        """Return all settings that are known; what was answered comes first."""
        return {**self.recommended, **self.settings}

    @property
    def fields(self) -> dict[str, Field]:
        """Return the settings that the account may have, by their names."""
        return {each.name: each for each in (*self.provider.fields, *COMMON_FIELDS)}

    @property
    def has_server(self) -> bool:
        """Return whether a server is chosen, as its provider has none of its own."""
        return not self.provider.facts.oauth and "host" in self.fields

    def signs_in(self, account: Account) -> bool:
        """Return whether somebody signs in for it, instead of giving a password."""
        return isinstance(self.provider, SupportsLogin) and self.provider.needs_login(account)

    def wants_password(self) -> bool:
        """Return whether a password, or a client secret, must be typed: nothing else gives it."""
        account = self.account()
        if self.signs_in(account) or not needs_secret(account, self.provider) or keyed_by_settings(account):
            return False
        return Sources(account, self.store, os.environ).password() is None  # a command, a file, the environment

    @property
    def sign_in(self) -> object:
        """Return all that a sign-in depends on, to be compared."""
        common = {each.name for each in COMMON_FIELDS}
        settings = {key: value for key, value in self.known.items() if key not in common}
        return self.provider.name, self.address, settings, self.way

    def account(self, name: str | None = None) -> Account:
        """Make the account. Raises ``SettingsError`` for what is missing or wrong."""
        account = load().build(
            name=name or self.name or "new", provider=self.provider.name, sender=self.sender, **self.known
        )
        known = {key: value for key, value in self.known.items() if value is not None}
        flags = as_flags({"provider": self.provider.name, "sender": str(self.sender), **known})
        return account.referred_to_as(write_url(account), flags)

    def forget(self) -> None:
        """Forget what followed from the address, as it is another one now."""
        if self.recommended or not self.chosen:
            self.kind, self.chosen = None, False
        self.recommended.clear()

    @property
    def go_on(self) -> str:
        """Return the command that goes on from here: with all that was answered, without a secret."""
        words = ["franking", "setup"]
        if self.asked is not None:
            words.append(str(self.asked))
        if self.kind is not None and self.chosen:
            words += ["--provider", self.kind.name]
        if self.settings.get("username", "") is None:
            words.append("--no-auth")
        words += as_flags({key: value for key, value in self.settings.items() if value is not None})
        if self.named:
            words += ["--name", self.name]
        if self.to:
            words += ["--to", self.to]
        ways = {"paste": ("--no-browser",), "code": ("--device",)}
        return shell(*words, *ways.get(self.way, ()), *self.flags)
