"""Secrets in Redis: a hash for each key, and a script for each step. What is common to shared stores is in
``shared_store.py``, how Redis is asked in ``shared/redis_server.py``.

A hash has ``value`` (encrypted), ``owner``, ``lease``, ``until`` (milliseconds of the server's clock) and ``token``,
which grows with each holding and is never taken away.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.account.environment import state_folder
from franking.auth import encryption
from franking.auth.shared_store import SharedStore
from franking.diagnosis.diagnosis import Hint
from franking.errors import SettingsError, discreet
from franking.redaction import Veiled, veiled
from franking.shared.opening import LEASE, Place, place_of
from franking.shared.redis_server import RedisServer, Script

if TYPE_CHECKING:
    import redis

__all__ = ["RedisStore"]

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_READ = Script(_NOW + "return {redis.call('HGET', KEYS[1], 'value'), string.format('%.0f', now)}")

# A holding that was never given back, on a server that was started only now: its holder may be about to say what
# happened meanwhile, so it has its time once more. One that ends later than any can was taken before the clock was set
# back: a holder that lives has a lease from now to say so.
_TAKE = Script(
    _NOW
    + """
local held = redis.call('HMGET', KEYS[1], 'owner', 'until', 'lease')
if held[1] and held[1] ~= ARGV[1] then
  local ends, longest = tonumber(held[2]), now + held[3]
  if ends > longest then
    redis.call('HSET', KEYS[1], 'until', string.format('%.0f', longest))
  elseif ends <= now then
    local about = redis.pcall('INFO', 'server')
    local up = type(about) == 'string' and string.match(about, 'uptime_in_seconds:(%d+)')
    if up then ends = math.max(ends, now - up * 1000 + held[3]) end
  end
  if ends > now then return {0, string.format('%.0f', now)} end
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'lease', ARGV[2], 'until', string.format('%.0f', now + ARGV[2]))
return {redis.call('HINCRBY', KEYS[1], 'token', 1), string.format('%.0f', now)}
"""
)

_MINE = (
    _NOW
    + """
local held = redis.call('HMGET', KEYS[1], 'owner', 'token', 'until')
local mine = held[1] == ARGV[1] and held[2] == ARGV[2]
if not mine or tonumber(held[3]) <= now then return 0 end
"""
)

_RENEW = Script(_MINE + "redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[3])) return 1")
_WRITE = Script(_MINE + "redis.call('HSET', KEYS[1], 'value', ARGV[3]) return 1")
_REMOVE = Script(_MINE + "redis.call('HDEL', KEYS[1], 'value') return 1")
_RELEASE = Script(_MINE + "redis.call('HDEL', KEYS[1], 'owner', 'until') return 1")
_PUT_FIRST = Script("redis.call('HSETNX', KEYS[1], 'value', ARGV[1]) return redis.call('HGET', KEYS[1], 'value')")


class RedisStore(SharedStore):
    """Keep secrets in Redis, encrypted: by its address (``redis://``, ``rediss://``) or a client of redis-py.

    ``key`` is FRANKING_STORE_KEY unless given; ``prefix`` begins the name of everything in it. Raises ``SettingsError``
    without a key, or for an address that is none.
    """

    def __init__(
        self,
        client_or_url: str | redis.Redis | Place,
        *,
        key: str | None = None,
        prefix: str = "franking:",
        directory: str | Path | None = None,
        cost: encryption.Cost = encryption.COST,
    ) -> None:
        """``directory`` is this machine's state directory, and ``cost`` scrypt's, for a store that is begun."""
        client_or_url, key = veiled(client_or_url), veiled(key)
        place: Any = client_or_url
        if isinstance(place, Veiled):
            place = place_of(place)
        lease = LEASE
        if isinstance(place, Place):
            lease = place.lease
            self.server = RedisServer(place.url, timeout=place.timeout, prefix=prefix)
        else:
            self.server = RedisServer(place, prefix=prefix)
        with discreet:  # the environment holds secrets
            folder = Path(state_folder(os.environ)) if directory is None else Path(directory)
        passphrase = veiled(key or os.environ.get("FRANKING_STORE_KEY"))
        super().__init__(_RedisRows(self.server), passphrase=passphrase, lease=lease, directory=folder, cost=cost)


class _RedisRows:
    """The steps of one key, by scripts."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    @property
    def where(self) -> str:
        return self._server.where

    def read(self, key: str) -> tuple[str | None, float]:
        value, now = self._run(_READ, key)
        return value, int(now) / 1000

    def take(self, key: str, owner: str, seconds: float) -> tuple[int, float] | None:
        token, now = self._run(_TAKE, key, owner, _milliseconds(seconds))
        return (int(token), int(now) / 1000) if token else None

    def renew(self, key: str, owner: str, token: int, seconds: float) -> bool:
        return bool(self._run(_RENEW, key, owner, token, _milliseconds(seconds)))

    def write(self, key: str, owner: str, token: int, value: str | None) -> bool:
        if value is None:
            return bool(self._run(_REMOVE, key, owner, token))
        return bool(self._run(_WRITE, key, owner, token, value))

    def release(self, key: str, owner: str, token: int) -> None:
        self._run(_RELEASE, key, owner, token)

    def put_first(self, key: str, value: str) -> str:
        return str(self._run(_PUT_FIRST, key, value))

    def concerns(self) -> list[Hint]:
        server = {"server": self.where}
        known, found = self._known(), self._unprotected()
        if known.get("redis_mode") == "cluster":
            raise self._server.unfit("it is a Redis Cluster, in which what belongs together lies apart")
        if why := _not_durable(known):
            found.append(Hint("store.not-durable", {**server, "why": why}))
        if known.get("maxmemory_policy", "noeviction") != "noeviction":
            found.append(Hint("store.evicts", server))
        return found

    def _known(self) -> dict[str, str]:
        """Return what the server tells of itself; ``hidden`` is why it does not tell all, where who runs it does not
        let us look.
        """
        known: dict[str, str] = {}
        try:
            for part in ("server", "memory", "persistence"):
                known |= _facts(self._server.ask("INFO", part))
            known |= _facts_of_pairs(self._server.ask("CONFIG", "GET", "appendfsync"))
        except SettingsError as problem:
            assert problem.evidence is not None
            known["hidden"] = problem.evidence.text
        return known

    def _unprotected(self) -> list[Hint]:
        return [] if self._server.protected else [Hint("store.unprotected", {"server": self.where})]

    def _run(self, script: Script, key: str, *args: str | int) -> Any:
        return self._server.run(script, [self._server.name(key)], args)


def _not_durable(known: dict[str, str]) -> str | None:
    """Return why the server may lose what it was told, None where it keeps it."""
    why: str | None = None
    if known.get("aof_enabled", "1") != "1":
        why = "appendonly no"
    elif "hidden" in known:
        why = f"nobody can see from here what appendonly and appendfsync are ({known['hidden']})"
    elif known.get("appendfsync") != "always":
        why = f"appendfsync {known.get('appendfsync')}"
    return why


def _facts(text: object) -> dict[str, str]:
    """Read what INFO says."""
    lines = (line.partition(":") for line in str(text).splitlines())
    return {name: value.strip() for name, _, value in lines}


def _facts_of_pairs(answer: list[str]) -> dict[str, str]:
    return dict(zip(answer[::2], answer[1::2], strict=True))


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
