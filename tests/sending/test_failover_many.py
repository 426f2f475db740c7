"""Many messages that another account goes on with: by its own window and connections, each once, none lost."""

from __future__ import annotations

import email
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.sending.failover import Failover
from franking.sending.mailer import Mailer
from franking.sending.queue import SendResult
from franking.sending.retry import NEVER, Policy
from servers.delay import Delay
from servers.smtp import Act, Fault, SmtpServer, hangs_up, says, silence, then, wait_until
from tiers import one_of_each

Ids = dict[int, set[str]]


def accounts(**ports: int) -> None:
    """Write down an account on each port; the others stand in for the first, in their order."""
    shop, *others = ports
    lines = []
    for name, port in ports.items():
        lines += [f"[accounts.{name}]", "provider = 'smtp'", f"from = 'Jan Novák <{name}@novak.cz>'", "timeout = 5"]
        lines += ["host = '127.0.0.1'", "security = 'none'", f"port = {port}"]
        lines += [f"fallback = {others}"] * (name == shop)
    Path(os.environ["FRANKING_CONFIG"]).write_text("\n".join(lines))


def letters(count: int) -> Iterator[franking.Message]:
    for number in range(count):
        yield franking.Message(to=f"r{number}@example.com", subject="Faktura", text=f"{number}")


def send(messages: Any, *, mailer: Mailer | None = None, **options: Any) -> tuple[dict[int, SendResult], Ids]:
    """Send many; return the results, which are complete, and the Message-IDs that were told to begin."""
    ids: Ids = {}
    with mailer or franking.connect("shop") as mailer:
        found = list(mailer.send_many(messages, started=lambda i, mid: ids.setdefault(i, set()).add(mid), **options))
    results = {result.index: result for result in found}
    assert len(found) == len(results), "each message has one result"
    assert sorted(results) == list(range(len(results)))
    return results, ids


def said(results: dict[int, SendResult]) -> Counter[str]:
    return Counter(result.receipt.account if result.receipt else result.outcome for result in results.values())


def received(server: SmtpServer) -> Counter[str]:
    return Counter(str(email.message_from_bytes(each.data)["Message-ID"]) for each in server.messages)


def failures() -> int:
    path = Path(os.environ["FRANKING_STATE_DIR"]) / "failover" / "shop.json"
    return int(json.loads(path.read_text())["failures"]) if path.exists() else 0


def dies(at: int, act: Act, connections: int) -> list[Fault]:
    """Let each of the first connections end at a MAIL, and take no other."""
    later = [Fault("connect", hangs_up, connection=number) for number in range(connections + 1, connections + 20)]
    return [*(Fault("mail", act, nth=at, connection=number) for number in range(1, connections + 1)), *later]


@pytest.fixture
def spare() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


@pytest.mark.parametrize("act", [says("421 4.3.2 closing"), hangs_up], ids=["421", "cut"])
@pytest.mark.parametrize("others", one_of_each([1, 3], type))
@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("window", [1, 16])
def test_the_first_dies_in_the_middle(window: int, connections: int, others: int, act: Act, spare: SmtpServer) -> None:
    with ExitStack() as stack:
        shop = stack.enter_context(SmtpServer(faults=dies(6, act, connections)))
        refuses = stack.enter_context(SmtpServer(faults=[Fault("mail", says("451 4.3.0 later"), nth=None)]))
        ports = {"spare": spare.port} if others == 1 else {"shut": 1, "refuses": refuses.port, "spare": spare.port}
        accounts(shop=shop.port, **ports)
        results, ids = send(letters(60), window=window, connections=connections)
    assert len(results) == 60
    here, there = received(shop), received(spare)
    assert {*here.values(), *there.values()} == {1} and not here.keys() & there.keys(), "none is doubled"
    assert refuses.messages == []
    for index, result in results.items():
        (told,) = ids[index]  # the same through both
        if result.receipt is None:
            assert act is hangs_up and result.outcome == "unknown" and told not in there
            continue
        by = {"shop": here, "spare": there}[result.receipt.account]
        assert result.outcome == "accepted" and result.receipt.message_id == told and told in by
        assert bool(result.receipt.warnings) == (result.receipt.account == "spare")
    counted = said(results)
    assert counted["shop"] == len(here) >= 5 and counted["spare"] == len(there) > 0
    assert counted["unknown"] <= (window * connections if act is hangs_up else 0)
    assert len(spare.sessions) <= connections
    assert failures() == 1


def test_what_stands_in_fills_its_window(spare: SmtpServer) -> None:
    with Delay(spare.port, one_way=0.002) as delay:
        accounts(shop=1, spare=delay.port)
        results, _ = send(list(letters(64)), window=16)
    assert said(results) == {"spare": 64}
    assert sum(trip.round_trips for trip in delay.trips) < 20, "one by one it would be 64"


@pytest.mark.parametrize("connections", [1, 3])
def test_while_the_first_rests_nothing_asks_it(connections: int, spare: SmtpServer) -> None:
    with SmtpServer(faults=[Fault("mail", says("451 4.7.1 later"), connection=1)]) as shop:
        accounts(shop=shop.port, spare=spare.port)
        send(letters(1))
        results, _ = send(letters(9), connections=connections)
        assert said(results) == {"spare": 9}
        assert all("'shop' could not" in str(result.receipt and result.receipt.warnings) for result in results.values())
    assert len(shop.sessions) == 1 and shop.messages == []


def test_the_first_goes_on_when_its_rest_is_over(spare: SmtpServer) -> None:
    with SmtpServer(faults=[Fault("mail", says("451 4.7.1 later"), connection=1)]) as shop:
        accounts(shop=shop.port, spare=spare.port)
        now = [1_000_000.0]
        mailer = franking.connect("shop")
        mailer.__dict__["failover"] = Failover(mailer, clock=lambda: now[0])

        def items() -> Iterator[franking.Message]:
            for number, letter in enumerate(letters(9)):
                now[0] += 61 if number == 5 else 0
                yield letter

        results, _ = send(items(), mailer=mailer)
    senders = [result.receipt.account for _, result in sorted(results.items()) if result.receipt]
    assert senders == ["spare"] * 6 + ["shop"] * 3
    assert failures() == 0, "it is well again"


def test_another_program_finds_out_that_the_first_cannot(spare: SmtpServer) -> None:
    with SmtpServer() as shop:
        accounts(shop=shop.port, spare=spare.port)
        now = [1_000_000.0]
        mailer, another = franking.connect("shop"), franking.connect("shop")
        for each in (mailer, another):
            each.__dict__["failover"] = Failover(each, clock=lambda: now[0])

        def items() -> Iterator[franking.Message]:
            for number, letter in enumerate(letters(6)):
                if number == 3:
                    another.failover.note(franking.LoginRequired("sign in again"))
                    now[0] += 2
                yield letter

        results, _ = send(items(), mailer=mailer)
    assert said(results) == {"shop": 4, "spare": 2}


def test_none_can_so_the_account_tries_again_as_it_would_alone() -> None:
    faults = [Fault("connect", hangs_up, connection=number) for number in (1, 2)]
    with SmtpServer(faults=faults) as shop:
        accounts(shop=shop.port, spare=1)
        results, _ = send(letters(20), policy=Policy(first=0.01))
    assert said(results) == {"shop": 20}
    assert len(shop.sessions) == 3
    assert failures() == 0


@pytest.mark.parametrize("connections", [1, 3])
def test_none_can_and_each_message_is_told_so(connections: int) -> None:
    accounts(shop=1, spare=1)
    results, ids = send(letters(20), policy=NEVER, connections=connections)
    assert said(results) == {"failed": 20}
    errors = [result.error for result in results.values()]
    assert all(isinstance(error, franking.ConnectError) and error.diagnosis for error in errors)
    assert ids == {}


def test_what_a_server_answered_to_is_no_other_accounts(spare: SmtpServer) -> None:
    """The first recipient is put off, and the next sender too: the first message ends as it was answered."""
    faults = [Fault("rcpt", says("450 4.2.0 greylisted"), nth=1), Fault("mail", says("451 4.7.1 later"), nth=2)]
    with SmtpServer(faults=faults) as shop:
        accounts(shop=shop.port, spare=spare.port)
        results, ids = send(letters(3))
    assert said(results) == {"failed": 1, "spare": 2}
    error = results[0].error
    assert isinstance(error, franking.RecipientsRefused) and error.temporary
    assert ids[0].isdisjoint(received(spare))


def test_a_recipient_who_has_it_gets_it_once(spare: SmtpServer) -> None:
    later = says("451 4.7.1 later")  # once more on a new session: the first has carried a message
    faults = [Fault("rcpt", says("450 4.2.0 greylisted"), nth=2, connection=1), Fault("mail", later, nth=2)]
    faults += [Fault("mail", later, connection=2)]
    two = franking.Message(to=["a@example.com", "b@example.com"], text="x")
    with SmtpServer(faults=faults) as shop:
        accounts(shop=shop.port, spare=spare.port)
        results, _ = send([two, *letters(1)])
    first = results[0].receipt
    assert first is not None and (first.account, first.accepted) == ("shop", ("a@example.com",))
    assert list(first.refused) == ["b@example.com"]
    assert [each.recipients for each in spare.messages] == [["r0@example.com"]]


def test_the_days_limit_of_each(spare: SmtpServer) -> None:
    with SmtpServer() as shop:
        accounts(shop=shop.port, spare=spare.port)
        results, _ = send(letters(7), per_day=3)
    assert said(results) == {"shop": 3, "spare": 3, "failed": 1}
    assert isinstance(results[6].error, franking.Throttled)


def test_a_wrong_password_is_tried_once(monkeypatch: pytest.MonkeyPatch, spare: SmtpServer) -> None:
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "Canary7-hunter2")
    with SmtpServer(users={"jana": "another"}) as shop:
        accounts(shop=shop.port, spare=spare.port)
        path = Path(os.environ["FRANKING_CONFIG"])
        path.write_text(path.read_text().replace("timeout = 5", "timeout = 5\nusername = 'jana'", 1))
        results, _ = send(letters(5))
    assert said(results) == {"spare": 5}
    assert len(shop.sessions) == 1


def test_an_error_of_the_iterable_comes_after_the_results(spare: SmtpServer) -> None:
    accounts(shop=1, spare=spare.port)

    def items() -> Iterator[franking.Message]:
        yield from letters(1)
        raise ValueError("no more")

    got = []
    with franking.connect("shop") as mailer, pytest.raises(ValueError, match="no more"):
        got += [result.outcome for result in mailer.send_many(items(), window=4)]
    assert len(spare.messages) == 1


@pytest.mark.parametrize("connections", [1, 2])
def test_a_run_that_is_stopped_hands_nothing_on(connections: int, spare: SmtpServer) -> None:
    stop = threading.Event()

    def stops(peer: Any, reply: str) -> None:
        stop.set()

    with SmtpServer(faults=[Fault("mail", then(stops, says("451 4.7.1 later")), nth=None)]) as shop:
        accounts(shop=shop.port, spare=spare.port)
        results, _ = send(letters(5), stop=stop, connections=connections)
    assert set(said(results)) == {"failed"} and len(results) <= connections
    assert spare.messages == spare.sessions == []


def test_after_an_interruption_no_other_account_begins(spare: SmtpServer) -> None:
    """The window's messages are drawn, the first of them finds nobody, and then comes Ctrl-C."""

    def items() -> Iterator[franking.Message]:
        yield from letters(1)
        raise KeyboardInterrupt

    with SmtpServer(faults=[Fault("mail", says("451 4.7.1 later"), nth=None)]) as shop:
        accounts(shop=shop.port, spare=spare.port)
        got = []
        with franking.connect("shop") as mailer, pytest.raises(KeyboardInterrupt):
            for result in mailer.send_many(items(), window=4):
                got.append(result)
    assert [result.outcome for result in got] == ["failed"]
    assert spare.sessions == []


def test_who_stands_in_is_broken_off_too() -> None:
    with SmtpServer(faults=[Fault("body", silence)]) as spare:
        accounts(shop=1, spare=spare.port)
        mailer = franking.connect("shop")

        def breaks_off() -> None:
            wait_until(lambda: any("BDAT" in line for heard in spare.sessions for line in heard.lines))
            mailer.abort()

        thread = threading.Thread(target=breaks_off)
        thread.start()
        results, _ = send(letters(3), mailer=mailer)
        thread.join()
    assert results[0].outcome == "unknown"
    assert len(results) == 1


def test_a_name_that_no_account_has_is_told_at_once() -> None:
    accounts(shop=1, spare=1)
    path = Path(os.environ["FRANKING_CONFIG"])
    path.write_text(path.read_text().replace("['spare']", "['nobody']"))
    with franking.connect("shop") as mailer, pytest.raises(franking.SettingsError, match="nobody"):
        mailer.send_many(letters(1))
