"""Far ends that say nothing while nobody speaks, met from outside."""

import time
from pathlib import Path

import numpy as np

from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.media.wav import parse_wav
from trunkline.settings import Media

from .conftest import Start
from .kit import RunningNode, until
from .peer import Dialled, MediaPort, Peer, noise, rtp, sdp, stream

LEVEL = 40
"""Below full scale, in dB."""


def silent_board() -> Switchboard:
    board = Switchboard()

    @board.answer("*")
    async def listen(call: Call) -> None:
        await call.wait_ended()

    return board


def statistics(node: RunningNode) -> dict[str, float]:
    (leg,) = node.endpoint.legs.values()
    return dict(node.on_media(leg.statistics))


def test_a_caller_that_pauses_is_heard_as_noise_and_not_hung_up_on(start: Start) -> None:
    node = start(silent_board(), media=Media(timeout_seconds=1.0), record=True)
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        answer = call.answered(sdp(media.port, formats="0 13"))
        assert b"RTP/AVP 0 13\r\n" in answer.body
        voice = stream(noise(20), timestamp=0, sequence=0)
        quiet = rtp(20, 20 * 160, bytes([LEVEL]), payload_type=13)
        media.play(answer.media, [*voice, (0.4, quiet)]).join()
        time.sleep(2.5)  # more than the timeout, and not a packet
        found = statistics(node)
        assert (found["received"], found["lost"], found["concealed_frames"]) == (21, 0, 0)
        assert call.bye().code == 200
        node.assert_clean()
    (record,) = node.records()
    assert (record.end_reason, record.end_by) == ("hangup", "them")
    caller = parse_wav(Path(record.recording).read_bytes()).samples[:, 0]
    pause = caller[-12_000:-4_000].astype(np.float64)
    level = 20 * np.log10(np.sqrt(np.mean(pause**2)) / 32768)
    assert abs(level + LEVEL) < 2


def test_two_nodes_that_agree_on_it_send_next_to_nothing_in_silence(start: Start) -> None:
    agreed = Media(comfort_noise=True, timeout_seconds=2.0)
    one, two = start(silent_board(), media=agreed), start(silent_board(), media=agreed)
    call = one.run(one.board.dial(f"sip:100@127.0.0.1:{two.sip_port}"))
    before = statistics(one)["packets_sent"]
    time.sleep(2.5)
    for node in (one, two):
        found = statistics(node)
        assert found["packets_sent"] - before < 12 and found["lost"] == 0
    until(lambda: all(node.node.media.engine.jitter._noise for node in (one, two)))
    one.run(call.hangup())
    for node in (one, two):
        node.assert_clean()


def test_a_caller_without_it_is_sent_silence(start: Start) -> None:
    node = start(silent_board(), media=Media(comfort_noise=True))
    with Peer(node.sip_port) as peer, MediaPort() as media:
        call = Dialled(peer)
        call.answered(sdp(media.port))
        until(lambda: len(media.received) > 20)
        assert {packet.payload_type for packet in media.received} == {0}
        assert call.bye().code == 200
