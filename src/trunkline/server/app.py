"""What ``trunkline up`` runs: settings and a switchboard, joined to a node."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from trunkline.errors import MissingDependencyError, TrunklineError
from trunkline.settings import Settings

from .app_file import load_board
from .default_board import about, default_board
from .node import Node
from .talk import About

__all__ = ["cause_of", "run_node", "serve"]

Announce = Callable[[], Coroutine[Any, Any, None]]

log = logging.getLogger(__name__)


def run_node(
    settings: Settings, app: Path | None, reread: Callable[[], Settings] | None = None
) -> int:
    """Run a node until it is told to stop; the exit status.

    ``reread`` gives the settings as they are then, when the node is told to reload.

    Raises:
        TrunklineError: it cannot run as the settings say: a port is taken, say.
    """
    if app is not None:
        node = Node(settings, load_board(app), talk=About(), reread=reread)
    else:
        board = default_board(settings)
        node = Node(settings, board, talk=about(settings), reread=reread)
        with contextlib.suppress(MissingDependencyError):  # told when the engines are warmed
            node.engines.make()
    if settings.llm.url:
        _ = node.engines.llm
    if not node.board.routes:
        log.warning("%s answers no call: decorate an app with @board.answer()", app)
    return serve(node, lambda: _announce(node, warm=app is None))


def serve(node: Node, announce: Announce) -> int:
    """Run a node until SIGINT or SIGTERM; ``announce`` runs beside it.

    Raises:
        TrunklineError: the node could not be run.
    """
    try:
        return uvloop.run(_serve(node, announce))
    except BaseExceptionGroup as group:
        raise cause_of(group) from None


async def _serve(node: Node, announce: Announce) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, node.stop)
    if not os.isatty(0):  # else it means that the terminal was closed
        loop.add_signal_handler(signal.SIGHUP, node.reload_soon)
    async with asyncio.TaskGroup() as tasks:
        announcing = tasks.create_task(announce())
        await node.run()
        announcing.cancel()
    return 0


async def _announce(node: Node, *, warm: bool) -> None:
    """Say where the node is reached, once it is."""
    await node.ready.wait()
    settings, ports = node.settings, node.ports
    log.info("SIP: call sip:agent@%s:%d", settings.sip.host, ports.sip)
    if ports.sip_tls:
        log.info("SIP over TLS: port %d", ports.sip_tls)
    if ports.sip_websocket:
        log.info("SIP over WebSockets: port %d", ports.sip_websocket)
    if ports.streams:
        streams = settings.streams
        log.info("media streams: ws://%s:%d%s", streams.host, ports.streams, streams.path)
    if ports.http:
        log.info("to talk from a browser: http://%s:%d/", settings.http.host, ports.http)
    if warm:
        for problem in await node.engines.warm():
            log.warning("%s", problem)


def cause_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a user is told of, if it is one of our errors; else the group."""
    ours = group.subgroup(TrunklineError)
    inner: BaseException | None = ours
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner if inner is not None else group
