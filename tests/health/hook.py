"""A webhook for the tests of alerts: over HTTPS, at an address that is a secret; it keeps what it was told."""

from __future__ import annotations

import json
from typing import Any

from servers.web import Authority, Reply, Request, WebServer

SECRET_PATH = "/services/T000/B000/Canary8SecretOfTheHook"


class Hook:
    """A webhook that keeps what it was told, and answers as it is asked to."""

    def __init__(self, authority: Authority) -> None:
        self.told: list[Any] = []
        self.replies: list[Reply] = []
        self.authority = authority
        self.web = WebServer(self._answer, authority)

    def _answer(self, request: Request) -> Reply:
        body = json.loads(request.read())
        assert (request.method, request.headers["Content-Type"]) == ("POST", "application/json")
        if self.replies:
            return self.replies.pop(0)
        self.told.append(body)
        return Reply(204)

    @property
    def url(self) -> str:
        return self.web.url + SECRET_PATH

    def changes(self) -> list[tuple[str, str, str, str]]:
        return [
            (one["account"], one["code"], one["was"], one["level"]) for told in self.told for one in told["changes"]
        ]

    def settings(self, more: str = "") -> str:
        return f"[alerts]\nwebhook = '{self.url}'\nca_file = '{self.authority.ca_file}'\n{more}"
