"""``SettingsPage``: who may see the page, in which language, and which of its parts a request is for. What a post does
is in ``actions.py``, what a browser sees in ``view.py``.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.account.account import Account
from franking.auth.store import SecretStore, open_store
from franking.errors import FrankingError, discreet
from franking.web import guard, view
from franking.web.accounts import AccountFile, AccountSource
from franking.web.actions import Actions
from franking.web.request import Refusal, Request, Response
from franking.web.visitor import Visitor, Visitors
from franking.web.words import best_language, words

if TYPE_CHECKING:
    from franking.web.testrun import TestRun

__all__ = ["SettingsPage"]

_STATIC = {"style.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
_COOKIE = "franking-settings"


class SettingsPage:
    """The settings page of an application: ``page.wsgi``, ``page.asgi``, or ``include(page.django_urls)``.

    ``accounts`` is an ``AccountSource`` or a function of the framework's request that returns one, ``store`` likewise a
    ``SecretStore`` (by default Franking's own). ``authorize(request)`` says who may see the page (an exception is a
    refusal; without it nobody may, under Django staff); ``language(request)`` which language they read. ``only`` names
    the accounts that are shown, and no new ones are made; ``hosts`` where a test may connect (``.example.com``: any
    name below it). ``after_save(account)`` is called when account and secret are saved. Templates in ``templates``
    replace ours.
    """

    remembers_passwords = False
    sign_of_life: float | None = None  # seconds after which the script of an open page asks again, where that matters
    ways: tuple[str, ...] = ("device", "pasted")

    def __init__(
        self,
        *,
        accounts: AccountSource | Callable[[Any], AccountSource] | None = None,
        store: SecretStore | Callable[[Any], SecretStore] | None = None,
        authorize: Callable[[Any], bool | Awaitable[bool]] | None = None,
        language: Callable[[Any], Awaitable[str | None] | str | None] | None = None,
        title: str | None = None,
        only: Iterable[str] | None = None,
        hosts: Collection[str] | None = None,
        after_save: Callable[[Account], object] | None = None,
        templates: str | Path | None = None,
    ) -> None:
        self.accounts = AccountFile() if accounts is None else accounts
        self.store = store
        self.authorize, self.language = authorize, language
        self.title = title
        self.only = None if only is None else tuple(only)
        self.hosts = None if hosts is None else tuple(hosts)
        self.after_save = after_save
        self.visitors = Visitors()
        self.lock = threading.Lock()
        self.running: dict[str, TestRun] = {}
        self.sent: deque[float] = deque()
        self._templates = templates

    @property
    def look(self) -> view.Look:
        """Return the templates of this page."""
        return view.look(self._templates)

    # -- for the adapters --------------------------------------------------------------------------------------------

    @property
    def wsgi(self) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
        """Return the page as a WSGI application, to be mounted anywhere."""
        from franking.web.wsgi import wsgi

        return wsgi(self)

    @property
    def asgi(self) -> Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]:
        """Return the page as an ASGI application, to be mounted anywhere."""
        from franking.web.asgi import asgi

        return asgi(self)

    @property
    def django_urls(self) -> list[Any]:
        """Return the page's URL patterns for Django's ``include``."""
        from franking.web.django import urls

        return urls(self)

    def permits(self, native: object) -> Any:
        """Ask the application whether this request may see the page; False where it raises."""
        if self.authorize is None:
            return False
        try:
            return self.authorize(native)
        except Exception as problem:  # noqa: BLE001  (whatever it is, it is a refusal)
            self.refused(problem)
            return False

    def refused(self, problem: Exception) -> None:
        """Log that the application's own function failed: its exception is a refusal."""
        logging.getLogger("franking.web").error("authorize failed, so the request is refused", exc_info=problem)

    def speaks(self, native: object) -> Any:
        """Ask the application which language this request reads."""
        try:
            return self.language(native) if self.language is not None else None
        except Exception:  # the browser's language is better than no page
            logging.getLogger("franking.web").exception("language failed")
            return None

    def handle(self, request: Request) -> Response:
        """Answer a request. Never raises for what a browser did."""
        try:
            with discreet:  # a form may hold a password
                response = self._answer(request)
        except Refusal as refusal:
            response = self._refuse(request, refusal)
        except FrankingError as problem:
            response = self._broken(request, str(problem))
        response.headers = {**guard.HEADERS, **response.headers}
        return response

    # -- who asks ----------------------------------------------------------------------------------------------------

    def admit(self, request: Request) -> Visitor | Response:
        """Return who asks, or the answer to one who may not yet. Raises ``Refusal``."""
        if not request.allowed:
            raise Refusal(403, "not-allowed")
        return self.visitors.named(request.cookies.get(self.cookie(request)) or self.visitors.new().id)

    def cookie(self, request: Request) -> str:
        """Return the name of the cookie; under TLS one that no other host can have set."""
        return f"__Host-{_COOKIE}" if request.secure else _COOKIE

    def set_cookie(self, request: Request, visitor: Visitor) -> str:
        """Return the cookie that names a visitor."""
        secure = "; Secure" * request.secure
        return f"{self.cookie(request)}={visitor.id}; HttpOnly; SameSite=Strict; Path=/{secure}"

    # -- what is asked -----------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        admitted = self.admit(request)
        if isinstance(admitted, Response):
            return admitted
        if request.method in ("GET", "HEAD") and request.path in _STATIC:
            return Response(body=view.static(request.path), type=_STATIC[request.path])
        visit = self._visit(request, admitted)
        match request.method, request.path:
            case "GET" | "HEAD", "":
                response = visit.show()
            case "POST", "":
                guard.check_origin(request)
                form = request.form()
                if request.csrf is None:
                    guard.check_token(form.fields.get("csrf", ""), admitted.token)
                response = visit.post(form)
            case "GET" | "HEAD", "status.json":
                response = visit.status()
            case "GET", "recommendation":
                response = visit.recommendation()
            case "GET", "signin":
                response = visit.signin_state()
            case _, "" | "status.json" | "recommendation" | "signin":
                raise Refusal(405, "no-such-method")
            case _:
                raise Refusal(404, "no-such-page")
        if request.cookies.get(self.cookie(request)) != admitted.id:
            response.cookies.append(self.set_cookie(request, admitted))
        return response

    def _visit(self, request: Request, visitor: Visitor) -> Actions:
        if (chosen := request.query.get("language")) is not None:
            visitor.language = chosen
        accounts: Any = self.accounts
        if not hasattr(accounts, "list"):
            accounts = accounts(request.native)
        store: Any = self.store
        if store is None:
            store = open_store()
        elif not hasattr(store, "load"):
            store = store(request.native)
        return Actions(self, request, visitor, accounts, store, words(self.language_for(request, visitor)))

    def language_for(self, request: Request, visitor: Visitor | None = None) -> str:
        """Return the language to speak: what was clicked, what the application says, what the browser prefers."""
        clicked = visitor.language if visitor is not None else None
        return best_language((clicked, request.language), request.headers.get("accept-language", ""))

    def _refuse(self, request: Request, refusal: Refusal) -> Response:
        say = words(self.language_for(request))
        headers = {}
        if refusal.retry_after is not None:
            headers["Retry-After"] = str(refusal.retry_after)
        return self._note(refusal.status, say(f"refused.{refusal.why}"), say, headers)

    def _broken(self, request: Request, text: str) -> Response:
        say = words(self.language_for(request))
        return self._note(500, say.told(text), say, {})

    def _note(self, status: int, text: str, say: Any, headers: dict[str, str]) -> Response:
        context = {"say": say, "title": self.title or say("page.title"), "text": text, "status": status}
        return Response(status, self.look.render("note.html", context), headers=headers)

    def first_account(self, names: list[str]) -> str:
        """Return the account that is shown first; empty for a new one."""
        return next(iter(names), "")
