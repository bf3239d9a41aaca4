"""Registering: bindings, refreshes, refusals, redirections, and taking it back."""

import random
from collections.abc import Callable

import pytest

from trunkline.errors import UsageError
from trunkline.sip import (
    Account,
    Challenger,
    Credentials,
    Hop,
    Registered,
    Registration,
    RegistrationFailed,
    RegistrationRequest,
    RegistrationState,
    RegistrationWithdrawn,
    Request,
    Response,
    Send,
    Settings,
    UserAgent,
    parse_message,
)

REGISTRAR = Hop("192.0.2.7", 5060)
ASK = RegistrationRequest(
    "sip:192.0.2.7", "sip:4711@carrier.example", credentials=[Credentials("4711", "secret")]
)
Answer = Callable[[Request], Response | None]


def granted(seconds: int, *more: tuple[str, str]) -> Answer:
    """What a registrar says that lists what it was given."""

    def answer(request: Request) -> Response:
        contact = (request.get("contact") or "").partition(";expires")[0]
        return request.response(
            200, to_tag="r", headers=[("Contact", f"{contact};expires={seconds}"), *more]
        )

    return answer


def refused(code: int, *headers: tuple[str, str]) -> Answer:
    return lambda request: request.response(code, to_tag="r", headers=headers)


class Bench:
    """A user agent in virtual time, and a registrar that says what it is told to."""

    def __init__(self, answer: Answer, **settings: object) -> None:
        self.agent = UserAgent(Settings("192.0.2.1", **settings), random.Random(5))  # type: ignore
        self.answer = answer
        self.now = 100.0
        self.requests: list[Request] = []
        self.sent: list[tuple[float, Hop]] = []
        self.events: list[object] = []

    def register(self, request: RegistrationRequest = ASK) -> Registration:
        registration = self.agent.registering.begin(request, self.now)
        self.settle()
        return registration

    def settle(self) -> None:
        while self.agent.outputs:
            output = self.agent.outputs.popleft()
            if not isinstance(output, Send):
                self.events.append(output)
                continue
            request = parse_message(output.data)
            assert isinstance(request, Request)
            if not self.requests or request.via.branch != self.requests[-1].via.branch:
                self.requests.append(request)
                self.sent.append((self.now, output.destination))
            response = self.answer(request)
            if response is not None:
                self.agent.receive(bytes(response), output.destination, self.now)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.agent.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.agent.tick(self.now)
            self.settle()
        self.now = end

    def told(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def test_a_binding_is_asked_for_and_kept() -> None:
    bench = Bench(granted(600))
    registration = bench.register()
    (request,) = bench.requests
    assert (request.method, request.uri) == ("REGISTER", "sip:192.0.2.7")
    assert request.from_.uri == request.to.uri == "sip:4711@carrier.example"
    assert request.get("contact") == "<sip:4711@192.0.2.1:5060>;expires=3600"
    assert "path" in (request.get("supported") or "")
    assert bench.sent[0][1] == REGISTRAR
    assert registration.is_registered and registration.expires_at == 700.0
    bench.run(3600)
    # Refreshed after 480 to 540 of 600 s, in one dialog-like sequence, and told once.
    waits = [b[0] - a[0] for a, b in zip(bench.sent, bench.sent[1:], strict=False)]
    assert waits and all(480 <= wait <= 540 for wait in waits)
    assert len(set(waits)) > 1  # not in step with everybody else
    assert len({request.call_id for request in bench.requests}) == 1
    assert len({request.from_.tag for request in bench.requests}) == 1
    numbers = [request.cseq.number for request in bench.requests]
    assert numbers == list(range(1, len(numbers) + 1))
    assert bench.told() == ["Registered"]


def test_a_challenge_is_answered_and_later_requests_go_in_at_once() -> None:
    challenger = Challenger("carrier", {"4711": Account("secret")}, b"0123456789abcdef")
    bench = Bench(granted(30))

    def answer(request: Request) -> Response | None:
        verdict = challenger.check(
            "REGISTER", request.uri, request.all("authorization"), b"", bench.now
        )
        if verdict.outcome != "accepted":
            return request.response(401, to_tag="r", headers=challenger.headers(bench.now))
        return granted(30)(request)

    bench.answer = answer
    registration = bench.register()
    assert registration.is_registered and len(bench.requests) == 2
    bench.run(27)
    assert len(bench.requests) == 3  # the nonce is used again, with the next count
    assert "nc=00000002" in (bench.requests[-1].get("authorization") or "")
    bench.run(300)  # the nonce gets old, and this registrar never says stale
    assert registration.is_registered and registration.failures == 0


def test_a_wrong_password_is_not_tried_over_and_over() -> None:
    challenger = Challenger("carrier", {"4711": Account("other")}, b"0123456789abcdef")
    bench = Bench(
        lambda request: request.response(401, to_tag="r", headers=challenger.headers(bench.now))
    )
    registration = bench.register()
    assert registration.state is RegistrationState.WAITING
    assert len(bench.requests) <= 2
    bench.run(14.9)
    assert len(bench.requests) <= 2
    bench.run(3600)
    assert 6 <= len(bench.requests) <= 26
    assert "secret" not in repr(registration)


def test_waits_double_up_to_half_an_hour() -> None:
    bench = Bench(refused(403))
    registration = bench.register()
    bench.run(6 * 3600)
    waits = [b[0] - a[0] for a, b in zip(bench.sent, bench.sent[1:], strict=False)]
    for number, wait in enumerate(waits):
        whole = min(1800.0, 30.0 * 2**number)
        assert whole / 2 <= wait <= whole
    assert registration.failures == len(bench.requests)
    (first, *_) = bench.events
    assert isinstance(first, RegistrationFailed) and first.code == 403


def test_what_they_say_about_when_to_come_back_is_kept() -> None:
    bench = Bench(refused(503, ("Retry-After", "120 (down for tea);duration=9")))
    bench.register()
    bench.run(119)
    assert len(bench.requests) == 1
    bench.run(3)
    assert len(bench.requests) == 2


def test_nobody_there_is_a_failure_and_not_the_end() -> None:
    bench = Bench(lambda request: None)
    registration = bench.register()
    bench.run(40)
    assert (registration.code, registration.state) == (408, RegistrationState.WAITING)
    bench.answer = granted(600)
    bench.run(60)
    assert registration.is_registered and registration.failures == 0
    assert bench.told() == ["RegistrationFailed", "Registered"]


def test_a_binding_that_holds_is_kept_while_the_registrar_is_silent() -> None:
    bench = Bench(granted(3600))
    registration = bench.register()
    bench.answer = lambda request: None
    bench.run(3300)
    assert registration.is_registered and registration.state is RegistrationState.REGISTERED
    bench.answer = granted(3600)
    bench.run(400)
    assert registration.is_registered
    assert "Registered" in bench.told() and bench.told().count("Registered") == 1


def test_a_binding_that_ran_out_is_told_as_new_when_it_is_back() -> None:
    bench = Bench(granted(100))
    registration = bench.register()
    bench.answer = refused(500)
    bench.run(2000)
    assert not registration.is_registered
    bench.answer = granted(100)
    bench.run(2000)
    assert bench.told().count("Registered") == 2


def test_an_interval_that_is_too_brief_is_made_longer() -> None:
    def answer(request: Request) -> Response | None:
        if int(request.get("expires") or 0) < 7200:
            return request.response(423, to_tag="r", headers=[("Min-Expires", "7200")])
        return granted(7200)(request)

    bench = Bench(answer)
    registration = bench.register()
    assert registration.is_registered and registration.expires_seconds == 7200
    assert len(bench.requests) == 2


@pytest.mark.parametrize("least", ["", "nonsense", "10", "99999999999999999999"])
def test_a_423_that_says_nothing_of_use_is_a_refusal(least: str) -> None:
    bench = Bench(refused(423, ("Min-Expires", least)))
    registration = bench.register()
    assert registration.code == 423 and len(bench.requests) == 1


def test_our_binding_is_found_among_others() -> None:
    def answer(request: Request) -> Response:
        ours = (request.get("contact") or "").partition(";expires")[0]
        others = "<sip:4711@198.51.100.4>;expires=10, "
        return request.response(
            200, to_tag="r", headers=[("Contact", others + ours + ";expires=900")]
        )

    registration = Bench(answer).register()
    assert registration.expires_at == 1000.0 and registration.bindings == 2


@pytest.mark.parametrize(
    ("contact", "expires", "until"),
    [
        ("<sip:4711@198.51.100.9:1024;ob>;expires=300", "", 400.0),  # rewritten by a proxy
        ("", "250", 350.0),  # not listed at all
        ("<sip:4711@192.0.2.1:5060>", "200", 300.0),
        ("<sip:4711@192.0.2.1>;expires=junk", "", 3700.0),  # as if it said nothing
        ("<sip:someone@else>;expires=77", "", None),
    ],
)
def test_how_long_a_binding_holds(contact: str, expires: str, until: float | None) -> None:
    headers = [("Contact", contact)] if contact else []
    headers += [("Expires", expires)] if expires else []
    bench = Bench(lambda request: request.response(200, to_tag="r", headers=headers))
    registration = bench.register()
    assert registration.expires_at == until
    if until is None:
        assert registration.state is RegistrationState.WAITING
        assert registration.reason == "No Binding"


def test_the_way_the_registrar_names_is_kept_for_calls() -> None:
    routes = "<sip:edge1.example;lr>, <sip:core.example;lr>, rubbish <, <tel:1>"
    bench = Bench(granted(600, ("Service-Route", routes)))
    registration = bench.register()
    assert registration.service_routes == ("<sip:edge1.example;lr>", "<sip:core.example;lr>")
    bench.agent.registering.withdraw(registration, bench.now)
    bench.settle()
    assert registration.service_routes == ()


def test_a_preloaded_route_and_a_transport_are_used() -> None:
    request = RegistrationRequest(
        "sip:carrier.example", "sip:4711@carrier.example", contact_user="line1",
        routes=["<sip:192.0.2.50:5070;lr;transport=tcp>"], trunk="carrier",
    )  # fmt: skip
    bench = Bench(granted(600), ports={"TCP": 5080})
    bench.register(request)
    assert bench.sent[0][1] == Hop("192.0.2.50", 5070, "TCP", profile="carrier")
    (sent,) = bench.requests
    assert sent.uri == "sip:carrier.example"
    assert sent.get("route") == "<sip:192.0.2.50:5070;lr;transport=tcp>"
    assert (sent.get("contact") or "").startswith("<sip:line1@192.0.2.1:5080;transport=tcp>")


def test_a_redirection_is_followed_but_not_for_ever() -> None:
    elsewhere = refused(302, ("Contact", "<sip:192.0.2.8:5090>"))
    bench = Bench(lambda request: elsewhere(request) if "0.2.7" in request.uri else None)
    bench.answer = lambda request: (
        elsewhere(request) if request.uri == "sip:192.0.2.7" else granted(600)(request)
    )
    registration = bench.register()
    assert registration.is_registered
    assert bench.sent[1][1] == Hop("192.0.2.8", 5090)
    looping = Bench(refused(302, ("Contact", "<sip:192.0.2.7>")))
    looping.register()
    assert len(looping.requests) == 1
    flip = Bench(
        lambda request: refused(
            302, ("Contact", f"<sip:192.0.2.{9 if request.uri.endswith('8') else 8}>")
        )(request)
    )
    flip.register()
    assert len(flip.requests) == 5


def test_a_secure_registration_is_not_moved_to_an_open_way() -> None:
    request = RegistrationRequest("sips:192.0.2.7", "sips:4711@carrier.example")
    bench = Bench(refused(302, ("Contact", "<sip:192.0.2.8>")), ports={"TLS": 5061})
    registration = bench.register(request)
    assert registration.code == 302 and len(bench.requests) == 1


def test_taking_it_back_asks_for_nothing_and_stops() -> None:
    bench = Bench(granted(600))
    registration = bench.register()
    bench.agent.registering.withdraw(registration, bench.now)
    bench.agent.registering.withdraw(registration, bench.now)
    bench.settle()
    assert bench.requests[-1].get("expires") == "0"
    assert (bench.requests[-1].get("contact") or "").endswith(";expires=0")
    assert registration.state is RegistrationState.WITHDRAWN and not registration.is_registered
    bench.run(4000)
    assert len(bench.requests) == 2
    assert bench.told() == ["Registered", "RegistrationWithdrawn"]
    assert bench.agent.live["timers"] == 0 and not bench.agent.registering.registrations


@pytest.mark.parametrize("answer", [refused(403), refused(423), lambda request: None])
def test_it_is_over_whatever_they_say_to_the_end_of_it(answer: Answer) -> None:
    bench = Bench(granted(600))
    registration = bench.register()
    bench.answer = answer
    bench.agent.registering.withdraw(registration, bench.now)
    bench.settle()
    bench.run(40)
    assert registration.state is RegistrationState.WITHDRAWN
    assert isinstance(bench.events[-1], RegistrationWithdrawn)


def test_one_that_never_was_is_taken_back_without_a_word() -> None:
    bench = Bench(refused(403))
    registration = bench.register()
    bench.agent.registering.withdraw(registration, bench.now)
    bench.settle()
    assert len(bench.requests) == 1
    assert isinstance(bench.events[-1], RegistrationWithdrawn)


def test_a_refresh_can_be_asked_for() -> None:
    bench = Bench(granted(600))
    registration = bench.register()
    bench.agent.registering.refresh(registration, bench.now)
    bench.settle()
    assert len(bench.requests) == 2 and registration.is_registered
    assert isinstance(bench.events[0], Registered) and len(bench.events) == 1


@pytest.mark.parametrize(
    "request_",
    [
        RegistrationRequest("tel:+1555", "sip:a@b"),
        RegistrationRequest("sip:r", "tel:+1555"),
        RegistrationRequest("nonsense", "sip:a@b"),
        RegistrationRequest("sip:r", "sip:a@b", routes=["<what>"]),
        RegistrationRequest("sip:r", "sip:a@b", headers=[("X", "a\r\nVia: b")]),
    ],
)
def test_what_cannot_be_registered_says_so(request_: RegistrationRequest) -> None:
    bench = Bench(granted(600))
    with pytest.raises(UsageError):
        bench.register(request_)
    assert not bench.agent.registering.registrations and not bench.agent.outputs


def test_answers_made_of_anything_do_no_harm() -> None:
    rng = random.Random(7)
    bench = Bench(lambda request: None)
    registration = bench.register()
    pieces = ["<", ">", ";", "sip:", "@", "expires=", "9" * 30, "\x00", "é", ",", '"', "lr", "\\"]
    for _ in range(300):
        text = "".join(rng.choices(pieces, k=rng.randrange(1, 12)))
        code = rng.choice([200, 200, 301, 302, 401, 407, 423, 503])
        names = rng.sample(
            ["Contact", "Service-Route", "Expires", "Min-Expires", "Retry-After",
             "WWW-Authenticate"], 3)  # fmt: skip
        bench.answer = lambda request, code=code, names=names, text=text: request.response(
            code, to_tag="r", headers=[(name, text) for name in names]
        )
        bench.agent.registering.refresh(registration, bench.now)
        bench.settle()
        bench.run(rng.random() * 3000)
    bench.answer = granted(600)
    bench.run(4000)
    assert registration.is_registered
