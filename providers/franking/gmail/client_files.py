"""The two JSON files of Google's console: a desktop client (``client_secrets``) and a service account's key.

Nothing is sent from here. People download the wrong one, or copy what the page showed; each of these is recognised,
because Google's own response to it would be a page in the browser that never comes back to us.
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
    """Read the file that ``client_secrets`` names.

    Raises ``SettingsError`` (reasons ``client-secrets-…``) that says what it is instead.
    """
    if not path:
        needed = f"a gmail account needs the JSON file of an OAuth client to sign in with. {_CREATE}"
        raise _error("client_secrets", "unset", needed, needed, {})
    data = _json("client_secrets", path)
    part = data.get("installed")
    if not isinstance(part, dict):
        reason, what = _other_file(data)
        raise _wrong("client_secrets", reason, path, what)
    missing = [key for key in ("client_id", "auth_uri", "token_uri") if not isinstance(part.get(key), str)]
    if missing:
        what = f"lacks {', '.join(missing)}. Download it once more; a copy may have been cut."
        raise _wrong("client_secrets", "incomplete", path, what)
    for key in ("auth_uri", "token_uri"):
        if urlsplit(part[key]).scheme != "https":
            what = f"names a {key} without https; codes and tokens would travel in the open."
            raise _wrong("client_secrets", "insecure", path, what)
    secret = part.get("client_secret")
    if not isinstance(secret, str):
        secret = ""
    return Client(part["client_id"], secret, part["auth_uri"], part["token_uri"])


def read_service_account(path: str) -> Mapping[str, Any]:
    """Read the key file that ``service_account`` names. Raises ``SettingsError`` (reasons ``service-account-…``)."""
    data = _json("service_account", path)
    missing = [key for key in ("client_email", "private_key", "token_uri") if not isinstance(data.get(key), str)]
    if "installed" in data or "web" in data:
        reason, what = (
            "is-client",
            "is an OAuth client's file; it belongs in client_secrets, and a person signs in with it.",
        )
    elif data.get("type") != "service_account":
        reason, what = "not-a-key", "is not the JSON key of a service account (IAM → Service accounts → Keys)."
    elif missing:
        reason, what = "incomplete", f"lacks {', '.join(missing)}. Make a new key; a copy may have been cut."
    elif urlsplit(data["token_uri"]).scheme != "https":
        reason, what = "insecure", "names a token_uri without https; tokens would travel in the open."
    else:
        return data
    raise _wrong("service_account", reason, path, what)


def _read(key: str, path: str) -> str:
    file = Path(path).expanduser()
    try:
        with file.open("rb") as opened:
            return opened.read(_LIMIT).decode("utf-8-sig", errors="replace")
    except FileNotFoundError:
        raise _wrong(key, "missing", path, "does not exist.") from None
    except OSError as problem:
        raise _wrong(key, "unreadable", path, f"cannot be read: {problem.strerror or problem}.") from None


def _json(key: str, path: str) -> dict[str, Any]:
    text = _read(key, path)
    data = json_object(text)
    if data is not None:
        return data
    start = text.lstrip()[:600]
    reason, what = "not-json", "is not JSON."
    if start.lower().startswith(("<!doctype html", "<html", "<head")):
        reason = "html"
        what = "is a web page, not the downloaded file. Use the download button of the client, not “Save page as”."
    elif start.startswith("AIza"):
        reason, what = "api-key", f"holds an API key; those cannot send mail. {_CREATE}"
    elif ".apps.googleusercontent.com" in start:
        reason, what = "id-only", f"holds a client id alone; the whole JSON file is needed. {_CREATE}"
    elif key == "client_secrets":
        what = f"is not JSON. {_CREATE}"
    raise _wrong(key, reason, path, what)


_OTHER_TYPES = {
    "service_account": (
        "service-account",
        "is the key of a service account; it belongs in service_account (Google Workspace only).",
    ),
    "authorized_user": ("authorized-user", f"is gcloud's own sign-in, not a client. {_CREATE}"),
}


def _other_file(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a file is that is no desktop client: the reason's word, and the rest of the sentence."""
    if "web" in data:
        return "web", f"belongs to a client of the type Web application, which cannot sign in here. {_CREATE}"
    if known := _OTHER_TYPES.get(str(data.get("type"))):
        return known
    if "project_info" in data:
        return "android", f"is an Android app's google-services.json. {_CREATE}"
    if any(isinstance(value, str) and value.startswith("AIza") for value in data.values()):
        return "api-key", f"holds an API key; those cannot send mail. {_CREATE}"
    return "other", f"is JSON, but not an OAuth client's file. {_CREATE}"


def _wrong(key: str, reason: str, path: str, what: str) -> SettingsError:
    return _error(key, reason, f"{path!r} {what}", what, {"path": path})


def _error(key: str, reason: str, words: str, what: str, details: Mapping[str, str]) -> SettingsError:
    evidence = Evidence("settings", text=what, reason=f"{key.replace('_', '-')}-{reason}", details=details)
    return SettingsError(f"{key}: {words}", field=key, evidence=evidence)
