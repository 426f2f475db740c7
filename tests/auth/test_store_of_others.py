"""Careless hands: any umask, other users, a home that cannot be written, a disk that is full, a process that is killed
while it writes.

Other users are numbers here, nobody is added to the system: a child of root loads what it needs, becomes that user, and
acts.
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.account import config, editing
from franking.auth.secret import Grant, Password
from franking.auth.store import FileStore, open_store
from franking.auth.token import TokenSecret
from franking.errors import SettingsError
from franking_cli.app import run
from servers.google import SEND, Google
from servers.renewal import token_secret
from servers.smtp import SmtpServer
from servers.web import Authority

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.name != "posix", reason="modes, owners and limits are POSIX"),
]
root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="becoming another user needs root")

NOBODY, SOMEBODY = 65534, 12345


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(directory: Path) -> dict[str, str]:
    """Return the mode of everything below a directory."""
    return {
        str(path.relative_to(directory)): oct(stat.S_IMODE(path.lstat().st_mode))[2:]
        for path in sorted(directory.rglob("*"))
    }


def shop(**settings: Any) -> franking.Account:
    return config.load().build(
        **{"name": "shop", "provider": "smtp", "sender": "a@b.cz", "host": "127.0.0.1", **settings}
    )


# -- umask -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o177])
def test_all_that_is_made_is_private_whatever_the_umask(
    mask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directories on the way too: who may rename one of them puts another accounts.toml in its place, with a
    password_command of theirs.
    """
    monkeypatch.setenv("FRANKING_CONFIG", str(tmp_path / "made/config/franking/accounts.toml"))
    monkeypatch.setenv("FRANKING_STATE_DIR", str(tmp_path / "made/local/state/franking"))
    with umask(mask):
        for _ in range(2):
            editing.save(shop(), replace=True)
            store = open_store()
            with store.lock("shop"):
                store.save("shop", Password("geheim").dumps())
    assert set(modes(tmp_path / "made").values()) == {"700", "600"}
    assert {mode for name, mode in modes(tmp_path / "made").items() if (tmp_path / "made" / name).is_file()} == {"600"}
    assert modes(tmp_path)["made"] == "700"
    assert store.load("shop")


def test_directories_that_were_there_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    monkeypatch.setenv("FRANKING_CONFIG", str(tmp_path / "there/accounts.toml"))
    monkeypatch.setenv("FRANKING_STATE_DIR", str(tmp_path / "there/state"))
    editing.save(shop())
    open_store().save("shop", "x")
    assert modes(tmp_path) | {"there": "755", "there/state": "700"} == modes(tmp_path)


# -- other users -------------------------------------------------------------------------------------------------------

CHILD = """
import json, logging, os, shlex, sys
told = json.loads(sys.argv[1])
heard = []
class Keep(logging.Handler):
    def emit(self, record):
        heard.append(f"{record.levelname} {record.getMessage()}")

def attempt(act):
    from franking.errors import FrankingError
    try:
        return act()
    except FrankingError as problem:
        return [type(problem).__name__, problem.evidence.reason if problem.evidence else None, str(problem)]

{code}

# what is imported or read late must be while this user may: the checkout may lie in a home that is closed to others
import encodings.utf_8_sig, functools, html, pkgutil, unicodedata
import franking, franking_cli
from googleapiclient import discovery_cache
discovery_cache.get_static_doc = functools.cache(discovery_cache.get_static_doc)
from franking.sending.explain import explain
for package in (franking, franking_cli):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        try:
            __import__(module.name)
        except Exception:
            pass
os.environ.update(told["warm"])
refused = franking.SettingsError("x", evidence=franking.errors.Evidence("store", reason="unwritable"))
explain(refused, franking.Account(name="x", provider="smtp", sender="a@b.cz", host="smtp.example.cz")).remedies
try:
    act()
except Exception:
    pass
heard.clear()
logging.getLogger("franking.tokens").addHandler(Keep())
os.setgroups([])
os.setgid(told["uid"])
os.setuid(told["uid"])
os.environ.update(told["environment"])
print("\\n" + json.dumps([act(), heard]))
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user may walk through; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="franking-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


As = Callable[..., tuple[Any, list[str]]]


@pytest.fixture
def as_user(shared: Path) -> As:
    def run(uid: int, code: str, **environment: str) -> tuple[Any, list[str]]:
        warm = shared / f"warm-{uid}"
        warm.mkdir(mode=0o700, exist_ok=True)
        places = {"HOME": "", "FRANKING_CONFIG": "accounts.toml", "FRANKING_STATE_DIR": "state", "FRANKING_STORE": ""}
        told = {
            "uid": uid,
            "warm": {
                **environment,
                **{name: str(warm / part) for name, part in places.items()},
                "FRANKING_STORE": "file",
            },
            "environment": {"FRANKING_STORE": "file", **environment},
        }
        done = subprocess.run(
            [sys.executable, "-c", CHILD.replace("{code}", textwrap.dedent(code)), json.dumps(told)],
            capture_output=True, text=True, timeout=100, check=False, cwd=shared,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        answer, heard = json.loads(done.stdout.splitlines()[-1])
        return answer, [*heard, *done.stderr.splitlines()]

    return run


LOOK = """
def act():
    from franking.auth.store import open_store
    store = open_store()
    def locked():
        with store.lock("shop"):
            return "locked"
    def saved():
        store.save("shop", "mine")
        return "saved"
    acts = {"load": lambda: store.load("shop"), "kind": lambda: store.kind("shop"), "lock": locked, "save": saved,
    "delete": lambda: store.delete("shop")}
    return {name: attempt(one) for name, one in acts.items()}
"""


@root
def test_another_users_store_is_closed_and_says_whose_it_is(shared: Path, as_user: As) -> None:
    state = shared / "state"
    store = FileStore(state, "file")
    store.save("shop", "canary-of-root")
    told, _ = as_user(SOMEBODY, LOOK, FRANKING_STATE_DIR=str(state))
    assert told.pop("delete")[:2] == ["SettingsError", "unwritable"]
    for name, answer in told.items():
        assert answer[:2] == ["SettingsError", "foreign-owner"], (name, answer)
        assert "belongs to another user (uid 0)" in answer[2]
        assert str(state) in answer[2]
    assert store.load("shop") == "canary-of-root"
    assert sorted(path.name for path in state.iterdir()) == ["shop.json"]


@root
def test_signing_out_of_another_users_store_does_not_say_that_nothing_was_there(shared: Path, as_user: As) -> None:
    store = FileStore(shared / "state", "file")
    store.save("shop", "canary-of-root")
    words = "logout smtp://jana@127.0.0.1?from=a@b.cz&name=shop"
    (codes, _, err), _ = as_user(
        SOMEBODY, RUN, FRANKING_STATE_DIR=str(store.directory), FRANKING_CONFIG=str(shared / "none"), WORDS=words
    )
    assert codes == [2]
    assert "belongs to another user (uid 0)" in " ".join(err.split())


@root
def test_two_users_do_not_meet(shared: Path, as_user: As) -> None:
    """Each with a directory of their own below one that both may write, each while the other holds a lock of the same
    name.
    """
    (shared / "common").mkdir()
    (shared / "common").chmod(0o1777)
    told = {}
    for uid in (SOMEBODY, NOBODY):
        with FileStore(shared / "common" / "of-root", "file").lock("shop"):
            told[uid], _ = as_user(uid, LOOK, FRANKING_STATE_DIR=str(shared / "common" / str(uid)))
    assert (
        told[SOMEBODY]
        == told[NOBODY]
        == {"load": None, "kind": None, "lock": "locked", "save": "saved", "delete": None}
    )
    assert {path.name: path.stat().st_uid for path in (shared / "common").iterdir()} == {
        "65534": NOBODY,
        "12345": SOMEBODY,
        "of-root": 0,
    }
    told[NOBODY], _ = as_user(NOBODY, LOOK, FRANKING_STATE_DIR=str(shared / "common" / str(SOMEBODY)))
    assert {name: answer[1] for name, answer in told[NOBODY].items()} == {
        **dict.fromkeys(told[NOBODY], "foreign-owner"),
        "delete": "unwritable",
    }


@root
@pytest.mark.parametrize("what", ["link", "file"])
def test_what_another_user_planted_is_not_used(what: str, shared: Path, as_user: As) -> None:
    """Where the state directory should be, in a place that everybody may write: a link to one's own, or a file."""
    (shared / "common").mkdir()
    (shared / "common").chmod(0o1777)
    planted = shared / "common" / "state"
    if what == "link":
        planted.symlink_to(shared / "elsewhere")
        (shared / "elsewhere").mkdir(mode=0o700)
        os.chown(shared / "elsewhere", SOMEBODY, SOMEBODY)
        os.chown(planted, NOBODY, NOBODY, follow_symlinks=False)
    else:
        planted.write_text("")
        os.chown(planted, NOBODY, NOBODY)
    told, _ = as_user(SOMEBODY, LOOK, FRANKING_STATE_DIR=str(planted))
    assert {told[name][1] for name in ("lock", "save")} == {"link" if what == "link" else "not-ours"}
    assert not (shared / "elsewhere").exists() or not list((shared / "elsewhere").iterdir())


@root
def test_settings_of_another_user_are_read_and_not_written(shared: Path, as_user: As) -> None:
    """As with one accounts.toml in /etc: its reader needs no lock, its writer is told what is in the way."""
    file = shared / "etc" / "accounts.toml"
    file.parent.mkdir()
    file.write_text('[accounts.shop]\nprovider = "smtp"\nfrom = "a@b.cz"\nhost = "127.0.0.1"\n')
    code = """
    def act():
        from franking.account import config, editing
        return [attempt(lambda: list(config.load().names)), attempt(lambda: editing.set_enabled("shop",
        False) and None)]
    """
    with config_locked(file):
        (names, refused), _ = as_user(SOMEBODY, code, FRANKING_CONFIG=str(file))
    assert names == ["shop"]
    assert refused[0] == "SettingsError"
    assert "Permission denied" in refused[2]
    assert sorted(path.name for path in file.parent.iterdir()) == [".accounts.toml.lock", "accounts.toml"]


@contextmanager
def config_locked(file: Path) -> Iterator[None]:
    from franking.atomic import locked

    with locked(file.with_name(f".{file.name}.lock"), "it", 5.0):
        yield


# -- a home that cannot be written -------------------------------------------------------------------------------------


@pytest.fixture
def closed(shared: Path) -> dict[str, str]:
    """The environment of a user whose home can be read and not written."""
    home = shared / "home"
    home.mkdir(mode=0o555)
    os.chown(home, SOMEBODY, SOMEBODY)
    config_file = str(home / ".config/franking/accounts.toml")
    return {
        "HOME": str(home),
        "FRANKING_CONFIG": config_file,
        "FRANKING_STATE_DIR": str(home / ".local/state/franking"),
    }


RUN = """
    def act():
        import contextlib, io
        from franking_cli.app import run
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            sys.stdin = io.StringIO("geheim\\n")
            codes = [run(command.split()) for command in told["environment"]["WORDS"].split(";")]
        return [codes, out.getvalue(), err.getvalue()]
"""


@root
def test_a_secret_from_the_environment_sends_from_a_home_that_cannot_be_written(
    closed: dict[str, str], as_user: As
) -> None:
    with SmtpServer(users={"jana": "geheim"}) as server:
        url = f"smtp://jana@127.0.0.1:{server.port}?from=a@b.cz&security=none&name=shop"
        words = f"send {url} --to x@y.cz --text x;check {url};status {url} --json"
        (codes, out, err), heard = as_user(SOMEBODY, RUN, **closed, FRANKING_SECRET_SHOP="geheim", WORDS=words)
        assert codes == [0, 0, 0], (out, err)
        assert len(server.messages) == 2  # the first was the warming up
    assert not heard
    assert not list(Path(closed["HOME"]).iterdir())


@root
def test_a_renewed_sign_in_that_cannot_be_kept_still_sends_and_says_so(
    closed: dict[str, str], shared: Path, as_user: As
) -> None:
    with Google(Authority(shared)) as google:
        settings, given = of_google(google, shared)
        code = """
        def act():
            import franking
            account = franking.Account(name="shop", provider="gmail", **json.loads(told["environment"]["SETTINGS"]))
            with franking.connect(account) as mailer:
                for _ in range(2):
                    mailer.send(franking.Message(to=["x@y.cz"], subject="x", text="x"))
            return "sent"
        """
        sent, heard = as_user(
            SOMEBODY, code, **closed, FRANKING_SECRET_SHOP=given.dumps(), SETTINGS=json.dumps(settings)
        )
        assert sent == "sent"
        assert len(google.messages) == 4
        assert (
            sum(form["grant_type"] == "refresh_token" for form in google.token_requests) == 2
        )  # once when warming up, and once, kept in memory
    warnings = [line for line in heard if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert "kept in memory only" in warnings[0]
    assert closed["FRANKING_STATE_DIR"].rpartition("/")[0].rpartition("/")[0] in warnings[0]
    assert not [secret for secret in google.secrets if secret in "\\n".join(heard)]


@root
def test_a_sign_in_that_could_not_be_kept_is_not_begun(closed: dict[str, str], shared: Path, as_user: As) -> None:
    """The person would go through the browser for nothing, and be told afterwards."""
    with Google(Authority(shared)) as google:
        settings, _ = of_google(google, shared)
        url = "gmail://me@gmail.com?" + "&".join(
            f"{key}={settings[key]}" for key in ("client_secrets", "api_endpoint", "ca_file")
        )
        words = f"login {url} --no-browser;login smtp://jana@127.0.0.1?from=a@b.cz --password-stdin"
        before = len(google.requests)
        (codes, out, err), _ = as_user(SOMEBODY, RUN, **closed, WORDS=words)
        assert codes == [2, 2]
        assert len(google.requests) == before
    assert "https://" not in out + err.replace(settings["api_endpoint"], "")
    assert " ".join(err.split()).count("could not be made: Permission denied") >= 2  # the lines are folded
    assert "FRANKING_STATE_DIR" in err


@root
def test_an_account_that_cannot_be_saved_is_told_after_its_test(closed: dict[str, str], as_user: As) -> None:
    """Setting up writes nothing before the test has passed, so this comes last; the test message has gone."""
    with SmtpServer(users={"jana": "geheim"}) as server:
        flags = (
            f"--provider smtp --from a@b.cz --host 127.0.0.1 --port {server.port} --security none --username "
            "jana --name shop --offline"
        )
        words = f"setup a@b.cz {flags} --to x@y.cz --password-stdin --json"
        (codes, out, err), _ = as_user(SOMEBODY, RUN, **closed, WORDS=words)
        assert codes == [2], err
        assert len(server.messages) == 2
    assert "Permission denied" in out
    assert "geheim" not in out + err


def of_google(google: Google, directory: Path) -> tuple[dict[str, Any], Grant]:
    """Return the settings of an account at a fake, readable by everybody, and a grant whose access token has ended."""
    file = directory / "client.json"
    file.write_text(json.dumps(google.client_secrets()))
    for path in (file, Path(google.authority.ca_file)):
        path.chmod(0o644)
    settings = {
        "sender": "me@gmail.com",
        "client_secrets": str(file),
        "api_endpoint": google.url,
        "ca_file": google.authority.ca_file,
    }
    client = {"client_id": google.client_id, "client_secret": google.client_secret, "token_uri": f"{google.url}/token"}
    data = {**client, "refresh_token": google.give_refresh()}
    return settings, Grant("gmail", "gmail-api", "me@gmail.com", ("openid", "email", SEND), 1.0, 1.0, data=data)


# -- a full disk -------------------------------------------------------------------------------------------------------


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file grow beyond so many octets: to the program as good as a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", directory], capture_output=True
        ).returncode
    ):
        pytest.skip("cannot mount a small disk here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


class Issuer:
    """An issuer that gives a new refresh token each time and forgets the old one."""

    def __init__(self) -> None:
        self.refresh_token = "first"
        self.number = 0

    def __call__(self, grant: Grant | None) -> Grant:
        assert grant is not None
        assert grant.data["refresh_token"] == self.refresh_token, "this refresh token was used already"
        self.number += 1
        self.refresh_token = f"canary-rotated-{self.number}" + "x" * 3_000
        data = {"refresh_token": self.refresh_token}
        return Grant(
            "gmail",
            "gmail-api",
            None,
            (),
            1.0,
            1e9 + self.number,
            f"token-{self.number}",
            1e9 + 3600 + self.number,
            data,
        )


FIRST = Grant("gmail", "gmail-api", None, (), 1.0, 1.0, data={"refresh_token": "first"})


def renewing(store: FileStore, issuer: Issuer) -> TokenSecret:
    return token_secret(store, issuer, clock=lambda: 1e9)


def test_a_grant_that_finds_no_room_leaves_the_old_one_whole_and_is_not_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    issuer, store = Issuer(), FileStore(tmp_path / "state", "file")
    store.save("shop", FIRST.dumps())
    secret = renewing(store, issuer)
    with files_up_to(1_000):
        assert secret.get() == "token-1"
        assert Grant.loads(store.load("shop") or "") == FIRST
        assert secret.get(renew_after="token-1") == "token-2"  # renewed with the token that is only in memory
    assert caplog.text.count("could not be saved") == 2
    assert "canary" not in caplog.text
    assert sorted(path.name for path in store.directory.iterdir()) == ["shop.json", "shop.lock"]
    assert secret.get(renew_after="token-2") == "token-3"  # there is room again
    assert Grant.loads(store.load("shop") or "").data["refresh_token"] == issuer.refresh_token


def test_a_password_that_finds_no_room_is_told_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRANKING_STORE", "file")
    monkeypatch.setattr("sys.stdin", io.StringIO("canary-password-4711\n"))
    with files_up_to(20):
        assert run(["login", "smtp://jana@127.0.0.1?from=a@b.cz&name=shop", "--password-stdin"]) == 2
    out, err = capsys.readouterr()
    assert "could not be written: File too large" in " ".join(err.split())  # broken where the path's length has it
    assert "canary" not in out + err
    assert [path.suffix for path in open_store().directory.iterdir()] == [".lock"]


def test_a_disk_that_is_really_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        monkeypatch.setenv("FRANKING_CONFIG", str(disk / "config" / "accounts.toml"))
        editing.save(shop())
        settings = config.config_path().read_bytes()
        issuer, store = Issuer(), FileStore(disk / "state", "file")
        store.save("shop", FIRST.dumps())
        with store.lock("shop"):
            pass
        with (disk / "other").open("wb", buffering=0) as other, pytest.raises(OSError, match="No space"):
            while True:
                other.write(b"x" * 4096)
        assert renewing(store, issuer).get() == "token-1"
        assert "No space left" in caplog.text
        with pytest.raises(SettingsError, match="No space left"):
            editing.save(shop(name="second", sender="Somebody with a long name <" + "x" * 60 + "@b.cz>"))
        assert Grant.loads(store.load("shop") or "") == FIRST
        assert config.config_path().read_bytes() == settings
        assert sorted(path.name for path in disk.rglob("*") if path.is_file()) == [
            ".accounts.toml.lock", "accounts.toml", "other", "shop.json", "shop.lock",
        ]  # fmt: skip


def test_settings_that_find_no_room_stay_as_they_were(tmp_path: Path) -> None:
    editing.save(shop())
    before = config.config_path().read_bytes()
    with files_up_to(len(before) + 10), pytest.raises(SettingsError, match="cannot be written"):
        editing.save(shop(name="second"))
    assert config.config_path().read_bytes() == before
    assert sorted(path.name for path in config.config_path().parent.iterdir() if "accounts" in path.name) == [
        ".accounts.toml.lock",
        "accounts.toml",
    ]


# -- killed while writing ----------------------------------------------------------------------------------------------

WRITER = """
import itertools, sys
from franking.account import config, editing
print("ready", flush=True)
for number in itertools.count():
    account = config.load().account("shop").replace(host=f"host-{number}." + "x" * 60 + ".example")
    editing.save(account, replace=True)
    print(number, flush=True)
"""


def test_settings_stay_whole_when_a_writer_is_killed(tmp_path: Path) -> None:
    editing.save(shop())
    for attempt in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(2 + attempt % 3):
                assert writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        account = config.load().account("shop")  # whole, or this would not be read
        assert account.host == "127.0.0.1" or account.host.endswith("x" * 60 + ".example")
        assert config.load().names == ("shop",) or list(config.load().names) == ["shop"]
    editing.save(shop(name="second"))  # a killed holder of the lock holds nothing
    assert set(config.load().names) == {"shop", "second"}
