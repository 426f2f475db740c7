"""Which account Django's settings mean, and the password that stands beside it: Franking's own setting, or those of
Django's SMTP backend, so that changing ``EMAIL_BACKEND`` alone is enough. Nothing is opened here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from franking.django.message import PLACEHOLDERS
from franking.errors import SettingsError
from franking.redaction import veiled

if TYPE_CHECKING:
    from franking.account.account import Account

__all__ = ["account_of", "configured"]

_SETTINGS = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
    "timeout": "EMAIL_TIMEOUT",
    "ssl_keyfile": "EMAIL_SSL_KEYFILE",
    "ssl_certfile": "EMAIL_SSL_CERTFILE",
}
"""The options of Django's SMTP backend, and the setting that each is without ``MAILERS``."""


def account_of(value: str | Mapping[str, Any] | Account | None) -> Account:
    """Return the account that a setting means: a name, an account URL, a dict, or None for the default account.

    A dict holds ``provider`` (``smtp`` without), ``from`` (DEFAULT_FROM_EMAIL without) and the provider's keys;
    ``name`` is what its secret is stored under, by default made of provider, user name and server; ``password`` is no
    part of the account. Raises ``SettingsError`` that names the key.
    """
    from franking.account.config import load, resolve
    from franking.account.url import derived_name
    from franking.registry import DEFAULT
    from franking.registry import provider as provider_named

    if not isinstance(value, Mapping):
        return resolve(value)
    account = {str(key): setting for key, setting in value.items() if key != "password"}
    provider = provider_named(account.pop("provider", DEFAULT))
    sender = account.pop("from", None) or _sender(account.get(provider.facts.login_key))
    if not sender:
        raise SettingsError("from: say who sends, in the account or as DEFAULT_FROM_EMAIL.", field="from")
    name = account.pop("name", None) or derived_name(provider, sender, account)
    return load().build(name=name, provider=provider.name, sender=sender, **account)


def configured(
    account: str | Mapping[str, Any] | Account | None, options: Mapping[str, Any], alias: str | None
) -> tuple[Account, Any]:
    """Return the account to send with, and its password where the settings hold one.

    ``options`` are those of Django's SMTP backend, None where not given; ``alias`` is None without ``MAILERS``. Raises
    ``ImproperlyConfigured`` (``InvalidMailer`` for an entry of MAILERS) that names the setting.
    """
    here = {name: value for name, value in options.items() if value is not None}
    server = [name for name in here if name not in ("username", "password")]
    key, chosen = "account", account
    try:
        if account is None:
            key, chosen = "FRANKING_ACCOUNT", getattr(settings, "FRANKING_ACCOUNT", None)
            if here.get("host") or (chosen is None and alias is None and _has_server()):
                key, server = "", []
                chosen = _of_django(here, alias)
        if server:
            raise SettingsError(f"{', '.join(server)}: this goes with host; an account says it itself.")
        made = account_of(chosen)
        if key and "username" in here:
            made = made.replace(username=here["username"])
    except SettingsError as problem:
        where = key or _spelt(problem.field or "host", alias)
        raise _misconfigured(f"{where}: {problem}", alias) from problem
    password = here.get("password")
    if isinstance(chosen, Mapping) and (password is None or not key):
        password = chosen.get("password")
    return made, veiled(password)


def _has_server() -> bool:
    """Return whether somebody chose a server for Django's SMTP backend, and nobody an account for Franking."""
    return not os.environ.get("FRANKING_ACCOUNT") and settings.is_overridden("EMAIL_HOST") and bool(_setting("host"))


def _of_django(here: Mapping[str, Any], alias: str | None) -> dict[str, Any]:
    """Return the account that the options of Django's SMTP backend, or its settings, mean."""
    meant = {name: here.get(name) for name in _SETTINGS}
    if alias is None:
        meant = {name: _setting(name) if value is None else value for name, value in meant.items()}
    for name in ("ssl_certfile", "ssl_keyfile"):
        if meant[name]:
            raise SettingsError(
                f"Franking shows no client certificate; leave {_spelt(name, alias)} out if the server does without.",
                field=name,
            )
    if meant["use_tls"] and meant["use_ssl"]:
        raise SettingsError(
            f"{_spelt('use_tls', alias)} (STARTTLS, mostly port 587) and {_spelt('use_ssl', alias)} (TLS from the "
            "first byte, mostly port 465) exclude each other; set one of them.",
            field="use_tls",
        )
    account = {"host": meant["host"], "port": meant["port"], "timeout": meant["timeout"], "security": "none"}
    if meant["use_tls"]:
        account["security"] = "starttls"
    elif meant["use_ssl"]:
        account["security"] = "tls"
    if meant["username"]:
        account |= {"username": meant["username"], "password": meant["password"] or None}
    return {"from": _sender(meant["username"]) or settings.DEFAULT_FROM_EMAIL, **account}


def _sender(login: str | None) -> str | None:
    """Return who sends: DEFAULT_FROM_EMAIL, or a login name that is an address where nobody chose one."""
    if settings.DEFAULT_FROM_EMAIL not in PLACEHOLDERS:
        return str(settings.DEFAULT_FROM_EMAIL)
    if "@" in (login or ""):
        return login
    return None


def _setting(name: str) -> Any:
    # Django 6.1 has warned of these once, at the start; LazySettings would again, of us
    return getattr(settings._wrapped, _SETTINGS[name])


def _spelt(name: str, alias: str | None) -> str:
    return _SETTINGS.get(name, "EMAIL_HOST") if alias is None else name


def _misconfigured(text: str, alias: str | None) -> ImproperlyConfigured:
    if alias is None:
        return ImproperlyConfigured(text)
    from django.core.mail import InvalidMailer  # of Django 6.1, as the alias is

    return InvalidMailer(text, alias=alias)
