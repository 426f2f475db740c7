"""Everything that is read from outside, fed by hypothesis: the only exceptions are ours, and nothing unprintable or
secret comes out.
"""

from __future__ import annotations

import json
import re
import string
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import franking
from franking.account.config import load
from franking.account.url import read_url
from franking.auth.redirect import pasted
from franking.diagnosis.generic import GENERIC
from franking.diagnosis.rules import diagnose
from franking.errors import Evidence, FrankingError, LoginRequired, SendError
from franking.message.address import Address, Envelope
from franking.message.prepare import prepare
from franking.registry import provider
from franking.smtp.protocol import AHEAD_LIMIT, Capabilities, Reply, ReplyReader, command, parse_ehlo
from franking.smtp.transaction import path
from franking_cli.batch.input import Templates, read_input

EXPLORING = settings().max_examples > 1_000
if EXPLORING:
    pytestmark = pytest.mark.timeout(600)
quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

NASTY = st.text(
    st.sampled_from("\r\n\0\t \"'<>@:;,\\%[]{}()=?&#/+.-_a1Ž\u202e\u2028\ud800\x1b\x7f\x85\xa0😀") | st.characters(),
    max_size=60,
)
LINES = st.lists(
    st.binary(max_size=30)
    | st.sampled_from([b"250-", b"250 ok\r\n", b"220-x\r\n", b"\r\n", b"354", b"\n", b"\x1b[2J"]),
    max_size=30,
)


@quick
@given(LINES, st.randoms())
def test_the_reply_reader_reads_the_same_however_it_is_cut(parts: list[bytes], random: Any) -> None:
    data = b"".join(parts)
    whole, pieces = ReplyReader(), ReplyReader()
    whole.feed(data)
    rest = data
    while rest:
        cut = random.randint(1, len(rest))
        pieces.feed(rest[:cut])
        rest = rest[cut:]
    assert list(whole.replies) == list(pieces.replies)
    assert (whole.fault is None) == (pieces.fault is None)
    assert len(whole.replies) <= AHEAD_LIMIT + 1
    for reply in whole.replies:
        assert str(Reply(*reply)).isprintable()


@quick
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=20))
@example([b"mx", b"SIZE 99999999999999999999999", b"AUTH=", b"auth \xff PLAIN"])
def test_no_ehlo_breaks_what_is_made_of_it(lines: list[bytes]) -> None:
    found: Capabilities = parse_ehlo(Reply(250, tuple(line.replace(b"\r", b"").replace(b"\n", b"") for line in lines)))
    assert all(word.isprintable() and value.isprintable() for word, value in found.words.items())
    assert found.size is None or found.size > 0
    assert all(name == name.upper() for name in found.auth)


@quick
@given(NASTY)
def test_a_command_is_one_line_or_refused(text: str) -> None:
    try:
        made = command(text)
    except FrankingError:
        return
    assert made.endswith(b"\r\n")
    assert not set(made[:-2]) & {0, 10, 13}


@quick
@given(NASTY)
def test_a_path_ends_where_it_should_or_is_refused(text: str) -> None:
    try:
        made, _ = path(text)
    except FrankingError:
        return
    assert not set(made) & {0, 10, 13}
    assert b'"' in made or not set(made) & set(b" <>")


@quick
@given(NASTY | NASTY.map(lambda text: f"{text} <a@b.cz>") | NASTY.map(lambda text: f"{text}@b.cz"))
def test_an_address_survives_or_is_refused(text: str) -> None:
    try:
        parsed = Address.parse(text)
    except FrankingError as error:
        assert "\n" not in str(error)
        return
    assert not set(str(parsed)) & set("\r\n\0")
    assert Address.parse(str(parsed)) == parsed


@quick
@given(subject=NASTY, name=NASTY, header=NASTY, file=NASTY, text=NASTY)
def test_a_message_has_the_headers_that_were_given_or_is_refused(
    subject: str, name: str, header: str, file: str, text: str
) -> None:
    try:
        message = franking.Message(
            to=[Address("jana@example.cz", name)],
            subject=subject,
            text=text,
            headers={"X-Test": header},
            attachments=[franking.Attachment(data=b"x", name=file)],
        )
        prepared = prepare(message, sender=Address.parse("Jan <jan@example.cz>"))
        octets = b"".join(prepared.content.chunks(bcc=False))
    except FrankingError as error:
        assert "\n" not in str(error)
        return
    head = octets.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    assert sorted(names) == sorted({*names}), "no header twice"
    assert set(names) <= {
        b"from",
        b"to",
        b"subject",
        b"date",
        b"message-id",
        b"mime-version",
        b"content-type",
        b"x-test",
        b"content-transfer-encoding",
    }
    assert b"\0" not in head
    assert head.replace(b"\r\n", b"").find(b"\n") == -1


@quick
@given(
    NASTY
    | st.text(string.printable, max_size=80).map(lambda text: f"smtp://{text}")
    | NASTY.map(lambda text: f"smtp://jan:hunter2@{text}?from=a@b.cz")
)
@example("smtp://[::1?from=a@b.cz")
@example("gmail://a@b.cz?x=%ff%00")
def test_an_account_url_is_read_or_refused_without_being_repeated(url: str) -> None:
    try:
        read_url(url)
    except FrankingError as error:
        assert "hunter2" not in str(error)
        assert str(error).isprintable()


@quick
@given(
    NASTY
    | st.text(string.printable, max_size=200).map(
        lambda text: f'[accounts.shop]\nprovider = "smtp"\nfrom = "a@b.cz"\n{text}'
    )
)
def test_a_settings_file_is_read_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "accounts.toml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            configuration = load({"FRANKING_CONFIG": str(file)})
            for name in configuration.names:
                configuration.account(name)
        except FrankingError as error:
            assert "\n" not in str(error)


@quick
@given(
    st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(["to", "subject", "text", "headers", "id", "x"]),
        st.recursive(st.none() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)),
    ).map(lambda value: json.dumps(value).encode())
)
@example(b"[" * 100_000)
@example(b'{"to": ["a@b.cz"], "headers": {"X": "\\ud800"}}')
def test_json_lines_are_read_or_refused_by_their_line(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "letters.jsonl"
        file.write_bytes(data)
        try:
            for letter in read_input(file, None):
                letter.message()
        except FrankingError as error:
            assert str(error).startswith("line ")


@quick
@given(st.binary(max_size=200) | NASTY.map(lambda text: f"to,name\na@b.cz,{text}\n".encode("utf-8", "surrogatepass")))
@example(b"to,name\na@b.cz,\x00\n")
@example(b"\xff\xfet\x00o\x00")
@example(b'to,name\n"a@b.cz')
@example(b"to\n" + b"x" * 200_000)
def test_csv_is_read_or_refused_by_its_line(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "letters.csv"
        file.write_bytes(data)
        numbers = []
        try:
            for line in read_input(file, Templates(subject="x", text="{{ name }}")):
                assert line.message().subject == "x"
                numbers.append(line.number)
        except FrankingError as error:
            assert re.match(r"line \d+: |(to|text) template: the file has no column (to|name); ", str(error))
            assert "\n" not in str(error)
        assert numbers == sorted(set(numbers)), "every line once, in order"
        assert not numbers or numbers[0] > 1, "the first line names the columns"


@quick
@given(
    NASTY
    | NASTY.map(lambda text: f"http://localhost:1/?code=canary&state={text}")
    | NASTY.map(lambda text: f"http://localhost:1/?{text}&code=x&state=right")
)
@example("http://[::1/?code=x&state=right")
@example("http://localhost:1/?code=a&code=b&state=right")
@example("http://localhost:1/?code=canary&state=\udcff")
def test_a_pasted_address_counts_for_its_own_sign_in_only(text: str) -> None:
    try:
        found = pasted(text, "right")
    except LoginRequired as error:
        assert "canary" not in str(error)
        assert str(error).isprintable()
        return
    if "state" in found:
        assert found["state"] == "right"
    assert "code" in found or "error" in found


@quick
@given(
    text=NASTY,
    code=st.none() | st.integers(0, 999),
    kind=st.sampled_from(["smtp", "sasl", "http", "oauth", "tls", "connect", "dns", "x"]),
    reason=st.none() | NASTY,
)
def test_whatever_was_seen_there_is_a_diagnosis_fit_to_be_shown(
    text: str, code: int | None, kind: str, reason: str | None
) -> None:
    for name in ("smtp", "gmail", "outlook"):
        rules = (*provider(name).rules, *GENERIC)
        found = diagnose(
            SendError("x", step="login", evidence=Evidence(kind, code, None, text, reason)), rules, {"account": "shop"}
        )
        words = found.text()
        assert words.title and words.remedies
        assert f"{found.raw}{words.cause}{words.title}{''.join(remedy.text for remedy in words.remedies)}".isprintable()


def test_csv_in_another_encoding_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "letters.csv"
    file.write_bytes("to;jméno\n".encode("cp1250"))
    with pytest.raises(franking.MessageError, match=r"^line 1: this is not CSV in UTF-8"):
        list(read_input(file, Templates(subject="x", text="y")))


def test_a_pasted_octet_that_is_no_utf_8_belongs_to_no_sign_in() -> None:
    """It escaped as UnicodeEncodeError; a code with one must not get as far as the request for the token either."""
    with pytest.raises(LoginRequired, match="another sign-in"):
        pasted("http://localhost:1/?code=canary&state=\udcff", "right")
    pasted("http://localhost:1/?code=can\udcffary&state=right", "right")["code"].encode()


def test_an_envelope_takes_no_line_breaks() -> None:
    for bad in ("a@b.cz\r\nDATA", "a@b.cz\n", "a\0@b.cz", "a@b.cz>\r\n"):
        with pytest.raises(FrankingError):
            Envelope(bad, ["x@y.cz"])
        with pytest.raises(FrankingError):
            Envelope("x@y.cz", [bad])
