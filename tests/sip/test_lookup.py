"""RFC 3263 against records in a dictionary: which targets, in which order."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sip.hop import Hop, Transport
from trunkline.sip.lookup import Answer, Naptr, Question, Service, look_up, order_services

OPEN = Hop("example.com", 0, any_transport=True)
ALL: tuple[Transport, ...] = ("UDP", "TCP", "TLS")
Zone = Mapping[tuple[str, str], Answer]


class Fixed:
    """Always draws the same."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


def targets(
    zone: Zone,
    hop: Hop = OPEN,
    *,
    speaks: Sequence[Transport] = ALL,
    families: Sequence[str] = ("A",),
    asked: list[Question] | None = None,
) -> list[Hop]:
    lookup = look_up(hop, speaks, families, Fixed(0.0))  # type: ignore[arg-type]
    try:
        questions = next(lookup)
        while True:
            if asked is not None:
                asked += questions
            questions = lookup.send([zone.get((one.name, one.type), ()) for one in questions])
    except StopIteration as done:
        return list(done.value)


def places(found: Sequence[Hop]) -> list[tuple[str, str, int]]:
    return [(hop.transport, hop.host, hop.port) for hop in found]


ADDRESSES: Zone = {
    ("a.example.com", "A"): ["192.0.2.1"],
    ("b.example.com", "A"): ["192.0.2.2", "192.0.2.3"],
    ("example.com", "A"): ["192.0.2.9"],
    ("example.com", "AAAA"): ["2001:db8::9"],
}
NAPTR: Zone = {
    ("example.com", "NAPTR"): [
        Naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
        Naptr(90, 60, "S", "SIP+D2U", "_sip._udp.example.com"),
        Naptr(90, 50, "s", "SIP+D2T", "_sip._tcp.example.com."),
        Naptr(10, 10, "s", "SIP+D2W", "_ws.example.com"),
        Naptr(10, 10, "u", "E2U+sip", ""),
    ],
    ("_sips._tcp.example.com", "SRV"): [Service(10, 1, 5061, "a.example.com.")],
    ("_sip._tcp.example.com", "SRV"): [Service(10, 1, 5070, "b.example.com")],
    ("_sip._udp.example.com", "SRV"): [
        Service(20, 1, 5080, "b.example.com"),
        Service(10, 1, 5060, "a.example.com"),
    ],
    **ADDRESSES,
}


def test_naptr_chooses_the_transports_srv_the_servers() -> None:
    assert places(targets(NAPTR)) == [
        ("TLS", "192.0.2.1", 5061),
        ("TCP", "192.0.2.2", 5070),
        ("TCP", "192.0.2.3", 5070),
        ("UDP", "192.0.2.1", 5060),
        ("UDP", "192.0.2.2", 5080),
        ("UDP", "192.0.2.3", 5080),
    ]


def test_what_we_do_not_speak_is_left_out() -> None:
    assert {hop.transport for hop in targets(NAPTR, speaks=("UDP",))} == {"UDP"}


def test_a_named_transport_skips_naptr() -> None:
    asked: list[Question] = []
    found = targets(NAPTR, Hop("example.com", 0, "TCP"), asked=asked)
    assert places(found) == [("TCP", "192.0.2.2", 5070), ("TCP", "192.0.2.3", 5070)]
    assert "NAPTR" not in {question.type for question in asked}


def test_a_port_leaves_only_the_address_to_ask_for() -> None:
    asked: list[Question] = []
    found = targets(NAPTR, Hop("example.com", 5090, "TLS"), asked=asked)
    assert places(found) == [("TLS", "192.0.2.9", 5090)]
    assert asked == [Question("example.com", "A")]


@pytest.mark.parametrize("host", ["192.0.2.77", "2001:db8::77"])
@pytest.mark.parametrize(("transport", "port"), [("UDP", 5060), ("TLS", 5061)])
def test_an_address_asks_for_nothing(host: str, transport: Transport, port: int) -> None:
    asked: list[Question] = []
    assert places(targets({}, Hop(host, 0, transport), asked=asked)) == [(transport, host, port)]
    assert not asked


def test_without_naptr_each_transport_is_asked_for() -> None:
    zone = {key: value for key, value in NAPTR.items() if key[1] != "NAPTR"}
    assert [hop.transport for hop in targets(zone)] == ["UDP"] * 3 + ["TCP"] * 2 + ["TLS"]


@pytest.mark.parametrize(("transport", "port"), [("UDP", 5060), ("TCP", 5060), ("TLS", 5061)])
def test_without_any_service_the_name_itself_is_the_server(transport, port) -> None:
    assert places(targets(ADDRESSES, Hop("example.com", 0, transport))) == [
        (transport, "192.0.2.9", port)
    ]


def test_addresses_come_in_the_order_of_families() -> None:
    found = targets(ADDRESSES, Hop("example.com", 5060), families=("AAAA", "A"))
    assert [hop.host for hop in found] == ["2001:db8::9", "192.0.2.9"]


def test_a_service_that_is_decidedly_not_there_leads_nowhere() -> None:
    zone = {("_sip._tcp.example.com", "SRV"): [Service(0, 0, 0, ".")], **ADDRESSES}
    assert targets(zone, Hop("example.com", 0, "TCP")) == []


def test_a_name_nobody_knows_leads_nowhere() -> None:
    assert targets({}) == []


def test_targets_remember_the_name_and_the_profile() -> None:
    (first, *_) = targets(NAPTR, OPEN._replace(profile="carrier"))
    assert (first.name, first.profile, first.any_transport) == ("example.com", "carrier", False)


def test_a_zone_of_a_thousand_servers_yields_a_handful() -> None:
    names = [f"s{n}.example.com" for n in range(1000)]
    zone: dict[tuple[str, str], Answer] = {
        ("_sip._udp.example.com", "SRV"): [Service(1, 1, 5060, name) for name in names]
    }
    for n, name in enumerate(names):
        zone[name, "A"] = [f"192.0.2.{n % 250}"]
    asked: list[Question] = []
    assert len(targets(zone, Hop("example.com", 0), asked=asked)) == 16
    assert len(asked) < 20


def test_records_of_the_wrong_kind_are_no_records() -> None:
    zone: Zone = {("example.com", "NAPTR"): ["?"], ("_sip._udp.example.com", "SRV"): ["?"]}
    assert targets({**ADDRESSES, **zone})[0].host == "192.0.2.9"


# -- weights -------------------------------------------------------------------------------


def test_priorities_come_first() -> None:
    records = [Service(20, 100, 1, "c"), Service(10, 0, 1, "a"), Service(15, 0, 1, "b")]
    assert [one.target for one in order_services(records, random.Random(1))] == ["a", "b", "c"]


def test_chance_follows_the_weights() -> None:
    records = [Service(0, 10, 1, "ten"), Service(0, 30, 1, "thirty"), Service(0, 60, 1, "sixty")]
    rng = random.Random(7)
    first = Counter(order_services(records, rng)[0].target for _ in range(4000))
    assert abs(first["ten"] / 4000 - 0.1) < 0.03
    assert abs(first["thirty"] / 4000 - 0.3) < 0.04
    assert abs(first["sixty"] / 4000 - 0.6) < 0.04


def test_no_weight_is_a_small_chance_and_not_none() -> None:
    records = [Service(0, 0, 1, "spare"), Service(0, 9, 1, "main")]
    rng = random.Random(3)
    first = Counter(order_services(records, rng)[0].target for _ in range(4000))
    assert 0 < first["spare"] < 800


@given(
    st.lists(
        st.builds(
            Service,
            st.integers(0, 3),
            st.integers(0, 65535),
            st.integers(1, 65535),
            st.sampled_from("abcdef"),
        ),
        max_size=12,
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_every_server_is_tried_once(records: list[Service], draw: float) -> None:
    ordered = order_services(records, Fixed(draw))
    assert Counter(ordered) == Counter(records)
    assert [one.priority for one in ordered] == sorted(one.priority for one in records)
