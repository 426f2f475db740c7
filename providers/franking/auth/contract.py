"""What every store of secrets is, and what only some can do. The stores: ``store.py``, ``shared_store.py``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

__all__ = ["KeepsUnsaved", "KnowsTime", "LosesLocks", "OpenedStore", "SecretStore"]


class SecretStore(Protocol):
    """Keep one text per key, safely."""

    def load(self, key: str) -> str | None: ...
    def save(self, key: str, value: str) -> None: ...
    def delete(self, key: str) -> None: ...
    def lock(self, key: str) -> AbstractContextManager[None]:
        """Hold the key for this thread of this process alone; waiting is bounded, and a time-out is a temporary
        error.
        """
        ...


@runtime_checkable
class KnowsTime(Protocol):
    """A store of several machines says what time it is: a grant is dated by its clock."""

    def clock(self) -> float: ...


@runtime_checkable
class KeepsUnsaved(Protocol):
    """A store that may be away keeps what it could not take, inside the key's lock: it is saved as soon as it can be,
    unless somebody else has saved something newer.
    """

    def keep(self, key: str, value: str) -> None: ...


@runtime_checkable
class LosesLocks(Protocol):
    """A store whose lock ends by itself where its holder stands still: nobody asks an issuer after that."""

    def check_lock(self, key: str) -> None:
        """Raise ``LockLost`` where another may have the key's lock by now."""
        ...


@runtime_checkable
class OpenedStore(SecretStore, Protocol):
    """A store that the environment names, which can say of a key what a person wants to know."""

    def kind(self, key: str) -> str | None:
        """Return how a key's secret is kept (``file``, ``encrypted``, ``keyring``, ``shared``); None where there is
        none.
        """
        ...

    def place(self, key: str) -> str:
        """Return where it lies: a file's path, a server's address without its password."""
        ...

    def has(self, key: str) -> bool:
        """Return whether anything is there, readable or not."""
        ...

    def stamp(self, key: str) -> str:
        """Return a text that changes whenever it is saved anew; nothing secret is in it."""
        ...
