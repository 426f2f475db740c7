"""What every place that keeps limits does, whatever it is: each check is handed one, and nobody else uses it."""

from __future__ import annotations

import threading
import time
from typing import Any

from franking.provider import RouteFacts
from franking.sending.counts import Turn
from franking.sending.postgres_limits import NOW
from franking.sending.redis_limits import RedisLimits
from franking.shared.redis_server import Script

__all__ = ["CHECKS", "facts"]


def facts(**some: Any) -> RouteFacts:
    return RouteFacts("x", **some)


def a_minute(place: Any) -> None:
    allowed = facts(per_minute=3)
    turns = [place.take("box", allowed, 1) for _ in range(5)]
    assert [turn.wait > 0 for turn in turns] == [False] * 3 + [True] * 2
    assert turns[-1].limit == "per-minute"
    assert 50 < turns[-1].wait <= 60
    assert abs(turns[0].at - time.time()) < 60
    place.give_back("box", turns[1])
    place.give_back("box", turns[1])  # once is enough
    assert [place.take("box", allowed, 1).wait > 0 for _ in range(2)] == [False, True]
    assert place.take("another box", allowed, 1).wait == 0
    assert place.take("box", facts(per_minute=5), 1).wait == 0  # whose limit is higher has more room


def a_short_minute(place: Any) -> None:
    """As a rate below 1 is a longer window, one above is a shorter one by its number: exact to the millisecond."""
    slow = facts(per_minute=0.5)
    assert place.take("box", slow, 1).wait == 0
    assert 110 < place.take("box", slow, 1).wait <= 120


def a_day(place: Any) -> None:
    allowed = facts(per_day=2, recipients_per_day=10)
    first = place.take("box", allowed, 4)
    assert first.recipients == 4
    assert place.take("box", allowed, 7).limit == "recipients-per-day"
    assert place.take("box", allowed, 6).wait == 0
    turn = place.take("box", allowed, 1)
    assert turn.limit in ("per-day", "recipients-per-day")
    assert 86400 < turn.wait <= 86400 + 900
    place.give_back("box", first)
    assert place.take("box", allowed, 5).limit == "recipients-per-day"
    assert place.take("box", allowed, 4).wait == 0
    assert place.take("box", facts(per_day=2), 1).limit == "per-day"


def a_pause(place: Any) -> None:
    allowed = facts(per_minute=9)
    place.hold_off("box", 30.0)
    place.hold_off("box", 10.0)
    turn = place.take("box", allowed, 1)
    assert turn.limit == "retry-after"
    assert 20 < turn.wait <= 30
    place.hold_off("box", 40.0)
    assert 30 < place.take("box", allowed, 1).wait <= 40


def an_end_of_a_pause(place: Any) -> None:
    place.hold_off("box", 0.05)
    until = time.monotonic() + 60
    while (turn := place.take("box", facts(per_minute=9), 1)).wait > 0:
        assert turn.wait <= 0.05
        assert time.monotonic() < until
        time.sleep(turn.wait)


def what_was_never_taken(place: Any) -> None:
    place.give_back("box", Turn(at=1_700_000_000.25, recipients=3))
    assert place.take("box", facts(per_minute=1, per_day=1), 1).wait == 0


def many_at_once(place: Any) -> None:
    allowed, taken = facts(per_minute=40, per_day=30), []

    def work() -> None:
        taken.extend(place.take("box", allowed, 1).wait == 0 for _ in range(12))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(taken) == 30


def connections(place: Any) -> None:
    slots = [place.connection("box", 2) for _ in range(3)]
    assert [slot is not None for slot in slots] == [True, True, False]
    other = place.connection("another box", 1)
    assert other is not None
    assert not slots[0].lapsed
    slots[0].release()
    slots[0].release()
    until = time.monotonic() + 60
    while (again := place.connection("box", 2)) is None:
        assert time.monotonic() < until
    for slot in (again, slots[1], other):
        slot.release()


def a_lease(place: Any) -> None:
    """A lapsed connection is another's as soon as one wants it, and until then it can be renewed."""
    lease, place.lease = place.lease, 0.2
    try:
        first = place.connection("box", 1)
        assert first is not None
        first._teller.let_go(first._held)  # it stands still
        time.sleep(0.25)
        assert first.lapsed
        assert first._held.renew()
        time.sleep(0.25)
        place.lease = 60.0
        second = place.connection("box", 1)
        assert second is not None
        assert not first._held.renew()
        assert place.connection("box", 1) is None
        second.release()
    finally:
        place.lease = lease


def a_clock_that_was_set_back(place: Any) -> None:
    """Nothing lasts longer than it would have: a minute, a day, a pause, and the lease of a connection."""
    minute, day = facts(per_minute=1), facts(per_day=2, recipients_per_day=10)
    assert place.take("box", minute, 1).wait == 0
    assert place.take("box", day, 4).wait == 0
    place.hold_off("box", 300.0)
    held = place.connection("box", 1)
    held._teller.let_go(held._held)  # its worker is dead
    set_back(place, 12 * DAY)
    turn = place.take("box", minute, 1)
    assert 290 < turn.wait <= 300
    place.hold_off("box", 200.0)
    set_back(place, 12 * DAY)
    place.hold_off("box", 100.0)
    turn = place.take("box", minute, 1)
    assert 290 < turn.wait <= 300
    assert place.connection("box", 1) is None
    assert lapses(place) <= place.lease
    set_forward(place, 301.0)
    assert place.take("box", minute, 1).wait == 0
    assert place.take("box", minute, 1).limit == "per-minute"
    assert place.take("box", day, 7).limit == "recipients-per-day"
    assert 86400 - 302 < place.take("box", day, 7).wait <= 86400 + 900
    set_forward(place, DAY + 900)
    assert place.take("box", day, 7).wait == 0


DAY = 86400.0


def set_forward(place: Any, seconds: float) -> None:
    set_back(place, -seconds)


def set_back(place: Any, seconds: float) -> None:
    """Do as if the server's clock were set back: all that it has taken down moves on."""
    quarters = round(seconds / 900)
    if isinstance(place, RedisLimits):
        place.server.run(_SET_BACK, place.server.ask("KEYS", "*"), [f"{seconds:.0f}", quarters])
        return
    for table, columns in (("limits", "now pause"), ("sent", "at"), ("connections", "until")):
        new = ", ".join(f"{column} = {column} + $1::float8" for column in columns.split())
        place.server.run(f"UPDATE {{table}}_{table} SET {new}", seconds)
    place.server.run("UPDATE {table}_days SET quarter = quarter + 1000000")  # no two may meet on the way
    place.server.run("UPDATE {table}_days SET quarter = quarter - 1000000 + $1::bigint", quarters)


_SET_BACK = Script("""
for _, name in ipairs(KEYS) do
  if string.find(name, ':limits:') then
    local moved = {}
    local fields = redis.call('HGETALL', name)
    redis.call('DEL', name)
    for i = 1, #fields, 2 do
      local kind, quarter = string.match(fields[i], '^([mr])(%d+)$')
      if kind then
        moved[kind .. string.format('%.0f', quarter + ARGV[2])] = fields[i + 1]
      elseif fields[i] == 'span' then
        moved.span = fields[i + 1]
      else
        moved[fields[i]] = string.format('%.0f', fields[i + 1] + ARGV[1] * 1000000)
      end
    end
    for field, value in pairs(moved) do redis.call('HSET', name, field, value) end
  else
    local unit = string.find(name, ':sent:') and 1000000 or 1000
    local scores = redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
    for i = 1, #scores, 2 do
      redis.call('ZADD', name, string.format('%.0f', scores[i + 1] + ARGV[1] * unit), scores[i])
    end
  end
end
""")


def lapses(place: Any) -> float:
    """Return in how many seconds the last connection lapses."""
    if isinstance(place, RedisLimits):
        (name,) = place.server.ask("KEYS", "*:connections:*")
        last = float(place.server.ask("ZRANGE", name, "-1", "-1", "WITHSCORES")[1]) / 1000
        seconds, parts = place.server.ask("TIME")
        return last - int(seconds) - int(parts) / 1e6
    ((left,),) = place.server.run(f"SELECT max(until) - {NOW} FROM {{table}}_connections")
    return float(left)


CHECKS = [
    a_minute,
    a_short_minute,
    a_day,
    a_pause,
    an_end_of_a_pause,
    what_was_never_taken,
    many_at_once,
    connections,
    a_lease,
    a_clock_that_was_set_back,
]
