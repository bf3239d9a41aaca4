"""Where one class of response ends and the next begins, and transports that fail or keep."""

import pytest

from trunkline.sip.hop import Hop
from trunkline.sip.message import Request, Response, parse_message
from trunkline.sip.timers import TimerQueue
from trunkline.sip.transaction import (
    InviteClientTransaction,
    InviteServerTransaction,
    NonInviteClientTransaction,
    NonInviteServerTransaction,
    State,
    Timing,
    Transaction,
    client_key,
)

HOP = Hop("192.0.2.1", 5060)


class Layer:
    """What transactions need, in virtual time."""

    def __init__(self) -> None:
        self.timing, self.timers, self.now = Timing(), TimerQueue(), 0.0
        self.sent: list[bytes] = []
        self.forgotten: list[Transaction] = []
        self.told: list[int] = []

    def transmit(self, data: bytes, destination: Hop) -> None:
        self.sent.append(data.split(b"\r\n")[0])

    def forget(self, transaction: Transaction) -> None:
        self.forgotten.append(transaction)

    def until(self, end: float) -> None:
        while (due := self.timers.next_due()) is not None and due <= end:
            self.now = due
            self.timers.run(due)
        self.now = end

    def client(self, method: str, *, reliable: bool = False) -> InviteClientTransaction:
        kind = InviteClientTransaction if method == "INVITE" else NonInviteClientTransaction
        return kind(
            self, ("b", method), request(method), HOP, self.now,
            on_response=lambda response, now: self.told.append(response.code),
            on_failure=lambda code, now: self.told.append(-code), reliable=reliable,
        )  # fmt: skip

    def server(self, method: str, *, reliable: bool = False) -> InviteServerTransaction:
        kind = InviteServerTransaction if method == "INVITE" else NonInviteServerTransaction
        return kind(self, ("b",), request(method), HOP, reliable=reliable,
                    on_failure=lambda code, now: self.told.append(-code))  # fmt: skip


def request(method: str) -> Request:
    message = parse_message(
        f"{method} sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKx\r\n"
        f"From: <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\nCall-ID: i\r\nCSeq: 3 {method}\r\n\r\n".encode()
    )
    assert isinstance(message, Request)
    return message


def response(code: int, method: str = "INVITE") -> Response:
    return request(method).response(code, to_tag="t")


@pytest.mark.parametrize(
    ("code", "state", "acknowledged"),
    [(199, State.PROCEEDING, 0), (200, State.ACCEPTED, 0), (299, State.ACCEPTED, 0),
     (300, State.COMPLETED, 1), (699, State.COMPLETED, 1)],
)  # fmt: skip
def test_an_invite_is_moved_by_the_class_of_its_response(
    code: int, state: State, acknowledged: int
) -> None:
    layer = Layer()
    transaction = layer.client("INVITE")
    transaction.receive(response(code), 0.1)
    assert transaction.state is state
    assert sum(line.startswith(b"ACK") for line in layer.sent) == acknowledged
    assert layer.told == [code]


@pytest.mark.parametrize(
    ("code", "state"),
    [(199, State.PROCEEDING), (200, State.ACCEPTED), (299, State.ACCEPTED), (300, State.COMPLETED)],
)
def test_an_answer_moves_its_server_by_its_class(code: int, state: State) -> None:
    layer = Layer()
    transaction = layer.server("INVITE")
    assert not transaction.is_answered
    transaction.respond(response(code), 0.0)
    assert transaction.state is state
    assert transaction.is_answered == (code >= 200)


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_over_a_reliable_transport_a_refused_request_is_forgotten_at_once(method: str) -> None:
    layer = Layer()
    transaction = layer.client(method, reliable=True)
    transaction.receive(response(486, method), 0.0)
    layer.until(0.0)
    assert layer.forgotten == [transaction]


def test_over_a_reliable_transport_an_acknowledged_refusal_is_forgotten_at_once() -> None:
    layer = Layer()
    transaction = layer.server("INVITE", reliable=True)
    transaction.respond(response(486), 0.0)
    transaction.receive(request("ACK"), 0.0)
    layer.until(0.0)
    assert layer.forgotten == [transaction]


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_who_cannot_be_answered_is_reported_as_unreachable_once(method: str) -> None:
    layer = Layer()
    transaction = layer.server(method)
    transaction.respond(response(180 if method == "INVITE" else 100, method), 0.0)
    transaction.fail(0.1)
    transaction.fail(0.2)
    assert layer.told == [-503]
    assert layer.forgotten == [transaction]
    assert len(layer.timers) == 0


def test_a_response_belongs_to_the_request_with_its_branch_and_method() -> None:
    assert client_key(response(200)) == ("z9hG4bKx", "INVITE")
    assert client_key(response(200, "BYE")) == ("z9hG4bKx", "BYE")
