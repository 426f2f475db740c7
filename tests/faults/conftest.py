"""What the tests of faults share: both OAuth fakes with taps on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.oauth_flows import World
from servers.google import Google
from servers.microsoft import Microsoft
from servers.tap import Tap
from servers.web import Authority


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Google, Microsoft, dict[str, Tap]]]:
    World.microsofts = None
    authority = Authority(tmp_path_factory.mktemp("ca"))
    with Google(authority) as google, Microsoft(tmp_path_factory.mktemp("microsoft"), authority=authority) as microsoft:
        microsoft.rotate, microsoft.approves = False, True
        yield google, microsoft, {"google": Tap(google.web), "microsoft": Tap(microsoft.server)}


@pytest.fixture
def world(fakes: tuple[Google, Microsoft, dict[str, Tap]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # instead of the system's bundle, whose reading takes most of the time
    monkeypatch.setenv("SSL_CERT_FILE", fakes[0].authority.ca_file)
    google, microsoft, taps = fakes
    for tap in taps.values():
        tap.forget()
    return World(google, microsoft, taps, tmp_path)
