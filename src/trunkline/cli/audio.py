"""``trunkline audio``: what the audio path makes of a file."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from trunkline.errors import UsageError

from .output import console, print_json

__all__ = ["app"]

_HELP = """\
The audio path: what it makes of a file.

Example: `trunkline audio inspect call.wav --loss 10% --jitter 30`
"""

app = App(name="audio", help=_HELP)


@app.command
def inspect(
    path: Path,
    /,
    *,
    far: Path | None = None,
    channel: int | None = None,
    far_channel: int | None = None,
    rate: int = 8000,
    codec: Literal["pcmu", "pcma", "g722", "opus", "l16"] | None = None,
    loss: str = "0%",
    burst: float = 1.0,
    jitter: float = 0.0,
    seed: int = 1,
    concealment: str = "pitch",
    echo: str | None = None,
    noise: str = "off",
    strength: float = 0.8,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Send a WAV file through the audio path, and write a page that shows and plays it.

    Packets of 20 ms over a bad network of your making, the jitter buffer with concealment
    and stretching, echo cancellation, noise suppression; in virtual time, so that the same
    flags give the same result. The processed audio is written beside the page.

    Examples: `trunkline audio inspect call.wav --loss 10% --burst 3 --jitter 30`,
    `trunkline audio inspect heard.wav --far sent.wav --noise logmmse -o page.html`

    Parameters
    ----------
    path
        What the caller sends.
    far
        What the caller hears at the same time, and sends back as echo.
    channel
        The channel of the file, from 1 on; needed where it has several.
    far_channel
        The channel of the far file.
    rate
        Samples a second of the path; files of another rate are resampled.
    codec
        opus needs libopus. Default: pcmu at 8000, l16 at any other rate.
    loss
        Share of packets lost: 10% or 0.1.
    burst
        Packets that a loss has on average.
    jitter
        Mean delay that packets have on top of the fastest, in ms.
    seed
        Another number is another network as bad.
    concealment
        What is heard of lost packets: pitch, simple, linear, spectral or silence.
    echo
        kalman, nlms, off, or an installed library's (speex, aec3). Default: kalman with --far.
    noise
        logmmse, spectral, off, or an installed library's (noisereduce, rnnoise, webrtc).
    strength
        Of the noise suppression, 0 to 1.
    output
        The page; default: the file's name with -inspected.html, in this folder.
    json
        Scores and counters as JSON.
    """
    # Here and not above: all of it needs numpy.
    from trunkline.media.network_pattern import NetworkPattern
    from trunkline.server.audio_page import InspectionOptions, inspect_audio, write_inspection

    options = InspectionOptions(
        path=path,
        far=far,
        channel=channel,
        far_channel=far_channel,
        rate_hz=rate,
        codec=codec,
        network=NetworkPattern(_share(loss), burst, jitter, seed),
        concealment=concealment,
        echo=echo,
        noise=noise,
        strength=strength,
    )
    page = output or Path(f"{path.stem}-inspected.html")
    inspection = inspect_audio(options)
    audio = write_inspection(inspection, page)
    if json:
        print_json({**inspection.plain(), "page": str(page), "output": str(audio)})
        return
    out = console()
    for score in inspection.scores:
        value = "–" if score.value is None else f"{score.value:.2f} {score.unit}"
        out.print(f"{score.label:<36} {value}".rstrip(), markup=False)
    out.print(f"The page is {page}, the audio {audio}", markup=False, soft_wrap=True)


def _share(written: str) -> float:
    """``10%`` or ``0.1``; a bare 10 could be meant either way."""
    number, percent = written.strip().removesuffix("%"), written.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"--loss is a share as 10% or 0.1, not {written!r}")
    return share
