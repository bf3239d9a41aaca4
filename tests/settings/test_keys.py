"""The flat list of keys, and the words for what they accept."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from trunkline.settings import Secret
from trunkline.settings.keys import accepts, closest, keys, sections


def test_nested_sections_come_after_their_parent() -> None:
    assert list(sections())[:2] == ["node", "sip"]
    assert "agent.turns" in sections()
    assert "agent.turns.silence_ms" in keys()
    assert "agent.turns" not in keys()


def test_every_key_carries_its_unit() -> None:
    """A number of milliseconds or seconds that does not say so is how calls hang."""
    unitless = {
        path
        for path, key in keys().items()
        if isinstance(key.default, int | float)
        and not isinstance(key.default, bool)
        and not path.endswith(("_ms", "_seconds", "_port", ".port", "_mb", "_days"))
    }
    assert unitless == {
        "agent.turns.threshold",
        "audio.echo_filter_length",
        "audio.noise_reduction_strength",
        "media.max_calls",
        "media.opus.bitrate",
        "media.opus.complexity",
        "sip.max_connections",
        "sip.max_connections_per_address",
        "quality.clipped",
        "quality.good_mos",
        "quality.hep_id",
        "quality.ladder_bytes",
        "quality.ladder_messages",
        "quality.poor_mos",
        "recording.opus_bitrate",
        "protection.account_failures",
        "protection.block_score",
        "protection.caps.channels",
        "protection.caps.minutes_per_day",
        "protection.caps.minutes_per_month",
        "protection.caps.spend_per_day",
        "protection.caps.spend_per_month",
        "protection.failures",
        "protection.malformed",
        "protection.numbers",
        "protection.requests",
    }


def test_secrets_are_known_by_type() -> None:
    assert {path for path, key in keys().items() if key.secret} == {
        "sip.accounts",
        "streams.twilio_auth_token",
        "http.token",
        "llm.api_key",
        "speech.stt_api_key",
        "outbound.password",
        "quality.hep_password",
        "recording.encryption_key",
        "recording.s3.secret_access_key",
    }


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sip.prot", "sip.port"),
        ("silence_ms", "agent.turns.silence_ms"),
        ("agent.barge_in_ms", "agent.turns.barge_in_ms"),
        ("lmm", "llm"),
        ("zzzzzz", ""),
        ("", ""),
    ],
)
def test_the_closest_key_is_found(written: str, meant: str) -> None:
    assert closest(written) == meant


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (bool, "true or false"),
        (Path, "a path"),
        (Secret, 'text, "file:PATH" or "env:NAME"'),
        (Literal["a", "b"], 'one of "a", "b"'),
        (tuple[str, ...], "a list, each text"),
        (bool | int, "true or false or a whole number"),
        (Annotated[int, Meta(ge=1)], "a whole number from 1"),
        (Annotated[int, Meta(le=9)], "a whole number to 9"),
        (Annotated[float, Meta(gt=0, le=9)], "a number above 0 up to 9"),
        (Annotated[float, Meta(gt=0, lt=1)], "a number above 0 and below 1"),
    ],
)
def test_types_are_put_into_words(kind: object, words: str) -> None:
    assert accepts(kind) == words
