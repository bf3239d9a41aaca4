"""Keys as event packets, in the stream of the audio they replace."""

import random

import pytest

from trunkline.errors import UsageError
from trunkline.media.dtmf import DtmfReceiver
from trunkline.media.rtp import RtpSender, parse_fast
from trunkline.transports.rtp_keys import KeysOut

EVENTS = 101
UNITS = 160


def pressed(keys: KeysOut, limit: int = 200) -> list[bytes | None]:
    """Every tick until nothing is pressed any more."""
    ticks: list[bytes | None] = []
    while keys.pressing is not None and len(ticks) < limit:
        ticks.append(keys.packet(EVENTS, UNITS))
    return ticks


def heard(packets: list[bytes | None]) -> str:
    receiver, digits = DtmfReceiver(), ""
    for number, packet in enumerate(packets):
        parsed = parse_fast(packet) if packet is not None else None
        if parsed is not None:
            payload_type, marker, _, timestamp, ssrc, payload = parsed
            assert payload_type == EVENTS
            found = receiver.receive(payload, timestamp, ssrc, marker, number * 0.02)
            digits += "".join(digit.digit for digit in found)
    return digits


def test_presses_follow_each_other_in_order() -> None:
    keys = KeysOut(RtpSender(0, random.Random(1)))
    assert keys.packet(EVENTS, UNITS) is None
    keys.press("12", 8000)
    keys.press("#", 8000)
    assert heard(pressed(keys)) == "12#"
    assert keys.pressing is None


def test_the_clock_goes_on_in_gaps_too() -> None:
    sender = RtpSender(0, random.Random(1))
    keys = KeysOut(sender)
    keys.press("5", 8000)
    before = sender.timestamp
    ticks = pressed(keys)
    assert None in ticks
    assert sender.timestamp - before & 0xFFFFFFFF == len(ticks) * UNITS


def test_what_is_dropped_is_not_sent() -> None:
    keys = KeysOut(RtpSender(0, random.Random(1)))
    keys.press("12", 8000)
    keys.press("34", 8000)
    keys.packet(EVENTS, UNITS)
    keys.drop()
    assert keys.pressing is None
    assert keys.packet(EVENTS, UNITS) is None
    keys.press("9", 8000)
    assert heard(pressed(keys)) == "9"


def test_what_is_no_key_is_refused_and_nothing_waits() -> None:
    keys = KeysOut(RtpSender(0, random.Random(1)))
    with pytest.raises(UsageError, match="is not a key"):
        keys.press("1x", 8000)
    assert keys.pressing is None
