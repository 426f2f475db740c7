"""The mail backend, in the manner of Django's own mail tests. Every message travels over a socket to a server: the
strict one of these tests, aiosmtpd, or the fake of Gmail's API.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.test.utils import override_settings

import franking
from franking_cli.embedded_server import MailServer
from servers.django_mail import (
    BACKEND,
    CLASSIC,
    MAILERS,
    Use,
    at,
    connection,
    gmail,
    letter,
    parsed,
    reported,
    signed_in,
)
from servers.google import Google
from servers.smtp import Fault, SmtpServer, hangs_up, says
from smtp.sessions import flights_of

# Django 6.1 warns of everything classic; that MAILERS brings no warning is a test of its own
pytestmark = CLASSIC

# -- what is sent ------------------------------------------------------------------------------------------------------


def test_send_mail(use: Use, server: SmtpServer) -> None:
    use(at(server))
    assert (
        mail.send_mail(
            "Předmět",
            "Žluťoučký kůň",
            "Eshop Novák <eshop@novak.cz>",
            ["Jana <jana@example.com>"],
            html_message="<p>Kůň</p>",
        )
        == 1
    )
    received, message = server.messages[0], parsed(server)
    assert (received.sender, received.recipients) == ("info@novak.cz", ["jana@example.com"])
    assert message["From"] == "Eshop Novák <eshop@novak.cz>"
    assert message["Subject"] == "Předmět"
    assert message["To"] == "Jana <jana@example.com>"
    assert message["Message-ID"] and message["Date"]
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None and plain.get_content().strip() == "Žluťoučký kůň"
    assert html is not None and html.get_content().strip() == "<p>Kůň</p>"


def test_send_mass_mail_uses_one_session(use: Use, server: SmtpServer) -> None:
    use(at(server))
    letters = [(f"number {number}", "text", None, [f"to{number}@example.com"]) for number in range(25)]
    assert mail.send_mass_mail(letters) == 25
    assert [message.recipients for message in server.messages] == [[f"to{number}@example.com"] for number in range(25)]
    assert len(server.sessions) == 1


def test_what_a_page_sends_together_leaves_half_a_window_at_a_time(
    use: Use, server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(at(server))
    flights = flights_of(monkeypatch)
    assert mail.send_mass_mail([(f"number {number}", "text", None, ["to@example.com"]) for number in range(24)]) == 24
    assert flights == [8, 8, 8]


def test_alternatives_attachments_and_headers(use: Use, server: SmtpServer) -> None:
    use(at(server))
    message = mail.EmailMultiAlternatives(
        "Faktura",
        "text",
        None,
        ["jana@example.com"],
        cc=["petr@example.com"],
        reply_to=["obchod@novak.cz"],
        headers={"X-Order": "114"},
    )
    message.attach_alternative("<p>text</p>", "text/html")
    message.attach_alternative(b"\x00\x01", "application/x-own")
    message.attach("faktura č. 1.pdf", b"%PDF\x00\xff", "application/pdf")
    message.attach("notes.txt", "poznámka", "text/plain")
    inner = mail.EmailMessage("inner", "of the inner", "a@b.cz", ["c@d.cz"])
    message.attach("inner.eml", inner, "message/rfc822")
    assert message.send() == 1
    found = parsed(server)
    assert found["X-Order"] == "114"
    assert found["Reply-To"] == "obchod@novak.cz"
    assert found["Cc"] == "petr@example.com"
    assert server.messages[0].recipients == ["jana@example.com", "petr@example.com"]
    files = {part.get_filename(): part for part in found.iter_attachments()}
    assert files["faktura č. 1.pdf"].get_content() == b"%PDF\x00\xff"
    assert files["notes.txt"].get_content().strip() == "poznámka"
    assert files["inner.eml"].get_content()["Subject"] == "inner"
    assert {part.get_content_type() for part in found.walk()} >= {
        "text/plain",
        "text/html",
        "application/x-own",
        "message/rfc822",
    }


@pytest.mark.parametrize(
    "extensions", [(), ("PIPELINING", "8BITMIME", "SIZE"), ("CHUNKING", "PIPELINING")], ids=["bare", "8bit", "chunking"]
)
def test_text_outside_ascii_goes_through_every_server(use: Use, extensions: tuple[str, ...]) -> None:
    with SmtpServer(extensions=extensions) as server:
        use(at(server))
        message = mail.EmailMultiAlternatives("ž", "Žluťoučký kůň", to=["jana@example.com"])
        message.attach_alternative("<p>Žluťoučký</p>", "text/html")
        assert message.send() == 1
        assert server.messages[0].data.isascii()
        body = parsed(server).get_body(("plain",))
        assert body is not None and body.get_content().strip() == "Žluťoučký kůň"


def test_hidden_recipients_get_it_and_stay_hidden(use: Use, server: SmtpServer) -> None:
    use(at(server))
    assert letter(bcc=["boss@example.com", "Eva <eva@example.com>"]).send() == 1
    assert letter(1, to=[], bcc=["boss@example.com"]).send() == 1
    assert [message.recipients for message in server.messages] == [
        ["to0@example.com", "boss@example.com", "eva@example.com"],
        ["boss@example.com"],
    ]
    assert all(b"boss" not in message.data and b"Bcc" not in message.data for message in server.messages)


def test_a_to_among_the_headers_is_for_show(use: Use, server: SmtpServer) -> None:
    use(at(server))  # Django's ticket 17444: mail to the members of a list
    assert letter(to=["member@example.com"], headers={"To": "list@example.com"}).send() == 1
    assert server.messages[0].recipients == ["member@example.com"]
    assert parsed(server)["To"] == "list@example.com"


def test_the_same_recipient_twice_gets_it_once(use: Use, server: SmtpServer) -> None:
    use(at(server))
    letter(to=["a@example.com", "A <a@example.com>"], bcc=["a@example.com"]).send()
    assert server.messages[0].recipients == ["a@example.com"]


def test_an_international_domain(use: Use, server: SmtpServer) -> None:
    use(at(server))
    assert letter(to=["jana@háčkyčárky.cz"]).send() == 1
    assert server.messages[0].recipients == ["jana@xn--hkyrky-ptac70bc.cz"]


def test_line_breaks_in_headers_are_refused(use: Use, server: SmtpServer) -> None:
    use(at(server))
    for bad in (letter(subject="x\r\nBcc: evil@example.com"), letter(to=["a@example.com\nBcc: evil@example.com"])):
        with pytest.raises(ValueError):
            bad.send()
    assert server.messages == []


# -- who sends ---------------------------------------------------------------------------------------------------------


def test_default_from_email_counts(use: Use, server: SmtpServer) -> None:
    use(at(server))
    letter().send()
    assert parsed(server)["From"] == "Shop <shop@example.com>"
    assert server.messages[0].sender == "info@novak.cz"


def test_a_from_that_nobody_chose_gives_way_to_the_account(use: Use, server: SmtpServer) -> None:
    use(
        at(server),
        DEFAULT_FROM_EMAIL="webmaster@localhost",
        SERVER_EMAIL="root@localhost",
        ADMINS=["admin@example.com"],
    )
    letter().send()
    assert parsed(server)["From"] == "Jan <info@novak.cz>"
    with override_settings(ADMINS=["admin@example.com"] if MAILERS else [("Admin", "admin@example.com")]):
        mail.mail_admins("alert", "x")
    assert parsed(server)["From"] == "Jan <info@novak.cz>"
    assert parsed(server)["Subject"] == "[Django] alert"


def test_an_account_as_a_dict_takes_django_s_sender(use: Use, server: SmtpServer) -> None:
    account = {key: value for key, value in at(server).items() if key != "from"}
    use(account)
    backend = connection()
    assert str(backend.account.sender) == "Shop <shop@example.com>"
    assert backend.account.name == f"smtp-shop@example.com-{server.host}"
    assert franking.account.config.resolve(backend.account.reference) == backend.account  # type: ignore[attr-defined]
    with override_settings(DEFAULT_FROM_EMAIL="webmaster@localhost"):
        use({**account, "username": "info@novak.cz", "password": "x"})
        assert str(connection().account.sender) == "info@novak.cz"
        use(account)
        with pytest.raises(ImproperlyConfigured, match="from: say who sends"):
            connection()


def test_accounts_by_name_url_and_default(
    use: Use, server: SmtpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "accounts.toml"
    table = f'provider = "smtp"\nfrom = "{{}}@novak.cz"\nhost = "127.0.0.1"\nport = {server.port}\nsecurity = "none"\n'
    file.write_text(f"default = 'one'\n[accounts.one]\n{table.format('one')}\n[accounts.two]\n{table.format('two')}")
    monkeypatch.setenv("FRANKING_CONFIG", str(file))
    for account in ("two", None, f"smtp://127.0.0.1:{server.port}?from=url@novak.cz&security=none"):
        use(account)
        letter().send()
    assert [message.sender for message in server.messages] == ["two@novak.cz", "one@novak.cz", "url@novak.cz"]


# -- the connection ----------------------------------------------------------------------------------------------------


def test_open_and_close(use: Use, server: SmtpServer) -> None:
    use(at(server))
    backend = connection()
    assert backend.open() is True
    assert backend.open() is False
    assert backend.send_messages([letter(0)]) == 1
    assert letter(1, connection=backend).send() == 1
    assert backend.send_messages([letter(2), letter(3)]) == 2
    backend.close()
    backend.close()
    assert server.wait().lines[-1] == "QUIT"
    assert len(server.sessions) == 1
    assert len(server.messages) == 4
    assert backend.open() is True
    backend.close()


def test_as_a_context_manager(use: Use, server: SmtpServer) -> None:
    use(at(server))
    with connection() as backend:
        backend.send_messages([letter(0)])
        backend.send_messages([letter(1)])
    assert server.wait().lines[-1] == "QUIT"
    assert len(server.sessions) == 1


def test_without_open_each_call_has_its_own_session(use: Use, server: SmtpServer) -> None:
    use(at(server))
    backend = connection()
    assert backend.send_messages([letter(0), letter(1)]) == 2
    assert server.wait(0).lines[-1] == "QUIT"
    assert backend.send_messages([letter(2)]) == 1
    assert len(server.sessions) == 2


def test_a_session_that_the_server_closed_meanwhile_is_replaced(use: Use) -> None:
    with SmtpServer(extensions=("PIPELINING",), faults=[Fault("mail", hangs_up, nth=2, connection=1)]) as server:
        use(at(server))
        with connection() as backend:
            assert backend.send_messages([letter(0)]) == 1
            assert backend.send_messages([letter(1)]) == 1
        assert len(server.sessions) == 2
        assert len(server.messages) == 2


def test_nothing_to_send_opens_nothing(use: Use, server: SmtpServer) -> None:
    use(at(server))
    assert connection().send_messages([]) == 0
    assert connection().send_messages([mail.EmailMessage("x", "x", to=[])]) == 0
    assert mail.EmailMessage("x", "x", to=[""]).send() == 0
    assert server.sessions == []


def test_threads_share_a_backend(use: Use, server: SmtpServer) -> None:
    use(at(server))
    counts: list[int] = []
    with connection() as backend:
        work = [
            threading.Thread(target=lambda number=number: counts.append(backend.send_messages([letter(number)])))
            for number in range(8)
        ]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
    assert counts == [1] * 8
    assert len(server.messages) == 8
    assert len(server.sessions) == 1


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_refused_message_stops_no_other(use: Use) -> None:
    with SmtpServer(refused={"to1@example.com": "550 5.1.1 nobody here"}) as server:
        use(at(server))
        with pytest.raises(franking.RecipientsRefused) as caught:
            connection().send_messages([letter(number) for number in range(4)])
        assert caught.value.diagnosis is not None
        assert caught.value.__notes__[-1] == "1 of 4 messages were not accepted."  # after the diagnosis
        assert [message.recipients for message in server.messages] == [
            ["to0@example.com"],
            ["to2@example.com"],
            ["to3@example.com"],
        ]


def test_a_wrong_address_stops_no_other(use: Use, server: SmtpServer) -> None:
    use(at(server))
    with pytest.raises(franking.MessageError, match=r"jan@@example\.com") as caught:
        connection().send_messages([letter(0), letter(1, to=["jan@@example.com"]), letter(2)])
    assert caught.value.diagnosis is not None
    assert len(server.messages) == 2


def test_some_recipients_refused_is_sent(use: Use, caplog: pytest.LogCaptureFixture) -> None:
    with SmtpServer(refused={"gone@example.com": "550 5.1.1 nobody here"}) as server:
        use(at(server))
        with caplog.at_level("INFO", logger="franking.django"):
            assert letter(to=["a@example.com", "gone@example.com"]).send() == 1
        assert server.messages[0].recipients == ["a@example.com"]
        assert "refused for 1 of its recipients" in caplog.text


def test_fail_silently(use: Use, caplog: pytest.LogCaptureFixture) -> None:
    with SmtpServer(refused={"to1@example.com": "451 4.2.0 later"}) as server:
        use(at(server))
        with caplog.at_level("INFO", logger="franking.django"):
            assert connection(fail_silently=True).send_messages([letter(number) for number in range(3)]) == 2
        assert "not accepted" in caplog.text
        assert letter(1).send(fail_silently=True) == 0
        assert len(server.messages) == 2


def test_fail_silently_when_nobody_answers(use: Use, server: SmtpServer) -> None:
    with SmtpServer() as gone:
        port = gone.port
    use(at(server, port=port))
    backend = connection(fail_silently=True)
    assert backend.open() is None
    assert backend.send_messages([letter()]) == 0
    with pytest.raises(ConnectionError):
        connection().open()
    with pytest.raises(franking.ConnectError) as caught:
        letter().send()
    assert caught.value.diagnosis is not None and caught.value.diagnosis.code.startswith("connect.")


def test_fail_silently_hides_no_mistake(use: Use, server: SmtpServer) -> None:
    use(at(server, username="jan"))  # and no password
    with pytest.raises(franking.SettingsError, match="No password"):
        letter().send(fail_silently=True)
    use(at(server))
    with pytest.raises(ValueError):
        letter(to=["jan@@example.com"]).send(fail_silently=True)
    use("nobody")
    with pytest.raises(ImproperlyConfigured, match="no account 'nobody'"):
        letter().send(fail_silently=True)


def test_an_unknown_outcome_is_an_error_that_says_so(use: Use) -> None:
    with SmtpServer(faults=[Fault("body", hangs_up, executed=True)]) as server:
        use(at(server))
        with pytest.raises(franking.OutcomeUnknown) as caught:
            letter().send()
        assert caught.value.possibly_sent
        assert len(server.sessions) == 1


def test_nothing_is_tried_again_while_a_page_waits(use: Use) -> None:
    with SmtpServer(faults=[Fault("mail", says("451 4.7.1 later"), nth=None)]) as server:
        use(at(server))
        with pytest.raises(franking.SendError) as caught:
            letter().send()
        assert caught.value.temporary
        assert len([line for line in server.sessions[0].lines if line.startswith("MAIL")]) == 1


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ({"host": "h", "from": "a@b.cz", "prot": 25}, "did you mean port"),
        ({"provider": "smpt", "from": "a@b.cz"}, "did you mean smtp"),
        ({"host": "h", "from": "no address"}, "from: "),
        ("smtp://user:geheim@h?from=a@b.cz", "a password does not belong in it"),
    ],
)
def test_wrong_accounts_name_the_key(use: Use, account: Any, words: str) -> None:
    use(account)
    with pytest.raises(ImproperlyConfigured, match=words) as caught:
        connection()
    assert "geheim" not in str(caught.value)
    where = "MAILERS['default']: account: " if hasattr(settings, "MAILERS") else "FRANKING_ACCOUNT: "
    assert str(caught.value).startswith(where)


def test_the_package_has_the_names_of_its_public_path_and_no_others() -> None:
    import franking.django
    from franking.django.account import account_of
    from franking.django.backend import EmailBackend

    assert franking.django.EmailBackend is EmailBackend
    assert franking.django.account_of is account_of
    with pytest.raises(AttributeError, match=r"'franking\.django' has no attribute 'Backend'"):
        _ = franking.django.Backend  # type: ignore[attr-defined]


def test_a_misspelt_option_is_no_silence(server: SmtpServer) -> None:
    from franking.django import EmailBackend

    with pytest.raises(TypeError, match="acount"):
        EmailBackend(acount=at(server))


# -- logging in --------------------------------------------------------------------------------------------------------


def test_password_in_the_dict_with_aiosmtpd(use: Use) -> None:
    with MailServer(sender="Jan <info@novak.cz>") as server:
        account = server.account({})
        use({"from": "Jan <info@novak.cz>", **account.given, "password": server.password})
        assert letter(bcc=["boss@example.com"]).send() == 1
        assert server.received[0].recipients == ("to0@example.com", "boss@example.com")
        assert server.password not in repr(connection()) + repr(connection().account)


def test_auth_user_and_auth_password() -> None:
    with (
        SmtpServer(users={"jan": "správné"}) as server,
        override_settings(EMAIL_BACKEND=BACKEND, FRANKING_ACCOUNT=at(server)),
    ):
        assert mail.send_mail("x", "x", None, ["a@example.com"], auth_user="jan", auth_password="správné") == 1
        assert server.messages[0].user == "jan"
        with pytest.raises(franking.LoginError):
            mail.send_mail("x", "x", None, ["a@example.com"], auth_user="jan", auth_password="wrong")


# -- an API ------------------------------------------------------------------------------------------------------------


def test_gmail_s_api(use: Use, google: Google, tmp_path: Path) -> None:
    use(gmail(google, tmp_path), DEFAULT_FROM_EMAIL="webmaster@localhost")
    signed_in(google)
    assert connection().send_messages([letter(number, bcc=["boss@example.com"]) for number in range(3)]) == 3
    assert [set(arrived.recipients) for arrived in google.messages] == [
        {f"to{number}@example.com", "boss@example.com"} for number in range(3)
    ]
    assert all(b"boss" not in arrived.delivered for arrived in google.messages)
    assert message_from_bytes(google.messages[0].raw)["From"] == "Me <me@gmail.com>"
    assert len(google.token_requests) == 1


def test_a_to_for_show_cannot_go_by_an_api(use: Use, google: Google, tmp_path: Path) -> None:
    use(gmail(google, tmp_path))
    signed_in(google)
    with pytest.raises(franking.MessageError, match=r"member@example\.com"):
        letter(to=["member@example.com"], headers={"To": "list@example.com"}).send()
    assert google.messages == []


def test_sendtestemail(use: Use, server: SmtpServer) -> None:
    use(at(server))
    call_command("sendtestemail", "jana@example.com", "petr@example.com", skip_checks=True)
    assert server.messages[0].recipients == ["jana@example.com", "petr@example.com"]
    assert parsed(server)["Subject"].startswith("Test email from")


# -- MAILERS -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not MAILERS, reason="Django 6.1 has MAILERS")
def test_mailers_by_alias_without_a_warning(server: SmtpServer) -> None:
    with SmtpServer() as other:
        entries = {
            "default": {"BACKEND": BACKEND, "OPTIONS": {"account": at(server), "window": 4}},
            "invoices": {"BACKEND": BACKEND, "OPTIONS": {"account": at(other, **{"from": "invoices@novak.cz"})}},
            "broken": {"BACKEND": BACKEND, "OPTIONS": {"acount": "shop"}},
            "nobody": {"BACKEND": BACKEND, "OPTIONS": {"account": "nobody"}},
            "silent": {"BACKEND": BACKEND, "OPTIONS": {"account": at(other, port=1), "fail_silently": True}},
        }
        with override_settings(MAILERS=entries), warnings.catch_warnings():
            warnings.simplefilter("error")
            assert mail.send_mail("x", "x", None, ["a@example.com"]) == 1
            assert mail.send_mail("x", "x", None, ["a@example.com"], using="invoices") == 1
            assert letter().send(using="invoices") == 1
            assert mail.send_mass_mail([("x", "x", None, ["a@example.com"])] * 2, using="invoices") == 2
            assert mail.mailers["invoices"].alias == "invoices"
            assert letter().send(using="silent") == 0
            with pytest.raises(mail.InvalidMailer, match="MAILERS\\['broken'\\]: Unknown options 'acount'"):
                letter().send(using="broken")
            with pytest.raises(
                mail.InvalidMailer, match="MAILERS\\['nobody'\\]: account: There is no account 'nobody'"
            ):
                letter().send(using="nobody")
            call_command("sendtestemail", "--using", "invoices", "a@example.com", skip_checks=True)
            codes = [(code, text) for code, text, _ in reported()]
        assert len(server.messages) == 1
        assert [message.sender for message in other.messages] == ["invoices@novak.cz"] * 5
        assert [code for code, _ in codes] == ["franking.E001", "franking.E001"]
        assert "acount" in codes[0][1] and "nobody" in codes[1][1]


# -- imports -----------------------------------------------------------------------------------------------------------


def python(code: str) -> str:
    paths = os.pathsep.join([os.environ["PYTHONPATH"], *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.process
def test_franking_never_imports_django() -> None:
    assert (
        python(
            "import sys, franking; [getattr(franking, name) for name in franking.__all__]; print('django' in "
            "sys.modules)"
        )
        == "False"
    )


@pytest.mark.process
def test_the_backend_needs_no_entry_in_installed_apps(server: SmtpServer) -> None:
    code = f"""
from django.conf import settings
settings.configure(EMAIL_BACKEND="{BACKEND}", FRANKING_ACCOUNT={at(server)!r})
from django.core.mail import send_mail
print(send_mail("x", "x", None, ["a@example.com"]))
"""
    assert python(code) == "1"
    assert parsed(server)["From"] == "Jan <info@novak.cz>"


# -- the outbox --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["backend", "account"])
def test_mail_is_put_into_the_outbox(asked: str, server: SmtpServer) -> None:
    """Nothing is opened: a page waits for no mail server."""
    more = "queue = true\n" if asked == "account" else ""
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        "[accounts.shop]\nprovider = 'smtp'\nfrom = 'info@novak.cz'\nhost = '127.0.0.1'\nsecurity = 'none'\n"
        f"port = {server.port}\n{more}"
    )
    backend = "franking.django.QueueBackend" if asked == "backend" else BACKEND
    with override_settings(EMAIL_BACKEND=backend, FRANKING_ACCOUNT="shop"):
        message = mail.EmailMultiAlternatives(
            "Faktura", "text", "shop@example.com", ["a@example.com"], bcc=["b@example.com"]
        )
        assert mail.get_connection().send_messages([message, message]) == 2
    assert server.sessions == []
    box = franking.Outbox()
    assert [(entry.to, entry.subject) for entry in box.list()] == [(("a@example.com", "b@example.com"), "Faktura")] * 2
    box.run(once=True)
    assert [received.recipients for received in server.messages] == [["a@example.com", "b@example.com"]] * 2
