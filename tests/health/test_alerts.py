"""Alerts: each change is told once, over every channel; a channel that failed tells it the next time. Real programs, a
real server over HTTPS, real mail.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from franking.errors import SettingsError
from franking.health.look import Health, look
from health.hook import SECRET_PATH, Hook
from health.looking import DAY, Clock, finding, machine, settings
from outbox.test_outbox import save
from servers.smtp import SmtpServer
from servers.web import Reply


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


def move(old: int, new: int) -> None:
    """Let the accounts at a port be at another one."""
    path = settings()
    path.write_text(path.read_text().replace(f"port = {old}\n", f"port = {new}\n"))


def tell(clock: Clock, **more: Any) -> Health:
    return look(tell=True, clock=clock, **more)


def test_each_change_is_told_once(hook: Hook, clock: Clock, server: SmtpServer) -> None:
    save(server.port)
    settings(hook.settings())
    tell(clock)
    assert hook.told == [], "all is well, and nobody thought otherwise"
    move(server.port, 1)
    for _ in range(3):
        tell(clock)
    assert hook.changes() == [("shop", "server.unreachable", "ok", "warning")]
    told = hook.told[0]
    assert (told["version"], told["host"]) == (1, socket.gethostname())
    change = told["changes"][0]
    assert set(change) == {"account", "code", "level", "was", "text", "remedies", "since"}
    assert (change["since"], "cannot be reached" in change["text"]) == ("2026-11-30T09:00:00Z", True)
    assert change["remedies"]
    clock.now += DAY
    tell(clock)
    tell(clock)
    move(1, server.port)
    tell(clock)
    tell(clock)
    assert hook.changes()[1:] == [
        ("shop", "server.unreachable", "warning", "critical"),
        ("shop", "server.unreachable", "critical", "ok"),
    ]
    assert SECRET_PATH not in "".join(path.read_text() for path in state().glob("health*"))


def test_who_was_not_looked_at_has_not_changed(hook: Hook, clock: Clock, server: SmtpServer) -> None:
    save(server.port)
    save(server.port, "office")
    settings(hook.settings())
    move(server.port, 1)
    tell(clock)
    told = hook.changes()
    assert sorted(told) == [(name, "server.unreachable", "ok", "warning") for name in ("office", "shop")]
    tell(clock, names=["office"])
    tell(clock)
    assert hook.changes() == told


def state() -> Path:
    return Path(os.environ["FRANKING_STATE_DIR"])


def test_what_cannot_be_kept_is_one_more_thing_that_is_told(hook: Hook, clock: Clock) -> None:
    """Each time: who cannot remember had better say it twice than never."""
    save(1)
    settings(hook.settings())
    for name in ("health-seen.json", "health-told.json"):
        (state() / name).mkdir(parents=True)
    for times in (1, 2):
        found = finding(tell(clock), "outbox.disk", None)
        assert (found.level, found.text()) == (
            "critical",
            f"What was seen here cannot be kept: {state()}: {os.strerror(errno.EISDIR)}.",
        )
        assert "nelze uložit" in found.text("cs")
        assert hook.changes() == times * [
            ("shop", "server.unreachable", "ok", "warning"),
            (None, "outbox.disk", "ok", "critical"),
        ]


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount")
def test_a_disk_that_is_full(hook: Hook, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save(1)
    settings(hook.settings())
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "franking", disk]).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        monkeypatch.setenv("FRANKING_STATE_DIR", str(disk))
        with (disk / "all").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 4096)
        found = finding(tell(clock), "outbox.disk", None)
        assert (found.level, "No space left on device" in found.text()) == ("critical", True)
        assert ("shop", "server.unreachable", "ok", "warning") in hook.changes()
        (disk / "all").unlink()
        assert "outbox.disk" not in machine(tell(clock))
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_several_of_a_run_are_told_together_and_of_named_ones_alone(hook: Hook, clock: Clock) -> None:
    save(1)
    save(1, "other")
    settings(hook.settings())
    tell(clock, names=["shop"])
    assert [one[0] for one in hook.changes()] == ["shop"]
    tell(clock)
    assert [one[0] for one in hook.changes()] == ["shop", "other"], "what was not looked at has not changed"
    assert len(hook.told) == 2
    file = state() / "health-told.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_second_stage_of_a_warning_is_told_once_more(hook: Hook, clock: Clock) -> None:
    settings(
        "[accounts.office]\nprovider = 'outlook'\nfrom = 'a@contoso.com'\nclient_id = 'c'\nenabled = true\n"
        "client_secret_expires = 2027-03-01\n" + hook.settings()
    )
    midnight = 1803859200.0
    for days in (29, 20, 7, 6, 1, 0.5):
        clock.now = midnight - days * DAY
        tell(clock)
    told = [one[2:] for one in hook.changes() if one[1] == "secret.expires"]
    assert told == [("ok", "warning"), ("warning", "warning"), ("warning", "critical")]


def test_the_alert_s_own_road_is_dead(hook: Hook, clock: Clock, tmp_path: Path) -> None:
    """The webhook fails: it is tried again, the command does not tell twice, and that it failed is known."""
    out = tmp_path / "told"
    save(1)
    settings(hook.settings(f"command = ['sh', '-c', 'cat >> {out}; echo >> {out}']\n"))
    hook.replies += [Reply(500), Reply(302, headers={"Location": hook.web.url + "/elsewhere"})]
    first = tell(clock)
    assert first.untold and first.level == "critical"
    found = finding(first, "alert.untold", None)
    assert "webhook: The webhook answered with HTTP 500" in found.text()
    assert SECRET_PATH not in found.text()
    assert machine(look(clock=clock))["alert.untold"] == "critical", "also to who only looks"
    assert "HTTP 302" in finding(tell(clock), "alert.untold", None).text()
    assert hook.web.requests == [f"POST {SECRET_PATH}"] * 2, "no redirect is followed"
    clock.now += DAY
    last = tell(clock)
    assert not last.untold
    assert hook.changes() == [("shop", "server.unreachable", "ok", "critical")], "what is so by now"
    lines = [json.loads(line)["changes"][0]["level"] for line in out.read_text().splitlines() if line]
    assert lines == ["warning", "critical"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("'sh', '-c', 'exit 3'", "sh ended with exit code 3"),
        ("'sh', '-c', 'cat > /dev/null; exec sleep 60'", "sh did not end within 0.5 seconds"),
        ("'/nowhere/echo'", "echo could not be started"),
    ],
)
def test_a_command_that_fails(command: str, says: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.health.channels.COMMAND_SECONDS", 0.5)
    save(1)
    settings(f"[alerts]\ncommand = [{command}]\n")
    assert says in finding(tell(clock), "alert.untold", None).text()


@pytest.mark.process
def test_a_command_gets_no_secrets_and_no_shell(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "Canary5")
    monkeypatch.setenv("FRANKING_STORE_KEY", "Canary6-long-enough-to-be-one")
    program = tmp_path / "tell"
    program.write_text(f'#!/bin/sh\nenv > {tmp_path}/env\nprintf "%s" "$1" > {tmp_path}/word\n')
    program.chmod(0o755)
    save(1)
    settings(f"[alerts]\ncommand = ['{program}', '$(touch {tmp_path}/shell) ; x']\n")
    assert not tell(clock).untold
    assert "Canary" not in (tmp_path / "env").read_text()
    assert (tmp_path / "word").read_text() == f"$(touch {tmp_path}/shell) ; x"
    assert not (tmp_path / "shell").exists()


def test_a_command_in_a_file_that_others_may_write_to(clock: Clock) -> None:
    save(1)
    settings("[alerts]\ncommand = ['/bin/true']\n").chmod(0o666)
    with pytest.raises(SettingsError, match=r"\[alerts\] command"):
        tell(clock)


# --- the webhook ------------------------------------------------------------------------------------------------------


def test_slack_is_told_a_text(hook: Hook, clock: Clock) -> None:
    save(1, '"a<b>&c"')
    settings(hook.settings("webhook_form = 'slack'\n"))
    tell(clock)
    (told,) = hook.told
    assert set(told) == {"text"}
    assert "a&lt;b&gt;&amp;c: warning (was ok) – server.unreachable" in told["text"]


def test_teams_is_told_an_adaptive_card(hook: Hook, clock: Clock) -> None:
    save(1)
    settings(hook.settings("webhook_form = 'teams'\n"))
    look(tell=True, clock=clock, language="cs")
    (told,) = hook.told
    (attachment,) = told["attachments"]
    assert (told["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert attachment["contentUrl"] is None
    card = attachment["content"]
    assert (card["type"], card["body"][0]["type"]) == ("AdaptiveCard", "TextBlock")
    assert "shop: varování (bylo OK)" in card["body"][1]["text"]


def test_people_are_told_in_their_language_and_programs_in_english(
    hook: Hook, clock: Clock, tmp_path: Path, server: SmtpServer
) -> None:
    save(1)
    save(server.port, "other")
    mail = "account = 'other'\nto = 'jan@novak.cz'\n"
    settings(hook.settings(f"command = ['sh', '-c', 'cat > {tmp_path}/told']\n{mail}"))
    tell(clock, language="cs")
    for told in (hook.told[0], json.loads((tmp_path / "told").read_text())):
        assert told["changes"][0]["text"].startswith("127.0.0.1 cannot be reached now")
    read = message_from_bytes(server.messages[0].data, policy=policy.default)
    assert "teď nedostupný" in read.get_content()


def test_a_webhook_that_nobody_vouches_for(hook: Hook, clock: Clock) -> None:
    save(1)
    settings(f"[alerts]\nwebhook = '{hook.url}'\n")
    found = finding(tell(clock), "alert.untold", None)
    assert "could not be reached" in found.text() and "ertificate" in found.text()
    assert hook.told == []


def test_a_webhook_that_drips(hook: Hook, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.health.channels.WEBHOOK_SECONDS", 0.3)
    over = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        sock, _ = listening.accept()
        with sock:
            while not over.wait(0.05):
                try:
                    sock.sendall(b"H")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    save(1)
    settings(f"[alerts]\nwebhook = 'http://127.0.0.1:{listening.getsockname()[1]}/'\n")
    try:
        assert "could not be reached" in finding(tell(clock), "alert.untold", None).text()
    finally:
        over.set()
        thread.join()
        listening.close()


def test_a_webhook_on_this_computer_without_tls(clock: Clock) -> None:
    heard = []
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        sock, _ = listening.accept()
        with sock:
            heard.append(sock.recv(65536))
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    save(1)
    settings(f"[alerts]\nwebhook = 'http://localhost:{listening.getsockname()[1]}/a?b=c'\n")
    assert not tell(clock).untold
    thread.join()
    listening.close()
    assert heard[0].startswith(b"POST /a?b=c HTTP/1.1\r\n")


# --- mail -------------------------------------------------------------------------------------------------------------


def test_mail_goes_by_another_account_than_the_sick_one(clock: Clock, server: SmtpServer) -> None:
    save(1)
    save(server.port, "other")
    settings("[alerts]\naccount = 'shop'\nto = 'Jan <jan@novak.cz>'\n")
    assert not tell(clock).untold
    (mail,) = server.messages
    assert (mail.sender, mail.recipients) == ("other@example.cz", ["jan@novak.cz"])
    read = message_from_bytes(mail.data, policy=policy.default)
    assert read["Auto-Submitted"] == "auto-generated"
    assert "shop: warning (was ok) – server.unreachable" in read.get_content()
    tell(clock)
    assert len(server.messages) == 1


def test_mail_about_another_account_goes_by_the_one_that_is_named(clock: Clock, server: SmtpServer) -> None:
    save(1, "sick")
    save(server.port, "first")
    save(server.port, "named")
    settings("[alerts]\naccount = 'named'\nto = 'jan@novak.cz'\n")
    assert not tell(clock).untold
    assert [mail.sender for mail in server.messages] == ["named@example.cz"]


def test_mail_where_nobody_can_send_it(clock: Clock, server: SmtpServer) -> None:
    save(1)
    save(1, "other")
    save(server.port, "off", enabled=False)
    settings("[alerts]\naccount = 'shop'\nto = 'jan@novak.cz'\n")
    assert "No other account" in finding(tell(clock), "alert.untold", None).text()
    with SmtpServer(refused={"jan@novak.cz": "550 5.1.1 no"}) as strict:
        save(strict.port, "third")
        assert "mail: " in finding(tell(clock), "alert.untold", None).text()


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nobody is named"),
        ("command = []", "nobody is named"),
        ("command = 'echo x'", r"alerts\.command: give the program"),
        ("command = ['x', 1]", r"alerts\.command"),
        ("comand = ['x']", "did you mean command"),
        ("webhook = 'http://example.com/Canary4'", "only this computer itself"),
        ("webhook = 'ftp://example.com/Canary4'", "is no web address"),
        ("webhook = 'https://u:Canary4@example.com/'", "is no web address"),
        ("webhook = 'https://[Canary4'", "is no web address"),
        ("webhook = 4", "is no web address"),
        ("webhook = 'https://e.cz/'\nwebhook_form = 'irc'", "webhook_form"),
        ("account = 'shop'", r"alerts\.to"),
        ("to = 'a@b.cz'", r"alerts\.account"),
        ("account = 'nobody'\nto = 'a@b.cz'", "no account 'nobody'"),
        ("account = 'shop'\nto = 'a b'", r"alerts\.to"),
        ("account = 'shop'\nto = 'a@b.cz'", "is the only account"),
    ],
)
def test_wrong_settings(text: str, says: str, clock: Clock) -> None:
    save(1)
    settings(f"[alerts]\n{text}\n")
    with pytest.raises(SettingsError, match=says) as caught:
        tell(clock)
    assert "Canary4" not in str(caught.value)
    with pytest.raises(SettingsError, match=says):
        look(clock=clock)


def test_nobody_is_told_where_nobody_is_named(clock: Clock) -> None:
    save(1)
    with pytest.raises(SettingsError, match="nobody is named"):
        tell(clock)


def test_what_was_told_by_a_damaged_file_is_told_again(hook: Hook, clock: Clock) -> None:
    save(1)
    settings(hook.settings())
    for damage in ("[", '{"told": [], "untold": []}', '{"told": {"webhook": [], "x": {"a/b": 1}}}'):
        tell(clock)
        (state() / "health-told.json").write_text(damage)
    assert len(hook.told) == 3
