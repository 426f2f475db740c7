"""Signing in with Google: the real Google libraries over HTTPS against a strict fake, and what each failure says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from franking.account.account import Account
from franking.auth.secret import Grant
from franking.auth.token import jwt_claims
from franking.errors import ConnectError, FrankingError, LoginError, LoginRequired, SettingsError, TLSError
from franking.gmail.login import sign_in
from franking.gmail.provider import GmailProvider
from franking.provider import SupportsLogin
from servers.google import MAIL, SEND, Google
from servers.person import Person, browse
from servers.web import Authority, Reply

GMAIL = GmailProvider()


@pytest.fixture
def account(account: Account, google: Google, tmp_path: Path) -> Account:
    file = tmp_path / "client_secret.json"
    file.write_text(json.dumps(google.client_secrets()))
    return account.replace(client_secrets=str(file))


def with_browser(google: Google, **more: Any) -> Person:
    return Person(lambda url: browse(url, google.authority.ca_file), **more)


def with_clipboard(google: Google, change: Callable[[str], str] = lambda url: url, **more: Any) -> Person:
    return Person(pastes=lambda url: change(browse(url, google.authority.ca_file, stop_at_loopback=True)), **more)


def login(account: Account, person: Person) -> Grant:
    return GMAIL.login(account, person)


def seen(error: FrankingError) -> tuple[str | None, str]:
    assert error.evidence is not None
    return error.evidence.reason, error.evidence.text


def test_it_keeps_the_login_protocol() -> None:
    assert isinstance(GMAIL, SupportsLogin)


# -- signing in ------------------------------------------------------------------------------------------------------


def test_login_in_a_browser(google: Google, account: Account) -> None:
    asked: list[dict[str, str]] = []
    google.consent = lambda query: asked.append(query) or {}  # type: ignore[func-returns-value]
    person = with_browser(google)
    grant = login(account, person)
    assert (grant.provider, grant.route, grant.who) == ("gmail", "gmail-api", "me@gmail.com")
    assert set(grant.scopes) == {"openid", "email", SEND}
    assert grant.expires_at > grant.created_at
    assert grant.data["refresh_token"] in google.refresh
    assert grant.access_token in google.access
    assert "testing" not in grant.details
    query = asked[0]
    assert query["prompt"] == "consent"
    assert query["access_type"] == "offline"
    assert query["login_hint"] == "me@gmail.com"
    assert query["scope"].split() == ["openid", "email", SEND]
    assert query["redirect_uri"].startswith("http://127.0.0.1:")
    (warned,) = person.shown  # of the page that a new client meets, before the browser opens
    assert "not verified this app" in warned
    assert not person.problems


def test_the_smtp_route_asks_for_full_mail(google: Google, account: Account) -> None:
    grant = login(account.replace(route="smtp"), with_browser(google))
    assert grant.route == "gmail-smtp"
    assert set(grant.scopes) == {"openid", "email", MAIL}


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url,
        lambda url: f"\n  {url}  \n",
        lambda url: urlsplit(url).query,
        lambda url: parse_qs(urlsplit(url).query)["code"][0],
    ],
    ids=["whole address", "with blanks", "query", "bare code"],
)
def test_pasted_login(google: Google, account: Account, change: Callable[[str], str]) -> None:
    person = with_clipboard(google, change)
    assert login(account, person).who == "me@gmail.com"
    assert "browser" in person.shown[1]


def test_a_pasted_address_of_another_sign_in_is_refused(google: Google, account: Account) -> None:
    person = with_clipboard(google, lambda url: url.replace("state=", "state=x"))
    with pytest.raises(LoginRequired) as caught:
        login(account, person)
    assert seen(caught.value)[0] == "state-mismatch"
    assert google.token_requests == []


def test_a_grant_goes_to_another_machine_and_needs_no_client_file_there(google: Google, account: Account) -> None:
    carried = Grant.loads(login(account, with_browser(google)).dumps())
    renewed = GMAIL.refresh(account.replace(client_secrets=None), carried, None)
    assert renewed.access_token in google.access


@pytest.mark.parametrize(
    ("sender", "user", "asks"),
    [
        ("me@gmail.com", "me@gmail.com", False),
        ("Me@Gmail.com", "me@gmail.com", False),
        ("m.e+shop@googlemail.com", "me@gmail.com", False),
        ("jan@novak.cz", "me@gmail.com", True),
        ("m.e@novak.cz", "me@novak.cz", True),
    ],
)
def test_who_signed_in_is_compared_with_the_account(
    google: Google, account: Account, sender: str, user: str, asks: bool
) -> None:
    google.consent = lambda query: {"user": user}
    person = with_browser(google)
    assert login(account.replace(sender=sender), person).who == user
    assert bool(person.asked) == asks
    assert not asks or (user in person.asked[0] and sender in person.asked[0])


def test_the_wrong_person_can_be_turned_away(google: Google, account: Account) -> None:
    google.consent = lambda query: {"user": "jan@novak.cz"}
    with pytest.raises(LoginRequired) as caught:
        login(account, with_browser(google, says=False))
    assert seen(caught.value)[0] == "wrong-account"
    assert caught.value.evidence is not None
    assert caught.value.evidence.details["who"] == "jan@novak.cz"


def test_an_unticked_box_is_noticed(google: Google, account: Account) -> None:
    google.consent = lambda query: {"unticked": [SEND]}
    with pytest.raises(LoginRequired) as caught:
        login(account, with_browser(google))
    assert seen(caught.value)[0] == "scope-missing"
    assert caught.value.evidence is not None
    assert caught.value.evidence.details["missing"] == (SEND,)


def test_no_refresh_token_is_noticed(google: Google, account: Account) -> None:
    google.refresh_token_issued = False
    with pytest.raises(LoginRequired) as caught:
        login(account, with_browser(google))
    assert seen(caught.value)[0] == "no-refresh-token"


def test_a_consent_screen_in_testing_is_told(google: Google, account: Account) -> None:
    google.testing = True
    person = with_browser(google)
    grant = login(account, person)
    assert grant.details["testing"] is True
    assert 6 * 86_400 < grant.details["refresh_expires_at"] - grant.created_at < 8 * 86_400
    assert "seven days" in person.shown[-1]


@pytest.mark.parametrize("error", ["access_denied", "admin_policy_enforced", "org_internal"])
@pytest.mark.parametrize("way", [with_browser, with_clipboard])
def test_an_error_from_the_consent_page(
    google: Google, account: Account, error: str, way: Callable[[Google], Person]
) -> None:
    google.consent = lambda query: {"error": error}
    with pytest.raises(LoginRequired) as caught:
        login(account, way(google))
    assert seen(caught.value)[0] == error


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (Reply(400, {"error": "invalid_grant", "error_description": "Bad Request"}), LoginRequired, "invalid_grant"),
        (Reply(401, {"error": "invalid_client", "error_description": "Unauthorized"}), SettingsError, "invalid_client"),
        (Reply(200, b"<html>Please log in to the Wi-Fi</html>"), LoginRequired, "unreadable-answer"),
        (Reply(200, {"token_type": "Bearer"}), LoginRequired, "unreadable-answer"),
        (Reply(503, b"busy", {"Retry-After": "5"}), ConnectError, None),
        (Reply(302, b"", {"Location": "https://localhost:1/"}), LoginRequired, "unreadable-answer"),
    ],
)
def test_a_refused_code(
    google: Google, account: Account, reply: Reply, kind: type[FrankingError], reason: str | None
) -> None:
    google.token_faults.append(reply)
    with pytest.raises(kind) as caught:
        login(account, with_browser(google))
    assert seen(caught.value)[0] == reason
    assert len(google.requests) == 2, "the consent and one attempt at the token"


def test_a_wrong_client_secret(google: Google, account: Account) -> None:
    google.client_secret = "GOCSPX-another"
    with pytest.raises(SettingsError) as caught:
        login(account, with_browser(google))
    assert seen(caught.value) == ("invalid_client", "The provided client secret is invalid.")
    assert caught.value.field == "client_secrets"


def test_our_trust_is_the_only_one(google: Google, account: Account, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    with pytest.raises(TLSError):
        login(account.replace(ca_file=other.ca_file), with_browser(google))


@pytest.mark.parametrize(
    ("audience", "who"),
    [("own", "me@gmail.com"), (["another", "own"], "me@gmail.com"), ("another", None), (["another"], None), ([], None)],
)
def test_an_id_token_for_another_client_is_not_believed(
    google: Google, account: Account, monkeypatch: pytest.MonkeyPatch, audience: Any, who: str | None
) -> None:
    real = google._issue

    def issue(*args: Any) -> dict[str, Any]:
        issued = real(*args)
        named = json.loads(json.dumps(audience).replace("own", google.client_id))
        issued["id_token"] = jwt.encode({**jwt_claims(issued["id_token"]), "aud": named}, "k" * 32, algorithm="HS256")
        return issued

    monkeypatch.setattr(google, "_issue", issue)
    person = with_browser(google)
    assert login(account, person).who == who
    assert person.shown[1:] == ([] if who else ["Google did not say who signed in."])


def test_there_is_no_device_code(account: Account) -> None:
    person = Person()
    person.device = True
    with pytest.raises(SettingsError, match="use --no-browser") as caught:
        login(account, person)
    assert seen(caught.value)[0] == "no-device-flow"


@pytest.mark.parametrize(
    ("answered", "seconds"),
    [({}, 4_321), ({"expires_in": None}, 600), ({"expires_in": -5}, 0)],
)
def test_a_token_ends_when_the_issuer_says(
    google: Google, account: Account, monkeypatch: pytest.MonkeyPatch, answered: dict[str, Any], seconds: float
) -> None:
    google.expires_in = 4_321
    real = google._issue
    monkeypatch.setattr(google, "_issue", lambda *args: {**real(*args), **answered})
    made = sign_in(account, with_browser(google), GMAIL.facts.route(account.route).scopes, clock=lambda: 1e9)
    assert (made.created_at, made.refreshed_at, made.expires_at) == (1e9, 1e9, 1e9 + seconds)


@pytest.mark.parametrize(
    ("lifetime", "ends", "testing"),
    [
        (604_799, 1e9 + 604_799, True),
        (7 * 86_400 + 3_600, 1e9 + 608_400, True),
        (608_401, 1e9 + 608_401, False),
        ("7", None, None),
    ],
)
def test_a_refresh_token_that_ends_is_known(
    google: Google,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    lifetime: Any,
    ends: float | None,
    testing: bool | None,
) -> None:
    real = google._issue
    monkeypatch.setattr(google, "_issue", lambda *args: {**real(*args), "refresh_token_expires_in": lifetime})
    made = sign_in(account, with_browser(google), GMAIL.facts.route(account.route).scopes, clock=lambda: 1e9)
    assert (made.details.get("refresh_expires_at"), made.details.get("testing")) == (ends, testing)


# -- keeping the grant usable ----------------------------------------------------------------------------------------


@pytest.fixture
def grant(google: Google) -> Grant:
    return Grant(
        provider="gmail",
        route="gmail-api",
        who="me@gmail.com",
        scopes=("openid", "email", SEND),
        created_at=1_000.0,
        refreshed_at=1_000.0,
        data={
            "refresh_token": google.give_refresh(),
            "client_id": google.client_id,
            "client_secret": google.client_secret,
            "token_uri": f"{google.url}/token",
        },
    )


def test_refresh(google: Google, account: Account, grant: Grant) -> None:
    renewed = GMAIL.refresh(account, grant, None)
    assert renewed.access_token in google.access
    assert renewed.expires_at > renewed.refreshed_at > grant.refreshed_at
    assert renewed.data["refresh_token"] == grant.data["refresh_token"]
    assert set(renewed.scopes) == set(grant.scopes)
    assert grant.access_token == ""
    assert [form["grant_type"] for form in google.token_requests] == ["refresh_token"]


def test_a_rotated_refresh_token_is_kept(google: Google, account: Account, grant: Grant) -> None:
    google.token_faults.append(
        Reply(200, {"access_token": "ya29.new", "expires_in": "3599", "refresh_token": "1//rotated"})
    )
    renewed = GMAIL.refresh(account, grant, None)
    assert renewed.data["refresh_token"] == "1//rotated"
    assert renewed.scopes == grant.scopes


def test_a_revoked_grant(google: Google, account: Account, grant: Grant) -> None:
    google.refresh.clear()
    with pytest.raises(LoginRequired) as caught:
        GMAIL.refresh(account, grant, None)
    assert seen(caught.value) == ("invalid_grant", "Token has been expired or revoked.")
    assert not caught.value.temporary


def test_the_session_policy_of_an_organisation(google: Google, account: Account, grant: Grant) -> None:
    body = {
        "error": "invalid_grant",
        "error_description": "reauth related error (invalid_rapt)",
        "error_subtype": "invalid_rapt",
    }
    google.token_faults.append(Reply(400, body))
    with pytest.raises(LoginRequired) as caught:
        GMAIL.refresh(account, grant, None)
    assert caught.value.evidence is not None
    assert caught.value.evidence.details["subtype"] == "invalid_rapt"


def test_a_sign_in_for_the_other_route_does_not_do(google: Google, account: Account, grant: Grant) -> None:
    with pytest.raises(LoginRequired) as caught:
        GMAIL.refresh(account.replace(route="smtp"), grant, None)
    assert seen(caught.value)[0] == "scope-missing"
    both = replace(grant, scopes=(*grant.scopes, MAIL))
    assert GMAIL.refresh(account.replace(route="smtp"), both, None).route == "gmail-smtp"
    assert len(google.token_requests) == 1


@pytest.mark.parametrize("lacking", ["refresh_token", "token_uri", "client_id"])
def test_half_a_grant(account: Account, grant: Grant, lacking: str) -> None:
    with pytest.raises(LoginRequired) as caught:
        GMAIL.refresh(account, replace(grant, data={**grant.data, lacking: ""}), None)
    assert seen(caught.value)[0] == "grant-incomplete"


def test_no_grant(account: Account) -> None:
    assert GMAIL.needs_login(account)
    with pytest.raises(LoginRequired) as caught:
        GMAIL.refresh(account, None, None)
    assert seen(caught.value)[0] == "no-grant"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_issuer_is_asked_once(google: Google, account: Account, grant: Grant, status: int) -> None:
    google.token_faults.append(Reply(status, {"error": "internal_failure"}, {"Retry-After": "7"}))
    with pytest.raises(ConnectError) as caught:
        GMAIL.refresh(account, grant, None)
    assert caught.value.temporary
    assert caught.value.step == "secret"
    assert caught.value.evidence is not None
    assert (caught.value.evidence.code, caught.value.evidence.details["retry_after"]) == (status, 7.0)
    assert google.requests == ["POST /token"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>hotel</html>"),
        Reply(200, {"no": "token"}),
        Reply(400, b"<html>proxy</html>"),
        Reply(302, b"", {"Location": "https://localhost:1/"}),
        Reply(200, b'{"access_token": "' + b"x" * 200_000 + b'"}'),
    ],
    ids=["page", "no token", "error page", "redirect", "endless"],
)
def test_an_answer_that_is_none(google: Google, account: Account, grant: Grant, reply: Reply) -> None:
    google.token_faults.append(reply)
    with pytest.raises(ConnectError) as caught:
        GMAIL.refresh(account, grant, None)
    assert caught.value.temporary
    assert seen(caught.value)[0] == "unreadable-answer"


def test_an_issuer_that_cannot_be_reached(account: Account, grant: Grant) -> None:
    with pytest.raises(ConnectError) as caught:
        GMAIL.refresh(account, replace(grant, data={**grant.data, "token_uri": "https://127.0.0.1:1/token"}), None)
    assert (caught.value.step, caught.value.temporary) == ("secret", True)
    assert seen(caught.value)[0] == "refused"


def test_what_the_issuer_echoes_is_not_shown(google: Google, account: Account, grant: Grant) -> None:
    token, secret = grant.data["refresh_token"], grant.data["client_secret"]
    google.token_faults.append(Reply(400, {"error": "invalid_grant", "error_description": f"no {token} of {secret}"}))
    with pytest.raises(LoginRequired) as caught:
        GMAIL.refresh(account, grant, None)
    assert "no [hidden] of [hidden]" in str(caught.value)
    assert token not in repr(caught.value.evidence)


def test_revoke(google: Google, account: Account, grant: Grant) -> None:
    assert "every machine" in GMAIL.revoke(account, grant)
    assert grant.data["refresh_token"] not in google.refresh
    with pytest.raises(LoginRequired):
        GMAIL.refresh(account, grant, None)
    assert "already ended" in GMAIL.revoke(account, grant)


def test_revoking_where_the_issuer_has_no_such_place(google: Google, account: Account, grant: Grant) -> None:
    elsewhere = replace(grant, data={**grant.data, "token_uri": f"{google.url}/oauth2/token"})
    assert "only forgotten here" in GMAIL.revoke(account, elsewhere)


def test_google_itself_revokes_at_its_own_place() -> None:
    from franking.gmail.login import REVOKE_URI, _revoke_uri

    for uri in (
        "https://oauth2.googleapis.com/token",
        "https://accounts.google.com/o/oauth2/token",
        "https://www.googleapis.com/oauth2/v3/token",
    ):
        assert _revoke_uri(uri) == REVOKE_URI
    assert _revoke_uri("https://issuer.example/oauth2/token?x=1") == "https://issuer.example/oauth2/revoke"


# -- service accounts ------------------------------------------------------------------------------------------------


@pytest.fixture
def delegated(google: Google, account: Account, tmp_path: Path) -> Account:
    (tmp_path / "key.json").write_text(json.dumps(google.service_account(scopes=(SEND, MAIL))))
    return account.replace(client_secrets=None, service_account=str(tmp_path / "key.json"))


def test_service_account(google: Google, delegated: Account) -> None:
    assert not GMAIL.needs_login(delegated)
    grant = GMAIL.refresh(delegated, None, None)
    assert (grant.who, grant.scopes) == ("me@gmail.com", (SEND,))
    assert google.access[grant.access_token].user == "me@gmail.com"
    assert grant.data == {}
    smtp = GMAIL.refresh(delegated.replace(route="smtp"), grant, None)
    assert smtp.scopes == (MAIL,)
    assert "admin console" in GMAIL.revoke(delegated, grant)


def test_service_account_that_is_not_allowed(google: Google, delegated: Account) -> None:
    google.delegated.clear()
    with pytest.raises(LoginError) as caught:
        GMAIL.refresh(delegated, None, None)
    assert seen(caught.value)[0] == "unauthorized_client"
    assert not caught.value.token_refused


def test_service_account_for_a_mailbox_that_is_none(google: Google, delegated: Account) -> None:
    with pytest.raises(LoginError) as caught:
        GMAIL.refresh(delegated.replace(sender="nobody@novak.cz"), None, None)
    assert seen(caught.value) == ("invalid_grant", "Invalid email or User ID")


def test_service_account_with_another_key(google: Google, delegated: Account) -> None:
    google.service_account()
    with pytest.raises(LoginError) as caught:
        GMAIL.refresh(delegated, None, None)
    assert seen(caught.value) == ("invalid_grant", "Invalid JWT Signature.")


def test_a_key_that_was_cut(google: Google, delegated: Account, tmp_path: Path) -> None:
    key = google.service_account()
    (tmp_path / "key.json").write_text(json.dumps({**key, "private_key": key["private_key"][:300]}))
    with pytest.raises(SettingsError) as caught:
        GMAIL.refresh(delegated, None, None)
    assert seen(caught.value)[0] == "service-account-key"


# -- nothing secret comes out ----------------------------------------------------------------------------------------


def test_no_secret_in_any_log(
    google: Google, account: Account, delegated: Account, loud: pytest.LogCaptureFixture
) -> None:
    codes: list[str] = []

    def browser(url: str) -> None:
        end = browse(url, google.authority.ca_file, stop_at_loopback=True)
        codes.append(parse_qs(urlsplit(end).query)["code"][0])
        browse(end, google.authority.ca_file)

    grant = login(account, Person(browser))
    renewed = GMAIL.refresh(account, grant, None)
    assertion_made = GMAIL.refresh(delegated, None, None)
    GMAIL.revoke(account, renewed)
    forms = google.token_requests
    secrets = [
        *codes,
        google.client_secret,
        grant.access_token,
        renewed.access_token,
        assertion_made.access_token,
        grant.data["refresh_token"],
        forms[0]["code_verifier"],
        forms[2]["assertion"],
    ]
    assert all(len(secret) > 20 for secret in secrets)
    ours = [record for record in loud.records if record.threadName == "MainThread"]
    assert ours, "the libraries did log"
    everything = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in ours)
    for secret in secrets:
        assert secret not in everything
        assert secret not in repr(grant) + repr(renewed) + repr(assertion_made)
