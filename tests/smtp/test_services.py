"""The table of well-known services: looking names up by whole labels, and what a login name is there."""

from __future__ import annotations

import pytest

from franking.smtp.services import Service, find, service_at, table

ZONES = {"smtp.x.test", ".x.test", ".mail.x.test", ".test"}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("smtp.x.test", "smtp.x.test"),
        ("a.x.test", ".x.test"),
        ("a.b.mail.x.test", ".mail.x.test"),
        ("mail.x.test", ".x.test"),  # below the zone, not the zone itself
        ("x.test", ".test"),
        ("ax.test", ".test"),  # whole labels
        ("a.smtp.x.test", ".x.test"),  # a host is no zone
        ("x.example", None),
        ("test", None),
        ("", None),
    ],
)
def test_a_name_is_found_by_whole_labels_the_nearest_zone_first(name: str, found: str | None) -> None:
    assert find(name, ZONES) == found


@pytest.mark.parametrize(
    ("kind", "address", "login"),
    [
        ("address", "jana@x.test", "jana@x.test"),
        ("address", None, None),
        ("local-part", "ja@na@x.test", "ja@na"),
        ("local-part", None, None),
        ("literal", "jana@x.test", "apikey"),
        ("literal", None, "apikey"),
    ],
)
def test_a_login_name_follows_from_the_address(kind: str, address: str | None, login: str | None) -> None:
    service = Service("x", (), username=kind, literal="apikey" if kind == "literal" else None)
    assert service.login(address) == login


@pytest.mark.parametrize("kind", ["own", "none"])
def test_a_login_name_that_the_service_gives_out_follows_from_nothing(kind: str) -> None:
    assert Service("x", (), username=kind).login("jana@x.test") is None


def test_a_server_is_found_however_it_is_written() -> None:
    seznam = service_at("smtp.seznam.cz")
    assert seznam is not None
    assert service_at(" SMTP.Seznam.CZ. ") is seznam
    assert service_at("seznam.cz.example.test") is None
    assert service_at(None) is None


def test_every_row_names_its_sources_and_only_a_literal_name_is_written_down() -> None:
    for service in table().services:
        assert set(service.sources) <= set(table().sources)
        assert (service.literal is not None) is (service.username == "literal"), service.name
