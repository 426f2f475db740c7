"""Addresses in pages and texts: none can be opened from a test, so their form is looked at. HTTPS, a host of a
list, one spelling each; links between files lead to a file. Links between pages and their headings are
looked at where the site is built (``mkdocs --strict``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / ".github").rglob("*.md")]
PAGES += [*(ROOT / ".github").rglob("*.yml"), *(ROOT / "providers").rglob("*.toml"), *(ROOT / "cli").rglob("*.toml")]
CODE = [path for root in ("providers", "cli") for path in (ROOT / root).rglob("*.py")]
QUOTING = ("what-servers-say", "phrases", "words", "services")
"""Begin the names of files that repeat what servers say, addresses and all."""

HOSTS = {
    "account.live.com",
    "admin.google.com",
    "console.cloud.google.com",
    "developers.google.com",
    "docs.djangoproject.com",
    "dod-graph.microsoft.us",
    "emailengine.app",
    "entra.microsoft.com",
    "github.com",
    "gmail.googleapis.com",
    "go.microsoft.com",
    "graph.microsoft.com",
    "graph.microsoft.us",
    "hooks.slack.com",
    "kb.wedos.com",
    "learn.microsoft.com",
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "mail.google.com",
    "marlam.de",
    "microsoftgraph.chinacloudapi.cn",
    "myaccount.google.com",
    "myapps.microsoft.com",
    "napoveda.seznam.cz",
    "nodemailer.com",
    "oauth2.googleapis.com",
    "outlook-dod.office365.us",
    "outlook.com",
    "outlook.office.com",
    "outlook.office365.com",
    "outlook.office365.us",
    "partner.outlook.cn",
    "passwordreset.microsoftonline.com",
    "sqlite.org",
    "support.forpsi.sk",
    "support.google.com",
    "techcommunity.microsoft.com",
    "wiki.mozilla.org",
    "www.googleapis.com",
    "www.powershellgallery.com",
}
"""Who is linked to, or spoken to. Before a host is new here, read the page: does it say what the text says?"""

EXAMPLE = re.compile(r"(HOST|host|server|localhost|127\.0\.0\.1|\[::1\])(:\w+)?|.*(\{|…|\.example(:\d+)?$|^$).*")
ADDRESS = re.compile(r"https?://[^\s)\]>\"'`|<\\,;]*[^\s)\]>\"'`|<\\,;.:]")


def addresses(path: Path) -> set[str]:
    found = set(ADDRESS.findall(path.read_text("utf-8")))
    return {each for each in found if not EXAMPLE.fullmatch(urlsplit(each).netloc)}


SAID = {path: addresses(path) for path in PAGES + CODE if not path.name.startswith(QUOTING)}
TEXTS = {path: found for path, found in SAID.items() if path in PAGES}


def test_there_is_something_to_look_at() -> None:
    assert len(set().union(*TEXTS.values())) > 50


@pytest.mark.parametrize("path", [path for path, found in SAID.items() if found], ids=lambda path: path.name)
def test_addresses_are_https_at_hosts_that_are_known(path: Path) -> None:
    wrong = {each for each in SAID[path] if not each.startswith("https://") or urlsplit(each).netloc not in HOSTS}
    assert wrong <= {"http://adaptivecards.io/schemas/adaptive-card.json"}  # a name of Microsoft's, not a place


def test_no_host_is_listed_that_nothing_leads_to() -> None:
    assert {urlsplit(each).netloc for found in SAID.values() for each in found} >= HOSTS


def test_one_page_has_one_address() -> None:
    """No final slash here and none there, no language here and none there."""
    spelt = defaultdict(set)
    for found in TEXTS.values():
        for each in found:
            parts = urlsplit(each)
            path = re.sub(r"^/(en-us|en|cs-cz|cs)(?=/)", "", parts.path.lower()).rstrip("/")
            spelt[parts.netloc.removeprefix("www."), path, parts.query, parts.fragment].add(each)
    twice = [each for each in spelt.values() if len(each) > 1]
    assert twice == [{"https://mail.google.com", "https://mail.google.com/"}]  # a page, and the name of a right


def test_links_between_files_lead_to_a_file() -> None:
    for path in PAGES:
        if path.suffix == ".md" and path.parent != ROOT / "docs":  # those are the site's
            for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", path.read_text("utf-8")):
                assert (path.parent / target).resolve().exists(), (path.name, target)
