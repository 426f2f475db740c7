"""What does not tell a cause asserts none: a word in a link, in an address or in a host's name, a thing that is only
named, a trouble that is denied, a fact that is as it should be, a step that had gone well. Grids, topic by topic.
"""

from __future__ import annotations

import tomllib
from itertools import product
from pathlib import Path

import pytest

import franking
from franking.diagnosis.phrases import Words
from franking.diagnosis.rules import deciding
from franking.registry import provider
from franking.sending.explain import rules_for
from franking.sending.pasted import explain_text
from refusals import GENERAL, Refusal, evidence

_TOPICS = """
spam virus malware phishing blacklist blocklist rbl quota rate-limit throttling greylisting relay tls encryption
authentication password attachment header recipient sender mailbox ptr rdns helo policy reputation dkim spf dmarc loop
suspended country abroad smtputf8 milter maintenance suppression complaints over-quota user-unknown no-such-user
too-many-connections sending-limit bare-lf account-suspended account-locked unsolicited dynamic-ip open-relay
app-password trial sandbox credit billing verification size-limit
"""
TOPICS = _TOPICS.split()
"""What rules are about, as links and names write it."""
PLACES = {
    "link": "Refused, see https://example.com/{}",
    "link without a scheme": "Refused, see example.com/help/{}.html",
    "link in brackets": "Refused (see:https://example.com/{})",
    "page's mark": 'Refused. <a href="https://www.example.com/{}.html">More</a>',
    "address": "Refused <{}-desk@example.com>",
    "host": "Refused by mx-{}.example.com",
    "host of a log": "Refused by mx-{}.example.com[192.0.2.1]:25",
}
SAID_AT = {"greet": "554", "auth": "535 5.7.8", "mail": "550 5.7.1", "rcpt": "550 5.7.1", "body": "554 5.7.1"}
QUOTED = {code for codes in GENERAL.values() for code in codes} | {"server.policy", "text.not-understood"}
ACCOUNT = franking.Account(name="shop", provider="smtp", sender="info@novak.cz", host="smtp.novak.cz", username="info")


def _code(step: str, reply: str) -> str:
    error, seen = evidence(Refusal("", "smtp", step, reply, (), False))
    known = {"host": ACCOUNT.get("host"), "security": "starttls", "route": "smtp", "no_login": False}
    return deciding(error, seen, rules_for(error, ACCOUNT, provider("smtp")), known).code


def _grid(place: str) -> list[tuple[str, str, str]]:
    """Return topic, step and reply of each refusal that names its topic at that place alone."""
    return [
        (topic, step, f"{code} {PLACES[place].format(topic)}")
        for topic, (step, code) in product(TOPICS, SAID_AT.items())
        if (topic, place) not in NAMES_OF_LISTS
    ]


@pytest.mark.parametrize("place", ["link", "host"])
def test_a_word_in_a_link_or_a_name_is_no_cause(place: str) -> None:
    # one step a topic, each step in its turn; the whole grid is another tier's
    told = {reply: _code(step, reply) for _, step, reply in _grid(place)[:: len(SAID_AT) + 1]}
    assert not {reply: code for reply, code in told.items() if code not in QUOTED}


@pytest.mark.matrix
@pytest.mark.parametrize("place", PLACES)
def test_nor_at_any_step_or_where_it_is_pasted(place: str) -> None:
    wrong = []
    for _, step, reply in _grid(place):
        told = {_code(step, reply), explain_text(reply).diagnosis.code}
        wrong += [(reply, step, told)] if told - QUOTED else []
    assert not wrong, "\n".join(map(repr, wrong))


NAMES_OF_LISTS = {("rbl", "host"), ("rbl", "host of a log")}
"""A host that is called so is a blocklist."""

DENIED = """
mail | 550 5.7.1 Refused: the daily limit has not been exceeded
mail | 550 5.7.1 Your sending quota has not been exceeded, but this message was refused
mail | 550 Your IP 192.0.2.1 is not listed in any blocklist
body | 554 5.7.1 Your IP address is not on any blacklist; refused
mail | 550 Rejected after virus scan
mail | 550 5.7.1 Message rejected during virus scan stage
mail | 550 5.7.1 Spam check passed, still refused
mail | 550 5.7.1 Refused. Check your reputation at our site
mail | 550 5.7.1 Refused. Please check the reputation of your IP
auth | 535 5.7.8 Authentication failed: two-factor authentication is not enabled
auth | 535 5.7.8 Two-factor authentication is not enabled for this account; login refused
auth | 535 5.7.8 Error: authentication failed, account is not locked
auth | 535 5.7.8 login failed, SMTP is not disabled for this user
mail | 550 5.7.1 TLS is not required, but refused
mail | 550 5.7.1 Refused: the sender is allowed, the recipient is not blocked
mail | 550 5.7.1 There is no limit on recipients; refused
body | 554 5.7.1 Virus scanner passed the message. Refused.
body | 554 5.7.1 Refused; spam filter has found nothing
body | 554 5.7.1 No blacklist hit; refused by admin
body | 554 5.7.1 Your domain has no bad reputation; refused
body | 554 5.7.1 message size is within limits; refused
body | 554 5.7.1 message size is below the limit; refused
body | 552 the mailbox quota has not been reached
mail | 550 5.7.1 none of your addresses is suspended; refused
mail | 550 account isn't suspended, refused
mail | 550 account was never suspended, refused
mail | 550 5.7.1 The credit is not exhausted. Refused
rcpt | 451 4.7.1 We do not use greylisting; come back later
rcpt | 451 4.7.1 greylisting is off
body | 554 5.7.1 Refused. This server does no virus scanning
mail | 550 5.7.1 The message does not contain a virus. Refused
mail | 550 5.7.1 The message doesn't look like spam. Refused
auth | 535 5.7.8 Refused. No app password is needed here
auth | 535 5.7.8 Refused. App passwords are not supported
auth | 535 5.7.8 Refused. You do not need an app password
mail | 550 5.7.1 reverse DNS is fine; refused
mail | 550 5.7.1 PTR record found; refused
mail | 550 5.7.1 Refused. HELO name is valid
mail | 550 5.7.1 You are authenticated. Refused
mail | 550 5.7.1 You are already logged in; refused
mail | 550 5.7.1 authentication is not needed
mail | 550 5.7.1 sender address is not rejected
body | 552 message is not larger than the limit; refused
rcpt | 421 not too many connections; going away
mail | 550 5.7.1 The IP is not blocked. Refused
mail | 550 5.7.1 Refused. Your ip isn't banned
mail | 550 5.7.1 The recipient's mailbox has not been disabled, refused
mail | 550 5.7.1 Refused; authentication is not required here
rcpt | 550 5.7.1 Refused; the mailbox is not full
rcpt | 550 5.7.1 Refused; this account is not suspended
body | 554 5.7.1 Refused; the message is not spam
body | 554 5.7.1 Refused; no virus was found
body | 554 5.7.1 Refused; the message was not identified as spam
mail | 550 5.7.1 Refused; your IP is not blacklisted
mail | 550 5.7.1 Refused; the quota has not been exceeded
body | 552 5.7.1 Refused; the message is not too large
auth | 535 5.7.8 Refused; the account is not locked
auth | 535 5.7.8 Refused; the account is not yet disabled
auth | 535 5.7.8 Refused; not too many attempts
rcpt | 451 4.7.1 This is not greylisting
body | 554 5.7.1 This is not a loop
body | 554 5.7.1 The attachment is not blocked
body | 554 5.7.1 SPF passed, DKIM passed, DMARC passed; refused all the same
body | 554 5.7.1 spf=pass dkim=pass dmarc=pass; refused
"""
AS_IT_SHOULD_BE = """
rcpt | 550 5.7.1 Refused; the recipient exists
rcpt | 550 5.7.1 The domain exists, the user exists, but no
mail | 550 5.7.1 Refused; the sender domain exists and resolves
mail | 550 5.7.1 Refused; the sender is verified
mail | 550 5.7.1 Your domain is verified, but this was refused
"""
NAMED = """
mail | 550 5.7.1 Refused, contact the spam team
body | 554 5.7.1 Protected by Example Antispam Gateway. Message refused
body | 554 5.7.1 Example Anti-Virus Gateway: refused
body | 554 5.7.1 Message refused by milter
rcpt | 550 5.7.1 Relay mx1: no
rcpt | 550 5.7.1 Message from relay mx1 refused
mail | 550 5.7.1 Message rejected by our mail relay
mail | 550 5.7.1 Refused. Check our sending limits page
mail | 550 5.7.1 Refused. See our rate limiting page
rcpt | 450 4.7.1 See our greylisting page
rcpt | 550 5.7.1 Refused. For suppression lists see our site
auth | 535 5.7.8 Refused. Check user name, password and encryption settings
rcpt | 550 5.1.1 Blocked
rcpt | 550 5.2.1 Blocked
rcpt | 552 5.2.2 Denied by policy
body | 554 5.6.0 Message denied by policy
"""


@pytest.mark.parametrize(
    "line", [*DENIED.split("\n")[1:-1], *AS_IT_SHOULD_BE.split("\n")[1:-1], *NAMED.split("\n")[1:-1]]
)
def test_what_is_denied_or_only_named_is_no_cause(line: str) -> None:
    step, _, reply = line.partition(" | ")
    assert _code(step, reply) in QUOTED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("see https://example.com/spam-policy for more", "see for more"),
        ('<a href="https://example.com/quota">Learn</a>', "a href learn a"),
        ("mx.example.com[192.0.2.1]:25 said no", "@ 192 0 2 1 25 said no"),
        ("example.com/help/quota.html and/or 5/6", "and or 5 6"),
        ("the quota, so far, is not yet exceeded", "the quota so far fine"),
        ("the spam team", "the team"),
        ("an anti-virus gateway", "an gateway"),
    ],
)
def test_links_names_and_denials_leave_no_words(text: str, words: str) -> None:
    assert " ".join(Words(text).words) == words


STILL_TOLD = """
rcpt | recipient.full | 552 5.7.1 Not delivered, the mailbox is full
body | message.spam | 554 5.7.1 Message rejected by spam check
body | message.spam | 554 5.7.1 Not accepted; this is spam
body | message.virus | 554 5.7.1 The check found a virus
body | server.trouble | 451 4.3.0 Virus scan failed, please retry
auth | server.trouble | 535 5.7.0 Error: authentication failed: Connection lost to authentication server
auth | login.app-password | 535 5.7.8 Two-factor authentication is enabled; use an app password
mail | quota.exceeded | 550 5.7.1 The quota is valid for a day; daily limit exceeded
mail | login.missing | 550 5.7.1 Not accepted, authentication is required
greet | greet.name-refused | 550 5.7.1 Please make sure that the HELO name is valid: HELO rejected
"""
"""A denial, or praise, elsewhere in a reply takes nothing from what it says."""


@pytest.mark.parametrize("line", STILL_TOLD.split("\n")[1:-1])
def test_a_denial_reaches_as_far_as_its_clause(line: str) -> None:
    step, code, reply = line.split(" | ")
    found = _code(step, reply)
    assert found == code or (code == "login.missing" and found == "relay.denied")  # nobody who logs in is told so


LOGS = """
recipient.unknown | 235 2.7.0 Authentication successful / MAIL FROM:<a@b.cz> / 250 2.1.0 Ok / 550 5.1.1 User unknown
sender.not-owned | SMTP SASL login ok / 235 ok / 553 5.7.1 <x@y.cz>: Sender address rejected: not owned by user z
recipient.full | sasl_method=LOGIN, sasl_username=a@b.cz / status=bounced (host mx.b.cz said: 552 5.2.2 mailbox full)
recipient.unknown | sasl_username=a@b.cz / (host mx.b.cz said: 550 5.1.1 User unknown (in reply to RCPT TO command))
login.refused | 220 mail.example.com ESMTP; no spam / 250-AUTH LOGIN PLAIN / 535 5.7.8 Error: authentication failed
message.too-large | 235 2.7.0 Authentication successful / 354 End data / 552 5.3.4 Message size exceeds fixed limit
greylisted | connect to mx2.b.cz: Connection timed out / (host mx1.b.cz said: 450 4.2.0 Recipient: Greylisted)
login.refused | The mailbox is not full, the domain not blacklisted, and still: 535 5.7.8 Error: authentication failed
recipient.unknown | Is this because of DMARC or SPF? Error: 550 5.1.1 User unknown
quota.exceeded | {"error":{"message":"Request failed","response":"550 5.4.5 Daily sending quota exceeded"}}
connect.refused | {"level":"error","ts":1700000000.53,"error":"dial tcp 192.0.2.1:587: connect: connection refused"}
text.not-understood | 235 2.7.0 Authentication successful
text.not-understood | Message sent. 250 2.0.0 OK 1700000000 x - gsmtp
login.refused | 535 5.7.8 Please log in via your web browser first
"""


@pytest.mark.parametrize("line", LOGS.split("\n")[1:-1])
def test_of_several_lines_the_failing_one_is_found(line: str) -> None:
    code, _, text = line.partition(" | ")
    assert explain_text(text.replace(" / ", "\n")).diagnosis.code == code


# --- and the width ----------------------------------------------------------------------------------------------------

THESAURUS = tomllib.loads(Path(__file__).with_name("thesaurus.toml").read_text("utf-8"))


@pytest.mark.parametrize("code", THESAURUS)
def test_ordinary_words_for_a_fact_are_known(code: str) -> None:
    entry = THESAURUS[code]
    right = {code, "relay.denied"} if code == "login.missing" else {code}  # nobody who logs in is told so
    told = {words: _code(entry["step"], f"{entry['reply']} {words}") for words in entry["words"]}
    assert not {words: found for words, found in told.items() if found not in right}
