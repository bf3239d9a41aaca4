"""The four machines of RFC 3261 section 17, in virtual time, against their figures."""

import pytest

from trunkline.sip.errors import StateError
from trunkline.sip.hop import Hop
from trunkline.sip.message import Request, Response, parse_message
from trunkline.sip.timers import TimerQueue
from trunkline.sip.transaction import (
    Cause,
    InviteClientTransaction,
    InviteServerTransaction,
    NonInviteClientTransaction,
    NonInviteServerTransaction,
    State,
    Timing,
    Transaction,
    server_key,
)

HOP = Hop("192.0.2.1", 5060)


class Bench:
    """A layer with a clock that tests turn."""

    def __init__(self) -> None:
        self.timing = Timing()
        self.timers = TimerQueue()
        self.now = 0.0
        self.sent: list[tuple[float, str]] = []
        self.forgotten: list[Transaction] = []
        self.responses: list[int] = []
        self.failures: list[int] = []

    def transmit(self, data: bytes, destination: Hop) -> None:
        assert destination == HOP
        self.sent.append((round(self.now, 3), data.decode().split(" ", 2)[0:2][-1].strip()
                          if data.startswith(b"SIP") else data.decode().split(" ")[0]))  # fmt: skip

    def forget(self, transaction: Transaction) -> None:
        self.forgotten.append(transaction)

    def until(self, end: float) -> None:
        while (due := self.timers.next_due()) is not None and due <= end:
            self.now = due
            self.timers.run(due)
        self.now = end

    def times(self, what: str) -> list[float]:
        return [when for when, said in self.sent if said == what]

    def client(self, method: str, reliable: bool = False) -> InviteClientTransaction:
        kind = InviteClientTransaction if method == "INVITE" else NonInviteClientTransaction
        return kind(
            self, ("b", method), request(method), HOP, self.now,
            on_response=lambda response, now: self.responses.append(response.code),
            on_failure=lambda code, now: self.failures.append(code), reliable=reliable,
        )  # fmt: skip

    def server(self, method: str, reliable: bool = False) -> InviteServerTransaction:
        kind = InviteServerTransaction if method == "INVITE" else NonInviteServerTransaction
        return kind(self, ("b",), request(method), HOP, reliable=reliable,
                    on_failure=lambda code, now: self.failures.append(code))  # fmt: skip


def request(method: str, extra: str = "", branch: str = "z9hG4bKx") -> Request:
    message = parse_message(
        f"{method} sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch={branch}\r\n"
        f"Route: <sip:p;lr>\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\nCall-ID: i\r\n"
        f"CSeq: 3 {method}\r\n{extra}\r\n".encode()
    )
    assert isinstance(message, Request)
    return message


def response(code: int, method: str = "INVITE") -> Response:
    return request(method).response(code, to_tag="t")


# INVITE client: figure 5 and RFC 6026.


def test_an_unanswered_invite_is_repeated_at_doubling_intervals_for_32_seconds() -> None:
    bench = Bench()
    transaction = bench.client("INVITE")
    bench.until(100)
    assert bench.times("INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.failures == [408]
    assert transaction.state is State.TERMINATED
    assert bench.forgotten == [transaction]


def test_a_provisional_stops_the_repetitions_and_timer_b() -> None:
    bench = Bench()
    transaction = bench.client("INVITE")
    bench.until(0.7)
    transaction.receive(response(100), 0.7)
    transaction.receive(response(180), 0.8)
    bench.until(1000)
    assert bench.times("INVITE") == [0, 0.5]
    assert bench.responses == [100, 180]
    assert transaction.state is State.PROCEEDING
    assert len(bench.timers) == 0


@pytest.mark.parametrize("first", [None, 180])
def test_a_refused_invite_is_acknowledged_each_time_for_32_seconds(first: int | None) -> None:
    bench = Bench()
    transaction = bench.client("INVITE")
    if first:
        transaction.receive(response(first), 0)
    for _ in range(3):
        transaction.receive(response(486), 0)
    assert bench.responses == ([180] if first else []) + [486]
    assert len(bench.times("ACK")) == 3
    bench.until(31.9)
    assert transaction.state is State.COMPLETED
    bench.until(32.1)
    assert bench.forgotten == [transaction]
    assert bench.times("INVITE") == [0]


def test_the_ack_of_a_refusal_is_made_of_the_invite_and_the_responses_to() -> None:
    bench, seen = Bench(), []
    transaction = bench.client("INVITE")
    bench.transmit = lambda data, destination: seen.append(parse_message(data))  # type: ignore
    transaction.receive(response(486), 0)
    (ack,) = seen
    assert isinstance(ack, Request)
    assert (ack.method, ack.uri) == ("ACK", "sip:b@h")
    assert ack.via.branch == "z9hG4bKx"
    assert len(ack.values("via")) == 1
    assert ack.to.tag == "t"
    assert str(ack.cseq) == "3 ACK"
    assert ack.values("route") == ["<sip:p;lr>"]


def test_every_2xx_is_passed_on_for_32_seconds() -> None:
    bench = Bench()
    transaction = bench.client("INVITE")
    transaction.receive(response(200), 0)
    bench.until(20)
    transaction.receive(response(200), 20)
    transaction.receive(response(486), 20)  # too late for that
    assert bench.responses == [200, 200]
    assert transaction.state is State.ACCEPTED
    bench.until(32)
    assert bench.forgotten == [transaction]
    assert not bench.times("ACK")


def test_an_invite_that_cannot_be_sent_fails_with_503() -> None:
    bench = Bench()
    transaction = bench.client("INVITE")
    transaction.fail(0)
    transaction.fail(0)
    assert bench.failures == [503]
    assert bench.forgotten == [transaction]
    assert len(bench.timers) == 0


def test_nothing_is_repeated_over_a_reliable_transport() -> None:
    bench = Bench()
    bench.client("INVITE", reliable=True)
    bench.client("BYE", reliable=True)
    bench.until(31)
    assert len(bench.sent) == 2
    bench.until(33)
    assert bench.failures == [408, 408]


# Non-INVITE client: figure 6.


def test_an_unanswered_request_is_repeated_at_most_every_four_seconds() -> None:
    bench = Bench()
    bench.client("BYE")
    bench.until(100)
    assert bench.times("BYE") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.failures == [408]


def test_a_provisional_slows_the_repetitions_to_four_seconds_but_does_not_stop_the_end() -> None:
    bench = Bench()
    transaction = bench.client("BYE")
    transaction.receive(response(100, "BYE"), 0.1)
    bench.until(100)
    assert bench.times("BYE") == [0, 0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert bench.failures == [408]
    assert bench.responses == [100]


@pytest.mark.parametrize("code", [200, 481])
def test_a_final_answer_is_passed_on_once_and_remembered_for_t4(code: int) -> None:
    bench = Bench()
    transaction = bench.client("BYE")
    for _ in range(3):
        transaction.receive(response(code, "BYE"), 0)
    assert bench.responses == [code]
    bench.until(4.9)
    assert not bench.forgotten
    bench.until(5.1)
    assert bench.forgotten == [transaction]


# INVITE server: figure 7 and RFC 6026.


def test_a_repeated_invite_gets_the_last_provisional_again() -> None:
    bench = Bench()
    transaction = bench.server("INVITE")
    transaction.receive(request("INVITE"), 0)  # nothing to say yet
    transaction.respond(response(100), 0)
    transaction.respond(response(180), 0)
    transaction.receive(request("INVITE"), 1)
    assert [what for _, what in bench.sent] == ["100", "180", "180"]


def test_a_refusal_is_repeated_until_its_ack_and_then_absorbed_for_t4() -> None:
    bench = Bench()
    transaction = bench.server("INVITE")
    transaction.respond(response(486), 0)
    bench.until(8)
    assert bench.times("486") == [0, 0.5, 1.5, 3.5, 7.5]
    transaction.receive(request("INVITE"), 8)
    assert bench.times("486")[-1] == 8
    transaction.receive(request("ACK"), 8.2)
    assert transaction.state is State.CONFIRMED
    transaction.receive(request("INVITE"), 9)
    transaction.receive(request("ACK"), 9)
    bench.until(13.3)
    assert len(bench.times("486")) == 6
    assert bench.forgotten == [transaction]
    assert bench.failures == []


def test_a_refusal_nobody_acknowledges_is_given_up_after_32_seconds() -> None:
    bench = Bench()
    bench.server("INVITE").respond(response(486), 0)
    bench.until(40)
    assert bench.times("486") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.failures == [408]
    assert len(bench.forgotten) == 1


def test_an_accepted_invite_is_absorbed_and_its_2xx_is_the_users_to_repeat() -> None:
    bench = Bench()
    transaction = bench.server("INVITE")
    transaction.respond(response(200), 0)
    transaction.receive(request("INVITE"), 1)
    transaction.receive(request("ACK"), 1)
    assert bench.times("200") == [0]
    transaction.repeat()
    assert len(bench.times("200")) == 2
    bench.until(32)
    assert bench.forgotten == [transaction]
    transaction.repeat()
    assert len(bench.times("200")) == 2


def test_a_second_final_answer_is_our_mistake() -> None:
    bench = Bench()
    transaction = bench.server("INVITE")
    transaction.respond(response(486), 0)
    with pytest.raises(StateError, match="2xx from user in state completed"):
        transaction.respond(response(200), 0)


# Non-INVITE server: figure 8.


def test_a_repeated_request_gets_its_answer_again_for_32_seconds() -> None:
    bench = Bench()
    transaction = bench.server("BYE")
    transaction.receive(request("BYE"), 0)
    assert bench.sent == []
    transaction.respond(response(100, "BYE"), 0)
    transaction.receive(request("BYE"), 1)
    transaction.respond(response(200, "BYE"), 2)
    bench.until(30)
    transaction.receive(request("BYE"), 30)
    assert [what for _, what in bench.sent] == ["100", "100", "200", "200"]
    bench.until(34.1)
    assert bench.forgotten == [transaction]


def test_over_a_reliable_transport_answers_are_not_remembered() -> None:
    bench = Bench()
    bench.server("BYE", reliable=True).respond(response(200, "BYE"), 0)
    bench.until(0)
    assert len(bench.forgotten) == 1


# All of them.


@pytest.mark.parametrize(
    "kind",
    [InviteClientTransaction, NonInviteClientTransaction, InviteServerTransaction,
     NonInviteServerTransaction],
)  # fmt: skip
def test_the_tables_lead_from_the_first_state_to_the_last(kind: type[Transaction]) -> None:
    starts = {state for state, _ in kind.TABLE}
    ends = {state for state, _ in kind.TABLE.values()}
    assert State.TERMINATED in ends
    assert State.TERMINATED not in starts
    assert ends - {State.TERMINATED} <= starts
    for _, actions in kind.TABLE.values():
        assert all(hasattr(kind, action.value) for action in actions)
    for state in starts:
        assert (state, Cause.TRANSPORT_ERROR) in kind.TABLE


@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_a_dropped_transaction_leaves_nothing_running(method: str) -> None:
    bench = Bench()
    for transaction in (bench.client(method), bench.server(method)):
        transaction.drop()
        transaction.drop()
    assert len(bench.forgotten) == 2
    assert len(bench.timers) == 0


# Matching: sections 17.1.3 and 17.2.3.


def test_an_ack_and_a_cancel_find_their_invite_by_its_branch() -> None:
    invite = request("INVITE")
    assert server_key(request("ACK")) == server_key(invite)
    assert server_key(request("CANCEL"), "INVITE") == server_key(invite)
    assert server_key(request("CANCEL")) != server_key(invite)
    assert server_key(invite, transport="TCP") != server_key(invite)
    assert server_key(request("INVITE", branch="z9hG4bKy")) != server_key(invite)
    other = bytes(invite).replace(b"Call-ID: ", b"Call-ID: another-")
    assert server_key(parse_message(other)) != server_key(invite)  # type: ignore[arg-type]


@pytest.mark.parametrize("branch", ["1", "", "z9hG4bK"])
def test_peers_without_a_unique_branch_are_told_apart_by_everything_else(branch: str) -> None:
    invite = request("INVITE", branch=branch)
    assert server_key(request("ACK", branch=branch)) == server_key(invite)
    other = parse_message(bytes(invite).replace(b"Call-ID: i", b"Call-ID: j"))
    assert isinstance(other, Request)
    assert server_key(other) != server_key(invite)
