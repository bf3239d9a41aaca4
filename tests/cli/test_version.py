"""``trunkline version``."""

from trunkline import __version__
from trunkline.speech.opus import find_opus


def test_the_parts_are_listed(run) -> None:
    out = run("version").out
    assert out.splitlines()[0].split() == ["trunkline", __version__]
    assert "numpy" in out


def test_what_is_missing_is_null_in_json(run, monkeypatch) -> None:
    monkeypatch.setattr("trunkline.cli.version._PARTS", ("numpy", "no-such-thing"))
    data = run("version", "--json").data
    assert data["trunkline"] == __version__
    assert data["no-such-thing"] is None
    assert "not installed" in run("version").out


def test_what_codes_opus_and_g722_is_named(run, monkeypatch) -> None:
    library = find_opus()
    assert run("version", "--json").data["opus"] == (library.version if library else None)
    monkeypatch.setattr("trunkline.speech.opus.find_opus", lambda: None)
    monkeypatch.setattr("trunkline.speech.g722.find_g722", lambda: None)
    data = run("version", "--json").data
    assert data["opus"] is None and data["g722"].startswith("built in")
