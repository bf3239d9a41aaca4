"""The audio formats that are offered and answered, and their payload types.

Names and numbers only: what makes the bytes is not this layer's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from .errors import StateError
from .sdp import Codec

__all__ = ["FORMATS", "AudioFormat", "PayloadTypes", "format_name"]

_DYNAMIC: Final = range(96, 128)


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How a codec is written in SDP."""

    name: str
    """In capital letters; where one encoding is at several clocks, with the clock behind it."""
    payload_type: int
    """Static (RFC 3551 section 6), or the dynamic one we like best."""
    clock_hz: int = 8000
    """RTP clock, which need not be the audio's rate."""
    channels: int = 1
    """As rtpmap has it; Opus always says 2 (RFC 7587 section 7)."""
    written: str = ""
    """The name as it is written where that is not `name`."""

    @property
    def rtpmap(self) -> str:
        """What follows the payload type on an rtpmap line."""
        channels = f"/{self.channels}" if self.channels != 1 else ""
        return f"{self.written or self.name}/{self.clock_hz}{channels}"

    def is_meant_by(self, codec: Codec) -> bool:
        """Whether a peer's line means this.

        Opus without its channels is Opus: some leave them out, and nothing else can be meant.
        """
        name = (self.written or self.name).upper()
        return (codec.name, codec.rate_hz) == (name, self.clock_hz) and (
            codec.channels == self.channels or self.name == "OPUS"
        )


FORMATS: Final = {
    format.name: format
    for format in (
        AudioFormat("PCMU", 0),
        AudioFormat("PCMA", 8),
        # 16,000 samples a second on a clock of 8000 (RFC 3551 section 4.5.2).
        AudioFormat("G722", 9),
        # At 44,100 and 48,000 Hz (RFC 3551's 10 and 11 among them) 20 ms do not fit into a
        # packet of an Ethernet.
        AudioFormat("L16", 97, 16_000),
        AudioFormat("L16/8000", 99, 8000, written="L16"),
        AudioFormat("OPUS", 111, 48_000, 2, "opus"),
    )
}


def format_name(codec: Codec) -> str | None:
    """The name in `FORMATS` of what a peer's line means; None for what we do not know."""
    return next((name for name, known in FORMATS.items() if known.is_meant_by(codec)), None)


class PayloadTypes:
    """Which number means what in one session, as long as it lasts.

    A number once used for a codec may not mean another one later (RFC 3264 section
    8.3.2). An offerer's numbers win: ours, not yet heard of by anybody, move away.
    """

    def __init__(self, wanted: Iterable[tuple[str, int]]) -> None:
        self._numbers: dict[str, int] = {}
        self._used: dict[int, str] = {}
        for name, number in wanted:
            self._numbers[name] = number if number not in self._used else self._free()
            self._used[self._numbers[name]] = name

    def __getitem__(self, name: str) -> int:
        return self._numbers[name]

    @property
    def numbers(self) -> dict[str, int]:
        """What each means now, for `restore`."""
        return dict(self._numbers)

    def restore(self, numbers: Mapping[str, int]) -> None:
        """Return to earlier meanings; what was said since stays taken."""
        self._numbers = dict(numbers)

    def claim(self, name: str, number: int) -> None:
        """A peer's number for a codec; whatever of ours had it gets another."""
        self._used[number] = name
        ousted = [other for other, held in self._numbers.items() if held == number]
        self._numbers[name] = number
        for other in ousted:
            if other != name:
                self._numbers[other] = self._free()
                self._used[self._numbers[other]] = other

    def _free(self) -> int:
        """A number never used; of a peer that used up all of them, one not in use now."""
        held = set(self._numbers.values())
        for taken in (self._used, held):
            for number in _DYNAMIC:
                if number not in taken and number not in held:
                    return number
        raise StateError("all dynamic payload types are taken")
