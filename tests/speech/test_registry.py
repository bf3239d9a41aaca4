import sys
from importlib.metadata import EntryPoint

import pytest

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.speech import UnknownEngine, create, names, register, registry
from trunkline.speech.standins import ToneVoice, TtsStandIn


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


def test_an_engine_is_made_by_name_with_its_options() -> None:
    voice = create("tts", "standin", rate_hz=16000)
    assert isinstance(voice, TtsStandIn)
    assert voice.rate_hz == 16000


def test_an_unknown_name_lists_the_known_ones_and_suggests_the_nearest() -> None:
    with pytest.raises(UnknownEngine, match=r"'flit'.*espeak, flite.*did you mean 'flite'"):
        create("tts", "flit")


def test_a_name_like_nothing_known_gets_no_suggestion() -> None:
    with pytest.raises(UnknownEngine) as caught:
        create("stt", "xqzv")
    assert "did you mean" not in str(caught.value)
    assert "sphinx" in str(caught.value)


@pytest.mark.parametrize("call", [lambda: create("ears", "x"), lambda: names("ears")])
def test_an_unknown_kind_is_refused(call: object) -> None:
    with pytest.raises(UsageError, match="activity, stt, tts, llm"):
        call()  # type: ignore[operator]


def test_a_registered_engine_is_found_and_listed() -> None:
    register("tts", "my-voice_2", ToneVoice)
    assert isinstance(create("tts", "my-voice_2"), ToneVoice)
    assert "my-voice_2" in names("tts")
    assert "my-voice_2" not in names("stt")


@pytest.mark.parametrize("name", ["", "two words", "a.b", "a/b"])
def test_a_name_that_is_not_a_word_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        register("tts", name, ToneVoice)


def test_a_missing_package_says_the_command_that_installs_it() -> None:
    def factory() -> None:
        import onnxruntime_is_not_here  # noqa: F401

    register("activity", "other", factory)
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime_is_not_here"):
        create("activity", "other")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def factory() -> None:
        raise ModuleNotFoundError("No module named 'httpx2'", name="httpx2")

    register("llm", "other", factory)
    with pytest.raises(MissingDependencyError, match=r"-m pip install 'httpx2>=2'"):
        create("llm", "other")


def test_another_package_adds_engines_through_entry_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = EntryPoint("tts.hum", "trunkline.speech.standins:ToneVoice", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    assert isinstance(create("tts", "hum"), ToneVoice)
    assert "hum" in names("tts")


def test_every_built_in_engine_is_where_the_registry_says() -> None:
    for (kind, name), path in registry._BUILT_IN.items():
        assert callable(registry._find(kind, name)), path


def test_naming_engines_imports_none_of_them() -> None:
    import subprocess

    code = (
        "import sys; from trunkline.speech import names; names('stt'); "
        "print([m for m in ('onnxruntime', 'pocketsphinx', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(registry.__file__).rsplit("/trunkline/", 1)[0]},
    )
    assert done.stdout.strip() == "[]"
