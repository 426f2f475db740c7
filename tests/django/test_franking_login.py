"""``manage.py franking_login``: signs in, or stores the password, for the account that Django sends with."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test.utils import override_settings

from franking.auth.secret import Password
from franking.auth.store import open_store
from servers.django_mail import CLASSIC, Use, at, gmail, letter, reported
from servers.google import Google
from servers.person import browse
from servers.smtp import SmtpServer

# Django 6.1 warns of everything classic; that MAILERS brings no warning is a test of its own
pytestmark = CLASSIC


def test_franking_login_stores_a_password(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    with SmtpServer(users={"jan": "tajné heslo"}) as server:
        use(at(server, username="jan"))
        monkeypatch.setattr("sys.stdin", io.StringIO("tajné heslo\n"))
        out = io.StringIO()
        call_command("franking_login", stdout=out, no_color=True)
        assert out.getvalue().splitlines() == [
            "The password is stored.",
            "Next: python manage.py sendtestemail info@novak.cz",
        ]
        assert Password.loads(open_store().load(f"smtp-jan-{server.host}") or "").value == "tajné heslo"
        assert reported() == []
        assert letter().send() == 1
        assert server.messages[0].user == "jan"
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        with pytest.raises(CommandError, match="nothing was stored"):
            call_command("franking_login")


def test_franking_login_signs_in(use: Use, google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(gmail(google, tmp_path))
    opened: list[threading.Thread] = []

    def browser(url: str) -> bool:
        opened.append(threading.Thread(target=browse, args=(url, google.authority.ca_file)))
        opened[0].start()
        return True

    monkeypatch.setattr("webbrowser.open", browser)
    out = io.StringIO()
    call_command("franking_login", stdout=out, no_color=True)
    opened[0].join()
    assert "Signed in as me@gmail.com." in out.getvalue()
    assert letter().send() == 1
    assert google.messages[0].user == "me@gmail.com"


def test_franking_login_says_what_a_failure_means(
    use: Use, google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(gmail(google, tmp_path))
    google.consent = lambda asked: {"error": "admin_policy_enforced"}
    monkeypatch.setattr("webbrowser.open", lambda url: browse(url, google.authority.ca_file))
    monkeypatch.setattr("franking.auth.redirect.BROWSER_SECONDS", 0.2)  # this browser runs in the foreground
    with pytest.raises(CommandError, match=r"The Workspace administrator does not allow it[^$]*App access control"):
        call_command("franking_login", stdout=io.StringIO())


def test_franking_login_where_nobody_can_be_asked(
    use: Use, google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(gmail(google, tmp_path))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(CommandError, match="nobody can be asked"):
        call_command("franking_login", "--no-browser", stdout=io.StringIO())


def test_franking_login_with_nothing_to_do(use: Use, server: SmtpServer) -> None:
    use(at(server))
    out = io.StringIO()
    call_command("franking_login", stdout=out)
    assert "needs no sign-in and no password" in out.getvalue()
    with (
        override_settings(
            **(
                {"MAILERS": {}}
                if hasattr(settings, "MAILERS")
                else {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
            )
        ),
        pytest.raises(CommandError, match="No mailer sends by Franking"),
    ):
        call_command("franking_login")
