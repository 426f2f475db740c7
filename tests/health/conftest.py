"""A clock that stands still, and looks by it; who is looked at and who is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from franking.health.look import look
from health.hook import Hook
from health.looking import Clock, Looks
from servers.google import Google
from servers.web import Authority


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def present() -> Clock:
    """Return a clock that begins now: what others write with the real time is not in its future."""
    return Clock(time.time())


@pytest.fixture
def looks(clock: Clock) -> Looks:
    return partial(look, clock=clock)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def hook(authority: Authority) -> Iterator[Hook]:
    made = Hook(authority)
    with made.web:
        yield made


@pytest.fixture
def google(authority: Authority) -> Iterator[Google]:
    with Google(authority) as made:
        yield made
