"""A bicycle shop's agent: talks, looks up repairs, and hangs up when the caller is done.

trunkline up examples/shop.py --llm http://127.0.0.1:11434/v1 --model llama3.2
"""

from trunkline import Agent, Call, Switchboard

board = Switchboard()
repairs = {"9320": "ready", "3902": "ready on Friday"}


def repair_status(ticket: str) -> str:
    """Look up whether a repair is ready; `ticket` is the four digits on the slip."""
    return repairs.get(ticket, "there is no such ticket")


agent = Agent("You answer for a bicycle shop. Be brief.", tools=[repair_status])


@board.answer("*")
async def shop(call: Call) -> None:
    await agent.talk(call)
