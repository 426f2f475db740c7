"""What other programs show, as they show it (``pasted.toml``), and what it is explained as."""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import franking
from franking.sending.pasted import Explanation, explain_text

HERE = Path(__file__)
SHOWN = tomllib.loads(HERE.with_name("pasted.toml").read_text("utf-8"))["shown"]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown["program"])
def test_what_other_programs_show(shown: dict[str, str]) -> None:
    found = explain_text(shown["text"])
    assert (found.diagnosis.code, found.recognised) == (shown["code"], True)
    assert found.step == shown.get("step", found.step)


@dataclass(frozen=True)
class Collected:
    """A text of a public thread: who showed it, and every diagnosis that is right; ``-`` where it tells no cause."""

    text: str
    service: str
    code: str
    source: str
    helped: str

    def __str__(self) -> str:
        return self.text[:60]

    @property
    def codes(self) -> set[str]:
        return set(self.code.split("|"))

    def explained(self, form: Callable[[str], str] = str) -> Explanation:
        host = re.search(r"(?:[\w-]+\.)+[a-z]{2,}", self.service)
        return explain_text(form(re.sub(r"(?<!\\r)\\n", "\n", self.text)), host=host and host[0])


def _collected() -> list[Collected]:
    lines = HERE.with_name("collected.tsv").read_text("utf-8").splitlines()
    return [Collected(*line.split("\t")) for line in lines if not line.startswith("#")][1:]


def _narrow(text: str) -> str:
    lines = (textwrap.wrap(line, 50, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    return "\n".join("\n".join(line) for line in lines)


def _without_enhanced(text: str) -> str:
    return re.sub(r"(?<![\d.])[245]\.\d\.\d{1,3}(?![\d.]) ?", "", text)


def _cut(text: str) -> str:
    words = text.split(" ")
    return " ".join(words[: max(1, len(words) * 6 // 10)])


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


COLLECTED = _collected()
CLAIMS_NOTHING = {
    "api.bad-request",
    "connect.failed",
    "greet.refused",
    "login.failed",
    "login.refused",
    "login.sign-in-refused",
    "recipient.refused",
    "send.refused",
    "server.not-now",
    "server.policy",
    "text.not-understood",
    "tls.failed",
}
SAID_BY_THE_REST = {
    "the client was not authenticated": "login.missing",
    "unauthorized_client": "google.other-client",
    "unexpected EOF": "connect.lost",
    "Invalid command:": "protocol.error",
    "invalid authentication method - declined": "login.mechanism",
    "Relaying disallowed as": "relay.denied",
    "certificate verification failed": "tls.certificate",
    "Graph error. Status Code: Forbidden": "microsoft.access-denied",
}
"""What the words say that are left when others are cut off."""


@pytest.mark.parametrize("row", COLLECTED, ids=str)
def test_no_text_that_other_programs_showed_in_public_gets_a_wrong_cause(row: Collected) -> None:
    found = row.explained()
    assert found.diagnosis.code in row.codes or ("-" in row.codes and found.diagnosis.code in CLAIMS_NOTHING)


@pytest.mark.matrix
@pytest.mark.parametrize("form", [_on_one_line, _narrow, _without_enhanced, _cut], ids=lambda form: form.__name__)
@pytest.mark.parametrize("row", COLLECTED, ids=str)
def test_no_form_of_what_other_programs_showed_gets_a_wrong_cause(row: Collected, form: Callable[[str], str]) -> None:
    code = row.explained(form).diagnosis.code
    said = {told for words, told in SAID_BY_THE_REST.items() if words in row.text}
    assert code in row.codes | CLAIMS_NOTHING | said


WRITTEN = r"""
secret.missing | Error: Missing credentials for "PLAIN" code: 'EAUTH', command: 'API'
secret.missing | javax.mail.AuthenticationFailedException: failed to connect, no password specified?
secret.missing | ArgumentError: SMTP-AUTH requested but missing user name
address.syntax | Error: No recipients defined code: 'EENVELOPE', command: 'API'
address.syntax | Mailer Error: You must provide at least one recipient email address.
address.syntax | RfcComplianceException: Email "a@" does not comply with addr-spec of RFC 2822.
address.syntax | An email must have a "To", "Cc", or "Bcc" header.
address.syntax | javax.mail.internet.AddressException: Illegal address in string
address.syntax | System.FormatException: The specified string is not in the form required for an e-mail address.
address.syntax | SMTP From address may not be blank: nil
message.attachment | Error: ENOENT: no such file or directory, open '/tmp/invoice.pdf' code: 'ESTREAM', command: 'API'
message.attachment | Could not access file: /var/www/uploads/doc.pdf
message.attachment | IOException; java.io.FileNotFoundException: /tmp/x.pdf (No such file or directory)
connect.stalled | MessagingException: Exception reading response; java.net.SocketTimeoutException: Read timed out
connect.stalled | smtplib.SMTPServerDisconnected: Connection unexpectedly closed: timed out
connect.lost | javax.mail.MessagingException: [EOF]
connect.lost | Connection to "smtp.example.com:465" has been closed unexpectedly.
connect.lost | curl: (52) Empty reply from server
dns.unavailable | System.Net.Sockets.SocketException (00000001, 11): Resource temporarily unavailable
microsoft.admin-consent | Need admin approval. GitLab needs permission to access resources in your organization
microsoft.upload-needed | {"error":{"code":"RequestEntityTooLarge","message":"The request body is too large"}}
google.not-a-tester | Access blocked: MyApp has not completed the Google verification process
google.invalid-grant | RefreshError: ('x', {'error': 'invalid_grant', 'error_description': 'Bad Request'})
google.api-disabled | Gmail API has not been used in project 123456 before or it is disabled. Enable it by visiting
google.no-mailbox | HttpError 400 "Mail service not enabled"
address.syntax | Invalid mailer.FROM (Gitea): mail: no angle-addr
address.syntax | Mail::Field::IncompleteParseError: Mail::AddressList can not parse |x|
address.syntax | lettre: Missing domain or user
address.syntax | 400 to address is required
protocol.error | error: expected 354 after sending DATA, got 250 OK
protocol.error | Expected response code "250" but got code "354", with message "354 go ahead"
microsoft.token-refused | InvalidAuthenticationToken: Lifetime validation failed, the token is expired
microsoft.send-as-denied | Graph said ErrorSendAsDenied
microsoft.scope-missing | NoPermissionsInAccessToken: The token contains no permissions
login.service-credentials | basic authentication is not allowed with 2FA, update to an API key
dns.not-found | Server wurde nicht erreicht: Der Servername konnte nicht gefunden werden
dns.not-found | Nom du serveur introuvable
connect.failed | Es konnte keine Verbindung zum Server hergestellt werden: Verbindung fehlgeschlagen
connect.failed | Nelze se připojit k serveru
tls.hostname | SSL_ERROR_BAD_CERT_DOMAIN
tls.unknown-issuer | SEC_ERROR_UNKNOWN_ISSUER
tls.self-signed | MOZILLA_PKIX_ERROR_SELF_SIGNED_CERT
tls.private-authority | MOZILLA_PKIX_ERROR_MITM_DETECTED
tls.expired | SEC_ERROR_EXPIRED_CERTIFICATE
tls.not-yet-valid | MOZILLA_PKIX_ERROR_NOT_YET_VALID_CERTIFICATE
tls.certificate | SEC_ERROR_REVOKED_CERTIFICATE
tls.outdated | SSL_ERROR_NO_CYPHER_OVERLAP
tls.wrong-port | SSL_ERROR_RX_RECORD_TOO_LONG
tls.interrupted | PR_END_OF_FILE_ERROR
connect.refused | NS_ERROR_CONNECTION_REFUSED
connect.timeout | NS_ERROR_NET_TIMEOUT
connect.lost | NS_ERROR_NET_INTERRUPT
tls.hostname | Certificate problem: host name mismatch
login.refused | Incorrect username or password
login.code-refused | invalid_grant Bad Request: the authorization code was redeemed already
google.invalid-grant | invalid_grant Bad Request
quota.exceeded | Message volume limit has been reached
recipient.full | Mailbox quota exceeded
relay.denied | 553 host not in my list of rcpt hosts
send.refused | {"error":{"code":"ErrorItemNotFound","message":"The specified object was not found in the store."}}
"""
"""What libraries write of what they find themselves, and of what was already connected."""


@pytest.mark.parametrize("line", WRITTEN.split("\n")[1:-1])
def test_what_libraries_write(line: str) -> None:
    code, _, text = line.partition(" | ")
    assert explain_text(text).diagnosis.code == code


def test_what_a_program_finds_by_itself_is_not_the_server_s() -> None:
    assert "server" not in explain_text("Error: No recipients defined").diagnosis.cause


def test_what_is_said_clearly_stands_before_what_could_be_read_into_the_rest() -> None:
    found = explain_text("status=bounced (host mx said: 550 the moon is full)\nconnection timed out\n")
    assert not found.recognised
    assert found.diagnosis.raw == "550 the moon is full"
    assert "the moon is full" in found.diagnosis.cause


@pytest.mark.parametrize(
    "text",
    [
        "",
        "HTTP/1.1 550 x",
        "on line 550 of mail.php",
        "pid 535 started, port 587",
        "GET / HTTP/1.1 500 Internal Server Error",
        "up 535 days, 421 users",
        "version 5.7.8 of nodemailer/4.2.1 at 4.2.1.5",
        "everything is fine",
        "lorem timeout ipsum",
    ],
)
def test_numbers_and_words_of_other_things_are_no_replies(text: str) -> None:
    found = explain_text(text)
    assert (found.recognised, found.diagnosis.code) == (False, "text.not-understood")
    assert found.diagnosis.remedies and found.step is None


def test_whose_words_they_are_is_believed() -> None:
    text = "535 Authentication failed"
    account = franking.Account(name="shop", provider="smtp", sender="a@b.cz", host="smtp.novak.cz", username="a@b.cz")
    with_account = explain_text(text, account=account)
    assert (with_account.diagnosis.code, with_account.host) == ("login.refused", None)
    assert with_account.diagnosis.values["sender"] == "a@b.cz"
    told = explain_text("535 5.7.8 Username and Password not accepted", host="smtp.gmail.com")
    assert (told.diagnosis.code, told.host) == ("google.password-refused", "smtp.gmail.com")
    assert explain_text(f"{text} (smtp.gmail.com:587)").host == "smtp.gmail.com"
    assert explain_text(f"{text} for info@gmail.com").host is None  # an address says nothing of the server
    signed_in = explain_text("AADSTS65001: no consent", account=account)
    assert signed_in.diagnosis.code == "microsoft.consent-needed"  # what the account's own rules do not know


@given(st.text(st.sampled_from("5 3470.-\n\"'(){}b:\\%&=;AZaz<>"), max_size=200), st.sampled_from([0, 1, 2]))
def test_nothing_that_is_pasted_breaks_it(text: str, place: int) -> None:
    known = ["535 5.7.8 ", "AADSTS65001: ", "{'error': {'code': '"][place]
    found = explain_text(f"{text}{known}{text}")
    assert found.as_dict()["diagnosis"]["title"]


@pytest.mark.parametrize(
    "text",
    [
        "535 ab\n",
        "Detail: ",
        "550 5.7.1 x ",
        "(535, b'",
        "a.",
        "certificate ",
        "&;",
        "%41?error=",
        "error_description=",
        ")",
    ],
)
def test_a_text_of_any_size_is_read(text: str) -> None:
    """In a second; reading each place again for each other one would take hours, which the tests' time-out ends."""
    assert explain_text("550 x " + text * (1_000_000 // len(text))).diagnosis.code
