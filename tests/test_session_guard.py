"""Who may use a session: one thread at a time, in the process that opened it."""

from __future__ import annotations

import os

import pytest

from franking.errors import ConnectError
from franking.session_guard import SessionGuard


def test_one_user_after_the_other() -> None:
    guard = SessionGuard()
    for _ in range(2):
        with guard:
            pass
    with pytest.raises(KeyError), guard:
        raise KeyError
    with guard:
        pass


def test_two_at_once_are_a_mistake_of_the_program() -> None:
    guard = SessionGuard()
    with guard:
        with pytest.raises(RuntimeError, match="one thread at a time"), guard:
            pass
        with pytest.raises(RuntimeError), guard:  # the refused one has not opened the door
            pass


def test_a_forked_childs_copy_is_of_no_use_and_nothing_had_left(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = SessionGuard()
    assert guard.ours
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert not guard.ours
    with pytest.raises(ConnectError) as caught, guard:
        pass
    assert caught.value.stale
    assert not caught.value.possibly_sent
    assert caught.value.evidence is not None
    assert caught.value.evidence.reason == "forked"
    monkeypatch.undo()
    with guard:
        pass
