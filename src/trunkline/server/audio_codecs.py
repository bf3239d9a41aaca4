"""The codecs beside G.711 that a node's settings ask for."""

import logging
from collections.abc import Iterable
from functools import partial

from trunkline.media.codec import G722, L16, Codec
from trunkline.media.resampled_codec import ResampledCodec
from trunkline.settings import Opus as OpusSection
from trunkline.sip.offer_answer import AudioAgreement
from trunkline.sip.opus_parameters import OpusParameters
from trunkline.speech.g722 import LibraryG722, find_g722
from trunkline.speech.opus import Opus, OpusLibrary, OpusSettings
from trunkline.transports.sip import MakeCodec

__all__ = ["audio_codecs", "opus_wanted"]

log = logging.getLogger(__name__)


def audio_codecs(
    names: Iterable[str], rate_hz: int, opus: OpusSection | None = None
) -> dict[str, MakeCodec]:
    """What makes these codecs, by their names in capital letters; G.711 needs nothing.

    Their audio is at ``rate_hz``, the engine's. Logs which library codes what. Raises
    `MissingDependencyError` if Opus is asked for and there is no libopus, or not the one
    that is set.
    """
    made: dict[str, MakeCodec] = {}
    for name in names:
        match name.upper():
            case "OPUS":
                section = opus or OpusSection()
                library = OpusLibrary.load(section.library)
                log.info("Opus by %s (%s)", library.version, library.path)
                made["OPUS"] = partial(_opus, library, rate_hz, _settings(section))
            case "G722":
                made["G722"] = partial(_always, _at_rate(_g722(), rate_hz))
            case "L16":
                made["L16"] = partial(_always, _at_rate(L16(), rate_hz))
            case "L16/8000":
                made["L16/8000"] = partial(_always, _at_rate(L16(8000), rate_hz))
    return made


def opus_wanted(section: OpusSection) -> OpusParameters:
    """What our session descriptions say of Opus; the decoder always knows copies."""
    return OpusParameters(use_inband_fec=True, use_dtx=section.dtx, min_ptime_ms=10)


def _settings(section: OpusSection) -> OpusSettings:
    return OpusSettings(
        bitrate=section.bitrate,
        complexity=section.complexity,
        fec=section.fec != "off",
        follow_loss=section.fec == "auto",
        dtx=section.dtx,
    )


def _g722() -> Codec:
    library = find_g722()
    if library is None:
        log.warning(
            "G.722 by Trunkline itself, at 3 ms of CPU a call and 20 ms: for more than a few "
            "calls install PyAV (pip install trunkline[opus]) or spandsp (libspandsp2)"
        )
        return G722()
    log.info("G.722 by %s", library.name)
    return LibraryG722(library)


def _at_rate(codec: Codec, rate_hz: int) -> Codec:
    return codec if codec.rate_hz == rate_hz else ResampledCodec(codec, rate_hz)


def _always(codec: Codec, agreement: AudioAgreement) -> Codec:
    return codec


def _opus(
    library: OpusLibrary, rate_hz: int, settings: OpusSettings, agreement: AudioAgreement
) -> Codec:
    """Opus as the far end wants it; libopus itself works at any rate of ours."""
    if agreement.opus is not None:
        settings = settings.for_peer(agreement.opus)
    return Opus(library, rate_hz, settings)
