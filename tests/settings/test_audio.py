"""The settings of the audio chain: their own names, and that the chain takes them as they are."""

from dataclasses import asdict
from pathlib import Path

import pytest

from trunkline.errors import ConfigError
from trunkline.media import Chain, ChainSettings
from trunkline.settings import Audio, TrunkAudio, check, load, problems
from trunkline.settings.sample import sample, show
from trunkline.settings.tree import CHAIN_NAMES

OTHERS = {
    "ENABLE_ECHO_CANCELLATION": ("false", False),
    "ENABLE_NOISE_REDUCTION": ("0", False),
    "ENABLE_JITTER_BUFFER": ("false", False),
    "AUDIO_CHUNK_DURATION_MS": ("20", 20),
    "JITTER_BUFFER_TARGET_MS": ("100", 100),
    "JITTER_BUFFER_MIN_MS": ("60", 60),
    "JITTER_BUFFER_MAX_MS": ("180", 180),
    "NOISE_REDUCTION_STRENGTH": ("0.5", 0.5),
    "ECHO_FILTER_LENGTH": ("2048", 2048),
    "AUDIO_BUFFER_DURATION_MS": ("1000", 1000),
    "MAX_AUDIO_LATENCY_MS": ("150", 150),
}


def audio(environ: dict[str, str]) -> Audio:
    return load(environ=environ).settings.audio


def test_the_chain_is_set_as_the_settings_are_by_name_and_default() -> None:
    assert Audio().chain == asdict(ChainSettings())
    assert Chain(8000, ChainSettings(**Audio().chain)).health().healthy


def test_the_defaults() -> None:
    assert audio({}).chain == {
        "enable_echo_cancellation": True,
        "enable_noise_reduction": True,
        "enable_jitter_buffer": True,
        "audio_chunk_duration_ms": 20,
        "jitter_buffer_target_ms": 80,
        "jitter_buffer_min_ms": 40,
        "jitter_buffer_max_ms": 200,
        "noise_reduction_strength": 0.8,
        "echo_filter_length": 1024,
        "audio_buffer_duration_ms": 500,
        "max_audio_latency_ms": 200,
    }


def test_every_one_is_read_by_its_own_name() -> None:
    loaded = load(environ={name: text for name, (text, _) in OTHERS.items()})
    for name, (_, value) in OTHERS.items():
        assert getattr(loaded.settings.audio, name.lower()) == value
        assert loaded.origins[f"audio.{name.lower()}"] == f"env {name}"
    assert {name.lower() for name in OTHERS} == set(CHAIN_NAMES)
    check(loaded.settings)


def test_our_own_name_goes_before_the_plain_one_and_flags_before_both() -> None:
    environ = {
        "ECHO_FILTER_LENGTH": "512",
        "TRUNKLINE_AUDIO__ECHO_FILTER_LENGTH": "2048",
    }
    assert audio(environ).echo_filter_length == 2048
    assert audio(dict(reversed(environ.items()))).echo_filter_length == 2048
    loaded = load(environ=environ, flags={"audio.echo_filter_length": "64"})
    assert loaded.settings.audio.echo_filter_length == 64


def test_the_plain_name_goes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "trunkline.toml"
    path.write_text("[audio]\njitter_buffer_target_ms = 60\nmax_audio_latency_ms = 300")
    loaded = load([path], environ={"JITTER_BUFFER_TARGET_MS": "120"})
    assert loaded.settings.audio.jitter_buffer_target_ms == 120
    assert loaded.settings.audio.max_audio_latency_ms == 300


def test_only_the_chains_settings_have_plain_names() -> None:
    loaded = load(environ={"PORT": "1", "HOST": "0.0.0.0", "ENABLED": "false", "NAME": "x"})
    assert loaded.settings == load().settings


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("ENABLE_JITTER_BUFFER", "perhaps", "must be true or false"),
        ("ENABLE_NOISE_REDUCTION", "", "must be true or false"),
        ("NOISE_REDUCTION_STRENGTH", "1.5", "must be a number from 0 to 1"),
        ("NOISE_REDUCTION_STRENGTH", "nan", "must be a number from 0 to 1"),
        ("ECHO_FILTER_LENGTH", "4", "must be a whole number from 16 to 8192"),
        ("JITTER_BUFFER_MAX_MS", "1000", "must be a whole number from 20 to 280"),
        ("AUDIO_BUFFER_DURATION_MS", "-1", "must be a whole number from 20 to 60000"),
        ("MAX_AUDIO_LATENCY_MS", "soon", "must be a whole number from 20 to 60000"),
    ],
)
def test_a_wrong_value_names_its_variable_and_what_is_accepted(
    name: str, text: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ={name: text})
    assert str(caught.value).startswith(f"env {name}: audio.{name.lower()} is {text!r} but {says}")


def test_what_contradicts_is_refused_in_words() -> None:
    found = list(
        problems(
            load(
                environ={"AUDIO_CHUNK_DURATION_MS": "30", "JITTER_BUFFER_TARGET_MS": "20"}
            ).settings
        )
    )
    assert found == [
        "audio.audio_chunk_duration_ms is 30: everything runs in chunks of 20 ms, whatever the"
        " packets' length. Set 20",
        "audio.jitter_buffer_target_ms is 20: it must lie between jitter_buffer_min_ms (40)"
        " and jitter_buffer_max_ms (200)",
    ]


def test_whatever_passes_the_checks_makes_a_chain() -> None:
    for name, (low, high) in {
        "noise_reduction_strength": (0.0, 1.0),
        "echo_filter_length": (16, 8192),
        "audio_buffer_duration_ms": (20, 60_000),
        "max_audio_latency_ms": (20, 60_000),
        "jitter_buffer_max_ms": (80, 280),
        "jitter_buffer_min_ms": (20, 80),
    }.items():
        for value in (low, high):
            given = load(flags={f"audio.{name}": value}).settings
            check(given)
            Chain(8000, ChainSettings(**given.audio.chain))


def test_the_sample_tells_of_the_plain_names() -> None:
    section = sample().partition("[audio]")[0].rpartition("\n\n")[2]
    assert "ENABLE_JITTER_BUFFER=false" in section


# The node's own calls


def test_agents_have_echo_cancellation_and_nothing_else_is_done_by_default() -> None:
    given = Audio()
    assert (given.agent_echo, given.agent_noise, given.agent_recogniser_noise) == (
        "kalman",
        "off",
        False,
    )
    assert (given.relay_echo, given.relay_noise, given.trunks) == ("off", "off", {})


def test_the_settings_of_calls_have_no_plain_names() -> None:
    plain = {"AGENT_ECHO": "off", "RELAY_NOISE": "x", "TRUNKS": "x", "AGENT_NOISE": "x"}
    assert load(environ=plain).settings == load().settings
    assert audio({"TRUNKLINE_AUDIO__AGENT_ECHO": "off"}).agent_echo == "off"


def test_a_trunk_is_a_table_by_its_address_or_account(tmp_path: Path) -> None:
    path = tmp_path / "trunkline.toml"
    path.write_text(
        '[audio]\nagent_echo = "speex"\n'
        '[audio.trunks."203.0.113.0/24"]\necho = "off"\nnoise = "logmmse"\nstrength = 0.5\n'
        "[audio.trunks.carrier]\nrecogniser_noise = true\n"
        '[sip.accounts]\ncarrier = "secret"\n'
    )
    settings = load([path]).settings
    check(settings)
    assert settings.audio.agent_echo == "speex"
    assert settings.audio.trunks == {
        "203.0.113.0/24": TrunkAudio(echo="off", noise="logmmse", strength=0.5),
        "carrier": TrunkAudio(recogniser_noise=True),
    }


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('agent_echo = "loud"', "audio.agent_echo is 'loud' but must be one of \"kalman\", "),
        ('trunks = "x"', "audio.trunks is 'x' but must be a table, each value a table of echo"),
        ("trunks.x = 3", "audio.trunks.\"x\" is '3' but must be a table of echo, noise, strength"),
        ('trunks.x.ecko = "off"', 'no key audio.trunks."x".ecko; did you mean echo?'),
        (
            'trunks.x.echo = "loud"',
            'audio.trunks."x".echo is \'loud\' but must be one of "kalman"',
        ),
        ("trunks.x.strength = 2", "audio.trunks.\"x\".strength is '2' but must be a number from 0"),
    ],
)
def test_what_is_wrong_of_a_trunk_is_told_with_its_place(
    table: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "trunkline.toml"
    path.write_text(f"[audio]\n{table}")
    with pytest.raises(ConfigError) as caught:
        load([path])
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["carrier", "203.0.113.0/33", "203.0.113.9/24", "203.0.113", ""])
def test_a_trunk_that_nobody_can_be_is_refused(name: str) -> None:
    (problem,) = problems(load(flags={"audio.trunks": {name: {"echo": "off"}}}).settings)
    assert problem.startswith(f'audio.trunks."{name}": ')
    assert "write an account of sip.accounts, an address, or a network" in problem


@pytest.mark.parametrize(
    "name", ["203.0.113.0/24", "203.0.113.9", "2001:db8::1", "sip.example.com"]
)
def test_a_trunk_may_be_an_address_a_network_or_a_host(name: str) -> None:
    assert not list(problems(load(flags={"audio.trunks": {name: {"echo": "off"}}}).settings))


def test_the_sample_has_the_calls_and_shows_trunks() -> None:
    assert '\nagent_echo = "kalman"\n' in sample()
    assert '[audio.trunks]\n# "203.0.113.0/24" = { echo = "off"' in sample()
    shown = {
        one.key: one.value for one in show(load(flags={"audio.trunks": {"a.b": {"echo": "off"}}}))
    }
    assert shown["audio.trunks"] == '{ "a.b" = { "echo" = "off" } }'
