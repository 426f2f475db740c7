"""``manage.py franking_login``: sign in, or store the password, for the account that Django sends with."""

from __future__ import annotations

import getpass
import sys
import webbrowser
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from franking.account.account import Account
from franking.auth.redirect import open_in_background
from franking.django.checks import backends
from franking.errors import FrankingError, LoginRequired, discreet
from franking.sending.explain import explain

__all__ = ["Command"]


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Ask what the account's provider needs; the result lies where ``franking login`` puts it too."""

    help = "Sign in with Google or Microsoft, or store the password, for the account that Django sends mail with."
    requires_system_checks = ()  # a missing sign-in is what they report

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--using", help="The MAILERS alias; 'default' without.")
        parser.add_argument(
            "--no-browser", action="store_true", help="Show the address, and take the one that the browser ended at."
        )
        parser.add_argument("--device", action="store_true", help="Sign in with a code on another device (Microsoft).")

    def handle(
        self, *args: Any, using: str | None = None, no_browser: bool = False, device: bool = False, **options: Any
    ) -> None:
        from franking.auth.sources import keyed_by_settings
        from franking.provider import SupportsLogin, needs_secret
        from franking.registry import provider

        account = self._account(using)
        kind = provider(account.provider)
        try:
            with discreet:
                if not needs_secret(account, kind) or keyed_by_settings(account):
                    self.stdout.write(f"{account.name} needs no sign-in and no password.")
                elif isinstance(kind, SupportsLogin) and kind.needs_login(account):
                    self._sign_in(account, kind, Screen(self, no_browser=no_browser, device=device))
                else:
                    self._store_password(account, account.get(kind.facts.login_key) or account.name)
        except FrankingError as problem:
            diagnosis = explain(problem, account, kind)
            lines = [str(problem), f"{diagnosis.title}. {diagnosis.cause}"]
            lines += [f"· {remedy}" for remedy in diagnosis.remedies]
            raise CommandError("\n".join(lines)) from problem

    def _account(self, using: str | None) -> Account:
        found = dict(backends(using))
        backend = found.get("default") or next(iter(found.values()), None)
        if backend is None:
            raise CommandError(
                "No mailer sends by Franking: set EMAIL_BACKEND, or a BACKEND in MAILERS, "
                "to franking.django.EmailBackend."
            )
        if isinstance(backend, Exception):
            raise CommandError(str(backend)) from backend
        return backend.account

    def _sign_in(self, account: Account, kind: Any, screen: Screen) -> None:
        from franking.auth.store import open_store, save_grant

        store = open_store()
        with store.lock(account.name):
            pass  # where nothing can be kept, nobody should go through the sign-in
        grant = kind.login(account, screen)
        who = kind.who(grant)
        save_grant(store, account, grant)
        self._tell(account, f"Signed in as {who or 'somebody whose name the provider did not tell'}.")

    def _store_password(self, account: Account, whose: str) -> None:
        from franking.auth.store import open_store, save_password

        question = f"Password of {whose}: "
        password = getpass.getpass(question) if sys.stdin.isatty() else sys.stdin.readline().removesuffix("\n")
        if not password:
            raise CommandError("Nothing was typed; nothing was stored.")
        save_password(open_store(), account, password)
        self._tell(account, "The password is stored.")

    def _tell(self, account: Account, words: str) -> None:
        self.stdout.write(self.style.SUCCESS(words))
        self.stdout.write(f"Next: python manage.py sendtestemail {account.sender.address}")


class Screen:
    """The user interface of a sign-in: what ``franking.provider.LoginUI`` asks for."""

    def __init__(self, command: Command, *, no_browser: bool, device: bool) -> None:
        self._command, self.no_browser, self.device = command, no_browser, device
        self.interactive = sys.stdin.isatty()

    def show(self, text: str) -> None:
        self._command.stdout.write(text)

    def open_url(self, url: str) -> bool:
        return open_in_background(webbrowser.open, url)

    def ask(self, question: str, *, hidden: bool = False) -> str:
        if not self.interactive:
            raise LoginRequired(f"{question}: nobody can be asked here; run this command in a terminal.")
        return getpass.getpass(f"{question}: ") if hidden else input(f"{question}: ")

    def confirm(self, question: str) -> bool:
        return self.ask(f"{question} [y/N]").strip().lower() in ("y", "yes")
