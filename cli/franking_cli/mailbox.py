"""Whose mailbox it is, and at which provider: the first questions of ``franking setup``, and the only ones behind which
look-ups stand. What else is asked is in ``questions.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

from franking.account.fields import COMMON_FIELDS, unknown_key
from franking.discovery.recommend import nearest_address, recommend, server_settings
from franking.discovery.recommendation import Recommendation
from franking.errors import SettingsError
from franking.message.address import Address
from franking.provider import Provider
from franking.registry import provider, providers
from franking_cli.commands.recommend import show
from franking_cli.console import Console
from franking_cli.draft import Draft
from franking_cli.questions import ask

__all__ = ["ask_provider", "ask_sender"]

_ANEW, _AGAIN = "anew", "again"  # the address is typed anew, the domain is looked up again


# --- who sends --------------------------------------------------------------------------------------------------------


def ask_sender(console: Console, draft: Draft, answer: str | None = None) -> None:
    """Ask who sends. Another address than before takes along what followed from the old one."""
    if console.interactive and answer is None:
        console.say(console.words("setup.with-name"), "faint")
    before = draft.asked
    default = str(before or "") or None
    sender = ask(console, console.words("setup.address"), Address.parse, answer=answer, default=default, flag="ADDRESS")
    change_sender(draft, sender)


def change_sender(draft: Draft, sender: Address) -> None:
    """Put another sender in, and where the old address stood for something else too, there as well."""
    before, draft.asked = draft.asked, sender
    if before is None or before.address == sender.address:
        return
    if draft.to == before.address:
        draft.to = ""
    if draft.settings.get("username") == before.address:
        draft.settings["username"] = sender.address
    if not draft.named:
        draft.name = ""
    draft.forget()


# --- by which provider ------------------------------------------------------------------------------------------------


def ask_provider(console: Console, draft: Draft, *, wanted: str | None = None, again: bool = False) -> None:
    """Find out which provider has the mailbox: by itself where that is certain and there is one road, else by asking.

    ``wanted`` is the answer of a flag; ``again`` asks in any case.
    """
    while True:
        what = draft.settings.get("host") or draft.address
        found = recommend(what, offline=draft.offline, language=console.words.language)
        told = _told(found, draft, again=again)
        if not console.json_output and (found.provider or not (wanted or told or draft.settings.get("host"))):
            show(console, found, brief=True)
        kind = provider(wanted) if wanted else told
        if kind is None and not again:
            kind = _obvious(console, found, draft)
        if kind is None:
            kind = _chosen(console, draft, _choose(console, found, draft, again=again))
        if kind is not None:
            draft.kind, draft.chosen = kind, draft.chosen or wanted is not None
            draft.recommended = _recommended(found, kind, draft.address)
            return


def _chosen(console: Console, draft: Draft, way: Provider | Address | str) -> Provider | None:
    """Return the provider that the person chose; None where another address may lead to another one."""
    if isinstance(way, Address):
        change_sender(draft, way)
    elif way == _ANEW:
        ask_sender(console, draft)
    elif not isinstance(way, str):
        draft.chosen = True
        return way
    return None


def _told(found: Recommendation, draft: Draft, *, again: bool) -> Provider | None:
    """Return the provider whose client a flag gives, as ``--client-secrets`` does: the sign-in is meant. An address
    that cannot be right is asked for first.
    """
    if again or found.why == "no-such-domain":
        return None
    clients = ((each, each.facts.client) for each in providers())
    return next((each for each, client in clients if client and draft.settings.get(client.key)), None)


def _obvious(console: Console, found: Recommendation, draft: Draft) -> Provider | None:
    """Return the provider where nothing needs to be asked."""
    if found.provider is None and draft.settings.get("host"):
        return _plain()
    if found.provider is None:
        return None
    kind = provider(found.provider)
    if not console.interactive:
        return kind
    # a server that the domain itself names, in records that nobody signs, gets no password unasked (RFC 6186 §6)
    sure = found.confidence == "certain" or not (found.warnings or found.why in ("srv", "autoconfig"))
    if sure and kind.facts.app_password is None:
        return kind
    return None


def _choose(console: Console, found: Recommendation, draft: Draft, *, again: bool) -> Provider | Address | str:
    """Let the person choose: a provider that takes what the flags gave, the address that was meant, or ``_ANEW`` or
    ``_AGAIN``.
    """
    ways, default = list(_ways(console, found, draft)), "1"
    if found.provider is None and found.why != "no-such-domain" and isinstance(ways[0][0], Address):
        default = ""  # somebody else's domain may well be called nearly so
    if console.interactive:
        console.say()
        for number, (_, label) in enumerate(ways, 1):
            console.say(f"{number}. {label}", indent="  ", hang="     ")

    def read(text: str) -> Provider | Address | str:
        way = chosen(text)
        if not again and not isinstance(way, Address | str):
            _check_settings(way, draft)
        return way

    def chosen(text: str) -> Provider | Address | str:
        if text.isascii() and text.isdigit() and 0 < int(text) <= len(ways):
            return ways[int(text) - 1][0]
        if not text or text.isdigit():
            raise SettingsError(console.words("setup.number", most=len(ways)))
        return provider(text)

    if not console.interactive:
        default = found.provider or ""
    return ask(console, console.words("setup.which"), read, default=default or None, flag="--provider")


def _check_settings(kind: Provider, draft: Draft) -> None:
    """Raise ``SettingsError`` for a setting that a flag gave and this provider does not know."""
    known = {each.name for each in (*kind.fields, *COMMON_FIELDS)}
    for key in draft.settings.keys() - known:
        raise SettingsError(unknown_key(key, f"{kind.name} accounts", sorted(known)), field=key)


def _ways(console: Console, found: Recommendation, draft: Draft) -> Iterator[tuple[Provider | Address | str, str]]:
    """Return what can be chosen, with its label, the likeliest first."""
    if found.provider is None and (meant := nearest_address(draft.address)):
        yield Address(meant, draft.sender.name), console.words("setup.meant", address=meant)
    if found.why == "no-such-domain":
        yield _ANEW, console.words("setup.anew")
    if found.why == "unreachable":
        yield _AGAIN, console.words("setup.look-again")
    plain = _plain()
    likeliest = provider(found.provider or plain.name)
    two = list(_two_ways(console, likeliest))
    yield from two
    for kind in sorted(providers(), key=lambda each: each is not likeliest):
        if not two or kind not in (plain, likeliest):
            mark = console.words("setup.recommended") * (kind.name == found.provider)
            yield kind, f"{kind.title}{mark}"


def _plain() -> Provider:
    """Return the provider that takes a name and a password, as a server that nobody knows does."""
    return next(each for each in providers() if not each.facts.oauth)


def _two_ways(console: Console, kind: Provider) -> Iterator[tuple[Provider, str]]:
    """Return a password of its own and the sign-in with what each costs, where a mailbox has both."""
    if kind.facts.app_password and kind.facts.client:
        price = console.said(kind.facts.app_password.price)
        yield _plain(), console.words("setup.by-password", title=kind.title, price=price)
        price = console.said(kind.facts.client.price)
        yield kind, console.words("setup.by-sign-in", title=kind.title, price=price)


def _recommended(found: Recommendation, kind: Provider, address: str) -> dict[str, object]:
    """Take the recommended settings over where a server and a login name are what the provider needs, another route to
    the same mailbox included.
    """
    if found.provider is None or kind.facts.oauth or all(each.name != "host" for each in kind.fields):
        return {}
    settings = {
        key: found.settings[key] for key in ("host", "port", "security", "username") if found.settings[key] is not None
    }
    if found.provider != kind.name:
        settings.setdefault("username", address)  # on a server of a provider that signs in
    return {**server_settings(str(settings["host"]), address), **settings}
