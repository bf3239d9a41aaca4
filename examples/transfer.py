"""A receptionist that puts callers through, and lets the people it calls hand calls on.

trunkline up examples/transfer.py --llm http://127.0.0.1:11434/v1 --model llama3.2

Numbers elsewhere than on this machine need `outbound.allowed_prefixes` in trunkline.toml:
whom the agent may put callers through to is written here, whom the node may call is there.
"""

from trunkline import Agent, Call, Switchboard, TransferError

board = Switchboard()

agent = Agent(
    "You are the receptionist of a bicycle shop. Say whom you put the caller through to.",
    transfers={"workshop": "sip:workshop@127.0.0.1:5070", "sales": "+4930123456"},
)


@board.answer("operator")
async def operator(call: Call) -> None:
    try:
        await call.transfer("sip:operator@127.0.0.1:5070", timeout=20)
    except TransferError as error:
        await call.say(f"The operator cannot be reached: {error.code}.")


@board.answer("*", transfers=True)
async def reception(call: Call) -> None:
    await agent.talk(call)
