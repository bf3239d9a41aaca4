"""Whether the demo's call really went as it should: everything that is left of it is judged.

Each complaint is one line that says what is wrong, for the terminal.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.agent.events import AgentSpoke
from trunkline.agent.session import Conversation
from trunkline.calls.record import CallRecord, TurnRecord
from trunkline.errors import TrunklineError
from trunkline.media.wav import Wav, parse_wav

from .call_page import recording_starts
from .demo_result import DemoResult
from .demo_script import shortcomings

__all__ = ["complaints", "record_complaints", "recording_complaints"]

STEP_SECONDS = 0.02
SPEECH_LEVEL = 300
"""RMS of a 20 ms frame, of int16, that only speech reaches: -41 dBov."""
ONSET_SECONDS = 0.35
"""How far the first sound may be from where the record says that somebody spoke.

The record has when a word began as a voice-activity model saw it (windows of 32 ms,
and the first consonant is soft) or when the first packet left."""
SHARE_OFF = 0.3
LENGTH_SECONDS = 3.0
"""How far the recording's length may be from the call's: on a machine without a free core
the last answers of SIP (the ACK, the 200 to the BYE) take a second or two."""


def complaints(result: DemoResult) -> list[str]:
    """What the call should have and has not; empty if it went well."""
    conversation, record = result.conversation, result.record
    found = list(_conversation_complaints(conversation, result.spoken))
    if record is not None:
        found += record_complaints(record)
        found += _recording_file_complaints(record)
        found += _page_complaints(record, result.page)
    return found


def _conversation_complaints(
    conversation: Conversation | None, spoken: Sequence[AgentSpoke]
) -> Iterator[str]:
    if conversation is None:
        yield "there was no conversation"
        return
    yield from shortcomings(conversation.messages)
    if conversation.ended != "agent":
        yield "the caller's side hung up, not the agent"
    cut = [reply for reply in spoken if reply.interrupted]
    if not cut:
        yield "nobody interrupted the agent"
    for reply in cut:
        if "hours" not in reply.heard + reply.unheard and "Friday" not in reply.heard:
            yield f"the agent was cut off where nobody meant to: {reply.heard + reply.unheard!r}"
    if not spoken or "goodbye" not in spoken[-1].heard.lower():
        yield "the caller did not hear the agent's goodbye"


def record_complaints(record: CallRecord) -> Iterator[str]:
    """What the detail record lacks."""
    if (record.state, record.end_reason, record.end_by) != ("ended", "hangup", "us"):
        yield (
            f"the record says {record.state}, {record.end_reason or 'no reason'} "
            f"by {record.end_by or 'nobody'}, not that the agent hung up"
        )
    if record.answered_at is None or record.ended_at is None:
        yield "the record lacks the time of the answer or of the end"
    if record.transport != "sip" or not record.sip_call_id:
        yield "the record does not say which SIP call it was"
    if not record.quality.get("received"):
        yield "the record has no packets received"
    agent = [turn for turn in record.turns if turn.get("by") == "agent"]
    caller = [turn for turn in record.turns if turn.get("by") == "caller"]
    if len(caller) < 6 or len(agent) < 6:
        yield f"the record has {len(caller)} turns of the caller and {len(agent)} of the agent"
    if not any(turn.get("interrupted") and turn.get("unheard") for turn in agent):
        yield "the record does not say where the agent was cut off"
    timed = sum(bool(turn.get("stages_ms")) for turn in agent)
    if timed < 6:
        yield f"only {timed} answers have their latency"
    tools = [tool.get("name") for turn in agent for tool in turn.get("tools", ())]
    for name in ("repair_status", "book_repair", "hang_up"):
        if name not in tools:
            yield f"the record lacks the tool {name}"


def _recording_file_complaints(record: CallRecord) -> Iterator[str]:
    if not record.recording:
        yield "the call was not recorded"
        return
    try:
        wav = parse_wav(Path(record.recording).read_bytes())
    except (OSError, TrunklineError) as error:
        yield f"the recording cannot be read: {error}"
        return
    yield from recording_complaints(record, wav)


def recording_complaints(record: CallRecord, wav: Wav) -> Iterator[str]:
    """Whether the recording has both sides, each speaking when the record says so."""
    if wav.channels != 2:
        yield f"the recording has {wav.channels} channels, not 2"
        return
    if abs(wav.duration_seconds - record.talked_seconds) > LENGTH_SECONDS:
        yield (
            f"the recording is {wav.duration_seconds:.1f} s long and "
            f"the call {record.talked_seconds:.1f} s"
        )
    starts = recording_starts(record, wav.duration_seconds)
    for channel, by in enumerate(("caller", "agent")):
        loud = _loud(wav.samples[:, channel], wav.rate_hz)
        if not loud.any():
            yield f"the recording has no speech of the {by}"
            continue
        turns = [turn for turn in record.turns if turn.get("by") == by]
        told = [(turn, off) for turn in turns if (off := _onset_off(turn, loud, starts))]
        # A stalled machine may misjudge where one or two words began; a recording
        # that is not aligned is off everywhere.
        if len(told) > len(turns) * SHARE_OFF:
            for turn, off in told:
                yield f"the {by}'s {turn.get('text', '')!r} is {off} in the recording"


def _loud(pcm: NDArray[np.int16], rate_hz: int) -> NDArray[np.bool_]:
    """Which steps of 20 ms have speech in them."""
    step = int(rate_hz * STEP_SECONDS)
    frames = pcm[: len(pcm) // step * step].reshape(-1, step).astype(np.float64)
    loud: NDArray[np.bool_] = np.sqrt((frames**2).mean(axis=1)) > SPEECH_LEVEL
    return loud


def _onset_off(turn: TurnRecord, loud: NDArray[np.bool_], starts: float) -> str | None:
    """How a turn's first sound is not where the record has it; None if it is."""
    at = turn.get("started_seconds", 0.0) - starts
    reach = int(ONSET_SECONDS / STEP_SECONDS)
    expected = int(at / STEP_SECONDS)
    if not -reach <= expected < len(loud):
        return "not"
    begins = loud & ~np.concatenate(([False], loud[:-1]))
    if not begins[max(0, expected - reach) : max(0, expected + reach + 1)].any():
        return f"not at {at:.1f} s"
    return None


def _page_complaints(record: CallRecord, page: Path | None) -> Iterator[str]:
    if page is None:
        return  # said already, with the reason
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        yield f"the call's page cannot be read: {error}"
        return
    if record.id not in text or "data:audio/wav;base64," not in text:
        yield f"the call's page {page.name} lacks the call or its audio"
