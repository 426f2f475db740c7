"""``franking explain``: an error text that is pasted or piped, its diagnosis, and the exit code."""

from __future__ import annotations

import commandline
from commandline import Franking, Person

SHOWN = "msmtp: server message: 535 5.7.8 Error: authentication failed: \nmsmtp: could not send mail"


def test_a_text_in_words_or_in_one(franking: Franking) -> None:
    for words in (["535 5.7.8 Error: authentication failed"], ["535", "5.7.8", "Error:", "authentication", "failed"]):
        ended = franking("explain", *words)
        assert ended.code == 0
        assert ended.out == ""
        assert "✗ The server refused the login" in ended.err
        assert "Step: login (a guess: only the text is known)" in ended.err
        assert "535 5.7.8 Error: authentication failed" in ended.err


def test_what_is_piped(franking: Franking) -> None:
    ended = franking("explain", "--json", stdin=SHOWN)
    assert ended.code == 0
    found = ended.json
    assert list(found) == ["ok", "step", "step_guessed", "host", "diagnosis"]
    assert (found["ok"], found["step"], found["step_guessed"], found["host"]) == (True, "login", True, None)
    assert found["diagnosis"]["code"] == "login.refused"
    assert found["diagnosis"]["raw"] == "535 5.7.8 Error: authentication failed:"


def test_piped_octets_of_any_kind() -> None:
    for text in (SHOWN.encode("utf-16"), b"\xef\xbb\xbf" + SHOWN.encode(), b"\xff\xfe\xfd\x80" * 3 + SHOWN.encode()):
        ended = commandline.franking("explain", "--json", text=text)
        assert "Traceback" not in ended.err
        if not text.startswith(b"\xff\xfe\xfd"):
            assert ended.json["diagnosis"]["code"] == "login.refused"


def test_what_nobody_knows_is_1_and_quoted(franking: Franking) -> None:
    ended = franking("explain", "550 the moon is full", "--json")
    assert ended.code == 1
    assert ended.json["ok"] is False
    assert ended.json["diagnosis"]["raw"] == "550 the moon is full"
    assert "the moon is full" in franking("explain", "550 the moon is full").err
    assert franking("explain", "moon", "--json").json["diagnosis"]["raw"] == "moon"


def test_nothing_is_2(franking: Franking) -> None:
    for stdin in ("", " \n\n"):
        ended = franking("explain", stdin=stdin)
        assert ended.code == 2
        assert "There is no text" in ended.err
        assert "franking explain --help" in ended.err
    assert franking("explain", "", "--json").json["ok"] is False


def test_whose_words_they_are(franking: Franking, shop: None) -> None:
    text = "535 5.7.8 Username and Password not accepted"
    assert franking("explain", text, "--host", "smtp.gmail.com", "--json").json["host"] == "smtp.gmail.com"
    found = franking("explain", "535 5.7.8 Error: authentication failed", "--account", "shop", "--json").json
    assert any("franking login shop" in remedy for remedy in found["diagnosis"]["remedies"])
    assert franking("explain", text, "--account", "nobody").code == 2


def test_a_person_who_pastes_is_told_how_to_end() -> None:
    person = Person("explain")
    person.run()
    assert "Paste the error" in person.shown


def test_secrets_and_controls_in_the_text_are_not_shown(franking: Franking) -> None:
    shown = "C: AUTH PLAIN AGphbgBnZWhlaW0xMjM=\nS: 535 5.7.8 Bearer ya29.CANARY_1234567890 \x1b[31mno\u202e"
    for more in ([], ["--json"]):
        ended = franking("explain", *more, stdin=shown)
        assert "CANARY" not in ended.out + ended.err
        assert "AGphbg" not in ended.out + ended.err
        assert "\x1b[31m" not in ended.err and "\u202e" not in ended.err
