"""Offer and answer for one audio stream (RFC 3264, RFC 4733 for digits).

`AudioNegotiation` is one call's side of it. It makes offers and answers, keeps
the m-lines in place for the life of the call, raises the version with every
change, and says in an `AudioAgreement` what the media side has to do. A step that
comes to nothing is undone by `AudioNegotiation.rollback`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from .audio_formats import FORMATS, PayloadTypes, format_name
from .errors import SdpError, StateError
from .opus_parameters import OpusParameters
from .sdp import Codec, Direction, MediaDescription, Origin, SessionDescription
from .secure_media import CryptoPair, Sdes, SrtpMode

__all__ = ["AudioAgreement", "AudioCapabilities", "AudioNegotiation"]

Address = tuple[str, int]
"""Host and port, of media."""

_NOISE_TYPES = {8000: 13, 16_000: 105}
"""Comfort noise has the clock of the audio beside it (RFC 3389 section 4); Opus has its own."""
_EVENT_TYPES = {16_000: 98, 48_000: 110}
"""Telephone events have the clock of the audio beside them (RFC 4733 section 2.1)."""


_EXTENDED = "rcvr-rtt=all stat-summary=loss,dup,jitt voip-metrics"
"""What we ask for and send (RFC 3611 section 5.1)."""


@dataclass(frozen=True, slots=True)
class AudioCapabilities:
    """What we can do and what we like best."""

    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    """Of PCMU, PCMA, G722, L16 (at 16 kHz), L16/8000 and OPUS, the most wanted first."""
    telephone_events: bool = True
    """Offer digits as events (RFC 4733)."""
    telephone_event_type: int = 101
    """The payload type to offer them as at 8000 Hz; an offerer's own number wins."""
    ptime_ms: int = 20
    """What we ask for."""
    prefer: Literal["ours", "theirs"] = "theirs"
    """Whose order of codecs decides when we answer."""
    opus: OpusParameters = field(
        default_factory=lambda: OpusParameters(use_inband_fec=True, min_ptime_ms=10)
    )
    """How we want to receive Opus."""
    srtp: SrtpMode = "off"
    """SDES: not at all, where they want it (and offered in RTP/AVP), or nothing else."""
    srtp_suites: tuple[str, ...] = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
    """What is offered and accepted, the most wanted first; of `crypto.SUITES`."""
    rtcp_mux: Literal["off", "accept", "offer"] = "accept"
    """Reports on the port of the audio (RFC 5761)."""
    comfort_noise: bool = False
    """Offer comfort noise (RFC 3389); it is always accepted."""
    extended_reports: Literal["off", "asked", "offered"] = "off"
    """RTCP XR (RFC 3611 section 5): never, agreed to where they ask, or asked for by us."""


@dataclass(frozen=True, slots=True)
class AudioAgreement:
    """What an offer and its answer came to."""

    codec: str
    """What we send, by its name in `AudioCapabilities.codecs`."""
    payload_type: int
    """What we mark it with."""
    receive: Mapping[int, str] = field(default_factory=dict)
    """Payload types that may arrive, with their codec."""
    remote: Address | None = None
    """Where to send; None while they cannot be sent to (0.0.0.0, port 0)."""
    remote_rtcp: Address | None = None
    """Where reports go (RFC 3605); by default the port above."""
    telephone_event: int | None = None
    """Payload type to send digits as; None: they do not take events."""
    receive_telephone_event: int | None = None
    """Payload type digits arrive as."""
    ptime_ms: int = 20
    """What they want in a packet."""
    maxptime_ms: int | None = None
    """The most they take in one; None: they do not say."""
    direction: Direction = Direction.SENDRECV
    """What we do now."""
    telephone_event_hz: int = 8000
    """Clock of the digits; that of the audio, unless they only take 8000."""
    opus: OpusParameters | None = None
    """How they want to receive Opus, where that is the codec."""
    crypto: CryptoPair | None = None
    """The keys of SRTP; None: nothing is encrypted."""
    rtcp_mux: bool = False
    """Reports come and go on the port of the audio."""
    comfort_noise: int | None = None
    """Payload type to send comfort noise as; None: they do not take it."""
    receive_comfort_noise: int | None = None
    """Payload type comfort noise arrives as, beside the static 13."""
    extended_reports: bool = False
    """They asked for extended reports, and we agreed to send them."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """What holds: where a negotiation returns to when an offer is refused."""

    local: SessionDescription | None
    remote: SessionDescription | None
    agreement: AudioAgreement | None
    slot: int
    numbers: Mapping[str, int]
    sdes: Sdes


class AudioNegotiation:
    """One call's session description, offered or answered, as often as it takes.

    An offer that is refused, or an answer that could not be sent after all, changes
    nothing (RFC 3261 section 14.1, RFC 6337 section 3.4): `rollback` returns to what
    held before. Making another offer or an answer does the same with an open offer.
    """

    def __init__(
        self,
        capabilities: AudioCapabilities,
        address: str,
        port: int,
        session_id: int,
        *,
        random_bytes: Callable[[int], bytes] | None = None,
    ) -> None:
        """``random_bytes``: of the system's secure randomness, where SRTP may be agreed."""
        if random_bytes is None and capabilities.srtp != "off":
            raise StateError("keys of SRTP need a source of randomness")
        unknown = set(capabilities.codecs) - set(FORMATS)
        if unknown or not capabilities.codecs:
            raise StateError(f"cannot offer {sorted(unknown) or 'no codec at all'}")
        self._capabilities = capabilities
        self._address = address
        self._port = port
        self._session_id = str(session_id)
        self._sdes = Sdes(capabilities.srtp, capabilities.srtp_suites, random_bytes or bytes)
        self._clocks = sorted({FORMATS[name].clock_hz for name in capabilities.codecs} | {8000})
        events = {8000: capabilities.telephone_event_type, **_EVENT_TYPES}
        self._types = PayloadTypes(
            [(name, FORMATS[name].payload_type) for name in capabilities.codecs]
            + [(_event_name(clock), events[clock]) for clock in self._clocks]
            + [(_noise_name(clock), number) for clock, number in _NOISE_TYPES.items()]
        )
        self._slot = 0
        self._extended = False  # whether our next description asks for extended reports
        self._before: _Standing | None = None  # the last step, as long as it can be undone
        self._open = False
        self._last_said: SessionDescription | None = None
        self.local: SessionDescription | None = None
        """What we said last."""
        self.remote: SessionDescription | None = None
        """What they said last."""
        self.agreement: AudioAgreement | None = None
        """What holds now; None before the first answer."""

    @property
    def is_open(self) -> bool:
        """Whether an offer of ours waits for its answer."""
        return self._open

    def rollback(self) -> None:
        """Undo the last offer or answer: it was refused, or never came to anything.

        What is undone counts as said: its version is not used again for anything else.
        """
        before, self._before = self._before, None
        self._open = False
        if before is not None:
            self.local, self.remote = before.local, before.remote
            self.agreement = before.agreement
            self._slot = before.slot
            self._types.restore(before.numbers)
            self._sdes.restore(before.sdes)

    def _begin(self) -> None:
        """A new step, from what holds."""
        if self._open:
            self.rollback()
        self._before = _Standing(
            self.local,
            self.remote,
            self.agreement,
            self._slot,
            self._types.numbers,
            self._sdes.state(),
        )

    def offer(self, direction: Direction = Direction.SENDRECV) -> SessionDescription:
        """An offer: the first, or a new one for hold, resume or a silent refresh."""
        self._begin()
        self._open = True
        self._extended = self._capabilities.extended_reports == "offered"
        media = [_refused(line) for line in self.local.media] if self.local else []
        names = list(self._capabilities.codecs)
        if self.agreement is not None:  # what is in use stays first
            names.sort(key=lambda name: name != self.agreement.codec)  # type: ignore[union-attr]
        codecs = [(name, self._types[name]) for name in names]
        events = [(clock, self._types[_event_name(clock)]) for clock in self._offered_clocks()]
        noises = self._offered_noises(names)
        extra = self._extra(self._sdes.offer(first=self.agreement is None), self._mux_to_offer())
        ours = self._audio_line(codecs, events, noises, extra, direction)
        if media:
            media[self._slot] = ours
        else:
            media = [ours]
        return self._say(tuple(media))

    def answer(
        self, offer: SessionDescription, direction: Direction = Direction.SENDRECV
    ) -> SessionDescription:
        """Answer an offer; what we may do is what both want.

        Raises SdpError (code 488) when there is no audio line we can take, unless the
        call is up and they only switched it off. Nothing has changed then.
        """
        self._begin()
        slot = self._choose(offer)
        media = [_refused(line) for line in offer.media]
        if slot is None:
            if self.agreement is None or not media or any(line.port for line in offer.media):
                raise SdpError("Not Acceptable Here", 488)
            self.agreement = replace(self.agreement, remote=None, direction=Direction.INACTIVE)
        else:
            line = offer.media[slot]
            self._extended = self._asks(line)
            codec = self._choose_codec(line)
            assert codec is not None
            name = format_name(codec) or codec.name
            event = self._event_codec(line, codec.rate_hz)
            wanted = offer.direction(line)
            agreed = Direction.of(
                sends=direction.sends and wanted.receives,
                receives=direction.receives and wanted.sends,
            )
            self._types.claim(name, codec.payload_type)
            events = [(event.rate_hz, event.payload_type)] if event else []
            if event:
                self._types.claim(_event_name(event.rate_hz), event.payload_type)
            noise = _noise_codec(line, codec)
            noises = [(noise.rate_hz, noise.payload_type)] if noise else []
            if noise:
                self._types.claim(_noise_name(noise.rate_hz), noise.payload_type)
            chosen = [(name, codec.payload_type)]
            keys = self._sdes.answer(line, moved=self._has_moved(offer, line))
            mux = line.attribute("rtcp-mux") is not None and self._capabilities.rtcp_mux != "off"
            media[slot] = self._audio_line(chosen, events, noises, self._extra(keys, mux), agreed)
            self._slot = slot
            receive = {codec.payload_type: name}
            self.agreement = self._agree(offer, line, codec, receive, agreed, mux=mux, noise=True)
        self.remote = offer
        return self._say(tuple(media))

    def accept(self, answer: SessionDescription) -> AudioAgreement:
        """Take the answer to our last offer.

        Raises SdpError (code 488) for an answer that does not fit the offer, which
        stays open then; StateError when nothing was offered.
        """
        if self.local is None:
            raise StateError("there is no offer to be answered")
        if len(answer.media) < self._slot + 1:
            raise SdpError("Answer without our media line", 488)
        line, ours = answer.media[self._slot], self.local.media[self._slot]
        offered = {
            codec.payload_type: name for codec in ours.codecs if (name := format_name(codec))
        }
        codec = next((codec for codec in line.codecs if format_name(codec)), None)
        if line.kind == "audio" and line.port == 0 and self.agreement is not None:
            # They switch the audio of a call that is up off, and may.
            self.agreement = replace(self.agreement, remote=None, direction=Direction.INACTIVE)
            return self._taken(answer)
        if (
            line.kind != "audio"
            or line.port == 0
            or codec is None
            or (format_name(codec) not in offered.values())
        ):
            raise SdpError("Answer without audio", 488)
        wanted, offered_direction = answer.direction(line), self.local.direction(ours)
        direction = Direction.of(
            sends=offered_direction.sends and wanted.receives,
            receives=offered_direction.receives and wanted.sends,
        )
        self._sdes.accept(line)
        self.agreement = self._agree(
            answer,
            line,
            codec,
            offered,
            direction,
            mux=ours.attribute("rtcp-mux") is not None,
            noise=_noise_codec(ours, codec) is not None,
        )
        return self._taken(answer)

    def _taken(self, answer: SessionDescription) -> AudioAgreement:
        """An answer holds; another one to the same offer may follow (early media, forks)."""
        assert self.agreement is not None
        self.remote = answer
        self._open = False
        return self.agreement

    def _agree(
        self,
        remote: SessionDescription,
        line: MediaDescription,
        codec: Codec,
        receive: Mapping[int, str],
        direction: Direction,
        *,
        mux: bool,
        noise: bool,
    ) -> AudioAgreement:
        host = remote.address(line)
        sendable = bool(host) and host not in ("0.0.0.0", "::")
        event = self._event_codec(line, codec.rate_hz)
        # What either of us said alone does not hold.
        mux = line.attribute("rtcp-mux") is not None and mux
        cn = _noise_codec(line, codec) if noise else None
        return AudioAgreement(
            codec=format_name(codec) or codec.name,
            payload_type=codec.payload_type,
            receive=receive,
            remote=(host, line.port) if sendable and host else None,
            remote_rtcp=_rtcp_address(line, host) if sendable and host else None,
            telephone_event=event.payload_type if event else None,
            receive_telephone_event=self._types[_event_name(event.rate_hz)] if event else None,
            ptime_ms=line.ptime_ms or self._capabilities.ptime_ms,
            maxptime_ms=line.maxptime_ms,
            direction=direction,
            telephone_event_hz=event.rate_hz if event else 8000,
            opus=OpusParameters.parse(codec.parameters) if codec.name == "OPUS" else None,
            crypto=self._sdes.pair,
            rtcp_mux=mux,
            comfort_noise=cn.payload_type if cn else None,
            receive_comfort_noise=self._types[_noise_name(cn.rate_hz)] if cn else None,
            extended_reports=self._asks(line),
        )

    def _asks(self, line: MediaDescription) -> bool:
        """Whether they ask for extended reports that we are willing to send."""
        asked = line.attribute("rtcp-xr")
        return self._capabilities.extended_reports != "off" and asked is not None

    def _has_moved(self, offer: SessionDescription, line: MediaDescription) -> bool:
        """Whether they want their audio elsewhere than before."""
        there = self.agreement.remote if self.agreement else None
        here = (offer.address(line) or "", line.port)
        return there is not None and here != there and here[0] not in ("0.0.0.0", "::")

    def _mux_to_offer(self) -> bool:
        """What is agreed stays; before that, by what we can do."""
        if self.agreement is not None:
            return self.agreement.rtcp_mux
        return self._capabilities.rtcp_mux == "offer"

    def _offered_noises(self, names: list[str]) -> list[tuple[int, int]]:
        """Comfort noise at the clocks of codecs that have none of their own."""
        if not self._capabilities.comfort_noise:
            return []
        clocks = {FORMATS[name].clock_hz for name in names if name != "OPUS"}
        return [(c, self._types[_noise_name(c)]) for c in _NOISE_TYPES if c in clocks]

    def _offered_clocks(self) -> list[int]:
        """Clocks of the telephone events that we offer, the usual one first."""
        return self._clocks if self._capabilities.telephone_events else []

    def _event_codec(self, line: MediaDescription, clock_hz: int) -> Codec | None:
        """Their telephone events: at the audio's clock, else at the one that all have."""
        if not self._capabilities.telephone_events:
            return None
        clocks = [clock for clock in (clock_hz, 8000) if clock in self._clocks]
        events = [codec for codec in line.codecs if codec.name == "TELEPHONE-EVENT"]
        return next((c for clock in clocks for c in events if c.rate_hz == clock), None)

    def _choose(self, offer: SessionDescription) -> int | None:
        """Which of their lines we take: the first we can."""
        found, best = None, 0
        for slot, line in enumerate(offer.media):
            if line.kind == "audio" and line.port and offer.address(line):
                value = self._sdes.takes(line)
                if value > best and self._choose_codec(line):  # the first of the best
                    found, best = slot, value
        return found

    @staticmethod
    def _extra(keys: list[str], mux: bool) -> list[tuple[str, str | None]]:
        """Attributes of the transport."""
        attributes: list[tuple[str, str | None]] = [("crypto", key) for key in keys]
        return [*attributes, ("rtcp-mux", None)] if mux else attributes

    def _choose_codec(self, line: MediaDescription) -> Codec | None:
        ours = self._capabilities.codecs
        common = [codec for codec in line.codecs if format_name(codec) in ours]
        if self._capabilities.prefer == "ours":
            common.sort(key=lambda codec: ours.index(format_name(codec) or ""))
        return common[0] if common else None

    def _audio_line(
        self,
        codecs: list[tuple[str, int]],
        events: list[tuple[int, int]],
        noises: list[tuple[int, int]],
        extra: list[tuple[str, str | None]],
        direction: Direction,
    ) -> MediaDescription:
        """Our m-line, of (name, payload type), and (clock, payload type) for digits and noise."""
        attributes: list[tuple[str, str | None]] = []
        for name, number in codecs:
            attributes.append(("rtpmap", f"{number} {FORMATS[name].rtpmap}"))
            parameters = str(self._capabilities.opus) if name == "OPUS" else ""
            if parameters:
                attributes.append(("fmtp", f"{number} {parameters}"))
        for clock, number in events:
            attributes.append(("rtpmap", f"{number} telephone-event/{clock}"))
            attributes.append(("fmtp", f"{number} 0-16"))
        attributes += [("rtpmap", f"{number} CN/{clock}") for clock, number in noises]
        formats = [str(number) for _, number in (*codecs, *events, *noises)]
        attributes.append(("ptime", str(self._capabilities.ptime_ms)))
        if self._extended:
            attributes.append(("rtcp-xr", _EXTENDED))
        attributes += [*extra, (direction.value, None)]
        return MediaDescription(
            "audio", self._port, self._sdes.protocol, tuple(formats), attributes=tuple(attributes)
        )

    def _say(self, media: tuple[MediaDescription, ...]) -> SessionDescription:
        """Our description with these media lines; a new version if it is a new one."""
        said = SessionDescription(
            Origin(self._session_id, 1, self._address), media, connection=self._address
        )
        last = self._last_said
        if last is not None:
            version = last.origin.version + (not said.same_session(last))
            said = replace(said, origin=replace(said.origin, version=version))
        self.local = self._last_said = said
        return said


def _refused(line: MediaDescription) -> MediaDescription:
    """The line with port 0: how an answer says no (RFC 3264 section 6)."""
    return MediaDescription(line.kind, 0, line.protocol, line.formats)


def _event_name(clock_hz: int) -> str:
    return f"telephone-event/{clock_hz}"


def _noise_name(clock_hz: int) -> str:
    return f"CN/{clock_hz}"


def _noise_codec(line: MediaDescription, codec: Codec) -> Codec | None:
    """Their comfort noise for a codec; None for one that has noise of its own."""
    if codec.name == "OPUS":
        return None
    noises = [each for each in line.codecs if each.name == "CN"]
    return next((each for each in noises if each.rate_hz == codec.rate_hz), None)


def _rtcp_address(line: MediaDescription, host: str) -> Address:
    """RFC 3605, or the port above the media's."""
    parts = (line.attribute("rtcp") or "").split()
    if parts and parts[0].isascii() and parts[0].isdecimal() and len(parts[0]) <= 5:
        port = int(parts[0])
        if 0 < port <= 65535:
            return (parts[3] if len(parts) >= 4 else host), port
    return host, line.port + 1
