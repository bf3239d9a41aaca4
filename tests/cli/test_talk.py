"""``trunkline talk``: flags become settings; ports that are taken are no obstacle."""

import socket
import sys
import types

import pytest

from trunkline.errors import MissingDependencyError
from trunkline.server.talk.terminal import Screen
from trunkline.server.talk_app import _local, _shown
from trunkline.settings import Settings, load


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, object]]:
    """What was to be run, in place of a node."""
    import trunkline.server.talk_app as real

    runs: list[tuple[Settings, object]] = []

    def run_talk(settings: Settings, options: object) -> int:
        runs.append((settings, options))
        return 0

    module = types.ModuleType("trunkline.server.talk_app")
    module.run_talk = run_talk  # type: ignore[attr-defined]
    module.TalkOptions = real.TalkOptions  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trunkline.server.talk_app", module)
    return runs


def test_without_flags_it_is_the_demos_agent(run, ran) -> None:
    assert run("talk").status == 0
    ((settings, options),) = ran
    assert not settings.llm.url
    assert options.browser
    assert options.shop
    assert settings.log.level == "warning"


def test_flags_are_settings(run, ran) -> None:
    flags = "--llm http://127.0.0.1:9/v1 --model m --own --no-browser --http-port 1 --sip-port 2"
    assert run("talk", *flags.split(), "-s", "speech.stt=openai").status == 0
    ((settings, options),) = ran
    assert (settings.llm.url, settings.llm.model) == ("http://127.0.0.1:9/v1", "m")
    assert (settings.http.port, settings.sip.port) == (1, 2)
    assert settings.speech.stt == "openai"
    assert (options.browser, options.shop) == (False, False)


def test_wrong_settings_are_named_before_anything_runs(run, ran) -> None:
    done = run("talk", "-s", "http.host=0.0.0.0")
    assert done.status == 2
    assert "http.token" in done.err
    assert not ran


def test_what_is_not_installed_is_named_with_its_command(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(kind: str, name: str, **options: object) -> None:
        raise MissingDependencyError(f"no {name}; run: pip install {name}")

    monkeypatch.setattr("trunkline.server.engines.create", missing)
    done = run("talk", "--no-browser")
    assert done.status == 1
    assert "trunkline: no sphinx; run: pip install sphinx\n" in done.err
    assert "trunkline setup speech" in done.err
    assert "Traceback" not in done.err


class Remarks(Screen):
    def __init__(self) -> None:
        self.remarks: list[str] = []

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def test_ports_that_are_taken_are_replaced_and_that_is_said() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        udp.bind(("127.0.0.1", 0))
        flags = {"http.port": tcp.getsockname()[1], "sip.port": udp.getsockname()[1]}
        screen = Remarks()
        local = _local(load(flags=flags).settings, screen)
        assert (local.http.port, local.sip.port) == (0, 0)
        assert [str(port) in remark
                for port, remark in zip(reversed(flags.values()), screen.remarks, strict=True)
                ] == [True, True]  # fmt: skip
    screen = Remarks()
    local = _local(load(flags=flags).settings, screen)
    assert (local.http.port, local.sip.port) == tuple(flags.values())
    assert not screen.remarks


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("0.0.0.0", "127.0.0.1"), ("a.b", "a.b")],
)
def test_addresses_are_shown_as_they_are_opened(host: str, shown: str) -> None:
    assert _shown(host) == shown
