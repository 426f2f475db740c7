"""Who has no mailbox of their own, and a mailbox whose sign-in ends at night."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import franking
from mailless import CHILD, shared
from outbox.test_night import revoked, service
from relay.conftest import MESSAGE, Watched, said, save
from servers.services import Service
from servers.smtp import SmtpServer, wait_until

__all__ = ["service", "shared"]  # fixtures

Start = Callable[..., Watched]
PAGE = (Path(__file__).parents[2] / "docs" / "relay.md").read_text()
SYSTEM = next(block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "/etc/franking/" in block)


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="becomes another user, which needs root")
@pytest.mark.parametrize("user", ["www-data", "nobody"])
@pytest.mark.parametrize(("to", "code"), [("admin@example.com", 0), ("no@example.com", 69)])
def test_users_without_an_account_send_by_the_relay(user: str, to: str, code: int, relay: Start, shared: Path) -> None:
    """The system's settings as the page has them: no secret is in them, and the relay's own user alone has one."""
    with SmtpServer(users={"info@novak.cz": "pw"}, refused={"no@example.com": "550 5.1.1 nobody"}) as server:
        save(server.port, **{"from": "info@novak.cz", "username": "info@novak.cz", "allow_plain_login": True})
        os.environ["FRANKING_SECRET_SHOP"] = "pw"
        try:
            _, port = relay("shop", wait=20).address
            (shared / "etc").mkdir()
            (shared / "etc" / "accounts.toml").write_text(SYSTEM.replace("2525", str(port)))
            (shared / "etc" / "aliases").write_text(f"default: {to}\n")
            environ = {key: value for key, value in os.environ.items() if not key.startswith("FRANKING_")}
            done = subprocess.run(
                [sys.executable, "-c", CHILD, str(shared), user, "/nonexistent"],
                capture_output=True, text=True, timeout=60, cwd=shared, env=environ,
            )  # fmt: skip
        finally:
            del os.environ["FRANKING_SECRET_SHOP"]
    assert done.returncode == code, done.stderr
    assert [(message.sender, message.recipients) for message in server.messages] == (
        [("info@novak.cz", [to])] * 2 if code == 0 else []
    )
    if code:
        assert "There is no such mailbox" in done.stderr


@pytest.mark.slow
def test_a_sign_in_that_dies_overnight_is_renewed_in_the_morning(service: Service, relay: Start) -> None:
    """With ``hold`` a printer hears 250 all night; what it sent leaves once somebody has signed in again."""
    sender = service.account.sender.address
    mail = MESSAGE.replace(b"shop@example.cz", sender.encode())

    def night(number: int) -> bytes:
        return mail.replace(b"Faktura", b"night %d" % number).replace(b"<1@", b"<%d@" % number)

    box = relay(settings={"account": "shop", "on_blocked": "hold", "wait": 20})
    with box.client() as client:
        with revoked(service):
            for number in range(3):
                words = said(client, sender, "jana@example.com", night(number))
                assert words.startswith("250 2.0.0 queued as "), words
            assert {entry.held for entry in franking.Outbox().list("queued")} != {None}
        time.sleep(1.2)  # two looks of the runner: it works again, and nobody has said so
        assert service.subjects() == []
        signed_in = service.store.load("shop")
        assert signed_in is not None
        service.store.save("shop", signed_in)  # as a login does
        wait_until(lambda: len(service.subjects()) == 3)
        assert said(client, sender, "jana@example.com", night(3)).startswith("250 2.0.0 accepted")
    assert sorted(service.subjects()) == [f"night {number}" for number in range(4)]
    assert franking.Outbox().counts()["accepted"] == 4


LISTENS = """
import sys
from franking.relay import Relay
for keys, imported in (({}, False), ({"health": "127.0.0.1:0"}, True)):
    relay = Relay.of_settings({"listen": ["127.0.0.1:0"], **keys}, run=False)
    relay.start()
    assert ("franking.health.look" in sys.modules) is imported, keys
    late = {"filelock", "importlib.resources", "random", "tempfile", "tomlkit"}
    assert imported or not late & set(sys.modules), late & set(sys.modules)
    assert (relay.health_address is not None) is imported
    relay.stop()
"""


@pytest.mark.process
def test_a_relay_imports_only_what_it_needs_to_listen() -> None:
    save(1)
    subprocess.run([sys.executable, "-c", LISTENS], check=True)
