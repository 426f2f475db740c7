"""The settings of SMTP: server, port, security, login. Shared by the SMTP routes of every provider; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from franking.account.fields import Field
from franking.errors import SettingsError

if TYPE_CHECKING:
    from franking.abilities import Destination
    from franking.account.account import Account

__all__ = ["PORTS", "TRANSPORT_FIELDS", "destination", "server_of", "settle_transport"]


PORTS = {"none": 25, "starttls": 587, "tls": 465}
"""The usual port of each kind of security (RFC 8314, RFC 6409)."""

WORDS_OF_FORMS = {
    **dict.fromkeys(("ssl", "ssl/tls", "tls/ssl", "smtps", "implicit", "implicit tls"), "tls"),
    **dict.fromkeys(("start tls", "start-tls", "tls/starttls", "explicit", "explicit tls"), "starttls"),
    **dict.fromkeys(("no", "off", "plain", "unencrypted", "no encryption"), "none"),
}
"""What forms and help pages call a security, besides "TLS": the word for both kinds is read as this program's own."""

EXTENSIONS = ("chunking", "pipelining", "size", "8bitmime", "smtputf8")

TRANSPORT_FIELDS = (
    Field("host", help="Server, a name or an IP address."),
    Field(
        "port", "int", help="Port; by default 587 with starttls, 465 with tls, 25 with none.", minimum=1, maximum=65535
    ),
    Field(
        "security",
        choices=("none", "starttls", "tls"),
        aliases=WORDS_OF_FORMS,
        loosens=("none",),
        help="tls (from the first byte, often called SSL), starttls (often called TLS), or none.",
    ),
    Field("username", help="Login name, usually the whole address; absent = no login."),
    Field(
        "auth",
        default="auto",
        choices=("auto", "plain", "login", "cram-md5", "xoauth2", "oauthbearer"),
        help="SASL mechanism; auto takes the best that the server offers.",
    ),
    Field("without", "list", (), help=f"Extensions not to use with a broken server: {', '.join(EXTENSIONS)}."),
    Field("ehlo_name", help="Name to greet the server with; by default the socket's address literal."),
)

SMTP_FIELDS = (
    *TRANSPORT_FIELDS,
    Field(
        "password",
        secret=True,
        help="a password does not belong in a settings file; store it with: franking login NAME",
    ),
    Field("password_command", credential="command", help="Command whose first line of output is the password."),
    Field("password_file", "path", private=True, credential="file", help="File whose first line is the password."),
    Field(
        "token_command",
        credential="token",
        help="Command whose first line of output is an access token (with auth = xoauth2 or oauthbearer).",
    ),
    Field(
        "allow_plain_login", "bool", False, loosens=(True,), help="Allow a password without TLS to a public address."
    ),
)


def settle_transport(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Let port and security complete each other: 465 means tls, any other port starttls; the port follows from the
    security.
    """
    settled = dict(settings)
    if settled["security"] is None:
        settled["security"] = "tls" if settled["port"] == PORTS["tls"] else "starttls"
    if settled["port"] is None:
        settled["port"] = PORTS[settled["security"]]
    for word in settled["without"]:
        if word not in EXTENSIONS:
            raise SettingsError(f"without: {word!r} is not one of {', '.join(EXTENSIONS)}.", field="without")
    return settled


def destination(account: Account) -> Destination:
    """Return the server that an account's messages go to."""
    from franking.abilities import Destination  # not for sending: for a report, an error, a question

    return Destination(f"{account.host}:{account.port}", account.host, account.security)


def server_of(account: Account, own: tuple[str, ...]) -> str:
    """Return the server that an account of a provider with servers of its ``own`` names; these count as one, and as
    what an account means that names none.
    """
    named = str(account.host or own[0])
    return own[0] if named.lower().rstrip(".") in own else named
