"""Where audio and reports go by what a description says, and where they do not."""

import pytest

from trunkline.sip.errors import SdpError
from trunkline.sip.offer_answer import AudioAgreement, AudioCapabilities, AudioNegotiation
from trunkline.sip.sdp import SessionDescription


def agreed(*lines: str, address: str = "192.0.2.9", port: int = 4000) -> AudioAgreement:
    version = "IP6" if ":" in address else "IP4"
    media = "\r\n".join((f"m=audio {port} RTP/AVP 0", *lines))
    head = f"v=0\r\no=- 5 5 IN IP4 h\r\ns=-\r\nc=IN {version} {address}\r\nt=0 0"
    offer = SessionDescription.parse(f"{head}\r\n{media}\r\n".encode())
    negotiation = AudioNegotiation(AudioCapabilities(), "192.0.2.1", 5000, 77)
    negotiation.answer(offer)
    assert negotiation.agreement is not None
    return negotiation.agreement


@pytest.mark.parametrize(
    ("said", "reports"),
    [
        ("a=rtcp:53020", ("192.0.2.9", 53020)),
        ("a=rtcp:53020 IN IP4 192.0.2.10", ("192.0.2.10", 53020)),
        ("a=rtcp:53020 IN IP4", ("192.0.2.9", 53020)),
        ("a=rtcp:1", ("192.0.2.9", 1)),
        ("a=rtcp:65535", ("192.0.2.9", 65535)),
        ("a=rtcp:0", ("192.0.2.9", 4001)),
        ("a=rtcp:65536", ("192.0.2.9", 4001)),
        ("a=rtcp:053020", ("192.0.2.9", 4001)),
        ("a=rtcp:٥٣", ("192.0.2.9", 4001)),
        ("a=rtcp:-5", ("192.0.2.9", 4001)),
        ("a=rtcp:", ("192.0.2.9", 4001)),
        ("a=rtcp", ("192.0.2.9", 4001)),
        ("a=sendrecv", ("192.0.2.9", 4001)),
    ],
)
def test_reports_go_where_they_are_asked_for_or_to_the_port_above(
    said: str, reports: tuple[str, int]
) -> None:
    agreement = agreed(said)
    assert agreement.remote == ("192.0.2.9", 4000)
    assert agreement.remote_rtcp == reports


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_nothing_is_sent_to_who_cannot_be_sent_to(address: str) -> None:
    agreement = agreed("a=rtcp:5000", address=address)
    assert agreement.remote is None
    assert agreement.remote_rtcp is None


@pytest.mark.parametrize(
    "media",
    ["m=video 9 RTP/AVP 0", "m=audio 0 RTP/AVP 0", "m=audio 9 RTP/SAVP 0", "m=audio 9 RTP/AVP 18"],
)
def test_a_line_that_is_not_audio_we_can_hear_is_not_taken(media: str) -> None:
    negotiation = AudioNegotiation(AudioCapabilities(), "192.0.2.1", 5000, 77)
    offer = SessionDescription.parse(
        f"v=0\r\no=- 5 5 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{media}\r\n".encode()
    )
    with pytest.raises(SdpError):
        negotiation.answer(offer)
    assert negotiation.agreement is None


def test_our_answer_says_our_packet_time() -> None:
    negotiation = AudioNegotiation(AudioCapabilities(), "192.0.2.1", 5000, 77)
    assert b"a=ptime:20\r\n" in bytes(negotiation.offer())
    assert agreed().ptime_ms == 20
