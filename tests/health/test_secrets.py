"""Nothing secret comes out of health: not where a server repeats a password, not in what is kept or told."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import franking
from canaries import found
from commandline import franking as run
from health.hook import SECRET_PATH, Hook
from health.looking import settings
from health.test_mailboxes import password, sign_in
from outbox.test_outbox import save
from servers.google import Google
from servers.smtp import Fault, SmtpServer, says
from servers.web import Reply

PASSWORD = "Canary-Žluť 7%&+pass"
ECHO = f"535 5.7.8 you said {PASSWORD} and {base64.b64encode(PASSWORD.encode()).decode()}"


def kept() -> str:
    """Return all that was written into files, but where secrets are stored."""
    state = Path(os.environ["FRANKING_STATE_DIR"])
    files = [*state.glob("health*.json"), Path(os.environ["FRANKING_CONFIG"]).with_name("sent.jsonl")]
    return "\n".join(path.read_text() for path in files if path.exists())


def every_output() -> Iterator[str]:
    for words in (("--verify",), ("--json",), ("--prometheus",), ("--nagios",), ("--alert",), ("-vv", "--verify")):
        done = run("health", *words)
        yield done.out + done.err


@pytest.mark.parametrize("form", ["json", "slack", "teams"])
def test_a_server_that_repeats_the_password(
    form: str, hook: Hook, loud: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with SmtpServer(mechanisms=("PLAIN",), users={"info": "x"}, faults=[Fault("auth", says(ECHO), nth=None)]) as server:
        save(server.port, username="info", allow_plain_login=True)
        settings(hook.settings(f"webhook_form = '{form}'\n") + "[log]\nfile = 'sent.jsonl'\n")
        password(PASSWORD)
        with franking.connect("shop") as mailer, pytest.raises(franking.LoginError):
            mailer.send(franking.Message(to="a@b.cz", subject="x", text="y"))
        out = "\n".join(every_output())
    seen = [out, kept(), json.dumps(hook.told, ensure_ascii=False), loud.text, *capfd.readouterr()]
    assert hook.told and "password.refused" in out
    assert found("\n".join(seen), PASSWORD, SECRET_PATH.rpartition("/")[2]) == []


def test_a_webhook_s_address_is_a_secret(hook: Hook, loud: pytest.LogCaptureFixture) -> None:
    save(1)
    settings(hook.settings())
    hook.replies += [Reply(500, SECRET_PATH.encode())] * 2
    done = run("health", "--alert", "--json")
    assert done.code == 1
    settings().write_text(settings().read_text().replace("https://", "gopher://"))
    wrong = run("health", "--alert", "-vv")
    assert wrong.code == 2
    seen = done.out + done.err + wrong.out + wrong.err + kept() + loud.text
    assert found(seen, SECRET_PATH.rpartition("/")[2]) == []


def test_nothing_of_a_sign_in(google: Google, hook: Hook, loud: pytest.LogCaptureFixture) -> None:
    sign_in(google, 1.0)
    settings(hook.settings())
    out = "\n".join(every_output())
    google.refresh.clear()
    out += "\n".join(every_output())
    assert "signin.dead" in out and hook.told
    seen = out + kept() + json.dumps(hook.told) + loud.text
    assert found(seen, *google.secrets) == []
