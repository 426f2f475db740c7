"""The smallest provider, written as a stranger would: one class, one line in the registry; then it is everywhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import franking
from franking import registry
from franking.account.config import load, parse_url
from franking.account.fields import Field
from franking.account.url import write_url
from franking.provider import Facts, Observer, Receipt, RouteFacts, Step
from franking.testing.contracts import ProviderContract
from franking_cli import app

# -- the provider: everything that a newcomer has to write -------------------------------------------------------------


class PigeonSession:
    """Hand messages to a pigeon loft: a directory with one file per pigeon."""

    def __init__(self, account: franking.Account, observer: Observer) -> None:
        self._account, self._observer = account, observer
        self._loft, self._colour = Path(account.loft), account.colour

    def send(self, envelope: franking.Envelope, content: Any) -> Receipt:
        self._observer(Step("message", "running"))
        name = f"{self._colour}-{len(list(self._loft.iterdir()))}"
        data = b"".join(content.chunks(bcc=False))
        self._observer(Step("message", "ok"))
        (self._loft / name).write_bytes(data)
        self._observer(Step("accepted", "ok", detail=name))
        return Receipt(
            content.message_id,
            "pigeon",
            f"{name} took off",
            accepted=envelope.recipients,
            bytes=len(data),
            account=self._account.name,
        )

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class PigeonProvider:
    name = "pigeon"
    title = "Carrier pigeons"
    fields = (
        Field("loft", "path", help="Directory where the pigeons live."),
        Field("colour", default="grey", choices=("grey", "white"), help="Which pigeons to use."),
    )
    facts = Facts(routes=(RouteFacts("pigeon", why="Works without electricity."),))
    rules = ()

    def settle(self, settings: Mapping[str, Any], sender: franking.Address) -> Mapping[str, Any]:
        if not settings["loft"]:
            raise franking.SettingsError("loft: say where the pigeons live.", field="loft")
        return settings

    def route(self, account: franking.Account) -> str:
        return "pigeon"

    def open(self, account: franking.Account, secret: Any, observer: Observer) -> PigeonSession:
        return PigeonSession(account, observer)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in loaded_commands():
        # commands make their flags when they are imported; other tests may have done that
        monkeypatch.delitem(sys.modules, name)
    registry.register(PigeonProvider())
    yield
    registry._PROVIDERS.pop("pigeon")
    for name in loaded_commands():
        del sys.modules[name]


def loaded_commands() -> list[str]:
    return [name for name in sys.modules if name.startswith("franking_cli.") and name != app.__name__]


# -- what it gets for that ---------------------------------------------------------------------------------------------


@pytest.fixture
def loft(tmp_path: Path) -> Path:
    loft = tmp_path / "loft"
    loft.mkdir()
    return loft


class TestPigeonsKeepTheContract(ProviderContract):
    @pytest.fixture
    def provider(self) -> PigeonProvider:
        return PigeonProvider()

    @pytest.fixture
    def account(self, loft: Path) -> franking.Account:
        return franking.Account(name="loft", provider="pigeon", sender="Jan Novák <jan@example.com>", loft=str(loft))

    @pytest.fixture
    def arrived(self, loft: Path) -> Callable[[], list[bytes]]:
        return lambda: [file.read_bytes() for file in sorted(loft.iterdir())]


def test_its_fields_are_flags_of_the_unsaved_send_test(loft: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = app.run(
        [
            "send-test",
            "--provider",
            "pigeon",
            "--from",
            "jan@example.com",
            "--loft",
            str(loft),
            "--colour",
            "white",
            "--to",
            "a@example.com",
            "--json",
        ]
    )
    out, _ = capfd.readouterr()
    assert code == 0
    report = json.loads(out)
    assert (report["ok"], report["route"], report["receipt"]["reply"]) == (True, "pigeon", "white-0 took off")
    assert (loft / "white-0").read_bytes().startswith(b"From: ")


def test_a_wrong_choice_is_named(loft: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = app.run(
        [
            "send-test",
            "--provider",
            "pigeon",
            "--from",
            "jan@example.com",
            "--loft",
            str(loft),
            "--colour",
            "red",
            "--to",
            "a@example.com",
        ]
    )
    _, err = capfd.readouterr()
    assert code == 2
    assert "colour: 'red' is not one of grey, white" in err


def test_its_fields_are_in_account_urls(loft: Path) -> None:
    account = parse_url(f"pigeon://?loft={loft}&colour=white&from=jan@example.com")
    assert (account.provider, account.loft, account.colour) == ("pigeon", str(loft), "white")
    assert parse_url(write_url(account)).settings == account.settings


def test_its_fields_are_in_accounts_add_and_the_settings_file(loft: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = app.run(
        [
            "accounts",
            "add",
            "post",
            "--provider",
            "pigeon",
            "--from",
            "jan@example.com",
            "--loft",
            str(loft),
            "--colour",
            "white",
        ]
    )
    _, err = capfd.readouterr()
    assert code == 0, err
    assert load().account("post").colour == "white"
