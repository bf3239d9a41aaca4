"""The demo is content only with a call that really went as it should."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trunkline.agent.events import AgentSpoke
from trunkline.agent.session import Conversation
from trunkline.media.wav import Wav, parse_wav, serialise_wav
from trunkline.server.call_page import write_call_page
from trunkline.server.demo_check import complaints, record_complaints, recording_complaints
from trunkline.server.demo_result import DemoResult

from .demo_material import TURNS, a_conversation, a_record, a_recording, some_replies


@pytest.fixture
def result(tmp_path: Path) -> DemoResult:
    """A demo that went well."""
    record = a_record()
    record = replace(record, recording=str(a_recording(tmp_path / "call.wav", record)))
    page = tmp_path / "call.html"
    write_call_page(record, page)
    return DemoResult(
        tmp_path,
        conversation=a_conversation(),
        spoken=some_replies(),
        record=record,
        page=page,
    )


def wav_of(result: DemoResult) -> Wav:
    assert result.record is not None
    return parse_wav(Path(result.record.recording).read_bytes())


def test_a_good_call_has_nothing_to_complain_of(result: DemoResult) -> None:
    assert complaints(result) == []


def test_without_a_conversation_there_is_a_complaint(result: DemoResult) -> None:
    result.conversation = None
    assert complaints(result) == ["there was no conversation"]


def test_what_the_script_lacks_is_told(result: DemoResult) -> None:
    result.conversation = Conversation((), 7, "line")
    told = complaints(result)
    assert "nothing was booked" in told
    assert "the caller's side hung up, not the agent" in told


def test_an_agent_that_was_never_interrupted_is_a_failure(result: DemoResult) -> None:
    result.spoken = result.spoken[1:]
    assert complaints(result) == ["nobody interrupted the agent"]


def test_an_interruption_that_nobody_meant_is_a_failure(result: DemoResult) -> None:
    result.spoken.insert(1, AgentSpoke(110.0, 5, "Which", " day suits you?", True, False))
    assert complaints(result) == [
        "the agent was cut off where nobody meant to: 'Which day suits you?'"
    ]


def test_a_goodbye_that_was_not_heard_is_a_failure(result: DemoResult) -> None:
    result.spoken[-1] = AgentSpoke(124.4, 8, "Thank you", " for calling. Goodbye.", False, False)
    assert complaints(result) == ["the caller did not hear the agent's goodbye"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"state": "live"}, "the record says live"),
        ({"end_by": "them"}, "hangup by them"),
        ({"answered_at": None}, "lacks the time"),
        ({"sip_call_id": ""}, "which SIP call"),
        ({"quality": {}}, "no packets received"),
        ({"turns": TURNS[:4]}, "2 turns of the caller"),
        ({"turns": TURNS[3:]}, "where the agent was cut off"),
        ({"turns": TURNS[:-1]}, "lacks the tool hang_up"),
        ({"turns": [{**turn, "stages_ms": {}} for turn in TURNS]}, "only 0 answers"),
    ],
)
def test_a_record_that_lacks_something_is_told(changes: dict[str, object], told: str) -> None:
    assert list(record_complaints(a_record())) == []
    assert any(told in complaint for complaint in record_complaints(a_record(**changes)))


def test_a_recording_that_is_not_there_is_told(result: DemoResult) -> None:
    assert result.record is not None
    Path(result.record.recording).unlink()
    assert any("cannot be read" in complaint for complaint in complaints(result))
    result.record = replace(result.record, recording="")
    assert "the call was not recorded" in complaints(result)


def test_a_recording_of_one_side_is_told(result: DemoResult) -> None:
    assert result.record is not None
    wav = wav_of(result)
    deaf = Wav(wav.rate_hz, wav.samples * np.array([0, 1], np.int16))
    assert list(recording_complaints(result.record, deaf)) == [
        "the recording has no speech of the caller"
    ]
    mono = parse_wav(serialise_wav(wav.samples[:, 1].copy(), 8000))
    assert list(recording_complaints(result.record, mono)) == [
        "the recording has 1 channels, not 2"
    ]


@pytest.mark.parametrize("late", [-1.0, 1.0])
def test_a_side_that_is_shifted_is_told(tmp_path: Path, late: float) -> None:
    record = a_record(turns=TURNS[1:-1])
    good = parse_wav(a_recording(tmp_path / "good.wav", record).read_bytes())
    assert list(recording_complaints(record, good)) == []
    off = parse_wav(a_recording(tmp_path / "off.wav", record, late).read_bytes())
    shifted = np.stack([off.samples[:, 0], good.samples[:, 1]], axis=1)
    told = list(recording_complaints(record, Wav(8000, shifted)))
    assert len(told) >= 5
    assert all(complaint.startswith("the caller's") for complaint in told)


def test_swapped_sides_are_told(result: DemoResult) -> None:
    assert result.record is not None
    wav = wav_of(result)
    swapped = Wav(wav.rate_hz, wav.samples[:, ::-1])
    assert len(list(recording_complaints(result.record, swapped))) > 8


def test_a_recording_that_is_too_short_is_told(result: DemoResult) -> None:
    assert result.record is not None
    wav = wav_of(result)
    told = list(recording_complaints(result.record, Wav(wav.rate_hz, wav.samples[:80_000])))
    assert told[0] == "the recording is 10.0 s long and the call 24.2 s"
    assert any(complaint.endswith("is not in the recording") for complaint in told)


def test_a_page_without_the_call_is_told(result: DemoResult) -> None:
    assert result.page is not None
    result.page.write_text("<p>nothing")
    assert complaints(result) == ["the call's page call.html lacks the call or its audio"]
    result.page.unlink()
    assert "cannot be read" in complaints(result)[0]
