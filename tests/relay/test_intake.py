"""Durable before 250: which keys are forgotten, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import franking
from franking.outbox.store import Store
from franking.relay.intake import KEPT_SECONDS, Intake
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
