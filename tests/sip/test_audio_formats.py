"""Names, clocks and numbers of the formats we know."""

import pytest

from trunkline.sip.audio_formats import FORMATS, PayloadTypes, format_name
from trunkline.sip.sdp import Codec


@pytest.mark.parametrize(
    ("name", "rtpmap"),
    [
        ("PCMU", "PCMU/8000"),
        ("PCMA", "PCMA/8000"),
        ("G722", "G722/8000"),
        ("L16", "L16/16000"),
        ("L16/8000", "L16/8000"),
        ("OPUS", "opus/48000/2"),
    ],
)
def test_a_format_is_written_as_its_rfc_says(name: str, rtpmap: str) -> None:
    assert FORMATS[name].rtpmap == rtpmap


def test_a_format_is_meant_by_name_clock_and_channels() -> None:
    assert FORMATS["OPUS"].is_meant_by(Codec("OPUS", 100, 48_000, "", 2))
    assert FORMATS["OPUS"].is_meant_by(Codec("OPUS", 100, 48_000))
    assert not FORMATS["OPUS"].is_meant_by(Codec("OPUS", 100, 16_000, "", 2))
    assert not FORMATS["L16"].is_meant_by(Codec("L16", 100, 16_000, "", 2))
    assert format_name(Codec("L16", 100, 16_000)) == "L16"
    assert format_name(Codec("L16", 100, 8000)) == "L16/8000"
    assert format_name(Codec("L16", 11, 44_100)) is None


def test_a_wanted_number_that_is_taken_is_replaced() -> None:
    types = PayloadTypes([("a", 96), ("b", 96), ("c", 97)])
    assert (types["a"], types["b"]) == (96, 97)
    assert types["c"] == 98


def test_a_peers_number_wins_and_no_number_means_two_things() -> None:
    types = PayloadTypes([("a", 96), ("b", 97)])
    types.claim("b", 96)
    assert types["b"] == 96
    assert types["a"] not in (96, 97)  # 97 was b's
    types.claim("b", 96)
    assert types["b"] == 96


def test_a_peer_that_uses_up_all_numbers_is_still_answered() -> None:
    types = PayloadTypes([("a", 96), ("b", 97)])
    for number in range(96, 128):
        types.claim("a" if number % 2 else "b", number)
        assert types["a"] != types["b"]


def test_a_step_that_comes_to_nothing_gives_the_numbers_back() -> None:
    types = PayloadTypes([("a", 96), ("b", 97)])
    before = types.numbers
    types.claim("b", 96)
    types.restore(before)
    assert (types["a"], types["b"]) == (96, 97)
    types.claim("b", 97)
    assert types["b"] == 97


def test_a_number_given_back_is_not_shared_with_the_next_who_claims_it() -> None:
    types = PayloadTypes([("a", 96), ("b", 97), ("c", 98)])
    before = types.numbers
    types.claim("b", 96)
    types.restore(before)
    types.claim("c", 96)
    assert types["c"] == 96
    assert len(set(types.numbers.values())) == 3
