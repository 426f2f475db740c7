"""The browser's way back: what ends the wait, what must not, and what people paste."""

from __future__ import annotations

import contextlib
import http.client
import os
import selectors
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

from franking.auth.redirect import Listener, authorization_response, open_in_background, pasted
from franking.errors import LoginRequired
from tiers import one_of_each

STATE = "state-of-this-login"
GUARDS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What keeps the address of the page, with the code in it, from going anywhere."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as made:
        yield made


def waiting(listener: Listener, timeout: float = 30) -> Future[Mapping[str, str]]:
    future: Future[Mapping[str, str]] = Future()

    def run() -> None:
        try:
            future.set_result(listener.wait(STATE, timeout=timeout))
        except BaseException as problem:
            future.set_exception(problem)

    threading.Thread(target=run, daemon=True).start()
    return future


def visit(
    listener: Listener, target: str, *, method: str = "GET", body: str | None = None, kind: str | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
    try:
        headers = {"Content-Type": kind or "application/x-www-form-urlencoded"} if body is not None else {}
        connection.request(method, target, body=body, headers=headers)
        response = connection.getresponse()
        text = response.read().decode()
        assert "http" not in text.replace("http-equiv", ""), "the page loads nothing from elsewhere"
        assert {name: response.headers[name] for name in GUARDS} == GUARDS
        return response.status, text
    finally:
        connection.close()


def good(**more: str) -> str:
    return urlencode({"code": "4/0A-code_x", "state": STATE, **more})


def test_get_with_the_right_state(listener: Listener) -> None:
    future = waiting(listener)
    status, page = visit(listener, f"/?{good(scope='email https://mail.google.com/')}")
    assert status == 200
    assert "close this page" in page
    assert future.result(10) == {"code": "4/0A-code_x", "state": STATE, "scope": "email https://mail.google.com/"}


def test_form_post(listener: Listener) -> None:
    future = waiting(listener)
    status, _ = visit(listener, "/", method="POST", body=good(client_info="abc", session_state="x" * 3000))
    assert status == 200
    assert future.result(10)["client_info"] == "abc"


def test_a_declined_sign_in_ends_the_wait_too(listener: Listener) -> None:
    future = waiting(listener)
    status, page = visit(listener, "/?" + urlencode({"error": "access_denied", "state": STATE}))
    assert status == 200
    assert "Not signed in" in page
    assert future.result(10)["error"] == "access_denied"


NOT_IT: dict[str, Callable[[Listener], object]] = {
    "favicon": lambda it: visit(it, "/favicon.ico"),
    "no parameters": lambda it: visit(it, "/"),
    "wrong state": lambda it: visit(it, "/?code=evil&state=other"),
    "no state": lambda it: visit(it, "/?code=evil"),
    "state alone": lambda it: visit(it, f"/?state={STATE}"),
    "another path": lambda it: visit(it, f"/elsewhere?{good()}"),
    "two codes": lambda it: visit(it, f"/?{good()}&code=evil"),
    "a prefix of the state": lambda it: visit(it, f"/?code=evil&state={STATE[:-1]}"),
    "HEAD": lambda it: _raw(it, f"HEAD /?{good()} HTTP/1.1\r\n\r\n".encode()),
    "PUT": lambda it: visit(it, "/", method="PUT", body=good()),
    "POST of JSON": lambda it: visit(it, "/", method="POST", body=good(), kind="application/json"),
    "not HTTP": lambda it: _raw(it, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "a target that is no URL": lambda it: _raw(it, b"GET http://[::1/?code=x HTTP/1.1\r\n\r\n"),
    "hundred parameters": lambda it: visit(it, "/?" + "&".join(f"p{n}=1" for n in range(100)) + "&" + good()),
    "a body that never ends": lambda it: _raw(
        it, b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 70_000
    ),
    "cut off": lambda it: _raw(it, b"GET /?code", then_close=True),
    "non-ASCII state": lambda it: visit(it, "/?code=x&state=%C4%8D"),
}


def _raw(listener: Listener, data: bytes, *, then_close: bool = False) -> bytes:
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as peer:
        peer.sendall(data)
        if then_close:
            peer.shutdown(socket.SHUT_WR)
        try:
            return peer.recv(4096)
        except ConnectionError:
            return b""


@pytest.mark.parametrize("what", NOT_IT)
def test_everything_else_is_ignored(listener: Listener, what: str) -> None:
    future = waiting(listener)
    answered = NOT_IT[what](listener)
    if isinstance(answered, tuple):
        assert answered[0] == 404
    assert not future.done()
    visit(listener, f"/?{good()}")
    assert future.result(10)["code"] == "4/0A-code_x"


def test_silent_spare_connections_block_nothing(listener: Listener) -> None:
    future = waiting(listener)
    spare = [socket.create_connection(("127.0.0.1", listener.port), timeout=10) for _ in range(60)]
    try:
        visit(listener, f"/?{good()}")
        assert future.result(10)["code"]
    finally:
        for peer in spare:
            peer.close()


def test_the_thirty_third_connection_takes_the_place_of_the_oldest(listener: Listener) -> None:
    future = waiting(listener)
    spare = [socket.create_connection(("127.0.0.1", listener.port), timeout=10) for _ in range(32)]
    try:
        for peer in spare:
            peer.sendall(b"G")
            peer.settimeout(0.3)
        with pytest.raises(TimeoutError):
            spare[0].recv(1)  # 32 are kept
        with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as one_more:
            one_more.sendall(b"G")
            spare[0].settimeout(10)
            with contextlib.suppress(ConnectionError):
                assert spare[0].recv(1) == b""
            with pytest.raises(TimeoutError):
                spare[1].recv(1)
        visit(listener, f"/?{good()}")
        assert future.result(10)["code"]
    finally:
        for peer in spare:
            peer.close()


def test_a_connection_that_makes_room_may_have_something_to_say(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest and the oldest are heard of at once: the oldest is gone by the time that its turn comes."""
    may_look, looks = threading.Event(), threading.Semaphore(0)
    may_look.set()

    class Selector(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if len(self.get_map()) > 32:  # the listener itself, and as many visits as it keeps
                looks.release()
                may_look.wait(10)
            return super().select(timeout)

    monkeypatch.setattr(selectors, "DefaultSelector", Selector)
    may_look.clear()
    future = waiting(listener)
    with contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", listener.port), timeout=10))

        oldest, *_ = [connect() for _ in range(32)]
        assert looks.acquire(timeout=10)
        connect()
        oldest.sendall(b"GET")
        may_look.set()
        visit(listener, f"/?{good()}")
        assert future.result(10)["code"]


@pytest.mark.parametrize("kept_open", [True, False])
def test_a_hundred_connections_at_once(listener: Listener, kept_open: bool) -> None:
    future = waiting(listener)

    with contextlib.ExitStack() as stack:

        def knock(number: int) -> None:
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", listener.port), timeout=10))
            with contextlib.suppress(ConnectionError):
                peer.sendall(b"GET /?" + b"x" * number)
            if not kept_open:
                peer.close()

        with ThreadPoolExecutor(8) as threads:
            knocks = [threads.submit(knock, number) for number in range(100)]
            for one in knocks:
                one.result(10)
        visit(listener, f"/?{good()}")
        assert future.result(10)["code"]


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 404)])
def test_a_request_has_at_most_64_kib(listener: Listener, size: int, status: int) -> None:
    future = waiting(listener)
    head = f"GET /?{good()} HTTP/1.1\r\nX: "
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as peer:
        peer.sendall(head.encode() + b"x" * (size - len(head) - 4) + b"\r\n\r\n")
        assert peer.recv(12) == f"HTTP/1.1 {status}".encode()
    if status == 200:
        assert future.result(10)["code"]
    else:
        assert not future.done()


@pytest.mark.parametrize(("more", "status"), [(48, 200), (49, 404)])
def test_a_query_has_at_most_fifty_parameters(listener: Listener, more: int, status: int) -> None:
    waiting(listener)
    assert visit(listener, f"/?{good(**{f'p{number}': '1' for number in range(more)})}")[0] == status


def test_a_request_in_small_pieces(listener: Listener) -> None:
    future = waiting(listener)
    body = good()
    request = (
        "POST / HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        f"CONTENT-LENGTH: {len(body)}\r\n\r\n{body}"
    )
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as peer:
        for char in request:
            peer.sendall(char.encode())
        assert peer.recv(100).startswith(b"HTTP/1.1 200")
    assert future.result(10)["state"] == STATE


def test_time_is_bounded(listener: Listener) -> None:
    with pytest.raises(LoginRequired) as caught:
        listener.wait(STATE, timeout=0.05)
    assert caught.value.evidence is not None
    assert caught.value.evidence.reason == "sign-in-timeout"


def test_only_loopback_whatever_the_name() -> None:
    with Listener(host="localhost", path="/back") as listener:
        assert listener.redirect_uri == f"http://localhost:{listener.port}/back"
        assert listener._socket.getsockname()[0] == "127.0.0.1"


REDIRECT = "http://127.0.0.1:4711/?" + urlencode({"state": STATE, "code": "4/0AX-y_z", "scope": "email openid"})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (REDIRECT, "4/0AX-y_z"),
        (f'  "{REDIRECT}"\n', "4/0AX-y_z"),
        (REDIRECT[:40] + "\n " + REDIRECT[40:], "4/0AX-y_z"),
        (REDIRECT.partition("//")[2], "4/0AX-y_z"),
        (REDIRECT.partition("?")[2], "4/0AX-y_z"),
        ("?" + REDIRECT.partition("?")[2], "4/0AX-y_z"),
        (f"http://localhost:1/#code=M.C5_BAY.2.U.x!*$&state={STATE}", "M.C5_BAY.2.U.x!*$"),
        ("4/0AX-y_z", "4/0AX-y_z"),
        ("4%2F0AX-y_z", "4/0AX-y_z"),
        ("M.C5_BAY.2.U.x!*x$$", "M.C5_BAY.2.U.x!*x$$"),
    ],
)
def test_pasted_code(text: str, code: str) -> None:
    assert pasted(text, STATE)["code"] == code


def test_a_pasted_error_is_understood() -> None:
    assert pasted(f"http://127.0.0.1:1/?error=access_denied&state={STATE}", STATE)["error"] == "access_denied"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (REDIRECT.replace(STATE, "another"), "state-mismatch"),
        ("http://127.0.0.1:1/?code=4/0AX-y_z", "state-mismatch"),
        ("http://127.0.0.1:1/?error=access_denied&state=another", "state-mismatch"),
        ("", "paste-not-understood"),
        ("   ", "paste-not-understood"),
        ("abc", "paste-not-understood"),
        ("http://127.0.0.1:1/", "paste-not-understood"),
        (f"https://accounts.google.com/o/oauth2/v2/auth?client_id=x&state={STATE}", "paste-not-understood"),
        ("http://[::1/?code=x", "paste-not-understood"),
        ("me@example.com", "paste-not-understood"),
        (f"state={STATE}", "paste-not-understood"),
        ("příliš žluťoučký kůň", "paste-not-understood"),
        ("x" * 5000, "paste-not-understood"),
    ],
)
def test_what_is_no_answer_is_told(text: str, reason: str) -> None:
    with pytest.raises(LoginRequired) as caught:
        pasted(text, STATE)
    assert caught.value.evidence is not None
    assert caught.value.evidence.reason == reason
    assert "0AX" not in str(caught.value)


class Person:
    """Somebody at a terminal, for the tests of ``answer``."""

    interactive = True
    asks_again = False
    device = False

    def __init__(
        self, *, no_browser: bool = False, browser: Callable[[str], bool] = lambda url: False, paste: str = ""
    ) -> None:
        self.no_browser = no_browser
        self.open_url = browser
        self.paste = paste
        self.shown = ""

    def show(self, text: str) -> None:
        self.shown += text

    def ask(self, question: str, *, hidden: bool = False) -> str:
        return self.paste

    def confirm(self, question: str) -> bool:
        return True


def test_a_browser_is_opened_and_nothing_shown(listener: Listener) -> None:
    def browser(url: str) -> bool:
        assert url == "https://issuer.example/auth"
        threading.Thread(target=visit, args=(listener, f"/?{good()}"), daemon=True).start()
        return True

    person = Person(browser=browser)
    assert authorization_response(person, listener, "https://issuer.example/auth", STATE)["code"]
    assert person.shown == ""


def test_without_a_browser_the_address_and_the_forwarded_port_are_shown(listener: Listener) -> None:
    person = Person()
    with pytest.raises(LoginRequired):
        authorization_response(person, listener, "https://issuer.example/auth", STATE, timeout=0.05)
    assert "https://issuer.example/auth" in person.shown
    assert f"-L {listener.port}:127.0.0.1:{listener.port}" in person.shown
    assert "--no-browser" in person.shown


def test_the_pasted_way_listens_to_nobody(listener: Listener) -> None:
    person = Person(no_browser=True, paste=REDIRECT)
    assert authorization_response(person, listener, "https://issuer.example/auth", STATE)["code"] == "4/0AX-y_z"
    assert "https://issuer.example/auth" in person.shown
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listener.port), timeout=5)


@pytest.mark.parametrize("place", one_of_each(range(30, len(REDIRECT)), lambda place: place // 10))
@pytest.mark.parametrize("order", ["as it was", "state first"])
def test_an_address_pasted_with_a_line_break_comes_in_two_lines(listener: Listener, place: int, order: str) -> None:
    address = (
        REDIRECT
        if order == "as it was"
        else f"http://127.0.0.1:1/?state={STATE}&code=4%2F0AX-y_z&scope=email%20https://x&authuser=0"
    )
    lines = [address[:place], address[place:], ""]
    person = Person(no_browser=True)
    person.ask = lambda question, hidden=False: lines.pop(0)  # type: ignore[method-assign]
    assert authorization_response(person, listener, "https://issuer.example/auth", STATE)["code"] == "4/0AX-y_z"


@pytest.mark.parametrize("text", [REDIRECT, "4/0AX-y_z"])
def test_what_is_whole_is_asked_for_once(listener: Listener, text: str) -> None:
    asked: list[str] = []
    person = Person(no_browser=True)
    person.ask = lambda question, hidden=False: asked.append(question) or text  # type: ignore[method-assign, func-returns-value]
    authorization_response(person, listener, "https://issuer.example/auth", STATE)
    assert len(asked) == 1


@pytest.mark.parametrize("wrong", [f"https://issuer.example/auth?state={STATE}", REDIRECT.replace(STATE, "other")])
def test_a_wrong_paste_is_asked_for_again_with_its_reason(listener: Listener, wrong: str) -> None:
    person, pastes = Person(no_browser=True), [wrong, REDIRECT]
    person.asks_again = True
    person.ask = lambda question, hidden=False: pastes.pop(0)  # type: ignore[method-assign]
    assert authorization_response(person, listener, "https://issuer.example/auth", STATE)["code"] == "4/0AX-y_z"
    assert "neither the address" in person.shown or "another sign-in" in person.shown


@pytest.mark.parametrize(("again", "times"), [(True, 3), (False, 1)])
def test_wrong_pastes_end_somewhere(listener: Listener, again: bool, times: int) -> None:
    asked: list[str] = []
    person = Person(no_browser=True)
    person.asks_again = again
    person.ask = lambda question, hidden=False: asked.append(question) or "no"  # type: ignore[method-assign, func-returns-value]
    with pytest.raises(LoginRequired):
        authorization_response(person, listener, "https://issuer.example/auth", STATE)
    assert len(asked) == times


def test_a_browser_that_runs_in_the_foreground_gets_its_last_page(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("franking.auth.redirect.BROWSER_SECONDS", 0.2)
    pages: list[str] = []
    left = threading.Event()
    seen = threading.Event()

    def browse_until_left(url: str) -> bool:  # w3m, and whatever $BROWSER names: returns when its person leaves
        pages.append(visit(listener, f"/?{good()}")[1])
        seen.set()
        left.wait(20)
        return True

    try:
        assert open_in_background(browse_until_left, "https://accounts.example/auth")
        assert listener.wait(STATE, timeout=20)["code"] == "4/0A-code_x"
        assert seen.wait(20) and "close this page" in pages[0]
    finally:
        left.set()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)"])
def test_only_addresses_of_the_web_are_opened(url: str) -> None:
    assert not open_in_background(lambda url: pytest.fail("opened"), url)


def test_a_browser_inherits_no_secret_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "canary")
    monkeypatch.setenv("FRANKING_STORE_KEY", "canary")
    seen: list[str] = []

    def browser(url: str) -> bool:
        seen.extend((url, *os.environ.values()))
        return True

    assert open_in_background(browser, "http://localhost:1/")
    assert seen[0] == "http://localhost:1/" and "canary" not in seen
    assert os.environ["FRANKING_SECRET_SHOP"] == os.environ["FRANKING_STORE_KEY"] == "canary"


def test_where_there_is_no_browser_it_is_said() -> None:
    def broken(url: str) -> bool:
        raise webbrowser.Error("could not locate runnable browser")

    assert not open_in_background(broken, "https://accounts.example/auth")
    assert not open_in_background(lambda url: False, "https://accounts.example/auth")
