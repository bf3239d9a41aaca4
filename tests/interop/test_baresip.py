"""A real softphone, without a head: it calls us, we call it, it holds, presses, hangs up."""

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.errors import DialError
from trunkline.calls.events import CallHeld, CallResumed
from trunkline.calls.switchboard import Switchboard
from trunkline.media.wav import parse_wav
from trunkline.settings import Media

from .conftest import Start
from .kit import RunningNode, until
from .programs import Baresip

pytestmark = pytest.mark.program("baresip")

TONE_HZ = 440


def tone_share(path: Path) -> float:
    """How much of a recording's energy is the tone, in its loudest second."""
    audio = parse_wav(path.read_bytes())
    pcm = audio.mono().astype(np.float64)
    rate = audio.rate_hz
    best = 0.0
    for start in range(0, max(1, len(pcm) - rate), rate // 4):
        part = pcm[start : start + rate] * np.hanning(len(pcm[start : start + rate]))
        power = np.abs(np.fft.rfft(part)) ** 2
        if power.sum() < 1e9:
            continue
        centre = round(TONE_HZ * len(part) / rate)
        best = max(best, float(power[centre - 4 : centre + 5].sum() / power.sum()))
    return best


def packets(node: RunningNode) -> float:
    """What the only call has received so far."""
    legs = list(node.endpoint.legs.values())
    return node.on_media(legs[0].statistics).get("received", 0.0) if legs else 0.0


def test_baresip_calls_and_hears_itself(start: Start, tmp_path: Path) -> None:
    node = start()
    with Baresip(tmp_path / "b")() as phone:
        phone.command("dial", f"sip:100@127.0.0.1:{node.sip_port}")
        until(lambda: node.lanes == 1)
        until(lambda: packets(node) > 125)
        phone.command("hangup")
        node.assert_clean()
    assert tone_share(phone.heard) > 0.9, phone.output
    (record,) = node.records()
    assert (record.end_reason, record.end_by, record.quality["lost"]) == ("hangup", "them", 0)


@pytest.mark.parametrize("codec", ["opus/48000/2", "G722/16000/1"])
def test_baresip_calls_in_another_codec_and_hears_itself(
    start: Start, tmp_path: Path, codec: str
) -> None:
    node = start(media=Media(codecs=("opus", "g722", "pcmu")))
    with Baresip(tmp_path / "b", codec=codec)() as phone:
        phone.command("dial", f"sip:100@127.0.0.1:{node.sip_port}")
        until(lambda: node.lanes == 1)
        until(lambda: packets(node) > 125)
        (leg,) = node.endpoint.legs.values()
        stream = leg._stream
        assert stream is not None and stream._format is not None
        assert stream._format.codec is not None
        assert stream._format.codec.name == codec.partition("/")[0].upper()
        phone.command("hangup")
        node.assert_clean()
    assert tone_share(phone.heard) > 0.9, phone.output
    (record,) = node.records()
    assert (record.end_reason, record.end_by, record.quality["lost"]) == ("hangup", "them", 0)


def test_baresip_answers_our_call_and_we_hang_up(start: Start, tmp_path: Path) -> None:
    node = start()
    with Baresip(tmp_path / "b", answer="auto")() as phone:
        call = node.run(node.board.dial(f"sip:bare@127.0.0.1:{phone.port}", app=echo))
        assert call.is_answered
        until(lambda: packets(node) > 100)
        node.run(call.hangup())
        node.assert_clean()
    assert tone_share(phone.heard) > 0.9, phone.output
    (record,) = node.records()
    assert (record.direction, record.end_reason, record.end_by) == ("outbound", "hangup", "us")


def test_baresip_answers_our_call_and_hangs_up(start: Start, tmp_path: Path) -> None:
    node = start()
    with Baresip(tmp_path / "b", answer="auto")() as phone:
        node.run(node.board.dial(f"sip:bare@127.0.0.1:{phone.port}", app=echo))
        until(lambda: packets(node) > 10)
        phone.command("hangup")
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_by) == ("hangup", "them")


def test_baresip_holds_and_resumes(start: Start, tmp_path: Path) -> None:
    node = start()
    with Baresip(tmp_path / "b")() as phone:
        phone.command("dial", f"sip:100@127.0.0.1:{node.sip_port}")
        until(lambda: node.lanes == 1)
        until(lambda: packets(node) > 25)
        phone.command("hold")
        until(lambda: any(isinstance(event, CallHeld) for event in node.events), what=phone.output)
        phone.command("resume")
        until(lambda: any(isinstance(event, CallResumed) for event in node.events))
        before = packets(node)
        until(lambda: packets(node) > before + 25)
        phone.command("hangup")
        node.assert_clean()
    assert node.records()[0].end_reason == "hangup"


def test_keys_go_both_ways(start: Start, tmp_path: Path) -> None:
    board = Switchboard()
    keys: list[str] = []

    @board.answer("*")
    async def menu(call: Call) -> None:
        keys.extend([await call.next_digit(8) for _ in range(3)])
        await call.send_dtmf("93#")
        await call.wait_ended()

    node = start(board)
    with Baresip(tmp_path / "b")() as phone:
        phone.command("dial", f"sip:100@127.0.0.1:{node.sip_port}")
        until(lambda: node.lanes == 1)
        until(lambda: packets(node) > 10)
        for key in "1*7":
            phone.command("sndcode", key)
        until(lambda: len(keys) == 3, 8, phone.output)
        told: list[str] = []

        def heard() -> list[str]:
            told.append(phone.told())
            return re.findall(r'"param":"([0-9*#])"', "".join(told))

        until(lambda: len(heard()) >= 3, 6, phone.output)
        assert heard()[:3] == ["9", "3", "#"]
        phone.command("hangup")
        node.assert_clean()
    assert keys == ["1", "*", "7"]


def test_baresip_refuses(start: Start, tmp_path: Path) -> None:
    node = start()
    with Baresip(tmp_path / "b")() as phone:

        async def dial() -> int | None:
            try:
                await node.board.dial(f"sip:bare@127.0.0.1:{phone.port}", timeout=10)
            except DialError as error:
                return error.code
            return None

        future = asyncio.run_coroutine_threadsafe(dial(), node.loop)
        until(lambda: any(type(event).__name__ == "CallRinging" for event in node.events))
        phone.command("hangup")
        assert future.result(10) in (486, 603)
        node.assert_clean()


def test_baresip_rings_until_we_give_up(start: Start, tmp_path: Path) -> None:
    node = start()
    with Baresip(tmp_path / "b")() as phone:

        async def give_up() -> str:
            try:
                await node.board.dial(f"sip:bare@127.0.0.1:{phone.port}", timeout=0.5)
            except DialError as error:
                return error.reason
            return "answered"

        assert node.run(give_up()) == "no-answer"
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_by) == ("no-answer", "us")
