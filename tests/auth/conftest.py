"""A place for secrets, and a keyring in memory."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest


class FakeKeyring:
    """A keyring backend in memory that can be made to hang, to forget or to fail."""

    priority = 1

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.hang: threading.Event | None = None
        self.forgetful = False

    def _wait(self) -> None:
        if self.hang:
            self.hang.wait(30)
            raise RuntimeError("nobody unlocked it")

    def set_password(self, service: str, name: str, value: str) -> None:
        self._wait()
        if not self.forgetful:
            self.kept[service, name] = value

    def get_password(self, service: str, name: str) -> str | None:
        self._wait()
        return self.kept.get((service, name))

    def delete_password(self, service: str, name: str) -> None:
        del self.kept[service, name]


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Any:
    import keyring

    backend = FakeKeyring()
    for name in ("set_password", "get_password", "delete_password"):
        monkeypatch.setattr(keyring, name, getattr(backend, name))
    return backend


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"
