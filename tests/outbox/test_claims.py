"""Which rows a runner takes, and in which order; those that were never paused have an index of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import franking
from franking.account.editing import save as save_account
from franking.outbox.claims import Claims, Settlement
from franking.outbox.holds import FAR, Holds
from franking.outbox.store import Store
from outbox.test_outbox import Clock, message, save
from servers.services import SERVICES
from servers.web import Reply, Request

NOW = 1_800_000_000.0


@pytest.fixture
def box() -> Iterator[franking.Outbox]:
    save(1)
    clock = Clock()
    clock.now = NOW
    made = franking.Outbox(clock=clock)
    yield made
    made.close()


@pytest.fixture
def mine(box: franking.Outbox) -> Iterator[Claims]:
    made = Claims(box.database)
    yield made
    made.close()


def put(box: franking.Outbox, number: int) -> list[int]:
    return [int(entry.id[:12]) for entry in box.put_many("shop", [message(each) for each in range(number)])]


def numbers(mine: Claims, limit: int, now: float) -> list[int]:
    return [row["number"] for row in mine.claim("shop", limit, now)[0]]


def due(box: Store, now: float) -> bool:
    return bool(Holds(box.database, str).due(now))


def test_a_pause_that_is_over_goes_between_those_that_were_put_down_before_and_after(
    box: franking.Outbox, mine: Claims
) -> None:
    paused, other, before = put(box, 3)
    assert numbers(mine, 2, NOW) == [paused, other]
    both = [Settlement(number, "queued", ("jana@example.com",), next_at=NOW + 60) for number in (paused, other)]
    mine.claim("shop", 0, NOW, both)
    box.clock.now = NOW + 120  # type: ignore[attr-defined]
    (after,) = put(box, 1)
    assert numbers(mine, 9, NOW + 59) == [before]
    assert not due(box, NOW + 59)
    assert due(box, NOW + 60)
    assert numbers(mine, 1, NOW + 120) == [paused]
    assert numbers(mine, 9, NOW + 120) == [other, after]


def test_what_was_taken_and_not_begun_is_in_its_old_place(box: franking.Outbox, mine: Claims) -> None:
    entries = put(box, 3)
    assert numbers(mine, 2, NOW) == entries[:2]
    mine.give_back(entries[:2])
    assert numbers(mine, 9, NOW) == entries


@pytest.mark.parametrize(("back", "goes"), [(60.0, False), (FAR + 60.0, True)])
def test_a_clock_that_was_set_back_delays_for_hours_at_most(
    back: float, goes: bool, box: franking.Outbox, mine: Claims
) -> None:
    """A run with --once leaves what came after it began to the next; what seems to come from tomorrow is due."""
    fresh = put(box, 1)
    assert due(box, NOW - back) == goes
    assert numbers(mine, 9, NOW - back) == (fresh if goes else [])


def test_a_list_has_those_that_wait_by_both_indexes_and_those_that_wait_no_more(
    box: franking.Outbox, mine: Claims
) -> None:
    first, second, third = put(box, 3)
    mine.claim("shop", 2, NOW)
    mine.claim("shop", 0, NOW, [Settlement(first, "queued", ("jana@example.com",), next_at=NOW + 60)])
    mine.claim("shop", 0, NOW, [Settlement(second, "accepted")])
    for account in (None, "shop"):
        assert [int(entry.id[:12]) for entry in box.list(account=account)] == [third, second, first]
        assert [int(entry.id[:12]) for entry in box.list("queued", account)] == [third, first]
        assert [int(entry.id[:12]) for entry in box.list("queued", account, limit=1)] == [third]
        (older,) = box.list("queued", account, before=box.list("queued")[0].id)
        assert (int(older.id[:12]), str(older.next_at) > older.created_at) == (first, True)
    newest = box.list()[0]
    assert newest.next_at == newest.created_at
    assert box.counts() | {"queued": 2, "accepted": 1} == box.counts()


@pytest.mark.parametrize("name", SERVICES)
def test_what_leaves_alone_is_marked_alone(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over an API, which takes one by one: of no other can it be said, whatever happens, that it may have left."""
    marked = []
    with SERVICES[name](tmp_path) as service:
        monkeypatch.setenv("FRANKING_STATE_DIR", str(service.store.directory))
        unlimited = dict.fromkeys(("per_minute", "per_day", "recipients_per_day", "max_connections"), 0)
        save_account(service.account.replace(**unlimited))
        box, answer = franking.Outbox(), service.api.answer

        def look(request: Request) -> Reply:
            if f"{request.method} {request.path}" == service.send:
                marked.append(box.database.rows("SELECT count(*) AS n FROM entries WHERE started")[0]["n"])
            return answer(request)

        service.api.answer = look
        list(box.put_many("shop", [message(number) for number in range(3)]))
        assert box.run(once=True, window=16).outcomes == {"accepted": 3}
        box.close()
    assert marked == [1, 1, 1]


def test_many_rows_take_no_more_steps_than_a_few(box: franking.Outbox, mine: Claims) -> None:
    """Steps of SQLite's own machine, for each kind of row in turn."""
    put(box, 1)
    holds, steps, taken = Holds(box.database, str), 0, []

    def step() -> None:
        nonlocal steps
        steps += 1

    def look() -> None:
        holds.due(NOW)
        mine.claim("shop", 1, NOW)
        box.list(limit=5)
        box.list("queued", "shop", limit=5)

    for number in (20, 2_000):
        with box.database.transaction() as connection:
            connection.set_progress_handler(None, 0)
            connection.execute(MANY, (number, NOW))
        look()
        with box.database.transaction() as connection:
            connection.set_progress_handler(step, 1)
        steps = 0
        look()
        taken.append(steps)
    assert taken[0] > 100
    assert taken[1] < 1.2 * taken[0]


MANY = """
WITH RECURSIVE row(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM row WHERE i < ?)
INSERT INTO entries (mark, account, state, sender, recipients, waiting, subject, message_id, bytes, flags, created_at,
    next_at, expires_at)
SELECT '00000000', 'shop', iif(i % 3, 'queued', 'accepted'), 'a@b.cz', '["c@d.cz"]', '["c@d.cz"]', 'x', '<x>', 100, 0,
    now - 1e6 + i, iif(i % 3 = 1, 0, now - 1e6 + i), now + 1e6 FROM row, (SELECT ? AS now)
"""


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_what_was_accepted_leaves_no_octets_in_the_file(size: int, box: franking.Outbox, mine: Claims) -> None:
    (entry,) = box.put_many("shop", [franking.Message(to="a@example.com", text="x\n" * (size // 2))])
    assert sum(map(len, box.octets(entry.id))) > size
    ((row,), _) = mine.claim("shop", 1, NOW)
    assert sum(map(len, box.content(row).chunks(bcc=True))) > size
    mine.claim("shop", 0, NOW, [Settlement(row["number"], "accepted")])
    with pytest.raises(franking.SendError, match="gone"):
        box.octets(entry.id)
    kept = box.database.rows("SELECT data FROM entries UNION ALL SELECT data FROM bodies")
    assert [each["data"] for each in kept] == [None]
