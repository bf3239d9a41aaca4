"""Writes the parts of the documentation that are made from the code.

    python docs/generate.py

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
The tests fail while what is written differs from what would be.
"""

import ast
import importlib
import inspect
import itertools
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from cyclopts import Parameter
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from trunkline import settings
from trunkline.agent.turns import State, diagram
from trunkline.calls.states import TRANSITIONS as CALL_TRANSITIONS
from trunkline.calls.states import CallState
from trunkline.cli.main import COMMANDS
from trunkline.settings.keys import accepts
from trunkline.settings.sample import documentation, sample, toml_value
from trunkline.sip import session, transaction

FOLDER = Path(__file__).parent
MARKED = re.compile(r"(<!-- generated: (?P<name>[\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PACKAGES = (
    "agent", "calls", "media", "server", "settings", "sip", "speech", "transports", "wire",
)  # fmt: skip


def rendered(text: str) -> str:
    """A page's text with its generated parts as they should be."""

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}{PARTS[found['name']]()}\n{found[3]}"

    return MARKED.sub(fill, text)


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(headings), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


# -- commands -----------------------------------------------------------------------------


def commands() -> str:
    """Every command with its flags, from its docstring and signature."""
    return "\n\n".join(_command(name, place) for name, (place, _) in COMMANDS.items())


def _command(name: str, place: str) -> str:
    module, _, attribute = place.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if isinstance(found, FunctionType):
        return _function(f"trunkline {name}", found)
    parts = [_function(f"trunkline {name}", found.default_command)] if found.default_command else []
    for sub in found:
        command = found[sub]
        if not sub.startswith("-") and command.default_command is not None:
            parts.append(_function(f"trunkline {name} {sub}", command.default_command))
    return "\n\n".join(parts)


def _function(name: str, function: Callable[..., Any]) -> str:
    text, _, below = inspect.cleandoc(function.__doc__ or "").partition("Parameters\n----------\n")
    documented = dict(re.findall(r"^(\w+)\n((?:    .*\n?)+)", below, re.MULTILINE))
    rows = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "common":
            rows += [
                ("`--config FILE`, `-c`", "Read this file in place of ./trunkline.toml."),
                ("`--set section.key=value`, `-s`", "Any setting; may be given several times."),
            ]
        elif parameter.name in documented:
            about = " ".join(documented[parameter.name].split())
            rows.append((f"`{_flag(parameter)}`", about))
    return f"## `{name}`\n\n{text.strip()}" + (
        f"\n\n{table(('flag', 'what it does'), rows)}" if rows else ""
    )


def _flag(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return parameter.name.upper()
    if parameter.kind is parameter.VAR_POSITIONAL:
        return f"{parameter.name.upper()}..."
    for said in getattr(parameter.annotation, "__metadata__", ()):
        if isinstance(said, Parameter) and said.name:
            return said.name[0]
    return f"--{parameter.name.replace('_', '-')}"


# -- Python -------------------------------------------------------------------------------


def top() -> str:
    """The names at the top of the package, with signatures and methods."""
    package = importlib.import_module("trunkline")
    return "\n\n".join(
        _entry(name, getattr(package, name)) for name in package.__all__ if name[0] != "_"
    )


def _entry(name: str, thing: Any) -> str:
    about = _cleaned(inspect.getdoc(thing) or "")
    if not inspect.isclass(thing):
        return f"### `{name}({_arguments(thing)})`\n\n{about}"
    if issubclass(thing, Exception):
        return f"### `{name}`\n\n{about}"
    rows = [(f"`{_signature(one, method)}`", _first(method)) for one, method in _methods(thing)]
    rows += _fields(thing)
    listing = f"\n\n{table(('name', 'what it is'), rows)}" if rows else ""
    return f"### `{name}`\n\n{about}{listing}"


def _methods(thing: type) -> Iterator[tuple[str, Any]]:
    """What a class itself defines for its users: methods and properties."""
    internal = INTERNAL.get(thing.__name__, frozenset())
    for name, value in vars(thing).items():
        if name.startswith("_") or name in internal:
            continue
        if isinstance(value, FunctionType | property):
            yield name, value


INTERNAL: Mapping[str, frozenset[str]] = {
    "Call": frozenset(
        {"leg_event", "tell", "agent_host", "send_digits", "leg_id", "host", "recorder"}
    ),
    "Switchboard": frozenset({"connect", "run", "receive", "find", "arrivals", "warn", "alarm"}),
}
"""What belongs to the node's side."""


def _signature(name: str, value: Any) -> str:
    if isinstance(value, property):
        return name
    prefix = "await " if inspect.iscoroutinefunction(value) else ""
    return f"{prefix}{name}({_arguments(value)})".replace("|", "\\|")


def _arguments(function: Any) -> str:
    """A signature as it is written in the source, without ``self``."""
    if not isinstance(function, FunctionType):
        return "..."
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef)
    return re.sub(r"^self(, )?", "", ast.unparse(tree.args))


def _first(thing: Any) -> str:
    return _cleaned((inspect.getdoc(thing) or "").split("\n\n")[0])


def _fields(thing: type) -> Iterator[tuple[str, str]]:
    """Fields, and attributes set in ``__init__``, with the string below each."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    assert isinstance(tree, ast.ClassDef)
    makers = [one for one in tree.body if getattr(one, "name", "") == "__init__"]
    internal = INTERNAL.get(thing.__name__, frozenset())
    for body in (tree.body, *(maker.body for maker in makers if isinstance(maker, DEFINITIONS))):
        for here, below in itertools.pairwise([*body, ast.Pass()]):
            name, written = _assigned(here)
            if name and name[0] != "_" and name not in internal:
                yield f"`{written}`".replace("|", "\\|"), _string(below)


DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _assigned(statement: ast.stmt) -> tuple[str, str]:
    """The name a statement defines for users of a class, and how that is written."""
    match statement:
        case ast.AnnAssign(target=ast.Name(name), value=value):
            default = f" = {ast.unparse(value)}" if value is not None else ""
            return name, f"{name}: {ast.unparse(statement.annotation)}{default}"
        case ast.AnnAssign(target=ast.Attribute(attr=name)):
            return name, f"{name}: {ast.unparse(statement.annotation)}"
        case ast.Assign(targets=[ast.Attribute(attr=name)]):
            return name, name
    return "", ""


def _string(statement: ast.stmt) -> str:
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return _cleaned(text)
    return ""


def _cleaned(text: str) -> str:
    """A docstring as Markdown: one line a paragraph, code as code."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if paragraph.startswith("    "):
            paragraphs.append(f"```python\n{textwrap.dedent(paragraph)}\n```")
        elif re.match(r"(Args|Raises):\n", paragraph):
            heading, _, items = paragraph.partition(":\n")
            listed = [
                f"- {' '.join(one.split())}" for one in re.split(r"\n    (?=\S)", "\n" + items)
            ]
            paragraphs.append(f"{heading}:\n\n" + "\n".join(one for one in listed if one != "- "))
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "\n\n".join(paragraphs).replace("``", "`")


def packages() -> str:
    """What each package offers, a line for each name."""
    return "\n\n".join(_package(f"trunkline.{name}") for name in PACKAGES)


def _package(name: str) -> str:
    package = importlib.import_module(name)
    about = (inspect.getdoc(package) or "").split("\n")[0].replace("``", "`")
    rows = [(f"`{one}`", _about(getattr(package, one))) for one in package.__all__]
    return f"## {name}\n\n{about}\n\n{table(('name', 'what it is'), rows)}"


def _about(thing: Any) -> str:
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return f"`{thing!r}`".replace("|", "\\|") if isinstance(thing, int | float) else ""
    return (inspect.getdoc(thing) or "").split("\n")[0].replace("``", "`").replace("|", "\\|")


# -- state machines -----------------------------------------------------------------------


def turns() -> str:
    """The turn-taking machine as a Mermaid diagram."""
    return f"```mermaid\n{diagram()}```"


def turn_states() -> str:
    """The states of the machine, in words."""
    (tree,) = ast.parse(inspect.getsource(State)).body
    assert isinstance(tree, ast.ClassDef)
    rows = []
    for here, below in itertools.pairwise(tree.body):
        match here:
            case ast.Assign(value=ast.Constant(value=str(name))):
                rows.append((name, _string(below)))
    return table(("state", "who does what"), rows)


def call_states() -> str:
    """The states of a call, as a table."""
    rows = [(state.value, ", ".join(_steps(state)) or "—") for state in CallState]
    return table(("state", "event → next"), rows)


def _steps(state: CallState) -> Iterator[str]:
    for (here, event), there in CALL_TRANSITIONS.items():
        if here is state:
            yield f"{event.__name__} → {there.value}"


def session_table() -> str:
    """The SIP session machine."""
    rows = [
        (here.value, cause.value, there.value) for (here, cause), there in session.TABLE.items()
    ]
    return table(("state", "what happens", "next"), rows)


def transaction_table(name: str) -> Callable[[], str]:
    """One transaction machine."""

    def render() -> str:
        rows = [
            (here.value, cause.value, there.value, ", ".join(_action(one) for one in actions))
            for (here, cause), (there, actions) in getattr(transaction, name).TABLE.items()
        ]
        return table(("state", "what happens", "next", "what is done"), rows)

    return render


def _action(action: Any) -> str:
    return str(action.name).lower().replace("_", " ")


# -- the parts ----------------------------------------------------------------------------


def configuration() -> str:
    """The annotated sample."""
    return f"```toml\n{sample()}```"


TRUNK_TABLES: Mapping[str, type[Struct]] = {
    "`[trunks.NAME]`": settings.TrunkSettings,
    "`gateways = [{ ... }]`": settings.GatewaySettings,
    "`limits = { ... }`": settings.LimitSettings,
    "`caps = { ... }`, and those of `[protection.keys]`": settings.KeyCaps,
    "`health = { ... }`": settings.HealthSettings,
    "`numbers_in`, `numbers_out = [{ ... }]`": settings.NumberRuleSettings,
    "`[routing] rules = [{ ... }]`": settings.RoutingRuleSettings,
}


def trunk_tables() -> str:
    """The keys of what the sample leaves to tables of one's own."""
    return "\n\n".join(
        f"### {heading}\n\n{_keys_of(owner)}" for heading, owner in TRUNK_TABLES.items()
    )


def _keys_of(owner: type[Struct]) -> str:
    about = documentation(owner)
    rows = [
        (f"`{one.name}`", _default(one), f"{about[one.name]} Accepts {accepts(one.type)}.")
        for one in fields(owner)
    ]
    return table(("key", "default", "what it is"), [tuple(map(_in_a_cell, row)) for row in rows])


def _default(item: FieldInfo) -> str:
    if item.required:
        return "(needed)"
    made = item.default_factory is not NODEFAULT
    value = item.default_factory() if made else item.default
    return "" if isinstance(value, Struct) else f"`{toml_value(value)}`"


def _in_a_cell(text: str) -> str:
    return text.replace("|", "\\|").replace(" *", " \\*")


PARTS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "top": top,
    "packages": packages,
    "configuration": configuration,
    "trunk tables": trunk_tables,
    "turns": turns,
    "turn states": turn_states,
    "call states": call_states,
    "session": session_table,
    **{
        name: transaction_table(name)
        for name in (
            "InviteClientTransaction",
            "InviteServerTransaction",
            "NonInviteClientTransaction",
            "NonInviteServerTransaction",
        )
    },
}


def main() -> None:
    """Bring every page up to date."""
    for page in sorted(FOLDER.rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = rendered(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(page.relative_to(FOLDER))


if __name__ == "__main__":
    main()
