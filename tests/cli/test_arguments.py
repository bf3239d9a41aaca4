"""Settings from files, environment and flags, as every command takes them."""

from pathlib import Path

import pytest

from trunkline.cli.arguments import Common, arguments, given
from trunkline.errors import ConfigError


@pytest.mark.usefixtures("run")
def test_a_commands_own_flags_win_over_set() -> None:
    common = Common(set=("sip.port=1", "sip.realm=a=b"))
    sip = common.load({"sip.port": 2, "sip.host": None}).settings.sip
    assert (sip.port, sip.realm, sip.host) == (2, "a=b", "127.0.0.1")


@pytest.mark.usefixtures("run")
def test_the_named_file_is_read_in_place_of_the_local_one(tmp_path: Path) -> None:
    (tmp_path / "trunkline.toml").write_text("[sip]\nport = 1\nrealm = 'local'")
    (tmp_path / "other.toml").write_text("[sip]\nport = 2")
    assert Common().load().settings.sip.port == 1
    sip = Common(config=Path("other.toml")).load().settings.sip
    assert (sip.port, sip.realm) == (2, "trunkline")


def test_set_needs_an_equals_sign() -> None:
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        Common(set=("sip.port",)).load()


def test_the_arguments_of_a_run_are_remembered_for_it_only() -> None:
    with given(["up", "--record"]):
        assert arguments() == ("up", "--record")
    assert arguments() == ()
