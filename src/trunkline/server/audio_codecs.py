"""The codecs beside G.711 that a node's settings ask for."""

from collections.abc import Iterable
from functools import partial

from trunkline.media.codec import G722, L16, Codec
from trunkline.media.resampled_codec import ResampledCodec
from trunkline.sip.offer_answer import AudioAgreement
from trunkline.speech.opus import Opus, OpusLibrary, OpusSettings
from trunkline.transports.sip import MakeCodec

__all__ = ["audio_codecs"]


def audio_codecs(names: Iterable[str], rate_hz: int) -> dict[str, MakeCodec]:
    """What makes these codecs, by their names in capital letters; G.711 needs nothing.

    Their audio is at ``rate_hz``, the engine's. Raises `MissingDependencyError` if Opus
    is asked for and there is no libopus.
    """
    made: dict[str, MakeCodec] = {}
    for name in names:
        match name.upper():
            case "OPUS":
                made["OPUS"] = partial(_opus, OpusLibrary.load(), rate_hz)
            case "G722":
                made["G722"] = partial(_always, _at_rate(G722(), rate_hz))
            case "L16":
                made["L16"] = partial(_always, _at_rate(L16(), rate_hz))
    return made


def _at_rate(codec: Codec, rate_hz: int) -> Codec:
    return codec if codec.rate_hz == rate_hz else ResampledCodec(codec, rate_hz)


def _always(codec: Codec, agreement: AudioAgreement) -> Codec:
    return codec


def _opus(library: OpusLibrary, rate_hz: int, agreement: AudioAgreement) -> Codec:
    """Opus as the far end wants it; libopus itself works at any rate of ours."""
    settings = OpusSettings()
    if agreement.opus is not None:
        settings = settings.for_peer(agreement.opus)
    return Opus(library, rate_hz, settings)
