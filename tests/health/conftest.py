"""A clock that stands still, and looks by it."""

from __future__ import annotations

import time
from functools import partial

import pytest

from franking.health.look import look
from health.looking import Clock, Looks


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
