"""What Microsoft's sign-in numbers are taken for: the published list, the answers that lie, and what nobody knows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from franking import errors
from franking.diagnosis import texts
from franking.outlook import aadsts
from franking.registry import provider
from franking.sending.explain import explain
from outlook.messages import Make
from outlook.test_login import evidence, sign_in
from servers.microsoft import Microsoft, Problem
from servers.web import Reply

PUBLISHED = """
16000 16001 16002 160021 16003 17003 20001 20012 20033 230109 28002 28003 399284 40008 40009 40010 40015
50000 50001 50002 500011 500014 500021 500022 50003 50005 50006 50007 50008 5000224 5000819 50010 50011 50012 50013
500133 50014 500141 50015 50017 5001256 50020 500207 500208 500212 500213 50027 50029 50032 50033 50034 50042 50043
50048 50049 50050 50053 50055 50056 50057 50058 50059 50061 50064 50068 50070 50071 50072 50074 50076 50078 50079
50085 50086 50087 50088 50089 50097 50098 50099 50100 50101 50102 50103 50105 50107 50108 50109 50111 50117 50120
50123 50124 501241 50125 50126 50127 50128 50129 50130 50131 50132 50133 50134 50135 50136 50137 50138 50139 50140
50141 50142 50143 50144 50146 501461 50147 50148 501481 50149 501491 50150 50155 50156 50157 50158 50159 50160 50161
50162 501621 50163 501631 501632 50164 50165 50166 50167 50168 50169 50170 50171 50172 50173 50176 50177 50178 50180
50187 50192 50194 50196 50197 50199 51000 51001 51004 51005 51006 52004 53000 53001 53002 53003 530032 530034 530035
53004 53010 53011 54000 54005 65001 65002 65004 65005 650052 650054 650056 650057 650059 67003 70000 70001 700005
700011 700016 70002 700020 700022 700023 700025 700027 70003 700030 70004 70005 700054 70007 70008 700082 700084
7000112 7000114 70011 70012 70016 70018 70019 7000215 7000218 7000222 700229 70043 75001 75003 75005 7500514 7500529
750054 75008 75011 75016 76021 76026 80001 80002 80005 80007 80010 80012 80013 80014 81004 81005 81006 81007 81009
81010 81011 81012 90002 90004 90005 90006 90007 90008 90009 90010 9001023 90012 90013 90014 900144 90015 90016 90019
90020 90022 90023 9002313 9002332 9002341 900236 90024 90027 90033 90036 90038 900382 900384 90043 900432 90051 90055
90056 900561 900612 90072 90081 90082 90084 90085 90086 90087 90090 90091 90092 90093 90094 90095 900971 90099 90100
901002 90101 901011 901012 901014 90102 90107 90112 90114 90117 90119 90120 90121 90123 90124 90125 90126 90130
100007 1000000 1000002 1000031 1000104 120000 120002 120003 120004 120005 120008 120011 120012 120013 120014 120015
120016 120018 120020 120021 130004 130005 130006 130007 130008 135010 135011 140000 140001 165004 165900 220450 220501
221000 240001 240002 240003 240004
"""
"""https://learn.microsoft.com/entra/identity-platform/reference-error-codes, as it was in 2026."""


def test_the_whole_published_list_is_there_each_number_once() -> None:
    known = Counter(number for entry in aadsts.answers() for number in entry.numbers)
    assert {int(number) for number in PUBLISHED.split()} <= known.keys()
    assert not [number for number, times in known.items() if times > 1]
    assert len(known) < 1000


def test_the_table_names_codes_that_have_words_and_what_the_words_ask_for() -> None:
    assert {entry.code for entry in aadsts.answers()} <= texts.entries().keys()
    families = filter(None, map(aadsts.family, range(10_000, 100_000)))
    about = {entry.about for entry in (*aadsts.answers(), *families)}
    asked = {name for text in texts.entry("login.sign-in-refused")["cause"] for name in texts.names(text)}
    assert {f"about_{word}" for word in about - {None}} <= asked


# OAuth's error says another thing than the number: the number holds, for the diagnosis and for the kind of error
LIES = [
    ("invalid_client", 700024, "microsoft.clock-wrong", "you", False, errors.SettingsError),
    ("access_denied", 650053, "microsoft.invalid-scope", "you", False, errors.SettingsError),
    ("invalid_request", 500200, "microsoft.account-type", "you", False, errors.LoginRequired),
    ("access_denied", 530021, "microsoft.device-policy", "admin", False, errors.LoginRequired),
    ("invalid_grant", 500571, "microsoft.account-disabled", "admin", False, errors.LoginRequired),
    ("access_denied", 530003, "microsoft.device-policy", "admin", False, errors.LoginRequired),
    ("invalid_request", 900023, "microsoft.tenant-unknown", "you", False, errors.SettingsError),
    ("unauthorized_client", 700038, "microsoft.client-unknown", "you", False, errors.SettingsError),
    ("invalid_grant", 530036, "microsoft.conditional-access", "you", False, errors.LoginRequired),
    ("invalid_client", 7000229, "microsoft.admin-consent", "admin", False, errors.LoginRequired),
    ("invalid_resource", 500014, "microsoft.resource-missing", "admin", False, errors.SettingsError),
    ("invalid_grant", 120000, "microsoft.password-change", "you", False, errors.LoginRequired),
    ("invalid_grant", 50177, "microsoft.interaction-required", "you", False, errors.LoginRequired),
    ("invalid_grant", 40010, "microsoft.federation", "admin", True, errors.LoginRequired),
    ("invalid_grant", 50087, "server.trouble", "provider", True, errors.ConnectError),
    ("invalid_grant", 90055, "rate.limited", "you", True, errors.ConnectError),
    ("invalid_grant", 7000222, "microsoft.client-secret-expired", "you", False, errors.SettingsError),
    ("invalid_grant", 9002313, "login.sign-in-refused", "you", False, errors.SettingsError),
    ("invalid_client", 65002, "microsoft.borrowed-client", "you", False, errors.SettingsError),
    ("temporarily_unavailable", 90033, "server.trouble", "provider", True, errors.ConnectError),
    ("interaction_required", 50076, "microsoft.interaction-required", "you", False, errors.LoginRequired),
    ("invalid_client", 7000218, "microsoft.public-client-off", "you", False, errors.SettingsError),
]


@pytest.mark.parametrize(("error", "number", "code", "who", "temporary", "kind"), LIES)
def test_the_number_decides_and_not_the_error_word(
    microsoft: Microsoft,
    account: Make,
    error: str,
    number: int,
    code: str,
    who: str,
    temporary: bool,
    kind: type[errors.FrankingError],
) -> None:
    # twice: where the other route's scope may be at fault, it is asked again without it
    microsoft.answers = [("/token", Problem(error, number, "The words.").reply())] * 2
    with pytest.raises(kind) as caught:
        sign_in(account(), microsoft)
    found = explain(caught.value, account(), provider("outlook"))
    assert (found.code, found.who, found.temporary) == (code, who, temporary)
    assert f"AADSTS{number}: The words." in found.raw


@pytest.mark.parametrize(
    ("error", "number", "kind", "who", "says"),
    [
        ("access_denied", 5301234, errors.LoginRequired, "admin", "rules of the organisation"),
        ("invalid_grant", 509999, errors.LoginRequired, "you", "the account or the directory"),
        ("invalid_grant", 659999, errors.LoginRequired, "you", "about permissions"),
        ("invalid_client", 7009999, errors.SettingsError, "you", "about the app"),
        ("invalid_grant", 819999, errors.LoginRequired, "admin", "organisation's own sign-in service"),
        ("invalid_request", 909999, errors.SettingsError, "you", "the request, or the service itself"),
        ("interaction_required", 5309999, errors.LoginRequired, "admin", "rules of the organisation"),
        ("something_new", 99999, errors.LoginRequired, "you", "The words."),
    ],
)
def test_a_number_that_nobody_knows_is_quoted_with_what_its_beginning_tells(
    microsoft: Microsoft,
    account: Make,
    error: str,
    number: int,
    kind: type[errors.FrankingError],
    who: str,
    says: str,
) -> None:
    microsoft.answers = [("/token", Problem(error, number, "The words.").reply())]
    with pytest.raises(kind) as caught:
        sign_in(account(), microsoft)
    found = explain(caught.value, account(), provider("outlook"))
    assert (found.code, found.who, found.temporary) == ("login.sign-in-refused", who, False)
    assert found.cause.startswith(f"Microsoft's words: AADSTS{number}: The words.")
    assert says in found.cause
    assert f"https://login.microsoftonline.com/error?code={number}" in found.remedies[0]


@pytest.mark.parametrize(
    ("error", "suberror", "number", "code"),
    [
        ("invalid_grant", "consent_required", 659999, "microsoft.consent-needed"),
        ("invalid_grant", "message_only", 509999, "microsoft.policy-blocked"),
        ("temporarily_unavailable", "", 99999, "server.trouble"),
        ("invalid_grant", "basic_action", 53003, "microsoft.conditional-access"),
    ],
)
def test_words_that_say_what_to_do_hold_with_an_unknown_number(
    microsoft: Microsoft, account: Make, error: str, suberror: str, number: int, code: str
) -> None:
    microsoft.answers = [("/token", Problem(error, number, "The words.", suberror).reply())]
    with pytest.raises(errors.FrankingError) as caught:
        sign_in(account(), microsoft)
    assert explain(caught.value, account(), provider("outlook")).code == code


@pytest.mark.parametrize("listed", [7000215, "7000215", ["²", None, {}, -5, 10**40, "7000215"], {"7000215": 1}, True])
def test_a_list_of_numbers_that_is_none_harms_nobody(microsoft: Microsoft, account: Make, listed: Any) -> None:
    body = {"error": "invalid_grant", "error_description": "AADSTS50076: more", "error_codes": listed}
    microsoft.answers = [("/token", Reply(400, body))]
    with pytest.raises(errors.FrankingError) as caught:
        sign_in(account(), microsoft)
    assert 50076 in evidence(microsoft, caught.value).details["aadsts"]


@pytest.mark.parametrize(
    ("ways", "first"),
    [
        ({"device": True}, "Sign in through the browser instead of a device code"),
        ({}, "Sign in from the company's network, or on a computer that the company manages"),
        ({"no_browser": True}, "Sign in from the company's network, or on a computer that the company manages"),
    ],
)
def test_nobody_is_told_to_sign_in_as_they_did(
    microsoft: Microsoft, account: Make, ways: dict[str, Any], first: str
) -> None:
    microsoft.answers = [("/token", Problem("access_denied", 53003, "Blocked.").reply())]
    with pytest.raises(errors.LoginRequired) as caught:
        sign_in(account(), microsoft, **ways)
    found = explain(caught.value, account(), provider("outlook"))
    assert (found.code, found.remedies[0][: len(first)]) == ("microsoft.conditional-access", first)
