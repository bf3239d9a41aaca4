"""What one end wants to receive of Opus (RFC 7587)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip.opus_parameters import OpusParameters


def test_a_browsers_line_is_read() -> None:
    assert OpusParameters.parse("minptime=10;useinbandfec=1") == OpusParameters(
        min_ptime_ms=10, use_inband_fec=True
    )


def test_everything_is_read_with_blanks_and_any_case() -> None:
    text = "maxplaybackrate=16000; MaxAverageBitrate=20000 ;stereo=1; cbr=1;usedtx=1; x=y; z"
    assert OpusParameters.parse(text) == OpusParameters(
        max_playback_rate_hz=16_000,
        max_average_bitrate=20_000,
        stereo=True,
        constant_bitrate=True,
        use_dtx=True,
    )


@pytest.mark.parametrize(
    "text",
    ["", ";;;", "=", "maxaveragebitrate=5", "maxaveragebitrate=-1", "maxaveragebitrate=1e5",
     "maxplaybackrate=", "maxplaybackrate=99999999999", "useinbandfec=yes", "minptime=0",
     "maxaveragebitrate=\u0663\u0663\u0663\u0663\u0663"],
)  # fmt: skip
def test_nonsense_counts_as_not_said(text: str) -> None:
    assert OpusParameters.parse(text) == OpusParameters()


def test_a_playback_rate_beyond_opus_is_its_nearest() -> None:
    assert OpusParameters.parse("maxplaybackrate=4000").max_playback_rate_hz == 8000
    assert OpusParameters.parse("maxplaybackrate=96000").max_playback_rate_hz == 48_000


def test_defaults_are_not_written() -> None:
    assert str(OpusParameters()) == ""


@given(
    st.builds(
        OpusParameters,
        max_playback_rate_hz=st.integers(8000, 48_000),
        max_average_bitrate=st.none() | st.integers(6000, 510_000),
        stereo=st.booleans(),
        constant_bitrate=st.booleans(),
        use_inband_fec=st.booleans(),
        use_dtx=st.booleans(),
        min_ptime_ms=st.none() | st.integers(3, 120),
    )
)
def test_what_is_written_is_read_again(parameters: OpusParameters) -> None:
    assert OpusParameters.parse(str(parameters)) == parameters


@given(st.text(max_size=80))
def test_any_text_is_taken(text: str) -> None:
    OpusParameters.parse(text)


def test_what_they_will_send_is_nothing_to_know() -> None:
    line = "sprop-maxcapturerate=8000;sprop-stereo=1;useinbandfec=1"
    assert OpusParameters.parse(line) == OpusParameters(use_inband_fec=True)
    assert "sprop" not in str(OpusParameters.parse(line))
