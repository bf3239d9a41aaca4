"""The page of an inspection: complete in itself, safe to open, honest about what it shows."""

import base64
import hashlib
import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from trunkline.errors import UsageError
from trunkline.media.network_pattern import NetworkPattern
from trunkline.media.wav import parse_wav
from trunkline.server.audio_page import (
    Inspection,
    InspectionOptions,
    audio_page,
    inspect_audio,
    write_inspection,
)

from .material import CALLER, FAR, a_file


class Reader(HTMLParser):
    """The elements of a page, and whether they are closed as they were opened."""

    VOID = frozenset(("meta", "input", "link", "br", "img", "path"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    folder = tmp_path_factory.mktemp("files")
    network = NetworkPattern(0.1, 2, 20)
    path, far = a_file(folder, CALLER), a_file(folder, FAR, "far.wav")
    return inspect_audio(InspectionOptions(path, far, network=network, noise="logmmse"))


@pytest.fixture(scope="module")
def page(made: Inspection) -> str:
    return audio_page(made)


def test_the_page_is_whole_html(page: str) -> None:
    assert page.startswith("<!doctype html>")
    Reader(page)
    assert "$" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    for _, attributes in Reader(page).elements:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    assert "http://" not in page
    assert "https://" not in page


def test_only_its_own_script_may_run(page: str) -> None:
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    [policy] = [one["content"] for one in Reader(page).all("meta") if "http-equiv" in one]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_all_three_sounds_are_in_it(page: str, made: Inspection) -> None:
    sounds = {one["id"]: one["src"] for one in Reader(page).all("audio")}
    assert set(sounds) == {"before", "after", "far"}
    wav = parse_wav(base64.b64decode(sounds["after"].partition(",")[2]))
    np.testing.assert_array_equal(wav.samples[:, 0], made.run.output)
    np.testing.assert_array_equal(
        parse_wav(base64.b64decode(sounds["before"].partition(",")[2])).samples[:, 0], CALLER
    )


def test_pictures_say_what_they_are(page: str) -> None:
    reader = Reader(page)
    assert [one["alt"] for one in reader.all("img")] == ["Spectrogram before", "Spectrogram after"]
    labels = [one["aria-label"] for one in reader.all("svg") if "aria-label" in one]
    assert any(re.search(r"after, \d+ frames concealed, \d+ frames stretched", o) for o in labels)
    assert any(label.startswith("Delay of the jitter buffer") for label in labels)


def test_no_path_holds_what_is_no_number(page: str) -> None:
    for path in Reader(page).all("path"):
        assert not re.search(r"nan|inf|e[-+]", path["d"])


def test_a_file_named_by_an_enemy_is_shown_as_text(tmp_path: Path) -> None:
    path = a_file(tmp_path, CALLER, "<img src=x onerror=alert(1)>${x}\u202e.wav")
    page = audio_page(inspect_audio(InspectionOptions(path)))
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert "\u202e" not in page


@pytest.mark.parametrize("length", [1, 159, 161, 4000])
def test_a_short_file_has_a_page(tmp_path: Path, length: int) -> None:
    Reader(audio_page(inspect_audio(InspectionOptions(a_file(tmp_path, CALLER[:length])))))


def test_silence_and_a_dead_network_have_a_page(tmp_path: Path) -> None:
    path = a_file(tmp_path, np.zeros(8000, np.int16))
    Reader(audio_page(inspect_audio(InspectionOptions(path))))
    page = audio_page(inspect_audio(InspectionOptions(path, network=NetworkPattern(1.0))))
    assert "100% of packets lost" in page
    Reader(page)


def test_page_and_audio_are_written_for_the_user_alone(made: Inspection, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    audio = write_inspection(made, page)
    assert audio == tmp_path / "page.wav"
    np.testing.assert_array_equal(parse_wav(audio.read_bytes()).mono(), made.run.output)
    for path in (page, audio):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["in.html", "far.html"])
def test_what_was_read_is_not_replaced(made: Inspection, name: str) -> None:
    page = made.options.path.with_name(name)
    with pytest.raises(UsageError, match="not replaced"):
        write_inspection(made, page)
    assert not page.with_suffix(".html").exists()


def test_a_folder_that_is_not_there_is_said(made: Inspection, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_inspection(made, tmp_path / "nowhere" / "page.html")
