"""The roads that ``franking setup`` takes, each as the conversation of somebody who has read nothing, with servers on
loopback in the place of the hosters: what is asked, and what is typed. ``docs/generate.py`` counts them for
docs/setup.md; tests/cli/test_roads.py takes them.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ROADS", "Road", "counted"]


class Road(NamedTuple):
    """One road: ``talk`` are the questions with what is typed, in braces where everybody has another value. ``slip`` is
    typed first where the address is asked for, and ``mended`` is what follows it.
    """

    name: str
    title: str
    talk: tuple[tuple[str, str], ...]
    slip: str
    mended: tuple[tuple[str, str], ...]
    flags: tuple[str, ...] = ()
    acts: str = ""  # what is to be done besides, in words for the docs


_ADDRESS = ("Your mail address", "{address}")
_TEST = ("Send the test message to", "")
_I_MEANT = (("Which one [1]", ""),)

ROADS = (
    Road(
        "known",
        "a hoster that Franking knows",
        (_ADDRESS, ("Password of", "{password}"), _TEST),
        "jan@sezam.cz",
        _I_MEANT,
    ),
    Road(
        "unknown",
        "a domain that nobody knows",
        (
            _ADDRESS,
            ("Which one [1]", ""),
            ("Server, a name or an IP address", "{server}"),
            ("Login name (- if the server wants none)", ""),
            ("Password of", "{password}"),
            _TEST,
        ),
        "info@shopp.example",
        (("Which one [1]", ""), ("Your mail address [info@shopp.example]", "{address}")),
        acts="its ports are tried, which tells port and security",
    ),
    Road(
        "gmail-password",
        "Gmail by an app password",
        (_ADDRESS, ("Which one [1]", ""), ("Password of", "{password}"), _TEST),
        "me@gmial.com",
        _I_MEANT,
        acts="2 pages at Google, the first only where 2-step verification is off",
    ),
    Road(
        "gmail",
        "Gmail by OAuth",
        (_ADDRESS, ("Which one [1]", "2"), ("Path of the downloaded JSON file", "{file}"), _TEST),
        "me@gmial.com",
        _I_MEANT,
        acts="5 pages at Google, once; then the browser",
    ),
    Road(
        "outlook",
        "Microsoft by the browser",
        (_ADDRESS, ("Application (client) ID", "{id}"), _TEST),
        "jan@outlok.com",
        _I_MEANT,
        acts="1 registration at Microsoft, once; then the browser",
    ),
    Road(
        "outlook-code",
        "Microsoft by a device code",
        (_ADDRESS, ("Application (client) ID", "{id}"), _TEST),
        "jan@outlok.com",
        _I_MEANT,
        flags=("--device",),
        acts="1 registration at Microsoft, once; then the code on any device",
    ),
)


def counted(road: Road) -> tuple[int, int, int]:
    """Return the questions, those of them that Enter alone answers, and the keys pressed besides one's own values."""
    typed = [text for _, text in road.talk]
    keys = sum(len(text) * (not text.startswith("{")) + 1 for text in typed)
    return len(typed), typed.count(""), keys
