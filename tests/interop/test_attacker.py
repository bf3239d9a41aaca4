"""Somebody who wants a call that is not theirs: sprays at it, and gets nothing."""

import threading
import time

from trunkline.calls.events import CallDigit

from .conftest import Start
from .kit import until
from .peer import Dialled, MediaPort, Peer, noise, rtp, sdp, stream
from .test_media import PATIENT, echoed, nearly


class Attacker:
    """Sprays audio, comfort noise, keys and reports at a call from many sockets, all the time."""

    def __init__(self, there: tuple[str, int]) -> None:
        self.ports = [MediaPort() for _ in range(3)]
        self.elsewhere = MediaPort("127.0.0.2")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spray, args=(there,), daemon=True)
        self.frames = noise(50, 9)
        self._thread.start()

    def _spray(self, there: tuple[str, int]) -> None:
        sequence = 0
        report = bytes([0x80, 201, 0, 1]) + bytes(4)
        while not self._stop.is_set():
            sequence += 1
            for number, port in enumerate((*self.ports, self.elsewhere)):
                for kind in (0, 0, 13, 101):
                    data = rtp(
                        sequence,
                        sequence * 160,
                        self.frames[sequence % 50] if kind == 0 else b"\x0a\x0a\x03\x20",
                        payload_type=kind,
                        ssrc=0x6666 + number,
                    )
                    port.socket.sendto(data, there)
                port.socket.sendto(report, there)
                port.socket.sendto(report, (there[0], there[1] + 1))
            time.sleep(0.005)

    def stop(self) -> int:
        """How many packets it got."""
        self._stop.set()
        self._thread.join()
        got = 0
        for port in (*self.ports, self.elsewhere):
            port.stop()
            port.socket.close()
            got += len(port.received) + len(port.reports)
        return got


def test_who_sprays_at_a_call_never_gets_a_packet_nor_is_heard(start: Start) -> None:
    node = start(media=PATIENT)
    for _ in range(3):
        with Peer(node.sip_port) as peer, MediaPort() as media, MediaPort() as moved:
            call = Dialled(peer)
            call.invite(sdp(media.port))
            answer = call.ok()
            attacker = Attacker(answer.media)  # before the first packet
            call.ack()
            time.sleep(0.05)
            mine = noise(60, 1)
            playing = media.play(answer.media, stream(mine))
            playing.join()
            until(lambda media=media, mine=mine: echoed(media, mine) >= nearly(60))
            for body in (  # held, resumed, elsewhere
                sdp(media.port, direction="sendonly", version=2),
                sdp(media.port, version=3),
                sdp(moved.port, version=4),
            ):
                call.invite(body)
                call.ok()
                call.ack()
                time.sleep(0.3)
            more = noise(40, 2)
            moved.play(answer.media, stream(more, sequence=3000, ssrc=0x2222)).join()
            until(lambda moved=moved, more=more: echoed(moved, more) >= nearly(40))
            for port in (media, moved):
                assert echoed(port, attacker.frames) == 0
            assert call.bye().code == 200
            assert attacker.stop() == 0
    assert not any(isinstance(event, CallDigit) for event in node.events)
    node.assert_clean()
