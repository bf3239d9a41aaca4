"""FFmpeg as the listener: a session description in a file, and what we send heard from it."""

import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Media, Opus

from .conftest import Start
from .peer import Dialled, Peer

av: Any = pytest.importorskip("av", reason="PyAV is not installed")

TONE_HZ, SECONDS = 440, 2.0
LINES = {
    "opus": (111, "opus/48000/2", "useinbandfec=1"),
    "g722": (9, "G722/8000", ""),
    "l16": (97, "L16/16000", ""),
    "l16/8000": (99, "L16/8000", ""),
    "pcma": (8, "PCMA/8000", ""),
}


def description(name: str, port: int) -> bytes:
    """One codec and nothing else: FFmpeg takes the first line that it sees for the stream's."""
    payload_type, rtpmap, fmtp = LINES[name]
    lines = [
        "v=0", "o=peer 4711 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
        f"m=audio {port} RTP/AVP {payload_type}", f"a=rtpmap:{payload_type} {rtpmap}",
    ]  # fmt: skip
    lines += [f"a=fmtp:{payload_type} {fmtp}"] if fmtp else []
    return ("\r\n".join(lines) + "\r\n").encode()


def free_port() -> int:
    """An even UDP port that was free a moment ago."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port % 2 == 0:
            return port


class Listener:
    """FFmpeg's demuxer and decoder on a session description, in a thread."""

    def __init__(self, description: bytes, folder: Path) -> None:
        path = folder / "call.sdp"
        path.write_bytes(description)
        options = {"protocol_whitelist": "file,udp,rtp", "analyzeduration": "0", "probesize": "32"}
        self._container = av.open(str(path), format="sdp", options=options, timeout=(5, 5))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.heard: list[NDArray[np.float64]] = []
        self.rate_hz = 0
        self._thread.start()

    def _listen(self) -> None:
        stream = self._container.streams.audio[0]
        for packet in self._container.demux(stream):
            for frame in packet.decode():
                self.rate_hz = frame.sample_rate
                audio = frame.to_ndarray().astype(np.float64)
                channels = frame.layout.nb_channels
                self.heard.append(audio.reshape(-1) if channels == 1 else _first(audio, channels))
            if sum(map(len, self.heard)) > SECONDS * 0.8 * (self.rate_hz or 1):
                return

    def wait(self) -> NDArray[np.float64]:
        self._thread.join(15)
        assert not self._thread.is_alive()
        self._container.close()
        return np.concatenate(self.heard)


def _first(audio: NDArray[np.float64], channels: int) -> NDArray[np.float64]:
    """The first channel, packed or planar."""
    return audio[0] if audio.shape[0] == channels else audio.reshape(-1, channels)[:, 0]


@pytest.mark.parametrize("name", LINES)
def test_ffmpeg_hears_what_we_send(start: Start, tmp_path: Path, name: str) -> None:
    board = Switchboard()

    @board.answer("*")
    async def hum(call: Call) -> None:
        at = np.arange(int(8000 * SECONDS)) / 8000
        await call.play_audio((8000 * np.sin(2 * np.pi * TONE_HZ * at)).astype(np.int16), 8000)
        await call.next_digit(10)

    node = start(board, media=Media(codecs=(name,), opus=Opus(complexity=5)))
    offer = description(name, free_port())
    listener = Listener(offer, tmp_path)
    with Peer(node.sip_port) as peer:
        call = Dialled(peer)
        call.answered(offer)
        heard = listener.wait()
        assert call.bye().code == 200
        node.assert_clean()
    middle = heard[listener.rate_hz // 2 : listener.rate_hz]
    power = np.abs(np.fft.rfft(middle * np.hanning(middle.size))) ** 2
    hertz = np.fft.rfftfreq(middle.size, 1 / listener.rate_hz)
    assert power[np.abs(hertz - TONE_HZ) < 10].sum() > 0.95 * power.sum()
