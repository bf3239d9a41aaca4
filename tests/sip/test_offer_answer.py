"""Offers, answers, and what comes of them."""

import pytest

from trunkline.errors import UsageError
from trunkline.sip.errors import SdpError, StateError
from trunkline.sip.offer_answer import AudioAgreement, AudioCapabilities, AudioNegotiation
from trunkline.sip.opus_parameters import OpusParameters
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
               "a=maxptime:60",
               "a=rtcp:53020 IN IP4 192.0.2.10")
    )  # fmt: skip
    agreement = negotiation.agreement
    assert agreement is not None
    assert (agreement.telephone_event, agreement.ptime_ms) == (96, 30)
    assert agreement.maxptime_ms == 60
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
        ours(codecs=("G729",))
    with pytest.raises(UsageError):
        ours(codecs=())


def test_events_are_not_offered_when_switched_off() -> None:
    assert ours(telephone_events=False).offer().media[0].formats == ("0", "8")


ALL = ("OPUS", "G722", "L16", "PCMU", "PCMA")


def test_every_codec_is_offered_in_our_order_with_digits_at_every_clock() -> None:
    offer = bytes(ours(codecs=ALL).offer()).decode()
    assert "m=audio 4000 RTP/AVP 111 9 97 0 8 101 98 110\r\n" in offer
    for line in (
        "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:9 G722/8000", "a=rtpmap:97 L16/16000",
        "a=rtpmap:101 telephone-event/8000", "a=rtpmap:98 telephone-event/16000",
        "a=rtpmap:110 telephone-event/48000", "a=fmtp:110 0-16",
    ):  # fmt: skip
        assert f"\r\n{line}\r\n" in offer


@pytest.mark.parametrize(
    ("name", "number", "event", "event_hz"),
    [("OPUS", 111, 110, 48_000), ("G722", 9, 101, 8000), ("L16", 97, 98, 16_000)],
)
def test_two_of_us_agree_on_a_wide_band_codec_and_its_digits(
    name: str, number: int, event: int, event_hz: int
) -> None:
    caller, callee = ours(codecs=(name, "PCMU")), ours(5000, codecs=ALL)
    answer = callee.answer(SessionDescription.parse(bytes(caller.offer())))
    agreement = caller.accept(SessionDescription.parse(bytes(answer)))
    assert callee.agreement is not None
    for found in (agreement, callee.agreement):
        assert (found.codec, found.payload_type) == (name, number)
        assert (found.telephone_event, found.telephone_event_hz) == (event, event_hz)
        assert found.receive_telephone_event == event
        assert found.receive[number] == name
        assert (found.opus is not None) is (name == "OPUS")


def test_an_answer_mirrors_the_offerers_numbers_and_they_last() -> None:
    negotiation = ours(codecs=ALL)
    answer = negotiation.answer(
        theirs("m=audio 9 RTP/AVP 97 98", "a=rtpmap:97 OPUS/48000/2",
               "a=fmtp:97 maxaveragebitrate=20000; stereo=1; useinbandfec=1; odd",
               "a=rtpmap:98 telephone-event/48000")
    )  # fmt: skip
    agreement = negotiation.agreement
    assert agreement is not None
    assert agreement.opus is not None
    assert (agreement.opus.max_average_bitrate, agreement.opus.use_inband_fec) == (20_000, True)
    text = bytes(answer).decode()
    assert "RTP/AVP 97 98\r\na=rtpmap:97 opus/48000/2\r\n" in text
    assert "stereo" not in text
    # 97 was to be L16, and 98 its digits: never again in this session.
    types = {c.payload_type: (c.name, c.rate_hz) for c in negotiation.offer().media[0].codecs}
    assert types[97] == ("OPUS", 48_000)
    assert types[98] == ("TELEPHONE-EVENT", 48_000)
    assert len(types) == 8


def test_a_peer_may_answer_with_a_number_of_its_own() -> None:
    negotiation = ours(codecs=ALL)
    negotiation.offer()
    agreement = negotiation.accept(theirs("m=audio 9 RTP/AVP 120", "a=rtpmap:120 opus/48000/2"))
    assert agreement.payload_type == 120  # what they want to receive
    assert agreement.receive[111] == "OPUS"  # what we said we receive


@pytest.mark.parametrize(
    "rtpmap", ["opus/16000/2", "L16/44100/2", "L16/16000/2", "L16/8000", "G722/16000", "PCMU/16000"]
)
def test_a_known_name_with_another_clock_or_two_channels_is_not_it(rtpmap: str) -> None:
    with pytest.raises(SdpError) as error:
        ours(codecs=ALL).answer(theirs("m=audio 9 RTP/AVP 100", f"a=rtpmap:100 {rtpmap}"))
    assert error.value.code == 488


def test_one_encoding_at_two_clocks_is_two_codecs() -> None:
    both = ("L16", "L16/8000", "PCMU")
    caller, callee = ours(codecs=both), ours(5000, codecs=("L16/8000", "L16"), prefer="ours")
    offer = bytes(caller.offer()).decode()
    assert "a=rtpmap:97 L16/16000" in offer and "a=rtpmap:99 L16/8000" in offer
    answer = callee.answer(SessionDescription.parse(offer.encode()))
    agreement = caller.accept(SessionDescription.parse(bytes(answer)))
    assert callee.agreement is not None
    for found in (agreement, callee.agreement):
        assert (found.codec, found.payload_type) == ("L16/8000", 99)
        assert (found.telephone_event, found.telephone_event_hz) == (101, 8000)
    assert agreement.receive == {97: "L16", 99: "L16/8000", 0: "PCMU"}


def test_opus_without_its_channels_is_taken() -> None:
    answer = ours(codecs=ALL).answer(theirs("m=audio 9 RTP/AVP 100", "a=rtpmap:100 opus/48000"))
    assert b"a=rtpmap:100 opus/48000/2" in bytes(answer)


def test_digits_at_the_usual_clock_are_taken_beside_opus_when_there_are_no_others() -> None:
    negotiation = ours(codecs=ALL)
    negotiation.answer(
        theirs("m=audio 9 RTP/AVP 96 101", "a=rtpmap:96 opus/48000/2",
               "a=rtpmap:101 telephone-event/8000")
    )  # fmt: skip
    assert negotiation.agreement is not None
    assert negotiation.agreement.telephone_event == 101
    assert negotiation.agreement.telephone_event_hz == 8000


@pytest.mark.parametrize(("prefer", "codec"), [("theirs", "PCMU"), ("ours", "OPUS")])
def test_preference_decides_between_narrow_and_wide(prefer: str, codec: str) -> None:
    negotiation = ours(prefer=prefer, codecs=ALL)
    negotiation.answer(theirs("m=audio 9 RTP/AVP 0 96", "a=rtpmap:96 opus/48000/2"))
    assert negotiation.agreement is not None
    assert negotiation.agreement.codec == codec


def test_a_codec_that_was_not_asked_for_is_not_taken() -> None:
    with pytest.raises(SdpError):
        ours().answer(theirs("m=audio 9 RTP/AVP 9 96", "a=rtpmap:96 opus/48000/2"))


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


WISHES = "maxplaybackrate=16000;sprop-stereo=1;stereo=1;cbr=1;usedtx=1;maxaveragebitrate=20000"


def _their_wishes(agreement: AudioAgreement | None) -> None:
    assert agreement is not None and agreement.opus is not None
    found = agreement.opus
    assert (found.max_playback_rate_hz, found.max_average_bitrate) == (16_000, 20_000)
    assert found.constant_bitrate and found.use_dtx and found.stereo
    assert not found.use_inband_fec  # they did not say so


def test_an_answer_says_what_we_want_and_hears_what_they_want() -> None:
    """RFC 7587 section 7: each end declares its own wishes; nothing is negotiated."""
    negotiation = ours(codecs=ALL)
    line = ["m=audio 9 RTP/AVP 96", "a=rtpmap:96 opus/48000/2", f"a=fmtp:96 {WISHES}"]
    answer = bytes(negotiation.answer(theirs(*line))).decode()
    assert "a=fmtp:96 minptime=10;useinbandfec=1\r\n" in answer
    _their_wishes(negotiation.agreement)


def test_an_offer_says_what_we_want_and_its_answer_what_they_want() -> None:
    wanted = OpusParameters(use_dtx=True, max_playback_rate_hz=8000)
    negotiation = ours(codecs=ALL, opus=wanted)
    assert "a=fmtp:111 usedtx=1;maxplaybackrate=8000\r\n" in bytes(negotiation.offer()).decode()
    line = ["m=audio 9 RTP/AVP 111", "a=rtpmap:111 opus/48000/2", f"a=fmtp:111 {WISHES}"]
    negotiation.accept(theirs(*line))
    _their_wishes(negotiation.agreement)


def test_opus_without_a_word_about_it_wants_no_copies_and_no_pauses() -> None:
    negotiation = ours(codecs=ALL)
    negotiation.answer(theirs("m=audio 9 RTP/AVP 96", "a=rtpmap:96 opus/48000/2"))
    assert negotiation.agreement is not None
    assert negotiation.agreement.opus == OpusParameters()


XR = "a=rtcp-xr:rcvr-rtt=all voip-metrics"


@pytest.mark.parametrize(
    ("setting", "asked", "answered"),
    [("off", True, False), ("asked", True, True), ("asked", False, False), ("offered", True, True)],
)
def test_extended_reports_are_agreed_to_where_they_are_asked_for(
    setting: str, asked: bool, answered: bool
) -> None:
    negotiation = ours(extended_reports=setting)
    answer = negotiation.answer(theirs("m=audio 9 RTP/AVP 0", *([XR] if asked else [])))
    assert (b"a=rtcp-xr:" in bytes(answer)) is answered
    assert negotiation.agreement is not None
    assert negotiation.agreement.extended_reports is answered


@pytest.mark.parametrize(("setting", "offers"), [("off", 0), ("asked", 0), ("offered", 1)])
def test_extended_reports_are_offered_where_that_is_set(setting: str, offers: int) -> None:
    assert bytes(ours(extended_reports=setting).offer()).count(b"a=rtcp-xr:") == offers


def test_extended_reports_are_sent_only_if_the_answer_asks_for_them() -> None:
    for said in ([], [XR]):
        negotiation = ours(extended_reports="offered")
        negotiation.offer()
        agreement = negotiation.accept(theirs("m=audio 9 RTP/AVP 0", *said))
        assert agreement.extended_reports is bool(said)
