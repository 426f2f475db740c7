"""The provider ``gmail``: Gmail and Google Workspace. Facts and fields only, no SDK; ``login.py`` signs in, ``send.py`` sends.

Sources: support.google.com/a/answer/166852 (limits), developers.google.com/workspace/gmail/api (scopes, quota, upload size), Thunderbird's
autoconfig data (hosts, MX names).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from franking.account import Account, Field
from franking.address import Address
from franking.diagnosis import Rule
from franking.errors import SettingsError
from franking.provider import ClientFacts, Facts, LoginUI, Observer, RouteFacts, Session
from franking.smtp import PORTS, TRANSPORT_FIELDS, settle_transport
from franking.tokens import Grant, Secret

__all__ = ["GmailProvider"]

API, SMTP = "gmail-api", "gmail-smtp"
_HOST = "smtp.gmail.com"
_MX = (
    "smtp.google.com",  # the single MX of Workspace domains since 2023
    "gmail-smtp-in.l.google.com",
    *(f"alt{n}.gmail-smtp-in.l.google.com" for n in range(1, 5)),
    "aspmx.l.google.com",
    *(f"alt{n}.aspmx.l.google.com" for n in range(1, 5)),
    *(f"aspmx{n}.googlemail.com" for n in range(2, 6)),
)
_NOT_SUBMISSION = (
    "gmail.com",
    "www.gmail.com",
    "googlemail.com",
    "mail.google.com",
    "imap.gmail.com",
    "imap.googlemail.com",
    "pop.gmail.com",
    "pop.googlemail.com",
    "accounts.google.com",
    "oauth2.googleapis.com",
    "gmail.googleapis.com",
    "gmail.mtls.googleapis.com",
    "www.googleapis.com",
)


def _check_client(path: str) -> object:
    from franking.gmail.keyfiles import read_client

    return read_client(path)


FACTS = Facts(
    oauth=True,
    client=ClientFacts(
        "client_secrets",
        "Path of the downloaded JSON file",
        steps=(
            "Google wants every program to be known. Once, in a few minutes and free of charge:",
            "1. Make a project at https://console.cloud.google.com/projectcreate and switch the Gmail API on.",
            "2. Google Auth Platform: name the app; add yourself as a test user, or choose Internal (Workspace).",
            "3. Clients, Create client, type Desktop app: download the JSON file.",
        ),
        page="docs/gmail.md",
        check=_check_client,
        file=True,
        instead=("service_account",),
    ),
    routes=(
        RouteFacts(
            API,
            settings={"api_endpoint": "https://gmail.googleapis.com"},
            scopes=("openid", "email", "https://www.googleapis.com/auth/gmail.send"),
            size=36_700_160,  # maxSize of the media upload in Gmail's discovery document
            recipients=100,
            per_minute=60,  # 6,000 quota units per user and minute, 100 for each message
            per_day=2_000,  # Workspace; 500 on trial
            per_day_personal=500,
            api=True,
            why="Asks for the right to send and nothing else; needs no mail port.",
        ),
        RouteFacts(
            SMTP,
            settings={"host": _HOST, "port": PORTS["tls"], "security": "tls"},
            scopes=("openid", "email", "https://mail.google.com/"),
            size=35_882_577,  # SIZE that smtp.gmail.com announces
            recipients=100,
            per_day=2_000,
            per_day_personal=500,
            window=True,
            why="Ordinary SMTP with many messages on one connection; asks for full access to the mailbox.",
        ),
    ),
    hosts=(_HOST, "smtp.googlemail.com"),
    mail_domains=("gmail.com", "googlemail.com"),
    mx_suffixes=(".google.com", ".googlemail.com"),
    wrong_hosts=dict.fromkeys((*_MX, *_NOT_SUBMISSION), _HOST),
    foreign={"smtp-relay.gmail.com": "Google Workspace SMTP relay", "ghs.google.com": "Google Sites (web pages, not mail)"},
)

_FIELDS = (
    Field(
        "route",
        default=API,
        choices=(API, SMTP),
        aliases={"api": API, "smtp": SMTP},
        help="api (the right to send, nothing else) or smtp (XOAUTH2, full access to the mailbox).",
    ),
    Field("client_secrets", "path", private=True, help="JSON file of a desktop client, as Google's console hands it out."),
    Field(
        "service_account", "path", private=True, help="Key file of a service account with domain-wide delegation; acts as the From address."
    ),
    Field("api_endpoint", default="https://gmail.googleapis.com", help="Scheme and host of the Gmail API."),
)
_OAUTH_MECHANISMS = ("xoauth2", "oauthbearer")


class GmailProvider:
    """Send through Gmail and Google Workspace."""

    name = "gmail"
    title = "Gmail and Google Workspace"
    fields: tuple[Field, ...] = (*_FIELDS, *TRANSPORT_FIELDS)
    facts = FACTS

    @property
    def rules(self) -> tuple[Rule, ...]:
        from franking.gmail.rules import RULES

        return RULES

    def settle(self, settings: Mapping[str, Any], sender: Address) -> Mapping[str, Any]:
        """Complete the transport of the SMTP road (465 and tls by default); refuse roads on which the token would lie open."""
        settled = dict(settings)
        if settled["client_secrets"] and settled["service_account"]:
            raise SettingsError(
                "client_secrets and service_account exclude each other: a person signs in with the first, a program without a person "
                "uses the second. Keep one.",
                field="service_account",
            )
        settled["api_endpoint"] = _endpoint(settled["api_endpoint"])
        if settled["route"] != SMTP:
            return settled
        if settled["auth"] not in ("auto", *_OAUTH_MECHANISMS):
            raise SettingsError(
                f"auth: a gmail account signs in with OAuth, never with {settled['auth']}. With an app password use "
                f'provider = "smtp" and host = "{_HOST}".',
                field="auth",
            )
        settled["host"] = settled["host"] or _HOST
        if settled["port"] is None and settled["security"] is None:
            settled["security"] = "tls"  # a round trip less than starttls
        settled = settle_transport(settled)
        if settled["security"] == "none":
            raise SettingsError('security: an access token never travels without TLS; use security = "tls" (port 465).', field="security")
        return settled

    def route(self, account: Account) -> str:
        return str(account.route)

    def open(self, account: Account, secret: Secret, observer: Observer) -> Session:
        if self.route(account) == API:
            from franking.gmail.send import open_session

            return open_session(account, secret, observer)
        from franking.smtp.send import open_session as open_smtp

        return open_smtp(
            account,
            secret,
            observer,
            route=SMTP,
            username=account.username or getattr(secret, "who", None) or account.sender.address,
            mechanisms=_OAUTH_MECHANISMS if account.auth == "auto" else (account.auth,),
        )

    def needs_login(self, account: Account) -> bool:
        return not account.service_account

    def login(self, account: Account, ui: LoginUI, *, options: Mapping[str, Any]) -> Grant:
        from franking.gmail import login

        return login.sign_in(account, ui, self._scopes(account))

    def refresh(self, account: Account, grant: Grant | None, secret: str | None) -> Grant:
        from franking.gmail import login

        return login.refresh(account, grant, self._scopes(account))

    def revoke(self, account: Account, grant: Grant) -> str:
        from franking.gmail import login

        return login.revoke(account, grant)

    def who(self, grant: Grant) -> str | None:
        return grant.who

    def _scopes(self, account: Account) -> tuple[str, ...]:
        return self.facts.route(self.route(account)).scopes


def _endpoint(text: str) -> str:
    try:
        parts = urlsplit(text.strip())
        whole = parts.scheme == "https" and parts.hostname and "@" not in parts.netloc and not (parts.query or parts.fragment)
        _ = parts.port
    except ValueError:
        parts, whole = urlsplit(""), False
    if not whole or parts.path.strip("/"):
        raise SettingsError(f"api_endpoint: {text!r} is not of the form https://host or https://host:port.", field="api_endpoint")
    return f"https://{parts.netloc}"
