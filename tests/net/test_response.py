"""Responses that end, whatever the other side sends, and from which our secrets are gone."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from franking.net import http, response
from servers.rawweb import RawServer, Wire, drips_on, reply, sends, sends_then_closes
from servers.web import Authority

SECRET = "canary-0123456789-secret"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(authority: Authority) -> Iterator[RawServer]:
    with RawServer(authority, otherwise=lambda head: reply(200, {"ok": True})) as made:
        yield made


@pytest.fixture
def session(authority: Authority) -> Iterator[requests.Session]:
    with http.session(authority.ca_file, timeout=5, patience=0.5) as made:
        yield made


def ask(server: RawServer, session: requests.Session, act: Wire, **settings: Any) -> requests.Response:
    server.acts = [act]
    server.faulty = lambda head: True
    url = settings.pop("url", f"{server.url}/x")
    return http.read(session.request(settings.pop("method", "POST"), url, stream=True, **settings))


# -- they end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "ends"), [(19, "answered"), (20, "broken")])
def test_interim_responses_are_counted(server: RawServer, session: requests.Session, count: int, ends: str) -> None:
    act = sends(b"HTTP/1.1 100 Continue\r\n\r\n" * count + reply(200, {"ok": True}))
    if ends == "answered":
        assert ask(server, session, act).json() == {"ok": True}
    else:
        with pytest.raises(requests.exceptions.RequestException):
            ask(server, session, act)


def test_a_body_that_drips_for_ever_ends_when_patience_does(
    authority: Authority, server: RawServer, session: requests.Session
) -> None:
    with (
        pytest.raises(requests.exceptions.RequestException),
        http.session(authority.ca_file, timeout=0.2, patience=0.4) as impatient,
    ):
        ask(server, impatient, drips_on(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"))


@pytest.mark.parametrize("length", [b"-5", b"zz", b"ffffffffffffffff"])
def test_a_chunk_with_an_impossible_length_is_a_broken_response(
    server: RawServer, session: requests.Session, length: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(requests.exceptions.RequestException):
        ask(server, session, sends_then_closes(head + length + b"\r\nabc\r\n"))


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "GZIP", "deflate"])
def test_what_came_packed_is_unpacked_and_bounded(server: RawServer, session: requests.Session, name: str) -> None:
    pack = zlib.compress if name == "deflate" else gzip.compress
    body = pack(b"a" * 10_000_000)
    heard = ask(server, session, sends(reply(200, body, f"Content-Encoding: {name}"))).content
    assert heard == b"a" * http.BODY_LIMIT


def test_what_nobody_can_unpack_stays_as_it_came(server: RawServer, session: requests.Session) -> None:
    for name in ("gzip", "br", "gzip, gzip"):
        assert ask(server, session, sends(reply(200, b"{}", f"Content-Encoding: {name}"))).content == b"{}"


@pytest.mark.parametrize(("octets", "connections"), [(http.BODY_LIMIT, 1), (3 * http.BODY_LIMIT, 2)])
def test_a_body_is_read_up_to_a_limit_and_a_longer_ones_connection_let_go(
    server: RawServer, session: requests.Session, octets: int, connections: int
) -> None:
    assert len(ask(server, session, sends(reply(400, b"x" * octets))).content) == http.BODY_LIMIT
    ask(server, session, sends(reply(200)))
    assert server.connections == connections


# -- no secret is left -------------------------------------------------------------------------------------------------


def test_what_a_response_repeats_of_the_request_is_hidden_everywhere(
    server: RawServer, session: requests.Session
) -> None:
    body = {"error": {"message": f"what is {SECRET}?", "list": [SECRET, 7, None]}, "other": "stays"}
    act = sends(reply(400, body, f"X-Echo: {SECRET}").replace(b"Something", SECRET.encode()))
    heard = ask(server, session, act, headers={"Authorization": f"Bearer {SECRET}"})
    assert SECRET not in f"{heard.content!r} {heard.headers} {heard.reason}"
    assert heard.json() == {"error": {"message": "what is [hidden]?", "list": ["[hidden]", 7, None]}, "other": "stays"}


@pytest.mark.parametrize(
    "settings",
    [
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"auth": ("client", SECRET)},
        {"data": {"refresh_token": SECRET, "grant_type": "refresh_token"}},
        {"data": f"code={SECRET}", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"method": "PUT", "params": {"upload_id": SECRET}},
    ],
)
def test_every_place_where_a_request_has_a_secret(
    server: RawServer, session: requests.Session, settings: dict[str, Any]
) -> None:
    page = ask(server, session, sends(reply(400, f"<p>{SECRET}</p>".encode())), **dict(settings))
    assert page.content == b"<p>[hidden]</p>"


def test_what_is_no_secret_stays(server: RawServer, session: requests.Session) -> None:
    act = sends(reply(400, b"resumable refresh_token something"))
    settings = {"params": {"uploadType": "resumable"}, "data": {"grant_type": "refresh_token", "scope": "something"}}
    assert ask(server, session, act, **settings).content == b"resumable refresh_token something"
    untouched = b'{ "spaced" :  "as it came" }'
    assert ask(server, session, sends(reply(200, untouched)), data={"token": SECRET}).content == untouched


def test_an_issuer_may_give_the_same_token_again_and_a_refusal_may_not(
    server: RawServer, session: requests.Session
) -> None:
    body = {"refresh_token": SECRET, "note": SECRET, "nested": {"refresh_token": SECRET}}
    given = {"refresh_token": SECRET}
    heard = ask(server, session, sends(reply(200, body)), data=given).json()
    assert heard == {"refresh_token": SECRET, "note": "[hidden]", "nested": {"refresh_token": "[hidden]"}}
    assert SECRET not in ask(server, session, sends(reply(400, body)), data=given).text


def test_json_that_nests_without_end_is_cleaned_as_text(server: RawServer, session: requests.Session) -> None:
    act = sends(reply(200, b'{"a":' * 5_000 + json.dumps(SECRET).encode() + b"}" * 5_000))
    assert SECRET.encode() not in ask(server, session, act, data={"token": SECRET}).content


def test_a_password_that_is_no_text_is_no_obstacle(server: RawServer, session: requests.Session) -> None:
    heard = ask(server, session, sends(reply(400, b"no")), headers={"Authorization": "Basic !!!"})
    assert heard.content == b"no"


def test_the_marker_of_a_packed_body_names_it_alone() -> None:
    assert response.unpacked(gzip.compress(b"abc"), {}, 100) == gzip.compress(b"abc")
