"""Failover: one request over several targets, and everything that may come too late."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from trunkline.sip.core import Settings
from trunkline.sip.digest import Credentials
from trunkline.sip.events import Accepted, Confirmed, Rejected, Send, Terminated
from trunkline.sip.hop import Hop
from trunkline.sip.message import Request, Response, parse_message
from trunkline.sip.outbound import Invitation
from trunkline.sip.session import Session, SessionState
from trunkline.sip.testing import ANSWER, OFFER
from trunkline.sip.user_agent import UserAgent

NAME = "sip.example.com"
FIRST, SECOND, THIRD = (Hop(f"192.0.2.{n}", 5060, name=NAME) for n in (1, 2, 3))


class Fake:
    """A carrier whose names lead where the test says, at once or when it says."""

    def __init__(self, targets: Sequence[Hop]) -> None:
        self.targets = list(targets)
        self.later = False
        self.waiting: list[Callable[..., None]] = []
        self.keys: list[str] = []
        self.silent: list[Hop] = []
        self.open = True

    def locate(self, hop: Hop, key: str, then: Any) -> None:
        self.keys.append(key)
        if self.later:
            self.waiting.append(then)
        else:
            then(self.targets, 0.0)

    def our_address(self, hop: Hop) -> str:
        return ""

    def is_open(self, hop: Hop) -> bool:
        return self.open

    def went_silent(self, hop: Hop, since: float) -> None:
        self.silent.append(hop)


class World:
    def __init__(self, *targets: Hop, **settings: Any) -> None:
        self.carrier = Fake(targets)
        self.agent = UserAgent(
            Settings("10.0.0.1", **settings), random.Random(1), None, self.carrier
        )
        self.now = 0.0
        self.events: list[Any] = []

    def call(self, target: str = f"sip:bob@{NAME}", **more: Any) -> Session:
        invitation = Invitation(target, "sip:us@10.0.0.1", OFFER, **more)
        return self.agent.invite(invitation, self.now)

    def sent(self) -> list[tuple[Hop, Request]]:
        """What was sent since the last time, of requests."""
        found = []
        for output in self.agent.drain():
            if isinstance(output, Send):
                message = parse_message(output.data)
                if isinstance(message, Request):
                    found.append((output.destination, message))
            else:
                self.events.append(output)
        return found

    def one(self, method: str) -> tuple[Hop, Request]:
        (found,) = self.sent()
        assert found[1].method == method
        return found

    def answer(
        self, request: Request, source: Hop, code: int, tag: str = "far", **more: Any
    ) -> None:
        response = request.response(code, to_tag=tag if code > 100 else "", **more)
        if code == 200 and request.method == "INVITE":
            contact = ("Contact", f"<sip:{source.host}>")
            kind = ("Content-Type", "application/sdp")
            response = Response(200, "OK", [*response.headers, contact, kind], ANSWER)
        self.agent.receive(bytes(response), source, self.now)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.agent.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.agent.tick(self.now)
        self.now = end

    def of(self, kind: type) -> list[Any]:
        self.sent()
        return [event for event in self.events if isinstance(event, kind)]


def test_a_name_is_looked_up_and_its_first_target_called() -> None:
    world = World(FIRST, SECOND)
    session = world.call()
    hop, request = world.one("INVITE")
    assert hop == FIRST
    assert request.uri == f"sip:bob@{NAME}"
    assert world.carrier.keys == [session.call_id]


def test_503_is_acknowledged_and_the_next_target_gets_a_new_branch() -> None:
    world = World(FIRST, SECOND)
    world.call()
    _, first = world.one("INVITE")
    world.answer(first, FIRST, 503)
    (ack_to, ack), (second_to, second) = world.sent()
    assert (ack_to, ack.method, ack.via.branch) == (FIRST, "ACK", first.via.branch)
    assert (second_to, second.method) == (SECOND, "INVITE")
    assert second.via.branch != first.via.branch
    assert len(second.all("via")) == 1
    assert (second.call_id, second.cseq, second.from_.tag) == (
        first.call_id,
        first.cseq,
        first.from_.tag,
    )
    world.answer(first, FIRST, 503)  # again: our ACK was lost
    ack_to, ack = world.one("ACK")
    assert (ack_to, ack.via.branch) == (FIRST, first.via.branch)
    world.answer(second, SECOND, 200)
    assert len(world.of(Accepted)) == len(world.of(Confirmed)) == 1


@pytest.mark.parametrize("code", [404, 408, 480, 486, 500, 600, 603])
def test_every_other_answer_is_the_answer(code: int) -> None:
    world = World(FIRST, SECOND)
    world.call()
    world.answer(world.one("INVITE")[1], FIRST, code)
    (rejected,) = world.of(Rejected)
    assert rejected.code == code


def test_the_last_503_is_told() -> None:
    world = World(FIRST, SECOND)
    world.call()
    for target in (FIRST, SECOND):
        invite = next(one for _, one in world.sent() if one.method == "INVITE")
        world.answer(invite, target, 503)
    (rejected,) = world.of(Rejected)
    assert rejected.code == 503


def test_a_target_that_is_silent_is_left_after_four_seconds() -> None:
    world = World(FIRST, SECOND)
    world.call()
    world.sent()
    world.wait(3.9)
    assert {hop for hop, _ in world.sent()} == {FIRST}
    world.wait(0.2)
    assert world.one("INVITE")[0] == SECOND
    world.wait(20)
    assert {hop for hop, _ in world.sent()} == {SECOND}  # and is not repeated to the first


def test_a_provisional_answer_is_a_sign_of_life() -> None:
    world = World(FIRST, SECOND)
    world.call()
    world.answer(world.one("INVITE")[1], FIRST, 100)
    world.wait(60)
    assert not world.sent()


def test_a_transport_error_goes_on_at_once() -> None:
    world = World(FIRST, SECOND)
    world.call()
    world.sent()
    world.agent.unreachable(FIRST, 0.0)
    assert world.one("INVITE")[0] == SECOND
    world.agent.unreachable(SECOND, 0.0)
    (rejected,) = world.of(Rejected)
    assert rejected.code == 503 and len(world.of(Terminated)) == 1


def test_who_failed_is_tried_last_by_the_next_call() -> None:
    world = World(FIRST, SECOND)
    world.call()
    world.sent()
    world.agent.unreachable(FIRST, 0.0)
    world.sent()
    world.call()
    assert world.one("INVITE")[0] == SECOND


def test_how_long_a_target_may_be_silent_can_be_asked_for() -> None:
    world = World(FIRST, SECOND)
    world.call(no_response_seconds=1.0)
    world.sent()
    world.wait(1.1)
    assert SECOND in {hop for hop, _ in world.sent()}
    world.wait(1.1)
    (rejected,) = world.of(Rejected)
    assert rejected.code == 408


def test_a_lone_address_can_be_given_up_early_too() -> None:
    world = World()
    world.call("sip:bob@192.0.2.9", no_response_seconds=1.0)
    world.sent()
    world.wait(1.1)
    assert [event.code for event in world.of(Rejected)] == [408]
    world.wait(40)
    assert world.agent.live["client transactions"] == 0


def test_an_answer_after_we_have_given_up_is_hung_up() -> None:
    world = World()
    world.call("sip:bob@192.0.2.9", no_response_seconds=1.0)
    hop, invite = world.one("INVITE")
    world.wait(1.1)
    assert len(world.of(Terminated)) == 1
    world.answer(invite, hop, 180)
    assert world.one("CANCEL")[1].via.branch == invite.via.branch
    world.answer(invite, hop, 200)
    assert [one.method for _, one in world.sent()] == ["ACK", "BYE"]
    assert len(world.of(Terminated)) == 1


def test_a_name_that_leads_nowhere_fails_the_call() -> None:
    world = World()
    session = world.call()
    assert not session.is_terminated  # not before the caller is back
    world.wait(0.01)
    assert [event.code for event in world.of(Rejected)] == [503]
    assert world.agent.counters["name not found"] == 1


def test_hanging_up_while_the_name_is_looked_up_sends_nothing() -> None:
    world = World(FIRST)
    world.carrier.later = True
    session = world.call()
    world.agent.end(session, 0.0)
    world.carrier.waiting[0]([FIRST], 1.0)
    world.wait(1)
    assert not world.sent()
    assert len(world.of(Terminated)) == 1
    assert world.agent.live["sessions"] == 0


def test_hanging_up_while_a_target_is_silent_tries_no_other() -> None:
    world = World(FIRST, SECOND)
    session = world.call()
    world.sent()
    world.agent.end(session, 0.0)
    world.wait(10)
    assert SECOND not in {hop for hop, _ in world.sent()}


def test_a_late_answer_of_a_target_given_up_wins_and_the_other_is_cancelled() -> None:
    world = World(FIRST, SECOND)
    session = world.call()
    _, first = world.one("INVITE")
    world.wait(4.1)
    second = next(one for hop, one in world.sent() if hop == SECOND)
    world.answer(second, SECOND, 180)
    world.answer(first, FIRST, 200, tag="one")
    sent = world.sent()
    assert session.state is SessionState.CONFIRMED
    methods = [(hop.host, one.method) for hop, one in sent]
    assert methods == [(SECOND.host, "CANCEL"), (FIRST.host, "ACK")]
    assert sent[0][1].via.branch == second.via.branch
    world.answer(second, SECOND, 487)
    assert session.state is SessionState.CONFIRMED
    assert len(world.of(Accepted)) == 1


def test_two_answers_leave_one_call() -> None:
    world = World(FIRST, SECOND)
    world.call()
    _, first = world.one("INVITE")
    world.wait(4.1)
    second = next(one for hop, one in world.sent() if hop == SECOND)
    world.answer(second, SECOND, 200, tag="two")
    world.answer(first, FIRST, 200, tag="one")
    methods = [(hop.host, one.method) for hop, one in world.sent()]
    assert methods == [(SECOND.host, "ACK"), (FIRST.host, "ACK"), (FIRST.host, "BYE")]
    assert len(world.of(Accepted)) == 1


def test_a_target_given_up_that_begins_to_ring_is_cancelled_once() -> None:
    world = World(FIRST, SECOND)
    world.call()
    _, first = world.one("INVITE")
    world.wait(4.1)
    world.sent()
    world.answer(first, FIRST, 180)
    hop, cancel = world.one("CANCEL")
    assert (hop, cancel.via.branch) == (FIRST, first.via.branch)
    world.answer(first, FIRST, 180)
    assert not world.sent()


def test_a_cancel_waits_for_the_new_target_to_say_something() -> None:
    world = World(FIRST, SECOND)
    session = world.call()
    _, first = world.one("INVITE")
    world.answer(first, FIRST, 100)
    world.answer(first, FIRST, 503)
    second = world.sent()[-1][1]
    world.agent.end(session, 0.0)
    assert not world.sent()
    world.answer(second, SECOND, 180)
    assert world.one("CANCEL")[0] == SECOND


def test_a_password_is_given_to_the_target_that_asked() -> None:
    world = World(FIRST, SECOND)
    world.call(credentials=[Credentials("us", "pw")])
    _, first = world.one("INVITE")
    world.answer(first, FIRST, 503)
    second = world.sent()[-1][1]
    challenge = ("WWW-Authenticate", 'Digest realm="x", nonce="n"')
    world.answer(second, SECOND, 401, headers=[challenge])
    hop, again = world.sent()[-1]
    assert hop == SECOND and again.get("authorization") is not None


def test_bye_fails_over_as_well() -> None:
    world = World(FIRST, SECOND)
    session = world.call()
    _, invite = world.one("INVITE")
    response = invite.response(200, to_tag="far")
    headers = [
        *response.headers,
        ("Contact", f"<sip:bob@{NAME}>"),
        ("Content-Type", "application/sdp"),
    ]
    world.agent.receive(bytes(Response(200, "OK", headers, ANSWER)), FIRST, 0.0)
    assert world.one("ACK")[0] == FIRST
    world.agent.end(session, 0.0)
    assert world.one("BYE")[0] == FIRST
    world.agent.unreachable(FIRST, 0.0)
    hop, bye = world.one("BYE")
    assert hop == SECOND
    world.answer(bye, SECOND, 200)
    assert len(world.of(Terminated)) == 1
    world.wait(40)
    assert world.agent.live["client transactions"] == world.agent.live["timers"] == 0


# -- long requests -------------------------------------------------------------------------

LONG = [("X-Long", "y" * 1200)]
PORTS = {"ports": {"TCP": 5060}}


def test_a_long_request_goes_over_tcp_and_says_so() -> None:
    world = World(**PORTS)
    world.call("sip:bob@192.0.2.9", headers=LONG)
    hop, request = world.one("INVITE")
    assert hop.transport == request.via.transport == "TCP"
    assert request.get("contact") == "<sip:10.0.0.1:5060;transport=tcp>"


def test_where_tcp_is_refused_it_goes_over_udp_after_all() -> None:
    world = World(**PORTS)
    world.call("sip:bob@192.0.2.9", headers=LONG)
    hop, first = world.one("INVITE")
    world.agent.unreachable(hop._replace(flow=3), 0.0)
    hop, request = world.one("INVITE")
    assert hop == Hop("192.0.2.9", 5060)
    assert request.via.transport == "UDP" and request.via.branch != first.via.branch
    assert request.get("contact") == "<sip:10.0.0.1:5060>"
    world.call("sip:carol@192.0.2.9", headers=LONG)
    assert world.one("INVITE")[0].transport == "UDP"  # and the next one at once


def test_where_tcp_is_not_answered_it_goes_over_udp_after_four_seconds() -> None:
    world = World(**PORTS)
    world.call("sip:bob@192.0.2.9", headers=LONG)
    world.sent()
    world.wait(4.1)
    assert world.one("INVITE")[0].transport == "UDP"
    assert [hop.transport for hop in world.carrier.silent] == ["TCP"]


def test_who_is_overloaded_over_tcp_is_not_asked_again_over_udp() -> None:
    world = World(**PORTS)
    world.call("sip:bob@192.0.2.9", headers=LONG)
    hop, request = world.one("INVITE")
    world.answer(request, hop, 503)
    assert [event.code for event in world.of(Rejected)] == [503]


def test_short_requests_stay_on_udp() -> None:
    world = World(**PORTS)
    world.call("sip:bob@192.0.2.9")
    assert world.one("INVITE")[0].transport == "UDP"


# -- names in a dialog, flows ----------------------------------------------------------------


def test_the_ack_of_a_name_says_what_it_really_goes_over() -> None:
    over_tcp = FIRST._replace(transport="TCP")
    world = World(over_tcp)
    world.call(f"sip:bob@{NAME}")
    hop, invite = world.one("INVITE")
    assert (hop, invite.via.transport) == (over_tcp, "TCP")
    headers = [
        *invite.response(200, to_tag="far").headers,
        ("Contact", "<sip:bob@192.0.2.77>"),
        ("Record-Route", f"<sip:{NAME};lr>"),
        ("Content-Type", "application/sdp"),
    ]
    world.agent.receive(bytes(Response(200, "OK", headers, ANSWER)), over_tcp, 0.0)
    hop, ack = world.one("ACK")
    assert (hop, ack.via.transport) == (over_tcp, "TCP")
    assert len(ack.all("via")) == 1 and ack.via.branch != invite.via.branch


def test_a_flow_that_is_gone_is_replaced_by_the_contact() -> None:
    world = World(follow_source=True)
    session = world.call("sip:bob@192.0.2.9;transport=tcp")
    hop, invite = world.one("INVITE")
    response = invite.response(200, to_tag="far")
    contact = ("Contact", "<sip:bob@192.0.2.9:5070;transport=tcp>")
    headers = [*response.headers, contact, ("Content-Type", "application/sdp")]
    source = hop._replace(flow=9)
    world.agent.receive(bytes(Response(200, "OK", headers, ANSWER)), source, 0.0)
    assert world.one("ACK")[0] == source
    world.carrier.open = False
    world.agent.end(session, 0.0)
    assert world.one("BYE")[0].address == ("192.0.2.9", 5070)


def test_a_request_whose_connection_is_lost_under_it_goes_to_the_contact_once() -> None:
    world = World(follow_source=True)
    session = world.call("sip:bob@192.0.2.9;transport=tcp")
    hop, invite = world.one("INVITE")
    response = invite.response(200, to_tag="far")
    contact = ("Contact", "<sip:bob@192.0.2.10:5070;transport=tcp>")
    headers = [*response.headers, contact, ("Content-Type", "application/sdp")]
    source = hop._replace(flow=9)
    world.agent.receive(bytes(Response(200, "OK", headers, ANSWER)), source, 0.0)
    world.sent()
    world.agent.end(session, 0.0)
    assert world.one("BYE")[0] == source
    world.agent.unreachable(source, 0.0)
    hop, _ = world.one("BYE")
    assert hop == Hop("192.0.2.10", 5070, "TCP")
    world.agent.unreachable(hop, 0.0)
    assert not world.sent()
    assert len(world.of(Terminated)) == 1


@pytest.mark.parametrize("flow", [0, 5])
def test_a_dead_connection_fails_what_waits_on_it_and_nothing_else(flow: int) -> None:
    world = World()
    for target in (
        "sip:a@192.0.2.1;transport=tcp",
        "sip:b@192.0.2.2;transport=tcp",
        "sip:c@192.0.2.1",
    ):
        world.call(target)
    world.agent.unreachable(Hop("192.0.2.1", 5060, "TCP", flow, name="whatever"), 0.0)
    (rejected,) = world.of(Rejected)
    assert rejected.session.request.uri.startswith("sip:a@")


def test_a_certificate_that_is_wrong_for_one_trunk_is_not_for_another() -> None:
    world = World()
    for profile in ("one", "two"):
        hop = Hop("192.0.2.1", 5061, "TLS", profile=profile)
        world.call("sip:a@192.0.2.1;transport=tls", destination=hop, trunk=profile)
    world.agent.unreachable(Hop("192.0.2.1", 5061, "TLS", 7, "two"), 0.0)
    (rejected,) = world.of(Rejected)
    assert rejected.session.trunk == "two"


def test_far_ends_are_known_while_their_call_lives() -> None:
    world = World()
    session = world.call("sip:bob@192.0.2.9")
    _, invite = world.one("INVITE")
    source, elsewhere = Hop("192.0.2.9", 5060), Hop("192.0.2.10", 5060)
    assert not world.agent.is_far_end(source)
    world.answer(invite, source, 180)
    assert world.agent.is_far_end(source) and world.agent.is_far_host("192.0.2.9")
    world.answer(invite, elsewhere, 180)
    assert world.agent.is_far_end(elsewhere) and not world.agent.is_far_end(source)
    world.answer(invite, elsewhere, 486)
    assert session.is_terminated
    assert not world.agent.is_far_end(elsewhere) and not world.agent.is_far_host("192.0.2.10")
