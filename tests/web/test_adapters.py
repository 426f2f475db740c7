"""The page in an application: WSGI, ASGI (Starlette), Django; who may see it, and what the application says."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from franking import Account
from franking.auth.secret import Password
from franking.web import AccountFile, SettingsPage
from franking_cli.settings_server import SettingsServer
from servers.smtp import SmtpServer
from web.browser import Browser, Page
from web.conftest import end, settings


class Memory:
    """Accounts and secrets of an application, in memory."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.secrets: dict[str, str] = {}

    def list(self) -> list[str]:
        return list(self.accounts)

    def get(self, name: str) -> Account:
        return self.accounts[name]

    def put(self, account: Account) -> None:
        self.accounts[account.name] = account

    def remove(self, name: str) -> None:
        del self.accounts[name]

    def load(self, key: str) -> str | None:
        return self.secrets.get(key)

    def save(self, key: str, value: str) -> None:
        self.secrets[key] = value

    def delete(self, key: str) -> None:
        self.secrets.pop(key, None)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        yield


def memory_page(**options: Any) -> tuple[SettingsPage, Memory]:
    kept = Memory()
    return SettingsPage(**{"accounts": kept, "store": kept, "authorize": lambda request: True, **options}), kept  # type: ignore[arg-type]


@pytest.fixture
def mounted() -> Iterator[Callable[[Any], Browser]]:
    """Serve a WSGI application and open a browser on it."""
    stops = []

    def start(application: Any) -> Browser:
        server = SettingsServer(0)
        thread = threading.Thread(target=server.serve, args=(application,))
        thread.start()
        stops.append((server, thread))
        return Browser(server.server_port)

    yield start
    for server, thread in stops:
        end(server)
        thread.join()
        server.server_close()


def test_a_hosted_page_tests_and_saves(mounted: Callable[[Any], Browser], mailbox: SmtpServer) -> None:
    saved: list[str] = []
    page, kept = memory_page(after_save=lambda account: saved.append(kept.secrets[account.name]))
    browser = mounted(page.wsgi)
    assert browser.open("/").status == 200
    shown = browser.press("test", **settings(mailbox, username="info"))
    assert shown.result["data-code"] == "login.refused"
    assert shown.has("password") and "data-kept" not in shown.text
    shown = browser.press("test", username="info@novak.cz")  # nothing is kept, so it asks again
    assert shown.status == 422 and shown.id("password")["aria-invalid"] == "true"
    shown = browser.press("test", password="correct-horse")
    assert shown.result["data-outcome"] == "sent"
    assert browser.press("save", name="shop", password="correct-horse").status == 200
    assert kept.accounts["shop"].username == "info@novak.cz"
    assert Password.loads(kept.secrets["shop"]).value == "correct-horse"
    assert saved == [kept.secrets["shop"]]  # after the store
    assert browser.press("test", to="me@example.cz").result["data-outcome"] == "sent"


@pytest.mark.parametrize(
    "authorize", [None, lambda request: False, lambda request: 1 / 0], ids=["none", "no", "raises"]
)
def test_without_permission_nobody_sees_anything(authorize: Any, mounted: Callable[[Any], Browser]) -> None:
    page, _ = memory_page(authorize=authorize)
    browser = mounted(page.wsgi)
    for path in ("/", "/style.css", "/status.json"):
        assert browser.ask("GET", path).status == 403


def test_an_exception_of_authorize_is_logged(
    mounted: Callable[[Any], Browser], caplog: pytest.LogCaptureFixture
) -> None:
    page, _ = memory_page(authorize=lambda request: 1 / 0)
    mounted(page.wsgi).ask("GET", "/")
    assert "ZeroDivisionError" in caplog.text


def test_an_asynchronous_authorize_is_awaited(mounted: Callable[[Any], Browser]) -> None:
    async def yes(environ: dict[str, Any]) -> bool:
        await asyncio.sleep(0)
        return environ["PATH_INFO"] == "/"

    page, _ = memory_page(authorize=yes)
    browser = mounted(page.wsgi)
    assert (browser.ask("GET", "/").status, browser.ask("GET", "/status.json").status) == (200, 403)


def test_its_language_and_title(mounted: Callable[[Any], Browser]) -> None:
    page, _ = memory_page(language=lambda request: "cs", title="Pošta")
    browser = mounted(page.wsgi)
    shown = browser.open("/")
    assert shown.root.one(tag="html")["lang"] == "cs" and shown.root.one(tag="h1").text == "Pošta"
    shown = browser.open("/?language=en")
    assert shown.root.one(tag="html")["lang"] == "en"


def test_only_these_accounts(mounted: Callable[[Any], Browser], mailbox: SmtpServer) -> None:
    page, kept = memory_page(only=["shop"])
    kept.put(Account(name="other", provider="smtp", sender="a@b.cz", host="x.cz"))
    browser = mounted(page.wsgi)
    shown = browser.open("/")
    assert "other" not in shown.id("account").text and "New account" not in shown.text
    for path in ("/?account=other", "/?account=", "/?account=new"):
        assert browser.ask("GET", path).status == 403
    assert browser.press("save", **settings(mailbox, name="elsewhere")).status == 200
    assert set(kept.accounts) == {"other", "shop"}


def test_only_these_hosts(mounted: Callable[[Any], Browser], mailbox: SmtpServer) -> None:
    page, _ = memory_page(hosts=["smtp.novak.cz", ".example.cz"])
    browser = mounted(page.wsgi)
    browser.open("/")
    shown = browser.press("test", **settings(mailbox))
    assert (shown.result["data-colour"], shown.result["data-code"]) == ("red", "settings.host-not-allowed")
    assert mailbox.sessions == []
    page, _ = memory_page(hosts=["127.0.0.1"])
    browser = mounted(page.wsgi)
    browser.open("/")
    assert browser.press("test", **settings(mailbox)).result["data-outcome"] == "sent"


def test_templates_are_replaced_one_by_one(mounted: Callable[[Any], Browser], tmp_path: Any) -> None:
    (tmp_path / "note.html").write_text("Ours: {{ text }}")
    page, _ = memory_page(templates=tmp_path, authorize=lambda request: False)
    assert mounted(page.wsgi).ask("GET", "/").text == "Ours: You may not see this page."


def test_accounts_and_store_of_a_request(mounted: Callable[[Any], Browser], mailbox: SmtpServer) -> None:
    firms = {"a": Memory(), "b": Memory()}
    which = lambda environ: firms[environ["HTTP_X_FIRM"]]  # noqa: E731
    page = SettingsPage(accounts=which, store=which, authorize=lambda request: True)
    browser = mounted(page.wsgi)
    browser.open("/", **{"X-Firm": "a"})
    browser.press("save", headers={"X-Firm": "a"}, **settings(mailbox, name="shop"))
    assert list(firms["a"].secrets) == ["shop"] and firms["b"].accounts == {}


def test_under_tls_the_cookie_is_the_host_s_own() -> None:
    page, _ = memory_page()
    environ: dict[str, Any] = {"wsgi.url_scheme": "https", "HTTP_HOST": "x.cz"}
    setup_testing_defaults(environ)
    headers: dict[str, str] = {}
    page.wsgi(environ, lambda status, found: headers.update(found))
    assert headers["Set-Cookie"].startswith("__Host-franking-settings=")
    assert headers["Set-Cookie"].endswith("; HttpOnly; SameSite=Strict; Path=/; Secure")


def test_without_a_slash_it_leads_to_where_it_is() -> None:
    page, _ = memory_page()
    environ: dict[str, Any] = {"SCRIPT_NAME": "/settings/mail", "PATH_INFO": ""}
    setup_testing_defaults(environ)
    environ["PATH_INFO"] = ""
    found: list[Any] = []
    page.wsgi(environ, lambda status, headers: found.extend([status, dict(headers)["Location"]]))
    assert found == ["308 Permanent Redirect", "/settings/mail/"]


def test_head_has_no_body() -> None:
    page, _ = memory_page()
    environ: dict[str, Any] = {"REQUEST_METHOD": "HEAD", "PATH_INFO": "/", "wsgi.input": io.BytesIO()}
    setup_testing_defaults(environ)
    assert b"".join(page.wsgi(environ, lambda status, headers: None)) == b""


# -- ASGI --------------------------------------------------------------------------------------------------------------


async def asked(
    application: Any, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Ask an ASGI application as a server does, the body in two pieces."""
    pieces = [body[: len(body) // 2], body[len(body) // 2 :]]
    events: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(event: dict[str, Any]) -> None:
        events.append(event)

    where, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": where,
        "root_path": "/settings/mail",
        "query_string": query.encode(),
        "scheme": "http",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    await application(scope, receive, send)
    start = events[0]
    answer = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], answer, b"".join(event.get("body", b"") for event in events[1:])


def test_asgi(mailbox: SmtpServer) -> None:
    from urllib.parse import urlencode

    async def yes(request: Any) -> bool:
        assert request.url.path.startswith("/settings/mail")  # Starlette's own
        return True

    async def drive() -> None:
        page, kept = memory_page(authorize=yes)
        status, headers, body = await asked(page.asgi, "GET", "/settings/mail")
        assert (status, headers["location"]) == (308, "/settings/mail/")
        status, headers, body = await asked(page.asgi, "GET", "/settings/mail/", host="x.cz")
        shown = Page(status, headers, body, "/")
        assert status == 200
        cookie = headers["set-cookie"].partition(";")[0]
        fields = {**shown.form, **settings(mailbox, name="shop"), "action": "test"}
        common = {"host": "x.cz", "cookie": cookie, "content_type": "application/x-www-form-urlencoded"}
        status, headers, body = await asked(page.asgi, "POST", "/settings/mail/", urlencode(fields).encode(), **common)
        assert status == 200 and b'data-outcome="sent"' in body
        fields["action"] = "save"
        fields["once"] = Page(200, {"content-type": "text/html"}, body, "/").form["once"]
        status, headers, body = await asked(page.asgi, "POST", "/settings/mail/", urlencode(fields).encode(), **common)
        assert status == 200 and "shop" in kept.accounts
        status, headers, body = await asked(page.asgi, "POST", "/settings/mail/", b"x" * 70_000, **common)
        assert status == 413
        status, headers, body = await asked(page.asgi, "HEAD", "/settings/mail/style.css", host="x.cz")
        assert (status, body) == (200, b"")

    import starlette.requests  # noqa: F401  (a Starlette application has it)

    asyncio.run(drive())


def test_an_asynchronous_authorize_that_fails_refuses(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: Any) -> bool:
        raise LookupError("nobody")

    page, _ = memory_page(authorize=broken)
    status, _, _ = asyncio.run(asked(page.asgi, "GET", "/settings/mail/", host="x.cz"))
    assert status == 403 and "LookupError" in caplog.text


# -- Django ------------------------------------------------------------------------------------------------------------


urlpatterns: list[Any] = []


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    from django.test import Client, override_settings
    from django.urls import include, path

    import servers.django_mail  # noqa: F401  (sets Django up)

    page, kept = memory_page(authorize=None)
    urlpatterns[:] = [path("settings/mail/", include(page.django_urls))]
    middleware = ["django.middleware.common.CommonMiddleware"]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware, ALLOWED_HOSTS=["*"], DEFAULT_CHARSET="utf-8"):
        made = Client(enforce_csrf_checks=True)
        made.kept = kept
        made.page = page
        yield made


class Person:
    is_active = True

    def __init__(self, staff: bool) -> None:
        self.is_staff = staff


def test_django_shows_it_to_staff_only(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.http import HttpRequest

    assert client.get("/settings/mail/").status_code == 403
    monkeypatch.setattr(HttpRequest, "user", Person(staff=False), raising=False)
    assert client.get("/settings/mail/").status_code == 403
    monkeypatch.setattr(HttpRequest, "user", Person(staff=True), raising=False)
    assert client.get("/settings/mail/").status_code == 200
    assert client.get("/settings/mail/style.css").headers["Content-Type"] == "text/css; charset=utf-8"


def test_django_protects_the_form_itself(client: Any, monkeypatch: pytest.MonkeyPatch, mailbox: SmtpServer) -> None:
    from django.http import HttpRequest

    monkeypatch.setattr(HttpRequest, "user", Person(staff=True), raising=False)
    answer = client.get("/settings/mail/")
    shown = Page(200, {"content-type": "text/html"}, answer.content, "/")
    assert "csrfmiddlewaretoken" in shown.form and "csrf" not in shown.form
    fields = {**shown.form, **settings(mailbox, name="shop"), "action": "test"}
    assert client.post("/settings/mail/", {**fields, "csrfmiddlewaretoken": "x"}).status_code == 403
    answer = client.post("/settings/mail/", fields)
    text = b"".join(answer.streaming_content) if answer.streaming else answer.content
    assert answer.status_code == 200 and b'data-outcome="sent"' in text
    shown = Page(200, {"content-type": "text/html"}, text, "/")
    answer = client.post("/settings/mail/", {**fields, "action": "save", "once": shown.form["once"]})
    assert answer.status_code == 200 and "shop" in client.kept.accounts
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert client.post("/settings/mail/", {**fields, "auth": "x" * 70_000}).status_code == 413


def test_the_settings_file_is_a_source_of_accounts() -> None:
    source = AccountFile()
    assert list(source.list()) == []
    with pytest.raises(KeyError):
        source.get("shop")
    with pytest.raises(KeyError):
        source.remove("shop")
    account = Account(name="shop", provider="smtp", sender="info@novak.cz", host="smtp.novak.cz")
    source.put(account)
    assert source.get("shop") == account and list(source.list()) == ["shop"]
    assert source.problem() is None
    source.remove("shop")
    assert list(source.list()) == []


def test_what_keeps_the_settings_file_from_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "etc" / "accounts.toml"
    environ = {"HOME": str(tmp_path)}
    monkeypatch.setattr("franking.account.config.SYSTEM", str(system))
    assert AccountFile(environ).problem() is None
    system.parent.mkdir()
    system.write_text("")
    assert "every user of this computer" in str(AccountFile(environ).problem())
    own = {"FRANKING_CONFIG": str(tmp_path / "none" / "yet" / "accounts.toml")}
    assert AccountFile(own).problem() is None
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert str(AccountFile(own).problem()) == f"{tmp_path} cannot be written to."


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="gives a file away, which needs root")
def test_a_settings_file_of_another_user_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text("")
    os.chown(path, 12345, -1)
    assert "uid 12345" in str(AccountFile({"FRANKING_CONFIG": str(path)}).problem())


def test_a_mistake_in_the_application_s_language_is_logged(
    mounted: Callable[[Any], Browser], caplog: pytest.LogCaptureFixture
) -> None:
    page, _ = memory_page(language=lambda request: 1 / 0)
    assert mounted(page.wsgi).open("/").status == 200
    assert "ZeroDivisionError" in caplog.text


def test_a_sign_in_file_of_an_application_lies_in_the_state_directory(mounted: Callable[[Any], Browser]) -> None:
    from web.test_saving import CLIENT, upload

    page, kept = memory_page()
    browser = mounted(page.wsgi)
    browser.open("/")
    shown = upload(browser, json.dumps(CLIENT).encode(), provider="gmail", from_="me@gmail.com", name="g")
    assert shown.status == 200
    path = Path(kept.accounts["g"].client_secrets)
    assert path.is_relative_to(os.environ["FRANKING_STATE_DIR"]) and path.stat().st_mode & 0o777 == 0o600


def test_under_asgi_django_gets_its_pieces_asynchronously() -> None:
    from types import SimpleNamespace

    from franking.web.django import _pieces

    async def read() -> list[bytes]:
        pieces: Any = _pieces(SimpleNamespace(scope={}), iter([b"a", b"b"]))
        return [piece async for piece in pieces]

    assert asyncio.run(read()) == [b"a", b"b"]


def test_what_asgi_is_asked_besides_http() -> None:
    page, _ = memory_page()
    with pytest.raises(RuntimeError, match="lifespan"):
        asyncio.run(page.asgi({"type": "lifespan"}, None, None))
