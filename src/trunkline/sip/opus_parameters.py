"""The format parameters of Opus in SDP (RFC 7587 section 6.1).

All of them are the describer's wishes as a receiver, but for the two that begin with
``sprop``, which say what it will send and which nobody has to know.
"""

from dataclasses import dataclass

__all__ = ["OpusParameters"]

_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 8000, 48_000
_LEAST_BITRATE, _MOST_BITRATE = 6000, 510_000


@dataclass(frozen=True, slots=True)
class OpusParameters:
    """What one end wants to receive."""

    max_playback_rate_hz: int = 48_000
    """More than this it does not play; 8000 is a telephone."""
    max_average_bitrate: int | None = None
    """Bits a second, 6,000 to 510,000; None: as much as the sender likes."""
    stereo: bool = False
    """Whether it would like two channels. We send one, which everybody takes."""
    constant_bitrate: bool = False
    """Whether it would like every packet to have one size."""
    use_inband_fec: bool = False
    """Whether it makes use of copies of earlier packets."""
    use_dtx: bool = False
    """Whether nothing may be sent in silence."""
    min_ptime_ms: int | None = None
    """The shortest packets it wants (3 to 120; in use, though the RFC left it out)."""

    @classmethod
    def parse(cls, text: str) -> "OpusParameters":
        """Read an fmtp line's text; what is unknown or makes no sense counts as not said."""
        said: dict[str, str] = {}
        for part in text.split(";"):
            name, _, value = part.partition("=")
            said.setdefault(name.strip().lower(), value.strip())
        rate = _number(said.get("maxplaybackrate"), 1, 10**6) or _HIGHEST_RATE_HZ
        return cls(
            max_playback_rate_hz=min(max(rate, _LOWEST_RATE_HZ), _HIGHEST_RATE_HZ),
            max_average_bitrate=_number(
                said.get("maxaveragebitrate"), _LEAST_BITRATE, _MOST_BITRATE
            ),
            stereo=said.get("stereo") == "1",
            constant_bitrate=said.get("cbr") == "1",
            use_inband_fec=said.get("useinbandfec") == "1",
            use_dtx=said.get("usedtx") == "1",
            min_ptime_ms=_number(said.get("minptime"), 3, 120),
        )

    def __str__(self) -> str:
        """The fmtp line's text; what is the default is left out."""
        parts = [
            ("minptime", self.min_ptime_ms),
            ("useinbandfec", int(self.use_inband_fec) or None),
            ("usedtx", int(self.use_dtx) or None),
            ("cbr", int(self.constant_bitrate) or None),
            ("stereo", int(self.stereo) or None),
            ("maxaveragebitrate", self.max_average_bitrate),
            (
                "maxplaybackrate",
                self.max_playback_rate_hz if self.max_playback_rate_hz < _HIGHEST_RATE_HZ else None,
            ),
        ]
        return ";".join(f"{name}={value}" for name, value in parts if value is not None)


def _number(text: str | None, least: int, most: int) -> int | None:
    if text is None or not (text.isascii() and text.isdecimal() and len(text) <= 7):
        return None
    return int(text) if least <= int(text) <= most else None
