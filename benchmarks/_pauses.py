"""A far end that sends nothing while nobody speaks, as a jitter buffer plays it.

Speech of one voice with three seconds of pause in it and two after it, over the noise of a room, by
Opus at 8 kHz with discontinuous transmission. What counts: that the pause is no loss, and that
the room is still there.
"""

import numpy as np
from numpy.typing import NDArray

from trunkline.media.g711 import Law
from trunkline.media.jitter import JitterBank, JitterStatistics
from trunkline.speech.opus import Opus, OpusEncoder, OpusLibrary, OpusSettings

RATE_HZ, FRAME = 8000, 160
ROOM = 60.0
"""RMS of the noise: -55 dBov."""
PAUSE = slice(150, 300)
"""Frames without speech."""


def played(
    speech: NDArray[np.int16], library: OpusLibrary, settings: OpusSettings
) -> tuple[float, NDArray[np.float64], JitterStatistics]:
    """Share of packets sent, the level of each frame heard, and what was counted."""
    frames = speech.size // FRAME
    rng = np.random.default_rng(1)
    noisy = speech + rng.normal(0, ROOM, speech.size)
    pcm = np.clip(noisy, -32768, 32767).astype(np.int16).reshape(-1, FRAME)
    encoder, codec = OpusEncoder(library, RATE_HZ, settings), Opus(library, RATE_HZ)
    sent = [(index, payload) for index in range(frames) if (payload := encoder.encode(pcm[index]))]
    bank = JitterBank()
    row = bank.open(Law.ULAW)
    bank.set_codec(row, codec)
    heard, number = [], 0
    for tick in range(frames):
        if number < len(sent) and sent[number][0] == tick:
            bank.put_coded(row, number, tick * 960, 7, False, sent[number][1], tick / 50)
            number += 1
        heard.append(bank.take(np.array([row]), tick / 50).pcm[0].astype(np.float64))
    levels = np.sqrt(np.mean(np.square(heard), axis=1))
    return len(sent) / frames, levels, bank.statistics(row)


def report(speech: NDArray[np.int16], library: OpusLibrary, settings: OpusSettings) -> None:
    """``speech`` at 8 kHz, six seconds or more."""
    silence = np.zeros(FRAME * (PAUSE.stop - PAUSE.start), np.int16)
    first, rest = (
        speech[: FRAME * PAUSE.start],
        speech[FRAME * PAUSE.start : 2 * FRAME * PAUSE.start],
    )
    clip = np.concatenate([first, silence, rest, silence[: 2 * RATE_HZ]])
    share, levels, counted = played(clip, library, settings)
    # The encoder goes on for 200 ms, and the jitter buffer holds some 60 ms.
    pause = levels[PAUSE.start + 20 : PAUSE.stop]
    print(f"\npauses: {library.version}, 8 kHz, room noise of RMS {ROOM:.0f}")
    print(
        f"  {100 * share:.0f} % of packets sent; in the pause RMS {np.median(pause):.0f} (least "
        f"{pause.min():.0f}), {int((pause == 0).sum())} silent frames; "
        f"lost {counted.lost}, concealed {counted.concealed_frames}"
    )
