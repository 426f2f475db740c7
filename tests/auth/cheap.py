"""Keys that cost little: half a second of scrypt in each test that opens an encrypted store adds up. What a key really
costs is looked at in ``test_encryption.py``.
"""

from __future__ import annotations

from typing import Any

import pytest

from franking.auth.postgres_store import PostgresStore
from franking.auth.redis_store import RedisStore
from franking.auth.store import FileStore


def cheap_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stores that nobody tells a cost begin with a small one."""
    kinds: tuple[Any, ...] = (FileStore, RedisStore, PostgresStore)
    for kind in kinds:
        monkeypatch.setitem(kind.__init__.__kwdefaults__, "cost", (2**10, 8, 1))
