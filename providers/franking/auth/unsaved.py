"""What a shared store could not take because it was away: used on, and saved as soon as the store is back.

At once it also lies encrypted in this machine's state directory (``unsaved/``), so that it survives this process,
whatever ends it; whoever next holds the key's lock on this machine saves it. It is dropped where the store has
something else by then than what it was made of: a person signed in anew, or another worker renewed it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from franking.atomic import make_private, write_whole
from franking.auth.encryption import Damaged
from franking.errors import FrankingError, SettingsError
from franking.text import json_object

__all__ = ["Unsaved"]

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0
_LARGEST = 4 * 1024 * 1024

_log = logging.getLogger("franking.store")


class _Store(Protocol):
    def load(self, key: str) -> str | None: ...
    def save(self, key: str, value: str) -> None: ...
    def lock(self, key: str) -> AbstractContextManager[None]: ...
    def sealed(self, value: str, key: str) -> dict[str, Any]: ...
    def opened(self, record: Mapping[str, Any], key: str) -> str: ...


class Unsaved:
    """What one store could not take, in ``directory``, the state directory of this machine."""

    def __init__(self, store: _Store, directory: Path, pause: float) -> None:
        """``pause`` is for how long, in seconds, it may wait at most until it looks whether the store is back."""
        self._store, self._directory = store, directory / "unsaved"
        self._longest = min(_LONGEST_PAUSE, pause)
        self.begin()

    def begin(self) -> None:
        """Watch nothing; a forked child's threads are its parent's."""
        self._waiting: set[str] = set()
        self._mutex = threading.Lock()

    def path(self, key: str) -> Path:
        """Return the file in which what belongs under a key would lie."""
        return self._directory / f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}.json"

    def keep(self, key: str, value: str, base: str | None) -> None:
        """Write it down here, and save it in the background as soon as that can be done; ``base`` is what the store
        had when it was made. Raises ``SettingsError`` where nothing can be written here either.
        """
        path = self.path(key)
        inside = json.dumps({"value": value, "base": _digest(base)})
        try:
            make_private(self._directory.parent)
            make_private(self._directory)
            write_whole(path, json.dumps({"key": key, **self._store.sealed(inside, key)}).encode())
        except OSError as problem:
            _log.warning("what could not be saved for %s is in no file either: %s", key, problem)
            raise SettingsError(
                f"{path} could not be written: {problem.strerror}.", step="secret", field="FRANKING_STATE_DIR"
            ) from problem
        self._start(key)

    def settle(self, key: str) -> None:
        """Save what lies here for a key, inside its lock, unless the store has something else by now."""
        path = self.path(key)
        try:
            with path.open("rb") as file:
                record = json_object(file.read(_LARGEST)) or {}
        except FileNotFoundError:
            return
        except OSError as problem:
            _log.warning("%s cannot be read: %s", path, problem.strerror)
            return
        try:
            inside = json_object(self._store.opened(record, key)) or {}
        except Damaged:
            _log.warning("%s cannot be decrypted: it is damaged, or FRANKING_STORE_KEY is another", path)
            return
        found = self._store.load(key)
        value = str(inside.get("value"))
        if found != value and _digest(found) == inside.get("base"):
            self._store.save(key, value)
        try:
            path.unlink(missing_ok=True)
        except OSError as problem:  # it is looked at once more, and is no news then
            _log.warning("%s cannot be removed: %s", path, problem.strerror)

    def _start(self, key: str) -> None:
        with self._mutex:
            if key in self._waiting:
                return
            self._waiting.add(key)
        threading.Thread(target=self._watch, args=(key,), name="franking-unsaved", daemon=True).start()

    def _watch(self, key: str) -> None:
        pause = _SHORTEST_PAUSE
        while self._waits(key):
            time.sleep(pause)
            pause = min(self._longest, 1.5 * pause)
            try:
                with self._store.lock(key):
                    pass  # whoever has the lock settles it
            except FrankingError as problem:
                _log.debug("%s still waits for its store: %s", key, problem)
                if not problem.temporary:
                    _log.warning("what waits to be saved for %s cannot be: %s", key, problem)
                    self._waiting.discard(key)
                    return

    def _waits(self, key: str) -> bool:
        """Return whether it is still to be saved; what is kept from now on has a thread of its own."""
        with self._mutex:
            waits = self.path(key).exists()
            if not waits:
                self._waiting.discard(key)
        return waits


def _digest(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
