"""``franking setup`` from nothing to a green test on each of its roads, straight and with everything that goes wrong: a
secret that is refused, a slip in the address, a lost network, Ctrl-C at each question. What was answered is never asked
again: a terminal here fails at a question that nobody expected.

Each is taken twice: at a terminal in this process, and (``process``) at a pseudo-terminal.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import threading
import tomllib
import webbrowser
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import dns.resolver
import pytest

from commandline import Person
from franking.discovery import lookup
from franking.errors import SettingsError
from franking.outlook.login import login as microsoft_login
from roads import ROADS, Road
from servers.google import Google
from servers.microsoft import CLIENT, Microsoft
from servers.names import Names
from servers.person import browse
from servers.smtp import SmtpServer
from servers.web import Authority
from terminal import Terminal

Answer = str | Callable[[str], str]
Talk = list[tuple[str, Answer]]
BY_NAME = {road.name: road for road in ROADS}
PASSWORD = "canary-pass"
BROWSER = "browser"  # the one thread that has a network of its own


class Scene:
    """The servers of one road, and the values that its person has."""

    def __init__(self, road: Road, directory: Path, authority: Authority, names: Names) -> None:
        self.road, self.flags = road, ["--ca-file", authority.ca_file, *road.flags]
        self.values = {"password": PASSWORD}
        self.sent: Callable[[], int] = lambda: 0
        self.refuse: Callable[[bool], object] | None = None
        self._directory, self._authority, self._names = directory, authority, names
        self.lost = directory / "lost"

    def smtp(self, host: str, address: str, *, implicit: bool) -> SmtpServer:
        server = SmtpServer(
            users={address: PASSWORD}, context=self._authority.context(host), plain_auth=False, implicit_tls=implicit
        )
        self._names.lead(host, server.port)
        self.values |= {"address": address, "server": host}
        self.sent = lambda: len(server.messages)
        return server

    def google(self) -> Google:
        google = Google(self._authority)
        file = self._directory / "client_secret.json"
        file.write_text(json.dumps(google.client_secrets()))
        self.values |= {"address": "me@gmail.com", "file": str(file)}
        self.flags += ["--api-endpoint", google.url]
        self.sent = lambda: len(google.messages)
        agrees = google.consent
        self.refuse = lambda refuses: setattr(
            google, "consent", (lambda _: {"error": "access_denied"}) if refuses else agrees
        )
        return google

    def microsoft(self) -> Microsoft:
        microsoft = Microsoft(self._directory, authority=self._authority)
        microsoft.user, microsoft.approves = "jan@outlook.com", True
        microsoft.graph.send_as = {microsoft.user}
        self.values |= {"address": microsoft.user, "id": CLIENT}
        self.flags += ["--authority", microsoft.authority, "--graph-endpoint", microsoft.url]
        self.sent = lambda: len(microsoft.graph.sent)

        def refuse(refuses: bool) -> None:
            microsoft.declines = microsoft.declines_codes = refuses

        self.refuse = refuse
        return microsoft

    # -- the network ---------------------------------------------------------------------------------------------------

    def lose_network(self, lost: bool) -> None:
        """Let no name be found any more, at whatever side of a fork."""
        if lost:
            self.lost.touch()
        else:
            self.lost.unlink(missing_ok=True)

    def look_up(self, system: Any) -> Callable[..., Any]:
        def getaddrinfo(host: Any, *more: Any, **options: Any) -> Any:
            if self.lost.exists() and threading.current_thread().name != BROWSER:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return system(host, *more, **options)

        return getaddrinfo

    # -- the conversation ----------------------------------------------------------------------------------------------

    @property
    def talk(self) -> Talk:
        return [(question, self.fill(text)) for question, text in self.road.talk]

    @property
    def mended(self) -> Talk:
        return [(question, self.fill(text)) for question, text in self.road.mended]

    def fill(self, text: str) -> str:
        return text.format(**self.values)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


class Unreachable:
    """A resolver that nobody answers, until the network is there again."""

    def __init__(self, lost: Path) -> None:
        self._lost = lost

    def resolve(self, name: str, kind: str, **_: Any) -> Any:
        if self._lost.exists():
            raise dns.resolver.LifetimeTimeout(timeout=0.1, errors=[])
        return NoRecords().resolve(name, kind)


class NoRecords:
    """A resolver for which there is one domain in the world that tells nothing, and no other."""

    def resolve(self, name: str, kind: str, **_: Any) -> Any:
        if name.rstrip(".").endswith(".shop.example") or name.rstrip(".") == "shop.example":
            raise dns.resolver.NoAnswer(response=dns.message.make_response(dns.message.make_query(name, kind)))
        raise dns.resolver.NXDOMAIN


def nothing_published(url: str, seconds: float) -> bytes:
    raise OSError("not found")


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    road = BY_NAME[request.param]
    made = Scene(road, tmp_path, authority, Names(monkeypatch))
    monkeypatch.setattr(socket, "getaddrinfo", made.look_up(socket.getaddrinfo))
    monkeypatch.setattr(lookup, "system_resolver", NoRecords)
    monkeypatch.setattr(lookup, "fetch_https", nothing_published)
    monkeypatch.setitem(microsoft_login.__kwdefaults__, "sleep", lambda _: None)  # between looks at a device code
    servers: dict[str, Callable[[], Any]] = {
        "known": lambda: made.smtp("smtp.seznam.cz", "jan@seznam.cz", implicit=True),
        "unknown": lambda: made.smtp("mail.shop.example", "info@shop.example", implicit=False),
        "gmail-password": lambda: made.smtp("smtp.gmail.com", "me@gmail.com", implicit=True),
        "gmail": made.google,
        "outlook": made.microsoft,
        "outlook-code": made.microsoft,
    }
    threads: list[threading.Thread] = []
    with servers[road.name]() as server:

        def open_browser(url: str) -> bool:
            act = server.browser if road.name == "outlook" else lambda url: browse(url, authority.ca_file)
            threads.append(threading.Thread(target=act, args=(url,), daemon=True, name=BROWSER))
            threads[-1].start()
            return True

        monkeypatch.setattr(webbrowser, "open", open_browser)
        yield made
        for thread in threads:
            thread.join(10)


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import here what each forked copy would have to import for itself."""
    for name in ("franking_cli.commands.setup", "google_auth_oauthlib.flow", "googleapiclient.discovery", "msal"):
        import_module(name)


every_road = pytest.mark.parametrize("scene", list(BY_NAME), indirect=True)
TERMINALS = [
    pytest.param(Person, id="here"),
    pytest.param(
        Terminal,
        id="pty",
        marks=[pytest.mark.process, pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")],
    ),
]
at_terminals = pytest.mark.parametrize("terminal", TERMINALS)


def take(terminal: type[Person] | type[Terminal], arguments: list[str], talk: Talk) -> str:
    """Hold a conversation to its green end; return what was shown."""
    person = terminal(*arguments)
    for question, text in talk:
        person.answer(question, text)
    assert person.run() == 0, person.shown
    assert "✓ The account" in person.shown
    return person.shown


def saved() -> dict[str, Any]:
    return tomllib.loads(Path(os.environ["FRANKING_CONFIG"]).read_text("utf-8"))["accounts"]


@every_road
@at_terminals
def test_straight(scene: Scene, terminal: type[Person]) -> None:
    take(terminal, ["setup", *scene.flags], scene.talk)
    assert scene.sent() == 1
    (account,) = saved().values()
    assert account["from"] == scene.values["address"]


@every_road
@at_terminals
def test_a_secret_that_is_refused_is_all_that_is_asked_again(scene: Scene, terminal: type[Person]) -> None:
    talk = scene.talk
    if scene.refuse is None:
        place = next(place for place, (question, _) in enumerate(talk) if question.startswith("Password"))
        talk[place] = (talk[place][0], "an old one")
        again: Talk = [("What now [1]", ""), ("Password of", PASSWORD)]
    else:
        scene.refuse(True)

        def relent(_: str) -> str:
            assert scene.refuse is not None
            scene.refuse(False)
            return ""

        again = [("What now [1]", relent)]
    take(terminal, ["setup", *scene.flags], [*talk, *again])
    assert scene.sent() == 1


@every_road
@at_terminals
def test_a_slip_in_the_address_leads_back_to_it(scene: Scene, terminal: type[Person]) -> None:
    first, *rest = scene.talk
    shown = take(terminal, ["setup", *scene.flags], [(first[0], scene.road.slip), *scene.mended, *rest])
    assert "Look for a slip in its spelling" in " ".join(shown.split())
    (account,) = saved().values()
    assert (account["from"], scene.sent()) == (scene.values["address"], 1)


@every_road
@at_terminals
def test_a_lost_network_asks_for_nothing_again(scene: Scene, terminal: type[Person]) -> None:
    *talk, (last, text) = scene.talk

    def lose(_: str) -> str:
        scene.lose_network(True)
        return str(text)

    def find(_: str) -> str:
        scene.lose_network(False)
        return ""

    take(terminal, ["setup", *scene.flags], [*talk, (last, lose), ("What now [1]", find)])
    assert scene.sent() == 1


INTERRUPTED = [
    pytest.param(kind.values[0], road.name, stop, marks=kind.marks, id=f"{kind.id}-{road.name}-{stop}")
    for kind in TERMINALS
    for road in ROADS
    for stop in range(len(road.talk))
]


@pytest.mark.parametrize(("terminal", "scene", "stop"), INTERRUPTED, indirect=["scene"])
def test_ctrl_c_tells_the_command_that_goes_on_with_all_that_was_answered(
    scene: Scene, terminal: type[Person], stop: int
) -> None:
    talk = scene.talk
    person = terminal("setup", *scene.flags)
    for question, text in talk[:stop]:
        person.answer(question, text)
    person.interrupt(talk[stop][0])
    assert person.run() == 130, person.shown
    assert PASSWORD not in person.shown
    assert not Path(os.environ["FRANKING_CONFIG"]).exists()
    command = next(line for line in person.shown.splitlines() if line.startswith("  franking setup"))
    # a password is no word of a command: it is the one thing that is typed once more
    rest = [(question, text) for question, text in talk[:stop] if question.startswith("Password")] + talk[stop:]
    take(terminal, shlex.split(command)[1:], rest)
    assert scene.sent() == 1


@every_road
def test_a_lost_network_at_the_end_leaves_a_command_too(scene: Scene) -> None:
    scene.lose_network(True)
    person = Person("setup", *scene.flags)
    for question, text in scene.talk:
        if scene.road.name == "unknown" and question.startswith("Login name"):
            # nothing answered at its ports
            person.answer("Security (none, starttls, tls) [starttls]", "")
            person.answer("Port [587]", "")
        person.answer(question, text)
    person.answer("What now [1]", "quit")
    assert person.run() in (1, 4, 5), person.shown
    assert re.search(r"^  franking setup \S+", person.shown, re.MULTILINE), person.shown


@pytest.mark.parametrize("scene", ["unknown"], indirect=True)
def test_a_network_that_is_lost_at_the_first_look_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "system_resolver", lambda: Unreachable(scene.lost))
    scene.lose_network(True)

    def find(_: str) -> str:
        scene.lose_network(False)
        return ""

    first, *rest = scene.talk
    shown = take(Person, ["setup", *scene.flags], [first, ("Which one [1]", find), *rest])
    assert "1. Look it up again (is this computer online?)" in shown
    assert scene.sent() == 1


@pytest.mark.parametrize("scene", ["known"], indirect=True)
def test_settings_that_cannot_be_written_leave_the_command(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SettingsError("the disk is full")

    monkeypatch.setattr("franking.account.editing.save", full)
    person = Person("setup", *scene.flags)
    for question, text in scene.talk:
        person.answer(question, text)
    assert person.run() == 2
    assert "  franking setup jan@seznam.cz" in person.shown


@pytest.mark.parametrize("scene", ["gmail", "outlook"], indirect=True)
def test_a_client_that_is_given_is_the_road(scene: Scene) -> None:
    flag = {"gmail": "--client-secrets", "outlook": "--client-id"}[scene.road.name]
    value = scene.values.get("file") or scene.values["id"]
    first, *_, last = scene.talk
    take(Person, ["setup", *scene.flags, flag, value], [first, last])
    assert scene.sent() == 1


@pytest.mark.parametrize("scene", ["gmail"], indirect=True)
def test_a_road_that_does_not_take_what_a_flag_gave_is_chosen_anew(scene: Scene) -> None:
    first, choice, *rest = scene.talk
    person = Person("setup", *scene.flags)
    person.answer(*first)
    person.answer(choice[0], "")
    person.answer("api_endpoint is not a setting of smtp accounts", "2")
    for question, text in rest:
        person.answer(question, text)
    assert person.run() == 0, person.shown
    assert scene.sent() == 1
