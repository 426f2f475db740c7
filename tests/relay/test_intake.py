"""Durable before 250: what cannot be written takes nobody along, and which keys are forgotten, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import franking
from franking.outbox.store import Store
from franking.relay import intake as intake_module
from franking.relay.intake import KEPT_SECONDS, Intake
from franking.sending.enqueue import draft
from relay.conftest import save

if TYPE_CHECKING:
    from franking.outbox.entry import OutboxEntry


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def test_only_the_relay_s_own_keys_are_forgotten_and_only_old_ones(loop: asyncio.AbstractEventLoop) -> None:
    save(1)
    letter = franking.Message(to="jana@example.com", text="hi")
    with franking.connect("shop") as mailer:
        for key in ("order-114", "relay-old", "relay-new"):
            mailer.queue(letter, key=key)
    store = Store()
    with store.database.transaction() as connection:
        connection.execute(
            "UPDATE entries SET created_at = created_at - ? WHERE key <> 'relay-new'", (KEPT_SECONDS + 60,)
        )
    intake = Intake(None, loop)
    intake.start()
    intake.stop()
    kept = {row["key"] for row in store.database.rows("SELECT key FROM entries")}
    store.close()
    assert kept == {"order-114", None, "relay-new"}


def test_one_that_cannot_be_written_does_not_take_the_others_with_it(loop: asyncio.AbstractEventLoop) -> None:
    save(1)
    one, other = (franking.Message(to="jana@example.com", text=text) for text in ("hi", "another"))
    intake = Intake(None, loop)
    with franking.connect("shop") as mailer:
        mailer.queue(one, key="order-114")
        put = [intake.put(draft(mailer, message, key)) for message, key in ((one, None), (other, "order-114"))]
    intake.start()
    done = loop.run_until_complete(asyncio.wait_for(asyncio.gather(*put, return_exceptions=True), 60))
    intake.stop()
    assert [getattr(found, "state", None) for found in done] == ["queued", None]
    assert isinstance(done[1], franking.FrankingError)


def test_where_messages_came_together_the_next_commit_waits_for_as_many(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "GATHER_SECONDS", 3600)
    save(1)
    intake = Intake(None, loop)
    letter = franking.Message(to="jana@example.com", text="hi")

    async def both(mailer: franking.Mailer) -> list[OutboxEntry]:
        first = intake.put(draft(mailer, letter))
        await asyncio.sleep(0.05)
        return await asyncio.gather(first, intake.put(draft(mailer, letter)))

    with franking.connect("shop") as mailer:
        together = [intake.put(draft(mailer, letter)) for _ in range(2)]
        intake.start()
        loop.run_until_complete(asyncio.wait(together))
        again = loop.run_until_complete(asyncio.wait_for(both(mailer), 60))
        alone = intake.put(draft(mailer, letter))  # the thread waits for another, which never comes
    intake.stop()
    loop.run_until_complete(asyncio.wait_for(alone, 60))
    assert len({entry.created_at for entry in again}) == 1  # one commit has one time
    assert alone.result().state == "queued"


def test_a_message_that_comes_alone_waits_for_no_other(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "GATHER_SECONDS", 3600)
    save(1)
    intake = Intake(None, loop)
    intake.start()
    with franking.connect("shop") as mailer:
        for _ in range(2):
            put = intake.put(draft(mailer, franking.Message(to="jana@example.com", text="hi")))
            assert loop.run_until_complete(asyncio.wait_for(put, 60)).state == "queued"
    intake.stop()
