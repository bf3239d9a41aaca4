"""Speak before answering: callers outside opening hours hear why, and pay nothing for it.

trunkline up examples/early_media.py
"""

from datetime import datetime

from trunkline import Call, Switchboard

board = Switchboard()


@board.answer("*", early=True)
async def reception(call: Call) -> None:
    await call.ring()
    if not is_open(datetime.now()):
        await call.early_media()
        await call.say("We are closed. Please call on a weekday, between eight and six.")
        await call.reject(480, "Closed")
        return
    await call.answer()
    await call.say("Good day. All our people are busy. Please call again.")


def is_open(now: datetime) -> bool:
    return now.weekday() < 5 and 8 <= now.hour < 18
