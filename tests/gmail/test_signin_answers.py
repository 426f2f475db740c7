"""What Google's sign-in answers are taken for: of the consent page, the code, a renewal, a service account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from franking.account.account import Account
from franking.auth.secret import Grant
from franking.diagnosis.diagnosis import Diagnosis
from franking.errors import FrankingError
from franking.gmail.provider import GmailProvider
from franking.sending.explain import explain
from servers.google import SEND, Google
from servers.person import Person, browse
from servers.web import Reply

GMAIL = GmailProvider()


@pytest.fixture
def account(account: Account, google: Google, tmp_path: Path) -> Account:
    (tmp_path / "client_secret.json").write_text(json.dumps(google.client_secrets()))
    return account.replace(client_secrets=str(tmp_path / "client_secret.json"))


@pytest.fixture
def delegated(google: Google, account: Account, tmp_path: Path) -> Account:
    (tmp_path / "key.json").write_text(json.dumps(google.service_account(scopes=(SEND,))))
    return account.replace(client_secrets=None, service_account=str(tmp_path / "key.json"))


@pytest.fixture
def grant(google: Google) -> Grant:
    data = {
        "refresh_token": google.give_refresh(),
        "client_id": google.client_id,
        "client_secret": google.client_secret,
        "token_uri": f"{google.url}/token",
    }
    return Grant(
        provider="gmail",
        route="gmail-api",
        who="me@gmail.com",
        scopes=("openid", "email", SEND),
        created_at=0,
        refreshed_at=0,
        access_token="",
        expires_at=0,
        data=data,
    )


def said(status: int, error: str, words: str = "") -> Reply:
    return Reply(status, {"error": error, **({"error_description": words} if words else {})})


def explained(error: FrankingError, account: Account) -> Diagnosis:
    found = explain(error, account, GMAIL)
    for text in (found.title, found.cause, *found.remedies):
        assert "{" not in text, text
    return found


RENEWAL = [
    ("invalid_grant", "Token has been expired or revoked.", "google.invalid-grant"),
    ("invalid_grant", "Bad Request", "google.invalid-grant"),
    ("invalid_grant", "", "google.invalid-grant"),
    ("invalid_grant", "Account has been deleted", "google.account-gone"),
    ("invalid_grant", "The account has been deleted", "google.account-gone"),
    ("invalid_grant", "Account disabled", "google.account-gone"),
    ("invalid_grant", "reauth related error (invalid_rapt)", "google.session-policy"),
    ("unauthorized_client", "Unauthorized", "google.other-client"),
    ("invalid_client", "The OAuth client was not found.", "google.client-invalid"),
    ("deleted_client", "The OAuth client was deleted.", "google.client-invalid"),
    ("disabled_client", "The OAuth client was disabled.", "google.client-invalid"),
    ("admin_policy_enforced", "This application is currently blocked.", "google.admin-policy"),
    ("policy_enforced", "", "google.advanced-protection"),
    ("invalid_scope", "Bad Request", "google.invalid-scope"),
    ("internal_failure", "", "server.trouble"),
    ("something_new", "Words that nobody has seen.", "login.sign-in-refused"),
    ("something_new", "", "login.sign-in-refused"),
]


@pytest.mark.parametrize(("error", "words", "code"), RENEWAL)
def test_what_a_renewal_is_answered(
    google: Google, account: Account, grant: Grant, error: str, words: str, code: str
) -> None:
    google.token_faults.append(said(400, error, words))
    with pytest.raises(FrankingError) as caught:
        GMAIL.refresh(account, grant, None)
    found = explained(caught.value, account)
    assert found.code == code
    assert words in found.raw
    if code == "login.sign-in-refused":
        assert (words or error) in found.cause


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        ("invalid_grant", "Bad Request", "login.code-refused"),
        ("invalid_grant", "Malformed auth code.", "login.code-refused"),
        ("invalid_grant", "Code was already redeemed.", "login.code-refused"),
        ("invalid_grant", "Missing code verifier.", "login.code-refused"),
        ("invalid_grant", "Account has been deleted", "google.account-gone"),
        ("redirect_uri_mismatch", "Bad Request", "google.redirect-mismatch"),
        ("invalid_client", "Unauthorized", "google.client-invalid"),
        ("something_new", "Words that nobody has seen.", "login.sign-in-refused"),
    ],
)
def test_what_the_code_is_answered(google: Google, account: Account, error: str, words: str, code: str) -> None:
    google.token_faults.append(said(400, error, words))
    with pytest.raises(FrankingError) as caught:
        GMAIL.login(account, Person(lambda url: browse(url, google.authority.ca_file)))
    assert explained(caught.value, account).code == code


@pytest.mark.parametrize(
    ("error", "code", "who"),
    [
        ("access_denied", "login.cancelled", "you"),
        ("admin_policy_enforced", "google.admin-policy", "admin"),
        ("access_not_configured", "google.admin-policy", "admin"),
        ("app_not_configured_for_user", "google.admin-policy", "admin"),
        ("policy_enforced", "google.advanced-protection", "you"),
        ("org_internal", "google.internal-only", "you"),
        ("disallowed_useragent", "google.embedded-browser", "you"),
        ("invalid_request", "google.request-refused", "you"),
        ("restricted_client", "google.invalid-scope", "you"),
        ("rate_limit_exceeded", "google.user-cap", "you"),
        ("server_error", "server.trouble", "provider"),
        ("never_heard_of", "login.sign-in-refused", "you"),
    ],
)
def test_what_the_consent_page_sends_back(google: Google, account: Account, error: str, code: str, who: str) -> None:
    google.consent = lambda query: {"error": error}
    with pytest.raises(FrankingError) as caught:
        GMAIL.login(account, Person(lambda url: browse(url, google.authority.ca_file)))
    found = explained(caught.value, account)
    assert (found.code, found.who) == (code, who)


@pytest.mark.parametrize(
    ("error", "words", "code", "temporary"),
    [
        ("invalid_grant", "Invalid JWT Signature.", "google.service-account-key", False),
        ("invalid_grant", "Robot is disabled.", "google.service-account-key", False),
        ("invalid_grant", "Invalid grant: account not found", "google.service-account-key", False),
        ("invalid_grant", "Invalid email or User ID", "google.service-account-subject", False),
        ("invalid_grant", "Not a valid email or user ID.", "google.service-account-subject", False),
        ("invalid_request", "Invalid impersonation &quot;sub&quot; field.", "google.service-account-subject", False),
        ("invalid_grant", "The account has been deleted", "google.account-gone", False),
        ("unauthorized_client", "Unauthorized", "google.delegation-missing", True),
        ("access_denied", "Requested client not authorized.", "google.delegation-missing", True),
    ],
)
def test_what_a_service_account_is_answered(
    google: Google, delegated: Account, error: str, words: str, code: str, temporary: bool
) -> None:
    google.token_faults.append(said(401, error, words))
    with pytest.raises(FrankingError) as caught:
        GMAIL.refresh(delegated, None, None)
    found = explained(caught.value, delegated)
    assert (found.code, found.temporary) == (code, temporary)
