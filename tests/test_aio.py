"""Franking for asyncio, against real servers: what is sent, what is cancelled, and that nothing is lost or left
behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import franking
from franking import aio
from franking.sending.queue import SendResult
from franking_cli.embedded_server import MailServer
from servers.delay import Delay
from servers.google import Google
from servers.smtp import Fault, Peer, SmtpServer, hangs_up, says, silence, wait_until
from servers.web import CUT, Authority, Reply, Request
from tiers import one_of_each


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """No thread of ours outlives a test, and no coroutine, future or socket was forgotten."""
    before = set(threading.enumerate())  # what another file's strike left behind is not ours
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()
    wait_until(
        lambda: not [one for one in {*threading.enumerate()} - before if one.name.startswith("franking")]
    )  # one may be opening a session yet


def at(server: Any, **more: Any) -> franking.Account:
    return franking.Account(
        name="t",
        provider="smtp",
        sender="jan@example.com",
        host="127.0.0.1",
        port=server.port,
        security="none",
        **{"timeout": 10, **more},
    )


def letter(number: int = 0, **more: Any) -> franking.Message:
    return franking.Message(**{"to": f"to{number}@example.com", "subject": f"number {number}", "text": "x", **more})


async def arrives(*events: threading.Event) -> None:
    for event in events:
        assert await asyncio.to_thread(event.wait, 10)


def holds(reached: threading.Event, go_on: threading.Event, then: Any = None) -> Any:
    """A fault: tell that the step was reached, wait, and then do what would have been done."""

    def act(peer: Peer, reply: str) -> None:
        reached.set()
        go_on.wait(10)
        (then or says(reply))(peer, reply)

    return act


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_send_and_check(server: SmtpServer) -> None:
    async def main() -> None:
        async with aio.connect(at(server)) as mailer:
            await mailer.check()
            receipt = await mailer.send(letter())
            assert isinstance(receipt, franking.Receipt)
            assert receipt.accepted == ("to0@example.com",)
            await mailer.send(
                b"To: a@example.com\r\n\r\n", envelope=franking.Envelope("b@example.com", ["c@example.com"])
            )
            await mailer.close()
            with pytest.raises(franking.SettingsError, match="closed"):
                await mailer.send(letter(3))
            with pytest.raises(franking.SettingsError, match="closed"):
                await anext(mailer.send_many([letter(3)]))
        assert (await aio.send(at(server), letter(2))).accepted == ("to2@example.com",)

    asyncio.run(main())
    assert [message.recipients[0] for message in server.messages] == [
        "to0@example.com",
        "c@example.com",
        "to2@example.com",
    ]
    assert len(server.sessions) == 2


def test_tasks_share_a_mailer_and_its_connections(server: SmtpServer) -> None:
    async def main() -> None:
        async with aio.connect(at(server), connections=3) as mailer:
            receipts = await asyncio.gather(*[mailer.send(letter(number)) for number in range(20)])
        assert [receipt.accepted[0] for receipt in receipts] == [f"to{number}@example.com" for number in range(20)]

    asyncio.run(main())
    assert len(server.messages) == 20
    assert len(server.sessions) <= 3


def test_errors_are_those_of_the_mailer() -> None:
    async def main() -> None:
        with SmtpServer(refused={"to0@example.com": "550 5.1.1 nobody"}) as server:
            async with aio.connect(at(server)) as mailer:
                with pytest.raises(franking.RecipientsRefused) as caught:
                    await mailer.send(letter())
                assert caught.value.diagnosis is not None
                found = aio.result_of(caught.value)
                assert found is not None and found.outcome == "failed"
        with pytest.raises(franking.SettingsError):
            await aio.send("nobody", letter())
        assert aio.result_of(ValueError()) is None

    asyncio.run(main())


def test_send_test_with_aiosmtpd() -> None:
    async def main() -> None:
        with MailServer(sender="jan@example.com") as server:
            report = await aio.send_test(server.account({}), "me@example.com", secret=server.password)
            assert report.ok
            assert server.received[0].recipients == ("me@example.com",)
            report = await aio.send_test(server.account({}), "me@example.com", secret="wrong")
            assert report.diagnosis is not None and report.diagnosis.code.startswith("login.")

    asyncio.run(main())


def test_the_loop_goes_on_meanwhile(server: SmtpServer) -> None:
    async def main() -> None:
        reached, go_on = threading.Event(), threading.Event()
        server.faults.append(Fault("body", holds(reached, go_on, says("250 2.0.0 ok"))))
        async with aio.connect(at(server)) as mailer:
            task = asyncio.create_task(mailer.send(letter()))
            await arrives(reached)
            assert not task.done()
            go_on.set()
            await task

    asyncio.run(main())


# -- many --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_send_many(server: SmtpServer, connections: int, asynchronous: bool) -> None:
    server.refused["to7@example.com"] = "550 5.1.1 nobody"

    async def produced() -> AsyncIterator[franking.Message]:
        for number in range(30):
            await asyncio.sleep(0)
            yield letter(number)

    async def main() -> list[SendResult]:
        source: Any = produced() if asynchronous else (letter(number) for number in range(30))
        async with aio.connect(at(server), connections=connections, window=8) as mailer:
            return [result async for result in mailer.send_many(source)]

    results = asyncio.run(main())
    assert sorted(result.index for result in results) == list(range(30))
    assert [result.index for result in results if result.outcome != "accepted"] == [7]
    assert len(server.messages) == 29


def test_an_error_of_the_source_comes_through_after_the_results(server: SmtpServer) -> None:
    async def produced() -> AsyncIterator[franking.Message]:
        yield letter(0)
        raise KeyError("no more")

    async def main() -> None:
        got = []
        async with aio.connect(at(server)) as mailer:
            with pytest.raises(KeyError, match="no more"):
                async for result in mailer.send_many(produced()):
                    got.append(result.outcome)
        assert got == ["accepted"]

    asyncio.run(main())


def test_nobody_reading_means_nothing_more_is_drawn(server: SmtpServer) -> None:
    drawn = 0

    def endless() -> Iterator[franking.Message]:
        nonlocal drawn
        while True:
            drawn += 1
            yield letter(drawn)

    async def main() -> None:
        async with aio.connect(at(server)) as mailer, aclosing(mailer.send_many(endless())) as results:
            await anext(results)
            before = -1
            while drawn != before:  # until it has come to rest
                before = drawn
                await asyncio.sleep(0.1)
            assert drawn < 40
            for _ in range(30):
                await anext(results)
            await asyncio.to_thread(wait_until, lambda: drawn > before)

    asyncio.run(main())


def test_stop_ends_it_cleanly(server: SmtpServer) -> None:
    async def main() -> None:
        stop = threading.Event()
        got = []
        async with aio.connect(at(server)) as mailer:
            async for result in mailer.send_many((letter(number) for number in range(1000)), stop=stop):
                got.append(result)
                if len(got) == 5:
                    stop.set()
        assert len(got) == len(server.messages) < 100
        assert {result.outcome for result in got} == {"accepted"}

    asyncio.run(main())


def test_leaving_the_loop_early_loses_no_result(server: SmtpServer) -> None:
    async def main() -> None:
        unread: list[SendResult] = []
        read: list[SendResult] = []
        async with aio.connect(at(server), window=8) as mailer:
            results = mailer.send_many((letter(number) for number in range(1000)), unread=unread.append)
            async with aclosing(results):
                async for result in results:
                    read.append(result)
                    if len(read) == 5:
                        break
            (await mailer.send(letter(5000)))  # the mailer goes on
        accepted = {result.message.to[0].address for result in (*read, *unread) if result.outcome == "accepted"}
        possible = accepted | {result.message.to[0].address for result in unread if result.outcome == "unknown"}
        arrived = {message.recipients[0] for message in server.messages} - {"to5000@example.com"}
        assert accepted <= arrived <= possible

    asyncio.run(main())


def test_a_source_that_waits_for_ever_is_let_go(server: SmtpServer) -> None:
    async def main() -> None:
        queue: asyncio.Queue[franking.Message] = asyncio.Queue()

        async def produced() -> AsyncIterator[franking.Message]:
            while True:
                yield await queue.get()

        async with aio.connect(at(server)) as mailer:
            queue.put_nowait(letter())
            source = produced()
            results = mailer.send_many(source)
            assert (await anext(results)).outcome == "accepted"
            waiting = asyncio.ensure_future(anext(results))
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await results.aclose()

    asyncio.run(main())


# -- cancelling --------------------------------------------------------------------------------------------------------


def cancelled_at(server: SmtpServer, reached: threading.Event, go_on: threading.Event | None = None) -> SendResult:
    """Send, cancel when the server has reached a step, and give what is known of the message."""

    async def main() -> SendResult:
        async with aio.connect(at(server)) as mailer:
            task = asyncio.create_task(mailer.send(letter()))
            await arrives(reached)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            if go_on is not None:
                go_on.set()
            found = aio.result_of(caught.value)
            assert found is not None and found.message is not None
            return found

    return asyncio.run(main())


def test_cancelled_before_anything_was_handed_over() -> None:
    reached, go_on = threading.Event(), threading.Event()
    with SmtpServer(extensions=(), faults=[Fault("rcpt", holds(reached, go_on))]) as server:
        found = cancelled_at(server, reached, go_on)
        assert found.outcome == "failed"
        assert found.error is not None and not found.error.possibly_sent
        server.wait()
        assert server.messages == []
        assert len(server.sessions) == 1


def test_cancelled_when_all_was_handed_over() -> None:
    reached, go_on = threading.Event(), threading.Event()
    with SmtpServer(faults=[Fault("body", holds(reached, go_on), executed=True)]) as server:
        found = cancelled_at(server, reached, go_on)
        assert found.outcome == "unknown"
        assert isinstance(found.error, franking.OutcomeUnknown)
        assert len(server.messages) == 1
        assert len(server.sessions) == 1


def test_cancelled_while_connecting_does_not_wait_for_the_server() -> None:
    reached, go_on = threading.Event(), threading.Event()
    with SmtpServer(faults=[Fault("greet", holds(reached, go_on, says("220 at last")))]) as server:
        assert cancelled_at(server, reached, go_on).outcome == "failed"
        wait_until(lambda: server.sessions[0].ended.is_set())
        assert not [line for line in server.sessions[0].lines if line.startswith("MAIL")]
        assert server.messages == []


def test_a_session_that_died_of_cancelling_is_not_replaced() -> None:
    """Breaking an idle session off looks like a server that had closed it: it must not be opened again for a cancelled
    message.
    """
    reached, go_on = threading.Event(), threading.Event()
    with SmtpServer(extensions=("PIPELINING",), faults=[Fault("mail", holds(reached, go_on), nth=2)]) as server:

        async def main() -> None:
            async with aio.connect(at(server)) as mailer:
                await mailer.send(letter(0))
                task = asyncio.create_task(mailer.send(letter(1)))
                await arrives(reached)
                task.cancel()
                with pytest.raises(asyncio.CancelledError) as caught:
                    await task
                go_on.set()
                found = aio.result_of(caught.value)
                assert found is not None and found.outcome == "failed"
                assert len(server.sessions) == 1
                await mailer.send(letter(2))

        asyncio.run(main())
        assert [message.recipients[0] for message in server.messages] == ["to0@example.com", "to2@example.com"]
        assert len(server.sessions) == 2


def test_cancelled_while_waiting_for_a_turn() -> None:
    reached, go_on = threading.Event(), threading.Event()
    with SmtpServer(faults=[Fault("body", holds(reached, go_on, says("250 2.0.0 ok")))]) as server:

        async def main() -> None:
            async with aio.connect(at(server)) as mailer:
                first, second = asyncio.create_task(mailer.send(letter(0))), asyncio.create_task(mailer.send(letter(1)))
                await arrives(reached)
                second.cancel()
                with pytest.raises(asyncio.CancelledError) as caught:
                    await second
                found = aio.result_of(caught.value)
                assert found is not None and found.outcome == "failed"
                go_on.set()
                await first

        asyncio.run(main())
        assert len(server.sessions) == 1


def test_cancelling_one_task_leaves_the_others_alone() -> None:
    reached, go_on = threading.Event(), threading.Event()
    with SmtpServer(faults=[Fault("body", holds(reached, go_on), connection=1)]) as server:

        async def main() -> None:
            async with aio.connect(at(server), connections=2) as mailer:
                victim = asyncio.create_task(mailer.send(letter(0)))
                await arrives(reached)
                others = [asyncio.create_task(mailer.send(letter(number))) for number in range(1, 10)]
                victim.cancel()
                assert len(await asyncio.gather(*others)) == 9
                with pytest.raises(asyncio.CancelledError):
                    await victim
                go_on.set()

        asyncio.run(main())
        assert len(server.messages) == 9


def test_a_timeout_tells_the_same() -> None:
    with SmtpServer(faults=[Fault("body", silence)]) as server:

        async def main() -> None:
            async with aio.connect(at(server)) as mailer:
                with pytest.raises(TimeoutError) as caught:
                    async with asyncio.timeout(0.3):
                        await mailer.send(letter())
                found = aio.result_of(caught.value)
                assert found is not None and found.outcome == "unknown"
                with pytest.raises(TimeoutError) as caught:
                    await asyncio.wait_for(mailer.send(letter(1)), 0.3)
                found = aio.result_of(caught.value)
                assert found is not None and found.outcome == "unknown"

        asyncio.run(main())


def test_cancelled_twice(server: SmtpServer) -> None:
    reached, go_on = threading.Event(), threading.Event()
    server.faults.append(Fault("body", holds(reached, go_on)))

    async def main() -> None:
        async with aio.connect(at(server)) as mailer:
            task = asyncio.create_task(mailer.send(letter()))
            await arrives(reached)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            go_on.set()
            found = aio.result_of(caught.value)
            assert found is not None and found.outcome == "unknown"

    asyncio.run(main())


def test_a_test_message_can_be_cancelled() -> None:
    reached, go_on = threading.Event(), threading.Event()
    with SmtpServer(faults=[Fault("body", holds(reached, go_on, hangs_up))]) as server:

        async def main() -> None:
            task = asyncio.create_task(aio.send_test(at(server), "me@example.com"))
            await arrives(reached)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            go_on.set()
            found = aio.result_of(caught.value)
            assert found is not None and found.outcome == "unknown"

        asyncio.run(main())


class Token:
    """A secret that was given beforehand."""

    def __init__(self, value: str) -> None:
        self.value = value

    def get(self, *, renew_after: str | None = None) -> str:
        return self.value


def test_cancelled_on_an_api(tmp_path: Path) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(google: Google, request: Request) -> Reply:
        reached.set()
        go_on.wait(10)
        return CUT

    with Google(Authority(tmp_path)) as google:
        file = tmp_path / "client.json"
        file.write_text(json.dumps(google.client_secrets()))
        account = franking.Account(
            name="g",
            provider="gmail",
            sender="me@gmail.com",
            client_secrets=str(file),
            api_endpoint=google.url,
            ca_file=google.authority.ca_file,
            timeout=10,
        )

        async def main() -> None:
            async with aio.connect(account, secret=Token(google.give_access())) as mailer:
                await mailer.send(letter())
                google.faults.append(hold)
                task = asyncio.create_task(mailer.send(letter()))
                await arrives(reached)
                task.cancel()
                with pytest.raises(asyncio.CancelledError) as caught:
                    await task
                go_on.set()
                found = aio.result_of(caught.value)
                assert found is not None and found.outcome == "unknown"
                await mailer.send(letter(2))

        asyncio.run(main())
        assert len(google.messages) == 2


def known(found: SendResult | None, arrived: bool) -> bool:
    """Return whether what is said of a message agrees with the server."""
    assert found is not None
    return {"accepted": arrived, "failed": not arrived, "unknown": True}[found.outcome]


@pytest.mark.parametrize("seed", one_of_each(range(4), type))
def test_cancelled_at_random_moments(seed: int) -> None:
    """Over a line with a round trip of some milliseconds; what is said of each message agrees with what the server
    has.
    """
    chance = random.Random(seed)
    extensions = chance.choice([(), ("PIPELINING",), ("PIPELINING", "CHUNKING")])
    with SmtpServer(extensions=extensions) as server, Delay(server.port, one_way=0.002) as line:

        async def main() -> list[SendResult | None]:
            found: list[SendResult | None] = []
            async with aio.connect(at(line), connections=2) as mailer:
                for number in range(12):
                    task = asyncio.create_task(mailer.send(letter(number)))
                    await asyncio.sleep(chance.uniform(0, 0.04))
                    task.cancel()
                    try:
                        found.append(SendResult(0, None, "accepted", await task))
                    except asyncio.CancelledError as error:
                        found.append(aio.result_of(error))
            return found

        found = asyncio.run(main())
        for heard in server.sessions:
            assert heard.ended.wait(10)
        arrived = {message.recipients[0] for message in server.messages}
        assert all(known(result, f"to{number}@example.com" in arrived) for number, result in enumerate(found))
        assert len(arrived) == len(server.messages)


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("seed", one_of_each(range(6), type))
def test_many_cancelled_at_a_random_moment(seed: int, connections: int) -> None:
    chance = random.Random(seed)
    with SmtpServer() as server, Delay(server.port, one_way=0.002) as line:
        started: set[int] = set()
        results: list[SendResult] = []

        async def main() -> None:
            async def send() -> None:
                letters = (letter(number) for number in range(5000))
                async for result in mailer.send_many(
                    letters, started=lambda index, _: started.add(index), unread=results.append
                ):
                    results.append(result)

            async with aio.connect(at(line), connections=connections, window=8) as mailer:
                task = asyncio.create_task(send())
                await asyncio.sleep(chance.uniform(0, 0.15))
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

        asyncio.run(main())
        for heard in server.sessions:
            assert heard.ended.wait(10)
        arrived = {int(message.recipients[0][2:].partition("@")[0]) for message in server.messages}
        told = {result.index: result for result in results}
        assert len(told) == len(results)
        assert all(known(result, index in arrived) for index, result in told.items())
        assert arrived <= set(told) & started
        assert len(arrived) == len(server.messages) < 5000


@pytest.mark.parametrize("connections", [1, 2])
def test_many_cancelled_while_connecting_send_nothing_later(connections: int) -> None:
    reached, go_on = threading.Event(), threading.Event()
    with SmtpServer(faults=[Fault("greet", holds(reached, go_on, says("220 at last")))]) as server:

        async def main() -> None:
            async def send() -> None:
                async for _ in mailer.send_many([letter(0), letter(1)]):
                    raise AssertionError("nothing was sent")

            async with aio.connect(at(server), connections=connections) as mailer:
                task = asyncio.create_task(send())
                await arrives(reached)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                go_on.set()

        asyncio.run(main())
        wait_until(lambda: all(heard.ended.is_set() for heard in server.sessions))
        assert not [line for heard in server.sessions for line in heard.lines if line.startswith("MAIL")]


def test_a_program_that_ends_in_the_middle_says_nothing(server: SmtpServer) -> None:
    """``asyncio.run`` cancels what is left: no thread hangs, nothing is "never retrieved"."""
    server.faults.append(Fault("body", silence, nth=2))

    async def main() -> None:
        mailer = aio.connect(at(server))
        await mailer.send(letter(0))
        task = asyncio.create_task(mailer.send(letter(1)))
        await asyncio.sleep(0.05)
        assert not task.done()
        with contextlib.suppress(asyncio.CancelledError):
            task.cancel()
            await task
        await mailer.close()

    asyncio.run(main())


def test_what_is_put_into_the_outbox_is_there(server: SmtpServer) -> None:
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        "[accounts.shop]\nprovider = 'smtp'\nfrom = 'info@novak.cz'\nhost = '127.0.0.1'\nsecurity = 'none'\n"
        f"port = {server.port}\n"
    )

    async def act() -> Any:
        async with aio.connect("shop") as mailer:
            entry = await mailer.queue(franking.Message(to="a@example.com", text="x"), key="k")
            assert await mailer.queue(franking.Message(to="a@example.com", text="x"), key="k") == entry
            return entry

    entry = asyncio.run(act())
    assert franking.Outbox().get(entry.id) == entry
    assert server.sessions == []
