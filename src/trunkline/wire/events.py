"""One vocabulary for every media stream, whoever the provider is.

Each dialect is one module with ``decode(text) -> Event | None`` and an encoder
for the commands. Rules that hold for all of them:

* A provider may add fields and events: what is unknown is ignored, never raised.
* Numbers may come as numbers or as strings.
* A mark comes back because it was played or because it was cleared, and only
  some providers say which: whoever clears must remember that it did.
* A socket that closes is always a valid end of a stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "Clear",
    "Cleared",
    "Command",
    "Connected",
    "Dtmf",
    "Event",
    "Hangup",
    "Mark",
    "MarkReached",
    "Media",
    "SendDtmf",
    "Started",
    "Stopped",
]


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket is open and speaks this dialect; the stream comes next."""

    protocol: str = ""
    """What the provider calls the dialect, if it says."""
    version: str = ""
    """Which version of it, if it says."""


@dataclass(frozen=True, slots=True)
class Started:
    """A stream began: its names and its audio format."""

    stream_id: str
    """The provider's id of the stream."""
    call_id: str = ""
    """The provider's id of the call."""
    account_id: str = ""
    """The provider's id of the customer."""
    caller: str = ""
    """The calling number, where the dialect tells."""
    callee: str = ""
    """The called number, where the dialect tells."""
    encoding: str = "ulaw"
    """ulaw, alaw, l16, or the provider's own word if it is none of these."""
    rate_hz: int = 8000
    """Sample rate of the audio."""
    channels: int = 1
    """Interleaved channels of the audio."""
    tracks: tuple[str, ...] = ()
    """What is streamed: inbound, outbound or both."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What whoever configured the stream wanted us to know."""


@dataclass(frozen=True, slots=True)
class Media:
    """A piece of audio, in the stream's encoding."""

    payload: bytes
    """The encoded samples, never empty."""
    stream_id: str = ""
    """The stream they belong to."""
    track: str = "inbound"
    """Whose audio: inbound is the caller's."""
    timestamp_ms: int = 0
    """Milliseconds since the stream began, as the sender counts them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Asks the provider to say when the audio sent so far has been played."""

    name: str
    """Comes back in `MarkReached`."""


@dataclass(frozen=True, slots=True)
class MarkReached:
    """The audio before a mark has been played, or was cleared."""

    name: str
    """The name the mark was sent with."""
    stream_id: str = ""
    """The stream it was sent on."""
    cleared: bool | None = None
    """Whether it came because of a clear; None where the dialect does not tell."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Asks the provider to forget the audio it has not played yet."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """The provider has forgotten the audio it had not played."""

    stream_id: str = ""
    """The stream that was cleared."""


@dataclass(frozen=True, slots=True)
class Dtmf:
    """The caller pressed a key."""

    digit: str
    """One of 0-9, *, #, A-D."""
    stream_id: str = ""
    """The stream it was pressed on."""
    duration_ms: int = 0
    """How long it was held; 0 where the dialect does not tell."""


@dataclass(frozen=True, slots=True)
class SendDtmf:
    """Asks the provider to press keys towards the caller."""

    digits: str
    """Any of 0-9, *, #, A-D, in order."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """Asks the provider to end the call."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The stream is over; nothing follows."""

    stream_id: str = ""
    """The stream that ended."""


Event = Connected | Started | Media | MarkReached | Cleared | Dtmf | Stopped
"""What a provider tells us."""

Command = Media | Mark | Clear | SendDtmf | Hangup
"""What we ask of a provider."""
