"""Any messages in any order: nothing raises, each call ends once, nothing is left.

Not what peers do, but what they may do: each seed is a far end that says things at
random, about a call of theirs and one of ours, while the application does what it may
at random too.
"""

import random

import pytest

from trunkline.sip import Request, Response, Session, StateError, Terminated
from trunkline.sip.events import Event
from trunkline.sip.testing import ANSWER, HOLD, OFFER

from .phone import Phone

CODES = [100, 180, 181, 183, 183, 199, 200, 200, 302, 401, 404, 408, 422, 481, 486, 488, 491, 500,
         503, 603]  # fmt: skip
METHODS = ["INVITE", "INVITE", "ACK", "ACK", "BYE", "CANCEL", "PRACK", "PRACK", "UPDATE", "UPDATE",
           "INFO", "OPTIONS", "FOO"]  # fmt: skip
BODIES = [b"", b"", OFFER, ANSWER, HOLD, b"rubbish"]
FIELDS = [
    ("Require", "100rel"), ("Supported", "100rel, timer"), ("RSeq", "1"), ("RSeq", "2"),
    ("RAck", "1 1 INVITE"), ("Session-Expires", "90;refresher=uac"), ("Min-SE", "120"),
    ("Session-Expires", "90;refresher=uas"), ("Session-Expires", "5"), ("Retry-After", "2"),
    ("Allow", "INVITE, UPDATE"), ("Reason", "Q.850;cause=16"), ("Contact", "<sip:b@10.0.0.9>"),
    ("Require", "nothing"), ("Record-Route", "<sip:10.0.0.8;lr>"), ("Max-Forwards", "0"),
]  # fmt: skip


class Chaos:
    """A far end and an application without a plan."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.phone = Phone(session_expires_seconds=self.rng.choice([0, 90]))
        self.sessions: list[Session] = []
        self.begun: set[str] = set()

    def fields(self) -> list[tuple[str, str]]:
        return self.rng.sample(FIELDS, self.rng.choice([0, 0, 1, 1, 2, 3]))

    def speak(self) -> None:
        """One message of theirs."""
        rng, phone = self.rng, self.phone
        ours = [m for m in phone.sent if isinstance(m, Request) and m.method != "ACK"]
        if ours and rng.random() < 0.6:
            request = rng.choice(ours[-4:])
            tag, body = rng.choice(["far", "far", "other", ""]), rng.choice(BODIES)
            phone.answer(request, rng.choice(CODES), tag=tag, body=body, extra=self.fields())
            return
        answers = [m for m in phone.sent if isinstance(m, Response) and m.to.tag]
        method, cseq = rng.choice(METHODS), rng.randrange(1, 12)
        extra = self.fields()
        body = rng.choice(BODIES)
        if ours and rng.random() < 0.4:
            phone.ask(rng.choice(ours), method, cseq, body=body, extra=extra)
            return
        tag = rng.choice(answers[-3:]).to.tag if answers and rng.random() < 0.8 else ""
        if numbers := [m.get("rseq") for m in answers if m.get("rseq")]:
            extra.append(("RAck", f"{numbers[-1]} 1 INVITE"))
        phone.request(method, cseq, to_tag=tag, body=body, extra=extra)

    def act(self) -> None:
        """One command of the application's, legal or not."""
        rng, phone = self.rng, self.phone
        agent, now = phone.agent, phone.now
        if not self.sessions:
            return
        session = rng.choice(self.sessions[-4:])
        try:
            match rng.randrange(12):
                case 0:
                    agent.ring(session, now)
                case 1:
                    agent.progress(session, 183, rng.choice([ANSWER, None]), now)
                case 2 | 3:
                    agent.accept(session, ANSWER, now)
                case 4:
                    agent.answer_reinvite(session, ANSWER, now)
                case 5:
                    agent.reject_reinvite(session, 488, now)
                case 6:
                    agent.reinvite(session, rng.choice([HOLD, None]), now)
                case 7:
                    agent.update(session, HOLD, now)
                case 8:
                    agent.acknowledge(session, rng.choice([ANSWER, None]), now)
                case 9:
                    agent.probe(session, now)
                case 10 if rng.random() < 0.3:
                    agent.end(session, now)
                case 11 if rng.random() < 0.3:
                    agent.reject(session, 486, now)
        except StateError:
            pass  # the application's mistake, said to it and to nobody else

    def dial(self) -> None:
        self.phone.dial(
            sdp=self.rng.choice([OFFER, OFFER, None]),
            no_answer_seconds=self.rng.choice([None, 20]),
            may_redirect=self.rng.choice([None, lambda uri: True]),
        )

    def note(self) -> None:
        self.phone.take()
        for event in self.phone.events:
            if event.session.id not in self.begun:
                self.begun.add(event.session.id)
                self.sessions.append(event.session)
        for session in self.phone.agent.sessions.values():
            if session not in self.sessions:
                self.sessions.append(session)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            what = self.rng.random()
            if what < 0.04:
                self.dial()
            elif what < 0.6:
                self.speak()
            elif what < 0.9:
                self.act()
            else:
                self.phone.wait(self.rng.choice([0.1, 1, 6, 50]))
            self.note()

    def end_all(self) -> None:
        """The application gives up; the far end is silent from now on."""
        for _ in range(4):
            for session in list(self.phone.agent.sessions.values()):
                self.phone.agent.end(session, self.phone.now)
            self.phone.wait(120)
        self.phone.wait(400)


@pytest.mark.parametrize("seed", range(250))
def test_whatever_they_say_each_call_ends_once_and_nothing_is_left(seed: int) -> None:
    chaos = Chaos(seed)
    chaos.run(80)
    chaos.end_all()
    phone = chaos.phone
    assert not any(phone.agent.live.values()), phone.agent.live
    events: dict[str, list[Event]] = {}
    for event in phone.events:
        events.setdefault(event.session.id, []).append(event)
    for identifier, seen in events.items():
        ends = [isinstance(event, Terminated) for event in seen]
        assert ends.count(True) == 1 and ends[-1], (identifier, seen[-3:])
