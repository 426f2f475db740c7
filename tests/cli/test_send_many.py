"""``franking send-many``: input, results, journal, resuming, and what a kill at any moment leaves behind."""

from __future__ import annotations

import email
import email.policy
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from franking_cli import app
from servers.smtp import Fault, SmtpServer, hangs_up, says

Start = Callable[..., SmtpServer]


def url(server: SmtpServer) -> str:
    return f"smtp://127.0.0.1:{server.port}?security=none&from=shop@example.com"


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def letter(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"n{number}",
        "to": f"r{number}@example.com",
        "subject": f"Letter {number}",
        "text": f"Dobrý den {number}\n",
        **more,
    }


class Run:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.err = code, " ".join(err.split())  # the console wraps
        self.results = [json.loads(line) for line in out.splitlines()]

    @property
    def outcomes(self) -> dict[int, str]:
        return {result["line"]: result["outcome"] for result in self.results}


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def go(*arguments: str) -> Run:
        code = app.run(["send-many", *arguments])
        return Run(code, *capfd.readouterr())

    return go


def journal(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{path}.journal").read_text().splitlines()]


def test_every_line_has_one_result(smtp_server: Start, run: Callable[..., Run], tmp_path: Path) -> None:
    server = smtp_server(refused={"r2@example.com": "550 5.1.1 no such mailbox"})
    path = write(tmp_path / "letters.jsonl", [letter(1), letter(2), letter(3)])
    done = run(url(server), str(path))
    assert done.outcomes == {1: "accepted", 2: "refused", 3: "accepted"}
    assert done.code == 1
    first, second = done.results[0], next(result for result in done.results if result["line"] == 2)
    assert set(first) == {"line", "id", "outcome", "message_id", "reply", "refused", "diagnosis"}
    assert (first["id"], first["diagnosis"], first["reply"][:3]) == ("n1", None, "250")
    assert second["diagnosis"]["code"] == "recipient.unknown"
    assert second["refused"] == {"r2@example.com": {"reply": "550 5.1.1 no such mailbox", "temporary": False}}
    assert "2 accepted, 1 refused" in done.err
    received = email.message_from_bytes(server.messages[0].data)
    assert received["Message-ID"] == first["message_id"]


def test_a_second_run_sends_nothing_twice(smtp_server: Start, run: Callable[..., Run], tmp_path: Path) -> None:
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(1, 6)])
    assert run(url(server), str(path), "--limit", "2").outcomes == {1: "accepted", 2: "accepted"}
    again = run(url(server), str(path))
    assert again.outcomes == {3: "accepted", 4: "accepted", 5: "accepted"}
    assert "2 done earlier" in again.err
    assert run(url(server), str(path)).results == []
    assert len(server.messages) == 5


def test_refused_lines_are_done(smtp_server: Start, run: Callable[..., Run], tmp_path: Path) -> None:
    server = smtp_server(refused={"r1@example.com": "550 5.1.1 no such mailbox"})
    path = write(tmp_path / "letters.jsonl", [letter(1), letter(2)])
    assert run(url(server), str(path)).outcomes == {1: "refused", 2: "accepted"}
    again = run(url(server), str(path))
    assert (again.code, again.results) == (0, [])
    assert "2 done earlier" in again.err
    assert len(server.messages) == 1


def test_failed_lines_are_tried_again_in_the_next_run(
    smtp_server: Start, run: Callable[..., Run], tmp_path: Path
) -> None:
    server = smtp_server(faults=[Fault("mail", says("552 5.3.4 too large"), connection=1)])
    path = write(tmp_path / "letters.jsonl", [letter(1)])
    first = run(url(server), str(path))
    assert (first.code, first.outcomes) == (1, {1: "failed"})
    again = run(url(server), str(path))
    assert (again.code, again.outcomes) == (0, {1: "accepted"})


def test_what_was_begun_and_not_answered_is_unknown_until_told_otherwise(
    smtp_server: Start, run: Callable[..., Run], tmp_path: Path
) -> None:
    server = smtp_server(extensions=(), faults=[Fault("body", hangs_up, executed=True, connection=1)])
    path = write(tmp_path / "letters.jsonl", [letter(1), letter(2)])
    first = run(url(server), str(path))
    assert (first.code, first.outcomes) == (3, {1: "unknown", 2: "accepted"})
    assert first.results[0]["diagnosis"]["code"] == "outcome.unknown"
    again = run(url(server), str(path))
    assert (again.code, again.outcomes) == (3, {1: "unknown"})
    assert "--resend-unknown" in again.err
    count = len(server.messages)
    resent = run(url(server), str(path), "--resend-unknown")
    assert (resent.code, resent.outcomes) == (0, {1: "accepted"})
    assert len(server.messages) == count + 1
    started = [entry["message_id"] for entry in journal(path) if entry.get("started") == 1]
    assert len(started) == 2
    assert len(set(started)) == 1


def test_a_changed_line_is_an_error_and_nothing_more_is_sent(
    smtp_server: Start, run: Callable[..., Run], tmp_path: Path
) -> None:
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(1), letter(2)])
    run(url(server), str(path), "--limit", "1")
    write(path, [letter(7), letter(2)])
    done = run(url(server), str(path))
    assert done.code == 2
    assert "letters.jsonl:1: this line was changed" in done.err
    assert len(server.messages) == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{not json", "this is not JSON"),
        ("[1]", "a message is a JSON object"),
        ('{"to": "a@example.com", "subjekt": "x", "text": "x"}', "did you mean subject?"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(
    smtp_server: Start, run: Callable[..., Run], tmp_path: Path, line: str, why: str
) -> None:
    server = smtp_server()
    path = tmp_path / "letters.jsonl"
    path.write_text(json.dumps(letter(1)) + "\n" + line + "\n")
    done = run(url(server), str(path))
    assert done.code == 2
    assert "line 2" in done.err
    assert why in done.err
    assert len(server.messages) == 1
    assert "1 accepted" in done.err
    assert "run the same command again to go on" in done.err
    assert "Nothing has been sent" not in done.err


def test_a_bad_address_fails_that_line_alone(smtp_server: Start, run: Callable[..., Run], tmp_path: Path) -> None:
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(1), letter(2, to="no address"), letter(3)])
    done = run(url(server), str(path))
    assert done.outcomes == {1: "accepted", 2: "failed", 3: "accepted"}
    assert len(server.messages) == 2


def test_temporary_failures_alone_are_exit_code_5(
    run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smtp_server: Start
) -> None:
    monkeypatch.setattr("franking.sending.retry.Policy.pause", lambda *_, **__: None)  # no waiting between attempts
    server = smtp_server(refused={"r1@example.com": "450 4.2.0 greylisted, try again later"})
    done = run(url(server), str(write(tmp_path / "letters.jsonl", [letter(1)])))
    assert (done.code, done.outcomes) == (5, {1: "failed"})
    assert done.results[0]["diagnosis"]["temporary"] is True


def test_csv_with_templates(smtp_server: Start, run: Callable[..., Run], tmp_path: Path) -> None:
    server = smtp_server()
    path = tmp_path / "people.csv"
    path.write_text('to;name;id\njana@example.com;Jana <b>;7\npetr@example.com;"Petr; Novák";8\n', encoding="utf-8-sig")
    (tmp_path / "letter.txt").write_text("Hello {{ name }}\n")
    (tmp_path / "letter.html").write_text("<p>Hello {{ name }}</p>\n")
    done = run(
        url(server),
        str(path),
        "--subject",
        "For {{ name }}",
        "--text-file",
        str(tmp_path / "letter.txt"),
        "--html-file",
        str(tmp_path / "letter.html"),
    )
    assert (done.code, [result["id"] for result in done.results]) == (0, ["7", "8"])
    first = email.message_from_bytes(server.messages[0].data, policy=email.policy.default)
    assert first["Subject"] == "For Jana <b>"
    assert first.get_body(("plain",)).get_content().strip() == "Hello Jana <b>"
    assert first.get_body(("html",)).get_content().strip() == "<p>Hello Jana &lt;b&gt;</p>"
    assert (
        email.message_from_bytes(server.messages[1].data, policy=email.policy.default)["Subject"] == "For Petr; Novák"
    )


def test_templates_can_stand_on_the_command_line(smtp_server: Start, run: Callable[..., Run], tmp_path: Path) -> None:
    server = smtp_server()
    path = tmp_path / "people.csv"
    path.write_text("to,name\njana@example.com,Jana <b>\n")
    done = run(url(server), str(path), "--subject", "x", "--text", "Hello {{ name }}", "--html", "<p>{{ name }}</p>")
    assert done.code == 0
    sent = email.message_from_bytes(server.messages[0].data, policy=email.policy.default)
    assert sent.get_body(("plain",)).get_content().strip() == "Hello Jana <b>"
    assert sent.get_body(("html",)).get_content().strip() == "<p>Jana &lt;b&gt;</p>"
    assert run(url(server), str(path), "--text", "x", "--text-file", "y").code == 2


@pytest.mark.parametrize(
    ("template", "why"),
    [("{{ surname }}", "no column surname"), ("{{ name", "template"), ("{{ name.__class__.__mro__ }}", "line 2")],
)
def test_a_template_that_does_not_fit_sends_nothing(
    smtp_server: Start, run: Callable[..., Run], tmp_path: Path, template: str, why: str
) -> None:
    server = smtp_server()
    path = tmp_path / "people.csv"
    path.write_text("to,name\njana@example.com,Jana\n")
    (tmp_path / "letter.txt").write_text("x\n")
    done = run(url(server), str(path), "--subject", template, "--text-file", str(tmp_path / "letter.txt"))
    assert done.code == 2
    assert why in done.err
    assert server.messages == []
    assert not Path(f"{path}.journal").exists() or journal(path) == []


def test_dry_run_writes_files_and_sends_nothing(smtp_server: Start, run: Callable[..., Run], tmp_path: Path) -> None:
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(1, bcc="boss@example.com"), letter(2)])
    done = run(url(server), str(path), "--dry-run")
    assert (done.code, done.results, server.sessions) == (0, [], [])
    files = sorted(Path(f"{path}.dry-run").iterdir())
    assert [file.name for file in files] == ["000001.eml", "000002.eml"]
    assert email.message_from_bytes(files[0].read_bytes())["Bcc"] == "boss@example.com"


def test_two_runs_at_once_are_refused(smtp_server: Start, run: Callable[..., Run], tmp_path: Path) -> None:
    from franking_cli.batch.journal import Journal

    path = write(tmp_path / "letters.jsonl", [letter(1)])
    with Journal(Path(f"{path}.journal")):
        done = run(url(smtp_server()), str(path))
    assert done.code == 2
    assert "another run" in done.err


def test_a_torn_last_line_of_the_journal_is_taken_back(
    smtp_server: Start, run: Callable[..., Run], tmp_path: Path
) -> None:
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(1), letter(2)])
    run(url(server), str(path), "--limit", "1")
    with Path(f"{path}.journal").open("a") as file:
        file.write('{"started": 2, "sha2')
    assert run(url(server), str(path)).outcomes == {2: "accepted"}
    assert len(server.messages) == 2


def test_with_a_journal_that_is_none_nothing_is_sent(
    smtp_server: Start, run: Callable[..., Run], tmp_path: Path
) -> None:
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(1)])
    Path(f"{path}.journal").write_text("not json\n")
    done = run(url(server), str(path))
    assert (done.code, done.results, server.messages) == (2, [], [])
    assert "letters.jsonl.journal:1: this is no journal" in " ".join(done.err.split())


def test_no_such_file_names_what_to_do(run: Callable[..., Run]) -> None:
    done = run("shop", "/nowhere/letters.jsonl")
    assert done.code == 2
    assert "franking send-many ACCOUNT FILE" in done.err


def spawn(server: SmtpServer, path: Path, *more: str) -> subprocess.Popen[bytes]:
    code = "import sys; from franking_cli.app import main; main(sys.argv[1:])"
    source = os.pathsep.join(
        [os.environ["PYTHONPATH"], *(str(Path(__file__).parents[2] / root) for root in ("providers", "cli"))]
    )
    command = [sys.executable, "-c", code, "send-many", url(server), str(path), *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": source}
    )


@pytest.mark.process
@pytest.mark.slow
def test_killed_at_ten_moments_and_resumed_each_time(smtp_server: Start, tmp_path: Path) -> None:
    """Nothing is lost, and whatever came twice is something that the journal called unknown and that was then resent on
    purpose.
    """
    total = 3_000
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(1, total + 1)])
    chance = random.Random(7)
    kills = 0
    while kills < 10:
        process = spawn(server, path, "--window", "16", "--resend-unknown")
        begun = len(server.messages)
        target = begun + chance.randint(20, 250)
        deadline = time.monotonic() + 60
        while len(server.messages) < target and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        kills += 1
    process = spawn(server, path, "--window", "16", "--resend-unknown")
    _out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err.decode()
    ids = Counter(email.message_from_bytes(message.data)["Subject"] for message in server.messages)
    assert set(ids) == {f"Letter {number}" for number in range(1, total + 1)}, "a message was lost"
    starts = Counter(entry["started"] for entry in journal(path) if "started" in entry)
    ends = {entry["ended"] for entry in journal(path) if entry.get("outcome") == "accepted"}
    assert ends == set(range(1, total + 1))
    twice = {int(subject.removeprefix("Letter ")) for subject, count in ids.items() if count > 1}
    assert twice <= {line for line, count in starts.items() if count > 1}, (
        "a message came twice that was never called unknown"
    )


@pytest.mark.process
def test_ctrl_c_finishes_what_is_under_way(smtp_server: Start, tmp_path: Path) -> None:
    server = smtp_server()
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(1, 20_001)])
    process = spawn(server, path, "--window", "16")
    deadline = time.monotonic() + 60
    while len(server.messages) < 50 and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    results = [json.loads(line) for line in out.splitlines()]
    assert {result["outcome"] for result in results} == {"accepted"}
    assert len(results) == len(server.messages) < 20_000
    entries = journal(path)
    assert {entry["started"] for entry in entries if "started" in entry} == {
        entry["ended"] for entry in entries if "ended" in entry
    }
    assert b"run the same command again" in err


@pytest.mark.parametrize("window", ["1", "16"])
def test_a_server_that_takes_so_many_in_a_session_gets_further_sessions(
    smtp_server: Start, tmp_path: Path, run: Callable[..., Run], window: str
) -> None:
    server = smtp_server(most_messages=4)
    path = write(tmp_path / "letters.jsonl", [letter(number) for number in range(30)])
    done = run(url(server), str(path), "--window", window)
    assert (done.code, set(done.outcomes.values()), len(done.outcomes)) == (0, {"accepted"}, 30)
    assert sorted(message.recipients[0] for message in server.messages) == sorted(
        f"r{number}@example.com" for number in range(30)
    )
    assert len(server.sessions) == 8
