"""The engine: how evidence is read and matched, what comes out when nothing matches, and that nothing secret or
dangerous comes out.
"""

from __future__ import annotations

import json
import pickle
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import franking
from catalogue import GENERIC, VALUES, seen, smtp
from franking import errors, registry
from franking.diagnosis import texts
from franking.diagnosis.diagnosis import Diagnosis, Hint
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
from franking.sending.explain import explain
from franking.sending.testsend import hints_for


def refused(reply: str, rules: tuple[Rule, ...], **values: object) -> str:
    return diagnose(Refused("x", step="message", evidence=smtp(reply)), rules, {**VALUES, **values}).code


# ---------------------------------------------------------------------------------------------------- matching


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


# ---------------------------------------------------------------------------------------------------- what comes out


def test_the_json_has_the_agreed_keys_only() -> None:
    found = diagnose(LoginError("x", evidence=smtp("535 5.7.8 No")), (), VALUES)
    answer = found.as_dict()
    assert list(answer) == ["code", "title", "cause", "remedies", "who", "temporary", "raw"]
    assert json.loads(json.dumps(answer)) == answer
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("account", ["shop", "my shop", "a'b", "x; rm -rf ~", "$(reboot)", "`reboot`"])
def test_commands_are_quoted_for_the_shell(account: str) -> None:
    rule = (Rule("login.refused"),)
    remedies = " ".join(
        diagnose(LoginError("x", evidence=smtp("535 No")), rule, {**VALUES, "account": account}).remedies
    )
    assert f"`franking login {shlex.quote(account)}`" in remedies
    assert shlex.split(f"franking login {shlex.quote(account)}") == ["franking", "login", account]


def test_a_value_is_never_a_template() -> None:
    error = Refused("x", step="message", evidence=smtp("550 {host} {username!r} {0} %s"))
    assert diagnose(error, (), VALUES).cause.startswith("The server said: “{host} {username!r} {0} %s”")


def test_a_remedy_without_its_values_is_left_out() -> None:
    without = Diagnosis("login.refused").remedies
    assert without
    assert not any("franking login" in remedy for remedy in without)
    assert len(Diagnosis("login.refused", {**VALUES, "address": "a@b.cz", "account": "shop"}).remedies) >= len(without)


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


# ---------------------------------------------------------------------------------------------------- hints


def test_hints_lead_the_remedies_of_the_step_that_they_explain() -> None:
    blank, port = (
        Hint("secret.trailing-blank", {"account": "shop"}),
        Hint("port.security", {**VALUES, "usual_security": "starttls"}),
    )
    name = Hint("username.not-an-address", {"username": "info", "whole_address": "info@novak.cz"})
    login = diagnose(LoginError("x", evidence=smtp("535 No")), (), VALUES).with_hints([blank, name, port])
    assert login.remedies[:2] == (blank.text, name.text)
    assert port.text not in login.remedies
    later = diagnose(LoginError("x", temporary=True, evidence=smtp("454 4.7.0 Later")), (), VALUES)
    assert later.with_hints([blank, name]) == later, "a login that nobody looked at says nothing about the password"
    absent = diagnose(LoginError("x", evidence=seen("sasl", "auth-not-offered")), (), VALUES).with_hints([blank, port])
    assert absent.remedies[0] == port.text
    assert blank.text not in absent.remedies
    tls = diagnose(TLSError("x", step="tls"), (), VALUES).with_hints([port, blank])
    assert tls.remedies[0] == port.text
    assert blank.text not in tls.remedies
    full = diagnose(Refused("x", step="message", evidence=smtp("552 5.2.2 Full")), (), VALUES)
    assert full.with_hints([port, blank, name]) == full
    stranger = diagnose(Refused("x", step="message", evidence=smtp("553 No")), (Rule("sender.not-owned"),), VALUES)
    assert stranger.with_hints([blank, name]).remedies[0] == name.text


# ---------------------------------------------------------------------------------------------------- in the mailer


@pytest.mark.parametrize(
    ("host", "reply", "code", "provider"),
    [
        (
            "smtp.gmail.com",
            "535 5.7.8 Username and Password not accepted. BadCredentials",
            "google.password-refused",
            "gmail",
        ),
        (
            "aspmx.l.google.com",
            "535 5.7.8 Username and Password not accepted. BadCredentials",
            "google.password-refused",
            "gmail",
        ),
        (
            "smtp.office365.com",
            "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
            "microsoft.basic-auth-off",
            "outlook",
        ),
        ("smtp.office365.com", "535 5.7.3 Authentication unsuccessful", "microsoft.password-refused", "outlook"),
        ("smtp.novak.cz", "535 5.7.8 Error: authentication failed", "login.refused", None),
        ("smtp.gmail.com.evil.example", "535 5.7.8 Error: authentication failed", "login.refused", None),
    ],
)
def test_a_server_of_an_oauth_provider_leads_to_its_sign_in(
    host: str, reply: str, code: str, provider: str | None
) -> None:
    account = franking.Account(
        name="shop", provider="smtp", sender="info@novak.cz", host=host, username="info@novak.cz"
    )
    found = explain(LoginError("x", evidence=smtp(reply, mechanism="PLAIN")), account, registry.provider("smtp"))
    assert found.code == code
    hints = hints_for(account)
    if provider is None:
        assert "franking setup" not in found.remedies[0]
        assert not hints
    else:
        assert f"`franking setup info@novak.cz --provider {provider}`" in found.remedies[0]
        assert [hint.code for hint in hints] == ["provider.better-way"]
        assert f"`franking setup info@novak.cz --provider {provider}`" in hints[0].text


def test_a_misspelt_server_is_named_as_it_was_probably_meant() -> None:
    account = franking.Account(
        name="shop", provider="smtp", sender="info@novak.cz", host="smtp.gmai.com", username="info@novak.cz"
    )
    found = explain(
        ConnectError("x", step="resolve", evidence=seen("dns", "not-found", host="smtp.gmai.com")),
        account,
        registry.provider("smtp"),
    )
    assert found.remedies[0] == "Did you mean smtp.gmail.com?"
    account = account.replace(host="smtp.novak.cz")
    found = explain(
        ConnectError("x", step="resolve", evidence=seen("dns", "not-found")), account, registry.provider("smtp")
    )
    assert not any("Did you mean" in remedy for remedy in found.remedies)


def test_the_mailer_says_who_signed_in_and_hides_what_was_used() -> None:
    account = franking.Account(name="shop", provider="gmail", sender="jan@gmail.com", route="smtp")
    known = {"who": "eva@gmail.com", "scopes": ("https://mail.google.com/",)}
    error = LoginError(
        "x", evidence=smtp("535 5.7.8 BadCredentials for CANARY-TOKEN", mechanism="XOAUTH2", username="jan@gmail.com")
    )
    found = explain(error, account, registry.provider("gmail"), signed_in=known, secrets=["CANARY-TOKEN"])
    assert found.code == "login.other-mailbox"
    assert "eva@gmail.com signed in, but the account is for jan@gmail.com" in found.cause
    assert "CANARY" not in repr(found)


# ---------------------------------------------------------------------------------------------------- words

CATALOGUE = texts.entries()
ALL_RULES = [*GENERIC, *(rule for provider in registry.providers() for rule in provider.rules)]
KNOWN_VALUES = """
account name again usage unsaved provider route host port security username sender address whole_address to who scopes
mailbox problem said reason status field repair retry_after path key mode verify_message names mechanisms suggestion
recommended recommended_title recipient size limit character username_clean host_clean saved no_login by_password
port_inside usual_security service extra project correlation_id trace_id timestamp client_id tenant authority
admin_consent_url by_smtp by_api by_graph try_587 try_465 at_sign_in number about_account about_policy
about_permission about_app about_password about_company about_device about_service about_request
permissions beyond_users as_app app_only by_browser by_device entry
at_login at_sender at_content logged_in other_login testing sent_folder everywhere
remark_enable_access remark_allow_programs remark_separate_password remark_proton_token remark_abroad
remark_maybe_microsoft remark_ses remark_api_key remark_mailgun remark_postmark remark_smtp_key remark_mailjet
"""


def test_every_code_has_words_and_every_word_a_shape() -> None:
    assert {rule.code for rule in ALL_RULES} <= CATALOGUE.keys()
    for code, words in CATALOGUE.items():
        assert code == code.lower()
        assert code.count(".") <= 1, code
        assert set(words) in ({"title", "cause", "remedies"}, {"text"}), code
        every = [*words.values()] if "text" in words else [words["title"], words["cause"], *words["remedies"]]
        for text in every:
            assert set(texts.names(text)) <= set(KNOWN_VALUES.split()), (code, text)


def test_words_need_no_value() -> None:
    for code, words in CATALOGUE.items():
        if "text" in words:
            assert Hint(code).text != code or texts.names(words["text"]), code
        else:
            assert Diagnosis(code).title != code
            assert Diagnosis(code).cause, code
            assert Diagnosis(code).remedies, f"{code}: with nothing known, nothing is advised"
            assert not Diagnosis(code).remedies[0].startswith(("Or ", "Then ")), code


@pytest.mark.parametrize(("port", "security"), [(587, "starttls"), (465, "tls"), (25, "none")])
def test_nobody_is_told_to_use_what_they_use(port: int, security: str) -> None:
    for rule in ALL_RULES:
        seen_code = Rule(rule.code)
        remedies = diagnose(FrankingError("x"), (seen_code,), {**VALUES, "port": port, "security": security}).remedies
        assert not remedies[0].startswith(("Or ", "Then ")), (rule.code, remedies)
        if rule.code not in ("tls.wrong-port", "greet.silent"):  # these come with other values than the usual ones
            assert not any(f"--port {port} --security {security}" in remedy for remedy in remedies), rule.code


def test_a_code_that_nobody_described_still_speaks() -> None:
    assert Diagnosis("never.heard-of").title == Diagnosis("unknown").title


@pytest.fixture
def other_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xx.toml").write_text(
        '["login.refused"]\ntitle = "Titul"\ncause = "Jméno {username}"\nremedies = ["`franking login {account}`"]\n'
    )
    (tmp_path / "en.toml").write_text((Path(str(texts.FOLDER)) / "en.toml").read_text("utf-8"), "utf-8")
    monkeypatch.setattr(texts, "FOLDER", tmp_path)
    texts.entries.cache_clear()


@pytest.mark.usefixtures("other_language")
def test_another_language_is_another_file() -> None:
    try:
        found = diagnose(LoginError("x", evidence=smtp("535 No")), (Rule("login.refused"),), VALUES)
        assert found.text("xx") == (
            "Titul",
            "Jméno info@novak.cz",
            (("`franking login shop`", ("franking login shop",)),),
        )
        assert found.as_dict("xx-XX")["title"] == "Titul"
        assert found.title == "The server refused the login"
        assert Diagnosis("relay.denied").text("xx") == Diagnosis("relay.denied").text("en"), (
            "what is missing is said in English"
        )
        assert found.text("yy") == found.text("en")
    finally:
        texts.entries.cache_clear()


@pytest.mark.parametrize("language", ["../../etc/passwd", "", "EN", "en_GB", "x" * 1000, "\x00"])
def test_a_strange_language_is_english(language: str) -> None:
    assert Diagnosis("login.refused").text(language) == Diagnosis("login.refused").text("en")


def test_the_errors_own_sentence_holds_no_one_time_address() -> None:
    from franking.smtp.protocol import Reply

    lines = tuple(
        line.strip().removeprefix("534-").removeprefix("534 ").encode()
        for line in SIGN_IN.removeprefix("534 ").split("|")
    )
    reply = Reply(534, lines)
    assert "plt=" not in str(reply) + reply.evidence().text
    assert "TokenGoesOn" not in str(reply) + reply.evidence().text


# ---------------------------------------------------------------------------------------------------- whatever comes

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
ERRORS = [getattr(errors, name) for name in errors.__all__ if name != "Evidence"]


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


# ---------------------------------------------------------------------------------------------------- exact limits


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


def test_a_hint_on_a_login_without_tls_explains_no_failure() -> None:
    failed = diagnose(ConnectError("x", step="connect"), (), VALUES)
    assert failed.with_hints([Hint("port.none-with-login", VALUES)]) == failed
    assert failed.with_hints([Hint("port.security", {**VALUES, "usual_security": "tls"})]) != failed


def test_commands_are_fields_of_remedies_and_hints() -> None:
    hint = Hint("secret.trailing-blank", {"account": "my shop"})
    assert hint.remedy().commands == ("franking login 'my shop'",)
    refused = diagnose(LoginError("x", step="login", evidence=smtp("535 No")), (), VALUES).with_hints([hint])
    assert refused.commands[0] == "franking login 'my shop'"
    assert all(f"`{command}`" in "".join(refused.remedies) for command in refused.commands)


def test_a_secret_in_the_words_of_a_command_is_hidden() -> None:
    values = {**VALUES, "account": "smtp://me:geheim-1@x", "again": ("--username", "geheim-1")}
    found = diagnose(LoginError("x", evidence=smtp("535 No")), (), values, secrets=["geheim-1"]).values
    assert (found["account"], found["again"]) == ("smtp://me:[hidden]@x", ("--username", "[hidden]"))


def test_a_template_needs_every_value_and_an_option_is_given_once() -> None:
    text = ["{host} and {port}", "only {host}"]
    assert texts.fill(text, {"host": "h", "port": ""}) == "only h"
    assert texts.fill(text, {"host": "h", "port": 0}) == "h and 0"
    assert texts.fill(text, {}) is None and texts.commands(text, {}) == ()
    again = ("--host", "my host", "--port", "25", "--no-auth")
    assert texts.commands("`x {again} --port {port}`", {"again": again, "port": 587}) == (
        "x --host 'my host' --no-auth --port 587",
    )
    assert texts.commands("`x {again} --username u`", {"again": again}) == (
        "x --host 'my host' --port 25 --username u",
    )
