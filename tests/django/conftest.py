"""Fixtures of the Django tests: the settings to send with, a server, the fake of Gmail's API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.test.utils import override_settings

from servers.django_mail import BACKEND, MAILERS, Use
from servers.google import Google
from servers.smtp import SmtpServer
from servers.web import Authority


@pytest.fixture(params=["classic", "mailers"] if MAILERS else ["classic"])
def use(request: pytest.FixtureRequest) -> Iterator[Use]:
    """Set Django up to send with an account; ``more`` are further settings."""
    with ExitStack() as stack:

        def configure(account: Any, **more: Any) -> None:
            if request.param == "classic":
                chosen: dict[str, Any] = {"EMAIL_BACKEND": BACKEND, "FRANKING_ACCOUNT": account}
            else:
                chosen = {"MAILERS": {"default": {"BACKEND": BACKEND, "OPTIONS": {"account": account}}}}
            stack.enter_context(override_settings(**chosen, **more))

        yield configure


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as made:
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def google(authority: Authority) -> Iterator[Google]:
    with Google(authority) as made:
        yield made
