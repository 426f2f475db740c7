"""A webhook whose name leads nowhere, or to a dead address first, holds nobody up: it is reached as every other server
is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from health.looking import Clock, finding, settings
from health.test_alerts import SECRET_PATH, Hook, tell
from outbox.test_outbox import save
from servers.names import Names, silent
from servers.ports import closed_port, full_backlog
from servers.tunnel import Tunnel
from servers.web import Authority

NAME = "hook.localhost"


class Wide(Authority):
    """Every certificate of its is for ``NAME`` too."""

    def context(self, *names: str, expired: bool = False) -> Any:
        return super().context(NAME, *names, expired=expired)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.fixture
def hook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hook]:
    made = Hook(Wide(tmp_path_factory.mktemp("ca")))
    with made.web:
        save(1)
        settings(f"[alerts]\nwebhook = 'https://{NAME}{SECRET_PATH}'\nca_file = '{made.authority.ca_file}'\n")
        yield made


def untold(clock: Clock) -> str:
    return finding(tell(clock), "alert.untold", None).text()


@pytest.mark.timeout(20)
def test_a_dead_address_before_a_living_one(
    hook: Hook, names: Names, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("franking.health.channels.WEBHOOK_SECONDS", 3600.0)
    with full_backlog() as nowhere:
        names.lead(NAME, nowhere, closed_port(), hook.web.port)
        tell(clock)
    assert [code for _, code, _, _ in hook.changes()] == ["server.unreachable"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("trouble", ["hanging name", "nobody answers", "accepts and says nothing"])
def test_what_never_answers_is_given_up(
    trouble: str, hook: Hook, names: Names, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("franking.health.channels.WEBHOOK_SECONDS", 0.3)
    with full_backlog() as nowhere, silent() as mute, names.hanging(NAME):
        if trouble != "hanging name":
            names.lead(NAME, nowhere if trouble == "nobody answers" else mute)
        assert "could not be reached" in untold(clock)
    assert hook.told == []


def test_what_is_wrong_is_told_without_the_address(hook: Hook, names: Names, clock: Clock) -> None:
    names.lead(NAME, closed_port())
    said = untold(clock)
    assert "connection refused" in said and SECRET_PATH not in said


def test_it_goes_through_the_proxy_of_the_environment(
    hook: Hook, names: Names, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    proxy = Tunnel(seen)
    with proxy as port:  # the name itself leads nowhere from here
        names.lead(NAME, closed_port())
        file = settings()
        file.write_text(file.read_text("utf-8").replace(f"{NAME}/", f"{NAME}:{hook.web.port}/"), "utf-8")
        monkeypatch.setenv("HTTPS_PROXY", f"http://name:pass%20word@127.0.0.1:{port}")
        tell(clock)
    assert [code for _, code, _, _ in hook.changes()] == ["server.unreachable"]
    assert [line.split()[:2] for line in seen] == [["CONNECT", f"{NAME}:{hook.web.port}"]]
    assert "Proxy-Authorization: Basic bmFtZTpwYXNzIHdvcmQ=\r\n" in proxy.heads[0]
    assert SECRET_PATH not in proxy.heads[0]


def test_no_proxy_is_honoured(hook: Hook, names: Names, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    names.lead(NAME, hook.web.port)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("NO_PROXY", NAME)
    tell(clock)
    assert len(hook.told) == 1


@pytest.mark.parametrize("kind", ["http", "socks5h"])
def test_a_proxy_that_does_not_help_is_named(
    kind: str, hook: Hook, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tunnel([], refuse=True) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"{kind}://name:canary@127.0.0.1:{port}")
        said = untold(clock)
    refused = f"the proxy 127.0.0.1:{port} refused to help (HTTP 407)"
    assert (refused if kind == "http" else "HTTPS_PROXY must name an HTTP proxy") in said
    assert "canary" not in said and SECRET_PATH not in said
    assert hook.told == []


def test_its_address_is_printed_by_nobody(
    hook: Hook, clock: Clock, names: Names, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("http.client.HTTPConnection.debuglevel", 1)  # a program that looks for its own mistake
    names.lead(NAME, hook.web.port)
    tell(clock)
    assert hook.told and SECRET_PATH not in capsys.readouterr().out
