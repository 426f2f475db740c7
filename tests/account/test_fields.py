"""One key of an account: which addresses of issuers and services are taken."""

from __future__ import annotations

import pytest

from franking.account.fields import https_address


@pytest.mark.parametrize("text", ["https://issuer.example", " https://issuer.example:8443/realms/a/ "])
def test_a_web_address_is_taken_apart(text: str) -> None:
    found = https_address(text)
    assert found is not None and found.hostname == "issuer.example"


@pytest.mark.parametrize(
    "text",
    [
        "http://issuer.example", "issuer.example", "https://", "https://issuer.example:x", "https://[::1",
        "https://somebody@issuer.example", "https://google.com:x@issuer.example",
        "https://issuer.example?to=x", "https://issuer.example#x",
    ],
)  # fmt: skip
def test_what_could_lead_elsewhere_is_no_address(text: str) -> None:
    assert https_address(text) is None
