"""A browser without a screen: keeps cookies, follows what a page says by itself, fills forms in and presses buttons;
over ``http.client``, so that what is tested is what a browser would get.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

__all__ = ["Browser", "Element", "Page", "until"]

_VOID = {"input", "meta", "link", "br", "img", "hr"}


@dataclass
class Element:
    """One element of a page: its attributes, the text in it, the elements below it."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def get(self, name: str) -> str | None:
        return self.attributes.get(name)

    def all(self, **wanted: str) -> list[Element]:
        """Return every element below with these attributes (``tag`` is one, ``_`` stands for a dash)."""
        found = []
        for one in self.children:
            if all(
                one.tag == value if key == "tag" else one.attributes.get(key.strip("_").replace("_", "-")) == value
                for key, value in wanted.items()
            ):
                found.append(one)
            found += one.all(**wanted)
        return found

    def one(self, **wanted: str) -> Element:
        found = self.all(**wanted)
        assert len(found) == 1, (wanted, [one.tag for one in found])
        return found[0]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.here = Element("", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        one = Element(tag, {key: value or "" for key, value in attrs}, self.here)
        self.here.children.append(one)
        if tag not in _VOID:
            self.here = one

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        assert self.here.tag == tag, f"</{tag}> closes <{self.here.tag}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        one: Element | None = self.here
        while one is not None:
            one.pieces.append(data)
            one = one.parent


@dataclass
class Page:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    cookies: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        parser = _Parser()
        if "html" in self.headers.get("content-type", ""):
            parser.feed(self.text)
            assert parser.here is parser.root, f"<{parser.here.tag}> is not closed"
        self.root = parser.root

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def id(self, name: str) -> Element:
        return self.root.one(id=name)

    def has(self, name: str) -> bool:
        return bool(self.root.all(id=name))

    @property
    def result(self) -> Element:
        return self.id("result")

    @property
    def form(self) -> dict[str, str]:
        """Return what the form would post as it stands."""
        form = next(one for one in self.root.all(tag="form"))
        fields = {}
        for one in form.all():
            name = one.get("name")
            if not name or one.get("disabled") is not None:
                continue
            kind = one.get("type")
            if one.tag == "select":
                options = one.all(tag="option")
                chosen = [option for option in options if option.get("selected") is not None] or options[:1]
                fields[name] = chosen[0]["value"]
            elif one.tag == "input" and kind in ("checkbox", "radio"):
                if one.get("checked") is not None:
                    fields[name] = one.get("value") or "on"
            elif one.tag == "input" and kind != "file":
                fields[name] = one.get("value") or ""
        return fields


class Browser:
    """Ask a server at ``port``; ``host`` is what it calls itself. With ``tls`` over https."""

    def __init__(self, port: int, *, host: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.port, self.host, self.tls = port, host or f"127.0.0.1:{port}", tls
        self.cookies: dict[str, str] = {}
        self.page: Page | None = None

    def ask(self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Page:
        """Ask once; nothing is followed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if self.tls is not None:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.tls)
        sent = {"Host": self.host, **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, target, body, {**sent, "Connection": "close"})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        cookies = answer.headers.get_all("Set-Cookie") or []
        for text in cookies:
            for name, morsel in SimpleCookie(text).items():
                self.cookies[name] = morsel.value
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return Page(answer.status, lower, data, target, cookies)

    def open(self, url: str = "/", **headers: str) -> Page:
        """Open an address and go on where the page goes on by itself."""
        page = self.ask("GET", url, headers={"Sec-Fetch-Site": "none", **headers})
        if "refresh" in page.headers:
            seconds, _, where = page.headers["refresh"].partition("; url=")
            assert seconds == "0"
            page = self.ask("GET", urljoin(page.url, where), headers={"Sec-Fetch-Site": "same-origin"})
        self.page = page
        return page

    def press(
        self, action: str, *, way: str = "", headers: Mapping[str, str] | None = None, **typed: str | None
    ) -> Page:
        """Fill the form of this page in and press a button; None takes a field away (an unticked box)."""
        assert self.page is not None
        form = next(one for one in self.page.root.all(tag="form"))
        fields = {**self.page.form, **{key.rstrip("_"): value for key, value in typed.items()}, "action": action}
        sent = {key: value for key, value in fields.items() if value is not None}
        target = urljoin(self.page.url.partition("?")[0], form["action"]) + (f"&way={way}" if way else "")
        shown = self.post(target, sent, headers=headers)
        if "<form" in shown.text:
            self.page = shown
        return shown

    def post(self, target: str, fields: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Page:
        """Post fields as a form of this page does."""
        own = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"{'https' if self.tls else 'http'}://{self.host}",
            "Sec-Fetch-Site": "same-origin",
        }
        return self.ask("POST", target, urlencode(fields).encode(), {**own, **(headers or {})})


def until(browser: Browser, path: str, wanted: str, seconds: float = 60) -> Page:
    """Look at a page until something is on it."""
    end = time.monotonic() + seconds
    while True:
        page = browser.ask("GET", path)
        if wanted in page.text or time.monotonic() > end:
            assert wanted in page.text, page.text
            return page
        time.sleep(0.05)
