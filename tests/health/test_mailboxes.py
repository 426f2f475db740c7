"""Mailboxes that are asked: sign-ins really renewed, passwords really tried, no oftener than they should be."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

import franking
from franking.account.config import load
from franking.auth.secret import Grant
from franking.auth.store import open_store, save_grant, save_password
from franking.errors import SettingsError
from franking.health.look import look
from health.looking import DAY, HOUR, START, Clock, Looks, codes, entry, finding, settings
from outbox.test_outbox import save
from servers.certificates import Certificates
from servers.google import SEND, Google
from servers.smtp import Fault, SmtpServer, says
from servers.web import Reply

PASSWORD = "Canary3-hunter2"


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer(users={"info": PASSWORD}, mechanisms=("PLAIN",)) as server:
        save(server.port, username="info", allow_plain_login=True)
        yield server


def password(text: str) -> None:
    save_password(open_store({**os.environ, "FRANKING_STORE": "file"}), load().account("shop"), text)


def sign_in(google: Google, now: float, *, name: str = "shop", more: str = "", **grant: Any) -> None:
    """Save an account at the stand-in of Google, and a sign-in that is as old as ``now`` says."""
    file = Path(google.authority.ca_file).with_name("client.json")
    file.write_text(json.dumps(google.client_secrets()))
    settings(
        f"[accounts.{name}]\nprovider = 'gmail'\nfrom = 'me@gmail.com'\nclient_secrets = '{file}'\n"
        f"api_endpoint = '{google.url}'\nca_file = '{google.authority.ca_file}'\ntimeout = 10\n{more}"
    )
    data = {
        "refresh_token": google.give_refresh(),
        "client_id": google.client_id,
        "client_secret": google.client_secret,
        "token_uri": f"{google.url}/token",
    }
    made = Grant(
        provider="gmail", route="gmail-api", who="me@gmail.com", scopes=("openid", "email", SEND), created_at=now,
        refreshed_at=now, access_token="old", expires_at=now + 3600, data=data, **grant,
    )  # fmt: skip
    save_grant(open_store({**os.environ, "FRANKING_STORE": "file"}), load().account(name), made)


# --- passwords --------------------------------------------------------------------------------------------------------


def test_a_password_is_tried_once_in_a_day(server: SmtpServer, looks: Looks, clock: Clock) -> None:
    password(PASSWORD)
    found = looks()
    assert codes(found) == {"password.ok": "ok", "server.unreachable": "ok", "send.failing": "ok"}
    assert (found.level, entry(found).provider, entry(found).route) == ("ok", "smtp", "smtp")
    clock.now += DAY - 1
    looks()
    assert len(server.sessions) == 1
    clock.now += 1
    looks()
    assert len(server.sessions) == 2
    looks(verify=True)
    assert len(server.sessions) == 3
    clock.now -= 10 * DAY  # the clock was set back: what was seen lies in the future
    looks()
    assert len(server.sessions) == 4


def test_a_refused_password_is_not_tried_again_until_it_changes(server: SmtpServer, looks: Looks, clock: Clock) -> None:
    password("wrong")
    found = finding(looks(), "password.refused")
    assert (found.level, found.since) == ("critical", START)
    assert "The server refused the login" in found.text()
    assert any("franking login shop" in remedy for remedy in found.remedies())
    clock.now += 3 * DAY
    assert finding(looks(verify=True), "password.refused").since == START
    assert len(server.sessions) == 1
    password(PASSWORD)
    assert codes(looks())["password.ok"] == "ok"
    assert len(server.sessions) == 2


def test_a_refused_password_from_elsewhere_is_tried_once_a_day(
    server: SmtpServer, looks: Looks, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells that the environment, a file or a command has another one by now."""
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "wrong")
    looks()
    clock.now += HOUR
    looks()
    assert len(server.sessions) == 1
    clock.now += DAY
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    assert codes(looks())["password.ok"] == "ok"


def test_a_message_that_was_accepted_tells_that_a_password_is_taken_again(
    server: SmtpServer, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "wrong")
    assert codes(looks()) == {"password.refused": "critical", "send.failing": "ok"}
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    assert codes(looks())["password.refused"] == "critical"
    with franking.connect("shop") as mailer:
        mailer.send(franking.Message(to="a@b.cz", subject="x", text="y"))
    assert codes(looks()) == {"password.ok": "ok", "server.unreachable": "ok", "send.failing": "ok"}


@pytest.mark.usefixtures("server")
def test_no_password_at_all(looks: Looks) -> None:
    found = finding(looks(), "password.refused")
    assert found.level == "critical"
    assert "No password is stored" in found.text()


def test_a_server_that_is_away_is_a_warning_and_critical_after_a_day(looks: Looks, clock: Clock) -> None:
    save(1)
    assert finding(looks(), "server.unreachable").level == "warning"
    clock.now += DAY - 1
    found = finding(looks(), "server.unreachable")
    assert (found.level, found.since) == ("warning", START)
    clock.now += 1
    found = finding(looks(), "server.unreachable")
    assert (found.level, found.since) == ("critical", clock.now)
    assert "for a day" in found.text()
    with SmtpServer() as server:
        path = settings()
        path.write_text(path.read_text().replace("port = 1\n", f"port = {server.port}\n"))
        assert codes(looks())["server.unreachable"] == "ok"
    path.write_text(path.read_text().replace(f"port = {server.port}\n", "port = 1\n"))
    assert finding(looks(), "server.unreachable").level == "warning", "a new beginning"


def test_a_login_that_may_pass_is_no_refused_password(looks: Looks) -> None:
    with SmtpServer(
        users={"info": PASSWORD}, mechanisms=("PLAIN",), faults=[Fault("auth", says("454 4.7.0 later"), connection=1)]
    ) as one:
        save(one.port, username="info", allow_plain_login=True)
        password(PASSWORD)
        assert codes(looks())["server.unreachable"] == "warning"
        assert codes(looks())["password.ok"] == "ok"


def test_what_lasts_and_is_no_password_keeps_from_sending(looks: Looks, certificates: Certificates) -> None:
    with SmtpServer(context=certificates.context("stranger")) as server:
        save(server.port)
        path = settings()
        path.write_text(path.read_text().replace("security = 'none'", "security = 'starttls'"))
        found = finding(looks(), "send.failing")
    assert found.level == "critical"
    assert "certificate" in found.text().lower()


@pytest.mark.parametrize(
    ("days", "level"), [(14, "ok"), (13.9, "warning"), (2, "warning"), (1.9, "critical"), (-1, "critical")]
)
def test_a_server_s_certificate_that_ends(days: float, level: str, certificates: Certificates, present: Clock) -> None:
    """It holds for 60 days from now; the clock is put so many days before its end."""
    with SmtpServer(context=certificates.context("good")) as server:
        save(server.port)
        path = settings()
        text = path.read_text().replace("security = 'none'", "security = 'starttls'")
        path.write_text(f"{text}ca_file = '{certificates.ca_file}'\n")
        end = finding(look(clock=present), "server-certificate.expires").expires_at
        assert abs(end - present.now - 60 * DAY) < HOUR
        present.now = end - days * DAY
        found = finding(look(clock=present), "server-certificate.expires")
    assert (found.level, found.what) == (level, "server-certificate")


# --- sign-ins ---------------------------------------------------------------------------------------------------------


def test_a_sign_in_is_really_renewed(google: Google, present: Clock) -> None:
    sign_in(google, present.now - 2 * DAY)
    found = look(clock=present)
    assert codes(found) == {"signin.ok": "ok", "grant.expires": "ok", "send.failing": "ok"}
    assert len(google.token_requests) == 1
    look(clock=present)
    assert len(google.token_requests) == 1
    look(verify=True, clock=present)
    assert len(google.token_requests) == 2


def test_a_sign_in_that_a_send_renewed_needs_no_renewal(google: Google, present: Clock) -> None:
    sign_in(google, present.now - DAY + 60)
    assert codes(look(clock=present))["signin.ok"] == "ok"
    assert google.token_requests == []
    present.now += 61
    look(clock=present)
    assert len(google.token_requests) == 1


def test_a_dead_sign_in(google: Google, present: Clock) -> None:
    sign_in(google, present.now - 2 * DAY)
    google.refresh.clear()
    found = finding(look(clock=present), "signin.dead")
    assert found.level == "critical"
    assert any("franking login shop" in remedy for remedy in found.remedies())
    assert "franking login shop" in " ".join(found.remedies("cs"))
    look(clock=present)
    assert len(google.token_requests) == 1
    sign_in(google, time.time() - 2 * DAY, name="other")
    assert codes(look(clock=present), "other")["signin.ok"] == "ok"


def test_an_issuer_that_is_away_is_a_warning(google: Google, present: Clock) -> None:
    sign_in(google, present.now - 2 * DAY)
    google.token_faults.append(Reply(503, b"later"))
    assert codes(look(clock=present))["server.unreachable"] == "warning"
    assert codes(look(clock=present))["signin.ok"] == "ok"


def test_nobody_has_signed_in(google: Google, present: Clock) -> None:
    sign_in(google, present.now)
    open_store().delete("shop")
    assert codes(look(clock=present))["signin.dead"] == "critical"


@pytest.mark.parametrize(
    ("hours", "level"),
    [(49, "ok"), (48, "warning"), (12.1, "warning"), (12, "critical"), (0, "critical"), (-5, "critical")],
)
def test_a_sign_in_of_google_s_testing_ends(hours: float, level: str, google: Google, present: Clock) -> None:
    end = present.now + hours * HOUR
    sign_in(google, present.now - 60, details={"refresh_expires_at": end, "testing": True})
    found = finding(look(clock=present), "grant.expires")
    assert (found.level, found.expires_at) == (level, end)
    assert any("Publish the app" in remedy for remedy in found.remedies()) == (level != "ok")


@pytest.mark.parametrize(("days", "level"), [(15, "ok"), (14, "warning"), (1, "critical"), (-1, "critical")])
def test_an_unused_sign_in_of_a_switched_off_account_ends(
    days: float, level: str, google: Google, present: Clock
) -> None:
    sign_in(google, present.now - (180 - days) * DAY, more="enabled = false\n")
    found = look(clock=present)
    assert codes(found) == {"account.disabled": "ok", "grant.expires": level}
    assert google.token_requests == []


def test_a_sign_in_that_cannot_be_renewed_for_long_ends_by_disuse(google: Google, present: Clock) -> None:
    sign_in(google, present.now - 170 * DAY)
    google.token_faults.extend([Reply(503, b"later")] * 9)
    found = finding(look(clock=present), "grant.expires")
    assert (found.level, "unused, it ends" in found.text()) == ("warning", True)


# --- several, and the clock -------------------------------------------------------------------------------------------


def test_settings_that_are_wrong_are_found_and_stop_nobody_else(server: SmtpServer, looks: Looks) -> None:
    password(PASSWORD)
    settings(
        "[accounts.wrong]\nprovider = 'smtp'\nfrom = 'a@b.cz'\nhots = 'x'\n[accounts.what]\nprovider = 'nothing'\n"
    )
    found = looks()
    assert codes(found, "wrong") == codes(found, "what") == {"send.failing": "critical"}
    assert entry(found, "wrong").provider == "smtp" and entry(found, "wrong").route is None
    assert "hots is not a setting" in entry(found, "wrong").findings[0].text()
    assert codes(found)["password.ok"] == "ok"
    assert found.level == "critical"


def test_only_those_that_are_named(server: SmtpServer, looks: Looks) -> None:
    save(1, "other")
    assert [one.account for one in looks(["shop"]).entries] == ["shop", None]
    assert [one.account for one in looks(["other", "shop", "other"]).entries] == ["other", "shop", None]
    with pytest.raises(SettingsError, match="nobody"):
        looks(["nobody"])


def test_no_account_at_all(looks: Looks) -> None:
    with pytest.raises(SettingsError, match="no account"):
        looks()


def test_the_last_send_is_heard_of(server: SmtpServer, looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "wrong")
    message = franking.Message(to="a@b.cz", subject="x", text="y")
    with franking.connect("shop") as mailer, pytest.raises(franking.LoginError):
        mailer.send(message)
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    found = looks()
    assert codes(found) == {"password.ok": "ok", "server.unreachable": "ok", "send.failing": "critical"}
    assert "franking" in " ".join(finding(found, "send.failing").remedies())
    with franking.connect("shop") as mailer:
        mailer.send(message)
    assert codes(looks())["send.failing"] == "ok"


def test_who_stands_in(server: SmtpServer, looks: Looks, tmp_path: Path) -> None:
    path = settings()
    path.write_text(path.read_text() + "fallback = ['spare']\n")
    save(server.port, "spare")
    password(PASSWORD)
    assert codes(looks())["fallback.active"] == "ok"
    password("wrong")
    with franking.connect("shop") as mailer:
        assert mailer.send(franking.Message(to="a@b.cz", subject="x", text="y")).account == "spare"
    found = finding(looks(), "fallback.active")
    assert (found.level, "spare stands in for shop" in found.text()) == ("warning", True)


@pytest.mark.parametrize(
    ("days", "level", "stage"),
    [
        (31, "ok", ""),
        (30, "warning", ""),
        (7.1, "warning", ""),
        (7, "warning", "again"),
        (1, "critical", ""),
        (-3, "critical", ""),
    ],
)
def test_a_client_secret_ends(days: float, level: str, stage: str, google: Google, clock: Clock) -> None:
    sign_in(google, time.time(), more="client_secret_expires = 2027-03-01\n")
    midnight = 1803859200.0
    clock.now = midnight - days * DAY
    found = finding(look(clock=clock), "secret.expires")
    assert (found.level, found.stage, found.expires_at) == (level, stage, midnight)
    assert found.as_dict()["text"].endswith("2027-03-01 00:00 UTC.")


@pytest.mark.parametrize(("days", "level"), [(31, "ok"), (30, "warning"), (0.9, "critical"), (-2, "critical")])
def test_a_certificate_that_an_account_signs_in_with_ends(
    days: float, level: str, clock: Clock, service_key: Mapping[str, str], tmp_path: Path
) -> None:
    key = serialization.load_pem_private_key(service_key["private_key"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    file, name = tmp_path / "app.pem", x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    end = datetime.fromtimestamp(START, UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(end - timedelta(days=700)).not_valid_after(end).sign(key, hashes.SHA256())
    )  # fmt: skip
    file.write_bytes(service_key["private_key"].encode() + made.public_bytes(serialization.Encoding.PEM))
    settings(
        f"[accounts.shop]\nprovider = 'outlook'\nfrom = 'a@contoso.com'\nclient_id = 'c'\napp_only = true\n"
        f"tenant = 'contoso.com'\ncertificate = '{file}'\nauthority = 'https://127.0.0.1:1/contoso.com'\ntimeout = 1\n"
    )
    found = finding(look(clock=clock), "certificate.expires")
    assert (found.level, found.expires_at, found.what) == (level, end.timestamp(), "certificate")


def test_what_was_seen_by_a_damaged_file_is_seen_anew(server: SmtpServer, looks: Looks) -> None:
    password(PASSWORD)
    looks()
    file = Path(os.environ["FRANKING_STATE_DIR"]) / "health-seen.json"
    assert file.stat().st_mode & 0o777 == 0o600
    for damage in (
        "[",
        "[]",
        '{"checks": [], "levels": {"shop": {"password.ok": "x"}}}',
        '{"checks": {"shop": {"at": 1}}}',
    ):
        file.write_text(damage)
        assert codes(looks())["password.ok"] == "ok"
    assert len(server.sessions) == 5


def test_a_state_directory_that_cannot_be_made(
    server: SmtpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FRANKING_STATE_DIR", str(tmp_path / "file" / "state"))
    with pytest.raises(SettingsError, match="could not be made"):
        look()
