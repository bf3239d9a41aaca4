"""A small office: callers are put through, 9 lets the boss listen and whisper.

trunkline up examples/bridge.py     (the desks' addresses are in DESKS)
"""

import os

from trunkline import Bridge, BridgeOptions, Call, Switchboard, bridge_of, bridge_to

DESKS = os.environ.get("DESKS", "sip:anna@127.0.0.1:5070 sip:ben@127.0.0.1:5080").split()

board = Switchboard()

# Both telephones ring; whoever answers first has the call. Who waits hears music.
ring_all = bridge_to(*DESKS, timeout=30, options=BridgeOptions(hold="music"))
board.answer("100")(ring_all)


def busiest() -> Bridge | None:
    """The bridge that was begun first."""
    bridges = (bridge_of(call) for call in board.calls.values())
    return next((one for one in bridges if one is not None), None)


@board.answer("9")
async def supervise(call: Call) -> None:
    """1 listens, 2 whispers to our side, 3 talks with both, # leaves."""
    joined = busiest()
    if joined is None:
        return
    await joined.listen(call)
    while not joined.is_over:
        match await call.next_digit():
            case "1":
                await joined.listen(call)
            case "2":
                await joined.whisper(call, to=joined.sides[1])
            case "3":
                await joined.barge(call)
            case "#":
                return
