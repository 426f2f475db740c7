"""The page "Find your way" in docs/architecture.md is true: each walk is taken for real, and its hops happen in that
order.

A hop is a line ``1. `file.py` `function` …`` below the walk's heading. Between two hops other functions may be called;
a hop that does not happen, or happens before the one above it, fails.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import franking
from franking.auth.secret import Grant
from franking.auth.sources import secret_for
from franking.auth.store import open_store, save_grant
from franking.registry import provider
from servers.microsoft import Microsoft
from servers.person import Person
from servers.smtp import Fault, SmtpServer, says

PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text("utf-8")
LIBRARY = str(Path(franking.__file__).parent) + "/"
MODULES, MOVES = 13, 40
"""What a message on an open SMTP session may touch: files, and changes from one file to another."""

Call = tuple[str, str]


@contextmanager
def traced() -> Iterator[list[Call]]:
    """Record every call of a function of the library in this thread: (file, qualified name)."""
    calls: list[Call] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(LIBRARY):
            calls.append((frame.f_code.co_filename.removeprefix(LIBRARY), frame.f_code.co_qualname))

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def hops(heading: str) -> list[Call]:
    """Return the hops that the page lists below a heading."""
    part = PAGE.partition(f"### {heading}\n")[2].partition("\n#")[0]
    found = re.findall(r"^\d+\. `([\w/]+\.py)` `([\w.]+)`", part, re.MULTILINE)
    assert 5 <= len(found) <= 12, heading
    return found


def assert_walked(heading: str, calls: list[Call]) -> None:
    rest = iter(calls)
    for hop in hops(heading):
        assert hop in rest, f"{heading}: {hop} does not happen there; called were {list(dict.fromkeys(calls))}"


@pytest.fixture
def letter() -> franking.Message:
    return franking.Message(to=["jana@example.com"], subject="Faktura", text="Dobrý den")


def test_a_message_through_smtp(smtp_server: Callable[..., SmtpServer], letter: franking.Message) -> None:
    server = smtp_server()
    account = franking.Account(
        name="shop", provider="smtp", sender="info@novak.cz", host="127.0.0.1", port=server.port, security="none"
    )
    with franking.connect(account) as mailer:
        mailer.send(letter)  # opens the session
        with traced() as calls:
            mailer.send(letter)
    assert_walked("A message through SMTP", calls)
    files = [file for file, _ in calls]
    moves = sum(before != after for before, after in pairwise(files))
    assert (len(set(files)) <= MODULES, moves <= MOVES) == (True, True), (sorted(set(files)), moves)


@pytest.fixture
def microsoft(tmp_path: Path) -> Iterator[Microsoft]:
    with Microsoft(tmp_path) as made:
        yield made


@pytest.fixture
def office(microsoft: Microsoft) -> franking.Account:
    """An account at Microsoft whose sign-in is stored."""
    account = franking.Account(
        name="office", provider="outlook", sender="Jan <jan@contoso.com>", **microsoft.settings()
    )
    person = Person(microsoft.browser)
    grant = provider("outlook").login(account, person)
    save_grant(open_store(), account, grant)
    return account


def test_a_message_through_graph(office: franking.Account, letter: franking.Message) -> None:
    with franking.connect(office, secret=None) as mailer:
        mailer.send(letter)
        with traced() as calls:
            mailer.send(letter)
    assert_walked("A message through Graph", calls)


def test_a_secret(office: franking.Account) -> None:
    grant = open_store().load("office")
    assert grant is not None
    old = Grant.loads(grant)
    save_grant(open_store(), office, replace(old, expires_at=0.0))
    with traced() as calls:
        token = secret_for(office, provider("outlook"), open_store(), {}).get()
    assert token != old.access_token
    assert_walked("A secret", calls)


def test_an_error(smtp_server: Callable[..., SmtpServer], letter: franking.Message) -> None:
    server = smtp_server(faults=[Fault("mail", says("550 5.7.1 not yours"))])
    account = franking.Account(
        name="shop", provider="smtp", sender="info@novak.cz", host="127.0.0.1", port=server.port, security="none"
    )
    with franking.connect(account) as mailer, traced() as calls, pytest.raises(franking.Refused) as caught:
        mailer.send(letter)
    with traced() as reading:
        assert caught.value.diagnosis is not None
        _ = caught.value.diagnosis.title
    assert_walked("An error", calls + reading)
