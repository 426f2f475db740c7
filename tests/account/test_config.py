"""The settings file and the environment: read, and explained when wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from franking.account import config, editing
from franking.account.account import Account
from franking.account.config import load, parse_url, resolve
from franking.account.environment import user_folder
from franking.errors import SettingsError

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX modes and places")

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


@pytest.mark.process
def test_reading_imports_no_toml_writer_and_no_sdk(write: Callable[[str], Path]) -> None:
    write(EXAMPLE)
    code = """
import sys, franking.account.config
franking.account.config.resolve("shop"); franking.account.config.resolve("my office"); franking.account.config.parse_url("gmail://me@gmail.com")
print([name for name in ("tomlkit", "msal", "google", "requests", "googleapiclient", "keyring", "cryptography",
"filelock") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_examples_of_the_documentation_hold(path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "accounts.md").read_text(encoding="utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path.write_text(toml, encoding="utf-8")
    assert resolve().name == "shop"
    (urls,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    names = [resolve(url).name for url in urls.split()]
    assert names[0] == names[1] == "smtp-info@novak.cz-smtp.novak.cz"
    assert names[2:] == ["gmail-me@gmail.com", "outlook-me@contoso.com", "file-%2Ftmp%2Fmail"]


# --- the user's file and the system's ---------------------------------------------------------------------------------

SHOP = """\
[accounts.shop]
provider = "smtp"
from = "info@novak.cz"
host = "smtp.novak.cz"
"""


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have no $FRANKING_CONFIG, and an account ``shop`` in the system's file."""
    monkeypatch.delenv("FRANKING_CONFIG")
    file = Path(config.SYSTEM)
    file.parent.mkdir()
    file.write_text(SHOP)
    return file


@posix
def test_the_systems_file_is_read_by_who_has_none(system: Path) -> None:
    assert load().location == str(system)
    assert resolve().host == "smtp.novak.cz"
    assert not load().own


@posix
def test_the_users_file_hides_the_systems_wholly(system: Path) -> None:
    own = config.config_path()
    own.parent.mkdir(parents=True)
    own.write_text("")
    assert (load().location, load().names) == (str(own), ())
    with pytest.raises(SettingsError, match="no account 'shop'"):
        resolve("shop")


@posix
def test_a_named_file_is_meant_even_if_it_is_not_there(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRANKING_CONFIG", "/nowhere/accounts.toml")
    assert (load().location, load().exists) == ("/nowhere/accounts.toml", False)
    monkeypatch.setenv("FRANKING_CONFIG", str(system))
    assert load().names == ("shop",)
    assert load().own


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may look into every directory")
def test_a_home_that_may_not_be_entered_has_no_file(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(os.environ["XDG_CONFIG_HOME"])
    home.mkdir(mode=0)
    assert load().location == str(system)
    home.chmod(0o700)


@pytest.mark.parametrize("kind", ["config", "state"])
@pytest.mark.parametrize("home", ["/home/jan", "/home/jan/", "/home/jan//", "/", "here", "", None])
@pytest.mark.parametrize("base", [None, "", "/etc/x", "/etc/x/", "relative", "~/x"])
def test_a_users_folder_is_where_platformdirs_has_it(
    monkeypatch: pytest.MonkeyPatch, kind: str, home: str | None, base: str | None
) -> None:
    for name, value in (("HOME", home), (f"XDG_{kind.upper()}_HOME", base)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert user_folder(kind) == getattr(platformdirs, f"user_{kind}_dir")("franking", appauthor=False)


@posix
def test_changes_go_to_the_users_file(system: Path) -> None:
    before = system.read_bytes()
    editing.save(Account(name="mine", provider="smtp", sender="a@b.cz", host="h"))
    assert system.read_bytes() == before
    assert (load().location, load().names) == (str(config.config_path()), ("mine",))


@posix
@pytest.mark.parametrize(
    "change",
    [
        lambda: editing.remove("shop"),
        lambda: editing.set_default("shop"),
        lambda: editing.set_enabled("shop", False),
        lambda: editing.changeable("shop"),
    ],
)
def test_an_account_of_the_systems_file_is_changed_there(system: Path, change: Callable[[], object]) -> None:
    before = system.read_bytes()
    with pytest.raises(SettingsError, match=f"FRANKING_CONFIG={re.escape(str(system))}"):
        change()
    assert system.read_bytes() == before
    assert not config.config_path().exists()


# --- a file that others may write to ----------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
@pytest.mark.parametrize("key", ["password_command", "token_command"])
@pytest.mark.parametrize("group", ["accounts.shop", "providers.smtp"])
def test_a_file_that_others_may_write_to_runs_no_command(
    write: Callable[[str], Path], mode: int, key: str, group: str
) -> None:
    path = write(f"{SHOP}\n[{group}]\n{key} = 'pass mail'\n".replace(f"\n[{group}]\n" * (group[0] == "a"), ""))
    path.chmod(0o644)
    assert resolve("shop").get(key) == "pass mail"
    path.chmod(mode)
    for act in (lambda: resolve("shop"), lambda: resolve("smtp://h?from=a@b.cz")):
        with pytest.raises(SettingsError, match=rf"{group}\] {key}.*chmod go-w {re.escape(str(path))}") as caught:
            act()
        assert caught.value.repair == f"chmod go-w {path}"


@posix
def test_a_file_that_others_may_write_to_is_read_where_it_names_no_command(write: Callable[[str], Path]) -> None:
    write(f"{SHOP}password_file = 'x'\n").chmod(0o666)
    assert resolve("shop").password_file


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="needs root to give a file away")
def test_another_users_file_runs_no_command(write: Callable[[str], Path]) -> None:
    path = write(f"{SHOP}password_command = 'pass mail'\n")
    os.chown(path, 12345, -1)
    with pytest.raises(SettingsError, match=r"uid 12345.*sudo chown 0 "):
        resolve("shop")


def test_an_account_by_another_route_of_its_provider() -> None:
    Path(os.environ["FRANKING_CONFIG"]).write_text(EXAMPLE)
    found = load().account("my office?route=smtp")
    assert (found.name, found.reference, found.route) == ("my office", "my office", "outlook-smtp")
    for wrong in ("nobody?route=smtp", "my office?route=", "shop?route=smtp"):
        with pytest.raises(SettingsError):
            load().account(wrong)
