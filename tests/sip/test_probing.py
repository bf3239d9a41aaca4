"""OPTIONS to a server, and an INVITE to a silent one: answered in time, or given up."""

import random

import pytest

from trunkline.sip import Invitation, Settings, UserAgent
from trunkline.sip.events import Invited, Send, Terminated
from trunkline.sip.hop import Hop
from trunkline.sip.message import Request, Response, parse_message
from trunkline.sip.probing import OptionsAnswer, retry_after
from trunkline.sip.testing import ANSWER, OFFER

SERVER = Hop("10.0.0.2", 5060)
URI = "sip:10.0.0.2"


class Asking:
    """An agent that asks, and what it heard."""

    def __init__(self) -> None:
        self.agent = UserAgent(Settings("10.0.0.1"), random.Random(1))
        self.heard: list[OptionsAnswer] = []
        self.agent.ask_options(URI, SERVER, lambda answer, now: self.heard.append(answer), 0.0, 3.0)

    def sent(self) -> list[Request]:
        found = [parse_message(one.data) for one in self.agent.drain() if isinstance(one, Send)]
        return [one for one in found if isinstance(one, Request)]

    def answer(self, code: int, now: float, *headers: tuple[str, str]) -> None:
        (request,) = self.sent()
        response = request.response(code, to_tag="x", headers=headers)
        self.agent.receive(bytes(response), SERVER, now)

    def run(self, until: float) -> None:
        while (due := self.agent.next_timeout()) is not None and due <= until:
            self.agent.tick(due)


def test_an_answer_is_told_with_its_round_trip() -> None:
    asking = Asking()
    asking.answer(200, 0.25)
    assert asking.heard == [OptionsAnswer(200, 0.25, 0.0)]
    asking.run(40)
    assert len(asking.heard) == 1 and not any(asking.agent.live.values())


def test_the_question_is_a_whole_one() -> None:
    (request,) = Asking().sent()
    assert (request.method, request.uri) == ("OPTIONS", URI)
    assert request.from_.tag and not request.to.tag and request.get("max-forwards") == "70"


def test_503_tells_when_to_come_back() -> None:
    asking = Asking()
    asking.answer(503, 0.1, ("Retry-After", "120 (maintenance)"))
    assert asking.heard == [OptionsAnswer(503, 0.1, 120.0)]


def test_a_provisional_answer_is_none() -> None:
    asking = Asking()
    asking.answer(100, 0.1)
    assert not asking.heard


def test_silence_is_told_in_time_and_nothing_is_left() -> None:
    asking = Asking()
    asking.run(2.9)
    assert not asking.heard
    asking.run(3.0)
    assert asking.heard == [OptionsAnswer(0)]
    assert not any(asking.agent.live.values())


def test_what_cannot_be_sent_is_told_at_once_and_once() -> None:
    asking = Asking()
    asking.agent.unreachable(SERVER, 0.1)
    asking.run(40)
    assert asking.heard == [OptionsAnswer(0)]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("5", 5.0), ("120;duration=10", 120.0), (" 7 (later)", 7.0), ("", 0.0), ("soon", 0.0),
     ("-5", 0.0), ("99999999999", 0.0), ("１", 0.0)],
)  # fmt: skip
def test_a_time_to_come_back_is_read_or_is_none(written: str, seconds: float) -> None:
    response = Response(503, "x", [("Retry-After", written)])
    assert retry_after(response) == seconds
    assert retry_after(None) == retry_after(Response(503, "x")) == 0.0


# -- an INVITE to a server that says nothing ---------------------------------------------------


def calling() -> tuple[UserAgent, list[Request]]:
    agent = UserAgent(Settings("10.0.0.1"), random.Random(1))
    invitation = Invitation(f"sip:bob@{SERVER.host}", "<sip:a@b>", OFFER, no_response_seconds=3.0)
    agent.invite(invitation, 0.0)
    sent = [parse_message(one.data) for one in agent.drain() if isinstance(one, Send)]
    return agent, [one for one in sent if isinstance(one, Request)]


def ends(agent: UserAgent) -> list[tuple[str, str, int | None]]:
    return [(one.reason, one.by, one.code) for one in agent.drain() if isinstance(one, Terminated)]


def tick(agent: UserAgent, until: float) -> None:
    while (due := agent.next_timeout()) is not None and due <= until:
        agent.tick(due)


def test_a_server_that_says_nothing_is_given_up_as_with_408() -> None:
    agent, _ = calling()
    tick(agent, 2.9)
    assert not ends(agent)
    tick(agent, 3.1)
    assert ends(agent) == [("timeout", "them", 408)]


def test_trying_is_an_answer() -> None:
    agent, (invite,) = calling()
    agent.receive(bytes(invite.response(100)), SERVER, 1.0)
    tick(agent, 30.0)
    assert not ends(agent)


def test_a_server_that_answers_after_all_is_not_left_with_a_call() -> None:
    agent, (invite,) = calling()
    tick(agent, 3.1)
    agent.drain()
    agent.receive(bytes(invite.response(180, to_tag="t")), SERVER, 4.0)
    sent = [parse_message(one.data) for one in agent.drain() if isinstance(one, Send)]
    assert [one.method for one in sent if isinstance(one, Request)] == ["CANCEL"]
    ok = invite.response(
        200, to_tag="t", headers=[("Contact", f"<{URI}>"), ("Content-Type", "application/sdp")],
        body=ANSWER,
    )  # fmt: skip
    agent.receive(bytes(ok), SERVER, 4.1)
    sent = [parse_message(one.data) for one in agent.drain() if isinstance(one, Send)]
    assert [one.method for one in sent if isinstance(one, Request)] == ["ACK", "BYE"]


# -- who is not answered -----------------------------------------------------------------------


def test_who_is_ignored_gets_nothing_and_calls_that_are_up_go_on() -> None:
    agent = UserAgent(Settings("10.0.0.1"), random.Random(1))
    other = UserAgent(Settings("10.0.0.2"), random.Random(2))
    other.invite(Invitation("sip:a@10.0.0.1", "<sip:b@10.0.0.2>", OFFER), 0.0)
    (invite,) = [one.data for one in other.drain() if isinstance(one, Send)]
    agent.ignores = lambda request, source, now: True
    agent.receive(invite, SERVER, 0.0)
    assert not agent.drain() and agent.counters["unanswered"] == 1
    agent.ignores = lambda request, source, now: False
    agent.receive(invite, SERVER, 0.1)
    assert any(isinstance(one, Invited) for one in agent.drain())
    agent.ignores = lambda request, source, now: True
    agent.receive(invite, SERVER, 0.6)
    assert [one for one in agent.drain() if isinstance(one, Send)], "a repetition is answered"
