"""What a person sees, on real pseudo-terminals read by a terminal emulator: green and red, wide and narrow, without
colour, piped, interrupted.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyte
import pytest

import commandline
from commandline import Person
from franking.account import editing
from reports import report
from servers.certificates import Certificates
from servers.smtp import Fault, Peer, SmtpServer, says, silence

COMMAND = [sys.executable, "-c", "from franking_cli.app import main; main()"]
ME = "me@example.cz"


class Shown:
    """A terminal after a command has ended: its lines, its colours, the exit code."""

    def __init__(self, code: int, raw: bytes, columns: int, rows: int) -> None:
        self.code, self.raw = code, raw
        self.screen = pyte.HistoryScreen(columns, rows, history=500)
        pyte.ByteStream(self.screen).feed(raw)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip()

    def colour(self, words: str) -> tuple[str, bool]:
        """Return colour and boldness of the first letter of a line that holds these words."""
        row = next(number for number, line in enumerate(self.lines) if words in line)
        cell = self.screen.buffer[row][self.lines[row].index(words)]
        return cell.fg, cell.bold


def terminal(
    *arguments: str, columns: int = 80, rows: int = 60, password: str | None = None, **environment: str
) -> Shown:
    """Run a command at a terminal in this process."""
    person = Person(*arguments, columns=columns, whole=True)
    if password is not None:
        person.answer("Password", password)
    code = person.run(**{"TERM": "xterm-256color", **environment})
    return Shown(code, person.octets.replace(b"\n", b"\r\n"), columns, rows)


def spawned(*arguments: str) -> Any:
    """Start a command at a real pseudo-terminal."""
    pexpect = pytest.importorskip("pexpect")
    env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
    return pexpect.spawn(COMMAND[0], [*COMMAND[1:], *arguments], env=env, dimensions=(60, 80), timeout=60)


def ended(child: Any) -> Shown:
    """Read all that it shows until it has ended."""
    raw = child.read()
    child.close()
    return Shown(int(child.exitstatus), raw, 80, 60)


def flags(server: SmtpServer, *more: str) -> list[str]:
    return [
        "--from",
        "info@novak.cz",
        "--host",
        "127.0.0.1",
        "--port",
        str(server.port),
        "--security",
        "none",
        *more,
        "--to",
        ME,
    ]


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(colour: str, background: str) -> float:
    """Return the contrast ratio of WCAG 2."""
    high, low = sorted((luminance(colour), luminance(background)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# --- green and red ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "at", [terminal, pytest.param(lambda *words: ended(spawned(*words)), marks=pytest.mark.process)]
)
def test_green(at: Any) -> None:
    shown = at("send-test", "--embedded", "--show-message", "--to", ME)
    assert shown.code == 0
    text = shown.text
    steps = re.findall(r"^  ✓ (\w+)", text, re.MULTILINE)
    assert steps == ["settings", "secret", "resolve", "connect", "greet", "tls", "login", "message", "accepted"]
    assert "…" not in text, "a running step was left on the screen"
    assert text.count("250 2.0.0") == 1, "the reply stands beside its step, and no second time"
    assert "nothing left this" in text and "inbox" not in text, "the built-in server delivers nowhere"
    assert (
        text.index("Test message from")
        < text.index("✓ settings")
        < text.index("✓ Message sent to me@example.cz")
        < text.index("Subject:")
    )
    fg, _ = shown.colour("✓ Message sent")
    assert fg == "008700"
    assert shown.colour("Subject:")[0] == "default"
    assert b"\x1b[K" in shown.raw, "steps appear while they run"


def test_a_reply_that_a_step_had_no_room_for_is_shown_whole() -> None:
    reply = "250 2.0.0 " + "queued as 4bWXYZ " * 10
    with SmtpServer(faults=[Fault("body", says(reply), executed=True)]) as server:
        shown = terminal("send-test", *flags(server, "--no-auth"))
    assert reply.strip() in re.sub(r"\s+", " ", shown.text)


def test_a_better_road_is_pointed_at_whatever_went_wrong_on_this_one() -> None:
    """Here there is no password: tests reach no network."""
    words = ["send-test", "--from", "me@novak.cz", "--host", "smtp.gmail.com", "--username", "me@novak.cz", "--to", ME]
    done = commandline.franking(*words)
    assert done.code == 2
    assert "No password is stored" in done.err
    assert done.err.rstrip().endswith("franking setup me@novak.cz --provider gmail")


def test_a_password_that_was_taken_is_not_doubted() -> None:
    with SmtpServer(users={"info@novak.cz": "two words"}) as server:
        shown = terminal("send-test", *flags(server, "--username", "info@novak.cz"), password="two words")
    assert shown.code == 0
    assert "✓ Message sent" in shown.text and "blank" not in shown.text


def test_our_own_names_for_a_failure_are_not_shown() -> None:
    with SmtpServer(users={"info": "x"}) as server:
        shown = terminal("send-test", *flags(server, "--security", "starttls", "--no-auth"))
    assert "offers no STARTTLS" in re.sub(r"\s+", " ", shown.text)
    assert "starttls-not-offered" not in shown.text and "Seen:" not in shown.text


def test_red_names_cause_and_remedies_in_that_order() -> None:
    with SmtpServer(
        users={"info": "x"}, faults=[Fault("auth", says("535 5.7.8 Error: authentication failed: " + "because " * 30))]
    ) as server:
        shown = terminal("send-test", *flags(server, "--username", "info"), password="canary-1234")
    assert shown.code == 1
    text = shown.text
    assert "canary" not in text
    order = [
        "✗ login",
        "✗ The server refused the login",
        "did not accept the name info",
        "What to do",
        "1. ",
        "2. ",
        "Seen: 535 5.7.8",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places), text
    assert shown.colour("✗ The server refused") == ("ff0000", True)
    assert all(len(line) <= 80 for line in shown.lines)
    failed = text[text.index("✗ login") : text.index("✗ The server")]
    assert "authentication failed" in " ".join(failed.split()), "the reason of the failed step is cut off"


@pytest.mark.parametrize(
    "background", ["000000", "ffffff", "fdf6e3", "002b36"], ids=["black", "white", "solarized light", "solarized dark"]
)
def test_colours_can_be_read_on_dark_and_light(background: str) -> None:
    from franking_cli.console import _STYLES

    palette = {
        int(code): pyte.graphics.FG_BG_256[int(code)]
        for style in _STYLES.values()
        for code in re.findall(r"38;5;(\d+)", style)
    }
    assert len(palette) == 4
    for code, colour in palette.items():
        assert contrast(colour, background) >= 3, (
            code,
            colour,
        )  # WCAG's bound for large text and signs; every colour also has a sign beside it
    assert all(contrast(colour, "000000") > 3.8 and contrast(colour, "ffffff") > 3.8 for colour in palette.values())


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colour(variable: dict[str, str]) -> None:
    shown = terminal("send-test", "--embedded", "--to", ME, **variable)
    assert shown.code == 0
    assert re.search(rb"\x1b\[[0-9;]*m", shown.raw) is None
    if "TERM" in variable:
        assert b"\x1b" not in shown.raw
    assert "✓ Message sent to me@example.cz" in shown.text


def test_a_terminal_of_few_colours() -> None:
    shown = terminal("send-test", "--embedded", "--to", ME, TERM="linux")
    assert shown.colour("✓ Message sent")[0] == "green"
    assert b"38;5" not in shown.raw


@pytest.mark.parametrize("columns", [50, 30])
def test_a_narrow_terminal(columns: int) -> None:
    with SmtpServer(faults=[Fault("rcpt", says("554 5.7.1 <me@example.cz>: Relay access denied"), nth=None)]) as server:
        shown = terminal("send-test", *flags(server, "--no-auth"), columns=columns, rows=120)
    text = shown.text
    assert shown.code == 1
    assert "✗ message" in text
    assert "Relay access denied" in " ".join(text.split())
    assert "1. " in text
    printed = [re.sub(r"\x1b\[[0-9;]*[mK]", "", line).rpartition("\r")[2] for line in shown.raw.decode().split("\r\n")]
    assert [line for line in printed if len(line) > columns and "franking " not in line] == []


def test_a_command_to_copy_stands_on_a_line_of_its_own_unbroken(certificates: Certificates) -> None:
    with SmtpServer(users={"info@novak.cz": "x"}, context=certificates.context("good")) as server:
        words = flags(server, "--username", "info@novak.cz", "--security", "tls", "--password-stdin")
        done = commandline.franking("send-test", *words, text=b"x\n")
    assert done.code == 1
    (command, *_) = [line.strip() for line in done.err.splitlines() if line.strip().startswith("franking send-test")]
    assert command.endswith("--security starttls")
    assert command.count("--security") == 1
    assert "`" not in done.err


# --- piped ------------------------------------------------------------------------------------------------------------


def piped(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_piped_output_is_plain_lines() -> None:
    words = ["send-test", "--embedded", "--show-message", "--to", ME]
    done = commandline.franking(*words, env={"TERM": "xterm-256color"})
    assert done.code == 0
    assert "\x1b" not in done.err + done.out
    assert "\r" not in done.err
    lines = done.err.splitlines()
    assert [line[4:13].strip() for line in lines[1:10]] == [
        "settings", "secret", "resolve", "connect", "greet", "tls", "login", "message", "accepted",
    ]  # fmt: skip
    assert done.out.startswith("From: ")


@pytest.mark.parametrize("encoding", ["cp1250", "cp437", "cp852", "ascii", "latin-1"])
def test_legacy_code_pages(encoding: str) -> None:
    words = ["send-test", "--embedded", "--to", ME, "--from", "Jan Novák <jan@example.cz>"]
    done = commandline.franking(*words, encoding=encoding)
    assert done.code == 0, done.err
    assert "+ settings" in done.err or "√ settings" in done.err or "✓ settings" in done.err
    assert "+ Message sent to" in done.err or "✓ Message sent" in done.err
    told = commandline.franking(*words, "--json", encoding=encoding)
    assert report(told.data.decode(encoding))["from"] == "Jan Novák <jan@example.cz>"


@pytest.mark.process
def test_a_reader_that_leaves_does_not_change_the_ending() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "send-test", "--embedded", "--to", ME, "--json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_the_server_says_cannot_paint_the_terminal() -> None:
    nasty = "535 5.7.8 no \x1b[2J\x1b]0;title\x07\x9b31m \u202eevil"
    with SmtpServer(
        users={"info@novak.cz": "x"}, faults=[Fault("auth", says(nasty))], greeting="220 \x1b[31mred ESMTP"
    ) as server:
        words = flags(server, "--username", "info@novak.cz", "--password-stdin", "--transcript", "-vv")
        done = commandline.franking("send-test", *words, text=b"x\n")
    text = done.err
    assert done.code == 1
    assert not [char for char in text if not char.isprintable() and char != "\n"]
    assert "\\x1b[2J" in text


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.parametrize(("step", "code"), [("auth", 130), ("mail", 130), ("body", 3)])
def test_ctrl_c(step: str, code: int) -> None:
    reached = threading.Event()

    def waits(peer: Peer, reply: str) -> None:
        reached.set()
        silence(peer, reply)

    with SmtpServer(users={"info@novak.cz": "x"}, faults=[Fault(step, waits)], extensions=("8BITMIME",)) as server:
        child = spawned("send-test", *flags(server, "--username", "info@novak.cz", "--password-stdin"))
        child.expect("Password")
        child.sendline("x")
        assert reached.wait(60)
        child.sendintr()
        shown = ended(child)
    assert shown.code == code
    assert "Traceback" not in shown.text
    if code == 130:
        assert "Interrupted; nothing more was done." in shown.text
    else:
        assert "It is not known whether the message was accepted" in shown.text


@pytest.mark.process
@pytest.mark.parametrize(("step", "code", "outcome"), [("auth", 130, "failed"), ("body", 3, "unknown")])
def test_ctrl_c_with_json(step: str, code: int, outcome: str) -> None:
    import signal

    reached = threading.Event()

    def waits(peer: Peer, reply: str) -> None:
        reached.set()
        silence(peer, reply)

    with SmtpServer(users={"info@novak.cz": "x"}, faults=[Fault(step, waits)]) as server:
        command = [*COMMAND, "send-test", *flags(server, "--username", "info@novak.cz", "--password-stdin", "--json")]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as started:
            assert started.stdin
            started.stdin.write(b"x\n")
            started.stdin.flush()
            assert reached.wait(60)
            started.send_signal(signal.SIGINT)
            out, err = started.communicate(timeout=60)
    assert started.returncode == code
    assert b"Traceback" not in err
    told = report(out.decode())
    assert told["outcome"] == outcome
    assert told["to"] == [ME]


# --- completion -------------------------------------------------------------------------------------------------------


def completed(words: str, count: int) -> list[str]:
    asked = {"_FRANKING_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    done = subprocess.run(COMMAND, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.split()


@pytest.mark.parametrize("command", [[], ["accounts"]])
def test_the_list_of_commands_cuts_nothing_off(command: list[str]) -> None:
    done = commandline.franking(*command, "--help", env={"COLUMNS": "80"})
    assert done.code == 0
    assert not [line for line in done.out.splitlines() if re.search(r"[a-z]\.\.\.$", line)]


@pytest.mark.process
def test_account_names_complete(tmp_path: Path) -> None:
    from franking.account import config

    for name in ("shop", "shelter", "office"):
        editing.save(config.load().build(name=name, provider="file", sender="a@b.cz", path=str(tmp_path)))
    assert sorted(completed("franking send-test ", 2)) == ["office", "shelter", "shop"]
    assert sorted(completed("franking check sh", 2)) == ["shelter", "shop"]
    assert sorted(completed("franking login o", 2)) == ["office"]
    assert "send-test" in completed("franking se", 1)
    Path(os.environ["FRANKING_CONFIG"]).write_text("broken = [")
    assert completed("franking send-test ", 2) == []
