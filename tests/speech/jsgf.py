"""Grammars for tests, written short."""

from trunkline.speech import Grammar


def grammar(name: str, *alternatives: str, **rules: str) -> Grammar:
    """One of these alternatives, with ``rules`` they refer to as ``<rule>``."""
    lines = [
        "#JSGF V1.0;",
        f"grammar {name};",
        f"public <{name}> = {' | '.join(alternatives)};",
        *(f"<{rule}> = {text};" for rule, text in rules.items()),
    ]
    return Grammar("\n".join(lines) + "\n", name)
