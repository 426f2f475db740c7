"""The engine: how evidence is read and matched, what comes out when nothing matches, and that nothing secret or
dangerous comes out.
"""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue import ALL_RULES, GENERIC, KNOWN_VALUES, VALUES, seen, smtp
from franking import errors
from franking.diagnosis.diagnosis import Hint
from franking.diagnosis.rules import Rule, diagnose
from franking.errors import (
    ConnectError,
    ConnectTimeout,
    Evidence,
    FrankingError,
    LoginError,
    LoginRequired,
    MessageError,
    OutcomeUnknown,
    RecipientsRefused,
    Refused,
    SendError,
    SettingsError,
    Throttled,
    TLSError,
)


def refused(reply: str, rules: tuple[Rule, ...], **values: object) -> str:
    return diagnose(Refused("x", step="message", evidence=smtp(reply)), rules, {**VALUES, **values}).code


def test_the_first_rule_that_fits_decides() -> None:
    rules = (Rule("relay.denied", codes=(554,), text="relay"), Rule("send.refused", codes=(554,)))
    assert refused("554 5.7.1 Relay denied", rules) == "relay.denied"
    assert refused("554 5.7.1 Other", rules) == "send.refused"


def test_text_is_matched_without_codes_case_and_line_ends() -> None:
    rules = (Rule("relay.denied", text="^first line second line$"),)
    assert refused("554 5.7.1 First|5.7.1  LINE \t Second|554 5.7.1 line", rules) == "relay.denied"


def test_an_enhanced_code_is_read_from_the_text_where_nobody_did() -> None:
    error = Refused("x", step="message", evidence=Evidence("smtp", code=550, text="5.1.1 Nobody here"))
    assert diagnose(error, (Rule("recipient.unknown", enhanced=("5.1.*",)),), VALUES).code == "recipient.unknown"


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (Rule("send.refused", codes=(5,)), True),
        (Rule("send.refused", codes=(4,)), False),
        (Rule("send.refused", codes=(550,)), True),
        (Rule("send.refused", codes=(551,)), False),
        (Rule("send.refused", enhanced=("5.7.1",)), True),
        (Rule("send.refused", enhanced=("5.7.*",)), True),
        (Rule("send.refused", enhanced=("5.7.10",)), False),
        (Rule("send.refused", step=("login",)), False),
        (Rule("send.refused", kind=("http",)), False),
        (Rule("send.refused", route=("graph",)), False),
        (Rule("send.refused", route=("smtp",)), True),
        (Rule("send.refused", reason=("x",)), False),
        (Rule("send.refused", details={"aadsts": (1, 2)}), True),
        (Rule("send.refused", details={"aadsts": (3,)}), False),
        (Rule("send.refused", details={"none": (3,)}), False),
        (Rule("send.refused", when=lambda evidence, values: values["port"] == 587), True),
        (Rule("send.refused", when=lambda evidence, values: values["port"] == 25), False),
    ],
)
def test_every_condition_that_is_given_must_hold(rule: Rule, fits: bool) -> None:
    error = Refused("x", step="message", evidence=smtp("550 5.7.1 No", aadsts=[2, 7]))
    other = Rule("unknown")
    assert diagnose(error, (rule, other), VALUES).code == ("send.refused" if fits else "unknown")


def test_temporary_is_the_rules_word_or_the_errors() -> None:
    error = Throttled("x", evidence=smtp("450 4.7.1 Slowly"))
    assert diagnose(error, (Rule("rate.limited"),), VALUES).temporary is True
    assert diagnose(error, (Rule("rate.limited", temporary=False),), VALUES).temporary is False


def test_refused_recipients_are_read_from_their_replies() -> None:
    error = RecipientsRefused("x", refused={"jana@example.cz": {"reply": "550 5.1.1 Nobody", "temporary": False}})
    found = diagnose(error, (Rule("recipient.unknown", codes=(550,), enhanced=("5.1.1",)),), VALUES)
    assert found.code == "recipient.unknown"
    assert "jana@example.cz" in found.cause
    assert found.raw == "550 5.1.1 Nobody"


def test_what_was_handed_over_is_unknown_whatever_was_seen() -> None:
    error = OutcomeUnknown("x", evidence=seen("connect", "closed"))
    assert diagnose(error, GENERIC, VALUES).code == "outcome.unknown"
    assert (
        diagnose(SendError("x", possibly_sent=True, evidence=seen("connect", "timeout")), GENERIC, VALUES).code
        == "outcome.unknown"
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("The port is missing."), "settings.invalid"),
        (MessageError("There is no recipient."), "message.invalid"),
        (LoginRequired("Nobody has signed in.", repair="franking login shop"), "login.required"),
        (ConnectTimeout("Silence."), "connect.timeout"),
        (ConnectError("It broke."), "connect.failed"),
        (TLSError("No handshake."), "tls.failed"),
        (LoginError("No."), "login.failed"),
        (RecipientsRefused("None."), "recipient.refused"),
        (Throttled("Slow.", retry_after=12.4), "rate.limited"),
        (Refused("No."), "send.refused"),
        (SendError("No."), "send.failed"),
        (OutcomeUnknown("Silence."), "outcome.unknown"),
        (FrankingError("What?"), "unknown"),
    ],
)
def test_every_error_has_a_diagnosis_even_without_evidence(error: FrankingError, code: str) -> None:
    for values in ({}, VALUES):
        found = diagnose(error, GENERIC, values)
        assert found.code == code
        assert found.temporary is error.temporary
        assert found.title
        assert found.cause
        assert found.remedies
        assert found.raw == ""


def test_no_error_class_is_forgotten() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, FrankingError):
            assert diagnose(kind("x"), (), {}).title


def test_control_characters_are_made_visible_and_all_is_bounded() -> None:
    nasty = "\x1b[31mred\x07\u202ebidi\u200b\x00" + "A" * 50_000
    error = Refused("x", step="message", evidence=seen("smtp", None, nasty, code=550, host=nasty, names=[nasty] * 500))
    found = diagnose(error, (), VALUES)
    texts_shown = [found.raw, found.title, found.cause, *found.remedies]
    assert "\\x1b[31m" in found.raw
    assert len(found.raw) <= 2000
    for text in texts_shown:
        assert text.isprintable()
        assert len(text) <= 2000
    assert all(len(value) <= 1000 for value in found.values.values() if isinstance(value, str))


SIGN_IN = (
    "534 5.7.14 <https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKgnsbuT0pSecret|"
    "534-5.7.14 i6m3Xw9TokenGoesOn> Please log in via your web browser and|534-5.7.14 then try again.|"
    "534 5.7.14  Learn more at https://support.google.com/mail/?p=WebLoginRequired ab12 - gsmtp"
)


def test_a_one_time_sign_in_address_loses_its_query() -> None:
    found = diagnose(LoginError("x", evidence=smtp(SIGN_IN)), (), VALUES)
    for hidden in ("AKgnsbu", "plt=", "i6m3", "TokenGoesOn", "scc"):
        assert hidden not in json.dumps(found.as_dict())
    assert "<https://accounts.google.com/signin/continue?…>" in found.raw
    assert "?p=WebLoginRequired" in found.raw, "a help page is no secret"


@pytest.mark.parametrize(
    "words",
    [
        "Authorization: Bearer CANARY-1234567890",
        "AUTH PLAIN CANARY1234567890==",
        '{"refresh_token": "CANARY-123", "error": "x"}',
        "client_secret=CANARY-123&x=1",
        "see https://example.com/path?token=CANARY-123 for more",
        "token ya29.CANARY_1234567890 expired",
        "token eyJCANARY1234567890.eyJ.x is bad",
    ],
)
def test_what_looks_like_a_secret_is_hidden(words: str) -> None:
    found = diagnose(LoginError("x", evidence=seen("smtp", None, words, code=535, echoed=words)), (), VALUES)
    assert "CANARY" not in json.dumps(found.as_dict()) + repr(found)


@pytest.mark.parametrize(
    "words",
    [
        "basic authentication is disabled.",
        "Bearer authentication required",
        "AUTH PLAIN authentication failed",
        "wrong password: try again, or password expired",
        "see https://support.google.com/mail/?p=BadCredentials ab1 - gsmtp",
        "see https://aka.ms/smtp_auth_disabled",
    ],
)
def test_words_that_only_sound_like_secrets_stay(words: str) -> None:
    assert diagnose(LoginError("x", evidence=seen("smtp", None, words, code=535)), (), VALUES).raw == f"535 {words}"


def test_a_secret_that_comes_back_is_hidden_in_every_form() -> None:
    secret = "CANARY heslo+1"
    echoed = "no CANARY heslo+1 or Q0FOQVJZIGhlc2xvKzE= here"
    error = LoginError(f"refused {secret}", evidence=seen("smtp", None, echoed, code=535, sasl={"status": secret}))
    found = diagnose(error, (), VALUES, secrets=[secret])
    assert "CANARY" not in repr(found)
    assert "Q0FOQVJZ" not in repr(found)
    assert "[hidden]" in found.raw


def test_the_sasl_failure_is_shown() -> None:
    evidence = smtp(
        "535 5.7.8 Username and Password not accepted", sasl={"status": "400", "scope": "https://mail.google.com/"}
    )
    found = diagnose(LoginError("x", evidence=evidence), (), VALUES)
    assert '"status": "400"' in found.raw
    assert "https://mail.google.com/" in found.raw


def test_the_errors_own_sentence_holds_no_one_time_address() -> None:
    from franking.smtp.protocol import Reply

    lines = tuple(
        line.strip().removeprefix("534-").removeprefix("534 ").encode()
        for line in SIGN_IN.removeprefix("534 ").split("|")
    )
    reply = Reply(534, lines)
    assert "plt=" not in str(reply) + reply.evidence().text
    assert "TokenGoesOn" not in str(reply) + reply.evidence().text


WORDS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(["AADSTS90094", "STARTTLS", "5.7.139 x", "audience", "534-5.7.9 a\n534 5.7.9 b", "{host}", "`x`"]),
)


VALUE = st.one_of(
    WORDS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.lists(WORDS, max_size=3),
    st.dictionaries(WORDS, WORDS, max_size=2),
)


KEYS = st.sampled_from(
    [
        *KNOWN_VALUES.split(),
        "aadsts",
        "suberror",
        "verify_code",
        "sasl",
        "mechanism",
        "claims",
        "audience",
        "app_only",
        "scheme",
    ]
)


KINDS = st.sampled_from(["dns", "connect", "tls", "smtp", "sasl", "http", "oauth", "store", "settings", "message", "?"])


REASONS = st.one_of(st.none(), WORDS, st.sampled_from(sorted({reason for rule in ALL_RULES for reason in rule.reason})))


ERRORS = [getattr(errors, name) for name in errors.__all__ if name not in ("Evidence", "discreet")]


@given(
    kind=st.sampled_from(ERRORS),
    step=st.sampled_from(
        [None, "settings", "secret", "resolve", "connect", "tls", "greet", "login", "message", "accepted"]
    ),
    evidence=st.builds(
        Evidence,
        kind=KINDS,
        code=st.one_of(st.none(), st.integers(-1, 700)),
        enhanced=st.one_of(st.none(), WORDS),
        text=WORDS,
        reason=REASONS,
        details=st.dictionaries(KEYS, VALUE, max_size=6),
    ),
    values=st.dictionaries(KEYS, VALUE, max_size=8),
    secrets=st.lists(WORDS, max_size=2),
)
def test_whatever_comes_there_is_a_diagnosis_fit_to_be_shown(
    kind: type[FrankingError], step: str | None, evidence: Evidence, values: dict[str, object], secrets: list[str]
) -> None:
    hints = [
        Hint("secret.trailing-blank", {"account": "shop"}),
        Hint("port.security"),
        Hint("host.port"),
        Hint("username.blank"),
    ]
    found = diagnose(kind("It failed.", step=step, evidence=evidence), ALL_RULES, values, secrets=secrets).with_hints(
        hints
    )
    assert json.dumps(found.as_dict())
    assert pickle.loads(pickle.dumps(found)).as_dict() == found.as_dict()
    assert found.who in ("you", "admin", "provider")
    for text in (found.title, found.cause, found.raw, *found.remedies):
        assert text.isprintable()
        assert len(text) <= 4000


def test_what_the_evidence_says_wins_over_what_the_attempt_knew() -> None:
    error = ConnectError("x", evidence=seen("connect", "refused", host="10.0.0.9", port=26))
    values = diagnose(error, (), {**VALUES, "host": "smtp.novak.cz", "port": 587}).values
    assert (values["host"], values["port"]) == ("10.0.0.9", 26)
    silent = ConnectError("x", evidence=seen("connect", "refused", host=None))
    assert diagnose(silent, (), {**VALUES, "host": "smtp.novak.cz"}).values["host"] == "smtp.novak.cz"


def test_claims_and_sasl_stay_out_of_the_values() -> None:
    error = LoginError("x", evidence=seen("oauth", "claims", claims='{"access_token": 1}', sasl={"status": "400"}))
    assert not {"claims", "sasl"} & set(diagnose(error, (), VALUES).values)


def test_an_enhanced_code_stands_in_front_of_the_words_or_is_none() -> None:
    rule = (Rule("recipient.unknown", enhanced=("5.1.1",)),)
    front = Refused("x", evidence=seen("smtp", None, "5.1.1 no such user", code=550))
    middle = Refused("x", evidence=seen("smtp", None, "no such user, says 5.1.1 there", code=550))
    assert diagnose(front, rule, VALUES).code == "recipient.unknown"
    assert diagnose(middle, rule, VALUES).code == "send.refused"


@pytest.mark.parametrize(
    ("verify_code", "code"),
    [
        (62, "tls.hostname"),
        (64, "tls.ip-address"),
        (9, "tls.not-yet-valid"),
        (10, "tls.expired"),
        (11, "tls.certificate"),
    ],
)
def test_each_verify_code_has_its_own_diagnosis(verify_code: int, code: str) -> None:
    evidence = seen("tls", "certificate", verify_code=verify_code)
    assert diagnose(TLSError("x", step="tls", evidence=evidence), GENERIC, VALUES).code == code


def test_a_secret_in_the_words_of_a_command_is_hidden() -> None:
    values = {**VALUES, "account": "smtp://me:geheim-1@x", "again": ("--username", "geheim-1")}
    found = diagnose(LoginError("x", evidence=smtp("535 No")), (), values, secrets=["geheim-1"]).values
    assert (found["account"], found["again"]) == ("smtp://me:[hidden]@x", ("--username", "[hidden]"))
