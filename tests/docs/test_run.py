"""The commands that the pages of the manual show, run from top to bottom, each page in a home of its own. Names lead to
a server on this machine, sign-ins to the strict fakes of Google and Microsoft (``internet.py``). README and quick start
are typed at a real shell instead: ``test_typed.py``.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.resolver
import pytest

from commandline import Person, franking, sendmail
from docs.internet import ANSWERS as REGISTERING
from docs.internet import Internet, internet
from franking import Outbox
from franking.discovery import domain_check, lookup
from servers.dns import DnsServer
from servers.memoryredis import MemoryRedis
from servers.names import Names
from servers.smtp import Fault, SmtpServer, hangs_up
from servers.web import Authority
from servers.zones import dkim, zone

pytestmark = pytest.mark.process  # it starts none, but it is no quick test

DOCS = Path(__file__).parents[2] / "docs"
PASSWORD = "canary-pass"
HOSTS = ("smtp.novak.cz", "smtp.example.com", "mail.example.com")
GMAIL = "smtp.gmail.com"
TYPED = ("README.md", "index.md", "quick-start.md")

ANSWERS = {
    "Which one [": "",
    "Server, a name or an IP address": HOSTS[1],
    "Login name": "",
    "Password of": PASSWORD,
    "Send the test message to": "",
    "Remove shop": "y",
    "connect from another machine": "y",
    **REGISTERING,
}
NOT_RUN = {
    r"franking relay( run)?( --\S+ \S+)*$": "runs until it is stopped: docs/recordings.py",
    r"franking settings": "opens a browser: tests/real/test_settings_page.py",
    r"franking outbox run$": "runs until it is stopped: tests/cli/test_outbox_run.py",
}
MAKING = re.compile(r"^(accounts|smtp|async|django|sendmail|setup|gmail|outlook)\.md: |accounts add shop")
"""What makes its own account; for all else there is ``shop``."""

SIGNED_IN = {"gmail.md": 2, "outlook.md": 4}
"""How many messages leave by a sign-in; all others by SMTP with a password."""

CALLED = {"outlook.md": "contoso"}
"""Whom NAME stands for: an account that the page has set up."""

BEFORE = {"relay remove-user printer": "franking relay add-user printer"}
ALERTS = '[alerts]\ncommand = ["cat"]\n'
"""What examples take for granted."""

SHOP = "franking setup info@novak.cz --name shop --host smtp.novak.cz --username info@novak.cz"
LOG = "status=bounced (host smtp.novak.cz said: 550 5.1.1 <jana@example.com>: user unknown)"


def lines(page: Path) -> list[str]:
    """Return what a page's console blocks tell to type, on one line each."""
    found: list[str] = []
    for block in re.findall(r"```(?:console|sh|bash)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        if "$ " in block:
            continue  # a recording: docs/recordings.py
        for line in block.replace("\\\n", " ").splitlines():
            words = line.partition(" #")[0].strip()
            if re.match(r"(franking|echo|printf|tail)\b", words) and "franking" in words:
                found.append(words)
    return found


PAGES = {page.name: lines(page) for page in sorted(DOCS.glob("*.md")) if page.name not in TYPED and lines(page)}


PUBLISHED = f"""
{{0}} MX 10 mail.{{0}}
{{0}} TXT v=spf1 include:_spf.google.com -all
_spf.google.com TXT v=spf1 ip4:192.0.2.0/24 -all
google._domainkey.{{0}} TXT {dkim()}
_dmarc.{{0}} TXT v=DMARC1; p=quarantine
"""
"""What the domains of the pages say of themselves: all that is needed."""
AT_MICROSOFT = "contoso.com MX 0 contoso-com.mail.protection.outlook.com."


class Reader(Person):
    """Somebody who answers what is asked, in whatever order."""

    def _read_line(self, size: int = -1) -> str:
        asked = self.shown.rstrip().rpartition("\n")[2]
        answer = next((text for question, text in ANSWERS.items() if question in asked), None)
        assert answer is not None, self.shown
        self._stderr.write("\n")
        return f"{answer}\n"


class Nameless:
    """A resolver that knows the domains of the pages, and of their mail servers one at Microsoft."""

    def __init__(self, zones: DnsServer) -> None:
        self._zones = zones

    def resolve(self, name: str, kind: str, **more: Any) -> Any:
        if name.rstrip(".") == "contoso.com":
            return self._zones.resolver.resolve(name, kind, **more)
        if name.rstrip(".").endswith(("example.com", "novak.cz")):
            raise dns.resolver.NoAnswer(response=dns.message.make_response(dns.message.make_query(name, kind)))
        raise dns.resolver.NXDOMAIN


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SmtpServer, str]]:
    def nothing_published(url: str, seconds: float) -> bytes:
        raise OSError("not found")

    monkeypatch.setattr(lookup, "system_resolver", lambda: Nameless(zones))
    monkeypatch.setattr(domain_check, "system_resolver", lambda: zones.resolver)
    monkeypatch.setattr(lookup, "fetch_https", nothing_published)
    monkeypatch.chdir(tmp_path)
    names = Names(monkeypatch)
    users = dict.fromkeys(("info@novak.cz", "you@example.com", "info@example.com", "office@example.com"), PASSWORD)
    with (
        DnsServer(zone(AT_MICROSOFT, *(PUBLISHED.format(domain) for domain in ("novak.cz", "example.com")))) as zones,
        SmtpServer(users=users, context=authority.context(*HOSTS)) as running,
        SmtpServer(users={"me@gmail.com": PASSWORD}, context=authority.context(GMAIL), implicit_tls=True) as gmail,
    ):
        for host in HOSTS:
            names.lead(host, running.port)
        names.lead(GMAIL, gmail.port)
        yield running, authority.ca_file


@pytest.fixture
def online(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    with internet(tmp_path / "home", authority, monkeypatch) as made:
        yield made


def write_files(folder: Path) -> None:
    """Write the files that the pages speak of."""
    for name, text in {
        "invoice.pdf": "%PDF-1.4",
        "letter.txt": "Dear {{ name }}",
        "letter.html": "<p>Dear {{ name }}</p>",
        "people.csv": "to,name\njana@example.com,Jana\n",
        "letters.jsonl": '{"to": "jana@example.com", "subject": "Hi", "text": "Good morning"}\n',
    }.items():
        (folder / name).write_text(text, encoding="utf-8")


def run(line: str, ca_file: str) -> tuple[int, str]:
    """Run a line: what stands before a pipe, or in the file that is read, is its text; a file that it writes is
    written.
    """
    before, _, words = line.rpartition("| ")
    program, *arguments = shlex.split(words)
    text, target = LOG.encode(), None
    if before and not before.startswith("tail"):
        text = (shlex.split(before) or [""])[-1].replace("$PASSWORD", PASSWORD).encode()
    if arguments[-2:-1] in (["<"], [">"]):
        *arguments, sign, name = arguments
        if sign == "<":
            before, text = name, Path(name).read_bytes()
        else:
            target = Path(name)
    if program == "franking" and (arguments[0] == "setup" or ("--host" in arguments and arguments[0] != "explain")):
        arguments += ["--ca-file", ca_file]
    if before or target:
        done = (sendmail if program == "franking-sendmail" else franking)(*arguments, text=text)
        if target:
            target.write_bytes(done.data)
            return done.code, done.err
        return done.code, done.out + done.err
    person = Reader(*arguments, whole=True)
    return person.run(), person.shown


def queued(line: str, server: SmtpServer) -> str:
    """Put a message into the outbox and return its id; for ``resolve`` one of which nobody knows whether it went."""
    words = ("send", "shop", "--to", "jana@example.com", "--subject", "Hi", "--text", "Good morning", "--queue")
    assert franking(*words).code == 0
    if "resolve" not in line:
        return Outbox().list(state="queued")[0].id
    server.faults.append(Fault("body", hangs_up, executed=True))
    franking("outbox", "run", "--once")
    server.faults.clear()
    return Outbox().list(state="unknown")[0].id


@contextlib.contextmanager
def shared_store(line: str) -> Iterator[None]:
    """For a command that asks the store of several machines, name one in the environment."""
    if "franking store" not in line:
        yield
        return
    with pytest.MonkeyPatch.context() as patch, MemoryRedis() as store:
        patch.setenv("FRANKING_STORE", store.url)
        patch.setenv("FRANKING_STORE_KEY", "a key of the tests, long enough")
        yield


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_tells_to_type_works(
    page: str, server: tuple[SmtpServer, str], online: Internet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path)
    ran = 0
    for number, line in enumerate(PAGES[page]):
        place = f"{page}: {line}"
        if any(re.search(pattern, place) for pattern in NOT_RUN):
            continue
        if not ran or page.startswith("commands-"):  # there each is an example of its own
            monkeypatch.setenv("FRANKING_CONFIG", str(tmp_path / str(number) / "accounts.toml"))
            monkeypatch.setenv("FRANKING_STATE_DIR", str(tmp_path / str(number) / "state"))
            if not MAKING.search(place):
                assert run(SHOP, server[1])[0] == 0
            for example, needed in BEFORE.items():
                assert example not in line or run(needed, server[1])[0] == 0
            if "--alert" in line:
                settings = tmp_path / str(number) / "accounts.toml"
                settings.write_text(settings.read_text("utf-8") + ALERTS, "utf-8")
        if "--import" in line:  # on another machine
            monkeypatch.setenv("FRANKING_STATE_DIR", str(tmp_path / "elsewhere"))
        online.sits_down(line)
        line = line.replace(" NAME ", f" {CALLED.get(page)} ")
        line = re.sub(r" ID\b", lambda found: f" {queued(found.string, server[0])}", line)
        with shared_store(line):
            code, shown = run(line, server[1])
        assert code == 0, f"{line}\n{shown}"
        assert "Traceback" not in shown and PASSWORD not in shown, shown
        assert "--import" not in line or franking("check", "shop").code == 0, "it works there too"
        ran += 1
    assert online.arrived == SIGNED_IN.get(page, 0)
    assert ran or page == "settings-page.md", "a page of which nothing is run"


def test_every_exception_is_needed() -> None:
    places = [f"{page}: {line}" for page, found in PAGES.items() for line in found]
    for pattern in NOT_RUN:
        assert any(re.search(pattern, place) for place in places), pattern
    assert len(places) > 60
