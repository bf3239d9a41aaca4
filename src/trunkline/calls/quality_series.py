"""A call's quality over time, bounded: a point every few seconds, columns of numbers."""

from collections.abc import Mapping
from typing import Any

__all__ = ["IN_COLUMNS", "OUT_COLUMNS", "QualitySeries"]

IN_COLUMNS = ("loss", "late", "jitter", "delay", "mos", "level", "silence")
"""Of what we hear: shares of packets, ms, ms, MOS-CQ, dBov, share of frames."""
OUT_COLUMNS = ("loss", "jitter", "rtt", "mos", "level", "silence")
"""Of what they hear, where they say so; level and silence are of what we send."""
MOST_POINTS = 720
"""An hour of five seconds; then two points become one, and so on."""
_DIGITS = {"loss": 4, "late": 4, "jitter": 1, "delay": 0, "mos": 2, "level": 1, "silence": 2,
           "rtt": 1}  # fmt: skip

Column = list[float | None]


class QualitySeries:
    """Points of one call; None is unknown."""

    def __init__(self, step_seconds: float, most: int = MOST_POINTS) -> None:
        self.step_seconds = step_seconds
        self.starts_at: float | None = None
        """When the first point's time began, in seconds of the call."""
        self._most = most - most % 2
        self._each = 1  # samples a point
        self._waiting: list[tuple[Mapping[str, float | None], Mapping[str, float | None]]] = []
        self._heard: dict[str, Column] = {name: [] for name in IN_COLUMNS}
        self._sent: dict[str, Column] = {name: [] for name in OUT_COLUMNS}

    def __len__(self) -> int:
        return len(self._heard["mos"])

    def add(
        self, at: float, heard: Mapping[str, float | None], sent: Mapping[str, float | None]
    ) -> None:
        """One sample, of the time up to ``at``, in seconds of the call."""
        if self.starts_at is None:
            self.starts_at = max(0.0, at - self.step_seconds)
        self._waiting.append((heard, sent))
        if len(self._waiting) < self._each:
            return
        for columns, side in ((self._heard, 0), (self._sent, 1)):
            for name, column in columns.items():
                values = [sample[side].get(name) for sample in self._waiting]
                column.append(_mean(values, _DIGITS[name]))
        self._waiting = []
        if len(self) >= self._most:
            self._halve()

    def _halve(self) -> None:
        """Two points become one."""
        self._each *= 2
        self.step_seconds *= 2
        for columns in (self._heard, self._sent):
            for name, column in columns.items():
                digits = _DIGITS[name]
                columns[name] = [
                    _mean(column[at : at + 2], digits) for at in range(0, len(column), 2)
                ]

    def plain(self) -> dict[str, Any]:
        """As the record keeps it; empty without a point."""
        if not len(self):
            return {}
        return {
            "start": round(self.starts_at or 0.0, 1),
            "step": self.step_seconds,
            "in": {name: list(column) for name, column in self._heard.items()},
            "out": {name: list(column) for name, column in self._sent.items()},
        }


def _mean(values: list[float | None], digits: int) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), digits) if known else None
