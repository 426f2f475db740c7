"""What may have been accepted is looked for in the mailbox, where the provider keeps our Message-ID."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import franking
from franking.outbox.lookup import TIMES
from outbox.test_outbox import Clock
from servers.graph import Sent
from servers.services import SERVICES, Service


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "graph").mkdir()
    with SERVICES["Graph"](tmp_path / "graph") as service:
        yield service


def saved(service: Service, monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
    account = service.account.replace(**settings)
    given = {"provider": account.provider, "from": str(account.sender), **account.given}
    lines = [
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in given.items()
    ]
    Path(os.environ["FRANKING_CONFIG"]).write_text("\n".join(["[accounts.shop]", *lines]) + "\n")
    monkeypatch.setenv("FRANKING_STATE_DIR", str(service.store.directory))


def unknown(service: Service, box: franking.Outbox, *, accepted: bool, text: str = "x") -> franking.OutboxEntry:
    assert service.loses is not None
    service.loses(accepted)
    (entry,) = box.put_many("shop", [franking.Message(to=["jana@example.com"], subject="x", text=text)])
    assert box.run(once=True).outcomes == {"unknown": 1}
    return entry


@pytest.mark.parametrize("text", ["x", "x" * 300_000])
def test_what_is_found_was_accepted(text: str, graph: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(graph, monkeypatch)
    clock = Clock()
    box = franking.Outbox(clock=clock)
    entry = unknown(graph, box, accepted=True, text=text)
    clock.now += TIMES[0] - 1
    assert box.run(once=True).outcomes == {}
    assert "GET" not in " ".join(graph.api.requests[-1:])
    clock.now += 2
    assert box.run(once=True).outcomes == {"accepted": 1}
    found = box.get(entry.id)
    assert (found.state, found.waiting, found.receipt) == ("accepted", (), None)
    assert found.diagnosis is not None
    assert found.diagnosis.code == "outbox.found"
    assert graph.subjects() == ["x"]
    assert [path.suffix for path in (box.directory / "bodies").iterdir()] == []


def test_what_is_not_found_stays_unknown_and_is_looked_for_three_times(
    graph: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(graph, monkeypatch)
    clock = Clock()
    box = franking.Outbox(clock=clock)
    entry = unknown(graph, box, accepted=False)
    assert graph.drafts is not None
    graph.drafts["draft-0"] = Sent("jan@contoso.com", "draft", message_id=entry.message_id)
    before = len(graph.api.requests)
    for _ in range(50):
        clock.now += 120
        assert box.run(once=True).outcomes == {}
    assert len(graph.api.requests) - before == len(TIMES)
    assert box.get(entry.id).state == "unknown"
    assert graph.subjects() == []


def test_a_running_runner_looks_by_itself(graph: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(graph, monkeypatch)
    monkeypatch.setattr("franking.outbox.lookup.TIMES", (0.2,))
    box = franking.Outbox()
    entry = unknown(graph, box, accepted=True)
    stop = threading.Event()
    runner = threading.Thread(target=box.run, args=(stop,))
    runner.start()
    until = time.monotonic() + 20
    while box.get(entry.id).state != "accepted" and time.monotonic() < until:
        time.sleep(0.05)
    stop.set()
    runner.join(30)
    assert box.get(entry.id).state == "accepted"


@pytest.mark.parametrize("settings", [{"large_attachments": False}, {"save_to_sent": False}])
def test_nobody_is_asked_who_may_not_be(
    settings: dict[str, bool], graph: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(graph, monkeypatch, **settings)
    clock = Clock()
    box = franking.Outbox(clock=clock)
    entry = unknown(graph, box, accepted=True)
    before = len(graph.api.requests)
    clock.now += TIMES[0] + 1
    assert box.run(once=True).outcomes == {}
    assert (len(graph.api.requests), box.get(entry.id).state) == (before, "unknown")


def test_an_account_that_is_gone_and_a_mailbox_that_cannot_be_asked_prove_nothing(
    graph: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(graph, monkeypatch)
    clock = Clock()
    box = franking.Outbox(clock=clock)
    entry = unknown(graph, box, accepted=True)
    config = Path(os.environ["FRANKING_CONFIG"])
    text = config.read_text()
    config.write_text(text.replace("accounts.shop", "accounts.other"))
    clock.now += TIMES[0] + 1
    assert box.run(once=True).outcomes == {}
    config.write_text(text)
    clock.now += TIMES[1]
    assert box.run(once=True).outcomes == {"accepted": 1}
    assert box.get(entry.id).state == "accepted"
