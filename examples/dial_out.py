"""Place a call, say something, and take an answer: a program that brings its own node.

python examples/dial_out.py sip:reception@127.0.0.1:5070
"""

import asyncio
import sys

from trunkline import Call, DialError, OutboundDeniedError, Switchboard
from trunkline.server import Node
from trunkline.settings import Settings, Sip

board = Switchboard()


@board.answer("*")
async def remind(call: Call) -> None:
    await call.say("Your bicycle is ready. Press one if you are coming today.")
    try:
        coming = await call.next_digit(timeout=15) == "1"
    except TimeoutError:
        coming = False
    await call.say("See you later, then." if coming else "Come when it suits you.")


async def main(target: str) -> None:
    node = Node(Settings(sip=Sip(port=0)), board, streams=False)  # port 0: any that is free
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(node.run())
        await node.ready.wait()
        try:
            call = await board.dial(target, app=remind, timeout=30)
            end = await call.wait_ended()
            print(f"{end.reason} by {end.by}")
        except (DialError, OutboundDeniedError) as error:
            print(error)
        finally:
            node.stop()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("who to call: python examples/dial_out.py sip:reception@127.0.0.1:5070")
    asyncio.run(main(sys.argv[1]))
