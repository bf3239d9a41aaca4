"""A bot for stream_to_bot.py: waits until the caller has finished, and says the same again.

.venv/bin/pip install websockets
.venv/bin/python examples/bot.py
"""

import array
import asyncio
import os

from websockets.asyncio.server import ServerConnection, serve

LOUD = 500
"""Samples are 16 bits; on a telephone line, silence stays below this."""


async def parrot(call: ServerConnection) -> None:
    heard, quiet = bytearray(), 0
    async for message in call:
        if isinstance(message, str):  # JSON: the call's start and end, keys, marks
            continue
        loud = max(map(abs, array.array("h", message)), default=0) > LOUD
        quiet = 0 if loud else quiet + 1
        if loud or heard:
            heard += message
        if heard and quiet == 25:  # 25 frames of 20 ms: half a second of silence
            await call.send(bytes(heard))
            heard.clear()


async def main() -> None:
    async with serve(parrot, "127.0.0.1", int(os.environ.get("BOT_PORT", "9000"))) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
