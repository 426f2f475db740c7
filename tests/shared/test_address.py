"""What is shown of a shared store's address, what is never shown, and which addresses are refused."""

from __future__ import annotations

import pytest

from franking.errors import SettingsError
from franking.shared import address, failures

SECRET = "p%40ss-5512"


@pytest.mark.parametrize("name", ["password", "sslpassword", "passfile"])
def test_a_secret_is_taken_out_however_it_is_written(name: str) -> None:
    written = address.secrets_of(f"postgresql://shop:{SECRET}@h/mail?{name}=o%2Fther-31&sslmode=require")
    said = written(f"no user {SECRET}, no p@ss-5512, no o/ther-31, but require")
    assert not any(secret in said for secret in (SECRET, "p@ss-5512", "o/ther-31")) and "require" in said


def test_an_address_is_shown_without_its_user_and_its_options() -> None:
    assert address.shown(f"rediss://shop:{SECRET}@h:6380/2?db=1") == "rediss://h:6380/2"


@pytest.mark.parametrize(
    "url",
    ["redis://:pa/ss-5512@h", "redis://:pa?ss-5512@h", "redis://:pa#ss-5512@h", "redis://h/0?password=pa@ss-5512"],
)
def test_a_password_that_ends_the_server_s_name_early_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="write @ as %40") as caught:
        address.check(url, step="settings")
    assert "5512" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.8.0.1", True), ("::1", True), ("localhost", True), ("", True), ("/run/postgresql", True),
     ("127.example", False), ("localhost.example", False), ("10.0.0.1", False)],
)  # fmt: skip
def test_only_this_machine_is_safe_without_encryption(host: str, here: bool) -> None:
    assert failures.loopback(host) is here
