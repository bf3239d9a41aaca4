"""``trunkline up``: run a node."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from trunkline.calls.records import RecordStore
from trunkline.server.recovery import recover
from trunkline.server.supervisor import Policy, Supervisor, follow_supervisor
from trunkline.settings import Settings, check

from .arguments import Common, app_file, arguments, settled

__all__ = ["up"]


def up(
    app: Path | None = None,
    /,
    *,
    common: Common | None = None,
    llm: str | None = None,
    model: str | None = None,
    host: str | None = None,
    sip_port: int | None = None,
    stream_port: int | None = None,
    http_port: int | None = None,
    record: bool | None = None,
    log_level: str | None = None,
    supervisor: bool = True,
) -> int:
    """Run a node: answer calls until it is stopped.

    Without a file the agent of the settings answers every call.

    Examples: `trunkline up`, `trunkline up shop.py --sip-port 5070`,
    `trunkline up --llm http://127.0.0.1:11434/v1 --model llama3.2`

    Parameters
    ----------
    app
        A Python file with a `Switchboard`, as in examples/.
    llm
        The base URL of an OpenAI-compatible language model (llm.url).
    model
        That model's name (llm.model).
    host
        The address for SIP and media (sip.host, media.host).
    sip_port
        The UDP port for SIP (sip.port).
    stream_port
        The TCP port for media streams (streams.port).
    http_port
        The TCP port for the web pages (http.port).
    record
        Record calls (recording.enabled).
    log_level
        debug, info, warning or error (log.level).
    supervisor
        Start the node again if it dies; without, it runs in this process.
    """
    flags = {
        "llm.url": llm,
        "llm.model": model,
        "sip.host": host,
        "media.host": host,
        "sip.port": sip_port,
        "streams.port": stream_port,
        "http.port": http_port,
        "recording.enabled": record,
        "log.level": log_level,
    }

    def reread() -> Settings:
        again = (common or Common()).load(flags).settings
        check(again)
        return again

    with settled(common, flags) as settings:
        app = app_file(app)
        return _supervise(settings) if supervisor else _run(settings, app, reread)


def _supervise(settings: Settings) -> int:
    store = RecordStore(settings.records.path, node=settings.node.name)
    same = [token for token in arguments() if token != "--supervisor"]
    command = [sys.executable, "-m", "trunkline", *same, "--no-supervisor"]
    return Supervisor(
        command,
        after_crash=lambda: recover(store, time.time(), settings.recording.folder),
        policy=Policy(drain_seconds=settings.node.drain_seconds),
    ).run()


def _run(settings: Settings, app: Path | None, reread: Callable[[], Settings]) -> int:
    follow_supervisor(os.environ)
    # Here and not above: the supervisor needs none of numpy, uvloop and the models.
    from trunkline.server.app import run_node

    return run_node(settings, app, reread)
