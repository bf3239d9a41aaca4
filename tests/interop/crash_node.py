"""A node to be killed: echoes, records, prints its port. ``crash_node.py FOLDER FORMAT``."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from trunkline.calls.apps import echo
from trunkline.calls.switchboard import Switchboard
from trunkline.server.node import Node
from trunkline.settings import Media, Recording, Records, Settings, Sip


async def main(folder: Path, format: Any) -> None:
    board = Switchboard()
    board.answer("*")(echo)
    settings = Settings(
        sip=Sip(port=0),
        media=Media(first_port=59_000, last_port=59_998),
        records=Records(path=folder / "calls.db"),
        recording=Recording(enabled=True, folder=folder / "recordings", format=format),
    )
    node = Node(settings, board, streams=False)
    running = asyncio.create_task(node.run())
    await node.ready.wait()
    print(node.ports.sip, flush=True)
    await running


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
