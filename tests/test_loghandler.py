"""MailHandler: a digest of log records that never holds up the program, never floods a mailbox, and never feeds on its
own failures.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.loghandler import MailHandler
from franking.testing.capture import Outbox
from servers.smtp import Fault, Peer, SmtpServer, answers, silence

Start = Callable[..., SmtpServer]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("shop.orders")
    made.propagate = False
    yield made
    for handler in [one for one in made.handlers if isinstance(one, MailHandler)]:
        made.removeHandler(handler)
        handler.close()
    made.propagate = True


def attach(logger: logging.Logger, **options: Any) -> MailHandler:
    options.setdefault("gather", 0.0)
    handler = MailHandler("shop", to="ops@example.com", **options)
    logger.addHandler(handler)
    return handler


def test_a_record_is_mailed(franking_outbox: Outbox, logger: logging.Logger) -> None:
    handler = attach(logger)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.error("the disk is %s", "full")
    handler.flush()
    (sent,) = franking_outbox
    assert "[ERROR]" in sent.subject
    assert sent.subject.endswith("the disk is full")
    assert sent.message.get_content().strip() == "ERROR the disk is full"
    assert sent.message["Auto-Submitted"] == "auto-generated"
    assert sent.envelope.recipients == ("ops@example.com",)


def test_what_comes_close_together_is_one_mail(franking_outbox: Outbox, logger: logging.Logger) -> None:
    handler = attach(logger, gather=60.0)
    for number in range(5):
        logger.error("problem %d", number)
    logger.critical("the house is on fire")
    handler.flush()
    (sent,) = franking_outbox
    assert "the house is on fire (and 5 more)" in sent.subject
    assert sent.message.get_content().count("problem") == 5


class Clock:
    """The handler's time, which a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def arrive(outbox: Outbox, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(outbox) < count and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(outbox) == count


def test_the_next_digest_waits_for_its_interval(franking_outbox: Outbox, logger: logging.Logger) -> None:
    clock = Clock()
    attach(logger, interval=100.0, clock=clock)
    logger.error("first")
    arrive(franking_outbox, 1)
    for now in (1000.0, 1050.0, 1099.9):
        clock.now = now
        logger.error("again %.1f", now)
        time.sleep(0.1)
        assert len(franking_outbox) == 1, now
    clock.now = 1100.0
    logger.error("again at last")
    arrive(franking_outbox, 2)
    assert franking_outbox[1].message.get_content().count("again") == 4
    clock.now = 1199.0
    logger.error("third")
    time.sleep(0.1)
    assert len(franking_outbox) == 2, "the interval begins with each digest"


def test_the_first_record_waits_for_others_as_long_as_gather_says(
    franking_outbox: Outbox, logger: logging.Logger
) -> None:
    clock = Clock()
    attach(logger, gather=2.0, interval=0.0, clock=clock)
    logger.error("first")
    clock.now = 1001.9
    logger.error("second, which does not put it off")
    time.sleep(0.1)
    assert franking_outbox == []
    clock.now = 1002.0
    logger.error("third")
    arrive(franking_outbox, 1)
    assert "(and 2 more)" in franking_outbox[0].subject


def test_flush_waits_for_no_interval(franking_outbox: Outbox, logger: logging.Logger) -> None:
    handler = attach(logger, interval=3600.0)
    logger.error("first")
    handler.flush()
    logger.error("again")
    handler.flush()  # the end of a program, or somebody who wants it now
    assert len(franking_outbox) == 2
    handler.flush()
    assert len(franking_outbox) == 2, "nothing came, and nothing is mailed"


def test_what_comes_while_a_digest_is_mailed_waits_for_the_next_one(logger: logging.Logger, smtp_server: Start) -> None:
    def logs(peer: Peer, reply: str) -> None:
        logger.error("meanwhile")
        answers(peer, reply)

    server = smtp_server(faults=[Fault("body", logs, executed=True)])
    account = franking.Account(
        name="x", provider="smtp", sender="a@example.com", host="127.0.0.1", port=server.port, security="none"
    )
    handler = MailHandler(account, to="ops@example.com", gather=0.0, interval=3600.0)
    logger.addHandler(handler)
    logger.error("first")
    deadline = time.monotonic() + 20
    while handler._earliest < time.monotonic() + 1000 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.1)
    assert len(server.messages) == 1
    handler.flush()
    assert len(server.messages) == 2
    assert b"meanwhile" in server.messages[1].data


def test_nothing_is_taken_after_the_end(franking_outbox: Outbox, logger: logging.Logger) -> None:
    handler = attach(logger, exit_timeout=1000.0)  # nobody waits for a thread that has ended
    logger.error("first")
    handler.close()
    assert len(franking_outbox) == 1
    logger.error("late")
    handler.flush()
    handler.close()
    assert len(franking_outbox) == 1
    quiet = attach(logging.getLogger("nobody.logs.here"))
    quiet.flush()
    quiet.close()
    assert len(franking_outbox) == 1


def test_a_subject_of_one_s_own_and_several_recipients(franking_outbox: Outbox, logger: logging.Logger) -> None:
    handler = MailHandler("shop", ["a@example.com", "b@example.com"], subject="Shop trouble", gather=0.0)
    logger.addHandler(handler)
    logger.warning("below the level")
    logger.error("x")
    handler.flush()
    (sent,) = franking_outbox
    assert sent.subject == "Shop trouble"
    assert sent.envelope.recipients == ("a@example.com", "b@example.com")


def test_an_interval_that_is_over_lets_the_next_digest_go(franking_outbox: Outbox, logger: logging.Logger) -> None:
    attach(logger, interval=0.05)
    deadline = time.monotonic() + 30
    while len(franking_outbox) < 3 and time.monotonic() < deadline:
        logger.error("tick")
        time.sleep(0.01)
    assert len(franking_outbox) >= 3


def test_ten_thousand_records_at_once(franking_outbox: Outbox, logger: logging.Logger) -> None:
    handler = attach(logger, gather=60.0, capacity=200)
    threads = [threading.Thread(target=lambda: [logger.error("flood") for _ in range(1000)]) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.flush()
    (sent,) = franking_outbox
    text = sent.message.get_content()
    assert text.count("flood") == 200
    assert "9,800 more records" in text
    assert "(and 9,999 more)" in sent.subject


def test_the_program_does_not_wait_for_the_server(logger: logging.Logger, smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault("greet", silence, nth=None)])
    account = franking.Account(
        name="slow",
        provider="smtp",
        sender="a@example.com",
        host="127.0.0.1",
        port=server.port,
        security="none",
        timeout=2.0,
    )
    handler = MailHandler(account, to="ops@example.com", gather=0.0, exit_timeout=5.0)
    logger.addHandler(handler)
    done = threading.Event()

    def program() -> None:
        for _ in range(1000):
            logger.error("x")
        done.set()

    threading.Thread(target=program).start()
    assert done.wait(1.9), "logging waited for the mail server"


def test_its_own_failures_feed_nothing(
    logger: logging.Logger, franking_outbox: Outbox, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    handler = MailHandler("shop", to="ops@example.com", level=logging.DEBUG, gather=0.0, interval=0.0)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    franking_outbox.fail(franking.ConnectError("no server"), times=100)
    try:
        logging.getLogger("app").error("real trouble")
        handler.flush()
        logging.getLogger("franking.wire").debug("S: 421 no")
        handler.flush()
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        handler.close()
    assert franking_outbox == []
    assert len(franking_outbox._failures) == 99, "it tried more than once for one record"
    assert "no server" in capsys.readouterr().err


def test_a_subject_cannot_be_broken(franking_outbox: Outbox, logger: logging.Logger) -> None:
    handler = attach(logger)
    logger.error("x\r\nBcc: evil@example.com\x1b[31m" + "y" * 500)
    handler.flush()
    (sent,) = franking_outbox
    assert sent.message["Bcc"] is None
    assert "\n" not in sent.subject
    assert len(sent.subject) < 200


def test_exceptions_and_strange_characters_are_in_the_text(franking_outbox: Outbox, logger: logging.Logger) -> None:
    handler = attach(logger)
    try:
        raise ValueError("lone \ud800 surrogate \0 and NUL")
    except ValueError:  # straight to the handler: pytest's own capture cannot hand such text from process to process
        handler.handle(
            logging.makeLogRecord(
                {"name": "app", "msg": "it failed", "levelno": logging.ERROR, "exc_info": sys.exc_info()}
            )
        )
    handler.flush()
    text = franking_outbox[0].message.get_content()
    assert "Traceback" in text
    assert "lone ? surrogate" in text


def test_a_wrong_log_call_does_not_end_the_handler(
    franking_outbox: Outbox, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = attach(logger)
    handler.handle(
        logging.makeLogRecord({"name": "app", "msg": "%d problems", "args": ("many",), "levelno": logging.ERROR})
    )
    logger.error("fine")
    handler.flush()
    assert [sent.message.get_content().count("fine") for sent in franking_outbox] == [1]
    assert "Logging error" in capsys.readouterr().err


SCRIPT = """
import logging, sys
import franking
from franking.loghandler import MailHandler
account = franking.Account(name="x", provider="file", sender="app@example.com", path=sys.argv[1])
logging.basicConfig(level=logging.ERROR, handlers=[MailHandler(account, to="ops@example.com", gather=600)])
logging.error("last words")
"""


@pytest.mark.process
def test_what_is_left_is_mailed_at_exit(tmp_path: Path) -> None:
    """A plain script, as in the docs: the record waits for others, and the end of the program sends it."""
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "mail")], check=True, timeout=60)
    (file,) = (tmp_path / "mail").iterdir()
    assert b"last words" in file.read_bytes()


def test_flask(franking_outbox: Outbox) -> None:
    """Flask's own logger, as in the docs."""
    flask = pytest.importorskip("flask")
    app = flask.Flask("shop")
    handler = MailHandler("shop", to="ops@example.com", gather=0.0)
    app.logger.addHandler(handler)

    @app.get("/")
    def broken() -> str:
        raise RuntimeError("no stock left")

    try:
        assert app.test_client().get("/").status_code == 500
        handler.flush()
    finally:
        app.logger.removeHandler(handler)
        handler.close()
    (sent,) = franking_outbox
    assert "no stock left" in sent.message.get_content()


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_mails_only_its_own(franking_outbox: Outbox, logger: logging.Logger) -> None:
    handler = attach(logger, gather=600.0)
    logger.error("the parent's")
    child = os.fork()
    if child == 0:
        try:
            logger.error("the child's")
            handler.flush()
            texts = [sent.message.get_content() for sent in franking_outbox]
            os._exit(0 if len(texts) == 1 and "the child's" in texts[0] and "the parent's" not in texts[0] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    handler.flush()
    assert "the parent's" in franking_outbox[0].message.get_content()
