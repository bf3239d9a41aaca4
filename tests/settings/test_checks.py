"""Settings that contradict each other or expose the node are refused."""

import pytest

from trunkline.errors import ConfigError, UsageError
from trunkline.media.jitter import JitterSettings
from trunkline.settings import Settings, check, is_loopback, load, problems


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
