"""Whether noise suppression helps the embedded recogniser: phrases understood, of all.

Eight phrases by three synthetic voices of flite at 8 kHz, a grammar of those phrases, white
noise and the development part's cars at 10 and 0 dB. A small recogniser; a large one was trained on
noise, and may be better off without.

    python benchmarks/noise_words.py
"""

import sys

import numpy as np

from _levels import levelled
from _machine import describe
from _noises import DEVELOPMENT, Audio, mix, say
from trunkline.media.noise import NoiseSettings, noise_stage
from trunkline.media.resample import StreamResampler

RATE_HZ, FRAME = 8000, 160
PHRASES = (
    "call me back tomorrow",
    "what are the opening hours",
    "cancel my booking",
    "connect me to the office",
    "repeat the last message",
    "send me the invoice",
    "i lost my password",
    "where is my parcel",
)
VOICES = ("rms", "slt", "awb")
STRENGTHS = (0.0, 0.5, 0.8, 1.0)


def suppressed(audio: Audio, strength: float) -> Audio:
    """What the chain would hand on."""
    stage = noise_stage(RATE_HZ, NoiseSettings(strength=strength), 1)
    rows = np.array([stage.open()], np.intp)
    blocks = audio.astype(np.float32).reshape(-1, 1, FRAME)
    return np.concatenate([stage.process(block, rows)[0] for block in blocks]).astype(np.float64)


def main() -> None:
    try:
        from pocketsphinx import Decoder
    except ModuleNotFoundError:
        sys.exit("this needs pocketsphinx; run: pip install 'trunkline[speech]'")
    print(describe("pocketsphinx"))
    decoder = Decoder(lm=None, loglevel="FATAL", samprate=16000)
    said = " | ".join(PHRASES)
    decoder.add_jsgf_string("all", f"#JSGF V1.0; grammar all; public <all> = {said};")
    decoder.activate_search("all")

    def heard(audio: Audio) -> str:
        pcm = np.rint(np.clip(audio, -1, 1) * 32767).astype(np.int16)
        resampler = StreamResampler(RATE_HZ, 16000)
        decoder.start_utt()
        wide = np.concatenate((resampler.push(pcm), resampler.flush()))
        decoder.process_raw(wide.tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return found.hypstr if found else ""

    print(f"understood at strength {STRENGTHS}, of {len(PHRASES) * len(VOICES)}")
    for noise in ("white", "car"):
        for snr_db in (10, 0):
            right = [0] * len(STRENGTHS)
            for number, phrase in enumerate(PHRASES):
                for voice in VOICES:
                    clip = np.pad(levelled(say(phrase, voice, RATE_HZ), RATE_HZ), (4000, 2400))
                    clip = np.pad(clip, (0, -len(clip) % FRAME))
                    noisy = mix(clip, DEVELOPMENT, noise, snr_db, RATE_HZ, number)
                    for place, strength in enumerate(STRENGTHS):
                        right[place] += heard(suppressed(noisy, strength)) == phrase
            print(f"{noise:6s} {snr_db:3d} dB  " + " ".join(f"{each:3d}" for each in right))


if __name__ == "__main__":
    main()
