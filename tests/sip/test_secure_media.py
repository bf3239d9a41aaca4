"""SRTP in offer and answer: which profile, which key, and when it is another one."""

import itertools

import pytest

from trunkline.sip.crypto import CryptoLine, blank_keys
from trunkline.sip.errors import SdpError, StateError
from trunkline.sip.offer_answer import AudioCapabilities, AudioNegotiation
from trunkline.sip.sdp import Direction, SessionDescription

LONG, SHORT = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
GCM = "AEAD_AES_256_GCM"
THEIRS = "dGhlaXIga2V5IG9mIDMwIGJ5dGVzLCBubyBtb3Jl"


def ours(mode: str = "optional", **options: object) -> AudioNegotiation:
    numbers = itertools.count(1)
    return AudioNegotiation(
        AudioCapabilities(srtp=mode, **options),  # type: ignore[arg-type]
        "192.0.2.1",
        4000,
        77,
        random_bytes=lambda size: bytes([next(numbers)] * size),
    )


def crypto(tag: int = 1, suite: str = LONG, rest: str = "", key: str = THEIRS) -> str:
    return f"a=crypto:{tag} {suite} inline:{key}{rest}"


def theirs(*lines: str, address: str = "192.0.2.9", port: int = 9000) -> SessionDescription:
    text = f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
    body = "\r\n".join(line.replace("PORT", str(port)) for line in lines)
    return SessionDescription.parse((text + body + "\r\n").encode())


def avp(*crypto_lines: str, profile: str = "RTP/AVP", **where: object) -> SessionDescription:
    return theirs(f"m=audio PORT {profile} 0", *crypto_lines, **where)  # type: ignore[arg-type]


def savp(*crypto_lines: str, **where: object) -> SessionDescription:
    return avp(*crypto_lines, profile="RTP/SAVP", **where)


def cryptos(description: SessionDescription) -> list[CryptoLine]:
    lines = [CryptoLine.parse(text) for text in description.media[0].all("crypto")]
    assert all(lines)
    return [line for line in lines if line]


# -- offers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "profile", "lines"),
    [("off", "RTP/AVP", 0), ("optional", "RTP/AVP", 2), ("required", "RTP/SAVP", 2)],
)
def test_what_is_offered(mode: str, profile: str, lines: int) -> None:
    offer = ours(mode).offer()
    assert offer.media[0].protocol == profile
    assert [line.tag for line in cryptos(offer)] == list(range(1, lines + 1))
    assert len({line.secret for line in cryptos(offer)}) == lines


def test_the_tag_of_the_answer_says_which_key_is_used() -> None:
    caller = ours("required")
    offered = cryptos(caller.offer())
    agreement = caller.accept(savp(crypto(2, SHORT)))
    assert agreement.crypto is not None
    assert agreement.crypto.local == offered[1] and agreement.crypto.remote.suite.name == SHORT


@pytest.mark.parametrize(
    "answer",
    [
        savp(),
        avp(),
        savp(crypto(3, LONG)),  # a tag that was not offered
        savp(crypto(1, SHORT)),  # another suite than the tag's
        savp("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:short"),
        savp(crypto(1, LONG, " UNENCRYPTED_SRTP")),
        savp(crypto(1, LONG, " KDR=1")),
        savp(crypto(1, LONG, "|2^10")),
    ],
)
def test_an_answer_without_a_key_to_it_is_refused_where_it_must_have_one(
    answer: SessionDescription,
) -> None:
    caller = ours("required")
    caller.offer()
    with pytest.raises(SdpError) as refused:
        caller.accept(answer)
    assert refused.value.code == 488 and caller.is_open


def test_an_answer_that_sends_our_key_back_is_refused() -> None:
    caller = ours("required")
    mirrored = str(cryptos(caller.offer())[0])
    with pytest.raises(SdpError):
        caller.accept(savp(f"a=crypto:{mirrored}"))


def test_where_it_is_optional_an_answer_may_leave_it_out() -> None:
    caller = ours("optional")
    caller.offer()
    assert caller.accept(avp()).crypto is None
    # And is not asked again in mid-call.
    assert not cryptos(caller.offer(Direction.SENDONLY))


def test_each_of_several_answers_has_its_own_key() -> None:
    caller = ours("required")
    caller.offer()
    first = caller.accept(savp(crypto(1)))
    second = caller.accept(savp(crypto(2, SHORT, key=THEIRS[::-1].swapcase())))
    assert first.crypto and second.crypto
    assert first.crypto.remote.secret != second.crypto.remote.secret
    assert second.crypto.local.suite.name == SHORT


def test_a_later_offer_has_the_key_in_use_and_no_other() -> None:
    caller = ours("required")
    caller.offer()
    agreed = caller.accept(savp(crypto(2, SHORT)))
    assert agreed.crypto is not None
    again = caller.offer(Direction.SENDONLY)
    assert cryptos(again) == [agreed.crypto.local]
    held = caller.accept(savp(crypto(2, SHORT), "a=recvonly"))
    assert held.crypto == agreed.crypto


# -- answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF"])
def test_an_answer_has_the_profile_of_its_offer(profile: str) -> None:
    callee = ours("optional")
    answer = callee.answer(avp(crypto(5), profile=profile))
    assert answer.media[0].protocol == profile
    (line,) = cryptos(answer)
    assert (line.tag, line.suite.name) == (5, LONG)
    assert callee.agreement is not None and callee.agreement.crypto is not None
    assert callee.agreement.crypto.local == line


@pytest.mark.parametrize(
    ("mode", "offer"),
    [
        ("off", savp(crypto())),
        ("optional", savp()),
        ("optional", savp(crypto(1, "F8_128_HMAC_SHA1_80"))),
        ("required", avp()),
        ("required", avp(crypto())),
        ("required", savp(crypto(1, LONG, " UNAUTHENTICATED_SRTP"))),
        ("required", savp(crypto(1, LONG, "|2^4"))),
        ("optional", avp(profile="UDP/TLS/RTP/SAVPF")),
    ],
)
def test_what_cannot_be_answered_is_488(mode: str, offer: SessionDescription) -> None:
    with pytest.raises(SdpError) as refused:
        ours(mode).answer(offer)
    assert refused.value.code == 488


def test_the_first_line_we_speak_is_taken() -> None:
    callee = ours("optional", srtp_suites=(LONG, GCM))
    offer = savp(
        crypto(1, "UNHEARD_OF"), crypto(2, LONG, " KDR=5"), crypto(3, SHORT), crypto(4, LONG)
    )
    (line,) = cryptos(callee.answer(offer))
    assert (line.tag, line.suite.name) == (4, LONG)


@pytest.mark.parametrize("mode", ["off", "optional"])
def test_without_keys_an_offer_in_the_clear_is_answered_so(mode: str) -> None:
    callee = ours(mode)
    assert not cryptos(callee.answer(avp()))
    assert callee.agreement is not None and callee.agreement.crypto is None


@pytest.mark.parametrize(("mode", "taken"), [("off", 0), ("optional", 1), ("required", 1)])
@pytest.mark.parametrize("turned", [False, True])
def test_one_of_a_pair_of_lines_is_taken(mode: str, taken: int, turned: bool) -> None:
    lines = ["m=audio PORT RTP/AVP 0"], ["m=audio PORT RTP/SAVP 0", crypto()]
    order = (1, 0) if turned else (0, 1)
    answer = ours(mode).answer(theirs(*lines[order[0]], *lines[order[1]]))
    ports = [line.port for line in answer.media]
    assert ports[order.index(taken)] == 4000 and ports[order.index(1 - taken)] == 0


@pytest.mark.parametrize("rest", ["|2^31", "|2^48", "|1048576", " WSH=128"])
def test_a_lifetime_that_lasts_and_a_window_are_taken(rest: str) -> None:
    assert cryptos(ours("required").answer(savp(crypto(1, LONG, rest))))


def test_a_master_key_identifier_is_answered_with_one_as_long() -> None:
    callee = ours("required")
    (line,) = cryptos(callee.answer(savp(crypto(1, LONG, "|2^31|1066:4"))))
    assert (line.mki, line.mki_bytes) == (1, 4)
    assert callee.agreement is not None and callee.agreement.crypto is not None
    assert callee.agreement.crypto.remote.mki == 1066


# -- offers in mid-call --------------------------------------------------------------------


def test_the_same_key_from_the_same_place_keeps_ours() -> None:
    callee = ours("required")
    (before,) = cryptos(callee.answer(savp(crypto(1))))
    (after,) = cryptos(callee.answer(savp(crypto(7), "a=sendonly")))
    assert after.secret == before.secret and after.tag == 7
    (held,) = cryptos(callee.answer(savp(crypto(7), address="0.0.0.0")))
    assert held.secret == before.secret


@pytest.mark.parametrize(
    "offer",
    [
        savp(crypto(1, key=THEIRS[::-1].swapcase())),
        savp(crypto(1), port=9100),
        savp(crypto(1), address="192.0.2.10"),
        savp(crypto(1, SHORT)),
    ],
)
def test_a_new_key_or_place_or_suite_of_theirs_is_answered_with_a_new_key(
    offer: SessionDescription,
) -> None:
    callee = ours("required")
    (before,) = cryptos(callee.answer(savp(crypto(1))))
    (after,) = cryptos(callee.answer(offer))
    assert after.secret != before.secret


def test_a_step_that_comes_to_nothing_leaves_the_keys() -> None:
    callee = ours("required")
    callee.answer(savp(crypto(1)))
    assert callee.agreement is not None
    agreed = callee.agreement.crypto
    callee.answer(savp(crypto(1), port=9100))
    callee.rollback()
    assert callee.agreement.crypto == agreed and agreed is not None
    assert cryptos(callee.offer()) == [agreed.local]


def test_a_call_in_the_clear_may_become_encrypted_and_back() -> None:
    callee = ours("optional")
    callee.answer(avp())
    assert cryptos(callee.answer(avp(crypto())))
    assert not cryptos(callee.answer(avp()))


def test_keys_need_randomness_and_suites_we_know() -> None:
    capabilities = AudioCapabilities(srtp="optional")
    with pytest.raises(StateError, match="randomness"):
        AudioNegotiation(capabilities, "192.0.2.1", 4000, 77)
    for suites in ((), ("ROT13",)):
        with pytest.raises(StateError, match="encrypt"):
            ours("required", srtp_suites=suites)


def test_two_of_us_agree_on_two_keys() -> None:
    caller, callee = ours("required"), ours("required")
    answer = callee.answer(SessionDescription.parse(bytes(caller.offer())))
    # Both draw the same numbers here: a key that is theirs and ours is nobody's.
    with pytest.raises(SdpError):
        caller.accept(answer)
    caller = ours("required", srtp_suites=(GCM, LONG))
    callee = ours("required", srtp_suites=(LONG,))
    answer = callee.answer(SessionDescription.parse(bytes(caller.offer())))
    agreed, theirs_agreed = caller.accept(answer).crypto, callee.agreement
    assert agreed is not None and theirs_agreed is not None and theirs_agreed.crypto is not None
    assert agreed.local == theirs_agreed.crypto.remote
    assert agreed.remote == theirs_agreed.crypto.local


# -- the rest of the transport ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "offered", "answered"),
    [("off", False, False), ("accept", False, True), ("offer", True, True)],
)
def test_reports_share_the_port_where_both_say_so(
    setting: str, offered: bool, answered: bool
) -> None:
    one = ours("off", rtcp_mux=setting)
    offer = one.offer()
    assert (offer.media[0].attribute("rtcp-mux") is not None) is offered
    # Twice: early media and the answer.
    for _ in range(2):
        assert one.accept(avp("a=rtcp-mux")).rtcp_mux is offered
        assert not one.accept(avp()).rtcp_mux
    two = ours("off", rtcp_mux=setting)
    answer = two.answer(avp("a=rtcp-mux"))
    assert (answer.media[0].attribute("rtcp-mux") is not None) is answered
    assert two.agreement is not None and two.agreement.rtcp_mux is answered
    assert (two.offer().media[0].attribute("rtcp-mux") is not None) is answered


def test_comfort_noise_is_offered_by_setting_and_taken_always() -> None:
    quiet = ours("off", comfort_noise=True).offer()
    assert "13" in quiet.media[0].formats and "13" not in ours("off").offer().media[0].formats
    callee = ours("off")
    answer = callee.answer(theirs("m=audio PORT RTP/AVP 0 13"))
    assert answer.media[0].formats == ("0", "13")
    assert callee.agreement is not None and callee.agreement.comfort_noise == 13


def test_comfort_noise_has_the_clock_of_the_audio() -> None:
    callee = ours("off", codecs=("L16", "PCMU"))
    offer = theirs(
        "m=audio PORT RTP/AVP 97 13 100", "a=rtpmap:97 L16/16000", "a=rtpmap:100 CN/16000"
    )
    assert callee.answer(offer).media[0].formats == ("97", "100")
    assert callee.agreement is not None
    assert (callee.agreement.comfort_noise, callee.agreement.receive_comfort_noise) == (100, 100)
    opus = ours("off", codecs=("OPUS",), comfort_noise=True).offer()
    assert not any("CN/" in text for text in opus.media[0].all("rtpmap"))


def test_comfort_noise_that_was_not_offered_is_not_agreed() -> None:
    caller = ours("off")
    caller.offer()
    assert caller.accept(theirs("m=audio PORT RTP/AVP 0 13")).comfort_noise is None


# -- what may be shown --------------------------------------------------------------------


def test_a_message_is_shown_without_its_keys() -> None:
    message = b"INVITE sip:a@b SIP/2.0\r\n\r\n" + bytes(ours("required").offer())
    shown = blank_keys(message)
    assert b"inline:***\r\n" in shown and shown.count(b"***") == 2
    assert blank_keys(b"a=crypto:1 X Inline:AbC=|2^20|1:4;inline:Def") == (
        b"a=crypto:1 X Inline:***|2^20|1:4;inline:***"
    )
    plain = b"SIP/2.0 200 OK\r\n\r\n"
    assert blank_keys(plain) is plain


def test_a_key_is_in_no_repr_of_an_agreement() -> None:
    callee = ours("required")
    callee.answer(savp(crypto()))
    assert repr(bytes([1] * 30))[2:20] not in repr(callee.agreement)
