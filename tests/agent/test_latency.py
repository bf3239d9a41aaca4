import pytest

from trunkline.agent.latency import Stopwatch
from trunkline.agent.turn_events import EndReason, TurnEnded


def ended() -> TurnEnded:
    return TurnEnded(10.6, 9.0, 10.0, EndReason.SILENCE, 3, 4)


def test_latency_counts_from_the_end_of_speech() -> None:
    watch = Stopwatch(ended())
    watch.recognised(10.7)
    watch.token(10.9)
    watch.token(11.5)
    latency = watch.stopped(11.2, 11.1)
    assert latency.turn == 3
    assert [
        round(value)
        for value in (
            latency.endpointing_ms,
            latency.recognition_ms,
            latency.first_token_ms,
            latency.first_audio_ms,
            latency.first_packet_ms,
        )
    ] == [600, 700, 900, 1100, 1200]


def test_a_stage_that_was_skipped_took_no_time() -> None:
    latency = Stopwatch(ended()).stopped(11.0, None)
    assert latency.recognition_ms == latency.first_token_ms == latency.first_audio_ms
    assert latency.endpointing_ms == pytest.approx(600)
