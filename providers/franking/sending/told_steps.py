"""The steps of a send as an application is told them: a failed one only when it is known whether the failure stands.

The mailer's half of observing. Whoever opens and sends tells each step as it ends (``provider.Steps``) and cannot know
whether somebody makes up for a failure; the mailer does. So every failure has exactly one failed step, and one that was
made up for (a refused token that was renewed, a connection that had died) is a warning, after which the steps begin
again.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from franking.errors import FrankingError
from franking.provider import Step

if TYPE_CHECKING:
    from franking.provider import Observer

__all__ = ["ToldSteps"]


class ToldSteps:
    """An observer in front of the application's own; each thread has its own failures."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._held = threading.local()

    def __call__(self, step: Step) -> None:
        if step.status == "failed":
            self._held.step = step
        else:
            self._observer(step)

    def stands(self, error: BaseException) -> None:
        """Tell the step that failed, now that nobody makes up for it; where none did, the one that the error names."""
        step = self._taken()
        if step is None and isinstance(error, FrankingError):
            step = Step(error.step or "message", "failed", detail=error.message)
        if step is not None:
            self._observer(step)

    def made_up_for(self, detail: str, name: str | None = None) -> None:
        """Tell the step that failed as a warning: ``detail`` says what was done about it. Where none was told to have
        failed, it is the one called ``name``, if any.
        """
        step = self._taken()
        if step is None and name is not None:
            step = Step(name, "failed")
        if step is not None:
            self._observer(replace(step, status="warning", detail=detail))

    def _taken(self) -> Step | None:
        step: Step | None = getattr(self._held, "step", None)
        self._held.step = None
        return step
