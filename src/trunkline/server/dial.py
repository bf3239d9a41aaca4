"""What ``trunkline call`` runs: one call out, with an agent or an app on it."""

import asyncio
import contextlib
from pathlib import Path

import uvloop

from trunkline.calls.call import Call
from trunkline.calls.errors import DialError
from trunkline.calls.record import CallRecord
from trunkline.calls.records import RecordStore
from trunkline.calls.switchboard import App, Switchboard
from trunkline.errors import UsageError
from trunkline.settings import Settings

from .app import cause_of
from .app_file import load_board
from .default_board import default_board
from .node import Node

__all__ = ["place_call"]


def place_call(
    settings: Settings,
    target: str,
    *,
    app_path: Path | None = None,
    caller: str = "",
    ring_seconds: float = 30.0,
) -> CallRecord:
    """Call somebody, let the app talk, and return the call's record when it is over.

    Without an app file the agent of the settings talks. Raises `OutboundDeniedError`
    for a target that is not allowed, and `UsageError` for one that is no address.
    """
    board = load_board(app_path) if app_path is not None else default_board(settings)
    if not board.routes:
        raise UsageError(f"{app_path} has no app: decorate one with @board.answer()")
    app = board.routes[0].app if app_path is not None else board.routes[-1].app
    try:
        call_id = uvloop.run(_place(settings, board, app, target, caller, ring_seconds))
    except BaseExceptionGroup as group:
        raise cause_of(group) from None
    return RecordStore(settings.records.path).get(call_id)


async def _place(
    settings: Settings, board: Switchboard, app: App, target: str, caller: str, ring: float
) -> str:
    """Place the call on a node that takes none; returns its id."""
    node = Node(settings, board, streams=False)
    placed: list[Call] = []
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(node.run())
        ready = asyncio.ensure_future(node.ready.wait())
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        try:
            with contextlib.suppress(DialError):
                call = await board.dial(
                    target, caller=caller, app=app, timeout=ring, placed=placed.append
                )
                await call.wait_ended()
        finally:
            node.stop()
    return placed[0].id
