"""The settings page in a real browser against real mail servers: by keyboard alone, with and without scripts, in
English and Czech. Each mistake leads to the red result that names it; mended in the form and tried again it is green,
and the message lies in the mailbox.

``FRANKING_SCREENSHOTS=DIR`` writes pictures of everything at three widths, light and dark, in both languages;
``FRANKING_FUZZ=explore`` takes every mistake both ways.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from franking.account import editing
from franking.account.account import Account
from franking.account.config import load
from franking.auth.secret import Password
from franking.auth.store import open_store
from franking.discovery import domain_check
from franking.discovery.recommend import recommend
from franking.web.local import LocalPage, write_door
from franking_cli.settings_server import SettingsServer
from real.conftest import REQUIRED, start
from servers.chromium import Chromium, Tab
from servers.dns import DnsServer
from servers.dovecot import PASSWORDS
from servers.microsoft import Microsoft
from servers.ports import closed_port
from servers.postfix import Postfix
from servers.web import Authority
from servers.zones import PROVIDERS, zone

AXE = Path(os.environ.get("FRANKING_SERVERS", "/var/tmp/franking-servers")) / "axe.min.js"
PICTURES = os.environ.get("FRANKING_SCREENSHOTS")
WAYS = pytest.mark.parametrize(
    ("scripts", "language"), [(True, "en"), (False, "cs")], ids=["with-scripts-in-English", "without-in-Czech"]
)
LOOKS = (
    [("en", False), ("cs", True)] if not PICTURES else [(one, dark) for one in ("en", "cs") for dark in (False, True)]
)
RIGHT = PASSWORDS["info@example.cz"]
DISTRUSTED = "example.cz MX 1 mail.example.cz\nexample.cz TXT v=spf1 mx +all"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with start(lambda: Chromium(tmp_path_factory.mktemp("chromium"))) as made:
        yield made


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[DnsServer]:
    """A name server that knows one domain with Google's MX, and nobody who publishes settings."""

    def nothing(url: str, seconds: float) -> bytes:
        raise OSError("nobody publishes anything here")

    with DnsServer("workspace.example. 60 IN MX 1 smtp.google.com.") as server:
        handed_in = partial(recommend, resolver=server.resolver, fetch=nothing)
        monkeypatch.setattr("franking.web.recommending.recommend", handed_in)
        yield server


@pytest.fixture
def opened(chromium: Chromium, postfix: Postfix, certificates: Any, tmp_path: Path) -> Iterator[Callable[..., Tab]]:
    """Serve the page of a user who trusts the test CA, and open it as ``franking settings`` does."""
    config = Path(os.environ["FRANKING_CONFIG"])
    config.write_text(f'[providers.smtp]\nca_file = "{certificates.ca}"\ntimeout = 20\n')
    with ExitStack() as stack:

        def make(scripts: bool = True, language: str = "en", **look: Any) -> Tab:
            server = stack.enter_context(SettingsServer(0))
            page = LocalPage(server.server_port)
            thread = threading.Thread(target=server.serve, args=(page.wsgi,))
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(server.shutdown)
            tab = chromium.tab(scripts=scripts, language=language, **look)
            tab.open(write_door(page.url, tmp_path / "state").as_uri())
            return tab

        yield make


def fill(tab: Tab, server: Postfix, **changed: str) -> None:
    """Fill the form in from top to bottom, with the keyboard alone."""
    typed = {
        "from": "Jan Novák <info@example.cz>",
        "host": "127.0.0.1",
        "security": "starttls",
        "port": str(server.port),
        "username": "info@example.cz",
        "password": RIGHT,
        "to": "me@example.cz",
        **changed,
    }
    for field, value in typed.items():
        put(tab, field, value)


def put(tab: Tab, field: str, value: str) -> None:
    if field == "security":
        tab.choose("#security", {"tls": "S", "starttls": "T", "none": "n"}[value])
    else:
        tab.type(f"#{field}", value)


def tried(tab: Tab) -> dict[str, str]:
    """Press the button at the bottom, and return what the result says."""
    # the script changes the element's content, a new page has another element
    tab.evaluate("document.querySelector('#result').append(document.createElement('old-one'))")
    tab.tab_to("#test")
    tab.press("Enter")
    over = "!document.querySelector('old-one')"
    tab.until(f"{over} && !!document.querySelector('#result[data-outcome]:not([aria-busy])')")
    return dict(
        tab.evaluate(
            "({...document.querySelector('#result').dataset, text: document.querySelector('#result').innerText})"
        )
    )


MISTAKES: dict[str, tuple[dict[str, str], str, str]] = {
    # what is typed, the code of the result, and the field that it names
    "a name that is no address": ({"username": "info"}, "login.refused", "username"),
    "an old password": ({"password": "an-old-one"}, "login.refused", "password"),
    "a blank behind the password": ({"password": f"{RIGHT} "}, "login.refused", "password"),
    "the first character lost": ({"username": "nfo@example.cz"}, "login.refused", "username"),
    "another mailbox's From": ({"from": "boss@example.cz"}, "sender.not-owned", "from"),
    "SSL on the port of STARTTLS": ({"security": "tls"}, "tls.wrong-port", "port"),
    "a port where nobody listens": ({"port": str(closed_port())}, "connect.refused", "port"),
    "a server that does not exist": ({"host": "smtp.novak.invalid"}, "dns.not-found", "host"),
}


def ways_of_mistakes() -> list[Any]:
    """Return every mistake with one of the ways; with ``FRANKING_FUZZ=explore`` with both."""
    both = [(True, "en"), (False, "cs")]
    explore = os.environ.get("FRANKING_FUZZ") == "explore"
    return [
        pytest.param(mistake, scripts, language, id=f"{mistake}, {'with' if scripts else 'without'} scripts")
        for place, mistake in enumerate(MISTAKES)
        for scripts, language in (both if explore else both[place % 2 :][:1])
    ]


@pytest.mark.parametrize(("mistake", "scripts", "language"), ways_of_mistakes())
def test_a_mistake_is_named_mended_and_green(
    mistake: str, scripts: bool, language: str, opened: Callable[..., Tab], postfix: Postfix
) -> None:
    changed, code, field = MISTAKES[mistake]
    tab = opened(scripts, language)
    assert tab.evaluate("document.documentElement.lang") == language
    fill(tab, postfix, **changed)
    if "security" in changed:
        put(tab, "port", str(postfix.port))
    result = tried(tab)
    assert (result["outcome"], result["colour"], result["code"]) == ("failed", "red", code), result["text"]
    if language == "cs" and code != "connect.lost":
        assert not any(word in result["text"] for word in ("What to do", "The server", "password")), result["text"]
    named = tab.evaluate("[...document.querySelectorAll('#result .jump a')].map(a => a.getAttribute('href'))")
    assert f"#{field}" in named, result["text"]
    right = {"username": "info@example.cz", "password": RIGHT, "from": "info@example.cz", "security": "starttls"}
    right |= {"port": str(postfix.port), "host": "127.0.0.1"}
    for key in changed:
        put(tab, key, right[key])
    if (
        not tab.evaluate("document.querySelector('#password').value || document.querySelector('[data-kept]')")
        or "host" in changed
    ):
        put(tab, "password", RIGHT)
    if "security" in changed:
        put(tab, "port", str(postfix.port))
    result = tried(tab)
    assert (result["outcome"], result["colour"]) == ("sent", "green"), result["text"]
    report = tab.evaluate("document.querySelector('#result').innerText") if scripts else result["text"]
    assert "me@example.cz" in report


@WAYS
def test_the_message_lies_in_the_mailbox_and_the_account_is_saved(
    scripts: bool, language: str, opened: Callable[..., Tab], postfix: Postfix
) -> None:
    tab = opened(scripts, language)
    put(tab, "name", "shop")
    fill(tab, postfix)
    assert tried(tab)["colour"] == "green"
    name = tab.evaluate(
        "document.querySelector('form[data-running]').getAttribute('action')"  # scripts read it so
    )
    assert name.startswith("./?account=")
    tab.tab_to("#save")
    tab.press("Enter")
    tab.until("!!document.querySelector('#said[data-colour=green]')")
    account = load().account("shop")
    assert (account.host, account.port, account.security, account.username) == (
        "127.0.0.1", postfix.port, "starttls", "info@example.cz",
    )  # fmt: skip
    assert Password.loads(open_store().load("shop") or "").value == RIGHT
    tab.type("#to", "me@example.cz")
    result = tried(tab)
    assert result["colour"] == "green"
    told = "Zkušební zpráva od Frankingu" if language == "cs" else "Test message from Franking"
    assert postfix.inbox.about(f"{told} (shop)")
    assert RIGHT not in tab.evaluate("document.documentElement.outerHTML")


def test_a_choice_of_security_sets_a_usual_port_and_keeps_an_own_one(opened: Callable[..., Tab]) -> None:
    tab = opened()
    put(tab, "security", "tls")
    assert tab.evaluate("document.querySelector('#port').value") == "465"
    put(tab, "port", "2465")
    put(tab, "security", "starttls")
    assert tab.evaluate("document.querySelector('#port').value") == "2465"


def test_a_recommendation_follows_what_is_typed_and_waits_for_its_button(opened: Callable[..., Tab]) -> None:
    tab = opened()
    tab.type("#from", "me@workspace.example")
    tab.press("Tab")
    tab.until("document.querySelector('#recommendation').innerText.includes('Google')")
    assert tab.evaluate("document.querySelector('[name=provider]:checked').value") == "smtp"
    tab.tab_to("#recommendation button")
    tab.press("Enter")
    tab.until("!!document.querySelector('#provider-gmail:checked')")
    assert tab.evaluate("document.querySelector('#signin').checkVisibility()")
    assert load().names == ()


def test_authentication_reveals_name_and_password(opened: Callable[..., Tab]) -> None:
    tab = opened(False)
    assert tab.evaluate("document.querySelector('#password').checkVisibility()")
    tab.tab_to("#authentication")
    tab.press("Space")
    assert not tab.evaluate("document.querySelector('#password').checkVisibility()")
    assert not tab.evaluate("document.querySelector('#client-file').checkVisibility()")


def test_the_token_is_in_no_referer_and_no_history(opened: Callable[..., Tab]) -> None:
    tab = opened()
    history = tab.ask("Page.getNavigationHistory")["entries"]
    assert not any("token=" in entry["url"] for entry in history), history
    assert "token=" not in tab.evaluate("document.referrer + location.href")


def test_no_other_page_may_frame_it(opened: Callable[..., Tab], chromium: Chromium, tmp_path: Path) -> None:
    tab = opened()
    url = tab.evaluate("location.href")
    (tmp_path / "evil.html").write_text(f'<iframe src="{url}"></iframe><form method="post" action="{url}"></form>')
    tab.ask("Page.navigate", url=(tmp_path / "evil.html").as_uri())
    tab.until("location.protocol == 'file:'")
    assert tab.evaluate("document.querySelector('iframe').contentDocument") is None
    tab.evaluate("document.querySelector('form').submit()")
    tab.until("location.protocol == 'http:'")
    assert tab.evaluate("!!document.querySelector('[data-status=\"403\"]')")


@pytest.mark.parametrize(("language", "dark"), LOOKS)
def test_axe_finds_nothing(
    language: str, dark: bool, opened: Callable[..., Tab], postfix: Postfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not AXE.exists():
        if REQUIRED:
            pytest.fail(f"{AXE} is missing: .ci/install-servers brings it")
        pytest.skip(f"{AXE} is missing")
    source = AXE.read_text("utf-8")
    tab = opened(language=language, dark=dark, width=768)
    found = {"first": tab.axe(source)}
    picture(tab, f"empty-{language}", dark)
    tab.tab_to("#save")
    tab.press("Enter")
    tab.until("!!document.querySelector('[aria-invalid]')")
    found["wrong fields"] = tab.axe(source)
    picture(tab, f"fields-{language}", dark)
    fill(tab, postfix, username="info")
    assert tried(tab)["colour"] == "red"
    found["red"] = tab.axe(source)
    picture(tab, f"red-{language}", dark)
    shown(tab, language, dark, "", "header", ".buttons")
    shown(tab, language, dark, "-red", "#try", "#result")
    put(tab, "username", "info@example.cz")
    assert tried(tab)["colour"] == "green"
    found["green"] = tab.axe(source)
    picture(tab, f"green-{language}", dark)
    with DnsServer(zone(PROVIDERS, DISTRUSTED)) as server:
        monkeypatch.setattr(domain_check, "system_resolver", lambda: server.resolver)
        monkeypatch.setattr(domain_check, "TIMEOUT", 60.0)
        result = tried(tab)
    assert (result["outcome"], result["colour"]) == ("sent", "yellow"), result["text"]
    assert "v=spf1 mx ~all" in result["text"]
    found["yellow"] = tab.axe(source)
    picture(tab, f"yellow-{language}", dark)
    tab.evaluate("document.querySelector('#result details').open = false")
    shown(tab, language, dark, "-yellow", "#try", "#result")
    tab.tab_to("#provider-smtp")
    tab.evaluate("document.querySelector('#provider-outlook').click()")
    found["outlook"] = tab.axe(source)
    picture(tab, f"outlook-{language}", dark)
    assert {where: problems for where, problems in found.items() if problems} == {}


@pytest.mark.parametrize(("language", "dark"), LOOKS)
def test_axe_finds_nothing_while_somebody_signs_in_or_removes(
    language: str, dark: bool, opened: Callable[..., Tab], tmp_path: Path
) -> None:
    if not AXE.exists():
        pytest.skip(f"{AXE} is missing")
    source = AXE.read_text("utf-8")
    with Microsoft(tmp_path, authority=Authority(tmp_path)) as microsoft:
        tab = opened(language=language, dark=dark, width=768)
        editing.save(Account(name="office", provider="outlook", sender="jan@contoso.com", **microsoft.settings()))
        tab.open(tab.evaluate("location.origin + '/?account=office'"))
        found = {}
        for selector, there in (
            ("[formaction*='way=device']", "#device-code"),
            ("[formaction*='way=pasted']", "#pasted"),
            ("#remove", "#remove.danger"),
        ):
            tab.tab_to(selector)
            tab.press("Enter")
            tab.until(f"!!document.querySelector('{there}')")
            found[there] = tab.axe(source)
            picture(tab, f"{there.strip('#').replace('.', '-')}-{language}", dark)
    assert {where: problems for where, problems in found.items() if problems} == {}


@pytest.mark.parametrize("width", [320, 768])
def test_nothing_is_wider_than_the_window(width: int, opened: Callable[..., Tab], postfix: Postfix) -> None:
    tab = opened(width=width, language="cs")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    fill(tab, postfix, username="info")
    assert tried(tab)["colour"] == "red"
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def picture(tab: Tab, name: str, dark: bool) -> None:
    """Write what is seen at three widths, where pictures are wanted."""
    if not PICTURES:
        return
    for width in (320, 768, 1280):
        tab.look(width, dark=dark)
        tab.screenshot(Path(PICTURES) / f"{name}-{width}{'-dark' * dark}.png")
    tab.look(768, dark=dark)


def shown(tab: Tab, language: str, dark: bool, what: str, *selectors: str) -> None:
    """Write a picture of docs/settings-page.md, where pictures are wanted."""
    if PICTURES and not dark:
        which = "" if language == "en" else f"-{language}"
        tab.screenshot(Path(PICTURES) / f"settings-page{what}{which}.png", *selectors)
