"""Nights of an outbox, with a run every five minutes as cron does it: what leaves when, as ``franking outbox list``
tells it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import franking
from commandline import franking as command
from franking.account.editing import save as save_account
from outbox.test_outbox import save
from servers.ports import reserved_ports
from servers.services import SERVICES, Service
from servers.smtp import Fault, SmtpServer, says
from servers.web import Reply, Request

pytestmark = pytest.mark.slow

MINUTE, HOUR = 60.0, 3600.0
PAUSES = (60, 120, 300, 900, 1800, 3600, 7200, 14400)


class Cron:
    """Run the outbox every five minutes, on a clock that a test moves."""

    def __init__(self) -> None:
        self.now = time.time() + MINUTE  # whatever a test puts in is due
        self.box = franking.Outbox(clock=lambda: self.now)

    def until(self, hours: float, *, every: float = 5 * MINUTE) -> list[Any]:
        """Let time go by; return what each run led to."""
        end, done = self.now + hours * HOUR, []
        while self.now < end:
            done.append(self.box.run(once=True))
            self.now += every
        return done


@pytest.fixture
def cron() -> Iterator[Cron]:
    made = Cron()
    yield made
    made.box.close()


def listed() -> dict[str, dict[str, Any]]:
    """Return what ``franking outbox list --json`` tells, by subject."""
    return {entry["subject"]: entry for entry in command("outbox", "list", "--json").json}


def put(account: str, *numbers: int, to: str = "jana@example.com") -> list[str]:
    with franking.connect(account) as mailer:
        return [mailer.queue(franking.Message(to=to, subject=f"n{number}", text="x")).subject for number in numbers]


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_without_network_all_wait_and_leave_with_the_next_attempt(cron: Cron) -> None:
    (port,) = reserved_ports(1)
    save(port)
    subjects = put("shop", 1, 2, 3)
    began = cron.now
    for failures in range(1, len(PAUSES) + 1):  # exactly when each pause is over
        (ran,) = cron.until(1e-9)
        assert ran.held == {"shop": "connect.refused"}
        told = listed()
        assert {(entry["state"], entry["held"]) for entry in told.values()} == {("queued", "connect.refused")}
        assert sum(entry["attempts"] for entry in told.values()) == failures  # one message for all
        assert all(entry["diagnosis"] is None or entry["receipt"] is None for entry in told.values())
        (next_at,) = {seconds(entry["next_at"]) for entry in told.values()}
        pause = next_at - (cron.now - 5 * MINUTE)
        assert 0.79 < pause / PAUSES[failures - 1] < 1.21
        cron.now = next_at - 1
        assert cron.box.run(once=True).held == {}  # not before
        cron.now = next_at + 0.01
    assert cron.now - began < 12 * HOUR
    with SmtpServer(port=port) as server:
        assert cron.until(0.1)[0].outcomes == {"accepted": 3}
        told = listed()
        assert {told[subject]["state"] for subject in subjects} == {"accepted"}
        assert {(entry["held"], entry["next_at"]) for entry in told.values()} == {(None, None)}
        cron.until(1)
    assert len(server.messages) == 3


def test_who_does_not_want_to_wait_says_retry(cron: Cron) -> None:
    (port,) = reserved_ports(1)
    save(port)
    put("shop", 1, 2)
    cron.until(5)
    with SmtpServer(port=port) as server:
        assert cron.box.run(once=True).outcomes == {}
        assert command("outbox", "retry", next(iter(listed().values()))["id"]).code == 0
        assert cron.box.run(once=True).outcomes == {"accepted": 2}
    assert len(server.messages) == 2


@contextmanager
def revoked(service: Service) -> Iterator[None]:
    """Let the token endpoint say that the sign-in is over."""
    answer = service.api.answer

    def over(request: Request) -> Reply:
        if not request.path.endswith("/token"):
            return answer(request)
        request.read()
        said = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        return Reply(400, said)

    service.api.answer = over
    yield
    service.api.answer = answer


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with SERVICES[request.param](tmp_path) as made:
        monkeypatch.setenv("FRANKING_STATE_DIR", str(made.store.directory))
        save_account(made.account)
        yield made


def test_a_sign_in_that_died_holds_until_it_is_renewed(service: Service, cron: Cron) -> None:
    subjects = put("shop", 1, 2)
    with revoked(service):
        (ran,) = cron.until(1e-9)
        assert ran.sign_in == {"shop"}
        cron.until(5)  # the seventh attempt is behind it, the eighth six hours off
        told = listed()
        assert {entry["state"] for entry in told.values()} == {"queued"}
        assert len({entry["held"] for entry in told.values()}) == 1
        assert all(entry["held"].rpartition(".")[2] in ("invalid-grant", "required") for entry in told.values()), told
        tried = [entry["diagnosis"] for entry in told.values() if entry["diagnosis"]]
        assert tried and all(any("franking login shop" in text for text in one["remedies"]) for one in tried)
    cron.until(0.1)
    assert service.subjects() == []  # it works again, and nobody has said so
    signed_in = service.store.load("shop")
    assert signed_in is not None
    service.store.save("shop", signed_in)  # as a login does
    assert cron.box.run(once=True).outcomes == {"accepted": 2}
    assert sorted(service.subjects()) == subjects
    assert {entry["state"] for entry in listed().values()} == {"accepted"}


def test_a_service_that_throttles_says_when(service: Service, cron: Cron) -> None:
    answer, asked = service.api.answer, 0

    def slow_down(request: Request) -> Reply:
        nonlocal asked
        if f"{request.method} {request.path}" != service.send:
            return answer(request)
        asked += 1
        request.read()
        said = {"error": {"code": 429, "message": "Too many requests"}}
        return Reply(429, said, {"Retry-After": "5400"})

    put("shop", 1, 2)
    service.api.answer = slow_down
    cron.until(1e-9)
    told = listed()
    assert {entry["state"] for entry in told.values()} == {"queued"} and all(entry["held"] for entry in told.values())
    (next_at,) = {seconds(entry["next_at"]) for entry in told.values()}
    assert abs(next_at - (cron.now - 5 * MINUTE) - 5400) < 2
    cron.until(1.4)
    assert asked == 1  # nobody knocks before
    service.api.answer = answer
    shutil.rmtree(service.store.directory / "limits")  # what all programs know of the mailbox goes by the real clock
    done = cron.until(0.2)
    assert sum(ran.outcomes.get("accepted", 0) for ran in done) == 2


def test_a_server_that_throttles_is_asked_by_the_pauses(cron: Cron) -> None:
    with SmtpServer(faults=[Fault("mail", says("421 4.7.0 too many messages, slow down"), nth=None)]) as server:
        save(server.port)
        put("shop", 1, 2)
        cron.until(10)
        told = listed()
        assert {(entry["state"], entry["held"]) for entry in told.values()} == {("queued", told["n1"]["held"])}
        assert told["n1"]["held"]
        assert sum(entry["attempts"] for entry in told.values()) <= 2 * len(PAUSES)
        server.faults.clear()
        done = cron.until(5)
    assert sum(ran.outcomes.get("accepted", 0) for ran in done) == 2
    assert len(server.messages) == 2


def test_one_of_five_accounts_is_dead(cron: Cron) -> None:
    (port,) = reserved_ports(1)
    with SmtpServer() as server:
        for name in "abcde":
            save(port if name == "c" else server.port, name)
        for number in range(3):  # one after the other, as programs put them in
            for place, name in enumerate("abcde"):
                put(name, 10 * place + number)
        cron.until(1e-9)
        told = listed().values()
        assert {entry["account"] for entry in told if entry["state"] == "accepted"} == set("abde")
        waiting = [entry for entry in told if entry["state"] != "accepted"]
        assert {(entry["account"], entry["state"], entry["held"]) for entry in waiting} == {
            ("c", "queued", "connect.refused")
        }
        assert len(server.messages) == 12
        cron.until(10)
        put("a", 99)
        assert cron.box.run(once=True).outcomes == {"accepted": 1}


def test_what_is_refused_ends_alone_and_what_is_put_off_waits_alone(cron: Cron) -> None:
    refused = {"no@example.com": "550 5.1.1 unknown", "later@example.com": "450 4.2.1 greylisted"}
    with SmtpServer(refused=refused) as server:
        save(server.port)
        put("shop", 1)
        put("shop", 2, to="no@example.com")
        put("shop", 3, to="later@example.com")
        put("shop", 4)
        (ran,) = cron.until(1e-9)
        assert ran.outcomes == {"accepted": 2, "refused": 1, "queued": 1}
        told = listed()
        assert {subject: entry["state"] for subject, entry in told.items()} == {
            "n1": "accepted", "n2": "refused", "n3": "queued", "n4": "accepted",
        }  # fmt: skip
        assert "550 5.1.1 unknown" in told["n2"]["diagnosis"]["raw"]
        assert (told["n3"]["held"], told["n3"]["waiting"]) == (None, ["later@example.com"])
        assert 0.79 < (seconds(told["n3"]["next_at"]) - (cron.now - 5 * MINUTE)) / MINUTE < 1.21
        cron.until(1)  # by the pauses: after 1, 2, 5, 15 and 30 minutes
        assert 3 <= listed()["n3"]["attempts"] <= 6
        server.refused.clear()
        cron.until(1.5)
    assert {entry["state"] for entry in listed().values()} == {"accepted", "refused"}
    assert [received.recipients for received in server.messages].count(["later@example.com"]) == 1
