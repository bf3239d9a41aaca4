"""The sample file is the reference: complete, annotated, and true."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.settings import load
from trunkline.settings.keys import keys, sections
from trunkline.settings.sample import sample, show, toml_value


def test_the_sample_parses_back_to_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "trunkline.toml"
    path.write_text(sample(), encoding="utf-8")
    loaded = load([path])
    assert loaded.settings == load().settings
    tables = {path for path, key in keys().items() if key.default == {}}
    given_by_file = {key for key, origin in loaded.origins.items() if origin == str(path)}
    assert given_by_file == set(keys())
    assert tables


def test_every_setting_is_explained_above_its_line() -> None:
    lines = sample().splitlines()
    for path, key in keys().items():
        shown = f"[{path}]" if key.default == {} else f"{key.name} = "
        places = [number for number, line in enumerate(lines) if line.startswith(shown)]
        assert places, path
        assert all(lines[number - 1].startswith("# ") for number in places)


def test_every_section_says_what_it_is_for() -> None:
    lines = sample().splitlines()
    for path, owner in sections().items():
        assert owner.__doc__
        assert lines[lines.index(f"[{path}]") - 1].startswith("# ")


def test_ranges_are_shown() -> None:
    assert "# Accepts a whole number from 0 to 65535." in sample()
    assert '# Accepts one of "auto", "console", "json".' in sample()


def test_no_line_is_too_wide_to_read() -> None:
    assert max(map(len, sample().splitlines())) <= 100


def test_what_is_in_force_is_shown_with_its_origin() -> None:
    loaded = load(environ={"TRUNKLINE_SIP__PORT": "5070"}, flags={"log.level": "debug"})
    shown = {item.key: item for item in show(loaded)}
    assert list(shown) == list(keys())
    assert shown["sip.port"][1:] == ("5070", "env TRUNKLINE_SIP__PORT")
    assert shown["log.level"][1:] == ('"debug"', "flag")
    assert shown["sip.host"][1:] == ('"127.0.0.1"', "default")


def test_secrets_are_shown_as_their_place_or_a_mask() -> None:
    environ = {"KEY": "hunter2"}
    flags = {
        "http.token": "hunter2",
        "llm.api_key": "env:KEY",
        "sip.accounts": {"ann": "hunter2", "bob": "env:KEY"},
    }
    shown = {item.key: item.value for item in show(load(environ=environ, flags=flags))}
    assert "hunter2" not in repr(shown)
    assert shown["http.token"] == '"********"'
    assert shown["llm.api_key"] == '"env:KEY"'
    assert shown["sip.accounts"] == '{ "ann" = "********", "bob" = "env:KEY" }'
    assert shown["outbound.password"] == '""'


values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(values)
def test_any_value_written_as_toml_reads_back(value: object) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}")["x"] == value


def test_what_has_no_toml_is_an_error() -> None:
    with pytest.raises(TypeError):
        toml_value(object())
