"""Logging in at real servers: right and wrong passwords, tokens of real size, what is not offered, and certificates
that nobody vouches for.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

import franking
from servers.dovecot import PASSWORDS, token
from servers.exim import Exim
from servers.postfix import Postfix


def message() -> franking.Message:
    return franking.Message(
        to=["jana@example.com"], subject="login", text="x\n", message_id=f"<{uuid.uuid4()}@example.cz>"
    )


@pytest.mark.parametrize("user", PASSWORDS)
@pytest.mark.parametrize("auth", ["auto", "plain", "login"])
def test_the_right_password_logs_in(login_endpoint: Any, user: str, auth: str) -> None:
    sent = message()
    with login_endpoint.connect(user, auth=auth) as mailer:
        assert mailer.send(sent).message_id == sent.message_id
    login_endpoint.inbox.find(sent.message_id)


@pytest.mark.parametrize(("user", "wrong"), [("info@example.cz", "correct-horse-"), ("jan", PASSWORDS["jan"].strip())])
def test_a_wrong_password_is_refused(login_endpoint: Any, user: str, wrong: str) -> None:
    with login_endpoint.connect(user, secret=wrong) as mailer, pytest.raises(franking.LoginError) as caught:
        mailer.send(message())
    error = caught.value
    assert (error.step, error.temporary, error.possibly_sent, error.token_refused) == ("login", False, False, False)
    assert error.evidence is not None
    assert error.evidence.code == 535
    assert error.diagnosis is not None
    assert error.diagnosis.code.startswith("login.")
    assert wrong not in f"{error} {error!r} {error.evidence!r} {error.diagnosis.raw}"


@pytest.mark.parametrize("user", PASSWORDS)
def test_cram_md5(login_endpoint: Any, user: str) -> None:
    sent = message()
    with login_endpoint.connect(user, auth="cram-md5") as mailer:
        mailer.send(sent)
    login_endpoint.inbox.find(sent.message_id)


def test_without_tls_the_password_itself_does_not_travel(exim: Exim) -> None:
    """``auto`` takes CRAM-MD5 first where there is no TLS, and Exim writes down what it was."""
    account = franking.Account(
        name="exim",
        provider="smtp",
        sender="info@example.cz",
        host="localhost",
        port=exim.port,
        security="none",
        username="info@example.cz",
    )
    sent = message()
    with franking.connect(account, secret=PASSWORDS["info@example.cz"]) as mailer:
        mailer.send(sent)
    exim.inbox.find(str(sent.message_id))
    (line,) = [line for line in exim.log().splitlines() if "<=" in line and str(sent.message_id).strip("<>") in line]
    assert "A=cram:info@example.cz" in line


@pytest.fixture(
    params=[f"{server}-{security}" for server in ("postfix", "dovecot") for security in ("starttls", "tls")]
)
def token_road(request: pytest.FixtureRequest) -> Any:
    from .conftest import make_endpoint

    return make_endpoint(request)


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_a_token_of_real_size_logs_in(token_road: Any, auth: str) -> None:
    sent = message()
    access = token("info@example.cz")
    assert len(access) >= 2000
    with token_road.connect(secret=access, auth=auth) as mailer:
        mailer.send(sent)
    token_road.inbox.find(sent.message_id)


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_an_expired_token_is_refused_with_the_servers_reasons(token_road: Any, auth: str) -> None:
    access = token("info@example.cz", expires_in=-60)
    with token_road.connect(secret=access, auth=auth) as mailer, pytest.raises(franking.LoginError) as caught:
        mailer.send(message())
    error = caught.value
    assert error.token_refused
    assert not error.temporary
    assert error.evidence is not None
    assert error.evidence.code == 535
    assert access not in f"{error} {error!r} {error.evidence!r}"
    if token_road.server == "dovecot":  # Postfix keeps Dovecot's JSON to itself
        assert str(error.evidence.details["sasl"]["status"]) in ("401", "invalid_token")


def test_a_token_never_travels_without_tls(dovecot: Any, postfix: Postfix) -> None:
    account = franking.Account(
        name="bare",
        provider="smtp",
        sender="info@example.cz",
        host="localhost",
        port=dovecot.port,
        security="none",
        username="info@example.cz",
        auth="xoauth2",
    )
    with (
        franking.connect(account, secret=token("info@example.cz")) as mailer,
        pytest.raises(franking.SettingsError, match="without TLS"),
    ):
        mailer.send(message())


def bare(port: int, security: str, **settings: Any) -> franking.Account:
    return franking.Account(
        name="bare",
        provider="smtp",
        sender="info@example.cz",
        host="localhost",
        port=port,
        security=security,
        timeout=5,
        **settings,
    )


def test_starttls_that_is_not_offered_ends_before_the_login(postfix: Postfix, certificates: Any) -> None:
    account = bare(postfix.plain_port, "starttls", username="info@example.cz", ca_file=str(certificates.ca))
    with (
        franking.connect(account, secret="correct-horse-7") as mailer,
        pytest.raises(franking.TLSError, match="STARTTLS") as caught,
    ):
        mailer.send(message())
    assert caught.value.step == "tls"
    assert not caught.value.possibly_sent


def test_a_login_that_is_not_offered_without_tls(postfix: Postfix) -> None:
    account = bare(postfix.port, "none", username="info@example.cz")
    with franking.connect(account, secret="correct-horse-7") as mailer, pytest.raises(franking.LoginError) as caught:
        mailer.send(message())
    assert caught.value.step == "login"
    assert caught.value.diagnosis is not None


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("server", ["postfix", "dovecot", "exim"])
def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: str, security: str, request: pytest.FixtureRequest
) -> None:
    started = request.getfixturevalue(server)
    account = bare(started.tls_port if security == "tls" else started.port, security, username="info@example.cz")
    with franking.connect(account, secret="correct-horse-7") as mailer, pytest.raises(franking.TLSError) as caught:
        mailer.send(message())
    assert caught.value.step == "tls"


@pytest.mark.parametrize("server", ["postfix", "dovecot", "exim"])
def test_tls_towards_a_port_that_speaks_plain(server: str, request: pytest.FixtureRequest, certificates: Any) -> None:
    started = request.getfixturevalue(server)
    account = bare(started.port, "tls", username="info@example.cz", ca_file=str(certificates.ca))
    with (
        franking.connect(account, secret="correct-horse-7") as mailer,
        pytest.raises((franking.TLSError, franking.ConnectError)) as caught,
    ):
        mailer.send(message())
    assert caught.value.step == "tls"


def test_plain_speech_towards_a_port_that_waits_for_tls(exim: Exim) -> None:
    started = time.monotonic()
    with (
        franking.connect(bare(exim.tls_port, "none").replace(timeout=0.3)) as mailer,
        pytest.raises(franking.ConnectError) as caught,
    ):
        mailer.send(message())
    assert caught.value.step == "greet"
    assert time.monotonic() - started < 15
