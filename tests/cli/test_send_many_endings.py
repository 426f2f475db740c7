"""``franking send-many`` at its edges: what a terminal shows, full disks, limits, attachments, and a hundred thousand
messages in constant memory.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from commandline import Person
from franking_cli import app
from servers.sink import Sink
from servers.smtp import Fault, Peer, SmtpServer, answers, silence

Start = Callable[..., SmtpServer]
ROOT = Path(__file__).parents[2]
CODE = "import sys; from franking_cli.app import main; main(sys.argv[1:])"
# read before the tests' environment is cleaned; a million on demand
MANY = int(os.environ.get("FRANKING_TEST_MESSAGES", "100000"))


def url(port: int) -> str:
    return f"smtp://127.0.0.1:{port}?security=none&from=shop@example.com"


def letter(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "to": f"r{number}@example.com",
        "subject": f"Letter {number}",
        "text": f"Dobrý den {number}\n",
        **more,
    }


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def environment(**more: str) -> dict[str, str]:
    source = os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT / "providers"), str(ROOT / "cli")])
    return {**os.environ, "PYTHONPATH": source, **more}


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CODE, "send-many", *arguments]
    return subprocess.run(
        command, text=True, env=environment(), timeout=100, stderr=subprocess.PIPE, check=False, **options
    )


def journal(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{path}.journal").read_text().splitlines()]


# -- what a terminal shows -------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.parametrize("results_to", ["> results.jsonl", ""])
def test_the_moving_line_on_a_terminal(smtp_server: Start, tmp_path: Path, results_to: str) -> None:
    server = smtp_server(refused={"r5@example.com": "550 5.1.1 no such mailbox"})
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(1, 1_501)])
    command = f"{sys.executable} -c '{CODE}' send-many '{url(server.port)}' {path} --window 16 {results_to}"
    child = pexpect.spawn(
        "/bin/sh",
        ["-c", command],
        dimensions=(24, 80),
        env=environment(TERM="xterm-256color"),
        cwd=str(tmp_path),
        timeout=60,
    )
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    raw = b""
    while True:
        try:
            raw += (read := child.read_nonblocking(1000, 10))
            stream.feed(read)
        except pexpect.EOF:
            break
    child.close()
    assert child.exitstatus == 1
    lines = re.findall(r"  [#·]+  [^\r\n\x1b]*", raw.decode(errors="replace"))
    assert lines[0].endswith("  0 of 1,500")
    assert any(
        re.fullmatch(r"  #+·+  [\d,]+ of 1,500  [\d,]+/s  0:\d\d left  1 not accepted", line) for line in lines
    ), lines
    assert all(len(line) < 80 for line in lines)
    shown = "\n".join(line.rstrip() for line in screen.display)
    assert " of 1,500" not in shown, "the moving line was left behind"
    assert "1,499 accepted, 1 refused" in shown
    assert ('"outcome"' in shown) is not bool(results_to)
    if results_to:
        results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
        assert sorted(result["line"] for result in results) == list(range(1, 1_501))


# -- full disks ------------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_a_journal_that_cannot_grow_stops_everything(smtp_server: Start, tmp_path: Path) -> None:
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(1, 2_001)])

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = process(url(server.port), str(path), "--window", "8", stdout=subprocess.PIPE, preexec_fn=small_files)
    assert done.returncode == 2, done.stderr
    assert "the journal cannot be written" in " ".join(done.stderr.split())  # broken where the path's length has it
    accepted = {
        result["line"] for result in map(json.loads, done.stdout.splitlines()) if result["outcome"] == "accepted"
    }
    whole = [json.loads(line) for line in Path(f"{path}.journal").read_text().split("\n") if line.endswith("}")]
    started = {entry["started"] for entry in whole if "started" in entry}
    arrived = {int(message.recipients[0][1:].partition("@")[0]) for message in server.messages}
    assert len(server.messages) == len(arrived) < 2_000
    assert arrived == accepted <= started, "a message left that the journal does not know"
    again = process(url(server.port), str(path), stdout=subprocess.PIPE)
    outcomes = {result["line"]: result["outcome"] for result in map(json.loads, again.stdout.splitlines())}
    ended = {entry["ended"] for entry in whole if "ended" in entry}
    assert {line for line, outcome in outcomes.items() if outcome == "unknown"} == started - ended
    assert len(server.messages) == 2_000 - len(started - arrived)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_results_that_cannot_be_written_stop_the_run(
    smtp_server: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(1, 501)])
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert app.run(["send-many", url(server.port), str(path), "--window", "4"]) == 2
    err = capfd.readouterr().err
    assert "The results cannot be written: No space left on device" in " ".join(err.split())
    assert 0 < len(server.messages) < 20
    assert len([entry for entry in journal(path) if "ended" in entry]) == len(server.messages)


def test_the_moving_line_goes_before_each_result_and_comes_back(smtp_server: Start, tmp_path: Path) -> None:
    server = smtp_server(refused={"r2@example.com": "550 5.1.1 no such mailbox"})
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(1, 21)])
    person = Person("send-many", url(server.port), str(path), "--limit", "10", whole=True)
    assert person.run(TERM="xterm", NO_COLOR="1") == 1
    assert "  0 of 10\r\x1b[K" in person.shown
    assert "\r\x1b[K{" in person.shown, "a result takes the line away"
    lines = person.shown.splitlines()
    assert "9 accepted, 1 refused" in lines[-1]
    assert len([line for line in lines if line.rpartition("\x1b[K")[2].startswith("{")]) == 10


def test_ctrl_c_finishes_what_is_under_way_and_the_next_run_does_the_rest(
    smtp_server: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def presses(peer: Peer, reply: str) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        answers(peer, reply)

    server = smtp_server(faults=[Fault("body", presses, nth=5, executed=True)])
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(1, 2_001)])
    assert app.run(["send-many", url(server.port), str(path)]) == 130
    out, err = capfd.readouterr()
    outcomes = [json.loads(line)["outcome"] for line in out.splitlines()]
    assert set(outcomes) == {"accepted"}
    assert len(outcomes) == len(server.messages) < 2_000
    assert "Interrupted; run the same command again to go on." in err
    server.faults.clear()
    assert app.run(["send-many", url(server.port), str(path)]) == 0
    assert f"{len(outcomes):,} done earlier" in capfd.readouterr().err
    assert sorted(int(message.recipients[0][1:].partition("@")[0]) for message in server.messages) == list(
        range(1, 2_001)
    )


def test_a_second_press_breaks_off_what_is_under_way_and_that_is_unknown(
    smtp_server: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def presses(peer: Peer, reply: str) -> None:
        for _ in range(2):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            threading.Event().wait(0.3)  # two at once are one
        silence(peer, reply)

    server = smtp_server(faults=[Fault("body", presses, nth=5, executed=True)])
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(1, 101)])
    assert app.run(["send-many", url(server.port), str(path)]) == 3
    out, err = capfd.readouterr()
    outcomes = {result["line"]: result["outcome"] for result in map(json.loads, out.splitlines())}
    assert outcomes[5] == "unknown"
    assert {line for line, outcome in outcomes.items() if outcome == "accepted"} == {1, 2, 3, 4}
    assert "--resend-unknown sends them again" in " ".join(err.split())
    server.faults.clear()
    assert app.run(["send-many", url(server.port), str(path)]) == 3, "it is still unknown"
    assert len(server.messages) == 100, "and was not sent again"


def test_a_line_that_is_wrong_behind_unknown_ones_ends_with_3(
    smtp_server: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(1), letter(2)])
    Path(f"{path}.journal").write_text(
        json.dumps(
            {"started": 1, "sha256": sha256(path.read_bytes().splitlines()[0]).hexdigest(), "message_id": "<1@x>"}
        )
        + "\n"
    )
    with path.open("a") as file:
        file.write("not json\n")
    assert app.run(["send-many", url(server.port), str(path)]) == 3
    out, err = capfd.readouterr()
    assert json.loads(out.splitlines()[0])["outcome"] == "unknown"
    assert "line 3: this is not JSON" in " ".join(err.split())


# -- input -----------------------------------------------------------------------------------------------------------


def test_attachments_are_beside_the_file_wherever_it_is_run(
    smtp_server: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = smtp_server()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "note.txt").write_text("the note")
    (tmp_path / "elsewhere.txt").write_text("the other")
    lines = [
        letter(1, attachments=["note.txt", str(tmp_path / "elsewhere.txt")]),
        letter(2, attachments="note.txt"),
        letter(3, attachments=["missing"]),
    ]
    path = write(tmp_path / "in" / "letters.jsonl", lines)
    (tmp_path / "in" / "people.csv").write_text(
        "\ufeffto;file\njana@example.com;note.txt\npetr@example.com;\n", encoding="utf-8"
    )
    (tmp_path / "letter.txt").write_text("Hello\n")
    monkeypatch.chdir(tmp_path)
    assert app.run(["send-many", url(server.port), str(path)]) == 1
    results = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {result["line"]: result["outcome"] for result in results} == {1: "accepted", 2: "accepted", 3: "failed"}
    assert next(result for result in results if result["line"] == 3)["diagnosis"]["code"] == "message.attachment"
    csv = [
        "send-many",
        url(server.port),
        "in/people.csv",
        "--subject",
        "x",
        "--text-file",
        "letter.txt",
        "--attach",
        "{{ file }}",
    ]
    assert app.run(csv) == 0
    attached = ["note.txt" in message.data.decode() for message in server.messages]
    assert attached == [True, True, True, False]
    # what a line points to may be mended meanwhile: the journal holds the line itself
    (tmp_path / "in" / "missing").write_text("here it is")
    assert app.run(["send-many", url(server.port), str(path)]) == 0
    assert len(server.messages) == 5


def test_a_dry_run_tells_every_line_that_cannot_be_sent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(
        tmp_path / "letters.jsonl",
        [letter(1), letter(2, to="nobody"), letter(3, attachments=["missing.pdf"]), letter(4)],
    )
    assert app.run(["send-many", url(1), str(path), "--dry-run"]) == 1
    out, err = capfd.readouterr()
    assert [(result["line"], result["outcome"]) for result in map(json.loads, out.splitlines())] == [
        (2, "failed"),
        (3, "failed"),
    ]
    assert sorted(file.name for file in Path(f"{path}.dry-run").iterdir()) == ["000001.eml", "000004.eml"]
    assert "2 messages written" in err
    assert not Path(f"{path}.journal").exists()


@pytest.mark.parametrize(
    "arguments", [["x.jsonl"], ["{}", "--text-file", "a.txt"], ["{}", "--window", "0"], ["{}", "--rate", "-1"], []]
)
def test_wrong_usage_is_one_object(tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    path = write(tmp_path / "letters.jsonl", [letter(1)])
    given = [url(1), *[argument.format(path) for argument in arguments]] if arguments else []
    assert app.run(["send-many", *given, "--json"]) == 2
    told = json.loads(capfd.readouterr().out)
    assert told["ok"] is False
    assert not Path(f"{path}.journal").exists()


# -- limits and endings ----------------------------------------------------------------------------------------------


def test_the_day_ends_the_run_and_the_next_one_goes_on(
    smtp_server: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(1, 101)])
    assert app.run(["send-many", url(server.port), str(path), "--per-day", "10", "--window", "4"]) == 5
    out, err = capfd.readouterr()
    outcomes = [json.loads(line)["outcome"] for line in out.splitlines()]
    assert outcomes.count("accepted") == len(server.messages) == 10
    assert 1 <= outcomes.count("failed") <= 5
    assert "run the same command again tomorrow" in " ".join(err.split())
    assert app.run(["send-many", url(server.port), str(path), "--per-day", "0", "--rate", "0"]) == 0
    assert len({message.recipients[0] for message in server.messages}) == len(server.messages) == 100


def test_a_missing_password_is_wrong_settings(
    smtp_server: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = smtp_server(users={"jan": "x"})
    path = write(tmp_path / "letters.jsonl", [letter(1), letter(2)])
    account = f"smtp://jan@127.0.0.1:{server.port}?security=none&from=shop@example.com"
    assert app.run(["send-many", account, str(path)]) == 2
    results = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(result["outcome"], result["diagnosis"]["code"]) for result in results] == [
        ("failed", "secret.missing")
    ] * 2


@pytest.mark.process
def test_a_second_ctrl_c_breaks_off_what_is_under_way(smtp_server: Start, tmp_path: Path) -> None:
    hangs = threading.Event()

    def silent(peer: Any, reply: str) -> None:
        hangs.set()
        silence(peer, reply)

    server = smtp_server(faults=[Fault("body", silent, nth=30)])
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(1, 101)])
    command = [sys.executable, "-c", CODE, "send-many", url(server.port), str(path), "--window", "4"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    assert hangs.wait(30)
    child.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):  # it waits for the answer
        child.wait(0.5)
    while True:  # a slow machine may see two as one
        child.send_signal(signal.SIGINT)
        try:
            out, err = child.communicate(timeout=5)
            break
        except subprocess.TimeoutExpired:
            continue
    assert child.returncode == 3, err.decode()
    outcomes = {result["line"]: result["outcome"] for result in map(json.loads, out.splitlines())}
    assert {line for line, outcome in outcomes.items() if outcome == "accepted"} == set(range(1, 30))
    assert outcomes[30] == "unknown"
    assert set(outcomes.values()) <= {"accepted", "unknown", "failed"}
    started = {entry["started"] for entry in journal(path) if "started" in entry}
    ended = {entry["ended"] for entry in journal(path) if "ended" in entry}
    assert started - ended == {line for line, outcome in outcomes.items() if outcome == "unknown"}
    assert b"--resend-unknown" in err


# -- very many -------------------------------------------------------------------------------------------------------

MEASURED = """
import json, resource, sys, threading, time
from franking_cli.app import run

def memory():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024

seen = []
ended = threading.Event()

def watch():
    while not ended.wait(0.02):
        seen.append(memory())

thread = threading.Thread(target=watch)
thread.start()
code = run(sys.argv[1:])
ended.set()
thread.join()
print(json.dumps({"code": code, "memory": seen}), file=sys.stderr)
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_very_many_messages_in_flat_memory(tmp_path: Path) -> None:
    """A hundred thousand; a million with ``FRANKING_TEST_MESSAGES=1000000``."""
    path = tmp_path / "letters.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(1, MANY + 1):
            file.write(json.dumps(letter(number)) + "\n")
    with Sink() as sink:
        for expected in (MANY, 0):  # the second run finds all in the journal
            with (tmp_path / "results.jsonl").open("w") as results:
                done = subprocess.run(
                    [sys.executable, "-c", MEASURED, "send-many", url(sink.port), str(path), "--window", "16"],
                    stdout=results, stderr=subprocess.PIPE, text=True, env=environment(), timeout=1700, check=False,
                )  # fmt: skip
            told = json.loads(done.stderr.splitlines()[-1])
            assert told["code"] == 0, done.stderr
            with (tmp_path / "results.jsonl").open() as results:
                lines = {result["line"] for result in map(json.loads, results) if result["outcome"] == "accepted"}
            assert len(lines) == expected
            memory = told["memory"]
            if expected:
                early = max(memory[: len(memory) // 4])  # a quarter of the way: everything is imported and warm
                growth = max(memory) - early
                assert growth <= 4 << 20, f"{growth:,} octets more for {MANY:,} messages"
    states: dict[int, list[str]] = {}
    with Path(f"{path}.journal").open() as entries:
        for entry in map(json.loads, entries):
            states.setdefault(entry.get("started") or entry["ended"], []).append(
                "started" if "started" in entry else entry["outcome"]
            )
    assert len(states) == MANY
    assert all(state == ["started", "accepted"] for state in states.values())
