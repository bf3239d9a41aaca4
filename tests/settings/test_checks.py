"""Settings that contradict each other or expose the node are refused."""

from typing import Any

import pytest

from trunkline.errors import ConfigError, UsageError
from trunkline.media.jitter import JitterSettings
from trunkline.settings import (
    S3,
    Recording,
    Secret,
    Settings,
    check,
    is_loopback,
    load,
    problems,
)
from trunkline.settings.checks import name_server


def found(**flags: object) -> list[str]:
    dotted = {key.replace("__", "."): value for key, value in flags.items()}
    return list(problems(load(flags=dotted).settings))


def test_the_defaults_are_safe() -> None:
    check(load().settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "", "localhost.evil"])
def test_everything_else_is_wider(host: str) -> None:
    assert not is_loopback(host)


def test_a_wide_sip_address_needs_accounts_or_addresses() -> None:
    wide = {"sip__host": "0.0.0.0", "media__host": "0.0.0.0"}
    (problem,) = found(**wide)
    assert "sip.allowed_addresses" in problem
    assert "sip.accounts" in problem
    assert not found(**wide, sip__allowed_addresses=["203.0.113.0/24"])
    assert not found(**wide, sip__accounts={"ann": "pw"})


def test_wide_streams_need_the_auth_token() -> None:
    (problem,) = found(streams__host="0.0.0.0")
    assert "streams.twilio_auth_token" in problem
    assert not found(streams__host="0.0.0.0", streams__twilio_auth_token="t")
    assert not found(streams__host="0.0.0.0", streams__enabled=False)


def test_a_token_that_is_empty_is_none() -> None:
    assert found(streams__host="0.0.0.0", streams__twilio_auth_token="")


def test_wide_http_needs_a_token() -> None:
    (problem,) = found(http__host="0.0.0.0")
    assert "http.token" in problem
    assert not found(http__host="0.0.0.0", http__token="t")
    assert not found(http__host="0.0.0.0", http__enabled=False)


def test_media_must_be_reachable_from_where_sip_is() -> None:
    (problem,) = found(sip__host="0.0.0.0", sip__allowed_addresses=["10.0.0.1"])
    assert "Set media.host too" in problem


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"media__first_port": 10_001}, "even ports"),
        ({"media__last_port": 10_000}, "less than two ports"),
        ({"media__jitter_start_ms": 220}, "between jitter_min_ms and jitter_max_ms"),
        ({"media__jitter_min_ms": 70}, "between jitter_min_ms and jitter_max_ms"),
        ({"media__codecs": []}, "a call needs one"),
        ({"streams__path": "twilio"}, "begins with a slash"),
        ({"streams__public_url": "https://x"}, "begins with wss://"),
        ({"sip__allowed_addresses": ["10.0.0.1/8"]}, "sip.allowed_addresses: 10.0.0.1/8"),
        ({"sip__allowed_addresses": ["trunk.example"]}, "sip.allowed_addresses: 'trunk.example'"),
        ({"speech__stt_options": {"api_key": "sk"}}, "speech.stt_api_key"),
    ],
)
def test_contradictions_are_named(flags: dict[str, object], said: str) -> None:
    (problem,) = found(**flags)
    assert said in problem


def test_every_problem_is_told_at_once() -> None:
    settings = load(flags={"http.host": "0.0.0.0", "streams.path": "x"}).settings
    with pytest.raises(ConfigError) as caught:
        check(settings)
    assert len(str(caught.value).splitlines()) == 2


def test_the_jitter_buffer_takes_whatever_the_settings_allow() -> None:
    ours, its = Settings().media, JitterSettings()
    assert (ours.jitter_min_ms, ours.jitter_start_ms, ours.jitter_max_ms) == (
        its.min_ms,
        its.start_ms,
        its.max_ms,
    )
    for delay in (20, 280):
        JitterSettings(min_ms=delay, start_ms=delay, max_ms=delay)
    for delay in (19, 281):
        with pytest.raises(UsageError):
            JitterSettings(min_ms=delay, start_ms=delay, max_ms=delay)
        with pytest.raises(ConfigError):
            load(flags={"media.jitter_max_ms": delay})


@pytest.mark.parametrize(
    ("recording", "told"),
    [
        ({"s3": S3(bucket="b", endpoint_url="minio:9000")}, "endpoint_url"),
        ({"s3": S3(prefix="calls")}, "set recording.s3.bucket"),
        ({"s3": S3(bucket="b", access_key_id="a")}, "go together"),
        ({"s3": S3(bucket="b", kms_key_id="k")}, "aws:kms"),
        ({"encryption_recipients": ("private:abc",)}, "has a private key"),
        ({"encryption_key_id": "2026"}, "has none"),
    ],
)
def test_recordings_go_where_they_are_meant_to(recording: dict[str, Any], told: str) -> None:
    (problem,) = problems(Settings(recording=Recording(**recording)))
    assert told in problem
    assert "private:abc" not in problem


def test_recordings_in_a_bucket_are_fine() -> None:
    s3 = S3(bucket="b", access_key_id="a", secret_access_key=Secret("s"))
    assert not list(problems(Settings(recording=Recording(s3=s3))))


def test_tls_settings_without_a_certificate_do_nothing_and_say_so() -> None:
    (problem,) = found(sip__tls_key="/x/key.pem")
    assert "sip.tls_certificate" in problem
    (problem,) = found(sip__tls_verify_clients=True)
    assert "sip.tls_certificate" in problem
    assert not found(sip__tls_certificate="/x/cert.pem", sip__tls_verify_clients=True)


def test_websockets_need_accounts() -> None:
    (problem,) = found(sip__websocket=True, sip__allowed_addresses=["192.0.2.0/24"])
    assert "sip.accounts" in problem
    assert not found(sip__websocket=True, sip__accounts={"alice": "secret"})


@pytest.mark.parametrize("ports", [{"sip__port": 5061}, {"sip__tcp_port": 5061}])
def test_tls_needs_a_port_of_its_own(ports: dict[str, int]) -> None:
    (problem,) = found(sip__tls_certificate="/x/cert.pem", **ports)
    assert "sip.tls_port" in problem


@pytest.mark.parametrize("written", ["dns.example", "192.0.2.53:x", "192.0.2.53:70000", "", "[::1"])
def test_a_name_server_is_an_address(written: str) -> None:
    (problem,) = found(sip__name_servers=[written])
    assert "sip.name_servers" in problem


@pytest.mark.parametrize(
    ("written", "server"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
    ],
)
def test_a_name_server_may_have_a_port(written: str, server: tuple[str, int]) -> None:
    assert name_server(written) == server


def test_the_ports_must_hold_the_calls() -> None:
    ports = {"media__first_port": 20_000, "media__last_port": 20_499}
    assert not found(**ports, media__max_calls=250)
    (problem,) = found(**ports, media__max_calls=251)
    assert "media.max_calls is 251" in problem and "hold 250 calls" in problem
    # Odd ends: a pair begins at an even port and has the next.
    (problem,) = found(media__first_port=20_000, media__last_port=20_002, media__max_calls=2)
    assert "hold 1 calls" in problem


@pytest.mark.parametrize("name", ["allowed_networks", "denied_networks"])
def test_networks_for_media_must_be_networks(name: str) -> None:
    assert not found(**{f"media__{name}": ["203.0.113.0/24", "203.0.113.9", "2001:db8::/32"]})
    (problem,) = found(**{f"media__{name}": ["203.0.113.0/24", "example.com"]})
    assert f"media.{name}" in problem and "example.com" in problem


@pytest.mark.parametrize("place", ["udp:203.0.113.9:9060", "tcp:[::1]:9061", "udp:homer:1", ""])
def test_a_collector_of_hep_is_a_transport_a_host_and_a_port(place: str) -> None:
    assert not found(quality__hep=place)


@pytest.mark.parametrize("place", ["homer:9060", "udp:homer", "udp::9060", "tls:h:1", "udp:h:0"])
def test_what_is_no_collector_is_refused(place: str) -> None:
    (problem,) = found(quality__hep=place)
    assert "udp:host:port" in problem


def test_good_is_not_worse_than_poor() -> None:
    (problem,) = found(quality__good_mos=2.0)
    assert "quality.poor_mos" in problem
