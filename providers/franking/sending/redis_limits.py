"""The limits of mailboxes in Redis, for all who share it: what was sent lately, and a lease for each connection; all by
the server's clock.

What is counted, and how, is as in ``counts.py``: in a minute each message, in a day quarters of an hour.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from franking.redaction import veiled
from franking.sending.counts import Turn, window_of
from franking.sending.slots import SLOT_SECONDS, LeasedSlot
from franking.shared.afterwards import afterwards, new_owner
from franking.shared.redis_server import Call, RedisServer, Script

if TYPE_CHECKING:
    import redis

    from franking.provider import RouteFacts

__all__ = ["RedisLimits"]

_TAKE = Script("""
local times, box = KEYS[1], KEYS[2]
local most, window, days, people, recipients = unpack(ARGV)
window, recipients = tonumber(window), tonumber(recipients)
if ARGV[6] then
  local entry = redis.call('HMGET', KEYS[3], 'state', 'owner')
  if entry[1] ~= 'claimed' or entry[2] ~= ARGV[6] then return {'0', '', '0'} end
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function text(number) return string.format('%.0f', number) end
local known = {}
local fields = redis.call('HGETALL', box)
for i = 1, #fields, 2 do known[fields[i]] = tonumber(fields[i + 1]) end
local span, pause, back = math.max(known.span or 0, window), known.pause or 0, (known.seen or 0) - now
if back > 0 then
  pause = pause - back
  redis.call('HSET', box, 'seen', text(now), 'pause', text(pause))
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', times, '(' .. text(now), '+inf')) do
  redis.call('ZADD', times, text(now), member)
end
redis.call('ZREMRANGEBYSCORE', times, '-inf', text(now - span))
local wait, limit = 0, ''
local function longest(seconds, name) if seconds > wait then wait, limit = seconds, name end end
longest(pause - now, 'retry-after')
if most ~= '' then
  local before = redis.call('ZREVRANGE', times, most - 1, most - 1, 'WITHSCORES')
  if before[2] then longest(before[2] + window - now, 'per-minute') end
end
local latest, counted = math.floor(now / 900000000), {m = {}, r = {}}
for name, count in pairs(known) do
  local kind, quarter = string.match(name, '^([mr])(%d+)$')
  quarter = tonumber(quarter)
  if kind and (quarter + 1) * 900000000 + 86400000000 <= now then
    redis.call('HDEL', box, name)
  elseif kind then
    if quarter > latest then
      redis.call('HDEL', box, name)
      redis.call('HINCRBY', box, kind .. text(latest), text(count))
      quarter = latest
    end
    counted[kind][quarter] = (counted[kind][quarter] or 0) + count
  end
end
local function day(kind, room, name)
  local total, until_then, quarters = 0, 0, {}
  for quarter, count in pairs(counted[kind]) do
    total = total + count
    quarters[#quarters + 1] = quarter
  end
  table.sort(quarters)
  for _, quarter in ipairs(quarters) do
    if total <= room then break end
    total = total - counted[kind][quarter]
    until_then = (quarter + 1) * 900000000 + 86400000000 - now
  end
  longest(until_then, name)
end
if days ~= '' then day('m', days - 1, 'per-day') end
if people ~= '' then day('r', people - recipients, 'recipients-per-day') end
if wait > 0 then return {text(wait), limit, '0'} end
if most ~= '' then
  while redis.call('ZADD', times, 'NX', text(now), text(now)) == 0 do now = now + 1 end
  redis.call('PEXPIRE', times, text(span / 1000 + 1000))
  redis.call('HSET', box, 'span', text(span))
end
if days ~= '' or people ~= '' then
  redis.call('HINCRBY', box, 'm' .. text(latest), 1)
  redis.call('HINCRBY', box, 'r' .. text(latest), recipients)
end
redis.call('HSET', box, 'seen', text(now))
redis.call('PEXPIRE', box, 2 * 86400000)
return {'0', '', text(now)}
""")
"""Count a message, or say how long there is no room and by which limit. Times are in microseconds. With a third key the
message is counted only if that entry of the journal is the asker's. Where the clock was set back, behind
what was ``seen``, what was counted counts as of now, and a pause lasts as long as it would.
"""

_GIVE_BACK = Script("""
redis.call('ZREM', KEYS[1], ARGV[1])
local quarter = string.format('%.0f', math.floor(ARGV[1] / 900000000))
if (tonumber(redis.call('HGET', KEYS[2], 'm' .. quarter)) or 0) > 0 then
  redis.call('HINCRBY', KEYS[2], 'm' .. quarter, -1)
  redis.call('HINCRBY', KEYS[2], 'r' .. quarter, -ARGV[2])
end
return 1
""")

_HOLD_OFF = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local known = redis.call('HMGET', KEYS[1], 'pause', 'seen')
local pause = (tonumber(known[1]) or 0) - math.max(0, (tonumber(known[2]) or 0) - now)
pause = math.max(pause, now + ARGV[1])
redis.call('HSET', KEYS[1], 'pause', string.format('%.0f', pause), 'seen', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[1] / 1000 + 2 * 86400000))
return 1
""")

_CONNECTION = Script("""
local slots, owner, most, lease = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end
if most == 0 then
  redis.call('ZREM', slots, owner)
  return 1
elseif most < 0 then
  if not redis.call('ZSCORE', slots, owner) then return 0 end
else
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', slots, '(' .. text(now + lease), '+inf')) do
    redis.call('ZADD', slots, text(now + lease), member)
  end
  redis.call('ZREMRANGEBYSCORE', slots, '-inf', text(now))
  if redis.call('ZCARD', slots) >= most then return 0 end
end
redis.call('ZADD', slots, text(now + lease), owner)
redis.call('PEXPIRE', slots, text(lease * 2))
return 1
""")
"""Take one of ``most`` connections; 0 gives it back, below 0 renews it. A lapsed one is whose it was until somebody
takes another; where the clock was set back, one whose worker is dead lapses a lease from now.
"""


class RedisLimits:
    """Keep limits in Redis. Safe to share between threads; a forked child opens connections of its own."""

    def __init__(self, server: RedisServer | redis.Redis | str, *, lease: float = SLOT_SECONDS) -> None:
        server = veiled(server)
        self.server = server if isinstance(server, RedisServer) else RedisServer(server)
        self.lease = lease

    def take(self, mailbox: str, limits: RouteFacts, recipients: int) -> Turn:
        """Count a message, or say how long there is no room for it."""
        call = self.call_of_take(mailbox, limits, recipients)
        return self.turn_of(self.server.run_all([call])[0], recipients)

    def call_of_take(self, mailbox: str, limits: RouteFacts, recipients: int, *claimed: str) -> Call:
        """Return what ``take`` asks; with an entry of the journal and its owner, only where it is theirs."""
        most, window = window_of(limits.per_minute) if limits.per_minute else ("", 0.0)
        days, people = (limit or "" for limit in (limits.per_day, limits.recipients_per_day))
        return _TAKE.call(
            [*self._names(mailbox), *claimed[:1]],
            [most, int(window * 1e6), days, people, recipients, *claimed[1:]],
        )

    def turn_of(self, found: Any, recipients: int) -> Turn:
        """Read the answer to ``call_of_take``."""
        wait, limit, at = found
        return Turn(int(wait) / 1e6, limit, int(at) / 1e6, recipients)

    def give_back(self, mailbox: str, turn: Turn) -> None:
        """Count a message less: surely nothing of it was sent."""
        self.server.run(_GIVE_BACK, self._names(mailbox), [f"{turn.at * 1e6:.0f}", turn.recipients])

    def hold_off(self, mailbox: str, seconds: float) -> None:
        """Let nobody send for so long: the server said so."""
        self.server.run(_HOLD_OFF, self._names(mailbox)[1:], [int(seconds * 1e6)])

    def connection(self, mailbox: str, most: int) -> LeasedSlot | None:
        """Return one of a mailbox's connections, or None while all are in use."""
        owner, name = new_owner(), self.server.name("connections:", _digest(mailbox))

        def ask(most: int) -> bool:
            return bool(self.server.run(_CONNECTION, [name], [owner, most, int(self.lease * 1000)]))

        teller = afterwards(self.server)
        return LeasedSlot.taken(teller, self.lease, take=lambda: ask(most), renew=lambda: ask(-1), end=lambda: ask(0))

    def _names(self, mailbox: str) -> list[str]:
        digest = _digest(mailbox)
        return [self.server.name("sent:", digest), self.server.name("limits:", digest)]


def _digest(mailbox: str) -> str:
    return hashlib.sha256(mailbox.encode()).hexdigest()[:32]
