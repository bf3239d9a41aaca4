"""The documentation tells the truth: links, commands, snippets, generated parts."""

import ast
import importlib
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from cyclopts import CycloptsError, MissingArgumentError

import trunkline
from trunkline.cli import main
from trunkline.cli.main import COMMANDS, build

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


class Snippet(NamedTuple):
    """A fenced block."""

    page: Path
    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def snippets(*languages: str) -> list[Snippet]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            if match[2] in languages:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Snippet(page, match[2], textwrap.dedent(match[3]), line))
    return found


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def name(value: Any) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


# -- links --------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        place, _, anchor = target.partition("#")
        linked = (page.parent / place).resolve() if place else page
        assert linked.exists(), target
        assert linked.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(linked), target


def test_every_page_is_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        targets = [target for target in LINK.findall(prose(page)) if "://" not in target]
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in targets]
    assert set(DOCS.rglob("*.md")) <= seen


def test_the_readme_leads_to_the_documentation() -> None:
    assert "docs/index.md" in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"/(work|home|root|Users|tmp/(?!call))(/|\b)", text)
    assert str(Path.home()) not in text or str(Path.home()) == "/"


# -- generated parts ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    specification = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_generated_part_is_what_the_code_says_now(page: Path, generator: ModuleType) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == generator.rendered(text), "run: python docs/generate.py"


def test_every_part_that_can_be_generated_is_used(generator: ModuleType) -> None:
    used = {found[2] for page in PAGES for found in generator.MARKED.finditer(page.read_text())}
    assert used == set(generator.PARTS)


PUBLIC_PACKAGES = ["trunkline"] + [
    f"trunkline.{path.parent.name}"
    for path in sorted((ROOT / "src/trunkline").glob("*/__init__.py"))
    if path.parent.name != "cli"
]


@pytest.mark.parametrize("package", PUBLIC_PACKAGES)
def test_every_public_name_is_in_the_reference(package: str) -> None:
    text = (DOCS / "reference/python.md").read_text(encoding="utf-8")
    names = set(importlib.import_module(package).__all__) - {"__version__"}
    assert not {one for one in names if not re.search(rf"`{one}[`(]", text)}


def test_every_command_is_in_the_reference() -> None:
    text = (DOCS / "reference/commands.md").read_text(encoding="utf-8")
    assert not [command for command in COMMANDS if f"`trunkline {command}" not in text]


# -- commands -----------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every ``trunkline ...`` that is shown, with the place."""
    for snippet in snippets("sh", "console"):
        for line in snippet.text.splitlines():
            yield from _commands(str(snippet), line.partition("  #")[0])
    for page in PAGES:
        for code in re.findall(r"`([^`\n]+)`", prose(page)):
            if not code.startswith("sip:"):
                yield from _commands(name(page), code)


def _commands(place: str, line: str) -> Iterator[tuple[str, list[str]]]:
    words = shlex.split(line.partition(">")[0]) if line.count('"') % 2 == 0 else []
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    if words and words[0] in ("trunkline", ".venv/bin/trunkline") and len(words) > 1:
        yield f"{place}: {line.strip()}", words[1:]


SHOWN = dict(commands())


@pytest.mark.parametrize("shown", SHOWN)
def test_every_command_that_is_shown_is_one(shown: str) -> None:
    tokens = SHOWN[shown]
    try:
        build(tokens).parse_args(tokens, exit_on_error=False, print_error=False)
    except MissingArgumentError:
        assert ".md: " in shown, "only in a sentence may a command be named without arguments"
    except CycloptsError as error:
        pytest.fail(f"{shown}\n{error}")


def test_commands_were_found() -> None:
    assert len(SHOWN) > 20


def test_every_target_of_make_that_is_shown_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    shown = {
        target
        for page in PAGES
        for target in re.findall(r"(?:^|`)make ([a-z-]+)\b", page.read_text(), re.MULTILINE)
    }
    assert shown <= targets
    assert {"demo", "talk", "test", "check", "bench"} <= shown


# -- snippets -----------------------------------------------------------------------------


@pytest.mark.parametrize("snippet", snippets("python"), ids=str)
def test_python_compiles_and_imports_what_there_is(snippet: Snippet) -> None:
    tree = ast.parse(snippet.text)
    compile(tree, str(snippet), "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trunkline"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@pytest.mark.parametrize(
    "snippet", [one for one in snippets("python") if "board = Switchboard()" in one.text], ids=str
)
def test_a_snippet_with_a_switchboard_runs(snippet: Snippet) -> None:
    namespace: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(snippet.text, str(snippet), "exec"), namespace)
    assert isinstance(namespace["board"], trunkline.Switchboard)


@pytest.mark.parametrize(
    "snippet",
    [one for one in snippets("python") if one.page.name == "audio-classes.md"],
    ids=str,
)
def test_an_example_of_an_audio_class_runs(snippet: Snippet) -> None:
    try:
        exec(compile(snippet.text, str(snippet), "exec"), {"__name__": "snippet"})
    except trunkline.MissingDependencyError as error:
        pytest.skip(str(error))


def test_the_readmes_program_is_the_example() -> None:
    shop = (ROOT / "examples/shop.py").read_text(encoding="utf-8")
    program = next(one.text for one in snippets("python") if one.page.name == "README.md")
    assert program in shop


@pytest.mark.parametrize("snippet", snippets("toml"), ids=str)
def test_a_configuration_passes_its_check(
    snippet: Snippet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for variable in re.findall(r'"env:(\w+)"', snippet.text):
        monkeypatch.setenv(variable, "secret")
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    text = re.sub(r'^([^#\n]*)"file:[^"]+"', rf'\1"file:{secret}"', snippet.text, flags=re.M)
    written = tmp_path / "trunkline.toml"
    written.write_text(text)
    status = main(["config", "check", str(written)])
    assert (status, capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize("snippet", snippets("json"), ids=str)
def test_json_messages_are_json(snippet: Snippet) -> None:
    for message in re.split(r"\n(?=\{)", snippet.text.strip()):
        json.loads(message)


@pytest.mark.parametrize("snippet", snippets("xml"), ids=str)
def test_xml_is_well_formed(snippet: Snippet) -> None:
    ElementTree.fromstring(snippet.text)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize("snippet", snippets("sh"), ids=str)
def test_shell_is_shell(snippet: Snippet) -> None:
    subprocess.run(["bash", "-n"], input=snippet.text, text=True, check=True, timeout=10)


# -- the changelog ------------------------------------------------------------------------


def test_the_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{trunkline.__version__}]" in text
