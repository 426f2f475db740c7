"""What ``manage.py check`` says of Franking before the first mail is sent: the account, and its password or sign-in.
Nothing is opened or renewed.

``franking.E001`` the account, or an option, is wrong · ``franking.E002`` nobody has signed in, or no password is there
· ``franking.W001`` the account is switched off.
"""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from franking.django.backend import EmailBackend

__all__ = ["backends", "check_accounts"]


def check_accounts(app_configs: Any = None, **options: Any) -> list[checks.CheckMessage]:
    """Look at each mailer that sends by Franking."""
    found: list[checks.CheckMessage] = []
    for alias, backend in backends():
        if isinstance(backend, EmailBackend):
            found += _look(alias, backend)
        else:
            found.append(checks.Error(f"Franking cannot send: {backend}", id="franking.E001"))
    return found


def backends(using: str | None = None) -> Iterator[tuple[str | None, EmailBackend | Exception]]:
    """Go through the mailers that send by Franking (or only the one called ``using``): the backend, or why it cannot be
    made.
    """
    for alias, path, options in _configured():
        if using not in (None, alias):
            continue
        try:
            kind = import_string(path)
        except ImportError:
            continue  # Django's own words on it come when mail is sent
        if isinstance(kind, type) and issubclass(kind, EmailBackend):
            if alias is not None:
                options["alias"] = alias
            try:
                yield alias, kind(**options)
            except (ImproperlyConfigured, TypeError) as problem:
                yield alias, problem


def _configured() -> Iterator[tuple[str | None, str, dict[str, Any]]]:
    mailers = getattr(settings, "MAILERS", None)
    if mailers is not None:
        for alias, entry in mailers.items():
            yield alias, entry.get("BACKEND", ""), dict(entry.get("OPTIONS", {}))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Django 6.1 has said already that the setting will go
        path = settings.EMAIL_BACKEND
    yield None, path, {}


def _look(alias: str | None, backend: EmailBackend) -> Iterator[checks.CheckMessage]:
    from franking.auth.status import state_of
    from franking.auth.store import open_store
    from franking.errors import SettingsError
    from franking.registry import provider

    account = backend.account
    if not account.enabled:
        yield checks.Warning(
            f"The account {account.name!r} is switched off, so that every mail will fail.", id="franking.W001"
        )
    if backend.has_secret:
        return
    try:
        state = state_of(account, provider(account.provider), open_store(), os.environ)
        problem = state.problem
    except SettingsError as wrong:
        problem = str(wrong)
    if problem is not None:
        using = f" --using {shlex.quote(alias)}" if alias else ""
        yield checks.Error(
            f"Franking cannot send with the account {account.name!r}: {problem}.".replace("..", "."),
            hint=f"Run: python manage.py franking_login{using}",
            id="franking.E002",
        )
