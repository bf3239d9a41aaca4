"""A menu for the keys of a telephone, which may be pressed before the question is over.

trunkline up examples/menu.py
"""

import asyncio

from trunkline import Call, Switchboard, echo

board = Switchboard()

MENU = "For our opening hours press one. For our address press two. To hear yourself press zero."
ANSWERS = {
    "1": "We are open from eight to six, on weekdays.",
    "2": "You find us at 12 Copper Street.",
}


@board.answer("*")
async def menu(call: Call) -> None:
    for _ in range(3):
        key = await ask(call, MENU)
        if key == "0":
            await echo(call)
        else:
            await call.say(ANSWERS.get(key, "There is nothing behind that key."))
    await call.say("Goodbye.")


async def ask(call: Call, question: str) -> str:
    """Say a question and wait for a key; the question stops as soon as one comes."""
    asking = asyncio.create_task(call.say(question))
    try:
        return await call.next_digit(timeout=15)
    except TimeoutError:
        return ""
    finally:
        asking.cancel()
        await asyncio.gather(asking, call.stop_playing(), return_exceptions=True)
