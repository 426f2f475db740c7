"""How Redis is asked: scripts in one round trip, what each failure means, threads, forks, clients of an application."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from franking.errors import FrankingError, SendError, SettingsError
from franking.shared import redis_link
from franking.shared.failures import may_have_happened
from franking.shared.redis_link import Link
from franking.shared.redis_server import RedisServer, Script
from servers.memoryredis import MemoryRedis
from servers.ports import HOST, closed_port

ECHO = Script("return {KEYS[1], ARGV[1], 5, false}")
SET = Script("redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])")


@pytest.fixture
def memory() -> Iterator[MemoryRedis]:
    with MemoryRedis() as server:
        yield server


@pytest.fixture
def server(memory: MemoryRedis) -> Iterator[RedisServer]:
    made = RedisServer(memory.url, timeout=20)
    yield made
    made.close()


def test_a_script_gets_keys_and_arguments_and_returns_texts_and_numbers(server: RedisServer) -> None:
    assert server.run(ECHO, [server.name("lock:", "můj")], [2.5]) == ["franking:lock:můj", "2.5", 5, None]


def test_several_scripts_go_together(server: RedisServer) -> None:
    calls = [SET.call(["a"], [1]), ECHO.call(["b"], ["x"]), SET.call(["a"], [2])]
    assert server.run_all(calls) == ["1", ["b", "x", 5, None], "2"]


def test_a_script_that_the_server_has_forgotten_goes_again(server: RedisServer) -> None:
    assert server.run(SET, ["a"], [1]) == "1"
    server.ask("SCRIPT", "FLUSH")
    assert server.run_all([SET.call(["a"], [2]), SET.call(["a"], [3])]) == ["2", "3"]


def test_a_server_that_was_started_anew_is_asked_as_if_nothing_had_been(
    server: RedisServer, memory: MemoryRedis
) -> None:
    server.run(SET, ["a"], [1])
    memory.cut()
    assert server.run(SET, ["a"], [2]) == "2"


def test_threads_share_it(server: RedisServer) -> None:
    found: list[str] = []

    def work(number: int) -> None:
        found.extend(server.run(SET, [f"k{number}"], [f"{number} {turn}"]) for turn in range(20))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"{number} {turn}" for number in range(4) for turn in range(20))


def test_a_connection_of_a_parent_is_never_used_here(server: RedisServer) -> None:
    server.run(SET, ["a"], [1])
    link = server._idle[0]
    link.pid += 1  # as if this were the child
    assert server.run(SET, ["a"], [2]) == "2" and link not in server._idle


def test_the_name_in_a_certificate_is_looked_at_in_every_version_of_redis_py() -> None:
    assert RedisServer("rediss://localhost/0")._made().check_hostname is True


@pytest.mark.process
def test_a_forked_child_opens_its_own_connection(server: RedisServer) -> None:
    server.run(SET, ["a"], [1])
    child = os.fork()
    if not child:
        os._exit(0 if server.run(SET, ["a"], ["child"]) == "child" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert server.run(SET, ["a"], ["parent"]) == "parent"


def test_a_client_of_the_application_lends_its_address_and_login(memory: MemoryRedis) -> None:
    client = redis.Redis(host=HOST, port=memory.port, decode_responses=False, max_connections=1)
    server = RedisServer(client, prefix="shop:")
    assert server.run(ECHO, [server.name("x")], ["č"]) == ["shop:x", "č", 5, None]
    assert server.where == f"redis://{HOST}:{memory.port}" and server.protected
    assert server._borrow().connection.retry.get_retries() == 0
    server.close()
    client.close()


# -- failures ----------------------------------------------------------------------------------------------------------


def scripted(words: str) -> FrankingError:
    """Return the error of a script that is answered so; the conversation begins as usual."""
    with socket.create_server((HOST, 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                while asked := sock.recv(65536):
                    said = f"-{words}\r\n" if b"EVAL" in asked else "+OK\r\n" * asked.count(b"*")
                    sock.sendall(said.encode())

        thread = threading.Thread(target=answer)
        thread.start()
        server = RedisServer(f"redis://{HOST}:{listener.getsockname()[1]}", timeout=20)
        with pytest.raises(FrankingError) as caught:
            server.run(ECHO, ["a"], ["b"])
        server.close()
        thread.join()
    return caught.value


def answering(words: str) -> FrankingError:
    """Ask a server that says this to whatever it is asked first, and return the error."""
    with socket.create_server((HOST, 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(words.encode())

        thread = threading.Thread(target=answer)
        thread.start()
        server = RedisServer(f"redis://:canary-5512@{HOST}:{listener.getsockname()[1]}", timeout=20)
        with pytest.raises(FrankingError) as caught:
            server.run(ECHO, ["a"], ["b"])
        server.close()
        thread.join()
    assert "canary-5512" not in f"{caught.value} {caught.value.evidence} {server!r}"
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize(
    "words",
    [
        "READONLY You can't write against a read only replica.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MOVED 3999 127.0.0.1:6381",
        "CLUSTERDOWN The cluster is down",
        "MASTERDOWN Link with MASTER is down",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "BUSY Redis is busy running a script.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write against a replica.",
    ],
    ids=lambda words: words.split(" ")[0],
)
def test_what_passes_is_temporary_and_surely_not_done(words: str) -> None:
    error = scripted(words)
    assert isinstance(error, SendError) and error.temporary and error.step == "secret"
    assert error.evidence is not None and error.evidence.reason == "server-busy"
    assert not may_have_happened(error)
    assert f"{words.removeprefix('ERR ').rstrip('.')}; try again." in str(error)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("ERR unknown", "server-refused"),
        ("NOPERM this user has no permissions to run the 'evalsha' command", "no-rights"),
        ("ERR ACL failure in script: No permissions to access key", "no-rights"),
        ("CROSSSLOT Keys in request don't hash to the same slot", "unfit"),  # a Cluster
        ("ERR unknown command 'EVAL', with args beginning with: 'local'", "unfit"),  # a Sentinel
        ("ERR Write commands not allowed after non deterministic commands", "unfit"),  # Redis 4
    ],
)
def test_what_somebody_has_to_mend_is_a_setting(words: str, reason: str) -> None:
    error = scripted(words)
    assert isinstance(error, SettingsError) and error.field == "FRANKING_STORE" and not error.temporary
    assert error.evidence is not None and error.evidence.reason == reason
    assert words.removeprefix("ERR ").removeprefix("CROSSSLOT ") in str(error)
    assert ("password" in str(error)) == (reason == "server-refused")


@pytest.mark.parametrize("option", ["ca_file", "ssl_certfile", "ssl_keyfile"])
def test_a_file_that_is_not_there_is_a_setting(option: str, tmp_path: Path) -> None:
    server = RedisServer(f"rediss://{HOST}:{closed_port()}/0?{option}={tmp_path / 'none.pem'}")
    with pytest.raises(
        SettingsError, match=r"^FRANKING_STORE: /\S*none\.pem, which the address names, cannot be read: No such file"
    ):
        server.run(ECHO, ["a"], ["b"])


def test_a_file_without_a_certificate_is_a_setting(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    with socket.create_server((HOST, 0)) as listener:
        server = RedisServer(f"rediss://{HOST}:{listener.getsockname()[1]}/0?ca_file={tmp_path / 'ca.pem'}", timeout=20)
        with pytest.raises(SettingsError) as caught:
            server.run(ECHO, ["a"], ["b"])
    assert caught.value.evidence is not None and caught.value.evidence.reason == "bad-address"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("-NOAUTH Authentication required.", "server-refused"),
        ("-WRONGPASS invalid username-password pair or user is disabled.", "server-refused"),
        ("-LOADING Redis is loading the dataset in memory", "server-busy"),
        ("-ERR max number of clients reached", "server-busy"),
        ("-ERR DB index is out of range", "server-refused"),
        ("", "server-away"),
    ],
)
def test_a_server_that_says_why_it_ends_the_conversation(words: str, reason: str) -> None:
    error = answering(f"{words}\r\n" * 3 if words else "")
    assert error.evidence is not None and error.evidence.reason == reason


def test_an_answer_that_is_lost_may_have_been_given(memory: MemoryRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    server = RedisServer(memory.url, timeout=20)
    server.run(SET, ["a"], [1])
    real = Link.read

    def lost(self: Link) -> object:
        real(self)
        raise ConnectionError("Connection closed by server.")

    monkeypatch.setattr(Link, "read", lost)
    with pytest.raises(SendError) as caught:
        server.run(SET, ["a"], [2])
    assert may_have_happened(caught.value) and caught.value.temporary


def test_a_server_that_is_away_did_nothing() -> None:
    server = RedisServer(f"redis://{HOST}:{closed_port()}/3", timeout=20)
    with pytest.raises(SendError) as caught:
        server.run(ECHO, ["a"], ["b"])
    assert caught.value.temporary and not may_have_happened(caught.value)
    assert f"redis://{HOST}:{closed_port()}/3" in str(caught.value)


def test_an_interruption_leaves_no_answer_for_the_next(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.run(SET, ["a"], [1])

    def strike(self: Link) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Link, "read", strike)
        with pytest.raises(KeyboardInterrupt):
            server.run(SET, ["a"], [2])
    assert server.run(ECHO, ["x"], ["y"]) == ["x", "y", 5, None]


# -- what nobody waits for ---------------------------------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["the end can be seen", "the end must be read"])
def seen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:  # as on other systems than Linux
        monkeypatch.setattr(redis_link, "_ENDS", 0)


def said(server: RedisServer, value: int, key: str = "a") -> Callable[[], object]:
    answer = server.say(SET, [key], [value])
    assert answer is not None
    return answer


@pytest.mark.usefixtures("seen")
def test_an_answer_that_nobody_waited_for_is_read_with_the_next(server: RedisServer) -> None:
    assert server.say(SET, ["a"], [1]) is None  # no connection is open yet
    assert server.run(SET, ["a"], [1]) == "1"
    first, second = said(server, 2), said(server, 3)
    assert server.run(ECHO, ["x"], ["y"]) == ["x", "y", 5, None]
    third = said(server, 4)
    assert [third(), first(), second(), third()] == ["4", "2", "3", "4"]
    assert len(server._idle) == 1 and not server._idle[0].unread


@pytest.mark.usefixtures("seen")
def test_an_answer_that_came_before_the_end_is_heard(server: RedisServer, memory: MemoryRedis) -> None:
    server.run(SET, ["a"], [1])
    answer = said(server, 2)
    link = server._idle[0]
    select.select([link.connection._sock], [], [], 20)
    memory.cut()
    assert server.run(SET, ["b"], [3]) == "3"
    assert answer() == "2" and link not in server._idle


def test_who_hears_of_an_answer_that_is_lost_learns_that_it_may_have_happened(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.run(SET, ["a"], [1])
    answer = said(server, 2)

    def lost(self: Link) -> object:
        raise ConnectionError("Connection closed by server.")

    with monkeypatch.context() as patch:
        patch.setattr(Link, "read", lost)
        for _ in range(2):
            with pytest.raises(SendError) as caught:
                answer()
            assert may_have_happened(caught.value)
    assert server.run(SET, ["a"], [3]) == "3"


def test_what_was_said_is_heard_before_a_connection_is_closed(server: RedisServer) -> None:
    server.run(SET, ["a"], [1])
    answer = said(server, 2)
    server.close()
    assert answer() == "2"


def test_what_is_said_on_a_connection_that_is_over_is_an_error(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.run(SET, ["a"], [1])
    before = said(server, 2)

    def broken(self: Link, commands: object) -> None:
        raise BrokenPipeError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Link, "send", broken)
        with pytest.raises(SendError, match="gone"):
            server.say(SET, ["a"], [3])
    with pytest.raises(SendError, match="gone"):
        before()


def test_a_script_that_was_forgotten_is_told_as_refused_to_who_hears_it(server: RedisServer) -> None:
    server.run(SET, ["a"], [1])
    server.ask("SCRIPT", "FLUSH")
    with pytest.raises(FrankingError, match="No matching script"):
        said(server, 2)()
    assert server.run(SET, ["a"], [3]) == "3"


def test_threads_that_wait_for_no_answer_get_each_its_own(server: RedisServer) -> None:
    server.run(SET, ["a"], [0])
    found: list[object] = []

    def work(number: int) -> None:
        for turn in range(20):
            answer = server.say(SET, [f"k{number}"], [f"{number} {turn}"])
            server.run(ECHO, ["x"], ["y"])
            found.append(server.run(SET, [f"k{number}"], [f"{number} {turn}"]) if answer is None else answer())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, found)) == sorted(f"{number} {turn}" for number in range(4) for turn in range(20))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://h/x", "no number"),
        ("redis://h:port/0", "no number"),
        ("redis://h/0?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("redis://h/0?ca_file=x.pem", "rediss://"),
    ],
)
def test_an_address_that_is_none_is_told_at_once(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        RedisServer(url)
    assert caught.value.field == "FRANKING_STORE"


def test_whether_others_can_listen() -> None:
    assert RedisServer("rediss://redis.example/0").protected
    assert RedisServer("redis://localhost").protected
    assert not RedisServer("redis://redis.example/0").protected
    assert not RedisServer(redis.Redis(host="redis.example")).protected
    assert RedisServer(redis.Redis(host="redis.example", ssl=True)).protected


def test_a_certificate_that_is_not_there_is_a_setting(tmp_path: os.PathLike[str]) -> None:
    with socket.create_server((HOST, 0)) as listener:
        url = f"rediss://{HOST}:{listener.getsockname()[1]}/0?ca_file={tmp_path}/none.pem"
        with pytest.raises(FrankingError) as caught:
            RedisServer(url, timeout=20).run(ECHO)
    assert "No such file" in str(caught.value)
