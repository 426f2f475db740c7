"""Limits of a mailbox: kept by ``send``, ``send_many``, the outbox and other processes together."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock  # noqa: F401  (before a test takes fcntl away)
import pytest

import franking
from franking.errors import ConnectError, MessageError, SendError, SettingsError, Throttled
from franking.provider import Facts, RouteFacts
from franking.sending import counts, limit_files, pool, turns
from franking.sending.limit_files import FileLimits
from franking.sending.retry import Policy
from servers.scripted import Clock, ScriptedProvider, messages
from servers.smtp import SmtpServer


def shop(**settings: Any) -> franking.Account:
    settings = {"timeout": 0.3, **settings}
    return franking.Account(name="s", provider="scripted", sender="jan@example.com", username="jan", **settings)


def mailer(account: franking.Account, **more: Any) -> franking.Mailer:
    return franking.connect(account, secret="x", **more)


def one(to: int = 1) -> franking.Message:
    return franking.Message(to=[f"r{number}@example.com" for number in range(to)], subject="x", text="x")


def refusal(act: Callable[[], object]) -> Throttled:
    with pytest.raises(Throttled) as caught:
        act()
    return caught.value


def test_without_a_limit_nothing_is_counted(scripted: ScriptedProvider) -> None:
    box = mailer(shop())
    assert box.send(one()).accepted
    assert box.turns is None
    assert not (Path(os.environ["FRANKING_STATE_DIR"]) / "limits").exists()


def test_send_waits_for_its_turn_as_long_as_timeout_allows(
    scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "MINUTE", 0.2)
    monkeypatch.setattr(counts.Counts, "__init__", _short(counts.Counts.__init__))
    began = time.monotonic()
    with mailer(shop(per_minute=2)) as box:
        for _ in range(5):
            box.send(one())
    assert len(scripted.sent) == 5
    assert time.monotonic() - began >= 0.4


def _short(init: Callable[[Any], None]) -> Callable[[Any], None]:
    def made(self: Any) -> None:
        init(self)
        self._window = 0.2

    return made


def test_a_message_that_has_no_turn_is_throttled_and_says_when_it_has(scripted: ScriptedProvider) -> None:
    with mailer(shop(per_minute=1)) as box:
        box.send(one())
        error = refusal(lambda: box.send(one()))
    assert len(scripted.sent) == 1
    assert error.temporary
    assert not error.possibly_sent
    assert 58 <= (error.retry_after or 0) <= 61
    assert error.diagnosis is not None
    assert error.diagnosis.code == "limit.per-minute"
    assert "may send 1 a minute" in error.diagnosis.cause


@pytest.mark.parametrize(
    ("settings", "code"),
    [({"per_day": 2}, "limit.per-day"), ({"recipients_per_day": 5}, "limit.recipients-per-day")],
)
def test_every_key_is_a_limit_of_the_mailbox_and_not_of_the_account(
    settings: dict[str, Any], code: str, scripted: ScriptedProvider
) -> None:
    with mailer(shop(**settings)) as box:
        box.send(one(2))
    with mailer(shop(**settings).replace(name="t", timeout=0.1)) as other:
        other.send(one(2))
        error = refusal(lambda: other.send(one(2)))
    assert error.diagnosis is not None
    assert error.diagnosis.code == code
    with mailer(shop(**settings).replace(username="eva")) as box:
        box.send(one(2))


def test_an_account_s_nought_lifts_what_is_known_of_the_provider(scripted: ScriptedProvider) -> None:
    scripted.facts = Facts(
        routes=(RouteFacts("scripted", per_minute=1, per_day=1, connections=1),), login_key="username"
    )
    refusals = []
    for settings in ({}, {"per_minute": 0, "per_day": 0, "max_connections": 0}, {"per_minute": 5, "per_day": 5}):
        with mailer(shop(**settings)) as box:
            box.send(one())
            try:
                box.send(one())
            except Throttled as error:
                refusals.append(error.evidence and error.evidence.reason)
            else:
                refusals.append(None)
    assert refusals == ["per-day", None, None]


def test_one_message_for_more_than_a_day_s_recipients_never_has_a_turn(scripted: ScriptedProvider) -> None:
    with mailer(shop(recipients_per_day=2)) as box, pytest.raises(MessageError, match="3 recipients") as caught:
        box.send(one(3))
    assert caught.value.diagnosis is not None
    assert caught.value.diagnosis.code == "recipient.too-many"
    results = list(box_many(shop(recipients_per_day=2), [one(3), one(1)]))
    assert [(result.index, result.outcome) for result in sorted(results, key=lambda each: each.index)] == [
        (0, "failed"),
        (1, "accepted"),
    ]


def box_many(account: franking.Account, batch: Any, **more: Any) -> list[franking.SendResult]:
    with mailer(account) as box:
        return list(box.send_many(batch, **more))


def test_room_that_was_surely_not_used_is_free_again(scripted: ScriptedProvider) -> None:
    scripted.openings = [ConnectError("nobody there", step="connect")] * 3
    with mailer(shop(per_day=1)) as box:
        for _ in range(2):
            with pytest.raises(ConnectError):
                box.send(one())
        results = list(box.send_many([one()], policy=Policy(attempts=1)))
        assert [result.outcome for result in results] == ["failed"]
        box.send(one())
        refusal(lambda: box.send(one()))
    assert len(scripted.sent) == 1


def test_what_the_server_asks_for_all_programs_obey(scripted: ScriptedProvider) -> None:
    scripted.answers = [Throttled("slowly", step="message", retry_after=40.0)]
    with mailer(shop(per_minute=100)) as box, mailer(shop(per_minute=100)) as other:
        refusal(lambda: box.send(one()))
        error = refusal(lambda: other.send(one()))
    assert 38 <= (error.retry_after or 0) <= 41
    assert error.diagnosis is not None
    assert error.diagnosis.code == "rate.limited"
    assert len(scripted.sent) == 1


# -- many ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 3])
def test_many_wait_for_their_turns(
    connections: int, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "MINUTE", 0.2)
    monkeypatch.setattr(counts.Counts, "__init__", _short(counts.Counts.__init__))
    scripted.answers = [{"r0@example.com": {"reply": "451 later", "temporary": True}}]
    began = time.monotonic()
    results = box_many(shop(per_minute=4), messages(11), connections=connections, policy=Policy(first=0.0))
    assert sorted(result.index for result in results) == list(range(11))
    assert {result.outcome for result in results} == {"accepted"}
    assert len(scripted.sent) == 11 + 1
    assert time.monotonic() - began >= 0.4


def test_many_that_would_wait_too_long_fail_for_now_and_a_stop_ends_the_waiting(scripted: ScriptedProvider) -> None:
    results = box_many(shop(per_day=3), messages(5))
    assert [result.outcome for result in results] == ["accepted"] * 3 + ["failed"] * 2
    assert all(isinstance(result.error, Throttled) for result in results[3:])
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    scripted.sent.clear()
    account = shop(per_minute=1).replace(username="eva")
    results = box_many(account, messages(9), stop=stop)
    assert [result.outcome for result in results] == ["accepted", "failed"]


def test_a_run_s_own_pace_takes_the_place_of_the_provider_s_and_not_of_the_account_s(
    scripted: ScriptedProvider,
) -> None:
    scripted.facts = Facts(routes=(RouteFacts("scripted", per_minute=1, per_day=1),), login_key="username")
    assert len({result.outcome for result in box_many(shop(), messages(3), rate=1000, per_day=1000)}) == 1
    results = box_many(shop(per_day=2).replace(username="eva"), messages(3), rate=1000, per_day=1000)
    assert [result.outcome for result in results] == ["accepted", "accepted", "failed"]


# -- connections -----------------------------------------------------------------------------------------------------


def test_a_mailbox_has_so_many_connections_and_an_idle_one_makes_room(
    scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "REST_SECONDS", 0.1)
    account = shop(max_connections=1)
    with mailer(account) as box, mailer(account) as other:
        with box.borrow():
            error = refusal(lambda: other.send(one()))
            assert error.diagnosis is not None
            assert error.diagnosis.code == "limit.connections"
        box.send(one())
        assert other.send(one()).accepted  # within its timeout
        assert scripted.most_open == 1
        other.close()
        assert box.send(one()).accepted


def test_who_waits_for_a_connection_waits_as_long_as_timeout_allows_and_no_longer(scripted: ScriptedProvider) -> None:
    account, clock = shop(max_connections=1, timeout=0.3), Clock()
    with mailer(account) as box, mailer(account) as other, box.borrow():
        assert other.turns is not None
        other.turns._clock, other.turns._sleep = clock, clock.wait
        refusal(lambda: other.send(one()))
    assert sum(clock.waited) == pytest.approx(0.3)


def test_many_take_no_more_connections_than_there_are(scripted: ScriptedProvider) -> None:
    results = box_many(shop(max_connections=2), messages(40), connections=5)
    assert {result.outcome for result in results} == {"accepted"}
    assert scripted.most_open <= 2


def test_a_forked_child_gives_back_nothing_of_its_parent_s(scripted: ScriptedProvider) -> None:
    files = FileLimits(Path(os.environ["FRANKING_STATE_DIR"]) / "limits")
    slot = files.connection("x", 1)
    assert slot is not None
    slot._process -= 1  # as a child sees it
    slot.release()
    mine = files.connection("y", 1)
    assert mine is not None
    assert files.connection("y", 1) is None
    mine.release()
    mine.release()
    again = files.connection("y", 1)
    assert again is not None
    again.release()


# -- where the counts are ----------------------------------------------------------------------------------------------


def test_what_is_known_of_a_provider_is_kept_alone_where_no_file_can_be_written(
    scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FRANKING_STATE_DIR", str(tmp_path / "file" / "state"))
    scripted.facts = Facts(routes=(RouteFacts("scripted", per_day=2, connections=3),), login_key="username")
    scripted.openings = [ConnectError("nobody there", step="connect")]
    with mailer(shop()) as box:
        with pytest.raises(ConnectError):
            box.send(one())
        box.send(one())
        scripted.answers = [Throttled("slowly", step="message", retry_after=1.0)]
        refusal(lambda: box.send(one()))
        refusal(lambda: box.send(one()))
    with mailer(shop(per_day=2)) as box, pytest.raises(SettingsError, match="could not be made"):
        box.send(one())  # somebody wrote it down
    with mailer(shop(max_connections=2)) as box, pytest.raises(SettingsError, match="could not be made"):
        box.send(one())


def test_a_count_or_a_connection_that_is_no_file_of_ours_is_an_error(tmp_path: Path) -> None:
    files, facts = FileLimits(tmp_path), RouteFacts("x", per_minute=1)
    files._path("x").mkdir()
    with pytest.raises(SendError, match="written"):
        files.take("x", facts, 1)
    files._path("y").with_suffix(".0.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="symbolic link"):
        files.connection("y", 1)


def test_without_flock_there_is_filelock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    files = FileLimits(tmp_path)
    slot = files.connection("x", 1)
    assert slot is not None
    monkeypatch.undo()
    assert files.connection("x", 1) is None
    slot.release()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    again = FileLimits(tmp_path).connection("x", 1)
    assert again is not None
    assert FileLimits(tmp_path).connection("x", 1) is None
    again.release()


def test_a_place_that_breaks_later_is_told_and_harms_no_message(
    scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.openings = [ConnectError("nobody there", step="connect")]

    def broken(*_: object) -> None:
        raise OSError("broken")

    monkeypatch.setattr(FileLimits, "give_back", broken)
    with mailer(shop(per_day=2)) as box, pytest.raises(ConnectError):
        box.send(one())
    assert "broken" in caplog.text


def test_where_the_files_cannot_be_locked_a_wait_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_files, "LOCK_SECONDS", 0.05)
    files, facts = FileLimits(tmp_path), RouteFacts("x", per_minute=1)
    with files._counts("x"), pytest.raises(SendError) as caught:
        files.take("x", facts, 1)
    assert caught.value.temporary


def test_time_is_handed_in(scripted: ScriptedProvider, tmp_path: Path) -> None:
    clock = Clock()
    files = FileLimits(tmp_path, clock=clock)
    account = shop(per_minute=1, timeout=100)
    found = turns.Turns(account, RouteFacts("x", per_minute=1), files, clock=clock, sleep=clock.wait)
    for _ in range(2):
        found.wait(1, lambda: False)
    assert sum(clock.waited) == pytest.approx(60, abs=0.2)
    with pytest.raises(Throttled):
        found.wait(1, lambda: True)  # broken off


# -- several programs --------------------------------------------------------------------------------------------------

TAKER = """
import sys
from pathlib import Path
from franking.provider import RouteFacts
from franking.sending.limit_files import FileLimits
files, facts = FileLimits(Path(sys.argv[1])), RouteFacts("x", per_day=int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
print(sum(files.take("box", facts, 1).wait == 0 for _ in range(int(sys.argv[3]))), flush=True)
"""


def takers(directory: Path, most: int, each: int, number: int) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-c", TAKER, str(directory), str(most), str(each)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    found = [subprocess.Popen(command, **pipes) for _ in range(number)]
    for process in found:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    return found


@pytest.mark.process
def test_processes_together_take_what_there_is_and_no_more(tmp_path: Path) -> None:
    processes = takers(tmp_path, 100, 60, 4)
    counted = [int(process.communicate("\n", timeout=60)[0]) for process in processes]
    assert sum(counted) == 100


@pytest.mark.process
def test_killed_at_any_moment_it_is_counted_or_not_and_nobody_is_held_up(tmp_path: Path) -> None:
    """A killed process may have counted what it did not live to tell: no more than one each."""
    facts, killed = RouteFacts("x", per_day=10**6), 8
    for process in takers(tmp_path, 10**6, 10**6, killed):
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(0.06)
        process.kill()
        process.communicate(timeout=60)
    files = FileLimits(tmp_path)
    began = time.monotonic()
    assert files.take("box", facts, 1).wait == 0
    assert time.monotonic() - began < 5
    with files._counts("box") as known:
        assert sum(messages for messages, _ in known._quarters.values()) > killed


@pytest.mark.process
def test_a_killed_program_s_connection_is_free(tmp_path: Path) -> None:
    code = TAKER.replace(
        "print(sum", "kept = files.connection('box', 1)\nprint(kept is not None, flush=True)\nsys.stdin.readline()\n#"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), "1", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "True\n"
    files = FileLimits(tmp_path)
    assert files.connection("box", 1) is None
    holder.kill()
    holder.communicate(timeout=60)
    assert files.connection("box", 1) is not None


@pytest.mark.process
def test_sendmail_stands_on_the_same_limits(tmp_path: Path) -> None:
    with SmtpServer() as server:
        table = f"[accounts.shop]\nprovider = 'smtp'\nfrom = 'a@example.cz'\nhost = '127.0.0.1'\nport = {server.port}\n"
        Path(os.environ["FRANKING_CONFIG"]).write_text(table + "security = 'none'\nper_day = 1\n")
        franking.send("shop", one())
        program = Path(sys.executable).parent / "franking-sendmail"
        done = subprocess.run([program, "b@example.com"], input=b"x\n", capture_output=True, timeout=60, check=False)
    assert done.returncode == 75
    assert b"may send 1 a day" in done.stderr
    assert len(server.messages) == 1
