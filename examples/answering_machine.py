"""An answering machine: a greeting, a tone, and a recording that any key ends.

trunkline up examples/answering_machine.py
"""

import numpy as np

from trunkline import Call, Switchboard, record

board = Switchboard()
take_message = record(seconds=120)


@board.answer("*")
async def answering_machine(call: Call) -> None:
    await call.say("Nobody can come to the telephone. Please speak after the tone.")
    await call.play_audio(tone(440, seconds=0.5), rate_hz=8000)
    await take_message(call)
    if not call.is_over:
        await call.say("Thank you. Goodbye.")


def tone(pitch_hz: float, *, seconds: float) -> np.ndarray:
    """A tone of -15 dB below full scale, at 8 kHz."""
    time = np.arange(round(seconds * 8000)) / 8000
    return (5827 * np.sin(2 * np.pi * pitch_hz * time)).astype(np.int16)
