"""Changing the settings file: no comment is lost, nothing is half written, and what cannot be changed is left alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from franking.account import config, editing
from franking.account.account import Account
from franking.account.config import load, resolve
from franking.errors import SettingsError

EXAMPLE = """\
# my accounts
default = "shop"   # the one I use

[providers.outlook]                # for all of them
client_id = "11111111-2222-3333-4444-555555555555"

[accounts.shop]   # web shop
provider = "smtp"
from = "Jan Novák <info@novak.cz>"
host = "smtp.novak.cz"  # ask Petr
port = 587
security = "starttls"
username = "info@novak.cz"

# the office
[accounts."my office"]
provider = "outlook"
from = "me@contoso.com"
"""


def account(name: str = "new", **changes: Any) -> Account:
    base: dict[str, Any] = {
        "name": name,
        "provider": "smtp",
        "sender": "Jan Novák <info@novak.cz>",
        "host": "smtp.novak.cz",
    }
    return Account(**{**base, **changes})


def test_the_first_account_makes_the_file_and_is_the_default(path: Path) -> None:
    editing.save(account("můj obchod", port=2525, security="none", without=["chunking"]))
    assert path.read_text(encoding="utf-8") == (
        "# Franking's accounts. Passwords are not kept here: `franking login NAME` stores them.\n\n"
        'default = "můj obchod"\n\n'
        '[accounts."můj obchod"]\nprovider = "smtp"\nfrom = "Jan Novák <info@novak.cz>"\n'
        'host = "smtp.novak.cz"\nport = 2525\n'
        'security = "none"\nwithout = ["chunking"]\n'
    )
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert resolve() == account("můj obchod", port=2525, security="none", without=["chunking"])


def test_comments_and_order_survive_every_change(write: Callable[[str], Path], path: Path) -> None:
    write(EXAMPLE)
    editing.save(account("third"))
    editing.set_default("third")
    editing.set_enabled("shop", False)
    editing.save(resolve("shop").replace(port=465, security="tls"), replace=True)
    changed = path.read_text(encoding="utf-8")
    for comment in (
        "# my accounts",
        "# the one I use",
        "# for all of them",
        "# web shop",
        "# ask Petr",
        "# the office",
    ):
        assert comment in changed
    assert load().names == ("shop", "my office", "third")
    assert (resolve().name, resolve("shop").enabled, resolve("shop").port) == ("third", False, 465)
    assert resolve("my office").client_id.startswith("1111")
    editing.set_enabled("shop", True)
    editing.save(resolve("shop").replace(port=587, security="starttls"), replace=True)
    editing.remove("third")
    assert "default" not in {line.split(" ")[0] for line in path.read_text(encoding="utf-8").splitlines()}
    editing.set_default("shop")
    lost = set(EXAMPLE.splitlines()) - set(path.read_text(encoding="utf-8").splitlines())
    assert lost == {'default = "shop"   # the one I use'}


def test_every_change_of_a_spread_out_file_is_found_again(write: Callable[[str], Path]) -> None:
    write(
        """\
        [accounts.a]
        provider = "file"
        from = "a@b.cz"
        path = "/tmp/a"
        [providers.outlook]
        client_id = "x"
        [accounts.b]
        provider = "file"
        from = "b@b.cz"
        path = "/tmp/b"
        [providers.smtp]
        timeout = 10
        """
    )
    editing.save(account("c"))
    editing.set_default("b")
    editing.set_enabled("a", False)
    editing.remove("b")
    found = load()
    assert sorted(found.names) == ["a", "c"]
    assert (found.account("a").enabled, found.account("c").timeout, found.default) == (False, 10, None)


def test_inline_and_dotted_tables_can_be_changed(write: Callable[[str], Path]) -> None:
    write(
        'accounts.a = { provider = "file", from = "a@b.cz", path = "/tmp/a" }\naccounts.b.provider = "file"\n'
        'accounts.b.from = "b@b.cz"\naccounts.b.path = "/tmp/b"\n'
    )
    editing.set_enabled("a", False)
    editing.set_enabled("b", False)
    editing.set_default("b")
    editing.save(account("c"))
    found = load()
    assert [found.account(name).enabled for name in ("a", "b", "c")] == [False, False, True]
    assert found.default == "b"


def test_what_cannot_be_changed_safely_is_left_alone(write: Callable[[str], Path], path: Path) -> None:
    text = "accounts = { a = { provider = 'file', from = 'a@b.cz', path = '/tmp/a' } }\n"
    write(text)
    with pytest.raises(SettingsError, match=r"put each account under a line \[accounts.NAME\]"):
        editing.save(account("c"))
    assert path.read_text() == text
    assert resolve("a").path == "/tmp/a"


def test_defaults_are_not_written_into_the_account(
    write: Callable[[str], Path], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[providers.outlook]\nclient_id = "11"\n')
    monkeypatch.setenv("FRANKING_OUTLOOK_TENANT", "contoso.com")
    made = config.load().build(name="o", provider="outlook", sender="me@contoso.com", mailbox="info@contoso.com")
    assert (made.client_id, made.tenant) == ("11", "contoso.com")
    editing.save(made)
    assert 'mailbox = "info@contoso.com"' in path.read_text()
    assert path.read_text().count("client_id") == 1 and "tenant" not in path.read_text()
    assert resolve("o") == made


def test_relative_paths_of_the_command_line_are_written_absolute(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    editing.save(account(ca_file="ca.pem"))
    assert f'ca_file = "{tmp_path}/ca.pem"' in path.read_text()


def test_a_taken_name_a_missing_name_and_shared_variables_are_refused(write: Callable[[str], Path], path: Path) -> None:
    write(EXAMPLE)
    with pytest.raises(SettingsError, match="already"):
        editing.save(account("shop"))
    with pytest.raises(SettingsError, match="share the environment variable FRANKING_SECRET_SHOP"):
        editing.save(account("SHOP"))
    for change in (editing.remove, editing.set_default, lambda name: editing.set_enabled(name, True)):
        with pytest.raises(SettingsError, match=r"did you mean shop\?"):
            change("shpo")
    assert path.read_text(encoding="utf-8") == EXAMPLE


def test_the_last_account_can_be_removed_and_added_again(path: Path) -> None:
    for _ in range(2):
        editing.save(account("only"))
        assert resolve() == account("only")
        editing.remove("only")
        assert load().names == ()


def test_a_broken_account_can_still_be_removed(write: Callable[[str], Path]) -> None:
    write(EXAMPLE + "nonsense = 1\n")
    editing.remove("my office")
    assert load().names == ("shop",)


@pytest.mark.skipif(os.name != "posix", reason="links and modes")
def test_a_link_stays_a_link_and_modes_stay(path: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "franking.toml"
    real.parent.mkdir()
    real.write_text(EXAMPLE, encoding="utf-8")
    real.chmod(0o644)
    path.symlink_to(real)
    editing.set_enabled("shop", False)
    assert path.is_symlink() and path.resolve() == real
    assert "enabled = false" in real.read_text(encoding="utf-8")
    assert stat.S_IMODE(real.stat().st_mode) == 0o644


def test_a_failed_write_leaves_the_file(
    write: Callable[[str], Path], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(EXAMPLE)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsError, match="No space left"):
        editing.set_enabled("shop", False)
    assert path.read_text(encoding="utf-8") == EXAMPLE
    assert not list(path.parent.glob(".*.tmp"))


ADDER = """
import sys
from franking import Account; from franking.account import editing
for number in range(5):
    editing.save(Account(name=f"{sys.argv[1]}{number}", provider="file", sender="a@b.cz", path="/tmp"))
"""


@pytest.mark.process
def test_concurrent_writers_lose_nothing(write: Callable[[str], Path]) -> None:
    write(EXAMPLE)
    running = [subprocess.Popen([sys.executable, "-c", ADDER, letter]) for letter in "abcd"]
    assert [process.wait(60) for process in running] == [0] * 4
    assert set(load().names) == {
        "shop",
        "my office",
        *(f"{letter}{number}" for letter in "abcd" for number in range(5)),
    }


@pytest.mark.parametrize(
    ("lost", "found"), [("enabled = false\n", ""), ('username = "info@novak.cz"\n', ""), ("port = 587", "port = 588")]
)
def test_a_change_that_the_writer_of_toml_loses_or_a_setting_that_it_spoils_is_never_written(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, lost: str, found: str
) -> None:
    import tomlkit

    path = write(EXAMPLE)
    before, real = path.read_bytes(), tomlkit.dumps
    monkeypatch.setattr(tomlkit, "dumps", lambda document: real(document).replace(lost, found))
    with pytest.raises(SettingsError, match="cannot be changed safely"):
        editing.set_enabled("shop", False)
    assert path.read_bytes() == before
