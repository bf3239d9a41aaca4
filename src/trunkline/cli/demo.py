"""``trunkline demo``: a whole phone call on this machine."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

__all__ = ["demo"]


def demo(
    *,
    folder: Path = Path("demo-output"),
    voice: Literal["best", "flite", "espeak"] = "best",
    json: Annotated[bool, Parameter(negative=())] = False,
    log_level: Literal["debug", "info", "warning", "error"] = "error",
) -> int:
    """Play a whole phone call on this machine.

    It goes through real SIP and RTP on loopback. A synthetic caller talks to an agent,
    interrupts it once, and asks for something that needs a tool. Shows who speaks, what
    was recognised and where the agent was cut off; then latency, quality, the recording
    and a page of the call. Exit status 0 only if the conversation went as it should.

    Example: `trunkline demo --folder /tmp/call`

    Parameters
    ----------
    folder
        Where the recording, the record and the page go.
    voice
        Who speaks, for both sides; best is flite where the system has it, else espeak-ng.
    json
        The outcome as JSON.
    log_level
        Of the log on standard error.
    """
    from trunkline.server.demo import DemoOptions, run_demo

    return run_demo(DemoOptions(folder=folder, voice=voice, json=json, log_level=log_level))
