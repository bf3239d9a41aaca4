"""Offers, answers, and what comes of them."""

import pytest

from trunkline.errors import UsageError
from trunkline.sip.errors import SdpError, StateError
from trunkline.sip.offer_answer import AudioCapabilities, AudioNegotiation
from trunkline.sip.sdp import Direction, SessionDescription


def ours(port: int = 4000, **options: object) -> AudioNegotiation:
    return AudioNegotiation(AudioCapabilities(**options), "192.0.2.1", port, 77)  # type: ignore


def theirs(*media: str, address: str = "192.0.2.9") -> SessionDescription:
    lines = "\r\n".join(media)
    return SessionDescription.parse(
        f"v=0\r\no=- 5 5 IN IP4 h\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{lines}\r\n".encode()
    )


def test_two_of_us_agree_on_pcmu_and_digits() -> None:
    caller, callee = ours(4000), ours(5000)
    answer = callee.answer(SessionDescription.parse(bytes(caller.offer())))
    agreement = caller.accept(SessionDescription.parse(bytes(answer)))
    assert (agreement.codec, agreement.payload_type, agreement.remote) == (
        "PCMU", 0, ("192.0.2.1", 5000),
    )  # fmt: skip
    assert agreement.remote_rtcp == ("192.0.2.1", 5001)
    assert (agreement.telephone_event, agreement.receive_telephone_event) == (101, 101)
    assert agreement.direction is Direction.SENDRECV
    assert callee.agreement is not None
    assert callee.agreement.remote == ("192.0.2.1", 4000)
    assert callee.agreement.receive == {0: "PCMU"}


@pytest.mark.parametrize(("prefer", "codec"), [("theirs", "PCMA"), ("ours", "PCMU")])
def test_the_codec_is_chosen_in_their_order_or_ours(prefer: str, codec: str) -> None:
    negotiation = ours(prefer=prefer)
    negotiation.answer(theirs("m=audio 9 RTP/AVP 18 8 0"))
    assert negotiation.agreement is not None
    assert negotiation.agreement.codec == codec


def test_an_offerers_own_event_number_ptime_and_rtcp_port_count() -> None:
    negotiation = ours()
    answer = negotiation.answer(
        theirs("m=audio 9 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000", "a=ptime:30",
               "a=rtcp:53020 IN IP4 192.0.2.10")
    )  # fmt: skip
    agreement = negotiation.agreement
    assert agreement is not None
    assert (agreement.telephone_event, agreement.ptime_ms) == (96, 30)
    assert agreement.remote_rtcp == ("192.0.2.10", 53020)
    assert answer.media[0].formats == ("0", "96")
    assert "96" in negotiation.offer().media[0].formats  # and stays so


def test_events_at_another_clock_rate_are_not_taken() -> None:
    negotiation = ours()
    negotiation.answer(theirs("m=audio 9 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/48000"))
    assert negotiation.agreement is not None
    assert negotiation.agreement.telephone_event is None


def test_every_line_is_mirrored_and_what_we_do_not_take_has_port_zero() -> None:
    answer = ours().answer(
        theirs("m=video 9 RTP/AVP 31", "m=audio 9 RTP/SAVP 0", "m=audio 11 RTP/AVP 8",
               "m=audio 13 RTP/AVP 0", "m=image 15 udptl t38")
    )  # fmt: skip
    assert [(line.kind, line.protocol, line.port) for line in answer.media] == [
        ("video", "RTP/AVP", 0), ("audio", "RTP/SAVP", 0), ("audio", "RTP/AVP", 4000),
        ("audio", "RTP/AVP", 0), ("image", "udptl", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "media",
    [["m=audio 9 RTP/AVP 18 9"], ["m=video 9 RTP/AVP 31"], ["m=audio 0 RTP/AVP 0"],
     ["m=audio 9 RTP/SAVP 0"], [], ["m=audio 9 RTP/AVP 96", "a=rtpmap:96 PCMU/16000"],
     ["m=audio 9 RTP/AVP 96", "a=rtpmap:96 PCMU/8000/2"]],
)  # fmt: skip
def test_nothing_in_common_is_answered_488(media: list[str]) -> None:
    with pytest.raises(SdpError) as caught:
        ours().answer(theirs(*media))
    assert caught.value.code == 488


@pytest.mark.parametrize(
    ("offered", "wanted", "agreed"),
    [
        ("sendrecv", Direction.SENDRECV, "sendrecv"),
        ("sendonly", Direction.SENDRECV, "recvonly"),
        ("recvonly", Direction.SENDRECV, "sendonly"),
        ("inactive", Direction.SENDRECV, "inactive"),
        ("sendrecv", Direction.SENDONLY, "sendonly"),
        ("sendonly", Direction.SENDONLY, "inactive"),
    ],
)
def test_we_do_what_both_want(offered: str, wanted: Direction, agreed: str) -> None:
    negotiation = ours()
    answer = negotiation.answer(theirs("m=audio 9 RTP/AVP 0", f"a={offered}"), wanted)
    assert answer.media[0].attribute(agreed) == ""
    assert negotiation.agreement is not None
    assert negotiation.agreement.direction == agreed


def test_the_old_hold_leaves_nowhere_to_send() -> None:
    negotiation = ours()
    negotiation.answer(theirs("m=audio 9 RTP/AVP 0", address="0.0.0.0"))
    assert negotiation.agreement is not None
    assert negotiation.agreement.remote is None
    assert not negotiation.agreement.direction.sends


def test_the_version_rises_with_a_change_and_only_then() -> None:
    negotiation = ours()
    first = negotiation.answer(theirs("m=audio 9 RTP/AVP 0"))
    same = negotiation.answer(theirs("m=audio 9 RTP/AVP 0"))
    held = negotiation.answer(theirs("m=audio 9 RTP/AVP 0", "a=sendonly"))
    assert [d.origin.version for d in (first, same, held)] == [1, 1, 2]
    assert first.origin.session_id == held.origin.session_id == "77"


def test_hold_and_resume_keep_the_lines_in_place() -> None:
    negotiation = ours()
    negotiation.answer(theirs("m=video 9 RTP/AVP 31", "m=audio 9 RTP/AVP 8 0"))
    hold = negotiation.offer(Direction.SENDONLY)
    assert [(line.kind, line.port) for line in hold.media] == [("video", 0), ("audio", 4000)]
    assert hold.media[1].formats[0] == "8"  # what is in use stays first
    held = negotiation.accept(theirs("m=video 0 RTP/AVP 31", "m=audio 9 RTP/AVP 8", "a=recvonly"))
    assert held.direction is Direction.SENDONLY
    resumed = negotiation.offer()
    assert resumed.origin.version > hold.origin.version


def test_audio_switched_off_in_a_call_is_accepted() -> None:
    negotiation = ours()
    negotiation.answer(theirs("m=audio 9 RTP/AVP 0"))
    answer = negotiation.answer(theirs("m=audio 0 RTP/AVP 0"))
    assert answer.media[0].port == 0
    assert negotiation.agreement is not None
    assert negotiation.agreement.direction is Direction.INACTIVE


@pytest.mark.parametrize(
    "media",
    [
        ["m=audio 0 RTP/AVP 0"],
        ["m=video 9 RTP/AVP 0"],
        ["m=audio 9 RTP/AVP 18"],
        ["m=audio 9 RTP/AVP 0", "a=rtpmap:0 PCMU/16000"],
        [],
    ],
)
def test_an_answer_that_does_not_fit_the_offer_is_an_error(media: list[str]) -> None:
    negotiation = ours()
    negotiation.offer()
    with pytest.raises(SdpError):
        negotiation.accept(theirs(*media))


def test_an_answer_may_use_several_codecs_of_the_offer() -> None:
    negotiation = ours()
    negotiation.offer()
    agreement = negotiation.accept(theirs("m=audio 9 RTP/AVP 8 0"))
    assert agreement.codec == "PCMA"
    assert agreement.receive == {0: "PCMU", 8: "PCMA"}


def test_misuse_raises() -> None:
    with pytest.raises(StateError):
        ours().accept(theirs("m=audio 9 RTP/AVP 0"))
    with pytest.raises(UsageError):
        ours(codecs=("OPUS",))
    with pytest.raises(UsageError):
        ours(codecs=())


def test_events_are_not_offered_when_switched_off() -> None:
    assert ours(telephone_events=False).offer().media[0].formats == ("0", "8")


# Steps that come to nothing.


def up() -> AudioNegotiation:
    negotiation = ours()
    negotiation.answer(theirs("m=audio 9 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000"))
    return negotiation


def test_a_refused_offer_changes_nothing_but_the_next_version() -> None:
    negotiation = up()
    before = (negotiation.local, negotiation.remote, negotiation.agreement)
    refused = negotiation.offer(Direction.SENDONLY)
    assert negotiation.is_open
    negotiation.rollback()
    assert (negotiation.local, negotiation.remote, negotiation.agreement) == before
    assert not negotiation.is_open
    # The refused description was said: its version is not used for another one.
    again = negotiation.offer()
    assert again.origin.version == refused.origin.version + 1
    negotiation.rollback()
    assert negotiation.offer().origin.version == again.origin.version


def test_an_answer_that_could_not_be_sent_changes_nothing() -> None:
    negotiation = up()
    before = (negotiation.local, negotiation.remote, negotiation.agreement)
    negotiation.answer(
        theirs("m=video 9 RTP/AVP 31", "m=audio 9 RTP/AVP 8 96", "a=sendonly",
               "a=rtpmap:96 telephone-event/8000", address="203.0.113.5")
    )  # fmt: skip
    negotiation.rollback()
    negotiation.rollback()  # legal more than once
    assert (negotiation.local, negotiation.remote, negotiation.agreement) == before
    offer = negotiation.offer()
    assert [line.kind for line in offer.media] == ["audio"]
    assert offer.media[0].formats == ("0", "8", "101")


def test_an_offer_that_nobody_can_meet_changes_nothing() -> None:
    negotiation = up()
    before = (negotiation.local, negotiation.remote, negotiation.agreement)
    with pytest.raises(SdpError):
        negotiation.answer(theirs("m=audio 9 RTP/AVP 18"))
    assert (negotiation.local, negotiation.remote, negotiation.agreement) == before


def test_their_offer_takes_the_place_of_ours_that_met_it() -> None:
    negotiation = up()
    negotiation.offer(Direction.SENDONLY)  # answered 491, and tried again later
    answer = negotiation.answer(theirs("m=audio 19 RTP/AVP 8"))
    assert not negotiation.is_open and negotiation.agreement is not None
    assert negotiation.agreement.codec == "PCMA"
    negotiation.rollback()
    assert negotiation.agreement.codec == "PCMU"
    assert answer.origin.version > 1


def test_an_unusable_answer_leaves_the_offer_open() -> None:
    negotiation = up()
    negotiation.offer(Direction.SENDONLY)
    with pytest.raises(SdpError):
        negotiation.accept(theirs("m=audio 9 RTP/AVP 18"))
    assert negotiation.is_open
    negotiation.rollback()
    assert negotiation.agreement is not None
    assert negotiation.agreement.direction is Direction.SENDRECV


def test_early_media_and_the_final_answer_both_answer_the_first_offer() -> None:
    negotiation = ours()
    negotiation.offer()
    negotiation.accept(theirs("m=audio 9 RTP/AVP 0"))
    assert not negotiation.is_open
    assert negotiation.accept(theirs("m=audio 19 RTP/AVP 8")).remote == ("192.0.2.9", 19)


def test_an_answer_may_switch_the_audio_of_a_call_that_is_up_off() -> None:
    negotiation = up()
    negotiation.offer()
    agreement = negotiation.accept(theirs("m=audio 0 RTP/AVP 0"))
    assert (agreement.remote, agreement.direction) == (None, Direction.INACTIVE)
