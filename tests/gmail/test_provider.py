"""What goes together in the settings of a gmail account, and what is filled in."""

from __future__ import annotations

from typing import Any

import pytest

import franking
from franking.errors import SettingsError
from franking.registry import provider


@pytest.mark.parametrize(
    ("settings", "route", "host", "port", "security"),
    [
        ({}, "gmail-api", None, None, None),
        ({"route": "gmail-api"}, "gmail-api", None, None, None),
        ({"route": "smtp"}, "gmail-smtp", "smtp.gmail.com", 465, "tls"),
        ({"route": "Gmail-SMTP", "port": 587}, "gmail-smtp", "smtp.gmail.com", 587, "starttls"),
        ({"route": "smtp", "security": "starttls"}, "gmail-smtp", "smtp.gmail.com", 587, "starttls"),
        (
            {"route": "smtp", "host": "localhost", "port": 1465, "security": "ssl"},
            "gmail-smtp",
            "localhost",
            1465,
            "tls",
        ),
    ],
)
def test_settings(
    settings: dict[str, Any], route: str, host: str | None, port: int | None, security: str | None
) -> None:
    account = franking.Account(name="g", provider="gmail", sender="me@gmail.com", **settings)
    assert provider("gmail").route(account) == route
    assert (account.host, account.port, account.security) == (host, port, security)
    assert account.api_endpoint == "https://gmail.googleapis.com"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"route": "imap"}, "route"),
        ({"route": "smtp", "security": "none"}, "security"),
        ({"route": "smtp", "auth": "plain"}, "auth"),
        ({"client_secrets": "a", "service_account": "b"}, "service_account"),
        *(
            ({"api_endpoint": url}, "api_endpoint")
            for url in ("http://x", "x", "https://", "https://u@x", "https://x/v1", "https://x:y", "https://[")
        ),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(SettingsError) as caught:
        franking.Account(name="g", provider="gmail", sender="me@gmail.com", **settings)
    assert caught.value.field == field
