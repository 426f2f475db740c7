"""Durable before 250: what cannot be written takes nobody along, and which keys are forgotten, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import franking
from franking.outbox.store import Store
from franking.relay.intake import KEPT_SECONDS, Intake
from franking.sending.enqueue import draft
from relay.conftest import save


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
