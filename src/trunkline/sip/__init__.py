"""SIP: messages, session descriptions, digest, transactions, dialogs, a user agent.

Everything here is pure: no socket, no clock. A transport feeds datagrams and time
in, and takes datagrams and events out::

    agent = UserAgent(Settings(host="192.0.2.1", port=5060), random.SystemRandom())

    # for each datagram, with a monotonic clock in seconds
    agent.receive(data, (host, port), now)
    # when the clock passes agent.next_timeout() (None: nothing to wait for)
    agent.tick(now)
    # after each of these, and after each command
    for output in agent.drain():
        match output:
            case Send(data, destination): socket.sendto(data, destination)
            case Invited(session, request, offer): ...

Being called::

    case Invited(session, _, offer):          # 100 is out
        audio = AudioNegotiation(AudioCapabilities(), host, rtp_port, session_number)
        try:
            answer = audio.answer(offer) if offer else audio.offer()
        except SdpError as error:
            agent.reject(session, error.code, now)          # 488
        agent.ring(session, now)                            # 180, or progress(183, answer)
        agent.accept(session, answer, now)                  # 200, repeated until the ACK
        audio.agreement                                     # where and how to send RTP
    case Acked(session, answer) if answer:                  # only if we made the offer
        audio.accept(answer)
    case ReInvited(session, _, offer):                      # hold, resume, a new address
        agent.answer_reinvite(session, audio.answer(offer) if offer else audio.offer(), now)

Calling::

    session = agent.invite(Invitation("sip:bob@example.com", "sip:us@192.0.2.1",
                                      sdp=audio.offer(), credentials=[Credentials("us", "pw")],
                                      destination=("192.0.2.7", 5060), no_answer_seconds=45), now)
    case Progress(session, code, _, answer): ...            # answer: early media
    case Accepted(session, answer, None): audio.accept(answer)   # the ACK is out
    case Accepted(session, None, offer):                    # we made no offer
        agent.acknowledge(session, audio.answer(offer), now)
    case Progress(session, _, _, None, offer) if offer:     # nor before the answer: by PRACK
        agent.acknowledge(session, audio.answer(offer), now)
    case Rejected(session, code, reason, response): ...

Transfers, asked for by us (`ReferProgress` follows) and by them::

    agent.referring.refer(session, "sip:carol@example.com", now)
    case Referred(session, referral):                       # 202, then NOTIFYs
        agent.referring.accept(referral, now)               # and we call referral.to.uri
        agent.referring.report(referral, 200, "OK", now)    # what came of it

Ending: ``agent.end(session, now)`` in whatever state. `Terminated` comes exactly once
for every session and is its last event. Commands on a session that is over return
False; commands that make no sense in its state raise `StateError`.

What a peer sends never raises: it is answered as RFC 3261 says, or dropped, and
counted in ``agent.counters``.
"""

from .admission import AccessPolicy, Admission
from .carrier import Carrier
from .core import Randomness, Settings
from .crypto import CryptoLine, blank_keys
from .dialog import Dialog
from .digest import Account, Authorizer, Challenge, Challenger, Credentials, Verdict
from .errors import ParseError, SdpError, SipError, StateError
from .events import (
    Accepted,
    Acked,
    ByeReceived,
    Cancelled,
    Confirmed,
    DigitReceived,
    EarlyAnswered,
    Event,
    Invited,
    Output,
    Progress,
    Redirected,
    ReferProgress,
    Referred,
    Registered,
    RegistrationEvent,
    RegistrationFailed,
    RegistrationWithdrawn,
    ReInviteAnswered,
    ReInvited,
    Rejected,
    Send,
    Terminated,
)
from .headers import CSeq, NameAddress, Via
from .hop import Hop
from .identity import (
    CallerIdentity,
    Diverted,
    caller_identity,
    diversions,
    identity_headers,
)
from .message import REASONS, Message, Request, Response, parse_message
from .offer_answer import AudioAgreement, AudioCapabilities, AudioNegotiation
from .opus_parameters import OpusParameters
from .outbound import Invitation
from .reason import Reason
from .refer import Referring
from .referral import Refer, Referral, ReferTo
from .registration import Registration, RegistrationRequest, RegistrationState
from .replaces import Replaces
from .sdp import Codec, Direction, MediaDescription, Origin, SessionDescription
from .secure_media import CryptoPair
from .session import Session, SessionState
from .transaction import Timing
from .uri import Uri
from .user_agent import UserAgent

__all__ = [
    "REASONS",
    "Accepted",
    "AccessPolicy",
    "Account",
    "Acked",
    "Admission",
    "AudioAgreement",
    "AudioCapabilities",
    "AudioNegotiation",
    "Authorizer",
    "ByeReceived",
    "CSeq",
    "CallerIdentity",
    "Cancelled",
    "Carrier",
    "Challenge",
    "Challenger",
    "Codec",
    "Confirmed",
    "Credentials",
    "CryptoLine",
    "CryptoPair",
    "Dialog",
    "DigitReceived",
    "Direction",
    "Diverted",
    "EarlyAnswered",
    "Event",
    "Hop",
    "Invitation",
    "Invited",
    "MediaDescription",
    "Message",
    "NameAddress",
    "OpusParameters",
    "Origin",
    "Output",
    "ParseError",
    "Progress",
    "Randomness",
    "ReInviteAnswered",
    "ReInvited",
    "Reason",
    "Redirected",
    "Refer",
    "ReferProgress",
    "ReferTo",
    "Referral",
    "Referred",
    "Referring",
    "Registered",
    "Registration",
    "RegistrationEvent",
    "RegistrationFailed",
    "RegistrationRequest",
    "RegistrationState",
    "RegistrationWithdrawn",
    "Rejected",
    "Replaces",
    "Request",
    "Response",
    "SdpError",
    "Send",
    "Session",
    "SessionDescription",
    "SessionState",
    "Settings",
    "SipError",
    "StateError",
    "Terminated",
    "Timing",
    "Uri",
    "UserAgent",
    "Verdict",
    "Via",
    "blank_keys",
    "caller_identity",
    "diversions",
    "identity_headers",
    "parse_message",
]
