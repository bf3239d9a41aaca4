"""A SIP dialog with its RTP, as a leg.

The leg joins three things that know nothing of each other: the session of the
user agent (who is calling, is it up), the negotiation of the session
description (which codec, which direction), and the RTP stream (packets).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media.codec import Codec
from trunkline.media.g711 import Law
from trunkline.media.jitter import JitterStatistics
from trunkline.media.lane import Lane
from trunkline.media.packet_time import packet_ms
from trunkline.media.srtp import SrtpKey
from trunkline.sip.crypto import CryptoLine
from trunkline.sip.errors import ParseError, SdpError
from trunkline.sip.message import Headers
from trunkline.sip.offer_answer import AudioAgreement, AudioNegotiation
from trunkline.sip.sdp import Direction as MediaDirection
from trunkline.sip.sdp import SessionDescription
from trunkline.sip.session import Session
from trunkline.sip.uri import Uri
from trunkline.sip.user_agent import UserAgent

from .leg import (
    Answered,
    Digit,
    Direction,
    EarlyMedia,
    Ended,
    Held,
    HoldChanged,
    LegObserver,
    Party,
    Resumed,
    Ringing,
)
from .leg_events import LegEvents
from .media_facts import MediaFacts
from .rtp import RtpStream, StreamFormat
from .rtp_format import STATIC_NOISE, StreamKeys
from .rtp_reports import ReportWatcher
from .rtp_socket import NoFreePortError
from .sip_transfer import SipTransfers, Transferring

__all__ = ["SipLeg", "Switch"]

log = logging.getLogger(__name__)

LAWS = {"PCMU": Law.ULAW, "PCMA": Law.ALAW}
_NO_COMMON_FORMAT = [("Warning", '305 trunkline "Incompatible media format"')]
"""What is wrong with a session description that is refused (RFC 3261 section 20.43)."""


class Switch(Protocol):
    """What a leg needs of the endpoint it belongs to."""

    agent: UserAgent
    sends_noise: bool
    """Whether we send comfort noise in silence to who takes it."""
    transfers: SipTransfers

    def make_stream(
        self,
        id: str,
        on_digit: Callable[[str, int, float], None],
        on_timeout: Callable[[float], None],
    ) -> RtpStream:
        """RTP ports for a leg; raises `NoFreePortError`."""

    def make_negotiation(self, port: int, trunk: str = "", toward: str = "") -> AudioNegotiation:
        """A session description of ours, for a call that came in on a trunk, from a host."""

    def keys_are_seen(self, session: Session) -> None:
        """Keys of SRTP have been agreed: say so if everybody on the way could read them."""

    def make_codec(self, name: str, agreement: AudioAgreement) -> Codec:
        """A codec that is not G.711, at the engine's rate, for what was agreed."""

    def now(self) -> float:
        """The media clock."""

    def flush(self) -> None:
        """Send what the user agent has to send."""

    def forget(self, leg: "SipLeg") -> None:
        """The leg has ended."""


class SipLeg(Transferring):
    """One SIP call. Implements `leg.Leg`, ``HoldableLeg``, ``TransferableLeg``; media thread."""

    transport = "sip"
    _switch: Switch

    def __init__(
        self,
        switch: Switch,
        session: Session,
        events: Callable[["SipLeg"], LegEvents],
        *,
        stream: RtpStream | None = None,
        negotiation: AudioNegotiation | None = None,
        account: str = "",
    ) -> None:
        self._switch = switch
        self.session = session
        self.id = session.id
        self.direction: Direction = session.direction
        self.party = Party(
            _number(session.from_.uri),
            _number(_called(session)),
            dict(session.headers.items()),
            account=session.username or account,
            host=_far_host(session),
            trunk=session.trunk,
        )
        self._events = events(self)
        # An outbound leg has both from the start: its INVITE offered them.
        self._stream = stream
        self._negotiation = negotiation
        self._offer: SessionDescription | None = None
        self._held = False
        # What we want to do with the audio, and what they know of that.
        self._wanted = self._told = MediaDirection.SENDRECV
        self._proposed: MediaDirection | None = None
        self._early = False
        self._answered = False
        self._ended = False
        self._final_statistics: dict[str, float] = {}
        self._report_watcher: ReportWatcher | None = None
        self.retry_after_seconds = 0
        """When a far end that refused wants to be called again; 0: it did not say."""

    # -- Leg -------------------------------------------------------------------------

    @property
    def lane(self) -> Lane | None:
        """The leg's place in the engine; None until its media is agreed."""
        return self._stream.lane if self._stream else None

    def observe(self, observer: LegObserver) -> None:
        """Deliver events to an observer."""
        self._events.observe(observer)

    def ring(self) -> None:
        """Send 180 Ringing (RFC 3261 13.3.1.1)."""
        if self._may_answer():
            self._switch.agent.ring(self.session, self._switch.now())
            self._switch.flush()
            self._events.emit(Ringing())

    def early_media(self) -> None:
        """Send 183 with our session description, and open the audio."""
        if not self._may_answer() or self._early:
            return
        answer = self._prepare_answer()
        if answer is not None:
            self._early = True
            self._switch.agent.progress(self.session, 183, bytes(answer), self._switch.now())
            self._switch.flush()
            if self.lane is not None:  # else it is our offer, and their PRACK answers it
                self._events.emit(EarlyMedia())

    def answer(self) -> None:
        """Send 200 with our session description. Legal more than once."""
        if not self._may_answer():
            return
        answer = self._negotiation.local if self._negotiation and self._early else None
        answer = answer or self._prepare_answer()
        if answer is None:
            return
        self._switch.agent.accept(self.session, bytes(answer), self._switch.now())
        self._answered = True
        self._switch.flush()
        if self.lane is not None:
            self._up()
        # After a late offer there is no lane yet: their ACK brings the answer.

    def reject(self, code: int, reason: str = "") -> None:
        """Refuse an inbound call."""
        self._refuse(code, reason)

    def _refuse(self, code: int, reason: str = "", headers: Headers = ()) -> None:
        if self._may_answer():
            now = self._switch.now()
            self._switch.agent.reject(self.session, code, now, reason=reason, headers=headers)
            self._switch.flush()

    def redirect(self, targets: Sequence[str], code: int = 302) -> None:
        """Send an inbound caller elsewhere; raises `UsageError` for what is no address."""
        if self._may_answer():
            self._switch.agent.redirect(self.session, targets, self._switch.now(), code=code)
            self._switch.flush()

    def hangup(self, reason: str = "hangup") -> None:
        """CANCEL, BYE or a refusal, whatever fits; legal more than once."""
        if not self._ended:
            self._switch.agent.end(self.session, self._switch.now(), reason=reason)
            # Their answer to our BYE may take 32 s, or never come; the audio ends now.
            self._stop_media()
            self._switch.flush()

    def hold(self, *, silent: bool = False) -> None:
        """Put them on hold by re-INVITE (RFC 3264 section 8.4); `HoldChanged` follows."""
        self._want(MediaDirection.INACTIVE if silent else MediaDirection.SENDONLY)

    def resume(self) -> None:
        """Take them off hold; `HoldChanged` follows."""
        self._want(MediaDirection.SENDRECV)

    @property
    def takes_keys(self) -> bool:
        """Whether the far end takes telephone events, as far as is agreed."""
        return self._stream is None or self._stream.takes_events

    def send_dtmf(self, digits: str, duration_ms: int = 100) -> None:
        """Telephone events on the RTP stream (RFC 4733)."""
        if self._stream is None:
            raise UsageError("no digits before the call has audio")
        self._stream.send_dtmf(digits, duration_ms)

    def statistics(self) -> Mapping[str, float]:
        """What was received, lost and late, and the round trip; kept after the end."""
        if self._stream is not None:
            self._final_statistics = self._stream.statistics()
        return dict(self._final_statistics)

    def media_facts(self) -> MediaFacts | None:
        """See `MonitoredLeg`."""
        return None if self._stream is None else self._stream.facts()

    def watch_reports(self, watcher: ReportWatcher) -> None:
        """Have a callable told of RTCP in and out, from when there is media on."""
        self._report_watcher = watcher
        if self._stream is not None:
            self._stream.watch_reports(watcher)

    def jitter_statistics(self) -> JitterStatistics | None:
        """See `MonitoredLeg`."""
        return None if self._stream is None else self._stream.jitter_statistics()

    # -- what the user agent reports ---------------------------------------------------

    def invited(self, offer: SessionDescription | None) -> None:
        """They call; ``offer`` is None when they want ours."""
        self._offer = offer

    def progressed(
        self, code: int, answer: SessionDescription | None, offer: SessionDescription | None = None
    ) -> None:
        """A provisional response to our INVITE."""
        if offer is not None and not self._answer_late(offer):
            self._switch.agent.acknowledge(self.session, None, self._switch.now())
            self.hangup("error")
            return
        described = offer is not None or (answer is not None and self._agree(answer))
        if described and not self._early:
            self._early = True
            self._events.emit(EarlyMedia(code))
        elif code in (180, 181, 182):
            self._events.emit(Ringing(code))

    def early_answered(self, answer: SessionDescription | None) -> None:
        """Their PRACK answered the offer of our 183."""
        if answer is not None and self._agree(answer):
            self._events.emit(EarlyMedia())
        elif self._answered:
            self.hangup("error")
        else:
            self._refuse(488, headers=_NO_COMMON_FORMAT)

    def accepted(self, answer: SessionDescription | None, offer: SessionDescription | None) -> None:
        """They took our call."""
        if offer is not None and answer is None:
            described = self._answer_late(offer)
        else:
            described = answer is None or self._agree(answer)
        if not described or self.lane is None:
            self.hangup("error")
            return
        self._answered = True
        self._up()

    def acknowledged(self, answer: SessionDescription | None) -> None:
        """Their ACK came; it carries an answer when our 200 made the offer."""
        negotiation = self._negotiation
        if answer is not None:
            opened = self.lane is None
            if self._agree(answer) and opened:
                self._up()
        if negotiation is not None and negotiation.is_open:
            negotiation.rollback()  # our offer in a 200 got no answer, or none of use
        if self.lane is None:
            self.hangup("error")

    def confirmed(self) -> None:
        """The call is up on both sides: now it may be changed."""
        self._settle()

    def reinvited(self, offer: SessionDescription | None) -> None:
        """They change the session: hold, resume, another address."""
        agent, now = self._switch.agent, self._switch.now()
        negotiation = self._negotiation
        if negotiation is None:
            agent.reject_reinvite(self.session, 488, now, headers=_NO_COMMON_FORMAT)
            return
        try:
            if offer is None:
                answer = negotiation.offer(self._wanted)
            else:
                answer = negotiation.answer(offer, self._wanted)
                self._follow(negotiation.agreement, self._wanted)
        except (SdpError, UsageError) as error:
            log.info("leg %s: re-INVITE refused: %s", self.id, error)
            negotiation.rollback()
            agent.reject_reinvite(self.session, 488, now, headers=_NO_COMMON_FORMAT)
            return
        agent.answer_reinvite(self.session, bytes(answer), now)

    def reinvite_answered(self, code: int, reason: str, answer: SessionDescription | None) -> None:
        """What became of our hold or resume."""
        negotiation, proposed = self._negotiation, self._proposed
        self._proposed = None
        if negotiation is None or proposed is None:
            if negotiation is not None and answer is not None:
                self._agree(answer)  # to a refresh of the session timer: they have moved
            return
        taken = answer is not None and self._agree(answer, proposed)
        if not taken:
            if negotiation.is_open:
                negotiation.rollback()
            code = code if code >= 300 else 488
            self._wanted = self._told
        if self._wanted is self._told:
            self._tell_hold(code, reason)
        else:
            self._settle()

    def digit(self, digit: str, duration_ms: int, now: float) -> None:
        """A key, in RTP or in an INFO request."""
        self._events.emit(Digit(digit, duration_ms))

    def terminated(
        self,
        reason: str,
        by: Literal["us", "them"],
        code: int | None,
        detail: str = "",
        retry_after_seconds: int = 0,
    ) -> None:
        """The session is over: free everything and say so, once."""
        if self._ended:
            return
        self._ended = True
        self.retry_after_seconds = retry_after_seconds
        self._stop_media()
        self._switch.forget(self)
        self._events.emit(Ended(reason, by, code, detail, retry_after_seconds))

    # -- media -----------------------------------------------------------------------------

    def _up(self) -> None:
        """The call is answered and has audio."""
        if self._stream is not None:
            self._stream.watch(self._switch.now())
        self._events.emit(Answered())
        if self._stream is not None and not self._stream.sending:  # it began on hold
            self._held = True
            self._events.emit(Held())

    def _stop_media(self) -> None:
        """Free the ports and the lane, and keep what they counted."""
        stream = self._stream
        if stream is not None:
            self._final_statistics = stream.statistics()
            stream.close(self._switch.now())  # whoever watches its quality looks once more
            self._stream = None

    def _want(self, direction: MediaDirection) -> None:
        if self._ended or self._stream is None:
            return  # its end is on the way
        if not self._answered:
            raise UsageError("only a call that is answered can be held or resumed")
        self._wanted = direction
        if self._proposed is None and self._wanted is self._told:
            self._tell_hold(200, "")
        else:
            self._settle()

    def _settle(self) -> None:
        """Propose what we want, unless a proposal is on its way; then when it is answered."""
        changes = self._wanted is not self._told and self._proposed is None
        if changes and self.session.is_confirmed and self._negotiation is not None:
            self._proposed = self._wanted
            self._switch.agent.reinvite(self.session, self._proposal, self._switch.now())
            self._switch.flush()

    def _proposal(self) -> bytes:
        """What our re-INVITE offers; asked again when it has met one of theirs."""
        assert self._negotiation is not None
        self._proposed = self._wanted
        return bytes(self._negotiation.offer(self._wanted))

    def _tell_hold(self, code: int, reason: str) -> None:
        self._events.emit(HoldChanged(not self._told.receives, code, reason))

    def _may_answer(self) -> bool:
        return self.direction == "inbound" and not self._answered and not self._ended

    def _describe(self) -> AudioNegotiation:
        self._stream = self._switch.make_stream(self.id, self.digit, self.media_timed_out)
        source = self.session.source
        toward = source.host if source else ""
        if self._report_watcher is not None:
            self._stream.watch_reports(self._report_watcher)
        return self._switch.make_negotiation(self._stream.port, self.session.trunk, toward)

    def _prepare_answer(self) -> SessionDescription | None:
        """Our answer to their offer (or our offer, if they made none), with media open.

        None when there is none, and then the call has been refused.
        """
        try:
            negotiation = self._negotiation = self._describe()
            if self._offer is None:
                return negotiation.offer()
            answer = negotiation.answer(self._offer)
            self._follow(negotiation.agreement, self._wanted)
        except (NoFreePortError, MissingDependencyError) as error:
            log.error("leg %s refused: %s", self.id, error)
            self.reject(503)
        except (SdpError, UsageError) as error:
            log.info("leg %s refused: %s", self.id, error)
            self._refuse(488, headers=_NO_COMMON_FORMAT)
        else:
            return answer
        return None

    def _answer_late(self, offer: SessionDescription) -> bool:
        """Answer, in the ACK, the offer that came with their 200."""
        try:
            self._negotiation = self._negotiation or self._describe()
            answer = self._negotiation.answer(offer)
            self._follow(self._negotiation.agreement, self._wanted)
        except (SdpError, UsageError) as error:
            log.info("leg %s: cannot answer their offer: %s", self.id, error)
            return False
        self._switch.agent.acknowledge(self.session, bytes(answer), self._switch.now())
        return True

    def _agree(self, answer: SessionDescription, ours: MediaDirection | None = None) -> bool:
        """Take their answer to our offer; False (and why, in the log) if it is unusable.

        ``ours`` is what we had offered to do, if that is not what we do now.
        """
        negotiation = self._negotiation
        if negotiation is None:
            return False
        try:
            agreement = negotiation.accept(answer)
        except SdpError as error:
            log.info("leg %s: their answer is unusable: %s", self.id, error)
            return False
        try:
            self._follow(agreement, ours or self._told)
        except UsageError as error:
            log.info("leg %s: their answer is not followed: %s", self.id, error)
            negotiation.rollback()
            return False
        return True

    def _follow(self, agreement: AudioAgreement | None, ours: MediaDirection) -> None:
        """Make the stream do what was agreed; raises `UsageError` where policy forbids.

        ``ours`` is what we said we want, which their word may have narrowed.
        """
        stream = self._stream
        if agreement is None or stream is None:
            return
        format = self._format(agreement)
        now, expected = self._switch.now(), stream.expecting
        rtcp, peer = agreement.remote_rtcp, _far_host(self.session)
        if stream.lane is None:
            stream.open(format, agreement.remote, now, rtcp=rtcp, peer=peer)
        else:
            stream.update(format, agreement.remote, rtcp=rtcp, peer=peer)
        if agreement.crypto is not None:
            self._switch.keys_are_seen(self.session)
        stream.sending = agreement.direction.sends and agreement.remote is not None
        stream.receiving = agreement.direction.receives
        stream.deaf = not ours.receives
        self._told = ours
        if self._answered and stream.expecting and not expected:
            stream.watch(now)  # the silence of the hold does not count
        # Who offers to send nothing is not told whether they would have listened.
        held = not stream.sending if ours.sends else self._held
        if held != self._held and self._answered:
            self._held = held
            self._events.emit(Held() if held else Resumed())

    def _format(self, agreement: AudioAgreement) -> StreamFormat:
        """What was agreed, as the stream wants it."""
        receive = agreement.receive
        others = {name for name in (agreement.codec, *receive.values()) if name not in LAWS}
        codecs = {name: self._switch.make_codec(name, agreement) for name in others}
        pair, noise = agreement.crypto, agreement.receive_comfort_noise
        return StreamFormat(
            law=LAWS.get(agreement.codec, Law.ULAW),
            payload_type=agreement.payload_type,
            receive={number: LAWS[name] for number, name in receive.items() if name in LAWS},
            dtmf_payload_type=agreement.telephone_event,
            dtmf_receive_type=agreement.receive_telephone_event,
            codec=codecs.get(agreement.codec),
            receive_codecs={
                number: codecs[name] for number, name in receive.items() if name in codecs
            },
            dtmf_clock_hz=agreement.telephone_event_hz,
            noise_payload_type=agreement.comfort_noise if self._switch.sends_noise else None,
            noise_types=frozenset({STATIC_NOISE, noise if noise is not None else STATIC_NOISE}),
            keys=StreamKeys(_key(pair.local), _key(pair.remote)) if pair else None,
            rtcp_mux=agreement.rtcp_mux,
            # A packet of Opus cannot be cut; those of the others can, at any sample.
            packet_ms=20
            if agreement.codec == "OPUS"
            else packet_ms(agreement.ptime_ms, agreement.maxptime_ms),
            extended_reports=agreement.extended_reports,
        )

    def media_timed_out(self, now: float) -> None:
        """No packet for longer than is allowed: the far end is gone, or somebody holds."""
        if self._stream is not None and not self._stream.expecting:
            self._switch.agent.probe(self.session, now)  # no answer ends the call
            self._switch.flush()
            return
        log.info("leg %s: no packet for too long", self.id)
        self.hangup("media-timeout")


def _key(line: CryptoLine) -> SrtpKey:
    """What a crypto line says, as the stream wants it."""
    mki = b"" if line.mki is None else line.mki.to_bytes(line.mki_bytes, "big")
    return SrtpKey(line.suite.name, line.secret, mki)


def _called(session: Session) -> str:
    """Who is called: the Request-URI, which proxies rewrite, rather than To."""
    return session.request.uri if session.direction == "inbound" else session.to.uri


def _far_host(session: Session) -> str:
    """Where an inbound call came from, or an outbound one goes to."""
    if session.source is not None:
        return session.source[0]
    try:
        return Uri.parse(session.request.uri).host
    except ParseError:
        return ""


def _number(uri: str) -> str:
    """A party as routes are matched against it: the number, or the user, or the host."""
    try:
        parsed = Uri.parse(uri)
    except ParseError:
        return uri  # another scheme: a call may come from anywhere
    return parsed.number or parsed.host
