"""``manage.py check``: what is missing before the first mail is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test.utils import override_settings

from franking.django.checks import backends
from servers.django_mail import BACKEND, CLASSIC, Use, at, gmail, reported, signed_in
from servers.google import Google
from servers.smtp import SmtpServer

# Django 6.1 warns of everything classic; that MAILERS brings no warning is a test of its own
pytestmark = CLASSIC


def test_the_check_reports_what_is_missing(use: Use, server: SmtpServer, google: Google, tmp_path: Path) -> None:
    use(at(server))
    assert reported() == []
    using = " --using default" if hasattr(settings, "MAILERS") else ""
    use(at(server, username="jan"))
    [(code, text, hint)] = reported()
    assert (code, hint) == ("franking.E002", f"Run: python manage.py franking_login{using}")
    assert text == f"Franking cannot send with the account 'smtp-jan-{server.host}': no password is stored."
    use(at(server, username="jan", password="x"))
    assert reported() == []
    use(gmail(google, tmp_path))
    [(code, text, _)] = reported()
    assert (code, text) == (
        "franking.E002",
        "Franking cannot send with the account 'gmail-me@gmail.com': nobody has signed in yet.",
    )
    signed_in(google)
    assert reported() == []
    assert google.requests == []
    use("nobody")
    [(code, text, _)] = reported()
    assert code == "franking.E001"
    assert "no account 'nobody'" in text
    use(at(server, enabled=False))
    assert [code for code, _, _ in reported()] == ["franking.W001"]


def test_other_backends_are_not_looked_at() -> None:
    with override_settings(EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend", FRANKING_ACCOUNT="nobody"):
        assert reported() == []


def test_an_error_of_the_check_stops_manage_py(use: Use) -> None:
    use("nobody")
    with pytest.raises(SystemCheckError, match=r"franking\.E001"):
        call_command("check", "--tag", "franking")


def test_every_mailer_of_franking_s_is_looked_at(server: SmtpServer) -> None:
    entries = {
        "default": {"BACKEND": BACKEND, "OPTIONS": {"account": at(server)}},
        "other mail": {"BACKEND": BACKEND, "OPTIONS": {"account": at(server, username="jan")}},
        "memory": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"},
        "gone": {"BACKEND": "no.such.Backend"},
        "nameless": {},
        "odd": {"BACKEND": "franking.django.account_of"},
    }
    with override_settings(MAILERS=entries):
        found = dict(backends())
        assert list(found) == ["default", "other mail"]
        assert list(dict(backends("other mail"))) == ["other mail"]
        assert dict(backends("memory")) == {}
        [(code, _, hint)] = reported()
    assert (code, hint) == ("franking.E002", "Run: python manage.py franking_login --using 'other mail'")


def test_a_store_that_cannot_be_used_is_reported(use: Use, server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    use(at(server, username="jan"))
    monkeypatch.setenv("FRANKING_STORE", "nonsense")
    [(code, text, _)] = reported()
    assert code == "franking.E002"
    assert "nonsense" in text
    assert ".." not in text
