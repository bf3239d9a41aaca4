"""What a call over a trunk takes, sends, tells and gives back."""

from datetime import datetime
from typing import Any

import pytest

from trunkline.calls.errors import OutboundDeniedError, TrunkBusyError
from trunkline.calls.health import HealthSettings
from trunkline.calls.hunting import Hunt
from trunkline.calls.limits import LimitSettings
from trunkline.calls.numbers import NumberPlan, NumberRule
from trunkline.calls.routing import Rate, RateTable
from trunkline.calls.trunk_dialling import TrunkDialler, Wanted
from trunkline.calls.trunk_states import Trunks
from trunkline.calls.trunks import Gateway, Trunk
from trunkline.errors import UsageError
from trunkline.transports.leg import Answered, DialOptions, Ended, Leg, LegEvent, Ringing

from .fakes import FakeLeg, FakeMedia


class Transport:
    """Notes what is dialled; the test drives the legs."""

    def __init__(self, media: FakeMedia) -> None:
        self.media = media
        self.legs: list[FakeLeg] = []
        self.dialled: list[tuple[str, str, dict[str, str], DialOptions]] = []
        self.broken = False

    def dial(
        self, target: str, *, caller: str, headers: Any, observer: Any,
        options: DialOptions = DialOptions(),  # noqa: B008
    ) -> Leg:  # fmt: skip
        if self.broken:
            raise UsageError("no such address")
        self.dialled.append((target, caller, dict(headers), options))
        leg = FakeLeg(self.media, direction="outbound", callee=target)
        leg.observer = observer
        self.legs.append(leg)
        return leg


class Reserved:
    """What was reserved, and what became of it."""

    leg_id = ""

    def __init__(self) -> None:
        self.told: list[str] = []

    def answered(self, now: float) -> None:
        self.told.append("answered")

    def over(self, now: float) -> None:
        self.told.append("over")


class World:
    """Trunks, a dialler, and a clock."""

    def __init__(self, *trunks: Trunk) -> None:
        self.media = FakeMedia()
        self.media.time = 100.0
        self.trunks = Trunks(trunks)
        self.transport = Transport(self.media)
        self.events: list[LegEvent] = []
        self.reserved: list[Reserved] = []
        self.asked: list[tuple[Any, ...]] = []
        self.deny = ""
        self.dialler = TrunkDialler(
            self.trunks,
            self.transport,
            reserve=self.reserve,
            now=self.media.now,
            local_time=lambda: datetime(2026, 11, 16, 12),
        )

    def reserve(self, wanted: Wanted, trunk: Trunk, number: str, rate: Any, now: float, end: Any):  # type: ignore[no-untyped-def]
        self.asked.append((wanted.key, trunk.name, number, rate))
        if trunk.name == self.deny:
            raise OutboundDeniedError("used up")
        self.reserved.append(Reserved())
        return self.reserved[-1]

    def dial(self, target: str = "+4930123456", **wanted: Any) -> Hunt:
        def observe(leg: Leg, event: LegEvent, now: float) -> None:
            self.events.append(event)

        return self.dialler.dial(Wanted(target, **wanted), observe)

    def channels(self, name: str = "a") -> int:
        return self.trunks.state(name).limits.channels


def trunk(name: str = "a", *servers: str, **options: Any) -> Trunk:
    gateways = tuple(
        Gateway(f"sip:{server}", n) for n, server in enumerate(servers or ("10.0.0.1",))
    )
    options.setdefault("plan", NumberPlan("49"))
    options.setdefault("health", HealthSettings(options_seconds=0))
    return Trunk(name=name, gateways=gateways, **options)


def failed(code: int) -> Ended:
    return Ended("error", "them", code)


def test_a_call_takes_its_channel_and_reservation_and_gives_back_both() -> None:
    world = World(trunk())
    world.dial(key="app")
    assert world.channels() == 1 and world.asked == [("app", "a", "+4930123456", None)]
    assert world.reserved[0].leg_id == "leg"
    world.transport.legs[0].tell(Answered())
    world.transport.legs[0].tell(Ended("hangup", "them"))
    assert world.channels() == 0 and world.reserved[0].told == ["answered", "over"]


def test_each_attempt_has_its_own() -> None:
    world = World(trunk("a", "10.0.0.1", "10.0.0.2"))
    hunt = world.dial()
    world.transport.legs[0].tell(failed(503))
    assert world.channels() == 1 and world.reserved[0].told == ["over"]
    world.transport.legs[1].tell(Ringing())
    world.transport.legs[1].tell(failed(486))
    assert world.channels() == 0
    assert [one["code"] for one in hunt.attempts] == [503, 486]
    assert "delay_ms" in hunt.attempts[1] and "delay_ms" not in hunt.attempts[0]


def test_a_trunk_that_is_full_or_used_up_is_passed_over() -> None:
    world = World(
        trunk("a", limits=LimitSettings(channels=1)), trunk("b", priority=2),
        trunk("c", priority=3),
    )  # fmt: skip
    world.dial()
    world.deny = "b"
    world.dial()
    assert [options.trunk for _, _, _, options in world.transport.dialled] == ["a", "c"]
    assert world.channels("b") == 0, "what was taken for it is given back"


def test_a_call_that_is_one_too_many_is_counted_once_however_many_gateways_there_are() -> None:
    full = trunk("a", "10.0.0.1", "10.0.0.2", "10.0.0.3", limits=LimitSettings(channels=1))
    world = World(full, trunk("b", priority=2))
    world.dial()
    world.dial()
    assert [options.trunk for _, _, _, options in world.transport.dialled] == ["a", "b"]
    assert world.trunks.state("a").limits.refused == 1


def test_a_trunk_that_is_removed_while_a_call_looks_for_a_way_is_passed_over() -> None:
    world = World(trunk("a"), trunk("b", priority=2), trunk("c", priority=3))
    world.dial()
    world.trunks.remove("b")
    world.transport.legs[0].tell(failed(503))
    assert [options.trunk for _, _, _, options in world.transport.dialled] == ["a", "c"]
    world.trunks.remove("c")
    world.transport.legs[1].tell(failed(503))
    assert [type(event) for event in world.events] == [Ended]


def test_where_nothing_is_left_the_reason_is_raised() -> None:
    world = World(trunk(limits=LimitSettings(channels=1)))
    world.dial()
    with pytest.raises(TrunkBusyError) as busy:
        world.dial()
    assert (busy.value.trunk, busy.value.code) == ("a", 503)
    other = World(trunk())
    other.deny = "a"
    with pytest.raises(OutboundDeniedError):
        other.dial()
    with pytest.raises(UsageError, match="no trunk carries"):
        World(trunk(prefixes=("+1",))).dial()
    with pytest.raises(UsageError, match="no trunk 'x'"):
        World(trunk()).dial(trunk="x")


def test_an_address_that_cannot_be_dialled_costs_nothing() -> None:
    world = World(trunk(limits=LimitSettings(channels=1, calls_per_second=1)))
    world.transport.broken = True
    for _ in range(3):
        with pytest.raises(UsageError, match="no such address"):
            world.dial()
    assert world.channels() == 0 and [one.told for one in world.reserved] == [["over"]] * 3


def test_the_options_say_how_it_is_placed() -> None:
    world = World(
        trunk(username="me", password="secret", codecs=("PCMA",), srtp="required",
              no_response_seconds=2.0, no_answer_seconds=20.0)
    )  # fmt: skip
    world.dial()
    (_, _, _, options) = world.transport.dialled[0]
    assert options == DialOptions(
        trunk="a", server="sip:10.0.0.1", username="me", password="secret", codecs=("PCMA",),
        srtp="required", no_response_seconds=2.0, no_answer_seconds=20.0,
    )  # fmt: skip


class Registrar:
    def state(self, trunk: str) -> str:
        return "registered"

    def routes(self, trunk: str) -> tuple[str, ...]:
        return ("<sip:edge;lr>",)

    def contact_user(self, trunk: str) -> str:
        return "line7"


def test_a_registered_trunk_calls_by_its_registrars_route_and_contact() -> None:
    world = World(trunk(register=True, username="me"))
    world.trunks.registrar = Registrar()
    world.dial()
    options = world.transport.dialled[0][3]
    assert (options.routes, options.contact_user) == (("<sip:edge;lr>",), "line7")


@pytest.mark.parametrize(
    ("server", "uri", "target"),
    [
        ("10.0.0.1", "sip", "sip:4930123456@10.0.0.1"),
        ("10.0.0.1:5080;transport=tcp", "sip", "sip:4930123456@10.0.0.1:5080;transport=tcp"),
        ("[2001:db8::1]", "phone", "sip:4930123456@[2001:db8::1];user=phone"),
        ("gw.example", "tel", "tel:4930123456"),
    ],
)
def test_the_called_number_is_written_as_the_trunk_wants_it(
    server: str, uri: Any, target: str
) -> None:
    world = World(trunk("a", server, uri=uri, numbers_out=(NumberRule(form="digits"),)))
    world.dial("030 123456")
    assert world.transport.dialled[0][0] == target


def test_an_address_may_be_sent_over_a_trunk_as_it_is() -> None:
    world = World(trunk())
    hunt = world.dial("sip:bob@example.com", trunk="a", caller="<sip:me@here>")
    assert world.transport.dialled[0][:2] == ("sip:bob@example.com", "<sip:me@here>")
    assert hunt.party.callee == "sip:bob@example.com"


def test_headers_are_the_trunks_and_the_calls() -> None:
    world = World(trunk(headers={"X-A": "1", "X-B": "1"}, identity="ppi"))
    world.dial(caller="+49301", headers={"X-B": "2"})
    assert world.transport.dialled[0][1:3] == (
        "+49301", {"X-A": "1", "X-B": "2", "P-Preferred-Identity": "<sip:+49301@10.0.0.1>"}
    )  # fmt: skip


def test_a_number_without_a_plus_means_what_it_means_where_most_trunks_are() -> None:
    world = World(trunk("a"), trunk("b"), trunk("c", plan=NumberPlan("1", "011", "1")))
    assert world.dialler.number(Wanted("030123456")) == "+4930123456"
    assert world.dialler.number(Wanted("15551234567", trunk="c")) == "+15551234567"
    assert World().dialler.number(Wanted("030123456")) == "030123456"


def test_a_trunk_whose_gateways_are_all_down_comes_last() -> None:
    world = World(trunk("a", priority=0), trunk("b", "10.0.0.2"))
    for now in (1, 2, 3):
        world.trunks.state("a").health["sip:10.0.0.1"].silent(now)
    names = [one.trunk.name for one in world.dialler.choices(Wanted("+49"), "+49")]
    assert names == ["b", "a"]


def test_silence_and_failures_are_told_to_the_gateways_health() -> None:
    world = World(trunk(health=HealthSettings(options_seconds=30)))
    health = world.trunks.state("a").health["sip:10.0.0.1"]
    for _ in range(3):
        world.dial()
        world.transport.legs[-1].tell(Ended("timeout", "us", 408))
    assert not health.up
    world = World(trunk())
    world.dial()
    world.transport.legs[0].retry_after_seconds = 30.0  # type: ignore[attr-defined]
    world.transport.legs[0].tell(failed(503))
    assert world.trunks.state("a").health["sip:10.0.0.1"].paused_until == 130.0


def test_what_we_ended_is_no_reason_to_go_elsewhere_but_silence_is() -> None:
    world = World(trunk("a", "10.0.0.1", "10.0.0.2"))
    world.dial()
    world.transport.legs[0].tell(Ended("media-timeout", "us", 500))
    assert len(world.transport.legs) == 1 and isinstance(world.events[-1], Ended)
    world.dial()
    world.transport.legs[-1].tell(Ended("timeout", "us", 408))
    assert len(world.transport.legs) == 3


def test_the_rate_of_the_trunk_that_is_tried_is_what_is_reserved_by() -> None:
    world = World(trunk("a"), trunk("b", "10.0.0.2"))
    world.trunks.route(RateTable([Rate("a", "+49", 2.0), Rate("b", "+4930", 1.0)]))
    world.dial()
    world.transport.legs[0].tell(failed(500))
    assert [(name, rate.price) for _, name, _, rate in world.asked] == [("b", 1.0), ("a", 2.0)]


def test_figures_count_each_attempt() -> None:
    world = World(trunk("a", "10.0.0.1", "10.0.0.2"))
    world.dial()
    world.transport.legs[0].tell(failed(503))
    world.media.time += 0.25
    world.transport.legs[1].tell(Ringing())
    world.transport.legs[1].tell(Answered())
    world.media.time += 30
    world.transport.legs[1].tell(Ended("hangup", "them"))
    shown = world.trunks.summaries()[0]
    assert (shown["attempts_out"], shown["answered_out"]) == (2, 1)
    assert shown["average_seconds"] == pytest.approx(30, abs=0.01)
    assert shown["post_dial_delay_p50_ms"] == pytest.approx(250, abs=1)
