"""What a collector of errors takes of the variables of frames, in the places around a sign-in and a send: the command
line, Django, the outbox, the settings page, the relay, the system's keyring, threads, and a cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import smtplib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.test.utils import override_settings

import franking
import franking.aio
from canaries import leaks, shapes
from commandline import franking as run
from faults.oauth_flows import FLOWS, MESSAGE, World
from faults.strikes import struck
from faults.test_canaries_frames import KEY, PASSWORD, Renewing, known
from franking.account import editing
from franking.auth.secret import Password
from franking.auth.store import FileStore, MemoryStore, open_store, save_grant, save_password
from franking.outlook import login as outlook_login
from franking.registry import provider
from franking.relay import Relay
from franking.relay.users import hashed
from franking.web.local import LocalPage
from franking_cli.settings_server import SettingsServer
from servers.certificates import Certificates
from servers.django_mail import BACKEND
from servers.smtp import Fault, SmtpServer, silence
from web.browser import Browser

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.matrix,
    # what is struck between opening and owning a socket or a file is left to the collector of garbage
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::DeprecationWarning:django"),
]


@pytest.fixture
def server(certificates: Certificates) -> Iterator[SmtpServer]:
    with SmtpServer(users={"jana": PASSWORD}, context=certificates.context("good")) as server:
        yield server


@pytest.fixture
def account(server: SmtpServer, certificates: Certificates) -> franking.Account:
    return franking.Account(
        name="shop", provider="smtp", sender="jana@example.cz", host="localhost", port=server.port,
        security="starttls", username="jana", ca_file=certificates.ca_file, timeout=3,
    )  # fmt: skip


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> dict[Any, str]:
    """A system's keyring that answers."""
    import keyring

    kept: dict[Any, str] = {}
    monkeypatch.setattr(keyring, "set_password", lambda *where: kept.__setitem__(where[:2], where[2]))
    monkeypatch.setattr(keyring, "get_password", lambda *where: kept.get(where))
    monkeypatch.setattr(keyring, "delete_password", lambda *where: kept.pop(where))
    return kept


def own(*secrets: str) -> Callable[[], set[str]]:
    return lambda: set(secrets)


# -- sign-ins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "google in the browser",
        "microsoft in the browser",
        "gmail api resumable, step 1",
        "graph upload, step 1",
    ],
)
def test_a_sign_in_and_an_upload(name: str, world: World) -> None:
    assert struck(lambda: FLOWS[name][0](world), known(world)) == []


def test_a_sign_in_by_device(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = partial(outlook_login.login, sleep=lambda seconds: None)
    monkeypatch.setattr("franking.outlook.login.login", quick)

    def act() -> None:
        with world.signing_in() as person:
            person.device = True
            provider("outlook").login(world.outlook(), person)  # type: ignore[attr-defined]

    assert struck(act, known(world)) == []


def test_a_sign_in_that_the_caller_hands_over(world: World) -> None:
    account, store = world.gmail(), MemoryStore()
    text = world.grant(account, foreign=True).dumps()
    act = lambda: franking.send(account, MESSAGE, secret=text, store=store)  # noqa: E731
    assert struck(act, known(world), entry="franking.sending.connect.send") == []


# -- the environment ---------------------------------------------------------------------------------------------------


def queue_and_list(name: str) -> None:
    with franking.connect(name) as mailer:
        mailer.queue(MESSAGE)
    box = franking.Outbox()
    box.list()
    box.close()


IN_THE_ENVIRONMENT: dict[str, Callable[[str], Any]] = {
    "send": lambda name: franking.send(name, MESSAGE),
    "send_test": lambda name: franking.send_test(name),
    "check": lambda name: franking.connect(name).check(),
    "queue": queue_and_list,
    "recommend": lambda name: franking.recommend("info@seznam.cz", offline=True),
    "aio.send": lambda name: asyncio.run(franking.aio.send(name, MESSAGE)),
    "an unknown name": lambda name: catching(lambda: franking.send("nobody", MESSAGE)),
    "a URL": lambda name: franking.connect("smtp://jana@localhost?from=jana@example.cz&name=shop"),
}


def catching(act: Callable[[], Any]) -> None:
    with contextlib.suppress(franking.SettingsError):
        act()


@pytest.mark.parametrize("name", IN_THE_ENVIRONMENT)
def test_what_the_environment_holds(name: str, account: franking.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its secrets, of this account and of others, stand in ``os.environ``, which any frame might have as a variable."""
    editing.save(account)
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    monkeypatch.setenv("FRANKING_STORE_KEY", KEY)
    assert struck(lambda: IN_THE_ENVIRONMENT[name]("shop"), own(PASSWORD, KEY)) == []


# -- stores ------------------------------------------------------------------------------------------------------------


def test_a_store_that_the_keyring_locks(account: franking.Account, tmp_path: Path, keyring: dict[Any, str]) -> None:
    def act() -> None:
        store = FileStore(tmp_path / "state", "keyring")
        save_password(store, account, PASSWORD)
        franking.send(account, MESSAGE, store=FileStore(tmp_path / "state"))
        store.delete("shop")

    def secrets() -> set[str]:
        return {PASSWORD, *keyring.values()}

    assert struck(act, secrets, entry="franking.auth.store.save_password") == []


def test_a_plain_store_that_is_encrypted(account: franking.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    editing.save(account)

    def before() -> None:
        monkeypatch.delenv("FRANKING_STORE_KEY", raising=False)
        store = open_store()
        store.delete("shop")
        save_password(store, account, PASSWORD)
        monkeypatch.setenv("FRANKING_STORE_KEY", KEY)

    assert struck(lambda: command("accounts", "list"), own(PASSWORD, KEY), before=before) == []


# -- threads and tasks -------------------------------------------------------------------------------------------------


def test_threads_that_send_many(account: franking.Account) -> None:
    def act() -> None:
        with franking.connect(account, secret=PASSWORD, connections=3, window=2) as mailer:
            list(mailer.send_many([MESSAGE] * 4))

    assert struck(act, own(PASSWORD), entry="franking.sending.connect.connect") == []


def test_threads_that_renew(world: World) -> None:
    before = Renewing(world, world.gmail())

    def act() -> None:
        with franking.connect(before.account, store=before.store, connections=2) as mailer:
            list(mailer.send_many([MESSAGE] * 3))

    assert struck(act, known(world), before=before, strikes=8) == []


def test_an_asynchronous_mailer(account: franking.Account) -> None:
    async def send() -> None:
        async with franking.aio.connect(account, secret=PASSWORD) as mailer:
            await mailer.send(MESSAGE)
            async for _ in mailer.send_many([MESSAGE]):
                pass

    assert struck(lambda: asyncio.run(send()), own(PASSWORD), entry="franking.aio.connect") == []


@pytest.mark.parametrize("step", ["greet", "ehlo", "auth", "mail", "body"])
@pytest.mark.parametrize("way", ["cancel", "timeout"])
def test_a_cancellation(way: str, step: str, account: franking.Account, server: SmtpServer) -> None:
    server.faults.append(Fault(step, silence))

    async def send() -> None:
        task = asyncio.ensure_future(franking.aio.send(account, MESSAGE, secret=PASSWORD))
        if way == "timeout":
            async with asyncio.timeout(0.3):
                await task
        await asyncio.sleep(0.3)
        task.cancel()
        await task

    with pytest.raises((asyncio.CancelledError, TimeoutError)) as caught:
        asyncio.run(send())
    assert leaks(caught.value, {PASSWORD}) == []


# -- the command line --------------------------------------------------------------------------------------------------


def command(*arguments: str, text: str = "") -> None:
    """Run a command; raise what its last line of defence would have told as a mistake of ours."""
    broken: list[BaseException] = []
    with mock.patch("franking_cli.command.internal_error", lambda error, arguments: broken.append(error)):
        run(*arguments, text=text.encode())
    if broken:
        raise broken[0]


def test_a_password_that_is_typed_and_stored(account: franking.Account) -> None:
    editing.save(account)
    act = lambda: command("login", "shop", "--password-stdin", text=f"{PASSWORD}\n")  # noqa: E731
    assert struck(act, own(PASSWORD)) == []


@pytest.mark.parametrize("word", ["send-test", "check", "send", "status"])
def test_a_password_that_a_command_uses(word: str, account: franking.Account) -> None:
    editing.save(account)
    save_password(open_store(), account, PASSWORD)
    more = {"send-test": ["--to", "a@b.cz"], "send": ["--to", "a@b.cz", "--text", "x"], "status": ["--verify"]}
    assert struck(lambda: command(word, "shop", *more.get(word, ())), own(PASSWORD)) == []


def test_a_password_for_settings_that_are_not_saved(account: franking.Account, server: SmtpServer) -> None:
    flags = ["--from", "jana@example.cz", "--host", "localhost", "--port", str(server.port), "--username", "jana"]
    flags += ["--ca-file", str(account.ca_file), "--to", "a@b.cz", "--password-stdin"]
    assert struck(lambda: command("send-test", *flags, text=f"{PASSWORD}\n"), own(PASSWORD)) == []


@pytest.mark.parametrize("way", ["--export", "--import"])
def test_a_sign_in_that_is_carried(way: str, world: World) -> None:
    account = world.gmail()
    editing.save(account)
    grant = world.grant(account)
    save_grant(open_store(), account, grant)
    text = run("login", "shop", "--export").out
    assert struck(lambda: command("login", "shop", way, text=text), own(str(grant.data["refresh_token"]))) == []


def test_a_sign_in_that_is_taken_back(world: World) -> None:
    account = world.gmail()
    editing.save(account)
    grant = world.grant(account)

    def before() -> None:
        save_grant(open_store(), account, grant)

    act = lambda: command("logout", "shop", "--revoke")  # noqa: E731
    assert struck(act, own(str(grant.data["refresh_token"]), world.google.client_secret), before=before) == []


def test_many_messages_of_a_file(account: franking.Account, tmp_path: Path) -> None:
    editing.save(account)
    save_password(open_store(), account, PASSWORD)
    file = tmp_path / "many.jsonl"
    file.write_text('{"to": "a@b.cz", "text": "x"}\n' * 3)

    def before() -> None:
        Path(f"{file}.journal").unlink(missing_ok=True)

    assert struck(lambda: command("send-many", "shop", str(file)), own(PASSWORD), before=before) == []


# -- Django ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["account", "Django's own"])
def test_djangos_backend(place: str, account: franking.Account) -> None:
    from django.core.mail import EmailMessage

    from franking.django import EmailBackend

    given = {**account.given, "from": "jana@example.cz", "password": PASSWORD}
    chosen: dict[str, Any] = {"EMAIL_BACKEND": BACKEND, "FRANKING_ACCOUNT": given}
    if place != "account":
        chosen = {"EMAIL_BACKEND": BACKEND, "EMAIL_HOST": "localhost", "EMAIL_PORT": account.port}
        chosen |= {"EMAIL_USE_TLS": True, "EMAIL_HOST_USER": "jana", "EMAIL_HOST_PASSWORD": PASSWORD}

    def act() -> None:
        with override_settings(**chosen):
            EmailBackend(fail_silently=place != "account").send_messages([EmailMessage("x", "y", to=["a@b.cz"])])

    assert struck(act, own(PASSWORD)) == []


# -- the outbox --------------------------------------------------------------------------------------------------------


def test_a_runner_of_the_outbox(account: franking.Account) -> None:
    editing.save(account)
    save_password(open_store(), account, PASSWORD)

    def before() -> None:
        box = franking.Outbox()
        with franking.connect("shop") as mailer:
            mailer.queue(MESSAGE)
        box.close()

    def act() -> None:
        box = franking.Outbox()
        try:
            box.run(once=True)
        finally:
            box.close()

    assert struck(act, own(PASSWORD), before=before) == []


# -- the settings page -------------------------------------------------------------------------------------------------


@pytest.fixture
def page(broken: list[BaseException]) -> Iterator[Browser]:
    """The page of this user, served; what an application's error collector would get of it is kept."""

    def watched(environ: Any, start: Any) -> Iterator[bytes]:
        try:
            yield from made.wsgi(environ, start)
        except BaseException as error:
            broken.append(error)
            raise

    with SettingsServer(0) as server:
        made = LocalPage(server.server_port)
        thread = threading.Thread(target=server.serve, args=(watched,))
        thread.start()
        browser = Browser(server.server_port)
        browser.open(made.url)
        yield browser
        server.shutdown()
        thread.join(10)


@pytest.fixture
def broken() -> list[BaseException]:
    return []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("button", ["test", "save"])
def test_a_password_that_is_typed_into_the_settings_page(
    button: str, account: franking.Account, page: Browser, broken: list[BaseException]
) -> None:
    typed = {
        "from": "Jana <jana@example.cz>", "host": "localhost", "port": str(account.port), "security": "starttls",
        "authentication": "on", "username": "jana", "password": PASSWORD, "to": "me@example.cz", "name": "shop",
    }  # fmt: skip
    begun = page.page
    assert begun is not None

    def before() -> None:
        editing.config_path().unlink(missing_ok=True)
        open_store().delete("shop")
        page.open("/?account=")

    def act() -> None:
        broken.clear()
        with contextlib.suppress(http.client.HTTPException, OSError):
            page.press(button, **typed)
        if broken:
            raise broken[0]

    assert struck(act, own(PASSWORD), before=before, strikes=5) == []  # each lingers for a second


# -- the relay ---------------------------------------------------------------------------------------------------------


def test_a_login_at_the_relay(
    account: franking.Account, broken: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it logs of a mistake of its own holds frames too."""
    editing.save(account)
    monkeypatch.setattr("franking.relay.server.Server.broken", lambda server, problem: broken.append(problem))
    password = "Canary-of-a-printer-77"
    users = {"printer": {"password": hashed(password, chosen=False)}}

    def act() -> None:
        broken.clear()
        with contextlib.suppress(smtplib.SMTPException, OSError), Relay("shop", users=users, run=False) as relay:
            client = smtplib.SMTP(*relay.addresses[0], timeout=2)
            client.ehlo()
            client.user, client.password = "printer", password  # type: ignore[attr-defined]
            client.auth("PLAIN", client.auth_plain)
            client.close()
        if broken:
            raise broken[0]

    files = ("connection.py", "protocol.py", "login.py", "logins.py", "users.py")
    assert struck(act, own(password), within=tuple(f"relay/{name}" for name in files)) == []


# -- a collector as it comes -------------------------------------------------------------------------------------------

SERVICE = """
import json, signal, sys
import sentry_sdk
from sentry_sdk.transport import Transport

class Kept(Transport):
    def capture_envelope(self, envelope):
        print(envelope.serialize().decode("utf-8", "replace"))

sentry_sdk.init(dsn="https://key@localhost/1", transport=Kept, max_value_length=100_000, traces_sample_rate=1.0,
                _experiments={"max_spans": 100})
import franking
from franking.auth.store import MemoryStore
# an extension made of Rust that is struck while it is loaded panics, which is nobody's exception
from cryptography.hazmat.primitives.asymmetric import rsa

class Late(Exception):
    pass

def late(number, frame):
    raise Late

signal.signal(signal.SIGALRM, late)
told = json.load(sys.stdin)
if not told["cleared"]:
    import franking.errors
    franking.errors._forget = lambda error: None
account = franking.Account(**told["account"])
store = MemoryStore({"shop": told.pop("stored")})
message = franking.Message(to="a@b.cz", subject="x", text="y")
for after in told["after"]:
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        with sentry_sdk.start_transaction(name="task"):
            franking.send(account, message, store=store)
    except Exception as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sentry_sdk.capture_exception(error)
    signal.setitimer(signal.ITIMER_REAL, 0)
sentry_sdk.flush()
print("END")
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGALRM")
@pytest.mark.parametrize("kind", ["wrong password", "sign-in"])
def test_sentry_as_it_comes(kind: str, account: franking.Account, world: World) -> None:
    """With its default integrations, in a program that a signal strikes at some twenty moments of a send."""
    pytest.importorskip("sentry_sdk")

    secrets, stored = {"Canary-wrong-0815"}, Password("Canary-wrong-0815").dumps()
    if kind == "sign-in":
        account = world.gmail()
        grant = world.grant(account)
        secrets, stored = {str(grant.data["refresh_token"]), world.google.client_secret}, grant.dumps()
    made = {"name": "shop", "provider": account.provider, "sender": account.sender.address, **account.given}
    told = {"account": made, "stored": stored, "after": [0.002 * 1.4**number for number in range(20)]}
    for cleared in (True, False) if kind == "wrong password" else (True,):  # which is sure to pass through
        done = subprocess.run(
            [sys.executable, "-c", SERVICE],
            input=json.dumps({**told, "cleared": cleared}),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.stdout.endswith("END\n"), done.stderr
        assert '"frames"' in done.stdout
        if kind == "sign-in":
            secrets |= known(world)()
        out = done.stdout + done.stderr
        assert bool([form for secret in secrets for form in shapes(secret) if form in out]) is not cleared
