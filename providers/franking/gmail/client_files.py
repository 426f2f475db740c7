"""The two JSON files of Google's console: a desktop client (``client_secrets``) and a service account's key. Nothing is
sent from here.

People download the wrong one, or copy what the page showed; each of these is recognised, because Google's own answer to
it would be a page in the browser that never comes back to us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from franking.errors import Evidence, SettingsError
from franking.text import json_object

__all__ = ["Client", "read_client", "read_service_account"]

_LIMIT = 100_000  # octets; real files have about 500 (client) and 2,400 (key)
_CONSOLE = "https://console.cloud.google.com/auth/clients"
_CREATE = f"Create a client of the type Desktop app at {_CONSOLE} and download its JSON file."


@dataclass(frozen=True, slots=True)
class Client:
    """Hold what a desktop client's file says; the secret is none in RFC 8252's eyes, and is treated as one."""

    client_id: str
    client_secret: str = field(repr=False)
    auth_uri: str
    token_uri: str

    @property
    def config(self) -> dict[str, dict[str, str]]:
        """Return it in the form that google-auth-oauthlib takes."""
        return {
            "installed": {
                "client_id": self.client_id,
                "client_secret": self.client_secret,
                "auth_uri": self.auth_uri,
                "token_uri": self.token_uri,
            }
        }


def read_client(path: str | None) -> Client:
    """Read the file that ``client_secrets`` names. Raises ``SettingsError`` (reasons ``client-secrets-…``) that says
    what it is instead.
    """
    if not path:
        raise _wrong(
            "client_secrets",
            "unset",
            None,
            f"a gmail account needs the JSON file of an OAuth client to sign in with. {_CREATE}",
        )
    text = _read("client_secrets", path)
    data = _json("client_secrets", path, text)
    _refuse_other_files(path, data)
    part = data["installed"]
    missing = [
        key
        for key in ("client_id", "auth_uri", "token_uri")
        if not (isinstance(part, dict) and isinstance(part.get(key), str))
    ]
    if missing:
        raise _wrong(
            "client_secrets",
            "incomplete",
            path,
            f"lacks {', '.join(missing)}. Download it once more; a copy may have been cut.",
        )
    for key in ("auth_uri", "token_uri"):
        if urlsplit(part[key]).scheme != "https":
            raise _wrong(
                "client_secrets",
                "insecure",
                path,
                f"names a {key} without https; codes and tokens would travel in the open.",
            )
    secret = part.get("client_secret")
    return Client(part["client_id"], secret if isinstance(secret, str) else "", part["auth_uri"], part["token_uri"])


def read_service_account(path: str) -> Mapping[str, Any]:
    """Read the key file that ``service_account`` names. Raises ``SettingsError`` (reasons ``service-account-…``)."""
    data = _json("service_account", path, _read("service_account", path))
    if "installed" in data or "web" in data:
        raise _wrong(
            "service_account",
            "is-client",
            path,
            "is an OAuth client's file; it belongs in client_secrets, and a person signs in with it.",
        )
    if data.get("type") != "service_account":
        raise _wrong(
            "service_account",
            "not-a-key",
            path,
            "is not the JSON key of a service account (IAM → Service accounts → Keys).",
        )
    missing = [key for key in ("client_email", "private_key", "token_uri") if not isinstance(data.get(key), str)]
    if missing:
        raise _wrong(
            "service_account",
            "incomplete",
            path,
            f"lacks {', '.join(missing)}. Make a new key; a copy may have been cut.",
        )
    if urlsplit(data["token_uri"]).scheme != "https":
        raise _wrong(
            "service_account", "insecure", path, "names a token_uri without https; tokens would travel in the open."
        )
    return data


def _read(key: str, path: str) -> str:
    file = Path(path).expanduser()
    try:
        with file.open("rb") as opened:
            return opened.read(_LIMIT).decode("utf-8-sig", errors="replace")
    except FileNotFoundError:
        raise _wrong(key, "missing", path, "does not exist.") from None
    except OSError as problem:
        raise _wrong(key, "unreadable", path, f"cannot be read: {problem.strerror or problem}.") from None


def _json(key: str, path: str, text: str) -> dict[str, Any]:
    data = json_object(text)
    if data is not None:
        return data
    start = text.lstrip()[:600]
    if start.lower().startswith(("<!doctype html", "<html", "<head")):
        raise _wrong(
            key,
            "html",
            path,
            "is a web page, not the downloaded file. Use the download button of the client, not “Save page as”.",
        )
    if start.startswith("AIza"):
        raise _wrong(key, "api-key", path, f"holds an API key; those cannot send mail. {_CREATE}")
    if ".apps.googleusercontent.com" in start:
        raise _wrong(key, "id-only", path, f"holds a client id alone; the whole JSON file is needed. {_CREATE}")
    raise _wrong(key, "not-json", path, f"is not JSON. {_CREATE}" if key == "client_secrets" else "is not JSON.")


def _refuse_other_files(path: str, data: Mapping[str, Any]) -> None:
    if isinstance(data.get("installed"), dict):
        return
    if "web" in data:
        raise _wrong(
            "client_secrets",
            "web",
            path,
            f"belongs to a client of the type Web application, which cannot sign in here. {_CREATE}",
        )
    if data.get("type") == "service_account":
        raise _wrong(
            "client_secrets",
            "service-account",
            path,
            "is the key of a service account; it belongs in service_account (Google Workspace only).",
        )
    if data.get("type") == "authorized_user":
        raise _wrong("client_secrets", "authorized-user", path, f"is gcloud's own sign-in, not a client. {_CREATE}")
    if "project_info" in data:
        raise _wrong("client_secrets", "android", path, f"is an Android app's google-services.json. {_CREATE}")
    if any(isinstance(value, str) and value.startswith("AIza") for value in data.values()):
        raise _wrong("client_secrets", "api-key", path, f"holds an API key; those cannot send mail. {_CREATE}")
    raise _wrong("client_secrets", "other", path, f"is JSON, but not an OAuth client's file. {_CREATE}")


def _wrong(key: str, reason: str, path: str | None, what: str) -> SettingsError:
    sentence = f"{key}: {path!r} {what}" if path else f"{key}: {what}"
    evidence = Evidence(
        "settings", text=what, reason=f"{key.replace('_', '-')}-{reason}", details={"path": path} if path else {}
    )
    return SettingsError(sentence, field=key, evidence=evidence)
