"""What a docstring says of a function: what it does, and its arguments."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Docstring", "read_docstring"]

_SECTION = re.compile(
    r"(args|arguments|parameters|returns?|raises|yields|examples?|notes?):$", re.I
)
_ARGUMENT = re.compile(r"(\w+)(?:\s*\([^)]*\))?\s*:\s*(.*)$")


@dataclass(frozen=True, slots=True)
class Docstring:
    """The parts of a docstring that a language model is told."""

    summary: str = ""
    """Everything before the first section, as one paragraph per paragraph."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Descriptions from the section ``Args:``, one line each."""


def read_docstring(text: str) -> Docstring:
    """Read a cleaned docstring (as of `inspect.getdoc`) with Google's sections."""
    summary: list[str] = []
    arguments: dict[str, str] = {}
    section, name, margin = "", "", 0
    for line in text.splitlines():
        bare = line.strip()
        found = _SECTION.match(bare)
        if found and not line.startswith(" "):
            section, name, margin = found[1].lower(), "", 0
        elif not section:
            summary.append(bare)
        elif section in ("args", "arguments", "parameters") and bare:
            indent = len(line) - len(line.lstrip())
            margin = margin or indent
            argument = _ARGUMENT.match(bare) if indent <= margin else None
            if argument:
                name = argument[1]
                arguments[name] = argument[2]
            elif name:
                arguments[name] = f"{arguments[name]} {bare}".strip()
    paragraphs = re.split(r"\n\s*\n", "\n".join(summary).strip())
    return Docstring("\n\n".join(" ".join(one.split()) for one in paragraphs), arguments)
