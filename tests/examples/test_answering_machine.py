"""``examples/answering_machine.py``: a greeting, a tone, a recording."""

from pathlib import Path

import numpy as np
from tests.interop.kit import until

from trunkline.media import wav

from .conftest import Example, Run, Telephones


def recorded(example: Example) -> Path:
    """The only recording there is."""
    (path,) = example.node.folder.rglob("*.wav")
    return path


def test_a_message_is_recorded_until_a_key(run: Run, telephone: Telephones) -> None:
    example = run("answering_machine.py")
    phone = telephone(example)
    phone.dial()
    example.wait_said("Nobody can come")
    until(lambda: list(example.node.folder.rglob("*.wav")))  # greeting and tone are over
    phone.speak(0.5)
    until(lambda: recorded(example).stat().st_size > 44 + 4 * 8000, what="a second of it")
    phone.press("#")
    phone.wait_hung_up()
    assert example.said[-1] == "Thank you. Goodbye."
    audio = wav.parse_wav(recorded(example).read_bytes())
    assert (audio.rate_hz, audio.samples.shape[1]) == (8000, 2)
    caller, us = np.abs(audio.samples.T.astype(int))
    assert caller.max() > 3000  # the message is there
    assert us.max() < 100  # and neither the greeting nor the tone


def test_a_caller_who_just_hangs_up_is_recorded_until_then(run: Run, telephone: Telephones) -> None:
    example = run("answering_machine.py")
    phone = telephone(example)
    phone.dial()
    until(lambda: list(example.node.folder.rglob("*.wav")))
    phone.hang_up()
    example.node.assert_clean()
    assert example.said == ["Nobody can come to the telephone. Please speak after the tone."]
    wav.parse_wav(recorded(example).read_bytes())
