"""The sink and the delay proxy that the benchmarks measure with, shown with the standard library's client alone."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.daemon import Certificates
from servers.delay import Delay
from servers.sink import Conversation, Sink

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def sink(certificates: Certificates) -> Iterator[Sink]:
    with Sink(certificates=(certificates.chain, certificates.key)) as sink:
        yield sink


def test_smtplib_takes_the_round_trips_that_are_known(sink: Sink, certificates: Certificates) -> None:
    """Connect, greeting, EHLO, STARTTLS, handshake, EHLO, AUTH, MAIL, RCPT, DATA, final dot: 11; from TLS on, 9.

    Without a delay the session tickets that follow a handshake would arrive before the next command, and look like
    something waited for.
    """
    trust = ssl.create_default_context(cafile=str(certificates.ca))
    for port, expected in ((sink.port, 11), (sink.tls_port, 9)):
        with contextlib.ExitStack() as stack:
            proxy = stack.enter_context(Delay(port, one_way=0.05))
            if port == sink.port:
                client = stack.enter_context(
                    smtplib.SMTP("localhost", proxy.port, local_hostname="client.test", timeout=20)
                )
                client.starttls(context=trust)
            else:
                client = smtplib.SMTP_SSL(
                    "localhost", proxy.port, local_hostname="client.test", timeout=20, context=trust
                )
                stack.enter_context(client)
            client.login("jan", "secret")
            client.sendmail("a@example.cz", ["b@example.cz"], b"Subject: x\r\n\r\nx\r\n")
            (trip,) = proxy.trips
            assert trip.round_trips == expected


def test_the_proxy_carries_everything_and_reports_the_end(sink: Sink) -> None:
    body = b"Subject: x\r\n\r\n" + b"x" * 998 + b"\r\n" + b".\r\n..\r\n" * 20_000
    with Delay(sink.port, one_way=0.005) as proxy:
        with smtplib.SMTP("localhost", proxy.port, local_hostname="client.test", timeout=20) as client:
            for _ in range(3):
                assert client.sendmail("a@example.cz", ["b@example.cz"], body) == {}
        assert proxy.connections == 1
        assert proxy.trips[0].sent > 3 * len(body)


def test_the_sink_offers_what_it_is_asked_to(sink: Sink) -> None:
    with smtplib.SMTP("localhost", sink.port, local_hostname="client.test", timeout=20) as client:
        client.ehlo()
        assert {"pipelining", "chunking", "auth", "starttls"} <= set(client.esmtp_features)
    with (
        Sink(without=("CHUNKING", "AUTH")) as plain,
        smtplib.SMTP("localhost", plain.port, local_hostname="client.test", timeout=20) as client,
    ):
        client.ehlo()
        assert "pipelining" in client.esmtp_features
        assert not {"chunking", "auth", "starttls"} & set(client.esmtp_features)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 4096])
def test_the_sink_understands_dialogues_cut_anywhere(step: int) -> None:
    script = (
        b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n..\r\nx\r\n.\r\nRSET\r\nMAIL FROM:<a@b>\r\n"
        b"BDAT 5\r\nab\r\n.BDAT 3 LAST\r\nxyzNOOP\r\n"
    )
    script += b"MAIL FROM:<a@b>\r\nDATA\r\n.\r\nAUTH LOGIN\r\namFu\r\nc2VjcmV0\r\nQUIT\r\n"
    conversation = Conversation((), starttls=False)
    replies = b"".join(conversation.feed(script[at : at + step]) for at in range(0, len(script), step))
    codes = [line[:3] for line in replies.decode().splitlines()]
    assert codes == [
        "250",
        "250",
        "250",
        "354",
        "250",
        "250",
        "250",
        "250",
        "250",
        "250",
        "250",
        "354",
        "250",
        "334",
        "334",
        "235",
        "221",
    ]
    assert conversation.done


def test_the_sink_ends_with_its_starter(tmp_path: Path) -> None:
    sink = Sink()
    sink.close()
    assert sink.process.returncode == 0
