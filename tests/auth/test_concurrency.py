"""Threads, processes, forks and clocks: one sign-in for all, one user for each session, one process for each
connection.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.auth.secret import Password
from franking.errors import ConnectError
from franking.message.prepare import prepare
from franking.provider import Step
from franking.registry import provider as find_provider
from servers import held
from servers.google import MAIL
from servers.held import Service
from servers.smtp import SmtpServer

pytestmark = pytest.mark.timeout(60)
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
ROUTES = ("smtp", "gmail", "graph", "file")


class Place:
    """Somewhere to send to by one route: an account, a secret, and how many connections and messages came."""

    def __init__(
        self, account: franking.Account, token: str, connections: Callable[[], int], arrived: Callable[[], int]
    ) -> None:
        self.account, self.token, self.connections, self.arrived = account, token, connections, arrived

    def open(self, observer: Any) -> Any:
        return find_provider(self.account.provider).open(self.account, Password(self.token), observer)


@pytest.fixture(params=ROUTES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        if request.param == "smtp":
            server = stack.enter_context(SmtpServer())
            account = franking.Account(
                name="shop",
                provider="smtp",
                sender="a@b.cz",
                host="127.0.0.1",
                port=server.port,
                security="none",
                timeout=20,
            )
            yield Place(account, "", lambda: len(server.sessions), lambda: len(server.messages))
        elif request.param == "file":
            account = franking.Account(name="shop", provider="file", sender="a@b.cz", path=str(tmp_path / "mail"))
            yield Place(account, "", lambda: 0, lambda: len(list((tmp_path / "mail").glob("*.eml"))))
        else:
            directory = tmp_path / "service"
            directory.mkdir()
            service = stack.enter_context({"gmail": held.gmail, "graph": held.graph}[request.param](directory))
            begun = service.connections()
            yield Place(
                service.account(), service.grant.access_token, lambda: service.connections() - begun, service.arrived
            )


def message(number: int = 0) -> franking.Message:
    return franking.Message(to="c@d.cz", subject=f"n{number}", text="x")


def ready(place: Place) -> tuple[Any, Any]:
    made = prepare(message(), sender=place.account.sender)
    return made.envelope, made.content


# -- one session -------------------------------------------------------------------------------------------------------


def test_a_session_that_two_threads_use_says_so(place: Place) -> None:
    inside, go = threading.Event(), threading.Event()

    def look(step: Step) -> None:
        if (step.name, step.status) == ("message", "running"):
            inside.set()
            assert go.wait(30)

    session = place.open(look)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(session.send, *ready(place))
        assert inside.wait(30)
        try:
            with pytest.raises(RuntimeError, match="another thread"):
                session.send(*ready(place))
        finally:
            go.set()
        assert first.result(30).accepted == ("c@d.cz",)
    assert session.send(*ready(place)).accepted, "it is free again"
    session.close()
    assert place.arrived() == 2


# -- fork --------------------------------------------------------------------------------------------------------------


@pytest.mark.process
@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_cannot_use_the_session_nor_break_it_off(place: Place) -> None:
    session = place.open(lambda step: None)
    session.send(*ready(place))
    child = os.fork()
    if child == 0:
        verdict = 1
        try:
            session.abort()
            session.send(*ready(place))
        except ConnectError as error:
            verdict = 0 if error.stale and error.evidence is not None and error.evidence.reason == "forked" else 2
        finally:
            session.close()
            os._exit(verdict)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert session.send(*ready(place)).accepted, "the parent's goes on"
    session.close()
    assert place.arrived() == 2
    assert place.connections() <= 1


FORKS = """
import json, os, sys
import franking
from franking.auth.secret import Password

settings, token = json.loads(sys.argv[1])
how = sys.argv[2]
account = franking.Account(name="shop", **settings)
message = franking.Message(to="c@d.cz", text="x")
with franking.connect(account, secret=Password(token) if token else None) as mailer:
    if how == "many":
        many = mailer.send_many([message] * 8, window=4)
        next(many)
    else:
        mailer.send(message)
    child = os.fork()
    if child == 0:
        if how == "many":
            try:
                print("went on", [result.outcome for result in many])
            except RuntimeError as error:
                print(error)
        if how == "sends":
            mailer.send(message)
        sys.exit(0)  # as a program ends: every finaliser runs
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if how == "many":
        assert [result.outcome for result in many] == ["accepted"] * 7
    mailer.send(message)
    sys.exit(ended)
"""


@pytest.mark.process
@forks
@pytest.mark.parametrize("how", ["sends", "only ends", "many"])
def test_after_a_fork_each_process_has_its_own_connection(place: Place, how: str) -> None:
    """A child that ends says nothing on its parent's connection, and one that sends opens another; both end without a
    word on stderr.
    """
    told = {"provider": place.account.provider, "sender": str(place.account.sender), **place.account.settings}
    arguments = json.dumps([{key: value for key, value in told.items() if value is not None}, place.token])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", FORKS, arguments, how],
        capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert place.arrived() == {"sends": 3, "only ends": 2, "many": 9}[how]
    if place.account.provider != "file":
        assert place.connections() == (2 if how == "sends" else 1), (
            "two processes spoke on one connection, or the parent's was lost"
        )
    assert done.stdout.strip() == (
        "this send_many began in the parent process, which goes on with it; begin another one here"
        if how == "many"
        else ""
    )


@pytest.mark.process
@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_lock_that_a_thread_held_at_the_fork_holds_up_no_child(place: Place) -> None:
    mailer = franking.connect(place.account, secret=Password(place.token) if place.token else None)
    mailer.send(message())
    with mailer.pool.lock:  # as a thread of the parent may
        child = os.fork()
        if child == 0:
            mailer.abort()
            mailer.close()
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert mailer.send(message()).accepted
    mailer.close()
    assert place.connections() <= 1


# -- one account for all -----------------------------------------------------------------------------------------------

CHILDREN = """
import json, os, sys
import franking
from franking.auth.store import FileStore
from franking.auth.secret import Password

settings, state = json.loads(sys.argv[1])
account = franking.Account(name="shop", **settings)
franking.connect(account, secret=Password("warm")).check()  # the libraries are loaded once, before the forks
begin, go = os.pipe()
children = []
for number in range(6):
    if not (child := os.fork()):
        os.close(go)
        os.read(begin, 1)  # all at once: the pipe ends
        with franking.connect(account, connections=3, store=FileStore(state, "file")) as mailer:
            results = list(mailer.send_many([franking.Message(to="c@d.cz", text="x")] * 5, rate=float("inf")))
        os._exit(0 if [result.outcome for result in results] == ["accepted"] * 5 else 1)
    children.append(child)
os.close(go)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.mark.process
@forks
@pytest.mark.parametrize("maker", [held.gmail, held.graph])
def test_processes_with_threads_share_one_sign_in(maker: Any, tmp_path: Path) -> None:
    """Six processes of three connections each find that the token has ended: one of them renews it, and all thirty
    messages go.
    """
    (tmp_path / "service").mkdir()
    with maker(tmp_path / "service") as service:
        service.save(tmp_path / "state", ended=True)
        told = json.dumps([{"provider": service.provider, **service.settings}, str(tmp_path / "state")])
        before = service.renewals()
        # a library's thread may still be ending at the fork, which Python 3.12 and newer warn of
        quiet = ["-W", "ignore:This process:DeprecationWarning"]
        done = subprocess.run(
            [sys.executable, *quiet, "-c", CHILDREN, told], capture_output=True, text=True, check=False, timeout=100
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert service.renewals() - before == 1
        assert service.arrived() == 30


# -- clocks ------------------------------------------------------------------------------------------------------------

JUMPS = """
import sys, time
real, jump = time.time, 0.0
time.time = lambda: real() + jump
import json
import franking
from franking.auth.store import FileStore

settings, state = json.loads(sys.argv[1])
mailers = [franking.connect(franking.Account(**each), store=FileStore(state, "file")) for each in settings]
for line in sys.stdin:
    jump = float(line)
    try:
        for mailer in mailers * 2:
            mailer.send(franking.Message(to="c@d.cz", text="x"))
            mailer.pool.drop_idle()
        print("sent", flush=True)
    except franking.FrankingError as error:
        print(repr(error), flush=True)
for mailer in mailers:
    mailer.close()
"""
DAY = 86_400.0
YEAR = 365 * DAY


class Live:
    """What the mail server takes for the right token: every one that its issuer would let in."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def get(self, user: str, default: object = None) -> Live:
        return self

    def __eq__(self, token: object) -> bool:
        return token in self.service.fake.access

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.process
@pytest.mark.parametrize("road", ["gmail-api and smtp", "graph"])
def test_a_wall_clock_that_jumps_costs_one_renewal(road: str, tmp_path: Path) -> None:
    """Suspended for a day, set back by a year: no token that has ended is used, none is renewed in a loop, and no
    time-out is touched.
    """
    (tmp_path / "service").mkdir()
    with ExitStack() as stack:
        service = stack.enter_context((held.graph if road == "graph" else held.gmail)(tmp_path / "service"))
        accounts = [{"name": "shop", "provider": service.provider, **service.settings}]
        store = service.save(tmp_path / "state")
        if road != "graph":
            fake = service.fake
            for token in (*fake.access.values(), *fake.refresh.values()):
                token.scopes = (*token.scopes, MAIL)  # good for both roads
            authority = fake.authority
            mail = stack.enter_context(
                SmtpServer(context=authority.context("127.0.0.1"), implicit_tls=True, mechanisms=("XOAUTH2",))
            )
            store.save("post", replace(service.grant, route="gmail-smtp", scopes=(*service.grant.scopes, MAIL)).dumps())
            mail.tokens = Live(service)  # type: ignore[assignment]
            accounts.append(
                {
                    "name": "post", "provider": "gmail", "sender": "me@gmail.com", "route": "smtp", "host": "127.0.0.1",
                    "port": mail.port, "security": "tls",
                    "ca_file": authority.ca_file, "client_secrets": service.settings["client_secrets"], "timeout": 20,
                }
            )  # fmt: skip
        told = json.dumps([accounts, str(tmp_path / "state")])
        with subprocess.Popen(
            [sys.executable, "-c", JUMPS, told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None and process.stdout is not None and process.stderr is not None
            sent = 0
            for jump in (0.0, DAY, -DAY, YEAR, -YEAR):
                before = service.renewals()
                refused = _refused(service)
                process.stdin.write(f"{jump}\n")
                process.stdin.flush()
                assert process.stdout.readline() == "sent\n", process.communicate()[1]
                renewed = service.renewals() - before
                assert renewed <= len(accounts), "renewed more than once"
                assert renewed >= 1 or jump == 0.0
                assert _refused(service) == refused, "a token that had ended was used"
                sent += 2
            assert process.communicate("")[1] == ""
        assert service.arrived() == sent


def _refused(service: Service) -> int:
    """Count the requests beside one for each message: a 401 makes one more."""
    answered = service.fake.requests if service.provider == "gmail" else service.fake.server.requests
    return sum(request.endswith(("/send", "/sendMail")) for request in answered) - service.arrived()
