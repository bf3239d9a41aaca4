"""A library where it is installed, and what needs none where it is not.

For those who want the one or the other by one name. The defaults need neither: "kalman"
for echoes and "logmmse" for noise did better in our measurements, and are always there.
"""

import logging
from typing import Any

from trunkline.errors import MissingDependencyError
from trunkline.media import EchoStage, NoiseSettings, Stage, create_echo, noise_stage

from .enhancement_echo import SpeexEcho
from .noise_engines import Noisereduce

__all__ = ["noisereduce_or_spectral", "speex_or_nlms"]

_log = logging.getLogger(__name__)


def speex_or_nlms(rate_hz: int = 8000, capacity: int = 64, **options: Any) -> EchoStage:
    """Speex's canceller, or a plain NLMS filter where libspeexdsp is not installed.

    ``options`` are those of `SpeexEcho`. Raises `UsageError` for a rate that is none.
    """
    try:
        return SpeexEcho(rate_hz, capacity=capacity, **options)
    except MissingDependencyError as error:
        _log.warning("cancelling echoes by NLMS: %s", error)
        return create_echo("nlms", rate_hz, capacity=capacity)


def noisereduce_or_spectral(
    rate_hz: int = 8000, strength: float = 0.8, capacity: int = 64
) -> Stage:
    """The package noisereduce, or spectral subtraction where it is not installed.

    Raises `UsageError` for a rate or a strength that is none.
    """
    try:
        return Noisereduce(rate_hz, strength=strength, capacity=capacity)
    except MissingDependencyError as error:
        _log.warning("suppressing noise by spectral subtraction: %s", error)
        return noise_stage(rate_hz, NoiseSettings("spectral", strength), capacity)
