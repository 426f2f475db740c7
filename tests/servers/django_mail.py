"""Django set up to send by Franking, and what its tests share: classic settings everywhere, MAILERS too where Django
has them (6.1).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage as StdlibMessage
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.core.checks import run_checks

import django
from franking.auth.secret import Grant
from franking.auth.store import open_store
from servers.google import SEND, Google
from servers.smtp import SmtpServer

if not settings.configured:
    settings.configure(
        INSTALLED_APPS=["franking.django"], ADMINS=[], DEFAULT_FROM_EMAIL="Shop <shop@example.com>", USE_TZ=True
    )
    django.setup()

MAILERS = django.VERSION >= (6, 1)
BACKEND = "franking.django.EmailBackend"

CLASSIC = pytest.mark.filterwarnings(
    "ignore:The EMAIL_[A-Z_]+ setting is deprecated",
    "ignore:get_connection\\(\\) is deprecated",
    "ignore:The '(fail_silently|connection|auth_user' and 'auth_password)' arguments? (is|are) deprecated",
)
"""What Django 6.1 says to applications that are not on MAILERS yet. Whatever else it deprecates is an error."""

Use = Callable[..., None]


def at(server: SmtpServer, **more: Any) -> dict[str, Any]:
    return {"host": server.host, "port": server.port, "security": "none", "from": "Jan <info@novak.cz>", **more}


def connection(**options: Any) -> Any:
    """The backend as an application gets it."""
    return (
        mail.mailers.default
        if MAILERS and hasattr(settings, "MAILERS") and not options
        else mail.get_connection(**options)
    )


def letter(number: int = 0, **more: Any) -> mail.EmailMessage:
    return mail.EmailMessage(
        **{"subject": f"number {number}", "body": "Dobrý den", "to": [f"to{number}@example.com"], **more}
    )


def parsed(server: SmtpServer, number: int = -1) -> StdlibMessage:
    found = message_from_bytes(server.messages[number].data, policy=policy.default)
    assert isinstance(found, StdlibMessage)
    return found


def gmail(google: Google, tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "client.json"
    file.write_text(json.dumps(google.client_secrets()))
    return {
        "provider": "gmail",
        "from": "Me <me@gmail.com>",
        "client_secrets": str(file),
        "api_endpoint": google.url,
        "ca_file": google.authority.ca_file,
        "timeout": 10,
    }


def signed_in(google: Google) -> None:
    grant = Grant("gmail", "gmail-api", "me@gmail.com", ("openid", "email", SEND), 1.0, 1.0, "", 0.0, {
        "refresh_token": google.give_refresh(),
        "client_id": google.client_id,
        "client_secret": google.client_secret,
        "token_uri": f"{google.url}/token",
    })  # fmt: skip
    open_store().save("gmail-me@gmail.com", grant.dumps())


def reported() -> list[tuple[str, str, str]]:
    return [
        (str(found.id), str(found.msg), str(found.hint))
        for found in run_checks()
        if str(found.id).startswith("franking")
    ]
