"""The provider ``outlook``: what goes together in its settings, and which file does what. No SDK and no facts here.

``login.py`` signs in, ``send.py`` sends by Microsoft Graph, ``upload.py`` carries what is too large for one request,
``rules.py`` recognises failures. The route ``outlook-smtp`` (XOAUTH2) is spoken by ``franking.smtp``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

from franking.account.account import Account
from franking.account.fields import https_address
from franking.auth.secret import Grant, Secret
from franking.diagnosis.rules import Rule
from franking.errors import LoginError, SettingsError, discreet
from franking.message.address import Address
from franking.message.content import Content
from franking.outlook.facts import (
    _SHARED_TENANTS,
    CLOUDS,
    CONSUMER_SMTP,
    FACTS,
    FIELDS,
    LOGIN_HOSTS,
    SMTP,
    authority,
    graph_root,
    personal,
)
from franking.provider import Destination, Errand, LoginUI, Looked, Observer, Session, who_signed_in
from franking.smtp.fields import destination, server_of, settle_transport

__all__ = ["OutlookProvider"]


class OutlookProvider:
    """Send through Outlook.com and Microsoft 365."""

    name = "outlook"
    title = "Outlook.com and Microsoft 365"
    fields = FIELDS
    facts = FACTS

    @property
    def rules(self) -> tuple[Rule, ...]:
        from franking.outlook.rules import RULES

        return RULES

    def settle(self, settings: Mapping[str, Any], sender: Address) -> Mapping[str, Any]:
        """Check what goes together, and choose the smtp route's server by cloud and kind of mailbox."""
        settled = dict(settings)
        settled["tenant"] = _tenant(settings["tenant"])
        settled["authority"] = _issuer(settings)
        settled["graph_endpoint"] = _graph_endpoint(settings)
        if settled["mailbox"]:
            settled["mailbox"] = _mailbox(settled["mailbox"])
        _check_app_only(settled, sender)
        if settled["route"] != SMTP:
            return settled
        if not settled["save_to_sent"]:
            raise SettingsError(
                "save_to_sent: Exchange always keeps a copy of what comes by SMTP; "
                'use route = "graph", or leave save_to_sent out.',
                field="save_to_sent",
            )
        if settled["auth"] not in ("auto", "xoauth2"):
            raise SettingsError(
                f"auth: Microsoft takes access tokens by xoauth2 only, never {settled['auth']}; leave auth out.",
                field="auth",
            )
        if not settled["host"]:
            settled["host"] = _smtp_host(settled, sender)
        settled = settle_transport(settled)
        if settled["security"] == "none":
            raise SettingsError(
                "security: an access token never travels without encryption; use starttls (port 587).", field="security"
            )
        return settled

    def route(self, account: Account) -> str:
        return str(account.route)

    def open(self, account: Account, secret: Secret, observer: Observer) -> Session:
        if account.route == SMTP:
            from franking.smtp.open import open_session

            token = secret.get()
            name = account.username or account.mailbox or who_signed_in(secret) or account.sender.address
            try:
                return open_session(account, secret, observer, route=SMTP, username=name, mechanisms=("xoauth2",))
            except LoginError as refused:
                from franking.outlook.signin_errors import with_token_facts

                raise with_token_facts(refused, token, name) from None
        from franking.outlook.send import open_session as open_graph

        return open_graph(account, secret, observer)

    def destination(self, account: Account) -> Destination | None:
        return destination(account) if account.route == SMTP else None

    def binding(self, account: Account) -> Mapping[str, str | None]:
        """Return the issuer with its directory, Graph, and the server."""
        return {
            "authority": authority(account)[0],
            "graph_endpoint": graph_root(account),
            "host": server_of(account, self.facts.hosts),
        }

    def plan(self, account: Account, content: Content) -> object:
        """Return what tells (``str()``) how a message would go and what that changes in it.

        Raises ``MessageError`` where it could not go.
        """
        if account.route == SMTP:
            return "one SMTP transaction, the message as it is"
        from franking.outlook.plan import plan

        return plan(account, content)

    def keeps_ids(self, account: Account) -> bool:
        """Return whether Graph may be asked: it keeps a copy, and Mail.ReadWrite was asked for."""
        return account.route != SMTP and bool(account.large_attachments) and bool(account.save_to_sent)

    def find(self, account: Account, secret: Secret, message_id: str) -> bool:
        """Return whether a message of that Message-ID is in the mailbox."""
        from franking.outlook.lookup import find

        with discreet:
            return find(account, secret, message_id)

    def needs_login(self, account: Account) -> bool:
        """Return whether a person must sign in; an app-only account has a secret or a certificate instead."""
        return not account.app_only

    def login(self, account: Account, ui: LoginUI) -> Grant:
        """Lead a person through Microsoft's sign-in."""
        from franking.outlook.login import login

        with discreet:
            return login(account, ui)

    def refresh(self, account: Account, grant: Grant | None, secret: str | None) -> Grant:
        """Make a fresh access token for the account's route."""
        from franking.outlook.login import refresh

        return refresh(account, grant, secret)

    def prepared(self, account: Account, secret: str | None) -> AbstractContextManager[Callable[[Grant | None], Grant]]:
        """Do what a refresh needs of the network beforehand, and lend the refresh."""
        from franking.outlook.login import prepared

        return prepared(account, secret)

    def key_details(self, account: Account) -> Mapping[str, Any]:
        """Return when the certificate of an app-only account ends."""
        if not account.certificate:
            return {}
        from franking.outlook.certificate import certificate_end

        return {"credential_expires_at": certificate_end(account)}

    def revoke(self, account: Account, grant: Grant) -> str:
        """Return what signing out does at Microsoft, which lets no program revoke its own grant."""
        from franking.outlook.login import revoke

        return revoke(account, grant)

    @property
    def scripts(self) -> tuple[str, ...]:
        """Return the kinds of scripts with which an administrator registers the app."""
        return ("az", "powershell")

    def errands(self, account: Account) -> tuple[Errand, ...]:
        """Return the pages on which the app is registered."""
        from franking.outlook.register import errands

        return errands(account)

    def look(self, account: Account) -> Iterator[Looked]:
        """Ask for a device code that nobody types, and see what that tells of the registration."""
        from franking.outlook.register import look

        return look(account)

    def script(self, account: Account, kind: str, *, name: str) -> str:
        """Return a script that registers the app."""
        from franking.outlook.register import script

        return script(account, kind, name=name)

    def who(self, grant: Grant) -> str | None:
        return grant.who


def _tenant(value: str) -> str:
    tenant = value.strip().lower()
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", tenant):
        raise SettingsError(
            f"tenant: {value!r} is neither common, organizations or consumers nor a directory's ID or domain.",
            field="tenant",
        )
    return tenant


def _issuer(settings: Mapping[str, Any]) -> str | None:
    """Take an issuer's address: any https one of an OpenID provider, one that names a tenant of Microsoft."""
    given = settings["authority"]
    if not given:
        return None
    parts = https_address(str(given))
    if parts is None or (not parts.path and parts.hostname in LOGIN_HOSTS):
        raise SettingsError(f"authority: {given!r} is not of the form https://host/tenant.", field="authority")
    return parts.geturl()


def _graph_endpoint(settings: Mapping[str, Any]) -> str | None:
    given = settings["graph_endpoint"]
    if not given:
        return None
    parts = https_address(str(given))
    if parts is None or parts.path:
        wanted = "https://host, without a path"
        raise SettingsError(f"graph_endpoint: {given!r} is not of the form {wanted}.", field="graph_endpoint")
    return parts.geturl()


def _mailbox(value: str) -> str:
    try:
        return Address.parse(value).address
    except ValueError as problem:
        raise SettingsError(f"mailbox: {problem}", field="mailbox") from None


def _check_app_only(settings: Mapping[str, Any], sender: Address) -> None:
    if not settings["app_only"]:
        if settings["certificate"]:
            raise SettingsError(
                "certificate: only an account with app_only = true signs in with a certificate.", field="certificate"
            )
        return
    key, tenant, ours = "tenant", settings["tenant"], True
    if settings["authority"]:
        parts = urlsplit(settings["authority"])
        key, tenant, ours = "authority", parts.path.strip("/").partition("/")[0].lower(), parts.hostname in LOGIN_HOSTS
    if ours and tenant in _SHARED_TENANTS:
        raise SettingsError(
            f"{key}: app_only needs your own directory's ID or domain; {tenant!r} stands for many. "
            "Microsoft Entra shows it as Directory (tenant) ID.",
            field=key,
        )
    if not settings["authority"] and personal(sender.domain):
        raise SettingsError(
            f"app_only: {sender.address} is a personal mailbox, and those need a person to sign in; "
            "leave app_only out.",
            field="app_only",
        )


def _smtp_host(settings: Mapping[str, Any], sender: Address) -> str:
    named = settings["mailbox"] or settings["username"] or ""
    domain = named.rpartition("@")[2] if "@" in named else sender.domain
    cloud = settings["cloud"]
    if cloud == "global" and (personal(domain) or settings["tenant"] == "consumers"):
        return CONSUMER_SMTP
    host = CLOUDS[cloud].smtp
    if not host:
        raise SettingsError(
            f"host: Microsoft does not publish the SMTP server of the cloud {cloud!r}; "
            'ask your administrator, or use route = "graph".',
            field="host",
        )
    return host
