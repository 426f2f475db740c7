"""Signing in with Microsoft and renewing: the real MSAL over HTTPS, against a strict stand-in for Entra ID on
loopback.
"""

from __future__ import annotations

import base64
import datetime
import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

import franking
from franking import errors
from franking.account.binding import binding_of
from franking.auth.secret import Grant, Password
from franking.auth.sources import secret_for
from franking.auth.store import MemoryStore
from franking.auth.token import jwt_claims
from franking.outlook import login
from franking.registry import provider
from outlook.messages import Make
from servers.microsoft import CLIENT, GRAPH, OUTLOOK, TENANT, Microsoft, Problem, query_of
from servers.web import Reply


class Person:
    """A login's user interface with somebody in front of it, who opens the browser at once."""

    def __init__(self, microsoft: Microsoft, *, no_browser: bool = False, device: bool = False) -> None:
        self.microsoft, self.interactive, self.no_browser, self.device = microsoft, True, no_browser, device
        self.shown: list[str] = []
        self.opened: list[str] = []
        self.on_show: Callable[[str], None] = lambda text: None
        self.threads: list[threading.Thread] = []

    def show(self, text: str) -> None:
        self.shown.append(text)
        self.on_show(text)

    def open_url(self, url: str) -> bool:
        self.opened.append(url)
        self.threads.append(threading.Thread(target=self.microsoft.browser, args=(url,)))
        self.threads[-1].start()
        return True

    def ask(self, question: str, *, hidden: bool = False) -> str:
        url = next(
            word for text in reversed(self.shown) for word in text.split() if word.startswith(self.microsoft.url)
        )
        self.opened.append(url)
        return self.microsoft.address_line(url)

    def confirm(self, question: str) -> bool:
        return True

    def done(self) -> None:
        for thread in self.threads:
            thread.join(10)


def sign_in(account: franking.Account, microsoft: Microsoft, **ways: Any) -> Grant:
    person = Person(microsoft, **ways)
    if person.device:
        person.on_show = lambda text: microsoft.approve()
    grant = login.login(account, person, sleep=lambda seconds: None)
    person.done()
    return grant


def refused(
    account: franking.Account, microsoft: Microsoft, kind: type[errors.FrankingError], **ways: Any
) -> errors.Evidence:
    with pytest.raises(kind) as caught:
        sign_in(account, microsoft, **ways)
    return evidence(microsoft, caught.value)


def evidence(microsoft: Microsoft, error: errors.FrankingError) -> errors.Evidence:
    """Return the evidence of an error in which no secret is."""
    assert error.evidence is not None
    told = f"{error} {error.evidence} {error.__dict__} {''.join(traceback.format_exception(error))}"
    assert not [secret for secret in microsoft.secrets if secret[:40] in told]
    return error.evidence


# -- ways in -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ways", [{}, {"no_browser": True}, {"device": True}], ids=["browser", "pasted", "device"])
@pytest.mark.parametrize(("route", "scope"), [("graph", f"{GRAPH}/Mail.Send"), ("smtp", f"{OUTLOOK}/SMTP.Send")])
def test_a_login_gives_a_grant_that_works(
    microsoft: Microsoft, account: Make, ways: dict[str, Any], route: str, scope: str
) -> None:
    grant = sign_in(account(route=route), microsoft, **ways)
    assert (grant.provider, grant.route, grant.who) == ("outlook", account(route=route).route, "jan@contoso.com")
    assert grant.details["tenant"] == TENANT
    assert scope in grant.scopes
    assert microsoft.tokens[grant.access_token].scopes == (scope.rpartition("/")[2],)
    assert grant.expires_at == pytest.approx(grant.created_at + 3600, abs=5)


def test_the_browser_is_asked_as_microsoft_wants_it(microsoft: Microsoft, account: Make) -> None:
    person = Person(microsoft)
    login.login(account(), person)
    person.done()
    asked = query_of(person.opened[0])
    assert asked["response_mode"] == "form_post"
    assert asked["code_challenge_method"] == "S256"
    assert asked["login_hint"] == "jan@contoso.com"
    assert asked["redirect_uri"].startswith("http://localhost:")
    assert set(asked["scope"].split()) == {
        "openid",
        "profile",
        "offline_access",
        f"{GRAPH}/Mail.Send",
        f"{OUTLOOK}/SMTP.Send",
    }


def test_a_pasted_answer_comes_in_the_address_line(microsoft: Microsoft, account: Make) -> None:
    person = Person(microsoft, no_browser=True)
    login.login(account(), person)
    assert query_of(person.opened[0])["response_mode"] == "query"


def test_one_sign_in_serves_both_routes(microsoft: Microsoft, account: Make) -> None:
    grant = sign_in(account(), microsoft)
    assert grant.details["consented"] == ["graph", "outlook-smtp"]
    other = login.refresh(account(route="smtp"), grant, None)
    assert microsoft.tokens[other.access_token].resource == OUTLOOK
    back = login.refresh(account(), other, None)
    assert microsoft.tokens[back.access_token].resource == GRAPH


def test_a_device_login_consents_to_one_route_and_the_other_says_so(microsoft: Microsoft, account: Make) -> None:
    grant = sign_in(account(), microsoft, device=True)
    assert grant.details["consented"] == ["graph"]
    with pytest.raises(errors.LoginRequired) as caught:
        login.refresh(account(route="smtp"), grant, None)
    seen = evidence(microsoft, caught.value)
    assert (seen.reason, seen.details["suberror"], seen.details["aadsts"]) == (
        "invalid_grant",
        "consent_required",
        [65001],
    )


@pytest.mark.parametrize("refusal", ["admin_only", "unknown_scopes"])
def test_a_tenant_that_refuses_the_other_route_is_asked_for_the_own_one(
    microsoft: Microsoft, account: Make, refusal: str
) -> None:
    setattr(microsoft, refusal, {"SMTP.Send"})
    person = Person(microsoft)
    grant = login.login(account(), person)
    person.done()
    assert len(person.opened) == 2
    assert "SMTP.Send" not in query_of(person.opened[1])["scope"]
    assert grant.details["consented"] == ["graph"]


def test_large_attachments_ask_for_more(microsoft: Microsoft, account: Make) -> None:
    person = Person(microsoft)
    grant = login.login(account(large_attachments=True), person)
    person.done()
    assert microsoft.tokens[grant.access_token].scopes == ("Mail.ReadWrite", "Mail.Send")


def test_a_shared_mailbox_asks_for_the_shared_scope_and_hints_nobody(microsoft: Microsoft, account: Make) -> None:
    person = Person(microsoft)
    login.login(account(mailbox="info@contoso.com"), person)
    person.done()
    asked = query_of(person.opened[0])
    assert f"{GRAPH}/Mail.Send.Shared" in asked["scope"]
    assert "login_hint" not in asked


# -- device code -------------------------------------------------------------------------------------------------------


def test_the_device_code_is_polled_at_the_pace_that_is_asked_for(microsoft: Microsoft, account: Make) -> None:
    microsoft.answers = [
        ("/token", Problem("authorization_pending", 70016).reply()),
        ("/token", Reply(400, {"error": "slow_down", "error_description": "Slow down."})),
        ("/token", Reply(503, b"<html>later</html>")),
    ]
    person = Person(microsoft, device=True)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            microsoft.approve()

    grant = login.login(account(), person, sleep=sleep)
    assert grant.who == "jan@contoso.com"
    assert slept[:4] == [1, 1, 6, 12]
    assert person.shown == [
        "To sign in, use a web browser to open the page https://localhost/link and enter the code CANARYCODE.",
        "This sign-in is for the route graph only; the route outlook-smtp would need one of its own.",
    ]


def test_instructions_are_composed_where_the_issuer_sends_none(microsoft: Microsoft, account: Make) -> None:
    microsoft.device_message = None
    person = Person(microsoft, device=True)
    person.on_show = lambda text: microsoft.approve()
    login.login(account(), person, sleep=lambda seconds: None)
    assert "https://localhost/link" in person.shown[0]
    assert "CANARYCODE" in person.shown[0]


def test_a_device_code_that_nobody_types_ends_by_itself(microsoft: Microsoft, account: Make) -> None:
    person = Person(microsoft, device=True)
    microsoft.interval = 60  # fifteen questions
    slept: list[float] = []
    with pytest.raises(errors.LoginRequired) as caught:
        login.login(account(), person, sleep=slept.append)
    assert evidence(microsoft, caught.value).reason == "expired_token"
    assert sum(slept) <= login.DEVICE_SECONDS


def test_ctrl_c_ends_the_waiting_for_a_device(microsoft: Microsoft, account: Make) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        login.login(account(), Person(microsoft, device=True), sleep=interrupt)


def test_a_declined_device_code(microsoft: Microsoft, account: Make) -> None:
    person = Person(microsoft, device=True)
    person.on_show = lambda text: microsoft.decline()
    with pytest.raises(errors.LoginRequired) as caught:
        login.login(account(), person, sleep=lambda seconds: None)
    assert evidence(microsoft, caught.value).reason == "authorization_declined"


def test_public_client_flows_that_are_switched_off(microsoft: Microsoft, account: Make) -> None:
    microsoft.public_client_flows = False
    seen = refused(account(), microsoft, errors.SettingsError, device=True)
    assert (seen.reason, seen.details["aadsts"]) == ("invalid_client", [7000218])


@pytest.mark.parametrize(
    ("audience", "who"),
    [
        (CLIENT, "jan@contoso.com"),
        ([CLIENT.upper()], "jan@contoso.com"),
        (["another", CLIENT], "jan@contoso.com"),
        ("another", None),
        (["another"], None),
        (None, None),
    ],
)
def test_an_id_token_for_another_client_is_not_believed(
    microsoft: Microsoft, account: Make, monkeypatch: pytest.MonkeyPatch, audience: Any, who: str | None
) -> None:
    real = microsoft._tokens

    def tokens(*args: Any, **more: Any) -> Reply:
        reply = real(*args, **more)
        assert isinstance(reply.body, dict)
        claims = jwt_claims(reply.body["id_token"])
        reply.body["id_token"] = ".".join((b64({"alg": "none"}), b64({**claims, "aud": audience}), ""))
        return reply

    monkeypatch.setattr(microsoft, "_tokens", tokens)
    try:
        grant = sign_in(account(), microsoft)
    except errors.LoginRequired as refused:
        assert who is None, "MSAL before 1.38 looks at the audience itself"
        assert "another program" in str(refused)
        return
    assert (grant.who, bool(grant.details.get("tenant"))) == (who, who is not None)
    renewed = login.refresh(account(), replace(grant, who="jan@contoso.com"), None)
    assert renewed.who == "jan@contoso.com"


def b64(claims: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def test_a_token_ends_when_the_issuer_says(microsoft: Microsoft, account: Make) -> None:
    microsoft.expires_in = 4_321
    grant = sign_in(account(), microsoft)
    for made in (grant, login.refresh(account(), grant, None)):
        assert made.expires_at - made.refreshed_at == 4_321
        assert made.refreshed_at == pytest.approx(time.time(), abs=60)
    assert made.created_at == grant.created_at


# -- renewing ----------------------------------------------------------------------------------------------------------


def test_renewing_asks_the_issuer_each_time_and_keeps_the_rotated_token(microsoft: Microsoft, account: Make) -> None:
    grant = sign_in(account(), microsoft)
    seen = {grant.access_token}
    for _ in range(3):
        grant = login.refresh(account(), grant, None)
        assert grant.access_token not in seen
        seen.add(grant.access_token)
    assert microsoft.token_requests == ["authorization_code", *["refresh_token"] * 3]
    assert len(microsoft.refresh_tokens) == 1
    assert (grant.who, grant.details["tenant"], grant.details["way"]) == ("jan@contoso.com", TENANT, "browser")


def test_a_grant_travels_as_text(microsoft: Microsoft, account: Make) -> None:
    grant = sign_in(account(), microsoft)
    json.dumps({"data": dict(grant.data), "details": dict(grant.details)})
    assert grant.access_token not in repr(grant)


def test_a_revoked_grant_needs_a_person(microsoft: Microsoft, account: Make) -> None:
    grant = sign_in(account(), microsoft)
    microsoft.refresh_tokens.clear()
    for _ in range(2):  # twice, because MSAL would replay the answer to an identical request
        before = len(microsoft.token_requests)
        with pytest.raises(errors.LoginRequired) as caught:
            login.refresh(account(), grant, None)
        seen = evidence(microsoft, caught.value)
        assert (seen.reason, seen.details["suberror"], seen.details["aadsts"]) == (
            "invalid_grant",
            "bad_token",
            [700082],
        )
        assert len(microsoft.token_requests) == before + 1


def test_a_grant_with_nothing_in_it_needs_a_person(microsoft: Microsoft, account: Make) -> None:
    grant = sign_in(account(), microsoft)

    for empty in (None, replace(grant, data={}), replace(grant, data={"cache": "{}"})):
        with pytest.raises(errors.LoginRequired) as caught:
            login.refresh(account(), empty, None)
        assert evidence(microsoft, caught.value).reason == "no-refresh-token"


@pytest.mark.parametrize(
    "reply",
    [Reply(500, b"oops"), Reply(503, b"", {"Retry-After": "5"}), Reply(400, {"error": "temporarily_unavailable"})],
)
def test_an_issuer_in_trouble_is_temporary(microsoft: Microsoft, account: Make, reply: Reply) -> None:
    grant = sign_in(account(), microsoft)
    microsoft.answers = [("/token", reply)]
    with pytest.raises(errors.ConnectError) as caught:
        login.refresh(account(), grant, None)
    assert caught.value.temporary
    login.refresh(account(), grant, None)  # a new MSAL application: nothing of the trouble is replayed


# -- app-only ----------------------------------------------------------------------------------------------------------


def certificate(directory: Path) -> tuple[str, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "daemon")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + datetime.timedelta(days=30)).sign(
        key, hashes.SHA256()
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = directory / "daemon.pem"
    file.write_bytes(private + pem)
    return str(file), pem


@pytest.mark.parametrize(("route", "resource"), [("graph", GRAPH), ("smtp", "https://outlook.office365.com")])
@pytest.mark.parametrize("proof", ["secret", "certificate"])
def test_an_application_signs_in_as_itself(
    microsoft: Microsoft, account: Make, tmp_path: Path, route: str, resource: str, proof: str
) -> None:
    secret, settings = None, {}
    if proof == "secret":
        secret = microsoft.secret = "canary~secret-value"
    else:
        settings["certificate"], microsoft.certificate = certificate(tmp_path)
    grant = login.refresh(account(app_only=True, route=route, **settings), None, secret)
    token = microsoft.tokens[grant.access_token]
    assert (token.user, token.resource) == (None, resource)
    assert grant.data == {}
    assert ("credential_expires_at" in grant.details) is (proof == "certificate")
    assert (
        login.refresh(account(app_only=True, route=route, **settings), grant, secret).access_token != grant.access_token
    )


@pytest.mark.parametrize(
    ("pasted", "looks"), [("not-the-secret", False), ("6f0ab5e5-1c1b-4c1a-9f58-0123456789ab", True)]
)
def test_a_wrong_secret_and_a_secrets_id(microsoft: Microsoft, account: Make, pasted: str, looks: bool) -> None:
    microsoft.secret = "canary~secret-value"
    microsoft.secrets.add(pasted)
    with pytest.raises(errors.SettingsError) as caught:
        login.refresh(account(app_only=True), None, pasted)
    seen = evidence(microsoft, caught.value)
    assert (seen.reason, seen.details["aadsts"]) == ("invalid_client", [7000215])
    assert seen.details.get("secret_id", False) is looks


def test_a_missing_secret_is_a_setting(microsoft: Microsoft, account: Make) -> None:
    with pytest.raises(errors.SettingsError, match="client secret"):
        login.refresh(account(app_only=True), None, None)


def test_nobody_signs_in_for_an_application(microsoft: Microsoft, account: Make) -> None:
    with pytest.raises(errors.SettingsError, match="app_only"):
        sign_in(account(app_only=True), microsoft)


# -- another issuer ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the provider and its own libraries
@pytest.mark.parametrize("path", ["/tenant", ""], ids=["with a path", "at the root of its host"])
def test_a_foreign_issuer_is_a_plain_openid_provider(
    microsoft: Microsoft, account: Make, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Sign in at somebody else's implementation of OpenID Connect, which knows neither form_post nor Microsoft's
    ``client_info``.
    """
    oidc = pytest.importorskip("oidc_provider_mock")
    from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
    from oidc_provider_mock._storage import Client
    from werkzeug.exceptions import NotFound
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.serving import make_server

    # it admits clients with a secret only, and apps like ours have none
    for grant_type in (AuthorizationCodeGrant, RefreshTokenGrant):
        monkeypatch.setattr(grant_type, "TOKEN_ENDPOINT_AUTH_METHODS", ["none"])
    scopes = [f"{GRAPH}/Mail.Send", f"{OUTLOOK}/SMTP.Send", "offline_access"]
    monkeypatch.setattr(Client, "SCOPES_SUPPORTED", [*Client.SCOPES_SUPPORTED, *scopes])
    provider = oidc.app(user_claims=[oidc.User(sub="jan", claims={"email": "jan@contoso.com"})])
    context = microsoft.ca.context("localhost")
    served = DispatcherMiddleware(NotFound(), {path: provider}) if path else provider
    server = make_server("localhost", 0, served, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        foreign = account(authority=f"https://localhost:{server.server_port}{path}")
        person = Person(microsoft)

        def open_url(url: str) -> bool:
            person.opened.append(url)
            person.threads.append(threading.Thread(target=lambda: follow(url)))
            person.threads[-1].start()
            return True

        def follow(url: str) -> None:
            with requests.Session() as browser:
                browser.trust_env = False
                answer = browser.post(
                    url, data={"sub": "jan"}, verify=microsoft.ca.ca_file, allow_redirects=False, timeout=10
                )
                browser.get(answer.headers["Location"], timeout=10)

        person.open_url = open_url  # type: ignore[method-assign]
        grant = login.login(foreign, person)
        person.done()
        assert query_of(person.opened[0])["response_mode"] == "query"
        assert grant.access_token
        renewed = login.refresh(foreign, grant, None)
        assert renewed.access_token not in ("", grant.access_token)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_no_secret_in_any_log(
    microsoft: Microsoft, account: Make, caplog: pytest.LogCaptureFixture, capfd: Any, tmp_path: Path
) -> None:
    with caplog.at_level(logging.DEBUG):
        grant = sign_in(account(), microsoft)
        sign_in(account(), microsoft, no_browser=True)
        sign_in(account(), microsoft, device=True)
        login.refresh(account(), grant, None)
        microsoft.secret = "canary~secret-value"
        microsoft.secrets.add("canary~secret-value")
        login.refresh(account(app_only=True), None, microsoft.secret)
        with pytest.raises(errors.LoginRequired):
            login.refresh(account(), grant, None)  # its refresh token was used already
    said = "".join(capfd.readouterr())
    written = caplog.text + said
    assert len(microsoft.secrets) > 10
    assert "urllib3" in caplog.text
    assert not [secret for secret in microsoft.secrets if secret[:40] in written]


def test_logging_out_says_where_access_is_taken_away(microsoft: Microsoft, account: Make) -> None:
    grant = sign_in(account(), microsoft)
    assert "identity provider" in login.revoke(account(), grant)
    assert "https://myapps.microsoft.com" in login.revoke(account(authority=None), grant)


# -- the account's lock ------------------------------------------------------------------------------------------------


def test_the_lock_is_held_for_the_renewal_only(microsoft: Microsoft, account: Make) -> None:
    asked: list[int] = []

    class Watched(MemoryStore):
        @contextmanager
        def lock(self, key: str) -> Iterator[None]:
            asked.append(len(microsoft.server.requests))
            with super().lock(key):
                yield
            asked.append(len(microsoft.server.requests))

    grant = sign_in(account(), microsoft)
    store = Watched({"office": replace(grant, bound=binding_of(account())).dumps()})
    before = len(microsoft.server.requests)
    secret = secret_for(account(), provider("outlook"), store, {})
    assert secret.get() == grant.access_token
    assert (asked, len(microsoft.server.requests)) == ([], before)  # it is fresh: nothing is asked, and nobody waits
    newer = secret.get(renew_after=grant.access_token)
    assert newer != grant.access_token
    assert [number - before for number in asked] == [1, 2]  # the issuer's endpoints before the lock, the token under it
    assert Grant.loads(store.load("office") or "").access_token == newer
    app_only = account(app_only=True)
    microsoft.secret = "canary-client-secret"
    store.save("office", Password("canary-client-secret").dumps())
    assert secret_for(app_only, provider("outlook"), store, {}).get()
    again = secret_for(app_only, provider("outlook"), store, {})
    assert again.get(renew_after=again.get())  # the client secret was not pushed out by the token


def test_a_sign_in_at_microsoft_ends_by_disuse(
    microsoft: Microsoft, account: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "refresh_expires_at" not in sign_in(account(), microsoft).details  # another issuer: nothing is known
    for module in ("login", "issuer", "signin_errors"):
        monkeypatch.setattr(f"franking.outlook.{module}.authority", lambda account: (microsoft.authority, True))
    grant = sign_in(account(), microsoft)
    assert grant.details["refresh_expires_at"] == pytest.approx(grant.refreshed_at + 90 * 86_400, abs=1)
