"""What ``[alerts]`` in accounts.toml says: who is told when something changes. It tells nobody itself."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from franking.account.fields import Field, unknown_key
from franking.errors import SettingsError, discreet
from franking.message.address import Address
from franking.redaction import Veiled, revealed, veiled
from franking.shared.failures import loopback

if TYPE_CHECKING:
    from franking.account.config import Config

__all__ = ["FORMS", "AlertSettings", "read_settings"]

FORMS = ("json", "slack", "teams")

FIELDS = (
    Field("webhook", help="An address (https) that changes are posted to; it is a secret."),
    Field("webhook_form", default="json", choices=FORMS, help="How the webhook is told."),
    Field("ca_file", "path", help="Extra CA certificates (PEM) for the webhook."),
    Field("account", help="The account that sends mail about the others; about itself another one does."),
    Field("to", help="Who gets that mail."),
)


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Who is told: a command, a webhook, somebody by mail."""

    command: tuple[str, ...] = ()
    webhook: Veiled[str] | None = field(default=None, repr=False)
    webhook_form: str = "json"
    ca_file: str | None = None
    account: str | None = None
    to: str | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """Return the names of the channels that are set."""
        given = {"command": bool(self.command), "webhook": self.webhook is not None, "mail": self.to is not None}
        return tuple(name for name, there in given.items() if there)

    def spoken(self, channel: str, language: str) -> str:
        """Return the language that a channel is told in: people read theirs; JSON, as everywhere, is English."""
        if channel == "command" or (channel == "webhook" and self.webhook_form == "json"):
            return "en"
        return language


def read_settings(config: Config) -> AlertSettings:
    """Return what a settings file says of alerts. Raises ``SettingsError`` that names the key."""
    table = config.sections.get("alerts", {})
    fields = {one.name: one for one in FIELDS}
    found: dict[str, Any] = {name: one.default for name, one in fields.items()}
    command = _command(table.get("command", []))
    for key, value in table.items():
        if key == "command":
            continue
        if key not in fields:
            raise SettingsError(unknown_key(key, "[alerts]", [*fields, "command"]), field=key)
        if key != "webhook":
            found[key] = fields[key].read(value)
    if (ca_file := found["ca_file"]) is not None:
        found["ca_file"] = os.path.join(os.path.dirname(config.location), ca_file)  # noqa: PTH118, PTH120
    if "webhook" in table:
        with discreet:
            _check_address(revealed(table["webhook"]))
        found["webhook"] = veiled(table["webhook"])
    settings = AlertSettings(command=command, **found)
    _check_mail(settings, config)
    if not settings.channels:
        raise SettingsError(
            "alerts: nobody is named to be told; under [alerts] set command, webhook, or account and to.",
            field="alerts",
        )
    return settings


def _command(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) and "\0" not in word for word in value):
        raise SettingsError(
            'alerts.command: give the program and its arguments as a list: ["/usr/local/bin/tell", "ops"].',
            field="command",
        )
    return tuple(value)


def _check_address(url: Any) -> None:
    """Raise ``SettingsError`` for what is no webhook's address. It is a secret: no error repeats it."""
    try:
        parts = urlsplit(url) if isinstance(url, str) and url.isprintable() and " " not in url else None
        _ = parts and parts.port
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise SettingsError("alerts.webhook: the address is no web address; it begins with https://.", field="webhook")
    if parts.scheme == "http" and not loopback(parts.hostname):
        raise SettingsError(
            "alerts.webhook: the address begins with http://, which only this computer itself may be told by; "
            "take https://.",
            field="webhook",
        )


def _check_mail(settings: AlertSettings, config: Config) -> None:
    if (settings.account is None) != (settings.to is None):
        lacks = "to" if settings.to is None else "account"
        raise SettingsError(f"alerts.{lacks}: mail needs both, account (who sends) and to (who gets it).", field=lacks)
    if settings.account is None or settings.to is None:
        return
    try:
        Address.parse(settings.to)
    except ValueError as problem:
        raise SettingsError(f"alerts.to: {problem}", field="to") from None
    if settings.account not in config.tables:
        raise SettingsError(f"alerts.account: {config.no_account(settings.account)}", field="account")
    if settings.channels == ("mail",) and len(config.tables) == 1:
        raise SettingsError(
            f"alerts.account: {settings.account!r} is the only account, and cannot tell that it cannot send; add "
            "another account, or a command or a webhook under [alerts].",
            field="account",
        )
