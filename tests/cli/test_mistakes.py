"""The usual mistakes of a form, tried with unsaved ``send-test`` flags against a server that refuses them: what was
done wrong is the first thing that is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import commandline
from servers.names import Names
from servers.smtp import Fault, SmtpServer, says
from servers.web import Authority

HOST, ADDRESS, PASSWORD = "smtp.shop.example", "info@shop.example", "canary-pass"
NOT_YOURS = "553 5.7.1 <info@shop.example>: Sender address rejected: not owned by user jana@shop.example"
Serve = Callable[..., SmtpServer]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def serve(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    names, servers = Names(monkeypatch), list[SmtpServer]()

    def act(**settings: object) -> SmtpServer:
        users = {ADDRESS: PASSWORD, "jana@shop.example": "her-pass"}
        made = SmtpServer(users=users, context=authority.context(HOST), plain_auth=False, **settings)  # type: ignore[arg-type]
        servers.append(made.__enter__())
        names.lead(HOST, made.port)
        return made

    yield act
    for server in servers:
        server.__exit__(None, None, None)


def tried(authority: Authority, *flags: str, password: str = PASSWORD) -> dict[str, object]:
    """Return the diagnosis of a test with these flags beside those that are right."""
    right = {"--host": HOST, "--port": "587", "--security": "starttls", "--username": ADDRESS, "--from": ADDRESS}
    right |= dict(zip(flags[::2], flags[1::2], strict=True))
    words = [word for flag, value in right.items() for word in (flag, value)]
    ended = commandline.franking(
        "send-test", *words, "--password-stdin", "--ca-file", authority.ca_file, "--timeout", "1", "--to", ADDRESS,
        "--json",
        text=f"{password}\n".encode(),
    )  # fmt: skip
    diagnosis: dict[str, object] = ended.json["diagnosis"]
    return diagnosis


@pytest.mark.parametrize(
    ("flags", "password", "named"),
    [
        (("--username", "info"), PASSWORD, "want the whole address: info@shop.example"),
        ((), "the-old-one", "Is the password the current one?"),
        ((), f"{PASSWORD} ", "ends with a blank"),
        ((), f" {PASSWORD}", "begins with a blank"),
        ((), f"“{PASSWORD}”", "between quotation marks"),
        ((), "canary\u200b-pass", "invisible"),
        ((), PASSWORD[:-1], "Type it anew"),
        ((), PASSWORD[1:], "Type it anew"),
        (("--username", f"{ADDRESS} "), PASSWORD, "should be just info@shop.example"),
        (("--username", "jana@shop.example"), PASSWORD, "The login name is jana@shop.example, but From is"),
    ],
)
def test_a_login_that_is_refused(
    serve: Serve, authority: Authority, flags: tuple[str, ...], password: str, named: str
) -> None:
    serve()
    diagnosis = tried(authority, *flags, password=password)
    assert diagnosis["code"] == "login.refused"
    assert named in diagnosis["remedies"][0]  # type: ignore[index]


def test_the_mailbox_of_somebody_else(serve: Serve, authority: Authority) -> None:
    serve(faults=[Fault("mail", says(NOT_YOURS))])
    diagnosis = tried(authority, "--username", "jana@shop.example", password="her-pass")
    assert "may not send as info@shop.example" in str(diagnosis["cause"])
    assert "The login name is jana@shop.example, but From is info@shop.example" in diagnosis["remedies"][0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("implicit", "flags", "code", "named"),
    [
        (False, ("--security", "tls"), "tls.wrong-port", "port 587 usually goes with starttls"),
        (True, ("--port", "465"), "greet.silent", "port 465 usually goes with tls"),
        (False, ("--security", "none"), "login.not-offered", "port 587 usually goes with starttls"),
    ],
)
def test_port_and_security(
    serve: Serve, authority: Authority, implicit: bool, flags: tuple[str, ...], code: str, named: str
) -> None:
    serve(implicit_tls=implicit)
    diagnosis = tried(authority, *flags)
    assert diagnosis["code"] == code
    assert named in diagnosis["remedies"][0]  # type: ignore[index]


def test_a_name_that_is_nearly_a_known_server(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    with Names(monkeypatch).hanging("smtp.seznan.cz"):
        pass
    diagnosis = tried(authority, "--host", "smtp.seznan.cz")
    assert "smtp.seznam.cz" in diagnosis["remedies"][0]  # type: ignore[index]
