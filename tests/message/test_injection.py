"""Every public field × line breaks, NUL, half characters and direction marks: refused by name, or shown to be harmless
in the octets that leave.

The fields come from the signatures and from the providers' own lists, so that a new one is tried by itself; one that
takes a sign must be named here.
"""

from __future__ import annotations

import inspect
import re
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import franking
from franking.account.config import resolve
from franking.account.fields import COMMON_FIELDS, Field
from franking.account.url import write_url
from franking.errors import FrankingError, MessageError, SettingsError
from franking.message.prepare import prepare
from franking.registry import providers
from franking_cli.app import run
from franking_cli.options import parameters
from servers.smtp import SmtpServer

SIGNS = {
    "CR": "\r",
    "LF": "\n",
    "CRLF": "\r\nRCPT TO:<evil@example.com>\r\n",
    "header": "\r\nX-Evil: 1",
    "body": "\r\n\r\nevil",
    "dot": "\r\n.\r\nMAIL FROM:<evil@example.com>\r\n",
    "NUL": "\0",
    "half": "\ud800",
    "bidi": "\u202e",
    "isolate": "\u2066",
}
MARKS = ("bidi", "isolate")
# two of each kind are enough while one works
EACH_SIGN = [pytest.param(sign, marks=() if sign in ("CRLF", "bidi") else pytest.mark.matrix) for sign in SIGNS]
BASE: dict[str, dict[str, Any]] = {
    "smtp": {"host": "smtp.example.cz", "username": "jana"},
    "gmail": {},
    "outlook": {"client_id": "11111111-1111-1111-1111-111111111111"},
    "file": {"path": "/nowhere"},
}
PLACES = {"behind": "x{}", "between": "x{}y", "before": "{}x"}

# -- messages ----------------------------------------------------------------------------------------------------------

ADDRESSES = ("to", "cc", "bcc", "reply_to", "sender")
GIVEN: dict[str, list[Any]] = {  # parameter: how text gets into it
    **{
        name: [lambda bad: f"a{bad}@b.cz", lambda bad: f"a@b{bad}.cz", lambda bad: f"Jan {bad} <a@b.cz>"]
        for name in ADDRESSES
    },
    "subject": [str],
    "text": [str],
    "html": [str],
    "message_id": [lambda bad: f"<{bad}@b.cz>", str],
    "headers": [lambda bad: {"X-A": bad}, lambda bad: {f"X-A{bad}": "v"}, lambda bad: {"Resent-To": f"a{bad}@b.cz"}],
    "attachments": [lambda bad: [bad], lambda bad: [Path(bad)]],
}
FILES: dict[str, list[Any]] = {
    "name": [str, lambda bad: f"{bad}.pdf"],
    "content_type": [
        lambda bad: f"text/{bad}",
        lambda bad: f"text/plain; charset={bad}",
        lambda bad: f'text/plain; x="{bad}"',
    ],
    "cid": [str],
    "path": [str],
}
NO_TEXT = {"data", "file"}  # octets, which are encoded


def test_every_parameter_is_tried() -> None:
    assert set(inspect.signature(franking.Message).parameters) == set(GIVEN)
    assert set(inspect.signature(franking.Attachment).parameters) == set(FILES) | NO_TEXT
    assert set(inspect.signature(franking.Address).parameters) == {"address", "name"}
    assert set(inspect.signature(franking.Envelope).parameters) == {"sender", "recipients"}
    assert set(inspect.signature(franking.Account).parameters) == {"name", "provider", "sender", "settings"}


def harmless(message: franking.Message) -> None:
    """Look at what leaves: the header is the one that we wrote, the bodies are those of the message, and nothing ends a
    line, a header or a message early.
    """
    made = prepare(message, sender=franking.Address("me@b.cz"))
    octets = b"".join(made.content.chunks(bcc=False))
    head = octets.partition(b"\r\n\r\n")[0]
    assert not re.search(rb"[\0]|\r(?!\n)|(?<!\r)\n", octets), "a bare line break or NUL left"
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert b"x-evil" not in names and b"" not in names
    assert len(names) == len({*names})
    read = message_from_bytes(octets, policy=policy.default)
    bodies = {part.get_content_type(): part.get_content() for part in read.walk() if not part.is_multipart()}
    for kind, body in (("text/plain", message.text), ("text/html", message.html)):
        if body is not None:
            assert bodies[kind].splitlines() == body.splitlines()
    for address in (made.envelope.sender, *made.envelope.recipients):
        assert not re.search("[\0\r\n\ud800\u202e\u2066<> ]", address), address


@pytest.mark.parametrize("sign", EACH_SIGN)
@pytest.mark.parametrize("parameter", GIVEN)
def test_a_message(parameter: str, sign: str) -> None:
    for make in GIVEN[parameter]:
        for place in PLACES.values():
            given = {"to": "c@d.cz", "text": "t", parameter: make(place.format(SIGNS[sign]))}
            try:
                harmless(franking.Message(**given))
            except MessageError as error:
                assert str(error).isprintable()
                assert parameter not in ("subject", "text", "html") or error.field == parameter
                continue
            # a text has lines, and may turn its direction
            body = parameter in ("text", "html") and sign not in ("NUL", "half")
            assert body or sign in MARKS, f"{parameter} took {place.format(SIGNS[sign])!r}"


@pytest.mark.parametrize("sign", EACH_SIGN)
@pytest.mark.parametrize("parameter", FILES)
def test_a_file(parameter: str, sign: str) -> None:
    for make in FILES[parameter]:
        for place in PLACES.values():
            given = {"data": b"x", parameter: make(place.format(SIGNS[sign]))}
            if parameter == "path":
                del given["data"]
            with pytest.raises(MessageError) as caught:
                franking.Attachment(**given)
            assert str(caught.value).isprintable()
            assert caught.value.field == parameter


def test_text_that_looks_like_the_end_of_a_message_arrives_whole() -> None:
    """The octets on the wire, by both ways of handing a message over: nothing behind the dot was taken for a
    command.
    """
    for extensions in (("PIPELINING", "CHUNKING", "8BITMIME"), ("PIPELINING",), ()):
        with SmtpServer(extensions=extensions) as server:
            account = franking.Account(
                name="s", provider="smtp", sender="a@b.cz", host="127.0.0.1", port=server.port, security="none"
            )
            franking.send(account, franking.Message(to="c@d.cz", text=f"x{SIGNS['dot']}QUIT\r\n"))
            heard = server.wait()
        assert [message.sender for message in server.messages] == ["a@b.cz"]
        assert b"\r\n.\r\nMAIL FROM:<evil@example.com>\r\nQUIT\r\n" in server.messages[0].data
        assert sum(line.startswith("MAIL") for line in heard.lines) == 1


# -- accounts ----------------------------------------------------------------------------------------------------------

FIELDS = [(known.name, field) for known in providers() for field in (*COMMON_FIELDS, *known.fields)]
IDS = [f"{provider}-{field.name}" for provider, field in FIELDS]
# fields that may hold direction marks: files and commands of this machine …
MARKED = {
    "ca_file",
    "password_file",
    "client_secrets",
    "service_account",
    "certificate",
    "path",
    "password_command",
    "token_command",
}
# … and names that a hint points at, or the next step refuses; ``test_direction_marks_do_not_reach_the_wire`` shows what
# becomes of them
MARKED |= {"username", "host", "ehlo_name", "client_id", "without"}


def bad(field: Field, sign: str, place: str) -> Any:
    text = place.replace("x", "25" if field.type in ("int", "float", "seconds") else "x").format(SIGNS[sign])
    return [text] if field.type == "list" else text


@pytest.mark.parametrize("sign", EACH_SIGN)
@pytest.mark.parametrize(("provider", "field"), FIELDS, ids=IDS)
def test_an_account(provider: str, field: Field, sign: str) -> None:
    for place in PLACES.values():
        try:
            made = franking.Account(
                name="shop",
                provider=provider,
                sender="a@b.cz",
                **{**BASE[provider], field.name: bad(field, sign, place)},
            )
            if isinstance(made.settings[field.name], int | float):
                continue  # "25\r" is the number 25
        except SettingsError as error:
            assert str(error).isprintable()
            assert field.name in str(error) or error.field == field.name
            continue
        assert sign in MARKS and field.name in MARKED, f"{field.name} took {place.format(SIGNS[sign])!r}"


@pytest.mark.parametrize("sign", EACH_SIGN)
@pytest.mark.parametrize(("provider", "field"), FIELDS, ids=IDS)
def test_an_account_url(provider: str, field: Field, sign: str) -> None:
    start = {
        "smtp": "smtp://jana@smtp.example.cz?from=a@b.cz",
        "gmail": "gmail://a@b.cz?",
        "outlook": "outlook://a@b.cz?client_id=11111111-1111-1111-1111-111111111111",
        "file": "file:///nowhere?from=a@b.cz",
    }[provider]
    for place in PLACES.values():
        value = bad(field, sign, place)
        text = value[0] if isinstance(value, list) else value
        for written in (quote(text.encode("utf-8", "surrogatepass")), text):
            try:
                made = resolve(f"{start}&{field.name}={written}")
                if isinstance(made.settings[field.name], int | float):
                    continue
            except SettingsError as error:
                assert str(error).isprintable()
                continue
            octets = sign == "half" and field.type == "path"  # the name of a file is octets, and need not be UTF-8
            assert octets or (sign in MARKS and field.name in MARKED), f"{field.name} took {written!r}"
            assert resolve(write_url(made)).settings == made.settings


@pytest.mark.parametrize("sign", EACH_SIGN)
@pytest.mark.parametrize("what", ["name", "provider", "sender"])
def test_nothing_else_of_an_account_takes_it(what: str, sign: str) -> None:
    given = {"name": "shop", "provider": "smtp", "sender": "a@b.cz", what: f"a@b{SIGNS[sign]}.cz"}
    with pytest.raises(FrankingError) as caught:
        franking.Account(**given, host="smtp.example.cz")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("sign", ["CR", "LF", "CRLF", "NUL"])
@pytest.mark.parametrize("field", ["password", "username"])
def test_no_credential_carries_a_second_command(field: str, sign: str) -> None:
    """In base64 it could not: it is refused all the same where NUL separates, and nothing else arrives at the
    server.
    """
    with SmtpServer(users={"jana": "secret"}) as server:
        username = "jana" if field == "password" else f"jana{SIGNS[sign]}"
        password = f"secret{SIGNS[sign]}" if field == "password" else "secret"
        with pytest.raises(FrankingError) as caught:
            account = franking.Account(
                name="shop",
                provider="smtp",
                sender="a@b.cz",
                host="127.0.0.1",
                port=server.port,
                security="none",
                username=username,
            )
            franking.send(account, franking.Message(to="b@c.cz", subject="x", text="y"), secret=password)
        assert "evil" not in f"{[session.lines for session in server.sessions]}"
        assert password not in str(caught.value)
        assert server.messages == []


def test_direction_marks_do_not_reach_the_wire() -> None:
    """The login name goes in base64; a host's name is no name, and neither is one to greet with."""
    with SmtpServer(users={"ja\u202ena": "pw"}) as server:
        given: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "security": "none", "username": "ja\u202ena"}
        franking.send(
            franking.Account(name="s", provider="smtp", sender="a@b.cz", **given),
            franking.Message(to="c@d.cz"),
            secret="pw",
        )
        for field, value in (("ehlo_name", "a\u202eb"), ("host", "local\u202ehost")):
            account = franking.Account(name="s", provider="smtp", sender="a@b.cz", **{**given, field: value})
            with pytest.raises(FrankingError) as caught:
                franking.send(account, franking.Message(to="c@d.cz"), secret="pw")
            assert str(caught.value).isprintable()
        assert all(heard.plain.isascii() for heard in server.sessions)


FLAGS = {
    f"--{'from' if key == 'sender' else key.replace('_', '-')}": key
    for key, parameter in parameters(own=set()).items()
    if "bool" not in str(parameter.annotation)
}


def test_the_flags_are_found() -> None:
    assert len(FLAGS) > 20
    assert {"--host", "--from", "--mailbox", "--client-secrets"} <= set(FLAGS)


@pytest.mark.parametrize("sign", ["CRLF", "half", pytest.param("bidi", marks=pytest.mark.matrix)])
@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag(flag: str, sign: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = FLAGS[flag]
    owner = next(
        (
            known
            for known in ("smtp", "gmail", "outlook", "file")
            if (known, key) in {(name, field.name) for name, field in FIELDS}
        ),
        "smtp",
    )
    given = {
        "--provider": owner,
        "--from": "a@b.cz",
        **{f"--{name.replace('_', '-')}": str(value) for name, value in BASE[owner].items()},
    }
    given[flag] = f"x{SIGNS[sign]}y"
    code = run(["accounts", "add", "shop", *(word for pair in given.items() for word in pair)])
    told = capsys.readouterr().err
    assert "\r" not in told and "\u202e" not in told and "Traceback" not in told
    written = tmp_path / "home" / "accounts.toml"
    if sign == "bidi" and key in MARKED:
        return
    assert code == 2, told
    assert not written.exists(), written.read_text(encoding="utf-8")


def test_no_error_of_ours_breaks_a_line() -> None:
    for sign in SIGNS.values():
        for make in (
            franking.Address,
            lambda text: franking.Envelope(text, ["a@b.cz"]),
            lambda text: franking.Envelope("a@b.cz", [text]),
        ):
            for text in (f"a{sign}@b.cz", f"{sign}", f"a@b.cz{sign}"):
                with pytest.raises(FrankingError) as caught:
                    make(text)  # type: ignore[operator]
                assert str(caught.value).isprintable()


@pytest.mark.parametrize("header", ["X-A: b\r\nBcc: evil@example.com", "X-A\r\nBcc: evil@example.com"])
def test_no_header_of_the_command_line_takes_a_line_break(header: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = "file:///nowhere?from=a@b.cz"
    words = ["send", url, "--to", "b@c.cz", "--subject", "x", "--text", "y", "--header", header, "--dry-run"]
    assert run(words) == 2
    assert "evil@example.com" not in capsys.readouterr().out
