"""Durable before 250: what cannot be written takes nobody along, and which keys are forgotten, and when."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

import franking
from franking.outbox import decisions
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


@pytest.fixture
def store() -> Iterator[Store]:
    save(1)
    made = Store()
    yield made
    made.close()


def put(store: Store, *unheard: str | None, answered: Sequence[tuple[str, str]] = ()) -> list[OutboxEntry]:
    """Write messages down as one commit, each known by a key until its client has heard."""
    drafts = []
    with franking.connect("shop") as mailer:
        for key in unheard:
            made = draft(mailer, franking.Message(to="jana@example.com", text="hi" * 500))
            made.unheard = key
            drafts.append(made)
    return store.add(drafts, answered)


def test_who_never_came_back_is_forgotten_after_an_hour(store: Store, loop: asyncio.AbstractEventLoop) -> None:
    old, new = put(store, "old", "new")
    with store.database.transaction() as connection:
        connection.execute("UPDATE unheard SET created_at = created_at - ? WHERE key = 'old'", (KEPT_SECONDS + 60,))
    intake = Intake(None, loop)
    intake.start()
    intake.stop()
    again = put(store, "old", "new")
    assert [entry.id == before.id for entry, before in zip(again, (old, new), strict=True)] == [False, True]


def test_a_message_is_the_same_until_its_client_has_heard(store: Store) -> None:
    (first,) = put(store, "k")
    assert put(store, "k", "k") == [first, first]
    (second,) = put(store, "k", answered=[("k", first.id)])
    assert second.id != first.id
    put(store, answered=[("k", first.id)])  # heard once more, by another relay's client: that was the first
    assert put(store, "k") == [second]
    assert store.find("k") is None, "it is no key of an application"


def test_a_message_that_is_gone_is_not_the_same_as_what_gets_its_number(store: Store) -> None:
    (first,) = put(store, "k")
    assert decisions.withdraw(store, first.id)
    (other,) = put(store, None)
    assert other.id[:12] == first.id[:12]
    (again,) = put(store, "k")
    assert again.id not in (first.id, other.id)
    assert put(store, "k") == [again]


def test_the_row_of_a_message_is_written_once(store: Store) -> None:
    log = store.database.path.with_name(f"{store.database.path.name}-wal")
    page = store.database.rows("PRAGMA page_size")[0][0] + 24
    answered: list[tuple[str, str]] = []
    sizes = []
    for commit in range(12):
        keys = [f"{commit}-{one}" for one in range(8)]
        answered = [(key, entry.id) for key, entry in zip(keys, put(store, *keys, answered=answered), strict=True)]
        sizes.append(log.stat().st_size)
    pages = [(after - before) / page for before, after in itertools.pairwise(sizes)]
    assert sorted(pages)[len(pages) // 2] <= 8 + 4, "the file's first, two of indexes, and one of those not heard yet"


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
