"""The journal in Redis: a hash for each message, changed by scripts by the server's clock, gone after 30 days.

    RedisJournal("redis://…")                       # or a redis-py client, or a RedisServer

What each step means stands in ``journal.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from franking.redaction import veiled
from franking.sending.counts import Turn
from franking.sending.journal import KEPT_SECONDS, LEASE_SECONDS, Answer, Claim, with_room
from franking.sending.redis_limits import RedisLimits
from franking.shared.redis_server import RedisServer, Script

if TYPE_CHECKING:
    import redis

    from franking.sending.limit_places import Room

__all__ = ["RedisJournal"]

_CLAIM = Script("""
local key, owner, digest, lease, kept = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local entry = redis.call('HMGET', key, 'state', 'owner', 'until', 'digest', 'id', 'date', 'outcome', 'lease')
local state, id, date = entry[1] or '', entry[5] or ARGV[5], entry[6] or ARGV[6]
if state ~= '' and entry[4] ~= digest then return {'reused', id, date, 0, ''} end
local rest = (tonumber(entry[3]) or 0) - now
local longest = tonumber(entry[8]) or rest
if rest > longest then
  rest = longest
  redis.call('HSET', key, 'until', string.format('%.0f', now + rest))
end
if rest > 0 and (state == 'started' or (state == 'claimed' and entry[2] ~= owner)) then
  return {'busy', id, date, rest, ''}
elseif state == 'started' then
  redis.call('HSET', key, 'state', 'unknown')
  redis.call('PEXPIRE', key, kept)
  return {'unknown', id, date, 0, ''}
elseif state ~= '' and state ~= 'free' and state ~= 'claimed' then
  return {state, id, date, 0, entry[7] or ''}
end
redis.call('HSET', key, 'state', 'claimed', 'owner', owner, 'until', string.format('%.0f', now + lease),
  'lease', lease, 'digest', digest, 'id', id, 'date', date)
redis.call('PEXPIRE', key, kept)
return {'claimed', id, date, 0, ''}
""")
"""Take a message, or say who has it or what became of it. Times are in milliseconds. Where the clock was set back, a
worker that died has its message for a lease from now.
"""

_CHANGE = Script("""
local key, owner, state, lease, kept, outcome = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local entry = redis.call('HMGET', key, 'state', 'owner')
local allowed = entry[1] == 'claimed' or entry[1] == 'started' or (entry[1] == 'unknown' and state == 'accepted')
if entry[2] ~= owner or not allowed then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', key, 'state', state ~= '' and state or entry[1], 'until', string.format('%.0f', now + lease),
  'lease', lease, 'outcome', outcome)
redis.call('PEXPIRE', key, kept)
return 1
""")
"""Go on with a message that one has; without a state only the lease begins anew."""

_KEPT = int(KEPT_SECONDS * 1000)


class RedisJournal:
    """Keep a journal in Redis. Safe to share between threads; a forked child opens connections of its own."""

    def __init__(self, server: RedisServer | redis.Redis | str, *, lease: float = LEASE_SECONDS) -> None:
        server = veiled(server)
        self.server = server if isinstance(server, RedisServer) else RedisServer(server)
        self.lease = lease

    def claim(self, claim: Claim, room: Room | None = None) -> Answer:
        """Take a message; where the mailbox's limits are kept by the same server, its turn in the same round trip."""
        call = _CLAIM.call(
            [self._name(claim)],
            [claim.owner, claim.digest, self._lease, _KEPT, claim.message_id, claim.date],
        )
        if room is None or not isinstance(room.place, RedisLimits) or room.place.server is not self.server:
            return with_room(self._read(self.server.run_all([call])[0]), room)
        place = room.place
        taken = place.call_of_take(room.mailbox, room.limits, room.recipients, self._name(claim), claim.owner)
        first, second = self.server.run_all([call, taken])
        turn = place.turn_of(second, room.recipients)
        answer = self._read(first, turn)
        # a server that has forgotten the first script alone was asked for the turn before the message was taken
        return answer if turn.wait or turn.at else with_room(answer, room)

    def started(self, claim: Claim) -> bool:
        return self._change(claim, "started", self._lease)

    def renew(self, claim: Claim) -> bool:
        return self._change(claim, "", self._lease)

    def finish(self, claim: Claim, outcome: Mapping[str, Any]) -> bool:
        return self._change(claim, outcome["outcome"], 0, json.dumps(outcome, ensure_ascii=True))

    def give_back(self, claim: Claim) -> bool:
        return self._change(claim, "free", 0)

    def say(self, claim: Claim, outcome: Mapping[str, Any] | None) -> Callable[[], object] | None:
        """Do ``finish``, or ``give_back`` where there is no outcome, without waiting for the answer: see ``Says``."""
        state, text = "free", ""
        if outcome is not None:
            state, text = outcome["outcome"], json.dumps(outcome, ensure_ascii=True)
        return self.server.say(_CHANGE, [self._name(claim)], [claim.owner, state, 0, _KEPT, text])

    def close(self) -> None:
        """Close the connections that nobody uses just now."""
        self.server.close()

    @property
    def _lease(self) -> int:
        return int(self.lease * 1000)

    def _name(self, claim: Claim) -> str:
        return self.server.name("journal:", claim.key)

    def _change(self, claim: Claim, state: str, lease: int, outcome: str = "") -> bool:
        return bool(self.server.run(_CHANGE, [self._name(claim)], [claim.owner, state, lease, _KEPT, outcome]))

    def _read(self, found: Any, turn: Turn | None = None) -> Answer:
        state, message_id, date, rest, outcome = found
        return Answer(state, message_id, date, int(rest) / 1000, json.loads(outcome or "{}"), turn or Turn())
