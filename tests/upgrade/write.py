"""Write what a version of Franking leaves behind: ``python tests/upgrade/write.py FOLDER``, by the Python of that
version's own environment, with that version's ``tests`` in PYTHONPATH. The folder 0.1 was made so by version 0.1.0 on
2026-11-30; ``test_upgrade.py`` begins with such a folder.

Nothing in it is a secret of anybody; it is the state after a morning's work: passwords plain and encrypted, two
sign-ins, a list that was cut short, an outbox with each kind of message, devices that may use the relay.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

WRITTEN = 1796040000.0  # 2026-11-30, some hours after
PASSWORD = "korektní-kůň"
DEVICE = "tiskárna-heslo-1"
KEY = "a key that only the administrator knows"
SETTINGS = """# Novák's shop; this comment is mine
default = "shop"

[routes]
"@novak.cz" = "shop"
"*" = "locked"

[accounts.shop]
provider = "smtp"
from = "Jan Novák <info@novak.cz>"
host = "127.0.0.1"
port = 2525            # the test says which
security = "none"
username = "info@novak.cz"
allow_plain_login = true
timeout = 5
per_day = 500

[accounts.locked]
provider = "smtp"
from = "locked@novak.cz"
host = "127.0.0.1"
port = 2525            # the test says which
security = "none"
username = "locked@novak.cz"
allow_plain_login = true
fallback = "shop"
timeout = 5

[accounts.mail]
provider = "gmail"
from = "me@gmail.com"
client_secrets = "client.json"

[accounts.office]
provider = "outlook"
from = "me@contoso.com"
client_id = "11111111-2222-3333-4444-555555555555"
tenant = "contoso.com"

[relay]
account = "shop"
"""
TOKENS = {"refresh_token": "1//of-nobody"}
CLIENT = {
    "installed": {
        "client_id": "1-x.apps.googleusercontent.com",
        "client_secret": "GOCSPX-of-an-installed-app",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "redirect_uris": ["http://localhost"],
    }
}


def main(folder: Path) -> None:
    """Do a morning's work in ``folder``."""
    from commandline import franking
    from franking.account import config
    from franking.account.binding import binding_of
    from franking.auth.secret import Grant
    from servers.smtp import Fault, SmtpServer, hangs_up

    folder.mkdir(parents=True)
    os.environ.pop("FRANKING_STORE", None)
    os.environ.update(HOME=str(folder / "home"), FRANKING_CONFIG=str(folder / "accounts.toml"))
    os.environ.update(FRANKING_STATE_DIR=str(folder / "state"))
    (folder / "client.json").write_text(json.dumps(CLIENT), "utf-8")

    def settle(port: int) -> None:
        text = SETTINGS.replace("port = 2525", f"port = {port}")
        (folder / "accounts.toml").write_text(text, "utf-8")

    def run(*words: str, stdin: str = "", codes: tuple[int, ...] = (0,)) -> str:
        done = franking(*words, text=stdin.encode())
        if done.code not in codes:
            raise SystemExit(f"franking {' '.join(words)} ended with {done.code}: {done.err}")
        return done.out

    settle(2525)
    os.environ["FRANKING_STORE"] = "file"
    run("login", "shop", "--password-stdin", stdin=f"{PASSWORD}\n")
    for name, who in (("mail", "me@gmail.com"), ("office", "me@contoso.com")):
        account = config.load().account(name)
        bound = binding_of(account)
        grant = Grant(account.provider, account.route, who, ("openid",), 1.0, 1.0, data=TOKENS, bound=bound)
        run("login", name, "--import", stdin=grant.dumps())
    os.environ.update(FRANKING_STORE="encrypted", FRANKING_STORE_KEY=KEY)
    run("login", "locked", "--password-stdin", stdin=f"{PASSWORD}\n")
    os.environ["FRANKING_STORE"] = "file"
    device = ("relay", "add-user", "printer", "--account", "shop", "--from", "@novak.cz", "--password-stdin")
    run(*device, stdin=f"{DEVICE}\n")
    settings = (folder / "accounts.toml").read_text("utf-8")

    letters = [{"to": f"r{n}@example.com", "subject": f"Dopis {n}", "text": "Dobrý den\n"} for n in range(1, 5)]
    (folder / "letters.jsonl").write_text("".join(json.dumps(one) + "\n" for one in letters), "utf-8")
    users = dict.fromkeys(("info@novak.cz", "locked@novak.cz"), PASSWORD)
    with SmtpServer(users=users, refused={"gone@example.com": "550 5.1.1 no such mailbox"}) as server:
        (folder / "accounts.toml").write_text(settings.replace("port = 2525", f"port = {server.port}"), "utf-8")
        lines = (folder / "letters.jsonl").read_text("utf-8").splitlines(keepends=True)
        (folder / "letters.jsonl").write_text("".join(lines[:2]), "utf-8")
        run("send-many", "shop", str(folder / "letters.jsonl"))
        (folder / "letters.jsonl").write_text("".join(lines), "utf-8")  # two more, for after the upgrade
        run("send", "shop", "--queue", "--to", "jana@example.com", "--subject", "Přijatá", "--text", "a")
        run("send", "shop", "--queue", "--to", "gone@example.com", "--subject", "Odmítnutá", "--text", "b")
        run("outbox", "run", "--once", codes=(0, 1))
        run("send", "shop", "--queue", "--to", "petr@example.com", "--subject", "Neznámá", "--text", "c")
    with SmtpServer(users=users, faults=[Fault("body", hangs_up, executed=True)]) as server:
        (folder / "accounts.toml").write_text(settings.replace("port = 2525", f"port = {server.port}"), "utf-8")
        run("outbox", "run", "--once", codes=(0, 1, 3, 5))
        run("send", "shop", "--queue", "--to", "ota@example.com", "--subject", "Čeká", "--text", "d")
        run("send", "locked", "--queue", "--to", "eva@example.com", "--subject", "Čeká zamčená", "--text", "e")
    (folder / "accounts.toml").write_text(settings, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
