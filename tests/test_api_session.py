"""What both API routes share: to whom a message goes, their limits, what is known when something breaks in, what is
told meanwhile. Everything here is done by Gmail and by Graph.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from franking import api_session, errors
from franking.api_session import Progress
from franking.message.prepare import prepare
from franking.net import http
from franking.outlook.client import GraphClient
from franking.provider import Step, silent
from franking.registry import provider
from servers import held
from servers.held import Hook, Service
from servers.privileges import where_modes_count
from servers.rawweb import RawServer, reply, sends, sends_then_closes
from servers.web import Authority, Reply, Request
from smtp.test_limits import CHANGES
from tiers import one_of_each


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    with held.gmail(tmp_path_factory.mktemp("gmail")) as gmail, held.graph(tmp_path_factory.mktemp("graph")) as graph:
        yield {"gmail": gmail, "graph": graph}


@pytest.fixture(params=["gmail", "graph"])
def service(request: pytest.FixtureRequest, services: dict[str, Service]) -> Service:
    return services[request.param]


@pytest.fixture
def mailer(service: Service, tmp_path: Path) -> Iterator[franking.Mailer]:
    with franking.connect(service.account(), store=service.save(tmp_path / "state")) as made:
        made.check()
        yield made


class Access:
    """A bare access token of the service."""

    def __init__(self, service: Service) -> None:
        fake = service.fake
        self.token = fake.give_access() if service.provider == "gmail" else fake.issue("Mail.Send", "Mail.ReadWrite")

    def get(self, *, renew_after: str | None = None) -> str:
        return self.token


@pytest.fixture
def opened(service: Service) -> Iterator[Callable[..., Any]]:
    """Open a session of the provider itself, without the mailer that recovers."""
    made: list[Any] = []

    def open_session(observer: Any = silent) -> Any:
        made.append(provider(service.provider).open(service.account(), Access(service), observer))
        return made[-1]

    yield open_session
    for session in made:
        session.close()


pytestmark = pytest.mark.timeout(60)

MESSAGE = franking.Message(to=["jana@example.cz"], subject="x", text="y")


def ready(service: Service, message: Any = MESSAGE) -> Any:
    return prepare(message, sender=service.account().sender)


# -- to whom -----------------------------------------------------------------------------------------------------------

EVERYBODY = franking.Message(
    to=["jana@example.cz"], cc=["petr@example.cz"], bcc=["boss@example.cz"], subject="x", text="y"
)
ALL = ["jana@example.cz", "petr@example.cz", "boss@example.cz"]


@pytest.mark.parametrize(
    "recipients",
    [
        *([one for one in ALL if one != left_out] for left_out in ALL),
        [*ALL, "eva@example.cz"],
        ["eva@example.cz"],
        ["Jana@example.cz", *ALL[1:]],
    ],
)
def test_nobody_outside_the_envelope_gets_it_and_nobody_in_it_is_left_out(
    service: Service, mailer: franking.Mailer, recipients: list[str]
) -> None:
    """An API delivers to the header's addresses, whatever the envelope says: what would differ is not sent at all."""
    arrived = service.arrived()
    with pytest.raises(errors.MessageError) as caught:
        mailer.send(EVERYBODY, envelope=franking.Envelope("me@example.cz", recipients))
    assert caught.value.evidence is not None
    assert caught.value.evidence.reason == "envelope-differs"
    assert set(caught.value.evidence.details["differing"]) == set(recipients) ^ set(ALL)
    assert service.arrived() == arrived


def test_the_same_addresses_in_another_order_and_domains_in_another_case_are_no_difference(
    service: Service, mailer: franking.Mailer
) -> None:
    arrived = service.arrived()
    envelope = franking.Envelope("me@example.cz", ["boss@EXAMPLE.cz", *ALL[:2]])
    assert set(mailer.send(EVERYBODY, envelope=envelope).accepted) == {"boss@EXAMPLE.cz", *ALL[:2]}
    assert service.arrived() == arrived + 1


def test_an_envelope_sender_of_its_own_is_told_and_the_accounts_or_the_headers_is_not(
    service: Service, mailer: franking.Mailer
) -> None:
    own = service.account().sender.address
    for sender, told in (("bounces@novak.cz", 1), ("", 1), (own, 0), (own.upper(), 0)):
        receipt = mailer.send(MESSAGE, envelope=franking.Envelope(sender, ["jana@example.cz"]))
        assert len(receipt.warnings) == told
        assert not told or repr(sender) in receipt.warnings[0]


def requests(service: Service) -> list[str]:
    return list(service.fake.requests if service.provider == "gmail" else service.fake.server.requests)


def refused(service: Service, tmp_path: Path, message: franking.Message) -> errors.MessageError:
    """Send what must be refused before any request, and then something good on the same mailer."""
    with franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer:
        mailer.check()
        before, arrived = requests(service), service.arrived()
        with pytest.raises(errors.MessageError) as caught:
            mailer.send(message)
        assert requests(service) == before
        assert not caught.value.possibly_sent
        assert caught.value.diagnosis is not None
        assert mailer.send(franking.Message(to="c@d.cz", text="x")).accepted
        assert service.arrived() == arrived + 1
    return caught.value


# -- recipients and sizes ----------------------------------------------------------------------------------------------


def everybody(count: int) -> list[str]:
    return [f"r{number}@example.cz" for number in range(count)]


def test_one_recipient_too_many_is_refused_before_any_request(service: Service, tmp_path: Path) -> None:
    most = {"gmail": 100, "outlook": 1_000}[service.provider]
    error = refused(service, tmp_path, franking.Message(bcc=everybody(most + 1), text="x"))
    assert str(most + 1) in str(error)
    assert error.field == "to"
    with franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer:
        assert len(mailer.send(franking.Message(bcc=everybody(most), text="x")).accepted) == most


def test_a_message_too_large_is_refused_before_any_request(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "film.bin"
    path.touch()
    # a third more in base64; sparse, and never read
    os.truncate(path, {"gmail": 27_000_000, "outlook": 120_000_000}[service.provider])
    error = refused(service, tmp_path, franking.Message(to="c@d.cz", text="x", attachments=[path]))
    assert error.diagnosis is not None
    assert error.diagnosis.code == "message.too-large"


def test_a_long_header_arrives_folded(service: Service, tmp_path: Path) -> None:
    """Ninety recipients with names, a subject of 9,000 characters, a value of 5,000: no line is longer than RFC 5322
    allows.
    """
    people = [f"Žaneta Nováková {number} <r{number}@example.cz>" for number in range(90)]
    message = franking.Message(to=people, subject="Žluť " * 1_800, headers={"X-Long": "w " * 2_500}, text="x")
    with franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer:
        assert len(mailer.send(message).accepted) == 90
    octets = service.fake.messages[-1].raw if service.provider == "gmail" else service.fake.graph.sent[-1].delivered
    assert max(len(line) for line in octets.split(b"\r\n")) <= 998


# -- files that change -------------------------------------------------------------------------------------------------

MOMENTS = {  # the request behind which the file changes: before any of it was read, and in the middle
    ("gmail", "before"): ("POST", "uploadType=resumable"),
    ("gmail", "middle"): ("PUT", "upload_id="),
    ("outlook", "before"): ("POST", "/createUploadSession"),
    ("outlook", "middle"): ("PUT", "/upload/"),
}


# an open file keeps what was removed or replaced; what happens inside it counts
@pytest.mark.parametrize(
    ("moment", "change"),
    one_of_each(
        [*(("before", name) for name in CHANGES), *(("middle", name) for name in ("grows", "shrinks", "is emptied"))],
        lambda cell: cell[0],
    ),
)
def test_a_file_that_changes_while_it_is_uploaded(service: Service, moment: str, change: str, tmp_path: Path) -> None:
    path = tmp_path / "film.bin"
    path.write_bytes(bytes(12_000_000))

    def act(request: Request, answer: Callable[[], Reply]) -> Reply:
        done = answer()
        CHANGES[change](path)
        return done

    with franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer:
        before = service.arrived()
        service.fake.hook = Hook(*MOMENTS[service.provider, moment], act)
        with pytest.raises(errors.MessageError) as caught:
            mailer.send(franking.Message(to="c@d.cz", text="x", attachments=[path]))
        assert service.fake.hook is None
        assert not caught.value.possibly_sent
        assert "film.bin" in str(caught.value) or "changed" in str(caught.value)
        assert mailer.send(franking.Message(to="c@d.cz", text="x")).accepted
        assert service.arrived() == before + 1
    if service.provider == "outlook":
        assert service.fake.graph.drafts == {}, "a draft was left"


def test_a_file_that_became_unreadable(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "film.bin"
    path.write_bytes(b"x" * 1000)
    message = franking.Message(to="c@d.cz", text="x", attachments=[path])
    path.chmod(0)
    with (
        franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer,
        pytest.raises(errors.MessageError, match=r"film\.bin"),
    ):
        where_modes_count(lambda: mailer.send(message))


# -- connections -------------------------------------------------------------------------------------------------------


def connections(service: Service) -> int:
    return int((service.fake.web if service.provider == "gmail" else service.fake.server).connections)


def test_connections_are_used_evenly(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No message is answered before one is under way on each of the others."""
    fake = service.fake
    server = fake.web if service.provider == "gmail" else fake.server
    answer, all_busy = server.answer, threading.Barrier(3)
    carried: list[int] = []  # the server has a thread for each connection

    def answer_together(request: Request) -> Reply:
        if "/send" in request.path:
            carried.append(threading.get_ident())
            all_busy.wait(30)
        answered: Reply = answer(request)
        return answered

    monkeypatch.setattr(server, "answer", answer_together)
    with franking.connect(service.account(), store=service.save(tmp_path / "state"), connections=3) as mailer:
        results = list(mailer.send_many([MESSAGE] * 12, rate=100_000))
    assert [result.error for result in results] == [None] * 12
    assert sorted(Counter(carried).values()) == [4, 4, 4]


@pytest.mark.parametrize(("rested", "more"), [(9.9, 0), (10.1, 1)])
def test_a_connection_that_rested_is_not_trusted(
    service: Service, opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, rested: float, more: int
) -> None:
    session, letter = opened(), ready(service)
    session.send(letter.envelope, letter.content)
    before = connections(service)
    session._client._used -= rested
    session.send(letter.envelope, letter.content)
    assert connections(service) == before + more


def test_what_breaks_into_the_opening_leaves_no_connection(service: Service, opened: Callable[..., Any]) -> None:
    steps: list[Step] = []

    def interrupt(step: Step) -> None:
        steps.append(step)
        if step.status == "ok":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(interrupt)
    assert [(step.name, step.status) for step in steps] == [("connect", "running"), ("connect", "ok")]


# -- what breaks in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "possibly_sent"),
    [("message", "running", False), ("message", "ok", True), ("accepted", "ok", True)],
)
def test_an_interruption_says_whether_the_message_may_have_been_accepted(
    service: Service, opened: Callable[..., Any], name: str, status: str, possibly_sent: bool
) -> None:
    def interrupt(step: Step) -> None:
        if (step.name, step.status) == (name, status):
            raise KeyboardInterrupt

    session, letter = opened(interrupt), ready(service)
    with pytest.raises(KeyboardInterrupt) as caught:
        session.send(letter.envelope, letter.content)
    assert caught.value.possibly_sent is possibly_sent  # type: ignore[attr-defined]


def test_what_became_of_the_message_before_says_nothing_of_the_next(
    service: Service, opened: Callable[..., Any]
) -> None:
    session, letter = opened(), ready(service)
    session.send(letter.envelope, letter.content)

    class Interrupted:
        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        session.send(letter.envelope, Interrupted())
    assert caught.value.possibly_sent is False  # type: ignore[attr-defined]


class Lying:
    """A content whose octets are not as many as it says."""

    def __init__(self, content: Any, by: int) -> None:
        self._content, self._by = content, by

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    def size_with_bcc(self) -> int:
        return int(self._content.size_with_bcc()) + self._by


@pytest.mark.parametrize("by", [-3, 3])
def test_octets_that_do_not_add_up_are_a_changed_message(service: Service, opened: Callable[..., Any], by: int) -> None:
    steps: list[Step] = []
    session, letter = opened(steps.append), ready(service)
    arrived = service.arrived()
    try:
        with pytest.raises(errors.MessageError, match="changed while it was sent") as caught:
            session.send(letter.envelope, Lying(letter.content, by))
    finally:
        assert service.arrived() == arrived
    assert caught.value.evidence is not None
    assert caught.value.evidence.reason == "changed"
    assert (steps[-1].name, steps[-1].status) == ("message", "failed")
    assert session.send(letter.envelope, letter.content).accepted


# -- one request -------------------------------------------------------------------------------------------------------


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[tuple[RawServer, GraphClient]]:
    authority = Authority(tmp_path)
    with RawServer(authority, otherwise=lambda head: reply(202)) as server:
        settings = {"graph_endpoint": server.url, "ca_file": authority.ca_file, "timeout": 5, "client_id": "c"}
        account = franking.Account(provider="outlook", name="o", sender="me@contoso.com", **settings)
        client = GraphClient(account, Access.__new__(Access))
        client._secret.token = "t"  # type: ignore[attr-defined]
        yield server, client
        client.close()


def asked(client: GraphClient, body: Any, *, final: bool) -> errors.FrankingError:
    with pytest.raises(errors.FrankingError) as caught:
        client.exchange("POST", client.mailbox, body, {}, expected=(202,), final=final)
    return caught.value


def test_a_5xx_after_the_whole_message_leaves_it_open_and_an_early_one_does_not(
    raw: tuple[RawServer, GraphClient],
) -> None:
    server, client = raw
    server.acts = [sends(reply(500))]
    assert isinstance(asked(client, http.Streamed([b"whole"], 5), final=True), errors.OutcomeUnknown)
    assert client.in_doubt
    client.begin()
    server.acts = [sends(reply(500, b"", "Connection: close"))]
    error = asked(
        client, http.Streamed([], 0), final=True
    )  # of which the last octet has not left when the answer comes
    assert not error.possibly_sent
    assert error.temporary
    assert not client.in_doubt


def test_a_request_that_is_not_the_last_leaves_nothing_open(raw: tuple[RawServer, GraphClient]) -> None:
    server, client = raw
    server.acts = [sends(reply(500)), sends_then_closes(b"")]
    for _ in range(2):
        assert not asked(client, http.Streamed([b"whole"], 5), final=False).possibly_sent
        assert not client.in_doubt


@pytest.mark.parametrize("status", [400, 403, 429, 501])
def test_a_refusal_contradicts_the_doubt(raw: tuple[RawServer, GraphClient], status: int) -> None:
    server, client = raw
    server.acts = [sends(reply(status))]
    assert not asked(client, b"", final=True).possibly_sent
    assert not client.in_doubt


def test_a_final_request_without_a_body_may_have_arrived_unless_nobody_listened(
    raw: tuple[RawServer, GraphClient],
) -> None:
    server, client = raw
    server.acts = [sends_then_closes(b"")]
    assert isinstance(asked(client, b"", final=True), errors.OutcomeUnknown)
    server.stop_listening()
    client.close()
    assert isinstance(asked(client, b"", final=True), errors.ConnectError)


# -- what is told meanwhile --------------------------------------------------------------------------------------------


def test_progress_is_told_for_each_hundredth_and_for_the_last_octet() -> None:
    steps: list[Step] = []
    progress = Progress(steps.append, 10_000)
    for done in range(10_001):
        progress.running(done)
    assert [step.done for step in steps] == list(range(0, 10_001, 100))
    assert {(step.name, step.status, step.total) for step in steps} == {("message", "running", 10_000)}
    steps.clear()
    progress.running(5_000)  # an upload went back
    progress.running(5_050)
    progress.running(99_999)  # base64 counts roughly
    assert [step.done for step in steps] == [5_000, 10_000]


def test_a_small_message_is_not_told_more_often_than_it_has_octets() -> None:
    steps: list[Step] = []
    progress = Progress(steps.append, 7)
    for done in (0, 0, 3, 3, 7):
        progress.running(done)
    assert [step.done for step in steps] == [0, 3, 7]


def test_a_message_that_failed_has_one_failed_step() -> None:
    for step, told in (
        ("accepted", [("message", "ok"), ("accepted", "failed")]),
        ("message", [("message", "failed")]),
        (None, [("message", "failed")]),
    ):
        steps: list[Step] = []
        Progress(steps.append, 7).failed(errors.Refused("No.", step=step))
        assert [(one.name, one.status) for one in steps] == told


def test_the_header_ends_at_the_first_empty_line_and_the_source_is_let_go() -> None:
    closed: list[bool] = []

    class Slow:
        def chunks(self, *, bcc: bool) -> Iterator[bytes]:
            try:
                yield from (b"To: a@b.cz\r\nBcc", b": c@d.cz\r\n\r", b"\nbody\r\n\r\nmore")
                raise AssertionError("read on for nothing")
            finally:
                closed.append(bcc)

    content: Any = Slow()
    assert api_session.header_of(content) == b"To: a@b.cz\r\nBcc: c@d.cz"
    assert closed == [True]
