"""Recorded speech: prompts of a telephone system, spoken by one woman in a studio.

They are Debian's asterisk-core-sounds-en-wav: Allison Smith, American English, 8 kHz,
CC BY-SA 3.0. One speaker, one microphone: they show that a figure does not hold for
synthetic voices alone, and say nothing of men, of accents, or of telephones. At 16 kHz there
is nothing above 4 kHz. Development and held-out prompts are other sentences by the same voice.

    if reason := missing():
        print(reason)           # and go on with synthetic speech
    for clip in recordings(HELD_OUT, 8000):
        use(clip.name, clip.audio)
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _levels import ROOM_DBOV, SPEECH_DBOV, levelled, room_tone
from trunkline.media.resample import StreamResampler
from trunkline.media.wav import parse_wav

__all__ = [
    "DEVELOPMENT",
    "HELD_OUT",
    "PACKAGE",
    "Recording",
    "describe_recordings",
    "missing",
    "recording",
    "recordings",
    "talk",
]

Audio = NDArray[np.float64]
"""One stretch of audio, full scale 1.0."""

PACKAGE = "asterisk-core-sounds-en-wav"
FOLDER = Path("/usr/share/asterisk/sounds/en_US_f_Allison")

DEVELOPMENT = (
    "vm-intro",
    "agent-alreadyon",
    "queue-periodic-announce",
    "demo-enterkeywords",
    "vm-newuser",
    "conf-invalid",
    "dir-instr",
    "vm-saveoper",
    "auth-incorrect",
    "pbx-invalid",
    "vm-tmpexists",
    "demo-moreinfo",
)
HELD_OUT = (
    "vm-review",
    "dir-usingkeypad",
    "demo-thanks",
    "agent-user",
    "queue-youarenext",
    "ss-noservice",
    "vm-forwardoptions",
    "confbridge-pin-bad",
    "vm-mailboxfull",
    "vm-record-prepend",
    "privacy-unident",
    "demo-nogo",
)


@dataclass(frozen=True, slots=True)
class Recording:
    """One prompt, at -26 dBov, with silence around it."""

    name: str
    """Of its file, without the extension."""
    rate_hz: int
    audio: Audio


def missing() -> str | None:
    """What to install if the prompts are not there, or None if they are."""
    absent = [name for name in DEVELOPMENT + HELD_OUT if not _path(name).is_file()]
    if not absent:
        return None
    return f"no recorded prompts ({absent[0]}.wav is not there); run: apt-get install {PACKAGE}"


def describe_recordings(names: tuple[str, ...]) -> str:
    """One line for the head of a report."""
    part = {DEVELOPMENT: "development", HELD_OUT: "held out"}.get(names, "chosen")
    return (
        f"{part}: {len(names)} recorded prompts by one speaker ({PACKAGE}), "
        f"{SPEECH_DBOV:.0f} dBov, room tone {ROOM_DBOV:.0f} dBov"
    )


def recordings(
    names: tuple[str, ...],
    rate_hz: int,
    *,
    lead_seconds: float = 0.5,
    tail_seconds: float = 0.3,
    room: bool = True,
) -> list[Recording]:
    """Each of these prompts; nothing if they are not installed."""
    if missing():
        return []
    made = []
    for name in names:
        audio = recording(name, rate_hz)
        around = round(lead_seconds * rate_hz), round(tail_seconds * rate_hz)
        audio = np.pad(audio, around)
        if room:
            audio += room_tone(len(audio), np.random.default_rng((len(audio), rate_hz)))
        made.append(Recording(name, rate_hz, audio))
    return made


def recording(name: str, rate_hz: int) -> Audio:
    """One prompt at -26 dBov, as it was cut, without room tone."""
    return np.frombuffer(_read(name, rate_hz))


def talk(names: tuple[str, ...], samples: int, rate_hz: int, first: int = 0) -> Audio:
    """One prompt after the other, beginning with number ``first``, 250 ms between them."""
    pieces: list[Audio] = []
    pause = np.zeros(rate_hz // 4)
    number = first
    while sum(map(len, pieces)) < samples:
        pieces += [recording(names[number % len(names)], rate_hz), pause]
        number += 1
    return np.concatenate(pieces)[:samples]


def _path(name: str) -> Path:
    return FOLDER / f"{name}.wav"


@cache
def _read(name: str, rate_hz: int) -> bytes:
    wav = parse_wav(_path(name).read_bytes())
    pcm = wav.mono()
    if wav.rate_hz != rate_hz:
        resampler = StreamResampler(wav.rate_hz, rate_hz)
        pcm = np.concatenate((resampler.push(pcm), resampler.flush()))
    return levelled(pcm / 32768.0, rate_hz).tobytes()
