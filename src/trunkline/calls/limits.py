"""How many calls a trunk has, and how fast they begin: never one more than allowed.

A `CallBucket` holds as many tokens as calls may begin in a second. Each comes back a
second after it was taken, so that no second, wherever it begins, has one call too many;
a bucket that is refilled steadily would let twice as many through after a pause.
`TrunkLimits` takes a channel and a token for a call, both or neither, from any thread.
"""

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from trunkline.errors import UsageError

__all__ = ["CallBucket", "Lease", "LimitSettings", "Refusal", "TrunkLimits"]

Direction = Literal["inbound", "outbound"]
BUSY_SECONDS: Final = 5
"""Retry-After of a trunk whose channels are all taken: some call will end by then."""


class CallBucket:
    """Calls a second. Not thread-safe; `TrunkLimits` is.

    ``per_second`` of 0 is no limit. Of a fraction there is one token that comes back
    later: 0.2 is a call every five seconds.
    """

    def __init__(self, per_second: float) -> None:
        if not 0 <= per_second < math.inf:
            raise UsageError(f"calls per second are 0 or more, not {per_second!r}")
        self._tokens = max(1, math.ceil(per_second)) if per_second else 0
        self._seconds = self._tokens / per_second if per_second else 0.0
        self._taken: deque[float] = deque()

    def wait_seconds(self, now: float) -> float:
        """How long until a call may begin; 0: now."""
        if not self._tokens or len(self._taken) < self._tokens:
            return 0.0
        return max(0.0, self._taken[0] + self._seconds - now)

    def take(self, now: float) -> None:
        """A call begins; `wait_seconds` has said that it may."""
        if self._tokens:
            if len(self._taken) >= self._tokens:
                self._taken.popleft()
            self._taken.append(now)

    def put_back(self, at: float) -> None:
        """The call that took a token then did not begin after all."""
        if at in self._taken:
            self._taken.remove(at)


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What a trunk may carry; 0 is no limit."""

    channels: int = 0
    """Calls at once, both directions together."""
    channels_in: int = 0
    channels_out: int = 0
    calls_per_second: float = 0.0
    """Calls that begin in any second, both directions together."""
    calls_per_second_in: float = 0.0
    calls_per_second_out: float = 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call may not begin."""

    reason: Literal["channels", "rate"]
    retry_after_seconds: int
    """When it may be tried again, in whole seconds, at least 1."""


class Lease:
    """One call's channel. Give it back once; again does no harm."""

    __slots__ = ("_direction", "_limits", "_taken_at")

    def __init__(self, limits: "TrunkLimits", direction: Direction, taken_at: float) -> None:
        self._limits: TrunkLimits | None = limits
        self._direction = direction
        self._taken_at = taken_at

    def release(self) -> None:
        """The call is over."""
        limits, self._limits = self._limits, None
        if limits is not None:
            limits._released(self._direction, None)

    def cancel(self) -> None:
        """There was no call: its token goes back as well."""
        limits, self._limits = self._limits, None
        if limits is not None:
            limits._released(self._direction, self._taken_at)


class TrunkLimits:
    """Channels and calls per second of one trunk. Any thread."""

    def __init__(self, settings: LimitSettings) -> None:
        self._lock = threading.Lock()
        self._channels = {"inbound": 0, "outbound": 0}
        self.peak = 0
        """The most calls there were at once."""
        self.refused = 0
        """Calls that were one too many."""
        self.peak_per_second = 0
        """The most calls that began in one second of the clock."""
        self._second = 0
        self._began = self._began_before = 0
        self._set(settings)

    def change(self, settings: LimitSettings) -> None:
        """Other limits from now on; calls that are up count, and stay."""
        with self._lock:
            if settings != self.settings:
                self._set(settings)

    def _set(self, settings: LimitSettings) -> None:
        self.settings = settings
        self._most = {
            "inbound": settings.channels_in or math.inf,
            "outbound": settings.channels_out or math.inf,
        }
        self._all = settings.channels or math.inf
        self._bucket = CallBucket(settings.calls_per_second)
        self._buckets = {
            "inbound": CallBucket(settings.calls_per_second_in),
            "outbound": CallBucket(settings.calls_per_second_out),
        }

    @property
    def channels(self) -> int:
        """Calls now."""
        return self._channels["inbound"] + self._channels["outbound"]

    def channels_of(self, direction: Direction) -> int:
        """Calls of one direction now."""
        return self._channels[direction]

    def acquire(self, direction: Direction, now: float) -> Lease | Refusal:
        """A channel and a token for a call that begins now."""
        with self._lock:
            taken = self._channels
            if taken[direction] >= self._most[direction] or self.channels >= self._all:
                self.refused += 1
                return Refusal("channels", BUSY_SECONDS)
            bucket = self._buckets[direction]
            wait = max(self._bucket.wait_seconds(now), bucket.wait_seconds(now))
            if wait > 0:
                self.refused += 1
                return Refusal("rate", max(1, math.ceil(wait)))
            self._bucket.take(now)
            bucket.take(now)
            taken[direction] += 1
            self.peak = max(self.peak, self.channels)
            self._turn(now)
            self._began += 1
            self.peak_per_second = max(self.peak_per_second, self._began)
            return Lease(self, direction, now)

    def per_second(self, now: float) -> int:
        """Calls that began in the last whole second of the clock."""
        with self._lock:
            self._turn(now)
            return self._began_before

    def _turn(self, now: float) -> None:
        """Begin to count a new second."""
        passed = int(now) - self._second
        if passed:
            self._began_before = self._began if passed == 1 else 0
            self._second, self._began = int(now), 0

    def _released(self, direction: Direction, token_at: float | None) -> None:
        with self._lock:
            self._channels[direction] -= 1
            if token_at is not None:
                self._bucket.put_back(token_at)
                self._buckets[direction].put_back(token_at)
