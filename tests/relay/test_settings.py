"""``[relay]``: what it means, and what would let strangers send."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from franking.account.config import load
from franking.errors import SettingsError
from franking.relay.access import Access, Denied
from franking.relay.devices import ELSEWHERE, add_user, listen_elsewhere, remove_user, users_of
from franking.relay.settings import RelaySettings, plain_address, read_settings
from franking.relay.users import Verifier, hashed, new_password
from franking.relay.watching import Places, handed_listen
from relay.conftest import save

# the password x under a salt that stays the same: tests are named after it, and every process must find the same names
USER = {"fax": {"password": "sha256:AAECAwQFBgcICQoLDA0ODw==:v4hnhLZNVrioHcneY56dD_AJqV9HNWPnLzx0iBfoNl8="}}


def read(table: dict[str, Any] | None = None, **given: Any) -> RelaySettings:
    return read_settings(table or {}, given, "/etc/franking")


def test_defaults() -> None:
    settings = read()
    (listen,) = settings.listen
    assert (str(listen), listen.tls, settings.wait, settings.on_blocked, settings.health) == (
        "127.0.0.1:2525", "none", 4.0, "refuse", None,
    )  # fmt: skip
    assert settings.allows(ip_address("127.0.0.9"))
    assert settings.allows(ip_address("::1"))
    assert not settings.allows(ip_address("192.168.1.7"))


def test_forms_of_listening() -> None:
    table = {
        "listen": [
            {"address": "0.0.0.0:587", "certificate": "relay.pem"},
            {"address": "[::1]:465", "tls": "implicit"},
            "192.168.1.2:25",
        ],
        "users": USER,
    }
    first, second, third = read(table).listen
    assert (first.tls, first.certificate) == ("starttls", "/etc/franking/relay.pem")
    assert (str(second), second.tls, second.loopback) == ("[::1]:465", "implicit", True)
    assert third.tls == "starttls"
    assert not read(table).allow  # not every address is loopback: nobody without a login
    assert read({"listen": ["localhost:0"]}).listen[0].host == "127.0.0.1"


OPEN = [
    {"allow": ["0.0.0.0/0"]},
    {"allow": ["::/0"]},
    {"allow": ["8.8.8.8"]},
    {"allow": ["10.0.0.0/7"]},
    {"allow": ["::ffff:8.8.8.8"]},
    {"allow": ["::ffff:0:0/96"]},
    {"allow": ["172.16.0.0/11"]},
    {"listen": ["0.0.0.0:25"]},
    {"listen": ["[::]:25"]},
    {"listen": ["192.0.2.1:25"], "allow": ["127.0.0.0/8"]},
    {"listen": [{"address": "0.0.0.0:25", "legacy_tls": True}], "users": USER},
]


@pytest.mark.parametrize("table", OPEN, ids=str)
def test_what_would_be_open_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"^relay\."):
        read(table)


@pytest.mark.parametrize(
    "network", ["10.1.2.0/24", "192.168.0.0/16", "fd00::/8", "fe80::1", "100.64.0.0/10", "::ffff:10.0.0.7"]
)
def test_private_networks_may_be_allowed(network: str) -> None:
    assert read({"listen": ["0.0.0.0:25"], "allow": [network]}).allow


@pytest.mark.parametrize(
    ("address", "more", "allow", "out"),
    [
        ("10.0.0.1:25", {"tls": "none"}, [], True),
        ("10.0.0.1:25", {"tls": "none"}, ["127.0.0.1"], True),
        ("10.0.0.1:25", {"tls": "none"}, ["10.0.0.7"], False),
        ("10.0.0.1:25", {"tls": "none", "allow_plain_login": True}, [], False),
        ("10.0.0.1:25", {}, [], False),
        ("127.0.0.1:25", {"tls": "none"}, [], False),
    ],
)
def test_where_nobody_can_send(address: str, more: dict[str, Any], allow: list[str], out: bool) -> None:
    settings = read({"listen": [{"address": address, **more}], "allow": allow, "users": USER})
    assert settings.keeps_out(settings.listen[0]) == out


def test_a_mapped_address_is_the_plain_one() -> None:
    settings = read({"listen": ["[::]:25"], "allow": ["10.0.0.0/8"]})
    assert settings.allows(plain_address("::ffff:10.1.1.1"))
    assert not settings.allows(plain_address("::ffff:11.1.1.1"))
    assert str(plain_address("fe80::1%eth0")) == "fe80::1"


WRONG = [
    ({"lisen": []}, "did you mean listen"),
    ({"wait": "long"}, "relay.wait"),
    ({"wait": -1}, "below 0"),
    ({"on_blocked": "drop"}, "refuse, hold"),
    ({"listen": []}, "list of addresses"),
    ({"listen": ["25"]}, "no address with a port"),
    ({"listen": ["mail.example.cz:25"]}, "no address with a port"),
    ({"listen": [{"tls": "none"}]}, "lacks its address"),
    ({"listen": [{"address": "127.0.0.1:1", "tsl": "none"}]}, "did you mean tls"),
    ({"listen": [{"address": "127.0.0.1:1", "tls": "ssl"}]}, "starttls"),
    ({"listen": [{"address": "127.0.0.1:1", "tls": "none", "certificate": "own.pem"}]}, "take the certificate out"),
    ({"listen": [{"address": "127.0.0.1:1", "key": "own.key"}]}, "key stands without certificate"),
    ({"allow": ["home"]}, "neither an address"),
    ({"health": "0.0.0.0:80"}, "allow_health"),
    ({"health": "x"}, "no address"),
    ({"users": []}, "users.NAME"),
    ({"users": {"fax": "x"}}, "users.fax"),
    ({"users": {"fax": {}}}, "never kept here"),
    ({"users": {"fax": {"password": "geheim"}}}, "never kept here"),
    ({"users": {"fax": {**USER["fax"], "form": "x"}}}, "did you mean from"),
    ({"users": {"fax": {**USER["fax"], "from": ["novak.cz"]}}}, "neither an address"),
    ({"users": {"fax": {**USER["fax"], "from": ["a b@novak.cz"]}}}, "neither an address"),
]


@pytest.mark.parametrize(("table", "words"), WRONG, ids=str)
def test_wrong_settings_name_their_entry(table: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(table)
    assert words in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_health_may_be_asked_from_where_it_says() -> None:
    settings = read({"health": "0.0.0.0:8025", "allow_health": ["10.0.0.0/8"]})
    assert settings.health is not None
    assert settings.health.port == 8025
    assert read({"health": "off"}).health is None


# -- users -------------------------------------------------------------------------------------------------------------


def test_a_password_is_made_kept_as_a_hash_and_verified() -> None:
    password = new_password()
    assert len(password) == 16
    assert set(password) <= set("abcdefghijklmnopqrstuvwxyz234567")
    verifier = Verifier()
    for chosen in (False, True):
        stored = hashed(password, chosen=chosen)
        assert password not in stored
        assert stored != hashed(password, chosen=chosen)
        assert not verifier.remembered(stored, password)
        assert not verifier.right(stored, password + "x")
        assert verifier.right(stored, password)
        assert verifier.remembered(stored, password)
        assert not verifier.remembered(hashed(password, chosen=chosen), password)  # it was set anew
    assert not verifier.right(None, password)


def test_verified_logins_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.relay.users._REMEMBERED", 2)
    verifier = Verifier()
    stored = [hashed("x", chosen=False) for _ in range(3)]
    assert all(verifier.right(one, "x") for one in stored)
    assert [verifier.remembered(one, "x") for one in stored] == [False, True, True]


def test_users_in_the_settings_file() -> None:
    path = Path(os.environ["FRANKING_CONFIG"])
    save(25, more="# by hand\n[relay]\nwait = 2\n")
    password = add_user("printer", senders=["@novak.cz"], on_blocked="hold")
    add_user("fax.2", account="shop", password="my own")
    found = users_of(load().sections["relay"])
    assert (found["printer"].senders, found["printer"].on_blocked) == (("@novak.cz",), "hold")
    assert (found["fax.2"].account, found["fax.2"].password[:7]) == ("shop", "scrypt:")
    assert Verifier().right(found["printer"].password, password)
    assert password not in path.read_text()
    for name, options in (
        ("printer", {}), ("a b", {}), ("-x", {}), ("new", {"account": "nope"}), ("new", {"senders": ["x"]}),
    ):  # fmt: skip
        with pytest.raises(SettingsError):
            add_user(name, **options)  # type: ignore[arg-type]
    remove_user("printer")
    remove_user("fax.2")
    with pytest.raises(SettingsError, match="there is none"):
        remove_user("printer")
    assert "# by hand" in path.read_text()
    path.write_text(path.read_text() + f"[relay.users]\nold = {{ password = '{USER['fax']['password']}' }}\n")
    with pytest.raises(SettingsError, match="by hand"):
        remove_user("old")
    assert load().sections["relay"]["wait"] == 2


# -- who may send ------------------------------------------------------------------------------------------------------


def test_access_needs_an_account_that_is_there() -> None:
    with pytest.raises(SettingsError, match="has no default; add one with: franking setup"):
        Access(read(), load())
    save(25)
    with pytest.raises(SettingsError, match="no account 'nope'"):
        Access(read(account="nope"), load())
    with pytest.raises(SettingsError, match="no account 'nope'"):
        Access(read({"users": {"fax": {**USER["fax"], "account": "nope"}}}), load())
    assert Access(read(), load()).accounts() == ("shop",)


def test_the_account_is_the_users_else_the_routes_else_the_relays(monkeypatch: pytest.MonkeyPatch) -> None:
    save(25)
    save(25, "office")
    save(25, "other", more='[routes]\n"@novak.cz" = "office"\n')
    monkeypatch.setenv("FRANKING_ACCOUNT", "other")
    access = Access(read({"account": "shop", "users": {"fax": {**USER["fax"], "account": "other"}}}), load())
    fax = access.settings.users["fax"]
    assert access.account_for(fax, "info@novak.cz").name == "other"
    assert access.account_for(None, "info@novak.cz").name == "office"
    assert access.account_for(None, "a@example.com").name == "shop"
    office = access.config.account("office")
    access.check(None, office, ["any@novak.cz", "office@example.cz", ""])
    with pytest.raises(Denied, match=r"this client may send from: @novak.cz, office@example.cz"):
        access.check(None, office, ["any@example.cz"])
    for alike in ("any@evilnovak.cz", "any@sub.novak.cz", "any@novak.cz.example.com"):
        with pytest.raises(Denied):
            access.check(None, office, [alike])
    with pytest.raises(Denied, match=r"the user fax may send from: other@example.cz"):
        access.check(fax, access.config.account("other"), ["any@novak.cz"])


def test_own_addresses() -> None:
    places = Places([("127.0.0.1", 25), ("0.0.0.0", 587), ("::", 465)])
    assert places.have("localhost", 25)
    assert places.have("127.0.0.2", 25)
    assert places.have("127.0.0.1", 587)
    assert not places.have("127.0.0.1", 26)
    assert not places.have("192.0.2.99", 587)
    assert not places.have("smtp.novak.cz", 587)


def test_a_socket_that_was_handed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        assert handed_listen("smtp", sock) == {"address": f"127.0.0.1:{port}"}
        assert handed_listen("smtps", sock)["tls"] == "implicit"


@pytest.mark.parametrize("more", ["", "[relay] # ours\nwait = 2\n", "[relay]\nwait = 2\n\n[outbox]\n"])
def test_the_relay_listens_elsewhere_where_that_is_written(more: str) -> None:
    save(25)
    path = Path(os.environ["FRANKING_CONFIG"])
    path.write_text(path.read_text() + more)
    add_user("printer")
    assert listen_elsewhere() == ELSEWHERE
    table = load().sections["relay"]
    settings = read_settings(table, {}, "")
    assert [(place.host, place.port, place.tls) for place in settings.listen] == [("0.0.0.0", 2525, "starttls")]
    assert (settings.allow, list(settings.users), settings.wait) == ((), ["printer"], 2 if more else 4)
    before = path.read_text()
    with pytest.raises(SettingsError, match="by hand"):
        listen_elsewhere()
    assert path.read_text() == before


@pytest.mark.parametrize("text", ["relay.wait = 2\n", ""])
def test_where_the_relay_listens_is_not_written_between_what_it_would_break(text: str) -> None:
    save(25)
    path = Path(os.environ["FRANKING_CONFIG"])
    path.write_text(text + path.read_text())
    before = path.read_text()
    with pytest.raises(SettingsError, match="by hand"):
        listen_elsewhere()
    assert path.read_text() == before
