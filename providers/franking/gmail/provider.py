"""The provider ``gmail``: what goes together in its settings, and which file does what. No SDK and no facts here.

``facts.py`` has the facts and fields, ``login.py`` signs in, ``send.py`` sends by the Gmail API, ``rules.py``
recognises failures. The route ``gmail-smtp`` is spoken by ``franking.smtp``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from franking.account.account import Account
from franking.account.fields import Field, https_address
from franking.auth.secret import Grant, Secret
from franking.diagnosis.rules import Rule
from franking.errors import SettingsError, discreet
from franking.gmail.facts import _FIELDS, _HOST, API, FACTS, SMTP
from franking.message.address import Address
from franking.provider import Destination, Errand, LoginUI, Looked, Observer, Session, who_signed_in
from franking.smtp.fields import TRANSPORT_FIELDS, destination, server_of, settle_transport

__all__ = ["GmailProvider"]

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
        """Complete the transport of the SMTP route, 465 and tls by default, and refuse what leaves the token open."""
        settled = dict(settings)
        if settled["client_secrets"] and settled["service_account"]:
            raise SettingsError(
                "client_secrets and service_account exclude each other: a person signs in with the first, "
                "a program without a person uses the second. Keep one.",
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
            raise SettingsError(
                'security: an access token never travels without TLS; use security = "tls" (port 465).',
                field="security",
            )
        return settled

    def route(self, account: Account) -> str:
        return str(account.route)

    def open(self, account: Account, secret: Secret, observer: Observer) -> Session:
        if self.route(account) == API:
            from franking.gmail.send import open_session

            return open_session(account, secret, observer)
        from franking.smtp.open import open_session as open_smtp

        return open_smtp(
            account,
            secret,
            observer,
            route=SMTP,
            username=account.username or who_signed_in(secret) or account.sender.address,
            mechanisms=_OAUTH_MECHANISMS if account.auth == "auto" else (account.auth,),
        )

    def destination(self, account: Account) -> Destination | None:
        return destination(account) if self.route(account) == SMTP else None

    def binding(self, account: Account) -> Mapping[str, str | None]:
        """Return who renews a sign-in (as far as the client's file can be read), the API and the server."""
        from franking.gmail.client_files import read_client

        authority = None
        with suppress(SettingsError), discreet:  # a carried-over sign-in works without the file
            authority = read_client(account.client_secrets).token_uri
        server = server_of(account, self.facts.hosts)
        return {"authority": authority, "api_endpoint": account.api_endpoint, "host": server}

    def needs_login(self, account: Account) -> bool:
        return not account.service_account

    def login(self, account: Account, ui: LoginUI) -> Grant:
        from franking.gmail import login

        with discreet:
            return login.sign_in(account, ui, self._scopes(account))

    def refresh(self, account: Account, grant: Grant | None, secret: str | None) -> Grant:
        from franking.gmail import login

        return login.refresh(account, grant, self._scopes(account))

    def revoke(self, account: Account, grant: Grant) -> str:
        from franking.gmail import login

        with discreet:
            return login.revoke(account, grant)

    scripts: tuple[str, ...] = ()  # no API makes a client of a desktop application

    def errands(self, account: Account) -> tuple[Errand, ...]:
        """Return the pages on which the client is made."""
        from franking.gmail.register import errands

        return errands(account)

    def look(self, account: Account) -> Iterator[Looked]:
        """Look at the client's file, and ask Google whether it knows the client."""
        from franking.gmail.register import look

        with discreet:
            yield from look(account)

    def script(self, account: Account, kind: str, *, name: str) -> str:
        """Raise ``SettingsError``: there is no script."""
        raise SettingsError("Google lets no script make a client; franking register gmail leads through its pages.")

    def who(self, grant: Grant) -> str | None:
        return grant.who

    def _scopes(self, account: Account) -> tuple[str, ...]:
        return self.facts.route(self.route(account)).scopes


def _endpoint(text: str) -> str:
    parts = https_address(text)
    if parts is None or parts.path:
        raise SettingsError(
            f"api_endpoint: {text!r} is not of the form https://host or https://host:port.", field="api_endpoint"
        )
    return parts.geturl()
