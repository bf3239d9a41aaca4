"""Building the settings: defaults, then files, then the environment, then flags.

Nothing is taken on trust: an unknown key anywhere is an error that names the
place, the key and the closest one there is; a wrong value is an error that says
where it stands and what is accepted. Secrets appear in no message.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from trunkline.errors import ConfigError

from .inside import inside
from .keys import Key, accepts, closest, keys, sections
from .secret import Secret
from .tree import CHAIN_NAMES, Audio, Settings

__all__ = ["LOCAL_FILE", "PREFIX", "SYSTEM_FILE", "Loaded", "config_files", "load"]

SYSTEM_FILE = Path("/etc/trunkline/trunkline.toml")
LOCAL_FILE = Path("trunkline.toml")
PREFIX = "TRUNKLINE_"
_CONFIG_VARIABLE = "TRUNKLINE_CONFIG"
_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and where each of them came from."""

    settings: Settings
    """The frozen tree."""
    origins: Mapping[str, str]
    """For every dotted key: "default", a file's path, "env NAME" or "flag"."""
    notes: tuple[str, ...] = ()
    """Things that are no error and yet probably not meant."""


@dataclass(frozen=True, slots=True)
class _Given:
    """One value somebody gave, before it is converted."""

    key: Key
    value: object
    origin: str
    """A file's path, "env NAME" or "flag"."""
    text: bool = False
    """Whether it is text from outside TOML, to be read as the setting's type asks."""


def config_files(config: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The files to read, the weakest first: the system's, then yours.

    Yours is ``config`` if given, else what ``TRUNKLINE_CONFIG`` names, else
    ``./trunkline.toml`` if there is one.

    Raises:
        ConfigError: a file was named and does not exist.
    """
    named = config or (Path(environ[_CONFIG_VARIABLE]) if environ.get(_CONFIG_VARIABLE) else None)
    if named is not None and not named.is_file():
        raise ConfigError(f"there is no configuration file {named}")
    return tuple(path for path in (SYSTEM_FILE, named or LOCAL_FILE) if path.is_file())


def load(
    files: Iterable[Path] = (),
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Loaded:
    """Build the settings from files, an environment and flags, each over the last.

    ``flags`` are dotted keys with values; None means the flag was not given.

    Raises:
        ConfigError: anything is unknown, of the wrong type or out of range.
    """
    environ = environ or {}
    given: dict[str, _Given] = {}
    for path in files:
        given |= _from_file(path)
    from_environ, notes = _from_environ(environ)
    given |= from_environ
    given |= _from_flags(flags or {})

    origins = dict.fromkeys(keys(), _DEFAULT)
    values: dict[str, Any] = {}
    for name, item in given.items():
        values[name] = _convert(item, environ)
        origins[name] = item.origin
    return Loaded(_build(Settings, "", values), origins, notes)


def _from_file(path: Path) -> dict[str, _Given]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read {path}: {reason}") from None
    return dict(_flatten(table, "", str(path)))


def _flatten(table: Mapping[str, Any], prefix: str, origin: str) -> Iterable[tuple[str, _Given]]:
    for name, value in table.items():
        path = prefix + name
        if path in keys():
            yield path, _Given(keys()[path], value, origin)
        elif path not in sections():
            raise _unknown(path, origin)
        elif isinstance(value, dict):
            yield from _flatten(value, f"{path}.", origin)
        else:
            raise ConfigError(f"{origin}: {path} is a section: write [{path}] and keys below it")


def _unknown(path: str, origin: str) -> ConfigError:
    near = closest(path)
    kind = "key" if "." in path else "section"
    hint = f"; did you mean {near}?" if near else "; see `trunkline config sample`"
    return ConfigError(f"{origin}: there is no {kind} {path}{hint}")


def _from_environ(environ: Mapping[str, str]) -> tuple[dict[str, _Given], tuple[str, ...]]:
    """Settings named ``TRUNKLINE_SECTION__KEY``, and those of [audio] by their own names.

    Names without a double underscore are not ours to refuse: Kubernetes sets
    TRUNKLINE_PORT and the like in every pod beside a service called trunkline.
    """
    given = _from_plain_names(environ)
    notes: list[str] = []
    spelled = {_variable(path): path for path in keys()}
    single = {name.replace("__", "_"): name for name in spelled}
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        if name in spelled:
            path = spelled[name]
            given[path] = _Given(keys()[path], value, f"env {name}", text=True)
        elif "__" in name:
            path = name.removeprefix(PREFIX).lower().replace("__", ".")
            near = closest(path)
            hint = f"; did you mean {_variable(near)}?" if near in keys() else ""
            raise ConfigError(f"the environment sets {name}, which is no setting{hint}")
        elif name in single and "://" not in value:
            notes.append(f"{name} in the environment is ignored; the setting is {single[name]}")
    return given, tuple(notes)


def _from_plain_names(environ: Mapping[str, str]) -> dict[str, _Given]:
    """Settings of [audio] under the names audio pipelines have always read them by."""
    return {
        path: _Given(key, environ[name], f"env {name}", text=True)
        for path, key in keys().items()
        if key.owner is Audio and key.name in CHAIN_NAMES and (name := key.name.upper()) in environ
    }


def _variable(path: str) -> str:
    return PREFIX + path.replace(".", "__").upper()


def _from_flags(flags: Mapping[str, object]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for path, value in flags.items():
        if value is None:
            continue
        if path not in keys():
            raise _unknown(path, "command line")
        given[path] = _Given(keys()[path], value, "flag", text=isinstance(value, str))
    return given


def _convert(item: _Given, environ: Mapping[str, str]) -> Any:
    """One value as its setting's type, or an error that says what would be."""

    def custom(kind: type, value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("not text")
        return Secret.read(value, environ) if kind is Secret else _expand(Path(value))

    try:
        value = _parse(str(item.value), item.key) if item.text else item.value
        return msgspec.convert(value, item.key.type, strict=not item.text, dec_hook=custom)
    except ConfigError as error:
        raise ConfigError(f"{_place(item)}: {error}") from None
    except (msgspec.ValidationError, tomllib.TOMLDecodeError):
        raise _refused(item) from None


def _parse(text: str, key: Key) -> object:
    """Text from the environment or a flag: lists and tables are TOML, or commas."""
    origin = get_origin(key.type)
    if origin is tuple and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if origin is tuple or origin is Mapping:
        return tomllib.loads(f"value = {text}")["value"]
    return text


def _refused(item: _Given) -> ConfigError:
    if not item.key.secret and (inner := inside(item.value, item.key.type, item.key.path)):
        return ConfigError(f"{item.origin}: {inner}")
    shown = "" if item.key.secret else f" is {str(item.value)[:60]!r} but"
    return ConfigError(f"{_place(item)}{shown} must be {accepts(item.key.type)}")


def _place(item: _Given) -> str:
    return f"{item.origin}: {item.key.path}"


def _expand(path: Path) -> Path:
    """``~`` as the home folder; left alone for a user without one."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _build(owner: type[Struct], prefix: str, values: Mapping[str, Any]) -> Any:
    """The section at ``prefix``, of given values and defaults."""
    built: dict[str, Any] = {}
    for item in fields(owner):
        path = prefix + item.name
        if path in sections():
            built[item.name] = _build(sections()[path], f"{path}.", values)
        else:
            value = values.get(path, keys()[path].default)
            built[item.name] = _expand(value) if isinstance(value, Path) else value
    return owner(**built)
