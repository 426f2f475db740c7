"""The recommendation beside the form: what suits the server or the From that stands in it, and whether the form says
the same already. Looked up by ``discovery``; nothing is changed here unless somebody asks for it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from franking.discovery.recommend import Recommendation, recommend
from franking.errors import SettingsError
from franking.message.address import Address
from franking.registry import provider as provider_named

if TYPE_CHECKING:
    from franking.web.form import Draft

__all__ = ["Advice", "advise", "take_over"]

LOOK_UP_SECONDS = 2.0
"""How long a person waits for DNS at most, whatever is looked up."""

_KEYS = ("host", "port", "security", "username")


@dataclass(frozen=True, slots=True)
class Advice:
    """A recommendation that names a provider; ``same``: the form says so already."""

    found: Recommendation
    same: bool

    @property
    def settings(self) -> dict[str, str]:
        """Return the form's fields that it fills."""
        if provider_named(str(self.found.provider)).facts.oauth:
            return {}
        return {key: str(self.found.settings[key]) for key in _KEYS if self.found.settings.get(key) is not None}


def advise(draft: Draft, *, offline: bool) -> Advice | None:
    """Return what is recommended for the server, else for the From; None where nothing is known. DNS is asked only for
    what no name tells.
    """
    found = _looked_up(draft, offline=True)
    if found is None and not offline:
        found = _looked_up(draft, offline=False)
    if found is None:
        return None
    advice = Advice(found, same=False)
    same = draft.provider.name == found.provider and all(
        draft.texts.get(key, "").lower() == value.lower() for key, value in advice.settings.items()
    )
    return Advice(found, same)


def _looked_up(draft: Draft, *, offline: bool) -> Recommendation | None:
    ends = monotonic() + LOOK_UP_SECONDS
    for text in _known(draft):
        if (left := ends - monotonic()) <= 0:
            break
        with suppress(SettingsError):
            found = recommend(text, offline=offline, timeout=left, language=draft.words.language)
            if found.provider is not None:
                return found
    return None


def _known(draft: Draft) -> list[str]:
    """Return what is known that may be looked up: the server first, which says more."""
    texts = []
    if draft.texts.get("host") and not draft.provider.facts.oauth:
        texts.append(draft.texts["host"])
    with suppress(ValueError):
        texts.append(Address.parse(draft.texts.get("from", "")).address)
    return texts


def take_over(draft: Draft, advice: Advice) -> None:
    """Put a recommendation into the form; nothing is saved."""
    draft.provider = provider_named(str(advice.found.provider))
    draft.texts |= advice.settings
    if advice.settings:
        draft.authentication = bool(draft.texts.get("username"))
    draft.changed = True
