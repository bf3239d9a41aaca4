"""Secrets: read from where they are kept, shown to nobody."""

import copy
import pickle
from pathlib import Path

import pytest

from trunkline.errors import ConfigError
from trunkline.settings import Secret


@pytest.mark.parametrize(
    "show",
    [repr, str, "{}".format, "{:>20}".format, "%s".__mod__, ascii, lambda secret: repr([secret])],
)
def test_no_way_of_printing_shows_it(show: object) -> None:
    assert "hunter2" not in show(Secret("hunter2", "env:PW"))  # type: ignore[operator]


def test_it_is_revealed_when_asked_by_name() -> None:
    assert Secret("hunter2").reveal() == "hunter2"


def test_an_empty_secret_is_false_and_shows_as_empty() -> None:
    assert not Secret()
    assert str(Secret()) == ""
    assert Secret("x")


def test_equality_is_of_the_text_and_never_with_plain_text() -> None:
    assert Secret("a") == Secret("a", "env:A")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))


def test_a_strangers_token_is_compared() -> None:
    assert Secret("token").matches("token")
    assert not Secret("token").matches("toke")
    assert not Secret("token").matches("tökén")


def test_it_is_read_from_a_file_less_the_last_line_end(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for written in ("s e c\n", "s e c\r\n", "s e c"):
        path.write_bytes(written.encode())
        secret = Secret.read(f"file:{path}", {})
        assert secret.reveal() == "s e c"
        assert secret.origin == f"file:{path}"


def test_it_is_read_from_the_environment() -> None:
    secret = Secret.read("env:TOKEN", {"TOKEN": "abc"})
    assert (secret.reveal(), secret.origin) == ("abc", "env:TOKEN")


def test_plain_text_is_taken_as_written() -> None:
    assert Secret.read("abc", {"abc": "no"}).reveal() == "abc"


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="TOKEN is not set"):
        Secret.read("env:TOKEN", {})


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    binary, large = tmp_path / "binary", tmp_path / "large"
    binary.write_bytes(b"\xff\xfe\x00")
    large.write_text("x" * 70_000)
    for path, reason in [
        (tmp_path / "none", "No such file"),
        (tmp_path, "Is a directory"),
        (binary, "not text"),
        (large, "too large"),
    ]:
        with pytest.raises(ConfigError, match=reason) as caught:
            Secret.read(f"file:{path}", {})
        assert str(path) in str(caught.value)


def test_it_does_not_travel_in_a_pickle() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("hunter2"))
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(Secret("hunter2"))
