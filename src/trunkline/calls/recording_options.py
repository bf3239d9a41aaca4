"""How a call is recorded, where that is not as the settings say."""

from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["Format", "Mix", "RecordingOptions", "Sides"]

Format = Literal["wav", "flac", "opus"]
Mix = Literal["stereo", "mono"]
Sides = Literal["both", "heard", "sent"]


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """What a route or a call wants of its recordings; None is as the settings say."""

    format: Format | None = None
    """wav, flac, or opus (in Ogg)."""
    mix: Mix | None = None
    """stereo (the far end left, our side right) or mono."""
    sides: Sides | None = None
    """both, or only what is heard from the far end, or only what is sent to it."""
    keep_days: int | None = None
    """How long it is kept; 0 is for ever."""

    def over(self, other: "RecordingOptions") -> "RecordingOptions":
        """These, and the other's where these say nothing."""
        said = {
            name: getattr(self, name)
            for name in ("format", "mix", "sides", "keep_days")
            if getattr(self, name) is not None
        }
        return replace(other, **said)
