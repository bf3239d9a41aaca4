"""What was refused a short while ago, so that its echo is no new call.

A caller whose 4xx came late, or by another path, sends the same INVITE (same Call-ID,
From tag and CSeq) with another branch when the transaction that refused it is
forgotten already. It gets the same answer.
"""

from collections import deque

from .transaction import TransactionKey

__all__ = ["Refusals"]

MEMORY_SECONDS = 32.0
"""As long as a client may repeat a request: 64 times the usual T1."""


class Refusals:
    """The final statuses of refused INVITEs, for half a minute; ``most`` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._codes: dict[TransactionKey, int] = {}
        self._order: deque[tuple[float, TransactionKey]] = deque()

    def __len__(self) -> int:
        return len(self._codes)

    def note(self, key: TransactionKey, code: int, now: float) -> None:
        """An INVITE was refused with that status; one that was not is passed over."""
        self._prune(now)
        if code >= 300 and key not in self._codes:
            self._codes[key] = code
            self._order.append((now + MEMORY_SECONDS, key))

    def code_of(self, key: TransactionKey, now: float) -> int:
        """What it was refused with, or 0."""
        if not self._codes:
            return 0
        self._prune(now)
        return self._codes.get(key, 0)

    def _prune(self, now: float) -> None:
        order = self._order
        while order and (order[0][0] <= now or len(order) > self._most):
            self._codes.pop(order.popleft()[1], None)
