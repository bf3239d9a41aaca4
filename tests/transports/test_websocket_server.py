"""Who may open a WebSocket: loopback, origins."""

import pytest

from trunkline.errors import ConfigError
from trunkline.transports.websocket_server import (
    Upgrade,
    is_loopback,
    origin_is_allowed,
    require_loopback,
)


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.0.2.1", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback_is_known(host: str, inside: bool) -> None:
    assert is_loopback(host) is inside
    if inside:
        require_loopback(host, unless="a token", what="streams")
    else:
        with pytest.raises(ConfigError, match="a token"):
            require_loopback(host, unless="a token", what="streams")


@pytest.mark.parametrize(
    ("host", "origin", "allowed"),
    [
        ("127.0.0.1:8080", None, True),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("localhost:8080", "http://localhost:8080", True),
        ("LOCALHOST:8080", "http://localhost:8080", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("localhost:8080", "http://127.0.0.1:8080", False),
        ("localhost:8080", "http://localhost:3000", False),
        ("localhost:8080", "https://evil.example", False),
        ("evil.example:8080", "http://evil.example:8080", False),
        ("localhost:8080", "http://localhost:8080.evil.example", False),
        ("localhost:8080", "null", False),
        ("localhost:8080", "", False),
        ("localhost:8080", "http://[::1", False),
        ("localhost:8080", "file://localhost:8080", False),
        ("x", "https://shop.example", True),
        ("x", "https://shop.example:444", False),
    ],
)
def test_only_our_own_pages_may_connect(host: str, origin: str | None, allowed: bool) -> None:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    upgrade = Upgrade("/", "", headers)
    assert origin_is_allowed(upgrade, {"https://shop.example"}) is allowed
