"""What ``trunkline up`` runs: settings and a switchboard, joined to a node."""

import asyncio
import logging
import signal
from pathlib import Path

import uvloop

from trunkline.errors import MissingDependencyError
from trunkline.settings import Settings

from .app_file import load_board
from .engines import default_board
from .node import Node

__all__ = ["run_node"]

log = logging.getLogger(__name__)


def run_node(settings: Settings, app: Path | None) -> int:
    """Run a node until it is told to stop; the exit status."""
    board = load_board(app) if app is not None else default_board(settings)
    return uvloop.run(_serve(Node(settings, board), warm=app is None))


async def _serve(node: Node, *, warm: bool) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, node.stop)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_announce(node, warm=warm))
        await node.run()
    return 0


async def _announce(node: Node, *, warm: bool) -> None:
    """Say where the node is reached, once it is."""
    await node.ready.wait()
    host = node.settings.sip.host
    log.info("SIP: call sip:agent@%s:%d", host, node.ports.sip)
    if node.ports.streams:
        streams = node.settings.streams
        log.info("media streams: ws://%s:%d%s", streams.host, node.ports.streams, streams.path)
    if not warm:
        return
    try:
        await node.engines.warm()
    except MissingDependencyError as error:
        log.warning("%s", error)
