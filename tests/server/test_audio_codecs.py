"""The codecs that settings ask for, made for the engine's rate."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.calls.switchboard import Switchboard
from trunkline.errors import MissingDependencyError
from trunkline.media.codec import G722, L16
from trunkline.media.resampled_codec import ResampledCodec
from trunkline.server import audio_codecs as module
from trunkline.server.audio_codecs import audio_codecs, opus_wanted
from trunkline.server.node import Node
from trunkline.settings import Media, Records, Settings, Sip
from trunkline.settings import Opus as OpusSection
from trunkline.sip.offer_answer import AudioAgreement
from trunkline.sip.opus_parameters import OpusParameters
from trunkline.speech import opus
from trunkline.speech.g722 import LibraryG722, find_g722

AGREED = AudioAgreement("OPUS", 111, opus=OpusParameters(max_average_bitrate=12_000))


def nothing_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "_candidates", list)
    opus._load.cache_clear()


def test_g711_needs_nothing_and_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_found(monkeypatch)
    assert audio_codecs(("pcmu", "pcma"), 8000) == {}


def test_g722_and_l16_are_resampled_where_the_engine_has_another_rate() -> None:
    made = audio_codecs(("g722", "pcmu", "l16"), 8000)
    library = find_g722()
    wide = LibraryG722(library) if library else G722()
    assert {name: make(AGREED) for name, make in made.items()} == {
        "G722": ResampledCodec(wide, 8000),
        "L16": ResampledCodec(L16(), 8000),
    }
    assert audio_codecs(("g722",), 16_000)["G722"](AGREED) == wide
    assert audio_codecs(("l16/8000",), 8000)["L16/8000"](AGREED) == L16(8000)


def test_the_log_says_which_library_codes(caplog: pytest.LogCaptureFixture) -> None:
    library, other = find_g722(), opus.find_opus()
    if library is None or other is None:
        pytest.skip("no library for G.722 or Opus")
    with caplog.at_level(logging.INFO):
        audio_codecs(("g722", "opus"), 8000)
    assert f"G.722 by {library.name}" in caplog.text
    assert f"Opus by {other.version}" in caplog.text


def test_g722_without_a_library_works_and_says_what_it_costs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "find_g722", lambda: None)
    assert audio_codecs(("g722",), 16_000)["G722"](AGREED) == G722()
    assert "libspandsp2" in caplog.text


def test_opus_is_as_the_settings_say() -> None:
    if opus.find_opus() is None:
        pytest.skip("libopus is not installed")
    generous = AudioAgreement("OPUS", 111, opus=OpusParameters(use_inband_fec=True, use_dtx=True))
    wanted = OpusSection(bitrate=32_000, complexity=7, dtx=True)
    codec: Any = audio_codecs(("opus",), 8000, wanted)["OPUS"](generous)
    found = codec.settings
    assert (found.bitrate, found.complexity, found.dtx) == (32_000, 7, True)
    for fec, copies, follows in (("auto", True, True), ("on", True, False), ("off", False, False)):
        codec = audio_codecs(("opus",), 8000, OpusSection(fec=fec))["OPUS"](generous)  # type: ignore[arg-type]
        assert (codec.settings.fec, codec.settings.follow_loss) == (copies, follows)


def test_a_libopus_that_is_set_and_not_there_is_an_error() -> None:
    with pytest.raises(MissingDependencyError, match="/nowhere/libopus"):
        audio_codecs(("opus",), 8000, OpusSection(library="/nowhere/libopus.so"))


def test_copies_are_always_wanted_and_pauses_only_if_set() -> None:
    assert str(opus_wanted(OpusSection())) == "minptime=10;useinbandfec=1"
    assert str(opus_wanted(OpusSection(dtx=True))) == "minptime=10;useinbandfec=1;usedtx=1"


def test_opus_is_as_the_far_end_wants_it() -> None:
    if opus.find_opus() is None:
        pytest.skip("libopus is not installed")
    make = audio_codecs(("opus",), 8000)["OPUS"]
    codec: Any = make(AGREED)
    assert (codec.rate_hz, codec.rtp_clock_hz) == (8000, 48_000)
    assert (codec.settings.bitrate, codec.settings.fec) == (12_000, False)
    assert make(AGREED) == codec  # so that a refreshed agreement changes nothing
    encoder, decoder = codec.encoder(), codec.decoder()
    assert decoder.decode(encoder.encode(np.zeros(160, np.int16))).shape == (160,)
    encoder.close()
    decoder.close()


def test_opus_without_libopus_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_found(monkeypatch)
    with pytest.raises(MissingDependencyError, match="libopus0"):
        audio_codecs(("opus", "pcmu"), 8000)


def test_a_node_that_should_speak_opus_and_cannot_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nothing_found(monkeypatch)
    settings = Settings(
        sip=Sip(port=0), media=Media(codecs=("opus",)), records=Records(path=tmp_path / "calls.db")
    )
    with pytest.raises(MissingDependencyError, match="Opus needs libopus"):
        asyncio.run(Node(settings, Switchboard(), streams=False).run())
