"""Where secrets and grants live: in memory, or in one file per account, plain or encrypted. It knows strings, not their meaning."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

__all__ = ["SecretStore"]


class SecretStore(Protocol):
    """Keep one text per key, safely."""

    def load(self, key: str) -> str | None: ...
    def save(self, key: str, value: str) -> None: ...
    def delete(self, key: str) -> None: ...
    def lock(self, key: str) -> AbstractContextManager[None]:
        """Hold the key for this thread of this process alone; waiting is bounded, and a time-out is a temporary error."""
        ...
