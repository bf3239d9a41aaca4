"""Imports go one way; this reads every module's syntax tree and holds it."""

import ast
from pathlib import Path

import pytest

import trunkline

ROOT = Path(trunkline.__file__).parent

# A package may import from itself and from the packages named here.
BASE = {"errors", "lazy"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "lazy": set(),
    "settings": BASE,
    "media": BASE,
    "sip": BASE,
    "wire": BASE,
    "speech": BASE | {"settings", "media", "sip", "wire"},
    "transports": BASE | {"settings", "media", "sip", "wire"},
    "agent": BASE | {"settings", "media", "sip", "wire", "speech", "transports"},
    "calls": BASE | {"settings", "media", "sip", "wire", "speech", "transports", "agent"},
}
ALLOWED["server"] = ALLOWED["calls"] | {"calls"}
ALLOWED["cli"] = ALLOWED["server"] | {"server"}

# Nothing in a pure module may reach for a socket, a thread, a clock or a log.
IMPURE = {
    "asyncio", "concurrent", "logging", "multiprocessing", "os", "random", "secrets", "select",
    "selectors", "signal", "socket", "sqlite3", "ssl", "subprocess", "threading", "time",
    "structlog", "uvloop", "picows",
}  # fmt: skip
PURE_PACKAGES = {"media", "sip", "wire"}
PURE_MODULES = {"agent/turns.py"}

MODULES = sorted(ROOT.rglob("*.py"))


def _imports(path: Path) -> set[str]:
    """Absolute names of everything a module imports, at any depth."""
    package = path.relative_to(ROOT.parent).with_suffix("").parts
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: -node.level]) if node.level else ""
            if path.name == "__init__.py" and node.level:
                base = ".".join(package[:-1][: len(package) - node.level])
            module = ".".join(part for part in (base, node.module or "") if part)
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def _layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_the_layers_to_its_left(path: Path) -> None:
    layer = _layer(path)
    if layer in ("__init__", "__main__"):
        return
    allowed = ALLOWED[layer] | {layer}
    reached = {
        name.split(".")[1]
        for name in _imports(path)
        if name.startswith("trunkline.") and len(name.split(".")) > 1
    }
    names = {package for package in reached if package in ALLOWED}
    assert names <= allowed, f"{layer} may not import {sorted(names - allowed)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pure_module_touches_no_socket_thread_clock_or_log(path: Path) -> None:
    relative = str(path.relative_to(ROOT))
    if _layer(path) not in PURE_PACKAGES and relative not in PURE_MODULES:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {name.split(".")[0] for name in _imports(path)} & IMPURE
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncWith)]


def test_the_layer_table_names_every_package() -> None:
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in ROOT.glob("*.py")} - {"__init__", "__main__"}
    assert packages | modules <= set(ALLOWED)
