"""Which account Django's settings mean: its own ``EMAIL_HOST`` and the like are enough, so that changing
``EMAIL_BACKEND`` (or ``BACKEND`` in MAILERS) is the whole move. Real Django, real sockets.
"""

from __future__ import annotations

import traceback
import warnings
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.test.utils import override_settings

import franking
from servers.certificates import Certificates
from servers.django_mail import BACKEND, CLASSIC, MAILERS, at, letter, parsed, reported
from servers.smtp import SmtpServer

pytestmark = CLASSIC

CLASSIC = {
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


class As:
    """Django's SMTP settings as the one or the other way has them."""

    def __init__(self, way: str) -> None:
        self.way = way

    def settings(self, backend: str = BACKEND, **options: Any) -> override_settings:
        if self.way == "mailers":
            return override_settings(MAILERS={"default": {"BACKEND": backend, "OPTIONS": options}})
        return override_settings(EMAIL_BACKEND=backend, **{CLASSIC[name]: value for name, value in options.items()})

    def spelt(self, name: str) -> str:
        return CLASSIC[name] if self.way == "classic" else name

    def backend(self) -> Any:
        return mail.mailers.default if self.way == "mailers" else mail.get_connection()


@pytest.fixture(params=["classic", "mailers"] if MAILERS else ["classic"])
def way(request: pytest.FixtureRequest) -> As:
    return As(request.param)


@pytest.mark.parametrize("backend", ["django.core.mail.backends.smtp.EmailBackend", BACKEND])
@pytest.mark.parametrize("port", [int, str])
def test_one_line_is_enough(way: As, backend: str, port: Any) -> None:
    with (
        SmtpServer(extensions=("8BITMIME",), users={"info@novak.cz": "heslo"}) as server,
        way.settings(backend, host=server.host, port=port(server.port), username="info@novak.cz", password="heslo"),
    ):
        assert letter().send() == 1
        [message] = server.messages
        assert (message.recipients, message.user) == (["to0@example.com"], "info@novak.cz")
        assert parsed(server)["From"] == "Shop <shop@example.com>"


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_encryption_is_meant_as_django_means_it(way: As, mode: str) -> None:
    with way.settings(host="smtp.novak.cz", **{{"starttls": "use_tls", "tls": "use_ssl"}[mode]: True}):
        account = way.backend().account
        assert account.security == mode
        classic = 25  # Django's default for EMAIL_PORT, whatever the encryption
        assert account.port == (classic if way.way == "classic" else {"starttls": 587, "tls": 465}[mode])


def test_without_encryption_and_time_out(way: As) -> None:
    with way.settings(host="smtp.novak.cz", timeout=7, use_tls=False):
        account = way.backend().account
        assert (account.security, account.port, account.timeout, account.username) == ("none", 25, 7.0, None)


@pytest.mark.parametrize("mode", ["use_tls", "use_ssl"])
def test_encrypted_for_real(
    way: As, mode: str, smtp_server: Any, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRANKING_SMTP_CA_FILE", certificates.ca_file)
    server = smtp_server(
        context=certificates.context("good"),
        extensions=("8BITMIME",),
        implicit_tls=mode == "use_ssl",
        users={"jan": "heslo"},
    )
    login = {"username": "jan", "password": "heslo"}
    with way.settings(host="localhost", port=server.port, **login, **{mode: True}):
        assert letter().send() == 1
        assert server.messages[0].tls


def test_a_password_that_django_does_not_know_is_looked_up(way: As, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        SmtpServer(users={"jan": "heslo"}) as server,
        way.settings(host=server.host, port=server.port, username="jan"),
    ):
        with pytest.raises(franking.SettingsError, match="No password"):
            letter().send()
        assert [code for code, _, _ in reported()] == ["franking.E002"]
        monkeypatch.setenv("FRANKING_SECRET_SMTP_JAN_127_0_0_1", "heslo")
        assert letter().send() == 1


def test_a_password_without_a_name_logs_nobody_in(way: As, server: SmtpServer) -> None:
    with way.settings(host=server.host, port=server.port, password="heslo"):
        assert letter().send() == 1
    assert server.messages[0].user is None


def test_a_sender_that_nobody_chose(way: As, server: SmtpServer) -> None:
    with override_settings(DEFAULT_FROM_EMAIL="webmaster@localhost"):
        with way.settings(host=server.host, port=server.port):
            assert letter().send() == 1  # as Django sends it to a server of the own machine
            assert server.messages[0].sender == "webmaster@localhost"
        with way.settings(host=server.host, port=server.port, username="info@novak.cz"):
            assert str(way.backend().account.sender) == "info@novak.cz"


def test_what_cannot_be_done_is_said(way: As) -> None:
    for wrong, name, words in (
        ({"ssl_certfile": "/c.pem"}, "ssl_certfile", "no client certificate"),
        ({"ssl_keyfile": "/k.pem"}, "ssl_keyfile", "no client certificate"),
        ({"use_tls": True, "use_ssl": True}, "use_tls", "exclude each other"),
        ({"port": "smtp"}, "port", "not a whole number"),
        ({"port": 0}, "port", "below 1"),
        ({"timeout": "soon"}, "timeout", "not a number"),
    ):
        with way.settings(**{"host": "smtp.novak.cz", **wrong}), pytest.raises(ImproperlyConfigured) as caught:
            way.backend()
        assert words in str(caught.value)
        assert f"{way.spelt(name)}: " in str(caught.value)


# -- which of them counts ----------------------------------------------------------------------------------------------


def test_an_account_counts_before_email_host(server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(EMAIL_BACKEND=BACKEND, EMAIL_HOST="smtp.novak.cz", EMAIL_PORT=1):
        with override_settings(FRANKING_ACCOUNT=at(server)):
            assert letter().send() == 1
        monkeypatch.setenv("FRANKING_ACCOUNT", f"smtp://127.0.0.1:{server.port}?from=url@novak.cz&security=none")
        assert letter().send() == 1
    assert [message.sender for message in server.messages] == ["info@novak.cz", "url@novak.cz"]


def test_django_s_default_of_email_host_is_nobody_s_choice(server: SmtpServer, tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").write_text(
        f'[accounts.one]\nprovider = "smtp"\nfrom = "one@novak.cz"\nhost = "127.0.0.1"\nport = {server.port}\n'
        'security = "none"\n'
    )
    with pytest.MonkeyPatch.context() as patch, override_settings(EMAIL_BACKEND=BACKEND):
        patch.setenv("FRANKING_CONFIG", str(tmp_path / "accounts.toml"))
        for more in ({}, {"EMAIL_PORT": 1, "EMAIL_HOST_USER": "left over"}, {"EMAIL_HOST": ""}):
            with override_settings(**more):
                assert letter().send() == 1
    assert [message.sender for message in server.messages] == ["one@novak.cz"] * 3


def test_options_of_a_connection_count_before_the_settings(server: SmtpServer) -> None:
    with override_settings(EMAIL_BACKEND=BACKEND, EMAIL_HOST="smtp.novak.cz", EMAIL_HOST_USER="x", EMAIL_USE_TLS=True):
        backend = mail.get_connection(host=server.host, port=server.port, username="", use_tls=False)
        assert letter(connection=backend).send() == 1
        assert mail.get_connection(timeout=3).account.timeout == 3
        assert mail.get_connection(timeout=3).account.host == "smtp.novak.cz"
        with override_settings(FRANKING_ACCOUNT=at(server)):
            assert mail.get_connection(host="smtp.other.cz").account.host == "smtp.other.cz"
            with pytest.raises(ImproperlyConfigured, match="FRANKING_ACCOUNT: timeout: this goes with host"):
                mail.get_connection(timeout=3)


def test_an_account_and_a_server_are_two(way: As, server: SmtpServer) -> None:
    from franking.django import EmailBackend

    with pytest.raises(ImproperlyConfigured, match="account: host, port: this goes with host"):
        EmailBackend(account=at(server), host="smtp.novak.cz", port=25)


def test_an_unknown_option_stays_an_error() -> None:
    with override_settings(EMAIL_BACKEND=BACKEND, EMAIL_HOST="smtp.novak.cz"), pytest.raises(TypeError, match="hots"):
        mail.get_connection(hots="smtp.other.cz")


@pytest.mark.skipif(not MAILERS, reason="Django 6.1 warns")
def test_the_settings_bring_no_warning_of_ours() -> None:
    with (
        override_settings(EMAIL_BACKEND=BACKEND, EMAIL_HOST="smtp.novak.cz"),
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("always")
        mail.get_connection()
    assert not [str(warning.message) for warning in told if "EMAIL_" in str(warning.message)]


def test_no_frame_of_ours_shows_the_password(way: As) -> None:
    for options in ({"host": "h", "port": 0}, {"account": {"host": "h", "port": 0}}):
        account = options.get("account")
        if isinstance(account, dict):
            account["password"] = "geheim123"
            taken: dict[str, Any] = {"account": account}
        else:
            taken = {**options, "username": "jan", "password": "geheim123"}
        from franking.django import EmailBackend

        with pytest.raises(ImproperlyConfigured) as caught:
            EmailBackend(**taken)
        seen = [caught.value, caught.value.__cause__, caught.value.__context__]
        for link in filter(None, seen):
            for frame, _ in traceback.walk_tb(link.__traceback__):
                if "/franking/" in frame.f_code.co_filename:
                    assert "geheim123" not in repr(frame.f_locals), frame
