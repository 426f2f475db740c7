"""``franking send-test`` and ``check``: the JSON and the exit code of every ending, each failure provoked for real, and
what is advised first.
"""

from __future__ import annotations

import email
import io
import json
import re
import shlex
from collections.abc import Callable
from email import policy
from pathlib import Path
from typing import Any

import pytest

from franking import __version__
from franking.account import config, editing
from franking_cli.app import run
from reports import report
from servers.certificates import Certificates
from servers.ports import closed_port
from servers.smtp import Fault, SmtpServer, hangs_up, resets, says, sends, silence

USERS = {"info@novak.cz": "heslo-1"}
PLAIN = ("8BITMIME", "ENHANCEDSTATUSCODES")  # a server without PIPELINING and SIZE: each command is answered by itself
ME = "me@example.cz"


class Ended:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def report(self) -> dict[str, Any]:
        return report(self.out)

    @property
    def said(self) -> tuple[int, str, str | None]:
        """Exit code, outcome, and the diagnosis' code."""
        told = self.report
        return self.code, told["outcome"], told["diagnosis"] and told["diagnosis"]["code"]

    @property
    def remedies(self) -> list[str]:
        return self.report["diagnosis"]["remedies"]


Test = Callable[..., Ended]


@pytest.fixture
def franking(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Test:
    """Run a command in this process; the password of the unsaved account comes from the environment unless stdin is
    used.
    """

    def act(*arguments: str, password: str | None = "heslo-1", stdin: str = "") -> Ended:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        if password is not None:
            monkeypatch.setattr("franking.auth.sources.secret_variable", lambda name: "PLANTED")
            monkeypatch.setenv("PLANTED", password)
        code = run(list(arguments))
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ended(code, out, err)

    return act


def flags(
    server: SmtpServer | int,
    *more: str,
    security: str = "none",
    host: str = "127.0.0.1",
    username: str = "info@novak.cz",
) -> list[str]:
    port = server if isinstance(server, int) else server.port
    login = ["--username", username] if username else ["--no-auth"]
    return [
        "--provider", "smtp", "--from", "Jan Novák <info@novak.cz>", "--host", host, "--port", str(port), "--security",
        security,
        "--timeout", "5", *login, *more,
    ]  # fmt: skip


def send_test(franking: Test, server: SmtpServer | int, *more: str, **options: Any) -> Ended:
    rest = {key: options.pop(key) for key in ("password", "stdin") if key in options}
    return franking("send-test", *flags(server, *more, **options), "--to", ME, "--json", **rest)


# --- success ----------------------------------------------------------------------------------------------------------


def test_a_message_that_is_sent(franking: Test) -> None:
    with SmtpServer(users=USERS) as server:
        done = send_test(franking, server)
    told = done.report
    assert done.said == (0, "sent", None)
    assert (told["provider"], told["route"], told["from"], told["to"]) == (
        "smtp",
        "smtp",
        "Jan Novák <info@novak.cz>",
        [ME],
    )
    assert [step["name"] for step in told["steps"]] == [
        "settings",
        "secret",
        "resolve",
        "connect",
        "greet",
        "login",
        "message",
        "accepted",
    ]
    assert {step["status"] for step in told["steps"]} == {"ok"}
    assert told["message_id"] == told["receipt"]["message_id"]
    assert told["receipt"]["accepted"] == [ME]
    (received,) = server.messages
    assert told["message_id"].encode() in received.data
    assert told["receipt"]["bytes"] == len(received.data)
    assert done.err == ""


def test_the_message_says_who_sent_it_and_how(franking: Test) -> None:
    with SmtpServer(users=USERS) as server:
        assert send_test(franking, server).code == 0
    message = email.message_from_bytes(server.messages[0].data, policy=policy.default)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "text/html"]
    for part in message.iter_parts():
        text = part.get_content()
        for wanted in (
            "smtp-info@novak.cz-127.0.0.1",
            "info@novak.cz",
            "smtp",
            f"127.0.0.1:{server.port}",
            f"Franking {__version__}",
        ):
            assert wanted in text, (part.get_content_type(), wanted)
        assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}", text)
        assert len(text) < 1500


def test_check_stops_after_the_login(franking: Test) -> None:
    with SmtpServer(users=USERS) as server:
        done = franking("check", *flags(server), "--json")
    assert done.said == (0, "checked", None)
    assert done.report["steps"][-1]["name"] == "login"
    assert not server.messages
    assert not [line for line in server.sessions[0].lines if line.startswith("MAIL")]


def test_a_dry_run_sends_nothing_and_predicts(franking: Test) -> None:
    with SmtpServer(users=USERS) as server:
        done = franking("send-test", *flags(server), "--to", ME, "--dry-run")
        told = franking("send-test", *flags(server), "--to", ME, "--dry-run", "--json")
    assert not server.sessions
    assert done.code == told.code == 0
    assert done.out.startswith("From: ")
    assert "Nothing was sent" in done.err
    object_ = json.loads(told.out)
    assert (object_["outcome"], object_["diagnosis"], object_["steps"]) == ("checked", None, [])
    assert object_["bytes"] > 500


def test_some_recipients_refused_is_success_with_a_warning(franking: Test) -> None:
    with SmtpServer(users=USERS, refused={"b@example.cz": "550 5.1.1 no such user"}) as server:
        made = config.load().build(
            name="shop",
            provider="smtp",
            sender="info@novak.cz",
            host="127.0.0.1",
            port=server.port,
            security="none",
            username="info@novak.cz",
        )
        editing.save(made)
        both = ("send", "shop", "--to", "a@example.cz", "--to", "b@example.cz", "--text", "x")
        done, told = franking(*both), franking(*both, "--json")
    assert (done.code, told.code) == (0, 0)
    assert "! b@example.cz was refused: 550 5.1.1 no such user" in done.err
    object_ = report(told.out, hints=False)
    assert object_["receipt"]["refused"] == {"b@example.cz": {"reply": "550 5.1.1 no such user", "temporary": False}}
    assert object_["receipt"]["accepted"] == ["a@example.cz"]


# --- each class of failure --------------------------------------------------------------------------------------------

GREETINGS = {
    "greet.not-smtp": (sends(b"* OK IMAP4rev1 ready\r\n"), 1),
    "greet.closed": (hangs_up, 5),
    "blocklisted": (says("554 5.7.1 Client host blocked using zen.spamhaus.org"), 1),
    "rate.connections": (says("421 4.7.0 too many connections from 192.0.2.1"), 5),
}


@pytest.mark.parametrize("code", GREETINGS)
def test_the_greeting(franking: Test, code: str) -> None:
    act, exit_code = GREETINGS[code]
    with SmtpServer(users=USERS, faults=[Fault("greet", act)]) as server:
        assert send_test(franking, server).said == (exit_code, "failed", code)


LOGINS = {  # reply, exit code
    "login.refused": ("535 5.7.8 Error: authentication failed", 1),
    "server.trouble": ("454 4.7.0 Temporary authentication failure", 5),
}


@pytest.mark.parametrize("code", LOGINS)
def test_the_login(franking: Test, code: str) -> None:
    reply, exit_code = LOGINS[code]
    with SmtpServer(users=USERS, faults=[Fault("auth", says(reply))]) as server:
        done = send_test(franking, server)
    assert done.said == (exit_code, "failed", code)
    assert done.report["diagnosis"]["raw"] == reply
    assert done.report["diagnosis"]["temporary"] == (exit_code == 5)


REPLIES = [
    ("mail", "553 5.7.1 <info@novak.cz>: Sender address rejected: not owned by user x", "sender.not-owned", 1),
    ("mail", "552 5.3.4 Message size exceeds fixed limit", "message.too-large", 1),
    ("mail", "452 4.3.1 Insufficient system storage", "server.trouble", 5),
    ("mail", "421 4.3.2 Service shutting down", "server.not-now", 5),
    ("rcpt", "554 5.7.1 <me@example.cz>: Relay access denied", "relay.denied", 1),
    ("rcpt", "550 5.1.1 <me@example.cz>: User unknown", "recipient.unknown", 1),
    ("rcpt", "450 4.2.0 <me@example.cz>: Greylisted", "greylisted", 5),
    ("rcpt", "552 5.2.2 <me@example.cz>: mailbox full, quota exceeded", "recipient.full", 5),
    ("data", "554 5.7.1 Service unavailable; Client host blocked using zen.spamhaus.org", "blocklisted", 1),
    ("body", "550 5.7.1 message looks like spam", "message.spam", 1),
    ("body", "452 4.2.2 over quota", "recipient.full", 5),
]


@pytest.mark.parametrize(("step", "reply", "code", "exit_code"), REPLIES, ids=[f"{row[0]}-{row[2]}" for row in REPLIES])
def test_a_message_that_is_refused(franking: Test, step: str, reply: str, code: str, exit_code: int) -> None:
    with SmtpServer(users=USERS, faults=[Fault(step, says(reply), nth=None)], extensions=PLAIN) as server:
        done = send_test(franking, server)
    assert done.said == (exit_code, "failed", code)
    assert done.report["diagnosis"]["temporary"] == (exit_code == 5)
    assert done.report["steps"][-1]["name"] in ("message", "accepted")


@pytest.mark.parametrize("act", [hangs_up, resets, sends(b"\x00\xff garbage\r\n")], ids=["cut", "reset", "garbage"])
def test_cut_after_the_data_is_unknown(franking: Test, act: Any) -> None:
    with SmtpServer(users=USERS, faults=[Fault("body", act)]) as server:
        assert send_test(franking, server).said == (3, "unknown", "outcome.unknown")


def test_accepted_and_then_cut_is_unknown_and_sent_once(franking: Test) -> None:
    with SmtpServer(users=USERS, faults=[Fault("body", hangs_up, executed=True)]) as server:
        assert send_test(franking, server).said == (3, "unknown", "outcome.unknown")
    assert len(server.messages) == 1


def test_the_connection(franking: Test) -> None:
    done = send_test(franking, closed_port())
    assert done.said == (1, "failed", "connect.refused")
    assert "--port 587 --security starttls" in done.remedies[0]
    assert send_test(franking, 587, host="smtp.novak.invalid").said == (1, "failed", "dns.not-found")
    assert send_test(franking, 587, host="smtp..novak").said[0] in (1, 2)


def test_silence(franking: Test) -> None:
    with SmtpServer(users=USERS, faults=[Fault("greet", silence)]) as server:
        assert send_test(franking, server, "--timeout", "0.2").said == (5, "failed", "greet.silent")
    with SmtpServer(users=USERS, faults=[Fault("ehlo", silence)]) as server:
        done = send_test(franking, server, "--timeout", "0.2")
        assert done.code == (5 if done.report["diagnosis"]["temporary"] else 1)
    with SmtpServer(users=USERS, faults=[Fault("auth", silence)]) as server:
        assert send_test(franking, server, "--timeout", "0.2").said == (5, "failed", "connect.stalled")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("wrong-host", "tls.hostname"),
        ("expired", "tls.expired"),
        ("not-yet", "tls.not-yet-valid"),
        ("self-signed", "tls.self-signed"),
        ("stranger", "tls.unknown-issuer"),
    ],
)
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_certificates(franking: Test, certificates: Certificates, kind: str, code: str, security: str) -> None:
    with SmtpServer(users=USERS, context=certificates.context(kind), implicit_tls=security == "tls") as server:
        done = send_test(franking, server, "--ca-file", certificates.ca_file, security=security, host="localhost")
    assert done.said == (1, "failed", code)
    assert not any(b"AUTH" in heard.plain + heard.inside for heard in server.sessions)


def test_old_tls(franking: Test, certificates: Certificates) -> None:
    too_old = sends(b"\x15\x03\x01\x00\x02\x02\x46")  # the alert protocol_version
    with SmtpServer(
        users=USERS, faults=[Fault("handshake", too_old)], context=certificates.context("good"), implicit_tls=True
    ) as server:
        done = send_test(franking, server, "--ca-file", certificates.ca_file, security="tls", host="localhost")
    assert done.said == (1, "failed", "tls.outdated")


def test_what_is_not_offered(franking: Test, certificates: Certificates) -> None:
    with SmtpServer(users=USERS) as server:
        assert send_test(franking, server, security="starttls").said == (1, "failed", "tls.starttls-not-offered")
        assert send_test(franking, server, security="tls").said == (1, "failed", "tls.wrong-port")
    with SmtpServer() as server:
        assert send_test(franking, server).said == (1, "failed", "login.not-offered")
    with SmtpServer(tokens={"info@novak.cz": "token"}) as server:
        assert send_test(franking, server).said == (1, "failed", "login.mechanism")
    with SmtpServer(
        users=USERS, faults=[Fault("mail", says("530 5.7.0 Must issue a STARTTLS command first"))], extensions=PLAIN
    ) as server:
        assert send_test(franking, server, username="", password=None).said == (1, "failed", "tls.required")


def test_too_large_is_known_before_anything_leaves(franking: Test) -> None:
    with SmtpServer(users=USERS, extensions=("SIZE 100", "PIPELINING")) as server:
        done = send_test(franking, server)
    assert done.said == (1, "failed", "message.too-large") or done.said == (2, "failed", "message.too-large")
    assert not [line for line in server.sessions[0].lines if line.startswith("MAIL")]


# --- settings and secrets ---------------------------------------------------------------------------------------------


def test_no_password(franking: Test) -> None:
    with SmtpServer(users=USERS) as server:
        done = send_test(franking, server, password=None)
    assert done.said == (2, "failed", "secret.missing")
    assert not server.sessions
    assert "--password-stdin" in done.remedies[0]


def test_a_sign_in_that_is_missing(franking: Test, tmp_path: Path) -> None:
    secrets = tmp_path / "client.json"
    secrets.write_text(
        '{"installed": {"client_id": "1.apps.googleusercontent.com", "client_secret": "x", "auth_uri": '
        '"https://accounts.google.com/o/oauth2/auth", "token_uri": "https://oauth2.googleapis.com/token", '
        '"redirect_uris": ["http://localhost"]}}'
    )
    done = franking(
        "send-test",
        "--provider",
        "gmail",
        "--from",
        "me@gmail.com",
        "--client-secrets",
        str(secrets),
        "--to",
        ME,
        "--json",
        password=None,
    )
    assert (done.code, done.report["outcome"]) == (4, "login-required")
    command = re.search(r"franking login [^`]*", " ".join(done.remedies))
    assert command
    assert config.resolve(shlex.split(command[0].rstrip("."))[2]).sender.address == "me@gmail.com"


@pytest.mark.parametrize(
    ("arguments", "code", "cause"),
    [
        (["send-test", "nobody", "--to", ME], "settings.no-account", "nobody"),
        (["send-test", "--to", ME], "settings.no-account", "No account is named"),
        (["check", "nobody"], "settings.no-account", "nobody"),
        (["send", "nobody", "--to", ME, "--text", "x"], "settings.no-account", "nobody"),
        (["send-test", "--host", "smtp.novak.cz", "--to", ME], "settings.invalid", "--from"),
        (["send-test", "--from", "info@novak.cz", "--to", ME], "settings.invalid", "--provider"),
        (["send-test", "--from", "info@novak.cz", "--host", "x", "--security", "sssl", "--to", ME], "settings.invalid",
        "sssl"),
        (["send-test", "--from", "info@novak.cz", "--host", "x", "--to", "not an address"], "settings.invalid", "to:"),
        (["send-test", "--from", "a@b.cz\r\nBcc: x@y.cz", "--host", "x", "--to", ME], "settings.invalid", "from"),
        (["send-test", "--from", "a@b.cz", "--host", "x", "--to", "a@b.cz\nRCPT TO:<x@y.cz>"], "settings.invalid",
        "to:"),
        (["send-test", "smtp://a:secret@host?from=a@b.cz", "--to", ME], "settings.invalid", "password"),
        (["send-test", "--hots", "x"], "usage", "--host"),
        (["send-test", "--from", "a@b.cz", "--host", "x", "--port", "abc", "--to", ME], "settings.invalid",
        "'abc' is not a whole number"),
        (["send-test"], "usage", "--to you@example.com"),
        (["send-test", "a", "b", "--to", ME], "usage", "b"),
        (["check", "--no-such"], "usage", "--no-such"),
        (["send", "shop", "--text", "x"], "usage", "--to"),
        (["send", "shop", "--eml", "x.eml", "--subject", "y"], "usage", "--subject"),
        (["send", "shop", "--to", ME, "--text", "x", "--header", "X-No-Colon"], "usage", "X-No-Colon"),
        (["send-test", "--embedded", "shop", "--to", ME], "usage", "leave the name out"),
        (["send-test", "--embedded", "--to", ME, "--password-stdin"], "settings.invalid", "stdin"),
    ],
)  # fmt: skip
def test_wrong_usage_and_settings(franking: Test, arguments: list[str], code: str, cause: str) -> None:
    told = franking(*arguments, "--json", password=None)
    object_ = report(told.out, hints=arguments[0] != "send")
    assert (told.code, object_["outcome"], object_["diagnosis"]["code"]) == (2, "failed", code)
    assert cause in object_["diagnosis"]["cause"]
    shown = franking(*arguments, password=None)
    assert (shown.code, shown.out) == (2, "")
    assert cause in shown.err.replace("\n  ", " ")
    assert "franking " in shown.err, "no next command"


@pytest.mark.parametrize(
    "arguments", [["send-tset"], [], ["accounts", "shwo"], ["login", "--no-such"], ["--no-such"], ["status", "a", "b"]]
)
def test_other_commands_print_one_object_too(franking: Test, arguments: list[str]) -> None:
    done = franking(*arguments, "--json", password=None)
    assert done.code == 2
    object_ = json.loads(done.out)
    assert list(object_) == ["ok", "outcome", "error", "diagnosis"]
    assert object_["diagnosis"]["code"] == "usage"


# --- the commands that are shown run as they are shown ----------------------------------------------------------------


def commands(remedies: list[str]) -> list[list[str]]:
    return [
        shlex.split(part)[1:] for text in remedies for part in text.split("`")[1::2] if part.startswith("franking ")
    ]


def test_the_advised_command_works_for_unsaved_settings(franking: Test, certificates: Certificates) -> None:
    with SmtpServer(users=USERS, context=certificates.context("good")) as server:
        done = send_test(franking, server, "--ca-file", certificates.ca_file, security="tls", host="localhost")
        assert done.said == (1, "failed", "tls.wrong-port")
        (first, *_) = commands(done.remedies)
        assert first.count("--security") == first.count("--port") == 1
        assert franking(*first, "--json").said == (0, "sent", None)


def test_the_advised_command_works_for_an_account_url(franking: Test, certificates: Certificates) -> None:
    with SmtpServer(users=USERS, context=certificates.context("good")) as server:
        url = f"smtp://info%40novak.cz@localhost:{server.port}?security=tls&timeout=5&ca_file={certificates.ca_file}"
        done = franking("send-test", url, "--to", ME, "--json")
        assert done.said == (1, "failed", "tls.wrong-port")
        assert franking(*commands(done.remedies)[0], "--json").said == (0, "sent", None)


def test_the_advised_command_works_for_an_account_made_in_code(franking: Test, certificates: Certificates) -> None:
    import franking as library

    with SmtpServer(users=USERS, context=certificates.context("good")) as server:
        account = library.Account(
            name="shop", provider="smtp", sender="info@novak.cz", host="localhost", port=server.port, security="tls",
            timeout=5.0,
            username="info@novak.cz", ca_file=certificates.ca_file,
        )  # fmt: skip
        told = library.send_test(account, ME, secret="heslo-1")
        assert told.diagnosis is not None
        assert franking(*commands(list(told.diagnosis.remedies))[0], "--json").said == (0, "sent", None)


def test_a_saved_account_is_named(franking: Test) -> None:
    with SmtpServer(users=USERS) as server:
        editing.save(
            config.load().build(
                name="můj shop",
                provider="smtp",
                sender="info@novak.cz",
                host="127.0.0.1",
                port=server.port,
                security="tls",
                username="info@novak.cz",
            )
        )
        done = franking(
            "send-test", "můj shop", "--security", "none", "--username", "other@novak.cz", "--to", ME, "--json"
        )
        assert ["login", "můj shop"] in commands(done.remedies)
        fixed = franking("send-test", "můj shop", "--to", ME, "--security", "none", "--json")
        assert fixed.said == (0, "sent", None)


def test_storing_the_password_of_unsaved_settings_works_and_goes_to_that_server_only(franking: Test) -> None:
    with SmtpServer(users=USERS) as server, SmtpServer(users=USERS) as other:
        missing = send_test(franking, server, password=None)
        login = next(words for words in commands(missing.remedies) if words[0] == "login")
        assert franking(*login, "--password-stdin", password=None, stdin="heslo-1\n").code == 0
        assert send_test(franking, server, password=None).said == (0, "sent", None)
        elsewhere = send_test(franking, other, password=None, host="localhost")
    assert elsewhere.said == (2, "failed", "secret.missing")
    assert not other.sessions


def test_the_built_in_server_names_no_account_that_does_not_exist(franking: Test) -> None:
    done = franking("send-test", "--embedded", "--to", ME, "--json", "--password-stdin", password=None, stdin="wrong\n")
    assert done.said == (1, "failed", "login.refused")
    assert not [words for words in commands(done.remedies) if words[0] == "login"]
    shown = franking("send-test", "--embedded", "--to", ME, "--password-stdin", password=None, stdin="wrong\n")
    assert f"franking send-test --embedded --password-stdin --to {ME}" in shown.err
    assert "franking login" not in shown.err


def test_the_built_in_server_prints_one_object(franking: Test) -> None:
    done = franking("send-test", "--embedded", "--to", ME, "--json", password=None)
    assert done.said == (0, "sent", None)
    shown = franking("send-test", "--embedded", "--to", ME, password=None)
    assert (shown.code, shown.out) == (0, "")
    assert "Message sent to me@example.cz" in shown.err
    assert shown.err.endswith(f"\nNext, with your own mailbox: franking setup {ME}\n")
    whole = franking("send-test", "--embedded", "--show-message", "--to", ME, password=None)
    assert "Subject: Test message from Franking" in whole.out


def test_only_the_built_in_server_can_show_what_it_received(franking: Test) -> None:
    done = franking("send-test", "shop", "--show-message", "--to", ME, password=None)
    assert done.code == 2
    assert "--show-message: it goes with --embedded" in done.err


# --- new users --------------------------------------------------------------------------------------------------------


def test_a_stray_blank_in_the_password(franking: Test, certificates: Certificates) -> None:
    with SmtpServer(users=USERS, context=certificates.context("good"), implicit_tls=True) as server:
        done = send_test(
            franking, server, "--ca-file", certificates.ca_file, security="tls", host="localhost", password="heslo-1 "
        )
    assert done.said == (1, "failed", "login.refused")
    assert "ends with a blank" in done.remedies[0]
    assert [hint["code"] for hint in done.report["hints"]] == ["secret.trailing-blank"]
    assert "heslo" not in done.out + done.err


def test_ssl_on_port_587(franking: Test, certificates: Certificates) -> None:
    with SmtpServer(users=USERS, context=certificates.context("good")) as server:
        done = send_test(franking, server, "--ca-file", certificates.ca_file, security="ssl", host="localhost")
    assert done.said == (1, "failed", "tls.wrong-port")
    assert "STARTTLS (often called TLS)" in done.remedies[0]
    assert f"--port {server.port} --security starttls" in done.remedies[0]


def test_a_user_name_without_the_domain(franking: Test) -> None:
    with SmtpServer(users=USERS) as server:
        done = send_test(franking, server, username="info")
    assert done.said == (1, "failed", "login.refused")
    assert "info@novak.cz" in done.remedies[0]


def test_a_hosting_server_with_a_self_signed_certificate(franking: Test, certificates: Certificates) -> None:
    with SmtpServer(users=USERS, context=certificates.context("self-signed")) as server:
        done = send_test(franking, server, security="starttls", host="localhost")
    assert done.said == (1, "failed", "tls.self-signed")
    assert "provider's own server name" in done.remedies[0]


@pytest.mark.parametrize(("host", "provider"), [("smtp.gmail.com", "gmail"), ("smtp.office365.com", "outlook")])
def test_google_and_microsoft_hosts_are_led_to_their_sign_in(franking: Test, host: str, provider: str) -> None:
    name = {"gmail": "g", "outlook": "m"}[provider]
    done = franking(
        "accounts", "add", name, "--from", "jan@firma.cz", "--host", host, "--username", "jan@firma.cz", password=None
    )
    assert done.code == 0
    assert f"franking setup jan@firma.cz --provider {provider}" in done.err


@pytest.mark.parametrize("before", ["", " "])
@pytest.mark.parametrize("behind", ["", " ", "\u00a0", "\u200b", "\t"])
def test_a_blank_around_an_unsaved_host_is_named_as_such(franking: Test, before: str, behind: str) -> None:
    host = f"{before}localhost{behind}"
    done = franking(
        "send-test", "--provider", "smtp", "--from", ME, "--to", ME, "--host", host, "--port", str(closed_port()),
        "--security", "none", "--json",
    )  # fmt: skip
    codes = [hint["code"] for hint in done.report["hints"]]
    assert codes == (["host.blank"] if host != "localhost" else [])
    if host != "localhost":
        assert done.remedies[0].endswith("Write just localhost.")


@pytest.mark.parametrize("username", ["info@novak.cz ", " info@novak.cz", "info@novak.cz\u00a0"])
def test_a_blank_around_an_unsaved_login_name_too(franking: Test, username: str) -> None:
    with SmtpServer(users=USERS) as server:
        done = franking(
            "send-test", "--provider", "smtp", "--from", ME, "--to", ME, "--host", "127.0.0.1", "--port",
            str(server.port), "--security", "none", "--username", username, "--password-stdin", "--json",
            password=None, stdin="heslo-1\n",
        )  # fmt: skip
    assert "username.blank" in [hint["code"] for hint in done.report["hints"]]
