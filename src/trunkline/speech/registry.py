"""Engines by kind and name, made when asked for.

The built-in ones are named here as "module:factory" and imported on first use, so that
a node without an extra pays for nothing and fails only when that extra is asked for.
Other packages add theirs through the entry-point group ``trunkline.speech``, with the
entry point's name written "kind.name" (for example ``stt.whisper``).
"""

import importlib
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from trunkline.errors import MissingDependencyError, UsageError

from .errors import UnknownEngine
from .hints import pip_install, setup_speech

__all__ = ["ENTRY_POINT_GROUP", "KINDS", "Factory", "create", "names", "register"]

Factory = Callable[..., Any]

KINDS = ("activity", "stt", "tts", "llm", "noise", "echo", "wake")
ENTRY_POINT_GROUP = "trunkline.speech"

_BUILT_IN: dict[tuple[str, str], str] = {
    ("activity", "gated"): "trunkline.speech.gated:GatedSileroBank",
    ("activity", "silero"): "trunkline.speech.silero:SileroBank",
    ("activity", "subband"): "trunkline.speech.subband:SubbandBank",
    ("activity", "best"): "trunkline.speech.silero:best_available",
    ("stt", "sphinx"): "trunkline.speech.sphinx:Sphinx",
    ("stt", "openai"): "trunkline.speech.openai_stt:OpenAIRecogniser",
    ("stt", "standin"): "trunkline.speech.standins:SttStandIn",
    ("tts", "flite"): "trunkline.speech.synthesis:flite",
    ("tts", "espeak"): "trunkline.speech.synthesis:espeak",
    ("tts", "best"): "trunkline.speech.synthesis:best_available",
    ("tts", "standin"): "trunkline.speech.standins:TtsStandIn",
    ("tts", "tone"): "trunkline.speech.standins:ToneVoice",
    ("llm", "scripted"): "trunkline.speech.scripted:ScriptedModel",
    ("llm", "openai"): "trunkline.speech.openai:OpenAIModel",
    ("wake", "sphinx"): "trunkline.speech.sphinx_wake:SphinxWake",
    ("noise", "noisereduce"): "trunkline.speech.noise_engines:Noisereduce",
    ("noise", "noisereduce_or_spectral"): "trunkline.speech.fallbacks:noisereduce_or_spectral",
    ("noise", "rnnoise"): "trunkline.speech.noise_engines:Rnnoise",
    ("noise", "webrtc"): "trunkline.speech.noise_engines:Webrtc",
    ("echo", "speex"): "trunkline.speech.enhancement_echo:SpeexEcho",
    ("echo", "speex_or_nlms"): "trunkline.speech.fallbacks:speex_or_nlms",
    ("echo", "aec3"): "trunkline.speech.enhancement_echo:Aec3Echo",
}

# Import name of an optional package -> the command that installs it.
_INSTALL = {
    "onnxruntime": setup_speech(),
    "pocketsphinx": setup_speech(),
    "espeakng_loader": setup_speech("--espeak"),
    "httpx2": pip_install("httpx2>=2"),
}

_registered: dict[tuple[str, str], Factory] = {}


def register(kind: str, name: str, factory: Factory) -> None:
    """Add an engine, or replace the one of that name.

    Raises:
        UsageError: there is no such kind, or the name is not a word.
    """
    _check_kind(kind)
    if not name or not all(part.isalnum() for part in name.replace("-", "_").split("_")):
        raise UsageError(f"an engine's name is letters, digits, - and _; not {name!r}")
    _registered[kind, name] = factory


def names(kind: str) -> list[str]:
    """Every engine name of a kind: built in, registered, and from other packages.

    Raises:
        UsageError: there is no such kind.
    """
    _check_kind(kind)
    known = {name for known_kind, name in (*_BUILT_IN, *_registered) if known_kind == kind}
    return sorted(known | set(_from_packages(kind)))


def create(kind: str, name: str, **options: Any) -> Any:
    """Make an engine; ``options`` go to its factory.

    Raises:
        UsageError: there is no such kind.
        UnknownEngine: there is no such engine of that kind.
        MissingDependencyError: its package is not installed; says what to run.
    """
    _check_kind(kind)
    try:
        factory = _find(kind, name)
        return factory(**options)
    except ModuleNotFoundError as error:
        raise _missing(kind, name, error) from error


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UsageError(f"no kind of engine is called {kind!r}; there are {', '.join(KINDS)}")


def _find(kind: str, name: str) -> Factory:
    if (factory := _registered.get((kind, name))) is not None:
        return factory
    # A package's engine goes before the built-in of the same name: it was installed on purpose.
    if (entry := _from_packages(kind).get(name)) is not None:
        loaded: Factory = entry.load()
        return loaded
    if (path := _BUILT_IN.get((kind, name))) is not None:
        module, _, attribute = path.partition(":")
        built_in: Factory = getattr(importlib.import_module(module), attribute)
        return built_in
    raise UnknownEngine(_unknown(kind, name))


def _from_packages(kind: str) -> dict[str, EntryPoint]:
    prefix = f"{kind}."
    return {
        entry.name.removeprefix(prefix): entry
        for entry in entry_points(group=ENTRY_POINT_GROUP)
        if entry.name.startswith(prefix)
    }


def _unknown(kind: str, name: str) -> str:
    known = names(kind)
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"no {kind} engine is called {name!r}; there are {', '.join(known)}{hint}"


def _missing(kind: str, name: str, error: ModuleNotFoundError) -> Exception:
    package = (error.name or "").partition(".")[0]
    if package == "trunkline":  # ours: an engine that this version does not have yet
        return UnknownEngine(f"the {kind} engine {name!r} is not part of this version: {error}")
    command = _INSTALL.get(package, pip_install(package))
    return MissingDependencyError(
        f"the {kind} engine {name!r} needs the package {package!r}; run: {command}"
    )
