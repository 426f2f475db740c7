"""The outbox beside what it is made of, in the same run: a bare SQLite commit of the same octets, ``send_many`` of a
list over a far server, and itself with few rows. Other people's queues stand in ``outbox_peers.py``.
"""

from __future__ import annotations

import sqlite3
import time

import franking
from benchmarks.compose import side_by_side
from benchmarks.outbox_peers import beside, memory, shop, smtp
from benchmarks.peers import ready
from franking.outbox.claims import Claims
from franking.outbox.holds import Holds
from servers.delay import Delay
from servers.sink import Sink

__all__ = ["measure"]

Rows = dict[str, dict[str, float]]

MANY = (
    "WITH RECURSIVE row(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM row WHERE i < ?) "
    "INSERT INTO entries (mark, account, state, sender, recipients, waiting, subject, message_id, bytes, flags, "
    "created_at, next_at, expires_at, finished_at) "
    "SELECT '00000000', 'shop', iif(i % 2, 'queued', 'accepted'), 'a@b.cz', '[\"c@d.cz\"]', '[\"c@d.cz\"]', 'x', "
    "'<x>', 100, 0, 1.0 + i, iif(i % 4 = 1, 0, 1.0 + i), 9e9, 1.0 FROM row"
)


def putting(messages: int, rounds: int) -> Rows:
    """Seconds for each message that is put down alone and among many, as ratios."""
    with shop(smtp(1)) as here:
        mailer, box = franking.connect("shop"), franking.Outbox()
        bare = sqlite3.connect(here / "bare.sqlite3", isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE t (data BLOB)"):
            bare.execute(statement)

        def queue(_: int) -> None:
            for number in range(messages):
                mailer.queue(ready(number))

        def commit(_: int) -> None:
            for number in range(messages):
                bare.execute("BEGIN IMMEDIATE")
                bare.execute("INSERT INTO t VALUES (?)", (ready(number),))
                bare.execute("COMMIT")

        def many(_: int) -> None:
            assert sum(1 for _ in box.put_many("shop", map(ready, range(messages)))) == messages

        mine, theirs = side_by_side(queue, commit, rounds)
        single, together = side_by_side(queue, many, rounds)
        bare.close()
    return {
        "queue beside a bare commit": {"ratio": mine / theirs},
        "put_many, times faster than queue": {"ratio": single / together},
    }


def delivering(messages: int, rounds: int, round_trip: float) -> Rows:
    """Messages per second through the outbox, as a share of ``send_many``'s, on a connection of the same window."""
    found: Rows = {}
    with Sink() as sink, Delay(sink.port, one_way=round_trip / 2) as proxy, shop(smtp(proxy.port)):
        for window in (1, 16):
            batch = [ready(number) for number in range(messages)]
            box = franking.Outbox()

            def directly(_: int, batch: list[bytes] = batch, window: int = window) -> None:
                with franking.connect("shop", window=window) as mailer:
                    assert all(result.outcome == "accepted" for result in mailer.send_many(batch))

            best = [float("inf"), float("inf")]
            for _ in range(rounds):
                list(box.put_many("shop", batch))
                started = time.perf_counter()
                assert box.run(once=True, window=window).outcomes == {"accepted": messages}
                best[0] = min(best[0], time.perf_counter() - started)
                started = time.perf_counter()
                directly(0)
                best[1] = min(best[1], time.perf_counter() - started)
            found[f"delivery, window {window}, beside send_many"] = {"ratio": best[1] / best[0]}
    return found


def growing(few: int, many: int) -> Rows:
    """How much longer a page of the list, and claiming the next, take with many rows."""
    times: dict[int, tuple[float, float]] = {}
    for number in (few, many):
        with shop(smtp(1)) as here:
            box = franking.Outbox(here / "outbox")
            list(box.put_many("shop", [ready(0)]))
            with box.database.transaction() as connection:
                connection.execute(MANY, (number,))
            claims, holds = Claims(box.database), Holds(box.database, lambda account: "")

            def claim(_: int, claims: Claims = claims, holds: Holds = holds) -> None:
                holds.due(1e9)
                claims.claim("shop", 1, 1e9)

            times[number] = side_by_side(lambda _, box=box: box.list(), claim, 30)  # type: ignore[misc]
            claims.close()
            box.close()
    page, claim_one = (slow / fast for slow, fast in zip(times[many], times[few], strict=True))
    return {"a page of the list, many rows": {"ratio": page}, "claiming, many rows": {"ratio": claim_one}}


def measure(
    *,
    messages: int = 500,
    rounds: int = 3,
    round_trip: float = 0.02,
    rows: int = 1_000_000,
    file_size: int = 25_000_000,
) -> Rows:
    """Measure everything; ratios, and MiB."""
    return {
        **putting(messages, rounds),
        **beside(messages // 5, rounds),
        **memory(file_size),
        **delivering(messages, rounds, round_trip),
        **growing(min(1000, rows), rows),
    }


if __name__ == "__main__":
    for what, row in measure().items():
        print(f"{what}: " + ", ".join(f"{value:.2f} {unit}" for unit, value in row.items()))
