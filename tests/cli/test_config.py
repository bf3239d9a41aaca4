"""``trunkline config``."""

import tomllib
from pathlib import Path

import pytest


def test_the_sample_is_fine(run, tmp_path: Path) -> None:
    sample = run("config", "sample")
    (tmp_path / "trunkline.toml").write_text(sample.out)
    ran = run("config", "check", "trunkline.toml")
    assert (ran.status, ran.out, ran.err) == (0, "trunkline.toml is fine\n", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sip]\nprot = 1", "did you mean sip.port?"),
        ("[sip\nport = 1", "line 1"),
        ('[http]\ntoken = "env:NOPE"', "NOPE is not set"),
        ('[http]\nhost = "0.0.0.0"', "Set http.token"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(run, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    ran = run("config", "check", "x.toml")
    assert ran.status == 1
    assert ran.out == ""
    assert said in ran.err


def test_a_file_is_checked_by_itself(run, tmp_path: Path, monkeypatch) -> None:
    """The settings of this shell do not make a file better or worse, its secrets do."""
    monkeypatch.setenv("TRUNKLINE_SIP__NONSENSE", "1")
    monkeypatch.setenv("TOKEN", "t")
    (tmp_path / "trunkline.toml").write_text("[sip]\nprot = 1")
    (tmp_path / "x.toml").write_text('[http]\nhost = "0.0.0.0"\ntoken = "env:TOKEN"')
    assert run("config", "check", "x.toml").status == 0


def test_a_file_that_is_not_there_is_told(run) -> None:
    ran = run("config", "check", "none.toml")
    assert ran.status == 1
    assert "none.toml" in ran.err


def test_what_is_in_force_says_where_it_is_from(run, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "trunkline.toml").write_text("[sip]\nport = 5070\nrealm = 'here'")
    monkeypatch.setenv("TRUNKLINE_SIP__REALM", "there")
    ran = run("config", "show", "-s", "agent.turns.silence_ms=700", "-s", "log.level=debug")
    assert "port = 5070  # trunkline.toml\n" in ran.out
    assert 'realm = "there"  # env TRUNKLINE_SIP__REALM\n' in ran.out
    assert "silence_ms = 700  # flag\n" in ran.out
    assert 'host = "127.0.0.1"\n' in ran.out
    assert tomllib.loads(ran.out)["agent"]["turns"]["silence_ms"] == 700


def test_what_is_in_force_as_json(run) -> None:
    data = run("config", "show", "--json", "-s", "sip.port=5070").data
    assert {"key": "sip.port", "value": "5070", "origin": "flag"} in data


def test_secrets_are_not_shown(run, monkeypatch) -> None:
    monkeypatch.setenv("TRUNKLINE_HTTP__TOKEN", "hunter2")
    for ran in (run("config", "show"), run("config", "show", "--json")):
        assert "hunter2" not in ran.out + ran.err
        assert "********" in ran.out


def test_a_variable_that_is_nearly_a_setting_is_remarked(run, monkeypatch) -> None:
    monkeypatch.setenv("TRUNKLINE_SIP_PORT", "5070")
    ran = run("config", "show")
    assert ran.status == 0
    assert "note: TRUNKLINE_SIP_PORT" in ran.err
