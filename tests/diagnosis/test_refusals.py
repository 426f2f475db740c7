"""Every refusal of the table through the product: a scripted server says it, the public report tells what it means, as
it is written, and in the forms in which words arrive.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import trustme

import franking
from franking.diagnosis import rules as engine
from franking.diagnosis.phrases import Words, phrase
from franking.diagnosis.words.access import ACCESS
from franking.diagnosis.words.limits import LIMITS
from franking.diagnosis.words.login import LOGIN, REFUSED_LOGIN
from franking.diagnosis.words.message import MESSAGE, SPAM, TROUBLE
from franking.diagnosis.words.recipient import RECIPIENT
from franking.diagnosis.words.refusals import Says, in_order
from franking.diagnosis.words.sender import SENDER
from franking.diagnosis.words.topics import TOPICS
from franking.diagnosis.words.translations import LOGIN_TRANSLATIONS, TRANSLATIONS
from franking.errors import Evidence
from franking.sending.testsend import TestReport
from franking_cli.exit_codes import exit_code
from franking_cli.sendmail.exit_codes import EX_TEMPFAIL
from franking_cli.sendmail.exit_codes import exit_code as sendmail_exit_code
from refusals import FORMS, GENERAL, PASSWORD, USER, Refusal, as_written, evidence, names_here, report, rows
from servers.smtp import Fault, SmtpServer, sends
from tiers import one_of_each

ROWS = rows()
SUBJECTS = (ACCESS, LIMITS, LOGIN, SENDER, RECIPIENT, MESSAGE, TROUBLE, TRANSLATIONS)


class Meets:
    """The product, and a server in front of it that refuses as it is told."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("smtp.firma-novak.cz", "smtp.gmail.com").configure_cert(context)
        self.plain = SmtpServer(users={USER: PASSWORD})
        self.encrypted = SmtpServer(users={USER: PASSWORD}, context=context)

    def __call__(self, refusal: Refusal, lines: list[str], **changes: object) -> TestReport:
        if refusal.step == "starttls":
            return report(self.encrypted, refusal, lines, security="starttls", ca_file=str(self.ca_file), **changes)
        return report(self.plain, refusal, lines, **changes)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meets]:
    meets = Meets(tmp_path_factory.mktemp("ca"))
    with meets.plain, meets.encrypted:
        yield meets


@pytest.fixture
def meets(servers: Meets, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meets]:
    with names_here(monkeypatch):
        yield servers


@pytest.mark.parametrize("refusal", one_of_each(ROWS, lambda row: row.codes[0]), ids=str)
def test_a_refusal_as_it_is_written(meets: Meets, refusal: Refusal) -> None:
    """The cause is right; exit code 5, and 75 of sendmail, stand exactly for what may pass."""
    told = meets(refusal, as_written(refusal.reply))
    found = told.diagnosis
    assert found is not None, told.outcome
    assert found.code in refusal.codes
    assert found.temporary is refusal.temporary
    assert (exit_code(told.error) == 5) is refusal.temporary
    assert (sendmail_exit_code(told.error) == EX_TEMPFAIL) is refusal.temporary
    assert [step.status for step in told.steps].count("failed") == 1


@pytest.mark.matrix
@pytest.mark.parametrize("form", [form for form in FORMS if form != "as_written"])
@pytest.mark.parametrize("refusal", ROWS, ids=str)
def test_a_refusal_in_another_form_has_no_wrong_cause(meets: Meets, refusal: Refusal, form: str) -> None:
    found = meets(refusal, FORMS[form](refusal.reply)).diagnosis
    assert found is not None
    assert found.code in refusal.codes or found.code in GENERAL[refusal.step]
    if form in ("wrapped", "in_capitals"):
        assert found.code in refusal.codes


# ---------------------------------------------------------------------------------------------------- what nobody knows


@pytest.mark.parametrize(
    ("step", "reply", "code", "temporary"),
    [
        ("greet", "554 5.0.0 Frobnication 17 of the quux", "greet.refused", False),
        ("greet", "421 4.0.0 Frobnication 17 of the quux", "server.not-now", True),
        ("auth", "554 5.0.0 Frobnication 17 of the quux", "login.failed", False),
        ("auth", "451 4.0.0 Frobnication 17 of the quux", "server.not-now", True),
        ("mail", "550 5.0.0 Frobnication 17 of the quux", "send.refused", False),
        ("mail", "501 5.0.0 Frobnication 17 of the quux", "send.refused", False),
        ("rcpt", "550 5.0.0 Frobnication 17 of the quux", "recipient.refused", False),
        ("rcpt", "451 4.0.0 Frobnication 17 of the quux", "server.not-now", True),
        ("body", "552 5.0.0 Frobnication 17 of the quux", "send.refused", False),
        ("body", "451 4.0.0 Frobnication 17 of the quux", "server.not-now", True),
    ],
)
def test_what_nobody_knows_is_quoted_first(meets: Meets, step: str, reply: str, code: str, temporary: bool) -> None:
    told = meets(Refusal("", "smtp", step, reply, (code,), temporary), [reply])
    found = told.diagnosis
    assert found is not None
    assert (found.code, found.temporary) == (code, temporary)
    assert "Frobnication 17 of the quux" in found.cause
    assert (exit_code(told.error), sendmail_exit_code(told.error) == EX_TEMPFAIL) == (5 if temporary else 1, temporary)
    said = " ".join((found.title, found.cause, *found.remedies))
    for claim in ("problem of its own", "misunderstood", "Check the recipients' addresses"):
        assert claim not in said


def test_a_long_answer_is_quoted_in_full(meets: Meets) -> None:
    words = [f"word{number}" for number in range(90)]
    lines = [f"550-5.0.0 {' '.join(words[at : at + 10])}" for at in range(0, 80, 10)] + [f"550 5.0.0 {words[89]}"]
    found = meets(Refusal("", "smtp", "body", "", ("send.refused",), False), lines).diagnosis
    assert found is not None
    assert " ".join(words[:80]) in found.cause


# ---------------------------------------------------------------------------------------------------- what was true


@pytest.mark.parametrize("step", ["mail", "rcpt"])
@pytest.mark.parametrize(
    "words", ["530 5.7.1 Authentication required", "554 5.7.1 <eva@jinde.cz>: Relay access denied"]
)
def test_a_login_that_succeeded_is_not_advised_again(meets: Meets, step: str, words: str) -> None:
    refusal = Refusal("", "smtp", step, words, (), False)
    found = meets(refusal, [words]).diagnosis
    assert found is not None
    said = " ".join((found.title, found.cause, *found.remedies))
    for lie in ("nobody logged in", "Switch", "unless somebody logs in", "wants a login before", "strangers"):
        assert lie not in said
    assert USER in found.cause and words.partition(" ")[2].partition(" ")[2] in found.cause
    without = meets(refusal, [words], username=None).diagnosis
    assert without is not None
    assert without.code == found.code
    assert "franking login shop" in without.remedies[0]


def test_a_from_that_is_the_login_s_own_is_not_advised(meets: Meets) -> None:
    refusal = Refusal("", "smtp", "mail", "550 5.0.0 No", (), False)
    same = meets(refusal, [refusal.reply]).diagnosis
    other = meets(refusal, [refusal.reply], sender="Jan <jan@firma-novak.cz>").diagnosis
    assert same is not None and other is not None
    assert "Set From" not in " ".join(same.remedies)
    assert f"Set From to {USER}." in " ".join(other.remedies)


# ---------------------------------------------------------------------------------------------------- the right width


WIDTH = """
- greet blocklisted no | 554 5.7.1 See https://www.spamhaus.org/query/ip/192.0.2.1
- greet rate.connections yes | 421 Too many connections, see https://example.com/x
- greet greet.refused no | 554 gmx.net Nemesis ESMTP Service not available, see https://postmaster.gmx.net/en
- greet server.not-now yes | 421 4.7.0 For IMAP and POP3 see http://example.com
mail.gmx.net auth login.refused no | 535 Authentication credentials invalid
smtp.web.de auth login.refused no | 535 Authentication credentials invalid
smtp.ionos.de auth login.refused no | 535 Authentication credentials invalid
- body recipient.full yes | 552 5.2.2 Spam folder of this mailbox is over quota
- body message.virus no | 554 5.7.1 Virus found in spam message
- rcpt blocklisted no | 554 5.7.1 No spam: Client host [192.0.2.1] blocked using bl.example.net
- rcpt quota.exceeded yes | 550 5.7.1 Anti-spam: daily sending limit exceeded
- rcpt sender.domain-blocklisted no | 554 5.7.1 Sender address [a@b.cz] blocked using dbl.spamhaus.org
- rcpt sender.unverifiable no | 550-Verification failed for <a@b.cz>|550-No Such User Here|550 Sender verify failed
smtp-relay.gmail.com rcpt google.relay-not-registered no | 550 5.7.0 Mail relay denied [192.0.2.1].
smtp-relay.gmail.com rcpt google.relay-not-registered no | 550 5.7.1 Invalid credentials for relay [192.0.2.1].
127.0.0.1 auth microsoft.basic-auth-off no | 535 5.7.139 basic authentication is disabled. [VI1.prod.outlook.com]
smtp-hve.office365.com auth microsoft.password-refused no | 535 5.7.139 the user credentials were incorrect.
"""
"""Host (- any), step, code, may it pass; and the words."""


@pytest.mark.parametrize("line", WIDTH.strip().splitlines())
def test_a_rule_is_as_wide_as_what_it_knows(meets: Meets, line: str) -> None:
    known, _, reply = line.partition(" | ")
    host, step, code, passes = known.split()
    via = "smtp" if host == "-" else f"smtp@{host}"
    found = meets(Refusal("", via, step, reply, (code,), passes == "yes"), as_written(reply)).diagnosis
    assert found is not None
    assert (found.code, found.temporary) == (code, passes == "yes")


def test_amazon_s_names_are_told_to_amazon_s_customers_only(meets: Meets) -> None:
    words = "535 Authentication Credentials Invalid"
    for host, told in (
        ("email-smtp.eu-west-1.amazonaws.com", True),
        ("mail.gmx.net", False),
        ("smtp.sendgrid.net", False),
    ):
        found = meets(Refusal("", f"smtp@{host}", "auth", words, (), False), [words]).diagnosis
        assert found is not None
        assert ("AKIA" in " ".join(found.remedies)) is told


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("mail.gmx.net", "switched on"),
        ("smtp.web.de", "switched on"),
        ("email.active24.com", "abroad"),
        ("smtp.websupport.sk", "abroad"),
        ("smtp.seznam.cz", "app password"),
        ("securesmtp.t-online.de", "password of its own"),
    ],
)
def test_what_is_known_of_a_hoster_leads_its_refused_login(meets: Meets, host: str, words: str) -> None:
    reply = "535 5.7.8 Error: authentication failed"
    found = meets(Refusal("", f"smtp@{host}", "auth", reply, (), False), [reply]).diagnosis
    assert found is not None
    assert (found.code, words in found.remedies[0]) == ("login.refused", True)


# ---------------------------------------------------------------------------------------------------- the tables


def _shuffled(subjects: tuple[tuple[Says, ...], ...], chance: random.Random) -> list[list[Says]]:
    tables = [list(table) for table in subjects]
    for table in tables:
        chance.shuffle(table)
    return tables


def _ordered(tables: Iterable[Iterable[Says]]) -> tuple[engine.Rule, ...]:
    *subjects, spam, topics, refused_login = tables
    return (*in_order(*subjects), *in_order(spam), *in_order(topics), *in_order(refused_login))


def _code(rules: tuple[engine.Rule, ...], refusal: Refusal) -> str:
    error, seen = evidence(refusal)
    return engine.deciding(error, seen, rules, {}).code


@pytest.mark.parametrize("seed", range(3))
def test_no_rule_wins_by_where_it_stands(seed: int) -> None:
    """The rows of a table may be written in any order."""
    usual = _ordered((*SUBJECTS, SPAM, TOPICS, REFUSED_LOGIN))
    other = _ordered(_shuffled((*SUBJECTS, SPAM, TOPICS, REFUSED_LOGIN), random.Random(seed)))
    differing = [str(refusal) for refusal in ROWS if _code(usual, refusal) != _code(other, refusal)]
    assert not differing


def test_a_text_costs_time_in_proportion_to_its_length() -> None:
    """Two thousand characters made to please the phrases most take no more than a multiple of what two hundred take."""
    rules = in_order(*SUBJECTS, SPAM, TOPICS, REFUSED_LOGIN, LOGIN_TRANSLATIONS)
    words = "not allowed to send as from sender address message size exceeded limit quota mailbox user relay "

    def seconds(text: str) -> float:
        started = time.process_time()
        read = Words(text)
        for rule in rules:
            if rule.phrase:
                phrase(rule.phrase).among(read)
        return time.process_time() - started

    seconds(words)  # the phrases are read once
    short = min(seconds((words * 2)[:200]) for _ in range(3))
    assert min(seconds((words * 20)[:2000]) for _ in range(3)) < 40 * short + 0.05


@pytest.mark.parametrize("text", ["a." * 1000, "@" * 2000, "(" * 2000, "http://" * 280, "a-" * 1000, "\u0301" * 2000])
def test_a_nasty_text_is_read_at_once(text: str) -> None:
    started = time.process_time()
    Words(text)
    assert time.process_time() - started < 0.2


def test_an_evidence_without_words_fits_no_phrase() -> None:
    assert Words("").words == []
    assert not phrase("spam").among(Words(Evidence("smtp").text))


@pytest.mark.parametrize("charset", ["utf-8", "cp1250", "iso-8859-2"])
@pytest.mark.parametrize(
    ("words", "code"),
    [("Přihlášení je vyžadováno", "login.missing"), ("Uživatel neexistuje", "recipient.unknown")],
)
def test_words_in_an_older_character_set_are_understood(meets: Meets, words: str, code: str, charset: str) -> None:
    meets.plain.faults = [Fault("rcpt", sends(b"550 " + words.encode(charset) + b"\r\n"), nth=None)]
    account = franking.Account(
        name="shop", provider="smtp", sender=USER, host="127.0.0.1", port=meets.plain.port, security="none"
    )
    found = franking.send_test(account, "eva@jinde.cz").diagnosis
    assert found is not None
    assert found.code == code


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("The quota of this mailbox is used up", True),
        ("Mailbox: its owner lets you know that there is no more room in the quota", True),
        ("A mailbox", False),
        ("The quota", False),
    ],
)
def test_what_stands_beside_an_ampersand_may_stand_anywhere(text: str, fits: bool) -> None:
    both = phrase("mailbox & quota|storage")
    assert both.among(Words(text)) is fits
    assert both.weight == 2
