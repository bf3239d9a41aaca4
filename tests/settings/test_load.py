"""Building the settings, and refusing what nobody meant."""

from pathlib import Path

import msgspec
import pytest

from trunkline.errors import ConfigError
from trunkline.settings import Secret, Settings, config_files, load
from trunkline.settings.keys import keys


@pytest.fixture
def toml(tmp_path: Path):
    def write(text: str, name: str = "trunkline.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(**kwargs: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(**kwargs)  # type: ignore[arg-type]
    return str(caught.value)


# Order


def test_without_anything_the_defaults_are_in_force() -> None:
    loaded = load()
    assert loaded.settings.sip.host == "127.0.0.1"
    assert loaded.settings.sip.port == 5060
    assert set(loaded.origins.values()) == {"default"}
    assert set(loaded.origins) == set(keys())


def test_files_environment_and_flags_each_win_over_the_last(toml) -> None:
    system = toml("[sip]\nport = 1\nrealm = 'a'\nuser_agent = 'a'\nt1_ms = 11", "system.toml")
    mine = toml("[sip]\nport = 2\nrealm = 'b'\nuser_agent = 'b'")
    loaded = load(
        [system, mine],
        environ={"TRUNKLINE_SIP__PORT": "3", "TRUNKLINE_SIP__REALM": "c"},
        flags={"sip.port": 4},
    )
    sip = loaded.settings.sip
    assert (sip.port, sip.realm, sip.user_agent, sip.t1_ms) == (4, "c", "b", 11)
    assert loaded.origins["sip.port"] == "flag"
    assert loaded.origins["sip.realm"] == "env TRUNKLINE_SIP__REALM"
    assert loaded.origins["sip.user_agent"] == str(mine)
    assert loaded.origins["sip.t1_ms"] == str(system)
    assert loaded.origins["sip.host"] == "default"


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert load(flags={"sip.port": None}).settings == load().settings


def test_nested_sections_are_reached_from_everywhere(toml) -> None:
    path = toml("[agent]\ngreeting = 'hi'\n[agent.turns]\nsilence_ms = 700")
    assert load([path]).settings.agent.turns.silence_ms == 700
    environ = {"TRUNKLINE_AGENT__TURNS__SILENCE_MS": "800"}
    settings = load([path], environ=environ).settings
    assert settings.agent.turns.silence_ms == 800
    assert settings.agent.greeting == "hi"


def test_the_tree_is_frozen() -> None:
    with pytest.raises(AttributeError):
        load().settings.sip.port = 1  # type: ignore[misc]


def test_paths_lose_their_tilde(monkeypatch: pytest.MonkeyPatch, toml) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    settings = load([toml("[records]\npath = '~/calls.db'")]).settings
    assert settings.records.path == Path("/home/ann/calls.db")
    assert settings.recording.folder == Path("/home/ann/.local/share/trunkline/recordings")


# Which files


def test_the_local_file_is_read_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toml
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path("trunkline.toml") not in config_files(None, {})
    toml("")
    assert config_files(None, {})[-1] == Path("trunkline.toml")


def test_a_named_file_takes_the_place_of_the_local_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toml
) -> None:
    monkeypatch.chdir(tmp_path)
    toml("")
    other, third = toml("", "other.toml"), toml("", "third.toml")
    assert config_files(None, {"TRUNKLINE_CONFIG": str(third)})[-1] == third
    assert config_files(other, {"TRUNKLINE_CONFIG": str(third)})[-1] == other


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*none\.toml"):
        config_files(tmp_path / "none.toml", {})


# Text from the environment and from flags


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("sip.port", "5070", 5070),
        ("node.drain_seconds", "2.5", 2.5),
        ("node.drain_seconds", "2", 2.0),
        ("recording.enabled", "true", True),
        ("recording.enabled", "1", True),
        ("recording.enabled", "false", False),
        ("sip.realm", "123", "123"),
        ("sip.realm", "", ""),
        ("log.level", "debug", "debug"),
        ("sip.allowed_addresses", "10.0.0.1, 10.0.0.2", ("10.0.0.1", "10.0.0.2")),
        ("sip.allowed_addresses", '["10.0.0.1"]', ("10.0.0.1",)),
        ("sip.allowed_addresses", "", ()),
        ("media.codecs", "pcma", ("pcma",)),
        ("speech.stt_options", "{beam = 3, fast = true}", {"beam": 3, "fast": True}),
        ("records.path", "/tmp/x.db", Path("/tmp/x.db")),
    ],
)
def test_text_becomes_the_type_of_its_setting(key: str, text: str, value: object) -> None:
    def value_of(settings: Settings) -> object:
        section, name = key.split(".")
        return getattr(getattr(settings, section), name)

    variable = "TRUNKLINE_" + key.replace(".", "__").upper()
    assert value_of(load(environ={variable: text}).settings) == value
    assert value_of(load(flags={key: text}).settings) == value


def test_a_file_is_held_to_its_types(toml) -> None:
    message = refusal(files=[toml("[sip]\nport = '5060'")])
    assert "sip.port is '5060' but must be a whole number from 0 to 65535" in message


# Refusals


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[sip]\nprot = 1", "there is no key sip.prot; did you mean sip.port?"),
        ("[spi]\nport = 1", "there is no section spi; did you mean sip?"),
        ("[agent]\nsilence_ms = 1", "did you mean agent.turns.silence_ms?"),
        ("[agent.turn]\nsilence_ms = 1", "no key agent.turn; did you mean agent.turns?"),
        ("[media]\njitter_max = 1", "did you mean media.jitter_max_ms?"),
        ("port = 5060", "there is no section port; did you mean sip.port?"),
        ("[qqqq]\nx = 1", "there is no section qqqq; see `trunkline config sample`"),
        ("sip = 5060", "sip is a section: write [sip] and keys below it"),
    ],
)
def test_an_unknown_key_is_named_with_the_closest_there_is(toml, text: str, hint: str) -> None:
    path = toml(text)
    message = refusal(files=[path])
    assert message.startswith(str(path))
    assert hint in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[sip]\nport = 70000", "sip.port is '70000' but must be a whole number from 0 to 65535"),
        ("[sip]\nport = true", "must be a whole number"),
        ("[sip]\nport = 1.5", "must be a whole number"),
        ("[sip]\nport = 2020-01-01", "must be a whole number"),
        ("[sip]\nhost = 1", "sip.host is '1' but must be text"),
        ("[sip]\nallowed_addresses = 'x'", "must be a list, each text"),
        ("[sip]\nallowed_addresses = [1]", "allowed_addresses[0] is '1' but must be text"),
        ("[sip]\naccounts = 'x'", "sip.accounts must be a table"),
        ("[sip.accounts]\nann = 5", "sip.accounts must be a table"),
        ("[log]\nlevel = 'loud'", 'must be one of "debug", "info", "warning", "error"'),
        ("[media]\ncodecs = ['gsm']", 'codecs[0] is \'gsm\' but must be one of "pcmu", "pcma"'),
        ("[media.opus]\nbitrate = 5000", "must be a whole number from 6000 to 510000"),
        ("[media.opus]\ncomplexity = 0", "must be a whole number from 1 to 10"),
        ("[media.opus]\nfec = true", 'must be one of "auto", "on", "off"'),
        ("[media.opus]\nfecs = 'on'", "did you mean media.opus.fec?"),
        ("[agent.turns]\nthreshold = 1.0", "must be a number above 0 and below 1"),
        ("[agent.turns]\nthreshold = nan", "must be a number above 0 and below 1"),
        ("[node]\ndrain_seconds = inf", "must be a number from 0 to 86400"),
        ("[records]\npath = 1", "must be a path"),
        ("[recording]\nenabled = 'yes'", "must be true or false"),
        (
            "[speech.stt_options]\nx = [1]",
            "\"x\" is '[1]' but must be true or false or a whole number",
        ),
    ],
)
def test_a_wrong_value_is_answered_with_what_is_accepted(toml, text: str, expected: str) -> None:
    assert expected in refusal(files=[toml(text)])


def test_opus_is_set_from_a_file_and_the_environment(toml) -> None:
    path = toml("[media]\ncodecs = ['opus']\n[media.opus]\nbitrate = 16000\nfec = 'on'")
    environ = {"TRUNKLINE_MEDIA__OPUS__FEC": "off", "TRUNKLINE_MEDIA__OPUS__DTX": "true"}
    opus = load(files=[path], environ=environ).settings.media.opus
    assert (opus.bitrate, opus.fec, opus.dtx, opus.complexity) == (16_000, "off", True, 3)


def test_broken_toml_names_the_file_and_the_line(toml) -> None:
    path = toml("[sip]\nport = = 1")
    message = refusal(files=[path])
    assert str(path) in message
    assert "line 2" in message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe[sip]")
    assert "not UTF-8 text" in refusal(files=[path])


def test_a_folder_for_a_file_is_refused(tmp_path: Path) -> None:
    assert "cannot read" in refusal(files=[tmp_path])


def test_a_mistyped_variable_is_named_with_the_right_one() -> None:
    message = refusal(environ={"TRUNKLINE_SIP__PROT": "1"})
    assert "TRUNKLINE_SIP__PROT, which is no setting; did you mean TRUNKLINE_SIP__PORT?" in message


def test_variables_that_kubernetes_sets_do_not_matter() -> None:
    environ = {"TRUNKLINE_PORT": "tcp://10.0.0.1:80", "TRUNKLINE_SERVICE_HOST": "10.0.0.1"}
    loaded = load(environ=environ)
    assert loaded.settings == load().settings
    assert loaded.notes == ()


def test_one_underscore_where_two_belong_is_pointed_out() -> None:
    (note,) = load(environ={"TRUNKLINE_SIP_PORT": "5070"}).notes
    assert "TRUNKLINE_SIP_PORT" in note
    assert "TRUNKLINE_SIP__PORT" in note
    assert load(environ={"TRUNKLINE_SIP_PORT": "tcp://10.0.0.1:80"}).notes == ()


def test_an_unknown_flag_is_refused() -> None:
    assert "command line: there is no key sip.prot" in refusal(flags={"sip.prot": 1})


def test_broken_toml_in_a_variable_is_refused() -> None:
    assert "must be a table" in refusal(environ={"TRUNKLINE_SPEECH__STT_OPTIONS": "{x"})


# Secrets


def test_secrets_are_read_from_where_they_are_kept(toml, tmp_path: Path) -> None:
    (tmp_path / "bob").write_text("b0b\n")
    text = f"[sip.accounts]\nann = 'env:ANN'\nbob = 'file:{tmp_path}/bob'\ncid = 'plain'"
    accounts = load([toml(text)], environ={"ANN": "4nn"}).settings.sip.accounts
    assert {user: password.reveal() for user, password in accounts.items()} == {
        "ann": "4nn",
        "bob": "b0b",
        "cid": "plain",
    }


def test_a_secret_that_is_not_there_is_an_error_at_its_place(toml) -> None:
    path = toml("[http]\ntoken = 'env:NOPE'")
    assert refusal(files=[path]) == (
        f"{path}: http.token: the environment variable NOPE is not set"
    )


def test_no_message_and_no_repr_shows_a_secret(toml) -> None:
    for text in ("[http]\ntoken = [ 'hunter2' ]", "[sip.accounts]\nann = { pw = 'hunter2' }"):
        assert "hunter2" not in refusal(files=[toml(text)])
    loaded = load([toml("[http]\ntoken = 'hunter2'\n[sip.accounts]\nann = 'hunter2'")])
    assert loaded.settings.http.token == Secret("hunter2")
    assert "hunter2" not in repr(loaded)


def test_every_section_can_be_made_of_nothing() -> None:
    for section in msgspec.structs.fields(Settings):
        if section.name == "trunks":  # a table of tables, and no section
            continue
        assert section.type() == section.default


def test_a_home_folder_that_cannot_be_known_is_left_as_it_is_written(
    toml, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(self: Path) -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "expanduser", unknown)
    settings = load([toml("[records]\npath = '~/calls.db'")]).settings
    assert settings.records.path == Path("~/calls.db")


@pytest.mark.parametrize("text", ["inf", "-inf", "nan"])
def test_a_number_from_the_environment_is_a_finite_one(text: str) -> None:
    message = refusal(environ={"TRUNKLINE_NODE__DRAIN_SECONDS": text})
    assert "node.drain_seconds" in message
    assert "must be a number" in message
