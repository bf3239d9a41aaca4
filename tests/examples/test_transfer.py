"""``examples/transfer.py``: callers are put through, by an agent and by a program."""

from typing import Any

from tests.interop.kit import RunningNode, until
from tests.interop.peer import Message, sdp, uri_of
from tests.speech.openai_server import calls, text

from trunkline.agent import ToolCalled
from trunkline.calls import CallTransferFailed, CallTransferred

from .conftest import Run, Telephone, Telephones
from .test_shop import model  # noqa: F401 - a fixture


def notify(phone: Telephone, line: str, state: str = "terminated;reason=noresource") -> None:
    """The caller's telephone says how the call stands that it was asked to place."""
    # The peer of these tests calls every body a session description; what it is, shows.
    fields = [("Event", "refer"), ("Subscription-State", state)]
    phone.call.request("NOTIFY", f"{line}\r\n".encode(), fields)
    assert phone.peer.receive(lambda m: m.code >= 200 and m.method == "NOTIFY").code == 200


def referred(phone: Telephone, code: int = 202) -> Message:
    """The node's REFER, answered."""
    refer = phone.peer.request("REFER", 10)
    phone.peer.respond(refer, code, tag="")
    return refer


def told(node: RunningNode) -> list[tuple[str, int]]:
    return [
        (event.target, event.code)
        for event in node.events
        if isinstance(event, CallTransferred | CallTransferFailed)
    ]


def test_the_agent_puts_the_caller_through(
    run: Run,
    telephone: Telephones,
    model: Any,  # noqa: F811
) -> None:
    server = model(
        text("Copper Street Cycles."),
        calls(("transfer", '{"to": "workshop"}')),
        text("I am sorry, nobody answers there."),
        calls(("transfer", '{"to": "sales"}')),
        text("I cannot reach them either."),
        calls(("transfer", '{"to": "workshop"}')),
        text("Goodbye."),
    )
    example = run("transfer.py", llm_url=f"{server.url}/v1", heard="the workshop please")
    phone = telephone(example)
    phone.dial()
    example.wait_said("Copper Street")
    until(phone.sounds)
    phone.speak(1.0)
    assert uri_of(referred(phone, 603)["refer-to"]) == "sip:workshop@127.0.0.1:5070"
    example.wait_said("I am sorry", 10)
    # A number elsewhere is not allowed on a node whose settings allow none.
    phone.speak(1.0)
    example.wait_said("I cannot reach", 10)
    used = [event.result for event in example.node.events if isinstance(event, ToolCalled)]
    assert "603" in used[0] and "could not be reached" in used[1]
    phone.speak(1.0)
    referred(phone)
    notify(phone, "SIP/2.0 200 OK")
    phone.wait_hung_up()
    assert told(example.node) == [
        ("sip:workshop@127.0.0.1:5070", 603), ("sip:workshop@127.0.0.1:5070", 200),
    ]  # fmt: skip


def test_a_caller_of_the_operator_is_told_when_there_is_none(
    run: Run, telephone: Telephones
) -> None:
    example = run("transfer.py")
    phone = telephone(example)
    phone.call.uri = phone.call.uri.replace("100@", "operator@")
    phone.call.target, phone.call.remote = phone.call.uri, f"<{phone.call.uri}>"
    phone.dial()
    referred(phone)
    notify(phone, "SIP/2.0 486 Busy Here")
    example.wait_said("The operator cannot be reached: 486")
    phone.wait_hung_up()


def test_whoever_is_called_here_may_hand_the_call_on(run: Run, telephone: Telephones) -> None:
    routes = {route.name: route.transfers for route in run("transfer.py").board.routes}
    assert routes == {"operator": False, "reception": True}


def test_the_agent_goes_on_with_whom_the_call_was_handed_to(
    run: Run,
    telephone: Telephones,
    model: Any,  # noqa: F811
) -> None:
    server = model(text("Copper Street Cycles."), text("And who are you?"))
    example = run("transfer.py", llm_url=f"{server.url}/v1", heard="hello")
    phone, carol = telephone(example), telephone(example)
    phone.dial()
    example.wait_said("Copper Street")
    until(phone.sounds)
    refer_to = f"<sip:carol@127.0.0.1:{carol.peer.port}>"
    phone.call.request("REFER", extra=[("Refer-To", refer_to)])
    invite = carol.peer.request("INVITE")
    carol.peer.respond(invite, 200, body=sdp(carol.media.port))
    carol.peer.request("ACK")
    carol.far = invite.media
    phone.hang_up()
    until(lambda: told(example.node))
    carol.speak(1.0)
    example.wait_said("And who are you?", 10)
    until(carol.sounds)
    (call,) = example.node.calls
    assert call.is_answered and call.party.callee == "carol"
    example.node.run(call.hangup())
    carol.wait_hung_up()
