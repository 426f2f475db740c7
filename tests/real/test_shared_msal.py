"""A sign-in at Microsoft for many machines: the real MSAL, whose cache lies in a real Redis or PostgreSQL, at an issuer
(a strict stand-in) that lets each refresh token be used once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

import franking
from franking.account.binding import binding_of
from franking.auth.postgres_store import PostgresStore
from franking.auth.redis_store import RedisStore
from franking.auth.secret import Grant
from franking.auth.sources import secret_for
from franking.outlook import login
from franking.registry import provider
from real.conftest import start
from servers.microsoft import Microsoft
from servers.person import Person
from servers.postgres import Postgres
from servers.redis import Redis

KEY = "the key of the tests, long enough"


@pytest.fixture(params=[Redis, Postgres], ids=["redis", "postgres"])
def machines(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[RedisStore | PostgresStore]]:
    with start(request.param) as server:
        kind = RedisStore if isinstance(server, Redis) else PostgresStore
        made = [kind(server.url, key=KEY, directory=tmp_path / f"{number}", cost=(2**10, 8, 1)) for number in range(3)]
        if isinstance(made[0], PostgresStore):
            made[0].server.make_tables()
        yield made
        for one in made:
            one.server.close()


def test_a_refresh_token_is_used_once_whichever_machine_renews(
    machines: list[RedisStore | PostgresStore], tmp_path: Path
) -> None:
    with Microsoft(tmp_path) as microsoft:
        sender = "Jan Novák <jan@contoso.com>"
        account = franking.Account(name="office", provider="outlook", sender=sender, **microsoft.settings())
        person = Person(microsoft.browser)
        grant = login.login(account, person)
        person.join()
        machines[0].save("office", replace(grant, bound=binding_of(account)).dumps())
        tokens = {grant.access_token}
        for turn in range(1, 4):
            last, found = grant.access_token, list[str]()

            def renew(store: RedisStore | PostgresStore, last: str = last, found: list[str] = found) -> None:
                found.append(secret_for(account, provider("outlook"), store, {}).get(renew_after=last))

            with ExitStack() as stack:
                for store in machines * 3:
                    thread = threading.Thread(target=renew, args=(store,))
                    thread.start()
                    stack.callback(thread.join)
            assert len(found) == 9 and len(set(found)) == 1
            grant = Grant.loads(machines[turn % 3].load("office") or "")
            assert grant.access_token == found[0] not in tokens
            tokens.add(found[0])
        assert microsoft.token_requests == ["authorization_code", *["refresh_token"] * 3]
        assert len(microsoft.refresh_tokens) == 1  # the last one, which is good
