"""What every test of sending has: an account of the scripted provider."""

from __future__ import annotations

import pytest

import franking
from servers.scripted import ScriptedProvider


@pytest.fixture
def account(scripted: ScriptedProvider) -> franking.Account:
    return franking.Account(name="s", provider="scripted", sender="jan@example.com", username="jan")
