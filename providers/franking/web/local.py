"""The page as ``franking settings`` serves it on loopback: opened with a token, closed to every other name and to every
browser that did not exchange one. The server is the command's.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from franking.web import guard
from franking.web.page import SettingsPage
from franking.web.request import Refusal, Request, Response
from franking.web.visitor import Visitor

__all__ = ["LocalPage", "write_door"]

TOKEN_SECONDS = 300.0
"""How long the token in the address may be exchanged, once."""


class LocalPage(SettingsPage):
    """The settings page of this user on this computer, served at ``port``.

    ``account`` is the one that is shown first, saved or not; ``idle`` the seconds without use after which the server
    ends, which an open page must be asked for before. ``language`` is the one that was asked for. ``used`` is
    when it was last asked for anything, on ``clock``.
    """

    remembers_passwords = True
    ways = ("browser", "device", "pasted")

    def __init__(
        self,
        port: int,
        *,
        account: str | None = None,
        idle: float = 0.0,
        language: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        super().__init__(authorize=lambda request: True, language=lambda request: language, **options)
        self.port, self.account = port, account
        if idle:
            self.sign_of_life = min(30.0, idle / 4)
        self._clock = clock
        self._token: str | None = secrets.token_urlsafe(24)
        self._until = clock() + TOKEN_SECONDS
        self.used = clock()

    @property
    def url(self) -> str:
        """Return the address that opens the page, once."""
        return f"http://127.0.0.1:{self.port}/?token={self._token}"

    def admit(self, request: Request) -> Visitor | Response:
        guard.check_host(request, self.port)
        known = self.visitors.find(request.cookies.get(self.cookie(request), ""))
        given = request.query.get("token")
        if given is not None and request.method == "GET" and not request.path:
            return self._exchanged(request, known, given)
        if known is None:
            raise Refusal(403, "no-session")
        self.used = self._clock()
        return known

    def _exchanged(self, request: Request, known: Visitor | None, given: str) -> Response:
        """Exchange the token for a cookie. A redirect would lose a Strict cookie when the link was opened from another
        program's page, so the answer is an empty page that goes on by itself.
        """
        # there is no form on it, and the page that follows is not to be told where somebody came from
        answer = Response(headers={"Refresh": "0; url=./", "Referrer-Policy": "no-referrer"})
        if known is None:
            right = self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())
            if not right or self._clock() > self._until:
                raise Refusal(403, "no-session")
            self._token = None
            answer.cookies.append(self.set_cookie(request, self.visitors.new()))
        self.used = self._clock()
        return answer

    def cookie(self, request: Request) -> str:
        return f"franking-{self.port}"

    def first_account(self, names: list[str]) -> str:
        return super().first_account(names) if self.account is None else self.account


def write_door(url: str, directory: Path) -> Path:
    """Write a file for this user alone that leads a browser to the page: an address in its arguments would be seen by
    every user of this computer. Raises ``OSError``.
    """
    from franking.atomic import make_private, write_whole

    make_private(directory)
    path = directory / "open-settings.html"
    head = '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>Franking</title>'
    write_whole(path, f'{head}<meta http-equiv="refresh" content="0; url={url}">'.encode())
    return path
