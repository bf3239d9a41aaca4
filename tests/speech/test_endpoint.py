"""The address and the key of a server."""

import sys

import pytest

from trunkline.errors import ConfigError, MissingDependencyError
from trunkline.speech.endpoint import Endpoint, _retry_after, base_url


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        (" http://host/v1/ ", "http://host/v1"),
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("https://host/chat/completions", "https://host/v1"),
        ("https://host/api/v1", "https://host/api/v1"),
        ("https://host/v1beta/openai/", "https://host/v1beta/openai"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_a_base_url_is_what_requests_are_built_on(given: str, used: str) -> None:
    assert base_url(given) == used


@pytest.mark.parametrize(
    "given",
    [
        "",
        "localhost:8000",
        "host",
        "ftp://host",
        "http://",
        "http://host/v1?key=1",
        "http://host#x",
        "http://[::1",
        "http://host:99999",
        "http://host:0",
        "http://host:x",
    ],
)
def test_other_addresses_are_refused(given: str) -> None:
    with pytest.raises(ConfigError):
        base_url(given)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        base_url("http://me:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_the_key_is_in_no_representation() -> None:
    endpoint = Endpoint("http://host", "sk-secret", connect_seconds=1)
    assert "sk-secret" not in repr(endpoint)


def test_without_httpx2_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'httpx2>=2'"):
        Endpoint("http://host", None, connect_seconds=1)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Thu, 99 Jan 2030 00:00:00 GMT", None),
    ],
)
def test_a_server_says_in_seconds_or_with_a_date_when_to_come_again(
    said: str, seconds: float | None
) -> None:
    assert _retry_after({"retry-after": said}) == seconds


def test_a_date_to_come_is_as_far_away_as_it_is() -> None:
    far = _retry_after({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"})
    assert far is not None and far > 1e8
