"""What a call's audio goes through: kind, trunk, route and call, each over the one before."""

import pytest

from trunkline.calls import AudioDefaults, AudioPath
from trunkline.calls.audio import CallAudio
from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media import Bypass, ChainStages
from trunkline.speech import register
from trunkline.transports.leg import Party

ECHO_ALONE = ChainStages(echo="kalman", noise="off")
PARTY = Party("+4930", "+1555", account="carrier", host="203.0.113.9")


def stages(audio: CallAudio, *, agent: bool = False) -> ChainStages | None:
    audio.agent = agent
    return audio.stages()


# Kinds


def test_an_agent_has_echo_cancellation_and_a_relay_nothing() -> None:
    call = CallAudio(AudioDefaults(), "sip", PARTY)
    assert stages(call) is None
    assert stages(call, agent=True) == ECHO_ALONE


def test_a_twilio_stream_is_treated_as_a_telephone() -> None:
    assert stages(CallAudio(AudioDefaults(), "twilio", PARTY), agent=True) == ECHO_ALONE


def test_a_browser_has_nothing_of_ours_unless_asked_for() -> None:
    call = CallAudio(AudioDefaults(), "browser", Party("browser", "talk"))
    assert stages(call, agent=True) is None
    call.asked = AudioPath(echo="nlms")
    assert stages(call, agent=True) == ChainStages(echo="nlms", noise="off")


# Layers


def test_route_goes_over_trunk_and_call_over_route() -> None:
    defaults = AudioDefaults(trunks={"carrier": AudioPath(echo="nlms", noise="spectral")})
    trunk = CallAudio(defaults, "sip", PARTY)
    assert stages(trunk) == ChainStages(echo="nlms", noise="spectral")
    route = CallAudio(defaults, "sip", PARTY, AudioPath(noise="logmmse", strength=0.5))
    assert stages(route) == ChainStages(echo="nlms", noise="logmmse", noise_strength=0.5)
    route.asked = AudioPath(echo="off", recogniser_noise=True)
    assert stages(route) == ChainStages(
        echo="off", noise="logmmse", noise_strength=0.5, recogniser_noise=True
    )
    route.asked = None
    assert stages(route) == ChainStages(echo="nlms", noise="logmmse", noise_strength=0.5)


def test_off_is_said_and_none_is_not() -> None:
    below = AudioPath("kalman", "logmmse", 0.3, True)
    assert AudioPath(echo="off", strength=0.0).over(below) == AudioPath("off", "logmmse", 0.0, True)
    assert AudioPath().over(below) == below


def test_what_makes_no_difference_makes_no_other_chain() -> None:
    assert AudioPath("kalman", "off", 0.1, True).stages() == ECHO_ALONE
    assert AudioPath().stages() is None
    assert AudioPath("off", "off", 0.3, True).stages() is None


# Trunks


@pytest.mark.parametrize(
    ("party", "expected"),
    [
        (Party("", "", account="carrier", host="203.0.113.9"), "account"),
        (Party("", "", host="203.0.113.9"), "near"),
        (Party("", "", host="203.0.113.200"), "far"),
        (Party("", "", host="198.51.100.1"), "address"),
        (Party("", "", host="2001:db8::1"), "v6"),
        (Party("", "", host="sip.example.com"), "name"),
        (Party("", "", host="192.0.2.1"), None),
        (Party("", "", account="nobody"), None),
        (Party("", ""), None),
        (Party("", "", host="not an address"), None),
    ],
)
def test_a_trunk_is_found_by_account_then_address_then_nearest_network(
    party: Party, expected: str | None
) -> None:
    named = {
        "carrier": "account",
        "203.0.113.0/24": "far",
        "203.0.113.0/28": "near",
        "198.51.100.1": "address",
        "2001:db8::/32": "v6",
        "sip.example.com": "name",
    }
    paths = {name: AudioPath(strength=index / 10) for index, name in enumerate(named)}
    found = AudioDefaults(trunks=paths).trunk(party)
    told = next((named[name] for name, path in paths.items() if path is found), None)
    assert told == expected


# Names


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (lambda: AudioPath(echo="kalmann"), "no echo canceller is called 'kalmann'; there are"),
        (lambda: AudioPath(noise="loud"), "no noise suppression is called 'loud'.*logmmse"),
        (lambda: AudioPath(strength=1.5), "0 to 1, not 1.5"),
        (lambda: AudioPath(strength=float("nan")), "0 to 1, not nan"),
    ],
)
def test_what_is_not_there_is_refused_with_what_there_is(path: object, says: str) -> None:
    assert callable(path)
    with pytest.raises(UsageError, match=says):
        path()


def test_an_engine_of_the_registry_is_one_bank_for_all_calls() -> None:
    made: list[int] = []

    class Mine(Bypass):
        def __init__(self, rate_hz: int) -> None:
            super().__init__(rate_hz)
            made.append(rate_hz)

    register("noise", "mine-for-a-test", Mine)
    one, other = (AudioPath(noise="mine-for-a-test").stages() for _ in range(2))
    assert one == other
    assert one is not None
    assert hash(one) == hash(other)
    assert made == [8000]  # tried once
    assert callable(one.noise)
    assert isinstance(one.noise(8000), Mine)


def test_an_engine_that_cannot_be_made_says_so_before_a_call_needs_it() -> None:
    def missing(rate_hz: int) -> Bypass:
        raise MissingDependencyError("run: pip install it")

    register("echo", "missing-for-a-test", missing)
    with pytest.raises(MissingDependencyError, match="pip install"):
        AudioPath(echo="missing-for-a-test").stages()


def test_a_function_makes_a_stage() -> None:
    path = AudioPath(noise=Bypass)
    assert path.stages() == ChainStages(echo="off", noise=Bypass)
