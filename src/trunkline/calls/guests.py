"""Third calls on a bridge: who listens, whispers or has barged in."""

from dataclasses import dataclass, replace
from typing import Literal

from trunkline.media.mixing import fixed_gain

from .call import Call

__all__ = ["Guest", "Guests"]


@dataclass(frozen=True, slots=True)
class Guest:
    """How a third call takes part."""

    how: Literal["listen", "whisper", "barge"]
    """Whom it is heard by: nobody, one side, everybody. It hears both sides in any case."""
    to: Call | None = None
    """Whom it whispers to."""
    level_db: float = 0.0
    """How loud it is heard; of one that listens, how loud it hears."""


class Guests:
    """The third calls of one bridge. Media thread only."""

    def __init__(self) -> None:
        self._guests: dict[Call, Guest] = {}

    def __contains__(self, call: Call) -> bool:
        return call in self._guests

    @property
    def calls(self) -> tuple[Call, ...]:
        """All of them."""
        return tuple(self._guests)

    def admit(self, call: Call, guest: Guest) -> None:
        """One more, or one that takes part otherwise; raises `UsageError` for its level."""
        fixed_gain(guest.level_db)
        self._guests[call] = guest

    def dismiss(self, call: Call) -> bool:
        """One less; whether there was such a one."""
        return self._guests.pop(call, None) is not None

    def readdress(self, old: Call, new: Call) -> None:
        """Who whispered to a side that is replaced whispers to the new one."""
        for call, guest in self._guests.items():
            if guest.to is old:
                self._guests[call] = replace(guest, to=new)

    def level(self, listener: Call, speaker: Call) -> float | None:
        """How loud one hears another, of whom at least one is a third call; None: not."""
        hears, speaks = self._guests.get(listener), self._guests.get(speaker)
        if speaks is not None:
            heard = speaks.how == "barge" or (speaks.how == "whisper" and speaks.to is listener)
            return speaks.level_db if heard else None
        if hears is not None and hears.how == "listen":
            return hears.level_db
        return 0.0
