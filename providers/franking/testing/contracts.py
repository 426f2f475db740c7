"""The contract suites that every provider and every store passes; handed on by ``franking.testing``. Needs pytest.

Subclass a suite in a test file, give the fixtures that it names, and pytest runs all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["ProviderContract", "StoreContract"]


class ProviderContract:
    """Check that a provider keeps the contract of ``franking/provider.py``.

    Give the fixtures ``provider``, ``account`` (a working one), ``secret`` (or None) and ``arrived`` (a function that
    gives the octets of the messages that came through so far).
    """

    @pytest.fixture
    def provider(self) -> Any:
        raise NotImplementedError("give a fixture `provider`")

    @pytest.fixture
    def account(self, provider: Any) -> Any:
        raise NotImplementedError("give a fixture `account`")

    @pytest.fixture
    def secret(self) -> Any:
        return None

    @pytest.fixture
    def arrived(self) -> Callable[[], list[bytes]]:
        raise NotImplementedError("give a fixture `arrived`")

    def test_its_facts_are_complete(self, provider: Any, account: Any) -> None:
        assert provider.name == provider.name.strip().lower()
        assert provider.title.strip()
        assert provider.facts.routes, "a provider has at least one route"
        assert provider.route(account) in [route.name for route in provider.facts.routes]
        assert all(route.why for route in provider.facts.routes), "every route says why one would take it"

    def test_its_fields_are_described_once(self, provider: Any) -> None:
        from franking.account.fields import COMMON_FIELDS

        names = [field.name for field in (*COMMON_FIELDS, *provider.fields)]
        assert len(names) == len(set(names))
        for field in provider.fields:
            assert field.help.strip(), f"{field.name} needs a help text"
            assert field.default is None or field.secret or field.read(field.default) == field.default
            assert not field.choices or field.default is None or field.default in field.choices

    def test_its_rules_have_words(self, provider: Any) -> None:
        from franking.diagnosis.diagnosis import Diagnosis

        for rule in provider.rules:
            found = Diagnosis(rule.code)
            assert found.title and found.cause, rule.code

    def test_an_account_survives_a_url(self, account: Any) -> None:
        from franking.account.config import parse_url
        from franking.account.url import write_url

        again = parse_url(write_url(account))
        assert (again.provider, again.sender, dict(again.settings)) == (
            account.provider,
            account.sender,
            dict(account.settings),
        )

    def test_an_unknown_key_is_refused_by_name(self, provider: Any, account: Any) -> None:
        import franking

        with pytest.raises(franking.SettingsError, match="no_such_key"):
            account.replace(no_such_key="x")

    def test_a_message_arrives_and_the_receipt_proves_it(
        self, account: Any, secret: Any, arrived: Callable[[], list[bytes]]
    ) -> None:
        import franking

        with franking.connect(account, secret=secret) as mailer:
            for number in (1, 2):  # twice over one session
                message = franking.Message(
                    to=["jana@example.com"], cc=["petr@example.com"], subject=f"number {number}", text="Dobrý den\n"
                )
                receipt = mailer.send(message)
                assert receipt.message_id.startswith("<")
                assert (receipt.account, receipt.route) == (mailer.account.name, mailer.route)
                assert receipt.accepted == ("jana@example.com", "petr@example.com")
                assert not receipt.refused
                assert receipt.bytes > 0
                assert receipt.message_id.encode() in arrived()[-1]
        assert len(arrived()) == 2

    def test_a_hidden_recipient_stays_hidden(
        self, account: Any, secret: Any, arrived: Callable[[], list[bytes]]
    ) -> None:
        import franking

        message = franking.Message(to=["jana@example.com"], bcc=["boss@example.com"], subject="hidden", text="x")
        receipt = franking.send(account, message, secret=secret)
        assert receipt.accepted == ("jana@example.com", "boss@example.com")
        assert b"boss@example.com" not in arrived()[-1]

    def test_its_steps_come_in_order(self, account: Any, secret: Any) -> None:
        import franking
        from franking.provider import STEPS

        seen: list[Any] = []
        franking.send(
            account,
            franking.Message(to=["jana@example.com"], subject="steps", text="x"),
            secret=secret,
            observer=seen.append,
        )
        ended = [step for step in seen if step.status != "running"]
        assert {step.name for step in seen} <= set(STEPS)
        assert {"message", "accepted"} <= {step.name for step in ended if step.status == "ok"}
        assert all(step.ms >= 0 for step in ended)
        order = [STEPS.index(step.name) for step in ended if step.name not in ("tls", "greet")]
        assert order == sorted(order)

    def test_a_session_closes_twice_and_aborts(self, provider: Any, account: Any, secret: Any) -> None:
        import franking

        mailer = franking.connect(account, secret=secret)
        session = mailer.open()
        session.close()
        session.close()
        session.abort()

    def test_a_message_that_cannot_be_sent_leaves_nothing(
        self, account: Any, secret: Any, arrived: Callable[[], list[bytes]], tmp_path: Any
    ) -> None:
        import franking

        file = tmp_path / "report.bin"
        file.write_bytes(b"x" * 200_000)
        message = franking.Message(to=["jana@example.com"], subject="vanished", text="x", attachments=[str(file)])
        with franking.connect(account, secret=secret) as mailer:
            prepared = mailer.prepare(message)
            file.unlink()
            with mailer.borrow() as session, pytest.raises(franking.FrankingError) as caught:
                session.send(prepared.envelope, prepared.content)
            assert not caught.value.possibly_sent
        assert arrived() == []


class StoreContract:
    """Check that a store keeps the contract of ``SecretStore`` (``franking/auth/store.py``).

    Give the fixture ``store``: a new, empty one.
    """

    @pytest.fixture
    def store(self) -> Any:
        raise NotImplementedError("give a fixture `store`")

    def test_nothing_is_there_at_first(self, store: Any) -> None:
        assert store.load("shop") is None
        store.delete("shop")  # nothing to forget is no error
        assert store.load("shop") is None

    @pytest.mark.parametrize(
        "value",
        [
            "hunter2",
            "",
            " blanks ",
            "line\nline\r\n",
            "heslo žluťoučké",
            "\U0001f511",
            '{"json": "in \\"quotes\\""}',
            "x" * 20_000,
            "\x00\x7f",
        ],
        ids=["plain", "empty", "blanks", "lines", "accents", "astral", "json", "long", "control"],
    )
    def test_what_was_saved_is_loaded_as_it_was(self, store: Any, value: str) -> None:
        store.save("shop", value)
        assert store.load("shop") == value

    @pytest.mark.parametrize(
        "key",
        [
            "shop",
            "Shop",
            "můj obchod",
            "a.b",
            ".hidden",
            "con",
            "*?[x]",
            "50%41",
            "50%",
            "..",
            "a" * 300,
            "a" * 299 + "b",
            "x@y.cz:587",
        ],
    )
    def test_every_key_is_its_own(self, store: Any, key: str) -> None:
        for other in (
            "SHOP",
            "muj obchod",
            "a-b",
            "hidden",
            "Con",
            "%63on",
            "50A",
            "50%2541",
            ".",
            "a" * 301,
            "x@y.cz",
        ):
            store.save(other, f"of {other}")
        store.save(key, "mine")
        assert store.load(key) == "mine"
        store.delete(key)
        assert store.load(key) is None
        assert store.load("SHOP") == "of SHOP"
        assert store.load("Con") == "of Con"

    def test_the_last_save_wins(self, store: Any) -> None:
        store.save("shop", "old")
        store.save("shop", "new")
        assert store.load("shop") == "new"

    def test_a_lock_lets_one_in_at_a_time(self, store: Any) -> None:
        import threading

        inside = 0
        most = 0

        def work() -> None:
            nonlocal inside, most
            for _ in range(20):
                with store.lock("shop"):
                    inside += 1
                    most = max(most, inside)
                    store.save("shop", str(int(store.load("shop") or "0") + 1))
                    inside -= 1

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == 1
        assert store.load("shop") == "80"

    def test_locks_of_different_keys_do_not_meet(self, store: Any) -> None:
        with store.lock("shop"), store.lock("other"):
            store.save("shop", "x")
        assert store.load("shop") == "x"

    def test_a_lock_is_freed_by_an_error(self, store: Any) -> None:
        with pytest.raises(KeyError), store.lock("shop"):
            raise KeyError
        with store.lock("shop"):
            pass

    def test_its_repr_tells_no_secret(self, store: Any) -> None:
        store.save("shop", "canary-7781")
        assert "canary-7781" not in repr(store)
