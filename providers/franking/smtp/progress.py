"""How far one message has come, told to an observer: the steps ``message`` and ``accepted``. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable

from franking.errors import FrankingError
from franking.provider import Observer, Receipt, Step
from franking.smtp.transaction import Transaction
from franking.text import size_in_words

__all__ = ["Progress"]

STRIDE = 262144  # octets between two reports of a large upload


class Progress:
    """Tell an observer of one message: ``message`` from MAIL to the end of the data, ``accepted`` the final reply."""

    def __init__(self, observer: Observer, transaction: Transaction, clock: Callable[[], float]) -> None:
        self._observer = observer
        self._transaction = transaction
        self._clock = clock
        self._started = clock()
        self._over = False  # the message step
        self._reported = 0
        observer(Step("message", "running"))

    def look(self, sent: int) -> None:
        """See how far it came; ``sent`` is the stream's offset."""
        transaction = self._transaction
        if self._over:
            return
        if transaction.handed_over(sent) and transaction.addressed:
            self._end_message()
        elif transaction.content_at is not None:
            done = min(max(sent - transaction.content_at, 0), transaction.size)
            if done - self._reported >= STRIDE:
                self._reported = done
                self._observer(Step("message", "running", self._ms(), done=done, total=transaction.size))

    def end(self, result: Receipt | FrankingError) -> None:
        """Tell the end of both steps."""
        if isinstance(result, FrankingError) and result.step != "accepted":
            self._observer(Step("message", "failed", self._ms(), str(result)))
            return
        if not self._over:
            self._end_message()
        if isinstance(result, Receipt):
            self._observer(Step("accepted", "ok", self._ms(), result.reply))
        else:
            self._observer(Step("accepted", "failed", self._ms(), str(result)))

    def _end_message(self) -> None:
        self._over = True
        count = len(self._transaction.accepted)
        recipients = "1 recipient" if count == 1 else f"{count} recipients"
        self._observer(Step("message", "ok", self._ms(), f"{size_in_words(self._transaction.size)} to {recipients}"))
        self._started = self._clock()
        self._observer(Step("accepted", "running"))

    def _ms(self) -> float:
        return (self._clock() - self._started) * 1000
