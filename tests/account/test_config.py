"""The settings file, the environment and account URLs: read, explained when wrong, changed without losing a comment."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.account import config, editing
from franking.account.account import Account
from franking.account.config import load, parse_url, resolve
from franking.account.url import write_url
from franking.errors import SettingsError
from franking.sending.explain import explain

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


@pytest.fixture
def path() -> Path:
    return Path(os.environ["FRANKING_CONFIG"])


@pytest.fixture
def write(path: Path) -> Callable[[str], Path]:
    def put(text: str) -> Path:
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return put


# --- reading ----------------------------------------------------------------------------------------------------------


def test_the_example(write: Callable[[str], Path]) -> None:
    write(EXAMPLE)
    found = load()
    assert found.names == ("shop", "my office")
    shop = found.account("shop")
    assert shop == Account(
        name="shop",
        provider="smtp",
        sender="Jan Novák <info@novak.cz>",
        host="smtp.novak.cz",
        port=587,
        security="starttls",
        username="info@novak.cz",
    )
    assert found.account("my office").client_id == "11111111-2222-3333-4444-555555555555"
    assert resolve() == resolve("shop") == resolve(shop) == shop


def test_a_file_that_is_not_there_is_empty(path: Path) -> None:
    assert load().names == ()
    with pytest.raises(SettingsError, match=r"No account is named.*franking setup"):
        resolve()
    with pytest.raises(SettingsError, match=r"no account 'shop'.*does not exist.*franking setup"):
        resolve("shop")


def test_where_the_file_is(tmp_path: Path) -> None:
    assert config.config_path({"FRANKING_CONFIG": "~/x.toml"}) == Path.home() / "x.toml"
    assert config.config_path({"FRANKING_CONFIG": "x.toml"}) == Path.cwd() / "x.toml"
    assert config.config_path({}).name == "accounts.toml"
    assert config.config_path({}).parent.name == "franking"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[accounts.shop\nprovider = "smtp"', r"accounts\.toml: .*line 1"),
        ("a = 1\nb = jana@example.cz", r"accounts\.toml: .*line 2.*in quotes"),
        ("a = 1\na = 2", r"accounts\.toml: .*line 2"),
        ("[accounts.a]\n[accounts.a]\n", r"accounts\.toml: .*line 2"),
        ("defualt = 'shop'", r"accounts\.toml: defualt is not a setting of the file; did you mean default\?"),
        ("[account.shop]", r"did you mean accounts\?"),
        ("accounts = 5", r"accounts is not a table"),
        ("[accounts]\nhost = 'x'", r"host is not a table"),
        ("default = 5", r"5 is not the name of an account"),
        ("[providers.outlok]", r"\[providers.outlok\]: provider: 'outlok' is not known; did you mean outlook\?"),
        (
            "[providers.outlook]\nclientid = 'x'",
            r"\[providers.outlook\]: clientid is not a setting of outlook accounts; did you mean client_id\?",
        ),
        (
            "[accounts.my-shop]\n[accounts.my_shop]",
            r"'my-shop' and 'my_shop' share the environment variable FRANKING_SECRET_MY_SHOP",
        ),
    ],
)
def test_a_wrong_file_is_explained(write: Callable[[str], Path], text: str, words: str) -> None:
    write(text)
    with pytest.raises(SettingsError, match=words) as caught:
        load()
    assert str(caught.value).startswith(str(config.config_path()))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", r"provider: say which, one of smtp, gmail, outlook, file"),
        ("provider = 'smpt'", r"did you mean smtp\?"),
        ("provider = 'smtp'", r"from: say who sends"),
        ("provider = 'smtp'\nfrom = 5", r"from: say who sends"),
        ("provider = 'smtp'\nfrom = 'x@y.cz'", r"host: .*needs a server"),
        ("provider = 'smtp'\nform = 'x@y.cz'", r"form is not a setting of smtp accounts; did you mean from\?"),
        ("provider = 'smtp'\nfrom = 'x@y.cz'\nhots = 'x'", r"did you mean host\?"),
        ("provider = 'smtp'\nfrom = 'x@y.cz'\nhost = 'x'\nname = 'y'", r"name is not a setting"),
        ("provider = 'smtp'\nfrom = 'x@y.cz'\nhost = 'x'\npassword = 'canary-7'", r"franking login"),
        ("provider = 'smtp'\nfrom = 'x@y.cz'\nhost = 5", r"5 is not text; put it in quotes"),
        ("provider = 'smtp'\nfrom = 'x@y.cz'\nhost = 'x'\ntimeout = 1979-05-27", r"is not a number"),
    ],
)
def test_a_wrong_account_says_where_and_does_not_stop_the_others(
    write: Callable[[str], Path], table: str, words: str
) -> None:
    path = write(f"[accounts.good]\nprovider='file'\nfrom='x@y.cz'\npath='/tmp'\n[accounts.bad]\n{table}\n")
    with pytest.raises(SettingsError, match=words) as caught:
        resolve("bad")
    assert str(caught.value).startswith(f"{path}, [accounts.bad]: ")
    assert "canary" not in str(caught.value)
    assert resolve("good").provider == "file"


def test_files_of_another_encoding_are_explained(path: Path) -> None:
    path.write_bytes("a = 1\nfrom = 'Novák'".encode("cp1250"))
    with pytest.raises(SettingsError, match=r"line 2: this is not UTF-8"):
        load()
    path.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.encode())  # as Notepad writes it
    assert resolve().name == "shop"


def test_an_unknown_account_names_the_nearest(write: Callable[[str], Path]) -> None:
    write(EXAMPLE)
    with pytest.raises(SettingsError, match=r"did you mean shop\?"):
        resolve("shpo")
    with pytest.raises(SettingsError, match=r"there are: shop, my office"):
        resolve("zzz")


def test_which_account_is_meant(write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write(EXAMPLE)
    monkeypatch.setenv("FRANKING_ACCOUNT", "my office")
    assert resolve().name == "my office"
    monkeypatch.setenv("FRANKING_ACCOUNT", "smtp://x@y.cz@h")
    assert resolve().host == "h"
    monkeypatch.delenv("FRANKING_ACCOUNT")
    write(EXAMPLE.replace("default", "#"))
    with pytest.raises(SettingsError, match="choose one of shop, my office with: franking accounts default NAME"):
        resolve()
    write("[accounts.only]\nprovider='file'\nfrom='x@y.cz'\npath='/tmp'\n")
    assert resolve().name == "only"
    write("default='gone'\n[accounts.only]\nprovider='file'\nfrom='x@y.cz'\npath='/tmp'\n")
    with pytest.raises(SettingsError, match="no account 'gone'"):
        resolve()


def test_a_disabled_account_is_found(write: Callable[[str], Path]) -> None:
    write(EXAMPLE + "enabled = false\n")
    assert resolve("my office").enabled is False


def test_defaults_of_a_provider(write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write(EXAMPLE)
    monkeypatch.setenv("FRANKING_OUTLOOK_CLIENT_ID", "from-environment")
    monkeypatch.setenv("FRANKING_OUTLOOK_TENANT", "contoso.com")
    monkeypatch.setenv("FRANKING_GMAIL_CLIENT_SECRETS", "~/secrets.json")
    office = resolve("my office")
    assert (office.client_id, office.tenant) == ("from-environment", "contoso.com")
    assert parse_url("gmail://me@gmail.com").client_secrets == str(Path.home() / "secrets.json")
    assert parse_url("outlook://me@contoso.com").client_id == "from-environment"
    assert parse_url("outlook://me@contoso.com?client_id=own").client_id == "own"
    write(EXAMPLE + 'client_id = "own"\n')
    assert resolve("my office").client_id == "own"
    monkeypatch.setenv("FRANKING_SMTP_PORT", "many")
    with pytest.raises(SettingsError, match="FRANKING_SMTP_PORT: port: 'many' is not a whole number"):
        resolve("shop")


def test_relative_paths_begin_at_the_file(
    write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(
        "[providers.smtp]\nca_file = 'ca.pem'\n"
        "[accounts.a]\nprovider='smtp'\nfrom='x@y.cz'\nhost='h'\npassword_file='pw'\n"
        "[accounts.b]\nprovider='file'\nfrom='x@y.cz'\npath='~/mail'\n"
    )
    monkeypatch.chdir(tmp_path)
    a = resolve("a")
    assert (a.ca_file, a.password_file) == (str(path.parent / "ca.pem"), str(path.parent / "pw"))
    assert resolve("b").path == str(Path.home() / "mail")


def test_reading_imports_no_toml_writer_and_no_sdk(write: Callable[[str], Path]) -> None:
    write(EXAMPLE)
    code = """
import sys, franking.account.config
franking.account.config.resolve("shop"); franking.account.config.resolve("my office"); franking.account.config.parse_url("gmail://me@gmail.com")
print([name for name in ("tomlkit", "msal", "google", "requests", "googleapiclient", "keyring", "cryptography", "filelock") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- writing ----------------------------------------------------------------------------------------------------------


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
        '[accounts."můj obchod"]\nprovider = "smtp"\nfrom = "Jan Novák <info@novak.cz>"\nhost = "smtp.novak.cz"\nport = 2525\n'
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
        'accounts.a = { provider = "file", from = "a@b.cz", path = "/tmp/a" }\naccounts.b.provider = "file"\naccounts.b.from = "b@b.cz"\naccounts.b.path = "/tmp/b"\n'
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


def test_concurrent_writers_lose_nothing(write: Callable[[str], Path]) -> None:
    write(EXAMPLE)
    running = [subprocess.Popen([sys.executable, "-c", ADDER, letter]) for letter in "abcd"]
    assert [process.wait(60) for process in running] == [0] * 4
    assert set(load().names) == {
        "shop",
        "my office",
        *(f"{letter}{number}" for letter in "abcd" for number in range(5)),
    }


# --- URLs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name", "sender", "settings"),
    [
        (
            "smtp://user@host.cz:587?from=jan@novak.cz&security=starttls",
            "smtp-user-host.cz",
            "jan@novak.cz",
            {"host": "host.cz", "port": 587, "security": "starttls", "username": "user"},
        ),
        (
            "smtps://host.cz?from=jan@novak.cz",
            "smtp-jan@novak.cz-host.cz",
            "jan@novak.cz",
            {"host": "host.cz", "port": 465, "security": "tls", "username": None},
        ),
        (
            "smtps://host.cz:2465/?from=jan@novak.cz",
            "smtp-jan@novak.cz-host.cz",
            "jan@novak.cz",
            {"port": 2465, "security": "tls"},
        ),
        (
            "smtp://info@novak.cz@smtp.novak.cz",
            "smtp-info@novak.cz-smtp.novak.cz",
            "info@novak.cz",
            {"username": "info@novak.cz", "port": 587},
        ),
        (
            "smtp://info%40novak.cz@SMTP.novak.cz",
            "smtp-info@novak.cz-smtp.novak.cz",
            "info@novak.cz",
            {"username": "info@novak.cz"},
        ),
        ("smtp://a%3Ab%2Fc@h?from=x@y.cz", "smtp-a:b%2Fc-h", "x@y.cz", {"username": "a:b/c"}),
        (
            "smtp://[::1]:2525?from=x@y.cz&security=none",
            "smtp-x@y.cz-::1",
            "x@y.cz",
            {"host": "::1", "port": 2525, "security": "none"},
        ),
        ("smtp://h?from=jan+news@novak.cz", "smtp-jan+news@novak.cz-h", "jan+news@novak.cz", {}),
        (
            "smtp://h?from=Jan+Nov%C3%A1k+%3Cjan%2Bnews%40novak.cz%3E",
            "smtp-jan+news@novak.cz-h",
            "Jan Novák <jan+news@novak.cz>",
            {},
        ),
        (
            "smtp://h?from=Jan%20Nov%C3%A1k%20<jan+news@novak.cz>&ca-file=/x&without=size,chunking",
            "smtp-jan+news@novak.cz-h",
            "Jan Novák <jan+news@novak.cz>",
            {"ca_file": "/x", "without": ("size", "chunking")},
        ),
        ("smtp://h?from=x@y.cz&name=shop&enabled=false", "shop", "x@y.cz", {"enabled": False}),
        (
            "gmail://me@gmail.com?client_secrets=/x.json",
            "gmail-me@gmail.com",
            "me@gmail.com",
            {"client_secrets": "/x.json", "route": "gmail-api"},
        ),
        (
            "gmail://me+tag@gmail.com?route=smtp",
            "gmail-me+tag@gmail.com",
            "me+tag@gmail.com",
            {"route": "gmail-smtp", "port": 465},
        ),
        (
            "outlook://me@contoso.com?client_id=11&tenant=contoso.com",
            "outlook-me@contoso.com",
            "me@contoso.com",
            {"client_id": "11", "tenant": "contoso.com"},
        ),
        ("outlook://?from=Me%20<me@contoso.com>", "outlook-me@contoso.com", "Me <me@contoso.com>", {}),
        ("file:///var/mail%20box?from=x@y.cz", "file-%2Fvar%2Fmail box", "x@y.cz", {"path": "/var/mail box"}),
        ("file://localhost/var?from=x@y.cz", "file-%2Fvar", "x@y.cz", {"path": "/var"}),
    ],
)
def test_account_urls(url: str, name: str, sender: str, settings: dict[str, Any]) -> None:
    made = parse_url(url)
    assert (made.name, str(made.sender)) == (name, sender)
    assert {key: made.get(key) for key in settings} == settings
    assert made.reference == url
    again = parse_url(write_url(made))
    assert again == made
    assert write_url(again) == write_url(made)
    assert resolve(url) == made


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("smtp://user:canary-8@host?from=x@y.cz", "password does not belong"),
        ("smtp://user@x.cz:canary-8@host?from=x@y.cz", "password does not belong"),
        ("gmail://me:canary-8@gmail.com", "password does not belong"),
        ("smtp://user@host?from=x@y.cz&password=canary-8", "franking login"),
        ("gmail://me@gmail.com?password=canary-8", "password is not a setting"),
        ("smtp://host", "from=you@example.com"),
        ("smtp://user@host", "from=you@example.com"),
        ("smtp://?from=x@y.cz", "needs a server"),
        ("smtp://host:many?from=x@y.cz", "whole number"),
        ("smtp://host/path?from=x@y.cz", "path after the host"),
        ("smtp://us er@host?from=x@y.cz", "blank"),
        ("smtp://host?from=x@y.cz\n&security=none", "control"),
        ("smtp://host?from=x@y.cz#x", "write that as %23"),
        ("smtp://host?from=x@y.cz&hots=x", r"did you mean host\?"),
        ("smtp://host?from=x@y.cz&host=other", "twice"),
        ("smtp://host?from=x@y.cz&port=1&port=2", "twice"),
        ("smtp://host?from=x@y.cz&security", "security has no value"),
        ("smtps://host?from=x@y.cz&security=none", "already says security"),
        ("smtp://[::1?from=x@y.cz", "brackets"),
        ("smpt://host?from=x@y.cz", r"did you mean smtp\?"),
        ("file://tmp?from=x@y.cz", "three slashes"),
        ("://", "not known"),
    ],
)
def test_wrong_account_urls_are_explained_and_never_repeated(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        resolve(url)
    error: BaseException | None = caught.value
    while error:
        assert "canary" not in str(error) and "canary" not in repr(error.args)
        error = error.__cause__


def test_a_url_account_survives_being_saved() -> None:
    made = parse_url("smtp://info@novak.cz@smtp.novak.cz:2525?security=none")
    editing.save(made)
    assert resolve() == made
    assert franking.Account is not None


@pytest.mark.parametrize(
    "host",
    [
        "smtp.x.cz:465",
        "https://smtp.x.cz/",
        "::1",
        "[::1]",
        "fe80::1%eth0",
        "[::1",
        "smtp x.cz",
        "info@x.cz",
        "a/b",
        "ſmtp.x.cz",
    ],
)
def test_a_server_typed_in_any_form_survives_the_account_url(host: str) -> None:
    """What is wrong with it a hint says, and never the URL."""
    made = franking.Account(name="shop", provider="smtp", sender="info@x.cz", host=host, username="info@x.cz")
    assert parse_url(write_url(made)) == made


# --- the documentation ------------------------------------------------------------------------------------------------


def test_the_examples_of_the_documentation_hold(path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "accounts.md").read_text(encoding="utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path.write_text(toml, encoding="utf-8")
    assert resolve().name == "shop"
    (urls,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    names = [resolve(url).name for url in urls.split()]
    assert names[0] == names[1] == "smtp-info@novak.cz-smtp.novak.cz"
    assert names[2:] == ["gmail-me@gmail.com", "outlook-me@contoso.com", "file-%2Ftmp%2Fmail"]


@pytest.mark.skipif(os.name != "posix", reason="file names are octets on POSIX")
@pytest.mark.parametrize(
    ("provider", "key"), [("gmail", "client_secrets"), ("smtp", "password_file"), ("file", "path")]
)
def test_a_path_that_is_no_utf8_survives_the_url_and_no_error_trips_over_it(provider: str, key: str) -> None:
    settings = {"host": "127.0.0.1", "username": "u"} if provider == "smtp" else {}
    account = franking.Account(name="x", provider=provider, sender="me@novak.cz", **settings, **{key: "/tmp/\udce9 1"})
    assert "%E9%201" in account.reference
    assert config.parse_url(account.reference) == account
    error = franking.SettingsError("x")
    assert explain(error, account).code == "settings.invalid"
    # made of the path, where nobody gave one
    assert config.parse_url(account.reference.replace("name=x", "timeout=5")).name
    with pytest.raises(franking.SettingsError, match="surrogate"):
        config.parse_url("smtp://u@h%E9?from=a@b.cz&ehlo_name=%E9")
