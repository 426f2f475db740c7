"""The beginning of a session as dialogues: greeting, EHLO, STARTTLS, and which login may go in plain."""

from __future__ import annotations

import pytest

from franking.errors import ConnectError, SettingsError, Throttled, TLSError
from franking.net.tcp import Place
from franking.smtp.handshake import check_greeting, check_plain_login, ehlo_name, hello, starttls
from franking.smtp.protocol import Reply
from servers.dialogue import offers, play

PLACE = Place("mx.example.test", 587, "starttls")


def test_ehlo() -> None:
    capabilities = play(hello("[127.0.0.1]", PLACE), "C: EHLO [127.0.0.1]\nS: 250-mx.example.test\nS: 250 PIPELINING")
    assert "PIPELINING" in capabilities


@pytest.mark.parametrize("code", [500, 502])
def test_an_old_server_gets_helo(code: int) -> None:
    capabilities = play(
        hello("me.test", PLACE), f"C: EHLO me.test\nS: {code} what?\nC: HELO me.test\nS: 250 old.example.test hello"
    )
    assert not capabilities.words
    assert capabilities.name == "old.example.test"


@pytest.mark.parametrize(
    ("answer", "kind", "temporary"),
    [
        ("504 5.5.2 need fully-qualified hostname", ConnectError, False),
        ("450 4.7.1 host not found", ConnectError, True),
        ("421 4.7.0 try again later", Throttled, True),
        ("550 5.7.1 go away", ConnectError, False),
    ],
)
def test_a_refused_ehlo(answer: str, kind: type[Exception], temporary: bool) -> None:
    with pytest.raises(kind) as caught:
        play(hello("me", PLACE), f"C: EHLO me\nS: {answer}")
    error = caught.value
    assert isinstance(error, ConnectError | Throttled)
    assert (error.step, error.temporary) == ("greet", temporary)
    assert error.evidence is not None
    assert error.evidence.raw == answer
    assert error.evidence.details["host"] == "mx.example.test"


@pytest.mark.parametrize(
    ("code", "kind", "temporary"), [(554, ConnectError, False), (421, Throttled, True), (450, ConnectError, True)]
)
def test_a_server_that_turns_us_away(code: int, kind: type[Exception], temporary: bool) -> None:
    with pytest.raises(kind) as caught:
        check_greeting(Reply(code, (b"no service",)), PLACE)
    assert caught.value.temporary is temporary  # type: ignore[attr-defined]


def test_starttls_that_is_not_offered_is_an_error_before_anything_leaves() -> None:
    with pytest.raises(TLSError) as caught:
        play(starttls(offers("PIPELINING", "AUTH PLAIN"), PLACE), "C: never")
    evidence = caught.value.evidence
    assert evidence is not None
    assert (evidence.kind, evidence.reason) == ("tls", "starttls-not-offered")
    assert evidence.details["offered"] == ["AUTH", "PIPELINING"]
    assert '"none"' in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "temporary"), [("454 4.7.0 TLS not available", True), ("502 5.5.1 no", False), ("250 what", False)]
)
def test_starttls_that_is_refused(answer: str, temporary: bool) -> None:
    with pytest.raises(TLSError) as caught:
        play(starttls(offers("STARTTLS"), PLACE), f"C: STARTTLS\nS: {answer}")
    assert caught.value.temporary is temporary
    assert caught.value.evidence is not None
    assert caught.value.evidence.reason == "starttls-refused"
    assert caught.value.evidence.raw == answer


@pytest.mark.parametrize(
    ("given_name", "local", "name"),
    [
        (None, "127.0.0.1", "[127.0.0.1]"),
        (None, "::1", "[IPv6:::1]"),
        (None, "fe80::1%eth0", "[IPv6:fe80::1]"),
        (None, "::ffff:10.1.2.3", "[10.1.2.3]"),
        ("host.example.test", "::1", "host.example.test"),
        ("bücher.test", "::1", "xn--bcher-kva.test"),
    ],
)
def test_the_name_to_greet_with(given_name: str | None, local: str, name: str) -> None:
    assert ehlo_name(given_name, local) == name


def test_a_name_with_a_blank_is_refused() -> None:
    with pytest.raises(ValueError, match="ehlo_name"):
        ehlo_name("my computer", "127.0.0.1")


@pytest.mark.parametrize(
    ("peer", "tls", "token", "allowed", "goes"),
    [
        ("127.0.0.1", False, False, False, True),
        ("10.0.0.5", False, False, False, True),
        ("fd00::5", False, False, False, True),
        ("100.64.0.1", False, False, False, True),
        ("8.8.8.8", False, False, False, False),
        ("::ffff:8.8.8.8", False, False, False, False),
        ("2606:4700::1", False, False, False, False),
        ("8.8.8.8", False, False, True, True),
        ("8.8.8.8", True, False, False, True),
        ("127.0.0.1", False, True, True, False),
        ("8.8.8.8", True, True, False, True),
    ],
)
def test_a_password_in_plain_goes_to_private_addresses_only_and_a_token_nowhere(
    peer: str, tls: bool, token: bool, allowed: bool, goes: bool
) -> None:
    def check() -> None:
        check_plain_login(peer, tls=tls, token=token, allowed=allowed, details=PLACE.details)

    if goes:
        check()
        return
    with pytest.raises(ValueError, match="without TLS") as caught:
        check()
    assert caught.value.evidence.reason == "plain-login"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["a\x7fb", "a\tb", "a b", "a\r\nMAIL FROM:<>"])
def test_a_name_with_a_control_character_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="control character") as caught:
        ehlo_name(name, "127.0.0.1")
    assert caught.value.field == "ehlo_name"


def test_a_name_that_dns_cannot_carry_is_refused() -> None:
    with pytest.raises(SettingsError, match="ehlo_name") as caught:
        ehlo_name("ü" * 64 + ".test", "127.0.0.1")
    assert caught.value.field == "ehlo_name"


def test_a_refused_helo() -> None:
    with pytest.raises(ConnectError, match="did not accept our greeting as me"):
        play(hello("me", PLACE), "C: EHLO me\nS: 502 what?\nC: HELO me\nS: 550 nor this")


def test_220_and_nothing_else_is_a_welcome() -> None:
    check_greeting(Reply(220, (b"hi",)), PLACE)
    for code in (221, 250, 354):
        with pytest.raises(ConnectError):
            check_greeting(Reply(code, (b"hi",)), PLACE)
