"""What a collector of errors takes of the variables of frames: no secret, whatever exception passes through us, and
wherever it strikes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
import franking.aio
from canaries import TESTS, found
from faults.oauth_flows import FLOWS, MESSAGE, World
from faults.strikes import places, strike, struck
from franking.auth.store import FileStore, MemoryStore, save_password
from servers.certificates import Certificates
from servers.smtp import SmtpServer

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.matrix,
    # what is struck between opening and owning a socket is left to the collector of garbage
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

PASSWORD = "Canary-Žluť 7%&+pass"
KEY = "canary-key-of-the-store_0123456789"


def known(world: World) -> Callable[[], set[str]]:
    """Return what collects the secrets that have crossed the line, but for what a person is shown."""
    shown = ("user code", "state", "ID token")
    return lambda: (
        {
            value
            for tap in world.taps.values()
            for kind, values in tap.known.items()
            for value in values
            if kind not in shown
        }
        | set(world.keys.values())
    )


# -- SMTP --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(certificates: Certificates) -> Iterator[SmtpServer]:
    with SmtpServer(users={"jana": PASSWORD}, context=certificates.context("good")) as server:
        yield server


@pytest.fixture
def account(server: SmtpServer, certificates: Certificates) -> franking.Account:
    return franking.Account(
        name="shop", provider="smtp", sender="jana@example.cz", host="localhost", port=server.port,
        security="starttls", username="jana", ca_file=certificates.ca_file, timeout=5,
    )  # fmt: skip


def send_many(account: franking.Account) -> None:
    with franking.connect(account, secret=PASSWORD, window=4) as mailer:
        assert all(result.error is None for result in mailer.send_many([MESSAGE] * 3))


def in_asyncio(account: franking.Account) -> None:
    asyncio.run(franking.aio.send(account, MESSAGE, secret=PASSWORD))


CALLS: dict[str, tuple[Callable[[franking.Account], Any], str]] = {
    "send": (lambda account: franking.send(account, MESSAGE, secret=PASSWORD), "sending.connect.send"),
    "send_test": (lambda account: franking.send_test(account, secret=PASSWORD), "sending.testsend.send_test"),
    "send_many": (send_many, "sending.connect.connect"),
    "aio.send": (in_asyncio, "aio.send"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_password_that_the_caller_hands_over(name: str, account: franking.Account) -> None:
    call, entry = CALLS[name]
    assert struck(lambda: call(account), lambda: {PASSWORD}, entry=f"franking.{entry}") == []


def test_a_password_of_a_command(account: franking.Account, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    chosen = account.replace(password_command=f"cat {file}")
    assert struck(lambda: franking.send(chosen, MESSAGE), lambda: {PASSWORD}) == []


def test_a_password_of_an_encrypted_store(account: franking.Account, tmp_path: Path) -> None:
    def act() -> None:
        franking.send(account, MESSAGE, store=stores[0])

    stores = [FileStore(tmp_path / "state", "encrypted", passphrase=KEY)]
    save_password(stores[0], account, PASSWORD)
    assert struck(act, lambda: {PASSWORD, KEY}, before=lambda: fresh(stores, tmp_path)) == []


def fresh(stores: list[FileStore], directory: Path) -> None:
    """Forget the key that was derived."""
    stores[:] = [FileStore(directory / "state", "encrypted", passphrase=KEY)]


# -- OAuth -------------------------------------------------------------------------------------------------------------


class Renewing:
    """A stored sign-in whose access token has ended, before each act anew."""

    def __init__(self, world: World, account: franking.Account) -> None:
        self.account, self.store = account, MemoryStore()
        self._told = world.grant(account).dumps()

    def __call__(self) -> None:
        self.store.save("shop", self._told)


@pytest.mark.parametrize("name", ["gmail", "outlook"])
def test_a_renewal_and_a_message(name: str, world: World) -> None:
    """By google-auth or MSAL, then the API."""
    before = Renewing(world, world.gmail() if name == "gmail" else world.outlook())
    act = lambda: franking.send(before.account, MESSAGE, store=before.store)  # noqa: E731
    assert struck(act, known(world), before=before) == []


@pytest.mark.parametrize(
    "name",
    [
        "google pasted",
        "google service account",
        "microsoft pasted",
        "microsoft as an app, step 1",
        "microsoft with a certificate, step 1",
    ],
)
def test_a_sign_in(name: str, world: World) -> None:
    store = "franking.auth.store.MemoryStore.__init__"  # the flow's own, which is handed a secret
    assert struck(lambda: FLOWS[name][0](world), known(world), entry=store) == []


# -- the collector itself ----------------------------------------------------------------------------------------------


def told_by(event: dict[str, Any]) -> str:
    """Return an event without the test's own frames."""
    for problem in event["exception"]["values"]:
        trace = problem["stacktrace"]
        trace["frames"] = [frame for frame in trace["frames"] if not frame["abs_path"].startswith(TESTS)]
    return json.dumps(event, ensure_ascii=False)


def test_sentry_finds_nothing_and_would_have(account: franking.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its defaults, with longer values; without its integrations, which would change this process."""
    sentry = pytest.importorskip("sentry_sdk")
    scrubber = pytest.importorskip("sentry_sdk.scrubber")
    events: list[str] = []

    class Kept(sentry.transport.Transport):  # type: ignore[misc,name-defined]
        def capture_envelope(self, envelope: Any) -> None:
            events.append(envelope.serialize().decode())

    client = sentry.Client(
        dsn="https://key@localhost/1",
        transport=Kept,
        default_integrations=False,
        include_local_variables=True,
        max_value_length=100_000,
        event_scrubber=scrubber.EventScrubber(denylist=[], pii_denylist=[]),  # which goes by the names of variables
    )
    act = lambda: franking.send(account, MESSAGE, secret=PASSWORD)  # noqa: E731
    at_login = [at for at in places(act) if Path(at[0]).name == "sasl.py"][::6]

    def reported() -> str:
        """Report an exception that strikes at lines of the login."""
        with sentry.isolation_scope() as scope:
            scope.set_client(client)
            for at in at_login:
                for error in strike(act, at):
                    scope.capture_exception(error)
        client.flush()
        told = "\n".join(told_by(json.loads(event.splitlines()[2])) for event in events)
        events.clear()
        return told

    first = reported()
    assert "open_session" in first and not found(first, PASSWORD)
    monkeypatch.setattr("franking.errors.forget_locals", lambda error: None)
    assert found(reported(), PASSWORD), "the search finds nothing where there is something"
