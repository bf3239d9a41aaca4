"""Concealment: PESQ of speech in G.711 with losses, by method.

Speech of flite (and of espeak-ng where it is there), and then recorded prompts (`_recordings`),
at -26 dBov over room tone of -60 dBov, µ-law. "ahead" is how many frames after the one concealed
are in the jitter buffer already, unless they are lost as well; "half": frames begin in the middle
of packets. Dev and held-out sets have other voices, sentences and losses: tune on the dev set only.

    python benchmarks/concealment.py [--held-out] [--quick]

Needs the package pesq (0.0.4); spandsp's concealment stands beside ours where
libspandsp.so.2 is installed.
"""

import argparse
import ctypes
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from subprocess import run

import numpy as np
from numpy.typing import NDArray
from pesq import pesq

from _recordings import DEVELOPMENT, HELD_OUT, describe_recordings, missing, recordings
from trunkline.media.concealment import ConcealmentBank
from trunkline.media.g711 import DECODE, Law, encode
from trunkline.media.resample import StreamResampler
from trunkline.media.sample_ring import HOLE
from trunkline.media.wav import parse_wav
from trunkline.speech.espeak import Espeak, is_installed

RATE_HZ, FRAME = 8000, 160
AHEAD_FRAMES = 3
DEV_TEXTS = (
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background.",
    "It is easy to tell the depth of a well. These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls. The juice of lemons makes fine punch.",
)
HELD_OUT_TEXTS = (
    "The boy was there when the sun rose. A rod is used to catch pink salmon.",
    "The source of the huge river is the clear spring. Kick the ball straight.",
    "Help the woman get back to her feet. A pot of tea helps to pass the evening.",
    "My account number is four seven two nine one. What time does the store close tonight?",
)
DEV_VOICES = ("flite slt", "flite rms", "espeak-ng en-us", "espeak-ng en-us+Annie")
HELD_OUT_VOICES = ("flite awb", "flite kal16", "espeak-ng en-us+Reed", "espeak-ng en-us+Alicia")

Pcm = NDArray[np.int16]
Lost = NDArray[np.bool_]
Method = Callable[[Pcm, Lost], Pcm]
"""What is heard of speech without those of its frames."""


def speak(voice: str, text: str) -> Pcm:
    """An utterance at -26 dBov of active speech, 8 kHz, whole frames, over room tone."""
    tool, name = voice.split()
    pcm, rate_hz = flite(name, text) if tool == "flite" else espeak(name, text)
    if rate_hz != RATE_HZ:
        resampler = StreamResampler(rate_hz, RATE_HZ)
        pcm = np.concatenate((resampler.push(pcm), resampler.flush()))
    audio = np.pad(pcm.astype(float), (FRAME * 15, FRAME * 15 - len(pcm) % FRAME))
    power = np.mean(audio.reshape(-1, FRAME) ** 2, axis=1)
    active = power[power > power.max() * 10**-3.8]
    audio *= 32768 * 10 ** (-26 / 20) / np.sqrt(active.mean())
    audio += np.random.default_rng(len(text)).normal(0, 32.768, len(audio))
    return through_ulaw(audio)


def prompts(names: tuple[str, ...]) -> list[Pcm]:
    """Recorded prompts in the same form; none where they are not installed."""
    found = recordings(names, RATE_HZ)
    return [through_ulaw(one.audio[: -(len(one.audio) % FRAME) or None] * 32768) for one in found]


def through_ulaw(audio: NDArray[np.float64]) -> Pcm:
    """Audio at the scale of int16 as a telephone has it."""
    rounded = np.clip(np.rint(audio), -32767, 32767).astype(np.int16)
    coded = np.frombuffer(encode(rounded, Law.ULAW).tobytes(), np.uint8)
    return DECODE[Law.ULAW][coded]


def flite(voice: str, text: str) -> tuple[Pcm, int]:
    """An utterance by flite, and its rate."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.wav")
        run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        wav = parse_wav(path.read_bytes())
    return wav.mono(), wav.rate_hz


def espeak(voice: str, text: str) -> tuple[Pcm, int]:
    """An utterance by espeak-ng, and its rate."""
    pieces: list[bytes] = []
    library = speaker()
    library.speak(text, {"voice": voice, "speed": 160}, lambda pcm, _: not pieces.append(pcm))
    return np.frombuffer(b"".join(pieces), np.int16), library.rate_hz


@cache
def speaker() -> Espeak:
    """The library has one state for the whole process."""
    return Espeak()


def there(voice: str) -> bool:
    """Whether a voice's synthesiser is installed."""
    return is_installed() if voice.startswith("espeak-ng") else bool(shutil.which("flite"))


def losses(frames: int, share: float, burst: int, seed: int) -> Lost:
    """Which frames are lost; bursts are of exactly ``burst`` frames, never at the beginning."""
    rng = np.random.default_rng(seed)
    begins = rng.random(frames) < share / burst / (1 - share * (burst - 1) / burst)
    lost = np.zeros(frames, np.bool_)
    for index in np.flatnonzero(begins):
        if not lost[index]:
            lost[index : index + burst] = True
    lost[:15] = False
    return lost


def ours(method: str, ahead: int, off: int = 0) -> Method:
    """One row of the concealment bank; the jitter buffer holds ``ahead`` further frames.

    ``off``: frames begin so many samples after packets do.
    """

    def heard(pcm: Pcm, lost: Lost) -> Pcm:
        bank = ConcealmentBank(RATE_HZ, method, 1)
        rows = np.array([bank.open()])
        came = pcm.copy()
        came[np.repeat(lost, FRAME)] = HOLE
        came = np.pad(came, ((FRAME - off) % FRAME, FRAME * (1 + AHEAD_FRAMES)))
        came[len(pcm) + (FRAME - off) % FRAME :] = HOLE
        out = []
        for at in range(0, len(pcm) + off, FRAME):
            block = came[np.newaxis, at : at + FRAME].copy()
            if (block == HOLE).any():
                future = came[np.newaxis, at + FRAME : at + (1 + ahead) * FRAME]
                bank.conceal(block, rows, future if ahead else None)
            else:
                bank.update(block, rows)
            out.append(block[0])
        return np.concatenate(out)[(FRAME - off) % FRAME :][: len(pcm)]

    return heard


def spandsp() -> Method | None:
    """The concealment of Debian's libspandsp2, if it is there."""
    try:
        library = ctypes.CDLL("libspandsp.so.2")
    except OSError:
        return None
    library.plc_init.restype = ctypes.c_void_p
    library.plc_init.argtypes = [ctypes.c_void_p]
    for call in (library.plc_rx, library.plc_fillin):
        call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
    library.plc_free.argtypes = [ctypes.c_void_p]

    def heard(pcm: Pcm, lost: Lost) -> Pcm:
        state, out = library.plc_init(None), pcm.copy()
        for index, gone in enumerate(lost):
            call = library.plc_fillin if gone else library.plc_rx
            call(state, out.ctypes.data + 2 * FRAME * index, FRAME)
        library.plc_free(state)
        return out

    return heard


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one clip a voice, 10 %% only")
    parser.add_argument("--methods", nargs="*", default=None)
    options = parser.parse_args()
    texts, voices = (DEV_TEXTS, DEV_VOICES)
    if options.held_out:
        texts, voices = HELD_OUT_TEXTS, HELD_OUT_VOICES
    voices = tuple(voice for voice in voices if there(voice))
    if options.quick:
        texts = texts[:1]
    clips = [speak(voice, text) for voice in voices for text in texts]
    methods = {
        f"{name} {ahead}": ours(name, ahead)
        for name in ("silence", "simple", "linear", "spectral", "pitch")
        for ahead in ((0, 1, 2) if name == "pitch" else (0, 1) if name == "linear" else (0,))
    }
    methods["pitch 1 half"] = ours("pitch", 1, FRAME // 2)
    methods["pitch 2 half"] = ours("pitch", 2, FRAME // 2)
    other = spandsp()
    if other is not None:
        methods["spandsp 0"] = other
    if options.methods:
        methods = {name: method for name, method in methods.items() if name in options.methods}
    shares = (0.1,) if options.quick else (0.05, 0.1, 0.2)
    columns = [(share, burst) for burst in (1, 3) for share in shares]
    seeds = [1000 * options.held_out + seed for seed in range(1 if options.quick else 2)]
    print(f"{len(clips)} clips of {', '.join(voices)}; PESQ-NB, mean (method and frames ahead)")
    show(clips, methods, columns, seeds)
    names = HELD_OUT if options.held_out else DEVELOPMENT
    if reason := missing():
        print(reason)
        return
    print(f"{describe_recordings(names)}; PESQ-NB, mean")
    show(prompts(names[:4] if options.quick else names), methods, columns, seeds)


def show(
    clips: list[Pcm], methods: dict[str, Method], columns: list[tuple[float, int]], seeds: list[int]
) -> None:
    """One table: a line a method, a column a share and length of losses."""
    print(f"{'':12}" + "".join(f"{share:6.0%} x{burst}" for share, burst in columns))
    for name, method in methods.items():
        means = []
        for share, burst in columns:
            scores = []
            for number, pcm in enumerate(clips):
                for seed in seeds:
                    lost = losses(len(pcm) // FRAME, share, burst, 10 * number + seed)
                    scores.append(pesq(RATE_HZ, pcm, method(pcm, lost), "nb"))
            means.append(float(np.mean(scores)))
        print(f"{name:12}" + "".join(f"{mean:9.2f}" for mean in means), flush=True)


if __name__ == "__main__":
    main()
