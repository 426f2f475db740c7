"""Sign-ins at Microsoft, by the real MSAL at a strict stand-in: really renewed, seldom; and how their end looks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from franking.account.config import load
from franking.auth.sources import secret_for
from franking.auth.status import state_of
from franking.auth.store import open_store, save_grant, save_password
from franking.health.deadlines import grant_deadline
from franking.health.look import look
from franking.outlook.login import login
from franking.registry import provider
from health.looking import DAY, Clock, codes, finding, settings
from servers.microsoft import TENANT, Microsoft
from servers.person import Person
from servers.web import Authority, Reply


@pytest.fixture
def microsoft(tmp_path: Path, authority: Authority) -> Iterator[Microsoft]:
    with Microsoft(tmp_path, authority=authority) as made:
        yield made


def account(microsoft: Microsoft, more: str = "") -> None:
    """Add an account at the stand-in to the settings."""
    given = "".join(f"{key} = {value!r}\n" for key, value in microsoft.settings().items())
    settings(f"[accounts.office]\nprovider = 'outlook'\nfrom = 'jan@contoso.com'\n{given}{more}")


def sign_in(microsoft: Microsoft, then: float) -> None:
    """Sign in by the browser, and let the sign-in be as old as ``then`` says."""
    person = Person(microsoft.browser)
    made = login(load().account("office"), person, sleep=lambda seconds: None)
    person.join()
    assert person.problems == []
    save_grant(open_store(), load().account("office"), replace(made, created_at=then, refreshed_at=then))
    microsoft.token_requests.clear()


@pytest.mark.parametrize("route", ["graph", "smtp"])
def test_a_sign_in_is_really_renewed_each_day(route: str, microsoft: Microsoft, present: Clock) -> None:
    """The old refresh token dies when it is used: the next day's is the one that came with the answer."""
    account(microsoft, f"route = '{route}'\n")
    sign_in(microsoft, present.now - 2 * DAY)
    for day in range(3):
        found = look(clock=present)
        assert codes(found, "office") == {"signin.ok": "ok", "grant.expires": "ok", "send.failing": "ok"}
        assert microsoft.token_requests == ["refresh_token"] * (day + 1)
        look(clock=present)
        assert len(microsoft.token_requests) == day + 1, "once a day"
        present.now += DAY + 60
    assert codes(look(verify=True, clock=present), "office")["signin.ok"] == "ok"
    office = load().account("office")
    token = secret_for(office, provider("outlook"), open_store(), os.environ).get()
    assert microsoft.tokens[token].user == "jan@contoso.com"


def test_a_sign_in_that_nobody_used_for_too_long_is_dead(microsoft: Microsoft, present: Clock) -> None:
    account(microsoft)
    sign_in(microsoft, present.now - 2 * DAY)
    microsoft.refresh_tokens.clear()
    found = finding(look(clock=present), "signin.dead", "office")
    assert found.level == "critical"
    assert "franking login office" in found.remedies()[0]
    assert "franking login office" in " ".join(found.remedies("cs"))
    assert not [secret for secret in microsoft.secrets if secret[:20] in f"{found.as_dict()}"]
    look(clock=present)
    assert microsoft.token_requests == ["refresh_token"], "once a day"
    sign_in(microsoft, present.now)
    assert codes(look(clock=present), "office")["signin.ok"] == "ok"


def test_a_consent_that_was_withdrawn(microsoft: Microsoft, present: Clock) -> None:
    account(microsoft)
    sign_in(microsoft, present.now - 2 * DAY)
    microsoft.consented.clear()
    found = finding(look(clock=present), "signin.dead", "office")
    assert (found.level, found.remedies() != ()) == ("critical", True)
    assert "no permission" in found.text()


def test_an_issuer_that_is_away_is_a_warning(microsoft: Microsoft, present: Clock) -> None:
    account(microsoft)
    sign_in(microsoft, present.now - 2 * DAY)
    microsoft.answers.append(("/token", Reply(503, b"later")))
    assert codes(look(clock=present), "office")["server.unreachable"] == "warning"
    assert codes(look(clock=present), "office")["signin.ok"] == "ok"


@pytest.mark.parametrize(("days", "level"), [(15, "ok"), (14, "warning"), (1, "critical"), (-1, "critical")])
def test_an_unused_sign_in_of_a_switched_off_account_ends(
    days: float, level: str, microsoft: Microsoft, present: Clock
) -> None:
    account(microsoft, "enabled = false\n")
    sign_in(microsoft, present.now - (90 - days) * DAY)
    assert codes(look(clock=present), "office") == {"account.disabled": "ok", "grant.expires": level}
    assert microsoft.token_requests == []


def test_a_sign_in_that_is_in_use_does_not_end_by_disuse(microsoft: Microsoft, present: Clock) -> None:
    account(microsoft)
    sign_in(microsoft, present.now - 80 * DAY)
    office, outlook = load().account("office"), provider("outlook")
    state = state_of(office, outlook, open_store(), {})
    for unused, level in ((True, "warning"), (False, "ok")):
        found = grant_deadline(office, outlook, state, present.now, unused=unused)
        assert found is not None and found.level == level


def test_an_application_signs_in_by_itself(microsoft: Microsoft, present: Clock) -> None:
    microsoft.secret = "Canary9~right"
    account(microsoft, f"app_only = true\ntenant = '{TENANT}'\n")
    save_password(open_store(), load().account("office"), "Canary9~right")
    assert codes(look(clock=present), "office")["signin.ok"] == "ok"
    assert microsoft.token_requests == ["client_credentials"]
    microsoft.secret = "Canary9~another"  # it has ended, and somebody made a new one
    present.now = time.time() + DAY + 60
    found = finding(look(clock=present), "signin.dead", "office")
    assert found.level == "critical"
    assert found.remedies()
