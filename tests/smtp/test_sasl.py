"""Logging in: each mechanism octet by octet, the order in which they are tried, and no secret anywhere else."""

from __future__ import annotations

import base64
import pickle
from typing import Any

import pytest

from franking.errors import LoginError, SettingsError
from franking.redaction import HIDDEN, Redactor
from franking.smtp import sasl
from franking.smtp.protocol import Line
from franking.smtp.sasl import Credentials, choose, hiding, login
from servers.dialogue import offers, play, replies

PASSWORD = " tajné Heslo € "
TOKEN = "ya29." + "T" * 40
LONG = "E" + "w" * 2000


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


AUTH_XOAUTH2 = f"C: AUTH XOAUTH2 {b64(f'user=jana{chr(1)}auth=Bearer {TOKEN}{chr(1)}{chr(1)}')}"


def attempt(
    script: str,
    *,
    secret: str = PASSWORD,
    offered: str = "PLAIN LOGIN CRAM-MD5",
    wanted: tuple[str, ...] = ("plain",),
    user: str = "jana",
) -> str:
    return play(
        login(Credentials(user, secret, "mx.test", 587), offers(f"AUTH {offered}"), wanted, Redactor(), host="mx.test"),
        script,
    )


def refused(script: str, **options: Any) -> LoginError:
    with pytest.raises(LoginError) as caught:
        attempt(script, **options)
    return caught.value


# — the mechanisms —


def test_plain_goes_in_one_line_and_in_utf8() -> None:
    assert attempt(f"C: AUTH PLAIN {b64(chr(0) + 'jana' + chr(0) + PASSWORD)}\nS: 235 ok") == "PLAIN"


def test_plain_for_a_server_that_overlooks_the_initial_response() -> None:
    response = b64(f"\0jana\0{PASSWORD}")
    assert attempt(f"C: AUTH PLAIN {response}\nS: 334 \nC: {response}\nS: 235 ok") == "PLAIN"


def test_login_answers_two_questions_whatever_their_words() -> None:
    script = (
        f"C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {b64('jana')}\nS: 334 {b64('Heslo?')}\nC: {b64(PASSWORD)}\nS: 235 ok"
    )
    assert attempt(script, wanted=("login",)) == "LOGIN"


def test_cram_md5_as_in_rfc_2195() -> None:
    script = (
        "C: AUTH CRAM-MD5\nS: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\n"
        "C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\nS: 235 ok"
    )
    assert attempt(script, user="tim", secret="tanstaaftanstaaf", wanted=("cram-md5",)) == "CRAM-MD5"


def test_xoauth2_goes_in_one_line() -> None:
    response = b64(f"user=jana\x01auth=Bearer {TOKEN}\x01\x01")
    assert (
        attempt(f"C: AUTH XOAUTH2 {response}\nS: 235 ok", secret=TOKEN, offered="XOAUTH2", wanted=("xoauth2",))
        == "XOAUTH2"
    )


def test_oauthbearer_names_the_server_and_escapes_the_user() -> None:
    response = b64(f"n,a=ja=2Cna=3D,\x01host=mx.test\x01port=587\x01auth=Bearer {TOKEN}\x01\x01")
    script = f"C: AUTH OAUTHBEARER {response}\nS: 235 ok"
    assert attempt(script, user="ja,na=", secret=TOKEN, offered="OAUTHBEARER", wanted=("oauthbearer",)) == "OAUTHBEARER"


def test_a_long_response_waits_for_the_334() -> None:
    response = b64(f"user=jana\x01auth=Bearer {LONG}\x01\x01")
    script = f"C: AUTH XOAUTH2\nS: 334 \nC: {response}\nS: 235 ok"
    assert attempt(script, secret=LONG, offered="XOAUTH2", wanted=("xoauth2",)) == "XOAUTH2"


@pytest.mark.parametrize(("length", "inline"), [(366, True), (367, False)])
def test_the_auth_line_has_at_most_512_octets(length: int, inline: bool) -> None:
    dialogue = login(Credentials("jana", "p" * length), offers("AUTH PLAIN"), ("plain",), Redactor())
    line = next(dialogue)
    assert (len(line.data) > 20) is inline
    assert len(line.data) <= 512


# — order —


@pytest.mark.parametrize(
    ("auth", "tls", "token", "order"),
    [
        ("auto", True, False, ("plain", "login", "cram-md5")),
        ("auto", False, False, ("cram-md5", "plain", "login")),
        ("auto", True, True, ("xoauth2", "oauthbearer")),
        ("login", True, False, ("login",)),
    ],
)
def test_the_order_of_mechanisms(auth: str, tls: bool, token: bool, order: tuple[str, ...]) -> None:
    assert choose(auth, tls=tls, token=token) == order


def test_a_server_with_login_only() -> None:
    script = f"C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {b64('jana')}\nS: 334 UGFzc3dvcmQ6\nC: {b64('pw')}\nS: 235 ok"
    assert attempt(script, secret="pw", offered="LOGIN", wanted=choose("auto", tls=True)) == "LOGIN"


@pytest.mark.parametrize("code", [504, 534])
def test_another_mechanism_after_504_and_534(code: int) -> None:
    script = (
        f"C: AUTH PLAIN {b64(chr(0) + 'jana' + chr(0) + 'pw')}\nS: {code} 5.7.9 not this one\n"
        f"C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: {b64('jana')}\nS: 334 UGFzc3dvcmQ6\nC: {b64('pw')}\nS: 235 ok"
    )
    assert attempt(script, secret="pw", wanted=choose("auto", tls=True)) == "LOGIN"


@pytest.mark.parametrize("code", [535, 454, 500, 501, 503, 530, 538, 550, 421])
def test_no_other_mechanism_after_anything_else(code: int) -> None:
    error = refused(
        f"C: AUTH PLAIN {b64(chr(0) + 'jana' + chr(0) + 'pw')}\nS: {code} 5.7.8 no",
        secret="pw",
        wanted=choose("auto", tls=True),
    )
    assert error.temporary is (code < 500)
    assert error.token_refused is False
    assert error.evidence is not None
    assert error.evidence.code == code
    assert error.evidence.details["mechanism"] == "PLAIN"


def test_every_mechanism_refused_gives_the_last_words() -> None:
    script = (
        f"C: AUTH PLAIN {b64(chr(0) + 'jana' + chr(0) + 'pw')}\nS: 504 5.5.4 no\n"
        "C: AUTH CRAM-MD5\nS: 504 5.5.4 nor this"
    )
    assert (
        refused(script, secret="pw", offered="PLAIN CRAM-MD5", wanted=choose("auto", tls=True)).evidence.text
        == "nor this"
    )  # type: ignore[union-attr]


def test_no_auth_on_offer() -> None:
    with pytest.raises(LoginError) as caught:
        play(login(Credentials("jana", "pw"), offers("PIPELINING"), ("plain",), Redactor()), "C: never")
    evidence = caught.value.evidence
    assert evidence is not None
    assert (evidence.kind, evidence.reason, caught.value.step) == ("sasl", "auth-not-offered", "login")


def test_no_mechanism_in_common() -> None:
    evidence = refused("C: never", offered="GSSAPI NTLM").evidence
    assert evidence is not None
    assert (evidence.reason, evidence.details["mechanisms"], evidence.details["wanted"]) == (
        "no-mechanism",
        ["GSSAPI", "NTLM"],
        ["plain"],
    )


# — refusals of tokens —


@pytest.mark.parametrize(("mechanism", "acknowledgement"), [("xoauth2", ""), ("oauthbearer", "AQ==")])
@pytest.mark.parametrize("token", [TOKEN, LONG])
def test_the_reason_for_a_refused_token_is_kept_and_then_answered(
    mechanism: str, acknowledgement: str, token: str
) -> None:
    reason = b64('{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/","trick":"a\\u001b[31m"}')
    user = "user=jana\x01" if mechanism == "xoauth2" else "n,a=jana,\x01host=mx.test\x01port=587\x01"
    response = b64(f"{user}auth=Bearer {token}\x01\x01")
    first = (
        f"C: AUTH {mechanism.upper()} {response}"
        if token == TOKEN
        else f"C: AUTH {mechanism.upper()}\nS: 334 \nC: {response}"
    )
    script = (
        f"{first}\nS: 334 {reason}\nC: {acknowledgement}\n"
        "S: 535-5.7.8 Username and Password not accepted.\nS: 535 5.7.8 See https://x"
    )
    error = refused(script, secret=token, offered="XOAUTH2 OAUTHBEARER", wanted=(mechanism,))
    assert error.token_refused
    assert error.evidence is not None
    assert error.evidence.details["sasl"] == {
        "status": "400",
        "schemes": "Bearer",
        "scope": "https://mail.google.com/",
        "trick": "a\\x1b[31m",
    }
    assert (error.evidence.code, error.evidence.enhanced) == (535, "5.7.8")


def test_a_refusal_without_a_reason_is_a_refused_token_too() -> None:
    script = f"{AUTH_XOAUTH2}\nS: 535 5.7.3 Authentication unsuccessful"
    assert refused(script, secret=TOKEN, offered="XOAUTH2", wanted=("xoauth2",)).token_refused


def test_a_temporary_failure_is_no_refused_token() -> None:
    script = f"{AUTH_XOAUTH2}\nS: 454 4.7.0 Temporary authentication failure."
    error = refused(script, secret=TOKEN, offered="XOAUTH2", wanted=("xoauth2",))
    assert error.temporary
    assert not error.token_refused


def test_a_reason_that_is_no_json_is_kept_as_text() -> None:
    script = f"{AUTH_XOAUTH2}\nS: 334 {b64('go ' + TOKEN)}\nC: \nS: 535 no"
    assert (
        refused(script, secret=TOKEN, offered="XOAUTH2", wanted=("xoauth2",)).evidence.details["sasl"] == f"go {HIDDEN}"
    )  # type: ignore[union-attr]


@pytest.mark.parametrize(("challenge", "reason"), [("!!!", "bad-challenge"), ("VXNlcm5hbWU", "bad-challenge")])
def test_an_unreadable_question(challenge: str, reason: str) -> None:
    assert refused(f"C: AUTH LOGIN\nS: 334 {challenge}", wanted=("login",)).evidence.reason == reason  # type: ignore[union-attr]


def test_endless_questions_end() -> None:
    dialogue = login(Credentials("jana", "pw"), offers("AUTH LOGIN"), ("login",), Redactor())
    next(dialogue)
    (question,) = replies(b"334 VXNlcm5hbWU6\r\n")
    with pytest.raises(LoginError, match="kept asking"):
        for _ in range(50):
            dialogue.send(question)


# — secrets —


@pytest.mark.parametrize("mechanism", sorted(sasl.MECHANISMS))
def test_no_line_shows_what_it_carries(mechanism: str) -> None:
    dialogue = login(
        Credentials("jana", "Canary7"),
        offers("AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER"),
        (mechanism,),
        Redactor(),
    )
    line: Line | None = next(dialogue)
    (question,) = replies(b"334 PDEyMz4=\r\n")
    shown = ""
    for _ in range(3):
        assert line is not None
        shown += line.shown + repr(line)
        line = dialogue.send(question)
    for secret in ("Canary7", b64("Canary7"), b64("\0jana\0Canary7")):
        assert secret not in shown
    assert HIDDEN in shown


def test_a_server_that_echoes_the_secret_is_redacted() -> None:
    redactor = Redactor()
    dialogue = login(Credentials("jana", "Canary7"), offers("AUTH PLAIN"), ("plain",), redactor)
    sent = next(dialogue).data
    for echo in (b"535 bad password Canary7!", b"535 " + sent, b"535 " + base64.b64encode(b"Canary7")):
        shown = redactor.octets(echo)
        assert b"Canary7" not in shown
        assert sent.split()[2] not in shown
        assert base64.b64encode(b"Canary7") not in shown


def test_what_was_made_of_the_password_is_hidden_too() -> None:
    """Who has the challenge and the digest can try passwords at home."""
    redactor = Redactor()
    dialogue = login(Credentials("jana", "Canary7"), offers("AUTH CRAM-MD5"), ("cram-md5",), redactor)
    next(dialogue)
    sent = dialogue.send(*replies(b"334 PDEyMz4=\r\n")).data
    digest = base64.b64decode(sent).decode().partition(" ")[2]
    assert redactor(f"535 no {digest[3:20]}, {sent.decode()[9:30]}") == f"535 no {HIDDEN}, {HIDDEN}"


def test_credentials_show_nothing() -> None:
    credentials = Credentials("jana", "Canary7")
    assert "Canary7" not in repr(credentials) + repr(Redactor())
    error = refused(f"C: AUTH PLAIN {b64(chr(0) + 'jana' + chr(0) + 'Canary7')}\nS: 535 no", secret="Canary7")
    assert b"Canary7" not in pickle.dumps(error)


@pytest.mark.parametrize("field", ["username", "secret"])
@pytest.mark.parametrize("char", ["\0", "\r", "\n", "\ud800"])
def test_names_and_passwords_that_cannot_be_sent(field: str, char: str) -> None:
    values = {"username": "jana", "secret": "pw"}
    with pytest.raises(SettingsError) as caught:
        Credentials(**{**values, field: f"ab{char}cd"})
    assert "ab" not in str(caught.value)


@pytest.mark.parametrize("before", range(4))
def test_a_challenge_in_base64_that_repeats_the_token_stays_base64(before: int) -> None:
    """Wherever the token's own base64 happens to lie in it: a part cut out of the middle would make it unreadable, and
    leave the rest.
    """
    token = b"ya29.0123456789-abcdefghijklmnopqrstuvw"
    hide = hiding(Redactor([token.decode()]))
    said = b'{"scope":"' + b"x" * before + token + b" " + base64.b64encode(token) + b'"}'
    shown = base64.b64decode(hide(base64.b64encode(said)), validate=True)
    assert shown.startswith(b'{"scope":"' + b"x" * before)
    assert token not in shown
    assert base64.b64encode(token) not in shown
    assert hide(b"PDE4OTYuNjk3MTcwOTUyQG14LmV4YW1wbGUudGVzdD4=") == b"PDE4OTYuNjk3MTcwOTUyQG14LmV4YW1wbGUudGVzdD4="


def test_an_auth_line_of_511_octets_goes_at_once() -> None:
    token = "t" * 347
    line = next(login(Credentials("jana", token), offers("AUTH XOAUTH2"), ("xoauth2",), Redactor()))
    assert len(line.data) == 511
    line = next(login(Credentials("jana", token + "ttt"), offers("AUTH XOAUTH2"), ("xoauth2",), Redactor()))
    assert line.data == b"AUTH XOAUTH2\r\n"


@pytest.mark.parametrize(("mechanism", "acknowledgement"), [("xoauth2", ""), ("oauthbearer", "AQ==")])
@pytest.mark.parametrize(
    ("answer", "temporary", "refused_token"),
    [
        ("454 4.7.0 Temporary authentication failure", True, False),
        ("421 4.7.0 closing", True, False),
        ("535 5.7.8 no", False, True),
        ("550 5.7.1 no", False, True),
    ],
)
def test_only_a_refusal_for_good_asks_for_a_newer_token(
    mechanism: str, acknowledgement: str, answer: str, temporary: bool, refused_token: bool
) -> None:
    reason = b64('{"status":"400"}')
    dialogue = login(Credentials("jana", TOKEN), offers(f"AUTH {mechanism}"), (mechanism,), Redactor())
    next(dialogue)
    (challenge, last) = replies(f"334 {reason}\r\n{answer}\r\n".encode())
    assert dialogue.send(challenge).data == f"{acknowledgement}\r\n".encode()
    with pytest.raises(LoginError) as caught:
        dialogue.send(last)
    assert (caught.value.temporary, caught.value.token_refused) == (temporary, refused_token)


def test_a_password_is_never_a_refused_token() -> None:
    error = refused(f"C: AUTH PLAIN {b64(chr(0) + 'jana' + chr(0) + 'pw')}\nS: 535 5.7.8 no", secret="pw")
    assert not error.token_refused


def test_eight_questions_are_answered_and_no_more() -> None:
    dialogue = login(Credentials("jana", "pw"), offers("AUTH LOGIN"), ("login",), Redactor())
    next(dialogue)
    (question,) = replies(b"334 VXNlcm5hbWU6\r\n")
    for _ in range(sasl.CHALLENGES):
        assert dialogue.send(question) is not None
    with pytest.raises(LoginError) as caught:
        dialogue.send(question)
    assert caught.value.evidence is not None
    assert (caught.value.evidence.reason, caught.value.temporary) == ("endless-challenges", False)


def test_a_line_is_looked_at_again_once_more_is_secret() -> None:
    redactor = Redactor()
    hide = hiding(redactor)
    line = b"2.0.0 swordfish-77 welcome"
    assert [hide(line), hide(line)] == [line, line]
    redactor.add("swordfish-77")
    assert b"swordfish" not in hide(line)
